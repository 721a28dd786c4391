"""Explorers: sliders and menus over panels, and their twins for pages without a kernel."""

from .attack import LABELS, AttackExplorer
from .explorer import Explorer, explore, menu, slider, twin
from .saliency import SaliencyExplorer
from .spam import SpamGame
from .spam_page import SpamPage
from .taxonomy import TaxonomyExplorer

__all__ = [
    "LABELS",
    "AttackExplorer",
    "Explorer",
    "SaliencyExplorer",
    "SpamGame",
    "SpamPage",
    "TaxonomyExplorer",
    "explore",
    "menu",
    "slider",
    "twin",
]
