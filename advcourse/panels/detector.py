"""Panel of lecture 15: a threshold that moves over the scores of clean and attacked images."""

import numpy as np
import torch

from .. import metrics, plots
from ..defenses.detection import threshold_at
from .panel import Panel


@plots.styled
def detector_panel(held_out, groups, bins=40):
    """Build: the scores of every group, the threshold among them, and the ROC curves beside them.

    held_out [H]: scores of clean images, on which the threshold is chosen. groups: {label: (scores
    [N], right [N])}, the clean test images first; right: whether the model is, before anything is
    refused. Its `update` takes rate, the false positive rate on the held-out images.
    """
    made = plots.figure(9.4, 3.6)
    ax, side = made.subplots(1, 2, width_ratios=[1.6, 1])
    groups = {k: (s.cpu(), right.cpu()) for k, (s, right) in groups.items()}
    (clean, _), held_out = next(iter(groups.values())), held_out.cpu()
    edges = np.histogram_bin_edges(torch.cat([s for s, _ in groups.values()]).numpy(), bins)
    dots = []
    for i, (label, (scores, _)) in enumerate(groups.items()):
        look = {"color": plots.LINES[i], "linestyle": ("-", "--", ":", "-.")[i % 4]}
        ax.hist(scores.numpy(), edges, histtype="step", linewidth=1.8, label=label, **look)
        if i:
            side.plot(*metrics.roc(clean, scores), label=label, **look)
            look = {"color": plots.LINES[i], "marker": plots.MARKERS[i], "markersize": 9}
            dots.append(side.plot([], [], **look)[0])
    ax.set(xlabel="score (more suspicious to the right)", ylabel="images")
    ax.legend()
    side.plot([0, 1], [0, 1], color=plots.LIGHT)
    side.set(xlabel="clean images refused", ylabel="attacked images refused", aspect="equal")
    line = ax.axvline(held_out.median().item(), color=plots.INK, linewidth=2)

    def update(rate):
        threshold = threshold_at(held_out, rate)
        line.set_xdata([threshold, threshold])
        told, refused_clean = [], (clean > threshold).float().mean().item()
        for label, (scores, right) in groups.items():
            refused = scores > threshold
            shares = [refused, right & ~refused, ~right & ~refused]
            refused, good, fooled = (share.float().mean().item() for share in shares)
            told.append(f"{label}: {good:.0%} right, {refused:.0%} refused, {fooled:.0%} fooled")
        for dot, (scores, _) in zip(dots, list(groups.values())[1:], strict=True):
            dot.set_data([refused_clean], [(scores > threshold).float().mean().item()])
        return f"Threshold {threshold:.2f} (rate {rate:.2f}). " + "; ".join(told) + "."

    return Panel(made, [line, *dots], update)
