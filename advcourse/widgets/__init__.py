"""Explorers: sliders and menus over panels, and their twins for pages without a kernel."""

from .attack import LABELS, AttackExplorer
from .explorer import Explorer, explore, menu, slider, twin
from .taxonomy import TaxonomyExplorer

__all__ = [
    "LABELS",
    "AttackExplorer",
    "Explorer",
    "TaxonomyExplorer",
    "explore",
    "menu",
    "slider",
    "twin",
]
