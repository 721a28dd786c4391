"""Checks of lab 14: four transforms, the gradient past one without, random victims, distillation.

Smoothing is compared with a sum written out in two dimensions, gradients with closed forms.
"""

import torch
import torch.nn.functional as F
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


def _named(got, cases, tolerance=1e-5):
    """Raise the Mistake of the first case (what a wrong answer returns, message) that `got` is."""
    for wrong, message in cases:
        if wrong.shape == got.shape and close(got, wrong, tolerance):
            raise Mistake(message)


def _gauss(x, sigma, mode="replicate", power=2, half=0.5, normalized=True):
    """Return x [N, C, H, W] blurred, by a sum over all neighbors up to 9 pixels away."""
    side = range(-9, 10)
    padded = F.pad(x, 4 * [9], mode=mode)
    (height, width), result, total = x.shape[2:], torch.zeros_like(x), 0.0
    for i in side:
        for j in side:
            weight = 2.718281828 ** (-half * (i * i + j * j) / sigma**power)
            result += weight * padded[:, :, 9 + i : 9 + i + height, 9 + j : 9 + j + width]
            total += weight
    return result / total if normalized else result


@exercise("A blur that keeps the light: the weights sum to 1, and the border is no cliff.")
def smooth(answer):
    """Check smooth(x, sigma) -> x [N, C, H, W] under a Gaussian that sums to 1, border repeated."""
    x, near = torch.rand(3, 2, 12, 14, generator=generator(1)), 0.01  # beyond 3 sigma is free
    got = ask(answer, x, 1.3, unchanged=[x])
    if isinstance(got, torch.Tensor) and got.ndim == 4 and got.shape[2] < x.shape[2]:
        raise Mistake("the picture shrinks: pad it by the radius before the convolution")
    got, wanted = tensor(got, x.shape), _gauss(x, 1.3)
    mixed = _gauss(x.mean(1, keepdim=True), 1.3).expand_as(x)
    cases = (
        (_gauss(x, 1.3, power=1), "it divides by sigma; divide by sigma squared"),
        (_gauss(x, 1.3, half=1), "the 1/2 in the exponent is missing"),
        (_gauss(x, 1.3, normalized=False), "a white picture gets brighter: divide by the sum"),
        (_gauss(x, 1.3, "constant"), 'the border fades to black: pad by mode="replicate"'),
        (mixed, "it mixes the channels; blur each on its own: x.flatten(0, 1)[:, None]"),
        (2 * mixed, "it mixes the channels; blur each on its own: x.flatten(0, 1)[:, None]"),
        (x, "nothing changed"),
    )
    if not close(got, wanted, near):
        _named(got, cases, near)
        raise Mistake(
            "the weights are no Gaussian of this sigma: exp(-0.5 * d**2 / sigma**2) for the "
            "distances d from -radius to radius, along the rows and along the columns"
        )
    if not close(tensor(ask(answer, x, 2.5), x.shape), _gauss(x, 2.5), near):
        raise Mistake("right for sigma 1.3, wrong for 2.5: let the radius grow, ceil(3 * sigma)")


@exercise("One bit for each pixel, and no slope anywhere.")
def binarize(answer):
    """Check binarize(x, cut) -> 1.0 where the pixel is at least cut, else 0.0, in x's dtype."""
    x = torch.rand(4, 1, 5, 5, generator=generator(2))
    x[0, 0, 0, :2] = torch.tensor([0.25, 0.75])  # exactly at the cuts
    for cut in (0.25, 0.75):
        got = ask(answer, x, cut, unchanged=[x])
        if isinstance(got, torch.Tensor) and got.dtype != x.dtype:
            raise Mistake(f"the result is {got.dtype}; a network takes {x.dtype}: .to(x.dtype)")
        got, one = tensor(got, x.shape), torch.ones_like(x)
        if close(got, one * (x >= cut)):
            continue
        _named(
            got,
            (
                (one * (x > cut), "a pixel of exactly `cut` counts as 1: use >="),
                (one * (x < cut), "black and white are swapped"),
                (one * (x <= cut), "black and white are swapped"),
                (x.round(), "it rounds, whatever the cut is; compare with `cut`"),
                (x * (x >= cut), "bright pixels keep their gray; set them to 1"),
            ),
        )
        raise Mistake(f"expected 1 where the pixel is at least {cut}, and 0 elsewhere")


@exercise("Small changes of a pixel now flip few channels, or none. And none has a slope.")
def thermometer(answer):
    """Check thermometer(x, levels) -> [N, levels, H, W]: channel k is 1 where x > k / levels."""
    for levels, size in ((4, 5), (6, 3)):
        x = torch.rand(3, 1, size, 4, generator=generator(levels))
        x[0, 0, 0, :4] = torch.tensor([0.0, 0.5, 1.0, 0.3])
        got = ask(answer, x, levels, unchanged=[x])
        if isinstance(got, torch.Tensor) and got.dtype == torch.bool:
            raise Mistake("the result is torch.bool; a network takes floats: .to(x.dtype)")
        got = tensor(got, (len(x), levels, size, 4))
        k = torch.arange(levels).view(-1, 1, 1)
        right = (x > k / levels).float()
        cell = (x * levels).ceil() - 1  # the last channel that is on
        _named(
            got,
            (
                ((x >= k / levels).float(), "a black pixel lights no channel: use >, not >="),
                ((x > (k + 1) / levels).float(), "one level too high: channel 0 asks x > 0"),
                ((x >= (k + 1) / levels).float(), "one level too high: channel 0 asks x > 0"),
                ((cell == k).float(), "that is one-hot; every channel below stays on, too"),
                (right.flip(1), "upside down: channel 0 is the one that lights first"),
                (1 - right, "on and off are swapped: a bright pixel lights many channels"),
                ((levels * x - k).clamp(0, 1), "those are ramps; a thermometer's steps are 0 or 1"),
            ),
        )
        if not close(got, right):
            raise Mistake("expected channel k to be 1 where the pixel exceeds k / levels, else 0")


def _bend(x):
    return 3 * x.square()


def _hard(x):  # another shape than x
    return torch.stack([(x > 0.5).float(), x.round()], 1)


def _soft(x):
    return torch.stack([x.sin(), _bend(x)], 1)


@exercise("Forward the truth, backward a lie that helps: this is BPDA.")
def straight_through(answer):
    """Check straight_through(transform, stand_in, x): transform's value, stand_in's gradient."""
    for transform, stand_in in ((torch.round, _bend), (_hard, _soft), (torch.square, torch.sin)):
        x = (0.1 + 0.8 * torch.rand(4, 3, generator=generator(5))).requires_grad_()
        got = ask(answer, transform, stand_in, x, unchanged=[x])
        values, ramp = transform(x).detach(), stand_in(x)
        exact = tensor(got.detach() if isinstance(got, torch.Tensor) else got, values.shape)
        if close(exact, ramp):
            raise Mistake("forward it is the stand-in; the value has to be transform(x)")
        if not close(exact, values):
            raise Mistake("forward it is not transform(x): what you add to it has to be worth 0")
        pull = 0.5 + torch.rand(values.shape, generator=generator(7))
        (wanted,) = torch.autograd.grad((ramp * pull).sum(), x)
        if not got.requires_grad:
            raise Mistake("no gradient reaches x: detach only what should have none")
        (back,) = torch.autograd.grad((got * pull).sum(), x, allow_unused=True)
        if back is None or not back.any():
            raise Mistake("the gradient is zero: it still comes from transform; detach that one")
        if not close(back, wanted):
            _named(
                back,
                (
                    (pull, "the gradient is that of the identity; take that of stand_in(x)"),
                    (-wanted, "the gradient points backward: it is minus that of stand_in"),
                ),
            )
            if transform is torch.square:
                raise Mistake("transform has a slope of its own here, and it leaks; detach it")
            raise Mistake("the gradient is not that of stand_in at x")


class _Dice(nn.Module):
    """A linear victim whose weights are scaled anew at each pass; remembers images and scales."""

    def __init__(self, model):
        super().__init__()
        self.model, self.random, self.seen = model, generator(8), []

    def forward(self, x):
        scale = 0.2 + 3 * torch.rand(len(x), 1, generator=self.random)
        self.seen.append((x.detach(), scale))
        return self.model(x) * scale


def _gradients(dice, labels, n):
    """Return the closed-form gradients [draws, n, ...] of all that the victim has seen."""
    x, scale = (torch.cat(part) for part in zip(*dice.seen, strict=True))
    weight, bias = dice.model[-1].weight.detach(), dice.model[-1].bias.detach()
    share = ((x.flatten(1) @ weight.T + bias) * scale).softmax(1)
    share[torch.arange(len(x)), labels.repeat(len(x) // n)] -= 1
    return (scale * (share @ weight)).view(-1, n, *x.shape[1:])


@exercise("What is random cancels, what the attack needs stays.")
def eot_gradient(answer):
    """Check eot_gradient(model, x, y, samples) -> the mean gradient of `samples` passes."""
    linear, x, y = linear_victim(9)
    samples = 4
    dice = _Dice(linear)
    got = check_left_alone(lambda: ask(answer, dice, x, y, samples, unchanged=[x, y]), dice)
    got = tensor(got, x.shape)
    if x.requires_grad:
        raise Mistake("it switches on requires_grad of the caller's x; work on x.clone()")
    passes = sum(len(part) for part, _ in dice.seen) / len(x)
    if passes == 1:
        raise Mistake(
            "the model is asked once: the same draw, however often it is counted; call the model "
            "anew for each sample"
        )
    if passes != samples:
        raise Mistake(f"{passes:g} passes for {samples} samples; one fresh pass for each")
    each = _gradients(dice, y, len(x))
    wanted = each.mean(0)
    _named(
        got,
        (
            (each.sum(0), "that is the sum of the gradients; divide by the number of samples"),
            (-wanted, "wrong sign: this is the gradient that lowers the loss"),
            (each[-1], "only the last draw is returned; add them all up"),
            (each[0], "only the first draw is returned; add them all up"),
            (each[-1] / samples, "only the last draw is kept: add up with +="),
            (each.sign().mean(0), "it averages signs; average the gradients, the sign comes later"),
            (wanted / len(x), 'the loss is averaged over the batch; use reduction="sum"'),
        ),
    )
    if not close(got, wanted, 1e-4):
        raise Mistake("expected the mean, over the draws, of the gradient of the summed loss")
    calm = tensor(ask(answer, linear, x, y, 3), x.shape)
    if not close(calm, linear_gradient(linear, x, y), 1e-4):
        raise Mistake("for a victim without randomness it must be the plain gradient")


ROLES = ("defended", "bare", "surrogate")
# How many of 40 examples each role misreads, on clean images and after each attack: all differ.
MISREAD = {None: (4, 1, 2), "bare": (16, 33, 21), "surrogate": (30, 25, 38)}


def _misread(x, counts):
    """Return x [40, ...], where role r misreads the first counts[r]: it looks at pixel r."""
    x = x.clone()
    for r, count in enumerate(counts):
        x[:count, 0, 0, r] = 0
    return x


@exercise("Clean, unaware, adaptive: the three numbers that every defense owes you.")
def three_accuracies(answer):
    """Check three_accuracies(attack, bare, defended, surrogate, x, y) -> (clean, unaware, adaptive)."""
    y, log = torch.ones(40, dtype=torch.int64), []
    truth = torch.ones(40, 1, 2, 3)
    x = _misread(truth, MISREAD[None])
    models = {
        role: lambda z, r=r: torch.stack([1 - z[:, 0, 0, r], z[:, 0, 0, r]], 1)
        for r, role in enumerate(ROLES)
    }

    def attack(model, x, y):
        role = next((name for name, known in models.items() if known is model), "another model")
        log.append((role, x.clone()))
        return _misread(truth, MISREAD.get(role, (40, 40, 40)))

    order = (models["bare"], models["defended"], models["surrogate"])
    got = ask(answer, attack, *order, x, y, unchanged=[x, y])
    if not isinstance(got, tuple | list) or len(got) != 3:
        raise Mistake("return three numbers: clean, unaware, adaptive")
    if any(not torch.equal(start, x) for _, start in log):
        raise Mistake("each attack starts from the clean x, not from what the other one left")
    aims = sorted(role for role, _ in log)
    if "defended" in aims:
        raise Mistake("it attacks `defended`, whose gradient is masked; attack `surrogate`")
    if aims != ["bare", "surrogate"]:
        raise Mistake(f"it attacks {aims or 'nobody'}; attack `bare` once and `surrogate` once")
    table = [[1 - count / 40 for count in MISREAD[key]] for key in (None, "bare", "surrogate")]
    got, wanted = torch.tensor([float(v) for v in got]), torch.tensor([row[0] for row in table])
    if close(got, wanted):
        return
    _named(
        got,
        (
            (1 - wanted, "these are error rates; return accuracies"),
            (wanted[[0, 2, 1]], "unaware and adaptive are swapped: the unaware one knows `bare`"),
            (
                wanted[[0, 0, 0]],
                "three times the accuracy on clean images; judge the attacked ones",
            ),
        ),
    )
    for name, value, row in zip(("clean", "unaware", "adaptive"), got, table, strict=True):
        for role, share in zip(ROLES[1:], row[1:], strict=True):
            if abs(value - share) < 1e-5:
                raise Mistake(f"{name} is measured on `{role}`; only `defended` is ever judged")
    raise Mistake(f"expected {wanted.tolist()}, got {got.tolist()}")


@exercise("Hot labels for a cold student. Now see what cooling does to its gradients.")
def soft_cross_entropy(answer):
    """Check soft_cross_entropy(z, soft, temperature): mean of -sum(soft * log_softmax(z / T))."""
    random = generator(11)
    z = 6 * torch.randn(5, 4, generator=random)
    soft = (2 * torch.randn(5, 4, generator=random)).softmax(1)
    heat = 5.0
    got = tensor(ask(answer, z, soft, heat, unchanged=[z, soft]), ())

    def cost(scores, labels):
        return -(labels * scores.log_softmax(1)).sum(1).mean()

    right = cost(z / heat, soft)
    _named(
        got,
        (
            (cost(z, soft), "the temperature is missing: divide the logits by it"),
            (cost(z * heat, soft), "it multiplies the logits by the temperature; divide"),
            (-right, "the sign is missing: a loss is minus the sum"),
            (right * 5, "that is the sum over the batch; take the mean over the images"),
            (right / 4, "it averages over the classes; sum over them, then the mean over images"),
            (F.cross_entropy(z / heat, soft.argmax(1)), "it keeps only the teacher's first choice"),
            (cost(z / heat, soft.softmax(1)), "the soft labels are probabilities already"),
            (cost(z / heat, (soft / heat).softmax(1)), "the soft labels are probabilities already"),
            (cost(z, soft) / heat, "the temperature belongs inside the softmax, on the logits"),
            (-(soft * (z / heat).softmax(1)).sum(1).mean(), "the logarithm is missing"),
        ),
    )
    if not close(got, right):
        raise Mistake("expected the mean over the images of -sum(soft * log_softmax(z / T))")
    far = torch.tensor([[0.0, 3000.0, 0.0]])
    value = ask(answer, far, torch.tensor([[0.5, 0.25, 0.25]]), 1.0)
    if not torch.isfinite(value) or not close(value, torch.tensor(2250.0), 0.1):
        raise Mistake(
            "far apart, the logits overflow the softmax and its log is infinite; use log_softmax"
        )
    z.requires_grad_()
    result = ask(answer, z, soft, heat)
    if not result.requires_grad:
        raise Mistake("no gradient reaches the logits, so nobody can learn from this loss")
    if not close(torch.autograd.grad(result, z)[0], ((z / heat).softmax(1) - soft).detach() / 25):
        raise Mistake("the value is right, the gradient is not: what is detached on the way?")
