"""A small change in few passes: the gradient gives the direction, success the length (lecture 07)."""

import math

import torch

from .contract import attack, goal_loss, input_gradient, succeeded
from .inputs import check_number, logits
from .projection import along, length, unit


@attack
def ddn(
    model,
    x,
    y,
    *,
    steps=100,
    step_size=1.0,
    initial_eps=1.0,
    gamma=0.05,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Look for the smallest change of x [N, ...] in l2: step up the loss, then set the length.

    Where an iterate succeeds the length shrinks by the share `gamma`, elsewhere it grows by it.
    step_size: length of the first step (the last is a hundredth of it); initial_eps: the first
    length; both in pixel units of [0, 1]. Returns the smallest success, and x itself where there
    is none or where it was wrong already. Raises ValueError for bad input.
    Source: Rony et al. 2019, "Decoupling direction and norm for efficient gradient-based l2
    adversarial attacks and defenses"; lecture 07.
    """
    share = "is no share of the length; pass one between 0 and 1"
    check_number("gamma", gamma, lambda v: 0 < v < 1, share)
    found, x_adv, loss = x.clone(), x, goal_loss(y, target)
    least = torch.full_like(x.flatten(1)[:, 0], torch.inf)
    eps = torch.full_like(least, initial_eps)
    for step in range(steps + 1):
        if step < steps:
            gradient, z = input_gradient(model, x_adv, loss)
        else:
            with torch.no_grad():
                z = logits(model, x_adv)
        won, delta = succeeded(z, y, target), x_adv - x
        size = delta.flatten(1).norm(dim=1)  # 0 at the start: what is wrong already stays
        closer = won & (size < least)
        found[closer], least = x_adv[closer], torch.where(closer, size, least)
        if step == steps:
            return found
        eps = eps * torch.where(won, 1 - gamma, 1 + gamma)
        share = 0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2
        delta = delta + step_size * share * unit(gradient)
        x_adv = (x + along(eps / length(delta), delta)).clamp(*bounds)
        if on_step:
            on_step(step + 1, x_adv.clone())
