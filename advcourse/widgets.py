"""Explorers: sliders and menus over panels, and their twins for pages without a kernel.

No arithmetic here: attacks compute, panels draw, this module connects a control to a redraw.
"""

import asyncio
import functools
import html as html_lib
from contextlib import contextmanager

import ipywidgets as w
import torch

from . import attacks, panels, taxonomy, twins
from .attacks.contract import frozen, logits

WIDE = w.Layout(width="98%")
# ipywidgets names neither its sliders' handles nor its pictures for a screen reader. This runs in
# the page with every new status line, which is also what the picture shows, in words.
NAMED = (
    "const box=this.closest('.advcourse-explorer'),text=this.parentElement;"
    "text.setAttribute('aria-live','polite');"
    "box.querySelectorAll('.widget-slider').forEach(s=>s.querySelectorAll('[role=slider]').forEach("
    "h=>h.setAttribute('aria-label',s.querySelector('.widget-label').textContent)));"
    "box.querySelector('.advcourse-picture').alt=text.textContent"
)
LABELS = {"eps": "epsilon", "std": "std", "step_size": "step size"}


def slider(value, low, high, step=None, description="epsilon"):
    """Return a slider: whole numbers where `step` is an int, else a fiftieth of the range a step."""
    kind = w.IntSlider if isinstance(step, int) else w.FloatSlider
    more = {} if kind is w.IntSlider else {"readout_format": ".3f"}
    return kind(
        value=value,
        min=low,
        max=high,
        step=step or (high - low) / 50,
        description=description,
        layout=WIDE,
        style={"description_width": "6.5em"},
        **more,
    )


def menu(options, description, value=None):
    """Return a menu; options: labels, or (label, value) pairs."""
    return w.Dropdown(
        options=options,
        value=value if value is not None else w.Dropdown(options=options).value,
        description=description,
        style={"description_width": "6.5em"},
        layout=w.Layout(width="auto", min_width="12em"),
    )


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


class Explorer(w.VBox):
    """A picture, a line of text, and the controls whose values a `render` function draws.

    render(**values) -> (png bytes, caption), where the keys are those of `controls`.
    The line of text says what the picture shows; a screen reader reads it after every move.
    """

    def __init__(self, render, controls, label):
        self.render = functools.lru_cache(maxsize=2000)(render)
        self.controls, self._ahead = controls, None
        self.picture = w.Image(format="png", layout=w.Layout(max_width="100%"))
        self.status = w.HTML()
        self.status.add_class("advcourse-status")
        self.picture.add_class("advcourse-picture")
        menus = [c for c in controls.values() if isinstance(c, w.Dropdown)]
        sliders = [c for c in controls.values() if not isinstance(c, w.Dropdown)]
        heading = w.HTML(f"<b>{html_lib.escape(label)}</b>")
        super().__init__([heading, w.HBox(menus), *sliders, self.picture, self.status])
        self.children[1].layout.flex_flow = "row wrap"
        self.add_class("advcourse-explorer")
        for control in controls.values():
            control.observe(self._moved, names="value")
        self.refresh()

    def values(self):
        """Return what the controls are set to, by name; rounded, because a cache compares them."""
        return {name: _rounded(control.value) for name, control in self.controls.items()}

    def refresh(self):
        """Draw the picture for the current values."""
        png, self.caption = self.render(**self.values())
        self.picture.value = png
        self.status.value = f'{html_lib.escape(self.caption)}<style onload="{NAMED}"></style>'

    def _moved(self, change):
        try:
            self.refresh()
            self._look_ahead(change)
        except Exception as problem:  # a front end shows no traceback of a callback: say it here
            text = html_lib.escape(f"{type(problem).__name__}: {problem}")
            self.status.value = f'<span role="alert" style="color:#a40000">{text}</span>'
            raise

    def _look_ahead(self, change):
        """Draw one more step of the same slider while the kernel rests, so that a held key is fast."""
        control, moved = change["owner"], change["new"] != change["old"]
        step = getattr(control, "step", None)
        if not moved or step is None or abs(abs(change["new"] - change["old"]) - step) > 1e-9:
            return  # a menu, or a leap with the mouse: nobody knows where to next
        ahead = change["new"] + (change["new"] - change["old"])
        name = next(name for name, c in self.controls.items() if c is control)
        values = self.values() | {name: _rounded(min(max(ahead, control.min), control.max))}
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no kernel here
            return
        if self._ahead:
            self._ahead.cancel()
        self._ahead = loop.call_later(0.03, lambda: self.render(**values))


def _rounded(value):
    return round(value, 6) if isinstance(value, float) else value


def explore(panel, label, **controls):
    """Return an explorer of `panel`: every control moves the argument of its name."""
    return Explorer(panel.draw, controls, label)


def twin(panel, label, **axes):
    """Return the kernel-free twin of `explore(panel, ...)`: {argument: values} along each slider."""
    return twins.Twin(panel.frame, label, axes)


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


class TaxonomyExplorer(w.VBox):
    """The taxonomy of lecture 01: choose phase and victim, and follow a cell to its lecture."""

    def __init__(self):
        victims = [("any", None), *((v, v) for v in taxonomy.VICTIMS)]
        self.phase, self.victim = menu(list(taxonomy.PHASES), "phase"), menu(victims, "victim")
        self.table = w.HTML()
        super().__init__([w.HBox([self.phase, self.victim]), self.table])
        for control in (self.phase, self.victim):
            control.observe(self.refresh, names="value")
        self.refresh()

    def refresh(self, _change=None):
        """Show the cells for the chosen phase and victim."""
        self.table.value = taxonomy.grid(self.phase.value, self.victim.value)
