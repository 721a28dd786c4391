"""Panel of lecture 08: two pixels at a time, and the map that chose them."""

import numpy as np
import torch
from matplotlib.collections import PolyCollection

from .. import plots
from .attack import boxes
from .panel import Panel

CORNERS = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])


def spot(pixel, shape):
    """Return the row and the column of a pixel's number in an image of shape [C, H, W]."""
    return divmod(int(pixel) % (shape[-2] * shape[-1]), shape[-1])


@plots.styled
def saliency_panel(classes, example):
    """Build: the image so far, the map, the pixels changed (the last pair outlined), probabilities.

    example: one image [C, H, W], for the shape. `update` takes x and x_adv [C, H, W], the last pair
    of pixels (numbers below D = C * H * W) or None, the map [D] (drawn as its root, so that more
    than the peaks is seen), probabilities [K], the target, the step, and a note for the caption.
    """
    made, shape = plots.figure(9.4, 2.75), tuple(example.shape)
    axes = made.subplots(1, 4, width_ratios=[1, 1, 1, 1.35])
    titles = ("image so far", "map that chose the pair", "pixels changed")
    blank = plots.pixels(torch.zeros_like(example))
    arts = []
    for ax, title, cmap in zip(axes, titles, ("gray", "gray_r", "gray_r"), strict=False):
        ax.set(xticks=[], yticks=[], title=title)
        ax.spines[:].set_visible(True)
        arts.append(
            ax.imshow(blank if ax is axes[0] else np.zeros(shape[-2:]), cmap=cmap, vmin=0, vmax=1)
        )
    line = {"facecolor": "none", "linewidth": 1.8, "clip_on": False}
    marks = [
        ax.add_collection(PolyCollection([], edgecolor=plots.ADVERSARIAL, **line))
        for ax in axes[:3]
    ]
    ax, zero = axes[3], [0.0] * len(classes)
    bars = ax.add_collection(PolyCollection(boxes(zero, 0)))
    ax.set(xlim=(0, 1.5), xticks=[0, 0.5, 1], ylim=(len(classes) - 0.4, -0.6))
    ax.set(yticks=range(len(classes)), yticklabels=classes, title="probabilities")
    aim = ax.text(0, 0, "", va="center", fontsize=9.5)

    def update(x, x_adv, pair, map, probabilities, target, step, note=""):
        changed = (x_adv != x).any(0)
        height = map.view(shape).amax(0).sqrt()
        arts[0].set_data(plots.pixels(x_adv))
        arts[1].set_data(plots.pixels(height / height.max().clamp(min=1e-30)))
        arts[2].set_data(plots.pixels(torch.where(changed, 1.0, 0.25 * x.mean(0))))
        at = [spot(p, shape) for p in (() if pair is None else pair)]
        for mark in marks:
            mark.set_verts([np.array([column, row]) + CORNERS for row, column in at])
        widths = probabilities.tolist()
        bars.set_verts(boxes(widths, 0, 0.7))
        bars.set_facecolor(
            [plots.ADVERSARIAL if k == target else plots.LIGHT for k in range(len(widths))]
        )
        aim.set_position((widths[target] + 0.03, target))
        aim.set_text("◂ target")
        top, count = int(probabilities.argmax()), int(changed.sum())
        last = " and ".join(f"row {row}, column {column}" for row, column in at)
        return (
            f"Step {step}: {count} of {changed.numel()} pixels changed "
            f"({count / changed.numel():.1%}), read as {classes[top]} ({widths[top]:.1%}); "
            f"target {classes[target]}: {widths[target]:.1%}. "
            f"{f'Last pair: {last}. ' if at else ''}{note}"
        )

    return Panel(made, [*arts, *marks, bars, aim], update)
