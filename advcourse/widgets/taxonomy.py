"""The taxonomy of lecture 01 under two menus."""

import ipywidgets as w

from .. import taxonomy
from .explorer import menu


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
