"""The honest evaluation: exact on linear models, and no mask gets past it."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from tqdm.auto import tqdm

from advcourse import attacks, data, defended, evaluation, models
from advcourse.defenses import BinaryThreshold
from advcourse.defenses.detection import Refusing
from advcourse.evaluation.attempts import Ledger
from advcourse.evaluation.masks import compare, gradient, rising
from advcourse.evaluation.victim import Victim

IMAGES = data.load("digits", quiet=True)
X, Y = IMAGES.sample(40, seed=0)
QUICK = {"steps": 10, "queries": 20, "progress": False}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def judged(model, x=X, y=Y, eps=0.1, **more):
    return evaluation.evaluate(model, x, y, eps, **QUICK | {"generator": seeded()} | more)


def named(verdict):
    return {test.name: test for test in verdict.tests}


def linear(w, classes=3):
    """Scores w x, -w x, and one that never wins; and images of every margin."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(len(w), classes)).double()
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].weight[0], model[1].weight[1] = w, -w
        model[1].bias.fill_(-50)
        model[1].bias[0], model[1].bias[1] = -w.sum() / 2, w.sum() / 2
    return model


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.03), ("l2", 0.11)])
def test_the_share_of_a_linear_model_is_exact(norm, eps):
    """An image holds exactly where its distance, in the dual norm, is more than eps."""
    w = torch.randn(20, generator=seeded(), dtype=torch.float64)
    x = 0.25 + 0.5 * torch.rand(80, 20, generator=seeded(1), dtype=torch.float64)
    model = linear(w)
    y = model(x).argmax(1).detach()
    far = ((x - 0.5) @ w).abs() / (w.abs().sum() if norm == "linf" else w.norm())
    verdict = judged(model, x, y, eps, norm=norm, steps=25)
    sure = (far - eps).abs() > 0.001
    assert torch.equal(verdict.holds[sure], (far > eps)[sure]) and 5 < verdict.holds.sum() < 75
    assert verdict.believable, verdict.words


def test_the_ledger_adds_up():
    model = models.load("lenet5", IMAGES)
    state, mode = torch.get_rng_state(), model.train().training
    verdict, again = judged(model, steps=5), judged(model, steps=5)
    assert model.training == mode and torch.equal(torch.get_rng_state(), state)
    model.eval()
    answers = model(verdict.x_adv).argmax(1)
    assert torch.equal(verdict.holds, answers == Y) and torch.equal(verdict.x_adv, again.x_adv)
    assert (verdict.x_adv - X).abs().max() <= 0.1 + 1e-6
    assert torch.equal(verdict.clean, model(X).argmax(1) == Y)
    left = [verdict.clean, *(a.left for a in verdict.attempts)]
    assert all(not (b & ~a).any() for a, b in pairwise(left))
    assert torch.equal(left[-1], verdict.holds) and 0 < verdict.holds.sum() < len(X)
    text = verdict._repr_markdown_()
    assert verdict.words in text and all(a.name in text for a in verdict.attempts)
    assert all(test.sentence in text for test in verdict.tests)


def test_who_is_fooled_leaves():
    """The first attack turns every second image; the second is given the others, the third all."""
    bare, given = models.load("lenet5", IMAGES), []
    with tqdm(disable=True) as bar:
        ledger = Ledger(Victim(bare, X), X, Y, bar)
        stands = int(ledger.stands.sum())

        def every_second(x, y):
            given.append(len(x))
            found = x.clone()
            found[::2] = 1 - x[::2]  # a negative, which this network misreads
            return found

        masks = [ledger.run(str(k), every_second, everyone=k == 2) for k in range(3)]
    assert given == [stands, int(masks[0].sum()), stands]
    assert torch.equal(ledger.left, masks[1] & masks[2]) and torch.equal(masks[0], masks[2])
    assert masks[1].sum() < masks[0].sum() < stands


def test_an_honest_net_is_believable():
    verdict = judged(
        models.load("cnn", IMAGES, "pgd"), eps=0.2, others=(models.load("lenet5", IMAGES),)
    )
    assert verdict.words == "believable" and verdict.holds.sum() > 20
    assert {"transfer", "unbounded", "black box", "first step"} <= set(named(verdict))


def test_distillation_has_no_gradient_and_yet_falls():
    verdict = judged(models.load("lenet5", IMAGES, "distilled"))
    assert not verdict.believable and not named(verdict)["gradient"].passed
    assert "gradient" in verdict.words and verdict.holds.sum() < 25


def test_a_step_that_hides_the_gradient_and_its_view():
    bare = models.load("lenet5", IMAGES)
    hidden = nn.Sequential(BinaryThreshold(0.5), bare)
    view = nn.Sequential(attacks.BPDA(BinaryThreshold(0.5)), bare)
    alone, both = judged(hidden, eps=0.3), judged(hidden, eps=0.3, views=(view,))
    assert "gradient" in alone.words and named(both)["gradient"].passed
    assert both.holds.sum() < alone.holds.sum()


def test_the_worst_case_is_not_that_of_one_step():
    verdict = judged(models.load("cnn", IMAGES, "fgsm"), eps=0.2)
    one = named(verdict)["more epsilon"].numbers["one step"][-1]
    assert verdict.holds.float().mean() < one - 0.3


class Astray(nn.Module):
    """The model's own scores, and a gradient that has nothing to do with them."""

    def __init__(self, model):
        super().__init__()
        self.model, self.way = model, torch.randn(784, 10, generator=seeded())

    def forward(self, x):
        return self.model(x).detach() + (x - x.detach()).flatten(1) @ self.way


def test_a_gradient_that_lies_is_exposed_by_those_who_do_not_use_it():
    bare = models.load("lenet5", IMAGES)
    verdict = judged(Astray(bare), eps=0.15, queries=60, others=(bare,))
    tests = named(verdict)
    assert tests["gradient"].passed  # it is there, and not zero
    for name in ("black box", "transfer", "first step"):
        assert not tests[name].passed, name
    assert verdict.holds.sum() < 15  # the worst case has the true one, by transfer


def test_a_refusal_holds_and_is_not_clean():
    class Wary(nn.Module):
        threshold = 0.0

        def score(self, x):
            return 1 + x.flatten(1).mean(1)

    verdict = judged(Refusing(models.load("lenet5", IMAGES), Wary()), X[:8], Y[:8])
    assert verdict.holds.all() and not verdict.clean.any()


def test_a_random_model_is_judged_by_most_of_its_answers():
    bare, source = models.load("lenet5", IMAGES), seeded()

    class Coin(nn.Module):
        """Wrong in one answer of ten."""

        def forward(self, x):
            z = bare(x)
            turn = torch.rand(len(x), 1, generator=source) < 0.1
            return torch.where(turn, z.roll(1, 1), z)

    verdict = judged(Coin(), eps=0.0)
    assert verdict.draws == 5 and "most of 5 answers" in verdict._repr_markdown_()
    assert verdict.holds.sum() >= 0.6 * len(X)  # one answer for each attack would leave far fewer
    assert "averaging" in named(verdict)


def test_nan_is_an_error_and_no_robust_model():
    bare = models.load("lenet5", IMAGES)
    with pytest.raises(ValueError, match=r"^model: NaN among the scores of 40 of 40 images"):
        judged(lambda x: bare(x) * float("nan"))
    with pytest.raises(ValueError, match=r"^model: NaN"):  # away from the clean images alone
        judged(lambda x: bare(x) + (X[0].sum() + 0 * x.sum()).sqrt() * 0 + hole(x))


def hole(x):
    return torch.where((x > 0) & (x < 0.01), float("nan"), 0.0).sum((1, 2, 3))[:, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": -0.1}, "eps: -0.1 is no size"),
        ({"norm": "l1"}, "norm: 'l1' is not one of linf, l2"),
        ({"steps": 0}, "steps: 0 is no count"),
        ({"restarts": 1.5}, "restarts: 1.5 is no count"),
        ({"queries": 0}, "queries: 0 is no count"),
        ({"x": X[:0], "y": Y[:0]}, "x: no images"),
        ({"x": X + 1}, "x: values from"),
        ({"y": Y[:3]}, r"y: shape \(3,\)"),
        ({"y": Y + 5}, "y: labels from"),
        ({"views": nn.Flatten()}, "views: pass a tuple of models"),
        ({"others": (3,)}, "others: pass a tuple of models"),
        ({"generator": 3}, "generator: got 3"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        judged(models.load("lenet5", IMAGES), **change)


def test_the_views_of_the_catalog_are_taken():
    one = defended.load("binary threshold .5", IMAGES)
    verdict = evaluation.of(one, X[:6], Y[:6], 0.2, generator=seeded(), **QUICK)
    assert any("view" in a.name for a in verdict.attempts)
    assert any("another model" in a.name for a in verdict.attempts)


def test_chance_alone_is_no_mask():
    """Four images that fall to the weaker attack alone may be chance; of five it is not said."""
    stronger = torch.ones(100, dtype=torch.bool)
    for k, passed in ((4, True), (5, False)):
        weaker = stronger.clone()
        weaker[:k] = False
        assert compare("black box", weaker, stronger).passed == passed
        assert compare("black box", stronger, weaker).passed
    assert gradient([torch.zeros(100).bool()]).passed and not gradient([]).passed
    few, many = (torch.arange(100) < k for k in (6, 20))
    assert gradient([few]).passed and not gradient([many]).passed
    assert gradient([many, ~many]).passed  # where one stand-in is silent, the other speaks


def test_a_curve_must_not_turn():
    left, loss = torch.arange(50) < 20, torch.rand(50, generator=seeded())
    fewer = torch.arange(50) < 10
    up, down = [(left, loss), (fewer, loss + 1)], [(fewer, loss), (left, loss + 1)]
    sinking = [(left, loss), (fewer, loss - 0.1)]
    for curve, passed in ((up, True), (down, False), (sinking, False)):
        assert rising("more steps", ["2 steps", "10 steps"], {"PGD": curve}).passed == passed
