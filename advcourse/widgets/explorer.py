"""Explorers: sliders and menus over panels, and their twins for pages without a kernel.

No arithmetic here: attacks compute, panels draw, this module connects a control to a redraw.
"""

import asyncio
import functools
import html as html_lib

import ipywidgets as w

from .. import twins

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
        style={"description_width": "7.5em"},
        **more,
    )


def menu(options, description, value=None):
    """Return a menu; options: labels, or (label, value) pairs."""
    return w.Dropdown(
        options=options,
        value=value if value is not None else w.Dropdown(options=options).value,
        description=description,
        style={"description_width": "7.5em"},
        layout=w.Layout(width="auto", min_width="12em"),
    )


class Explorer(w.VBox):
    """A picture, a line of text, and the controls whose values a `render` function draws.

    render(**values) -> (png bytes, caption), where the keys are those of `controls`.
    The line of text says what the picture shows; a screen reader reads it after every move.
    """

    def __init__(self, render, controls, label):
        self.render = functools.lru_cache(maxsize=500)(render)
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
        self._look_around()

    def values(self):
        """Return what the controls are set to, by name; rounded, because a cache compares them."""
        return {name: _rounded(control.value) for name, control in self.controls.items()}

    def refresh(self):
        """Draw the picture for the current values."""
        png, self.caption = self.render(**self.values())
        self.picture.value = png
        self.status.value = f'{html_lib.escape(self.caption)}<style onload="{NAMED}"></style>'

    def _moved(self, _change):
        try:
            self.refresh()
            self._look_around()
        except Exception as problem:  # a front end shows no traceback of a callback: say it here
            text = html_lib.escape(f"{type(problem).__name__}: {problem}")
            self.status.value = f'<span role="alert" style="color:#a40000">{text}</span>'
            raise

    def draws_ahead(self, name):
        """Say whether what the slider `name` would show is worth drawing before anyone asks."""
        return True

    def _look_around(self):
        """Draw what each slider would show, nearest first, while the kernel has nothing else to do.

        Then a move, however far, only looks up its picture.
        """
        if self._ahead:
            self._ahead.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no kernel here
            return
        now, waiting = self.values(), []
        for name, control in self.controls.items():
            if isinstance(control, w.Dropdown) or control.disabled:
                continue
            for i in range(round((control.max - control.min) / control.step) + 1):
                value = _rounded(control.min + i * control.step)
                steps = abs(value - now[name]) / control.step
                waiting.append((steps, len(waiting), name, now | {name: value}))
        waiting.sort(reverse=True)

        def draw_next():
            *_, name, values = waiting.pop()
            try:
                if self.draws_ahead(name):
                    self.render(**values)
            except Exception:  # it is said when the reader gets there
                return
            if waiting:
                self._ahead = loop.call_later(0.005, draw_next)

        self._ahead = loop.call_later(0.05, draw_next)


def _rounded(value):
    return round(value, 6) if isinstance(value, float) else value


def explore(panel, label, **controls):
    """Return an explorer of `panel`: every control moves the argument of its name."""
    return Explorer(panel.draw, controls, label)


def twin(panel, label, named=None, start=None, **axes):
    """Return the kernel-free twin of `explore(panel, ...)`: {argument: values} along each slider.

    named: {argument: what its slider is called}; start: {argument: the value at which it opens},
    where that is not the first.
    """
    return twins.Twin(panel.frame, label, axes, named, start)
