"""Every number of a report, against a count by hand."""

import contextlib
import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from advcourse import attacks, metrics, models

N = 23


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def case(classes=7, seed=0):
    """Return images that are their own logits under `nn.Flatten()`, labels, and a way to move."""
    x, moved = drawn(N, 1, 1, classes, seed=seed), drawn(N, 1, 1, classes, seed=seed + 1)
    moved[drawn(N, 1, 1, classes, seed=seed + 2) > 0.3] = 0  # so that l0 varies
    y = torch.where(drawn(N, seed=seed) > -0.3, x.flatten(1).argmax(1), torch.arange(N) % classes)
    return x, y, (y + 1 + torch.arange(N) % (classes - 1)) % classes, 2 * moved


def by_hand(x, y, target, moved):
    """Count what `evaluate` should report, one image at a time."""
    rows = []
    for before, label, aim, delta in zip(
        x.flatten(1).numpy(), y.tolist(), target.tolist(), moved.flatten(1).numpy(), strict=True
    ):
        after = before + delta
        order, e = np.argsort(-after), np.exp(after - after.max())
        right, wrong = np.argmax(before) == label, order[0] != label
        missed, hit = np.argmax(before) != aim, order[0] == aim
        shares = (not wrong, label in order[:5], (e / e.sum()).max())
        sizes = ((delta != 0).sum(), abs(delta).sum(), (delta**2).sum() ** 0.5, abs(delta).max())
        rows.append([*shares, *sizes, right, right and wrong, missed, missed and hit])
    rows = np.array(rows, dtype=float)
    means, middles = rows.mean(0), np.sort(rows, axis=0)[len(rows) // 2]
    counts = dict(zip(("acc1", "acc5", "confidence"), means[:3], strict=True))
    counts |= dict(zip(("l0", "l1", "l2", "linf"), middles[3:7], strict=True))
    return counts, means[8] / means[7], means[10] / means[9]


@settings(deadline=None, derandomize=True, max_examples=40)
@given(rows=st.lists(st.lists(st.sampled_from([0.0, -0.5, 1.0, 3.0]), min_size=4, max_size=4)))
def test_norms(rows):
    delta = torch.tensor(rows, dtype=torch.float64).view(len(rows), 2, 2)
    found = metrics.norms(delta)
    assert list(found) == ["l0", "l1", "l2", "linf"]
    for i, row in enumerate(rows):
        expected = {
            "l0": sum(v != 0 for v in row),
            "l1": sum(map(abs, row)),
            "l2": math.sqrt(sum(v * v for v in row)),
            "linf": max(map(abs, row)),
        }
        assert {k: v[i].item() for k, v in found.items()} == pytest.approx(expected)
    assert all(v.shape == (len(rows),) for v in found.values())


def test_norms_of_no_pixels_and_bad_input():
    assert all(v.tolist() == [0, 0] for v in metrics.norms(torch.zeros(2, 0)).values())
    for wrong in (torch.zeros(3), 0.1, np.zeros((2, 2))):
        with pytest.raises(ValueError, match=r"^delta: pass a tensor"):
            metrics.norms(wrong)


@pytest.mark.parametrize("batch_size", [1, 4, N, 100, None])
@pytest.mark.parametrize("aimed", [False, True])
@pytest.mark.parametrize("seed", [0, 5])
def test_report_by_hand(batch_size, aimed, seed):
    x, y, target, moved = case(seed=seed)
    counts, untargeted, targeted = by_hand(x, y, target, moved)
    table = dict(zip(map(str, x.tolist()), zip(x + moved, y, target, strict=True), strict=True))

    def attack(model, part, labels, **goal):
        rows = [table[str(one.tolist())] for one in part]
        assert labels.tolist() == [row[1] for row in rows]
        assert [g.tolist() for g in goal.values()] == [[row[2] for row in rows]] * aimed
        return torch.stack([row[0] for row in rows])

    goal = {"target": target} if aimed else {}
    report = metrics.evaluate(nn.Flatten(), x, y, attack, batch_size=batch_size, **goal)
    assert report.n == N and report.queries == 0 and 0 <= report.seconds < 5
    assert {k: getattr(report, k) for k in counts} == pytest.approx(counts, abs=1e-6)
    assert report.success_rate == pytest.approx(targeted if aimed else untargeted, abs=1e-6)
    assert 0 < untargeted < 1 and 0 < targeted < 1 and 0 < report.acc1 < report.acc5 < 1


def test_no_attack():
    x, y, target, _ = case()
    report, (counts, *_) = metrics.evaluate(nn.Flatten(), x, y), by_hand(x, y, target, 0 * x)
    assert {k: getattr(report, k) for k in counts} == pytest.approx(counts, abs=1e-6)
    assert report.success_rate == report.queries == report.l2 == 0 < report.acc1


def test_nothing_to_win():
    x = case()[0]
    wrong = x.flatten(1).argmin(1)
    assert metrics.evaluate(nn.Flatten(), x, wrong, lambda m, x, y: x + 1).success_rate == 0


def test_fewer_than_five_classes():
    x, y, *_ = case(classes=3)
    report = metrics.evaluate(nn.Flatten(), x, y)
    assert report.acc5 == 1 > report.acc1


QUERIES = {
    "fgsm": (functools.partial(attacks.fgsm, eps=0.1), 1),
    "uniform_noise": (functools.partial(attacks.uniform_noise, eps=0.1), 0),
    "negative": (attacks.negative, 0),
    "gradient_ascent": (functools.partial(attacks.gradient_ascent, steps=5), 6),
}


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("fails", [False, True])
def test_queries_and_an_untouched_model(name, fails):
    attack, queries = QUERIES[name]
    model = models.build("mlp").train()
    model[0].eval()
    x, y = torch.rand(N, 1, 28, 28), torch.arange(N) % 10

    def attempt(*args):
        attack(*args)
        raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order") if fails else contextlib.nullcontext():
        report = metrics.evaluate(model, x, y, attempt if fails else attack, batch_size=7)
        assert report.queries == queries
    assert not model._forward_hooks
    assert [m.training for m in model.children()] == [False, True, True, True, True]
    if not fails:  # dropout is off while it measures
        calm = metrics.evaluate(model.eval(), x, y)
        assert metrics.evaluate(model.train(), x, y).confidence == calm.confidence


def test_a_function_as_model():
    x, y, *_ = case()
    module, function = (metrics.evaluate(m, x, y) for m in (nn.Flatten(), lambda x: x.flatten(1)))
    assert module.acc1 == function.acc1


def test_bad_input():
    x, y, target, _ = case()
    for wrong in ((x[:0], y[:0]), (x, y[1:]), (x[1:], y)):
        n, m = map(len, wrong)
        with pytest.raises(ValueError, match=f"^x, y: {n} images and {m} labels"):
            metrics.evaluate(nn.Flatten(), *wrong)
    for wrong in (target[1:], torch.cat([target, target])):
        with pytest.raises(ValueError, match=f"^target: {len(wrong)} classes for {N} images"):
            metrics.evaluate(nn.Flatten(), x, y, target=wrong, batch_size=N)
    with pytest.raises(ValueError, match=r"^model: returned \(23,\) for 23 inputs"):
        metrics.evaluate(lambda x: x.flatten(1)[:, 0], x, y)


def test_as_a_table():
    report = metrics.Report(1200, 0.5, *[0.25] * 9)
    header, rule, cells = report._repr_markdown_().splitlines()
    assert header.count("|") == rule.count("|") == cells.count("|") == len(report.as_dict()) + 1
    assert cells.startswith("| 1,200 | 0.5 | 0.25 |") and "success_rate" in header
