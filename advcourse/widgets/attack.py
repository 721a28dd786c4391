"""The attack explorer: any attack of the table on any picture, by its strength and iterations."""

import functools
from contextlib import contextmanager

import torch

from .. import attacks, panels, twins
from ..attacks.contract import frozen, logits
from .explorer import Explorer, menu, slider

LABELS = {"eps": "epsilon", "std": "std", "step_size": "step size"}


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


class AttackExplorer(Explorer):
    """Any attack of the table on any of the given images: drag its strength and its iterations.

    model: the victim; x [N, C, H, W] and y [N]: images to choose from; classes: their names.
    rows: names from `attacks.ATTACKS` (None: all of them). steps: where the iteration slider ends.
    One attack run keeps all its iterates, so moving the iteration slider runs nothing.
    """

    def __init__(self, model, x, y, classes, *, rows=None, strength=None, steps=20, seed=0):
        self.model, self.x, self.y, self.classes, self.seed = model, x, y, tuple(classes), seed
        self.rows = {r.name: r for r in attacks.ATTACKS if rows is None or r.name in rows}
        for name in rows or ():
            attacks.get(name)  # says which there are, where this one is not
        self.steps = steps
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

    def _run(self, name, image, target, strength):
        """Run one attack; return its iterates [steps + 1, C, H, W] and their probabilities."""
        with one_thread():
            return self._iterates(name, image, target, strength)

    def _iterates(self, name, image, target, strength):
        row, part = self.rows[name], slice(image, image + 1)
        x, y = self.x[part], self.y[part]
        options = {row.strength: strength} if row.strength else {}
        options |= {"steps": self.steps} if row.iterates else {}
        if target >= 0 and row.goal == "both":
            options["target"] = torch.full_like(y, target)
        path = [x]
        seeded = torch.Generator(device=x.device).manual_seed(self.seed)
        row.function(
            self.model,
            x,
            y,
            generator=seeded,
            on_step=lambda _, x_adv: path.append(x_adv),
            **options,
        )
        path = torch.cat(path)
        with torch.no_grad(), frozen(self.model):
            return path.cpu(), logits(self.model, path).softmax(1).cpu()

    def frame(self, attack, image, target, strength, step, draw=None):
        """Return (image bytes, caption) of one setting; `draw` is the panel's, PNG by default."""
        row = self.rows[attack]
        path, shares = self.run(attack, image, target, strength)
        step = min(step, len(path) - 1) if row.iterates else len(path) - 1
        note = f"{attack}, {LABELS[row.strength]} {strength:.3g}" if row.strength else attack
        note += f", iteration {step} of {self.steps}." if row.iterates else "."
        y = int(self.y[image])
        return (draw or self.panel.draw)(
            x=path[0], x_adv=path[step], before=shares[0], after=shares[step], y=y, note=note
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
