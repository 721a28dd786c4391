"""JSMA: the map is the full Jacobian's, the pair is the best of all pairs, and nothing else moves."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advcourse import attacks
from advcourse.attacks.jsma import FEW, best_pair, saliency
from tests.unit.attack_cases import CLASSES, Net, batch, draws, predict, seeded, victim

SCORES = pytest.mark.parametrize("scores", ["probabilities", "logits"])


def brute_force(rise, fall, movable):
    """Look at every pair of one image, and return the largest product with both sums positive."""
    best, where = 0.0, movable.nonzero()[:, 0].tolist()
    a, c = rise.tolist(), fall.tolist()
    for i, p in enumerate(where):
        for q in where[i + 1 :]:
            up, down = a[p] + a[q], c[p] + c[q]
            if up > 0 and down > 0:
                best = max(best, up * down)
    return best


def all_pairs(rise, fall, movable):
    """The same at once, for many pixels: products [D, D] without the diagonal."""
    up, down = rise[:, None] + rise, fall[:, None] + fall
    allowed = (up > 0) & (down > 0) & movable[:, None] & movable
    allowed.fill_diagonal_(False)
    return (up * down)[allowed].max().item() if bool(allowed.any()) else 0.0


def holds(rise, fall, movable, expected):
    """Check the pairs and products of best_pair; ties may be broken either way."""
    pair, value = best_pair(rise, fall, movable)
    torch.testing.assert_close(value, torch.tensor(expected, dtype=value.dtype), rtol=1e-5, atol=0)
    for i, ((p, q), product) in enumerate(zip(pair.tolist(), value.tolist(), strict=True)):
        if product > 0:
            assert p != q and bool(movable[i, p] & movable[i, q])
            up, down = rise[i, p] + rise[i, q], fall[i, p] + fall[i, q]
            assert up > 0 and down > 0
            assert (up * down).item() == pytest.approx(product, rel=1e-5)
    return value


def maps(kind, n, d, seed):
    """Return random maps: unrelated, alike, opposed, in few values (ties), or of many magnitudes."""
    rise, fall, other = torch.randn(3, n, d, generator=seeded(seed))
    made = {
        "unrelated": (rise, fall),
        "alike": (rise, rise),
        "opposed": (rise, -rise + 0.01 * fall),
        "ties": (rise.round(), fall.round()),
        "magnitudes": (rise * (3 * other).exp(), fall * (-3 * other).exp()),
        "hopeless": (-rise.abs(), fall),
    }
    return made[kind]


KINDS = ("unrelated", "alike", "opposed", "ties", "magnitudes", "hopeless")


@pytest.mark.parametrize("kind", KINDS)
@draws
@given(
    d=st.integers(2, 60), seed=st.integers(0, 10**6), share=st.sampled_from([0.0, 0.2, 0.9, 1.0])
)
def test_best_pair(kind, d, seed, share):
    rise, fall = maps(kind, 3, d, seed)
    movable = torch.rand(3, d, generator=seeded(seed + 1)) < share
    expected = [brute_force(*image) for image in zip(rise, fall, movable, strict=True)]
    value = holds(rise, fall, movable, expected)
    assert bool((value == 0).all()) or (kind != "hopeless" and share > 0)


@pytest.mark.parametrize("kind", KINDS)
def test_best_pair_of_many_pixels(kind):
    rise, fall = maps(kind, 40, 784, 7)
    movable = torch.rand(40, 784, generator=seeded()) < torch.linspace(0, 1, 40)[:, None]
    assert FEW < 784, "nothing is pruned"
    expected = [all_pairs(*image) for image in zip(rise, fall, movable, strict=True)]
    value = holds(rise, fall, movable, expected)
    assert (value > 0).sum() == (0 if kind == "hopeless" else (torch.tensor(expected) > 0).sum())


def test_brute_forces_agree():
    rise, fall = maps("unrelated", 5, 20, 0)
    movable = torch.rand(5, 20, generator=seeded()) < 0.7
    for image in zip(rise, fall, movable, strict=True):
        assert brute_force(*image) == pytest.approx(all_pairs(*image), rel=1e-5)


@SCORES
@draws
@given(seed=st.integers(0, 10**6))
def test_saliency_is_the_full_jacobians(scores, seed):
    net = Net().eval()
    x, _, target = batch(4, seed)
    rise, fall = saliency(net, x, target, scores)
    for i, aim in enumerate(target.tolist()):

        def values(one):
            z = net(one[None])[0]
            return z.softmax(0) if scores == "probabilities" else z

        jacobian = torch.func.jacrev(values)(x[i]).flatten(1)  # [classes, pixels]
        alpha, beta = jacobian[aim], jacobian.sum(0) - jacobian[aim]
        factor = values(x[i])[aim].detach() if scores == "probabilities" else 1.0
        torch.testing.assert_close(rise[i] * factor, alpha, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(fall[i] * factor, -beta, rtol=1e-9, atol=1e-12)


def test_the_map_of_a_sure_network_does_not_vanish():
    weight = 1e3 * torch.randn(CLASSES, 6, generator=seeded())
    x, _, target = batch(5, dtype=torch.float32)
    model, target = (lambda x: x.flatten(1) @ weight.T), torch.zeros_like(target)
    sure = (model(x).softmax(1)[:, 0] == 0) & (model(x).argmax(1) != 0)
    rise, fall = saliency(model, x, target)
    assert bool(sure.any()) and bool((rise[sure].abs().amax(1) > 1).all())
    assert bool(rise.isfinite().all() & fall.isfinite().all())


def step_by_hand(model, x, aim, theta, scores):
    """Move the best pair of one image [1, ...], by the paper's map and a look at all pairs."""

    def values(one):
        z = model(one[None])[0]
        return z.softmax(0) if scores == "probabilities" else z

    jacobian = torch.func.jacrev(values)(x[0]).flatten(1)
    alpha, beta = jacobian[aim], jacobian.sum(0) - jacobian[aim]
    flat, best = x[0].flatten().clone(), (0.0, None)
    for p in range(len(flat)):
        for q in range(p):
            a, b = (alpha[p] + alpha[q]).item(), (beta[p] + beta[q]).item()
            room = flat[[p, q]] < 1 if theta > 0 else flat[[p, q]] > 0
            signs = (a > 0 > b) if theta > 0 else (a < 0 < b)
            if signs and bool(room.all()) and -a * b > best[0]:
                best = (-a * b, [p, q])
    if best[1]:
        flat[best[1]] = (flat[best[1]] + theta).clamp(0, 1)
    return flat.view_as(x), best[1]


@SCORES
@pytest.mark.parametrize("theta", [1.0, 0.3, -0.4, -1.0])
def test_each_step_is_the_papers(theta, scores):
    net, path = Net().eval(), []
    x, y, _ = batch(40, 3)
    y, aim = predict(net, x), (predict(net, x) + 1) % CLASSES
    options = {"theta": theta, "scores": scores, "gamma": 1.0, "target": aim}
    found = attacks.jsma(net, x, y, **options, on_step=lambda _, x_adv: path.append(x_adv))
    assert len(path) == 3, "three pairs of six pixels"
    moved = 0
    for i in range(len(x)):
        here, chosen = x[i : i + 1], True
        for shown in path:
            if chosen and predict(net, here)[0] != aim[i]:
                here, chosen = step_by_hand(net, here, aim[i].item(), theta, scores)
                moved += bool(chosen)
            torch.testing.assert_close(shown[i : i + 1], here, rtol=0, atol=1e-12)
        won = predict(net, here)[0] == aim[i]
        assert torch.equal(found[i : i + 1], here if won else x[i : i + 1])
    assert moved >= 20


@pytest.mark.parametrize("theta", [1.0, -1.0, 0.4, -0.4])
@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.05])
def test_budget_and_direction(theta, gamma):
    model, x, y = victim("digits")
    x, y, path = x[:30], y[:30], [x[:30]]
    keep = {"on_step": lambda _, x_adv: path.append(x_adv)}
    found = attacks.jsma(model, x, y, theta=theta, gamma=gamma, **keep)
    assert len(path) - 1 <= gamma * 784 / 2 and (gamma < 0.05 or len(path) > 2)
    for before, after in itertools.pairwise(path):
        change = (after - before).flatten(1)
        assert bool(((change != 0).sum(1) <= 2).all())
        assert bool((change * theta >= 0).all()) and bool((change.abs() <= abs(theta) + 1e-6).all())
        chosen = change != 0  # a pixel at its end cannot move on, so the pair moves both or none
        assert bool(((chosen.sum(1) == 2) | (chosen.sum(1) == 0)).all())
    assert bool((((found - x) != 0).flatten(1).sum(1) <= gamma * 784).all())
    changed = (found != x).flatten(1).any(1)
    assert torch.equal(changed, (predict(model, found) != y) & (predict(model, x) == y))


def test_steps_bound_the_pairs():
    model, x, y = victim("digits")
    path = []
    attacks.jsma(model, x[:10], y[:10], steps=3, on_step=lambda s, _: path.append(s))
    assert path == [1, 2, 3]


@SCORES
def test_success(scores, dataset):
    model, x, y = victim(dataset)
    right = (predict(model, x) == y).nonzero()[:25, 0]
    x, y = x[right], y[right]
    found = attacks.jsma(model, x, y, scores=scores)
    assert (predict(model, found) != y).float().mean() > (
        0.95 if scores == "probabilities" else 0.7
    )
    target = (y + 1) % 10
    aimed = attacks.jsma(model, x, y, target=target, scores=scores)
    hit = predict(model, aimed) == target
    assert torch.equal(hit, (aimed != x).flatten(1).any(1)) and hit.float().mean() > (
        0.82 if scores == "probabilities" else 0.5
    )


@SCORES
@settings(draws, max_examples=3)
@given(seed=st.integers(0, 10**6))
def test_an_image_does_not_depend_on_its_batch(scores, seed):
    model, x, y = victim("digits")
    some = torch.randperm(len(x), generator=seeded(seed))[:8]
    options = {"scores": scores, "theta": 0.5, "gamma": 0.03}
    whole = attacks.jsma(model, x[some], y[some], **options)
    parts = [attacks.jsma(model, x[i : i + 1], y[i : i + 1], **options) for i in some.tolist()]
    assert torch.equal(whole, torch.cat(parts))
