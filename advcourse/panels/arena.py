"""Panel of lecture 17: the game's matrix, and the picture behind each of its cells."""

import torch
from matplotlib.patches import Rectangle

from .. import plots
from .gallery import row_of
from .panel import Panel

FRAME = {"fill": False, "edgecolor": plots.ADVERSARIAL, "linewidth": 2.5}
ROUNDING = 0.5 / 255 + 1e-6  # a kept picture has whole bytes
TITLES = ("the image", "after the attack", "the change, rescaled")


@plots.styled
def arena_figure(matrix):
    """Draw the shares that hold as a heat map with numbers in per cent: dark holds."""
    made = plots.figure(9.4, 2.6 + 0.2 * len(matrix.rows))
    heat(made.subplots(), matrix)
    return made


@plots.styled
def arena_panel(matrix, heat_map=True):
    """Build: the matrix with one cell framed, and that cell's picture below it.

    matrix: an `arena.Matrix`. heat_map=False leaves the pictures alone, for a twin of few bytes.
    `update` takes row and column, names.
    """
    tall = 2.6 + 0.2 * len(matrix.rows)
    made = plots.figure(9.4, (tall if heat_map else 0) + 2.3)
    frames = []
    if heat_map:
        upper, lower = made.subfigures(2, 1, height_ratios=(tall, 2.3))
        ax = upper.subplots()
        heat(ax, matrix)
        frames.append(ax.add_patch(Rectangle((-0.5, -0.5), 1, 1, **FRAME)))
    else:
        lower = made.subfigures(1, 1)
    axes = lower.subplots(1, 3)
    for ax, title in zip(axes, TITLES, strict=True):
        ax.set_title(title, fontsize=9)
    example = matrix.picture(matrix.rows[0], matrix.columns[0]).clean
    images, below = row_of(axes[:2], example, "gray", 0)
    deltas, zoom = row_of(axes[2:], example, plots.DELTA, -1)
    known = {}

    def update(row, column):
        if (row, column) not in known:
            known[row, column] = matrix.picture(row, column)
        one = known[row, column]
        for frame in frames:
            frame.set_xy((matrix.columns.index(column) - 0.5, matrix.rows.index(row) - 0.5))
        change = one.attacked - one.clean
        size = change.abs().max().item()
        if size <= ROUNDING:
            change, size = torch.zeros_like(change), 0.0
        for art, x in zip([*images, *deltas], (one.clean, one.attacked, change), strict=True):
            art.set_data(plots.pixels(x))
        deltas[0].set_data(plots.pixels(change / (size or 1)))
        before = "refused" if one.before == "-" else f"read as {one.before}"
        below[0].set_text(f"a {one.label}, {before}")
        below[1].set_text(f"the victim {one.words}")
        zoom[0].set_text(f"largest {size:.2f}" if size else "none")
        note = f" Note: {one.note}." if one.note else ""
        return (
            f"{row} against {column}: {matrix.share(row, column)} of "
            f"{len(matrix.mask(row, column))} images hold. In the picture, a {one.label} that is "
            f"{before} without the attack; now the victim {one.words}.{note}"
        )

    return Panel(made, [*frames, *images, *deltas, *below, *zoom], update)


def heat(ax, matrix):
    """Draw the matrix into `ax`: per cents in gray cells, a dot where the victim had no gradient."""
    held = matrix.held
    ax.imshow(held.numpy(), cmap="gray_r", vmin=0, vmax=1.15, aspect="auto")
    ax.set_facecolor("white")
    for r, row in enumerate(matrix.rows):
        for c, column in enumerate(matrix.columns):
            value = held[r, c].item()
            if value == value:
                text = {"ha": "center", "va": "center", "fontsize": 7.5}
                blind = "·" if matrix.note(row, column) else ""
                color = "white" if value > 0.55 else plots.INK
                ax.text(c, r, f"{100 * value:.0f}{blind}", color=color, **text)
    middle = {"rotation": 60, "ha": "right", "rotation_mode": "anchor", "fontsize": 8}
    ax.set_xticks(range(len(matrix.columns)), matrix.columns, **middle)
    ax.set_yticks(range(len(matrix.rows)), matrix.rows, fontsize=8)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    if torch.isnan(held).any():
        ax.set_xlabel("empty: not played", fontsize=8)
