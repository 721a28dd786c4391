"""Every check accepts a right answer, and names the mistake of every typical wrong one."""

import inspect

import pytest
import torch
import torch.nn.functional as F

from advcourse import attacks, checks, metrics
from tests.wrong_answers import WRONG


def gradient(model, x, y):
    mode = model.training
    model.eval()
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(F.cross_entropy(model(x), y, reduction="sum"), x)
    model.train(mode)
    return g


def accuracy(model, x, y):
    mode = model.training
    model.eval()
    with torch.no_grad():
        share = (model(x).argmax(1) == y).float().mean().item()
    model.train(mode)
    return share


def noise_of_length(x, l2, generator):
    noise = torch.randn(x.shape, generator=generator)
    return noise * l2 / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


RIGHT = {
    "norms": metrics.norms,
    "project_linf": lambda x_adv, x, eps: x + attacks.project(x_adv - x, eps, "linf"),
    "project_l2": lambda x_adv, x, eps: x + attacks.project(x_adv - x, eps, "l2"),
    "project_l1": lambda delta, eps: attacks.project(delta, eps, "l1"),
    "pixel_epsilon": lambda eps, unit, std: (
        eps * {"pixel": 1, "255": 1 / 255, "normalized": std}[unit]
    ),
    "gaussian_noise": lambda x, std, generator: (
        x + std * torch.randn(x.shape, generator=generator)
    ).clamp(0, 1),
    "negative": lambda x: 1 - x,
    "accuracy": accuracy,
    "noise_of_length": noise_of_length,
    "accuracy_drop": lambda accuracy, model, x, changed, y: (
        accuracy(model, x, y) - accuracy(model, changed, y)
    ),
    "input_gradient": gradient,
    "fgsm": lambda model, x, y, eps: attacks.fgsm(model, x, y, eps=eps),
    "fgsm_targeted": lambda model, x, target, eps: attacks.fgsm(
        model, x, target, eps=eps, target=target
    ),
    "sweep": lambda attack, model, x, y, epsilons: [
        accuracy(model, attack(model, x, y, e), y) for e in epsilons
    ],
    "gradient_ascent": None,  # below: the attack returns its best iterate, the exercise its last
    "predicted_rise": lambda gradient, eps: eps * gradient.flatten(1).abs().sum(1),
}


def last_iterate(model, x, y, step_size, steps):
    path = []
    keep = {"on_step": lambda _, x_adv: path.append(x_adv)}
    attacks.gradient_ascent(model, x, y, step_size=step_size, steps=steps, **keep)
    return path[-1]


RIGHT["gradient_ascent"] = last_iterate


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
        if getattr(value, "__wrapped__", None) and inspect.getmodule(value.__wrapped__) is lab
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
