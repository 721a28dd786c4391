"""Every attack of the course, and the table `ATTACKS` that lists them.

To add one: write a function under `@attack` in a file of its family, and a row here. Tests,
tables and the explorer's menu pick it up from the row.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .contract import attack
from .fgsm import fgsm, gradient_ascent
from .noise import gaussian_noise, negative, uniform_noise
from .projection import project

__all__ = [
    "ATTACKS",
    "Attack",
    "attack",
    "fgsm",
    "gaussian_noise",
    "get",
    "gradient_ascent",
    "negative",
    "project",
    "uniform_noise",
]


@dataclass(frozen=True)
class Attack:
    """A row of the table.

    strength: the argument that a strength slider sets (None where there is nothing to set), and
    `strongest`, where that slider ends; `iterates`: whether the attack takes `steps`.
    """

    name: str
    function: Callable
    goal: str  # "untargeted", or "both" where it can aim as well
    knowledge: str  # "white box" or "black box"
    norm: str  # the norm that its budget bounds, or "none"
    lecture: int
    strength: str | None = None
    strongest: float = 0.5
    iterates: bool = False


ATTACKS = (
    Attack("gaussian_noise", gaussian_noise, "untargeted", "black box", "none", 3, "std", 1.0),
    Attack("uniform_noise", uniform_noise, "untargeted", "black box", "linf", 3, "eps"),
    Attack("negative", negative, "untargeted", "black box", "none", 3),
    Attack("fgsm", fgsm, "both", "white box", "linf", 4, "eps"),
    Attack(
        "gradient_ascent", gradient_ascent, "both", "white box", "none", 4, "step_size", 5.0, True
    ),
)


def get(name):
    """Return the row called `name`, or say which there are."""
    for row in ATTACKS:
        if row.name == name:
            return row
    raise ValueError(f"no attack {name!r}; there are {', '.join(row.name for row in ATTACKS)}")
