"""Panels of lecture 11: the two goals of poisoning in the plane, and a backdoor by its share."""

import torch
from matplotlib.ticker import PercentFormatter

from .. import plots
from .panel import Panel
from .plane import ground


@plots.styled
def moments_panel(fit, x, y, x_test, y_test, poisons, star, y_star, size=90):
    """Build: a toy classifier's regions as the first k points of two poisons join its training set.

    fit: (x [N, 2], y [N]) -> predict, a function [M, 2] -> [M]; x_test, y_test: held-out points;
    poisons: {title: (x [K, 2], y [K])}, one picture each; star [2], of class y_star: the held-out
    point that is watched. Its `update` takes points, how many join.
    """
    made = plots.figure(9.4, 4.3)
    axis = torch.linspace(0, 1, size)
    changing, parts = [], []
    for ax, (title, poison) in zip(made.subplots(1, len(poisons)), poisons.items(), strict=True):
        plane, region = ground(ax, size)
        before = fit(x, y)(plane).float().view(size, size).T
        ax.contour(axis, axis, before, [0.5], colors=plots.INK, linestyles="--", linewidths=1)
        plots.points(ax, x, y)
        (added,) = ax.plot([], [], "P", color=plots.THIRD, markersize=8, label="poison")
        (mark,) = ax.plot(*star.tolist(), "*", color=plots.INK, markersize=15, label="the star")
        ax.set_title(title)
        changing += [region, *ax.collections, added, mark]
        parts.append((title, poison, region, added))
    made.axes[0].set_ylabel("feature 2")
    made.axes[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))

    def update(points):
        told = []
        for title, (px, py), region, added in parts:
            predict = fit(torch.cat([x, px[:points]]), torch.cat([y, py[:points]]))
            region.set_data(predict(plane).float().view(size, size).T)
            added.set_data(*px[:points].T)
            right = (predict(x_test) == y_test).float().mean().item()
            fooled = int(predict(star[None])) != y_star
            state = "misclassified" if fooled else "right"
            told.append(f"{title}: {right:.1%} of the held-out points right, the star {state}")
        begun = (
            f"{points} poison points beside {len(x)} clean ones ({points / (points + len(x)):.0%})"
        )
        return f"{begun}. " + "; ".join(told) + "."

    return Panel(made, changing, update)


@plots.styled
def backdoor_panel(image, stamped, results, classes, target):
    """Build: an image without and with the trigger, and what networks of rising shares make of it.

    image, stamped [1, H, W]; results: a list of (share, clean accuracy, share triggered, class of
    the image, class of the stamped image), one for each network; classes: their names; target: the
    attacker's class. Its `update` takes place, the number of the network in the list.
    """
    made = plots.figure(9.4, 3.4)
    left, middle, ax = made.subplots(1, 3, width_ratios=[1, 1, 2.2])
    titles = []
    for side, pixels in ((left, image), (middle, stamped)):
        side.imshow(plots.pixels(pixels), cmap="gray", vmin=0, vmax=1)
        side.set(xticks=[], yticks=[])
        side.spines[:].set_visible(True)
        titles.append(side.text(0.5, 1.04, "", ha="center", va="bottom", transform=side.transAxes))
    left.set_xlabel("clean")
    middle.set_xlabel("with the trigger")
    spots, dots = range(len(results)), []
    lines = (("clean accuracy", 1, plots.CLEAN, "o"), ("triggered", 2, plots.ADVERSARIAL, "s"))
    for label, column, color, marker in lines:
        values = [row[column] for row in results]
        ax.plot(spots, values, color=color, marker=marker, markersize=4, label=label, alpha=0.6)
        dots.append(ax.plot([], [], marker, color=color, markersize=12)[0])
    ax.set(xticks=spots, xticklabels=[f"{row[0]:.1%}" for row in results], ylim=(-0.03, 1.06))
    ax.set(xlabel="share of the training set with the trigger")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(alpha=0.25)
    ax.legend(loc="center right")

    def update(place):
        share, clean, hit, *labels = results[place]
        for title, label in zip(titles, labels, strict=True):
            title.set_text(f"read as {classes[label]}")
        for dot, value in zip(dots, (clean, hit), strict=True):
            dot.set_data([place], [value])
        return (
            f"{share:.1%} of the training images carry the trigger: {clean:.1%} of clean test images "
            f"are right, {hit:.1%} of the stamped ones are read as {classes[target]}."
        )

    return Panel(made, [*titles, *dots], update)


@plots.styled
def flip_figure(shares, curves):
    """Draw accuracy against the share of flipped labels, one picture a model, one line a way to flip.

    curves: {(model's name, "random" or "next"): masks [N] of what is right, one for each share}.
    """
    made = plots.figure(9.2, 3.3)
    names = list(dict.fromkeys(name for name, _ in curves))
    axes = made.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for ax, name in zip(axes, names, strict=True):
        for how, color, marker in (("random", plots.CLEAN, "o"), ("next", plots.ADVERSARIAL, "s")):
            values = [mask.float().mean().item() for mask in curves[name, how]]
            label = "to any other class" if how == "random" else "to the next class"
            ax.plot(shares, values, color=color, marker=marker, label=label)
        ax.set(title=name, xlabel="share of labels flipped", ylim=(0, 1.03))
        for side in (ax.xaxis, ax.yaxis):
            side.set_major_formatter(PercentFormatter(1))
        ax.grid(alpha=0.25)
    axes[0].set_ylabel("test accuracy")
    axes[0].legend(loc="lower left")
    return made


@plots.styled
def component_figure(views, target):
    """Draw one class's features along two principal components, poison and clean apart.

    views: a list of (title, points [N, C], poison mask [N], i, j), i and j the components drawn;
    target: the class's name.
    """
    made = plots.figure(9.2, 3.6)
    axes = made.subplots(1, len(views), squeeze=False)[0]
    for ax, (title, points, poison, i, j) in zip(axes, views, strict=True):
        for mask, color, marker, name in (
            (~poison, plots.CLEAN, "o", f"clean, class {target}"),
            (poison, plots.ADVERSARIAL, "s", "poison"),
        ):
            spot = {"s": 12, "color": color, "marker": marker, "alpha": 0.6, "label": name}
            ax.scatter(points[mask, i].cpu(), points[mask, j].cpu(), **spot)
        ax.set(title=title, xlabel=f"component {i + 1}", ylabel=f"component {j + 1}")
    made.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return made
