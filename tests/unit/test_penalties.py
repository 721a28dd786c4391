"""Penalties on weights and gradients by hand, and the bound of how much a network stretches."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from advcourse import models, toy, training
from advcourse.defenses import input_gradient, lipschitz, parseval, weights
from advcourse.defenses.penalties import as_matrix, flat_layers
from tests.unit.attack_cases import draws, seeded


def net(seed=0, shape=(1, 6, 6)):
    """Return a small convolutional net with pooling of both kinds, in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        channels = shape[0]
        first = nn.Sequential(nn.Conv2d(channels, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        second = [nn.Conv2d(3, 4, 2, stride=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()]
        made = nn.Sequential(first, *second, nn.Dropout(0.5), nn.Linear(4, 3))
    return made.double().eval()


def matrix_of(layer, shape):
    """Return a linear layer's whole matrix on inputs of this shape, entry by entry."""
    x = torch.zeros(1, *shape, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x).flatten(), x)
    return jacobian.flatten(1)


def test_weights_by_hand():
    model = net()
    kept = [m.weight for m in flat_layers(model) if hasattr(m, "weight")]
    assert len(kept) == 3
    one, two = sum(w.abs().sum() for w in kept), sum((w * w).sum() for w in kept)
    torch.testing.assert_close(weights(0.1, 0.3)(model), 0.1 * one + 0.3 * two)
    for layer in flat_layers(model):
        if hasattr(layer, "bias"):
            nn.init.constant_(layer.bias, 9.0)  # of no account
    torch.testing.assert_close(weights(l1=0.1)(model), 0.1 * one)
    assert weights()(model).item() == 0


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4)])
def test_parseval_by_hand(shape):
    layer = nn.Linear(*reversed(shape)).double()
    singular = torch.linalg.svdvals(layer.weight.detach())
    expected = ((singular**2 - 1) ** 2).sum() * 0.7 / 2
    torch.testing.assert_close(parseval(0.7)(layer).detach(), expected)
    nn.init.orthogonal_(layer.weight)
    assert parseval(0.7)(layer).item() < 1e-20


@pytest.mark.parametrize("kernel, stride, padding", [(3, 1, 1), (2, 2, 0), (3, 2, 1), (5, 1, 0)])
def test_a_convolution_without_unevenness_stretches_nothing(kernel, stride, padding):
    layer = nn.Conv2d(2, 3, kernel, stride, padding).double()
    used = as_matrix(layer) / layer.weight.flatten(1)
    with torch.no_grad():
        flat = nn.init.orthogonal_(torch.empty(3, 2 * kernel**2, dtype=torch.float64))
        layer.weight.copy_((flat / used).view_as(layer.weight))
    assert parseval(1.0)(layer).item() < 1e-20
    largest = torch.linalg.svdvals(matrix_of(layer, (2, 8, 8)))[0]
    assert 0.2 < largest <= 1 + 1e-9


def test_parseval_training_flattens():
    x, y = toy.points(120)
    factors = []
    for penalty in (None, parseval(1.0)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
        options = {"epochs": 40, "learning_rate": 0.03, "progress": False}
        training.fit(model, x, y, penalty=penalty, **options)
        factors.append(lipschitz(model, (2,)))
    assert factors[1] < 1.5 < 3 < factors[0]


def test_input_gradient_by_hand():
    model = nn.Linear(5, 3).double()
    x, y = torch.rand(8, 5, generator=seeded(), dtype=torch.float64), torch.arange(8) % 3
    p = model(x).softmax(1)
    slope = (p - F.one_hot(y, 3)) @ model.weight  # the gradient of each image's own loss
    expected = F.cross_entropy(model(x), y) + 0.4 * slope.square().sum(1).mean()
    loss = input_gradient(0.4)(model, x, y)
    torch.testing.assert_close(loss, expected)
    ours, theirs = (torch.autograd.grad(v, model.weight)[0] for v in (loss, expected))
    torch.testing.assert_close(ours, theirs)
    assert x.grad is None and not x.requires_grad


def test_input_gradient_trains_through_pooling():
    model, x = models.build("lenet5"), torch.rand(4, 1, 28, 28, generator=seeded())
    input_gradient(1.0)(model, x, torch.arange(4)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model[0].weight.grad.abs().max() > 0


@settings(draws, max_examples=6)
@given(st.integers(0, 1000), st.sampled_from([(1, 6, 6), (2, 7, 6)]))
def test_lipschitz_is_the_product_of_the_layers(seed, shape):
    model, expected = net(seed, shape), 1.0
    x = torch.zeros(1, *shape, dtype=torch.float64)
    for layer in flat_layers(model):
        if isinstance(layer, (nn.Conv2d, nn.Linear, nn.AvgPool2d)):
            expected *= torch.linalg.norm(matrix_of(layer, x.shape[1:]), 2).item()
        x = layer(x)
    found = lipschitz(model, shape, steps=400)
    assert found == pytest.approx(expected, rel=2e-3)
    a, b = torch.rand(2, 200, *shape, generator=seeded(seed), dtype=torch.float64)
    b = a + 0.1 * (b - 0.5)
    with torch.no_grad():
        ratio = (model(a) - model(b)).norm(dim=1) / (a - b).flatten(1).norm(dim=1)
    assert 0 < ratio.max() <= found * (1 + 1e-6)


def test_lipschitz_touches_nothing():
    model = net().train()
    before = torch.get_rng_state()
    with torch.inference_mode():
        first = lipschitz(model, (1, 6, 6))
    assert first == lipschitz(model, (1, 6, 6))
    assert model.training and all(p.grad is None for p in model.parameters())
    assert torch.equal(before, torch.get_rng_state())


def test_errors():
    for make, name in ((weights, "l1"), (parseval, "beta"), (input_gradient, "strength")):
        for wrong in (-1, float("nan"), "much"):
            with pytest.raises(ValueError, match=f"^{name}: {wrong!r} is no strength"):
                make(wrong)
    for layer in (nn.BatchNorm1d(3), nn.MaxPool1d(2), nn.Sigmoid()):
        with pytest.raises(ValueError, match=r"^model: no factor is known for the layer"):
            lipschitz(nn.Sequential(nn.Linear(3, 3), layer), (3,))
    with pytest.raises(ValueError, match="MaxPool2d with windows that do not overlap"):
        lipschitz(nn.Sequential(nn.Conv2d(1, 1, 1), nn.MaxPool2d(3, 1)), (1, 6, 6))
