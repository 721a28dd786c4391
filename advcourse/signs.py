"""Road signs that the course draws itself: ten flat templates, and views of them as a data set.

Letters and digits are strokes written down here, not a font; shapes are filled without smoothing at
eight times the size and averaged down. So every machine draws the same picture, and none downloads.
"""

import functools
import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from . import physical
from .data import Dataset

SIZE, FINE = 48, 8
CLASSES = (
    "stop",
    "yield",
    "no entry",
    "limit 30",
    "limit 45",
    "limit 60",
    "priority road",
    "keep right",
    "crossing",
    "no parking",
)
WHITE, BLACK, RED, BLUE, YELLOW = "#f4f4f0", "#16181a", "#b9202b", "#1d4f9c", "#f2bb1d"


def arc(x, y, across, down, start, end):
    """Return points of an ellipse's arc about (x, y), from angle `start` to `end` in degrees."""
    steps = [math.radians(start + (end - start) * i / 24) for i in range(25)]
    return [(x + across * math.cos(a), y + down * math.sin(a)) for a in steps]


# Each sign of writing in a unit box, the y axis down: a list of strokes, a stroke a list of points.
GLYPHS = {
    "S": [arc(0.5, 0.26, 0.38, 0.26, -30, -270) + arc(0.5, 0.76, 0.4, 0.24, -90, 150)],
    "T": [[(0.02, 0), (0.98, 0)], [(0.5, 0), (0.5, 1)]],
    "O": [arc(0.5, 0.5, 0.44, 0.5, 0, 360)],
    "P": [[(0.12, 1), (0.12, 0), (0.5, 0), *arc(0.5, 0.27, 0.4, 0.27, -90, 90), (0.12, 0.54)]],
    "0": [arc(0.5, 0.5, 0.42, 0.5, 0, 360)],
    "3": [arc(0.45, 0.25, 0.4, 0.25, -150, 90) + arc(0.45, 0.74, 0.45, 0.26, -90, 150)],
    "4": [[(0.72, 1), (0.72, 0), (0.04, 0.7), (1, 0.7)]],
    "5": [[(0.88, 0), (0.2, 0), (0.14, 0.45), *arc(0.46, 0.68, 0.44, 0.32, -130, 145)]],
    "6": [arc(0.9, 0.68, 0.82, 0.68, 265, 180), arc(0.5, 0.69, 0.42, 0.31, 0, 360)],
}


class Pen:
    """Draws filled shapes in units of the sign: -1 to 1 over the picture, the y axis down."""

    def __init__(self, mode, ground):
        side = SIZE * FINE
        self.half, self.image = side / 2, Image.new(mode, (side, side), ground)
        self.draw = ImageDraw.Draw(self.image)

    def place(self, points):
        return [((x + 1) * self.half, (y + 1) * self.half) for x, y in points]

    def fill(self, points, color):
        self.draw.polygon(self.place(points), fill=color)

    def disc(self, radius, color, x=0.0, y=0.0):
        self.fill(arc(x, y, radius, radius, 0, 360), color)

    def stroke(self, points, width, color):
        """Draw a thick line: a rectangle for each piece, and a disc at each joint."""
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            length = math.hypot(x1 - x0, y1 - y0) or 1
            dx, dy = (x1 - x0) / length * width / 2, (y1 - y0) / length * width / 2
            corners = [
                (x0 - dy, y0 + dx),
                (x0 + dy, y0 - dx),
                (x1 + dy, y1 - dx),
                (x1 - dy, y1 + dx),
            ]
            self.fill(corners, color)
        for x, y in points:
            self.disc(width / 2, color, x, y)

    def write(self, text, width, height, thick, color, gap=0.3):
        """Write `text` in the middle, in a box of this width and height."""
        each = width / (len(text) + gap * (len(text) - 1))
        for i, letter in enumerate(text):
            left = -width / 2 + i * each * (1 + gap)
            for line in GLYPHS[letter]:
                inside = [(left + x * each, (y - 0.5) * height) for x, y in line]
                self.stroke(inside, thick, color)

    def tensor(self):
        """Return the picture [C, SIZE, SIZE] in [0, 1], every pixel the mean of the fine ones."""
        array = np.asarray(self.image.reduce(FINE), dtype=np.float32) / 255
        return torch.from_numpy(array.reshape(SIZE, SIZE, -1).copy()).permute(2, 0, 1).contiguous()


def polygon(corners, radius, turn=0.0):
    """Return the corners of a regular polygon about the middle, the first at `turn` degrees."""
    angles = [math.radians(turn + 360 * i / corners) for i in range(corners)]
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]


def triangle(size, down):
    """Return an even triangle whose tip points down, or up, moved so that it fills the square."""
    way = 1 if down else -1
    return [(x * size, y * size - way * 0.3) for x, y in polygon(3, 1.15, 90 * way)]


SQUARE = [(-0.92, -0.92), (0.92, -0.92), (0.92, 0.92), (-0.92, 0.92)]
ROUND = arc(0, 0, 0.96, 0.96, 0, 360)
OUTLINES = dict.fromkeys(CLASSES, ROUND) | {
    "stop": polygon(8, 1.0, 22.5),
    "yield": triangle(1.1, True),
    "priority road": polygon(4, 1.0),
    "crossing": SQUARE,
}


def _decorate(pen, name):
    """Draw what stands on the sign, over its outline in the ground color."""
    if name == "stop":
        pen.fill(polygon(8, 0.92, 22.5), RED)
        pen.write("STOP", 1.46, 0.52, 0.12, WHITE)
    elif name == "yield":
        pen.fill(triangle(0.62, True), WHITE)
    elif name == "no entry":
        pen.fill([(-0.68, -0.18), (0.68, -0.18), (0.68, 0.18), (-0.68, 0.18)], WHITE)
    elif name.startswith("limit"):
        pen.disc(0.74, WHITE)
        pen.write(name[-2:], 0.94, 0.72, 0.15, BLACK, gap=0.35)
    elif name == "priority road":
        pen.fill(polygon(4, 0.72), YELLOW)
    elif name == "keep right":
        pen.stroke([(-0.42, -0.42), (0.35, 0.35)], 0.2, WHITE)
        pen.fill([(0.58, 0.58), (0.58, -0.08), (-0.08, 0.58)], WHITE)
    elif name == "crossing":
        pen.fill([(0, -0.78), (0.82, 0.7), (-0.82, 0.7)], WHITE)
        pen.disc(0.13, BLACK, 0.04, -0.22)
        for line in (
            [(0.02, -0.06), (0, 0.24), (0.22, 0.58)],
            [(0, 0.24), (-0.24, 0.58)],
            [(-0.22, 0.2), (0.02, 0), (0.24, 0.16)],
        ):
            pen.stroke(line, 0.11, BLACK)
    else:
        pen.disc(0.74, BLUE)
        pen.stroke([(-0.56, -0.56), (0.56, 0.56)], 0.2, RED)


GROUND = {"stop": WHITE, "yield": RED, "no entry": RED, "priority road": WHITE}
GROUND |= {"keep right": BLUE, "crossing": BLUE, "no parking": RED}


@functools.cache
def _drawn():
    pictures, shapes = [], []
    for name in CLASSES:
        shape, pen = Pen("L", 0), Pen("RGB", GROUND.get(name, RED))
        shape.fill(OUTLINES[name], 255)
        _decorate(pen, name)
        shapes.append(shape.tensor())
        pictures.append(pen.tensor())
    return torch.stack(pictures), torch.stack(shapes)


def templates():
    """Return the ten signs [10, 3, 48, 48] as they leave the print shop: flat, in [0, 1], to the edge.

    Where `shapes()` is 0 there is no sign, and what the template holds there is never seen.
    """
    return _drawn()[0].clone()


def shapes():
    """Return where the templates are sign: [10, 1, 48, 48], 1 inside and 0 outside."""
    return _drawn()[1].clone()


def backgrounds(n, generator):
    """Return n blurred street scenes [n, 3, 48, 48]: random colors in patches, coarse and fine."""
    scene = 0.5
    for cells, weight in ((2, 0.5), (4, 0.35), (12, 0.25)):
        patches = torch.rand(n, 3, cells, cells, generator=generator) - 0.5
        gray = patches.mean(1, keepdim=True)  # streets are less colorful than confetti
        patches = gray + 0.3 * (patches - gray)
        whole = F.interpolate(patches, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        scene = scene + 2 * weight * whole
    return scene.clamp(0, 1)


# How the data set's photographs are lit and stored; the pose is drawn by `views`.
LIGHT = (
    physical.Contrast((0.6, 1.2)),
    physical.Brightness((-0.2, 0.2)),
    physical.Blur((0, 0.7)),
    physical.Noise((0, 0.03)),
)


def views(x, alpha, generator, distance=(5, 40), angle=(-50, 50)):
    """Return one random photograph [N, 3, 48, 48] of each flat sign x [N, 3, 48, 48].

    alpha: the signs' shapes [N or 1, 1, 48, 48]. Distance (feet), angle (degrees), the detector's
    cut, background and light are drawn for each; distance and angle may be single numbers. Same
    generator seed, same photographs; differentiable in x.
    """
    n = len(x)

    def drawn(low, high):
        return low + (high - low) * torch.rand(n, generator=generator)

    ends = [value if isinstance(value, tuple) else (value, value) for value in (distance, angle)]
    pose = {"turn": drawn(-8, 8), "zoom": drawn(0.85, 1.12)}
    pose["shift"] = (drawn(-0.06, 0.06), drawn(-0.06, 0.06))
    scene = backgrounds(n, generator).to(x)
    far, tilt = (drawn(*end) for end in ends)
    seen = physical.camera(x, far, tilt, alpha=alpha, background=scene, **pose)
    for step in LIGHT:
        seen = step(seen, generator)
    return seen


def load(n_train=1000, n_test=1000, seed=0):
    """Return a `data.Dataset` of photographs of the ten signs: x [N, 3, 48, 48], y [N], classes.

    Every class has the same number, to within one. Training and test views are drawn independently.
    Raises ValueError for fewer than one picture. `data.load("signs")` is this, with 1,000 of each.
    """
    parts = []
    for name, n, stream in (("n_train", n_train, 0), ("n_test", n_test, 1)):
        if n < 1:
            raise ValueError(f"{name}: {n} is no number of pictures; pass a whole number >= 1")
        generator = torch.Generator().manual_seed(2 * seed + stream)
        y = torch.randperm(n, generator=generator) % len(CLASSES)
        with torch.no_grad():
            chunks = [views(*(part[rows] for part in _drawn()), generator) for rows in y.split(500)]
        parts += [torch.cat(chunks), y]
    return Dataset("signs", *parts, CLASSES)
