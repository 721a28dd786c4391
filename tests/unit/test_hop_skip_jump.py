"""HopSkipJump: the exact distance on a linear net, the start, budgets, targets, both norms."""

import pytest
import torch
from torch import nn

from advcourse import attacks
from advcourse.attacks import Oracle, Trace
from advcourse.attacks.walk import Walk
from tests.unit.attack_cases import distances, lead, predict, seeded, victim


def linear(n=6, side=6):
    """A linear net of two classes, and images whose nearest other class is far from the bounds."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(side * side, 2)).double().eval()
    x = 0.4 + 0.2 * torch.rand(n, 1, side, side, generator=seeded(), dtype=torch.float64)
    with torch.no_grad():
        net[1].weight.normal_(generator=seeded(1))
        net[1].bias.zero_()
        z = net(x)
        net[1].bias[1] = (z[:, 0] - z[:, 1]).mean()
    slope = (net[1].weight[0] - net[1].weight[1]).detach()
    return net, x, predict(net, x), slope


@pytest.mark.parametrize("norm, slack", [("l2", 1.03), ("linf", 1.15)])
def test_exact_on_a_linear_net(norm, slack):
    net, x, y, slope = linear()
    dual = {"l2": 2, "linf": 1}[norm]
    exact = lead(net, x, y) / slope.norm(dual)
    oracle = Oracle(net, "labels")
    trace = Trace(oracle, x, norm)
    found = attacks.hop_skip_jump(
        oracle, x, y, norm=norm, queries=2500, generator=seeded(), on_step=trace
    )
    near = distances(found - x, norm)
    assert bool((predict(net, found) != y).all()) and bool((near >= exact * (1 - 1e-9)).all())
    assert bool((near <= exact * slack + 1e-9).all())
    torch.testing.assert_close(trace.after(2500).double(), near, rtol=1e-6, atol=1e-9)
    curve = trace.after([50, 100, 300, 1000, 2500])
    assert bool((curve.diff(dim=0) <= 0).all()) and bool((curve[0] > curve[-1]).all())


def test_labels_scores_and_functions_agree():
    net, x, y, _ = linear()
    options = {"queries": 120, "candidates": 5, "directions": 10}
    found = [
        attacks.hop_skip_jump(model, x, y, generator=seeded(), **options)
        for model in (
            net,
            net.forward,
            Oracle(net),
            Oracle(net, "labels", budget=120),
            lambda z: net(z).argmax(1),
        )
    ]
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_wrong_already_or_out_of_reach():
    net, x, y, _ = linear()
    oracle = Oracle(net, "labels")
    assert torch.equal(attacks.hop_skip_jump(oracle, x, 1 - y, generator=seeded()), x)
    assert oracle.queries.tolist() == [1] * 6, "one look each"
    firm = Oracle(lambda z: net(z) + torch.tensor([0.0, 1e6]), "labels")
    y = torch.ones_like(y)
    found = attacks.hop_skip_jump(firm, x, y, queries=50, candidates=7, generator=seeded())
    assert torch.equal(found, x) and firm.queries.tolist() == [8] * 6, "a look and the starts"
    once = Oracle(net, "labels", budget=1)
    assert torch.equal(attacks.hop_skip_jump(once, x, predict(net, x), generator=seeded()), x)


def test_every_image_uses_up_its_own_budget():
    net, x, y, _ = linear()
    oracle = Oracle(net, "labels", budget=90)
    oracle(x[:2])
    alone = attacks.hop_skip_jump(oracle, x, y, queries=80, generator=seeded())
    assert oracle.queries.tolist() == [81, 81, 80, 80, 80, 80]
    tight = Oracle(net, "labels", budget=60)
    attacks.hop_skip_jump(tight, x, y, queries=80, generator=seeded())
    assert tight.queries.tolist() == [60] * 6 and bool((predict(net, alone) != y).all())


def test_the_start_that_is_given_is_used():
    model, x, y = victim("digits", 60)
    x, y = x[lead(model, x, y) > 0][:8], y[lead(model, x, y) > 0][:8]
    target, pool = (y + 1) % 10, {}
    for image, label in zip(*victim("digits", 60)[1:], strict=True):
        pool.setdefault(int(label), image)
    start = torch.stack([pool[int(t)] for t in target])
    options = {"target": target, "queries": 120, "candidates": 1, "generator": seeded()}
    there = predict(model, start) == target
    found = attacks.hop_skip_jump(model, x, y, start=start, **options)
    reached = predict(model, found) == target
    assert there.sum() >= 6 and bool(reached[there].all())
    near, far = (distances(z - x, "l2") for z in (found, start))
    assert bool((near[there] < 0.95 * far[there]).all())


def test_nearer_on_a_network_and_independent_of_who_stays():
    model, x, y = victim("digits", 60)
    x, y = x[lead(model, x, y) > 0][:4], y[lead(model, x, y) > 0][:4]
    found = attacks.hop_skip_jump(model, x, y, queries=300, generator=seeded())
    exact = attacks.ddn(model, x, y)
    near, least = (distances(z - x, "l2").median() for z in (found, exact))
    assert bool((predict(model, found) != y).all()) and least < near < 2.5 * least
    other = y.clone()
    other[3] = 9 - y[3] if y[3] != 4 else 0  # wrong already: it leaves at once
    alone = attacks.hop_skip_jump(model, x, other, queries=300, generator=seeded())
    keep = [0, 1, 2]
    torch.testing.assert_close(alone[keep], found[keep], rtol=0, atol=1e-4)


def test_improvements_help():
    model, x, y = victim("digits", 60)
    x, y = x[lead(model, x, y) > 0][:6], y[lead(model, x, y) > 0][:6]
    plain = {"candidates": 1, "directions": 100, "smooth": False, "refined": False}
    near, far = (
        distances(
            attacks.hop_skip_jump(model, x, y, queries=250, generator=seeded(), **more) - x, "l2"
        ).median()
        for more in ({}, plain)
    )
    assert near < far


def test_a_turn_ends_at_the_nearest_point_of_its_plane():
    # Everything above height 1 succeeds; the way from x leads up at a slant, the normal is known.
    rise = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    x, y = torch.zeros(1, 3, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
    walk = Walk(lambda z: (z @ rise.T > 1).long()[:, 0], x, y, None, "l2", 200, None)
    rows = torch.tensor([0])
    at = torch.tensor([[3.0, 0.0, 1.0001]], dtype=torch.float64)
    first = torch.full((1,), 0.5, dtype=torch.float64)
    ends, angle = walk.turn(rows, at, rise, first, (-5.0, 5.0))
    assert 1 < ends.norm() < 1.05 and bool(ends[0, 2] > 1)
    assert angle.item() == pytest.approx(torch.tensor(3.0).atan().clamp(max=1).item(), rel=0.05)
    away = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)  # along the boundary: nothing won
    ends, _ = walk.turn(rows, at, away, first, (-5.0, 5.0))
    assert bool((ends - at).abs().amax() < 0.05) and ends.norm() <= at.norm()


def test_refinements_help_in_both_norms():
    model, x, y = victim("digits", 60)
    x, y = x[lead(model, x, y) > 0][:8], y[lead(model, x, y) > 0][:8]
    for norm in ("l2", "linf"):
        options = {"norm": norm, "queries": 500}
        near, far = (
            sum(
                distances(
                    attacks.hop_skip_jump(
                        model, x, y, generator=seeded(seed), refined=refined, **options
                    )
                    - x,
                    norm,
                ).mean()
                for seed in (0, 1)
            )
            for refined in (True, False)
        )
        assert near < far, norm
