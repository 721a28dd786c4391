"""The semidefinite bound: above the true maximum, near it, and sound whatever the solver returned."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import nn

from advcourse import attacks, models
from advcourse.defenses import certified_ibp, certified_sdp, norm_bounds, sdp, sdp_bounds
from advcourse.defenses.sdp import checked, solve, spread, two_layers
from tests.unit.attack_cases import draws, seeded

GROTHENDIECK = 1.7823  # Krivine's bound of his constant: no relaxation of this kind is worse
few = settings(draws, max_examples=6)


def net(seed=0, inputs=3, hidden=4, classes=3):
    """Return a random net of two layers on [N, inputs], in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))
        for p in made.parameters():
            nn.init.normal_(p)
    return made.double().eval()


def best_lead(model, x, i, j, eps):
    """Return the exact maximum of f_i - f_j within eps of x [D]: a linear program per pattern."""
    w, b = model[0].weight.detach(), model[0].bias.detach()
    d, rest = (
        (model[2].weight[i] - model[2].weight[j]).detach(),
        model[2].bias[i] - model[2].bias[j],
    )
    best = -torch.inf
    for pattern in itertools.product((0.0, 1.0), repeat=len(w)):
        on = torch.tensor(pattern, dtype=w.dtype)
        sign = 1 - 2 * on  # active: W x + b >= 0
        box = [(v - eps, v + eps) for v in x.tolist()]
        goal, planes = (-(d * on) @ w).numpy(), (sign[:, None] * w).numpy()
        found = linprog(goal, planes, -(sign * b).numpy(), bounds=box)
        if found.success:
            best = max(best, -found.fun + ((d * on) @ b).item())
    return best + rest.item()


def most_through(w, d):
    """Return max over switches s of |W^T (d * s)|_1, by trying all of them."""
    switches = torch.tensor(list(itertools.product((0.0, 1.0), repeat=len(w))), dtype=w.dtype)
    return ((switches * d) @ w).abs().sum(1).max().item()


@few
@given(st.integers(0, 1000), st.sampled_from([0.05, 0.3, 2.0]))
def test_never_below_the_true_maximum(seed, eps):
    model, x = net(seed), torch.rand(3, generator=seeded(seed), dtype=torch.float64)
    bounds, z = sdp_bounds(model, (3,)), model(x[None])[0].detach()
    for i, j in itertools.permutations(range(3), 2):
        limit = (z[i] - z[j]).item() + eps * bounds[i, j].item()
        assert best_lead(model, x, i, j, eps) <= limit + 1e-9


@few
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 6))
def test_near_the_best_choice_of_switches(seed, inputs, hidden):
    model = net(seed, inputs, hidden)
    (w, v), bounds = two_layers(model, (inputs,)), sdp_bounds(model, (inputs,))
    for i, j in itertools.permutations(range(3), 2):
        exact = most_through(w, v[i] - v[j])
        assert exact * (1 - 1e-9) <= bounds[i, j] <= exact * GROTHENDIECK
    for norm in ("spectral", "frobenius"):
        assert bool((bounds <= norm_bounds(model, norm, (inputs,)) * (1 + 1e-4)).all())


def test_symmetric_scaled_and_zero_on_the_diagonal():
    model = net()
    bounds = sdp_bounds(model, (3,))
    assert torch.equal(bounds, bounds.T) and not bounds.diagonal().any()
    assert bool((bounds + torch.eye(3) > 0).all())
    b = torch.stack([spread(*two_layers(model, (3,))[:1], d) for d in two_layers(model, (3,))[1]])
    torch.testing.assert_close(checked(b, solve(b)), checked(-b, solve(-b)), rtol=1e-4, atol=0)
    with torch.no_grad():
        model[0].weight.mul_(3)
    torch.testing.assert_close(sdp_bounds(model, (3,)), 3 * bounds, rtol=1e-4, atol=0)


@few
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.01, 0.3, 3.0]))
def test_any_multipliers_give_a_bound(seed, error):
    """For random u in [-1, 1]^N, u u^T is allowed, so u^T M u may not exceed the bound."""
    source = seeded(seed)
    b = torch.randn(2, 3, 4, generator=source, dtype=torch.float64)
    c = solve(b) + error * torch.randn(2, 7, generator=source, dtype=torch.float64)
    limit = checked(b, c)
    u = torch.rand(500, 7, generator=source, dtype=torch.float64).mul(2).sub(1)
    for signs in (u, u.sign()):
        t, r = signs[:, :3], signs[:, 3:]
        reached = 2 * torch.einsum("mk,pkh,mh->pm", t, b, r).amax(1)
        assert bool((reached <= limit + 1e-9).all())
    if not error:
        assert bool((limit <= c.sum(1) * 1.001).all()), "an exact solution costs nothing"


def test_pooling_folds_into_the_first_layer():
    model = models.build("tiny")
    plain = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), model[4])
    pooled = torch.eye(784).view(-1, 1, 28, 28)
    with torch.no_grad():
        plain[1].weight.copy_(model[2].weight @ model[1](model[0](pooled)).T)
        plain[1].bias.copy_(model[2].bias)
    x = torch.rand(20, 1, 28, 28, generator=seeded())
    torch.testing.assert_close(plain(x), model(x))
    (w, _), (folded, _) = two_layers(model), two_layers(plain)
    assert w.shape == folded.shape == (16, 49)
    order = [column.sort().values for column in (w[0], folded[0])]
    torch.testing.assert_close(*order)
    torch.testing.assert_close(w.norm(), model[2].weight.double().norm().detach())
    torch.testing.assert_close(norm_bounds(model), norm_bounds(plain))


def test_proofs_hold_and_beat_the_norms():
    model, x = net(3, 6, 8), torch.rand(300, 6, generator=seeded(), dtype=torch.float64)
    y, shape = model(x).argmax(1), (6,)
    proven = {
        "sdp": certified_sdp(model, x, y, 0.02),
        "spectral": certified_sdp(model, x, y, 0.02, norm_bounds(model, "spectral", shape)),
        "frobenius": certified_sdp(model, x, y, 0.02, norm_bounds(model, "frobenius", shape)),
        "ibp": certified_ibp(model, x, y, 0.02),
    }
    share = {name: mask.float().mean().item() for name, mask in proven.items()}
    assert 1 > share["sdp"] > share["spectral"] >= share["frobenius"] > 0
    assert not bool((proven["spectral"] & ~proven["sdp"]).any())
    found = attacks.pgd(model, x, y, eps=0.02, restarts=3, generator=seeded())
    broken = model(found).argmax(1) != y
    assert bool(broken.any()) and not any(bool((mask & broken).any()) for mask in proven.values())
    assert not bool(certified_sdp(model, x, (y + 1) % 3, 0.0).any()), "a wrong answer has no proof"
    assert certified_sdp(model, x, y, 0.0).float().mean() == 1


def test_the_same_weights_are_not_solved_twice(monkeypatch):
    model, calls = net(5), []
    monkeypatch.setattr(sdp, "solve", lambda b: calls.append(b) or solve(b))
    first = sdp_bounds(model, (3,))
    first[0, 1] = 0  # the caller's own copy
    assert sdp_bounds(model, (3,))[0, 1] > 0 and len(calls) == 1
    with torch.no_grad():
        model[2].weight[0, 0] += 1
    sdp_bounds(model, (3,))
    assert len(calls) == 2


def test_errors():
    three = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    smooth = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    for model in (three, smooth, nn.Linear(3, 2), nn.Sequential(nn.ReLU(), nn.Linear(3, 2))):
        with pytest.raises(ValueError, match=r"^model: this bound is for linear layers, then one"):
            sdp_bounds(model, (3,))
    with pytest.raises(ValueError, match=r"^norm: 'l1' is not one of spectral, frobenius"):
        norm_bounds(net(), "l1", (3,))
    x, y = torch.rand(4, 3, dtype=torch.float64), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"^eps: -1 is no"):
        certified_sdp(net(), x, y, -1)
    with pytest.raises(ValueError, match=r"^x: values"):
        certified_sdp(net(), x + 1, y, 0.1)
    with pytest.raises(ValueError, match=r"^y: labels from 7"):
        certified_sdp(net(), x, y + 7, 0.1)


def test_dead_pixels_and_dead_units():
    """Weights that a penalty has shrunk to almost nothing: the solver must not stumble over them."""
    model, x = net(2, 6, 6), torch.rand(100, 6, generator=seeded(), dtype=torch.float64)
    clean = sdp_bounds(model, (6,))
    with torch.no_grad():
        model[0].weight[0] = 1e-9
        model[2].weight[:, 1] = 0.0
        model[0].weight[:, 0] = 1e-7 * torch.arange(6)
        model[0].weight[:, 1] = 0.0
    bounds = sdp_bounds(model, (6,))
    w, v = two_layers(model, (6,))
    for i, j in itertools.combinations(range(3), 2):
        exact = most_through(w, v[i] - v[j])
        assert exact * (1 - 1e-9) <= bounds[i, j] <= exact * GROTHENDIECK
    assert bool((bounds < clean).any())
    assert certified_sdp(model, x, model(x).argmax(1), 0.0, bounds).float().mean() == 1
