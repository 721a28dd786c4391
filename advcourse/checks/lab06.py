"""Checks of lab 06: planes and their feet, the slopes of all classes, DeepFool, and rho."""

from functools import partial

import torch
from torch import nn

from .core import Mistake, ask, check_left_alone, close, exercise, generator, tensor

NAMES = ("the classes", "the distances")
OFF = "every image is misread, but not by DeepFool's way: foot, overshoot, clamp"
SEED = 28  # of a network on which every mistake ends elsewhere


def _judge(got, wanted, cases, otherwise, tolerance=1e-4):
    """Raise the Mistake of the first of `cases` (value, message) that `got` equals, or `otherwise`."""
    if close(got, wanted, tolerance):
        return
    for value, message in cases:
        if close(got, value, tolerance):
            raise Mistake(message)
    raise Mistake(otherwise)


def _plane(seed, size):
    """Return w [size], b, and points on both sides of the plane."""
    random = generator(seed)
    w = 1.7 * torch.randn(size, generator=random)
    x = torch.randn(6, size, generator=random)
    b = 0.4 - (x @ w).median().item()  # the median lies on one side, the larger half on the other
    return w, b, x


@exercise("The score over the length of the slope: that is all a distance is.")
def hyperplane_distance(answer):
    """Check hyperplane_distance(w, b, x) -> l2 distance [N] to the plane w . x + b = 0."""
    for seed, size in ((1, 2), (2, 7)):
        w, b, x = _plane(seed, size)
        got = tensor(ask(answer, w, b, x, unchanged=[w, x]), (len(x),))
        f = (x * w).sum(1) + b
        cases = [
            (f / w.norm(), "a distance has no sign: take .abs()"),
            (f.abs(), "the score is no distance yet: divide by the length of w"),
            (f, "the score is no distance yet: divide by the length of w, and take .abs()"),
            (f.abs() / w.norm() ** 2, "it divides by the squared length; once is enough here"),
            (f.abs() / w.abs().sum(), "wrong norm: that is the distance in linf; use w's l2 norm"),
            ((f - b).abs() / w.norm(), "b is missing: the plane need not pass through 0"),
        ]
        _judge(got, f.abs() / w.norm(), cases, "expected |w . x + b| / ||w||")


@exercise("The shortest way to a plane is along its slope.")
def hyperplane_foot(answer):
    """Check hyperplane_foot(w, b, x) -> nearest point [N, D] of the plane."""
    for seed, size in ((3, 2), (4, 7)):
        w, b, x = _plane(seed, size)
        got = tensor(ask(answer, w, b, x, unchanged=[w, x]), x.shape)
        f, square = ((x * w).sum(1) + b)[:, None], w.square().sum()
        cases = [
            (x + f / square * w, "wrong way: it moves away from the plane; subtract"),
            (x - f.abs() / square * w, "points on the other side move away: keep the sign of f"),
            (x - 2 * f / square * w, "that is the mirror image; go half as far"),
            (x - f / square.sqrt() * w, "the distance times w: w must have length 1 first"),
            (x - f * w, "divide by the squared length of w"),
            (x - (f - b) / square * w, "b is missing: the plane need not pass through 0"),
            (-f / square * w, "that is the step alone; add x"),
        ]
        off = ((got @ w + b).abs() / w.norm()).max()
        text = "on the plane, but not at the nearest point: go along w"
        if off > 1e-4:
            text = f"a point ends {off:.3f} away from the plane; check with w . x + b = 0"
        _judge(got, x - f / square * w, cases, text)


def _image(value):
    return value.view(-1, 1, 1, 1)


def _leads(z, slopes, y):
    """Return the leads [N, K] of class y over every class, and their slopes [N, K, ...]."""
    rows = torch.arange(len(z))
    return z[rows, y][:, None] - z, slopes[rows, y][:, None] - slopes


def _net(seed, inputs=6, classes=4):
    """Return a small curved network with random weights, in eval mode."""
    random = generator(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, classes))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=random))
    return model.eval()


def _slopes(model, x):
    """Return the slopes [N, K, ...] of a `_net` by the chain rule, without autograd."""
    first, last = model[1], model[3]
    with torch.no_grad():
        bend = 1 - torch.tanh(first(x.flatten(1))).square()
        return ((last.weight * bend[:, None]) @ first.weight).view(len(x), -1, *x.shape[1:])


@exercise("Now you know what every class wants, at every image.")
def jacobian(answer):
    """Check jacobian(model, x) -> gradients [N, K, ...] of the logits."""
    for seed, shape in ((5, (5, 1, 2, 3)), (6, (3, 6))):
        model, x = _net(seed), torch.rand(shape, generator=generator(seed))
        got = check_left_alone(partial(ask, answer, model, x, unchanged=[x]), model)
        wanted = _slopes(model, x)
        if isinstance(got, torch.Tensor) and got.shape == wanted.transpose(0, 1).shape:
            raise Mistake("classes first, images second; stack along dim 1: torch.stack(slopes, 1)")
        got = tensor(got, wanted.shape)
        if x.requires_grad:
            raise Mistake("it switches on requires_grad of the caller's x; work on x.clone()")
        share = model(x).softmax(1).detach().view(len(x), -1, *[1] * (x.ndim - 1))
        mean = (share * wanted).sum(1, keepdim=True)
        cases = [
            (wanted.cumsum(1), "x.grad adds up from class to class; use torch.autograd.grad"),
            (wanted.sum(1, keepdim=True).expand_as(wanted), "it sums over the classes: z[:, k]"),
            (share * (wanted - mean), "those are the slopes of the softmax; use the logits"),
            (wanted - mean, "those are the slopes of log-softmax; use the logits"),
            (wanted / len(x), "it averages over the batch; sum, so that each image has its own"),
            (-wanted, "wrong sign"),
        ]
        _judge(got, wanted, cases, "the slopes differ from the chain rule's on a small network")


def _least(y, table):
    """Return the class other than y [N] with the least entry of table [N, K], as float [N]."""
    return table.scatter(1, y[:, None], torch.inf).argmin(1).float()


@exercise("The runner-up in score is not always the neighbor. Slopes decide.")
def nearest_boundary(answer):
    """Check nearest_boundary(z, slopes, y) -> (class [N], distance [N])."""
    for seed, shape in ((7, (1, 2, 3)), (8, (5,))):
        random = generator(seed)
        z, slopes = (
            torch.randn(12, 4, generator=random),
            torch.randn(12, 4, *shape, generator=random),
        )
        slopes = slopes * (0.2 + 2 * torch.rand(12, 4, *[1] * len(shape), generator=random))
        y, rows = z.argmax(1), torch.arange(12)
        got = ask(answer, z, slopes, y, unchanged=[z, slopes, y])
        if got is None:
            raise Mistake("it returns None; end the function with a return")
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise Mistake("return two tensors: the classes [N] and the distances [N]")
        classes, distances = (tensor(v, (12,), n) for v, n in zip(got, NAMES, strict=True))
        if classes.is_floating_point():
            raise Mistake(
                "the first result should be the classes (int64), the second the distances"
            )

        pick = partial(_least, y)
        lead, slope = _leads(z, slopes, y)
        steep = slope.flatten(2).norm(dim=2)
        steep[rows, y] = 1.0
        far, alone = lead / steep, slopes.flatten(2).norm(dim=2)
        wanted = pick(far)
        if (classes == y).all():
            raise Mistake("the class y itself is the nearest; leave it out: distance torch.inf")
        skipped = wanted - (wanted > y).float()
        cases = [
            (y.float(), "the class y itself is the nearest; leave it out"),
            (pick(lead), "that is the second in score; divide each lead by its slope's length"),
            (pick(-far), "those are the farthest; is the lead z[y] - z[k] negative?"),
            (pick(lead / alone), "the slope of k alone: a lead changes with slopes[y] - slopes[k]"),
            (pick(lead / steep**2), "it divides by the squared length of the slope"),
            (skipped, "numbered among the other classes only: y's place is missing in the count"),
        ]
        _judge(classes.float(), wanted, cases, "some of the classes are not the nearest")
        near = far[rows, classes]
        cases = [
            (-near, "the distances are negative; the lead of y is z[y] - z[k]"),
            (lead[rows, classes], "those are leads; divide by the length of the slope"),
            (near / steep[rows, classes], "it divides by the squared length of the slope"),
        ]
        _judge(
            distances, near, cases, "right classes, wrong distances: lead / ||slope of the lead||"
        )


def _walk(
    model,
    x,
    y,
    overshoot=0.1,
    steps=12,
    nearest=True,  # by distance; False: the second in score
    way=1,
    square=True,  # lead over squared length times slope; False: over length
    whole=True,  # the overshoot lengthens the whole change; False: the last step
    at_foot=True,  # where the lines are drawn; False: beyond the overshoot
    held=lambda done, step: done,
    clamp=(True, True),  # the foot, the image
):
    """Return where DeepFool ends; the arguments switch on the usual mistakes."""
    rows, foot, x_adv = torch.arange(len(x)), x, x
    for step in range(steps):
        base = foot if at_foot else x_adv
        with torch.no_grad():
            done, z = model(x_adv).argmax(1) != y, model(base)
        lead, slope = _leads(z, _slopes(model, base), y)
        length = slope.flatten(2).norm(dim=2).clamp(min=1e-12)
        k = (lead / length if nearest else lead).scatter(1, y[:, None], torch.inf).argmin(1)
        amount = lead[rows, k] / length[rows, k] ** (2 if square else 1)
        change = -way * _image(amount) * slope[rows, k]
        last, foot = (foot if at_foot else x_adv), foot + change
        foot = foot.clamp(0, 1) if clamp[0] else foot
        moved = x + (1 + overshoot) * (foot - x) if whole else last + (1 + overshoot) * change
        moved = moved.clamp(0, 1) if clamp[1] else moved
        x_adv = torch.where(_image(held(done, step)), x_adv, moved)
    return x_adv


# What each wrong walk is told, and how it is walked.
WALKS = {
    "nothing moved": {"steps": 0},
    "it moves once; draw the lines anew and go on until the class changes": {"steps": 1},
    "wrong way: it walks away from the boundary": {"way": -1},
    "it goes to the second in score; the nearest boundary may be another's": {"nearest": False},
    "the step is the distance times a slope whose length is not 1": {"square": False},
    "it stops at the boundary: the overshoot is missing": {"overshoot": 0.0},
    "the overshoot lengthens the last step only; lengthen the whole change": {"whole": False},
    "the lines are drawn at x_adv, so that the last step and its overshoot shrink to nothing; draw "
    "them at the foot": {"at_foot": False},
    "each step is lengthened, but the last one may be minute, and so is its overshoot; lengthen the "
    "whole change": {"at_foot": False, "whole": False},
    "finished images go on moving; hold them with torch.where": {"held": lambda d, i: d & False},
    "an image that is misread from the beginning moves; look before the first step": {
        "held": lambda d, i: d & (i > 0)
    },
    "some pixels leave [0, 1]: clamp the foot and the image": {"clamp": (False, False)},
    "some pixels leave [0, 1]: clamp the image, not only the foot": {"clamp": (True, False)},
}


@exercise("Line by line to the nearest boundary, and a hair beyond it.")
def deepfool(answer):
    """Check deepfool(model, x, y, steps, overshoot) -> images just over the nearest boundary."""
    model, x = _net(SEED), torch.rand(8, 1, 2, 3, generator=generator(SEED))
    with torch.no_grad():
        y = model(x).argmax(1)
    y[0] = (y[0] + 1) % 4  # misread from the beginning
    got = check_left_alone(partial(ask, answer, model, x, y, 12, 0.1, unchanged=[x, y]), model)
    got, walk = tensor(got, x.shape), partial(_walk, model, x, y)
    if close(got, walk(clamp=(False, True)), 1e-4):
        return  # a foot outside the box does no harm where the image is clamped
    cases = [(walk(**changes), message) for message, changes in WALKS.items()]
    with torch.no_grad():
        still = int((model(got).argmax(1) == y).sum())
    _judge(got, walk(), cases, f"{still} of 8 images are still right" if still else OFF)


@exercise("One number for a whole network. Remember what it bounds.")
def robustness(answer):
    """Check robustness(x, x_adv) -> mean over images of ||x_adv - x|| / ||x||."""
    random = generator(10)
    x = torch.rand(5, 1, 2, 3, generator=random) * torch.linspace(0.2, 1, 5).view(-1, 1, 1, 1)
    delta = 0.2 * torch.randn(5, 1, 2, 3, generator=random)
    got = ask(answer, x, x + delta, unchanged=[x])
    if got is None:
        raise Mistake("it returns None; end the function with a return")
    if not isinstance(got, float | torch.Tensor) or torch.as_tensor(got).numel() != 1:
        raise Mistake("return one number, the mean over the images")
    length, size = delta.flatten(1).norm(dim=1), x.flatten(1).norm(dim=1)
    largest = delta.flatten(1).abs().amax(1) / x.flatten(1).abs().amax(1)
    adversarial = (x + delta).flatten(1).norm(dim=1)
    cases = [
        (length.mean(), "the length of the image is missing; divide each change by its ||x||"),
        (
            length.mean() / size.mean(),
            "a ratio of means; divide image by image, then take the mean",
        ),
        (delta.norm() / x.norm(), "that is one length for the whole batch; one for each image"),
        ((length / size).median(), "that is the median; the paper takes the mean"),
        ((length / size).sum(), "that is the sum; take the mean"),
        ((length / size).square().mean(), "the lengths miss their square root"),
        (largest.mean(), "wrong norm: that is linf; use l2"),
        ((length / adversarial).mean(), "divide by the length of x, not of x_adv"),
        ((size / length).mean(), "upside down: the change goes on top"),
    ]
    got = torch.as_tensor(float(got))
    _judge(
        got, (length / size).mean(), cases, f"expected {(length / size).mean():.4f}, got {got:.4f}"
    )
