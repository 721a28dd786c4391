"""Explorers, their kernel-free twins, the panels that they redraw, and the figures of plots."""

import asyncio
import base64
import functools
import html
import inspect
import io
import itertools
import json
import time
from html.parser import HTMLParser

import ipywidgets
import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.collections import PolyCollection
from matplotlib.image import AxesImage
from matplotlib.text import Text
from PIL import Image

from advcourse import attacks, panels, plots, toy, twins, widgets
from advcourse.metrics import norms

ROWS = {row.name: row for row in attacks.ATTACKS}
CLASSES = tuple("0123456789")
STEPS = 4
OPTIONS = {
    "carlini_wagner": {"steps": 15, "binary_search_steps": 3, "box": "clip", "initial_c": 0.3},
    "jsma": {"steps": None},
    "square": {"queries": 30},
    "hop_skip_jump": {"queries": 60, "candidates": 6, "directions": 8},
}
NASTY = """a "quote" & <b>tag</b> </template><script>x</script> it's\nnew"""


def images(n=3):
    x = torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(n)


@functools.cache
def victim():
    """A model that is right about every image, by comparing with each, and has dropout on."""
    x, last = images()[0].flatten(1) - 0.5, torch.nn.Linear(784, len(CLASSES))
    with torch.no_grad():
        last.weight.zero_()[: len(x)] = 0.05 * x
        last.bias.copy_(-last.weight.sum(1) / 2)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5), last).train()


def explorer(**more):
    return widgets.AttackExplorer(victim(), *images(), CLASSES, **{"steps": STEPS} | more)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def text(shown):
    assert shown.status.value.startswith(html.escape(shown.caption))
    return shown.caption


def moves(slider):
    return slider.min, (slider.min + slider.max) / 2, slider.max


@pytest.mark.parametrize("name", ROWS)
def test_every_attack_everywhere(name):
    """Picture and text at both ends and the middle; the numbers are those of the attack itself."""
    shown, row, (x, y) = explorer(options=OPTIONS), ROWS[name], images()
    strength, step, seen = shown.controls["strength"], shown.controls["step"], set()
    outcomes = set()
    shown.controls["attack"].value = name
    for s, i, image in itertools.product(moves(strength), (0, STEPS // 2, STEPS), (0, 2)):
        strength.value, step.value, shown.controls["image"].value = s, i, image
        part, path = slice(image, image + 1), []
        options = {row.strength: strength.value} if row.strength else {}
        takes_steps = "steps" in inspect.signature(row.function).parameters
        options |= {"steps": STEPS} if takes_steps else {}
        options |= {"generator": torch.Generator().manual_seed(0)} | OPTIONS.get(name, {})
        result = row.function(
            victim(), x[part], y[part], on_step=lambda _, a, to=path: to.append(a), **options
        )
        at, total = (min(i, len(path)) if row.iterates else len(path)), len(path)
        at = round(total * i / STEPS) if row.iterates and total > STEPS else at
        found, ends = [x[part], *path][at], f"iteration {at} of {total}."
        if row.norm.startswith("least") and i == STEPS:
            found, ends = result, f" in {total} iterations."
        with torch.no_grad():
            before, after = victim().eval()(torch.cat([x[part], found])).softmax(1)
            victim().train()
        size = {k: v.item() for k, v in norms(found - x[part]).items()}
        top = int(after.argmax())
        said = text(shown)
        assert f"true class {image}; before {before.argmax()} ({before.max():.1%})" in said
        assert (
            f"after {top} ({after[top]:.1%}): {'still right' if top == image else 'fooled'}" in said
        )
        assert f"l∞ {size['linf']:.3f}, l2 {size['l2']:.2f}, {size['l0']} pixels changed" in said
        assert said.endswith(ends if row.iterates else ".") and name in said
        if found is result:
            assert ("smallest success" in said) == (top != image) != ("no success found" in said)
        assert "aria-live" in shown.status.value and "aria-label" in shown.status.value
        assert pixels(shown.picture.value).std() > 10
        seen.add(shown.picture.value)
        outcomes.add((top == image, round(after[top].item(), 3)))
    few = 4 if row.norm.startswith("least") else 6  # where it stops once it has succeeded
    assert row.knowledge == "black box" or len(outcomes) >= few, "nothing happened"
    assert len(seen) >= (2 if row.strength is None else few)


def test_changing_the_attack_fits_the_controls():
    shown = explorer(rows=["fgsm"], strength=0.2)
    assert shown.controls["strength"].value == 0.2 and list(shown.rows) == ["fgsm"]
    assert explorer(rows=["fgsm"], strength=0.0).controls["strength"].value == 0
    shown = explorer()
    attack, strength = shown.controls["attack"], shown.controls["strength"]
    assert list(attack.options) == list(ROWS)
    seen = {attack.value}
    for name in [*ROWS, *reversed(ROWS)]:
        row, runs = ROWS[name], shown.run.cache_info().misses
        attack.value = name
        assert shown.run.cache_info().misses - runs == (name not in seen), "ran more than once"
        seen.add(name)
        if row.strength:
            assert strength.description == widgets.LABELS[row.strength]
            assert strength.max == row.strongest and strength.step == row.strongest / 50
            assert strength.value == pytest.approx(strength.max / 2), "keeps its share of the range"
        assert strength.disabled == (row.strength is None)
        assert shown.controls["step"].disabled == (not row.iterates)
        assert shown.controls["target"].disabled == (row.goal == "untargeted")
        assert name in text(shown)
    with pytest.raises(ValueError, match="no attack 'nope'; there are"):
        explorer(rows=["nope"])


def test_iterations_run_no_attack_and_settings_are_cached():
    shown, calls = explorer(rows=["gradient_ascent", "fgsm"]), []
    step, strength = shown.controls["step"], shown.controls["strength"]
    hook = victim().register_forward_hook(lambda *_: calls.append(1))
    try:
        pictures = {}
        for i in (0, 1, 2, 3, 4):
            step.value = i
            pictures[i] = shown.picture.value
        assert calls == [] and len(set(pictures.values())) == 5
        first, strength.value = strength.value, strength.max
        ran = len(calls)
        assert ran >= STEPS and shown.picture.value != pictures[4]
        strength.value = first
        assert len(calls) == ran and shown.picture.value == pictures[4]
        drawn = shown.render.cache_info().misses
        strength.value = strength.max
        assert shown.render.cache_info().misses == drawn and len(calls) == ran
        untargeted = shown.picture.value
        shown.controls["target"].value = 7
        assert len(calls) > ran and shown.picture.value != untargeted
    finally:
        hook.remove()


def test_long_runs_fit_under_the_slider_and_end_with_their_result():
    tries = {"steps": 40, "binary_search_steps": 2, "initial_c": 10.0, "box": "clip"}
    more = {"options": {"carlini_wagner": tries}, "steps": 5, "strength": 1.0}
    shown = explorer(rows=["carlini_wagner", "bim"], **more)
    calls, said, seen = [], [], []
    x, y = (part[:1] for part in images())
    result = attacks.carlini_wagner(
        victim(), x, y, confidence=1.0, on_step=lambda i, a: calls.append(a), **tries
    )
    for i in range(6):
        shown.controls["step"].value = i
        said.append(text(shown))
        seen.append(shown.picture.value)
    total = len(calls)
    assert shown.run.cache_info().misses == 1 and total > 12 and len(set(seen)) >= 5
    kept = shown.run("carlini_wagner", 0, -1, 1.0)
    assert len(kept.images) == 7 and shown.run.cache_info().misses == 1, "of all those iterates"
    assert torch.equal(kept.images[6:], result) and not torch.equal(result, x)
    for i in range(5):
        assert torch.equal(kept.images[i : i + 1], [x, *calls][round(total * i / 5)])
        assert said[i].endswith(f"confidence 1, iteration {round(total * i / 5)} of {total}.")
    assert said[5].endswith(f"confidence 1, smallest success in {total} iterations.")
    weak = explorer(rows=["carlini_wagner"], options={"carlini_wagner": {"initial_c": 1e-9}})
    assert "fooled" in text(shown) and "still right" in text(weak)
    assert "no success found in" in text(weak) and "0 pixels changed" in text(weak)
    wrong = widgets.AttackExplorer(victim(), x, y + 4, CLASSES, rows=["deepfool"])
    assert "nothing to do in 0 iterations" in text(wrong)
    with pytest.raises(ValueError, match="options: gamma is what the slider sets"):
        explorer(options={"jsma": {"gamma": 0.1}})
    with pytest.raises(ValueError, match="no attack 'nope'; there are"):
        explorer(options={"nope": {}})


def test_what_an_attack_does_not_take_runs_nothing():
    shown = explorer(rows=["deepfool", "negative"])
    shown.frame("negative", 0, -1, 0.1, 0)
    runs = shown.run.cache_info().misses
    for name in ("deepfool", "negative"):
        shown.frame(name, 0, 3, 0.7, 1)
        assert shown.run.cache_info().misses == runs
    shown.frame("deepfool", 1, 3, 0.7, 1)
    assert shown.run.cache_info().misses == runs + 1


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_only_quick_attacks_are_run_ahead_for_every_strength(seconds, monkeypatch):
    monkeypatch.setattr(widgets.attack, "QUICK", 0.15)

    async def rest():
        shown = explorer(rows=["bim"], steps=2)
        strength = shown.controls["strength"]
        strength.step = strength.max / 5
        inner, runs = shown._iterates, []

        def slow(*values):
            runs.append(values)
            time.sleep(seconds)
            return inner(*values)

        monkeypatch.setattr(shown, "_iterates", slow)
        strength.value = 0.1
        await asyncio.sleep(2.5)
        drawn = shown.render.cache_info().misses
        shown.controls["step"].value = 0
        assert shown.render.cache_info().misses == drawn, "every iteration is drawn ahead"
        return len(runs)

    assert asyncio.run(rest()) == (1 if seconds else 6)


def test_a_failure_is_said_and_raised(monkeypatch):
    shown = explorer()
    before = shown.picture.value

    def broken(x):
        raise RuntimeError("no <b>weights</b>")

    monkeypatch.setattr(shown, "model", broken)
    with pytest.raises(RuntimeError, match="no <b>weights"):
        shown.controls["image"].value = 1
    assert 'role="alert"' in shown.status.value and shown.picture.value == before
    assert "RuntimeError: no &lt;b&gt;weights&lt;/b&gt;" in shown.status.value
    monkeypatch.undo()
    shown.controls["image"].value = 2
    assert 'role="alert"' not in shown.status.value and shown.picture.value != before


def test_explore_any_panel():
    panel = panels.ball_panel()
    names = widgets.menu(["linf", "l2", "l1", "l0"], "norm")
    sliders = {k: widgets.slider(0.8, 0.0, 1.0, description=k) for k in ("eps", "a", "b")}
    shown, said = widgets.explore(panel, NASTY, norm=names, **sliders), []
    for norm, eps in itertools.product(names.options, (0.0, 0.5, 1.0)):
        names.value, sliders["eps"].value = norm, eps
        near = attacks.project(
            torch.tensor([[0.8, 0.8]]), round(eps) if norm == "l0" else eps, norm
        )
        assert f"ball of radius {eps:g}: the point (0.80, 0.80) is " in text(shown)
        assert text(shown).endswith(f"at ({near[0, 0]:.2f}, {near[0, 1]:.2f}).")
        said.append(shown.picture.value)
    assert len(set(said)) >= 11
    assert html.escape(NASTY) in shown.children[0].value
    assert isinstance(widgets.slider(3, 0, 9, 1), ipywidgets.IntSlider)


class Parts(HTMLParser):
    """The tags of a page with their attributes, and the text of each tag."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts = [], {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        tag = self.tags[-1][0]
        self.texts[tag] = self.texts.get(tag, "") + data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def test_twin():
    def render(eps, image, note):
        return bytes([round(10 * eps), image]), f"{eps:.2f} of {image} {note}"

    values, menu = [0.0, 0.125, 0.25], {"one & only": 1, "<two>": 2}
    made = twins.Twin(render, NASTY, {"note": ["b", NASTY], "eps": values, "image": menu})
    page = Parts(made._repr_html_())
    assert [tag for tag, _ in page.tags].count("script") == 0
    data = json.loads(page.texts["template"])
    assert data["size"] == [2, 3, 2] and data["axes"][1] == ["0", "0.125", "0.25"]
    assert data["axes"][::2] == [["b", NASTY], ["one & only", "<two>"]]
    assert len(data["frames"]) == 6 and len(data["index"]) == len(data["captions"]) == 12
    for i, (note, eps, image) in enumerate(itertools.product(("b", NASTY), values, (1, 2))):
        frame, caption = render(eps, image, note)
        assert base64.b64decode(data["frames"][data["index"][i]]) == frame
        assert data["captions"][i] == caption
    (figure,), (picture,), (select,) = map(page.all, ("figure", "img", "select"))
    start = 0  # where nothing has happened yet
    assert picture["alt"] == page.texts["figcaption"] == data["captions"][start]
    assert picture["src"].endswith(data["frames"][data["index"][start]])
    assert figure["aria-label"] == NASTY and select["aria-label"] == "image"
    sliders = page.all("input")
    assert [(s["aria-label"], s["max"], s["value"]) for s in sliders] == [
        ("note", "1", "0"),
        ("epsilon", "2", "0"),
    ]
    assert page.all("option")[0] == {"value": "0", "selected": None}
    assert "12 frames" in repr(made)


def test_twin_of_an_explorer():
    shown = explorer(rows=["gradient_ascent"])
    made = shown.twin("ascent", strength=[0.0, 5.0], step=[0, 2, 4])
    assert len(made.index) == 6 and made.index == [0, 0, 0, 0, 1, 2]
    written = made._repr_html_()
    assert "\n" not in written and Parts(written).all("img")[0]["alt"].startswith("true class 0;")
    for i, (strength, step) in enumerate(itertools.product((0.0, 5.0), (0, 2, 4))):
        assert f"step size {strength:.3g}, iteration {step} of {STEPS}" in made.captions[i]
        values = shown.values() | {"strength": strength, "step": step}
        frame = pixels(base64.b64decode(made.frames[made.index[i]]))
        assert np.abs(frame - pixels(shown.frame(**values)[0])).mean() < 2


class TestSaliencyExplorer:
    def explorer(self, **more):
        return widgets.SaliencyExplorer(victim(), *images(), CLASSES, **more)

    def test_iterations_run_nothing_and_the_caption_is_true(self):
        shown, (x, y) = self.explorer(theta=-1.0, gamma=0.2), images()
        step, seen, path = shown.controls["step"], set(), [x[:1]]
        shown.controls["target"].value = 1
        options = {"theta": -1.0, "gamma": 0.2, "target": y[1:2]}
        attacks.jsma(victim(), x[:1], y[:1], on_step=lambda _, a: path.append(a), **options)
        assert 3 < step.max == step.value == len(path) - 1 < 78
        calls, hook = [], victim().register_forward_hook(lambda *_: calls.append(1))
        for i, x_adv in enumerate(path):
            step.value = i
            with torch.no_grad():
                p = victim()[::2](x_adv).softmax(1)[0]
            changed = int((x_adv != x[:1]).sum())
            said = text(shown)
            assert said.startswith(
                f"Step {i}: {changed} of 784 pixels changed ({changed / 784:.1%}), read as "
                f"{p.argmax()} ({p.max():.1%}); target 1: {p[1]:.1%}."
            )
            assert ("The target is reached." in said) == (i == step.max) == (int(p.argmax()) == 1)
            if i:
                new = (x_adv != path[i - 1]).nonzero().tolist()
                places = " and ".join(f"row {r}, column {c}" for *_, r, c in new)
                assert len(new) == 2 and f"Last pair: {places}." in said
            seen.add(shown.picture.value)
        hook.remove()
        assert calls == [] and len(seen) == len(path)

    @pytest.mark.parametrize("theta", [1.0, -0.5])
    def test_the_map_is_that_of_single_pixels(self, theta):
        shown, (x, _) = self.explorer(theta=theta), images()
        run = shown.run(1, 4)
        assert run.target == 4 and len(run.images) == len(run.maps) == len(run.pairs) + 1
        for x_adv, found in zip(run.images, run.maps, strict=True):
            # The target's logarithm, differentiated by hand: all logits are linear in the pixels.
            weight = victim()[2].weight.detach()
            p = victim()[::2](x_adv[None]).detach().softmax(1)[0]
            rise = (weight[4] - p @ weight) * (1 if theta > 0 else -1)
            flat = x_adv.flatten()
            eligible = (rise > 0) & ((flat < 1) if theta > 0 else (flat > 0))
            assert torch.equal(found > 0, eligible & (found > 0))
            assert torch.allclose(found, torch.where(eligible, rise**2, 0.0), atol=1e-6)
        assert torch.equal(run.images[0], x[1]) and bool((run.maps[0] > 0).any())
        for step, before in ((0, 0), (1, 0), (5, 4)):
            shown.frame(1, 4, step)
            _, drawn, _ = (a for a in shown.panel.changing if isinstance(a, AxesImage))
            root = run.maps[before].sqrt().view(28, 28)
            assert np.allclose(drawn.get_array(), root / root.max(), atol=1e-6), "what chose it"

    def test_menus_fit_the_slider_and_runs_are_cached(self):
        shown = self.explorer(gamma=0.01)
        step, runs = shown.controls["step"], shown.run.cache_info
        z = victim()[::2](images()[0][:1]).detach()[0]
        assert f"target {z.topk(2).indices[1]}:" in text(shown), "the likeliest other class"
        assert step.max == 3 and "The budget is spent." in text(shown)
        shown.controls["image"].value = 2
        shown.controls["target"].value = 2
        assert step.max == 0 and text(shown).startswith("Step 0: 0 of 784 pixels")
        before = runs().misses
        shown.controls["image"].value = 0
        assert runs().misses == before + 1 and step.max == step.value == 3
        step.value = 1
        assert "2 more pairs follow." in text(shown)
        shown.controls["target"].value = -1
        assert runs().misses == before + 1 and step.value == 3

    def test_twin(self):
        shown = self.explorer(gamma=0.01)
        made = shown.twin("pairs", target={"2": 2, "5": 5}, step=[0, 1, 3])
        assert len(made.index) == 6 and len(made.frames) == 6
        for i, (target, step) in enumerate(itertools.product((2, 5), (0, 1, 3))):
            assert made.captions[i].startswith(f"Step {step}: {2 * step} of 784")
            assert f"target {target}:" in made.captions[i]
            frame = pixels(base64.b64decode(made.frames[made.index[i]]))
            assert np.abs(frame - pixels(shown.frame(0, target, step)[0])).mean() < 2


def attack_values(seed, y=3):
    source = torch.Generator().manual_seed(seed)
    x = torch.rand(2, 1, 28, 28, generator=source)
    x_adv = (x[0] + 0.3 * seed * (x[1] - 0.5)).clamp(0, 1)
    before, after = (4 * torch.rand(2, 10, generator=source)).softmax(1)
    return {"x": x[0], "x_adv": x_adv, "before": before, "after": after, "y": y}


def test_attack_panel_shows_what_it_is_told():
    panel = SETTINGS["attack"][0]()
    for seed, y in itertools.product((1, 2), range(10)):
        values = attack_values(seed, y)
        panel.draw(**values)
        bars = [a for a in panel.changing if isinstance(a, PolyCollection)]
        zoom, *texts = (a for a in panel.changing if isinstance(a, Text))
        for bar, read, shares, at in zip(
            bars, texts, (values["before"], values["after"]), (-0.2, 0.2), strict=False
        ):
            boxes = [path.get_extents() for path in bar.get_paths()]
            assert [b.x1 for b in boxes] == pytest.approx(shares.tolist())
            assert [(b.y0 + b.y1) / 2 for b in boxes] == pytest.approx([i + at for i in range(10)])
            top = int(shares.argmax())
            assert read.get_text() == f"{top} ({shares[top]:.1%})"
            assert read.get_color() == (plots.INK if top == y else plots.ADVERSARIAL)
        size = (values["x_adv"] - values["x"]).abs().max()
        assert len(bars) == len(texts) == 2 and zoom.get_text() == f"× {1 / size:.3g}"


def step_panel():
    args = torch.tensor([0.4, 0.5]), torch.tensor([1]), torch.tensor([1.0, -2.0])
    return panels.step_panel(torch.nn.Identity(), *args, lambda z: z[:, 0], 1.2)


def path_panel():
    start, ends = torch.tensor([0.4, 0.5]), torch.tensor([1.0, -0.5])
    return panels.path_panel(
        torch.nn.Identity(),
        lambda z: z[:, 0],
        start,
        1,
        lambda eps: start + eps * torch.linspace(0, 1, 4)[:, None] * ends,
    )


def hyperplane_panel():
    x, y = toy.four(40)
    return panels.hyperplane_panel(
        toy.linear(x, y, epochs=20), 0, lambda a, b: torch.tensor([[0.5, 0.5], [a, b]]), (x, y)
    )


def gallery_values(seed):
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
    return {"images": x, "texts": [f"text {seed}", (seed, 1.5), ""], "note": "Done."}


def saliency_values(seed):
    source = torch.Generator().manual_seed(seed)
    x, shares = images()[0][0], (4 * torch.rand(10, generator=source)).softmax(0)
    pair = torch.randperm(784, generator=source)[:2].tolist()
    x_adv = x.flatten().scatter(0, torch.tensor(pair), 1.0).view_as(x)
    told = {"map": torch.rand(784, generator=source), "probabilities": shares}
    return {"x": x, "x_adv": x_adv, "pair": pair, "target": seed, "step": seed} | told


SETTINGS = {
    "attack": (lambda: panels.attack_panel(CLASSES, torch.zeros(1, 28, 28)), attack_values),
    "ball": (
        panels.ball_panel,
        lambda i: {"norm": "l2", "eps": 0.2 + 0.2 * i, "a": 0.5, "b": -i / 4},
    ),
    "projection": (
        lambda: panels.projection_panel(images()[0][0], images()[0][1] - 0.5),
        lambda i: {"norm": ("l2", "linf", "l1", "l0")[i], "share": (0.5, 0.1, 0.3, 0.2)[i]},
    ),
    "step": (step_panel, lambda i: {"eps": i / 10}),
    "path": (path_panel, lambda i: {"eps": 0.1 + i / 10, "step": i}),
    "hyperplane": (hyperplane_panel, lambda i: {"a": 0.2 + i / 5, "b": 0.3}),
    "gallery": (lambda: panels.gallery_panel("abc", CLASSES, images()[0][0]), gallery_values),
    "deltas": (
        lambda: panels.gallery_panel("abc", CLASSES, images()[0][0], deltas=True),
        lambda i: gallery_values(i) | {"x": images()[0][0]},
    ),
    "saliency": (
        lambda: panels.saliency_panel(CLASSES, images()[0][0]),
        saliency_values,
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_only_what_changes_is_drawn_and_the_picture_is_right(name):
    build, values = SETTINGS[name]
    panel, quick, settings = build(), [], dict(matplotlib.rcParams)
    for i in (0, 1, 2, 3, 1):
        png, caption = panel.draw(**values(i))
        quick.append(pixels(png))
        assert caption.strip() and "\n" not in caption
    assert np.array_equal(quick[1], quick[4]), "something of the pictures in between is left"
    webp = np.abs(pixels(panel.frame(**values(1))[0]) - quick[1])
    assert webp.mean() < 2 and matplotlib.rcParams == settings
    for i, fast in enumerate(quick[:4]):
        with matplotlib.rc_context(plots.STYLE):
            panel.update(**values(i))
            for artist in panel.changing:
                artist.set_animated(False)
                vars(artist).pop("make_image", None)  # matplotlib's own, slow and right
            panel.figure.canvas.draw()
        slow = np.asarray(panel.figure.canvas.buffer_rgba())[:, :, :3].astype(int)
        # Matplotlib enlarges by fractions of a pixel, and draws the axes' lines above all else.
        differs, outside = np.abs(slow - fast).max(2) > 40, np.ones(slow.shape[:2], bool)
        for art in (a for a in panel.changing if isinstance(a, AxesImage)):
            x0, y0, x1, y1 = art.get_window_extent().extents.round().astype(int)
            outside[len(slow) - y1 - 2 : len(slow) - y0 + 2, x0 - 2 : x1 + 2] = False
        for x, y in (a.get_window_extent().min.round().astype(int) for a in panel.figure.axes):
            outside[:, x - 2 : x + 3] = outside[len(slow) - y - 3 : len(slow) - y + 2] = False
        assert differs[outside].mean() < 0.0005
        assert outside.all() or differs[~outside].mean() < 0.12
        assert all((fast != other).any() for other in quick[:4] if other is not fast)


def test_pictures_carry_their_alt_text(monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "display", shown.append)
    figure = plots.curves([0, 1], {"a": [1, 0.5]}, "epsilon")
    for empty in ("", " \n"):
        with pytest.raises(ValueError, match=r"^alt: empty; say in a sentence"):
            plots.show(figure, empty)
    assert shown == []
    with pytest.raises(TypeError, match="alt"):
        plots.show(figure)
    plots.show(figure, NASTY)
    (picture,) = shown
    page = Parts(picture._repr_html_())
    assert [tag for tag, _ in page.tags] == ["img"] and page.all("img")[0]["alt"] == NASTY
    encoded = page.all("img")[0]["src"].removeprefix("data:image/png;base64,")
    assert pixels(base64.b64decode(encoded)).shape == (468, 1196, 3)
    assert NASTY in repr(picture)


def test_figures_can_be_drawn():
    (x, y), outside = images(), dict(matplotlib.rcParams)
    model, corner = torch.nn.Identity(), (torch.zeros(2), torch.ones(2))
    lines = {name: torch.linspace(1, 0, 4) for name in "abcdefg"}
    made = {
        "images": plots.images([x, x[:2] - 0.5], [["a"] * 3, None], ["x", "d"], deltas=[1, (0, 2)]),
        "color": plots.images([torch.rand(2, 3, 8, 8)]),
        "curves": plots.curves([1, 2, 3, 4], lines, "eps", published={"paper": (2, 0.5)}, log=True),
        "numbers": plots.curves([0, 1], {"a": [5, 9]}, "eps", "queries", percent=False),
        "histogram": plots.histogram({"a": torch.rand(50), "b": [0.5] * 9}, "confidence"),
        "plane": plots.plane(
            model, lambda z: z[:, 0], torch.rand(9, 2), y.repeat(3), {"g": corner}
        ),
    }
    for name, figure in made.items():
        figure.canvas.draw()
        assert np.asarray(figure.canvas.buffer_rgba()).std() > 5, name
    assert len(made["images"].axes) == 6 and not made["images"].axes[5].axison
    assert made["images"].axes[2].images[0].cmap.name == plots.DELTA
    assert [t.get_text() for t in made["histogram"].axes[0].get_legend().get_texts()] == [
        "a (n=50)",
        "b (n=9)",
    ]
    assert made["curves"].axes[0].get_xscale() == "log" and len(made["curves"].axes[0].lines) == 8
    assert matplotlib.rcParams == outside


def test_a_resting_kernel_draws_what_the_sliders_would_show():
    panel, drawn = panels.ball_panel(), []

    def render(**values):
        drawn.append(values)
        return panel.draw(**values)

    async def rest():
        sliders = {k: widgets.slider(0.5, 0.0, 1.0, 0.25, k) for k in ("eps", "a", "b")}
        controls = {"norm": widgets.menu(["l2", "l1"], "norm"), **sliders}
        shown = widgets.Explorer(render, controls, "balls")
        assert len(drawn) == 1, "nothing is drawn ahead before the kernel rests"
        await asyncio.sleep(1.5)
        ahead = len(drawn)
        sliders["a"].value = 1.0
        sliders["a"].value = 0.0
        assert len(drawn) == ahead, "every move along a slider finds its picture"
        return shown

    asyncio.run(rest())
    assert {v["eps"] for v in drawn} == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert len(drawn) == 1 + 3 * 4
