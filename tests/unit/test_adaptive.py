"""BPDA, EOT and rescaled logits: the attacker's modules have the values and gradients they promise."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from advcourse import attacks, data, models, training
from advcourse.attacks import BPDA, EOT, Rescaled
from advcourse.attacks.contract import goal_loss, input_gradient


def small(seed=0, classes=5):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, classes))


@pytest.fixture
def batch():
    source = torch.Generator().manual_seed(1)
    return torch.rand(7, 4, generator=source), torch.randint(5, (7,), generator=source)


class Dice(nn.Module):
    """A random victim: the logits and noise."""

    def __init__(self, model, seed=0):
        super().__init__()
        self.model, self.source = model, torch.Generator().manual_seed(seed)

    def forward(self, x):
        z = self.model(x)
        return z + torch.randn(z.shape, generator=self.source)


class TestBPDA:
    def test_forward_is_the_transforms_to_the_bit(self, batch):
        x = batch[0] * 0.1
        assert torch.equal(BPDA(torch.round)(x), torch.round(x))
        assert torch.equal(BPDA(torch.exp, torch.sin)(x), torch.exp(x))

    @pytest.mark.parametrize("backward", [None, torch.sin, lambda x: x**3])
    def test_gradient_is_the_stand_ins(self, batch, backward):
        weight = torch.linspace(-1, 2, 28).view(7, 4)
        one, two = (batch[0].clone().requires_grad_() for _ in range(2))
        (weight * BPDA(torch.round, backward)(one)).sum().backward()
        (weight * (backward(two) if backward else two)).sum().backward()
        assert torch.allclose(one.grad, two.grad)

    def test_the_network_is_differentiated_at_the_transformed_input(self, batch):
        model, (x, y) = small(), batch
        through, z = input_gradient(nn.Sequential(BPDA(torch.round), model), x, goal_loss(y, None))
        at, expected = input_gradient(model, torch.round(x), goal_loss(y, None))
        assert torch.allclose(through, at) and torch.equal(z, expected)

    def test_refuses_another_shape(self, batch):
        with pytest.raises(ValueError, match=r"backward: the identity has shape .* \(7,\)"):
            BPDA(lambda x: x.sum(1))(batch[0])
        with pytest.raises(ValueError, match=r"backward: what backward returns has shape"):
            BPDA(torch.round, lambda x: x[:, :2])(batch[0])


class TestEOT:
    def test_a_model_without_chance_stays(self, batch):
        model, (x, y) = small(), batch
        assert torch.allclose(EOT(model, 7)(x), model(x), atol=1e-6)
        averaged, _ = input_gradient(EOT(model, 7), x, goal_loss(y, None))
        assert torch.allclose(averaged, input_gradient(model, x, goal_loss(y, None))[0], atol=1e-6)

    def test_noise_averages_out(self, batch):
        model, (x, _) = small(), batch
        with torch.no_grad():
            errors = [(EOT(Dice(model), n)(x) - model(x)).std().item() for n in (1, 100)]
        assert errors[1] == pytest.approx(errors[0] / 10, rel=0.5)

    def test_it_is_the_average_of_the_log_probabilities_for_a_softmax(self, batch):
        x = batch[0]
        dice = Dice(small(), 3)
        draws = torch.stack([dice(x).log_softmax(1) for _ in range(6)]).mean(0)
        averaged = EOT(Dice(small(), 3), 6)(x)
        assert torch.allclose(averaged.softmax(1), draws.softmax(1), atol=1e-6)

    @pytest.mark.parametrize("samples", [0, -1, 2.0, None, True])
    def test_refuses(self, samples):
        with pytest.raises(ValueError, match=r"samples: .* >= 1"):
            EOT(small(), samples)


class TestRescaled:
    @pytest.mark.parametrize("factor", [1e-6, 1, 1e6])
    @pytest.mark.parametrize("classes", [2, 3, 5])
    def test_same_decisions_and_a_fixed_spread(self, batch, factor, classes):
        model = nn.Sequential(small(classes=classes), Times(factor))
        with torch.no_grad():
            z, scaled = model(batch[0]), Rescaled(model)(batch[0])
        assert torch.equal(z.argsort(1), scaled.argsort(1))
        top = scaled.topk(min(3, classes), dim=1).values
        assert torch.allclose(top[:, 0], torch.zeros(7))
        assert torch.allclose(top[:, -1], torch.full((7,), -5.0), rtol=1e-4)

    def test_a_factor_of_the_logits_makes_no_difference(self, batch):
        x, y = batch
        plain, loud = (
            input_gradient(Rescaled(nn.Sequential(small(), Times(f))), x, goal_loss(y, None))[0]
            for f in (1, 1e4)
        )
        assert torch.allclose(plain, loud, rtol=1e-3)

    def test_the_scale_has_no_gradient(self, batch):
        model, x = small(), batch[0].clone().requires_grad_()
        z = model(x)
        top = z.topk(3, dim=1).values
        scale = (top[:, :1] - top[:, 2:]).detach()
        (expected,) = torch.autograd.grad(F.softmax(5 * z / scale, 1)[:, 0].sum(), x)
        (got,) = torch.autograd.grad(Rescaled(model)(x).softmax(1)[:, 0].sum(), x)
        assert torch.allclose(got, expected, atol=1e-5)

    def test_equal_logits_stay_finite(self):
        flat = Rescaled(lambda x: torch.zeros(len(x), 4))
        assert flat(torch.rand(3, 2)).tolist() == [[0.0] * 4] * 3

    @pytest.mark.parametrize("spread", [0, -1, float("nan"), None])
    def test_refuses(self, spread):
        with pytest.raises(ValueError, match=r"spread: .* > 0"):
            Rescaled(small(), spread)


class Times(nn.Module):
    """Multiply the logits."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, z):
        return self.factor * z


def test_rescaled_finds_the_gradient_that_loud_logits_hide():
    held = data.load("digits", quiet=True)
    model = models.load("lenet5", held)
    x, y = held.x_test[:60], held.y_test[:60]
    loud = nn.Sequential(model, Times(100))
    found = {
        name: training.accuracy(loud, attacks.pgd(attacker, x, y, eps=0.2, steps=10), y)
        for name, attacker in (("loss", loud), ("rescaled", Rescaled(loud)))
    }
    assert found["rescaled"] < 0.1 and found["loss"] > found["rescaled"] + 0.3
