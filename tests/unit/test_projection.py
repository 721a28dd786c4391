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


def solve(delta, eps, norm):
    """Minimize the distance to delta [D] over the ball, by sequential quadratic programming."""
    if norm == "l1":  # over the positive and the negative parts, where the ball is smooth
        signs = np.concatenate([np.eye(len(delta)), -np.eye(len(delta))])
        inside = {"type": "ineq", "fun": lambda v: eps - v.sum()}
        limits = {"bounds": [(0, None)] * len(signs), "constraints": inside}
    else:
        signs, limits = np.eye(len(delta)), {"bounds": [(-eps, eps)] * len(delta)}
        if norm == "l2":
            limits = {"constraints": {"type": "ineq", "fun": lambda v: eps**2 - v @ v}}
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
