"""The first two ways to poison: points are added, or points are changed (lecture 11)."""

import torch

from ..attacks.contract import frozen
from ..attacks.inputs import check_count, check_size, one_of
from ..attacks.pgd import bim
from ..randomness import source_of
from .poisoned import (
    Poisoned,
    beside_boundary,
    check_training_set,
    draw_rows,
    how_many_classes,
    other_class,
    scores,
)

PLACES = ("random", "copies", "boundary", "gradient")
CHANGES = ("noise", "gradient")


def insert(
    x,
    y,
    share,
    where="random",
    *,
    model=None,
    classes=None,
    eps=1.0,
    steps=20,
    bounds=(0.0, 1.0),
    generator=None,
):
    """Add points to x [N, ...], y [N] until a `share` of the new set is poison; see `Poisoned`.

    where: "random": anywhere in `bounds`, any label. "copies": copies of random training points,
    each with another label. "boundary": copies of the points that lie nearest the boundary of
    `model`, with the class beyond it as their label. "gradient": like "copies", but each climbs
    the loss of `model` under its wrong label, for `steps` steps and at most `eps` per feature.
    The poison stands at the end. share: in [0, 1); eps: linf, in pixel units of [0, 1].
    Raises ValueError for bad input.
    Source: lecture 11; the gradient's idea is that of Biggio, Nelson and Laskov 2012 without
    the training that follows.
    """
    check_training_set(x, y, share, generator)
    one_of("where", where, PLACES)
    check_size("eps", eps)
    check_count("steps", steps)
    if share == 1:
        raise ValueError("share: 1 leaves no room for the clean points; pass a number below 1")
    classes, source = how_many_classes(y, classes), source_of(generator)
    count = round(share * len(y) / (1 - share))
    if where == "random":
        low, high = bounds
        points = torch.rand(
            (count, *x.shape[1:]), dtype=x.dtype, generator=source, device=source.device
        )
        points = (low + (high - low) * points).to(x.device)
        label = torch.randint(classes, (count,), generator=source, device=source.device)
    elif where == "boundary":
        distance, beyond = beside_boundary(model, x, y)
        rows = distance.abs().argsort().repeat(count // len(y) + 1)[:count]
        points, label = x[rows], beyond[rows]
    else:
        rows = _rows(len(y), count, source, y.device)
        points, label = x[rows], other_class(y[rows], classes, source)
        if where == "gradient" and count:
            scores(model, x[:1])  # says what is missing, before the attack does
            with frozen(model):
                points = bim(model, points, label, eps=eps, steps=steps, bounds=bounds)
    mask = torch.arange(len(y) + count, device=y.device) >= len(y)
    return Poisoned(torch.cat([x, points]), torch.cat([y, label.to(y)]), mask)


def modify(
    x,
    y,
    share,
    how="noise",
    *,
    model=None,
    eps=0.25,
    std=0.5,
    steps=20,
    bounds=(0.0, 1.0),
    generator=None,
):
    """Change a `share` of the points of x [N, ...] and leave their labels y [N]; see `Poisoned`.

    how: "noise": Gaussian noise of `std`, clipped. "gradient": adversarial examples of `model`,
    within `eps` per feature, that the model takes for the class after their own.
    std, eps: in pixel units of [0, 1]. Raises ValueError for bad input.
    Source: Fowl et al. 2021, "Adversarial examples make strong poisons"; lecture 11.
    """
    check_training_set(x, y, share, generator)
    one_of("how", how, CHANGES)
    for name, value in (("eps", eps), ("std", std)):
        check_size(name, value)
    check_count("steps", steps)
    source, x_new = source_of(generator), x.clone()
    rows = draw_rows(len(y), round(share * len(y)), source, y.device)
    mask = torch.zeros(len(y), dtype=torch.bool, device=y.device)
    mask[rows] = True
    if how == "noise":
        noise = torch.randn(x[rows].shape, dtype=x.dtype, generator=source, device=source.device)
        x_new[rows] = (x[rows] + std * noise.to(x.device)).clamp(*bounds)
    elif len(rows):
        goal = (y[rows] + 1) % scores(model, x[:1]).shape[1]
        with frozen(model):
            x_new[rows] = bim(
                model, x[rows], y[rows], eps=eps, steps=steps, target=goal, bounds=bounds
            )
    return Poisoned(x_new, y.clone(), mask)


def _rows(n, count, source, device):
    """Return `count` random row numbers below n; each row once before any comes twice."""
    rounds = [draw_rows(n, n, source, device) for _ in range(count // n + 1)]
    return torch.cat(rounds)[:count]
