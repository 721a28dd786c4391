"""No attack breaks a proof: every certificate of the course beside PGD, on the same images."""

from functools import cache

import pytest
import torch
from torch import nn

from advcourse import attacks, data, models
from advcourse.defenses import (
    RandomizedSmoothing,
    certified_ibp,
    certified_sdp,
    norm_bounds,
    sdp_bounds,
)
from tests.unit.attack_cases import predict, seeded

N = 60


@cache
def case(dataset, architecture, variant):
    """Return a trained network and some test images."""
    images = data.load(dataset, quiet=True)
    model = models.load(architecture, images, variant=variant)
    return model, images.x_test[:N], images.y_test[:N]


def survivors(model, x, y, eps):
    """Return a mask [N]: still right after all attacks of this budget (linf)."""
    right = predict(model, x) == y
    for more in ({"restarts": 3}, {"random_start": False}, {"step_size": eps, "restarts": 2}):
        found = attacks.pgd(model, x, y, eps=eps, steps=10, generator=seeded(), **more)
        right &= predict(model, found) == y
    return right


def must_hold(proven, right, least):
    """Assert that whatever is proven has survived, and that a share `least` is proven."""
    assert not bool((proven & ~right).any()), "an attack broke a proof"
    assert proven.float().mean() >= least, "a test of proofs needs some"


@pytest.mark.parametrize("eps", [0.05, 0.1, 0.15])
@pytest.mark.parametrize("variant", ["ibp", "standard"])
def test_intervals(dataset, variant, eps):
    model, x, y = case(dataset, "cnn", variant)
    least = 0.4 if variant == "ibp" and eps < 0.15 else 0
    must_hold(certified_ibp(model, x, y, eps), survivors(model, x, y, eps), least)


@pytest.mark.slow
@pytest.mark.parametrize("eps", [0.01, 0.03, 0.06])
def test_one_matrix_for_all_images(dataset, eps):
    model, x, y = case(dataset, "tiny", "l1l2")
    right = survivors(model, x, y, eps)
    tables = [sdp_bounds(model), *(norm_bounds(model, norm) for norm in ("spectral", "frobenius"))]
    proven = [certified_sdp(model, x, y, eps, table) for table in tables]
    for mask, least in zip(proven, (0.5 if eps < 0.02 else 0, 0, 0), strict=True):
        must_hold(mask, right, least)
    must_hold(certified_ibp(model, x, y, eps), right, 0)
    assert proven[0].sum() >= proven[1].sum() >= proven[2].sum()


class Noisy(nn.Module):
    """The base network behind its noise."""

    def __init__(self, model, sigma):
        super().__init__()
        self.model, self.sigma, self.source = model, sigma, seeded()

    def forward(self, x):
        return self.model(x + self.sigma * torch.randn(x.shape, generator=self.source))


def test_votes_under_noise(dataset):
    """Each image is attacked within its own certified radius, and the vote is taken again."""
    model, x, y = case(dataset, "lenet5", "noise")
    x, y, sigma = x[:25], y[:25], 0.5
    smooth = RandomizedSmoothing(model, sigma)
    said, radius = smooth.certify(x, n=300)
    proven = said >= 0
    assert proven.float().mean() > 0.5 and bool((said == y)[proven].float().mean() > 0.8)
    # PGD takes one radius for all: from there every image goes to 99 % of its own, which may lead
    # out of [0, 1]. The proof holds there, too.
    found = attacks.pgd(
        attacks.EOT(Noisy(model, sigma), samples=4),
        x,
        said.clamp(min=0),
        eps=1.0,
        norm="l2",
        steps=10,
        generator=seeded(),
    )
    step = (found - x).flatten(1)
    share = 0.99 * radius.float() / step.norm(dim=1).clamp(min=1e-9)
    moved = x + share[:, None, None, None] * (found - x)
    assert bool(((moved - x).flatten(1).norm(dim=1) <= radius).all())
    votes = smooth.votes(moved, 500).argmax(1)
    assert torch.equal(votes[proven], said[proven]), "an attack turned a certified vote"
