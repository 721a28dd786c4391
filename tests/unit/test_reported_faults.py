"""Faults that users reported of tools of this kind, each tried on this course and held by a test."""

import math

import pytest
import torch
from torch import nn

from advcourse import defenses, metrics, training
from advcourse.attacks.inputs import check_pixels
from advcourse.attacks.projection import unit
from tests.unit.attack_cases import (
    ROWS,
    WHITE,
    Net,
    batch,
    call,
    every,
    over,
    predict,
    seeded,
    still,
    victim,
)


class Diverged(Net):
    def forward(self, x):
        return super().forward(x) * math.nan


@every
def test_a_model_that_answers_nan_is_an_error(row):
    x, y, _ = batch()
    with pytest.raises(ValueError, match="model: returns NaN for the first input"):
        call(row, Diverged(), x, y)


class Gamma(Net):
    """A gamma curve before the network: its slope at black is infinite."""

    def forward(self, x):
        return super().forward(x ** (1 / 2.2))


@over(WHITE)
def test_an_infinite_slope_is_an_error_and_not_robustness(row):
    net, x = Gamma(), batch()[0]
    y = predict(net.eval(), x)
    assert bool((x == 0).any())
    try:  # a random start, or the tanh's, may keep off the point at which the slope is infinite
        found = call(row, net, x, y, generator=seeded(), **still(row))
    except ValueError as error:
        assert "gradient with respect to x is not finite" in str(error)
    else:
        assert row.name in ("apgd", "carlini_wagner", "generate") and bool(found.isfinite().all())


@pytest.mark.parametrize("norm", [1, 2])
def test_a_small_gradient_in_half_precision_has_a_direction(norm):
    small = torch.tensor([[6e-8, 0.0, -6e-8, 0.0], [3e4, 0, 3e4, 0], [0, 0, 0, 0]]).half()
    lengths = unit(small, norm).float().norm(p=norm, dim=1)
    torch.testing.assert_close(lengths, torch.tensor([1.0, 1.0, 0.0]), rtol=1e-2, atol=0)


def test_a_layer_with_a_forward_of_its_own_gets_no_certificate():
    class Loud(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(x, 20 * self.weight, self.bias)

    class Shifted(nn.Sequential):
        def forward(self, x):
            return super().forward((x - 0.1307) / 0.3081)

    x, y = torch.rand(3, 1, 4, 4, generator=seeded()), torch.zeros(3, dtype=torch.int64)
    layers = [nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4)]
    loud = nn.Sequential(nn.Flatten(), Loud(16, 8), *layers[2:])
    for model in (loud, Shifted(*layers)):
        with pytest.raises(ValueError, match=r"^model: "):
            defenses.certified_ibp(model, x, y, 0.01)
        with pytest.raises(ValueError, match=r"^model: "):
            defenses.lipschitz(model, (1, 4, 4))
        with pytest.raises(ValueError, match=r"^model: "):
            defenses.certified_sdp(model, x, y, 0.01)
    defenses.certified_ibp(nn.Sequential(*layers), x, y, 0.01)


def test_a_column_of_labels_is_refused_where_it_would_broadcast():
    model, x, y = victim("digits", 20)
    column = y[:, None]
    for ask in (
        lambda: training.accuracy(model, x, column),
        lambda: metrics.evaluate(model, x, column),
        lambda: metrics.outcomes(model, x, column),
        lambda: defenses.judge(model, x, column, x),
    ):
        with pytest.raises(ValueError, match="y: shape"):
            ask()


@pytest.mark.parametrize(
    "objective", [defenses.trades(eps=0.1), defenses.interval_training(0.1)], ids=["trades", "ibp"]
)
def test_pixels_that_were_normalized_outside_are_refused(objective):
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4))
    x, y, _ = batch(dtype=torch.float32)
    with pytest.raises(ValueError, match="put any normalization into the model's first layer"):
        objective(model, (x - 0.1307) / 0.3081, y, seeded(), 1.0)


def test_negatives_of_normalized_pixels_are_refused():
    x, y, _ = batch(dtype=torch.float32)
    with pytest.raises(ValueError, match="leave the bounds"):
        defenses.negated(1.0)(None, 2 * x, y, seeded())


@every
@pytest.mark.parametrize("bounds", [(-math.inf, math.inf), (0.0, math.inf), (math.nan, 1.0)])
def test_bounds_without_an_end_are_refused(row, bounds):
    x, y, _ = batch()
    with pytest.raises(ValueError, match=r"bounds: .* is not a range; .* both finite"):
        call(row, Net(), x, y, bounds=bounds)


def test_what_rounding_did_to_a_bound_is_no_fault():
    low, high = (0 - 0.1307) / 0.3081, (1 - 0.1307) / 0.3081
    ends = torch.tensor([[0.0, 1.0]])
    check_pixels((ends - 0.1307) / 0.3081, (low, high))
    check_pixels(torch.nextafter(ends, torch.tensor(2.0)))
    with pytest.raises(ValueError, match=r"values from 0 to 1.00001 leave"):
        check_pixels(ends * 1.00001)


@pytest.mark.parametrize("row", [ROWS["fgsm"], ROWS["square"]], ids=lambda row: row.name)
def test_layouts_and_masks_are_named(row):
    x, y, _ = batch()
    with pytest.raises(ValueError, match=r"x: got a tensor of layout torch.sparse_coo; pass"):
        call(row, Net(), x.to_sparse(), y)
    with pytest.raises(ValueError, match=r"y: got torch.bool; pass an int64 tensor"):
        call(row, Net(), x, y > 1)
