"""Panels of lecture 02: balls in the plane, and projections of a point and of a digit."""

import torch
from matplotlib.patches import Polygon

from .. import plots
from ..attacks import project
from ..metrics import norms
from .panel import NORM_NAMES, Panel


def ball(norm, eps, center=(0.0, 0.0)):
    """Return the corners [M, 2] of the 2-D ball's outline; for l0, of the cross that it is."""
    cx, cy = center
    if norm == "l2":
        angle = torch.linspace(0, 2 * torch.pi, 120)
        return torch.stack([cx + eps * angle.cos(), cy + eps * angle.sin()], 1)
    if norm == "l1":
        corners = [(eps, 0), (0, eps), (-eps, 0), (0, -eps)]
    elif norm == "linf":
        corners = [(eps, eps), (-eps, eps), (-eps, -eps), (eps, -eps)]
    else:  # at most one coordinate changes, by any amount
        corners = [(9, 0), (-9, 0), (0, 0), (0, 9), (0, -9), (0, 0)] if eps >= 1 else [(0, 0)]
    return torch.tensor([(cx + a, cy + b) for a, b in corners])


@plots.styled
def ball_panel():
    """Build: the ball of a norm in the plane, a point, and the point's projection onto the ball."""
    made = plots.figure(9.4, 3.9)
    ax, text = made.subplots(1, 2, width_ratios=[1, 1])
    ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    ax.set(xlabel="change of pixel 1", ylabel="change of pixel 2")
    ax.axhline(0, color=plots.LIGHT, zorder=0)
    ax.axvline(0, color=plots.LIGHT, zorder=0)
    text.axis("off")
    shape = Polygon([(0, 0)], facecolor=plots.CLEAN, alpha=0.25, edgecolor=plots.CLEAN, linewidth=2)
    ax.add_patch(shape)
    (arrow,) = ax.plot([], [], "--", color=plots.INK)
    (point,) = ax.plot([], [], "o", color=plots.ADVERSARIAL, markersize=9)
    (foot,) = ax.plot([], [], "s", color=plots.THIRD, markersize=9)
    said = text.text(0, 0.5, "", family="monospace", fontsize=10.5, va="center")

    def update(norm, eps, a, b):
        delta = torch.tensor([[a, b]])
        near = project(delta, round(eps) if norm == "l0" else eps, norm)
        shape.set_xy(ball(norm, eps).numpy())
        arrow.set_data(*torch.cat([delta, near]).T)
        point.set_data(*delta.T)
        foot.set_data(*near.T)
        rows = [f"{'':11}{'point':>8}{'projection':>12}"]
        for key in ("l0", "l1", "l2", "linf"):
            before, after = norms(delta)[key].item(), norms(near)[key].item()
            mark = " <= eps" if key == norm else ""
            rows.append(f"{NORM_NAMES[key]:<11}{before:8.2f}{after:12.2f}{mark}")
        moved = (near - delta).norm().item()
        said.set_text("\n".join([*rows, "", f"distance moved: {moved:.2f}"]))
        where = "inside the ball, so it stays" if moved < 1e-6 else f"projected by {moved:.2f}"
        return (
            f"{NORM_NAMES[norm]} ball of radius {eps:g}: the point ({a:.2f}, {b:.2f}) is {where}, "
            f"at ({near[0, 0]:.2f}, {near[0, 1]:.2f})."
        )

    return Panel(made, [shape, arrow, point, foot, said], update)


@plots.styled
def projection_panel(x, delta):
    """Build: image x [1, H, W], the change `delta` asked for, its projection, and the result.

    Its `update` takes a norm and a share: the radius is that share of delta's own norm, so that
    one slider serves pixels, lengths and counts alike.
    """
    made = plots.figure(9.4, 2.75)
    axes = made.subplots(1, 4)
    for ax, title in zip(
        axes, ("image", "change asked for", "change allowed", "result"), strict=True
    ):
        ax.set(title=title, xticks=[], yticks=[])
    axes[0].imshow(plots.pixels(x), cmap="gray", vmin=0, vmax=1)
    axes[1].imshow(plots.pixels(delta), cmap=plots.DELTA, vmin=-1, vmax=1)
    change = axes[2].imshow(plots.pixels(delta), cmap=plots.DELTA, vmin=-1, vmax=1)
    result = axes[3].imshow(plots.pixels(x), cmap="gray", vmin=0, vmax=1)

    wish = {k: v.item() for k, v in norms(delta[None]).items()}

    def update(norm, share):
        eps = round(share * wish[norm]) if norm == "l0" else share * wish[norm]
        allowed = project(delta[None], eps, norm)[0]
        final = (x + allowed).clamp(0, 1)
        change.set_data(plots.pixels(allowed))
        result.set_data(plots.pixels(final))
        size = {k: v.item() for k, v in norms((final - x)[None]).items()}
        listed = ", ".join(f"{NORM_NAMES[k]} {v:.4g}" for k, v in size.items())
        return (
            f"projected onto the {NORM_NAMES[norm]} ball of radius {eps:.4g}, then clamped to the "
            f"box: {listed}."
        )

    return Panel(made, [change, result], update)
