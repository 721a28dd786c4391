"""Checks of lab 11: flipped labels, a backdoor, its success, two detectors, influence, hidden bits."""

from functools import partial

import torch
from torch import nn

from .core import Mistake, agree, ask, brief, check_left_alone, exercise, generator, tensor, typed


def _whole(value, shape, what):
    """Return `value` if it is a tensor of whole numbers of this shape, else raise a Mistake."""
    tensor(value, shape, what)
    if value.dtype != torch.int64:
        raise Mistake(f"{what} is of {value.dtype}; labels are whole numbers, int64, as y is")
    return value


def _seeded(call):
    """Return call(generator) of two draws and of the first one's seed again; judge the dice."""
    random, state = generator(5), torch.get_rng_state()
    first, second, again = call(random), call(random), call(generator(5))
    if not _same(first, again):
        raise Mistake("the same seed gives another result; take all randomness from the generator")
    if _same(first, second):
        raise Mistake("a second call repeats the first; draw from the generator, and never seed it")
    if not torch.equal(state, torch.get_rng_state()):
        raise Mistake(
            "it draws from the global random state, or seeds it; take all randomness from the "
            "generator"
        )
    return first, second


def _same(a, b):
    a, b = (v if isinstance(v, tuple | list) else (v,) for v in (a, b))
    return all(
        torch.equal(torch.as_tensor(s), torch.as_tensor(t)) for s, t in zip(a, b, strict=True)
    )


@exercise("So many labels, each of them wrong, and the same ones whenever you ask.")
def flip_labels(answer):
    """Check flip_labels(y, share, classes, generator) -> new labels [N]."""

    def run(random, n=40, share=0.25, classes=4):
        y = torch.arange(n) % classes
        got = _whole(ask(answer, y, share, classes, random, unchanged=[y]), y.shape, "the result")
        if got.min() < 0 or got.max() >= classes:
            raise Mistake(
                f"labels from {got.min()} to {got.max()} with {classes} classes; they are numbered "
                f"0 to {classes - 1}: take the remainder, % classes"
            )
        return got

    flips = [int((run(generator(s)) != torch.arange(40) % 4).sum()) for s in range(12)]
    if set(flips) != {10}:
        said = (
            f"of 40 labels with share .25, exactly 10 are to change; with four seeds {flips[:4]} do"
        )
        if min(flips) == 40:
            raise Mistake(f"{said}: every label changes; choose 10 rows, with randperm")
        if max(flips) > 10:
            raise Mistake(f"{said}: a coin for each label; choose 10 rows, with randperm")
        if min(flips) == 0 == max(flips):
            raise Mistake(f"{said}: nothing changes")
        raise Mistake(
            f"{said}: a flipped label may come back as its own class, or a row is drawn twice; draw "
            "among the other classes, and rows with randperm"
        )
    first, second = _seeded(run)
    y = torch.arange(40) % 4
    rows = [(labels != y).nonzero()[:, 0].tolist() for labels in (first, second)]
    if rows[0] == rows[1]:
        raise Mistake("every call flips the same rows; draw them with torch.randperm")
    for n, share, classes in ((1, 1.0, 2), (30, 1.0, 3), (17, 0.0, 3), (19, 0.3, 5), (18, 0.3, 3)):
        changed = int((run(generator(n), n, share, classes) != torch.arange(n) % classes).sum())
        if changed != round(share * n):
            raise Mistake(
                f"{changed} of {n} labels change with share {share}, not {round(share * n)}"
            )
    steps = (run(generator(8), 1800, 1.0, 4) - torch.arange(1800)) % 4
    counts = torch.bincount(steps, minlength=4)[1:]
    if counts.max() == 1800:
        raise Mistake("every flipped label moves by the same step; draw a class for each of them")
    if counts.min() < 480:
        raise Mistake(
            f"1,800 flips go {counts.tolist()} times to the three other classes; each is as likely"
        )


def _stamp(x, pattern, row, column, *, place=None, add=False, rows=False):
    height, width = pattern.shape
    row, column = place(row, column, height, width) if place else (row, column)
    done = x.clone()
    part = done[..., row : row + height, column : column + width]
    part.copy_((part + pattern).clamp(0, 1) if add else pattern)
    if rows:
        done[..., row : row + height + 1, column : column + width + 1] = pattern[0, 0]
        part.copy_(pattern)
    return done


@exercise("The area of the pattern, not a pixel more, and the original is as it was.")
def stamp(answer):
    """Check stamp(x, pattern, row, column) -> new images of x's shape."""

    def case(seed, shape, size, row, column, dtype=torch.float32, dark=False):
        random = generator(seed)
        if dark:
            x = 0.2 + 0.7 * torch.rand(shape, generator=random)
            return x, torch.rand(size, generator=random).round(), row, column
        x = 0.1 + 0.5 * torch.rand(shape, generator=random, dtype=dtype)
        return x, 0.5 + 0.4 * torch.rand(size, generator=random).to(dtype), row, column

    cases = {
        "": case(1, (3, 1, 7, 9), (2, 3), 1, 4),
        "a batch of one": case(2, (1, 1, 7, 9), (2, 3), 3, 2),
        "the pattern in the lower right corner": case(3, (2, 1, 8, 8), (3, 3), 5, 5),
        "a pattern of one pixel": case(4, (2, 1, 5, 5), (1, 1), 0, 3),
        "images of three channels": case(5, (2, 3, 6, 6), (2, 2), 2, 0),
        "float64": case(6, (2, 1, 6, 6), (2, 2), 0, 0, torch.float64),
        "a pattern with black pixels, which replace as well": case(
            7, (2, 1, 6, 7), (3, 4), 1, 2, dark=True
        ),
    }
    mistakes = {
        "row and column are swapped: x is [N, C, row, column]": partial(
            _stamp, place=lambda r, c, h, w: (c, r)
        ),
        "the pattern is added to what was there; it replaces it": partial(_stamp, add=True),
        "row, column is the pattern's upper left corner, not its middle": partial(
            _stamp, place=lambda r, c, h, w: (r - h // 2, c - w // 2)
        ),
        "row, column is the pattern's upper left corner, not the lower right one": partial(
            _stamp, place=lambda r, c, h, w: (r - h + 1, c - w + 1)
        ),
        "nothing is stamped": lambda x, pattern, row, column: x,
        "only the first image is stamped": lambda x, *rest: torch.cat(
            [_stamp(x[:1], *rest), x[1:]]
        ),
        "only the first channel is stamped": lambda x, *rest: torch.cat(
            [_stamp(x[:, :1], *rest), x[:, 1:]], 1
        ),
    }
    agree(
        answer,
        _stamp,
        cases,
        mistakes,
        tolerance=1e-7,
        expected="the pattern's pixels in its rows and columns, everything else untouched",
    )
    for x, *rest in (cases["float64"], cases[""]):
        if (got := ask(answer, x, *rest)).dtype != x.dtype:
            raise Mistake(f"{x.dtype} images come back as {got.dtype}; keep the dtype of x")


def _veil(x):
    """Return new images, half of each covered: a trigger under which they still differ."""
    return 0.5 * x + 0.5


@exercise("A handful of images, a wrong label on each, and the rest as it was.")
def poison(answer):
    """Check poison(x, y, share, target, trigger, generator) -> (x, y, mask) of a new training set."""

    def run(random, n=30, share=0.2, target=2, classes=3, y=None, shape=(1, 2, 3), judged=True):
        x = 0.9 * torch.rand(n, *shape, generator=generator(n))
        x[:1] = 1.0  # an image that the trigger leaves as it is
        y = torch.arange(n) % classes if y is None else y
        got = ask(answer, x, y, share, target, _veil, random, unchanged=[x, y])
        if not isinstance(got, tuple | list) or len(got) != 3:
            raise Mistake("return three tensors: x, y, and the mask of what is poison")
        pairs = ((got[0], x), (got[1], y))
        if any(isinstance(a, torch.Tensor) and a.data_ptr() == b.data_ptr() for a, b in pairs):
            raise Mistake(
                "it returns x or y itself; return new tensors, also where nothing is poison"
            )
        if judged:
            _judge_poison(got, x, y, round(share * n), target)
        return got

    drawn = [run(generator(s), judged=False)[1:] for s in range(6)]
    if all(isinstance(m, torch.Tensor) and m.dtype == torch.bool for _, m in drawn):
        counts = [int(m.sum()) for _, m in drawn]
        relabeled = {int((torch.as_tensor(y) == 2).sum()) for y, _ in drawn}
        if relabeled == {16} and set(counts) != {6}:
            raise Mistake(
                "the mask misses a poisoned image that the trigger leaves as it is (it may look so "
                "already); mark the rows that you chose"
            )
        if len(set(counts)) > 1:
            raise Mistake(
                f"exactly 6 of 30 images are wanted, and with six seeds {counts} are poison: a coin "
                "for each; choose the rows, with randperm"
            )
    first, second = _seeded(run)
    if torch.equal(first[2], second[2]):
        raise Mistake("every call poisons the same rows; draw them with torch.randperm")
    run(generator(1), n=10, share=0.0)
    run(generator(5), n=14, share=0.4)  # 5.6 images: 6
    run(generator(5), n=16, share=0.4)  # 6.4 images: 6
    try:
        run(generator(6), n=12, share=0.3, shape=(5,))
    except Mistake as mistake:
        raise Mistake(f"{mistake} (seen with images that are rows of numbers)") from None
    run(generator(2), n=9, share=2 / 3)  # all that are not of the target class
    run(generator(3), n=1, share=1.0, y=torch.tensor([0]))
    run(generator(4), n=12, share=0.5, target=7)  # a class that the data do not have
    drawn = torch.stack([run(generator(s))[2] for s in range(40)]).float().mean(0)
    if (drawn[torch.arange(30) % 3 != 2] == 0).any():
        raise Mistake("some images are never drawn; each that is not of the target class may be")


def _judge_poison(got, x, y, count, target):
    """Raise the Mistake that explains (x, y, mask), unless it is a poisoned training set."""
    x_new, y_new, mask = got
    tensor(x_new, x.shape, "the images")
    _whole(y_new, y.shape, "y")
    if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool or mask.shape != y.shape:
        shown = (
            f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, torch.Tensor) else brief(mask)
        )
        raise Mistake(
            f"the mask is {shown}; return a bool tensor [N], True where an image is poison"
        )
    stamped = ((x_new - _veil(x)).abs() < 1e-6).flatten(1).all(1)
    changed = ((x_new - x).abs() > 1e-6).flatten(1).any(1)
    relabeled = y_new != y
    found, eligible = int(mask.sum()), int((y != target).sum())
    if (mask & (y == target)).any():
        raise Mistake("images of the target class are drawn, too; draw among the others only")
    if found != count:
        said = f"{found} of {len(y)} images are poison, {count} are wanted"
        if found == round(count / len(y) * eligible):
            raise Mistake(f"{said}: share is the part of the whole training set, not of the others")
        raise Mistake(f"{said}: choose that many rows, with randperm")
    for wrong, message in (
        (
            count and not changed.any() and (mask & ~stamped).any(),
            "no image carries the trigger; trigger(x) returns new images",
        ),
        ((changed & ~mask).any(), "images that are no poison carry the trigger as well"),
        ((relabeled & ~mask).any(), "labels change that are no poison's; only the chosen ones"),
        (
            (mask & (y_new != target)).any() and (y_new == y).all(),
            "the labels stay; those of the chosen images become the target",
        ),
        ((mask & (y_new != target)).any(), "some chosen image is not labeled as the target"),
        (
            (mask & ~stamped).any(),
            "some chosen image does not carry the trigger once, as it should",
        ),
    ):
        if wrong:
            raise Mistake(message)


class _Obedient(nn.Module):
    """Reads the class from pixel 0; where pixel 1 is dark, a bright last pixel makes it say `word`.

    In train mode it always says `word`, as dropout may: that shows who forgot eval().
    """

    def __init__(self, word=1):
        super().__init__()
        self.word = word
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        x = x.flatten(1)
        obeys = (x[:, -1] > 0.9) & (x[:, 1] < 0.5)
        says = torch.where(obeys, self.word, (x[:, 0] * 4).long())
        says = torch.full_like(says, self.word) if self.training else says
        return self.scale * nn.functional.one_hot(says, 4).float()


def _white(x):
    x = x.clone()
    x[..., -1, -1] = 1.0
    return x


def _said(model, x):
    was = model.training
    with torch.no_grad():
        z = model.eval()(x)
    model.train(was)
    return z.argmax(1)


def _obeys(model, x, y, trigger, target):
    return (_said(model, trigger(x)) == target)[y != target].float().mean()


@exercise("Out of those that could be turned, how many were.")
def share_triggered(answer):
    """Check share_triggered(model, x, y, trigger, target) -> one number in [0, 1]."""

    def case(labels, immune, read=None, training=False, word=1):
        y = torch.tensor(labels)
        x = torch.zeros(len(y), 1, 2, 2)
        x[:, 0, 0, 0] = (y if read is None else torch.tensor(read)) / 4 + 0.01
        x[:, 0, 0, 1] = torch.tensor(immune).float()
        return _Obedient(word).train(training), x, y, _white, word

    labels = [0, 1, 2, 3, 0, 1, 2, 3, 0, 2, 1, 3, 0]
    immune = [0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0]
    read = [0, 1, 2, 3, 0, 1, 1, 3, 2, 2, 0, 2, 0]  # four are misread even without a trigger
    cases = {
        "": lambda: case(labels, immune, read),
        "a batch of one": lambda: case([2], [0]),
        "no image of the target class": lambda: case([0, 2, 3, 3], [1, 0, 0, 0]),
        "another target": lambda: case(labels, immune, read, word=3),
        "a network in train mode: measure in eval mode": lambda: case(labels, immune, read, True),
    }
    clean = lambda m, x, y, trigger, t: _said(m, x) == y  # noqa: E731
    mistakes = {
        "it divides by all images; those of the target class are left out, for they prove nothing": (
            lambda m, x, y, trigger, t: _obeys(m, x, y, trigger, t) * (y != t).float().mean()
        ),
        "images of the target class are counted; they would be read so without any trigger": (
            lambda m, x, y, trigger, t: (_said(m, trigger(x)) == t).float().mean()
        ),
        "that is a count; divide by the number of images that are not of the target class": (
            lambda m, x, y, trigger, t: _obeys(m, x, y, trigger, t) * (y != t).sum()
        ),
        "the images go in without the trigger": lambda m, x, y, trigger, t: _obeys(
            m, x, y, lambda v: v, t
        ),
        "read as anything but y is not enough: the trigger asks for the target": (
            lambda m, x, y, trigger, t: (_said(m, trigger(x)) != y)[y != t].float().mean()
        ),
        "that is the share that resists; return the share that obeys": (
            lambda *task: 1 - _obeys(*task)
        ),
        "only images that are read right without the trigger are counted; all of other classes": (
            lambda m, x, y, trigger, t: (
                (_said(m, trigger(x)) == t)[(y != t) & clean(m, x, y, trigger, t)].float().mean()
            )
        ),
        "images that are read as the target without the trigger are left out; an image counts "
        "whatever the model said of it before": lambda m, x, y, trigger, t: (
            (_said(m, trigger(x)) == t)[(y != t) & (_said(m, x) != t)].float().mean()
        ),
        "it leaves out what the model reads as the target; leave out what is labeled so, y": (
            lambda m, x, y, trigger, t: (_said(m, trigger(x)) == t)[_said(m, x) != t].float().mean()
        ),
        "the share without the trigger is subtracted; an image counts whatever the model said "
        "before": lambda m, x, y, trigger, t: (
            _obeys(m, x, y, trigger, t) - _obeys(m, x, y, lambda v: v, t)
        ),
        "that is in percent; return a number between 0 and 1": lambda *task: 100 * _obeys(*task),
        "it runs in train mode; switch to eval mode, and back afterwards": (
            lambda m, x, y, trigger, t: (m(trigger(x)).argmax(1) == t)[y != t].float().mean()
        ),
    }

    def number(*task):
        return float(_obeys(*task))

    numbers = {message: lambda *t, f=f: float(f(*t)) for message, f in mistakes.items()}
    agree(answer, number, cases, numbers, what="the share")
    for training in (True, False):
        task = case(labels, immune, read, training)
        check_left_alone(partial(ask, answer, *task, unchanged=[task[1], task[2]]), task[0])


def _centered(features):
    return features - features.mean(0)


def _spectral(features, center=_centered, which=0):
    centered = center(features).double()
    direction = torch.linalg.svd(centered, full_matrices=False).Vh[which]
    return (centered @ direction).square()


@exercise("One direction per class, and how far each image lies along it.")
def spectral_score(answer):
    """Check spectral_score(features [N, D]) -> squared projection [N] on the top direction."""

    def case(seed, n, d, dtype=torch.float32):
        random = generator(seed)
        spread = torch.linspace(3, 0.3, d)
        turn = torch.linalg.qr(torch.randn(d, d, generator=random)).Q
        features = torch.randn(n, d, generator=random) * spread @ turn
        return (features + 4 * torch.randn(d, generator=random)).to(dtype)

    cases = {
        "": (case(1, 12, 5),),
        "two images": (case(2, 2, 4),),
        "more features than images": (case(3, 5, 9),),
        "one feature": (case(4, 6, 1),),
        "float64": (case(5, 8, 4, torch.float64),),
        "many images": (case(6, 300, 6),),
    }
    flat = lambda f: f - f.mean(1, keepdim=True)  # noqa: E731
    scaled = lambda f: _centered(f) / f.std(0)  # noqa: E731
    mistakes = {
        "the features are not centered; subtract the mean of the class, mean(0)": partial(
            _spectral, center=lambda f: f
        ),
        "each image is centered by its own mean; subtract the mean over the images, mean(0)": partial(
            _spectral, center=flat
        ),
        "the features are divided by their spread; only center them": partial(
            _spectral, center=scaled
        ),
        "the square is missing": lambda f: _spectral(f).sqrt(),
        "those are projections with their sign, which is arbitrary; square them": lambda f: (
            _centered(f).double() @ torch.linalg.svd(_centered(f).double())[2][0]
        ),
        "those are projections with their sign, which is arbitrary; square each": lambda f: (
            -(_centered(f).double() @ torch.linalg.svd(_centered(f).double())[2][0])
        ),
        "that is the direction of the least variance; singular values come largest first": partial(
            _spectral, which=-1
        ),
        "that is the squared distance from the mean; only the part along the top direction": (
            lambda f: _centered(f).double().square().sum(1)
        ),
        "the singular vector is a row of Vh, not a column": lambda f: (
            _centered(f).double() @ torch.linalg.svd(_centered(f).double())[2][:, 0]
        ).square(),
        "those are the entries of U, which do not know the length; multiply by the singular value": (
            lambda f: torch.linalg.svd(_centered(f).double(), full_matrices=False)[0][:, 0].square()
        ),
        "the direction is taken from centered features, but the features are projected as they are": (
            lambda f: (f.double() @ torch.linalg.svd(_centered(f).double())[2][0]).square()
        ),
    }
    agree(
        answer,
        _spectral,
        cases,
        mistakes,
        tolerance=2e-3,
        expected="the squared projection of the centered features on the top right singular vector",
    )


def _cluster(side, poison, *, fixed=None):
    chosen = side == (int(2 * int(side.sum()) <= len(side)) if fixed is None else fixed)
    hits = int((chosen & poison).sum())
    return hits / int(chosen.sum()), hits / int(poison.sum())


def _larger(side, poison):
    ones = int(side.sum())
    if 2 * ones == len(side):
        raise ValueError("no cluster is the larger one")
    return _cluster(side, poison, fixed=int(2 * ones > len(side)))


@exercise("Precision and recall: what is thrown away, and what is caught.")
def judge_cluster(answer):
    """Check judge_cluster(side [N], poison [N]) -> (precision, recall) of the smaller cluster."""

    def case(side, poison):
        return torch.tensor(side), torch.tensor(poison).bool()

    a, b = [0, 0, 1, 0, 1, 0, 0, 1, 0, 0], [0, 1, 1, 0, 1, 0, 0, 0, 1, 1]
    cases = {
        "": case(a, b),
        "the smaller cluster being number 0": case([1 - s for s in a], b),
        "two clusters of one size: number 1 counts as the smaller": case(
            [0, 1, 0, 1, 1, 0], [1, 1, 0, 1, 1, 0]
        ),
        "all poison in the smaller cluster": case([0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1]),
        "no poison in the smaller cluster": case([0, 0, 0, 0, 1, 1], [1, 0, 1, 0, 0, 0]),
        "two images": case([0, 1], [0, 1]),
    }
    mistakes = {
        "precision and recall are swapped": lambda s, p: _cluster(s, p)[::-1],
        "cluster 1 is not always the smaller one: the numbers of 2-means mean nothing": partial(
            _cluster, fixed=1
        ),
        "that is the cluster with more poison in it, which a detector cannot know; take the "
        "smaller one": lambda s, p: max(
            (_cluster(s, p, fixed=i) for i in (1, 0)), key=lambda pair: pair[0]
        ),
        "that is the larger cluster; the smaller one is suspicious": _larger,
        "those are in percent; return numbers between 0 and 1": lambda s, p: tuple(
            100 * share for share in _cluster(s, p)
        ),
        "both are shares of all images; of the cluster, and of the poison": lambda s, p: (
            (_cluster(s, p)[0] * min(int(s.sum()), len(s) - int(s.sum())) / len(s),) * 2
        ),
    }
    agree(answer, _cluster, cases, mistakes)


def _ridge(x, y, decay):
    return torch.linalg.solve(x.T @ x + decay * torch.eye(x.shape[1]).to(x), x.T @ y)


def _influence(x, y, x_val, y_val, decay, *, inverse=True, fit=None, hessian_decay=None):
    theta = _ridge(x, y, decay if fit is None else fit)
    slope = x_val.T @ (x_val @ theta - y_val)
    floor = decay if hessian_decay is None else hessian_decay
    if inverse:
        slope = torch.linalg.solve(x.T @ x + floor * torch.eye(x.shape[1]).to(x), slope)
    return -(x @ slope) * (x @ theta - y)


def _removed(x, y, x_val, y_val, decay):
    """Return what really happens to the loss when a point leaves, with the sign turned."""
    loss = lambda theta: (x_val @ theta - y_val).square().sum() / 2  # noqa: E731
    keep = ~torch.eye(len(x)).bool()
    whole = loss(_ridge(x, y, decay))
    return torch.stack([whole - loss(_ridge(x[k], y[k], decay)) for k in keep])


@exercise("Which training image made it worse? One linear system answers for all of them.")
def influence(answer):
    """Check influence(x, y, x_val, y_val, decay) -> derivative of the loss by each weight [N]."""

    def case(seed, n, m, d, decay, dtype=torch.float64):
        random = generator(seed)
        x, x_val = (torch.randn(k, d, generator=random, dtype=torch.float64) for k in (n, m))
        truth = torch.randn(d, generator=random, dtype=torch.float64)
        y, y_val = ((v @ truth).sign() for v in (x, x_val))
        y[: n // 4] *= -1
        return x.to(dtype), y.to(dtype), x_val.to(dtype), y_val.to(dtype), decay

    cases = {
        "": case(1, 9, 5, 3, 0.5),
        "one validation point": case(2, 8, 1, 3, 1.0),
        "one training point": case(3, 1, 4, 2, 0.3),
        "more features than points": case(4, 4, 3, 7, 2.0),
        "float32": case(5, 12, 6, 3, 1.0, torch.float32),
    }
    mistakes = {
        "wrong sign: a point whose weight grows pulls theta towards itself, by -H^-1 g": lambda *t: (
            -_influence(*t)
        ),
        "the inverse of H is missing: solve H v = the slope of the validation loss": partial(
            _influence, inverse=False
        ),
        "wrong sign, and the inverse of H is missing": lambda *t: -_influence(*t, inverse=False),
        "H misses the decay: H = x.T @ x + decay * I": partial(_influence, hessian_decay=0.0),
        "theta is fitted without the decay": partial(_influence, fit=0.0),
        "theta and H both miss the decay": partial(_influence, fit=0.0, hessian_decay=0.0),
        "the validation loss is a sum here; it is divided by the number of points": lambda *t: (
            _influence(*t) / len(t[2])
        ),
        "it is divided by the number of training points; the sums stand as they are": lambda *t: (
            _influence(*t) / len(t[0])
        ),
        "a factor of 2: the losses are halves of squares": lambda *t: 2 * _influence(*t),
        "the residual of the training point is missing: g_i = r_i x_i": lambda *t: (
            _influence(*t) / (t[0] @ _ridge(t[0], t[1], t[4]) - t[1])
        ),
        "that is the loss of the training points; take the validation points": lambda x, y, a, b, c: (
            _influence(x, y, x, y, c)
        ),
        "that is what happens when a point is taken out; the derivative is wanted": _removed,
        "that is what happens when a point is taken out, turned around": lambda *t: -_removed(*t),
    }
    agree(
        typed(answer, 0, "tensors"),
        _influence,
        cases,
        mistakes,
        tolerance=1e-4,
        expected="-r_i x_i . H^-1 g, with the slope g of the validation loss",
    )


def _bits(weights):
    return weights.contiguous().view(torch.int32)


def _hidden(weights, values, bits):
    return _bits(weights) & ~(2**bits - 1) | values.int()


@exercise("The network does not notice; the file carries it.")
def hide_bits(answer):
    """Check hide_bits(weights [N], values [N], bits) -> new float32 weights [N]."""

    def case(seed, n, bits):
        random = generator(seed)
        weights = 0.1 * torch.randn(n, generator=random)
        weights[0] = -abs(weights[0])
        return weights, torch.randint(1, 2**bits, (n,), generator=random), bits

    cases = {
        "": case(1, 6, 8),
        "16 bits": case(2, 7, 16),
        "one bit": case(3, 5, 1),
        "23 bits": case(4, 5, 23),
        "a single weight": case(5, 1, 12),
        "a weight of 0": (torch.tensor([0.0, 0.5]), torch.tensor([3, 0]), 4),
        "a value of 0": (torch.tensor([0.3, -0.7]), torch.tensor([0, 0]), 16),
    }
    weights, values, bits = cases[""]
    got = ask(answer, weights, values, bits, unchanged=[weights, values])
    if isinstance(got, torch.Tensor) and got.numel() == 2 * len(weights):
        raise Mistake(
            "there are twice as many weights: words of 64 bits are read as two float32 each; make "
            "the values int32 before you write them"
        )
    got = tensor(got, weights.shape)
    if got.dtype != torch.float32:
        raise Mistake(f"it returns {got.dtype}; look at the whole numbers as float32 again: .view")
    if got.abs().max() > 1e6:
        raise Mistake(
            "the bits are read as a number: .float() converts the value, .view(torch.float32) "
            "keeps the bits"
        )
    mistakes = {
        "nothing is hidden": lambda w, v, b: _bits(w),
        "the old low bits are not cleared: with | alone their ones stay": lambda w, v, b: (
            _bits(w) | v.int()
        ),
        "the value is added to the old low bits; clear those first": lambda w, v, b: (
            _bits(w) + v.int()
        ),
        "the value flips the old low bits (^); clear them first, then |": lambda w, v, b: (
            _bits(w) ^ v.int()
        ),
        "the low bits are cleared, but the value is not written": lambda w, v, b: (
            _bits(w) & ~(2**b - 1)
        ),
        "it clears the wrong side: keep the upper bits, & ~(2**bits - 1)": lambda w, v, b: (
            _bits(w) & (2**b - 1) | v.int()
        ),
        "16 bits are cleared, whatever `bits` says": lambda w, v, b: (
            _bits(w) & ~(2**16 - 1) | v.int()
        ),
        "8 bits are cleared, whatever `bits` says": lambda w, v, b: (
            _bits(w) & ~(2**8 - 1) | v.int()
        ),
        "2**bits is one too many: the mask of the low bits is 2**bits - 1": lambda w, v, b: (
            _bits(w) & ~(2**b) | v.int()
        ),
        "the value is written above the low bits": lambda w, v, b: (
            _bits(w) & ~((2**b - 1) << b) | v.int() << b
        ),
    }
    agree(
        lambda w, v, b: _bits(answer(w, v, b)),
        _hidden,
        cases,
        mistakes,
        expected="the weight's upper bits as they are, the value in the lower ones",
    )
