"""Interval bounds: exact where they should be, sound everywhere, refused where they would not be."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from advcourse import attacks, data, models, training
from advcourse.defenses import certified_ibp, interval_bounds, interval_training, worst_logits
from tests.unit.attack_cases import draws, seeded
from tests.unit.test_penalties import net

SHAPE = (1, 6, 6)


def images(seed=0, n=6, shape=SHAPE):
    """Return n random images and labels of 3 classes, in float64."""
    x = torch.rand(n, *shape, generator=seeded(seed), dtype=torch.float64)
    return x, torch.randint(3, (n,), generator=seeded(seed))


def tried(model, x, y, eps, seed=0):
    """Return many images [T, N, ...] of the box around x: corners, random points, PGD's."""
    low, high = (x - eps).clamp(0, 1), (x + eps).clamp(0, 1)
    draw = torch.rand(60, *x.shape, generator=seeded(seed), dtype=x.dtype)
    points = torch.cat([low + (high - low) * draw, torch.where(draw < 0.5, low, high)])
    found = [
        attacks.pgd(model, x, y, eps=eps, steps=5, target=goal, generator=seeded(seed))
        for goal in [None, *(torch.full_like(y, k) for k in range(3))]
    ]
    return torch.cat([points, torch.stack(found)])


@settings(draws, max_examples=10)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.01, 0.05, 0.3]))
def test_bounds_hold(seed, eps):
    model, (x, y) = net(seed), images(seed)
    low, high = interval_bounds(model, (x - eps).clamp(0, 1), (x + eps).clamp(0, 1))
    worst = worst_logits(model, x, y, eps)
    with torch.no_grad():
        for points in tried(model, x, y, eps):
            z = model(points)
            assert bool(((z >= low - 1e-9) & (z <= high + 1e-9)).all())
            assert bool((z - z.gather(1, y[:, None]) <= worst + 1e-9).all())
    leads = high - low.gather(1, y[:, None])
    others = F.one_hot(y, 3) == 0
    assert bool((worst <= leads + 1e-9)[others].all()), "folding the last layer only sharpens"
    assert bool((worst[~others] == 0).all())


@draws
@given(st.integers(0, 1000))
def test_exact_for_one_linear_layer(seed):
    model, (x, y), eps = nn.Linear(5, 3).double(), images(seed, shape=(5,)), 0.1
    low, high = (x - eps).clamp(0, 1), (x + eps).clamp(0, 1)
    found = interval_bounds(model, low, high)
    w, b = model.weight.detach(), model.bias.detach()
    for got, corners in zip(found, ((low, high), (high, low)), strict=True):
        corner = torch.where(w > 0, corners[0][:, None], corners[1][:, None])  # the best of 2^5
        torch.testing.assert_close(got.detach(), (w * corner).sum(2) + b)
    lead = w - w[y][:, None]
    corner = torch.where(lead > 0, high[:, None], low[:, None])
    expected = (lead * corner).sum(2) + b - b[y][:, None]
    torch.testing.assert_close(worst_logits(model, x, y, eps).detach(), expected)


def test_no_box_is_the_network_itself():
    model, (x, y) = net(), images()
    z = model(x)
    for bound in interval_bounds(model, x, x):
        torch.testing.assert_close(bound, z)
    torch.testing.assert_close(worst_logits(model, x, y, 0.0), z - z.gather(1, y[:, None]))
    assert torch.equal(certified_ibp(model, x, y, 0.0), z.argmax(1) == y)


def test_larger_boxes_prove_less():
    model, (x, y) = net(1), images(1, 200)
    with torch.no_grad():
        model[-1].bias -= model(x).mean(0)  # so that every class is said somewhere
        y = model(x).argmax(1)
    assert len(y.unique()) == 3
    shares, last = [], torch.ones(200, dtype=torch.bool)
    for eps in (0.0, 0.001, 0.003, 0.01, 0.03, 0.3):
        proven = certified_ibp(model, x, y, eps)
        assert not bool((proven & ~last).any())
        shares.append(proven.float().mean().item())
        last = proven
    assert shares[0] == 1 and shares[-1] < 0.1 and any(0.1 < s < 0.9 for s in shares)


def test_the_box_is_cut_at_black_and_white():
    model, (x, y) = net(), images()
    white = torch.ones_like(x)
    cut = worst_logits(model, white, y, 0.2)
    low, high = interval_bounds(model, white - 0.2, white)
    wide = interval_bounds(model, white - 0.2, white + 0.2)
    assert bool((high - low < wide[1] - wide[0]).all())
    assert bool((cut <= (high - low.gather(1, y[:, None])).clamp(min=0) + 1e-9).all())


def test_the_mode_is_given_back():
    model, (x, y) = net().train(), images()
    a, b = certified_ibp(model, x, y, 0.01), certified_ibp(model, x, y, 0.01)
    assert torch.equal(a, b) and model.training and model[-2].training
    assert all(p.grad is None for p in model.parameters())


def test_training_grows_the_box_and_the_weight():
    model, (x, y) = net(), images()
    clean = F.cross_entropy(model(x), y)
    objective = interval_training(0.2, warm_up=0.5, share=0.4)
    for done, ripe in ((1e-9, 0.0), (0.25, 0.5), (0.5, 1.0), (1.0, 1.0)):
        worst = F.cross_entropy(worst_logits(model, x, y, 0.2 * ripe), y)
        expected = (1 - 0.4 * ripe) * clean + 0.4 * ripe * worst
        torch.testing.assert_close(objective(model, x, y, None, done), expected)
    at_once = interval_training(0.2, warm_up=0, share=1)(model, x, y, None, 0.01)
    torch.testing.assert_close(at_once, F.cross_entropy(worst_logits(model, x, y, 0.2), y))


def test_training_makes_proofs():
    digits = data.load("digits", quiet=True)
    x, y = digits.x_test[:200], digits.y_test[:200]
    proven = []
    for objective in (None, interval_training(0.05)):
        model = models.build("shallow")
        training.fit(
            model, digits.x_train, digits.y_train, epochs=8, objective=objective, progress=False
        )
        proven.append(certified_ibp(model, x, y, 0.05).float().mean().item())
    assert proven[1] > proven[0] + 0.3


def test_errors():
    model, (x, y) = net(), images()
    for layer in (nn.Tanh(), nn.BatchNorm2d(1), nn.Conv2d(1, 1, 3, padding_mode="circular")):
        name = type(layer).__name__
        with pytest.raises(
            ValueError, match=f"^model: no interval passes through the layer {name}"
        ):
            interval_bounds(nn.Sequential(layer, nn.Flatten()).double(), x, x)
    with pytest.raises(ValueError, match=r"^model: the last layer is Conv2d"):
        worst_logits(model[:2], x, y, 0.1)
    for low, high in ((x, x - 0.1), (x, x[:2])):
        with pytest.raises(ValueError, match=r"^low, high: "):
            interval_bounds(model, low, high)
    for eps in (-0.1, float("nan"), None):
        with pytest.raises(ValueError, match=f"^eps: {eps!r} is no"):
            worst_logits(model, x, y, eps)
        with pytest.raises(ValueError, match=f"^eps: {eps!r} is no"):
            interval_training(eps)
    with pytest.raises(ValueError, match=r"^share: 2 is no share"):
        interval_training(0.1, share=2)
    with pytest.raises(ValueError, match=r"^x: values"):
        certified_ibp(model, x + 1, y, 0.1)
    with pytest.raises(ValueError, match=r"^y: shape"):
        certified_ibp(model, x, y[:2], 0.1)
    with pytest.raises(ValueError, match=r"^y: labels from 3 to 3, but the model has 3 classes"):
        certified_ibp(model, x, torch.full_like(y, 3), 0.1)
