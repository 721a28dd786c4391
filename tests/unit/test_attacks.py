"""Every row of the table keeps the contract; FGSM and gradient ascent also meet closed forms."""

import contextlib
import inspect
import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from advcourse import attacks
from advcourse.attacks.contract import CHUNK, Best

STEPS, CLASSES = 3, 4
ROWS = {row.name: row for row in attacks.ATTACKS}
every = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
draws = settings(deadline=None, derandomize=True, max_examples=30)


class Net(nn.Module):
    """Small and smooth, with every layer that behaves otherwise in training; keeps what it saw."""

    def __init__(self, shape=(1, 2, 3), dtype=torch.float64, fails_at=None, classes=CLASSES):
        super().__init__()
        layers = [nn.Flatten(), nn.Linear(math.prod(shape), 8), nn.BatchNorm1d(8), nn.Tanh()]
        self.body = nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(8, classes)).to(dtype)
        source = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weight in self.parameters():
                weight.normal_(std=1.5, generator=source)
        self.fails_at, self.modes, self.sizes = fails_at, [], []

    def forward(self, x):
        self.modes += [m.training for m in self.modules()]
        self.sizes.append(len(x))
        if len(self.sizes) == self.fails_at:
            raise RuntimeError("out of order")
        return self.body(x)


def call(row, model, x, y, budget=None, **more):
    """Run a row's attack with a budget (half its strongest) and few steps."""
    options = (
        {row.strength: row.strongest / 2 if budget is None else budget} if row.strength else {}
    )
    options |= {"steps": STEPS} if row.iterates else {}
    return row.function(model, x, y, **options | more)


def batch(n=5, seed=0, shape=(1, 2, 3), dtype=torch.float64, bounds=(0.0, 1.0)):
    """Return x, y and a target that is never y; some pixels lie on the bounds."""
    source, (lo, hi) = torch.Generator().manual_seed(seed), bounds
    x = (1.4 * torch.rand(n, *shape, generator=source, dtype=dtype) - 0.2).clamp(0, 1)
    y, step = (torch.randint(1, CLASSES, (n,), generator=source) for _ in range(2))
    return (lo + (hi - lo) * x).clamp(lo, hi), y, (y + step) % CLASSES


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def state(model):
    return (
        [m.training for m in model.modules()],
        [p.requires_grad for p in model.parameters()],
        [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
        {k: v.tolist() for k, v in model.state_dict().items()},
    )


def steady(row):
    runs = [call(row, Net(), *batch()[:2], generator=seeded(s), **still(row)) for s in (0, 1)]
    return torch.equal(*runs)


def still(row):
    return {"random_start": False} if "random_start" in parameters(row) else {}


def parameters(row):
    return inspect.signature(row.function).parameters


STEADY = [row for row in attacks.ATTACKS if steady(row)]
WHITE = [row for row in attacks.ATTACKS if row.knowledge == "white box"]
AIMED = [row for row in attacks.ATTACKS if row.goal == "both"]


def over(rows):
    return pytest.mark.parametrize("row", rows, ids=[row.name for row in rows])


@every
def test_a_row_describes_its_function(row):
    assert attacks.get(row.name) is row and row.function.__name__ == row.name
    assert row.goal in ("untargeted", "both") and row.knowledge in ("white box", "black box")
    assert row.iterates == ("steps" in parameters(row))
    assert row.strength is None or row.strength in parameters(row)
    assert "Source:" in row.function.__doc__


def test_table():
    assert len(ROWS) == len(attacks.ATTACKS)
    assert {"negative", "fgsm", "gradient_ascent"} <= {row.name for row in STEADY}
    with pytest.raises(ValueError, match=rf"no attack 'nope'; there are {', '.join(ROWS)}"):
        attacks.get("nope")


@every
@draws
@given(
    data=st.data(),
    n=st.integers(0, 4),
    shape=st.sampled_from([(2,), (1, 3, 3), (3, 2, 2)]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    bounds=st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (-0.5, 2.0)]),
    mode=st.sampled_from([contextlib.nullcontext, torch.no_grad, torch.inference_mode]),
    seed=st.integers(0, 999),
)
def test_contract(row, data, n, shape, dtype, bounds, mode, seed):
    budget = data.draw(st.floats(0, row.strongest))
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
    assert bool(((one >= bounds[0]) & (one <= bounds[1])).all())
    if row.norm in ("linf", "l2", "l1"):
        size = {"linf": math.inf, "l2": 2, "l1": 1}[row.norm]
        assert bool(((one - x).flatten(1).norm(size, dim=1) <= budget + 1e-6).all())
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
    with pytest.raises(RuntimeError, match="out of order") if fails else contextlib.nullcontext():
        call(row, model, x, y)
    assert state(model) == before
    assert model.modes and not any(model.modes), "a module was attacked in training mode"


@every
def test_no_generator(row):
    (x, y, _), model, drawn = batch(), Net(), torch.get_rng_state()
    a, b = (call(row, model, x, y, **still(row)) for _ in range(2))
    assert torch.equal(a, b) == (row in STEADY)
    assert torch.equal(drawn, torch.get_rng_state())


@over(STEADY)
def test_an_example_does_not_depend_on_its_batch(row):
    x, y, _ = batch(CHUNK["cpu"] + 7)
    model = Net()
    whole = call(row, model, x, y, **still(row))
    assert max(model.sizes) <= CHUNK["cpu"]
    parts = [call(row, model, *xy, **still(row)) for xy in zip(x.split(83), y.split(83))]  # noqa: B905
    torch.testing.assert_close(whole, torch.cat(parts), rtol=0, atol=1e-9)
    for i in range(5):
        one = call(row, model, x[i : i + 1], y[i : i + 1], **still(row))
        torch.testing.assert_close(whole[i : i + 1], one, rtol=0, atol=1e-9)


@over([row for row in attacks.ATTACKS if row not in STEADY])
def test_chunks_differ_in_their_noise(row):
    x, y, _ = batch(1)
    x, y = x.expand(CHUNK["cpu"] + 7, -1, -1, -1), y.expand(CHUNK["cpu"] + 7)
    assert len(call(row, Net(), x, y, generator=seeded()).flatten(1).unique(dim=0)) == len(x)


@every
def test_on_step(row):
    (x, y, _), seen = batch(CHUNK["cpu"] + 7), []
    keep = {"on_step": lambda step, x_adv: seen.append((step, x_adv, x_adv.clone()))}
    result = call(row, Net(), x, y, generator=seeded(), **keep)
    assert [step for step, *_ in seen] == list(range(1, len(seen) + 1))
    assert 1 <= len(seen) <= (STEPS if row.iterates else 1)
    assert all(torch.equal(now, then) and not now.requires_grad for _, now, then in seen)
    assert all(now.shape == x.shape for _, now, _ in seen)
    candidates = (
        torch.stack([x, *(now for _, now, _ in seen)]) if row.iterates else seen[-1][1][None]
    )
    assert bool((candidates == result).flatten(2).all(2).any(0).all())


@over(WHITE)
def test_direction(row):
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, CLASSES, dtype=torch.float64))
    x, y, target = batch(20, bounds=(-3.0, 3.0))

    def loss(x, labels):
        return F.cross_entropy(model(x), labels, reduction="none")

    assert bool((loss(call(row, model, x, y, 0.01, bounds=(-4, 4)), y) > loss(x, y)).all())
    if row in AIMED:
        near = call(row, model, x, y, 0.01, bounds=(-4, 4), target=target)
        assert bool((loss(near, target) < loss(x, target)).all())


BAD = {  # what is wrong: (arguments that replace the right ones, the message's start)
    "above": ({"x": torch.full((5, 1, 2, 3), 1.5)}, "x: values from 1.5 to 1.5 leave"),
    "below": ({"x": torch.full((5, 1, 2, 3), -0.1)}, "x: values from -0.1 to -0.1 leave"),
    "nan": ({"x": torch.full((5, 1, 2, 3), math.nan)}, "x: contains NaN"),
    "integers": ({"x": torch.zeros(5, 1, 2, 3, dtype=torch.int64)}, "x: got torch.int64"),
    "no batch": ({"x": torch.zeros(5)}, r"x: got torch.float32 \(5,\)"),
    "list": ({"x": [[0.0]]}, "x: got list"),
    "bounds": ({"bounds": (1.0, 0.0)}, r"bounds: \(1.0, 0.0\) is not a range"),
    "one range": ({"bounds": (0.0, 0.5)}, "x: values from 0 to 1 leave"),
    "short": ({"y": torch.zeros(4, dtype=torch.int64)}, r"y: shape \(4,\) .* 5 inputs"),
    "large": ({"y": torch.tensor([0, 1, 2, 3, 4])}, "y: labels from 0 to 4, .* 4 classes"),
    "negative": ({"y": torch.tensor([0, 1, 2, 3, -1])}, "y: labels from -1 to 3"),
    "float": ({"y": torch.zeros(5)}, "y: got torch.float32"),
    "numbers": ({"y": [0, 1, 2, 3, 0]}, "y: got list"),
    "generator": ({"generator": 0}, "generator: got 0"),
    "flat model": ({"model": lambda x: x.flatten(1)[:, 0]}, r"model: returned \(1,\) for 1"),
    "long model": ({"model": lambda x: torch.zeros(len(x) + 1, 4)}, r"model: returned \(2, 4\)"),
    "tuple model": ({"model": lambda x: (x, x)}, "model: returned tuple for 1"),
}
BAD_TARGETS = {
    "short": (torch.zeros(4, dtype=torch.int64), r"target: shape \(4,\)"),
    "large": (torch.full((5,), 4), "target: labels from 4 to 4"),
    "negative": (torch.full((5,), -1), "target: labels from -1 to -1"),
    "float": (torch.zeros(5), "target: got torch.float32"),
    "number": (3, "target: got int"),
}
BAD_SIZES = (-1e-3, math.nan, math.inf, -math.inf, "0.1", True, None)
BAD_COUNTS = (0, -1, 2.0, "3", True, None)


def refuses(row, message, *, model=None, **changes):
    x, y, _ = batch()
    changes = {"x": x, "y": y} | changes
    with pytest.raises(ValueError, match=f"^{message}"):
        call(row, model or Net(), changes.pop("x"), changes.pop("y"), **changes)


@every
@pytest.mark.parametrize("wrong", BAD)
def test_bad_input(row, wrong):
    refuses(row, BAD[wrong][1], **BAD[wrong][0])


@every
def test_bad_options(row):
    for value in BAD_SIZES if row.strength else ():
        refuses(row, f"{row.strength}: {value!r} is no size", **{row.strength: value})
    for value in BAD_COUNTS if row.iterates else ():
        refuses(row, f"steps: {value!r} is no count", steps=value)
    with pytest.raises(TypeError, match=rf"no argument 'banana'; .*{row.strength or 'target'}"):
        call(row, Net(), *batch()[:2], banana=1)


@pytest.mark.parametrize("wrong", BAD_TARGETS)
@over(AIMED)
def test_bad_target(row, wrong):
    refuses(row, BAD_TARGETS[wrong][1], target=BAD_TARGETS[wrong][0])


@over([row for row in attacks.ATTACKS if row not in AIMED])
def test_what_cannot_aim_says_so(row):
    refuses(row, f"target: {row.name} cannot aim", target=batch()[2])


@over(WHITE)
def test_models_without_a_gradient(row):
    net = Net().eval()
    for model in (
        lambda x: F.one_hot(net(x).argmax(1), CLASSES).double(),
        torch.no_grad()(net.forward),
        lambda x: net(x.detach()),  # the weights still require a gradient
    ):
        refuses(row, "model: its output does not depend on x", model=model)
    refuses(row, r"model: returned \(1, 4\) for 5 inputs", model=lambda x: net(x)[:1])


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


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (-0.5, 2.0)])
def test_negative(bounds):
    x, y, _ = batch(bounds=bounds)
    expected = {1.0: 1 - x, 0.0: -x, 1.5: 1.5 - x}[sum(bounds)]
    torch.testing.assert_close(attacks.negative(Net(), x, y, bounds=bounds), expected)


@pytest.mark.parametrize("name", ["gaussian_noise", "uniform_noise"])
def test_noise(name):
    x, y = torch.full((200, 1, 2, 3), 0.5), torch.zeros(200, dtype=torch.int64)
    options = {"bounds": (-9.0, 9.0), "generator": seeded()}
    noise = call(ROWS[name], Net(dtype=torch.float32), x, y, 0.2, **options) - x
    assert noise.mean().abs() < 0.02
    assert noise.std().item() == pytest.approx(
        0.2 if name == "gaussian_noise" else 0.2 / 3**0.5, 0.1
    )
    assert (noise.abs().max() > 0.5) == (name == "gaussian_noise")


@draws
@given(seed=st.integers(0, 10**6), eps=st.floats(0, 1))
def test_fgsm_finds_the_maximum_of_a_linear_model(seed, eps):
    x, y, _ = batch(3, seed, (8,))
    weight = torch.randn(2, 8, generator=seeded(seed), dtype=torch.float64)
    y = y % 2

    def loss(x):
        return F.cross_entropy(x @ weight.T, y, reduction="none")

    corners = torch.tensor(list(itertools.product((-eps, eps), repeat=8)), dtype=x.dtype)
    highest = torch.stack([loss((x + corner).clamp(0, 1)) for corner in corners]).amax(0)
    found = loss(attacks.fgsm(lambda x: x @ weight.T, x, y, eps=eps))
    torch.testing.assert_close(found, highest, rtol=1e-9, atol=1e-12)


def linear(seed=0):
    """Return a softmax model of 6 pixels and its closed-form gradient of the loss of `labels`."""
    weight = torch.randn(CLASSES, 6, generator=seeded(seed), dtype=torch.float64)

    def gradient(x, labels):
        excess = (x.flatten(1) @ weight.T).softmax(1) - F.one_hot(labels, CLASSES)
        return (excess @ weight).view_as(x)

    return lambda x: x.flatten(1) @ weight.T, gradient


@draws
@given(seed=st.integers(0, 10**6), size=st.floats(0, 2))
def test_one_step_of_a_linear_model(seed, size):
    (model, gradient), (x, y, target) = linear(seed), batch(seed=seed)
    away, near = gradient(x, y), -gradient(x, target)
    for goal, g in ({}, away), ({"target": target}, near):
        signed = attacks.fgsm(model, x, y, eps=size, **goal)
        plain = attacks.gradient_ascent(model, x, y, step_size=size, steps=1, **goal)
        torch.testing.assert_close(signed, (x + size * g.sign()).clamp(0, 1))
        torch.testing.assert_close(plain, (x + size * g).clamp(0, 1))


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
def test_best_iterate(aimed):
    scores = 0.3 * torch.randn(3, 300, CLASSES, generator=seeded())
    y, target = torch.randint(0, CLASSES, (2, 300), generator=seeded(1))
    keeper, iterates = Best(y, target if aimed else None), torch.arange(3.0)
    for x, z in zip(iterates, scores, strict=True):
        keeper.offer(x.expand(300, 2), z)
    best, highest = ranked(scores, target if aimed else y, aimed)
    assert keeper.x.tolist() == [[s, s] for s in best] and best != highest


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
