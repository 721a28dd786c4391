"""Panel of lecture 10: a flat sign, what the camera sees of it, and what the network says."""

import torch
from matplotlib.collections import PolyCollection

from .. import physical, plots
from .attack import boxes
from .panel import Panel


@plots.styled
def sign_panel(model, flats, alpha, classes, label, target=None, background=0.5):
    """Build: the sign as it was printed, the camera's picture of it, and the network's confidences.

    flats: {name: flat sign [C, H, W]}, for example without and with a sticker; alpha [1, H, W]: its
    shape; label: its class; target: the attacker's, drawn in his color; background: what is behind
    it, a gray value or a picture. `update` takes sign (a name of flats), distance (feet) and angle.
    """
    made = plots.figure(9.4, 2.9)
    left, middle, bars = made.subplots(1, 3, width_ratios=[1, 1, 1.6])
    arts = []
    for ax, title in ((left, "the sign, flat"), (middle, "what the camera sees")):
        ax.set(xticks=[], yticks=[], title=title)
        ax.spines[:].set_visible(True)
        arts.append(ax.imshow(plots.pixels(next(iter(flats.values()))), vmin=0, vmax=1))
    read = middle.text(0.5, -0.05, "", transform=middle.transAxes, ha="center", va="top")
    colors = [plots.LIGHT] * len(classes)
    colors[label] = plots.CLEAN
    if target is not None:
        colors[target] = plots.ADVERSARIAL
    empty = boxes([0.0] * len(classes), 0, 0.7)
    shares = bars.add_collection(PolyCollection(empty, facecolor=colors, edgecolor=plots.INK))
    bars.set(xlim=(0, 1), ylim=(len(classes) - 0.4, -0.6), title="confidence of the network")
    bars.set(yticks=range(len(classes)), yticklabels=classes)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))

    @torch.no_grad()
    def update(sign, distance, angle):
        flat, shape = flats[sign][None].to(device), alpha[None].to(device)
        arts[0].set_data(plots.pixels((flat * shape + 0.5 * (1 - shape))[0]))
        seen = physical.camera(flat, distance, angle, alpha=shape, background=background)
        arts[1].set_data(plots.pixels(seen[0]))
        p = model(seen).softmax(1)[0].cpu()
        top = int(p.argmax())
        shares.set_verts(boxes(p.tolist(), 0, 0.7))
        read.set_text(f"{classes[top]} ({p[top]:.1%})")
        read.set_color(plots.INK if top == label else plots.ADVERSARIAL)
        told = "read rightly" if top == label else "fooled"
        return (
            f"{classes[label]} sign, {sign}, from {distance:g} feet and {angle:g} degrees: read as "
            f"{classes[top]} with {p[top]:.1%}, {told}."
        )

    return Panel(made, [*arts, read, shares], update)
