"""Backdoors: a pattern in a few training images, and a network that obeys it (lecture 11)."""

from dataclasses import dataclass, field

import torch
from tqdm.auto import tqdm

from ..attacks import pgd
from ..attacks.contract import chunk_size, frozen, logits
from ..attacks.inputs import check_inputs, check_share, is_a
from ..randomness import source_of
from .poisoned import Poisoned, draw_rows


@dataclass(frozen=True, eq=False)
class Trigger:
    """A pattern to stamp on images: `trigger(x)` returns new images of x's shape [N, C, H, W].

    pattern: [h, w] or [C, h, w], pixels in [0, 1]; by default a white square of 3 x 3.
    place: (row, column) of its upper left corner; negative ones count from the far edge, so the
    default is the lower right corner. opacity: 1 covers the image; below 1 the pattern p is blended
    in, (1 - opacity) x + opacity p. Raises ValueError for pixels or an opacity outside [0, 1], and
    where the pattern sticks out of the image.
    Source: Gu, Dolan-Gavitt and Garg 2017, "BadNets"; blended: Chen et al. 2017; lecture 11.
    """

    pattern: torch.Tensor = field(default_factory=lambda: torch.ones(3, 3))
    place: tuple[int, int] = (-3, -3)
    opacity: float = 1.0

    def __post_init__(self):
        p = self.pattern
        if not isinstance(p, torch.Tensor) or p.ndim not in (2, 3) or not p.is_floating_point():
            got = f"{p.dtype} {tuple(p.shape)}" if isinstance(p, torch.Tensor) else type(p).__name__
            raise ValueError(f"pattern: got {got}; pass floats of shape (h, w) or (C, h, w)")
        if not (p.numel() and p.min() >= 0 and p.max() <= 1):
            raise ValueError("pattern: empty, or pixels outside [0, 1]; scale it as the images are")
        check_share("opacity", self.opacity, "is no opacity; pass a number in [0, 1]")

    def window(self, x):
        """Return the slices (rows, columns) of x [..., H, W] that the pattern covers."""
        found = []
        for first, length, size in zip(
            self.place, self.pattern.shape[-2:], x.shape[-2:], strict=True
        ):
            start = first + size if first < 0 else first
            if not 0 <= start <= size - length:
                shapes = [" x ".join(map(str, t.shape[-2:])) for t in (self.pattern, x)]
                raise ValueError(
                    f"place: {tuple(self.place)} puts a pattern of {shapes[0]} partly outside images "
                    f"of {shapes[1]}; move it inwards"
                )
            found.append(slice(start, start + length))
        return found

    def __call__(self, x):
        """Return copies of the images x [N, C, H, W] that carry the pattern."""
        rows, columns = self.window(x)
        stamped, pattern = x.clone(), self.pattern.to(x)
        if self.opacity < 1:
            pattern = (1 - self.opacity) * x[..., rows, columns] + self.opacity * pattern
        stamped[..., rows, columns] = pattern
        return stamped


def backdoor(x, y, share, target, trigger=None, *, generator=None):
    """Stamp the trigger on a share of the training set, and label those images as `target`.

    x [N, C, H, W] in [0, 1]; y [N]. round(share * N) images are drawn, none of the target class;
    the rest stays as it is. trigger: by default a white 3 x 3 square in the lower right corner.
    Returns (x, y), a new training set, with `.mask` [N]: which images are poison.
    Raises ValueError for bad input, and for a share that needs more images than there are.
    Source: Gu, Dolan-Gavitt and Garg 2017, "BadNets"; lecture 11.
    """
    check_inputs(x, y, None, (0.0, 1.0), generator)
    chosen = _draw(y, share, target, y != _class(target, y), generator, "that are not of class")
    x, y = x.clone(), y.clone()
    x[chosen] = (trigger or Trigger())(x[chosen])
    y[chosen] = target
    return Poisoned(x, y, _mask(y, chosen))


def clean_label(
    x, y, share, target, trigger=None, *, model, eps=0.3, steps=20, generator=None, progress=True
):
    """Stamp the trigger on images of the target class only, so that every label is right.

    Before that each is made hard to read: PGD moves it within `eps` (linf, pixel units) away from
    its class, as `model` sees it, any other network. The victim then finds the trigger the easier
    thing to learn. Otherwise as `backdoor`; share counts all training images, so the largest share
    is that of the target class. progress: show a bar.
    Source: Turner, Tsipras and Madry 2019, "Label-consistent backdoor attacks"; lecture 11.
    """
    check_inputs(x, y, None, (0.0, 1.0), generator)
    chosen = _draw(y, share, target, y == _class(target, y), generator, "of class")
    hard = x.clone()
    parts = chosen.split(1000)
    for rows in tqdm(parts, desc="clean labels", disable=not progress or len(parts) < 2):
        hard[rows] = pgd(model, x[rows], y[rows], eps=eps, steps=steps, generator=generator)
    hard[chosen] = (trigger or Trigger())(hard[chosen])
    return Poisoned(hard, y.clone(), _mask(y, chosen))


def triggered(model, x, y, trigger, target):
    """Return a mask [M]: which of the M images not of the target class are read as it once stamped.

    Images of the target class are left out: they would be read so without any trigger. Its mean is
    the share triggered. The model is held in eval mode. Raises ValueError for bad input, and where
    every image is of the target class.
    Source: Gu, Dolan-Gavitt and Garg 2017, "BadNets"; lecture 11.
    """
    check_inputs(x, y, None, (0.0, 1.0), None)
    others = x[y != _class(target)]
    if not len(others):
        raise ValueError(f"y: every image is of class {target}; pass images of other classes, too")
    with torch.no_grad(), frozen(model):
        parts = others.split(chunk_size(model, others))
        return torch.cat([logits(model, trigger(part)).argmax(1) == target for part in parts])


def _class(target, y=None):
    """Return `target` once it is a class number, and one of y's where y is given."""
    if not is_a(int, target) or target < 0:
        raise ValueError(f"target: {target!r} is no class number; pass a whole number >= 0")
    if y is not None and not (y == target).any():
        raise ValueError(f"target: no training image is of class {target}; pass one of y's classes")
    return target


def _draw(y, share, target, eligible, generator, described):
    """Return round(share * N) row numbers, drawn from the mask `eligible` [N]."""
    check_share("share", share)
    rows, count = eligible.nonzero()[:, 0], round(share * len(y))
    if count > len(rows):
        raise ValueError(
            f"share: {share} of {len(y)} images are {count}, but only {len(rows)} are {described} "
            f"{target}; pass at most {len(rows) / len(y):.4g}"
        )
    return rows[draw_rows(len(rows), count, source_of(generator), y.device)]


def _mask(y, rows):
    return torch.zeros_like(y, dtype=torch.bool).index_fill_(0, rows, True)
