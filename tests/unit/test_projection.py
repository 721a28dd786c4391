"""The projections are the nearest points of their balls, by solvers that share no code with them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize

from advcourse.attacks import project

ORDERS = {"linf": math.inf, "l2": 2, "l1": 1}
draws = settings(deadline=None, derandomize=True, max_examples=60)
balls = pytest.mark.parametrize("norm", ORDERS)
points = st.lists(st.floats(-3, 3), min_size=3, max_size=24).map(
    lambda v: torch.tensor(v[: len(v) // 3 * 3], dtype=torch.float64).view(3, -1)
)
radii = st.one_of(st.just(0), st.floats(1e-3, 4), st.just(1))


def solve(delta, eps, norm, low=-math.inf, high=math.inf):
    """Minimize the distance to delta [D] over the ball, by sequential quadratic programming.

    low, high: the box that holds it, too, [D] or numbers.
    """
    low, high = np.broadcast_to(low, delta.shape), np.broadcast_to(high, delta.shape)
    if norm == "l1":  # over the positive and the negative parts, where the ball is smooth
        signs = np.concatenate([np.eye(len(delta)), -np.eye(len(delta))])
        inside = {"type": "ineq", "fun": lambda v: eps - v.sum()}
        room = [(0, r) for r in np.concatenate([high, -low])]
        limits = {"bounds": room, "constraints": inside}
    else:
        radius = eps if norm == "linf" else math.inf
        room = list(zip(np.maximum(low, -radius), np.minimum(high, radius), strict=True))
        signs, limits = np.eye(len(delta)), {"bounds": room}
        if norm == "l2":
            limits["constraints"] = {"type": "ineq", "fun": lambda v: eps**2 - v @ v}
    # It often ends in "no further descent" at the optimum: the comparison is the judge.
    found = minimize(
        lambda v: ((v @ signs - delta) ** 2).sum(),
        np.full(len(signs), eps / 10 / len(signs)),
        jac=lambda v: 2 * signs @ (v @ signs - delta),
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
        **limits,
    )
    return found.x @ signs


def l1_by_bisection(delta, eps):
    """Find the shrinkage that leaves a sum of eps, as the root of a falling function."""
    size = np.abs(delta)
    if size.sum() <= eps:
        return delta
    threshold = brentq(lambda t: np.maximum(size - t, 0).sum() - eps, 0, size.max(), xtol=1e-15)
    return np.sign(delta) * np.maximum(size - threshold, 0)


@balls
def test_solver_agrees(norm):
    source = torch.Generator().manual_seed(0)
    moved = 0
    for eps in (0.3, 1.0, 2.5):
        delta = torch.randn(8, 4, generator=source, dtype=torch.float64)
        near = project(delta, eps, norm)
        moved += (near != delta).any(1).sum().item()
        for one, expected in zip(near, delta.tolist(), strict=True):
            np.testing.assert_allclose(one, solve(np.array(expected), eps, norm), atol=2e-5)
    assert 8 <= moved < 24, "points both inside and outside are wanted"


@draws
@given(delta=points, eps=radii)
def test_l1_is_exact(delta, eps):
    expected = [l1_by_bisection(row, eps) for row in delta.numpy()]
    np.testing.assert_allclose(project(delta, eps, "l1"), np.stack(expected), atol=1e-10)


@balls
@draws
@given(delta=points, eps=radii, seed=st.integers(0, 999))
def test_nearest_point_of_the_ball(norm, delta, eps, seed):
    kept, near = delta.clone(), project(delta, eps, norm)
    size = near.norm(ORDERS[norm], dim=1)
    assert torch.equal(delta, kept)
    assert bool((size <= eps + 1e-9).all())
    torch.testing.assert_close(project(near, eps, norm), near, rtol=0, atol=1e-9)
    within = delta.norm(ORDERS[norm], dim=1) <= eps - 1e-9
    torch.testing.assert_close(near[within], delta[within], rtol=0, atol=1e-12)
    torch.testing.assert_close(size[~within], torch.full_like(size, eps)[~within])
    source = torch.Generator().manual_seed(seed)
    others = torch.randn(200, *delta.shape, generator=source, dtype=delta.dtype) + delta
    others = others * (eps / others.norm(ORDERS[norm], dim=2, keepdim=True).clamp(min=1e-12))
    nudged = near + 1e-3 * torch.randn(200, *delta.shape, generator=source, dtype=delta.dtype)
    nudged *= eps / nudged.norm(ORDERS[norm], dim=2, keepdim=True).clamp(min=max(eps, 1e-12))
    distance = (near - delta).norm(dim=1)
    for rival in (others, nudged):
        assert bool(((rival - delta).norm(dim=2) >= distance - 1e-9).all())


def in_box_by_bisection(delta, eps, norm, low, high):
    """Project onto ball and box at once: the box clips a change that one number makes smaller."""
    if norm == "linf":
        return np.clip(delta, np.maximum(low, -eps), np.minimum(high, eps))

    def smaller(by):
        if norm == "l2":  # stationarity: (1 + by) d = delta, but where the box holds d
            return np.clip(delta / (1 + by), low, high)
        return np.clip(np.sign(delta) * np.maximum(np.abs(delta) - by, 0), low, high)

    def over(by):
        return np.linalg.norm(smaller(by), ORDERS[norm]) - eps

    if over(0) <= 0:
        return smaller(0)
    if eps == 0:
        return np.zeros_like(delta)
    return smaller(brentq(over, 0, 1e9 if norm == "l2" else np.abs(delta).max(), xtol=1e-15))


def boxes(delta, seed):
    """Return a box around 0 like an image's; some pixels lie on their bounds."""
    x = (1.4 * torch.rand(delta.shape, generator=torch.Generator().manual_seed(seed)) - 0.2).clamp(
        0, 1
    )
    return -x.to(delta.dtype), 1 - x.to(delta.dtype)


@balls
@draws
@given(delta=points, eps=radii, seed=st.integers(0, 999))
def test_in_the_box(norm, delta, eps, seed):
    low, high = boxes(delta, seed)
    kept, near = delta.clone(), project(delta, eps, norm, low, high)
    assert torch.equal(delta, kept) and bool(((low <= near) & (near <= high)).all())
    assert bool((near.norm(ORDERS[norm], dim=1) <= eps * (1 + 1e-6) + 1e-9).all())
    for found, *row in zip(near, delta.numpy(), low.numpy(), high.numpy(), strict=True):
        expected = in_box_by_bisection(row[0], eps, norm, *row[1:])
        np.testing.assert_allclose(found, expected, atol=IN_BOX[norm])


IN_BOX = {"linf": 0, "l2": 1e-5, "l1": 1e-10}


@balls
def test_solver_agrees_in_the_box(norm):
    source = torch.Generator().manual_seed(0)
    moved = 0
    for eps in (0.3, 0.8, 1.5):
        delta = torch.randn(8, 4, generator=source, dtype=torch.float64)
        low, high = boxes(delta, int(10 * eps))
        near = project(delta, eps, norm, low, high)
        moved += (near != delta.clamp(low, high)).any(1).sum().item()
        for found, *row in zip(near, delta.numpy(), low.numpy(), high.numpy(), strict=True):
            np.testing.assert_allclose(found, solve(row[0], eps, norm, *row[1:]), atol=2e-5)
    assert 8 <= moved < 24, "the ball should matter to some and not to others"


@balls
@pytest.mark.parametrize("in_box", [False, True])
def test_single_precision_keeps_to_the_ball(norm, in_box):
    source = torch.Generator().manual_seed(0)
    for size in (1e-3, 1.0, 10.0):
        delta = size * torch.randn(50, 784, generator=source)
        for eps in (0.0, 1e-3, 1.0, 10.0, 100.0):
            box = boxes(delta, 3) if in_box else ()
            near = project(delta, eps, norm, *box)
            assert bool((near.double().norm(ORDERS[norm], dim=1) <= eps * (1 + 1e-6)).all())
            exact = project(delta.double(), eps, norm, *(b.double() for b in box))
            torch.testing.assert_close(near.double(), exact, rtol=0, atol=1e-6 * max(1, size))


@draws
@given(delta=points, count=st.integers(0, 9))
def test_l0_keeps_the_largest(delta, count):
    near = project(delta, count, "l0")
    assert bool(((near == delta) | (near == 0)).all())
    assert bool(((near != 0).sum(1) <= count).all())
    ordered = delta.abs().sort(dim=1, descending=True).values[:, :count]
    torch.testing.assert_close(near.abs().sum(1), ordered.sum(1))


@pytest.mark.parametrize("norm", [*ORDERS, "l0"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_dtype_and_zeros(norm, dtype):
    for shape in ((4, 1, 28, 28), (2, 5), (0, 3, 4)):
        delta = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
        near = project(delta, 1, norm)
        assert near.shape == delta.shape and near.dtype == dtype
        assert not project(delta, 0, norm).any()
        assert torch.equal(project(torch.zeros_like(delta), 1, norm), torch.zeros_like(delta))
        if norm in ORDERS:
            assert bool((near.flatten(1).norm(ORDERS[norm], dim=1) <= 1 + 1e-6).all())


@pytest.mark.parametrize("norm", [*ORDERS, "l0"])
def test_each_row_by_itself(norm):
    delta = torch.tensor([[0.1, 0.0], [3.0, -4.0], [0.0, 0.0], [1.0, 1.0]])
    together = project(delta, 1, norm)
    assert torch.equal(together, torch.cat([project(row[None], 1, norm) for row in delta]))
    assert torch.equal(together[2], delta[2])
    expected = {"linf": [1, -1], "l2": [0.6, -0.8], "l1": [0, -1], "l0": [0, -4]}
    torch.testing.assert_close(together[1], torch.tensor(expected[norm], dtype=torch.float32))


@pytest.mark.parametrize("eps", [-1e-3, math.nan, math.inf, "1", None])
@pytest.mark.parametrize("norm", [*ORDERS, "l0"])
def test_bad_radius(norm, eps):
    with pytest.raises(ValueError, match=f"^eps: {eps!r} is no radius"):
        project(torch.zeros(1, 2), eps, norm)


@pytest.mark.parametrize("norm", ["l3", "L2", 2, None, ""])
def test_bad_norm(norm):
    with pytest.raises(ValueError, match=f"^norm: {norm!r} is not one of linf, l2, l1, l0"):
        project(torch.zeros(1, 2), 1, norm)


def test_no_box_around_counted_pixels():
    delta = torch.zeros(1, 2)
    with pytest.raises(ValueError, match=r"^norm: 'l0' .*without a box"):
        project(delta, 1, "l0", delta - 1, delta + 1)
