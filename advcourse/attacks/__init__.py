"""Every attack of the course, and the table `ATTACKS` that lists them.

To add one: write a function under `@attack` in a file of its family, and a row here. Tests,
tables and the explorer's menu pick it up from the row.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .adaptive import BPDA, EOT, Rescaled
from .advgan import Generator, train_generator
from .apgd import apgd
from .apgd_targeted import apgd_targeted
from .carlini_wagner import carlini_wagner
from .contract import attack
from .ddn import ddn
from .deepfool import deepfool
from .expectation import eot_pgd
from .fgsm import fgsm, gradient_ascent
from .generate import generate
from .hop_skip_jump import hop_skip_jump
from .joint import joint
from .jsma import jsma
from .noise import gaussian_noise, negative, uniform_noise
from .oracle import BudgetSpent, Oracle, Trace, ask, ask_labels, behind
from .patch import patch
from .pgd import bim, pgd
from .projection import project
from .square import square
from .sticker import Patch
from .substitute import Round, jacobian_augment, train_substitute
from .universal import universal

__all__ = [
    "ATTACKS",
    "BPDA",
    "EOT",
    "Attack",
    "BudgetSpent",
    "Generator",
    "Oracle",
    "Patch",
    "Rescaled",
    "Round",
    "Trace",
    "apgd",
    "apgd_targeted",
    "ask",
    "ask_labels",
    "attack",
    "behind",
    "bim",
    "carlini_wagner",
    "ddn",
    "deepfool",
    "eot_pgd",
    "fgsm",
    "gaussian_noise",
    "generate",
    "get",
    "gradient_ascent",
    "hop_skip_jump",
    "jacobian_augment",
    "joint",
    "jsma",
    "negative",
    "patch",
    "pgd",
    "project",
    "square",
    "train_generator",
    "train_substitute",
    "uniform_noise",
    "universal",
]


@dataclass(frozen=True)
class Attack:
    """A row of the table.

    strength: the argument that a strength slider sets (None where there is nothing to set), and
    `strongest`, where that slider ends; `iterates`: whether the attack takes
    `steps` or `queries`.
    """

    name: str
    function: Callable
    goal: str  # "untargeted", or "both" where it can aim as well
    knowledge: str  # "white box" or "black box"
    norm: str  # the norm that its budget bounds, or that it keeps small ("least l2"), or "none"
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
    Attack("bim", bim, "both", "white box", "linf", 5, "eps", iterates=True),
    Attack("pgd", pgd, "both", "white box", "linf", 5, "eps", iterates=True),
    Attack("deepfool", deepfool, "untargeted", "white box", "least l2", 6, iterates=True),
    Attack(
        "carlini_wagner",
        carlini_wagner,
        "both",
        "white box",
        "least l2",
        7,
        "confidence",
        10.0,
        True,
    ),
    Attack("ddn", ddn, "both", "white box", "least l2", 7, iterates=True),
    Attack("generate", generate, "both", "white box", "none", 7, "weight", 0.1, True),
    Attack("jsma", jsma, "both", "white box", "least l0", 8, "gamma", 0.2, True),
    Attack("square", square, "both", "black box", "linf", 9, "eps", iterates=True),
    Attack("hop_skip_jump", hop_skip_jump, "both", "black box", "least l2", 9, iterates=True),
    Attack("apgd", apgd, "both", "white box", "linf", 17, "eps", iterates=True),
)


def get(name):
    """Return the row called `name`, or say which there are."""
    for row in ATTACKS:
        if row.name == name:
            return row
    raise ValueError(f"no attack {name!r}; there are {', '.join(row.name for row in ATTACKS)}")
