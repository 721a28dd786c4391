"""The three accuracies are what they say, on a model whose answers are known."""

import pytest
import torch
from torch import nn

from advcourse.defenses import judge


def model():
    """Class 1 where the first feature is above one half."""
    return lambda x: torch.stack([0.5 - x[:, 0], x[:, 0] - 0.5], 1)


def column(*values):
    return torch.tensor(values)[:, None]


X, Y = column(0.9, 0.8, 0.7, 0.4), torch.tensor([1, 1, 1, 1])


def test_by_hand():
    unaware = column(0.9, 0.8, 0.3, 0.4)
    one, two = column(0.1, 0.8, 0.7, 0.9), column(0.9, 0.9, 0.9, 0.9)
    assert judge(model(), X, Y, unaware) == (0.75, 0.5, 0.5)
    # The third falls to the unaware attack only, the first to one of the adaptive ones.
    assert judge(model(), X, Y, unaware, one, two) == (0.75, 0.5, 0.25)


def test_the_adaptive_attacker_is_never_weaker():
    source = torch.Generator().manual_seed(0)
    for _ in range(20):
        batches = torch.rand(3, 4, 1, generator=source)
        _, left, known = judge(model(), X, Y, *batches)
        assert known <= left


def test_a_module_is_judged_in_eval_mode_and_left_in_its_own():
    net = nn.Sequential(nn.Linear(1, 2), nn.Dropout(0.9)).train()
    first = judge(net, X, Y, X)
    assert all(judge(net, X, Y, X) == first for _ in range(5)) and net.training


def test_refuses():
    for args, name in (
        ((X, Y[:3], X), "y"),
        ((X, Y, X[:2]), "unaware"),
        ((X, Y, X, X[:1]), "adaptive"),
    ):
        with pytest.raises(ValueError, match=rf"{name}: \d for 4 images"):
            judge(model(), *args)
    with pytest.raises(ValueError, match=r"y: 0 for 0 images"):
        judge(model(), X[:0], Y[:0], X[:0])
