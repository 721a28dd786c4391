"""Randomized smoothing beside closed forms: a linear classifier, the exact binomial distribution."""

import math

import pytest
import torch
from scipy.stats import binom
from torch import nn

from advcourse import models
from advcourse.defenses import RandomizedSmoothing
from advcourse.defenses.smoothing import lower_bound, radius_of

SIGMA = 0.5


def half_space(dimensions=4):
    """Return a linear model whose classes meet in the plane x_0 = 0: the distance is |x_0|."""
    model = nn.Linear(dimensions, 2).double()
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
        model.weight[1, 0] = 1.0
    return model


def at(distances):
    """Return points [N, 4] at these distances from the plane."""
    x = torch.zeros(len(distances), 4, dtype=torch.float64)
    x[:, 0] = torch.tensor(distances, dtype=torch.float64)
    return x


@pytest.mark.parametrize("n, alpha", [(20, 0.05), (100, 0.001), (1000, 0.01)])
def test_the_lower_bound_errs_as_seldom_as_it_says(n, alpha):
    hits = torch.arange(n + 1)
    bounds, worst = lower_bound(hits, n, alpha), 0.0
    assert bounds[0] == 0 and bounds[n] == pytest.approx(alpha ** (1 / n))
    assert bool((bounds.diff() > 0).all()) and bool((bounds <= hits / n).all())
    for p in torch.linspace(0.01, 0.999, 200).tolist() + bounds[1:].tolist():
        chances = torch.from_numpy(binom.pmf(hits.numpy(), n, p - 1e-9))
        errs = chances[bounds > p].sum().item()
        assert errs <= alpha * (1 + 1e-6)
        worst = max(worst, errs)
    assert worst > 0.5 * alpha, "and not much more seldom"


def test_the_radius_formula():
    p = torch.tensor([0.0, 0.3, 0.5, 0.8413447460685429, 0.9772498680518208])
    expected = torch.tensor([0, 0, 0, SIGMA, 2 * SIGMA], dtype=torch.float64)
    torch.testing.assert_close(radius_of(p.double(), SIGMA), expected)


def test_on_a_half_space_the_radius_is_nearly_the_distance():
    distance = [0.2, 0.5, 1.0, -0.5]
    smooth = RandomizedSmoothing(half_space(), SIGMA, classes=2)
    found, radius = smooth.certify(at(distance), n=20000)
    assert found.tolist() == [1, 1, 1, 0]
    for r, d in zip(radius.tolist(), map(abs, distance), strict=True):
        assert 0.85 * d < r <= d
    fewer = RandomizedSmoothing(half_space(), SIGMA, classes=2).certify(at(distance), n=100)[1]
    assert bool((fewer[:3] < radius[:3]).all()), "fewer votes prove less"


def test_votes_follow_the_noise():
    smooth = RandomizedSmoothing(half_space(), SIGMA, classes=2)
    votes = smooth.votes(at([0.0, 0.25, 5.0]), 4000)
    assert votes.sum(1).tolist() == [4000] * 3 and votes[2].tolist() == [0, 4000]
    for row, d in zip(votes.tolist(), (0.0, 0.25), strict=False):
        p = 0.5 * (1 + math.erf(d / SIGMA / 2**0.5))
        assert abs(row[1] / 4000 - p) < 5 * (p * (1 - p) / 4000) ** 0.5


def test_noise_is_not_clipped():
    seen = []

    def model(x):
        seen.append(x)
        return torch.zeros(len(x), 2)

    RandomizedSmoothing(model, 1.0, classes=2).votes(torch.full((3, 1, 4, 4), 0.5), 200)
    noise = torch.cat(seen) - 0.5
    assert noise.shape == (600, 1, 4, 4)
    assert noise.std() == pytest.approx(1, rel=0.05) and noise.abs().max() > 2.5


def test_in_doubt_it_abstains():
    smooth = RandomizedSmoothing(half_space(), SIGMA, classes=2)
    x = at([0.0, 0.01, 3.0])
    assert smooth.predict(x, n=200).tolist() == [-1, -1, 1]
    found, radius = smooth.certify(x, n=200)
    assert found.tolist() == [-1, -1, 1] and radius[:2].tolist() == [0, 0] and radius[2] > 0.5
    errors = sum(
        smooth.predict(at([-0.02] * 50), n=50, alpha=0.05).eq(1).sum().item() for _ in range(10)
    )
    assert errors <= 25 + 5 * 5, "at most a share of alpha is answered wrongly"


def test_same_seed_same_answer_and_nothing_else_changes():
    model = nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.5)).train()
    x, before = torch.rand(30, 4), torch.get_rng_state()
    first, second, other = (
        RandomizedSmoothing(model, SIGMA, classes=2, seed=seed).certify(x, n=50)
        for seed in (0, 0, 1)
    )
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(first[1], other[1])
    assert torch.equal(before, torch.get_rng_state())
    assert model.training and model[1].training
    again = RandomizedSmoothing(model, SIGMA, classes=2)
    assert not torch.equal(again.votes(x, 50), again.votes(x, 50)), "fresh noise for every question"


@pytest.mark.parametrize("n_images, n", [(1, 1), (1, 777), (3, 100), (260, 3)])
def test_every_image_gets_all_its_votes(n_images, n):
    model = models.build("tiny")
    x = torch.rand(n_images, 1, 28, 28)
    votes = RandomizedSmoothing(model, 0.1).votes(x, n)
    assert votes.shape == (n_images, 10) and bool((votes.sum(1) == n).all())


def test_errors():
    for sigma in (0, -1, float("nan"), "loud"):
        with pytest.raises(ValueError, match=r"^sigma: .* is no noise"):
            RandomizedSmoothing(half_space(), sigma)
    smooth = RandomizedSmoothing(half_space(), SIGMA, classes=2)
    for more in ({"n": 0}, {"n": 2.5}, {"n": True}):
        with pytest.raises(ValueError, match=r"^n: .* is no count"):
            smooth.predict(at([1.0]), **more)
    with pytest.raises(ValueError, match=r"^n0: 0 is no count"):
        smooth.certify(at([1.0]), n0=0)
    for alpha in (0, 1, -0.1):
        with pytest.raises(ValueError, match=r"^alpha: .* is no error rate"):
            smooth.certify(at([1.0]), alpha=alpha)
    with pytest.raises(ValueError, match=r"^classes: the model returns 2, not 3"):
        RandomizedSmoothing(half_space(), SIGMA, classes=3).predict(at([1.0]))
