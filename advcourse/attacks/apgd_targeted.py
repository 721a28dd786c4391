"""APGD towards one wrong class after the other, where any wrong answer will do (lecture 17)."""

import torch

from .apgd import LOSSES, climb
from .contract import attack, hook_for, succeeded
from .inputs import check_count, logits, no_target, one_of
from .pgd import Ball


@attack
def apgd_targeted(
    model,
    x,
    y,
    *,
    eps,
    steps=100,
    norm="linf",
    classes=9,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Climb the targeted DLR loss of x [N, ...] towards each of the most likely wrong classes in turn.

    An image leaves with its first wrong answer, whichever it is. eps: radius of the ball in `norm`
    ("linf" or "l2"), in pixel units of [0, 1]; steps: for each class. classes: how many are tried, at
    most all but one, from the most likely on. Returns each image's first success, else where the
    last class led. Raises ValueError for a target, and for bad input.
    Source: Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of
    diverse parameter-free attacks", where it is APGD-T; lecture 17.
    """
    no_target("apgd_targeted", target)
    one_of("norm", norm, ["linf", "l2"])
    check_count("classes", classes)
    if not len(x):
        return x
    with torch.no_grad():
        z = logits(model, x)
    likely = z.scatter(1, y[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
    found, left = x.clone(), (z.argmax(1) == y).nonzero()[:, 0]
    for k in range(min(classes, z.shape[1] - 1)):
        if not len(left):
            break
        ball, hook = Ball(x[left], eps, norm, bounds), hook_for(on_step, found, left)
        goal = likely[left, k]
        best, height = climb(
            model, ball, y[left], goal, steps, LOSSES["dlr"], generator, hook, any_other
        )
        found[left] = best
        left = left[height < torch.inf]
    return found


def any_other(z, y, target):
    """Return a mask [N]: predicted as anything but y, whatever was aimed at."""
    return succeeded(z, y)
