"""The attack explorer: any attack of the table on any picture, by its strength and iterations."""

import functools
import inspect
import time
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from .. import attacks, panels, twins
from ..attacks.contract import frozen, logits, succeeded
from .explorer import Explorer, menu, slider

LABELS = {
    "eps": "epsilon",
    "std": "std",
    "step_size": "step size",
    "confidence": "confidence",
    "weight": "weight",
    "gamma": "gamma (share of pixels)",
}
# An attack that takes longer, in seconds, is not run ahead for every strength.
QUICK = 0.05


@contextmanager
def one_thread():
    """Compute on one thread: a single picture is too small to share.

    Two threads that wait for each other on a busy machine turn 2 ms into 200.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Run:
    """What is kept of one attack run: images [M, C, H, W] and their probabilities [M, classes].

    numbers: which iteration each image is, of `total`. ending: what is said of the attack's result,
    then the last image, for an attack that looks for a small change; else None.
    """

    images: torch.Tensor
    shares: torch.Tensor
    numbers: list
    total: int
    ending: str | None


class AttackExplorer(Explorer):
    """Any attack of the table on any of the given images: drag its strength and its iterations.

    model: the victim; x [N, C, H, W] and y [N]: images to choose from; classes: their names.
    rows: names from `attacks.ATTACKS` (None: all of them). steps: where the iteration slider ends,
    and how many the attack takes, unless its options say otherwise; of a longer path the slider
    shows that many, evenly. options: {row name: {keyword: value}}, for the attack.
    One attack run keeps its iterates, so moving the iteration slider runs nothing.
    """

    def __init__(
        self, model, x, y, classes, *, rows=None, strength=None, steps=20, seed=0, options=None
    ):
        self.model, self.x, self.y, self.classes, self.seed = model, x, y, tuple(classes), seed
        self.rows = {r.name: r for r in attacks.ATTACKS if rows is None or r.name in rows}
        for name in (*(rows or ()), *(options or {})):
            if attacks.get(name).strength in (options or {}).get(name, {}):
                raise ValueError(f"options: {attacks.get(name).strength} is what the slider sets")
        self.steps, self.options, self.took = steps, options or {}, {}
        self.panel = panels.attack_panel(self.classes, x[0])
        self.run = functools.lru_cache(maxsize=400)(self._run)
        first = self.rows[rows[0]] if rows else next(iter(self.rows.values()))
        shown = [(f"{i}: {self.classes[c]}", i) for i, c in enumerate(y.tolist())]
        aims = [("none", -1), *((c, i) for i, c in enumerate(self.classes))]
        high = first.strongest if first.strength else 1.0
        controls = {
            "attack": menu(list(self.rows), "attack", first.name),
            "image": menu(shown, "image"),
            "target": menu(aims, "target"),
            "strength": slider(high / 2 if strength is None else min(strength, high), 0.0, high),
            "step": slider(steps, 0, steps, 1, "iterations"),
        }
        self._fit(first, controls)
        super().__init__(self._render, controls, "Attack explorer")

    def _fit(self, row, controls):
        """Give the sliders the range and the name that the attack's row asks for."""
        strength = controls["strength"]
        if row.strength:
            strength.description = LABELS[row.strength]
            strength.style.description_width = f"{max(6.5, len(strength.description) / 2)}em"
            share = strength.value / strength.max
            strength.max, strength.step = row.strongest, row.strongest / 50
            strength.value = round(share * 50) / 50 * row.strongest
        strength.disabled = not row.strength
        controls["step"].disabled = not row.iterates
        controls["target"].disabled = row.goal == "untargeted"

    def _moved(self, change):
        if change["owner"] is self.controls["attack"]:
            with self.controls["strength"].hold_trait_notifications():  # one redraw, not three
                self._fit(self.rows[change["new"]], self.controls)
        super()._moved(change)

    def draws_ahead(self, name):
        """Say whether to draw ahead: every strength is a run, and some attacks take their time."""
        return name != "strength" or self.took[self.controls["attack"].value] < QUICK

    def _run(self, name, image, target, strength):
        """Run one attack, and note how long it took."""
        start = time.perf_counter()
        with one_thread():
            run = self._iterates(name, image, target, strength)
        self.took[name] = time.perf_counter() - start
        return run

    def _iterates(self, name, image, target, strength):
        row, part = self.rows[name], slice(image, image + 1)
        x, y = self.x[part], self.y[part]
        options = {row.strength: strength} if row.strength else {}
        if "steps" in inspect.signature(row.function).parameters:  # what counts queries has none
            options["steps"] = self.steps
        options |= self.options.get(name, {})
        aim = torch.full_like(y, target) if target >= 0 else None
        path = [x]
        seeded = torch.Generator(device=x.device).manual_seed(self.seed)
        result = row.function(
            self.model,
            x,
            y,
            target=aim,
            generator=seeded,
            on_step=lambda _, x_adv: path.append(x_adv),
            **options,
        )
        least, total = row.norm.startswith("least"), len(path) - 1
        count = min(total, self.steps) if row.iterates else total
        numbers = [round(total * i / max(count, 1)) for i in range(count + 1)]
        shown = torch.cat([path[i] for i in numbers] + [result] * least)
        with torch.no_grad(), frozen(self.model):
            z = logits(self.model, shown)
        ending = self._ending(result, x, succeeded(z[-1:], y, aim)) if least else None
        return Run(shown.cpu(), z.softmax(1).cpu(), numbers, total, ending)

    @staticmethod
    def _ending(result, x, won):
        if not won:
            return "no success found"
        return "nothing to do" if torch.equal(result, x) else "smallest success"

    def frame(self, attack, image, target, strength, step, draw=None):
        """Return (image bytes, caption) of one setting; `draw` is the panel's, PNG by default."""
        row = self.rows[attack]
        run = self.run(  # what an attack does not take is no reason to run it again
            attack,
            image,
            target if row.goal == "both" else -1,
            strength if row.strength else None,
        )
        at = min(step, len(run.numbers) - 1) if row.iterates else -1
        note = f"{attack}, {LABELS[row.strength]} {strength:.3g}" if row.strength else attack
        if run.ending and step >= self.steps:
            at = -1
            note += f", {run.ending} in {run.total} iterations."
        else:
            note += f", iteration {run.numbers[at]} of {run.total}." if row.iterates else "."
        (before, after), y = run.shares[[0, at]], int(self.y[image])
        return (draw or self.panel.draw)(
            x=run.images[0], x_adv=run.images[at], before=before, after=after, y=y, note=note
        )

    def _render(self, **values):
        return self.frame(**values)

    def twin(self, label, **axes):
        """Return the kernel-free twin: axes among attack, image, target, strength and step."""
        fixed = {k: v for k, v in self.values().items() if k not in axes}

        def render(**values):
            return self.frame(**fixed, **values, draw=self.panel.frame)

        row = self.rows[fixed.get("attack", next(iter(self.rows)))]
        return twins.Twin(render, label, axes, {"strength": LABELS.get(row.strength, "strength")})
