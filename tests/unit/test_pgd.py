"""BIM and PGD by hand, their random start, restarts and early stop; and generation from a goal."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import kstest

from advcourse import attacks
from tests.unit.attack_cases import (
    CLASSES,
    Net,
    batch,
    distances,
    lead,
    predict,
    scores,
    seeded,
    victim,
)

NORMS = pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
AIMS = pytest.mark.parametrize("aims", [False, True])
EPS = {"linf": 0.1, "l2": 1.5, "l1": 10.0}


def loss(model, x, y, target=None):
    """Return what is climbed [N]: the label's loss, or minus the target's."""
    goal = F.cross_entropy(model(x), y if target is None else target, reduction="none")
    return goal if target is None else -goal


def path_of(attack, *args, **options):
    """Return the result, and every iterate."""
    path = []
    found = attack(*args, **options, on_step=lambda _, x_adv: path.append(x_adv))
    return found, path


@AIMS
@pytest.mark.parametrize("name", ["bim", "pgd"])
def test_iterates_are_fgsm_steps_clipped_to_the_ball(name, aims):
    model, (x, y, target) = Net().eval(), batch(60)
    goal, options = (target if aims else None), {"eps": 0.2, "step_size": 0.06, "steps": 7}
    still = {} if name == "bim" else {"random_start": False}
    found, path = path_of(getattr(attacks, name), model, x, y, target=goal, **options, **still)
    by_hand, heights = x, []
    for shown in path:
        stepped = attacks.fgsm(model, by_hand, y, eps=0.06, target=goal)
        by_hand = torch.max(torch.min(stepped, x + 0.2), x - 0.2)
        torch.testing.assert_close(shown, by_hand, rtol=0, atol=1e-12)
        won = (predict(model, by_hand) != y) if not aims else predict(model, by_hand) == target
        heights.append(loss(model, by_hand, y, goal).detach() + 1e3 * won)
    best = torch.stack(heights).argmax(0)
    assert len(path) == 7 and len(best.unique()) > 1, "the best is not always the last"
    torch.testing.assert_close(found, torch.stack(path)[best, torch.arange(60)])


@NORMS
def test_default_steps_use_the_whole_ball(norm):
    model, x, y = victim("digits", 40)
    found = attacks.pgd(model, x, y, eps=EPS[norm], norm=norm, generator=seeded())
    size = distances(found - x, norm)
    assert bool((size <= EPS[norm] * (1 + 1e-6)).all()) and size.median() > 0.999 * EPS[norm]


@NORMS
@AIMS
def test_more_budget_and_more_steps_are_never_weaker(norm, aims):
    model, x, y = victim("digits")
    x, y = x[:50], y[:50]
    target = (y + 1) % 10 if aims else None
    reached = []
    for share in (0.25, 0.5, 1.0, 2.0):
        options = {"eps": share * EPS[norm], "norm": norm, "steps": 10}
        found = attacks.pgd(model, x, y, **options, target=target, generator=seeded())
        won = predict(model, found) != y if target is None else predict(model, found) == target
        reached.append(won.float().mean().item())
    assert reached == sorted(reached) and reached[-1] > reached[0] + 0.3
    reached = []
    for steps in (1, 3, 9, 20):
        options = {"eps": EPS[norm], "norm": norm, "steps": steps, "random_start": False}
        found = attacks.pgd(model, x, y, **options, target=target)
        won = predict(model, found) != y if target is None else predict(model, found) == target
        reached.append(won.float().mean().item())
    assert all(b >= a - 0.04 for a, b in itertools.pairwise(reached)), reached
    assert reached[-1] > reached[0]


def test_never_weaker_than_fgsm(dataset):
    model, x, y = victim(dataset)
    gaps = []
    for eps in (0.03, 0.1, 0.15, 0.25):
        robust = [
            (predict(model, x_adv) == y).float().mean().item()
            for x_adv in (
                attacks.fgsm(model, x, y, eps=eps),
                attacks.pgd(model, x, y, eps=eps, steps=10, generator=seeded()),
                attacks.bim(model, x, y, eps=eps),
            )
        ]
        assert max(robust[1:]) <= robust[0]
        gaps.append(robust[0] - max(robust[1:]))
    assert max(gaps) > 0.05, "and at some epsilon clearly stronger"


@AIMS
def test_early_stop_returns_the_first_success(aims):
    model, x, y = victim("digits", 50)
    goal = {"target": (y + 1) % 10} if aims else {}
    options = {"eps": 0.15, "steps": 15, "random_start": False, **goal}
    for attack in (attacks.pgd, attacks.bim):
        given = {k: v for k, v in options.items() if attack is attacks.pgd or k != "random_start"}
        full, path = path_of(attack, model, x, y, **given)
        first = attack(model, x, y, **given, early_stop=True)
        wins = torch.stack([predict(model, p) for p in path])
        wins = wins == goal["target"] if aims else wins != y
        won, when = wins.any(0), wins.int().argmax(0)
        expected = torch.stack(path)[when, torch.arange(len(x))]
        torch.testing.assert_close(first[won], expected[won], rtol=0, atol=1e-6)
        torch.testing.assert_close(first[~won], full[~won], rtol=0, atol=1e-6)
        assert 0.1 < won.float().mean() < 1 and bool((when[won] > when[won].min()).any())
        reached = predict(model, first) == goal["target"] if aims else predict(model, first) != y
        assert torch.equal(reached, won)


def test_early_stop_saves_passes():
    model, (x, y, _) = Net(), batch(50)
    for early_stop in (False, True):
        model.sizes.clear()
        attacks.pgd(model, x, y, eps=0.5, steps=20, early_stop=early_stop, generator=seeded())
        passes = sum(model.sizes)
        assert passes < 600 if early_stop else passes == 1 + 50 * 21  # one for the probe


@NORMS
def test_restarts_are_never_weaker(norm):
    model, x, y = victim("digits")
    options = {"eps": 0.7 * EPS[norm], "norm": norm, "steps": 5}
    found = [attacks.pgd(model, x, y, **options, restarts=n, generator=seeded()) for n in (1, 2, 6)]
    lost = [predict(model, x_adv) != y for x_adv in found]
    heights = [loss(model, x_adv, y).detach() for x_adv in found]
    for fewer, more in ((0, 1), (1, 2)):
        assert bool((lost[more] | ~lost[fewer]).all())
        still = ~lost[more]
        assert bool((heights[more][still] >= heights[fewer][still] - 1e-6).all())
        assert torch.equal(found[more][lost[fewer]], found[fewer][lost[fewer]]), "who won rests"
    assert bool((heights[2] > heights[0] + 1e-3).any())


def test_restarts_count_on_in_the_hook():
    model, (x, y, _), seen = Net().eval(), batch(20), []
    y = predict(model, x)
    found = attacks.pgd(
        model,
        x,
        y,
        eps=0.05,
        steps=4,
        restarts=3,
        generator=seeded(),
        on_step=lambda step, x_adv: seen.append((step, x_adv)),
    )
    assert [step for step, _ in seen] == list(range(1, 13))
    shown = torch.stack([x_adv for _, x_adv in seen])
    assert bool((shown == found).flatten(2).all(2).any(0).all())


def starts(norm, eps, dimensions, n=4000):
    """Return where PGD starts from 0: with steps of length 0 every iterate is its start."""
    x, y = torch.zeros(n, dimensions, dtype=torch.float64), torch.zeros(n, dtype=torch.int64)
    weight = torch.randn(3, dimensions, generator=seeded(), dtype=torch.float64)
    options = {"steps": 1, "step_size": 0.0, "bounds": (-9.0, 9.0), "generator": seeded(1)}
    return attacks.pgd(lambda x: x @ weight.T, x, y, eps=eps, norm=norm, **options)


@NORMS
@pytest.mark.parametrize("dimensions", [2, 5])
def test_the_random_start_is_uniform_in_the_ball(norm, dimensions):
    eps = 0.7
    start = starts(norm, eps, dimensions)
    size = distances(start, norm)
    assert size.max() <= eps + 1e-9
    # The ball of a share r of the radius holds the share r^D of the volume, in every norm ...
    assert kstest((size / eps) ** dimensions, "uniform").pvalue > 1e-3
    # ... and every corner of the signs the same share.
    corners = ((start > 0) * 2 ** torch.arange(dimensions)).sum(1).bincount(minlength=2**dimensions)
    expected = len(start) / 2**dimensions
    assert bool(((corners - expected).abs() < 5 * expected**0.5).all())
    # Where along the ball's surface: on the half with |x0| > |x1| as often as on the other.
    half = (start[:, 0].abs() > start[:, 1].abs()).double().mean().item()
    assert half == pytest.approx(0.5, abs=0.04)
    if norm == "l1":  # uniform on the simplex: each share of the total is Beta(1, D - 1)
        share = (start[:, 0].abs() / size).numpy()
        assert kstest(share, "beta", (1, dimensions - 1)).pvalue > 1e-3
    if norm == "l2" and dimensions == 2:
        angle = torch.atan2(start[:, 1], start[:, 0]) / (2 * math.pi) + 0.5
        assert kstest(angle, "uniform").pvalue > 1e-3
    if norm == "linf":
        assert kstest(start[:, 0] / (2 * eps) + 0.5, "uniform").pvalue > 1e-3


def test_no_random_start_is_no_random_start():
    model, (x, y, _) = Net(), batch(20)
    a, b, c = (
        attacks.pgd(model, x, y, eps=0.1, steps=2, random_start=start, generator=seeded(seed))
        for start, seed in ((False, 0), (False, 1), (True, 0))
    )
    assert torch.equal(a, b) and not torch.equal(a, c)


@NORMS
def test_a_target_is_reached(norm, dataset):
    model, x, y = victim(dataset)
    x, y = x[:40], y[:40]
    target = (y + 1) % 10
    found = attacks.pgd(
        model, x, y, eps=3 * EPS[norm], norm=norm, target=target, generator=seeded()
    )
    away = attacks.pgd(model, x, y, eps=3 * EPS[norm], norm=norm, generator=seeded())
    hits = (predict(model, found) == target).float().mean()
    assert hits > 0.8 and hits > (predict(model, away) == target).float().mean() + 0.3


@AIMS
def test_generate(aims, dataset):
    model, x, y = victim(dataset)
    x, y = x[:20], y[:20]
    target = (y + 1) % 10 if aims else None
    away = []
    for weight in (0.0, 0.001, 0.01):
        options = {"weight": weight, "target": target, "generator": seeded(), "steps": 80}
        found, path = path_of(attacks.generate, model, x, y, **options)
        away.append(distances(found - x, "l2").mean().item())
        goal = predict(model, found) == target if aims else predict(model, found) != y
        # The quadratic goal is flat where the noise is surely something else: not all arrive.
        assert goal.float().mean() > (0.3 if aims else 0.85)
        assert bool((distances(path[0] - x, "l2") > 5).all()), "it starts from noise"
    assert all(b < 0.8 * a for a, b in itertools.pairwise(away)), away


def test_generate_returns_its_cheapest_success():
    model, (x, y, target) = Net().eval(), batch(30)
    options = {"weight": 0.02, "steps": 12, "step_size": 0.2, "target": target}
    found, path = path_of(attacks.generate, model, x, y, **options, generator=seeded())
    assert len(path) == 12
    ranks = []
    for image in path:
        z = scores(model, image)
        cost = (F.one_hot(target, CLASSES) - z.softmax(1)).square().sum(1) / 2
        cost = cost + 0.02 * (image - x).flatten(1).square().sum(1)
        ranks.append(cost - 1e3 * (z.argmax(1) == target))
    best = torch.stack(ranks).argmin(0)
    torch.testing.assert_close(found, torch.stack(path)[best, torch.arange(30)])
    assert len(best.unique()) > 1 and bool((lead(model, found, target) > 0).any())
