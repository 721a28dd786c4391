"""Evasion of SVMs: the closed form is the optimum, the gradient walk obeys its ball."""

import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from advcourse import attacks, classic, data
from advcourse.beyond import svm


def linear(classes=3, size=8, seed=0):
    random = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(size, classes))
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(classes, size, generator=random))
        model[1].bias.copy_(0.3 * torch.randn(classes, generator=random))
    x = torch.rand(12, 1, 2, size // 2, generator=random)
    x[0, :, 0] = 0  # on the faces of the box
    x[1, :, 0] = 1
    return model, x, model(x).argmax(1)


def needs(model, x, y):
    """Yield (w [D], need) of each rival of one image, in double precision."""
    weight, bias = model[1].weight.detach().double(), model[1].bias.detach().double()
    z = weight @ x.flatten().double() + bias
    for k in range(len(bias)):
        if k != y:
            yield weight[k] - weight[y], (z[y] - z[k]).item()


def bisected(x, w, need, step):
    """The least `size` at which step(size), clipped into the box, gains `need`; inf if none does."""
    x = x.flatten().double()
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        change = step(middle, w).clamp(min=-x, max=1 - x)
        low, high = (middle, high) if change @ w < need else (low, middle)
    change = step(high, w).clamp(min=-x, max=1 - x)
    return change if change @ w >= need - 1e-9 else None


def by_program(x, w, need):
    """The least l1 change by linear programming: change = up - down, both inside the box."""
    x = x.flatten().double().numpy()
    bounds = [(0, 1 - v) for v in x] + [(0, v) for v in x]
    w = w.numpy()
    row = [*(-w), *w]
    found = linprog([1] * len(row), A_ub=[row], b_ub=[-need], bounds=bounds)
    return found.fun if found.status == 0 else float("inf")


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_distance_is_the_optimum(norm, seed):
    model, x, y = linear(seed=seed)
    found = svm.distances(model, x, y, norm)
    for i in range(len(x)):
        best = float("inf")
        for w, need in needs(model, x[i], int(y[i])):
            if norm == "l1":
                best = min(best, by_program(x[i], w, need))
                continue
            step = (lambda s, w: s * w) if norm == "l2" else (lambda s, w: s * w.sign())
            change = bisected(x[i], w, need, step)
            if change is not None:
                best = min(best, change.norm(p=svm.ORDERS[norm]).item())
        assert found[i].item() == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_the_image_is_across_inside_the_box_and_at_the_distance(norm):
    model, x, y = linear(seed=2)
    before = x.clone()
    x_adv = svm.closed(model, x, y, norm=norm)
    away = svm.distances(model, x, y, norm)
    can = away.isfinite()
    assert torch.equal(x, before) and x_adv.min() >= 0 and x_adv.max() <= 1
    assert (model(x_adv).argmax(1) != y)[can].all()
    size = (x_adv - x).flatten(1).norm(p=svm.ORDERS[norm], dim=1)
    assert torch.allclose(size[can], away[can], atol=1e-3) and (size[~can] == 0).all()


def test_without_a_box_it_is_the_hyperplane_formula():
    model, x, y = linear(classes=2, seed=3)
    (w,) = model[1].weight.detach()[1:] - model[1].weight.detach()[:1]
    gap = (model(x)[:, 0] - model(x)[:, 1]).abs().detach()
    far = (-100.0, 100.0)
    assert torch.allclose(svm.distances(model, x, y, "l2", far), gap / w.norm(), atol=1e-4)
    assert torch.allclose(svm.distances(model, x, y, "linf", far), gap / w.abs().sum(), atol=1e-4)
    assert torch.allclose(svm.distances(model, x, y, "l1", far), gap / w.abs().max(), atol=1e-4)


def test_no_attack_comes_closer():
    model, x, y = linear(seed=4)
    away = svm.distances(model, x, y)
    found = attacks.ddn(model, x, y, steps=60)
    size = (found - x).flatten(1).norm(dim=1)
    won = model(found).argmax(1) != y
    assert won.any() and (size[won] >= away[won] - 1e-4).all()


def test_misread_images_and_unreachable_boundaries_stay():
    model, x, y = linear()
    wrong = (y + 1) % 3
    assert torch.equal(svm.closed(model, x, wrong), x)
    assert (svm.distances(model, x, wrong) == 0).all()
    with torch.no_grad():
        model[1].bias[0] += 1000
    zero = torch.zeros_like(y)
    assert torch.equal(svm.closed(model, x, zero), x)
    assert svm.distances(model, x, zero).isinf().all()


def test_survives_counts_what_is_read_right_within_each_budget():
    model, x, y = linear()
    labels = y.clone()
    labels[0] = (labels[0] + 1) % 3
    mask = svm.survives(model, x, labels, [0.0, 0.1, 0.3])
    away = svm.distances(model, x, y)
    assert mask.shape == (3, 12) and not mask[:, 0].any() and mask[0, 1:].all()
    assert torch.equal(mask[2, 1:], away[1:] > 0.3)


def test_images_do_not_depend_on_their_batch():
    model, x, y = linear()
    alone = svm.closed(model, x[4:5], y[4:5])
    assert torch.allclose(svm.closed(model, x, y)[4:5], alone, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def machine():
    digits = data.load("digits", quiet=True)
    two = (digits.y_train == 3) | (digits.y_train == 8)
    x, y = digits.x_train[two], (digits.y_train[two] == 8).long()
    return classic.kernel_svm(x, y), x, y


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_walk_stays_in_its_ball_and_evades(machine, norm):
    model, x, y = machine
    x, y = x[:30], y[:30]
    eps = 3.0 if norm == "l2" else 0.3
    before = x.clone()
    x_adv = svm.descend(model, x, y, eps=eps, norm=norm, steps=20)
    size = (x_adv - x).flatten(1).norm(p=svm.ORDERS[norm], dim=1)
    assert torch.equal(x, before) and size.max() <= eps + 1e-5
    assert x_adv.min() >= 0 and x_adv.max() <= 1
    assert (model(x_adv).argmax(1) != y).float().mean() > 0.8
    assert torch.equal(svm.descend(model, x, y, eps=0.0, norm=norm, steps=3), x)


def test_the_walk_finds_the_closed_form_of_a_linear_model():
    model, x, y = linear(classes=2, seed=6)
    away = svm.distances(model, x, y)
    for i in torch.where(away.isfinite())[0][:2]:
        one, label, distance = x[i : i + 1], y[i : i + 1], away[i].item()
        near = svm.descend(model, one, label, eps=1.05 * distance + 1e-3, steps=100)
        far = svm.descend(model, one, label, eps=0.9 * distance, steps=100)
        assert model(near).argmax(1) != label
        assert model(far).argmax(1) == label


def test_mimicry_keeps_the_walk_where_the_other_class_lives(machine):
    model, x, y = machine
    eights, threes = x[y == 1][:15], x[y == 0]
    label = torch.ones(15, dtype=torch.int64)
    plain = svm.descend(model, eights, label, eps=4.0, steps=30)
    kept = svm.descend(model, eights, label, eps=4.0, steps=30, mimic=threes, weight=50.0)
    before, after = (svm.density(z, threes, 4.0).mean() for z in (plain, kept))
    assert after > before + 0.01
    assert (model(kept).argmax(1) == 0).float().mean() > 0.8


def test_density_is_the_mean_of_the_kernels():
    x, sample = torch.zeros(1, 1, 1, 2), torch.tensor([[[[3.0, 4.0]]], [[[0.0, 0.0]]]])
    wanted = (torch.exp(torch.tensor(-25 / 50.0)) + 1) / 2
    assert torch.allclose(svm.density(x, sample, 5.0), wanted[None])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m, x, y: svm.closed(m, x, y, norm="l0"), "norm: 'l0'"),
        (lambda m, x, y: svm.distances(m, x, y, norm="l0"), "norm: 'l0'"),
        (lambda m, x, y: svm.closed(m, x, y, beyond=-1), "beyond"),
        (lambda m, x, y: svm.closed(m, x, y, target=y), "target"),
        (lambda m, x, y: svm.closed(nn.Sequential(m, nn.ReLU()), x, y), "one linear layer"),
        (lambda m, x, y: svm.descend(m, x, y, eps=1, norm="l1"), "norm: 'l1'"),
        (lambda m, x, y: svm.descend(m, x, y, eps=1, weight=1.0), "mimic"),
        (lambda m, x, y: svm.descend(m, x, y, eps=1, width=0), "width"),
        (lambda m, x, y: svm.descend(m, x, y, eps=-1), "eps"),
    ],
)
def test_bad_input(call, said):
    with pytest.raises(ValueError, match=said):
        call(*linear())
