"""Explorers: sliders and menus over panels, and their twins for pages without a kernel."""

from .attack import LABELS, AttackExplorer
from .explorer import Explorer, explore, menu, slider, twin
from .saliency import SaliencyExplorer
from .taxonomy import TaxonomyExplorer

__all__ = [
    "LABELS",
    "AttackExplorer",
    "Explorer",
    "SaliencyExplorer",
    "TaxonomyExplorer",
    "explore",
    "menu",
    "slider",
    "twin",
]
