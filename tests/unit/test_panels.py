"""Panels of lectures 05 to 08 and the toy problems below them: what is drawn and said is true."""

import itertools
import re

import matplotlib.path
import pytest
import torch
import torch.nn.functional as F
from matplotlib.collections import PolyCollection
from matplotlib.image import AxesImage
from matplotlib.text import Text

from advcourse import attacks, panels, toy
from advcourse.panels.balls import ball
from advcourse.panels.path import in_the_square

POWERS = {"linf": torch.inf, "l2": 2, "l1": 1}


def plain(weight, bias):
    """A linear model of these weights [K, 2] and biases [K]."""
    model = torch.nn.Linear(2, len(bias))
    with torch.no_grad():
        model.weight.copy_(torch.tensor(weight))
        model.bias.copy_(torch.tensor(bias))
    return model


def numbers(text):
    return [float(n) for n in re.findall(r"-?\d+\.\d+", text)]


def drawn(panel, name):
    """The one artist of the panel that the legend calls `name`."""
    (art,) = (a for a in panel.changing if a.get_label() == name)
    return art


class TestPath:
    start, label = torch.tensor([0.4, 0.55]), torch.tensor([1])
    model = plain([[0.0, 0.0], [6.0, -4.0]], [0.0, 1.0])  # class 1 where 6 a - 4 b + 1 > 0

    def loss(self, z):
        return F.cross_entropy(z, self.label.expand(len(z)), reduction="none")

    def panel(self, norm, steps=6):
        calls = []

        def run(eps):
            calls.append(eps)
            path = [self.start[None]]
            attacks.pgd(
                self.model,
                path[0],
                self.label,
                eps=eps,
                norm=norm,
                steps=steps,
                random_start=False,
                on_step=lambda _, x_adv: path.append(x_adv),
            )
            return torch.cat(path)

        return panels.path_panel(self.model, self.loss, self.start, self.label, run, norm), calls

    @pytest.mark.parametrize("norm", POWERS)
    def test_what_it_says_and_draws_is_true(self, norm):
        panel, calls = self.panel(norm)
        crossings = set()
        for eps, step in itertools.product((0.05, 0.3, 0.7), (0, 3, 6)):
            _, said = panel.draw(eps=eps, step=step)
            path = torch.stack([torch.as_tensor(v) for v in drawn(panel, "path").get_data()], 1)
            now = torch.tensor([float(v[0]) for v in drawn(panel, "now").get_data()])
            fgsm = torch.tensor([float(v[0]) for v in drawn(panel, "FGSM").get_data()])
            assert len(path) == step + 1 and torch.equal(path[-1], now)
            assert torch.equal(path[0], self.start)
            # The gradient of class 1's loss points where its score falls: left and up.
            corner = (self.start + eps * torch.tensor([-1.0, 1.0])).clamp(0, 1)
            assert torch.allclose(fgsm, corner)
            away = torch.linalg.vector_norm(now - self.start, POWERS[norm]).item()
            score = [(6 * p[0] - 4 * p[1] + 1).item() for p in (self.start, now, corner)]
            losses = [torch.tensor(-s).exp().log1p().item() for s in score]
            told = numbers(said)
            expected = [eps, losses[0], losses[1], away, eps, losses[2]]
            assert told == pytest.approx(expected, abs=0.0051) and f"step {step} of 6" in said
            crossed = ["is crossed" if s < 0 else "is not crossed" for s in score]
            assert f"now, the boundary {crossed[1]}." in said and said.endswith(f"{crossed[2]}.")
            leaves = torch.linalg.vector_norm(corner - self.start, POWERS[norm]) > eps + 1e-6
            assert ("outside the ball" in said) == bool(leaves)
            crossings.add(score[1] < 0)
        assert crossings == {True, False} and calls == [0.05, 0.3, 0.7], "one run for each eps"

    def test_a_run_that_ended_early_stays_at_its_end(self):
        panel, _ = self.panel("linf", steps=3)
        assert panel.draw(eps=0.2, step=3)[1] == panel.draw(eps=0.2, step=9)[1]
        assert "step 3 of 3" in panel.draw(eps=0.2, step=9)[1]

    @pytest.mark.parametrize("norm", POWERS)
    def test_the_outline_is_that_of_the_ball_inside_the_square(self, norm):
        source = torch.Generator().manual_seed(0)
        for center, eps in itertools.product(([0.5, 0.5], [0.9, 0.2], [0.0, 1.0]), (0.1, 0.6)):
            outline = in_the_square(ball(norm, eps, center))
            shape = matplotlib.path.Path(outline.numpy())
            points = 1.4 * torch.rand(3000, 2, generator=source) - 0.2
            away = torch.linalg.vector_norm(points - torch.tensor(center), POWERS[norm], 1)
            inside = (away < eps) & (points > 0).all(1) & (points < 1).all(1)
            sure = ((away - eps).abs() > 0.005) & inside.any()
            found = torch.tensor(shape.contains_points(points.numpy()))
            assert torch.equal(found[sure], inside[sure]) and 3 < inside.sum() < 2500


class TestHyperplanes:
    four = plain([[3.0, 1.0], [-2.0, 4.0], [0.5, -5.0], [-4.0, -1.0]], [0.2, -0.6, 1.5, 2.0])

    @pytest.mark.parametrize("label", range(4))
    def test_distances_lines_and_feet_of_a_linear_model(self, label):
        panel = panels.hyperplane_panel(self.four, label, lambda a, b: torch.tensor([[a, b]]))
        w, bias = self.four.weight.detach(), self.four.bias.detach()
        seen = set()
        for a, b in itertools.product((0.1, 0.45, 0.9), (0.2, 0.8)):
            point, (_, said) = torch.tensor([a, b]), panel.draw(a=a, b=b)
            others = [k for k in range(4) if k != label]
            lead = {k: (w[label] - w[k]) @ point + bias[label] - bias[k] for k in others}
            away = {k: (lead[k].abs() / (w[label] - w[k]).norm()).item() for k in others}
            here = int(self.four(point).argmax())
            assert said.startswith(f"The point ({a:.2f}, {b:.2f}) is class {here}")
            assert (f"no longer {label}" in said) == (here != label)
            assert numbers(said)[2:] == pytest.approx([away[k] for k in others], abs=6e-4)
            nearest = min(away, key=away.get)
            assert said.endswith(f"Nearest: class {nearest}.")
            for k in others:
                line = drawn(panel, f"{label} ties with {k}")
                at = torch.stack([torch.as_tensor(v) for v in line.get_data()], 1)
                z = self.four(at).detach()
                assert torch.allclose(z[:, label], z[:, k], atol=1e-4)
                assert (at[0] - at[-1]).norm() == pytest.approx(4, abs=1e-4)
                assert (line.get_linewidth() > 4) == (k == nearest)
            foot = torch.tensor([float(v[0]) for v in drawn(panel, "foot").get_data()])
            assert (foot - point).norm().item() == pytest.approx(away[nearest], abs=1e-5)
            assert (foot - point) @ (w[label] - w[nearest]) == pytest.approx(
                -lead[nearest].item(), abs=1e-4
            )
            seen.add((here, nearest))
        assert len(seen) > 2

    def test_the_iterates_of_deepfool_on_a_curved_net(self):
        x, y = toy.points(100)
        net, path = toy.net(x, y, epochs=60), [x[:1]]
        attacks.deepfool(
            net, x[:1], y[:1], steps=4, overshoot=0.0, on_step=lambda _, a: path.append(a)
        )
        path, label = torch.cat(path), int(y[0])
        panel = panels.hyperplane_panel(net, label, lambda step: path[: step + 1], (x, y))
        feet = []
        for step in range(len(path)):
            _, said = panel.draw(step=step)
            h = 1e-3  # the slope by differences
            shift = torch.tensor([[0.0, 0], [h, 0], [-h, 0], [0, h], [0, -h]])
            z = net((path[step] + shift).double().float()).detach()
            lead = z[:, label] - z[:, 1 - label]
            slope = torch.stack([lead[1] - lead[2], lead[3] - lead[4]]) / (2 * h)
            assert numbers(said)[2] == pytest.approx(
                (lead[0].abs() / slope.norm()).item(), abs=5e-3
            )
            assert len(drawn(panel, "path").get_data()[0]) == step + 1
            feet.append(torch.tensor([float(v[0]) for v in drawn(panel, "foot").get_data()]))
        assert len(path) > 1 and torch.allclose(feet[0], path[1], atol=1e-5), "where it went"

    def test_regions_are_the_model_s_and_carry_their_names(self):
        panel = panels.hyperplane_panel(self.four, 0, lambda: torch.tensor([[0.5, 0.5]]))
        (ax,) = panel.figure.axes
        (image,) = ax.images
        shown = torch.tensor(image.get_array().data)
        for row, column in itertools.product((0, 90, 180, 300), repeat=2):
            point = torch.tensor([column / 360, row / 360])
            assert shown[row, column] == self.four(point).argmax()
        for text in ax.texts:
            won = self.four(torch.tensor(text.get_position())).argmax()
            assert text.get_text() == f"class {won}"
        assert len(ax.texts) == len(shown.unique()) == 4
        shades = image.cmap(image.norm(range(4)))[:, 0]
        assert all(a - b > 0.05 for a, b in itertools.pairwise(shades)), "each darker than the last"

    def test_where_there_is_no_line(self):
        model = plain([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0.5, 0.0, 0.0])
        panel = panels.hyperplane_panel(model, 0, lambda: torch.tensor([[0.5, 0.5]]))
        said = panel.draw()[1]
        assert "inf to the tie with class 1" in said and said.endswith("Nearest: class 2.")


def gallery(**more):
    x = torch.rand(4, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    return panels.gallery_panel(["f1", "f2", "f3"], ["cat", "dog"], x[0], **more), x


def test_gallery():
    panel, x = gallery(deltas=True)
    images = torch.stack([x[0], x[1], x[0].clamp(0.2, 0.7)])
    _, said = panel.draw(images=images, texts=["as is", (1, 1.234), "a\nb"], note="So.", x=x[0])
    assert said == "f1: as is; f2: dog, l2 1.23; f3: a, b. So."
    shown = [torch.tensor(a.get_array().data) for a in panel.changing if isinstance(a, AxesImage)]
    texts = [a.get_text() for a in panel.changing if isinstance(a, Text)]
    assert len(shown) == 6 and torch.equal(torch.stack(shown[:3]), images[:, 0])
    assert texts[:4] == ["as is", "dog\nl2 1.23", "a\nb", "none"]
    for i in (1, 2):
        delta = (images[i] - x[0])[0]
        assert torch.allclose(shown[3 + i], delta / delta.abs().max(), atol=1e-6)
        assert texts[3 + i] == f"× {1 / delta.abs().max():.3g}"
    assert [ax.get_title() for ax in panel.figure.axes] == ["f1", "f2", "f3", "", "", ""]
    with pytest.raises(ValueError, match="zip"):
        panel.draw(images=images[:2], texts=["a", "b"], x=x[0])


def test_gallery_without_changes():
    panel, x = gallery()
    assert panel.draw(images=x[:3], texts=["1", "2", "3"])[1].strip() == "f1: 1; f2: 2; f3: 3."
    assert len(panel.figure.axes) == 3


@pytest.mark.parametrize("channels", [1, 3])
def test_saliency_panel(channels):
    x = 0.5 * torch.rand(channels, 8, 8, generator=torch.Generator().manual_seed(1))
    panel = panels.saliency_panel(["a", "b", "c"], x)
    x_adv, pair = x.clone(), [channels * 64 - 1, 17]
    x_adv.view(-1)[[*pair, 40]] = 1.0
    values = torch.zeros(channels * 64)
    values[5], values[20] = 4.0, 1.0
    told = {"x": x, "map": values, "target": 2, "note": "Done."}
    _, said = panel.draw(
        **told, x_adv=x_adv, pair=pair, probabilities=torch.tensor([0.1, 0.6, 0.3]), step=2
    )
    assert said == (
        "Step 2: 3 of 64 pixels changed (4.7%), read as b (60.0%); target c: 30.0%. "
        "Last pair: row 7, column 7 and row 2, column 1. Done."
    )
    image, shown, changed = (
        torch.tensor(a.get_array().data) for a in panel.changing if isinstance(a, AxesImage)
    )
    assert torch.equal(image, x_adv[0] if channels == 1 else x_adv.permute(1, 2, 0))
    assert shown[0, 5] == 1 and shown[2, 4] == 0.5 and (shown > 0).sum() == 2
    assert (changed == 1).nonzero().tolist() == [[2, 1], [5, 0], [7, 7]] and changed.min() < 0.3
    left, middle, right, bars = (a for a in panel.changing if isinstance(a, PolyCollection))
    for marks in (left, middle, right):
        middles = [path.vertices[:4].mean(0).tolist() for path in marks.get_paths()]
        assert middles == [[7, 7], [1, 2]], "column, row"
    assert [p.get_extents().x1 for p in bars.get_paths()] == pytest.approx([0.1, 0.6, 0.3])
    assert len({tuple(c) for c in bars.get_facecolor()[:2]}) == 1
    assert tuple(bars.get_facecolor()[2]) != tuple(bars.get_facecolor()[1])
    (aim,) = (a for a in panel.changing if isinstance(a, Text))
    assert aim.get_position()[1] == 2 and "target" in aim.get_text()
    _, said = panel.draw(**told, x_adv=x, pair=None, probabilities=torch.ones(3) / 3, step=0)
    assert "0 of 64" in said and "Last pair" not in said
    assert not any(marks.get_paths() for marks in (left, middle, right))


def test_four_clouds_and_a_linear_model():
    before = torch.random.get_rng_state()
    x, y = toy.four()
    model = toy.linear(x, y)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert x.shape == (400, 2) and y.bincount().tolist() == [100] * 4
    assert x.min() >= 0 and x.max() <= 1 and not torch.equal(x, toy.four(seed=1)[0])
    assert torch.equal(x, toy.four()[0]) and torch.equal(model.weight, toy.linear(x, y).weight)
    assert (model(x).argmax(1) == y).float().mean() > 0.95
    moons, label = toy.points()
    two = toy.linear(moons, label)
    assert (
        two.weight.shape == (2, 2) and 0.8 < (two(moons).argmax(1) == label).float().mean() < 0.95
    )
