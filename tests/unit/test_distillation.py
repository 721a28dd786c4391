"""Defensive distillation: the objectives by hand, and the saturation that they leave behind."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from advcourse import attacks, training
from advcourse.attacks.contract import goal_loss, input_gradient
from advcourse.defenses import distillation, hot, soft_labels


def linear(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(3, 4)


@pytest.fixture
def batch():
    source = torch.Generator().manual_seed(0)
    return torch.rand(9, 3, generator=source), torch.randint(4, (9,), generator=source)


def test_soft_labels_by_hand():
    teacher = nn.Identity()
    z = torch.tensor([[math.log(16.0), 0.0, 0.0]])
    assert torch.allclose(soft_labels(teacher, z, 1), torch.tensor([[16, 1, 1]]) / 18)
    assert torch.allclose(soft_labels(teacher, z, 2), torch.tensor([[4, 1, 1]]) / 6)
    assert torch.allclose(soft_labels(teacher, z, 1e6), torch.full((1, 3), 1 / 3))


def test_soft_labels_are_those_of_eval_mode_and_have_no_gradient(batch):
    teacher = nn.Sequential(linear(), nn.Dropout(0.5)).train()
    soft = soft_labels(teacher, batch[0], 2)
    assert not soft.requires_grad and all(m.training for m in teacher.modules())
    assert torch.allclose(soft, (teacher[0](batch[0]) / 2).softmax(1))


def test_objectives_by_hand(batch):
    x, y = batch
    student, teacher = linear(1), linear(2)
    assert torch.allclose(hot(5)(student, x, y), F.cross_entropy(student(x) / 5, y))
    soft = (teacher(x) / 5).softmax(1)
    expected = -(soft * (student(x) / 5).log_softmax(1)).sum(1).mean()
    assert torch.allclose(distillation(teacher, 5)(student, x, y, None, 0.5), expected)


def test_the_teacher_itself_is_the_best_student_and_learns_nothing(batch):
    x, y = batch
    teacher = linear()
    loss = distillation(teacher, 3)(teacher, x, y)
    for gradient in torch.autograd.grad(loss, list(teacher.parameters())):
        assert gradient.abs().max() < 1e-6
    worse = distillation(teacher, 3)(linear(1), x, y)
    assert worse > loss


@pytest.mark.parametrize("temperature", [0, -1, math.nan, math.inf, "20", True])
def test_refuses(temperature, batch):
    for make in (
        hot,
        lambda t: distillation(linear(), t),
        lambda t: soft_labels(linear(), batch[0], t),
    ):
        with pytest.raises(ValueError, match=r"temperature: .* pass a number > 0"):
            make(temperature)


def test_distillation_hides_the_gradient_and_rescaling_finds_it():
    source = torch.Generator().manual_seed(0)
    y = torch.arange(300) % 3
    x = (torch.eye(3)[y] * 0.7 + 0.3 * torch.rand(300, 3, generator=source)).clamp(0, 1)
    nets = {}
    for name, objective in (
        ("teacher", lambda: hot(100)),
        ("student", lambda: distillation(nets["teacher"], 100)),
        ("standard", lambda: None),
    ):
        nets[name] = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 3))
        with torch.random.fork_rng():
            torch.manual_seed(1)
            for layer in nets[name][::2]:
                layer.reset_parameters()
        training.fit(
            nets[name], x, y, epochs=80, learning_rate=0.05, batch_size=100, progress=False,
            objective=objective(),
        )  # fmt: skip
        assert training.accuracy(nets[name], x, y) > 0.98

    def flat(model):
        gradient, _ = input_gradient(model, x, goal_loss(y, None))
        return (gradient == 0).all(1).float().mean().item()

    student = nets["student"]
    assert flat(nets["standard"]) < 0.05 and flat(student) > 0.5
    assert flat(attacks.Rescaled(student)) < 0.05
    left = {
        name: training.accuracy(student, attacks.pgd(attacker, x, y, eps=0.6, steps=10), y)
        for name, attacker in (("loss", student), ("rescaled", attacks.Rescaled(student)))
    }
    assert left["rescaled"] < left["loss"] - 0.2
