"""A perturbation that survives a look: PGD through random views, behind a mask (lecture 10)."""

import torch

from .contract import attack, derivative, goal_loss
from .inputs import check_count, logits
from .pgd import Ball, size_of_step


@attack
def eot_pgd(
    model,
    x,
    y,
    *,
    eps,
    views,
    mask=None,
    samples=8,
    step_size=None,
    steps=60,
    random_start=False,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Climb the loss of x [N, C, H, W] averaged over random views, inside the linf ball.

    views: (images [M, C, H, W], generator) -> as many images, differentiable and drawn anew with
    every call, such as a `physical.Chain`; the model sees only what comes out. samples: views of each
    image at a step. mask: 1 where the perturbation may be and 0 elsewhere, of a shape that
    broadcasts to x, such as [1, H, W]; None: everywhere. eps: largest change of a pixel (1: any
    sticker); step_size: change per step (None: 2.5 * eps / steps); in pixel units of [0, 1].
    Returns the last iterate: a loss over few views is too noisy to choose the best by.
    Raises ValueError for bad input, and for a mask of another shape or other values than 0 and 1.
    Source: Athalye, Engstrom, Ilyas and Kwok 2018, "Synthesizing robust adversarial examples"; the
    mask: Eykholt et al. 2018, "Robust physical-world attacks on deep learning visual classification";
    lecture 10.
    """
    check_count("samples", samples)
    size = size_of_step(step_size, eps, steps, "linf")
    free = allowed(mask, x)
    ball = Ball(x, eps, "linf", bounds)
    ball.low, ball.high = torch.where(free, ball.low, x), torch.where(free, ball.high, x)
    loss = goal_loss(*(None if c is None else c.repeat_interleave(samples) for c in (y, target)))
    x_adv = torch.clamp(ball.random_point(generator), ball.low, ball.high) if random_start else x
    for step in range(1, steps + 1):
        x_adv = x_adv.detach().requires_grad_()
        seen = views(x_adv.repeat_interleave(samples, 0), generator)
        gradient = derivative(loss(logits(model, seen)).sum(), x_adv)
        x_adv = ball.step(x_adv.detach(), gradient, size)
        if on_step:
            on_step(step, x_adv.clone())
    return x_adv


def allowed(mask, x):
    """Return where x [N, ...] may change, as a mask of booleans that broadcasts to it."""
    if mask is None:
        return torch.ones_like(x, dtype=torch.bool)
    mask = torch.as_tensor(mask, device=x.device)
    try:
        fits = torch.broadcast_shapes(mask.shape, x.shape) == x.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"mask: shape {tuple(mask.shape)} does not broadcast to x's {tuple(x.shape)}; pass "
            "(1, H, W), (C, H, W) or x's own shape"
        )
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError("mask: has values other than 0 and 1; pass 1 where x may change, else 0")
    return mask.bool()
