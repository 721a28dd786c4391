"""The seven objectives of Carlini and Wagner: where they are 0, and that they can be followed."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advcourse.attacks.objectives import OBJECTIVES, margin
from tests.unit.attack_cases import draws, seeded

LOG2 = math.log(2)
each = pytest.mark.parametrize("name", OBJECTIVES)
aimed = pytest.mark.parametrize("aims", [False, True])
# Where an objective is (or passes) its threshold, the goal has been reached. f1 and f5 and f4 ask
# for half of all probability, f1 for 1/e more loosely; the others for the lead itself.
THRESHOLD = {"f1": LOG2 - 1, "f2": 0, "f3": 0, "f4": 0, "f5": 0, "f6": 0, "f7": 0}
STRICT = ("f1", "f4", "f5")  # which ask for half of the probability, and not only for the lead
OPEN = ("f1", "f3", "f5", "f7")  # which go on falling beyond their threshold


def case(seed, scale=3.0, n=40, classes=5):
    z = scale * torch.randn(n, classes, generator=seeded(seed), dtype=torch.float64)
    y, step = (torch.randint(1, classes, (n,), generator=seeded(seed + i)) for i in (1, 2))
    return z.requires_grad_(), y, (y + step) % classes


def goals(aims, y, target):
    return target if aims else None


def share(z, y, target):
    """Return the goal's probability [N]: of the target, or of everything but y; in plain terms."""
    p = z.detach().softmax(1)
    own = p[torch.arange(len(p)), y if target is None else target]
    return 1 - own if target is None else own


def reached(z, y, target):
    return z.argmax(1) != y if target is None else z.argmax(1) == target


@aimed
@each
@settings(draws, max_examples=10)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.5, 3.0, 20.0]))
def test_threshold(name, aims, seed, scale):
    z, y, target = case(seed, scale)
    goal = goals(aims, y, target)
    below = OBJECTIVES[name](z, y, goal, 0.0) <= THRESHOLD[name]
    expected = share(z, y, goal) >= 0.5 if name in STRICT else reached(z, y, goal)
    unclear = (share(z, y, goal) - 0.5).abs() < 1e-9  # rounding may decide
    assert torch.equal(below | unclear, expected | unclear)
    if aims and name in STRICT:  # who has half of everything leads
        assert bool(reached(z, y, goal)[below].all())


@aimed
@pytest.mark.parametrize("name", ["f6", "f7"])
@pytest.mark.parametrize("confidence", [0.0, 2.5])
def test_confidence(name, aims, confidence):
    z, y, target = case(0)
    goal = goals(aims, y, target)
    below = OBJECTIVES[name](z, y, goal, confidence) <= 0
    for one, label, aim, is_below in zip(
        z.tolist(), y.tolist(), target.tolist(), below, strict=True
    ):
        own = one.pop(aim if aims else label)
        ahead = own - max(one) if aims else max(one) - own
        assert bool(is_below) == (ahead >= confidence)
    assert bool(below.any()) and not bool(below.all())


@aimed
@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_everywhere(name, aims, dtype):
    corners = torch.cartesian_prod(*[torch.tensor([-1e3, 0.0, 1e3], dtype=dtype)] * 3)
    for z in (corners, 1e-30 * corners, 1e-3 * corners):
        for label in range(3):
            here, y = z.clone().requires_grad_(), torch.full((len(z),), label)
            value = OBJECTIVES[name](here, y, goals(aims, y, y), 0.0)
            (slope,) = torch.autograd.grad(value.sum(), here)
            assert bool(value.isfinite().all()) and bool(slope.isfinite().all())


@aimed
@each
def test_the_gradient_leads_to_the_goal(name, aims):
    z, y, target = case(0, 1.0)
    goal, start = goals(aims, y, target), None
    for _ in range(300):
        value = OBJECTIVES[name](z, y, goal, 0.0)
        start = value.detach() if start is None else start
        (slope,) = torch.autograd.grad(value.sum(), z)
        z = (z - 0.5 * slope).detach().requires_grad_()
    end = OBJECTIVES[name](z, y, goal, 0.0).detach()
    assert bool((end <= THRESHOLD[name] + 1e-3).all()) and bool((start > THRESHOLD[name]).any())
    assert bool((end[start > THRESHOLD[name]] < start[start > THRESHOLD[name]]).all())
    if name not in OPEN:
        assert bool((end >= 0).all()), (
            "it is 0 once the goal is reached, and distance alone is left"
        )


@aimed
def test_f1_and_f5_are_one_objective(aims):
    z, y, target = case(0)
    goal = goals(aims, y, target)
    values = [OBJECTIVES[name](z, y, goal, 0.0) for name in ("f1", "f5")]
    one, five = (torch.autograd.grad(v.sum(), z, retain_graph=True)[0] for v in values)
    assert torch.equal(one, five) and bool((one != 0).any())
    torch.testing.assert_close(values[1] - values[0], torch.full_like(values[0], 1 - LOG2))


def test_f5_cannot_be_taken_as_printed():
    for scale in (1.0, 10.0, 1e3):
        z, y, target = case(0, scale)
        argument = 2 * share(z, y, target) - 2  # of the logarithm in -log(2 F - 2)
        assert bool((argument <= 0).all())
        assert not bool((-torch.log(argument)).isfinite().any())


@pytest.mark.parametrize("name", ["f2", "f3", "f4", "f6", "f7"])
def test_as_printed(name):
    """Carlini and Wagner 2017, section IV.A, one example at a time; C(x') is the target's class."""
    z, y, target = case(3)
    found = OBJECTIVES[name](z, y, target, 0.0)
    for one, aim, ours in zip(z.detach(), target.tolist(), found.tolist(), strict=True):
        p, others = one.softmax(0), [k for k in range(len(one)) if k != aim]
        gap_p, gap_z = (max(v[k] for k in others) - v[aim] for v in (p, one))
        printed = {
            "f2": max(gap_p.item(), 0),
            "f3": math.log1p(gap_p.exp().item()) - LOG2,
            "f4": max(0.5 - p[aim].item(), 0),
            "f6": max(gap_z.item(), 0),
            "f7": math.log1p(gap_z.exp().item()) - LOG2,
        }
        assert ours == pytest.approx(printed[name], rel=1e-9, abs=1e-12)


@aimed
def test_margin_masks_the_label(aims):
    """Comparing with 0 in the label's place, as a peer does, goes wrong for negative scores."""
    z = torch.tensor([[-5.0, -2.0, -9.0], [-1.0, -2.0, -3.0]])
    y = torch.tensor([1, 1])
    expected = torch.tensor([-3.0, 1.0] if aims else [3.0, -1.0])
    assert torch.equal(margin(z, y, y if aims else None), expected)
