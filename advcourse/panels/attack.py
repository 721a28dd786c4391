"""The panel of the attack explorer: one picture before and after, and ten confidences."""

import numpy as np
import torch
from matplotlib.collections import PolyCollection

from .. import plots
from ..metrics import norms
from .panel import Panel


def boxes(widths, offset, height=0.38):
    """Return the corners [K, 4, 2] of horizontal bars, one for each whole number from 0."""
    low = np.arange(len(widths)) + offset - height / 2
    x, y = np.array([0, 1, 1, 0]), np.array([0, 0, height, height])
    return np.stack([np.asarray(widths)[:, None] * x, low[:, None] + y], 2)


@plots.styled
def attack_panel(classes, example):
    """Build: picture, perturbation rescaled and to scale, adversarial picture, confidences.

    example: one image [C, H, W], for the shape. Its `update` takes x and x_adv [C, H, W], before and
    after (class probabilities [K]), y, and a note that the caption ends with.
    """
    made = plots.figure(9.4, 2.75)
    axes = made.subplots(1, 5, width_ratios=[1, 1, 1, 1, 1.55])
    for ax in axes[:4]:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(True)
    blank = plots.pixels(torch.zeros_like(example))
    kinds = [("gray", 0), (plots.DELTA, -1), (plots.DELTA, -1), ("gray", 0)]
    arts = [
        ax.imshow(blank, cmap=c, vmin=v, vmax=1) for ax, (c, v) in zip(axes, kinds, strict=False)
    ]
    titles = ("image", "perturbation", "to scale", "adversarial image")
    for ax, title in zip(axes, titles, strict=False):
        ax.set_title(title)
    below = {"ha": "center", "va": "top", "fontsize": 10}
    *read, zoom = (
        axes[i].text(0.5, -0.06, "", transform=axes[i].transAxes, **below) for i in (0, 3, 1)
    )
    bars, ticks = axes[4], range(len(classes))
    old, new = (
        bars.add_collection(PolyCollection(boxes([0.0] * len(classes), at), facecolor=color))
        for at, color in ((-0.2, plots.LIGHT), (0.2, plots.ADVERSARIAL))
    )
    bars.set(xlim=(0, 1), ylim=(len(classes) - 0.1, -0.9))
    bars.set_title("confidence: before (light), after (dark)", fontsize=9)
    bars.set(yticks=list(ticks), yticklabels=classes)

    def update(x, x_adv, before, after, y, note=""):
        delta = x_adv - x
        size = norms(delta[None])
        linf = size["linf"].item()
        for art, shown in zip(arts, (x, delta / max(linf, 1e-9), delta, x_adv), strict=True):
            art.set_data(plots.pixels(shown))
        zoom.set_text(f"× {1 / linf:.3g}" if linf > 1e-9 else "none")
        old.set_verts(boxes(before, -0.2))
        new.set_verts(boxes(after, 0.2))
        said = []
        for text, p in zip(read, (before, after), strict=True):
            top = int(p.argmax())
            said.append(f"{classes[top]} ({p[top]:.1%})")
            text.set_text(said[-1])
            text.set_color(plots.INK if top == y else plots.ADVERSARIAL)
        fooled = "still right" if int(after.argmax()) == y else "fooled"
        return (
            f"true class {classes[y]}; before {said[0]}, after {said[1]}: {fooled}. "
            f"Perturbation: l∞ {linf:.3f}, l2 {size['l2'].item():.2f}, "
            f"{int(size['l0'])} pixels changed. {note}"
        )

    return Panel(made, [*arts, zoom, *read, old, new], update)
