"""Pure functions: tensors and numbers in, a matplotlib Figure out; and `show`, which adds alt text.

Figures read in grayscale: lines carry markers and their own labels, perturbations use a map whose
lightness rises from darker to brighter.
"""

import base64
import html
import io

import matplotlib
import numpy as np
import torch
from IPython.display import Markdown, display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from .metrics import wilson

INK, CLEAN, ADVERSARIAL, THIRD, LIGHT = "#1f2933", "#0072b2", "#d55e00", "#009e73", "#b8c2cc"
LINES = (CLEAN, ADVERSARIAL, THIRD, "#cc79a7", "#8c6d00", INK)
MARKERS = "osD^vP"
DELTA = "cividis"  # darker, unchanged, brighter: in this order of lightness
STYLE = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def figure(width=9.2, height=3.0):
    """Return an empty Figure, in inches, that no notebook displays by itself."""
    made = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(made)
    return made


class Picture:
    """A figure as HTML, with the alt text that matplotlib's own output cannot carry."""

    def __init__(self, png, alt):
        self.png, self.alt = png, alt

    def __repr__(self):
        return f"[figure: {self.alt}]"

    def _repr_html_(self):
        source = base64.b64encode(self.png).decode()
        return (
            f'<img alt="{html.escape(self.alt, quote=True)}" style="max-width:100%;height:auto" '
            f'src="data:image/png;base64,{source}">'
        )


def show(figure, alt):
    """Display `figure` with its alt text: one or two sentences that say what it shows."""
    if not alt.strip():
        raise ValueError(
            "alt: empty; say in a sentence what the figure shows, for who cannot see it"
        )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, facecolor="white")
    display(Picture(small_png(Image.open(buffer)), alt))


def small_png(image):
    """Return the image as a PNG of at most 128 colors, a third of the size."""
    buffer = io.BytesIO()
    image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def pixels(x):
    """Return one image [C, H, W] (or [H, W]) as an array that imshow takes."""
    x = x.detach().cpu()
    if x.ndim == 3:
        x = x[0] if x.shape[0] == 1 else x.permute(1, 2, 0)
    return x.numpy()


def styled(function):
    """Draw inside the course's style, without changing the reader's own."""

    def drawn(*args, **kwargs):
        with matplotlib.rc_context(STYLE):
            return function(*args, **kwargs)

    drawn.__doc__, drawn.__name__ = function.__doc__, function.__name__
    return drawn


@styled
def images(rows, titles=None, row_labels=None, deltas=(), height=1.25):
    """Draw rows of images, each row [N, 1, H, W].

    titles: for each row, a list of N short texts, or None. row_labels: one text for each row.
    deltas: which are perturbations, as row numbers or (row, column) pairs; each is drawn on its
    own scale, from its largest darkening to its largest brightening.
    """
    count = max(len(row) for row in rows)
    made = figure(9.2, height * len(rows) + 0.25)
    axes = made.subplots(len(rows), count, squeeze=False)
    for r, row in enumerate(rows):
        for c, ax in enumerate(axes[r]):
            ax.set(xticks=[], yticks=[])
            if c >= len(row):
                ax.axis("off")
                continue
            _image(ax, row[c], r in deltas or (r, c) in deltas)
            if titles and titles[r]:
                ax.set_title(titles[r][c], fontsize=9)
        if row_labels:
            axes[r][0].set_ylabel(row_labels[r], fontsize=9)
    return made


def _image(ax, x, is_delta):
    ax.spines[:].set_visible(True)  # a white picture on a white page needs its border
    if is_delta:
        size = max(x.abs().max().item(), 1e-9)
        ax.imshow(pixels(x), cmap=DELTA, vmin=-size, vmax=size)
    else:
        ax.imshow(pixels(x), cmap="gray", vmin=0, vmax=1)


def share(sample, level=0.95):
    """Return a share with its interval, for a table: "51.5 % (44.6 to 58.3)".

    sample: a mask [N], or a pair (count, number); Wilson's interval at that level.
    """
    count, n = sample if isinstance(sample, tuple) else (int(sample.sum()), sample.numel())
    low, high = wilson(count, n, level)
    return f"{100 * count / n:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def table(header, rows):
    """Return a Markdown table; columns of numbers are aligned to the right."""
    rows = [[str(field) for field in row] for row in rows]
    numeric = [
        all(field[:1] in "+-.0123456789" for field in column) for column in zip(*rows, strict=True)
    ]
    lines = [header, ["---:" if n else ":---" for n in numeric], *rows]
    return Markdown("\n".join("| " + " | ".join(line) + " |" for line in lines))


@styled
def curves(x, lines, xlabel, ylabel="accuracy", percent=True, published=None, log=False):
    """Draw {label: values} over x, each line labeled at its end and marked.

    published: {label: (x, y)}, figures from the literature, drawn as crosses.
    """
    made = figure(9.2, 3.6)
    ax = made.subplots()
    for i, (label, values) in enumerate(lines.items()):
        color, marker = LINES[i % len(LINES)], MARKERS[i % len(MARKERS)]
        ax.plot(x, values, color=color, marker=marker, markersize=5, label=label)
    for label, (px, py) in (published or {}).items():
        ax.plot(px, py, "x", color=INK, markersize=9, markeredgewidth=2)
        ax.annotate(label, (px, py), xytext=(8, 8), textcoords="offset points", fontsize=9)
    if log:
        ax.set_xscale("log")
    if percent:
        ax.set_ylim(-0.03, 1.03)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(alpha=0.25)
    if len(lines) > 1:
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return made


@styled
def matrix(values, rows, columns, xlabel, ylabel):
    """Draw shares, values [R, C] in [0, 1], as gray cells with per cents; nan stays empty."""
    made = figure(7.2, 0.36 * len(rows) + 0.9)
    ax = made.subplots()
    ax.imshow(values, cmap="gray_r", vmin=0, vmax=1.15, aspect="auto")
    for r, row in enumerate(values.tolist()):
        for c, value in enumerate(row):
            if value == value:
                text = {"ha": "center", "va": "center", "fontsize": 9}
                ax.text(c, r, f"{value:.0%}", color="white" if value > 0.55 else INK, **text)
    ax.set(xticks=range(len(columns)), xticklabels=columns, xlabel=xlabel, ylabel=ylabel)
    ax.set(yticks=range(len(rows)), yticklabels=rows)
    ax.spines[:].set_visible(False)
    return made


@styled
def scatter(groups, xlabel, ylabel):
    """Draw points in the plane, {label: (x, y)}, with the axes through zero."""
    made = figure(9.2, 3.8)
    ax = made.subplots()
    ax.axhline(0, color=LIGHT, zorder=0)
    ax.axvline(0, color=LIGHT, zorder=0)
    for i, (label, (px, py)) in enumerate(groups.items()):
        ax.scatter(px, py, s=16 + 20 * i, color=LINES[i], marker=MARKERS[i], alpha=0.7, label=label)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return made


@styled
def bundles(groups, xlabel, ylabel):
    """Draw many curves of each group side by side on one scale; groups: {title: [curves, points]}."""
    made = figure(9.2, 3.2)
    axes = made.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for ax, (title, curves_) in zip(axes, groups.items(), strict=True):
        ax.plot(range(1, curves_.shape[1] + 1), curves_.T, color=CLEAN, alpha=0.35, linewidth=1)
        ax.set(title=title, xlabel=xlabel)
        ax.grid(alpha=0.25)
    axes[0].set_ylabel(ylabel)
    return made


@styled
def histogram(groups, xlabel, bins=40):
    """Draw the distributions {label: values [N]} as outlines over one another."""
    made = figure(9.2, 3.0)
    ax = made.subplots()
    values = {k: torch.as_tensor(v).cpu().numpy() for k, v in groups.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(values.values())), bins)
    for i, (label, v) in enumerate(values.items()):
        line = {"color": LINES[i % len(LINES)], "linestyle": ("-", "--", ":", "-.")[i % 4]}
        ax.hist(v, edges, histtype="step", linewidth=1.8, label=f"{label} (n={len(v):,})", **line)
    ax.set(xlabel=xlabel, ylabel="images")
    ax.legend()
    return made


@torch.no_grad()
def landscape(ax, model, value, levels=12, size=120):
    """Draw value(logits) of a 2-D model over the unit square, and its decision boundary."""
    axis = torch.linspace(0, 1, size)
    grid = torch.cartesian_prod(axis, axis)
    z = model(grid)
    height = value(z).view(size, size).T
    ax.contourf(axis, axis, height, levels, cmap="gray_r", alpha=0.45)
    margin = (z[:, 0] - z[:, 1]).view(size, size).T
    ax.contour(axis, axis, margin, [0], colors=INK, linewidths=2)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="feature 1", ylabel="feature 2")


def points(ax, x, y, size=14):
    """Draw 2-D points x [N, 2], with a marker and a color for each class y [N]."""
    for c in y.unique().tolist():
        chosen = x[y == c]
        ax.scatter(
            *chosen.T, s=size, marker=MARKERS[c], color=LINES[c], alpha=0.7, label=f"class {c}"
        )


@styled
def plane(model, value, x, y, arrows=None):
    """Draw a 2-D model: value(logits) in gray, its boundary, the points, and labeled arrows.

    arrows: {label: (start [2], end [2])}.
    """
    made = figure(9.2, 4.2)
    ax = made.subplots()
    landscape(ax, model, value)
    points(ax, x, y)
    for i, (label, (start, end)) in enumerate((arrows or {}).items()):
        line = {
            "color": LINES[i + 1],
            "marker": MARKERS[i + 1],
            "linestyle": ("-", "--", ":")[i % 3],
        }
        ax.plot(*torch.stack([start, end]).T, linewidth=2.5, markevery=[1], label=label, **line)
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return made
