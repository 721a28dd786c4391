"""Steps with random parameters, and the chain of them (lecture 10)."""

import torch
from torch import nn

from ..randomness import source_of
from . import changes
from .camera import camera
from .compression import jpeg


class Step(nn.Module):
    """One step from paper to picture: x [N, C, H, W] -> [N, C, H, W], differentiable in x.

    ranges: {parameter: (low, high)}, of which every picture draws its own value, evenly; equal ends
    fix it. `step(x, generator)` draws; `step(x, parameter=value)` takes a number, or one a picture.
    Raises ValueError for a range that is none, and for a parameter that the step does not have.
    """

    def __init__(self, **ranges):
        super().__init__()
        for name, given in ranges.items():
            low, high = given if isinstance(given, tuple) else (given, given)
            if not low <= high:
                raise ValueError(f"{name}: {given} is no range; pass (lowest, highest)")
            ranges[name] = (float(low), float(high))
        self.ranges = ranges

    def draw(self, n, generator):
        """Return {parameter: [n]}, drawn evenly from the ranges."""
        device = generator.device
        return {
            name: low + (high - low) * torch.rand(n, generator=generator, device=device)
            for name, (low, high) in self.ranges.items()
        }

    def forward(self, x, generator=None, **given):
        for name in given:
            if name not in self.ranges:
                raise ValueError(f"{name}: this step draws {', '.join(self.ranges)}; drop it")
        generator = source_of(generator)
        return self.change(x, generator, **self.draw(len(x), generator) | given)

    def extra_repr(self):
        return ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in self.ranges.items())


class Rotation(Step):
    """Turn the picture in its plane, in degrees."""

    def __init__(self, turn=(-15, 15), fill=0.5):
        super().__init__(turn=turn)
        self.fill = fill

    def change(self, x, generator, turn):
        return changes.rotate(x, turn, self.fill)


class Scale(Step):
    """Enlarge or shrink the picture by a factor."""

    def __init__(self, factor=(0.85, 1.15), fill=0.5):
        super().__init__(factor=factor)
        self.fill = fill

    def change(self, x, generator, factor):
        return changes.scale(x, factor, self.fill)


class Camera(Step):
    """Look at the flat picture from a distance (feet) and an angle (degrees): `physical.camera`."""

    def __init__(self, distance=(5, 40), angle=(-30, 30), alpha=None, background=0.5):
        super().__init__(distance=distance, angle=angle)
        self.alpha, self.background = alpha, background

    def change(self, x, generator, distance, angle):
        return camera(x, distance, angle, alpha=self.alpha, background=self.background)


class Brightness(Step):
    """Add light, or take some away, in pixel units."""

    def __init__(self, light=(-0.15, 0.15)):
        super().__init__(light=light)

    def change(self, x, generator, light):
        return changes.brightness(x, light)


class Contrast(Step):
    """Stretch the grays about the middle, or press them together, by a factor."""

    def __init__(self, stretch=(0.7, 1.2)):
        super().__init__(stretch=stretch)

    def change(self, x, generator, stretch):
        return changes.contrast(x, stretch)


class Blur(Step):
    """A lens out of focus: a Gaussian, sigma in pixels."""

    def __init__(self, sigma=(0, 0.8)):
        super().__init__(sigma=sigma)

    def change(self, x, generator, sigma):
        return changes.blur(x, sigma)


class Noise(Step):
    """The sensor's noise, a standard deviation in pixel units."""

    def __init__(self, std=(0, 0.03)):
        super().__init__(std=std)

    def change(self, x, generator, std):
        return changes.noise(x, std, generator)


class JPEG(Step):
    """Store the picture as a JPEG file of some quality, 1 to 100."""

    def __init__(self, quality=(60, 95)):
        super().__init__(quality=quality)

    def change(self, x, generator, quality):
        return jpeg(x, quality)


class Chain(nn.Module):
    """Steps behind one another; each draws its parameters, or takes what it is given by name.

    `chain(x, generator)` draws from that generator, `chain(x)` from the chain's own, and without
    one from a new random seed. `chain(x, angle=30, distance=10)` fixes these two, and draws the rest.
    Raises ValueError for a name that no step draws.
    """

    def __init__(self, steps, generator=None):
        super().__init__()
        self.steps, self.generator = nn.ModuleList(steps), generator

    def forward(self, x, generator=None, **given):
        known = {name for step in self.steps for name in step.ranges}
        if unknown := [name for name in given if name not in known]:
            raise ValueError(
                f"{unknown[0]}: no step draws it; there are {', '.join(sorted(known))}"
            )
        generator = source_of(self.generator if generator is None else generator)
        for step in self.steps:
            x = step(x, generator, **{k: v for k, v in given.items() if k in step.ranges})
        return x


def print_and_photograph(generator=None):
    """Return the chain of lecture 10: hold a printed picture, light it, photograph it, store it."""
    pose = [Rotation(), Scale(), Camera((3, 10), (-30, 30))]
    return Chain([*pose, Brightness(), Contrast(), Blur(), Noise(), JPEG()], generator)
