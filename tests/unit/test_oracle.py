"""The oracle: exact counts per image, a budget that costs nothing when it refuses, no gradient."""

import functools

import pytest
import torch
from torch import nn

from advcourse import attacks, metrics
from advcourse.attacks import BudgetSpent, Oracle, Trace, contract
from tests.unit.attack_cases import Net, batch, seeded

QUERY = {
    "square": functools.partial(attacks.square, eps=0.2, queries=9),
    "square l2": functools.partial(attacks.square, eps=0.3, norm="l2", queries=9),
    "hop_skip_jump": functools.partial(
        attacks.hop_skip_jump, queries=40, candidates=4, directions=5
    ),
    "hop_skip_jump linf": functools.partial(
        attacks.hop_skip_jump, norm="linf", queries=40, candidates=4, directions=5
    ),
}
each = pytest.mark.parametrize("name", QUERY)


class Forbidden(torch.autograd.Function):
    """Passes the images on; whoever differentiates is found out."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise AssertionError("a gradient was taken")


class Watched(nn.Module):
    """A net that keeps which images it saw, and lets nobody differentiate."""

    def __init__(self, **more):
        super().__init__()
        self.net, self.seen, self.modes = Net(**more), [], []

    def forward(self, x):
        assert not torch.is_grad_enabled() and not x.requires_grad, "asked with gradients on"
        self.seen.append(x.clone())
        self.modes.append(self.training)
        return self.net(Forbidden.apply(x))


def answers_of(name):
    return "scores" if name.startswith("square") else "labels"


def right(n, net):
    """Return n images that the net reads as their labels, each of its own brightness."""
    x = batch(n)[0]
    with torch.no_grad():
        return x, net.eval()(x).argmax(1)


def test_answers_and_counts():
    net, (x, _, _) = Net().eval(), batch()
    scores, labels = Oracle(net), Oracle(net, "labels")
    with torch.no_grad():
        z = net(x)
    assert torch.equal(scores(x), z) and not scores(x).requires_grad
    found = labels(x)
    assert torch.equal(found, z.argmax(1)) and found.dtype == torch.int64
    assert scores.queries.tolist() == [2] * 5 and labels.queries.tolist() == [1] * 5
    labels(x[:3], torch.tensor([4, 4, 6]))
    assert labels.queries.tolist() == [1, 1, 1, 1, 3, 0, 1]
    assert scores.queries.tolist() == [2] * 5, "oracles of the same net count for themselves"
    kept = labels.queries
    kept.zero_()
    assert labels.queries.sum() == 8, "a copy"
    labels(x[:0])
    assert labels.queries.sum() == 8 and "8 asked" in repr(labels) and "labels" in repr(labels)


def test_a_part_counts_for_the_whole():
    x, oracle = batch()[0], Oracle(Net(), budget=3)
    part = oracle.part([3, 1])
    part(x[:2])
    part.part([1])(x[:1])
    assert oracle.queries.tolist() == [0, 2, 0, 1] and part.queries.tolist() == [1, 2]
    assert part.left([0, 1]).tolist() == [2, 1] and oracle.left(torch.arange(5)).tolist() == [
        3,
        1,
        3,
        2,
        3,
    ]
    with pytest.raises(BudgetSpent, match="number 1, asked 2 times"):
        part(x[:2], torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="rows: 2 in a part of 2 images"):
        part(x[:1], torch.tensor([2]))
    assert isinstance(part, Oracle) and part.budget == 3 and part.answers == "scores"


def test_the_budget_refuses_and_loses_nothing():
    net, (x, _, _) = Net(), batch()
    oracle = Oracle(net, "labels", budget=2)
    oracle(x), oracle(x[:2])
    asked = len(net.sizes)
    with pytest.raises(BudgetSpent, match=r"budget of 2 .* 5 more for 2 of the images") as refused:
        oracle(x)
    assert refused.value.rows.tolist() == [0, 1] and isinstance(refused.value, RuntimeError)
    assert oracle.queries.tolist() == [2, 2, 1, 1, 1] and len(net.sizes) == asked
    oracle(x[2:], torch.arange(2, 5))
    assert oracle.queries.tolist() == [2] * 5
    assert Oracle(net).left([0]).item() > 10**15


def test_it_refuses_gradients_and_bad_questions():
    oracle, (x, _, _) = Oracle(Net()), batch()
    for wrong, message in (
        ((x.clone().requires_grad_(),), "x: it requires a gradient"),
        (([0.0],), "x: got list"),
        ((x, torch.arange(4)), r"rows: \(4,\) for 5 queries"),
        ((x, torch.arange(5) - 1), "rows: .* an integer from 0"),
        ((x, torch.rand(5)), "rows: .* an integer from 0"),
    ):
        with pytest.raises(ValueError, match=message):
            oracle(*wrong)
    assert oracle.queries.sum() == 0
    for more, message in (
        ({"answers": "logits"}, "answers: 'logits' is not one of scores, labels"),
        ({"budget": 0}, "budget: 0 is no count"),
        ({"budget": 1.5}, "budget: 1.5 is no count"),
        ({"model": 3}, "model: got int"),
    ):
        with pytest.raises(ValueError, match=message):
            Oracle(**{"model": Net()} | more)
    with pytest.raises(ValueError, match="x: it requires a gradient"):
        attacks.fgsm(oracle, x, batch()[1], eps=0.1)


def test_nothing_of_the_model_shows():
    net = Net()
    oracle = Oracle(net)
    assert not isinstance(oracle, nn.Module) and not hasattr(oracle, "parameters")
    reached = [*vars(oracle).values(), *vars(oracle.part([0])).values()]
    reached += [inner for value in reached if isinstance(value, list) for inner in value]
    assert all(isinstance(v, str | int | list | torch.Tensor | None) for v in reached)
    assert attacks.behind(oracle) is net is attacks.behind(net)
    assert attacks.behind(Oracle(oracle)) is net


def test_the_model_answers_in_eval_mode_and_keeps_its_own():
    x = batch()[0]
    net = Net(fails_at=2).train()
    net.body[2].eval()
    before = [m.training for m in net.modules()]
    oracle = Oracle(net)
    oracle(x)
    assert not any(net.modes) and [m.training for m in net.modules()] == before
    with pytest.raises(RuntimeError, match="out of order"):
        oracle(x)
    assert [m.training for m in net.modules()] == before
    assert oracle.queries.tolist() == [1] * 5, "who got no answer pays nothing"


def test_ask():
    net, (x, _, _) = Net().eval(), batch()
    labels = net(x).argmax(1)
    for victim in (net, net.forward, Oracle(net), Oracle(net, "labels"), lambda x: labels):
        assert torch.equal(attacks.ask_labels(victim, x, torch.arange(5)), labels)
    assert not attacks.ask(net, x).requires_grad
    with pytest.raises(ValueError, match=r"model: returned \(5,\) for 5"):
        attacks.ask_labels(lambda x: x.flatten(1)[:, 0], x)


@each
def test_no_gradient_and_every_query_counts(name):
    model = Watched()
    x, y = right(7, model.net)
    model.train()
    oracle = Oracle(model, answers_of(name))
    x_adv = QUERY[name](oracle, x, y, generator=seeded())
    model.seen.pop(0)  # the contract's look at the first image, which is no query
    assert sum(len(seen) for seen in model.seen) == oracle.queries.sum() > 7
    assert not any(model.modes) and not any(model.net.modes) and model.training
    assert bool((oracle.queries <= (9 if name.startswith("square") else 40)).all())
    assert any(torch.equal(x_adv[0], image) for seen in model.seen for image in seen)
    model.eval()  # the same attack on a bare function
    plain = QUERY[name](model.forward, x, y, generator=seeded())
    assert torch.equal(plain, x_adv)
    whom = Oracle(model, answers_of(name), budget=5)
    QUERY[name](whom, x, y, generator=seeded())
    assert whom.queries.max() == 5, "it asks no more than the budget allows, and does not fail"
    before = whom.queries
    again = QUERY[name](whom, x, y, generator=seeded())
    spent = before == 5
    assert torch.equal(again[spent], x[spent]) and bool((whom.queries[spent] == 5).all())


@each
def test_rows_are_right_across_chunks(name, monkeypatch):
    """Each image is known by its first pixel, which no bound allows to leave."""
    monkeypatch.setattr(contract, "DENSE_CHUNK", 4)
    marks, asked = torch.arange(11, dtype=torch.float64) / 16, torch.zeros(11, dtype=torch.int64)
    net = Net().eval()

    def marked(x):
        """Answer for the picture that the marks' pixels belong to; count who was asked about."""
        near = (x.flatten(1)[:, None, 3:] - whole[None]).abs().sum(2).argmin(1)
        asked.index_add_(0, near, torch.ones_like(near))
        return net(x)

    x = 0.5 + 0.02 * torch.rand(11, 1, 2, 3, generator=seeded(), dtype=torch.float64)
    x[:, :, 1] = marks[:, None, None]
    whole = x.flatten(1)[:, 3:]
    with torch.no_grad():
        y = net(x).argmax(1)
    oracle = Oracle(marked, answers_of(name))
    monkeypatch.setattr(contract, "CHUNK", 4)
    options = {"eps": 0.02} if name.startswith("square") else {"queries": 1}
    QUERY[name](oracle, x, y, **options, generator=seeded())
    asked[0] -= 1  # the contract's look at the first image, which is no query
    assert torch.equal(oracle.queries, asked) and asked.min() >= 1


@pytest.mark.parametrize("batch_size", [None, 4])
def test_evaluate_reports_the_oracles_count(batch_size):
    net = Net().eval()
    x, y = right(11, net)
    oracle = Oracle(net, budget=9)
    attack = functools.partial(QUERY["square"], generator=seeded())
    report = metrics.evaluate(oracle, x, y, attack, batch_size=batch_size)
    assert report.queries == oracle.queries.double().mean() > 1 and len(oracle.queries) == 11
    assert report.success_rate > 0 and bool((oracle.queries < 9).any())
    assert report.acc1 == pytest.approx(1 - report.success_rate, abs=1e-6)
    assert metrics.evaluate(oracle, x, y).queries == 0, "judging costs nothing"
    labels = Oracle(net, "labels")
    report = metrics.evaluate(labels, x, y, QUERY["hop_skip_jump"])
    assert report.queries == labels.queries.double().mean() and report.acc1 < 1


def test_trace():
    x, oracle = batch()[0], Oracle(Net(), "labels")
    trace = Trace(oracle, x)
    for step, (rows, change) in enumerate((([0, 1], 0.0), ([0], 0.5), ([0, 2, 3, 4], 0.25))):
        oracle(x[: len(rows)], torch.tensor(rows))
        moved = x.clone()
        moved[0] += change
        trace(step, moved)
    size, inf = 6**0.5, torch.inf
    assert trace.after(1).tolist() == [inf] * 5
    assert trace.after(2).tolist() == pytest.approx([0.5 * size] + [inf] * 4)
    assert trace.after([2, 3])[:, 0].tolist() == pytest.approx([0.5 * size, 0.25 * size])
    assert trace.after([1, 2, 3]).shape == (3, 5)
    with pytest.raises(ValueError, match="norm: 'l1' is not one of l2, linf"):
        Trace(oracle, x, "l1")
