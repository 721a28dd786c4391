"""A walk along the boundary by labels alone: what it asked, and the nearest success (lecture 09)."""

import itertools
import math

import torch

from .oracle import ORDERS, Oracle, ask_labels
from .projection import along, unit

# A turn ends at an angle this exact, as a share, and after so many questions.
NARROW, TURNS = 0.03, 16
# Of a search for the boundary, as a share of the distance: below what a probe moves along the normal,
# its reach divided by the root of the number of pixels.
FINE = 2e-4


class Walk:
    """What is known of each image [N]: its best success, how far that is, and the queries left."""

    def __init__(self, model, x, y, target, norm, queries, on_step):
        self.model, self.x, self.y, self.target, self.norm = model, x, y, target, norm
        self.left = torch.full((len(x),), queries, device=x.device)
        if isinstance(model, Oracle):
            self.left = torch.minimum(self.left, model.left(range(len(x))).to(x.device))
        self.best, self.on_step, self.steps = x.clone(), on_step, itertools.count(1)
        self.size = torch.full_like(x.flatten(1)[:, :1].sum(1), torch.inf)

    def distance(self, points, rows):
        """Return how far points [len(rows), ...] are from these images."""
        return (points - self.x[rows]).flatten(1).norm(ORDERS[self.norm], dim=1)

    def ask(self, points, rows):
        """Return which of points [R, ...], one for each of these images, succeed, as a mask [R].

        Keep the nearest. For an image without queries left nobody is asked: it does not succeed.
        """
        won = self.left[rows] > 0
        if bool(won.any()):
            won[won.clone()] = self.succeed(points[won], rows[won])
            size = self.distance(points, rows)
            nearer = won & (size < self.size[rows])
            self.best[rows[nearer]], self.size[rows[nearer]] = points[nearer], size[nearer]
            self.show()
        return won

    def probe(self, points, rows):
        """Return which of points [M, ...], about these images [M], succeed, and keep the nearest."""
        won = self.succeed(points, rows)
        size = torch.where(won, self.distance(points, rows), torch.inf)
        for i in (size < self.size[rows]).nonzero()[:, 0].tolist():
            if size[i] < self.size[rows[i]]:
                self.best[rows[i]], self.size[rows[i]] = points[i], size[i]
        return won

    def succeed(self, points, rows):
        """Ask about points [M, ...] and count the queries; return the mask of successes [M]."""
        label = ask_labels(self.model, points, rows)
        self.left -= torch.bincount(rows, minlength=len(self.left))
        return label != self.y[rows] if self.target is None else label == self.target[rows]

    def toward(self, rows, far, share):
        """Return the points between x and far [R, ...] at these shares [R] of the distance."""
        change = far - self.x[rows]
        if self.norm == "l2":
            return self.x[rows] + along(share, change)
        reach = along(share * self.distance(far, rows), torch.ones_like(change))
        return self.x[rows] + torch.clamp(change, -reach, reach)

    def search(self, rows, far, tolerance, guess):
        """Return successes [R, ...] as near the boundary as `tolerance`, between x and successes far.

        guess: the share of the distance that is tried first; later ones halve what is left.
        """
        low, high = torch.zeros_like(self.size[rows]), torch.ones_like(self.size[rows])
        middle = torch.full_like(low, guess)
        while True:
            on = ((high - low > tolerance * high) & (self.left[rows] > 0)).nonzero()[:, 0]
            if not len(on):
                return self.toward(rows, far, high)
            won = self.ask(self.toward(rows[on], far[on], middle[on]), rows[on])
            high[on] = torch.where(won, middle[on], high[on])
            low[on] = torch.where(won, low[on], middle[on])
            middle = (low + high) / 2

    def turn(self, rows, at, slope, angle, bounds):
        """Return successes [R, ...] at the boundary on a circle through x and `at`, and their angles.

        x to `at` is its diameter, so each of its points is nearer than `at`; it lies in the plane of
        that diameter and the slope. angle [R]: the ones that are tried first, in radians.
        """
        size, out = self.distance(at, rows), unit(at - self.x[rows])
        aside = unit(slope - along((slope * out).flatten(1).sum(1), out))
        low, high, ends = torch.zeros_like(size), torch.full_like(size, math.pi / 2), at.clone()
        for _ in range(TURNS):
            open_ = (high - low > NARROW * high) & (high > 1e-3) & (self.left[rows] > 0)
            on = open_.nonzero()[:, 0]
            if not len(on):
                break
            a, chord = angle[on], size[on] * angle[on].cos()
            tried = along(chord * a.cos(), out[on]) + along(chord * a.sin(), aside[on])
            tried = (self.x[rows[on]] + tried).clamp(*bounds)
            won = self.ask(tried, rows[on])
            ends[on[won]] = tried[won]
            low[on], high[on] = torch.where(won, a, low[on]), torch.where(won, high[on], a)
            # Doubled until one fails, or halved until one succeeds; then between the two.
            free = (high >= math.pi / 2) & (2 * low < math.pi / 2)
            angle = torch.where(free, 2 * low, torch.where(low > 0, (low + high) / 2, high / 2))
        ends = self.search(rows, ends, FINE, 1 - 4 * FINE)
        return ends, torch.where(low > 0, low, high / 2).clamp(0.02, 1)

    def show(self):
        """Give the hook the best successes so far."""
        if self.on_step:
            self.on_step(next(self.steps), self.best.clone())
