"""Checks of lab 17: a witness, nine accusations, an honest evaluation, tests of masked gradients."""

import copy
import functools
import math

import torch
from torch import nn

from .. import lies
from .core import (
    Mistake,
    _all,
    _near,
    agree,
    ask,
    brief,
    check_left_alone,
    close,
    exercise,
    generator,
    linear_victim,
    tensor,
    typed,
)

# --- the accusations: what excludes a mistake is measured, not looked up

EPS = 0.1


class _Seen(nn.Module):
    """Keeps what the model inside is asked: (images, train mode?, for a gradient?)."""

    def __init__(self, model):
        super().__init__()
        self.model, self.seen = model, []

    def forward(self, x):
        self.seen.append((x.detach().clone(), self.training, torch.is_grad_enabled()))
        return self.model(x)


class _Coin(nn.Module):
    """Tosses a coin for each image, whatever it shows."""

    def forward(self, x):
        flip = torch.rand(len(x)) < 0.5
        return torch.stack([flip, ~flip], 1) * 10.0 + 0 * x.flatten(1)[:, :1]


def _sides(seed=1, n=40):
    """Return a two-class linear model, images [n, 1, 2, 3] well inside the box, and its labels."""
    model, _, _ = linear_victim(seed, classes=2)
    x = 0.3 + 0.4 * torch.rand(n, 1, 2, 3, generator=generator(seed))
    with torch.no_grad():
        model[1].bias -= model(x).mean(0)  # both classes occur
        return model.eval(), x, model(x).argmax(1)


def _report(letter, model, x, y, eps=EPS, bare=None):
    return lies.EVALUATIONS[letter](lies.plain(model, bare), x, y, eps, generator(3))


@functools.cache
def _measured(letter):
    """Return what a few experiments show about one evaluation, by name."""
    model, x, y = _sides()
    other = _Seen(copy.deepcopy(model))
    seen = _Seen(model)
    _report(letter, seen, x, y, bare=other)
    last = next(z for z, _, graph in reversed(seen.seen) if not graph)
    change = last - x if len(last) == len(x) else torch.zeros(1)
    wrong = torch.where(torch.arange(len(y)) % 4 == 0, 1 - y, y)
    mute = lies.Hesitant(model, 1e6)
    return {
        "images": len(last),
        "training": sum(mode for _, mode, _ in seen.seen),
        "calls": len(seen.seen),
        "gradients": sum(graph for *_, graph in seen.seen),
        "low": change.min().item(),
        "far": change.abs().max().item(),
        "wrong": _report(letter, model, x, wrong, 0.0).robust,
        "coin": _report(letter, _Coin().eval(), x, y, bare=_Coin().eval()).robust,
        "mute": max(_report(letter, mute, x, y, bare=model)),
    }


def cannot(letter, mistake):
    """Return why an evaluation does not make this mistake, or None where nothing excludes it."""
    m, all_ = _measured(letter), "an evaluation that does"
    if mistake == "train mode" and not m["training"]:
        return f"a witness inside the victim noted {m['calls']} calls, and all of them in eval mode"
    if mistake == "clip" and (m["low"] < -1e-4 or m["images"] < 40):
        return (
            f"it makes pixels darker, by up to {-m['low']:.3f}; {all_} can only make them brighter"
            if m["images"] == 40
            else "the pictures that its attack hands to the victim may be darker in some pixels "
            "than the clean ones"
        )
    if mistake == "units" and (m["far"] > 0.9 * EPS or m["images"] < 40):
        far = f", by up to {m['far']:.3f}" if m["images"] == 40 else ""
        return f"with eps {EPS} its pictures differ from x{far}: the whole ball is used"
    if mistake == "wrong model" and m["gradients"]:
        return f"it asks the victim itself for a gradient, {m['gradients']} times"
    if mistake == "only right ones" and not (m["wrong"] > 0.99 and m["images"] == 40):
        return (
            "with eps 0 and every fourth label wrong it says that "
            f"{m['wrong']:.0%} hold under attack; {all_} says 100%, without dropping any image"
        )
    if mistake == "lucky draw" and m["coin"] < 0.85:
        return (
            f"of a victim that tosses coins it says that {m['coin']:.0%} hold; {all_} says "
            "nearly all"
        )
    if mistake == "chosen images" and m["images"] == 40:
        return "it was given 40 images, and it judged all 40 under attack"
    if mistake == "refusals" and m["mute"] < 0.5:
        return f"a victim that refuses every image gets {m['mute']:.0%}; {all_} gives it 100%"
    if mistake == "none" and not _honest(m):
        return (
            "it is not honest: on nets of this check, or in what a witness notes, it differs from "
            "an evaluation without a mistake; judge a net whose answer you know"
        )
    return None


def _honest(m):
    fair = m["images"] == 40 and not m["training"] and m["gradients"] and m["far"] > 0.9 * EPS
    known = m["wrong"] < 0.99 and m["coin"] < 0.45 and m["mute"] < 0.5
    return bool(fair and m["low"] < -1e-4 and known)


@exercise("All nine are judged, and the innocent one goes free.")
def accusations(answer):
    """Check accusations() -> {letter: mistake}."""
    said = ask(answer)
    if not isinstance(said, dict):
        raise Mistake(f"return a dict, a mistake for each letter; got {brief(said)}")
    if foreign := [key for key in said if key not in lies.EVALUATIONS]:
        raise Mistake(
            f"there is no evaluation {foreign[0]!r}; the letters are {', '.join(lies.EVALUATIONS)}"
        )
    for letter, mistake in said.items():
        if not isinstance(mistake, str) or mistake not in lies.MISTAKES:
            known = ", ".join(f'"{name}"' for name in lies.MISTAKES)
            raise Mistake(
                f"{letter}: {brief(mistake)} is no mistake of the list; there are {known}"
            )
        if why := cannot(letter, mistake):
            raise Mistake(f'{letter} is not "{mistake}": {why}')
    if missing := [letter for letter in lies.EVALUATIONS if letter not in said]:
        raise Mistake(f"so far so good; still without a mistake: {', '.join(missing)}")


# --- the witness


@exercise("It sees everything and changes nothing.")
def witness(answer):
    """Check witness(model, log) -> a module that answers like the model and keeps a log."""
    for mode in (False, True):
        plain, x, _ = linear_victim(11)
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), plain[1]).train(mode)
        log = []
        seen = ask(answer, model, log)
        if seen is None:
            raise Mistake("it returns None; end the function with a return")
        if not isinstance(seen, nn.Module):
            raise Mistake(f"it returns a {type(seen).__name__}; return an nn.Module")
        if log:
            raise Mistake("the log has entries before anybody asked; write into it in forward")
        if model.training != mode:
            raise Mistake("making a witness changes the model's mode; leave it as it is")
        _first_call(seen, model, log, x, mode)
    _modes(answer)
    _gradients(answer)


def _call(seen, x):
    return tensor(ask(seen, x, unchanged=[x]).detach(), (len(x), 4), "what the witness answers")


def _first_call(seen, model, log, x, mode):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        got = _call(seen, x)
        torch.manual_seed(4)
        wanted = model(x).detach()
    if not log:
        raise Mistake("one call, and the log is still empty; append to the list that is passed")
    if len(log) != 1:
        raise Mistake(f"one call leaves {len(log)} entries; one tuple for each call")
    if not isinstance(log[0], tuple) or len(log[0]) != 3:
        raise Mistake(f"an entry is {brief(log[0])}; it should be a tuple of three")
    if not close(got, wanted):
        raise Mistake("it does not answer like the model; call it once, and return what it says")
    x_seen, trains, wants = log[0]
    if not isinstance(x_seen, torch.Tensor) or not torch.equal(x_seen, x):
        raise Mistake("the first part of an entry should be the images that were asked about")
    if trains is not mode or wants is not False:
        kind = "train" if mode else "eval"
        raise Mistake(
            f"asked about plain images in {kind} mode, the entry ends with ({brief(trains)}, "
            f"{brief(wants)}); it should be ({mode}, False): the *model's* mode (a new module says "
            "True of itself), then x.requires_grad"
        )
    x.zero_()
    if not bool(x_seen.abs().sum() > 0):
        raise Mistake("the log holds the caller's own x, which may change later; keep a copy")


def _modes(answer):
    model, x, _ = linear_victim(12)
    log = []
    seen = answer(model.eval(), log)
    for mode in (True, False):
        seen.train(mode)
        if model.training is not mode:
            raise Mistake(
                "train() and eval() of the witness do not reach the model; keep it as an attribute "
                "of the module (self.model = model)"
            )
        seen(x)
        if log[-1][1] is not mode:
            raise Mistake("it notes the mode of the beginning; look at it in each call")
    if len(log) != 3 - 1:
        raise Mistake(f"two calls leave {len(log)} entries; one for each call")


def _gradients(answer):
    model, x, y = linear_victim(13)
    log = []
    seen = answer(model.eval(), log)
    z, known = (x.clone().requires_grad_() for _ in range(2))
    got = ask(seen, z)
    if not got.requires_grad:
        raise Mistake("no gradient passes through the witness; do not detach what the model gets")
    loss = nn.functional.cross_entropy
    (slope,) = torch.autograd.grad(loss(got, y), z, allow_unused=True)
    if slope is None or not close(slope, torch.autograd.grad(loss(model(known), y), known)[0]):
        raise Mistake("no gradient of x passes through the witness; hand x itself to the model")
    if log[-1][2] is not True:
        raise Mistake("x required a gradient, and the third part of the entry is not True")
    if log[-1][0].requires_grad:
        raise Mistake("the log's images carry the graph; keep x.detach().clone()")
    with torch.no_grad():
        seen(x)
    if log[-1][2] is not False:
        raise Mistake("x required no gradient, and the third part of the entry is not False")


# --- a mistake has to explain an answer in every case, since most answers here are yes or no


def _telling(answer, reference, cases, mistakes, *, tolerance=1e-5, **more):
    """Do what `agree` does, but first look for a mistake that explains the answer in all cases."""

    def made(case):
        args = case() if callable(case) else case
        return tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in args)

    def alike(results, others):
        pairs = [p for a, b in zip(results, others, strict=True) for p in _pairs(a, b)]
        return all(_near(a, b, tolerance) for a, b in pairs)

    try:
        got = [answer(*made(case)) for case in cases.values()]
        same = alike(got, [reference(*made(case)) for case in cases.values()])
    except (Exception, NotImplementedError):  # `agree` tries again, and says what is wrong
        same = True
    for message, slip in {} if same else mistakes.items():
        try:
            other = [slip(*made(case)) for case in cases.values()]
        except Exception:
            continue
        if alike(got, other):
            raise Mistake(message)
    agree(answer, reference, cases, mistakes, tolerance=tolerance, **more)


def _pairs(a, b):
    """Return the parts of two results side by side, or one pair that never agrees."""
    a, b = _all(a), _all(b)
    return list(zip(a, b, strict=True)) if len(a) == len(b) else [(None, 0)]


# --- the worst case of several attacks


def _known(x, replies):
    """Return an attack that knows every image by its pixels, so that any subset may be asked."""

    def attack(model, some, y):
        rows = torch.cdist(some.flatten(1).double(), x.flatten(1).double()).argmin(1)
        return replies[rows].to(some.dtype).clone()

    return attack


def _survivors(
    model, x, y, eps, attacks, clean=True, fair="skip", box=True, keep="all", label="y", wide=1e-6
):
    with torch.no_grad():
        first = model(x).argmax(1)
        marks = y if label == "y" else first
        rows, left = [], (first == marks) if clean else torch.ones_like(y, dtype=torch.bool)
        for attack in attacks:
            x_adv = attack(model, x, y)
            inside = ((x_adv - x).abs() <= eps + wide).flatten(1).all(1)
            if box:
                inside &= ((x_adv >= 0) & (x_adv <= 1)).flatten(1).all(1)
            holds = model(x_adv).argmax(1) == marks
            if fair == "skip":
                holds = holds | ~inside
            elif fair == "all":
                holds = holds if bool(inside.all()) else torch.ones_like(holds)
            elif fair == "clamp":
                holds = model(x_adv.clamp(x - eps, x + eps).clamp(0, 1)).argmax(1) == marks
            rows.append(holds)
        if keep == "all":
            return functools.reduce(torch.logical_and, rows, left)
        if keep == "any":
            return left & functools.reduce(torch.logical_or, rows, ~left | (not rows))
        return left & rows[-1] if rows else left


@exercise("An image holds only if it holds against everybody.")
def survivors(answer):
    """Check survivors(model, x, y, eps, attacks) -> bool [N]."""

    def case(seed, n=24, count=3, cheat=True, double=False, shape=(1, 2, 3)):
        model, _, _ = linear_victim(seed, size=math.prod(shape))
        random = generator(seed)
        x = 0.05 + 0.9 * torch.rand(n, *shape, generator=random)
        with torch.no_grad():
            y = model(x).argmax(1)
        y[::5] = (y[::5] + 1) % 4
        replies = []
        for k in range(count):
            step = EPS * torch.randint(0, 2, x.shape, generator=random).mul(2).sub(1)
            found = (x + step).clamp(0, 1)
            if cheat:
                far = torch.arange(n) % 4 == k % 4
                found[far] = torch.rand(found[far].shape, generator=random)
                out = torch.arange(n) % 7 == k
                x_low = x[out].flatten(1)
                x_low[:, 0] = 0.03
                x[out] = x_low.view_as(x[out])
                found[out] = x[out] - 0.06
            replies.append(found)
        if double:
            model, x, replies = model.double(), x.double(), [r.double() for r in replies]
        model.eval()
        attacks = [_known(x, reply) for reply in replies]
        return lambda: (model, x, y, EPS, attacks)

    def slip(**wrong):
        return lambda *args: _survivors(*args, **wrong)

    def shaped(*args):
        got = answer(*args)
        if isinstance(got, torch.Tensor) and got.ndim == 1 and got.dtype != torch.bool:
            raise Mistake(f"it returns {got.dtype}; return a mask, torch.bool")
        return got

    _telling(
        shaped,
        _survivors,
        {
            "": case(21),
            "another model": case(22, n=40),
            "attacks that play fair": case(23, cheat=False),
            "a single attack": case(24, count=1),
            "no attack at all": case(25, count=0),
            "a batch of one": case(26, n=1, cheat=False),
            "images of another shape": case(27, shape=(3, 4)),
            "double precision": case(28, double=True),
        },
        {
            "images that are wrong without any attack count as holding; they never do": slip(
                clean=False
            ),
            "an attack that leaves the ball or the box counts; what lies outside fools nobody": slip(
                fair="no"
            ),
            "an attack that leaves [0, 1] counts; pixels outside are no picture": slip(box=False),
            "one image that cheats discards the whole attack; each image for itself": slip(
                fair="all"
            ),
            "an image that left the ball is put back into it; it should count as no attempt": slip(
                fair="clamp"
            ),
            "one attack that fails is enough for it; an image must hold under all of them": slip(
                keep="any"
            ),
            "only the last attack counts": slip(keep="last"),
            "it compares with the model's own answer; compare with y": slip(label="own"),
            "those are the images that fall; return those that hold": lambda *a: ~_survivors(*a),
        },
        expected="right without an attack, and under every attack that stays within eps and [0, 1]",
        what="the mask",
    )
    model, x, y, eps, attacks = case(29)()
    check_left_alone(lambda: ask(answer, model, x, y, eps, attacks, unchanged=[x, y]), model)


# --- an evaluation without a lie


class _Watched(nn.Module):
    """Two classes, a plane through the images; refuses to work in train mode, and says so."""

    def __init__(self, weight, bias, scale=1.0, drop=False, flips=None):
        super().__init__()
        self.flips = flips  # images that it reads wrongly, unless they are moved
        self.weight, self.bias = nn.Parameter(weight), bias
        self.scale, self.drop, self.trained = scale, drop, 0

    def forward(self, x):
        self.trained += self.training
        s = self.scale * (x.flatten(1) @ self.weight - self.bias)
        if self.training and self.drop:
            s = s + 3 * self.scale * torch.randn(s.shape, generator=generator(9)).to(s)
        if self.flips is not None:
            same = (x.flatten(1)[:, None] == self.flips.flatten(1)).all(2).any(1)
            s = torch.where(same, -s, s)
        return torch.stack([-s, s], 1)


def _at_worst(model, x, y, eps, box=True, down=True):
    """Return the worst images of a plane: every pixel goes as far as it may, against the label."""
    sign = torch.where(y == 1, -1.0, 1.0).to(x).view(-1, *[1] * (x.ndim - 1))
    step = eps * sign * model.weight.detach().sign().view(x.shape[1:])
    x_adv = x + (step if down else step.clamp(min=0))
    return x_adv.clamp(0, 1) if box else x_adv


def _honest_shares(model, x, y, eps, over="all", times=1.0, of="both", **worst):
    mode = model.training
    model.eval()
    with torch.no_grad():
        clean = model(x).argmax(1) == y
        held = model(_at_worst(model, x, y, times * eps, **worst)).argmax(1) == y
    model.train(mode)
    held = held & clean if of == "both" else held
    share = held.float().mean().item()
    if over == "right":
        share = (held & clean).sum().item() / max(clean.sum().item(), 1)
    return clean.float().mean().item(), share


@exercise("Nothing chosen, nothing left out, and the network as its users get it.")
def honest(answer):
    """Check honest(model, x, y, eps) -> (clean, robust)."""

    def case(
        seed, eps, n=40, edge=False, mode=False, double=False, flip=False, shape=(1, 2, 3), **kinds
    ):
        random = generator(seed)
        weight = torch.randn(math.prod(shape), generator=random)
        x = torch.rand(n, *shape, generator=random)
        x = x.round() * 0.94 + 0.03 * torch.rand(x.shape, generator=random) if edge else x
        x = x if edge else 0.3 + 0.4 * x
        bias = (x.flatten(1) @ weight).median().item() + 0.01
        if double:
            weight, x = weight.double(), x.double()
        model = _Watched(weight, bias, **kinds).train(mode)
        with torch.no_grad():
            y = (x.flatten(1) @ weight > bias).long()
            gap = (_at_worst(model, x, y, eps).flatten(1) @ weight - bias).abs()
            keep = gap > 1e-3  # no rounding decides
            x, y = x[keep], y[keep]
        y[1::6] = 1 - y[1::6]
        model.flips = x[::4] if flip else None
        made = copy.deepcopy(model)
        return lambda: (copy.deepcopy(made), x, y, eps)

    def slip(**wrong):
        return lambda *args: _honest_shares(*args, **wrong)

    def watched(model, x, y, eps):
        got = check_left_alone(lambda: ask(answer, model, x, y, eps, unchanged=[x, y]), model)
        if model.trained:
            raise Mistake(
                f"the network is in train mode in {model.trained} of its calls; model.eval() first, "
                "and give its mode back"
            )
        if isinstance(got, tuple | list) and any(isinstance(v, torch.Tensor) for v in got):
            raise Mistake("return two Python floats; use .item()")
        return got

    _telling(
        watched,
        _honest_shares,
        {
            "": case(31, 0.05),
            "a larger epsilon": case(32, 0.12),
            "a network with dropout that arrives in train mode": case(
                33, 0.05, mode=True, drop=True
            ),
            "an epsilon of 0": case(34, 0.0),
            "images at the edge of the box": case(35, 0.2, edge=True),
            "images of another shape": case(36, 0.03, shape=(3, 4)),
            "a batch of one": case(37, 0.02, n=1),
            "the whole box as a ball": case(38, 1.0),
            "images that are wrong until somebody moves them": case(40, 0.02, flip=True),
            "double precision": case(39, 0.05, double=True),
        },
        {
            "the second is a share of the images that were right; divide by all N": slip(
                over="right"
            ),
            "images that are wrong without an attack can hold under it; they may not": slip(
                of="attack"
            ),
            "epsilon is not in pixels: the change is only .3081 of it": slip(times=lies.STD),
            "the attack uses half of epsilon": slip(times=0.5),
            "the attack uses twice epsilon": slip(times=2.0),
            "the attack leaves [0, 1]": slip(box=False),
            "the change is clipped to [0, 1] as if it were an image, so no pixel gets darker": slip(
                down=False
            ),
            "nothing is attacked": lambda model, x, y, eps: _honest_shares(model, x, y, 0.0),
            "those are counts or percent; return shares between 0 and 1": lambda *a: tuple(
                100 * v for v in _honest_shares(*a)
            ),
            "the second is the share that falls; return the share that holds": lambda *a: (
                _honest_shares(*a)[0],
                1 - _honest_shares(*a)[1],
            ),
            "the two are in the other order: clean first": lambda *a: _honest_shares(*a)[::-1],
        },
        expected="shares of all N images: right without an attack, and right under one as well; on "
        "these planes 20 steps of PGD find the worst image",
        what="the shares",
    )


# --- the difference-of-logits ratio


def _dlr(z, y, sign=-1, places=(0, 2), rival="other", prob=False, width=True):
    z = z.softmax(1) if prob else z
    ordered = z.sort(1, descending=True).values
    own = z.gather(1, y[:, None])[:, 0]
    best = z.scatter(1, y[:, None], -torch.inf).amax(1)
    lead = own - {"other": best, "first": ordered[:, 0], "second": ordered[:, 1]}[rival]
    span = (ordered[:, places[0]] - ordered[:, places[1]]).clamp(min=1e-12)
    return sign * lead / span if width else sign * lead


@exercise("Multiply the logits by a thousand, and nothing changes.")
def dlr_loss(answer):
    """Check dlr_loss(z, y) -> [N]."""

    def case(seed, n=12, classes=6, scale=1.0, double=False):
        z = scale * torch.randn(n, classes, generator=generator(seed))
        y = torch.randint(0, classes, (n,), generator=generator(seed + 1))
        y[: n // 3] = z[: n // 3].argmax(1)
        return (z.double() if double else z), y

    ties = torch.tensor([[2.0, 2.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0], [3.0, 1.0, 1.0, 1.0]])

    def slip(**wrong):
        return lambda *args: _dlr(*args, **wrong)

    _telling(
        typed(answer, 0, "logits"),
        _dlr,
        {
            "": case(41),
            "logits a thousand times as large": case(42, scale=1000.0),
            "three classes": case(43, classes=3),
            "a batch of one": case(44, n=1),
            "ties": (ties, torch.tensor([0, 1, 0])),
            "y the least likely class": (ties[:1], torch.tensor([3])),
            "double precision": case(46, double=True),
        },
        {
            "wrong sign: it is to grow as the attack gets better, so minus": slip(sign=1),
            "it divides by the lead of the first over the second; the third is meant": slip(
                places=(0, 1)
            ),
            "it divides by the distance of the second and the third": slip(places=(1, 2)),
            "it divides by the distance of the first and the last": slip(places=(0, -1)),
            "it divides by the distance of the first and the fourth": slip(places=(0, 3)),
            "the highest of all includes y itself; take the highest of the others": slip(
                rival="first"
            ),
            "the second highest is y's rival only where y is first": slip(rival="second"),
            "those are probabilities; the ratio is one of logits": slip(prob=True),
            "it is not divided by the distance of the first and the third": slip(width=False),
            "that is one number; return one for each image": lambda z, y: _dlr(z, y).mean(),
        },
        tolerance=1e-4,
        expected="-(z_y - the highest other) / (the highest - the third highest)",
        what="the loss",
    )
    z, y = case(47)
    z.requires_grad_()
    loss = ask(answer, z, y)
    if not loss.requires_grad:
        raise Mistake("it carries no gradient; an attack has to climb it, so detach nothing")
    (got,) = torch.autograd.grad(loss.sum(), z)
    (wanted,) = torch.autograd.grad(_dlr(z, y).sum(), z)
    if not close(got, wanted, 1e-4):
        raise Mistake("the values are right and the gradient is not; is the divisor detached?")


# --- APGD's rule


def _halve(
    losses, best_before, halved_before, rho, below="<", join="or", then=False, old="best", of="last"
):
    top = torch.maximum(best_before, losses.amax(0))
    climbs = losses[1:] > losses[:-1]
    if of == "start":
        climbs = losses[1:] > losses[0]
    elif of == "best":
        climbs = losses[1:] > torch.cummax(losses, 0).values[:-1].maximum(best_before)
    elif of == "ties":
        climbs = losses[1:] >= losses[:-1]
    steps = len(losses) - 1 + (of == "rows")
    rises = climbs.sum(0)
    seldom = rises < rho * steps if below == "<" else rises <= rho * steps
    before = best_before if old == "best" else losses[0]
    top = top if old == "best" else losses.amax(0)
    free = halved_before if then else ~halved_before
    stuck = free & (top <= before)
    if of == "free":
        stuck = top <= before
    return {"or": seldom | stuck, "and": seldom & stuck, "first": seldom, "second": stuck}[join]


@exercise("Long steps while it climbs, short ones where it does not.")
def halve(answer):
    """Check halve(losses, best_before, halved_before, rho) -> bool [N]."""

    def case(seed, steps, n=30, rho=0.75, double=False):
        random = generator(seed)
        up = torch.rand(steps, n, generator=random) < torch.linspace(0.3, 1.2, n)
        move = torch.where(up, 1.0, -1.0) * torch.randint(0, 3, (steps, n), generator=random)
        losses = torch.cat([torch.zeros(1, n), move.cumsum(0)])
        best = losses[0] + torch.randint(0, 3, (n,), generator=random)
        halved = torch.rand(n, generator=random) < 0.5
        return (losses.double() if double else losses), best.to(losses), halved, rho

    def slip(**wrong):
        return lambda *args: _halve(*args, **wrong)

    def shaped(*args):
        got = answer(*args)
        if isinstance(got, torch.Tensor) and got.ndim == 1 and got.dtype != torch.bool:
            raise Mistake(f"it returns {got.dtype}; return a mask, torch.bool")
        return got

    rising = torch.arange(5.0)[:, None].repeat(1, 2)
    _telling(
        shaped,
        _halve,
        {
            "": case(51, 8),
            "four steps": case(52, 4, n=60),
            "one step": case(53, 1),
            "another rho": case(54, 6, rho=0.5),
            "a batch of one": case(55, 5, n=1),
            "a climb that stays below the best of before": (
                rising,
                torch.tensor([9.0, 9.0]),
                torch.tensor([False, True]),
                0.75,
            ),
            "a fall, and a climb that does not reach the old best": (
                torch.tensor([0.0, -9.0, -8.0, -7.0, -6.0])[:, None].repeat(1, 2),
                torch.tensor([0.0, 0.0]),
                torch.tensor([False, True]),
                0.75,
            ),
            "double precision": case(57, 8, double=True),
        },
        {
            "exactly a share rho of rises is enough: halve where there are fewer": slip(below="<="),
            "either reason is enough: or, not and": slip(join="and"),
            "the second reason is missing: its best has not improved, and it was not halved "
            "last time": slip(join="first"),
            "the first reason is missing: too few steps raised the loss": slip(join="second"),
            "an image that was halved last time is spared by the second reason, the others are "
            "not; it is the other way round": slip(then=True),
            "who was halved last time gets another period before the second reason counts": slip(
                of="free"
            ),
            "the best of before is best_before, not the loss at the beginning of the period": slip(
                old="first"
            ),
            "a step rises if its loss is above that of the step before, not that of the "
            "beginning": slip(of="start"),
            "a step rises if its loss is above that of the step before; it need not be a new "
            "best": slip(of="best"),
            "a step that leaves the loss as it is does not rise": slip(of="ties"),
            "losses has a row more than there are steps: K rows of differences": slip(of="rows"),
            "those are the images whose step stays": lambda *a: ~_halve(*a),
        },
        expected="fewer than rho * K rises, or: not halved last time, and no new best",
        what="the mask",
    )


# --- the tests of a masked gradient


def _held(model, x, y, attack, eps):
    x_adv = attack(model, x, y, eps).detach()
    with torch.no_grad():
        return (model(x_adv).argmax(1) == y).float().mean().item()


def _alarms(
    model, x, y, epsilons, attack, slack, near="all", strict=True, free=0.0, over="all", last=None
):
    keep = slice(None)
    if over == "right":
        with torch.no_grad():
            keep = model(x).argmax(1) == y
    shares = [_held(model, x[keep], y[keep], attack, eps) for eps in epsilons]
    names, low = [], math.inf
    for k, share in enumerate(shares):
        before = {"all": low, "last": shares[k - 1] if k else math.inf, "first": shares[0]}[near]
        if share > before + slack or (not strict and share >= before + slack):
            names.append("rises")
            break
        low = min(low, share)
    if (shares[-1] if last is None else min(shares)) > free:
        names.append("unbounded")
    return names


def _piled(model, x, y, epsilons, attack, slack):
    """Return the names of the alarms where each attack is given the images of the one before."""
    last = [x]

    def again(model, clean, y, eps):
        last[0] = attack(model, last[0], y, eps)
        return last[0]

    return ["|".join(_alarms(model, x, y, epsilons, again, slack))]


def _by_table(x, shares):
    """Return an attack that leaves a given share of a model's images right, by eps."""

    def attack(model, some, y, eps):
        rows = torch.cdist(some.flatten(1), x.flatten(1)).argmin(1)
        holds = rows < round(shares[round(eps, 6)] * len(x))
        return torch.where(holds.view(-1, 1, 1, 1), some, 1 - some)

    return attack


def _mirror(n=16):
    """Return a model that reads the first pixel, images [n, 1, 2, 3], labels, all of them right."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 2))
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].weight[1, 0], model[1].bias[:] = 10.0, torch.tensor([5.0, 0.0])
    x = 0.05 + 0.4 * torch.rand(n, 1, 2, 3, generator=generator(61))
    x[::2, 0, 0, 0] = 0.55 + 0.4 * torch.rand(n // 2, generator=generator(62))
    return model.eval(), x, (x[:, 0, 0, 0] > 0.5).long()


def _signs(model, x, y, eps, steps=10):
    """Climb the cross-entropy with sign steps, for the check's own nets."""
    if not torch.is_grad_enabled():
        raise Mistake("an attack needs gradients; do not call it under torch.no_grad()")
    x_adv = x.clone()
    for _ in range(steps):
        z = x_adv.detach().requires_grad_()
        (slope,) = torch.autograd.grad(nn.functional.cross_entropy(model(z), y), z)
        x_adv = (x_adv + 2.5 * eps / steps * slope.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return x_adv.detach()


class _Steps(nn.Module):
    """A plane seen through pixels that are rounded, with or without a gradient of their own."""

    def __init__(self, model, sharp):
        super().__init__()
        self.model, self.sharp = model, sharp

    def forward(self, x):
        return self.model(torch.sigmoid(self.sharp * (x - 0.5)))


@exercise("It is silent about the honest net, and rings for the masked ones.")
def alarms(answer):
    """Check alarms(model, x, y, epsilons, attack, slack) -> list of names."""
    grid = [0.0, 0.1, 0.2, 0.4, 1.0]
    model, x, y = _mirror()
    y_off = torch.where(torch.arange(len(y)) % 4 == 3, 1 - y, y)

    def table(*shares, slack=0.0625, labels=y):
        known = dict(zip(grid, shares, strict=True))
        return model, x, labels, grid[: len(shares)], _by_table(x, known), slack

    plane, x2, y2 = _sides(5, 24)
    net, masked = _Steps(plane, 4.0).eval(), _Steps(plane, 4e4).eval()

    def slip(**wrong):
        return lambda *args: _alarms(*args, **wrong)

    def named(*args):
        got = answer(*args)
        if isinstance(got, set | tuple):
            raise Mistake(f"it returns a {type(got).__name__}; return a list of the names")
        return ["|".join(map(str, got))] if isinstance(got, list) else got

    _telling(
        named,
        lambda *a: ["|".join(_alarms(*a))],
        {
            "": table(1, 0.75, 0.5, 0.25, 0),
            "a share that rises": table(1, 0.5, 0.75, 0.25, 0),
            "an attack without bounds that fails": table(1, 0.75, 0.5, 0.25, 0.0625),
            "both": table(1, 0.25, 0.5, 0.75, 0.875),
            "a slow rise": table(1, 0.25, 0.3125, 0.375, 0),
            "a rise of less than the slack": table(1, 0.5, 0.5625, 0.25, 0, slack=0.13),
            "a rise by exactly the slack": table(1, 0.5, 0.5625, 0.25, 0),
            "a rise above the lowest, but not above the first": table(1, 0.5, 0.9375, 0.25, 0),
            "images that are wrong without an attack": table(
                1, 0.75, 0.5, 0.25, 0, labels=y_off, slack=0.13
            ),
            "an honest small net": (net, x2, y2, grid, _signs, 0.05),
            "a small net behind a masked gradient": (masked, x2, y2, grid, _signs, 0.05),
            "an honest plane": (plane, x2, y2, [0.02, 0.1, 1.0], _signs, 0.05),
        },
        {
            "each share is compared with its neighbor, so a slow rise passes; compare with the "
            "lowest of all before it": lambda *a: ["|".join(slip(near="last")(*a))],
            "each share is compared with the first one; compare with the lowest of all before "
            "it": lambda *a: ["|".join(slip(near="first")(*a))],
            "a rise by exactly the slack is none: above by more than that": lambda *a: [
                "|".join(slip(strict=False)(*a))
            ],
            "slack is not used": lambda *a: ["|".join(_alarms(*a[:5], 0.0))],
            "a few images may hold against the last attack; none may": lambda *a: [
                "|".join(slip(free=0.1)(*a))
            ],
            "it asks whether any attack leaves nobody; the last one has to": lambda *a: [
                "|".join(slip(last="any")(*a))
            ],
            "the shares are of the images that were right; divide by all N": lambda *a: [
                "|".join(slip(over="right")(*a))
            ],
            "the names are in another order; rises first": lambda *a: ["|".join(_alarms(*a)[::-1])],
            "each attack begins where the last one ended; attack the clean x": _piled,
            "it never rings": lambda *a: [""],
        },
        expected='"rises" where a share is more than slack above an earlier one, "unbounded" where '
        "the last attack leaves somebody right",
        what="the list",
    )


# --- luck


def _luckier(random_left, gradient_left, level, two=False, tail="at least", turn=False, of="both"):
    only = int((~random_left & gradient_left).sum())
    other = int((random_left & ~gradient_left).sum())
    only, other = (other, only) if turn else (only, other)
    n = only + other if of == "both" else len(random_left)
    first = only if tail == "at least" else only + 1
    chance = sum(math.comb(n, k) for k in range(first, n + 1)) / 2**n
    return bool((2 * chance if two else chance) < level)


@exercise("Luck explains a little, and you know how much.")
def luckier(answer):
    """Check luckier(random_left, gradient_left, level) -> bool."""

    def case(only, other, both=5, neither=20, level=0.05, seed=71):
        random_left = torch.tensor(
            [False] * only + [True] * other + [False] * both + [True] * neither, dtype=torch.bool
        )
        gradient_left = torch.tensor(
            [True] * only + [False] * other + [False] * both + [True] * neither, dtype=torch.bool
        )
        order = torch.randperm(len(random_left), generator=generator(seed))
        return random_left[order], gradient_left[order], level

    def boolean(*args):
        got = answer(*args)
        if isinstance(got, torch.Tensor) or not isinstance(got, bool):
            raise Mistake(f"it returns a {type(got).__name__}; return a Python bool: bool(...)")
        return got

    def slip(**wrong):
        return lambda *args: _luckier(*args, **wrong)

    _telling(
        boolean,
        _luckier,
        {
            "": case(12, 2),
            "the gradient ahead": case(2, 12),
            "a small lead": case(6, 3),
            "five against none": case(5, 0),
            "four against none": case(4, 0),
            "a chance of exactly the level (it is not below)": case(5, 0, level=1 / 32),
            "both alike": case(0, 0),
            "a long even fight": case(31, 29),
            "nine against one at another level": case(9, 1, level=0.01),
            "one image": case(1, 0, both=0, neither=0),
            "a lead in a large test": case(40, 22, both=100, neither=300),
        },
        {
            "it asks who fools more and leaves chance out: a lead of one image is luck": (
                lambda a, b, level: bool((~a & b).sum() > (a & ~b).sum())
            ),
            "the two are exchanged: it rings where the gradient is ahead": slip(turn=True),
            "that is twice the chance, both sides; only a lead of the random search is asked": slip(
                two=True
            ),
            "the chance is of more than b; at least b is meant": slip(tail="more"),
            "images that both fool, or neither, say nothing about who is better; n is b + c": slip(
                of="all"
            ),
            "it tells the opposite": lambda *a: not _luckier(*a),
            "it always says no": lambda *a: False,
        },
        expected="True where P(at least b of b + c fair coins) < level",
        what="the answer",
    )
