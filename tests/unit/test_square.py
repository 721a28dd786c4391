"""Square: where it starts, what one proposal changes, what it keeps, and when it stops."""

import pytest
import torch
from torch import nn

from advcourse import attacks
from advcourse.attacks import Oracle, windows
from advcourse.attacks.square import area, pictures
from tests.unit.attack_cases import distances, lead, seeded, victim


def gray(n=4, c=1, side=12):
    """Images far from the bounds, and a linear net that reads them as class 0, by a lot."""
    x = torch.full((n, c, side, side), 0.5, dtype=torch.float64)
    x += 0.1 * torch.rand(x.shape, generator=seeded(), dtype=torch.float64)
    net = nn.Sequential(nn.Flatten(), nn.Linear(c * side * side, 3)).double().eval()
    with torch.no_grad():
        net[1].weight.normal_(generator=seeded(1))
        net[1].bias.copy_(torch.tensor([60.0, 0.0, 0.0]))
    return net, x, torch.zeros(n, dtype=torch.int64)


def path(norm, eps=0.2, c=2, queries=60, **more):
    net, x, y = gray(c=c)
    asked, best = [], []

    def watched(z):
        asked.append(z)
        return net(z)

    found = attacks.square(
        watched,
        x,
        y,
        eps=eps,
        norm=norm,
        queries=queries,
        generator=seeded(),
        on_step=lambda _, x_adv: best.append(x_adv),
        **more,
    )
    return net, x, y, asked[1:], best, found  # the first was the contract's look


def test_the_area_is_halved_nine_times_at_the_papers_steps():
    marks = [0, 10, 11, 50, 51, 200, 201, 500, 501, 1000, 1001, 2000, 2001, 4000, 4001, 9999]
    halvings = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 9]
    assert [area(0.8, step, 10_000) for step in marks] == [0.8 / 2**k for k in halvings]
    assert area(0.5, 100, 200) == area(0.5, 5000, 10_000) == 0.5 / 2**7


def test_linf_walks_over_the_faces_of_the_ball():
    net, x, y, asked, best, found = path("linf")
    start = asked[0] - x
    assert bool(((start.abs() - 0.2).abs() < 1e-9).all()), "every pixel on a face"
    torch.testing.assert_close(start[:, :, :1].expand_as(start), start)  # vertical stripes
    assert 0.2 < (start[:, :, 0] > 0).double().mean() < 0.8
    held = lead(net, best[0], y)
    for tried, before, after in zip(asked[1:], best, best[1:], strict=False):
        changed = (tried != before).any(1)
        for mask, one, was in zip(changed, tried, before, strict=True):
            rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
            assert len(rows), "no query for nothing"
            box = (slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
            faces = (one[box] > was[box].mean()).flatten(1)
            assert rows[-1] - rows[0] < 11 and columns[-1] - columns[0] < 11
            assert faces.shape[1] >= 1
        now = lead(net, tried, y)
        kept = now < held
        assert torch.equal(after[kept], tried[kept]) and torch.equal(after[~kept], before[~kept])
        held = torch.minimum(held, now)
    assert torch.equal(found, best[-1]) and bool((held < lead(net, best[0], y)).all())


def test_a_proposal_is_one_square_of_one_face_per_channel():
    x = torch.full((300, 2, 10, 14), 0.5)
    moves = windows.Linf(x, 0.25, (0.0, 1.0), seeded())
    tried = moves.propose(x, torch.arange(300), 9 / 140)
    assert bool(((tried != x).sum((2, 3)) == 9).all()), "three by three, in both channels"
    assert torch.equal(tried.unique(), torch.tensor([0.25, 0.5, 0.75]))
    for flat in (tried.amax((2, 3)) + tried.amin((2, 3)) - 0.5).T:
        assert 0.3 < (flat > 0.5).double().mean() < 0.7, "either face"
    corner = (tried != x).any(1).flatten(1).double().argmax(1)
    top, left = corner // 14, corner % 14
    assert top.unique().tolist() == [*range(8)] and left.unique().tolist() == [*range(12)]
    some = windows.Linf(x, 0.25, (0.0, 1.0), seeded()).propose(x[[7, 9]], torch.tensor([7, 9]), 0.1)
    every = windows.Linf(x, 0.25, (0.0, 1.0), seeded()).propose(x, torch.arange(300), 0.1)
    assert torch.equal(some, every[[7, 9]]), "nobody's numbers depend on who has left"
    again = moves.propose(tried, torch.arange(300), 1.0)
    assert bool((again != tried).flatten(1).any(1).all())


def test_l2_keeps_the_length_and_moves_it():
    net, x, y, asked, best, found = path("l2", eps=0.5)
    for tried in asked:
        torch.testing.assert_close(distances(tried - x, "l2"), torch.full((4,), 0.5).double())
    held = torch.stack([lead(net, b, y) for b in best])
    assert bool((held.diff(dim=0) <= 0).all()) and bool((held[-1] < held[0]).all())
    # Tiles of 2 x 2: a hill above a hole, or beside it.
    tiles = (asked[0] - x).unfold(2, 2, 2).unfold(3, 2, 2)
    assert bool((tiles.sum((4, 5)).abs() < 1e-9).all()) and bool((tiles.abs() > 1e-3).all())
    for tried, before in zip(asked[1:], best, strict=False):
        free = tried - x
        moved = (free.abs() < 1e-12) & ((before - x).abs() > 1e-12)
        assert moved.flatten(1).sum(1).max() <= 2 * 2 * 121
    assert torch.equal(found, best[-1])


def test_two_hills():
    for height, width in ((5, 5), (7, 7), (3, 8), (1, 4), (1, 1)):
        tile = windows.two_hills(height, width)
        assert tile.shape == (height, width) and tile.norm() == pytest.approx(1)
        half = height // 2
        assert bool((tile[:half] > 0).all()) and bool((tile[half:] < 0).all())
    by_hand = torch.tensor([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]])  # 1 + 1/4 in the middle, 1/4 around
    torch.testing.assert_close(windows.hill(3, 3), by_hand / by_hand.norm())


def test_queries_stop_when_an_image_is_fooled():
    model, x, y = victim("digits", 24)
    x, y = x[lead(model, x, y) > 0], y[lead(model, x, y) > 0]
    oracle, seen = Oracle(model), []

    def keep(step, x_adv):
        seen.append((step, oracle.queries, x_adv))

    found = attacks.square(oracle, x, y, eps=0.2, queries=40, generator=seeded(), on_step=keep)
    won, asked = lead(model, found, y) < 0, oracle.queries
    assert 0.2 < won.double().mean() < 1 and bool((asked[~won] == 40).all())
    assert bool((asked[won] < 40).any()) and len(seen) == 40
    for step, counts, x_adv in seen:
        assert torch.equal(counts, asked.clamp(max=step)), "one query a step"
        assert bool(((lead(model, x_adv, y) < 0) == (won & (asked <= step))).all())
    target = (y + 1) % 10
    near = attacks.square(model, x, y, eps=0.3, queries=30, target=target, generator=seeded())
    with torch.no_grad():
        reached = [(model(z).argmax(1) == target).double().mean() for z in (x, near)]
    assert reached[1] > reached[0] + 0.1


def test_it_needs_scores():
    net, x, y = gray()
    with pytest.raises(ValueError, match="model: this oracle answers with labels"):
        attacks.square(Oracle(net, "labels"), x, y, eps=0.1)
    with pytest.raises(ValueError, match="model: returned"):
        attacks.square(lambda z: net(z).argmax(1), x, y, eps=0.1)


def test_pictures():
    for shape, seen in (((5,), (1, 1, 5)), ((4, 5), (1, 4, 5)), ((3, 4, 5), (3, 4, 5))):
        assert pictures(torch.zeros(2, *shape)).shape == (2, *seen)
    assert pictures(torch.zeros(0, 5)).shape == (0, 1, 1, 5)
    assert pictures(torch.zeros(2, 2, 3, 4, 5)).shape == (2, 1, 1, 120)
