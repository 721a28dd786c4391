"""Panels of lecture 16: what the captions say about boxes and votes is true."""

import re

import torch

from advcourse import models, panels, toy
from advcourse.defenses import interval_bounds, interval_training


def test_the_box_and_its_caption():
    x, y = toy.points(120)
    nets = {
        "plain": toy.net(x, y, epochs=30),
        "tame": toy.net(x, y, epochs=30, objective=interval_training(0.05)),
    }
    start, label = x[0], int(y[0])
    panel, seen = panels.box_panel(nets, start, label), set()
    for eps in (0.0, 0.03, 0.1, 0.3):
        png, said = panel.draw(eps=eps)
        assert png[:4] == b"\x89PNG" and said.startswith(f"eps {eps:.3f}")
        low, high = (start - eps).clamp(0, 1), (start + eps).clamp(0, 1)
        axis = torch.linspace(0, 1, 40)
        inside = low + torch.cartesian_prod(axis, axis) * (high - low)
        for name, net in nets.items():
            told = said.split(f"{name}: ")[1].split("). ")[0]
            with torch.no_grad():
                crossed = bool((net(inside).argmax(1) != label).any())
                bounds = interval_bounds(net, low[None], high[None])
            if crossed:
                assert "some points cross, not proven" in told
            if bounds[0][0, label] > bounds[1][0, 1 - label]:
                assert "no point crosses, proven" in told
            seen.add("not proven" in told)
    assert seen == {True, False}


def test_votes_and_their_caption():
    x = torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(0))
    panel, radii = panels.vote_panel(models.build("tiny"), x, list("0123456789"), n=100), []
    for sigma in (0.01, 0.1, 20.0):
        before = torch.get_rng_state()
        _, said = panel.draw(sigma=sigma)
        assert torch.equal(before, torch.get_rng_state())
        shares = [bar.get_height() for bar in panel.changing[1:11]]
        assert abs(sum(shares) - 1) < 1e-6
        assert f"{max(shares):.1%} of 100 copies" in said or "abstains" in said
        found = re.search(r"the radius is (\d+\.\d+)", said)
        radii.append(float(found[1]) if found else 0.0)
    assert 0 < radii[0] < radii[1] and "abstains" in said
