"""Nearest points of the norm balls (lecture 02), for every attack that must stay inside one."""

import math

import torch


def project(delta, eps, norm):
    """Return the point of the ball of radius `eps` that is nearest (in l2) to delta [N, ...].

    norm: "linf", "l2", "l1" (eps in pixel units of [0, 1]) or "l0" (eps counts pixels; the largest
    changes stay). Raises ValueError for any other norm, and for a radius below 0.
    Source: lecture 02; l1 by Duchi et al. 2008, "Efficient projections onto the l1-ball".
    """
    if not (isinstance(eps, int | float) and 0 <= eps < math.inf):
        raise ValueError(f"eps: {eps!r} is no radius; pass a number >= 0, in pixel units")
    flat = delta.flatten(1)
    if norm == "linf":
        flat = flat.clamp(-eps, eps)
    elif norm == "l2":
        length = flat.norm(dim=1, keepdim=True)
        flat = flat * (eps / length.clamp(min=max(eps, 1e-12)))
    elif norm == "l1":
        flat = _project_l1(flat, eps)
    elif norm == "l0":
        kept = flat.abs().topk(min(int(eps), flat.shape[1]), dim=1).indices
        flat = torch.zeros_like(flat).scatter(1, kept, flat.gather(1, kept))
    else:
        raise ValueError(f"norm: {norm!r} is not one of linf, l2, l1, l0")
    return flat.view_as(delta)


def _project_l1(flat, eps):
    # Shrink every entry by the one threshold that leaves a total of eps; sorting finds it.
    size = flat.abs()
    ordered = size.sort(dim=1, descending=True).values
    count = torch.arange(1, size.shape[1] + 1, device=flat.device, dtype=flat.dtype)
    excess = (ordered.cumsum(1) - eps) / count
    kept = (ordered > excess).sum(1, keepdim=True).clamp(min=1)
    threshold = excess.gather(1, kept - 1).clamp(min=0)
    return flat.sign() * (size - threshold).clamp(min=0)
