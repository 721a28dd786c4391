"""Checks of lab 09: counting queries, transfer, augmentation, random search, labels at the boundary."""

import copy

import torch
from torch import nn

from .core import Mistake, agree, exercise, generator, linear_victim, typed

EPS = 0.15


def _column(value, like):
    return value.view(-1, *[1] * (like.ndim - 1))


def _labels(model):
    """Return a function that answers with labels only, and refuses gradients."""

    def ask(x):
        if x.requires_grad:
            raise RuntimeError("the victim was handed a tensor that requires a gradient")
        with torch.no_grad():
            return model(x).argmax(1)

    return ask


def _scores(model):
    def ask(x):
        with torch.no_grad():
            return model(x)

    return ask


class _Counted:
    """Counts calls, so that an answer that asks more often than it may is found out."""

    def __init__(self, ask):
        self.ask, self.calls = ask, 0

    def __call__(self, x):
        self.calls += 1
        return self.ask(x)


def _asked_once(answer, place=0):
    """Return the answer, held to asking once: argument number `place` is the victim."""

    def counted(*args):
        victim = _Counted(args[place])
        got = answer(*args[:place], victim, *args[place + 1 :])
        if victim.calls != 1:
            raise Mistake(f"it asks {victim.calls} times; ask once, about the whole batch")
        return got

    return counted


def _wide(seed, shape=(4, 3)):
    """Return a linear model and images of another shape, and their labels."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1], 4))
    with torch.no_grad():
        model[1].weight.normal_(generator=generator(seed))
        model[1].bias.normal_(generator=generator(seed + 1))
    x = 0.2 + 0.6 * torch.rand(7, *shape, generator=generator(seed))
    return model, x, torch.randint(0, 4, (7,), generator=generator(seed))


# --- the oracle


def _oracle(
    model, n, budget, add="each", when="before", limit="above", counts_of="image", held=True
):
    """Return (ask, counts); the arguments after the third switch on the usual mistakes."""
    counts = torch.zeros(n, dtype=torch.int64)

    def ask(x, rows):
        new = torch.bincount(rows, minlength=n)
        new = {"each": new, "once": new.clamp(max=1), "all": torch.ones_like(new), "none": 0 * new}[
            add
        ]
        after = counts + new
        seen = after if counts_of == "image" else after.sum()[None]
        if counts_of == "new":
            seen = counts[rows]
        if counts_of == "singly":
            seen = counts[rows] + 1
        if when == "partly":
            for row in rows.tolist():
                if counts[row] + 1 > budget:
                    raise RuntimeError("the budget is spent")
                counts[row] += 1
        over = seen > budget if limit == "above" else seen >= budget
        if when == "late":
            counts.add_(new)
        if limit != "never" and bool(over.any()):
            raise RuntimeError("the budget is spent")
        if when == "before":
            counts.add_(new)
        with torch.no_grad():
            return model(x).argmax(1)

    return ask, counts if held else torch.zeros_like(counts)


def _played(make, model, x, plan, budget):
    """Play a plan of queries; return labels, whether it was refused, and the counts, after each."""
    made = make(model, 4, budget)
    if made is None:
        raise Mistake("it returns None; end make_oracle with return ask, counts")
    if not isinstance(made, tuple | list) or len(made) != 2:
        raise Mistake("return two things: the function ask, and the tensor counts [n]")
    ask, counts = made
    if not callable(ask) or not isinstance(counts, torch.Tensor):
        raise Mistake("return two things: the function ask, and the tensor counts [n]")
    if counts.dtype != torch.int64 or counts.shape != (4,):
        raise Mistake(f"counts: {counts.dtype}, {tuple(counts.shape)}; it should be int64, (4,)")
    seen = []
    for rows in plan:
        rows = torch.tensor(rows)
        try:
            answer, refused = ask(x[: len(rows)], rows), False
        except RuntimeError as problem:
            if not seen and budget >= len(rows) and len(rows.unique()) == len(rows):
                raise Mistake(
                    f"the first queries are refused, with RuntimeError: {problem}"
                ) from None
            answer, refused = torch.full((len(rows),), -1), True
        if answer is None:
            raise Mistake(
                "ask returns None; it returns the labels, and raises RuntimeError where the budget "
                "is exceeded"
            )
        if not refused and (not isinstance(answer, torch.Tensor) or answer.dtype != torch.int64):
            raise Mistake("ask should answer with labels, an int64 tensor: scores.argmax(1)")
        seen += [answer, torch.tensor(float(refused)), counts.clone().double()]
    return tuple(seen)


@exercise("Every image pays for itself, and a refusal is free.")
def make_oracle(answer):
    """Check make_oracle(model, n, budget) -> (ask, counts)."""
    model, x, _ = linear_victim(31)

    def played(make):
        return lambda plan, budget: _played(make, model, x, plan, budget)

    def wrong(**slip):
        return played(lambda model, n, budget: _oracle(model, n, budget, **slip))

    agree(
        played(answer),
        played(_oracle),
        {
            "": ([[0, 1], [1, 3], [1, 0], [1, 2], [1], [2]], 2),
            "an image that is asked about twice in one call": ([[2, 2, 0], [2, 1], [1, 1, 3]], 2),
            "an image that is asked about twice in one call, and may be once": (
                [[0, 3], [3, 3], [0], [0], [3]],
                2,
            ),
            "a batch of one": ([[3], [3], [1]], 1),
            "a call that only one of its images cannot pay": ([[0, 1], [2, 0], [0, 2], [2]], 1),
        },
        {
            "it never refuses: raise RuntimeError where a count would exceed the budget": wrong(
                limit="never"
            ),
            "it refuses one query too early: the budget itself may be used up": wrong(limit="at"),
            "it counts a call that it refuses; look first, then count": wrong(when="late"),
            "an image that appears twice in one call costs two; counts[rows] += 1 adds only one, "
            "use torch.bincount": wrong(add="once"),
            "every call counts for every image; only those in rows were asked about": wrong(
                add="all"
            ),
            "the budget is compared with all images together; it is meant for each": wrong(
                counts_of="total"
            ),
            "it looks at what was asked before, not at what this call would add": wrong(
                counts_of="new"
            ),
            "it looks at each query alone; an image that appears twice needs two": wrong(
                counts_of="singly"
            ),
            "it counts query by query until one is refused; look at all of them first, then count": (
                wrong(when="partly", add="none")
            ),
            "counts stays at 0: add to the tensor that you return, in place (counts.add_(new)); "
            "counts = counts + new makes another one": wrong(held=False),
        },
        expected="the labels, the refusals or the counts are not the expected ones",
        what="what ask did",
    )
    for mode in (True, False):
        model.train(mode)
        _played(answer, model, x, [[0, 1], [1, 3]], 2)
        if model.training != mode:
            raise Mistake("it switches the model's mode; leave the mode alone")
    try:
        _played(answer, lambda z: model(z), x, [[0, 1]], 2)
    except AttributeError as problem:
        raise Mistake(
            f"model may be any function from images to scores; call it, and no more ({problem})"
        ) from None


# --- transfer


def _transfer(y, source, target, source_adv, target_adv, need="stf", of="fooled"):
    masks = {"s": source == y, "t": target == y, "f": source_adv != y}
    fair = torch.ones_like(y, dtype=torch.bool)
    for name in need:
        fair &= masks[name]
    won = {
        "fooled": target_adv != y,
        "same": (target_adv == source_adv) & (target_adv != y),
        "kept": target_adv == y,
        "moved": target_adv != target,
    }[of]
    count = int((won & fair).sum())
    return count / int(fair.sum()) if fair.any() else 0.0


def _over_all(*args):
    y, source, target, source_adv, target_adv = args
    won = (source == y) & (target == y) & (source_adv != y) & (target_adv != y)
    return won.float().mean().item()


def _target_below(*args):
    y, source, target, source_adv, target_adv = args
    fair = (source == y) & (source_adv != y)
    return int((fair & (target == y) & (target_adv != y)).sum()) / max(int(fair.sum()), 1)


def _readings(n, seed):
    random = generator(seed)
    y = torch.randint(0, 3, (n,), generator=random)
    others = [
        (y + (torch.rand(n, generator=random) < p) * torch.randint(1, 3, (n,), generator=random))
        % 3
        for p in (0.2, 0.3, 0.75, 0.6)
    ]
    return (y, *others)


@exercise("Only pictures that could transfer count.")
def transfer_rate(answer):
    """Check transfer_rate(y, source, target, source_adv, target_adv) -> float."""
    none = (torch.tensor([1]), *[torch.tensor([0])] * 4)
    agree(
        answer,
        _transfer,
        {
            "": _readings(61, 3),
            "a batch of one": (*[torch.tensor([2])] * 3, torch.tensor([0]), torch.tensor([1])),
            "no picture that counts (the answer is 0.0)": none,
        },
        {
            "the denominator is all images; it should be those that both read right and that fool "
            "the source": _over_all,
            "pictures that do not even fool the source are in the denominator": lambda *a: (
                _transfer(*a, need="st")
            ),
            "an image that the target misreads without an attack is no transfer": lambda *a: (
                _transfer(*a, need="sf")
            ),
            "the source has to read the clean image right as well": lambda *a: _transfer(
                *a, need="tf"
            ),
            "it counts only where both say the same wrong class; any wrong class counts": (
                lambda *a: _transfer(*a, of="same")
            ),
            "that is the share that does not transfer": lambda *a: _transfer(*a, of="kept"),
            "that is over every image, and no mask at all": lambda *a: _transfer(*a, need=""),
            "that is a count; divide by the number of the pictures that count": lambda *a: (
                61 * _over_all(*a)
            ),
            "that is in percent; return a number between 0 and 1": lambda *a: 100 * _transfer(*a),
            "images that the target misreads without an attack are only in the denominator; leave "
            "them out there, too": _target_below,
            "no picture counts, and the answer should be 0.0": lambda *a: (
                1.0 if (a[1] != a[0]).all() else _transfer(*a)
            ),
        },
        what="the share",
    )
    got = answer(*_readings(61, 3))
    if not isinstance(got, float):
        raise Mistake(f"it returns a {type(got).__name__}; return a Python float (.item())")


# --- Jacobian augmentation


def _augment(model, x, labels, step, sign=torch.sign, what="label", box=True, joined=True, way=1):
    z = x.clone().requires_grad_()
    scores = model(z)
    index = {"label": labels, "top": scores.argmax(1)}.get(what, labels)[:, None]
    if what == "probability":
        scores = scores.softmax(1)
    total = scores.sum() if what == "all" else scores.gather(1, index).sum()
    if what == "loss":
        total = nn.functional.cross_entropy(scores, labels, reduction="sum")
    (slope,) = torch.autograd.grad(total, z)
    new = x + way * step * sign(slope)
    new = new.clamp(0, 1) if box else new
    return torch.cat([x, new]) if joined else new


@exercise("Twice the questions, each placed where the substitute is least sure of itself.")
def augment(answer):
    """Check augment(model, x, labels, step) -> [2N, ...]."""
    model, x, labels = linear_victim(33)
    x[:, :, 0, 0] = torch.tensor([0.0, 1.0, 0.02, 0.97, 0.5])[:, None]
    wide, other, marks = _wide(35)
    curved = nn.Sequential(nn.Flatten(), nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 4))
    with torch.no_grad():
        for weight in curved.parameters():
            weight.normal_(generator=generator(5))

    def slip(**wrong):
        return lambda *args: _augment(*args, **wrong)

    agree(
        answer,
        _augment,
        {
            "": (model, x, labels, 0.1),
            "a curved network": (curved, x, labels, 0.1),
            "a batch of one": (model, x[:1], labels[:1], 0.1),
            "images of another shape": (wide, other, marks, 0.1),
            "another step": (model, x, labels, 0.25),
            "double precision": (copy.deepcopy(wide).double(), other.double(), marks, 0.1),
        },
        {
            "the new images stand first; the old ones before them: torch.cat([x, new])": (
                lambda *a: _augment(*a).roll(len(a[1]), 0)
            ),
            "old and new images alternate; first all old ones, then all new ones": lambda *a: (
                _augment(*a).unflatten(0, (2, -1)).transpose(0, 1).flatten(0, 1)
            ),
            "it returns the new images only; put the old ones before them: torch.cat([x, new])": (
                slip(joined=False)
            ),
            "the sign is missing: every pixel moves by the step": slip(sign=lambda g: g),
            "some pixels leave [0, 1]: clamp(0, 1) is missing": slip(box=False),
            "wrong sign: it goes against the slope; add the step": slip(way=-1),
            "that is the slope of the loss; take that of the label's own score": slip(what="loss"),
            "that is the slope of the class that the model itself prefers; take the label's": slip(
                what="top"
            ),
            "all scores are added up; take the label's alone": slip(what="all"),
            "that is the slope of the probability; take the score, before any softmax": slip(
                what="probability"
            ),
        },
        expected="the new images are not x + step * sign(slope of the label's score), in [0, 1]",
        what="the new set",
    )
    if any(p.grad is not None for p in model.parameters()):
        raise Mistake("it leaves gradients in the weights; ask only for x: torch.autograd.grad")
    if any(not p.requires_grad for p in model.parameters()):
        raise Mistake("it switches off requires_grad of the weights; leave the model as it was")


# --- random search


def _propose(x, best, corner, side, sign, eps, base="x", box=True, axes=(0, 1), far=1.0, copy=True):
    tried = best.clone()
    for i in range(len(x)):
        top, left = int(corner[i, axes[0]]), int(corner[i, axes[1]])
        window = (i, slice(None), slice(top, top + side), slice(left, left + side))
        start = x[window] if base == "x" else best[window]
        tried[window] = start + far * sign[i] * eps
    if base == "x alone":
        tried = x + far * _column(sign, x) * eps
    return tried.clamp(0, 1) if box else tried


def _windows(n, shape, seed):
    random = generator(seed)
    x = torch.rand(n, *shape, generator=random)
    noise = EPS * torch.randint(0, 2, x.shape, generator=random).mul(2).sub(1)
    best = (x + noise).clamp(0, 1)
    rows = torch.randint(0, shape[1] - 2, (n,), generator=random)
    columns = torch.randint(0, shape[2] - 2, (n,), generator=random)
    sign = torch.randint(0, 2, (n,), generator=random).mul(2).sub(1).to(x)
    return x, best, torch.stack([rows, columns], 1), sign


@exercise("One square, all of it on one face of the ball.")
def propose(answer):
    """Check propose(x, best, corner, side, sign, eps) -> tried."""

    def case(n, shape, seed, side=2, double=False):
        x, best, corner, sign = _windows(n, shape, seed)
        if double:
            x, best, sign = x.double(), best.double(), sign.double()
        return x, best, corner, side, sign, EPS

    def slip(**wrong):
        return lambda *args: _propose(*args, **wrong)

    agree(
        answer,
        _propose,
        {
            "": case(6, (1, 7, 7), 41),
            "a batch of one": case(1, (1, 7, 7), 42),
            "three channels, wider than high": case(4, (3, 5, 9), 43, side=3),
            "a square of one pixel": case(5, (1, 6, 6), 44, side=1),
            "double precision": case(3, (1, 6, 6), 45, double=True),
        },
        {
            "the square adds to best, so changes pile up and leave the ball; set it to x + sign * "
            "eps": slip(base="best"),
            "some pixels leave [0, 1]: clamp(0, 1) is missing": slip(box=False),
            "row and column are swapped: corner holds (row, column)": slip(axes=(1, 0)),
            "wrong sign": slip(far=-1.0),
            "twice the epsilon": slip(far=2.0),
            "the whole image changes; only the square should": slip(base="x alone"),
            "outside of the square stands x; best should stay there": lambda x, best, *more: (
                _propose(x, x, *more)
            ),
            "nothing changes": lambda x, best, *more: best,
        },
        expected="inside the square x + sign * eps (clamped), outside of it best",
        what="tried",
    )


def _margin(z, y):
    own = z.gather(1, y[:, None])[:, 0]
    return own - z.scatter(1, y[:, None], -torch.inf).amax(1)


def _keep(scores, tried, best, lowest, y, kind="margin", way="each", ties=False):
    z = scores(tried)
    height = {
        "margin": _margin(z, y),
        "score": z.gather(1, y[:, None])[:, 0],
        "with itself": z.gather(1, y[:, None])[:, 0] - z.amax(1),
        "probability": _margin(z.softmax(1), y),
    }[kind]
    better = {
        "each": height < lowest,
        "up": height > lowest,
        "all": torch.ones_like(lowest, dtype=torch.bool),
        "batch": (height.mean() < lowest.mean()).expand_as(lowest),
        "ties": height <= lowest,
    }[way]
    return torch.where(_column(better, best), tried, best), torch.where(better, height, lowest)


@exercise("It never gets worse, and nobody waits for anybody.")
def keep_better(answer):
    """Check keep_better(scores, tried, best, lowest, y) -> (best, lowest)."""

    def case(model, x, y, seed, double=False):
        random = generator(seed)
        tried = (x + 0.3 * torch.randn(x.shape, generator=random)).clamp(0, 1)
        if double:
            model, x, tried = model.double(), x.double(), tried.double()
        ask = _scores(model)
        return lambda: (ask, tried, x, _margin(ask(x), y), y)

    model, x, y = linear_victim(51)
    wide, other, marks = _wide(53)
    same = case(model, x, y, 1)()

    def slip(**wrong):
        return lambda *args: _keep(*args, **wrong)

    agree(
        _asked_once(answer),
        _keep,
        {
            "": case(model, x, y, 1),
            "images of another shape": case(wide, other, marks, 3),
            "a batch of one": case(model, x[1:2], y[1:2], 4),
            "the first proposal, when lowest is infinite": (
                *same[:3],
                torch.full((5,), torch.inf),
                y,
            ),
            "a proposal that is as good as the best (it is not kept)": (
                same[0],
                same[1],
                same[2],
                _margin(same[0](same[1]), y),
                y,
            ),
            "double precision": case(_wide(55)[0], other, marks, 6, double=True),
        },
        {
            "it keeps what is only as good: strictly lower": slip(way="ties"),
            "it keeps every proposal; only those that lower the margin": slip(way="all"),
            "it keeps the wrong half: a lower margin is better": slip(way="up"),
            "it decides for the batch together; each image for itself": slip(way="batch"),
            "that is the score of y alone; subtract the highest of the others": slip(kind="score"),
            "the highest of all includes y itself, so the margin is never above 0; mask y out": slip(
                kind="with itself"
            ),
            "those are probabilities; the margin is one of scores": slip(kind="probability"),
        },
        expected="best and lowest are not the expected ones: strictly lower margins replace them",
        what="the answer",
    )


# --- labels only


def _search(ask, x, y, far, steps, way="each", end="high", first=0.5, flip=False):
    low, high = torch.zeros(len(x), dtype=x.dtype), torch.ones(len(x), dtype=x.dtype)
    for _ in range(steps):
        middle = low + first * (high - low)
        won = ask(x + _column(middle, x) * (far - x)) != y
        won = ~won if flip else won
        if way == "batch":
            won = won.all().expand_as(won)
        low, high = torch.where(won, low, middle), torch.where(won, middle, high)
    share = {"high": high, "low": low, "middle": (low + high) / 2}[end]
    return x + _column(share, x) * (far - x)


def _divided(make):
    """Return a model and images that it does not all read alike."""
    for seed in range(60, 99):
        model, x, _ = make(seed)
        if len(model(x).argmax(1).unique()) > 1:
            return model, x
    raise RuntimeError("no seed divides the images")


def _pairs(model, x):
    """Return images, their labels, and for each another image that the model reads otherwise."""
    with torch.no_grad():
        y = model(x).argmax(1)
    far = torch.stack([x[(y != label).nonzero()[0, 0]] for label in y])
    return x, y, far


@exercise("Twenty labels, and you stand a millionth from the boundary.")
def to_boundary(answer):
    """Check to_boundary(ask, x, y, far, steps) -> successes near the boundary."""

    def case(model, x, steps, rows=slice(None)):
        x, y, far = (part[rows] for part in _pairs(model, x))
        return lambda: (_Counted(_labels(model)), x, y, far, steps)

    model, x = _divided(linear_victim)
    wide, other = _divided(_wide)

    def slip(**wrong):
        return lambda *args: _search(*args, **wrong)

    def half(ask, x, y, far, steps):
        return _search(ask, x, y, far, max(steps - 1, 0))

    agree(
        typed(answer, 1, "images"),
        _search,
        {
            "": case(model, x, 4),
            "16 steps": case(copy.deepcopy(model).double(), x.double(), 16),  # no rounding decides
            "one step": case(model, x, 1),
            "no step (far itself)": case(model, x, 0),
            "a batch of one": case(model, x, 6, slice(2, 3)),
            "images of another shape": case(wide, other, 5),
            "double precision": case(copy.deepcopy(wide).double(), other.double(), 9),
        },
        {
            "nothing moved; each image halves its own interval, by its own label": (
                lambda ask, x, y, far, steps: far
            ),
            "it returns the end that is still read as y; return the success, high": slip(end="low"),
            "it returns the middle, about which nobody has asked; return the success": slip(
                end="middle"
            ),
            "the answer is used the wrong way round: a success lowers the upper end": slip(
                flip=True
            ),
            "all images share one decision; each halves its own interval": slip(way="batch"),
            "one step too few": half,
            "one step too many": lambda *a: _search(*a[:4], a[4] + 1),
        },
        tolerance=1e-6,
        expected="after each label the interval of that image is halved; return x + high * (far - x)",
        what="the points",
    )
    counted = case(model, x, 7)()
    answer(*counted)
    if counted[0].calls != 7:
        raise Mistake(f"it calls ask {counted[0].calls} times for 7 steps; once in each step")


def _normal(ask, at, y, u, delta, base=True, signed=1, reach=1.0, values="sign", one=True, fill=1):
    won = ask(at + reach * delta * u) != y
    phi = won.to(u) * 2 - 1
    if values == "share":
        phi = won.to(u)
    lean = phi - phi.mean() if base and bool((phi != phi[0]).any()) else phi * fill
    v = signed * (_column(lean, u) * u).mean(0)
    return v / v.norm() if one else v


@exercise("A hundred yes and no, and out comes a direction.")
def normal(answer):
    """Check normal(ask, at, y, u, delta) -> unit vector [...]."""

    def case(seed, n, shape=(1, 2, 3), lift=0.0, double=False, delta=0.01):
        random = generator(seed)
        u = torch.randn(n, *shape, generator=random)
        u = u / u.flatten(1).norm(dim=1).view(-1, *[1] * len(shape))
        at = torch.full(shape, 0.5)
        if delta > 0.01:
            at = torch.rand(shape, generator=random).round()
        slope = torch.randn(at.numel(), generator=random)
        if double:
            u, at, slope = u.double(), at.double(), slope.double()

        def ask(x):
            if x.requires_grad:
                raise RuntimeError("the victim was handed a tensor that requires a gradient")
            height = (x - at).flatten(1) @ slope + lift
            other = torch.where((x - at).flatten(1)[:, 0] > 0, 0, 1)  # any class but 3 is a success
            return torch.where(height > 0, other, 3)

        return ask, at, 3, u, delta

    def slip(**wrong):
        return lambda *args: _normal(*args, **wrong)

    agree(
        typed(_asked_once(answer), 3, "directions"),
        _normal,
        {
            "": case(71, 40, lift=0.003),
            "an image at the edge of the box (no clamp)": case(77, 40, lift=0.1, delta=0.3),
            "images of another shape": case(72, 30, (4, 5), lift=0.001),
            "all answers alike (then no mean is subtracted)": case(73, 25, lift=1.0),
            "all answers alike, none a success": case(74, 25, lift=-1.0),
            "a single direction": case(75, 1),
            "double precision": case(76, 30, lift=0.002, double=True),
        },
        {
            "the mean of the answers is not subtracted": slip(base=False),
            "the mean is subtracted where all answers agree, which leaves 0 / 0": (
                lambda ask, at, y, u, delta: _column((ask(at + delta * u) != y) * 2.0 - 1, u)
            ),
            "it points back into the class y: a success is +1, the other -1": slip(signed=-1),
            "it is not of length 1: divide by its norm": slip(one=False),
            "the points are clamped; ask about at + delta * u as they are": (
                lambda ask, at, *more: _normal(lambda z: ask(z.clamp(0, 1)), at, *more)
            ),
            "only one other class counts as a success; every label but y does": (
                lambda ask, at, *more: _normal(lambda z: 3 - 2 * (ask(z) == 1).long(), at, *more)
            ),
            "successes are 1 and the others 0; the others should be -1": slip(
                values="share", base=False
            ),
            "where no answer is a success the direction should be the mean of -u": slip(fill=0),
        },
        expected="mean of (phi - mean phi) * u, divided by its length; phi is +1 for a success",
        what="the direction",
    )


# --- the curve


def _curve(queries, won, budgets, kind="right"):
    found = []
    for q in budgets:
        inside = queries <= q
        found.append(
            {
                "right": won & inside,
                "all": inside,
                "strict": won & (queries < q),
                "rest": ~(won & inside),
                "exactly": won & (queries == q),
            }[kind]
            .float()
            .mean()
            .item()
        )
    return found


@exercise("A failure waits forever, and stays in the denominator.")
def success_curve(answer):
    """Check success_curve(queries, won, budgets) -> list of floats."""
    random = generator(81)
    queries = torch.randint(1, 60, (47,), generator=random)
    won = torch.rand(47, generator=random) < 0.6
    queries[:2], won[:2] = 20, True

    def over_won(queries, won, budgets):
        return [(queries[won] <= q).float().mean().item() for q in budgets]

    agree(
        answer,
        _curve,
        {
            "": (queries, won, [5, 20, 40, 100]),
            "a batch of one": (queries[:1], won[:1], [19, 20]),
            "budgets in another order": (queries, won, (40, 5, 20)),
            "no success at all": (queries, torch.zeros_like(won), [10, 100]),
        },
        {
            "failures that used few queries count as successes": lambda *a: _curve(*a, kind="all"),
            "only the successes are in the denominator; divide by all images": over_won,
            "the budget itself may be used up: <=": lambda *a: _curve(*a, kind="strict"),
            "that is the share that holds": lambda *a: _curve(*a, kind="rest"),
            "that is a count; divide by the number of images": lambda queries, won, budgets: [
                float((won & (queries <= q)).sum()) for q in budgets
            ],
            "that is in percent; return numbers between 0 and 1": lambda *a: [
                100 * share for share in _curve(*a)
            ],
            "the budgets are sorted; keep their order": lambda queries, won, budgets: _curve(
                queries, won, sorted(budgets)
            ),
            "only those that fell at exactly so many queries are counted: <=": lambda *a: _curve(
                *a, kind="exactly"
            ),
        },
        what="the curve",
    )
    if any(not isinstance(share, float) for share in answer(queries, won, [5, 20])):
        raise Mistake("the list should hold Python floats; use .item()")
