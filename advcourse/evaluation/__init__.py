"""An honest evaluation in one call: the worst of several attacks, and what exposes a masked gradient.

`evaluate` is AutoAttack's recipe by the course's own attacks, with the tests of Athalye, Carlini and
Wagner 2018 and of Carlini et al. 2019, each as a sentence with its numbers (lecture 17).
"""

from .judge import evaluate, of
from .verdict import Attempt, Test, Verdict

__all__ = ["Attempt", "Test", "Verdict", "evaluate", "of"]
