"""Panel of lecture 14: a transform of growing strength, on two pictures and over all images."""

import numpy as np
import torch
from matplotlib.ticker import PercentFormatter

from .. import plots
from .gallery import row_of
from .panel import Panel

NAMES = ("clean", "adversarial", "clean, transformed", "adversarial, transformed")


@plots.styled
def transform_panel(transform, model, pair, label, classes, values, curves, name):
    """Build: a clean and an adversarial picture behind a transform, and accuracy over its strength.

    transform: strength -> module; model: what reads the transformed pictures; pair [2, C, H, W]:
    the clean and the adversarial picture of class `label`; values: strengths; curves: {label:
    accuracies at these values}; name: of the strength. `update` takes `value`.
    """
    made = plots.figure(9.4, 4.6)
    top, bottom = made.subfigures(2, 1, height_ratios=[1.15, 1])
    arts, texts = row_of(top.subplots(1, 4), pair[0], "gray", 0)
    for art, title in zip(arts, NAMES, strict=True):
        art.axes.set_title(title)
    ax = bottom.subplots()
    for i, (line, heights) in enumerate(curves.items()):
        style = {"color": plots.LINES[i], "marker": plots.MARKERS[i], "markersize": 4}
        ax.plot(values, heights, label=line, **style)
    ax.set(xlabel=name, ylabel="accuracy", ylim=(-0.03, 1.03))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(alpha=0.25)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    mark = ax.axvline(values[0], color=plots.INK, linewidth=2)
    with torch.no_grad():
        plain = [int(c) for c in model(pair).argmax(1)]

    def update(value):
        with torch.no_grad():
            changed = transform(value)(pair)
            read = [*plain, *(int(c) for c in model(changed).argmax(1))]
        for art, text, picture, c in zip(arts, texts, [*pair, *changed], read, strict=True):
            art.set_data(plots.pixels(picture))
            text.set_text(f"read as {classes[c]}")
        mark.set_xdata([value, value])
        told = "; ".join(f"{n}: {classes[c]}" for n, c in zip(NAMES, read, strict=True))
        shares = ", ".join(
            f"{line} {np.interp(value, values, heights):.1%}" for line, heights in curves.items()
        )
        return (
            f"{name} {value:.2f}, a {classes[int(label)]}. Read as: {told}. All images: {shares}."
        )

    return Panel(made, [*arts, *texts, mark], update)
