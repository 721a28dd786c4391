"""Poisoned training sets: what is changed and what is not, and the gradient through the training."""

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import nn

from advcourse import poisoning


def source(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def points():
    x = torch.rand(60, 1, 2, 2, generator=source(1))
    return x, torch.arange(60) % 3


class First(nn.Module):
    """Scores that are the first three pixels: margins and gradients can be read off."""

    def forward(self, x):
        return x.flatten(1)[:, :3] * 4


def two_clouds(n=40, seed=2, d=3):
    y = torch.arange(n) % 2
    x = 0.5 + 0.3 * (y[:, None] - 0.5) + 0.15 * torch.randn(n, d, generator=source(seed))
    return x.clamp(0, 1).double(), y


FLIPS = {how: {"model": First()} for how in ("near", "far")} | {"random": {}, "next": {}}


@pytest.mark.parametrize("how", FLIPS)
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_flips_exactly_the_share_and_nothing_else(points, how, share):
    x, y = points
    kept = x.clone(), y.clone()
    made = poisoning.flip_labels(x, y, share, how, generator=source(), **FLIPS[how])
    x_new, y_new = made
    assert torch.equal(x, kept[0]) and torch.equal(y, kept[1])
    assert torch.equal(x_new, x) and x_new.data_ptr() != x.data_ptr()
    assert torch.equal(y_new != y, made.mask) and int(made.mask.sum()) == round(share * 60)
    assert y_new.dtype == y.dtype and 0 <= int(y_new.min()) <= int(y_new.max()) < 3


def test_next_is_the_class_after_and_random_reaches_all_others(points):
    x, y = points
    flipped = poisoning.flip_labels(x, y, 1, "next")
    assert torch.equal(flipped.y, (y + 1) % 3)
    steps = (poisoning.flip_labels(x, y, 1, generator=source(3)).y - y) % 3
    assert set(steps.tolist()) == {1, 2}
    wide = poisoning.flip_labels(x, y, 1, classes=10, generator=source(3)).y
    assert int(wide.max()) > 2


def test_near_and_far_take_the_margins_in_order(points):
    x, y = points
    z = First()(x)
    own = z.gather(1, y[:, None])[:, 0]
    other = z.scatter(1, y[:, None], -9.0)
    distance = own - other.amax(1)
    near = poisoning.flip_labels(x, y, 0.2, "near", model=First())
    far = poisoning.flip_labels(x, y, 0.2, "far", model=First())
    assert distance[near.mask].abs().max() <= distance[~near.mask].abs().min()
    assert distance[far.mask].min() >= distance[~far.mask].max()
    for made in (near, far):
        assert torch.equal(made.y[made.mask], other.argmax(1)[made.mask])


PLACES = {where: {"model": First()} for where in ("boundary", "gradient")}
PLACES |= {"random": {}, "copies": {}}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("share", [0.0, 0.25, 0.6])
def test_insert_keeps_the_clean_rows_and_adds_the_share(points, where, share):
    x, y = points
    made = poisoning.insert(x, y, share, where, generator=source(), **PLACES[where])
    added = round(share * 60 / (1 - share))
    assert len(made.x) == len(made.y) == len(made.mask) == 60 + added
    assert torch.equal(made.x[:60], x) and torch.equal(made.y[:60], y)
    assert not made.mask[:60].any() and made.mask[60:].all()
    assert made.x.dtype == x.dtype and made.y.dtype == y.dtype
    assert 0 <= float(made.x.min()) <= float(made.x.max()) <= 1
    assert not added or 0 <= int(made.y.min()) <= int(made.y.max()) < 3


def test_copies_are_training_points_with_another_label(points):
    x, y = points
    made = poisoning.insert(x, y, 0.6, "copies", generator=source())
    same = (made.x[60:, None] == x[None]).flatten(2).all(2)
    assert same.any(1).all()
    row = same.float().argmax(1)
    assert bool((made.y[60:] != y[row]).all())
    assert len(set(row[:60].tolist())) == 60  # none comes twice before each has come once


def test_boundary_copies_the_nearest_with_the_label_beyond(points):
    x, y = points
    flipped = poisoning.flip_labels(x, y, 6 / 60, "near", model=First())
    made = poisoning.insert(x, y, 6 / 66, "boundary", model=First())
    wanted = {(*x[i].flatten().tolist(), int(flipped.y[i])) for i in flipped.mask.nonzero()[:, 0]}
    got = {(*a.flatten().tolist(), int(b)) for a, b in zip(made.x[60:], made.y[60:], strict=True)}
    assert got == wanted


def test_gradient_points_climb_the_loss_of_their_wrong_label(points):
    x, y = points
    plain = poisoning.insert(x, y, 0.3, "copies", generator=source(5))
    climbed = poisoning.insert(x, y, 0.3, "gradient", model=First(), eps=0.2, generator=source(5))
    assert torch.equal(plain.y, climbed.y)
    before, after = (
        F.cross_entropy(First()(p.x), p.y, reduction="none")[60:] for p in (plain, climbed)
    )
    assert bool((after > before).all())
    assert (plain.x - climbed.x).abs().max() <= 0.2 + 1e-6


@pytest.mark.parametrize("how", ["noise", "gradient"])
def test_modify_leaves_labels_and_other_rows(points, how):
    x, y = points
    kept = x.clone()
    made = poisoning.modify(x, y, 0.25, how, model=First(), eps=0.1, generator=source())
    assert torch.equal(x, kept) and torch.equal(made.y, y)
    changed = (made.x != x).flatten(1).any(1)
    assert torch.equal(changed, made.mask) and int(changed.sum()) == 15
    assert 0 <= float(made.x.min()) <= float(made.x.max()) <= 1
    if how == "gradient":
        assert (made.x - x).abs().max() <= 0.1 + 1e-6
        rows = made.mask
        goal = (y[rows] + 1) % 3
        before, after = (F.cross_entropy(First()(v[rows]), goal) for v in (x, made.x))
        assert after < before
    nothing = poisoning.modify(x, y, 0, how, model=First())
    assert torch.equal(nothing.x, x) and not nothing.mask.any()


MAKERS = {
    "flip": lambda x, y, g: poisoning.flip_labels(x, y, 0.5, generator=g),
    "random": lambda x, y, g: poisoning.insert(x, y, 0.5, generator=g),
    "copies": lambda x, y, g: poisoning.insert(x, y, 0.5, "copies", generator=g),
    "noise": lambda x, y, g: poisoning.modify(x, y, 0.5, generator=g),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_same_seed_same_result_and_the_global_state_is_left_alone(points, make):
    before = torch.get_rng_state()
    one, two, other = (make(*points, source(s)) for s in (4, 4, 5))
    make(*points, None)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_model_is_left_as_it_was(points):
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3)).train()
    x, y = points
    for made in (
        poisoning.flip_labels(x, y, 0.5, "near", model=model),
        poisoning.insert(x, y, 0.5, "gradient", model=model, generator=source()),
        poisoning.modify(x, y, 0.5, "gradient", model=model, generator=source()),
    ):
        assert made.mask.any() and not made.x.requires_grad
    assert all(module.training for module in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


# ---------------------------------------------------------------- the gradient through the training


def test_logistic_is_the_optimum_that_scikit_learn_finds():
    x, y = two_clouds()
    theta = poisoning.logistic(x, y, decay=0.05)
    theirs = LogisticRegression(C=1 / (0.05 * len(x)), tol=1e-10, max_iter=10_000).fit(x, y)
    assert torch.allclose(theta[:-1], torch.tensor(theirs.coef_[0]), atol=1e-4)
    assert math.isclose(theta[-1], theirs.intercept_[0], abs_tol=1e-4)
    assert torch.allclose(poisoning.logistic(x, y, 0.05, start=theta + 3), theta, atol=1e-8)


def test_logistic_needs_no_luck_on_separable_points():
    x = torch.tensor([[0.0], [0.01], [0.99], [1.0]])
    theta = poisoning.logistic(x, torch.tensor([0, 0, 1, 1]), decay=1e-6)
    assert theta.isfinite().all() and theta[0] > 5 and abs(theta[0] / 2 + theta[1]) < 1e-3


MAPS = {
    "plain": None,
    "rbf": poisoning.rbf(torch.rand(6, 3, generator=source(9), dtype=torch.float64), 0.4),
}


@pytest.mark.parametrize("features", MAPS.values(), ids=MAPS)
def test_implicit_gradient_is_that_of_retraining(features):
    x, y = two_clouds(30)
    x_val, y_val = two_clouds(50, seed=3)
    mask = torch.zeros(30, dtype=torch.bool)
    mask[[4, 11]] = True
    settings = {"decay": 0.03, "features": features}

    def retrained(points):
        theta = poisoning.logistic(points, y, tolerance=1e-13, **settings)
        return poisoning.validation_loss(theta, x_val, y_val, features).item()

    theta = poisoning.logistic(x, y, tolerance=1e-13, **settings)
    found = poisoning.poison_gradient(theta, x, y, mask, x_val, y_val, **settings)
    for p, row in enumerate((4, 11)):
        for feature in range(3):
            up, down = x.clone(), x.clone()
            up[row, feature] += 1e-5
            down[row, feature] -= 1e-5
            slope = (retrained(up) - retrained(down)) / 2e-5
            assert found[p, feature].item() == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_bilevel_climbs_and_beats_its_own_start_and_random_points():
    x, y = two_clouds()
    x_val, y_val = two_clouds(200, seed=3)
    heights, seen = [], []

    def loss(made):
        theta = poisoning.logistic(*made, decay=0.01)
        return poisoning.validation_loss(theta, x_val, y_val).item()

    options = {"progress": False, "steps": 15, "generator": source(6)}
    made = poisoning.bilevel(
        x, y, 0.1, x_val, y_val, on_step=lambda step, p: seen.append((step, p)), **options
    )
    assert [step for step, _ in seen] == list(range(1, 16))
    assert len(made.x) == 44 and torch.equal(made.mask, torch.arange(44) >= 40)
    assert torch.equal(made.x[:40], x) and torch.equal(made.y[:40], y)
    assert bool((made.y[40:] == 0).all()) and 0 <= made.x.min() <= made.x.max() <= 1
    for _, poison in seen:
        heights.append(loss((torch.cat([x, poison]), made.y)))
    assert all(b >= a - 1e-9 for a, b in pairwise(heights))
    start = poisoning.bilevel(
        x, y, 0.1, x_val, y_val, **options | {"step_size": 0, "generator": source(6)}
    )
    same = (start.x[40:, None] == x[y == 1][None]).all(2).any(1)
    assert bool(same.all())  # copies of the attacked class, with the other label
    random = poisoning.insert(x, y, 0.1, generator=source(7))
    assert loss(made) > loss(start) + 0.01 and loss(made) > loss(random) + 0.01


def test_bilevel_keeps_images_images_and_adds_nothing_for_nothing():
    x, y = two_clouds(20, d=4)
    pictures = x.float().view(20, 1, 2, 2)
    options = {"steps": 3, "progress": False, "attacked": 0, "generator": source()}
    made = poisoning.bilevel(pictures, y, 0.2, pictures, y, **options)
    assert made.x.shape == (25, 1, 2, 2) and made.x.dtype == torch.float32
    assert bool((made.y[20:] == 1).all())
    nothing = poisoning.bilevel(pictures, y, 0, pictures, y, **options)
    assert torch.equal(nothing.x, pictures) and torch.equal(nothing.y, y)


# ---------------------------------------------------------------- bad input

X, Y = torch.rand(6, 2), torch.tensor([0, 1, 0, 1, 0, 1])
BAD = {
    "share: 1.2": lambda: poisoning.flip_labels(X, Y, 1.2),
    "share: -0.1": lambda: poisoning.modify(X, Y, -0.1),
    "share: 1 leaves": lambda: poisoning.insert(X, Y, 1),
    "share, attacked": lambda: poisoning.bilevel(X, Y * 0, 0.2, X, Y),
    "how: 'all'": lambda: poisoning.flip_labels(X, Y, 0.5, "all"),
    "how: 'blur'": lambda: poisoning.modify(X, Y, 0.5, "blur"),
    "where: 'here'": lambda: poisoning.insert(X, Y, 0.5, "here"),
    "model: None": lambda: poisoning.flip_labels(X, Y, 0.5, "near"),
    "model: None; pass": lambda: poisoning.insert(X, Y, 0.5, "gradient"),
    "classes: 1": lambda: poisoning.flip_labels(X, Y, 0.5, classes=1),
    "eps: -1": lambda: poisoning.insert(X, Y, 0.5, eps=-1),
    "std: nan": lambda: poisoning.modify(X, Y, 0.5, std=math.nan),
    "steps: 0": lambda: poisoning.modify(X, Y, 0.5, steps=0),
    "x: got": lambda: poisoning.insert(X.long(), Y, 0.5),
    "y: shape": lambda: poisoning.flip_labels(X, Y[:3], 0.5),
    "y: a label -1": lambda: poisoning.flip_labels(X, Y - 1, 0.5),
    "y: labels from 0 to 2": lambda: poisoning.logistic(X, Y * 2),
    "y: labels from 0 to 3": lambda: poisoning.bilevel(X, Y, 0.2, X, Y * 3),
    "decay: 0": lambda: poisoning.logistic(X, Y, decay=0),
    "decay: -1": lambda: poisoning.logistic(X, Y, decay=-1),
    "attacked: 2": lambda: poisoning.bilevel(X, Y, 0.2, X, Y, attacked=2),
    "width: -1": lambda: poisoning.rbf(X, -1),
    "generator: got 3": lambda: poisoning.insert(X, Y, 0.5, generator=3),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    with pytest.raises(ValueError, match="^" + message.replace(".", r"\.")):
        BAD[message]()
