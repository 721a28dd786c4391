"""The scorer of the unguided assessments: what it counts, what it refuses, what it says."""

import math
import re

import pytest
import torch

from advcourse import metrics
from advcourse.assessment import Assessment, assess, median

LEVELS = {
    "bronze": {"success": 0.5},
    "silver": {"success": 0.75, "distance": 0.8},
    "gold": {"success": 0.75, "distance": 0.55, "queries": 2},
}


def victim(x):
    """Class 1 where the first pixel is above a half."""
    return torch.stack([torch.zeros(len(x)), x[:, 0] - 0.5], 1)


def inputs(n=8):
    return torch.full((n, 3), 0.25), torch.zeros(n, dtype=torch.int64)


def push(amount, asks=1, n_failing=0):
    def attempt(oracle, x, y, generator):
        x[n_failing:, 0] += amount
        for _ in range(asks):
            oracle(x)
        return x

    return attempt


def score(attempt, n=8, **more):
    return assess(attempt, victim, *inputs(n), **{"budget": 3, "levels": LEVELS} | more)


@pytest.mark.parametrize(
    "attempt, level, distance, queries",
    [
        (push(0.5), "gold", 0.5, 1),
        (push(0.5, asks=3), "silver", 0.5, 3),
        (push(0.75), "silver", 0.75, 1),
        (push(0.5, n_failing=2), "gold", 0.5, 1),
        (push(0.5, n_failing=3), "bronze", 0.5, 1),
        (push(0.5, n_failing=4), "bronze", math.inf, math.inf),
        (push(0.1), None, math.inf, math.inf),
    ],
)
def test_levels(attempt, level, distance, queries, monkeypatch):
    monkeypatch.delenv("ADVCOURSE_STRICT", raising=False)
    found = score(attempt, peers={"ART": {"distance": 0.7}})
    assert found.level == level and bool(found) == (level is not None) and found.attempted
    assert (found.distance, found.queries) == pytest.approx((distance, queries))
    count = round(8 * found.success)
    assert found.interval == metrics.wilson(count, 8) and found.n == 8
    shown = found._repr_markdown_()
    assert shown.startswith(f"**{level}**" if level else "no level yet")
    assert f"{count} of 8 inputs" in shown and "| ART |  | 0.70 |  |" in shown
    assert ("gold asks for success at least 75%, a median distance of at most 0.55" in shown) == (
        level == "silver"
    )
    assert ("none" in shown) == math.isinf(distance) and repr(found) == shown.splitlines()[0]


def test_limits_bounds_and_judges():
    easy = {"levels": {"bronze": {"success": 0.0}}}
    assert score(push(0.5), limit=0.4, **easy).success == 0
    assert score(push(0.5), limit=0.5, **easy).success == 1
    assert score(push(0.8), bounds=(0, 1), **easy).success == 0
    assert score(push(0.75), bounds=(0, 1), **easy).success == 1
    aim = {"target": torch.zeros(8, dtype=torch.int64), **easy}
    assert score(push(0.5), **aim).success == 0 and score(push(0.1), **aim).success == 1
    assert score(push(0.1), won=lambda found: found[:, 0] > 0.3, **easy).success == 1
    sizes = score(push(0.5), distance=lambda x, found: 2 * (found - x).abs().sum(1), **easy)
    assert sizes.distance == pytest.approx(1.0)
    assert median(torch.tensor([3.0, 1.0, 2.0, 10.0])) == 2.5
    drawn = []
    score(lambda o, x, y, g: drawn.append(torch.rand(1, generator=g)) or x, seed=4, **easy)
    assert drawn[0] == torch.rand(1, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize(
    "attempt, message",
    [
        (push(0.5, asks=4), "budget of 3 queries .* count, or ask oracle.left"),
        (lambda o, x, y, g: o(x.requires_grad_()), "it requires a gradient"),
        (lambda o, x, y, g: x[:3], r"a tensor \(8, 3\); it returned \(3, 3\)"),
        (lambda o, x, y, g: None, r"a tensor \(8, 3\); it returned None"),
        (lambda o, x, y, g: x / 0 * 0, "without NaN"),
        (lambda o, x, y, g: x.requires_grad_(), "detached"),
        (lambda o, x, y, g: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_an_attempt_does_wrong_is_a_sentence(attempt, message, monkeypatch):
    monkeypatch.delenv("ADVCOURSE_STRICT", raising=False)

    found = score(attempt)
    assert found.level is None and not found and re.search(message, found.said)
    assert found._repr_markdown_() == found.said
    monkeypatch.setenv("ADVCOURSE_STRICT", "1")
    with pytest.raises(AssertionError, match=message):
        score(attempt)


def test_a_stub_is_not_attempted(monkeypatch):
    def stub(oracle, x, y, generator):
        raise NotImplementedError

    monkeypatch.setenv("ADVCOURSE_STRICT", "1")
    found = score(stub)
    assert not found and not found.attempted and "not attempted yet" in repr(found)
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    with pytest.raises(NotImplementedError):
        score(stub)


@pytest.mark.parametrize(
    "levels", [{"steel": {"success": 1}}, {"gold": {"speed": 1}}, {"gold": {}}]
)
def test_bad_levels(levels):
    with pytest.raises(ValueError, match=f"levels: '{next(iter(levels))}'"):
        score(push(0.5), levels=levels)


def test_it_is_true_at_any_level():
    assert Assessment("bronze", "") and not Assessment(None, "")
