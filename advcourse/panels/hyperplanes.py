"""Panel of lecture 06: the straight lines between classes that DeepFool believes in."""

import torch
import torch.nn.functional as F

from .. import plots
from .panel import Panel

STROKES = ("--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
FAR = torch.linspace(-2, 2, 81)[:, None]  # enough to cross the unit square from any foot near it


def ties(model, point, label):
    """Return where class `label` ties with each class, the model taken for linear at point [2].

    Distances [K] from the point to the straight lines, the feet [K, 2] of the perpendiculars, and
    the lines' directions [K, 2]. Where there is no line, as for `label` itself: infinity and nan.
    """
    point = point.detach().clone().requires_grad_()
    with torch.enable_grad():
        z = model(point[None])[0]
        slopes = [torch.autograd.grad(one, point, retain_graph=True)[0] for one in z]
    lead = (z[label] - z).detach()
    slope = slopes[label] - torch.stack(slopes)
    length = slope.norm(dim=1)
    distance = torch.where(length > 0, lead.abs() / length, torch.inf)
    normal = slope / length[:, None]
    foot = point.detach() - (lead / length)[:, None] * normal
    return distance, foot, normal.flip(1) * torch.tensor([-1.0, 1.0])


def middle(mask):
    """Return the row and column of a place deep inside the mask [N, N]: peel it to its core."""
    left = mask[None, None].float()
    while True:
        peeled = -F.max_pool2d(-F.pad(left, (1, 1, 1, 1)), 3, 1)
        if not bool(peeled.any()):
            places = left[0, 0].nonzero().float()
            return places[(places - places.mean(0)).norm(dim=1).argmin()].tolist()
        left = peeled


@torch.no_grad()
def regions(ax, model, size=361):
    """Shade the unit square by the class that the model gives it, name each region; return K."""
    axis = torch.linspace(0, 1, size)
    z = model(torch.cartesian_prod(axis, axis))
    count, won = z.shape[1], z.argmax(1).view(size, size).T
    half = 0.5 / (size - 1)
    extent = (-half, 1 + half, -half, 1 + half)
    shade = {"cmap": "gray_r", "vmin": -0.3, "vmax": 2.2 * count}
    ax.imshow(won.numpy(), origin="lower", extent=extent, interpolation="nearest", **shade)
    for c in won.unique().tolist():
        row, column = middle((won == c)[::4, ::4])
        text = {"ha": "center", "va": "center", "fontsize": 12, "alpha": 0.85}
        ax.text(4 * column / (size - 1), 4 * row / (size - 1), f"class {c}", **text)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="feature 1", ylabel="feature 2")
    return count


@plots.styled
def hyperplane_panel(model, label, path_of, data=None):
    """Build: a 2-D classifier's regions, and the lines where class `label` ties with the others.

    The lines belong to the model taken for linear at the last point of path_of(**values) -> [M, 2];
    for a linear model they are the boundaries themselves. data: points (x [N, 2], y [N]) to draw
    faintly. `update` takes the arguments of path_of.
    """
    label, made = int(label), plots.figure(9.4, 4.2)
    ax = made.subplots()
    count = regions(ax, model)
    for c in range(count) if data else ():
        mark = {"s": 9, "marker": plots.MARKERS[c], "color": plots.INK, "alpha": 0.22}
        ax.scatter(*data[0][data[1] == c].T, linewidth=0, **mark)
    lines = {}
    for i, k in enumerate(k for k in range(count) if k != label):
        look = {"color": plots.LINES[k], "marker": plots.MARKERS[k], "markevery": 5}
        name = f"{label} ties with {k}"
        edge = {"markersize": 8, "markeredgecolor": "white", "linestyle": STROKES[i % 4]}
        (lines[k],) = ax.plot([], [], label=name, **look, **edge)
    (way,) = ax.plot([], [], ":", color=plots.INK, linewidth=2, label="to the nearest (bold)")
    (walk,) = ax.plot([], [], ".-", color=plots.INK, markersize=8, linewidth=1.2, label="path")
    white = {"markerfacecolor": "white", "markeredgewidth": 1.8}
    (foot,) = ax.plot([], [], "X", color=plots.INK, markersize=11, label="foot", **white)
    last = {"markersize": 15, "markeredgecolor": "white"}
    (now,) = ax.plot([], [], "*", color=plots.INK, label="point", **last)
    ax.legend(loc="center left", bbox_to_anchor=(1.03, 0.5))

    def update(**values):
        path = path_of(**values).detach().cpu()
        point = path[-1]
        distance, feet, along = ties(model, point, label)
        nearest = min(lines, key=lambda k: distance[k])
        for k, line in lines.items():
            line.set_data(*(feet[k] + FAR * along[k]).T)
            line.set_linewidth(4.5 if k == nearest else 1.8)
        way.set_data(*torch.stack([point, feet[nearest]]).T)
        foot.set_data(*feet[nearest][:, None])
        walk.set_data(*path.T)
        now.set_data(*point[:, None])
        with torch.no_grad():
            here = int(model(point[None]).argmax())
        told = ", ".join(f"{distance[k]:.3f} to the tie with class {k}" for k in lines)
        changed = "" if here == label else f", no longer {label}"
        return (
            f"The point ({point[0]:.2f}, {point[1]:.2f}) is class {here}{changed}. Its distances: "
            f"{told}. Nearest: class {nearest}."
        )

    return Panel(made, [*lines.values(), walk, way, foot, now], update)
