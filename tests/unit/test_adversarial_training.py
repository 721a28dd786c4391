"""The objectives of adversarial training, and training with noise and negatives (lecture 13)."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from advcourse import attacks, data, defenses, models, recipes, toy, training

X, Y = toy.points(200)


def net(seed=0, dropout=0.0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(2, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 2)]
        return nn.Sequential(*layers)


def source(seed=0):
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- adversarial training


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_objective_is_the_weighted_cross_entropy(share):
    model = net()
    objective = defenses.adversarial_training(eps=0.1, step=0.5, steps=3, share=share)
    x_adv = attacks.pgd(model, X, Y, eps=0.1, step_size=0.05, steps=3, generator=source())
    parts = F.cross_entropy(model(x_adv), Y), F.cross_entropy(model(X), Y)
    wanted = share * parts[0] + (1 - share) * parts[1]
    assert objective(model, X, Y, source(), 1.0).item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("done", "warm_up", "part"), [(0.1, 0.4, 0.25), (0.5, 0.4, 1), (0.01, 0, 1)]
)
def test_the_ball_grows(done, warm_up, part):
    sizes = []

    def spy(model, x, y, *, eps, step_size, generator):
        sizes.append((eps, step_size))
        return x

    objective = defenses.adversarial_training(spy, eps=0.2, step=0.5, warm_up=warm_up)
    objective(net(), X, Y, source(), done)
    assert sizes[0] == pytest.approx((0.2 * part, 0.1 * part))


def test_the_step_is_in_training_mode_and_the_attack_is_not():
    model, modes = net(dropout=0.5).train(), []
    model[2].register_forward_hook(lambda module, inputs, output: modes.append(module.training))
    defenses.adversarial_training(eps=0.1, steps=2)(model, X, Y, source(), 1.0).backward()
    assert modes[-1] and not any(modes[:-1]) and len(modes) >= 3
    assert all(p.grad is not None for p in model.parameters())


def test_trades_is_cross_entropy_plus_divergence():
    """Against an independent sum over the classes, at a point that is the attack's own."""
    model = net()
    x_adv = defenses.adversarial.farthest_answer(model, X, 0.1, 0.025, 7, source())
    assert (x_adv - X).abs().max() <= 0.1 + 1e-6 and x_adv.min() >= 0 and x_adv.max() <= 1
    p, q = model(X).softmax(1), model(x_adv).softmax(1)
    divergence = (p * (p / q).log()).sum(1).mean()
    wanted = F.cross_entropy(model(X), Y) + 3 * divergence
    found = defenses.trades(eps=0.1, beta=3.0)(model, X, Y, source(), 1.0)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)
    # KL is what the attack climbs: no random point of the ball answers so differently.
    near = X + (torch.rand(X.shape, generator=source(1)) * 2 - 1) * 0.1
    random = F.kl_div(model(near).log_softmax(1), p, reduction="none").sum(1)
    attacked = F.kl_div(q.log(), p, reduction="none").sum(1)
    assert attacked.mean() > 1.5 * random.mean()
    assert (attacked >= random - 1e-4).float().mean() > 0.95


def test_training_against_an_attack_resists_it():
    x, y = toy.points()
    left = {}
    for eps in (0, 0.1):
        objective = defenses.adversarial_training(eps=eps, steps=5, step=0.5) if eps else None
        model = toy.net(x, y, epochs=100, objective=objective)
        left[eps] = training.accuracy(model, attacks.pgd(model, x, y, eps=0.1, steps=20), y)
    assert left[0.1] > left[0] + 0.08


# ---------------------------------------------------------------- noise and negatives


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("clip", [True, False])
def test_noisy(probability, clip):
    x, y = torch.full((4000, 1, 4, 4), 0.5), torch.zeros(4000)
    noisy, same = defenses.noisy(0.4, probability, clip)(None, x, y, source())
    assert same is y and (x == 0.5).all()
    changed = (noisy != x).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(probability, abs=0.03)
    assert (noisy.min() >= 0 and noisy.max() <= 1) or not clip
    if probability:
        spread = (noisy - x)[changed].std().item()
        # Of a normal variable of width .4 cut at +-.5: E[min(|z|, .5)^2]^(1/2).
        a = 0.5 / 0.4
        inside = math.erf(a / 2**0.5) - 2 * a * math.exp(-(a**2) / 2) / (2 * math.pi) ** 0.5
        cut = (0.16 * inside + 0.25 * math.erfc(a / 2**0.5)) ** 0.5
        assert spread == pytest.approx(cut if clip else 0.4, rel=0.02)
    again, _ = defenses.noisy(0.4, probability, clip)(None, x, y, source())
    assert torch.equal(noisy, again)


def test_negated():
    x = torch.rand(3000, 1, 3, 3, generator=source())
    out, _ = defenses.negated(0.25)(None, x, x, source())
    turned = (out == 1 - x).flatten(1).all(1)
    assert (turned | (out == x).flatten(1).all(1)).all()
    assert turned.float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_with_negatives():
    x, y = torch.rand(5, 1, 2, 2), torch.arange(5)
    more, labels = defenses.with_negatives(x, y, 2)
    assert torch.equal(more, torch.cat([x, 1 - x[:2]])) and labels.tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert torch.equal(defenses.with_negatives(x, y, 0)[0], x)
    for count in (-1, 6):
        with pytest.raises(ValueError, match=f"count: {count} negatives of 5 images; pass 0 to 5"):
            defenses.with_negatives(x, y, count)


@pytest.mark.parametrize(
    "make", [defenses.noisy, lambda p: defenses.noisy(0.1, p), defenses.negated]
)
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), "much", True])
def test_bad_numbers(make, value):
    with pytest.raises(ValueError, match=r"(std|probability): .*; pass a number in \[0, 1\]"):
        make(value)


# ---------------------------------------------------------------- the committed models


@pytest.fixture(params=["pgd", "trades"])
def hardened(request, dataset):
    images = data.load(dataset, quiet=True)
    return models.load("cnn", images, variant=request.param), images


@pytest.mark.slow
def test_hardened_models_withstand_the_attack_that_they_know(hardened):
    """And the undefended one of the same architecture does not: the same images, the same attack."""
    model, images = hardened
    x, y = images.x_test[:100], images.y_test[:100]
    plain = models.load("cnn", images)
    left = {}
    for name, victim in (("plain", plain), ("hardened", model)):
        eps = recipes.EPS[images.name]
        x_adv = attacks.pgd(victim, x, y, eps=eps, steps=40, generator=source())
        left[name] = training.accuracy(victim, x_adv, y)
    assert left["plain"] < 0.1
    assert left["hardened"] > (0.85 if images.name == "mnist" else 0.4)


def test_fgsm_training_masks_its_gradient(dataset):
    """What one large step leaves is far more than what many small ones leave."""
    images = data.load(dataset, quiet=True)
    x, y = images.x_test[:100], images.y_test[:100]
    model = models.load("cnn", images, variant="fgsm")
    eps = recipes.EPS[images.name]
    one = training.accuracy(model, attacks.fgsm(model, x, y, eps=eps), y)
    many = training.accuracy(model, attacks.pgd(model, x, y, eps=eps, generator=source()), y)
    assert one > many + 0.3


def test_negatives_are_learned(dataset):
    images = data.load(dataset, quiet=True)
    x, y = images.x_test[:300], images.y_test[:300]
    plain, both = (models.load("lenet5", images, variant=v) for v in ("standard", "negatives"))
    assert training.accuracy(both, 1 - x, y) > 0.9 > training.accuracy(plain, 1 - x, y)
    assert training.accuracy(both, x, y) > 0.93
