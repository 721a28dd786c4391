"""What a patch is, and how it is pasted: any image, any place, any turn (lecture 10)."""

import math
from dataclasses import dataclass

import torch
from safetensors.torch import load_file, save_file

from ..randomness import source_of
from .inputs import check_count, check_number, one_of

SHAPES = ("square", "round")


@dataclass(frozen=True, eq=False)
class Patch:
    """A sticker: pixels [C, size, size], of which only those in `mask` [size, size] are pasted.

    rotate: by how many degrees, at most, `apply` turns it to either side.
    """

    pixels: torch.Tensor
    mask: torch.Tensor
    rotate: float = 0.0

    @property
    def size(self):
        """How many pixels long a side is."""
        return self.pixels.shape[-1]

    @property
    def area(self):
        """How many pixels of an image it covers (turned, a few more or fewer)."""
        return int(self.mask.sum())

    def apply(self, x, generator=None, at=None, angle=None):
        """Return new images: x [N, C, H, W] with the patch pasted, whole, at a random place of each.

        at: (row, column) of the upper left corner of the upright square that holds it, for all
        images; angle: its turn in degrees, for all images. What is not given is drawn from
        `generator`, afresh for each image. x stays as it is.
        Raises ValueError where the patch does not fit. Source: lecture 10.
        """
        if x.ndim == 4 and x.shape[1] != len(self.pixels):
            raise ValueError(
                f"x: {x.shape[1]} channels, the patch has {len(self.pixels)}; pass images like those "
                "that it was made for"
            )
        return paste(x, self.pixels.to(x), self.place(x, generator, at, angle))

    def place(self, x, generator=None, at=None, angle=None):
        """Return [N, H, W]: which of the patch's pixels, counted row by row, lies on each of x's.

        size * size stands for none of them.
        """
        check_fits(x, self.size, self.rotate if angle is None else angle, angle is None)
        generator = source_of(generator)
        draw = torch.rand(len(x), 3, generator=generator, device=generator.device).to(x.device)
        turn = self.rotate * (2 * draw[:, 2] - 1)
        turn = (turn if angle is None else torch.full_like(turn, angle)).deg2rad()
        cos, sin = turn.cos()[:, None, None], turn.sin()[:, None, None]
        height, width = x.shape[2:]
        needs = upright(self.size, turn)
        top, left = ((draw[:, i] * (n - needs + 1)).floor() for i, n in ((0, height), (1, width)))
        if at is not None:
            check_corner(at, needs, x.shape[2:])
            top, left = (torch.full_like(top, float(corner)) for corner in at)
        middle = (needs - 1) / 2
        row = torch.arange(height, device=x.device) - (top + middle)[:, None]
        column = torch.arange(width, device=x.device) - (left + middle)[:, None]
        row, column = row[:, :, None], column[:, None]
        half = (self.size - 1) / 2
        u = (cos * row + sin * column + half).round().long()  # where that is on the upright patch
        v = (cos * column - sin * row + half).round().long()
        inside = (u >= 0) & (u < self.size) & (v >= 0) & (v < self.size)
        none = self.size**2
        index = torch.where(inside, u * self.size + v, none)
        covered = torch.cat([self.mask.flatten(), self.mask.new_zeros(1)]).to(x.device)
        return torch.where(covered[index], index, none)

    def save(self, path):
        """Write it to a file of plain tensors (safetensors)."""
        parts = {"pixels": self.pixels, "mask": self.mask, "rotate": torch.tensor(self.rotate)}
        save_file({name: part.contiguous().cpu() for name, part in parts.items()}, path)

    @classmethod
    def load(cls, path):
        """Read it from a file that `save` wrote."""
        parts = load_file(path)
        return cls(parts["pixels"], parts["mask"], parts["rotate"].item())

    @classmethod
    def random(cls, size, channels=1, shape="square", rotate=0.0, generator=None):
        """Return a patch of random pixels in [0, 1]: the control that a real one has to beat."""
        mask = outline(size, shape)
        generator = source_of(generator)
        draw = torch.rand(channels, size, size, generator=generator, device=generator.device)
        return cls(draw, mask.to(draw.device), check_turn("rotate", rotate))


def paste(x, pixels, index):
    """Return new images: `pixels` [C, size, size] on x [N, C, H, W] where `index` [N, H, W] says."""
    channels, size = pixels.shape[:2]
    flat = torch.cat([pixels.flatten(1), pixels.new_zeros(channels, 1)], 1)
    return torch.where((index < size**2)[:, None], flat[:, index].transpose(0, 1), x)


def gather(gradient, index, pixels):
    """Return the gradient of `pixels`: the sum of the images' [N, C, H, W] where `index` put them."""
    channels, size = pixels.shape[:2]
    total = gradient.new_zeros(size**2 + 1, channels)
    total.index_add_(0, index.flatten(), gradient.movedim(1, -1).reshape(-1, channels))
    return total[:-1].T.reshape(pixels.shape)


def outline(size, shape):
    """Return the mask [size, size] of a square, or of the disc inside it."""
    check_count("size", size, "is no size; pass a whole number of pixels >= 1")
    one_of("shape", shape, SHAPES)
    if shape == "square":
        return torch.ones(size, size, dtype=torch.bool)
    off = torch.arange(size) - (size - 1) / 2
    return off.square()[:, None] + off.square() <= (size / 2) ** 2


def upright(size, turn):
    """Return the side, in whole pixels, of the upright square that a square turned so far needs."""
    return (size * (turn.cos().abs() + turn.sin().abs()) - 1e-3).ceil()


def check_turn(name, degrees):
    """Return `degrees` as a float, or raise a ValueError unless it is a largest turn."""
    check_number(name, degrees, lambda v: 0 <= v <= 180, "is no turn; pass degrees from 0 to 180")
    return float(degrees)


def check_fits(x, size, degrees, up_to=True):
    """Raise a ValueError unless a patch turned by (up to) that many degrees fits into x."""
    if x.ndim != 4:
        raise ValueError(f"x: shape {tuple(x.shape)}; pass images of shape (N, C, H, W)")
    check_number("angle", degrees, math.isfinite, "is no angle; pass degrees")
    worst = min(abs(degrees), 45) if up_to else degrees
    needs = int(upright(size, torch.tensor(float(worst)).deg2rad()))
    if needs > min(x.shape[2:]):
        turned = f" (with its turn it needs {needs})" if needs > size else ""
        raise ValueError(
            f"size: {size}{turned} does not fit into images of {x.shape[2]} x {x.shape[3]}; pass a "
            "smaller size or turn"
        )


def check_corner(at, needs, frame):
    """Raise a ValueError unless `at` is (row, column) of a place where the patch lies within."""
    needs = int(needs.max()) if len(needs) else 0
    if len(at) != 2 or not all(
        float(a).is_integer() and 0 <= a <= n - needs for a, n in zip(at, frame, strict=True)
    ):
        raise ValueError(
            f"at: {tuple(at)} is no place for {needs} pixels in images of {frame[0]} x {frame[1]}; "
            f"pass whole numbers (row, column) from (0, 0) to ({frame[0] - needs}, {frame[1] - needs})"
        )
