"""A walk along the boundary by labels alone: what it asked, and the nearest success (lecture 09)."""

import itertools

import torch

from .oracle import ORDERS, Oracle, ask_labels
from .projection import along


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

    def probe(self, points, row):
        """Return which of points [M, ...], all about one image, succeed, and keep the nearest."""
        rows = torch.full((len(points),), row, device=points.device)
        won = self.succeed(points, rows)
        size = torch.where(won, self.distance(points, rows), torch.inf)
        if size.amin() < self.size[row]:
            self.best[row], self.size[row] = points[size.argmin()], size.amin()
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

    def show(self):
        """Give the hook the best successes so far."""
        if self.on_step:
            self.on_step(next(self.steps), self.best.clone())
