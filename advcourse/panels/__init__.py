"""Figures that move: built once, then only what changes is drawn again (see panel.py)."""

from .attack import attack_panel
from .balls import ball_panel, projection_panel
from .certificates import box_panel, vote_panel
from .cost import cost_panel
from .detector import detector_panel
from .gallery import gallery_panel
from .hyperplanes import hyperplane_panel
from .panel import NORM_NAMES, Panel
from .path import path_panel
from .plane import poison_panel, step_panel
from .robust import boundary_panel, minimal_panel, versus_panel
from .saliency import saliency_panel
from .transforms import transform_panel

__all__ = [
    "NORM_NAMES",
    "Panel",
    "attack_panel",
    "ball_panel",
    "boundary_panel",
    "box_panel",
    "cost_panel",
    "detector_panel",
    "gallery_panel",
    "hyperplane_panel",
    "minimal_panel",
    "path_panel",
    "poison_panel",
    "projection_panel",
    "saliency_panel",
    "step_panel",
    "transform_panel",
    "versus_panel",
    "vote_panel",
]
