"""The moves of Square: which square changes, and into what (lecture 09)."""

import functools

import torch

from .projection import along, length


class Linf:
    """The moves in the linf ball around x [N, C, H, W]: every pixel ends on one of its two faces."""

    def __init__(self, x, eps, bounds, generator):
        self.x, self.generator, self.shape = x, generator, x.shape
        self.low, self.high = (x - eps).clamp(*bounds), (x + eps).clamp(*bounds)

    def draw(self, *shape):
        """Draw numbers from [0, 1) [N, *shape], for all images: nobody's depend on who has left."""
        size, near = (len(self.x), *shape), {"dtype": torch.float32, "device": self.x.device}
        return torch.rand(size, generator=self.generator, device=self.generator.device).to(**near)

    def face(self, up, rows):
        """Return the upper face of the ball where `up`, else the lower."""
        return torch.where(up, self.high[rows], self.low[rows])

    def start(self, rows):
        """Return vertical stripes: one face for each column of each channel."""
        _, c, _, w = self.shape
        return self.face(self.draw(c, 1, w)[rows] < 0.5, rows)

    def side(self, share):
        """Return height and width of a square that covers that share of the pixels."""
        *_, h, w = self.shape
        s = max(1, round((share * h * w) ** 0.5))
        return min(s, max(h - 1, 1)), min(s, max(w - 1, 1))

    def window(self, height, width, rows):
        """Return a mask [len(rows), 1, H, W]: each image's own random window of that size."""
        *_, h, w = self.shape
        at = self.draw(2)[rows]
        top, left = (at[:, i] * (room + 1) for i, room in enumerate((h - height, w - width)))
        inside = []
        for first, long, extent in ((top, h, height), (left, w, width)):
            gap = torch.arange(long, device=at.device) - first.long()[:, None]
            inside.append((gap >= 0) & (gap < extent))
        return (inside[0][:, :, None] & inside[1][:, None])[:, None]

    def propose(self, best, rows, share):
        """Return `best` [len(rows), C, H, W] with one square on one face of the ball."""
        inside = self.window(*self.side(share), rows)
        up = self.draw(self.shape[1], 1, 1)[rows] < 0.5
        tried = torch.where(inside, self.face(up, rows), best)
        same = (tried == best).flatten(1).all(1)  # a query for nothing: take the other faces
        return torch.where(inside & same.view(-1, 1, 1, 1), self.face(~up, rows), tried)


class L2(Linf):
    """The moves in the l2 ball around x [N, C, H, W]: two hills, one up and one down, as one tile."""

    def __init__(self, x, eps, bounds, generator):
        super().__init__(x, eps, bounds, generator)
        self.eps, self.bounds = eps, bounds

    def start(self, rows):
        """Return a grid of five by five tiles, each with its own sign in each channel."""
        _, c, h, w = self.shape
        height, width = (max(1, side // 5) for side in (h, w))
        down, across = h // height, w // width
        sign = (self.draw(c, down, across)[rows] < 0.5) * 2.0 - 1
        turned = self.draw(1, down, across)[rows] < 0.5
        tile = torch.where(blow(turned, height, width), *self.tiles(height, width, down, across))
        grid = blow(sign, height, width) * tile
        top, left = (h - down * height) // 2, (w - across * width) // 2
        change = torch.zeros(self.shape, dtype=self.x.dtype, device=self.x.device)[rows]
        change[:, :, top : top + down * height, left : left + across * width] = grid.to(change)
        return self.at(change, rows)

    def side(self, share):
        """Return height and width of a window: odd, and large enough for two hills."""
        *_, h, w = self.shape
        s = max(3, round((share * h * w) ** 0.5)) // 2 * 2 + 1
        return min(s, h), min(s, w)

    def tiles(self, height, width, down=1, across=1):
        """Return the tile of two hills as a grid, its halves side by side or on top of each other."""
        like = {"dtype": self.x.dtype, "device": self.x.device}
        upright, lying = two_hills(height, width), two_hills(width, height).T
        return (tile.to(**like).repeat(down, across) for tile in (upright, lying))

    def at(self, change, rows):
        """Return x + change, the change at length eps, clipped to the bounds."""
        whole = along(self.eps / length(change), change)
        return (self.x[rows] + whole).clamp(*self.bounds)

    def propose(self, best, rows, share):
        """Return `best` with a new tile in one window, which takes the length of another's change."""
        height, width = self.side(share)
        change, c = best - self.x[rows], self.shape[1]
        here, there = (self.window(height, width, rows) for _ in range(2))
        sign = (self.draw(c, 1)[rows] < 0.5) * 2.0 - 1
        turned = (self.draw(1)[rows] < 0.5)[:, :, None]
        tile = torch.where(turned, *(t.flatten() for t in self.tiles(height, width)))
        # In a window of that size the pixels come in the tile's own order.
        inside = here.expand_as(change)
        new = torch.zeros_like(change)
        new[inside] = (sign * tile).to(change).flatten()
        old, free = change * here, (self.eps**2 - change.square().sum((1, 2, 3))).clamp(min=0) / c
        new += old / per_channel(old).clamp(min=1e-10)
        room = per_channel(change * (here | there)).square() + free.view(-1, 1, 1, 1)
        new = new / per_channel(new).clamp(min=1e-10) * room.sqrt()
        return self.at(torch.where(here, new, change * ~there), rows)


def per_channel(change):
    """Return the l2 length of each channel of change [N, C, H, W], as [N, C, 1, 1]."""
    return change.square().sum((2, 3), keepdim=True).sqrt()


def blow(grid, height, width):
    """Return grid [..., A, B] with every entry as a block of height x width."""
    return grid.repeat_interleave(height, -2).repeat_interleave(width, -1)


@functools.cache
def two_hills(height, width):
    """Return a tile [height, width] of l2 length 1: a hill in its upper half, a hole in its lower."""
    half = height // 2
    tile = torch.cat([hill(half, width), -hill(height - half, width)])
    return tile / tile.norm()


def hill(height, width):
    """Return a hill [height, width] of l2 length 1: rectangles around its middle, piled up."""
    pile, middle = torch.zeros(height, width), (height // 2, width // 2)
    for i in range(max(middle) + 1):
        (top, left), (bottom, right) = ([at + d for at in middle] for d in (-i, i + 1))
        pile[max(top, 0) : bottom, max(left, 0) : right] += 1 / (i + 1) ** 2
    return pile / pile.norm().clamp(min=1e-12)
