"""DeepFool, Carlini-Wagner, DDN and JSMA return the smallest success, or the image itself."""

import functools

import pytest
import torch

from advcourse import attacks
from tests.unit.attack_cases import (
    AIMED,
    LEAST,
    Net,
    batch,
    call,
    distances,
    lead,
    over,
    parameters,
    predict,
    seeded,
    victim,
)

# Those that follow a gradient; test_hop_skip_jump.py looks at the one that asks.
WALKS = [row for row in LEAST if "steps" in parameters(row)]
BUDGETS = {"carlini_wagner": 0.0, "jsma": 1.0}  # no lead is asked for, every pixel may move


def least(row):
    return row.norm.removeprefix("least ")


def succeeds(model, x, y, target):
    return predict(model, x) != y if target is None else predict(model, x) == target


def attacked(row, aims, steps, n=200, **more):
    """Attack images of which some are wrong already; return what there was and what came out."""
    model, (x, y, target) = Net().eval(), batch(n)
    y = torch.where(torch.arange(n) < n // 5, y, predict(model, x))
    goal = {"target": target} if aims else {}
    path = []
    found = call(
        row,
        model,
        x,
        y,
        BUDGETS.get(row.name),
        steps=steps,
        on_step=lambda _, x_adv: path.append(x_adv),
        **goal,
        **more,
    )
    return model, x, y, goal.get("target"), found, torch.stack(path)


@pytest.mark.parametrize("steps", [1, 4, 30])
@pytest.mark.parametrize("aims", [False, True])
@over(WALKS)
def test_the_smallest_success_or_the_image_itself(row, aims, steps):
    if aims and row not in AIMED:
        pytest.skip("cannot aim")
    model, x, y, target, found, path = attacked(row, aims, steps)
    already = succeeds(model, x, y, target)
    same, won = (found == x).flatten(1).all(1), succeeds(model, found, y, target)
    assert already.any() and bool(same[already].all()), "nothing was left to do"
    assert torch.equal(same | already, ~won | already), "what moved has succeeded, the rest is x"
    assert (won & ~already).any() or steps == 1
    assert (~won).any() or steps == 30
    size = distances(found - x, least(row))
    for shown in path:
        hit = succeeds(model, shown, y, target) & ~already
        assert bool((distances(shown - x, least(row)) >= size - 1e-9)[hit].all()), "there is less"
        assert bool(won[hit].all())


@pytest.mark.parametrize("box", ["tanh", "clip"])
@pytest.mark.parametrize("norm", ["linf", "l0"])
@pytest.mark.parametrize("aims", [False, True])
def test_carlini_wagner_in_other_norms(norm, box, aims):
    row = attacks.get("carlini_wagner")
    model, x, y, target, found, path = attacked(row, aims, 20, n=60, norm=norm, box=box)
    already = succeeds(model, x, y, target)
    same, won = (found == x).flatten(1).all(1), succeeds(model, found, y, target)
    assert bool(same[already].all()) and torch.equal(same | already, ~won | already)
    assert (won & ~already).float().sum() > 0.5 * (~already).sum()
    two = call(row, model, x, y, 0.0, steps=20, target=target)
    both = won & ~already & succeeds(model, two, y, target)
    here, there = (distances(a - x, norm)[both] for a in (found, two))
    assert here.mean() < 0.95 * there.mean(), "it is for this norm"
    assert bool((path == found).flatten(2).all(2).any(0)[~same].all())


@pytest.mark.parametrize("objective", ["f6", "f7"])
@pytest.mark.parametrize("aims", [False, True])
def test_confidence_is_kept(objective, aims):
    row, model, (x, _, target) = attacks.get("carlini_wagner"), Net().eval(), batch(60)
    y = predict(model, x)
    target = (y + 1) % 4 if aims else None
    sizes = []
    for confidence in (0.0, 1.0, 2.0):
        options = {"steps": 40, "objective": objective, "target": target}
        found = call(row, model, x, y, confidence, **options)
        won = (found != x).flatten(1).any(1)
        ahead = -lead(model, found, y) if target is None else lead(model, found, target)
        assert bool((ahead[won] >= confidence - 1e-9).all()) and won.float().mean() > 0.15
        sizes.append(distances(found - x, "l2"))
    means = [size[won].mean().item() for size in sizes]  # of those who reach the last, too
    assert means == sorted(means) and means[2] > 1.05 * means[0]


@pytest.mark.parametrize("box", ["tanh", "clip"])
@pytest.mark.parametrize("objective", [f"f{i}" for i in range(1, 8)])
def test_every_objective_attacks(objective, box):
    model, x, y = victim("digits")
    right = (predict(model, x) == y).nonzero()[:12, 0]
    x, y = x[right], y[right]
    options = {"steps": 30, "binary_search_steps": 4, "initial_c": 1.0, "box": box}
    found = attacks.carlini_wagner(model, x, y, objective=objective, **options)
    won = predict(model, found) != y
    # Differences of probabilities are flat where the network is sure: some images never start.
    assert won.float().mean() > (0.5 if objective in ("f2", "f3", "f4") else 0.99)
    assert distances(found - x, "l2")[won].median() < 2.5


@functools.cache
def medians(dataset):
    """Return the median l2 of each attack on LeNet-5, a failure counted as infinite."""
    model, x, y = victim(dataset)
    quick = {"steps": 40, "binary_search_steps": 4, "initial_c": 1.0, "box": "clip"}
    results = {
        "deepfool": attacks.deepfool(model, x, y),
        "carlini_wagner": attacks.carlini_wagner(model, x, y, **quick),
        "ddn": attacks.ddn(model, x, y),
    }
    fgsm = torch.full((len(x),), torch.inf, dtype=torch.float64)
    for eps in torch.arange(0.5, 0, -0.02).tolist():  # down to the smallest that succeeds
        x_adv = attacks.fgsm(model, x, y, eps=eps)
        fgsm = torch.where(predict(model, x_adv) != y, distances(x_adv - x, "l2"), fgsm)
    fgsm[predict(model, x) != y] = 0
    found = {"fgsm": fgsm.median().item()}
    for name, x_adv in results.items():
        won = predict(model, x_adv) != y
        assert bool(won.all()), f"{name} leaves {(~won).sum()} images"
        found[name] = distances(x_adv - x, "l2").median().item()
    return found


def test_the_order_of_the_attacks(dataset):
    found = medians(dataset)
    assert found["deepfool"] <= found["fgsm"]
    assert found["carlini_wagner"] <= found["deepfool"]
    assert found["ddn"] <= 1.02 * found["carlini_wagner"]
    assert found["ddn"] > 0.5, "nothing costs nothing"


def test_targets_on_lenet(dataset):
    model, x, y = victim(dataset)
    x, y = x[:16], y[:16]
    target = (y + 1) % 10
    quick = {"steps": 40, "binary_search_steps": 4, "initial_c": 1.0, "box": "clip"}
    aimed = {
        "carlini_wagner": attacks.carlini_wagner(model, x, y, target=target, **quick),
        "ddn": attacks.ddn(model, x, y, target=target),
    }
    size = {name: distances(a - x, "l2").median() for name, a in aimed.items()}
    for x_adv in aimed.values():
        assert bool((predict(model, x_adv) == target).all())
    assert size["ddn"] < 1.05 * size["carlini_wagner"]
    assert size["ddn"] > distances(attacks.ddn(model, x, y) - x, "l2").median()


def test_ddn_shrinks_and_grows_by_gamma():
    model, (x, _, _), path = Net().eval(), batch(50), []
    y = predict(model, x)
    options = {"steps": 12, "initial_eps": 0.3, "gamma": 0.2, "bounds": (-9.0, 9.0)}
    attacks.ddn(model, x, y, **options, on_step=lambda _, x_adv: path.append(x_adv))
    eps = torch.full((50,), 0.3 * 1.2, dtype=torch.float64)  # the image itself has not succeeded
    for shown in path:
        torch.testing.assert_close(distances(shown - x, "l2"), eps)
        eps = eps * torch.where(predict(model, shown) != y, 0.8, 1.2)


def test_random_numbers_are_not_needed():
    model, x, y = victim("digits")
    for row in WALKS:
        few = {"carlini_wagner": {"binary_search_steps": 1}}.get(row.name, {})
        a, b = (
            row.function(model, x[:5], y[:5], steps=5, **few, generator=seeded(s)) for s in (0, 1)
        )
        assert torch.equal(a, b)
