"""Figures that move: built once, then only what changes is drawn again (see panel.py)."""

from .attack import attack_panel
from .balls import ball_panel, projection_panel
from .panel import NORM_NAMES, Panel
from .plane import poison_panel, step_panel

__all__ = [
    "NORM_NAMES",
    "Panel",
    "attack_panel",
    "ball_panel",
    "poison_panel",
    "projection_panel",
    "step_panel",
]
