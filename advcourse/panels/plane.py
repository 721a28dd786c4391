"""Panels over the plane of the toy problem: one step inside the budget, a poisoned training set."""

import torch
from matplotlib.patches import Rectangle

from .. import plots
from .panel import Panel


@plots.styled
def step_panel(model, x, y, gradient, loss, scale):
    """Build: the loss over the plane, FGSM's step and the plain gradient's step from x [2].

    gradient [2] at x; loss: logits -> heights; scale: length of the plain step per unit of eps.
    """
    made = plots.figure(9.4, 4.2)
    ax = made.subplots()
    plots.landscape(ax, model, loss)
    sign, straight = gradient.sign(), gradient / gradient.norm()
    (start,) = ax.plot(*x.tolist(), "o", color=plots.CLEAN, markersize=10, label="x", zorder=3)
    box = ax.add_patch(Rectangle((0, 0), 0, 0, fill=False, linewidth=2, edgecolor=plots.CLEAN))
    (corner,) = ax.plot([], [], "s-", color=plots.ADVERSARIAL, markersize=8, label="FGSM: a corner")
    (plain,) = ax.plot([], [], "D--", color=plots.THIRD, markersize=7, label="gradient, same l2")
    ax.legend(loc="center left", bbox_to_anchor=(1.03, 0.5))

    def update(eps):
        ends = [(x + eps * sign).clamp(0, 1), (x + eps * scale * straight).clamp(0, 1)]
        box.set_bounds(*(x - eps).tolist(), 2 * eps, 2 * eps)
        for line, end in zip((corner, plain), ends, strict=True):
            line.set_data(*torch.stack([x, end]).T)
        with torch.no_grad():
            heights = [loss(model(p[None])).item() for p in (x, *ends)]
            crossed = [bool((model(p[None]).argmax(1) != y).item()) for p in ends]
        told = ["crosses the boundary" if c else "does not cross" for c in crossed]
        return (
            f"eps {eps:.2f}: the loss is {heights[0]:.2f} at x, {heights[1]:.2f} after FGSM "
            f"({told[0]}), {heights[2]:.2f} after the gradient step of the same l2 ({told[1]})."
        )

    return Panel(made, [box, corner, plain, start], update)


def ground(ax, size, vmin=0, vmax=3, interpolation=None):
    """Set ax to the unit square; return its grid's points [size * size, 2], and the gray image.

    The image is empty: what a classifier says there, [size, size] with y first, is its data.
    """
    axis = torch.linspace(0, 1, size)
    shade = {"cmap": "gray_r", "vmin": vmin, "vmax": vmax, "interpolation": interpolation}
    region = ax.imshow(torch.zeros(size, size), origin="lower", extent=(0, 1, 0, 1), **shade)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="feature 1")
    return torch.cartesian_prod(axis, axis), region


@plots.styled
def poison_panel(fit, x, y, poison, victim, y_victim, size=90):
    """Build: a toy classifier's regions as the first k of the `poison` points join its training set.

    fit: (x [N, 2], y [N]) -> predict, a function [M, 2] -> [M]; poison: (x [K, 2], y [K]);
    victim [2]: the test point that the attacker wants classified as something else than y_victim.
    """
    made = plots.figure(9.4, 4.2)
    ax = made.subplots()
    ax.set_ylabel("feature 2")
    plane, region = ground(ax, size)
    axis = torch.linspace(0, 1, size)
    before = fit(x, y)(plane).float().view(size, size).T
    ax.contour(axis, axis, before, [0.5], colors=plots.INK, linestyles="--", linewidths=1)
    plots.points(ax, x, y)
    (added,) = ax.plot([], [], "P", color=plots.THIRD, markersize=8, label="poison")
    (star,) = ax.plot(*victim.tolist(), "*", color=plots.INK, markersize=15, label="test point")
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))

    def update(points):
        px, py = poison[0][:points], poison[1][:points]
        predict = fit(torch.cat([x, px]), torch.cat([y, py]))
        region.set_data(predict(plane).float().view(size, size).T)
        added.set_data(px[:, 0], px[:, 1])
        right = (predict(x) == y).float().mean().item()
        fooled = int(predict(victim[None])) != y_victim
        return (
            f"{points} poisoned points among {len(x)} clean ones ({points / (points + len(x)):.1%}): "
            f"{right:.1%} of the clean points are right, the test point is "
            f"{'misclassified' if fooled else 'still right'}."
        )

    return Panel(made, [region, *ax.collections, added, star], update)
