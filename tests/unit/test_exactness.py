"""Against a linear model the attacks reach what solvers that share no code with them find."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, linprog, minimize

from advcourse import attacks
from tests.unit.attack_cases import (
    CLASSES,
    ROWS,
    batch,
    call,
    distances,
    draws,
    lead,
    seeded,
)

BOXES = pytest.mark.parametrize("box", ["tanh", "clip"])
WIDE = (-50.0, 50.0)  # where no pixel meets its bound


def linear(seed=0, pixels=6, classes=CLASSES, scale=1.0):
    """Return a softmax model, its weights [classes, pixels], and biases: level at mid-gray."""
    weight = scale * torch.randn(classes, pixels, generator=seeded(seed), dtype=torch.float64)
    bias = -weight.sum(1) / 2
    return lambda x: x.flatten(1) @ weight.T + bias, weight, bias


def images(model, n, seed=0, pixels=6):
    """Return n images, some pixels on the bounds, and the classes that the model sees in them."""
    x, _, _ = batch(n, seed, (pixels,))
    return x, model(x).argmax(1)


# The highest loss in a ball.


def highest_l2(slope, eps, low, high):
    """Maximize slope @ d within the l2 ball and the box: d is a clipped multiple of the slope."""
    if np.linalg.norm(np.where(slope > 0, high, low)) <= eps:
        return np.where(slope > 0, high, low) @ slope
    over = brentq(lambda t: np.linalg.norm(np.clip(t * slope, low, high)) - eps, 0, 1e6, xtol=1e-13)
    return np.clip(over * slope, low, high) @ slope


def highest_l1(slope, eps, low, high):
    """Maximize slope @ d within the l1 ball and the box, as a linear program of d's two halves."""
    two = np.concatenate([slope, -slope])
    room = [(0, r) for r in np.concatenate([high, -low])]
    return -linprog(-two, A_ub=np.ones((1, len(two))), b_ub=[eps], bounds=room).fun


def highest_linf(slope, eps, low, high):
    return np.abs(slope) @ np.minimum(np.where(slope > 0, high, -low), eps)


HIGHEST = {"linf": highest_linf, "l2": highest_l2, "l1": highest_l1}


@pytest.mark.parametrize("bounds", [(0.0, 1.0), WIDE])
@pytest.mark.parametrize("norm", HIGHEST)
@settings(draws, max_examples=15)
@given(seed=st.integers(0, 10**6), share=st.floats(0.02, 0.6))
def test_pgd_reaches_the_highest_loss(norm, bounds, seed, share):
    # Of two classes: there the loss rises with the lead, which is linear. Where two pixels are
    # nearly worth the same, short steps have not yet decided between them.
    (model, weight, _), eps = linear(seed, 8, 2), share * 8 ** {"linf": 0, "l2": 0.5, "l1": 1}[norm]
    x, y = images(model, 4, seed, 8)
    highest = [
        HIGHEST[norm]((weight[1 - k] - weight[k]).numpy(), eps, *(b - one.numpy() for b in bounds))
        for one, k in zip(x, y, strict=True)
    ]
    highest = torch.tensor(highest, dtype=x.dtype)
    options = {"eps": eps, "norm": norm, "bounds": bounds, "generator": seeded()}
    for more, tolerance in ({}, 0.02), ({"step_size": 100 * eps}, EXACT[norm]):
        far = attacks.pgd(model, x, y, **options, **more)
        assert bool((distances(far - x, norm) <= eps + 1e-9).all())
        reached = lead(model, x, y) - lead(model, far, y)
        torch.testing.assert_close(reached, highest, rtol=tolerance, atol=1e-9)


EXACT = {"linf": 1e-12, "l2": 1e-6, "l1": 1e-3}


@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd"])
@draws
@given(seed=st.integers(0, 10**6), eps=st.floats(0, 1))
def test_the_highest_loss_in_linf_is_in_a_corner(name, seed, eps):
    (model, _, _), (x, y, _) = linear(seed, 8, 2), batch(3, seed, (8,))
    y = y % 2

    def loss(x):
        return F.cross_entropy(model(x), y, reduction="none")

    corners = torch.tensor(list(itertools.product((-eps, eps), repeat=8)), dtype=x.dtype)
    highest = torch.stack([loss((x + corner).clamp(0, 1)) for corner in corners]).amax(0)
    found = loss(call(ROWS[name], model, x, y, eps, generator=seeded()))
    torch.testing.assert_close(found, highest, rtol=1e-9, atol=1e-12)


@draws
@given(seed=st.integers(0, 10**6), size=st.floats(0, 2))
def test_one_step_of_a_linear_model(seed, size):
    (model, weight, _), (x, y, target) = linear(seed), batch(seed=seed)

    def gradient(labels):
        return ((model(x).softmax(1) - F.one_hot(labels, CLASSES)) @ weight).view_as(x)

    for goal, g in ({}, gradient(y)), ({"target": target}, -gradient(target)):
        signed = attacks.fgsm(model, x, y, eps=size, **goal)
        plain = attacks.gradient_ascent(model, x, y, step_size=size, steps=1, **goal)
        torch.testing.assert_close(signed, (x + size * g.sign()).clamp(0, 1))
        torch.testing.assert_close(plain, (x + size * g).clamp(0, 1))


# The smallest change that crosses a boundary. The slope and the lead are those of the label over
# one other class; where the lead is gone the change d has slope @ d = -lead.


def nearest_l2(slope, lead, low, high):
    def left(t):
        return slope @ np.clip(-t * slope, low, high) + lead

    if left(1e6) > 0:
        return np.inf
    return np.linalg.norm(np.clip(-brentq(left, 0, 1e6, xtol=1e-14) * slope, low, high))


def nearest_linf(slope, lead, low, high):
    room = np.where(slope > 0, -low, high)

    def left(size):
        return lead - np.abs(slope) @ np.minimum(size, room)

    return brentq(left, 0, room.max()) if left(room.max()) <= 0 else np.inf


def nearest_l0(slope, lead, low, high):
    gains = np.sort(np.abs(slope) * np.where(slope > 0, -low, high))[::-1].cumsum()
    return 1 + int((gains <= lead).sum()) if gains[-1] > lead else np.inf


NEAREST = {"l2": nearest_l2, "linf": nearest_linf, "l0": nearest_l0}


def nearest(weight, bias, x, y, bounds, norm="l2"):
    """Return the distance [N] of each image to the nearest boundary of its class, in the box."""
    found = []
    for one, label in zip(x, y, strict=True):
        z, others = weight @ one + bias, [k for k in range(len(weight)) if k != label]
        low, high = bounds[0] - one.numpy(), bounds[1] - one.numpy()
        found.append(
            min(
                NEAREST[norm](
                    (weight[label] - weight[k]).numpy(), (z[label] - z[k]).item(), low, high
                )
                for k in others
            )
        )
    return torch.tensor(found, dtype=torch.float64)


def nearest_image(weight, bias, x, target):
    """Return the distance [N] to the polytope of the target, by sequential quadratic programming."""
    found = []
    for one, aim in zip(x.numpy(), target.tolist(), strict=True):
        rows = [k for k in range(len(weight)) if k != aim]
        slopes, lead = (weight[aim] - weight[rows]).numpy(), (bias[aim] - bias[rows]).numpy()
        there = {"type": "ineq", "fun": lambda d, s=slopes, c=lead + slopes @ one: s @ d + c}
        room = list(zip(-one, 1 - one, strict=True))
        best = minimize(
            lambda d: d @ d,
            np.zeros(len(one)),
            jac=lambda d: 2 * d,
            method="SLSQP",
            bounds=room,
            constraints=there,
            options={"ftol": 1e-13, "maxiter": 500},
        )
        found.append(best.fun**0.5 if there["fun"](best.x).min() > -1e-7 else np.inf)
    return torch.tensor(found, dtype=torch.float64)


def test_the_solvers_agree():
    _, weight, bias = linear(3, 8, 2, 2.0)
    x, y = images(linear(3, 8, 2, 2.0)[0], 20, 3, 8)
    ours = nearest(weight, bias, x, y, (0.0, 1.0))
    torch.testing.assert_close(ours, nearest_image(weight, bias, x, 1 - y), rtol=1e-6, atol=1e-6)


@draws
@given(seed=st.integers(0, 10**6), candidates=st.integers(6, 12))
def test_deepfool_is_exact(seed, candidates):
    model, weight, bias = linear(seed, 12, 6)
    x, y = images(model, 8, seed, 12)
    options = {"overshoot": 1e-6, "candidates": candidates, "bounds": WIDE}
    found = attacks.deepfool(model, x, y, **options)
    ratio = distances(found - x, "l2") / nearest(weight, bias, x, y, WIDE)
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=1e-5)
    assert bool((lead(model, found, y) < 0).all())


def test_deepfool_in_the_box_and_with_few_candidates():
    model, weight, bias = linear(0, 12, 6, 2.0)
    x, y = images(model, 200, 0, 12)
    clipped = attacks.deepfool(model, x, y, overshoot=1e-6)
    true = nearest(weight, bias, x, y, (0.0, 1.0))
    won = distances(clipped - x, "l2") > 0
    assert won.float().mean() > 0.95
    ratio = (distances(clipped - x, "l2") / true)[won]
    assert ratio.min() > 1 - 1e-6, "nothing is nearer than the nearest"
    assert ratio.median() < 1.01
    # Told to look at one other class it goes to the likeliest, which need not be the nearest.
    one = attacks.deepfool(model, x, y, overshoot=1e-6, candidates=2, bounds=WIDE)
    second = model(x).scatter(1, y[:, None], -torch.inf).argmax(1)
    slope = weight[y] - weight[second]
    expected = lead(model, x, y) / slope.norm(dim=1)
    torch.testing.assert_close(distances(one - x, "l2"), expected, rtol=1e-5, atol=0)
    assert bool((expected > 1.001 * nearest(weight, bias, x, y, WIDE)).any())


def test_deepfool_halves_the_way_back():
    model, weight, bias = linear(1, 12, 6)
    x, y = images(model, 50, 1, 12)
    options = {"overshoot": 0.08, "bounds": WIDE}
    far, near = (attacks.deepfool(model, x, y, halvings=n, **options) for n in (0, 10))
    ratios = [distances(z - x, "l2") / nearest(weight, bias, x, y, WIDE) for z in (far, near)]
    torch.testing.assert_close(ratios[0], torch.full_like(ratios[0], 1.08), rtol=1e-4, atol=0)
    # The last tenth of 1.08, halved ten times: so near at most, and not within the boundary.
    assert bool((ratios[1] < 1 + 0.108 / 2**10 + 1e-5).all())
    assert bool((lead(model, near, y) < 0).all())
    with pytest.raises(ValueError, match="halvings: -1 is no count"):
        attacks.deepfool(model, x, y, halvings=-1)


def far_enough(distance, most=10):
    """Return which images to attack: an Adam step must be small beside the distance."""
    return ((distance > 0.3) & (distance < torch.inf)).nonzero()[:most, 0]


@BOXES
@pytest.mark.parametrize("classes", [2, CLASSES])
def test_carlini_wagner_is_within_a_hundredth(box, classes):
    model, weight, bias = linear(0, 12, classes, 2.0)
    x, y = images(model, 60, 0, 12)
    # Several classes have several nearest boundaries, and Adam may settle for the second; a target
    # has one nearest image.
    target = None if classes == 2 else (y + 1) % classes
    if target is None:
        true = nearest(weight, bias, x, y, (0.0, 1.0))
    else:
        true = nearest_image(weight, bias, x, target)
    some = far_enough(true)
    x, y, true, target = x[some], y[some], true[some], target if target is None else target[some]
    options = {"box": box, "steps": 300, "learning_rate": 0.05, "initial_c": 1.0}
    found = attacks.carlini_wagner(model, x, y, target=target, **options)
    ratio = distances(found - x, "l2") / true
    assert len(x) == 10 and ratio.min() > 1 - 1e-6 and ratio.max() < 1.01


@BOXES
@pytest.mark.parametrize("norm", ["linf", "l0"])
def test_carlini_wagner_in_other_norms(norm, box):
    model, weight, bias = linear(0, 12, 2, 2.0)
    x, y = images(model, 60, 0, 12)
    some = far_enough(nearest(weight, bias, x, y, (0.0, 1.0)), 20)
    x, y = x[some], y[some]
    true = nearest(weight, bias, x, y, (0.0, 1.0), norm)
    found = attacks.carlini_wagner(model, x, y, norm=norm, box=box, initial_c=0.1)
    size = distances(found - x, norm)
    assert len(x) == 20 and bool((lead(model, found, y) < 0).all())
    assert bool((size >= true - 1e-9).all()), "nothing is nearer than the nearest"
    if norm == "linf":  # each limit is nine tenths of the last
        assert (size / true).max() < 1.15
    else:  # greedy: it drops what mattered least, a fifth at a time
        assert (size - true).max() <= 1 and (size - true).median() == 0


def test_ddn_comes_near():
    model, weight, bias = linear(0, 12, 2, 2.0)
    x, y = images(model, 60, 0, 12)
    found = attacks.ddn(model, x, y, steps=300)
    ratio = distances(found - x, "l2") / nearest(weight, bias, x, y, (0.0, 1.0))
    assert ratio.min() > 1 - 1e-6 and ratio.max() < 1.005
