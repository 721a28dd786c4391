"""Panels of lecture 17: masks leave the boundary alone, stairs open where nobody attacks."""

import pytest
import torch
from torch import nn

from advcourse import attacks, panels


@pytest.fixture(scope="module")
def line():
    """A linear net on the plane: class 1 where x0 > 1/2."""
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[-6.0, 0.0], [6.0, 0.0]]))
        net.bias.copy_(torch.tensor([3.0, -3.0]))
    return net


def points():
    x = torch.rand(60, 2, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0.5).long()


def panel(net, eps=0.1):
    def climb(model, x, y):
        return attacks.pgd(model, x, y, eps=eps, steps=10, random_start=False)

    return panels.mask_panel(net, *points(), slice(0, 10), climb, eps, size=20)


def test_without_strength_every_mask_is_the_model(line):
    x, _ = points()
    for mask in ("saturated", "shattered", "stairs"):
        assert torch.equal(panels.Masked(line, mask, 0)(x), line(x))


def test_saturation_changes_no_decision_and_stairs_have_no_slope(line):
    x, y = points()
    assert torch.equal(panels.Masked(line, "saturated", 6)(x).argmax(1), line(x).argmax(1))
    x.requires_grad_()
    loss = nn.functional.cross_entropy(panels.Masked(line, "stairs", 4)(x), y)
    assert torch.autograd.grad(loss, x)[0].abs().max() == 0


def test_search_finds_what_lies_within_reach(line):
    x, _ = points()
    near = panel(line).run("saturated", 0)[3]
    assert torch.equal(near, (x[:, 0] - 0.5).abs() < 0.1)
    broken = panel(line).run("stairs", 3)[2]
    assert broken.sum() < near.sum()


def test_unknown_mask_is_named(line):
    with pytest.raises(ValueError, match=r"mask: 'fog' .*saturated"):
        panels.Masked(line, "fog", 1)


def test_stairs_open_before_any_attack_and_then_go_down():
    clean, after = torch.arange(50) < 49, torch.arange(50) < 40
    made = panels.stairs_panel(clean, [("one", after)], "ours")
    assert "Nothing has been tried" in made.draw(tried=0)[1]
    assert "98.0 %" in made.draw(tried=0)[1]
    caption = made.draw(tried=8)[1]  # more than we have: ours stays at its last
    assert "88.00%" in caption and "80.0 %" in caption
