"""Every check accepts a right answer, and names the mistake of every typical wrong one."""

import inspect

import pytest
import torch

from advcourse import checks
from tests.right_answers import RIGHT
from tests.wrong_answers import WRONG


@pytest.fixture(autouse=True)
def lenient(monkeypatch):
    monkeypatch.delenv("ADVCOURSE_STRICT", raising=False)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


@pytest.mark.parametrize("name", RIGHT)
def test_right_answer(name):
    verdict = getattr(checks, name)(RIGHT[name])
    assert verdict, verdict
    assert repr(verdict).startswith(f"✓ {name}: right")
    assert checks.ready(name)


@pytest.mark.parametrize(
    ("name", "message", "answer"), WRONG, ids=[f"{n}-{a.__name__}" for n, _, a in WRONG]
)
def test_wrong_answer_is_named(name, message, answer, capsys):
    verdict = getattr(checks, name)(answer)
    assert not verdict
    assert "\n" not in repr(verdict)
    assert repr(verdict).startswith(f"✗ {name}: not correct yet")
    assert message in repr(verdict)
    assert not checks.ready(name)
    assert name in capsys.readouterr().out


@pytest.mark.parametrize("name", RIGHT)
def test_every_check_has_wrong_answers_with_messages_of_their_own(name):
    messages = [message for check, message, _ in WRONG if check == name]
    assert len(messages) >= 2
    assert len(set(messages)) == len(messages)


def test_every_exercise_is_covered():
    judged = {
        name
        for lab in checks.LABS.values()
        for name, value in vars(lab).items()
        if not name.startswith("_")  # a cached helper is wrapped, too
        and getattr(value, "__wrapped__", None)
        and inspect.getmodule(value.__wrapped__) is lab
    }
    assert judged == set(RIGHT) and judged <= set(checks.__all__)


def untouched(*args):
    raise NotImplementedError


def test_untouched_exercise(monkeypatch):
    verdict = checks.fgsm(untouched)
    assert not verdict and "not attempted yet" in repr(verdict)
    monkeypatch.setenv("ADVCOURSE_STRICT", "1")
    assert "not attempted yet" in repr(checks.fgsm(untouched))
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(NotImplementedError):
        checks.fgsm(untouched)


@pytest.mark.parametrize("variable", ["ADVCOURSE_STRICT", "NBGRADER_EXECUTION"])
def test_wrong_answer_raises_for_graders(monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(AssertionError, match="nothing moved"):
        checks.fgsm(lambda model, x, y, eps: x)


def test_result_instead_of_function():
    assert "pass the function itself" in repr(checks.fgsm(torch.zeros(2)))
