"""The blue team's figures: penalties on the weights against FGSM, tables 1 to 3 (lecture 18)."""

from tqdm.auto import tqdm

from .. import attacks
from .measure import answered, mean, share, under_fgsm
from .nets import report_net, trained
from .registry import LAMBDAS, TABLE_3, report_key

OTHERS = (32, 625)  # hidden units; the tutorial that the report cites has 625


def report(images, progress=True):
    """Measure every row of tables 1, 2 and 3."""
    values, x, y = {}, images.x_test, images.y_test
    for lambdas in tqdm(LAMBDAS, desc="rows", disable=not progress, leave=False):
        net, epochs = report_net(images, *lambdas, progress=progress)
        setting = f"128 hidden units, {epochs} epochs"
        for eps in (0, 0.05, 0.075, 0.1, 0.25) if lambdas in TABLE_3 else (0, 0.1, 0.25):
            right, confidence = under_fgsm(net, x, y, eps)
            values[report_key(lambdas, eps, "acc")] = share(right, setting)
            values[report_key(lambdas, eps, "conf")] = mean(confidence, setting)
    return values, {"unclipped": [_unclipped(images, lambdas, progress) for lambdas in TABLE_3]}


def _unclipped(images, lambdas, progress):
    """Return the row of a net under FGSM as the report's formula has it, without the clipping."""
    net, _ = report_net(images, *lambdas, progress=progress)
    row, x, y = {"l1": lambdas[0], "l2": lambdas[1]}, images.x_test, images.y_test
    for eps in (0.05, 0.075, 0.1, 0.25):
        beyond = attacks.fgsm(net, x, y, eps=eps, bounds=(-1.0, 2.0))
        right, confidence = answered(net, beyond, y)
        row |= {f"acc {eps:g}": share(right).value, f"conf {eps:g}": mean(confidence).value}
    return row


def hidden(images, progress=True):
    """Measure nets of other sizes, since the report does not state its own: does it matter?"""
    bar = tqdm(OTHERS, desc="hidden sizes", disable=not progress, leave=False)
    return {}, {"hidden": [_size(images, size, progress) for size in bar]}


def _size(images, size, progress):
    """Return accuracies and confidences of a net of another size, without a penalty, as a row."""
    net, epochs = trained(images, size, progress=progress)
    row = {"hidden": size, "epochs": epochs}
    for eps in (0, 0.1, 0.25):
        right, confidence = under_fgsm(net, images.x_test, images.y_test, eps)
        row |= {f"acc {eps:g}": share(right).value, f"conf {eps:g}": mean(confidence).value}
    return row
