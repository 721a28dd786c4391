"""The degree test: does a changed graph still have the degrees that such graphs have?"""

import math

import torch

SMALLEST = 2  # degrees from here on follow the power law
UNNOTICED = 0.004  # of the likelihood ratio: 5 % of honest changes lie below it (chi-squared, 1 df)


def degree_test(before, after):
    """Return how unlike the degrees `after` [N] look to `before` [N]: a likelihood ratio >= 0.

    Both are fitted by a power law, once together and once each by itself. Below UNNOTICED (.004)
    the change passes. Source: Zügner 2018, section 4.1; lecture 12.
    """
    sums = [_logs(degrees) for degrees in (before, after)]
    return max(0.0, float(_ratio(*sums[0], *sums[1])))


def _logs(degrees):
    """Return (number, sum of logs) of the degrees that the power law is about."""
    tail = degrees[degrees >= SMALLEST].double()
    return torch.tensor(float(len(tail)), dtype=torch.float64), tail.log().sum()


def _ratio(n_before, log_before, n_after, log_after):
    apart = _likelihood(n_before, log_before) + _likelihood(n_after, log_after)
    return 2 * (apart - _likelihood(n_before + n_after, log_before + log_after))


def _likelihood(n, logs):
    """Return the log-likelihood of n degrees, sum of logs given, under their own power law."""
    shape = 1 + n / (logs - n * math.log(SMALLEST - 0.5))
    return n * shape.log() + n * shape * math.log(SMALLEST) - (shape + 1) * logs


def ratios(original, degrees, end, step):
    """Return the degree test of the graph with the edge (end, v) flipped, for every v [N]."""
    n, logs = _logs(degrees)

    def change(old):
        new = old + step
        held, holds = (old >= SMALLEST).double(), (new >= SMALLEST).double()
        return holds - held, holds * new.clamp(min=1).log() - held * old.clamp(min=1).log()

    (n_v, log_v), (n_end, log_end) = change(degrees), change(degrees[end])
    return _ratio(*_logs(original), n + n_v + n_end, logs + log_v + log_end)
