"""Panel of lectures 05 to 07: the path of an attack over the toy plane, inside its ball."""

import functools

import torch
from matplotlib.patches import Polygon

from .. import plots
from ..attacks.contract import input_gradient
from ..metrics import norms
from .balls import ball
from .panel import NORM_NAMES, Panel


def in_the_square(corners, density=40):
    """Return the outline [M, 2] of the part of a ball around a point of the unit square inside it.

    A norm's ball holds with a point every point nearer to the center in both features. So what
    sticks out may be moved straight onto the border, once there are points all along the outline.
    """
    share = torch.linspace(0, 1, density)[:, None, None]
    dense = corners + share * (corners.roll(-1, 0) - corners)
    return dense.transpose(0, 1).reshape(-1, 2).clamp(0, 1)


@plots.styled
def path_panel(model, loss, start, label, run, norm="linf"):
    """Build: the loss over the plane, the ball around start [2], and an attack's path inside it.

    loss: logits -> heights; label: the true class. run(eps) -> path [steps + 1, 2], from where the
    attack begins; it is called once for each eps. norm: "linf", "l2" or "l1". The hollow mark is
    where FGSM ends at the same eps. `update` takes eps and step.
    """
    run, label = functools.lru_cache(maxsize=200)(run), int(label)
    sign = input_gradient(model, start[None], loss)[0][0].sign()
    made = plots.figure(9.4, 4.2)
    ax = made.subplots()
    plots.landscape(ax, model, loss)
    name = f"{NORM_NAMES[norm]} ball"
    shape = Polygon([(0, 0)], fill=False, linewidth=2, edgecolor=plots.CLEAN, label=name)
    ax.add_patch(shape)
    hollow = {"markerfacecolor": "none", "markeredgewidth": 1.8, "clip_on": False}
    (fgsm,) = ax.plot([], [], "s", color=plots.INK, markersize=14, label="FGSM", **hollow)
    (line,) = ax.plot([], [], "o-", color=plots.ADVERSARIAL, markersize=4.5, label="path")
    last = {"markersize": 11, "markeredgecolor": "white", "clip_on": False}
    (now,) = ax.plot([], [], "o", color=plots.ADVERSARIAL, label="now", **last)
    (first,) = ax.plot(*start.tolist(), "D", color=plots.CLEAN, markersize=8, label="x")
    ax.legend(
        handles=[first, shape, line, now, fgsm], loc="center left", bbox_to_anchor=(1.03, 0.5)
    )

    def update(eps, step):
        path = run(eps).detach().cpu()
        steps = len(path) - 1
        step = min(step, steps)
        shape.set_xy(in_the_square(ball(norm, eps, start.tolist())).numpy())
        corner = (start + eps * sign).clamp(0, 1)
        fgsm.set_data(*corner[:, None])
        line.set_data(*path[: step + 1].T)
        now.set_data(*path[step, :, None])
        with torch.no_grad():
            z = model(torch.stack([start, path[step], corner]))
            before, here, there = loss(z).tolist()
            crossed = (z.argmax(1) != label).tolist()
        told = ["the boundary is crossed" if c else "the boundary is not crossed" for c in crossed]
        away = norms((corner - start)[None])[norm].item()
        where = ", outside the ball" if away > eps * 1.001 else ""
        used = norms((path[step] - start)[None])[norm].item()
        return (
            f"eps {eps:.3g}, step {step} of {steps}: the loss is {before:.2f} at x and {here:.2f} "
            f"now, {told[1]}. Distance from x: {NORM_NAMES[norm]} {used:.3f} of {eps:.3f}. "
            f"FGSM{where}: a loss of {there:.2f}, {told[2]}."
        )

    return Panel(made, [shape, fgsm, line, now, first], update)
