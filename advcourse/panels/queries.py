"""Panel of lecture 09: what a budget of queries buys, with scores and with labels alone."""

import bisect

import numpy as np
import torch
from matplotlib.ticker import PercentFormatter

from .. import plots
from .panel import Panel


@plots.styled
def queries_panel(wins, near, path, floor, most):
    """Build: success and distance against queries, both up to a budget, and one image's way.

    wins: {attack: float [N]}, after how many queries each image was fooled, inf where never. near:
    {attack: (budgets [B], distances [B])}, the median nearest success. path: [(queries, image
    [1, H, W], words), ...] of one image, queries rising from 0. floor: the median distance that a
    white box needs. most: the largest budget. Its `update` takes budget.
    """
    made = plots.figure(9.4, 3.4)
    ax, side, view = made.subplots(1, 3, width_ratios=[1.25, 1.25, 1])
    edges = []
    for each in (ax, side):
        each.set(xscale="symlog", xlim=(0, most), xlabel="queries per image")
        each.set_xscale("symlog", linthresh=10)
        each.set_xticks(ticks := [0, *(t for t in (10, 100, 1000) if t <= most)], map(str, ticks))
        each.grid(alpha=0.25)
        edges.append(each.axvline(0, color=plots.INK, linewidth=1.5, linestyle=":"))
    ax.set(ylim=(-0.03, 1.45), yticks=[0, 0.25, 0.5, 0.75, 1], ylabel="images fooled")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    top = max(float(np.nanmax(finite(d))) for _, d in near.values())
    side.set(ylim=(0, 1.08 * top), ylabel="median distance (l2)")
    side.axhline(floor, color=plots.INK, linestyle=(0, (1, 2)), label="white box")
    shares, sizes, lines = {}, {}, []
    for i, (label, counts) in enumerate(wins.items()):
        at = np.unique(np.r_[0, finite(counts), most])
        at = at[~np.isnan(at)]
        shares[label] = at, (np.asarray(counts)[None] <= at[:, None]).mean(1)
        lines.append((ax, shares[label], drawn(ax, label, i, "steps-post")))
    for i, (label, (budgets, distances)) in enumerate(near.items()):
        sizes[label] = np.asarray(budgets), finite(distances)
        lines.append((side, sizes[label], drawn(side, label, len(wins) + i, "default")))
    ax.legend(loc="upper left")
    side.legend(loc="upper right")
    view.set(xticks=[], yticks=[])
    view.spines[:].set_visible(True)
    picture = view.imshow(plots.pixels(path[0][1]), cmap="gray", vmin=0, vmax=1)
    words = view.text(0.5, -0.08, "", ha="center", va="top", transform=view.transAxes)
    view.set_title("one image")

    def update(budget):
        for _, (at, height), line in lines:
            keep = at <= budget
            ends = np.r_[at[keep], budget]
            line.set_data(ends, np.r_[height[keep], height[keep][-1:]][: len(ends)])
        for edge in edges:
            edge.set_xdata([budget, budget])
        _, image, text = path[bisect.bisect_right([asked for asked, *_ in path], budget) - 1]
        picture.set_data(plots.pixels(image))
        words.set_text(text)
        told = [f"{label} has fooled {last(*s, budget):.0%}" for label, s in shares.items()]
        for label, s in sizes.items():
            size = last(*s, budget)
            known = (
                "has no picture yet for half of them" if np.isnan(size) else f"is {size:.2f} away"
            )
            told.append(f"{label} {known}")
        return f"After {budget} queries per image: {'; '.join(told)}. The one image: {text}."

    changing = [*(line for *_, line in lines), *edges, picture, words]
    return Panel(made, changing, update)


def drawn(ax, label, i, style):
    """Return an empty line of attack number i."""
    look = {"color": plots.LINES[i], "linestyle": ("-", "--", "-.")[i % 3], "drawstyle": style}
    return ax.plot([], [], linewidth=2, label=label, **look)[0]


def finite(values):
    """Return the numbers as an array in which nan stands for what never happened."""
    values = np.asarray(torch.as_tensor(values).cpu(), dtype=float)
    return np.where(np.isinf(values), np.nan, values)


def last(at, height, budget):
    """Return the height of a curve at the last of its points up to `budget`; nan before the first."""
    place = bisect.bisect_right(at.tolist(), budget)
    return height[place - 1] if place else np.nan
