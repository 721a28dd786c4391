"""An image for an answer: descend from noise to what the network takes for the goal (lecture 07)."""

import torch
import torch.nn.functional as F

from .contract import SUCCESS, attack, input_gradient, succeeded
from .inputs import logits


@attack
def generate(
    model,
    x,
    y,
    *,
    weight=0.0,
    steps=200,
    step_size=0.05,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Minimize 1/2 ||goal - probabilities||^2 + weight * ||image - x||^2, from noise, by Adam.

    goal: the one-hot vector of `target` (without target: of the likeliest other class than y).
    weight: lambda, how much the image has to look like x [N, ...]; with 0 it is x only in shape.
    step_size: of Adam, in pixel units of [0, 1]. Returns each example's iterate of least cost
    among its successes, or among all where there is none. Raises ValueError for bad input.
    Source: the quadratic goal of the introductions to neural networks (lecture 07); with the
    distance term after Szegedy et al. 2014, "Intriguing properties of neural networks".
    """
    with torch.no_grad():
        z = logits(model, x)
    input_gradient(model, x[:1], lambda z: z)  # which says so where there is none
    aim = target if target is not None else z.scatter(1, y[:, None], -torch.inf).argmax(1)
    goal = F.one_hot(aim, z.shape[1]).to(x.dtype)
    noise = torch.empty(x.shape, dtype=x.dtype, device=generator.device)
    image = noise.uniform_(*bounds, generator=generator).to(x.device).requires_grad_()
    best, least = image.detach().clone(), torch.full_like(z[:, 0], torch.inf, dtype=torch.float64)
    adam = torch.optim.Adam([image], lr=step_size)
    for step in range(steps + 1):
        z = logits(model, image)
        cost = (goal - z.softmax(1)).square().sum(1) / 2
        cost = cost + weight * (image - x).flatten(1).square().sum(1)
        if step:  # the noise is no iterate
            rank = cost.detach().double() - SUCCESS * succeeded(z, y, target)
            best[rank < least] = image.detach()[rank < least]
            least = torch.minimum(rank, least)
        if step == steps:
            return best
        (image.grad,) = torch.autograd.grad(cost.sum(), image)
        adam.step()
        with torch.no_grad():
            image.clamp_(*bounds)
        if on_step:
            on_step(step + 1, image.detach().clone())
