"""What the jobs of lecture 18 measure with: masks of images, and values with 95 % intervals."""

from collections import namedtuple
from itertools import pairwise
from statistics import NormalDist

import torch

from .. import attacks, metrics

# A value, its 95 % interval, of how many, and what we set where the source is silent.
Found = namedtuple("Found", "value low high n setting")


@torch.no_grad()
def scores(model, x):
    """Return the logits [N, classes] of x [N, ...], in parts that fit a cache, in eval mode."""
    with attacks.contract.frozen(model):
        return torch.cat([model(part) for part in x.split(1000)])


def answered(model, x, y):
    """Return right [N] and confidence [N]: the probability of the predicted class, right or wrong."""
    confidence, read = scores(model, x).softmax(1).max(1)
    return read == y, confidence


def under_fgsm(model, x, y, eps):
    """Return right [N] and confidence [N] of x [N, ...] after FGSM at `eps`."""
    return answered(model, attacks.fgsm(model, x, y, eps=eps) if eps else x, y)


def among(model, x, y, k):
    """Return whether the true class y [N] is among the first k of each answer, [N]."""
    return (scores(model, x).topk(k, 1).indices == y[:, None]).any(1)


def found_eps(model, x, y, goal, high=0.5):
    """Return the epsilon at which FGSM leaves the share `goal` right, by halving (0, high)."""
    low = 0.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        left = under_fgsm(model, x, y, middle)[0].float().mean().item()
        low, high = (middle, high) if left > goal else (low, middle)
    return (low + high) / 2


def share(mask, setting=""):
    """Return the share of `mask` [N] with Wilson's interval."""
    count, n = int(mask.sum()), len(mask)
    return Found(count / n, *metrics.wilson(count, n), n, setting)


def mean(values, setting=""):
    """Return the mean of `values` [N] with its normal interval."""
    values = values.double()
    middle = values.mean().item()
    half = NormalDist().inv_cdf(0.975) * (values.std() / len(values) ** 0.5).item()
    return Found(middle, middle - half, middle + half, len(values), setting)


def gain(after, before, setting=""):
    """Return the difference of two shares on the same images, masks [N], with its interval."""
    return mean(after.double() - before.double(), setting)


def ratio(above, below, setting="", draws=2000):
    """Return mean(above) : mean(below), both [N] of the same things, with a bootstrap interval."""
    above, below, n = above.double(), below.double(), len(above)
    rows = torch.randint(n, (draws, n), generator=torch.Generator().manual_seed(0))
    ratios = above[rows].mean(1) / below[rows].mean(1)
    low, high = (ratios.quantile(q).item() for q in (0.025, 0.975))
    return Found((above.mean() / below.mean()).item(), low, high, n, setting)


def crossing(x, heights, level):
    """Return where a falling curve passes `level`, on straight lines between points, or None."""
    for (a, p), (b, q) in pairwise(zip(x, heights, strict=True)):
        if p >= level > q:
            return round(a + (b - a) * (p - level) / (p - q), 4)
    return None
