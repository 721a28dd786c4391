"""Panel of lecture 07: several pictures side by side, such as one for each objective."""

import torch

from .. import plots
from ..metrics import norms
from .panel import Panel

BELOW = {"ha": "center", "va": "top", "fontsize": 9}


def row_of(axes, example, cmap, low):
    """Prepare a row of pictures; return their images, and an empty text below each."""
    blank, arts, texts = plots.pixels(torch.zeros_like(example)), [], []
    for ax in axes:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(True)
        ax.set_xlabel(" \n ", fontsize=9)  # room for the text
        arts.append(ax.imshow(blank, cmap=cmap, vmin=low, vmax=1))
        texts.append(ax.text(0.5, -0.05, "", transform=ax.transAxes, **BELOW))
    return arts, texts


@plots.styled
def gallery_panel(names, classes, example, deltas=False):
    """Build: a row of pictures, the name of each above it, and a text below it.

    example: one image [C, H, W], for the shape. deltas: a second row, of the changes from x, each
    on its own scale. `update` takes images [K, C, H, W], K texts (or pairs of the class read, as a
    number, and the l2), a note that the caption ends with, and x [C, H, W] where there are deltas.
    """
    rows = 2 if deltas else 1
    made = plots.figure(9.4, min(4.4, rows * (9.0 / len(names) + 0.5) + 0.2))
    axes = made.subplots(rows, len(names), squeeze=False)
    arts, below = row_of(axes[0], example, "gray", 0)
    changes, zooms = row_of(axes[1], example, plots.DELTA, -1) if deltas else ([], [])
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(name)
    if deltas:
        axes[1][0].set_ylabel("change, rescaled", fontsize=9)

    def update(images, texts, note="", x=None):
        written = [
            t if isinstance(t, str) else f"{classes[int(t[0])]}\nl2 {float(t[1]):.2f}"
            for t in texts
        ]
        for art, image, text, words in zip(arts, images, below, written, strict=True):
            art.set_data(plots.pixels(image))
            text.set_text(words)
        for art, zoom, image in zip(changes, zooms, images if deltas else (), strict=True):
            delta = image - x
            size = norms(delta[None])["linf"].item()
            art.set_data(plots.pixels(delta / max(size, 1e-9)))
            zoom.set_text(f"× {1 / size:.3g}" if size > 1e-9 else "none")
        told = "; ".join(
            f"{name}: {words.replace(chr(10), ', ')}"
            for name, words in zip(names, written, strict=True)
        )
        return f"{told}. {note}"

    return Panel(made, [*arts, *below, *changes, *zooms], update)
