"""APGD: optima of linear models, the rule of the checkpoints step by step, and its two losses."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from advcourse import attacks
from advcourse.attacks.apgd import checkpoints, dlr, halve
from advcourse.attacks.pgd import Ball
from tests.unit.attack_cases import Net, batch, lead, predict, seeded, victim


def linear(w, b=0.0, scale=1.0):
    """A model of as many classes as w has rows; more for class 0."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(w.shape[1], len(w))).to(w.dtype)
    with torch.no_grad():
        model[1].weight.copy_(scale * w)
        model[1].bias.zero_()
        model[1].bias[0] = scale * b
    return model


@pytest.mark.parametrize("loss", ["cross_entropy", "dlr"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_optimum_of_a_linear_model(norm, loss):
    """Two classes: everything goes against w, in l2 in proportion to it."""
    w = torch.randn(6, generator=seeded(), dtype=torch.float64)
    model = linear(torch.stack([w, -w]), b=20.0)
    x = 0.3 + 0.4 * torch.rand(4, 1, 2, 3, generator=seeded(), dtype=torch.float64)
    y = torch.zeros(4, dtype=torch.int64)
    found = attacks.apgd(model, x, y, eps=0.2, steps=60, norm=norm, loss=loss, generator=seeded())
    way = w.sign() if norm == "linf" else w / w.norm()
    torch.testing.assert_close(found, x - 0.2 * way.view(1, 1, 2, 3), atol=2e-3, rtol=0)


def slow(model, x, y, eps, steps, norm, start):
    """One image, as the paper's algorithms 1 and 2 have it, in plain Python."""

    def look(z):
        z = z.clone().requires_grad_()
        loss = F.cross_entropy(model(z[None]), y[None])
        return loss.item(), torch.autograd.grad(loss, z)[0]

    def inside(z):
        return Ball(x[None], eps, norm, (0.0, 1.0)).inside(z[None])[0]

    marks, p = [0.0, 0.22], [0.0, 0.22]
    while p[-1] <= 1:
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
    marks = {math.ceil(round(q * steps, 6)) for q in p[1:] if q <= 1}
    size, here, past = 2 * eps, start, start
    loss, slope = look(here)
    best, best_loss, best_slope = here, loss, slope
    rises, last_mark, halved, top_then = 0, 0, True, loss
    for k in range(steps):
        if k in marks:
            seldom = rises < 0.75 * (k - last_mark)
            stuck = not halved and best_loss == top_then
            halved = seldom or stuck
            if halved:
                size, here, past, loss, slope = size / 2, best, best, best_loss, best_slope
            rises, last_mark, top_then = 0, k, best_loss
        way = slope.sign() if norm == "linf" else slope / slope.norm()
        ahead = inside(here + size * way)
        if k:
            ahead = inside(here + 0.75 * (ahead - here) + 0.25 * (here - past))
        here, past, before = ahead, here, loss
        loss, slope = look(here)
        rises += loss > before
        if loss > best_loss:
            best, best_loss, best_slope = here, loss, slope
    return best


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_checkpoints_against_a_slow_reference(norm):
    net = Net().eval()
    x, *_ = batch(12)
    y = predict(net, x)
    ball = Ball(x, 0.02, norm, (0.0, 1.0))
    start = ball.random_point(seeded(3))
    found = attacks.apgd(net, x, y, eps=0.02, steps=40, norm=norm, generator=seeded(3))
    stay = predict(net, found) == y  # the others left at their first success
    assert stay.sum() >= 8
    for i in stay.nonzero()[:, 0]:
        expected = slow(net, x[i], y[i], 0.02, 40, norm, start[i])
        torch.testing.assert_close(found[i], expected, atol=1e-9, rtol=0)


def test_the_checkpoints_of_a_hundred_steps():
    """The paper's p: .22, .41, .57, .70, .80, .87, .93, .99."""
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]


def test_who_is_halved():
    """Rose in 3 of 4 steps, rose in 2, no new maximum, no new maximum but just halved."""
    known = {
        "rises": torch.tensor([3.0, 2.0, 3.0, 3.0]),
        "top": torch.tensor([2.0, 2.0, 1.0, 1.0]),
        "top_then": torch.ones(4),
        "kept_size": torch.tensor([True, True, True, False]),
        "size": torch.full((4,), 0.4),
        "point": torch.zeros(4, 2),
        "before": torch.zeros(4, 2),
        "best": torch.ones(4, 2),
        "value": torch.zeros(4),
        "slope": torch.full((4, 2), 7.0),
    }
    slope = halve(known, torch.zeros(4, 2), 4)
    back = torch.tensor([False, True, True, False])
    torch.testing.assert_close(known["size"], torch.where(back, 0.2, 0.4))
    assert torch.equal(known["point"][:, 0] == 1, back) and torch.equal(slope[:, 0] == 7, back)
    assert torch.equal(known["kept_size"], ~back) and not known["rises"].any()


def test_dlr_by_hand():
    z = torch.tensor([[5.0, 1.0, 3.0, 2.0]], dtype=torch.float64)
    zero, one = torch.tensor([0]), torch.tensor([1])
    assert dlr(z, zero).item() == pytest.approx(-(5 - 3) / (5 - 2))
    assert dlr(z, one).item() == pytest.approx(-(1 - 5) / (5 - 2))
    assert dlr(z, zero, one).item() == pytest.approx(-(5 - 1) / (5 - (2 + 1) / 2))
    assert dlr(z[:, :2], zero).item() == pytest.approx(-4)  # two classes: the plain difference


@pytest.mark.parametrize("scale", [1e-4, 1e6])
def test_dlr_does_not_know_the_scale_of_the_logits(scale):
    z = torch.randn(20, 5, generator=seeded(), dtype=torch.float64)
    y, t = torch.arange(20) % 5, (torch.arange(20) + 1) % 5
    for target in (None, t):
        torch.testing.assert_close(dlr(scale * z + 3, y, target), dlr(z, y, target))


def test_saturated_logits_stop_cross_entropy_and_not_dlr():
    """In single precision a lead of a thousand has no gradient left."""
    w = torch.randn(4, 6, generator=seeded())
    x = 0.3 + 0.4 * torch.rand(16, 1, 2, 3, generator=seeded())
    sure = linear(w, scale=1e5)
    y = predict(sure, x)
    left = {}
    for loss in ("cross_entropy", "dlr"):
        found = attacks.apgd(sure, x, y, eps=0.25, steps=20, loss=loss, generator=seeded())
        left[loss] = (lead(sure, found, y) > 0).sum().item()
    assert left["dlr"] < left["cross_entropy"]


def test_it_leaves_with_the_first_success():
    net, (x, *_) = Net().eval(), batch(30)
    y, seen = predict(net, x), []
    found = attacks.apgd(
        net, x, y, eps=0.3, steps=15, generator=seeded(), on_step=lambda k, z: seen.append(z)
    )
    won = predict(net, found) != y
    assert won.any() and len(seen) <= 15
    for i in won.nonzero()[:, 0]:
        wrong = [k for k, z in enumerate(seen) if predict(net, z)[i] != y[i]]
        if wrong:  # else the start had it
            assert torch.equal(seen[wrong[0]][i], found[i])


def test_restarts_only_help():
    net, (x, *_) = Net().eval(), batch(40)
    y = predict(net, x)
    counts = [
        (
            predict(net, attacks.apgd(net, x, y, eps=0.1, steps=4, restarts=r, generator=seeded()))
            == y
        )
        for r in (1, 4)
    ]
    assert not (counts[1] & ~counts[0]).any()


def test_apgd_is_no_weaker_than_pgd_in_l2():
    model, x, y = victim("digits", 40)
    options = {"eps": 1.2, "steps": 10, "norm": "l2", "generator": seeded()}
    ours, plain = attacks.apgd(model, x, y, **options), attacks.pgd(model, x, y, **options)
    assert (predict(model, ours) == y).sum() <= (predict(model, plain) == y).sum()


def test_targeted_takes_any_wrong_answer():
    model, x, y = victim("digits", 40)
    options = {"eps": 0.15, "steps": 10}
    found = attacks.apgd_targeted(model, x, y, generator=seeded(), **options)
    assert (found - x).abs().max() <= 0.15 + 1e-6 and 0 <= found.min() <= found.max() <= 1
    first = attacks.apgd_targeted(model, x, y, classes=1, generator=seeded(), **options)
    left = [(predict(model, z) == y).sum() for z in (first, found)]
    assert left[1] <= left[0] < len(x)
    wrong = predict(model, x) != y
    assert torch.equal(found[wrong], x[wrong])
    with pytest.raises(ValueError, match=r"^target: apgd_targeted cannot aim"):
        attacks.apgd_targeted(model, x, y, eps=0.1, target=y)
    with pytest.raises(ValueError, match=r"^classes: 0 is no count"):
        attacks.apgd_targeted(model, x, y, eps=0.1, classes=0)


@pytest.mark.parametrize("bad", [{"norm": "l1"}, {"loss": "margin"}])
def test_unknown_words(bad):
    (name, value), *_ = bad.items()
    with pytest.raises(ValueError, match=f"^{name}: '{value}' is not one of"):
        attacks.apgd(Net(), *batch()[:2], eps=0.1, **bad)
