"""The substitute attack: augmentation in closed form, queries counted, no gradient of the victim."""

import functools

import pytest
import torch
from torch import nn

from advcourse import attacks, toy, training
from advcourse.attacks import BudgetSpent, Oracle, jacobian_augment, train_substitute


def linear(weights):
    net = nn.Linear(len(weights[0]), len(weights))
    with torch.no_grad():
        net.weight.copy_(torch.tensor(weights))
        net.bias.zero_()
    return net


def test_the_augmentation_is_a_signed_step_on_the_named_score():
    net = linear([[1.0, -2.0, 0.0], [-3.0, 1.0, 1.0]]).train()
    x, y = torch.full((2, 3), 0.5), torch.tensor([0, 1])
    kept = x.clone()
    new = jacobian_augment(net, x, y, 0.2)
    assert torch.allclose(new, torch.tensor([[0.7, 0.3, 0.5], [0.3, 0.7, 0.7]]))
    back = jacobian_augment(net, x, y, -0.2)
    assert torch.allclose(new + back, 2 * x)
    assert jacobian_augment(net, x, y, 0.9).min() == 0 and torch.equal(x, kept)
    assert net.training and net.weight.grad is None and not new.requires_grad
    assert torch.allclose(jacobian_augment(net, x[1:], y[1:], 0.2), new[1:])


class Blind(torch.autograd.Function):
    """Passes its input on, and raises where anybody asks for the gradient."""

    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, gradient):
        raise AssertionError("the victim was asked for a gradient")


@functools.cache
def crescents():
    x, y = toy.points(400, seed=1)
    victim = toy.net(x, y, epochs=40)
    return x, victim, lambda x: victim(Blind.apply(x))


def build():
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))


OPTIONS = {"epochs": 15, "learning_rate": 0.03, "progress": False}


def test_it_copies_the_victim_with_the_promised_queries():
    x, victim, blind = crescents()
    oracle = Oracle(blind, answers="labels", budget=1)
    labels = victim(x).argmax(1)
    state, seen = torch.get_rng_state(), []
    model, history = train_substitute(
        oracle,
        x[:20],
        build,
        rounds=3,
        held_out=(x[100:], labels[100:]),
        on_round=lambda count, net: seen.append((count, training.accuracy(net, x, labels))),
        **OPTIONS,
    )
    assert [r.queries for r in history] == [20, 40, 80, 160]
    assert oracle.queries.tolist() == [1] * 160, "every image is one more row, asked about once"
    assert history[-1].agreement == training.accuracy(model, x[100:], labels[100:]) > 0.85
    assert [count for count, _ in seen] == [0, 1, 2, 3]
    assert not model.training and torch.equal(state, torch.get_rng_state())
    x_adv = attacks.fgsm(model, x, labels, eps=0.15)
    assert (victim(x_adv).argmax(1) != labels).float().mean() > 0.3, "its attacks carry over"


def test_same_seed_same_copy_and_scores_or_labels_are_one():
    x, victim, _ = crescents()
    made = [
        train_substitute(answers, x[:12], build, rounds=1, seed=seed, **OPTIONS)[0](x)
        for answers, seed in [
            (victim, 0),
            (lambda x: victim(x).argmax(1), 0),
            (Oracle(victim, answers="labels"), 0),
            (victim, 1),
        ]
    ]
    assert torch.equal(made[0], made[1]) and torch.equal(made[0], made[2])
    assert not torch.equal(made[0], made[3])


def test_the_sign_turns():
    x, victim, _ = crescents()
    asked = []

    def oracle(images):
        asked.append(images.clone())
        return victim(images).argmax(1)

    def copies(turn):
        asked.clear()
        train_substitute(oracle, x[:8], build, rounds=2, turn=turn, **OPTIONS)
        return [part.clone() for part in asked]

    ahead, turned = copies(None), copies(1)
    assert torch.equal(ahead[1], turned[1]) and len(ahead[2]) == len(turned[2]) == 16
    everyone = torch.cat(ahead[:2])
    inside = (ahead[2] > 0) & (ahead[2] < 1) & (turned[2] > 0) & (turned[2] < 1)
    assert torch.allclose((ahead[2] + turned[2])[inside], 2 * everyone[inside])


def test_a_budget_of_queries_is_kept():
    x, victim, _ = crescents()
    asked = Oracle(victim, answers="labels", budget=1)
    asked(x[:30])  # rows 0 to 29 are spent
    with pytest.raises(BudgetSpent):
        train_substitute(asked, x[:20], build, rounds=1, **OPTIONS)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"seeds": torch.rand(0, 2)}, "seeds: pass"),
        ({"seeds": torch.rand(3, 2) + 1}, "leave the bounds"),
        ({"build": build()(torch.rand(1, 2))}, "build: got Tensor"),
        ({"oracle": None}, "oracle: got NoneType"),
        ({"rounds": -1}, "rounds: -1"),
        ({"rounds": 1.5}, "rounds: 1.5"),
        ({"step": -0.1}, "step: -0.1"),
        ({"turn": 0}, "turn: 0"),
        ({"build": lambda: nn.Linear(2, 1)}, "1 classes"),
    ],
)
def test_bad_input_is_named(change, word):
    x, victim, _ = crescents()
    given = {"oracle": victim, "seeds": x[:12], "build": build, "rounds": 1, **OPTIONS, **change}
    with pytest.raises(ValueError, match=word):
        train_substitute(**given)
    with pytest.raises(ValueError, match="step: nan"):
        jacobian_augment(build(), x[:2], torch.zeros(2, dtype=torch.int64), float("nan"))
