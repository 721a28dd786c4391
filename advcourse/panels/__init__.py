"""Figures that move: built once, then only what changes is drawn again (see panel.py)."""

from .arena import arena_figure, arena_panel
from .attack import attack_panel
from .balls import ball_panel, projection_panel
from .certificates import box_panel, vote_panel
from .cost import cost_panel
from .detector import detector_panel
from .gallery import gallery_panel
from .graph import graph_panel, neighborhood
from .hyperplanes import hyperplane_panel
from .literature import (
    crossing_panel,
    negatives_figure,
    penalty_figure,
    published_line,
    row_panel,
    sweep_figure,
)
from .masks import Masked, mask_panel
from .panel import NORM_NAMES, Panel
from .path import path_panel
from .physical import sign_panel
from .plane import poison_panel, step_panel
from .poison import backdoor_panel, component_figure, flip_figure, moments_panel
from .queries import queries_panel
from .robust import boundary_panel, minimal_panel, versus_panel
from .saliency import saliency_panel
from .spam import count_plane, spam_panel, victims, weight_bars
from .stairs import stairs_panel
from .transforms import transform_panel

__all__ = [
    "NORM_NAMES",
    "Masked",
    "Panel",
    "arena_figure",
    "arena_panel",
    "attack_panel",
    "backdoor_panel",
    "ball_panel",
    "boundary_panel",
    "box_panel",
    "component_figure",
    "cost_panel",
    "count_plane",
    "crossing_panel",
    "detector_panel",
    "flip_figure",
    "gallery_panel",
    "graph_panel",
    "hyperplane_panel",
    "mask_panel",
    "minimal_panel",
    "moments_panel",
    "negatives_figure",
    "neighborhood",
    "path_panel",
    "penalty_figure",
    "poison_panel",
    "projection_panel",
    "published_line",
    "queries_panel",
    "row_panel",
    "saliency_panel",
    "sign_panel",
    "spam_panel",
    "stairs_panel",
    "step_panel",
    "sweep_figure",
    "transform_panel",
    "versus_panel",
    "victims",
    "vote_panel",
    "weight_bars",
]
