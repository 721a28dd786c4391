"""What was played: cells, the matrix that they make, and the files that keep them."""

import base64
import zlib
from dataclasses import dataclass, field

import torch

from .. import plots
from . import duel

REFUSED = "-"


@dataclass(frozen=True)
class Cell:
    """One duel. answers [n]: classes in words, "-" for a refusal; shown: which image is its picture.

    before: what the victim says of that image without the attack. picture: the attacked image,
    [H, W] bytes, zlib, base64; "" where it may not be kept.
    """

    row: str
    column: str
    key: str
    answers: tuple
    shown: int
    before: str
    note: str = ""
    seconds: float = 0.0
    picture: str = ""


@dataclass(frozen=True)
class Picture:
    """A cell's picture: clean and attacked [1, H, W], and what the victim says of the two."""

    clean: torch.Tensor
    attacked: torch.Tensor
    label: str
    before: str
    says: str
    note: str = ""

    @property
    def words(self):
        """What the victim says of the attacked image, in a few words."""
        if self.says == REFUSED:
            return "refuses to answer"
        return f"says {self.says}, " + ("rightly" if self.says == self.label else "wrongly")


@dataclass(frozen=True)
class Matrix:
    """The shares that hold, [rows, columns]: strongest attack first, strongest defense first.

    labels [n_images]: the true classes, in words. Source: lecture 17.
    """

    dataset: str
    eps: float
    seed: int
    labels: tuple
    cells: dict = field(repr=False)  # {(row, column): Cell}
    rows: tuple = ()
    columns: tuple = ()

    @property
    def held(self):
        """The shares, float [R, C]; nan where a cell was not played."""
        return self._each(lambda cell: self._mask(cell).float().mean().item(), torch.nan)

    @property
    def n(self):
        """How many images each cell took, int64 [R, C]."""
        return self._each(lambda cell: len(cell.answers), 0).long()

    @property
    def seconds(self):
        """What each cell took of one CPU core, in seconds, float [R, C]."""
        return self._each(lambda cell: cell.seconds, torch.nan)

    def cell(self, row, column):
        """Return the `Cell`; raises ValueError where there is none, and says which there are."""
        for name, value, known in (("row", row, self.rows), ("column", column, self.columns)):
            if value not in known:
                raise ValueError(f"{name}: no {value!r}; there are {', '.join(known)}")
        if (row, column) not in self.cells:
            raise ValueError(f"row, column: {row!r} against {column!r} was not played")
        return self.cells[row, column]

    def mask(self, row, column):
        """Return a mask [n]: which images hold (right, or refused), for `claims.apart` and `paired`."""
        return self._mask(self.cell(row, column))

    def note(self, row, column):
        """Return what the number does not say, such as that there was no gradient to follow; or ""."""
        return self.cell(row, column).note

    def share(self, row, column):
        """Return the share that holds with its 95 % interval, "51.5 % (44.6 to 58.3)"."""
        return plots.share(self.mask(row, column))

    def worst(self, column, rows=None):
        """Return a mask [n]: which images hold against all `rows` (None: all that stay in the ball)."""
        own = duel.rows()
        inside = [r for r in self.rows if r not in own or own[r].inside]
        masks = [self.mask(r, column) for r in rows or inside if (r, column) in self.cells]
        least = min(map(len, masks))
        return torch.stack([mask[:least] for mask in masks]).all(0)

    def best_attack(self, column):
        """Return the name of the row that leaves least of this column."""
        return self.rows[int(self.held[:, self.columns.index(column)].nan_to_num(2).argmin())]

    def picture(self, row, column):
        """Return the cell's `Picture`: kept, or made again on that one image, in a moment.

        Made again, alone, an image may fare otherwise than in its batch; what it says is then true
        of the picture that is shown.
        """
        cell = self.cell(row, column)
        x, _ = duel.sampled(self.dataset, len(self.labels), self.seed)
        clean, label = x[cell.shown], self.labels[cell.shown]
        if cell.picture:
            attacked, says = unpacked(cell.picture, clean), cell.answers[cell.shown]
            return Picture(clean, attacked, label, cell.before, says, cell.note)
        job = {"row": row, "column": column, "dataset": self.dataset} | duel.functions(row, column)
        y = torch.tensor([duel.classes(self.dataset).index(label)])
        pattern = duel.victim(job, duel.loaded(self.dataset))
        one = duel.contest(duel.attacker(job), pattern, clean[None], y, self.eps, self.seed)
        attacked = one["x_adv"].float() / 255
        says = [duel.named(a, self.dataset) for a in (one["before"], one["answers"][0])]
        return Picture(clean, attacked, label, *says, one["note"])

    def table(self, rows=None, columns=None):
        """Return the shares as a Markdown table, in per cent; columns may be too many for a page."""
        rows, columns = rows or self.rows, columns or self.columns
        percent = {
            key: f"{100 * self._mask(cell).float().mean():.0f}" for key, cell in self.cells.items()
        }
        lines = [[r, *(percent.get((r, c), "") for c in columns)] for r in rows]
        return plots.table(["held, %", *columns], lines)

    def _mask(self, cell):
        pairs = zip(cell.answers, self.labels, strict=False)  # a slow cell took the first of them
        return torch.tensor([a in (label, REFUSED) for a, label in pairs])

    def _each(self, value, missing):
        cells = [[self.cells.get((r, c)) for c in self.columns] for r in self.rows]
        return torch.tensor([[missing if c is None else value(c) for c in line] for line in cells])


def assembled(dataset, eps, seed, labels, cells):
    """Return the matrix of these cells, its rows and columns sorted by their means."""
    cells = {(cell.row, cell.column): cell for cell in cells}
    rows, columns = ({key[i]: None for key in cells} for i in (0, 1))
    loose = Matrix(dataset, eps, seed, tuple(labels), cells, tuple(rows), tuple(columns))
    held = loose.held
    by_row, by_column = (held.nanmean(i).tolist() for i in (1, 0))
    rows = [name for _, name in sorted(zip(by_row, rows, strict=True))]
    columns = [name for _, name in sorted(zip(by_column, columns, strict=True), reverse=True)]
    return Matrix(dataset, eps, seed, tuple(labels), cells, tuple(rows), tuple(columns))


def squeezed(x):
    """Return a uint8 picture [1, H, W] as text."""
    return base64.b64encode(zlib.compress(x.numpy().tobytes(), 9)).decode()


def unpacked(text, like):
    """Return the picture that `squeezed` wrote, floats in [0, 1] of the shape of `like`."""
    raw = bytearray(zlib.decompress(base64.b64decode(text)))
    return torch.frombuffer(raw, dtype=torch.uint8).view(like.shape).float() / 255
