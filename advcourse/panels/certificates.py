"""Panels of lecture 16: a box of inputs on its way through a network, and votes under noise."""

import functools

import torch
from matplotlib.patches import Rectangle

from .. import plots
from ..defenses import RandomizedSmoothing, interval_bounds, worst_logits
from ..defenses.smoothing import lower_bound, radius_of
from .panel import Panel

GRID = 60  # points per side, mapped through the network to see where it really sends the box


@plots.styled
def box_panel(nets, start, label, largest=0.2):
    """Build: the linf box around start [2], and what each net makes of it in the plane of logits.

    nets: {name: Sequential with 2 inputs and 2 logits}; label: the class of `start`; largest: the
    eps that has to fit into the picture. `update` takes eps.
    """
    made = plots.figure(9.4, 3.6)
    axes, label = made.subplots(1, 1 + len(nets)), torch.tensor([int(label)])
    axis = torch.linspace(-1, 1, GRID)
    offsets = torch.cartesian_prod(axis, axis)
    first, looks = next(iter(nets.values())), zip(nets.values(), ("solid", "dashed"), strict=False)
    plots.landscape(axes[0], first, lambda z: z[:, 1] - z[:, 0])
    for net, look in list(looks)[1:]:
        with torch.no_grad():
            lead = net((offsets + 1) / 2) @ torch.tensor([1.0, -1.0])
        axes[0].contour(
            (axis + 1) / 2,
            (axis + 1) / 2,
            lead.view(GRID, GRID).T,
            [0],
            colors=plots.INK,
            linestyles=look,
        )
    axes[0].plot(*start.tolist(), "D", color=plots.CLEAN, markersize=7)
    frame = {"fill": False, "linewidth": 2, "edgecolor": plots.CLEAN}
    square = axes[0].add_patch(Rectangle((0, 0), 0, 0, **frame))
    sides = []
    for ax, (name, net) in zip(axes[1:], nets.items(), strict=True):
        (cloud,) = ax.plot([], [], ".", color=plots.CLEAN, markersize=2, label="real outputs")
        line = frame | {"edgecolor": plots.ADVERSARIAL, "label": "interval bounds"}
        box = ax.add_patch(Rectangle((0, 0), 0, 0, **line))
        low, high = (
            torch.cat(v).flatten()
            for v in zip(*(_bounds(net, start, e * largest) for e in (0.0, 0.6)), strict=True)
        )
        reach = max(low.abs().max().item(), high.abs().max().item(), 1e-3)
        ax.plot([-9 * reach, 9 * reach], [-9 * reach, 9 * reach], color=plots.INK, linewidth=1)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", title=name)
        ax.set(xlabel="logit of class 0", ylabel="logit of class 1")
        sides.append((name, net, cloud, box))
    made.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=2)

    @torch.no_grad()
    def update(eps):
        low, high = (start - eps).clamp(0, 1), (start + eps).clamp(0, 1)
        square.set_bounds(*low.tolist(), *(high - low).tolist())
        inside, told = low + (offsets + 1) / 2 * (high - low), []
        for name, net, cloud, box in sides:
            z, (low_z, high_z) = net(inside), _bounds(net, start, eps)
            cloud.set_data(*z.T)
            box.set_bounds(*low_z[0].tolist(), *(high_z - low_z)[0].tolist())
            fooled = bool((z.argmax(1) != label).any())
            lead = worst_logits(net, start[None], label, eps)[0, 1 - label].item()
            proof = f"proven (the worst lead of the other class is {lead:.2f})"
            proof = proof if lead < 0 else f"not proven (the bound of its lead is {lead:.2f})"
            told.append(f"{name}: {'some points cross' if fooled else 'no point crosses'}, {proof}")
        return f"eps {eps:.3f}. " + ". ".join(told) + "."

    return Panel(made, [square, *(a for s in sides for a in s[2:])], update)


@torch.no_grad()
def _bounds(net, start, eps):
    low, high = (start[None] - eps).clamp(0, 1), (start[None] + eps).clamp(0, 1)
    return interval_bounds(net, low, high)


@plots.styled
def vote_panel(model, x, classes, n=300, alpha=0.001, seed=0):
    """Build: one noisy copy of the image x [1, H, W], and how n such copies vote.

    model: the base classifier; classes: their names. `update` takes sigma.
    """
    made = plots.figure(9.4, 3.2)
    left, right = made.subplots(1, 2, width_ratios=[1, 2.4])
    picture = left.imshow(plots.pixels(x), cmap="gray", vmin=-1, vmax=2)
    left.set(xticks=[], yticks=[], title="one noisy copy")
    bars = right.bar(range(len(classes)), [0] * len(classes), color=plots.CLEAN)
    right.axhline(0.5, color=plots.INK, linestyle="--", linewidth=1)
    (bound,) = right.plot([], [], "_", color=plots.ADVERSARIAL, markersize=26, markeredgewidth=3)
    right.set(xticks=range(len(classes)), xticklabels=classes, ylim=(0, 1.02))
    right.set(ylabel=f"share of {n} votes", title="votes; the short bar is the proven share")

    @functools.lru_cache(maxsize=200)
    def count(sigma):
        smooth = RandomizedSmoothing(model, sigma, len(classes), seed)
        guess = int(smooth.votes(x[None], 100).argmax())  # by other votes than those that prove it
        return guess, smooth.votes(x[None], n)[0].cpu()

    def update(sigma):
        first, votes = count(sigma)
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        picture.set_data(plots.pixels(x.cpu() + sigma * noise))
        for bar, share in zip(bars, (votes / n).tolist(), strict=True):
            bar.set_height(share)
        p = lower_bound(votes[first], n, alpha)
        radius = radius_of(p, sigma).item()
        bound.set_data([first], [p])
        answer = f"the radius is {radius:.2f}" if radius else "no majority is proven: it abstains"
        return (
            f"sigma {sigma:.2f}: {votes[first] / n:.1%} of {n} copies are read as "
            f"{classes[first]}; at least {p:.1%} of all would be. In l2, {answer}."
        )

    return Panel(made, [picture, *bars, bound], update)
