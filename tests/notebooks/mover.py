"""Move every control of a notebook, from inside its kernel; no runner does, and errors hide there.

ipywidgets hands what a callback raises to showtraceback and goes on: `listen` keeps it.
"""

import sys

import ipywidgets as w
from IPython import get_ipython
from IPython.display import display
from ipywidgets.widgets.widget import _instances

CHOSEN = (w.SelectionSlider, w.SelectionRangeSlider)
RANGES = (w.IntRangeSlider, w.FloatRangeSlider, w.SelectionRangeSlider)
SLIDERS = (w.IntSlider, w.FloatSlider, w.FloatLogSlider, *CHOSEN, *RANGES)
MENUS = (w.Dropdown, w.ToggleButtons, w.RadioButtons, w.Select)
SWITCHES = (w.Checkbox, w.ToggleButton)

swallowed = []  # one line per exception
moved = {}  # "slider epsilon" -> the values it had


def listen():
    """Record every exception from here on, shown or swallowed."""
    shell = get_ipython()
    show = shell.showtraceback

    def showtraceback(exc_tuple=None, *args, **kwargs):
        error = exc_tuple[1] if exc_tuple else sys.exc_info()[1]
        swallowed.append(f"{type(error).__name__}: {error}")
        return show(exc_tuple, *args, **kwargs)

    shell.showtraceback = showtraceback


def move_everything():
    """Take each slider to both ends and the middle, each menu and switch through its options."""
    for slider in controls(SLIDERS):
        walk(slider, *stops(slider))
    for switch in controls(SWITCHES):
        walk(switch, "value", [not switch.value])
    usual = ranges()
    for menu in controls(MENUS):
        # A choice may wake a slider (the iterations of an attack that has any) or stretch it.
        walk(menu, "index", range(len(menu.options)), then=lambda: move_changed(usual))


def move_changed(usual):
    for slider in controls(SLIDERS):
        if ranges()[slider.model_id] != usual.get(slider.model_id):
            walk(slider, *stops(slider))


def report():
    """Display what happened, for the test to read."""
    display({"application/json": {"swallowed": swallowed, "moved": moved}}, raw=True)


def blame():
    """Raise with everything that went wrong, where the runner asks nobody to read `report`."""
    if swallowed:
        raise AssertionError("\n".join(swallowed))


def controls(kinds):
    """List the widgets of some kinds that a hand could move now."""
    return [x for x in list(_instances.values()) if isinstance(x, kinds) and not x.disabled]


def ranges():
    """Say of each slider that can be moved how far, by the id of its model."""
    return {slider.model_id: stops(slider) for slider in controls(SLIDERS)}


def stops(slider):
    """Return the trait that a hand moves and its values at the minimum, middle and maximum."""
    if isinstance(slider, CHOSEN):
        last = len(slider.options) - 1
        low, middle, high = 0, last // 2, last
    elif isinstance(slider, w.FloatLogSlider):
        ends = slider.min, slider.max
        low, middle, high = (slider.base**e for e in (ends[0], sum(ends) / 2, ends[1]))
    else:
        low, high = slider.min, slider.max
        middle = low + (high - low) // 2 if isinstance(low, int) else (low + high) / 2
    values = [low, middle, high]
    if isinstance(slider, RANGES):
        values = [(low, low), (low, middle), (middle, high), (low, high)]
    return "index" if isinstance(slider, CHOSEN) else "value", values


def walk(widget, trait, values, then=lambda: None):
    """Give the widget each value in turn, do `then` at each, and put the first one back."""
    kind = "slider" if isinstance(widget, SLIDERS) else "menu"
    name = f"{kind} {widget.description}".strip()
    before = getattr(widget, trait)
    for value in [*values, before]:
        try:
            setattr(widget, trait, value)
            moved.setdefault(name, []).append(str(value))
            then()
        except Exception as error:
            swallowed.append(f"{name} at {value}: {type(error).__name__}: {error}")
