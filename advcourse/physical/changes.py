"""What paper, light and lens do to pictures x [N, C, H, W]; every value is a number or one a picture.

All of them are differentiable in x. Pixels are in [0, 1].
"""

import math

import torch
import torch.nn.functional as F

from ..randomness import source_of

WIDEST = 4.0  # sigma of a blur in pixels: what a kernel of 25 pixels holds


def per_picture(name, value, x, low=-math.inf, high=math.inf):
    """Return `value` as a tensor [N, 1, 1, 1]: one number for all, or [N] with one a picture.

    Raises ValueError where x is no batch of pictures, and where a value is missing or out of range.
    """
    if not isinstance(x, torch.Tensor) or x.ndim != 4 or not x.is_floating_point():
        got = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
        raise ValueError(f"x: {got}; pass float pictures of shape (N, C, H, W)")
    try:
        values = torch.as_tensor(value, dtype=x.dtype, device=x.device).flatten()
    except (TypeError, ValueError):
        raise ValueError(f"{name}: {value!r} is no number; pass one, or one a picture") from None
    if len(values) not in (1, len(x)):
        raise ValueError(
            f"{name}: {len(values)} values for {len(x)} pictures; pass one, or one a picture"
        )
    if not bool(((values >= low) & (values <= high)).all()):  # NaN fails, too
        raise ValueError(f"{name}: {value} is outside [{low:g}, {high:g}]")
    return values.expand(len(x)).view(-1, 1, 1, 1)


def rotate(x, degrees, fill=0.5):
    """Turn the pictures counterclockwise by `degrees` about the middle; corners become `fill`."""
    angle = torch.deg2rad(per_picture("degrees", degrees, x, -360, 360)).flatten()
    cos, sin = angle.cos(), angle.sin()
    return _affine(x, torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2), fill)


def scale(x, factor, fill=0.5):
    """Enlarge the pictures by `factor` about the middle, or shrink them where it is below 1."""
    inverse = 1 / per_picture("factor", factor, x, 0.05, 20).flatten()
    return _affine(x, inverse[:, None, None] * torch.eye(2).to(x), fill)


def _affine(x, matrix, fill):
    """Look up each pixel at matrix [N, 2, 2] times its place; outside the picture it is `fill`."""
    x_axis, y_axis = axes(x)
    places = torch.stack(torch.meshgrid(x_axis, y_axis, indexing="xy"), -1)
    # Places in pixels, not in shares of the sides: a rotation must keep right angles in any format.
    half = x.new_tensor([x.shape[3], x.shape[2]]) / 2
    grid = torch.einsum("nij,hwj->nhwi", matrix, places * half) / half
    return look_up(x, grid, fill)


def axes(x):
    """Return the middles of the columns [W] and of the rows [H], from -1 to 1 over the picture."""
    return tuple(((torch.arange(n) + 0.5) * 2 / n - 1).to(x) for n in (x.shape[3], x.shape[2]))


def look_up(x, grid, fill):
    """Return x read at grid [N, H, W, 2] between its pixels, and `fill` where the grid is outside.

    fill: a number, or pictures that broadcast against x.
    """
    seen = F.grid_sample(x, grid, padding_mode="zeros", align_corners=False)
    inside = F.grid_sample(torch.ones_like(x[:, :1]), grid, align_corners=False)
    return seen + (1 - inside) * fill


def brightness(x, by):
    """Add `by` (in pixel units) to every pixel, and clip to [0, 1]: more or less light."""
    return (x + per_picture("by", by, x, -1, 1)).clamp(0, 1)


def contrast(x, factor):
    """Move every pixel away from middle gray by `factor`, and clip to [0, 1]."""
    return (0.5 + per_picture("factor", factor, x, 0, 10) * (x - 0.5)).clamp(0, 1)


def blur(x, sigma):
    """Blur with a Gaussian of width `sigma` in pixels, at most 4; the border goes on as it ends."""
    sigma = per_picture("sigma", sigma, x, 0, WIDEST).flatten()
    radius = math.ceil(3 * sigma.max().item()) if len(x) else 0
    if not radius:
        return x
    away = torch.arange(-radius, radius + 1).to(x)
    weights = torch.exp(-0.5 * (away / sigma.clamp(min=1e-3)[:, None]) ** 2)
    weights = (weights / weights.sum(1, keepdim=True)).view(len(x), -1, 1, 1, 1)
    # A sum of shifted pictures: a convolution with a kernel for each picture takes ten times as long
    # to differentiate.
    padded = F.pad(x, (0, 0, radius, radius), mode="replicate")
    x = sum(weights[:, k] * padded[:, :, k : k + x.shape[2]] for k in range(2 * radius + 1))
    padded = F.pad(x, (radius, radius, 0, 0), mode="replicate")
    return sum(weights[:, k] * padded[..., k : k + x.shape[3]] for k in range(2 * radius + 1))


def noise(x, std, generator=None):
    """Add the sensor's Gaussian noise of standard deviation `std`, and clip to [0, 1]."""
    std = per_picture("std", std, x, 0, 1)
    device = generator.device if generator is not None else x.device
    draw = torch.randn(
        x.shape, generator=source_of(generator, device), device=device, dtype=x.dtype
    )
    return (x + std * draw.to(x.device)).clamp(0, 1)
