"""Sentences that are held by the run: what a lecture says of a figure is tested where it is drawn.

A claim has room for chance: say what the sample supports, with `apart` (two samples) or `paired`
(the same images twice). Under ADVCOURSE_STRICT, which the tests set, a claim that fails is an error.
"""

import inspect
import os

import torch
from IPython.display import Markdown
from scipy.stats import binomtest

from .metrics import wilson


class ClaimError(AssertionError):
    """A sentence of a lecture that its own run does not bear out."""


def hold(claim, condition, **numbers):
    """Hold the sentence `claim` by `condition`; `numbers` are what it rests on, by name.

    Where it fails, the tests get a ClaimError that names the lecture, the claim and the numbers; a
    reader gets one honest line, and the notebook goes on. Returns whether it holds.
    """
    holds = bool(condition)
    if not holds:
        facts = ", ".join(f"{name} {_short(value)}" for name, value in numbers.items())
        text = claim + (f" ({facts})" if facts else "")
        if os.environ.get("ADVCOURSE_STRICT"):
            raise ClaimError(f"{_lecture()}: {text}")
        print(f"On this run this did not hold: {text}")
    return holds


def say(condition, if_true, if_false):
    """Return as Markdown the sentence that the run supports."""
    return Markdown(if_true if condition else if_false)


def apart(low, high, level=0.95):
    """Tell whether the share `low` lies below the share `high`, and their intervals do not meet.

    low, high: masks [N] and [M], or pairs (count, number); Wilson's intervals.
    """
    return wilson(*_counted(low), level)[1] < wilson(*_counted(high), level)[0]


def paired(fewer, more, level=0.95):
    """Tell whether `more` is true for more of the same images than `fewer`, beyond chance.

    fewer, more: masks [N] over the same images. An exact sign test over the images on which the two
    differ (McNemar 1947), one-sided.
    """
    fewer, more = (torch.as_tensor(m).bool().cpu() for m in (fewer, more))
    gained, lost = int((more & ~fewer).sum()), int((fewer & ~more).sum())
    if gained <= lost:
        return False
    return binomtest(gained, gained + lost, alternative="greater").pvalue < 1 - level


def _counted(sample):
    if isinstance(sample, tuple):
        return sample
    mask = torch.as_tensor(sample)
    return int(mask.sum()), mask.numel()


def _short(value):
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_short, value)) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _lecture():
    """Return the name that the calling notebook gives itself in `lecture`, else where it is."""
    frame = inspect.currentframe()
    while frame and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return (frame.f_globals.get("lecture") if frame else None) or "this notebook"
