"""The engine behind the checks: reference, cases, mistakes; stubs, crashes and random draws."""

import pytest
import torch

from advcourse.checks import core
from advcourse.checks.core import Mistake, agree, draws, exercise

X = torch.tensor([[1.0, 2.0], [3.0, -4.0]])
CASES = {"": (X,), "a batch of one": (X[:1],), "float64": (X.double(),)}


@pytest.fixture(autouse=True)
def lenient(monkeypatch):
    monkeypatch.delenv("ADVCOURSE_STRICT", raising=False)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


def lengths(x):
    return x.norm(dim=1)


def told(answer, **more):
    with pytest.raises(Mistake) as caught:
        agree(answer, lengths, CASES, **more)
    return str(caught.value)


def test_right_answers_of_any_make():
    agree(lengths, lengths, CASES)
    agree(lambda x: torch.stack([row.square().sum().sqrt() for row in x]), lengths, CASES)


def test_a_mistake_is_named():
    sizes = {"these are l1 lengths": lambda x: x.abs().sum(1)}
    assert told(lambda x: x.abs().sum(1), mistakes=sizes) == "these are l1 lengths"
    assert told(lambda x: x.norm(dim=1) + 1, mistakes=sizes).startswith("not the expected values")
    assert "expected lengths" in told(lambda x: x.norm(dim=1) + 1, expected="expected lengths")


def test_a_second_try_is_named():
    def only_two(x):
        return x.norm(dim=1) if len(x) == 2 else 2 * x.norm(dim=1)

    def coarse(x):
        return x.float().norm(dim=1) if x.dtype == torch.float32 else x.norm(dim=1).round()

    assert told(only_two).startswith("right at first, but not with a batch of one")
    assert told(coarse).startswith("right at first, but not with float64")
    assert "with a batch of one" in told(lambda x: x.norm(dim=1).squeeze())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: None, "it returns None"),
        (lambda x: x.norm(dim=1).tolist(), "return a torch tensor"),
        (lambda x: x.norm(), "has shape ()"),
        (lambda x: x.norm(dim=1) * torch.nan, "contains NaN"),
        (lambda x: x.mul_(1).norm(dim=1).add_(x.zero_().sum()), "in place"),
        (lambda x: x.nothing, "it raised AttributeError"),
    ],
)
def test_what_is_no_result(answer, message):
    assert message in told(lambda x: answer(x.clone() if message != "in place" else x))


def test_numbers_lists_and_tuples():
    agree(lambda x: x.sum(), lambda x: float(x.sum()), {"": (X,)})
    agree(lambda x: [1.0, 2], lambda x: [1.0, 2.0], {"": (X,)})
    agree(lambda x: (x, 3), lambda x: (x, 3), {"": (X,)})
    for answer, message in (
        (lambda x: "1.0", "return one number"),
        (lambda x: float("nan"), "not the expected values"),
        (lambda x: None, "returns None"),
    ):
        with pytest.raises(Mistake, match=message):
            agree(answer, lambda x: 1.0, {"": (X,)})
    with pytest.raises(Mistake, match="list of 2"):
        agree(lambda x: {1: 2}, lambda x: [1.0, 2.0], {"": (X,)})
    with pytest.raises(Mistake, match="return 2 values, not 1"):
        agree(lambda x: x, lambda x: (x, 3), {"": (X,)})


def test_messages_have_few_digits():
    assert core.brief(torch.tensor([1 / 3, 2 / 3])) == "[0.3333, 0.6667]"
    assert core.brief(torch.rand(3, 4)).startswith("a tensor (3, 4) beginning [")
    assert core.brief(0.30000001192) == "0.3" and core.brief(torch.tensor(7)) == "7"


def earlier(x):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "state", "message"),
    [
        (earlier, "open", "Replace the TODO"),
        (lambda x: earlier(x), "wrong", "it calls earlier, which is not written yet"),
        (lambda x: x.long().softmax(1), "wrong", "it raised NotImplementedError: "),
    ],
    ids=["the stub", "an earlier exercise", "torch"],
)
def test_not_attempted_is_only_the_stub(answer, state, message):
    @exercise("Good.")
    def size(given):
        """Check."""
        agree(given, lengths, CASES)

    verdict = size(answer)
    assert verdict.state == state and message in verdict.text


def test_a_crash_of_the_judge_is_a_sentence():
    @exercise("Good.")
    def first(answer):
        """Check."""
        return answer(X)[10_000]

    verdict = first(lambda x: x)
    assert verdict.state == "wrong" and "\n" not in repr(verdict)
    assert "the check could not work with what it got back (IndexError" in verdict.text


def seeded(source):
    return (3, source)


def test_draws():
    def right(n, generator):
        return torch.randn(n, generator=generator)

    assert draws(right, seeded).shape == (3,)
    for answer, message in (
        (lambda n, generator: torch.randn(n), "global random state"),
        (lambda n, generator: right(n, core.generator(generator.initial_seed())), "same twice"),
        (
            lambda n, generator: right(n, torch.Generator().manual_seed(generator.seed() % 97)),
            "seed",
        ),
    ):
        with pytest.raises(Mistake, match=message):
            draws(answer, seeded)
