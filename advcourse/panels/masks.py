"""Panel of lecture 17: the same boundary behind a mask, and what is left of the gradient's arrows."""

import functools

import numpy as np
import torch
from matplotlib.collections import PolyCollection
from torch import nn

from .. import plots
from ..attacks.contract import goal_loss, input_gradient
from .panel import Panel
from .plane import ground

SATURATED, SHATTERED, STAIRS = MASKS = ("saturated", "shattered", "stairs")


class Masked(nn.Module):
    """A model for points [N, 2] behind a mask of some strength (0: as it was) -> logits.

    saturated: the logits times a number, so that the softmax is 1. shattered: a fine ripple on the
    difference of the two logits, whose slope drowns every other. stairs: the point is rounded first.
    """

    def __init__(self, model, mask, strength):
        super().__init__()
        if mask not in MASKS:
            raise ValueError(f"mask: {mask!r} is not one of {', '.join(MASKS)}")
        self.model, self.mask, self.strength = model, mask, strength

    def forward(self, x):
        if not self.strength:
            return self.model(x)
        if self.mask == STAIRS:
            fine = 120 / self.strength  # stairs per unit of length
            return self.model((x * fine).round() / fine)
        z = self.model(x)
        if self.mask == SATURATED:
            return z * 4**self.strength
        waves = torch.sin(x @ x.new_tensor([[431.0, -287.0], [317.0, 389.0]])).sum(1)
        ripple = 0.03 * self.strength * waves
        return z + torch.stack([ripple, -ripple], 1)


@plots.styled
def mask_panel(model, x, y, shown, attack, eps, size=150):
    """Build: a 2-D model's boundary and loss, arrows of its gradient, and what two attacks find.

    x [N, 2], y [N]: points that the model reads correctly; shown: which rows get an arrow. attack:
    (model, x, y) -> x_adv, which follows the gradient inside linf eps. `update` takes mask (one of
    MASKS) and strength, 0 to 6; `run(mask, strength)` of the panel returns the answers on a grid, the
    arrows' gradients, and two masks [N]: what the attack gets across, and what a search finds.
    """
    made = plots.figure(9.4, 4.2)
    ax = made.subplots()
    ax.set_ylabel("feature 2")
    plane, region = ground(ax, size, -0.4, 2, "nearest")
    plots.points(ax, x, y)
    dots = list(ax.collections)
    arrows = PolyCollection([], facecolor=plots.INK, edgecolor="white", linewidth=0.5)
    ax.add_collection(arrows)
    ring = {"color": "none", "markeredgecolor": plots.INK, "markersize": 11, "markeredgewidth": 2}
    (nought,) = ax.plot([], [], "o", label="no gradient", **ring)
    cross = {"color": "#cc79a7", "markersize": 9, "markeredgewidth": 2.5}
    (found,) = ax.plot([], [], "x", label="the attack gets through", **cross)
    ax.plot([], [], marker=r"$\rightarrow$", ls="", color=plots.INK, ms=14, label="gradient's way")
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))

    @functools.cache
    def run(mask, strength):
        net = Masked(model, mask, strength)
        gradient, _ = input_gradient(net, x[shown], goal_loss(y[shown], None))
        x_adv = attack(net, x, y)
        with torch.no_grad():
            return net(plane).argmax(1), gradient, net(x_adv).argmax(1) != y, by_search(net)

    def by_search(net):
        around = torch.linspace(-eps, eps, 21)
        moves = torch.cartesian_prod(around, around)
        near = (x[:, None] + moves).clamp(0, 1)
        return (net(near.flatten(0, 1)).argmax(1).view(len(x), -1) != y[:, None]).any(1)

    def update(mask, strength):
        answers, gradient, fooled, near = run(mask, strength)
        region.set_data(answers.float().view(size, size).T)
        length = gradient.norm(dim=1)
        flat = length == 0
        ways = gradient / length.clamp(min=1e-30)[:, None]
        arrows.set_verts([arrow(*p) for p in zip(x[shown][~flat], ways[~flat], strict=True)])
        nought.set_data(*x[shown][flat].T)
        found.set_data(*x[fooled].T)
        return (
            f"Mask: {mask}, strength {strength}. Of {len(flat)} arrows {int(flat.sum())} are gone: a "
            f"gradient of exactly 0. The attack that follows the gradient breaks "
            f"{int(fooled.sum())} of {len(x)} points; for {int(near.sum())} "
            f"a search without it finds a wrong answer within {eps:g}."
        )

    panel = Panel(made, [region, *dots, arrows, nought, found], update)
    panel.run = run
    return panel


def arrow(start, way, length=0.085, width=0.007):
    """Return the corners [7, 2] of an arrow from `start` [2] along the unit vector `way` [2]."""
    start, way = np.asarray(start), np.asarray(way)
    side = np.array([-way[1], way[0]])
    corners = [(0, 1), (0.6, 1), (0.6, 2.6), (1, 0), (0.6, -2.6), (0.6, -1), (0, -1)]
    return np.array([start + a * length * way + b * width * side for a, b in corners])
