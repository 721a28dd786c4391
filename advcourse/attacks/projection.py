"""Nearest points of the norm balls (lecture 02), for every attack that must stay inside one."""

import torch

from .inputs import check_size


def project(delta, eps, norm, low=None, high=None):
    """Return the point of the ball of radius `eps` that is nearest (in l2) to delta [N, ...].

    norm: "linf", "l2", "l1" (eps in pixel units of [0, 1]) or "l0" (eps counts pixels; the largest
    changes stay). low <= 0 <= high, [N, ...] both: the box that the change may not leave either;
    for an image x in [0, 1] that is -x and 1 - x (not with l0). Raises ValueError for any other
    norm, and for a radius below 0.
    Source: lecture 02; l1 by Duchi et al. 2008, "Efficient projections onto the l1-ball".
    """
    check_size("eps", eps, "is no radius; pass a number >= 0, in pixel units")
    flat = delta.flatten(1)
    if low is not None:
        low, high = low.flatten(1), high.flatten(1)
    if norm == "linf":
        flat = flat.clamp(-eps, eps)
        flat = flat if low is None else torch.clamp(flat, low, high)
    elif norm == "l2":
        flat = _project_l2(flat, eps, low, high)
    elif norm == "l1":
        flat = _project_l1(flat, eps, low, high)
    elif norm == "l0" and low is None:
        kept = flat.abs().topk(min(int(eps), flat.shape[1]), dim=1).indices
        flat = torch.zeros_like(flat).scatter(1, kept, flat.gather(1, kept))
    else:
        raise ValueError(f"norm: {norm!r} is not one of linf, l2, l1, l0 (l0 without a box)")
    return flat.view_as(delta)


def _project_l2(flat, eps, low, high):
    # Inside the box the nearest point is a shorter change, clipped: clamp(scale * flat). Clipping
    # leaves some length over, which the pixels that are still free may use; a few rounds settle it.
    length = flat.norm(dim=1, keepdim=True)
    scale = eps / length.clamp(min=max(eps, 1e-12))
    if low is None:
        return flat * scale
    result = torch.clamp(flat * scale, low, high)
    while True:
        clipped = result != flat * scale
        fixed = (result * clipped).square().sum(1, keepdim=True)
        free = (flat * ~clipped).square().sum(1, keepdim=True)
        larger = ((eps**2 - fixed).clamp(min=0) / free.clamp(min=1e-30)).sqrt().clamp(max=1)
        if not (larger > scale * (1 + 1e-6)).any():
            return result
        scale = torch.maximum(scale, larger)
        result = torch.clamp(flat * scale, low, high)


def _project_l1(flat, eps, low, high):
    # Shrink every entry by the one threshold that leaves a total of eps. As the threshold grows, an
    # entry first rests on the box (if it lies beyond), then shrinks, then stays 0: between these
    # corners the total falls in straight lines, so sorting the corners finds the threshold.
    size = flat.abs()
    room = torch.where(flat < 0, -low, high) if low is not None else size
    starts = (size - room).clamp(min=0)
    corners, order = torch.cat([starts, size], 1).sort(dim=1)
    shrinking = torch.cat([torch.ones_like(size), -torch.ones_like(size)], 1).gather(1, order)
    shrinking = shrinking.cumsum(1)  # how many entries shrink right after each corner
    total = torch.minimum(size, room).sum(1, keepdim=True)
    lost = (corners.diff(dim=1) * shrinking[:, :-1]).cumsum(1)
    after = torch.cat([total, total - lost], 1)  # what is left at each corner
    last = (after > eps).sum(1, keepdim=True) - 1  # the last corner that leaves too much
    at = last.clamp(min=0)
    more = (after.gather(1, at) - eps) / shrinking.gather(1, at).clamp(min=1)
    threshold = torch.where(last < 0, torch.zeros_like(more), corners.gather(1, at) + more)
    # In single precision the long sums above are off by 1e-4; what is left of the ball is not.
    for _ in range(2):
        kept = torch.minimum((size - threshold).clamp(min=0), room)
        free = ((kept > 0) & (kept < room)).sum(1, keepdim=True)
        over = (kept.sum(1, keepdim=True) - eps) / free.clamp(min=1)
        threshold = torch.where((last < 0) | (free == 0), threshold, threshold + over)
    kept = torch.minimum((size - threshold).clamp(min=0), room)
    inside = eps / kept.sum(1, keepdim=True).clamp(min=max(eps, 1e-30))
    return flat.sign() * kept * inside


def length(delta, p=2):
    """Return the lp norm [N] of each delta [N, ...], never 0, so that it may divide."""
    return delta.flatten(1).norm(p=p, dim=1).clamp(min=1e-12)


def along(amount, direction):
    """Return amount [N] times direction [N, ...]."""
    return amount.view(-1, *[1] * (direction.ndim - 1)) * direction


def unit(gradient, p=2):
    """Return each gradient [N, ...] at lp length 1; a zero stays zero."""
    # A sure network's gradient can be so small that its squares vanish: first bring it to size 1.
    # Divided, not multiplied by what is 1 / largest: that overflows in half precision.
    flat = gradient.flatten(1)
    largest = flat.abs().amax(1, keepdim=True)
    flat = flat / largest.where(largest > 0, torch.ones_like(largest))
    return (flat / flat.norm(p=p, dim=1, keepdim=True).clamp(min=1)).view_as(gradient)
