"""The moving figures of the defenses say what an independent computation says."""

import re

import pytest
import torch
from torch import nn

from advcourse import panels


def split(at):
    """Return a 2-D classifier whose boundary is the vertical line x0 = at."""
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        model.bias.copy_(torch.tensor([0.0, -at]))
    return model


def test_boundary_panel_counts_and_runs_each_attack_once():
    x = torch.tensor([[0.1, 0.5], [0.42, 0.5], [0.58, 0.5], [0.9, 0.5]])
    y, calls = torch.tensor([0, 0, 1, 1]), []

    def push(model, x, y, eps):
        calls.append(eps)
        return (x + eps * (1 - 2 * y[:, None].float())).clamp(0, 1)  # towards the other side

    panel = panels.boundary_panel({"as usual": split(0.5), "at .3": split(0.45)}, x, y, push)
    for trained, eps, clean, left in (
        ("as usual", 0.0, 100, 100),
        ("as usual", 0.1, 100, 50),
        ("at .3", 0.1, 100, 75),  # .42 + .1 crosses .45, .58 - .1 does not
        ("as usual", 0.45, 100, 0),
    ):
        _, said = panel.draw(trained=trained, eps=eps)
        assert [float(v) for v in re.findall(r"([\d.]+)%", said)] == [clean, left]
        assert f"by {eps:.2f} in every" in said and said.startswith(f"Trained {trained}:")
    moved, broken = (a for a in panel.changing if hasattr(a, "get_xdata"))
    assert len(broken.get_xdata()) == 4 and len(moved.get_xdata()) == 12  # with a gap for each
    count = len(calls)
    panel.draw(trained="as usual", eps=0.1)
    assert len(calls) == count


def test_versus_panel_reads_between_the_points():
    curves = {
        "plain": {"unaware": [0.9, 0.5, 0.1], "adaptive": [0.9, 0.1, 0.0]},
        "proven": {"adaptive": [0.8, 0.7, 0.6], "certified": [0.8, 0.4, 0.2], "unaware": []},
    }
    panel = panels.versus_panel(curves, [0.0, 0.1, 0.2])
    _, said = panel.draw(left="plain", right="proven", eps=0.15)
    assert said == (
        "At epsilon 0.15. plain: clean 90.0%; unaware 30.0%, adaptive 5.0%. "
        "proven: clean 80.0%; adaptive 65.0%, certified 30.0%."
    )
    lines = [a for a in panel.changing if hasattr(a, "get_xdata")]
    titles = [a.get_text() for a in panel.changing if hasattr(a, "get_text")]
    assert titles == ["plain", "proven"]
    left, right = lines[:4], lines[4:]  # the epsilon, then unaware, adaptive, certified
    assert [list(line.get_ydata()) for line in left[1:]] == [[0.9, 0.5, 0.1], [0.9, 0.1, 0.0], []]
    assert list(right[1].get_ydata()) == [] and list(right[3].get_ydata()) == [0.8, 0.4, 0.2]
    assert list(left[0].get_xdata()) == [0.15, 0.15]


def test_minimal_panel():
    x = torch.rand(3, 1, 6, 6)
    found = {0.0: (x + 0.1, 1.25), 0.5: (x - 0.2, 2.5)}
    panel = panels.minimal_panel(x, found, "noise probability")
    _, said = panel.draw(setting=0.5)
    assert said == "noise probability 0.5: mean l2 of the smallest change 2.50."
    arrays = [torch.tensor(a.get_array().data) for a in panel.changing if hasattr(a, "get_array")]
    assert torch.allclose(arrays[0], x[0, 0] - 0.2)
    assert torch.allclose(arrays[3], torch.full((6, 6), -0.2), atol=1e-6)
    star = panel.changing[0]
    assert (list(star.get_xdata()), list(star.get_ydata())) == ([0.5], [2.5])
    with pytest.raises(KeyError):
        panel.draw(setting=0.3)
