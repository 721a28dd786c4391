"""Every row of the table keeps the contract, whatever its attack does inside."""

import contextlib

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from advcourse import attacks
from advcourse.attacks import contract
from advcourse.attacks.contract import Best, chunk_size
from tests.unit.attack_cases import (
    AIMED,
    CLASSES,
    LEAST,
    ORDERS,
    QUICK,
    ROWS,
    STEADY,
    STEPS,
    STRONGEST,
    WHITE,
    Net,
    batch,
    call,
    distances,
    draws,
    every,
    over,
    parameters,
    predict,
    seeded,
    still,
)

CONVOLUTIONS = (nn.Conv1d(1, 1, 1), nn.Conv2d(1, 1, 1), nn.ConvTranspose2d(1, 1, 1))


def state(model):
    return (
        [m.training for m in model.modules()],
        [p.requires_grad for p in model.parameters()],
        [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
        {k: v.tolist() for k, v in model.state_dict().items()},
    )


@every
def test_a_row_describes_its_function(row):
    assert attacks.get(row.name) is row and row.function.__name__ == row.name
    assert row.goal in ("untargeted", "both") and row.knowledge in ("white box", "black box")
    assert row.norm in ("none", *ORDERS, *(f"least {norm}" for norm in ORDERS))
    assert row.iterates == bool({"steps", "queries"} & {*parameters(row)})
    assert row.strength is None or row.strength in parameters(row)
    assert row.strongest > 0 and "Source:" in row.function.__doc__


def test_table():
    assert len(ROWS) == len(attacks.ATTACKS)
    least = {row.name for row in LEAST if row in WHITE}
    assert {"negative", "fgsm", "bim", "pgd", *least} <= {row.name for row in STEADY}
    assert {"deepfool", "carlini_wagner", "ddn", "jsma"} <= {row.name for row in LEAST}
    with pytest.raises(ValueError, match=rf"no attack 'nope'; there are {', '.join(ROWS)}"):
        attacks.get("nope")


@every
@draws
@given(
    data=st.data(),
    n=st.integers(0, 4),
    shape=st.sampled_from([(2,), (1, 3, 3), (3, 2, 2)]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    bounds=st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (-0.5, 2.0), (-0.3, 0.9)]),
    mode=st.sampled_from([contextlib.nullcontext, torch.no_grad, torch.inference_mode]),
    seed=st.integers(0, 999),
)
def test_contract(row, data, n, shape, dtype, bounds, mode, seed):
    budget = data.draw(st.floats(0, STRONGEST[row.name]))
    model = Net(shape, dtype).eval()
    drawn = torch.get_rng_state()
    with mode():  # the tensors too are made in there
        x, y, target = batch(n, seed, shape, dtype, bounds)
        options = {"target": target} if row.goal == "both" and data.draw(st.booleans()) else {}
        kept = [t.clone() for t in (x, y, target)]
        one, two = (
            call(row, model, x, y, budget, bounds=bounds, generator=seeded(seed), **options)
            for _ in range(2)
        )
    assert torch.equal(one, two)
    assert one.shape == x.shape and one.dtype == dtype and one.device == x.device
    assert not one.requires_grad and not one.is_inference() and one is not x
    assert torch.equal(one, one.clamp(*bounds))
    if row.norm in ORDERS:
        assert bool((distances(one - x, row.norm) <= budget + 1e-6).all())
    assert all(torch.equal(a, b) for a, b in zip(kept, (x, y, target), strict=True))
    assert torch.equal(drawn, torch.get_rng_state())


@every
@pytest.mark.parametrize("fails", [False, True])
def test_model_is_untouched(row, fails):
    # The first call is the contract's probe; a black box is asked nothing else.
    model = Net(fails_at=(2 if row in WHITE else 1) if fails else None)
    model.body[2].eval()
    parts = list(model.parameters())
    parts[0].grad, parts[1].requires_grad = torch.ones_like(parts[0]), False
    before, (x, y, _) = state(model), batch()
    x.requires_grad_()
    with pytest.raises(RuntimeError, match="out of order") if fails else contextlib.nullcontext():
        assert not call(row, model, x, y).requires_grad
    assert state(model) == before and x.grad is None and x.requires_grad
    assert model.modes and not any(model.modes), "a module was attacked in training mode"


@every
def test_no_generator(row):
    x, model = batch()[0], Net()
    y, drawn = predict(Net().eval(), x), torch.get_rng_state()
    a, b = (call(row, model, x, y, **still(row)) for _ in range(2))
    assert torch.equal(a, b) == (row in STEADY)
    assert torch.equal(drawn, torch.get_rng_state())


@every
def test_options_that_default_to_none_accept_none(row):
    shared = {"target", "generator", "on_step"}
    unset = {n: None for n, p in parameters(row).items() if p.default is None and n not in shared}
    named = {n: v for n, v in QUICK.get(row.name, {}).items() if n not in unset}
    budget = {row.strength: STRONGEST[row.name] / 2} if row.strength else {}
    (x, y, _), model = batch(), Net()
    without, given_none = (
        row.function(model, x, y, **budget | named, **more, generator=seeded())
        for more in ({}, unset)
    )
    assert torch.equal(without, given_none)


def test_chunk_size():
    x = torch.zeros(1, 1, 2, 3)
    assert chunk_size(Net(), x) == 1000, "small activations: a larger batch saves overhead"
    for layer in CONVOLUTIONS:
        assert chunk_size(nn.Sequential(Net(), nn.Sequential(layer)), x) == 250
    assert chunk_size(lambda x: x, x) == 250, "who knows what is in there"
    assert chunk_size(Net(), x.to("meta")) > 1000


@over(STEADY)
def test_an_example_does_not_depend_on_its_batch(row, monkeypatch):
    monkeypatch.setattr(contract, "DENSE_CHUNK", 100)
    x, y, _ = batch(107)
    model = Net()
    whole = call(row, model, x, y, **still(row))
    assert max(model.sizes) <= 54, "two chunks of a size"
    parts = [call(row, model, *xy, **still(row)) for xy in zip(x.split(83), y.split(83))]  # noqa: B905
    torch.testing.assert_close(whole, torch.cat(parts), rtol=0, atol=1e-9)
    for i in range(5):
        one = call(row, model, x[i : i + 1], y[i : i + 1], **still(row))
        torch.testing.assert_close(whole[i : i + 1], one, rtol=0, atol=1e-9)


@over([row for row in attacks.ATTACKS if row not in STEADY])
def test_chunks_differ_in_their_noise(row, monkeypatch):
    monkeypatch.setattr(contract, "DENSE_CHUNK", 100)
    x = batch(1)[0].expand(107, -1, -1, -1)
    y = predict(Net().eval(), x)
    found = call(row, Net(), x, y, generator=seeded()).flatten(1)
    # A search that stops early, in a few pixels, often ends alike; APGD's long steps end in corners.
    if "queries" in parameters(row) or row.name == "apgd":
        assert not torch.equal(found[:53], found[54:])
    else:
        assert len(found.unique(dim=0)) == len(x)


@every
@pytest.mark.parametrize("aimed", [False, True])
def test_on_step(row, aimed, monkeypatch):
    if aimed and row not in AIMED:
        pytest.skip("cannot aim")
    monkeypatch.setattr(contract, "DENSE_CHUNK", 100)
    (x, y, target), seen = batch(107), []
    keep = {"on_step": lambda step, x_adv: seen.append((step, x_adv, x_adv.clone()))}
    goal = {"target": target} if aimed else {}
    result = call(row, Net(), x, y, generator=seeded(), **keep, **goal)
    assert [step for step, *_ in seen] == list(range(1, len(seen) + 1))
    rounds = QUICK.get(row.name, {}).get("binary_search_steps", 1)
    # Of an attack that counts queries, each call is one query of some image at least.
    most = QUICK[row.name]["queries"] * len(x) if "queries" in parameters(row) else STEPS * rounds
    assert 1 <= len(seen) <= (most if row.iterates else 1)
    assert all(torch.equal(now, then) and not now.requires_grad for _, now, then in seen)
    assert all(now.shape == x.shape for _, now, _ in seen)
    candidates = (
        torch.stack([x, *(now for _, now, _ in seen)]) if row.iterates else seen[-1][1][None]
    )
    assert bool((candidates == result).flatten(2).all(2).any(0).all())
    assert torch.equal(result, call(row, Net(), x, y, generator=seeded(), on_step=spoil, **goal))


def spoil(step, x_adv):
    """Write into what the hook is shown: it must be a copy."""
    x_adv.fill_(7)


@over([row for row in WHITE if row not in LEAST and row.name != "generate"])
def test_direction(row):
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, CLASSES, dtype=torch.float64))
    x, y, target = batch(20, bounds=(-3.0, 3.0))

    def loss(x, labels):
        return F.cross_entropy(model(x), labels, reduction="none")

    more = {"bounds": (-4, 4), **still(row)}
    leaves = row.name == "apgd"  # at its random start, whoever is wrong already
    told = predict(model, x)
    found = call(row, model, x, y, 0.01, **more)
    assert bool((loss(found, y) > loss(x, y))[(told == y) | (not leaves)].all())
    if row in AIMED:
        near = call(row, model, x, y, 0.01, **more, target=target)
        assert bool((loss(near, target) < loss(x, target))[(told != target) | (not leaves)].all())


def test_the_wrapper_keeps_the_contract_for_a_careless_attack():
    @attacks.attack
    def careless(model, x, y, *, eps, target=None, bounds=(0, 1), generator=None, on_step=None):
        y.zero_()
        return x.add_(eps).requires_grad_() * 1

    x, y, _ = batch(bounds=(0.1, 0.4))
    kept = x.clone(), y.clone()
    result = careless(Net(), x, y, eps=0.5)
    assert torch.equal(x, kept[0]) and torch.equal(y, kept[1]) and not result.requires_grad
    torch.testing.assert_close(result, x + 0.5)


def ranked(scores, labels, aimed):
    """Return each example's best iterate, a success before a failure, and its steepest one."""
    best, highest = [], []
    for i, label in enumerate(labels.tolist()):
        ranks = [
            ((int(z.argmax()) == label) == aimed, z[label].item() * (1 if aimed else -1))
            for z in scores.log_softmax(2)[:, i]
        ]
        best.append(ranks.index(max(ranks)))
        highest.append(max(range(len(ranks)), key=[height for _, height in ranks].__getitem__))
    return best, highest


@pytest.mark.parametrize("aimed", [False, True])
@pytest.mark.parametrize("looks", [False, True])
def test_best_iterate(aimed, looks):
    z = 0.3 * torch.randn(4, 300, CLASSES, generator=seeded())
    y, target = torch.randint(0, CLASSES, (2, 300), generator=seeded(1))
    goal = target if aimed else y
    keeper = Best(torch.full((300, 2), -1.0), y, target if aimed else None)
    assert bool((keeper.x == -1).all()) and not keeper.won.any()
    for step in range(3):
        iterate = torch.full((300, 2), float(step))
        keeper.offer(iterate, z[step])
        best, highest = ranked(z[: step + 1], goal, aimed)
        if looks:  # it copies late: looking in between must not change anything
            assert keeper.x.tolist() == [[s, s] for s in best]
        assert bool((iterate == step).all()), "it wrote into what it was offered"
    assert keeper.x.tolist() == [[s, s] for s in best] and best != highest
    won = torch.stack([s.argmax(1) == goal for s in z[:3]]) == aimed
    assert torch.equal(keeper.won, won.any(0)) and 0 < keeper.won.sum() < 300

    stay = ~keeper.won
    keeper.keep(stay)
    keeper.offer(torch.full((len(keeper.y), 2), 3.0), z[3, stay])
    best, _ = ranked(z[:, stay], goal[stay], aimed)
    assert keeper.x.tolist() == [[s, s] for s in best] and 3 in best


@pytest.mark.parametrize("aimed", [False, True])
def test_gradient_ascent_returns_its_best_iterate(aimed):
    (x, y, target), model, path = batch(60), Net().eval(), []
    goal = {"target": target} if aimed else {}
    keep = {"on_step": lambda _, x_adv: path.append(x_adv)}
    found = attacks.gradient_ascent(model, x, y, step_size=4, steps=7, **goal, **keep)
    with torch.no_grad():
        best, _ = ranked(torch.stack([model(p) for p in path]), target if aimed else y, aimed)
    assert torch.equal(found, torch.stack([path[s][i] for i, s in enumerate(best)]))
    assert len(path) == 7 and len(set(best)) >= 3, "hardly any best iterate but the last"
