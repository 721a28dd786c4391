"""Detectors: their closed forms, thresholds and refusals, and gradients that an attacker can use."""

import copy
import functools
import math

import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve
from torch import nn

from advcourse import attacks, metrics, panels
from advcourse.defenses import (
    DetectorNetwork,
    KernelDensityDetector,
    LIDDetector,
    Refusing,
    lid,
    log_density,
)
from tests.unit.attack_cases import seeded

KINDS = ("density", "lid", "network")
every = pytest.mark.parametrize("kind", KINDS)


def images(n, seed=0):
    """Return n images [n, 1, 6, 6] of an even brightness, whose upper (1) or lower half is raised.

    But for a little noise they fill two lines of the 36 dimensions: an attack leads away from them.
    """
    source, y = seeded(seed), torch.arange(n) % 2
    light, rise = (
        0.15 * torch.rand(n, 1, 1, 1, generator=source, dtype=torch.float64) for _ in range(2)
    )
    x = 0.25 + light + 0.03 * torch.randn(n, 1, 6, 6, generator=source, dtype=torch.float64)
    x[:, :, :3] += (y == 1).view(-1, 1, 1, 1) * (0.2 + rise)
    x[:, :, 3:] += (y == 0).view(-1, 1, 1, 1) * (0.2 + rise)
    return x.clamp(0, 1), y


@functools.cache
def victim():
    """A small trained network, smooth, so that finite differences are exact enough."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        layers = nn.Linear(36, 12), nn.Tanh(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 2)
        model = nn.Sequential(nn.Flatten(), *layers).double()
    x, y = images(200, 1)
    step = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(25):
        step.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        step.step()
    return model.eval().requires_grad_(False)


def attacked(x, y, eps=0.2, seed=0):
    return attacks.pgd(victim(), x, y, eps=eps, steps=10, generator=seeded(seed))


@functools.cache
def fitted(kind):
    model, (reference, _), (x, y) = victim(), images(60, 2), images(100, 3)
    makers = {
        "density": lambda: KernelDensityDetector(model, reference),
        "lid": lambda: LIDDetector(model, reference, k=10),
        "network": lambda: DetectorNetwork(model, layer=1, hidden=16),
    }
    more = {"epochs": 200} if kind == "network" else {}
    return makers[kind]().fit(x, attacked(x, y), **more)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_lid_counts_the_dimension_of_a_cube(dimension):
    # A flat cube in a room of eight dimensions, turned: only the cube's own dimensions count.
    flat = torch.zeros(6000, 8, dtype=torch.float64)
    flat[:, :dimension] = torch.rand(6000, dimension, generator=seeded(), dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=seeded(1), dtype=torch.float64)).Q
    center = torch.full((8,), 0.0, dtype=torch.float64)
    center[:dimension] = 0.5
    # k - 2 neighbors replace k in the mean of this estimator; with many the bias is small.
    near = center + 0.05 * (flat[:300] - center)
    found = lid(near @ turn, flat[300:] @ turn, k=100).median().item()
    assert found == pytest.approx(dimension, rel=0.12)


def test_lid_by_hand():
    reference = torch.tensor([[1.0, 0], [0, 2], [4, 0], [0, 9]], dtype=torch.float64)
    found = lid(torch.zeros(1, 2, dtype=torch.float64), reference, k=3)
    assert found.item() == pytest.approx(-3 / (math.log(1 / 4) + math.log(2 / 4)))
    scaled = lid(torch.zeros(1, 2, dtype=torch.float64), 7 * reference, k=3)
    assert torch.allclose(found, scaled), "a dimension has no unit"


def test_density_by_hand():
    at, one = torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)
    assert log_density(at, one, 2.0).item() == pytest.approx(-25 / 4)
    two = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    expected = math.log((math.exp(-25 / 4) + 1) / 2)
    assert log_density(at, two, 2.0).item() == pytest.approx(expected)
    far = log_density(torch.tensor([[1e3, 0.0]]), two, 0.5)
    assert far.isfinite().all(), "the logarithm is taken before the exponential vanishes"


def test_density_and_doubt_look_at_the_predicted_class():
    reference, _ = images(60, 2)
    model, x = victim(), images(10, 5)[0]
    detector = KernelDensityDetector(model, reference, bandwidth=1.5, dropout=0.25, samples=7)
    clues = detector.clues(x)
    features, known = model[:-1](x), model[:-1](reference)
    for i, c in enumerate(model(x).argmax(1)):
        alike = known[model(reference).argmax(1) == c]
        density = (-(alike - features[i]).square().sum(1) / 1.5**2).exp().mean()
        assert clues[i, 0].item() == pytest.approx(density.log().item())
        p = torch.stack([model[-1](features[i] * mask).softmax(0) for mask in detector.masks])
        doubt = (p.square().mean(0) - p.mean(0).square()).sum()
        assert clues[i, 1].exp().item() == pytest.approx(doubt.item() + 1e-6, rel=1e-6)
    kept = {round(v, 6) for v in detector.masks.unique().tolist()}
    assert kept == {0.0, round(1 / 0.75, 6)}


def test_lid_clues_are_those_of_every_layer():
    model, (reference, _), (x, _) = victim(), images(60, 2), images(10, 5)
    clues = LIDDetector(model, reference, k=10).clues(x)
    a, r = x.flatten(1), reference.flatten(1)
    assert clues.shape == (10, 5), "every layer but the one that only flattens"
    for i, layer in enumerate(model[1:]):
        a, r = layer(a), layer(r)
        assert torch.allclose(clues[:, i].exp(), lid(a, r, k=10))


@every
def test_it_helps_against_the_attack_that_it_was_fitted_on(kind):
    x, y = images(200, 6)
    x_adv, detector = attacked(x, y, seed=7), fitted(kind)
    assert metrics.auc(detector.scores(x), detector.scores(x_adv)) > 0.7


@every
def test_gradient_of_the_score_is_that_of_finite_differences(kind):
    detector, (x, _) = fitted(kind), images(3, 8)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(detector.score(x).sum(), x)
    for seed in range(3):
        way = torch.randn(x.shape, generator=seeded(seed), dtype=x.dtype)
        with torch.no_grad():
            rise = (detector.score(x + 1e-5 * way) - detector.score(x - 1e-5 * way)) / 2e-5
        assert torch.allclose((gradient * way).flatten(1).sum(1), rise, rtol=1e-3, atol=1e-3)


@every
def test_score_is_a_function_and_leaves_the_random_state_alone(kind):
    x, detector = images(30, 9)[0], fitted(kind)
    before = torch.get_rng_state()
    assert torch.equal(detector.score(x), detector.score(x)) and detector.score(x).shape == (30,)
    # An image's score is its own: it does not depend on who else is in the batch.
    assert torch.allclose(detector.score(x)[3:4], detector.score(x[3:4]))
    assert torch.allclose(detector.scores(x), detector(x))
    fitted.cache_clear()
    again = fitted(kind)
    assert again is not detector and torch.allclose(again.score(x), detector.score(x))
    assert torch.equal(before, torch.get_rng_state())


@every
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.3])
def test_threshold_keeps_its_false_positive_rate(kind, rate):
    detector, held_out = fitted(kind), images(1000, 10)[0]
    threshold = detector.set_threshold(held_out, rate)
    assert detector.threshold == threshold and isinstance(threshold, float)
    assert detector.detect(held_out).sum().item() == round(1000 * rate)
    others = detector.detect(images(2000, 11)[0]).double().mean().item()
    assert others == pytest.approx(rate, abs=0.06)


def test_threshold_with_equal_scores_never_exceeds_its_rate():
    detector = fitted("lid")
    same = images(2, 12)[0].repeat(10, 1, 1, 1)
    detector.set_threshold(same, 0.2)
    assert detector.detect(same).double().mean() <= 0.2


@every
def test_the_refusing_model_has_one_class_more(kind):
    x, y = images(120, 13)
    x, y = torch.cat([x, attacked(x, y)]), torch.cat([y, y])
    model, detector = victim(), fitted(kind)
    detector.set_threshold(images(200, 10)[0], 0.1)
    system = Refusing(model, detector)
    z, alarmed = system(x), detector.detect(x)
    assert z.shape == (240, 3) and torch.equal(z[:, :2], model(x))
    assert 0 < alarmed.sum() < 240
    assert torch.equal(z.argmax(1) == 2, alarmed)
    shares = metrics.outcomes(system, x, y)
    right = (model(x).argmax(1) == y) & ~alarmed
    assert shares["right"] == pytest.approx(right.double().mean().item(), abs=1e-6)
    assert shares["refused"] == pytest.approx(alarmed.double().mean().item(), abs=1e-6)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-6)
    assert metrics.evaluate(system, x, y).acc1 == pytest.approx(shares["right"], abs=1e-6)


class TooBright:
    """A detector that can be read: an image is refused where its mean is above 0.5."""

    threshold = 0.5

    def score(self, x):
        return x.flatten(1).mean(1)


def test_an_attack_that_aims_at_a_class_wants_it_accepted():
    x, y = images(60, 14)
    system, goal = Refusing(victim(), TooBright()), 1 - y
    found = attacks.pgd(system, x, y, eps=0.4, steps=40, target=goal, generator=seeded())
    won = system(found).argmax(1) == goal
    assert won.sum() > 30 and (TooBright().score(found[won]) <= 0.5).all()


def test_roc_and_auc_by_hand():
    clean, adversarial = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0])
    false, true = metrics.roc(clean, adversarial)
    assert false.tolist() == [0, 0, 0.25, 0.5, 0.75, 1]
    assert true.tolist() == [0, 0.5, 0.5, 1, 1, 1]
    assert metrics.auc(clean, adversarial) == pytest.approx((4 + 2.5) / 8)
    assert metrics.auc(clean, clean) == 0.5
    assert metrics.auc(torch.zeros(3), torch.ones(2)) == 1


@pytest.mark.parametrize("digits", [1, 9])  # with one digit many scores are equal
def test_roc_and_auc_agree_with_an_independent_reference(digits):
    clean = torch.randn(300, generator=seeded()).double().round(decimals=digits)
    adversarial = (1 + torch.randn(200, generator=seeded(1))).double().round(decimals=digits)
    truth, scores = [0] * 300 + [1] * 200, torch.cat([clean, adversarial]).numpy()
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    mine = metrics.roc(clean, adversarial)
    assert torch.allclose(mine[0].double(), torch.tensor(false), atol=1e-6)
    assert torch.allclose(mine[1].double(), torch.tensor(true), atol=1e-6)
    assert metrics.auc(clean, adversarial) == pytest.approx(roc_auc_score(truth, scores), abs=1e-6)


@every
def test_all_of_a_detector_moves_with_it(kind):
    detector, (x, _) = fitted(kind), images(20, 6)
    moved = copy.deepcopy(detector).float()  # as .to("cuda") would move it
    kept = [*moved.parameters(), *moved.buffers()]
    assert len(kept) >= 8 and all(part.dtype == torch.float32 for part in kept)
    score = moved.score(x.float())  # which fails where two types meet
    assert score.dtype == torch.float32 and score.isfinite().all()


def test_what_bad_input_is_told():
    model, x, rows = victim(), images(20)[0], torch.zeros(3, 2)
    unfit = LIDDetector(model, x, k=5)
    cases = [
        (lambda: LIDDetector(nn.Tanh(), x), "model: a Tanh.*nn.Sequential"),
        (lambda: LIDDetector(model, x, k=20), "k: 20 of 20 reference points"),
        (lambda: lid(rows, rows, k=1), "k: 1 of 3"),
        (lambda: log_density(rows, rows, 0), "bandwidth: 0 is no width"),
        (lambda: log_density(rows, rows[:0], 1.0), "reference: no points"),
        (lambda: KernelDensityDetector(model[:-1], x), "model: ends with Tanh"),
        (lambda: KernelDensityDetector(model, x, dropout=1.0), "dropout: 1.0 is no share"),
        (lambda: DetectorNetwork(model, layer=9), "layer: 9; the model has layers 0 to 5"),
        (lambda: unfit.score(x), "not fitted yet; call fit"),
        (lambda: DetectorNetwork(model).score(x), "not fitted yet; call fit"),
        (lambda: unfit.detect(x), "not fitted yet"),
        (lambda: Refusing(model, unfit), "no threshold yet; call set_threshold"),
        (lambda: unfit.fit(x, x[:0]), r"x_adv: shape \(0, 1, 6, 6\)"),
        (lambda: unfit.fit(x, x, x[:, :, :3]), r"x_noisy: shape \(20, 1, 3, 6\)"),
        (lambda: fitted("lid").set_threshold(x, 1.0), "rate: 1.0 is no false positive rate"),
        (lambda: fitted("lid").set_threshold(x[:0]), "x: no images"),
        (lambda: metrics.roc(x[:0, 0, 0, 0], rows[:, 0]), "clean: "),
        (lambda: metrics.roc(rows[:, 0], rows[:, 0] / 0), "adversarial: .*NaN"),
        (lambda: metrics.outcomes(model, x, torch.zeros(3)), "20 images and 3 labels"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


def test_the_panel_says_what_its_threshold_does():
    held_out = torch.arange(100) / 100
    clean, adversarial = torch.tensor([0.1, 0.5, 0.96]), torch.tensor([0.2, 0.7, 0.92, 0.99])
    groups = {
        "clean": (clean, torch.tensor([True, False, True])),
        "PGD": (adversarial, torch.tensor([False, True, False, False])),
    }
    panel = panels.detector_panel(held_out, groups)
    _, said = panel.draw(rate=0.1)
    assert said == (
        "Threshold 0.89 (rate 0.10). clean: 33% right, 33% refused, 33% fooled; "
        "PGD: 25% right, 50% refused, 25% fooled."
    )
    line, dot = panel.changing
    assert line.get_xdata()[0] == pytest.approx(0.89)
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == pytest.approx((1 / 3, 0.5))
    assert "0% refused" in panel.draw(rate=0.0)[1]
