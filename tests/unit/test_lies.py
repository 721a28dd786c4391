"""Eight evaluations lie, each in its own way, and one does not (lab 17)."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn

from advcourse import lies
from advcourse.checks import lab17
from tests.right_answers.lab17 import TRUTH

LETTERS = list(lies.EVALUATIONS)
X = torch.rand(30, 1, 2, 3, generator=torch.Generator().manual_seed(1)) * 0.4 + 0.3
SLOPE = torch.tensor([1.0, -2.0, 0.5, 1.5, -0.5, 1.0])


class Plane(nn.Module):
    """Two classes, logits (-s, s) with s = slope x - bias; asked counts how often it was called."""

    def __init__(self, slope=SLOPE):
        super().__init__()
        self.slope, self.asked = nn.Parameter(slope.clone()), []

    def forward(self, x):
        self.asked.append((x.detach().clone(), self.training, torch.is_grad_enabled()))
        s = x.flatten(1) @ self.slope - 0.9
        return torch.stack([-s, s], 1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def score(x):
    return x.flatten(1) @ SLOPE - 0.9


def labels():
    return (score(X) > 0).long()


@pytest.mark.parametrize("eps", [0.0, 0.02, 0.05, 0.1])
def test_the_honest_one_gives_the_share_that_geometry_gives(eps):
    y = labels()
    y[:6] = 1 - y[:6]  # these are wrong already
    safe = score(X).abs() > eps * SLOPE.abs().sum()
    safe[:6] = False
    report = lies.evaluate_f(lies.plain(Plane()), X, y, eps, seeded())
    assert report == pytest.approx((24 / 30, safe.float().mean().item()))


@pytest.mark.parametrize("letter", LETTERS)
def test_the_truth_is_what_the_experiments_leave_over(letter):
    left = [m for m in lies.MISTAKES if lab17.cannot(letter, m) is None]
    assert left == [TRUTH[letter]]


def test_every_mistake_is_made_once():
    assert sorted(TRUTH.values()) == sorted(lies.MISTAKES)
    assert sorted(TRUTH) == LETTERS


def test_a_reason_never_names_the_truth():
    for letter, mistake in itertools.product(LETTERS, lies.MISTAKES):
        if mistake != TRUTH[letter]:
            said = lab17.cannot(letter, mistake)
            assert lies.MISTAKES[TRUTH[letter]] not in said and "\n" not in said


@pytest.mark.parametrize("letter", LETTERS)
def test_shares_same_seed_modes_and_global_state(letter):
    model, bare = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(6, 3)), Plane()
    bare.train()
    model.eval()
    d = dataclasses.replace(lies.plain(model), bare=nn.Sequential(nn.Flatten(), nn.Linear(6, 3)))
    state, y = torch.get_rng_state(), labels()
    kept = X.clone()
    one, two = (lies.EVALUATIONS[letter](d, X, y, 0.1, seeded(3)) for _ in range(2))
    assert one == two and all(0 <= v <= 1 for v in one)
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(X, kept)
    assert not model.training and not model[1].training and d.bare.training
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("letter", [x for x in LETTERS if x not in "BCDGH"])
def test_the_rest_do_not_differ_on_a_plain_model_that_is_right(letter):
    """Their mistakes are about wrong images, random models and refusals; here there are none."""
    wanted = lies.evaluate_f(lies.plain(Plane()), X, labels(), 0.05, seeded())
    assert lies.EVALUATIONS[letter](lies.plain(Plane()), X, labels(), 0.05, seeded()) == wanted


def moved(letter, eps=0.1):
    model = Plane()
    lies.EVALUATIONS[letter](lies.plain(model), X, labels(), eps, seeded())
    return model.asked, [x - X for x, _, graph in model.asked if not graph and len(x) == len(X)]


def test_what_each_lie_does_to_the_images():
    assert max(d.abs().max() for d in moved("D")[1]) == pytest.approx(0.1 * lies.STD, abs=1e-4)
    assert min(d.min() for d in moved("C")[1]) > -1e-6
    assert max(d.abs().max() for d in moved("F")[1]) == pytest.approx(0.1, abs=1e-6)
    assert min(d.min() for d in moved("F")[1]) == pytest.approx(-0.1, abs=1e-6)
    assert sorted({len(x) for x, *_ in moved("H")[0]}) == [1, 15, 30]  # 1: classes
    assert all(training for x, training, _ in moved("B")[0] if len(x) > 1)
    assert not any(
        training for letter in LETTERS if letter != "B" for _, training, _ in moved(letter)[0]
    )


def test_g_takes_no_gradient_of_the_victim():
    victim, bare = Plane(), Plane(-SLOPE)
    report = lies.evaluate_g(lies.plain(victim, bare), X, labels(), 0.05, seeded())
    assert not any(graph for *_, graph in victim.asked) and any(graph for *_, graph in bare.asked)
    assert report.robust == 1  # the wrong model's gradient helps its victim


def test_refusals_and_luck():
    class Coin(nn.Module):
        def forward(self, x):
            flip = torch.rand(len(x)) < 0.5
            return torch.stack([flip, ~flip], 1) * 10.0 + 0 * x.flatten(1)[:, :1]

    y = labels()
    mute = lies.plain(lies.Hesitant(Plane(), 1e6), Plane())
    assert lies.evaluate_i(mute, X, y, 0.1, seeded()) == (1, 1)
    assert lies.evaluate_f(mute, X, y, 0.1, seeded()) == (0, 0)
    assert lies.evaluate_a(mute, X, y, 0.1, seeded()) == (0, 0)
    luck = [lies.EVALUATIONS[k](lies.plain(Coin()), X, y, 0.1, seeded()).robust for k in "EF"]
    assert luck[0] > 0.8 and luck[1] < 0.5


def test_the_refusal_is_the_last_class_and_has_a_slope():
    z = torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.8, 0.0]])
    hesitant = lies.Hesitant(nn.Identity(), 0.5)
    assert hesitant(z).argmax(1).tolist() == [0, 3]
    told = hesitant(z).requires_grad_()
    up = lies.height(told, torch.tensor([0, 0]), 3)
    assert up.tolist() == pytest.approx([2 * 1 - 2 - 2, 2 * 1.8 - 2 - 2.3])
    assert torch.autograd.grad(up.sum(), told)[0].abs().sum(1).min() > 0


@pytest.mark.parametrize("letter", LETTERS)
def test_code_can_be_read(letter):
    text = lies.code(letter)
    assert text.startswith(f"def evaluate_{letter.lower()}(") and '"""' not in text
    assert 7 <= len(text.splitlines()) <= 15


def test_bad_input():
    d, y = lies.plain(Plane()), labels()
    with pytest.raises(ValueError, match="letter: 'Z' is not one of A, B"):
        lies.code("Z")
    with pytest.raises(ValueError, match="d: got Plane; pass a Defended"):
        lies.evaluate_a(Plane(), X, y, 0.1)
    with pytest.raises(ValueError, match="eps: -0"):
        lies.evaluate_a(d, X, y, -0.1)
    with pytest.raises(ValueError, match="x: no images"):
        lies.evaluate_a(d, X[:0], y[:0], 0.1)
    with pytest.raises(ValueError, match="y: shape"):
        lies.evaluate_a(d, X, y[:3], 0.1)
    assert math.isfinite(lies.evaluate_a(d, X[:1], y[:1], 0.1).robust)
