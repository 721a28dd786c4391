"""Nine evaluations of one victim: eight make a mistake that people make, one makes none (lab 17).

They share `climb`, `answered` and the rule that a victim holds an image if it answers it rightly
without an attack, and answers it rightly or refuses it under one. Which is which is lab 17's puzzle.
"""

import functools
import inspect
import re
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn

from . import models
from .attacks.contract import derivative
from .attacks.inputs import check_inputs, check_size, frozen
from .defended import Defended, load
from .randomness import source_of

STEPS, DRAWS = 15, 5  # of the attack; of a random victim's answer
MEAN, STD = 0.1307, 0.3081  # of MNIST's pixels
MISTAKES = {
    "train mode": "the network is in train mode while it is judged",
    "clip": "the change is clipped as if it were an image",
    "units": "epsilon is meant in pixels, and applied to normalized images",
    "wrong model": "the attack follows the gradient of another network",
    "only right ones": "the share is one of the images that were right, not of all",
    "lucky draw": "an image holds if the luckiest of several draws is right",
    "chosen images": "the test images are chosen by the network itself",
    "refusals": "a refusal counts as right, whatever was refused without an attack",
    "none": "nothing is wrong with it",
}


class Report(NamedTuple):
    """Two shares of the images, in [0, 1]: held without an attack, and under one."""

    clean: float
    robust: float


def plain(model, bare=None):
    """Return any `model`, images [N, ...] -> logits, as a `Defended`; bare: its undefended copy."""
    return Defended("", "17", model, model if bare is None else bare)


class Hesitant(nn.Module):
    """A model that refuses to answer where its first class leads the second by less than `gap`.

    Its logits [N, K + 1] are the model's, and one more for the refusal.
    """

    def __init__(self, model, gap):
        super().__init__()
        self.model, self.gap = model, gap

    def forward(self, x):
        z = self.model(x)
        second = z.topk(2, dim=1).values[:, 1:]
        return torch.cat([z, second + self.gap], 1)


def line_up(images, device="cpu"):
    """Return {name: (Defended, eps)}: the four victims that lab 17 shows to every evaluation."""
    bare = models.load("lenet5", images).to(device)
    with torch.no_grad():
        best = bare(images.x_test[-200:].to(device)).topk(2, dim=1).values
    gap = (best[:, 0] - best[:, 1]).quantile(0.1).item()  # it refuses a tenth
    found = {
        "dropout": (load("no defense, MLP", images, device), 0.1),
        "PGD-trained": (load("PGD-trained, LeNet-5, eps .2", images, device), 0.2),
        "resizing": (load("random resizing and padding", images, device), 0.1),
        "hesitant": (plain(Hesitant(bare, gap), bare), 0.1),
    }
    return {name: (replace(d, name=name), eps) for name, (d, eps) in found.items()}


def code(letter):
    """Return the source of one evaluation, without its docstring. Raises ValueError for no letter."""
    if letter not in EVALUATIONS:
        raise ValueError(f"letter: {letter!r} is not one of {', '.join(EVALUATIONS)}")
    source = inspect.getsource(EVALUATIONS[letter].__wrapped__)
    return re.sub(r'@evaluation\n|    """.*?"""\n', "", source, flags=re.DOTALL).rstrip()


def evaluation(function):
    """Check the arguments of an evaluation, and give both networks their modes back."""

    @functools.wraps(function)
    def guarded(d, x, y, eps, generator=None):
        if not isinstance(d, Defended):
            raise ValueError(f"d: got {type(d).__name__}; pass a Defended, or lies.plain(model)")
        check_inputs(x, y, None, (0.0, 1.0), generator)
        check_size("eps", eps)
        if not len(x):
            raise ValueError("x: no images; pass at least one")
        source = source_of(generator, x.device)
        seed = torch.randint(2**31, (), generator=source, device=source.device).item()
        with torch.random.fork_rng(devices=[]), frozen(d.victim), frozen(d.bare):
            torch.default_generator.manual_seed(seed)  # what layers such as dropout draw from
            return function(d, x.detach(), y, eps, source)

    return guarded


def height(z, y, classes):
    """Return how high the best wrong class stands above the right one, and above a refusal, [N].

    z: logits [N, classes], or [N, classes + 1] where the last one is a refusal. The two are added
    up: a refusal alone would leave the attack without a slope where a wrong class is second.
    """
    own = z.gather(1, y[:, None])
    wrong = z[:, :classes].scatter(1, y[:, None], -torch.inf).amax(1)
    return 2 * wrong - own[:, 0] - torch.cat([own, z[:, classes:]], 1).amax(1)


def climb(model, x, y, eps, classes, generator, inside=None):
    """Raise a wrong class above the right one on x [N, ...], in STEPS steps that become shorter.

    inside: moved -> the nearest allowed images; None: those within eps, with pixels in [0, 1].
    """
    near = inside or (lambda moved: moved.clamp(x - eps, x + eps).clamp(0, 1))
    noise = torch.rand(x.shape, generator=generator, device=x.device).to(x)
    x_adv = near(x + eps * (2 * noise - 1))
    for step in range(STEPS):
        z = x_adv.detach().requires_grad_()
        slope = derivative(height(model(z), y, classes).sum(), z)
        x_adv = near(x_adv + 2 * eps * (1 - step / STEPS) * slope.sign())
    return x_adv.detach()


@torch.no_grad()
def answered(model, x):
    """Return what the model answers to x [N, ...] in several draws, [DRAWS, N]."""
    return torch.stack([model(x).argmax(1) for _ in range(DRAWS)])


@evaluation
def evaluate_a(d, x, y, eps, generator):
    """Return the Report of d's victim on x [N, ...], y [N] within eps (lab 17)."""
    model, refusal = d.victim, d.classes(x)
    before = (answered(model, x) == y).float().mean(0)
    x_adv = climb(model, x, y, eps, refusal, generator)
    after = answered(model, x_adv)
    holds = ((after == y) | (after == refusal)).float().mean(0)
    held = torch.minimum(before, holds).sum()
    return Report(before.mean().item(), (held / before.sum().clamp(min=1)).item())


@evaluation
def evaluate_b(d, x, y, eps, generator):
    """Return the Report of d's victim on x [N, ...], y [N] within eps (lab 17)."""
    model = d.victim.train()  # the attack needs gradients
    refusal = d.classes(x)
    right = (answered(model, x) == y).float().mean(0)
    found = climb(model, x, y, eps, refusal, generator)
    now = answered(model, found)
    held = ((now == y) | (now == refusal)).float().mean(0)
    return Report(right.mean().item(), held.minimum(right).mean().item())


@evaluation
def evaluate_c(d, x, y, eps, generator):
    """Return the Report of d's victim on x [N, ...], y [N] within eps (lab 17)."""
    model, refusal = d.victim, d.classes(x)

    def inside(moved):
        return x + (moved - x).clamp(-eps, eps).clamp(0, 1)

    x_adv = climb(model, x, y, eps, refusal, generator, inside)
    clean = (answered(model, x) == y).float().mean(0)
    told = answered(model, x_adv)
    robust = ((told == y) | (told == refusal)).float().mean(0).minimum(clean)
    return Report(clean.mean().item(), robust.mean().item())


@evaluation
def evaluate_d(d, x, y, eps, generator):
    """Return the Report of d's victim on x [N, ...], y [N] within eps (lab 17)."""
    refusal, scaled = d.classes(x), (x - MEAN) / STD
    low, high = (0 - MEAN) / STD, (1 - MEAN) / STD
    model = lambda z: d.victim((z * STD + MEAN).clamp(0, 1))  # noqa: E731
    inside = lambda z: z.clamp(scaled - eps, scaled + eps).clamp(low, high)  # noqa: E731
    x_adv = climb(model, scaled, y, eps, refusal, generator, inside)
    right = (answered(d.victim, x) == y).float().mean(0)
    said = answered(model, x_adv)
    held = ((said == y) | (said == refusal)).float().mean(0)
    return Report(right.mean().item(), torch.minimum(held, right).mean().item())


@evaluation
def evaluate_e(d, x, y, eps, generator):
    """Return the Report of d's victim on x [N, ...], y [N] within eps (lab 17)."""
    model, refusal = d.victim, d.classes(x)
    clean = (answered(model, x) == y).float().mean(0)
    x_adv = climb(model, x, y, eps, refusal, generator)
    draws = answered(model, x_adv)
    held = ((draws == y) | (draws == refusal)).any(0) & (clean > 0)
    return Report(clean.mean().item(), held.float().mean().item())


@evaluation
def evaluate_f(d, x, y, eps, generator):
    """Return the Report of d's victim on x [N, ...], y [N] within eps (lab 17)."""
    refusal = d.classes(x)
    x_adv = climb(d.victim, x, y, eps, refusal, generator)
    before, after = answered(d.victim, x), answered(d.victim, x_adv)
    right = (before == y).float().mean(0)
    held = ((after == y) | (after == refusal)).float().mean(0)
    return Report(right.mean().item(), torch.minimum(right, held).mean().item())


@evaluation
def evaluate_g(d, x, y, eps, generator):
    """Return the Report of d's victim on x [N, ...], y [N] within eps (lab 17)."""
    refusal, model = d.classes(x), d.bare
    x_adv = climb(model, x, y, eps, refusal, generator)
    right = (answered(d.victim, x) == y).float().mean(0)
    seen = answered(d.victim, x_adv)
    held = ((seen == y) | (seen == refusal)).float().mean(0)
    return Report(right.mean().item(), held.minimum(right).mean().item())


@evaluation
def evaluate_h(d, x, y, eps, generator):
    """Return the Report of d's victim on x [N, ...], y [N] within eps (lab 17)."""
    model, refusal = d.victim, d.classes(x)
    with torch.no_grad():
        sure = model(x).softmax(1).amax(1)
    rows = sure.argsort(descending=True)[: (len(x) + 1) // 2]  # drop what nobody can read
    x, y = x[rows], y[rows]
    right = (answered(model, x) == y).float().mean(0)
    told = answered(model, climb(model, x, y, eps, refusal, generator))
    held = ((told == y) | (told == refusal)).float().mean(0)
    return Report(right.mean().item(), torch.minimum(right, held).mean().item())


@evaluation
def evaluate_i(d, x, y, eps, generator):
    """Return the Report of d's victim on x [N, ...], y [N] within eps (lab 17)."""
    model, refusal = d.victim, d.classes(x)
    before = answered(model, x)
    clean = ((before == y) | (before == refusal)).float().mean(0)
    after = answered(model, climb(model, x, y, eps, refusal, generator))
    robust = ((after == y) | (after == refusal)).float().mean(0)
    return Report(clean.mean().item(), torch.minimum(clean, robust).mean().item())


EVALUATIONS = {letter.upper(): globals()[f"evaluate_{letter}"] for letter in "abcdefghi"}
