"""Checks of lab 05: BIM, random starts, PGD in linf and l2, with a target, over restarts.

The model is linear, so each gradient has a closed form: a check walks the right way and the usual
wrong ones itself, and compares where they end.
"""

from functools import partial

import torch
from torch import nn

from .core import (
    Mistake,
    ask,
    check_left_alone,
    close,
    exercise,
    generator,
    linear_gradient,
    linear_victim,
    tensor,
)

EPS, SIZE, STEPS = 0.3, 0.11, 5


def _image(value):
    return value.view(-1, 1, 1, 1)


def _length(delta):
    return _image(delta.flatten(1).norm(dim=1).clamp(min=1e-12))


def _unit(gradient):
    return gradient / _length(gradient)


def _linf(z, x):
    return torch.clamp(z, x - EPS, x + EPS)


def _l2(z, x):
    return x + (z - x) * (EPS / _length(z - x)).clamp(max=1)


def _surface(z, x):
    return x + EPS * _unit(z - x)


def _batch(z, x):
    return x + (z - x) * min(1, EPS / (z - x).norm().item())


def _box(z, x):
    return z.clamp(0, 1)


def _free(z, x=None):
    return z


def _victim(seed):
    """Return a `linear_victim` with some pixels on the faces of the box."""
    model, x, y = linear_victim(seed)
    x[:, :, 0, 0] = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0])[:, None]
    return model, x, y


def _nobody(z, step):
    return torch.zeros(len(z), dtype=torch.bool)


def _walk(
    gradient,
    x,
    start=None,
    center=None,  # of the ball; None: x, as it should be
    step=torch.sign,
    ball=_linf,
    box=_box,
    size=SIZE,
    steps=STEPS,
    fresh=True,  # a new gradient at every iterate
    onward=True,  # each step begins where the last one ended
    late=False,  # ball and box only once, at the end
    held=_nobody,  # who does not move in step i
):
    """Return the last iterate of a walk uphill; the arguments switch on the usual mistakes."""
    z = start = x if start is None else start
    for i in range(steps):
        base = z if onward else start
        moved = base + size * step(gradient(base if fresh else start))
        if not late or i == steps - 1:
            moved = box(ball(moved, x if center is None else center), x)
        z = torch.where(_image(held(z, i)), z, moved)
    return z


NO_BALL = (
    "it leaves the ball: nothing is projected, or the ball is around the iterate, which moves along; "
    "center it on x"
)
NO_BOX = "some pixels leave [0, 1]: clamp(0, 1) is missing after the step"
# What each wrong walk is told, and how it is walked.
COMMON = {
    "nothing moved": {"steps": 0},
    "only one step is taken: begin each step at the last iterate, not at x": {"onward": False},
    "the gradient of the first step is reused; compute it anew at every iterate": {"fresh": False},
    NO_BALL: {"ball": _free},
    NO_BOX: {"box": _free},
    "it projects only once, at the end; project after every step": {"late": True},
    "wrong sign: it goes down the loss of y; add the step": {"size": -SIZE},
}
LINF = COMMON | {
    "the sign is missing: every pixel moves by step_size": {"step": _free},
    "that is a step of l2 length; use the sign, for linf": {"step": _unit},
    "every step is eps long; use step_size, and eps only for the ball": {"size": EPS},
    "every step is eps / steps long; use the step_size that is passed": {"size": EPS / STEPS},
    "wrong ball: it shortens the change, which is l2; clip each pixel": {"ball": _l2},
}
L2 = COMMON | {
    "the gradient is not divided by its length; use l2_step": {"step": _free},
    "the step is measured over the whole batch; use l2_step": {"step": lambda g: g / g.norm()},
    "that is the step of linf; use l2_step, which has length step_size": {"step": torch.sign},
    "wrong ball: it clips each pixel, which is linf; shorten the change": {"ball": _linf},
    "it pushes changes inside the ball out to its surface; only shorten": {"ball": _surface},
    "the length is that of the whole batch; project each image by its own": {"ball": _batch},
}


def _judge(got, walk, mistakes):
    """Raise the Mistake that explains `got`, unless it is where the right `walk` ends."""
    if close(got, walk(), 1e-4):
        return
    for message, changes in mistakes.items():
        if close(got, walk(**changes), 1e-4):
            raise Mistake(message)
    if got.min() < 0 or got.max() > 1:
        raise Mistake(NO_BOX)
    raise Mistake("the iterates are not the expected ones: gradient, step, projection, clamp")


@exercise("FGSM with its eyes open: it looks again after every step.")
def bim(answer):
    """Check bim(model, x, y, eps, step_size, steps) -> last iterate."""
    model, x, y = _victim(27)
    call = partial(ask, answer, model, x, y, EPS, SIZE, STEPS, unchanged=[x, y])
    got = tensor(check_left_alone(call, model), x.shape)
    _judge(got, partial(_walk, lambda z: linear_gradient(model, z, y), x), LINF)


@exercise("A random place to begin, and the same one whenever you ask for it.")
def random_start(answer):
    """Check random_start(x, eps, generator) -> uniform in the ball and in the box."""
    eps, x = 0.2, torch.full((4, 1, 20, 20), 0.5)
    x[2], x[3] = 0.0, 1.0
    random = generator(5)
    got = tensor(ask(answer, x, eps, random, unchanged=[x]), x.shape)
    second, again = ask(answer, x, eps, random), ask(answer, x, eps, generator(5))
    delta = got - x
    free, size = delta[:2], delta.abs()  # the first two images are far from the box's faces
    spread = free.flatten(1).std(dim=1).min()
    uniform = free.mean().abs() < 0.03 and (free.std() - eps / 3**0.5).abs() < 0.01
    for wrong, message in (
        (torch.equal(got, second), "a second call repeats the first; never seed the generator"),
        (not torch.equal(got, again), "the same seed gives another start; draw from the generator"),
        (got.min() < 0 or got.max() > 1, "some pixels leave [0, 1]: the clamp is missing"),
        (free.min() >= 0 or free.max() <= 0, "the noise has one sign only: use 2 * rand() - 1"),
        (size.max() > eps + 1e-6, f"it moves a pixel by {size.max():.3f} with eps {eps}"),
        ((size[:2] > eps - 1e-6).float().mean() > 0.05, "many pixels sit on the ball's surface"),
        (close(*free), "all images get the same noise; draw a number for each pixel of each"),
        (spread < 0.01, "all pixels of an image get the same number; draw one for each pixel"),
        (not uniform, "not uniform between -eps and eps; use eps * (2 * torch.rand(...) - 1)"),
    ):
        if wrong:
            raise Mistake(message)


@exercise("The attack by which robustness is measured.")
def pgd(answer):
    """Check pgd(model, x, y, eps, step_size, steps, generator) -> last iterate."""
    model, x, y = _victim(12)
    walk, seen = partial(_walk, lambda z: linear_gradient(model, z, y), x), []

    def run(seed, steps=STEPS):
        args = (model, x, y, EPS, SIZE, steps, generator(seed))
        call = partial(ask, answer, *args, unchanged=[x, y])
        return tensor(check_left_alone(call, model), x.shape)

    with model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone())):
        got = run(1)
    if close(got, walk(), 1e-4):
        raise Mistake("it starts at x, which is BIM; start at random_start(x, eps, generator)")
    if not torch.equal(got, run(1)):
        raise Mistake("the same seed gives another result; take all randomness from the generator")
    start = next((z for z in seen if z.shape == x.shape and not close(z, x)), x)
    around = "the ball is around the random start; center it on x: clamp to x - eps, x + eps"
    once = "a step does not begin where the last one ended; draw the random start once"
    last = {"start": seen[-1] if seen else x, "steps": 1}
    _judge(got, partial(walk, start=start), {around: {"center": start}} | LINF | {once: last})
    if (start - x).abs().max() > EPS + 1e-5 or start.min() < 0 or start.max() > 1:
        raise Mistake("the start lies outside the ball or the box; use random_start")
    if close(run(1, steps=0), run(2, steps=0)):
        raise Mistake("with 0 steps every seed gives the same image; it should be the random start")


@exercise("A full step for a whisper of a gradient, none for silence.")
def l2_step(answer):
    """Check l2_step(x_adv, gradient, step_size) -> each image moved by that l2 length."""
    size = 0.9  # far enough that a clamp would show
    for seed, shape in ((12, (5, 1, 2, 3)), (13, (3, 1, 4, 4))):
        x = 0.2 + 0.6 * torch.rand(shape, generator=generator(seed))
        g = torch.randn(shape, generator=generator(seed + 50))
        largest = _image(g.flatten(1).abs().amax(1))
        got, full = tensor(ask(answer, x, g, size, unchanged=[x, g]), x.shape), x + size * _unit(g)
        for end, message in (
            (x - size * _unit(g), "wrong sign: it goes against the gradient; add the step"),
            (full - x, "that is the step alone; add x_adv"),
            (full.clamp(0, 1), "do not clamp here; this is the bare step"),
            (x + size * g, "the gradient is not divided by its length"),
            (x + size * g.sign(), "wrong norm: that is the step of linf; divide by the l2 length"),
            (x + size * g / g.norm(), "the length is that of the whole batch; one for each image"),
            (x + size * g / _length(g) ** 2, "the length misses its square root"),
            (
                x + size * g / largest,
                "the largest |entry| is not the length; divide by that as well",
            ),
        ):
            if close(got, end):
                raise Mistake(message)
        if not close(got, full):
            raise Mistake(f"the steps are not of l2 length {size}, or not along the gradient")
    x, g = torch.full((3, 1, 2, 3), 0.5), torch.randn(3, 1, 2, 3, generator=generator(60))
    got = ask(answer, x, g * _image(torch.tensor([0.0, 1e-20, 1e-30])), size)
    if torch.isnan(got).any():
        raise Mistake("a gradient of zero becomes NaN: 0 / 0; give the divisor a floor above 0")
    if not close(got[:1], x[:1]):
        raise Mistake("a gradient of zero must move nothing")
    if not close(got[1:], (x + size * _unit(g))[1:], 1e-4):
        raise Mistake(
            "a tiny gradient (1e-20, 1e-30) makes a step that is too short: a floor swallows it, or "
            "its squares vanish; divide it by its largest |entry| before you take its length"
        )


@exercise("Another ball, the same walk: step, project, clamp.")
def pgd_l2(answer):
    """Check pgd_l2(model, x, y, eps, step_size, steps) -> last iterate."""
    model, x, y = _victim(116)
    walk = partial(_walk, lambda z: linear_gradient(model, z, y), x, step=_unit, ball=_l2)
    call = partial(ask, answer, model, x, y, EPS, SIZE, STEPS, unchanged=[x, y])
    got = tensor(check_left_alone(call, model), x.shape)
    box_first = walk(ball=lambda z, x: _l2(_box(z, x), x))  # stays in both as well
    if not close(got, box_first, 1e-4):
        _judge(got, walk, L2)
    nn.init.zeros_(model[1].weight)
    if not close(tensor(ask(answer, model, x, y, EPS, SIZE, STEPS), x.shape), x):
        raise Mistake("where the gradient is zero, the image must stay where it is")


@exercise("It goes where you send it, and not a step further.")
def pgd_targeted(answer):
    """Check pgd_targeted(model, x, target, eps, step_size, steps) -> last iterate, held on arrival."""
    model, x, _ = _victim(17)
    target = (model(x).argmax(1) + torch.tensor([0, 1, 2, 3, 1])) % 4  # the first is there already

    def arrived(z, i):
        return model(z).argmax(1) == target

    def late(z, i):
        return arrived(z, i) & (i > 0)

    downhill = lambda z: -linear_gradient(model, z, target)  # noqa: E731
    walk = partial(_walk, downhill, x, held=arrived)
    call = partial(ask, answer, model, x, target, EPS, SIZE, STEPS, unchanged=[x, target])
    got = tensor(check_left_alone(call, model), x.shape)
    uphill = "wrong sign: it climbs the target's loss, so it walks away; subtract the step"
    _judge(
        got,
        walk,
        {
            "nothing moved; an arrival stops its own image only, not the batch": {"steps": 0},
            "it does not stop on arrival: look at each image before each step": {"held": _nobody},
            "an image that is its target already must not move": {"held": late},
            uphill: {"size": -SIZE},
            f"{uphill}; and stop on arrival": {"size": -SIZE, "held": _nobody},
            "the ball and the stop are missing": {"ball": _free, "held": _nobody},
        }
        | LINF,
    )


@exercise("The defender must survive every run; that is the number to report.")
def worst_case(answer):
    """Check worst_case(model, y, runs) -> share of images that are right in every run."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.eye(4))  # the brightest pixel is the class
    y = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
    right = torch.tensor(
        [[1, 1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 0, 0, 1, 1], [1, 1, 1, 0, 1, 1, 1, 1]]
    )
    runs = [torch.eye(4)[(y + 1 - row) % 4].view(8, 1, 2, 2) for row in right]
    got = check_left_alone(partial(ask, answer, model, y, runs, unchanged=[y, *runs]), model)
    if got is None:
        raise Mistake("it returns None; end the function with a return")
    if not isinstance(got, float | torch.Tensor) or torch.as_tensor(got).numel() != 1:
        raise Mistake("return one number for all images and runs together")
    single, share = right.float().mean(1), right.bool().all(0).float().mean().item()
    for value, message in (
        (single.mean(), "that is the average; the attacker keeps the best run, image by image"),
        (single.min(), "that is the worst single run; choose the worst one for each image"),
        (right.bool().any(0).float().mean(), "right in some run is not enough; in every run"),
        (single[-1], "only the last run counts here; combine all of them"),
        (1 - share, "that is the share that falls; return the share that survives"),
        (8 * share, "that is a count; divide by the number of images"),
    ):
        if abs(float(got) - float(value)) < 1e-5:
            raise Mistake(message)
    if abs(float(got) - share) > 1e-5:
        raise Mistake(f"expected {share}, got {float(got)}")
