"""Panel of lecture 07: distance plus c times the objective, over the plane of the toy problem."""

import torch

from .. import plots
from ..attacks.objectives import OBJECTIVES
from .panel import Panel


@plots.styled
def cost_panel(model, start, label, objective="f6", size=161):
    """Build: the cost ||x - start||^2 + c * f(x) over the unit square, and its lowest point.

    model: 2-D inputs to logits; start [2]; label: the class to leave. Its `update` takes log10 of c.
    """
    made = plots.figure(9.4, 4.2)
    ax, side = made.subplots(1, 2, width_ratios=[1.1, 1])
    axis = torch.linspace(0, 1, size)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        z = model(grid)
    y = torch.full((len(grid),), int(label))
    f, away = OBJECTIVES[objective](z, y, None, 0), (grid - start).square().sum(1)
    blank = torch.zeros(size, size)
    shade = {"cmap": "gray_r", "vmin": 0, "vmax": 1, "origin": "lower", "extent": (0, 1, 0, 1)}
    height = ax.imshow(blank, **shade)
    plots.landscape(ax, model, lambda z: torch.zeros(len(z)), levels=1)
    ax.plot(*start.tolist(), "o", color=plots.CLEAN, markersize=9, label="x")
    (lowest,) = ax.plot([], [], "s", color=plots.ADVERSARIAL, markersize=9, label="lowest cost")
    (trace,) = ax.plot([], [], "-", color=plots.ADVERSARIAL, linewidth=1.2)
    names = ax.legend(loc="upper right", facecolor="white", framealpha=0.85, frameon=True)
    powers = torch.linspace(-3, 0, 61)
    ends = torch.stack([grid[(away + 10**p * f).argmin()] for p in powers])
    lengths = (ends - start).norm(dim=1)
    with torch.no_grad():
        crossed = model(ends).argmax(1) != label
    side.plot(powers[~crossed], lengths[~crossed], ".", color=plots.LIGHT, label="not across")
    side.plot(powers[crossed], lengths[crossed], ".", color=plots.THIRD, label="across")
    side.set(xlabel="log10 of c", ylabel="distance of the lowest point")
    side.legend(loc="lower right")
    (now,) = side.plot([], [], "s", color=plots.ADVERSARIAL, markersize=9)

    def update(power):
        cost = away + 10**power * f
        end = grid[cost.argmin()]
        height.set_data(((cost - cost.min()) / (cost.max() - cost.min())).sqrt().view(size, size).T)
        lowest.set_data(*end[:, None])
        trace.set_data(*torch.cat([start[None], ends[powers <= power + 1e-6]]).T)
        length = (end - start).norm()
        now.set_data([power], [length])
        with torch.no_grad():
            over = int(model(end[None]).argmax()) != int(label)
        told = "beyond the boundary: a success" if over else "on this side: too small a c"
        return f"c = {10**power:.3g}: the lowest cost lies {length:.3f} away, {told}."

    return Panel(made, [height, *ax.collections, *ax.lines, names, now], update)
