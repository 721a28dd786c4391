"""Adam on distance + c * f: the walk inside every attack of Carlini and Wagner (lecture 07)."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import torch

from .contract import succeeded
from .inputs import logits
from .objectives import OBJECTIVES, margin

# tanh is flat at its ends: a pixel that starts at exactly 0 or 1 could never leave. So it starts
# this much of the way out, half a gray value of 255 at most. (At the usual .999999 a black pixel
# needs hundreds of steps to be seen to move.)
ROOM = 0.999


@dataclass
class Task:
    """What is attacked, and when it has succeeded: the examples x [N, ...] of one search."""

    model: object
    x: torch.Tensor
    y: torch.Tensor
    target: torch.Tensor | None
    objective: str
    confidence: float
    box: SimpleNamespace
    movable: torch.Tensor | None = None  # a mask like x: which pixels may change (None: all)

    def only(self, rows):
        """Return the task of these rows."""
        own = {name: getattr(self, name) for name in ("x", "y", "target", "movable")}
        return replace(self, **{k: v if v is None else v[rows] for k, v in own.items()})

    def pixels(self, w):
        """Return the images [N, ...] that the free variables w stand for."""
        x_adv = self.box.pixels(w)
        return x_adv if self.movable is None else torch.where(self.movable, x_adv, self.x)

    def f(self, z):
        """Return the objective [N]."""
        return OBJECTIVES[self.objective](z, self.y, self.target, self.confidence)

    def won(self, z):
        """Return a mask [N]: the goal is reached, with the confidence asked for."""
        reached = succeeded(z, self.y, self.target)
        return reached & (margin(z, self.y, self.target) <= -self.confidence)


def tanh_box(bounds):
    """Write pixels as a tanh of free variables, the paper's change of variables."""
    lo, hi = bounds
    return SimpleNamespace(
        free=lambda x: torch.atanh(((x - lo) / (hi - lo) * 2 - 1) * ROOM),
        pixels=lambda w: ((w.tanh() + 1) / 2 * (hi - lo) + lo).clamp(lo, hi),  # rounding
        inside=lambda w: w,
    )


def clip_box(bounds):
    """Let the pixels themselves be the variables, and clip them after every step."""
    return SimpleNamespace(
        free=lambda x: x.clone(), pixels=lambda w: w, inside=lambda w: w.clamp(*bounds)
    )


BOXES = {"tanh": tanh_box, "clip": clip_box}


def squared_l2(delta, rows):
    """Return the squared l2 norm [M] of each change."""
    return delta.flatten(1).square().sum(1)


def descend(task, w, c, distance, steps, rate, on_step=None, fits=None):
    """Walk with Adam from w [N, ...] down distance + c * f; return success, its distance, and the end.

    distance: (changes [M, ...], their rows [M]) -> [M]. An example leaves once its cost no longer
    falls (the early abort); where `fits` is given, also at its first success that fits.
    """
    best, end, shown = task.x.clone(), w.clone(), task.x
    least, last = torch.full_like(c, torch.inf), torch.full_like(c, torch.inf)
    rows, part = torch.arange(len(w), device=w.device), task
    m, v = torch.zeros_like(w), torch.zeros_like(w)
    for step in range(1, steps + 1):
        here = w.detach().requires_grad_()
        x_adv = part.pixels(here)
        z = logits(task.model, x_adv)
        away = distance(x_adv - part.x, rows)
        cost = away + c[rows] * part.f(z)
        (gradient,) = torch.autograd.grad(cost.sum(), here)
        x_adv, won = x_adv.detach(), part.won(z)
        won = won & fits(x_adv - part.x, rows) if fits else won
        closer = won & (away < least[rows])
        best[rows[closer]], least[rows[closer]] = x_adv[closer], away[closer].detach()
        if on_step:
            shown = shown.index_copy(0, rows, x_adv)
            on_step(step, shown)
        m, v = m.lerp(gradient, 0.1), v.lerp(gradient.square(), 0.001)
        size = rate * 0.1 ** (step / steps) * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
        w = task.box.inside(w - size * m / (v.sqrt() + 1e-8))
        stay = ~won if fits else torch.ones_like(won)
        if step % max(1, steps // 10) == 0:  # often enough to save, seldom enough to be fair
            stay &= cost.detach() < 0.9999 * last[rows]
            last[rows] = cost.detach()
        if not bool(stay.all()):
            end[rows] = w
            rows, w, m, v = rows[stay], w[stay], m[stay], v[stay]
            part = task.only(rows)
        if not len(rows):
            break
    end[rows] = w
    return best, least, end
