"""Panels of lectures 13 to 16: what a defense does to a boundary, and to the accuracy curves."""

import functools

import numpy as np
import torch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .. import plots
from .panel import Panel
from .plane import ground

# Of the four accuracies: what the line looks like without its color.
LOOKS = {
    "unaware": {"color": plots.THIRD, "marker": "D", "linestyle": "--"},
    "adaptive": {"color": plots.ADVERSARIAL, "marker": "s", "linestyle": "-"},
    "certified": {"color": plots.INK, "marker": "^", "linestyle": ":"},
}


@plots.styled
def boundary_panel(nets, x, y, attack, size=110):
    """Build: the regions of one of several 2-D classifiers, and the points that an attack breaks.

    nets: {how it was trained: model}, the values of the control `trained`; x [N, 2], y [N];
    attack: (model, x, y, eps) -> x_adv, run once for each net and eps. `update` takes trained, eps.
    """
    made = plots.figure(9.4, 4.2)
    ax = made.subplots()
    ax.set_ylabel("feature 2")
    plane, region = ground(ax, size, -0.4, 3, "bilinear")
    plots.points(ax, x, y)
    dots = list(ax.collections)
    cross = {"color": plots.INK, "markersize": 9, "markeredgewidth": 2}
    (broken,) = ax.plot([], [], "x", label="wrong under attack", **cross)
    (moved,) = ax.plot([], [], "-", color=plots.INK, linewidth=0.8, label="how it was moved")
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))

    @functools.lru_cache(maxsize=500)
    def run(trained, eps):
        return attack(nets[trained], x, y, eps)

    @functools.cache
    @torch.no_grad()
    def regions(trained):
        return nets[trained](plane).argmax(1).float().view(size, size).T

    def update(trained, eps):
        x_adv, model = run(trained, eps), nets[trained]
        with torch.no_grad():
            right, left = (model(p).argmax(1) == y for p in (x, x_adv))
        region.set_data(regions(trained))
        lost = (~left).nonzero()[:, 0]
        broken.set_data(*x_adv[lost].T)
        gap = torch.full((len(lost), 1, 2), torch.nan)  # lifts the pen
        ends = torch.stack([x[lost], x_adv[lost]], 1)
        moved.set_data(*torch.cat([ends, gap], 1).view(-1, 2).T)
        return (
            f"Trained {trained}: {right.float().mean():.1%} of the points are right, and "
            f"{(left & right).float().mean():.1%} when each may be moved by {eps:.2f} in every feature."
        )

    return Panel(made, [region, *dots, moved, broken], update)


@plots.styled
def versus_panel(curves, epsilons):
    """Build: the accuracies of two defenses over epsilon, side by side.

    curves: {name: {"unaware", "adaptive", "certified" (or some of them): shares over `epsilons`}};
    the first share of each, at epsilon 0, is the clean accuracy. `update` takes left and right
    (names) and eps, for which the curves are read as broken lines.
    """
    made = plots.figure(9.4, 3.5)
    axes = made.subplots(1, 2, sharey=True)
    sides, kinds = [], [k for k in LOOKS if any(shares.get(k) for shares in curves.values())]
    for ax in axes:
        lines = {k: ax.plot([], [], markersize=5, label=k, **LOOKS[k])[0] for k in kinds}
        at = ax.axvline(0, color=plots.LIGHT, linewidth=3, zorder=0)
        title = ax.text(0.5, 1.04, "", transform=ax.transAxes, ha="center", fontsize=10)
        ax.set(xlim=(min(epsilons), max(epsilons)), ylim=(-0.03, 1.03), xlabel="epsilon (linf)")
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.xaxis.set_major_locator(MaxNLocator(6))
        ax.grid(alpha=0.25)
        sides.append((lines, at, title))
    axes[0].set_ylabel("accuracy")
    axes[1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5))

    def update(left, right, eps):
        told = []
        for name, (lines, at, title) in zip((left, right), sides, strict=True):
            shares = {k: v for k, v in curves[name].items() if v}
            for kind, line in lines.items():
                line.set_data(epsilons if kind in shares else [], shares.get(kind, []))
            at.set_xdata([eps, eps])
            title.set_text(name)
            here = {kind: np.interp(eps, epsilons, row) for kind, row in shares.items()}
            clean = next(iter(shares.values()))[0]
            numbers = ", ".join(f"{kind} {value:.1%}" for kind, value in here.items())
            told.append(f"{name}: clean {clean:.1%}; {numbers}")
        return f"At epsilon {eps:.2f}. " + ". ".join(told) + "."

    artists = [a for lines, at, title in sides for a in (at, title, *lines.values())]
    return Panel(made, artists, update)


@plots.styled
def minimal_panel(x, found, xlabel, ylabel="mean l2 of the smallest change"):
    """Build: a curve over a setting of the training, and what fools each of the trained networks.

    x [N, 1, H, W]: a few images; found: {setting: (x_adv [N, 1, H, W], size)}. `update` takes
    `setting`, one of the keys.
    """
    made = plots.figure(9.4, 3.6)
    grid = made.add_gridspec(2, 3 + len(x))
    ax = made.add_subplot(grid[:, :3])
    settings = list(found)
    ax.plot(settings, [found[s][1] for s in settings], "o-", color=plots.CLEAN, markersize=5)
    star = {"color": plots.ADVERSARIAL, "markersize": 15, "markeredgecolor": "white"}
    (here,) = ax.plot([], [], "*", **star)
    top = 1.15 * max(size for _, size in found.values())
    ax.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, top))
    ax.grid(alpha=0.25)
    pictures, changes = [], []
    for n in range(len(x)):
        for row, kept in ((0, pictures), (1, changes)):
            cell = made.add_subplot(grid[row, 3 + n], xticks=[], yticks=[])
            cell.spines[:].set_visible(True)
            look = {"cmap": plots.DELTA, "vmin": -1, "vmax": 1} if row else {"cmap": "gray"}
            look = look if row else look | {"vmin": 0, "vmax": 1}
            kept.append(cell.imshow(plots.pixels(x[n]), **look))
            if n == 0:
                cell.set_ylabel("the change" if row else "fools it", fontsize=9)

    def update(setting):
        x_adv, size = found[setting]
        here.set_data([setting], [size])
        for n in range(len(x)):
            pictures[n].set_data(plots.pixels(x_adv[n]))
            changes[n].set_data(plots.pixels(x_adv[n] - x[n]))
        return f"{xlabel} {setting:g}: {ylabel} {size:.2f}."

    return Panel(made, [here, *pictures, *changes], update)
