"""Figures that move: built once, then only their changing artists are drawn again.

A new three-panel figure costs 100 ms; restoring a saved background and drawing the few artists
that changed costs about 10. That is what lets a slider feel immediate.
"""

import io

import matplotlib
import numpy as np
import torch
from matplotlib.collections import PolyCollection
from matplotlib.patches import Polygon, Rectangle
from PIL import Image

from . import plots
from .attacks import project
from .metrics import norms

NORM_NAMES = {"linf": "l∞", "l2": "l2", "l1": "l1", "l0": "l0"}


class Panel:
    """A figure whose `changing` artists `update(**values)` sets; update returns the caption."""

    def __init__(self, figure, changing, update):
        self.figure, self.changing, self.update = figure, changing, update
        self._background = None
        for artist in changing:
            artist.set_animated(True)

    def draw(self, **values):
        """Set the artists, and return (png bytes, caption)."""
        caption, image = self.update(**values), self._image()
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue(), caption

    def frame(self, **values):
        """Set the artists, and return (WebP bytes, caption): smaller, slower, for pages."""
        caption, image = self.update(**values), self._image()
        buffer = io.BytesIO()
        image.quantize(96, dither=Image.Dither.NONE).convert("RGB").save(
            buffer, "WEBP", lossless=True, quality=60, method=4
        )
        return buffer.getvalue(), caption

    def _image(self):
        canvas = self.figure.canvas
        if self._background is None:
            with matplotlib.rc_context(plots.STYLE):
                canvas.draw()
                self.figure.set_layout_engine("none")  # from here on nothing may shift
                canvas.draw()
            self._background = canvas.copy_from_bbox(self.figure.bbox)
        canvas.restore_region(self._background)
        for artist in self.changing:
            self.figure.draw_artist(artist)
        return Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert(
            "RGB"
        )


def boxes(widths, offset):
    """Return the corners [K, 4, 2] of horizontal bars, one for each whole number from 0."""
    low = np.arange(len(widths)) + offset - 0.19
    x, y = np.array([0, 1, 1, 0]), np.array([0, 0, 0.38, 0.38])
    return np.stack([np.asarray(widths)[:, None] * x, low[:, None] + y], 2)


@plots.styled
def attack_panel(classes, example):
    """Build: picture, perturbation rescaled and to scale, adversarial picture, confidences.

    example: one image [C, H, W], for the shape. Its `update` takes x and x_adv [C, H, W], before and
    after (class probabilities [K]), y, and a note that the caption ends with.
    """
    made = plots.figure(9.4, 2.75)
    axes = made.subplots(1, 5, width_ratios=[1, 1, 1, 1, 1.55])
    for ax in axes[:4]:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(True)
    blank = plots.pixels(torch.zeros_like(example))
    kinds = [("gray", 0), (plots.DELTA, -1), (plots.DELTA, -1), ("gray", 0)]
    arts = [
        ax.imshow(blank, cmap=c, vmin=v, vmax=1) for ax, (c, v) in zip(axes, kinds, strict=False)
    ]
    titles = ("image", "perturbation", "to scale", "adversarial image")
    for ax, title in zip(axes, titles, strict=False):
        ax.set_title(title)
    below = {"ha": "center", "va": "top", "fontsize": 10}
    *read, zoom = (
        axes[i].text(0.5, -0.06, "", transform=axes[i].transAxes, **below) for i in (0, 3, 1)
    )
    bars, ticks = axes[4], range(len(classes))
    old, new = (
        bars.add_collection(PolyCollection(boxes([0.0] * len(classes), at), facecolor=color))
        for at, color in ((-0.2, plots.LIGHT), (0.2, plots.ADVERSARIAL))
    )
    bars.set(xlim=(0, 1), ylim=(len(classes) - 0.1, -0.9))
    bars.set_title("confidence: before (light), after (dark)", fontsize=9)
    bars.set(yticks=list(ticks), yticklabels=classes)

    def update(x, x_adv, before, after, y, note=""):
        delta = x_adv - x
        size = norms(delta[None])
        linf = size["linf"].item()
        for art, shown in zip(arts, (x, delta / max(linf, 1e-9), delta, x_adv), strict=True):
            art.set_data(plots.pixels(shown))
        zoom.set_text(f"× {1 / linf:.3g}" if linf > 1e-9 else "none")
        old.set_verts(boxes(before, -0.2))
        new.set_verts(boxes(after, 0.2))
        said = []
        for text, p in zip(read, (before, after), strict=True):
            top = int(p.argmax())
            said.append(f"{classes[top]} ({p[top]:.1%})")
            text.set_text(said[-1])
            text.set_color(plots.INK if top == y else plots.ADVERSARIAL)
        fooled = "still right" if int(after.argmax()) == y else "fooled"
        return (
            f"true class {classes[y]}; before {said[0]}, after {said[1]}: {fooled}. "
            f"Perturbation: l∞ {linf:.3f}, l2 {size['l2'].item():.2f}, "
            f"{int(size['l0'])} pixels changed. {note}"
        )

    return Panel(made, [*arts, zoom, *read, old, new], update)


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


@plots.styled
def poison_panel(fit, x, y, poison, victim, y_victim, size=90):
    """Build: a toy classifier's regions as the first k of the `poison` points join its training set.

    fit: (x [N, 2], y [N]) -> predict, a function [M, 2] -> [M]; poison: (x [K, 2], y [K]);
    victim [2]: the test point that the attacker wants classified as something else than y_victim.
    """
    made = plots.figure(9.4, 4.2)
    ax = made.subplots()
    axis = torch.linspace(0, 1, size)
    plane = torch.cartesian_prod(axis, axis)
    shade = {"cmap": "gray_r", "vmin": 0, "vmax": 3, "origin": "lower", "extent": (0, 1, 0, 1)}
    region = ax.imshow(torch.zeros(size, size), **shade)
    before = fit(x, y)(plane).float().view(size, size).T
    ax.contour(axis, axis, before, [0.5], colors=plots.INK, linestyles="--", linewidths=1)
    plots.points(ax, x, y)
    (added,) = ax.plot([], [], "P", color=plots.THIRD, markersize=8, label="poison")
    (star,) = ax.plot(*victim.tolist(), "*", color=plots.INK, markersize=15, label="test point")
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="feature 1", ylabel="feature 2")
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
