"""Transfer matrices, against counts made by hand."""

import pytest
import torch
from torch import nn

from advcourse.attacks import fgsm
from advcourse.transfer import right, transfer
from tests.unit.attack_cases import Net, batch


def answering(*labels):
    """Return a model that answers the pixel's sign: labels[0] below .5, labels[1] above."""
    return lambda x: nn.functional.one_hot(
        torch.where(x[:, 0] > 0.5, labels[1], labels[0]), 3
    ).float()


def test_shares_are_of_what_the_target_read_before():
    x = torch.tensor([[0.1], [0.2], [0.8], [0.9]])
    y = torch.tensor([0, 0, 1, 1])
    targets = {"good": answering(0, 1), "half": answering(0, 2), "none": answering(2, 2)}
    flip = lambda model, x, y: 1 - x  # noqa: E731
    only_low = lambda model, x, y: x.clamp(min=0.7)  # noqa: E731
    found = transfer({"good": answering(0, 1)}, targets, x, y, flip)
    assert found.read.sum(1).tolist() == [4, 2, 0]
    assert found.shares[0, :2].tolist() == [1.0, 1.0] and found.shares[0, 2].isnan()
    assert found.counts("good", "half") == (2, 2)
    half = transfer({"s": answering(0, 1)}, targets, x, y, only_low)
    assert half.shares[0, :2].tolist() == [0.5, 1.0]
    assert half.fooled.shape == (1, 3, 4) and half.sources == ["s"]


def test_the_attack_runs_once_for_each_source_and_the_diagonal_is_the_white_box():
    (x, y, _), calls = batch(60), []
    nets = {"a": Net().eval(), "b": Net().eval()}

    def attack(model, x, y):
        calls.append(model)
        return fgsm(model, x, y, eps=0.3)

    found = transfer(nets, nets, x, y, attack)
    assert calls == list(nets.values())
    net = nets["a"]
    before = net(x).argmax(1) == y
    wrong = net(fgsm(net, x, y, eps=0.3)).argmax(1) != y
    assert found.shares[0, 0] == (wrong & before).sum() / before.sum()


def test_modes_are_kept():
    net, (x, y, _) = Net().train(), batch(20)
    right(net, x, y)
    assert all(m.training for m in net.modules())


@pytest.mark.parametrize(
    "sources, n, word",
    [({}, 4, "sources"), ({"a": None}, 3, "4 images and 3"), ({"a": None}, 0, "")],
)
def test_bad_input_is_named(sources, n, word):
    x, y = torch.rand(4 if n else 0, 1), torch.zeros(n, dtype=torch.int64)
    with pytest.raises(ValueError, match=word or "not 0"):
        transfer(sources, {"a": answering(0, 1)}, x, y, lambda model, x, y: x)
