"""Where a sticker may be: masks [1, H, W] of ones and zeros for `attacks.eot_pgd` (lecture 10)."""

import torch


def bars(height, width, rows=((0.08, 0.32), (0.68, 0.92)), columns=(0.08, 0.92)):
    """Return a mask [1, H, W] of bars, in shares of the sides: two, above and below a sign's word.

    Raises ValueError for a bar of no pixel. Source: Eykholt et al. 2018; lecture 10.
    """
    mask = torch.zeros(1, height, width)
    left, right = (round(share * width) for share in columns)
    for top, bottom in rows:
        part = mask[:, round(top * height) : round(bottom * height), left:right]
        if not part.numel():
            raise ValueError(f"rows, columns: a bar of no pixel in {height} x {width}; widen it")
        part.fill_(1)
    return mask


def glasses(height, width, thickness=0.05):
    """Return a mask [1, H, W] of a pair of glasses: two rings, a bridge and two temples.

    thickness: of the frame, as a share of the width. Raises ValueError where it is no share in
    (0, .2]. Source: the frames of Sharif et al. 2016; lecture 10.
    """
    if not 0 < thickness <= 0.2:
        raise ValueError(f"thickness: {thickness!r} is outside (0, 0.2]")
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    x, y = x / width, y / height
    radius, mask = 0.17, torch.zeros(height, width, dtype=torch.bool)
    for middle in (0.28, 0.72):
        away = ((x - middle) ** 2 + (y - 0.42) ** 2).sqrt()
        mask |= (away - radius).abs() <= thickness / 2
    level = (y - 0.40).abs() <= thickness / 2
    reach = 0.22 - radius  # from a ring to the middle
    mask |= level & (((x - 0.5).abs() <= reach) | ((x - 0.5).abs() >= 0.22 + radius))
    return mask.float()[None]
