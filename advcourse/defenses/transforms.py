"""Change the picture before the network sees it: the transforms of lecture 14.

Each is a module without weights: `nn.Sequential(transform, model)` is the defended model.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..attacks.inputs import check_count, check_number, check_size


class GaussianSmoothing(nn.Module):
    """Blur x [N, C, H, W] with a Gaussian of width `sigma`, in pixels; 0 changes nothing.

    The border is continued by its own pixels. Raises ValueError where sigma is negative.
    Source: the Gaussian filter of image processing; lecture 14.
    """

    def __init__(self, sigma):
        super().__init__()
        check_size("sigma", sigma, "is no width; pass a number >= 0, in pixels")
        self.sigma, self.radius = sigma, math.ceil(3 * sigma)
        away = torch.arange(-self.radius, self.radius + 1, dtype=torch.float32)
        weight = torch.exp(-0.5 * (away / sigma) ** 2) if sigma else torch.ones(1)
        self.register_buffer("kernel", weight / weight.sum())

    def forward(self, x):
        _images(x)
        if not self.sigma:
            return x
        kernel = self.kernel.to(x)
        planes = F.pad(x.flatten(0, 1)[:, None], 4 * [self.radius], mode="replicate")
        rows = F.conv2d(planes, kernel[None, None, None, :])  # a 2-D Gaussian is two 1-D ones
        return F.conv2d(rows, kernel[None, None, :, None]).view_as(x)


class BinaryThreshold(nn.Module):
    """Set each pixel of x [N, ...] to 1 where it is at least `cut`, else to 0; it has no gradient.

    cut: in pixel units of [0, 1]. Raises ValueError where it is outside (0, 1].
    Source: bit-depth reduction to one bit, Xu, Evans and Qi 2018, "Feature squeezing"; lecture 14.
    """

    def __init__(self, cut=0.5):
        super().__init__()
        gray = "is no gray value; pass a number > 0, at most 1"
        check_number("cut", cut, lambda v: 0 < v <= 1, gray)
        self.cut = cut

    def forward(self, x):
        return (x >= self.cut).to(x.dtype)


class RandomResizePad(nn.Module):
    """Shrink each image of x [N, C, H, W] to a random size and place it anywhere on a black canvas.

    smallest: of the random heights in pixels, up to H; the canvas is as large as the image. Every
    image of every pass draws its own size and place, from `seed` on. It is differentiable.
    Raises ValueError where `smallest` is no whole number from 1 to H.
    Source: Xie et al. 2018, "Mitigating adversarial effects through randomization"; lecture 14.
    """

    def __init__(self, smallest=20, seed=0):
        super().__init__()
        check_count("smallest", smallest, "is no height; pass a whole number >= 1")
        self.smallest = smallest
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, x):
        _images(x)
        n, _, height, width = x.shape
        if self.smallest > height:
            raise ValueError(
                f"smallest: {self.smallest} exceeds the images' height of {height}; pass less"
            )
        if not n:
            return x
        size, top, left = torch.rand(3, n, generator=self.generator).to(x)
        tall = self.smallest + (size * (height - self.smallest + 1)).floor()
        wide = (tall * width / height).round()
        top, left = (top * (height - tall + 1)).floor(), (left * (width - wide + 1)).floor()
        # In the units of affine_grid the canvas reaches from -1 to 1. It asks where each pixel of
        # the canvas comes from: the shift is undone first, then the shrinking.
        theta = torch.zeros(n, 2, 3, dtype=x.dtype, device=x.device)
        theta[:, 0, 0], theta[:, 0, 2] = width / wide, (width - wide - 2 * left) / wide
        theta[:, 1, 1], theta[:, 1, 2] = height / tall, (height - tall - 2 * top) / tall
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)


class Thermometer(nn.Module):
    """Write each pixel of x [N, 1, H, W] as a column of `levels` zeros and ones; no gradient.

    Returns [N, levels, H, W]: channel k is 1 where the pixel exceeds k / levels.
    Raises ValueError where `levels` is no count, or x has more than one channel.
    Source: Buckman et al. 2018, "Thermometer encoding: one hot way to resist adversarial examples";
    lecture 14.
    """

    def __init__(self, levels=16):
        super().__init__()
        check_count("levels", levels)
        self.levels = levels

    def forward(self, x):
        return (x > self._marks(x) / self.levels).to(x.dtype)

    def backward(self, x):
        """Return the columns with every step made a ramp: the stand-in for `attacks.BPDA`."""
        return (self.levels * x - self._marks(x)).clamp(0, 1)

    def _marks(self, x):
        _images(x)
        if x.shape[1] != 1:
            raise ValueError(
                f"x: {x.shape[1]} channels; the thermometer takes gray images, shape (N, 1, H, W)"
            )
        return torch.arange(self.levels, dtype=x.dtype, device=x.device)[:, None, None]


def _images(x):
    if x.ndim != 4:
        raise ValueError(f"x: shape {tuple(x.shape)}; pass images of shape (N, C, H, W)")
