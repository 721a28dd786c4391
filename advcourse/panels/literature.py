"""Panels of lecture 18: a published value over the setting that it does not state; a row that moves."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from .. import plots
from ..metrics import wilson
from .panel import Panel


def published_line(ax, value, grayed=False):
    """Draw a published share as a horizontal line, gray where it was measured on other data."""
    color = plots.LIGHT if grayed else plots.INK
    return ax.axhline(value, color=color, linestyle=(0, (5, 2)), linewidth=1.5, label="published")


@plots.styled
def crossing_panel(epsilons, counts, n, published, grayed=False, xlabel="epsilon"):
    """Build: the share of n images right over epsilon, a published value, and a point that moves.

    epsilons: [E], rising from 0. counts: [E], how many of the n images are right. published: a
    share, drawn as a line (grayed: it belongs to other data). `update` takes eps, one of `epsilons`.
    """
    low, high = np.array([wilson(count, n) for count in counts]).T
    shares = np.asarray(counts) / n
    made = plots.figure(9.2, 3.4)
    ax = made.subplots()
    published_line(ax, published, grayed)
    ax.fill_between(epsilons, low, high, color=plots.ADVERSARIAL, alpha=0.25, linewidth=0)
    ax.plot(epsilons, shares, color=plots.ADVERSARIAL, linewidth=1, label="ours, 95 % interval")
    ax.set(ylim=(-0.03, 1.03), xlabel=xlabel, ylabel="accuracy")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(alpha=0.25)
    dot = {"color": plots.ADVERSARIAL, "markeredgecolor": plots.INK, "markersize": 9}
    (point,) = ax.plot([], [], "s", label="the setting you chose", **dot)
    (stem,) = ax.plot([], [], ":", color=plots.INK, linewidth=1.2)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))

    def update(eps):
        i = int(np.abs(np.asarray(epsilons) - eps).argmin())
        point.set_data([epsilons[i]], [shares[i]])
        stem.set_data([epsilons[i]] * 2, [0, shares[i]])
        where = "below" if high[i] < published else "above" if low[i] > published else "around"
        return (
            f"epsilon {epsilons[i]:.3g}: ours {plots.share((int(counts[i]), n))}, {where} the "
            f"published {100 * published:.1f} %."
        )

    return Panel(made, [stem, point], update)


@plots.styled
def row_panel(rows, epsilons, reads, right):
    """Build: one image at a growing epsilon, its change, and what the network says of it.

    rows: images [E, 1, H, W], one for each of `epsilons` [E], which begin at 0. reads: [E] pairs
    (name of the class, its probability). right: the name of the true class. `update` takes eps.
    """
    made = plots.figure(9.2, 3.0)
    axes = made.subplots(1, 3)
    shown = []
    for ax, title in zip(axes, ("the original", "sent", "the change"), strict=True):
        ax.set(xticks=[], yticks=[], title=title)
        ax.spines[:].set_visible(True)
    top = max(float(np.max(epsilons)), 1e-9)
    axes[0].imshow(plots.pixels(rows[0]), cmap="gray", vmin=0, vmax=1)
    shown.append(axes[1].imshow(plots.pixels(rows[0]), cmap="gray", vmin=0, vmax=1))
    change = plots.pixels(rows[0] - rows[0])
    shown.append(axes[2].imshow(change, cmap=plots.DELTA, vmin=-top, vmax=top))

    def update(eps):
        i = int(np.abs(np.asarray(epsilons) - eps).argmin())
        shown[0].set_data(plots.pixels(rows[i]))
        shown[1].set_data(plots.pixels(rows[i] - rows[0]))
        name, sure = reads[i]
        verdict = "right" if name == right else f"wrong, it is {right}"
        return f"epsilon {epsilons[i]:.3g}: read as {name} with {sure:.0%} ({verdict})."

    frames = [s for ax in axes[1:] for s in ax.spines.values()]
    return Panel(made, [*shown, *frames], update)


@plots.styled
def penalty_figure(book, pairs, epsilons):
    """Draw published and measured accuracy of the report's nets, a row each, a panel per epsilon."""
    made = plots.figure(9.2, 3.6)
    for ax, eps in zip(made.subplots(1, len(epsilons), sharey=True), epsilons, strict=True):
        for i, (l1, l2) in enumerate(pairs):
            key, label = f"report-{l1:g}-{l2:g}-{eps:g}-acc", "" if i else "ours"
            m = book.found[key]
            ax.plot([m.low, m.high], [i, i], linewidth=2.5, color=plots.ADVERSARIAL)
            ax.plot(m.value, i, "s", color=plots.ADVERSARIAL, markersize=6, label=label)
            color, label = plots.LIGHT if book.foreign else plots.INK, "" if i else "published"
            line = {"color": color, "markersize": 13, "markeredgewidth": 2, "label": label}
            ax.plot(book[key], i, "|", **line)
        ax.set(title=f"epsilon {eps:g}" if eps else "clean", xlabel="accuracy")
        ax.set(yticks=range(len(pairs)), yticklabels=[f"{a:g}, {b:g}" for a, b in pairs])
        ax.grid(alpha=0.25, axis="x")
    made.axes[0].set_ylabel("lambda 1, lambda 2")
    made.legend(*made.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return made


@plots.styled
def sweep_figure(groups, published, grayed=False):
    """Draw acc@1 and acc@5 over a strength, a panel each, with the published values as lines.

    groups: {title: (strengths [S], xlabel, acc@1 [S], acc@5 [S])}; published: {title: (one, five)}.
    """
    made = plots.figure(9.2, 3.4)
    looks = (
        ("among the first one", plots.ADVERSARIAL, "s"),
        ("among the first five", plots.CLEAN, "o"),
    )
    panels = zip(made.subplots(1, len(groups), sharey=True), groups.items(), strict=True)
    for ax, (title, (strengths, xlabel, *lines)) in panels:
        for (label, color, mark), line, level in zip(looks, lines, published[title], strict=True):
            dashes = published_line(ax, level, grayed)
            dashes.set_label("" if color == plots.CLEAN else "published")
            dashes.set_alpha(0.9)
            ax.plot(strengths, line, color=color, marker=mark, markersize=4, label=label)
            if level < 0.9 or color == plots.CLEAN:  # two lines near the top need one label
                at = (strengths[-1], level - 0.01)
                ax.annotate(f"{level:.3f}", at, fontsize=8, ha="right", va="top")
        ax.set(title=title, xlabel=xlabel, ylim=(-0.03, 1.06))
        ax.grid(alpha=0.25)
    made.axes[0].set_ylabel("accuracy")
    made.legend(*made.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return made


@plots.styled
def negatives_figure(curve):
    """Draw Hosseini's four panels: two trainings, two kinds of test image, over the negatives.

    curve: {"count": [C], "tuned_regular", "tuned_negative", "scratch_regular", "scratch_negative"}.
    """
    made, at = plots.figure(9.2, 2.9), [1 + count for count in curve["count"]]
    names = [(way, kind) for way in ("tuned", "scratch") for kind in ("regular", "negative")]
    for ax, (way, kind) in zip(made.subplots(1, 4, sharey=True), names, strict=True):
        color, mark = (plots.CLEAN, "o-") if kind == "regular" else (plots.ADVERSARIAL, "s-")
        ax.plot(at, curve[f"{way}_{kind}"], mark, color=color, markersize=5)
        words = "fine-tuned" if way == "tuned" else "from scratch"
        ax.set(title=f"{kind} images,\n{words}", xscale="log", xlabel="1 + negatives")
        ax.set_ylim(-0.03, 1.03)
        ax.grid(alpha=0.25)
    made.axes[0].set_ylabel("accuracy")
    return made
