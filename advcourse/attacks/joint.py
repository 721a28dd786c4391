"""Fool the model and its detector at once: the attack on a defense that refuses (lecture 15)."""

import math

import torch

from .contract import (
    SUCCESS,
    attack,
    derivative,
    goal_loss,
    hook_for,
    input_gradient,
    succeeded,
)
from .inputs import check_number, logits, unheard
from .objectives import margin
from .pgd import Ball, size_of_step

# Which weight is best differs from image to image: each restart takes the next of these factors.
FACTORS = (1.0, 0.1, 10.0, 0.3, 3.0)


@attack
def joint(
    model,
    x,
    y,
    *,
    eps,
    score,
    threshold,
    weight=1.0,
    steps=100,
    step_size=None,
    random_start=True,
    restarts=1,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Leave the class of x [N, ...] by PGD in the linf ball, and stay below a detector's threshold.

    Descends on max(margin, 0) + weight * max(score(x) - threshold, 0): each part is silent once its
    goal is reached, so that an image pays only for what is still missing, and leaves when both are.
    eps: radius of the ball; step_size: change per step (None: 2.5 * eps / steps); both in pixel
    units of [0, 1]. score: inputs [M, ...] -> [M], differentiable, higher is more suspicious (for
    example `detector.score`); above `threshold` an image is refused. restarts: how many random
    starts, each with another weight (FACTORS); who succeeded sits the others out.
    Returns each example's best iterate: fooled and accepted, else fooled, else the least loss.
    Raises ValueError for bad input.
    Source: Carlini and Wagner 2017, "Adversarial examples are not easily detected"; lecture 15.
    """
    check_score(score, threshold, x)
    check_gradient(model, x[:1], y[:1])
    size = size_of_step(step_size, eps, steps, "linf")
    found = x.clone()
    rank = torch.full((len(x),), -math.inf, dtype=torch.float64, device=x.device)
    for trial in range(restarts):
        left = (rank < 1.5 * SUCCESS).nonzero()[:, 0]  # who is not yet fooled and accepted
        if not len(left):
            break
        factor = weight * FACTORS[trial % len(FACTORS)]
        goal = None if target is None else target[left]
        hidden = Hidden(model, y[left], goal, score, threshold, factor)
        ball = Ball(x[left], eps, "linf", bounds)
        start = ball.random_point(generator) if random_start else ball.x
        x_adv, height = hidden.descend(start, ball, size, steps, hook_for(on_step, found, left))
        better = height > rank[left]
        found[left[better]], rank[left[better]] = x_adv[better], height[better]
    return found


class Hidden:
    """The joint loss of examples with labels y [N], and the walk that climbs down from it."""

    def __init__(self, model, y, target, score, threshold, weight):
        self.model, self.y, self.target = model, y, target
        self.score, self.threshold, self.weight = score, threshold, weight

    def look(self, x, rows):
        """Return the loss and the rank, [M] both, of the iterates x [M, ...] of these rows."""
        y, target = self.y[rows], None if self.target is None else self.target[rows]
        z, over = logits(self.model, x), self.score(x) - self.threshold
        loss = margin(z, y, target).clamp(min=0) + self.weight * over.clamp(min=0)
        won = succeeded(z, y, target)
        return loss, -loss.detach().double() + SUCCESS * (won.double() + (won & (over <= 0)))

    def descend(self, start, ball, step_size, steps, on_step):
        """Walk from `start` [N, ...]; return each example's best iterate and its rank [N]."""
        best, x_adv = start.clone(), start
        height = torch.full((len(start),), -math.inf, dtype=torch.float64, device=start.device)
        rows = torch.arange(len(start), device=start.device)  # who is still on the way
        for step in range(steps + 1):
            x_adv = x_adv.detach().requires_grad_(step < steps)
            loss, rank = self.look(x_adv, rows)
            gradient = derivative(loss.sum(), x_adv) if step < steps else None
            x_adv = x_adv.detach()
            if step:  # the start is no iterate
                better = rank > height[rows]
                best[rows[better]], height[rows[better]] = x_adv[better], rank[better]
                stay = height[rows] < 1.5 * SUCCESS
                rows, x_adv = rows[stay], x_adv[stay]
                gradient = gradient[stay] if step < steps else None
                ball.keep(stay)
            if step == steps or not len(rows):
                return best, height
            x_adv = ball.step(x_adv, -gradient, step_size)
            if on_step:
                on_step(step + 1, best.index_copy(0, rows, x_adv))


def check_gradient(model, x, y):
    """Raise a ValueError where the model has no gradient: that of the score would hide it."""
    if len(x):
        input_gradient(unheard(model), x, goal_loss(y, None))


def check_score(score, threshold, x):
    """Raise a ValueError unless `score` is differentiable, [N, ...] -> [N], and threshold finite."""
    said = "is no number; pass detector.threshold, once it is set"
    check_number("threshold", threshold, math.isfinite, said)
    if not callable(score):
        raise ValueError(f"score: got {score!r}; pass a function of x, for example detector.score")
    if not len(x):
        return
    probe = x[:1].clone().requires_grad_()
    told = score(probe)
    if not isinstance(told, torch.Tensor) or told.shape != (1,):
        got = tuple(told.shape) if isinstance(told, torch.Tensor) else type(told).__name__
        raise ValueError(f"score: returned {got} for 1 input; return one number per input, (N,)")
    if not told.requires_grad:
        raise ValueError(
            "score: does not depend on x through differentiable steps; pass detector.score, "
            "or a smooth stand-in for it"
        )
