"""The third way to poison: the points stay, their labels are changed (lecture 11)."""

import torch

from ..attacks.inputs import one_of
from ..randomness import source_of
from .poisoned import (
    Poisoned,
    beside_boundary,
    check_training_set,
    draw_rows,
    how_many_classes,
    other_class,
)

WAYS = ("random", "next", "near", "far")


def flip_labels(x, y, share, how="random", *, model=None, classes=None, generator=None):
    """Give a `share` of the rows of x [N, ...], y [N] another label; return a `Poisoned` set.

    how: "random": random rows, each to any other class. "next": random rows, each to the class
    after its own (the last to 0). "near", "far": the rows with the smallest and with the largest
    margin of `model`, each to the class that the model ranks next.
    classes: how many there are (None: one more than the largest label). Nothing is changed in
    place; round(share * N) labels differ. Raises ValueError for bad input.
    Source: Biggio, Nelson and Laskov 2011, "Support vector machines under adversarial label
    noise"; lecture 11.
    """
    check_training_set(x, y, share, generator)
    one_of("how", how, WAYS)
    classes, source = how_many_classes(y, classes), source_of(generator)
    count = round(share * len(y))
    if how in ("near", "far"):
        distance, beyond = beside_boundary(model, x, y)
        order = distance.abs().argsort() if how == "near" else distance.argsort(descending=True)
        rows = order[:count]
        label = beyond[rows]
    else:
        rows = draw_rows(len(y), count, source, y.device)
        label = (y[rows] + 1) % classes if how == "next" else other_class(y[rows], classes, source)
    y_new, mask = y.clone(), torch.zeros(len(y), dtype=torch.bool, device=y.device)
    y_new[rows], mask[rows] = label, True
    return Poisoned(x.clone(), y_new, mask)
