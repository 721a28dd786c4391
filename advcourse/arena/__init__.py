"""The game of lecture 17: every attack of the course against every defense, as one matrix.

Rows are attackers, columns are defenses (`defended.CATALOG`), and a cell is the share of the images
that hold: the victim is right about them, or refuses. Readers join with `@arena.attack("mine")` and
`@arena.defense("mine")`. `play` computes what is missing, cell by cell; `read` reads what is
committed. The rules, and what counts as being inside the ball, stand in `rules.py`.
"""

from .duel import ArenaError
from .files import read
from .matrix import Matrix, Picture
from .rules import attack, defense, leave
from .tournament import play

__all__ = ["ArenaError", "Matrix", "Picture", "attack", "defense", "leave", "play", "read"]
