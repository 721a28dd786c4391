"""JPEG as a differentiable step: the cosine transform of 8 x 8 blocks, rounded (lecture 10).

What JPEG throws away it throws away by rounding, and rounding has no slope. The step rounds as JPEG
does and takes the slope of the identity in its place (straight-through, lecture 14).
"""

import math

import torch
import torch.nn.functional as F

from .changes import per_picture

# The quantization tables that the standard prints as examples (ITU-T T.81, 1992, annex K), rows from
# the coarsest pattern to the finest; every common encoder scales them by its quality.
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
TO_YCC = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)


def jpeg(x, quality):
    """Compress pictures x [N, C, H, W] in [0, 1] as JPEG of this quality (1 to 100), and read them.

    Three channels are red, green and blue, and are compressed as brightness and two colors, each at
    full resolution (4:4:4); any other number of channels as that many gray pictures. The result
    has 8 bits a channel, as a file has. Raises ValueError for a quality outside [1, 100].
    Source: ITU-T T.81, 1992; as a step that an attack passes, Shin and Song 2017; lecture 10.
    """
    quality = per_picture("quality", quality, x, 1, 100)
    if not len(x):
        return x
    levels = straight_round(255 * x)
    if x.shape[1] == 3:
        matrix = x.new_tensor(TO_YCC)
        shift = x.new_tensor([0, 128, 128])[:, None, None]
        planes = straight_round(torch.einsum("ij,njhw->nihw", matrix, levels) + shift)
        parts = [_compress(planes[:, :1], quality, LUMINANCE)]
        parts.append(_compress(planes[:, 1:], quality, CHROMINANCE))
        back = torch.einsum("ij,njhw->nihw", torch.linalg.inv(matrix), torch.cat(parts, 1) - shift)
    else:
        back = _compress(levels, quality, LUMINANCE)
    return straight_round(back).clamp(0, 255) / 255


def straight_round(values):
    """Round, with the slope of the identity."""
    return values + (values.round() - values).detach()


def cosines(like):
    """Return the orthonormal cosine transform [8, 8]: row u holds the wave of u half periods."""
    place, wave = torch.arange(8.0), torch.arange(8.0)[:, None]
    rows = torch.cos(math.pi * (2 * place + 1) * wave / 16) / 2
    rows[0] /= math.sqrt(2)
    return rows.to(like)


def table_for(quality, base):
    """Return the quantization table [N, 1, 1, 1, 8, 8] that libjpeg makes of `base` at this quality."""
    percent = torch.where(quality < 50, torch.floor(5000 / quality), 200 - 2 * quality)
    table = percent[..., None, None] * quality.new_tensor(base)
    return torch.floor((table + 50) / 100).clamp(1, 255)


def _compress(planes, quality, base):
    """Transform the 8 x 8 blocks of planes [N, C, H, W], round by the table, and transform back."""
    n, channels, height, width = planes.shape
    below, right = -height % 8, -width % 8
    whole = F.pad(planes, (0, right, 0, below), mode="replicate") - 128
    blocks = whole.unfold(2, 8, 8).unfold(3, 8, 8)  # [N, C, H / 8, W / 8, 8, 8]
    d, table = cosines(planes), table_for(quality, base)
    kept = straight_round(d @ blocks @ d.T / table) * table
    rows = (d.T @ kept @ d).transpose(3, 4)
    back = rows.reshape(n, channels, height + below, width + right)[..., :height, :width]
    return straight_round(back + 128).clamp(0, 255)
