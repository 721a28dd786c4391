"""What `evaluate` found: attempts, tests, and a verdict in words."""

from dataclasses import dataclass

import torch

from ..plots import share


@dataclass(frozen=True)
class Attempt:
    """One attack. left: mask [N], not fooled by it nor by any before it; seconds: what it took."""

    name: str
    left: torch.Tensor
    seconds: float


@dataclass(frozen=True)
class Test:
    """One test for a masked gradient: passed or not, a sentence that says why, and its numbers."""

    __test__ = False  # pytest, this is none of yours

    name: str
    passed: bool
    sentence: str
    numbers: dict


@dataclass(frozen=True)
class Verdict:
    """An evaluation. clean, holds: masks [N], right without an attack, and not fooled by any.

    x_adv [N, ...]: what fools the model, else the last image tried. For a model that may refuse,
    a refusal holds and is not clean.
    """

    eps: float
    norm: str
    clean: torch.Tensor
    holds: torch.Tensor
    x_adv: torch.Tensor
    attempts: tuple[Attempt, ...]
    tests: tuple[Test, ...]
    draws: int = 1  # how many answers of a random model judge an image

    @property
    def masks(self):
        """The tests that were not passed."""
        return tuple(test for test in self.tests if not test.passed)

    @property
    def believable(self):
        """Whether every test was passed."""
        return not self.masks

    @property
    def words(self):
        """The verdict: "believable", or "masked: " and the tests that say so."""
        return "masked: " + ", ".join(t.name for t in self.masks) if self.masks else "believable"

    def _repr_markdown_(self):
        budget = f"{self.norm}, epsilon {self.eps:g}"
        lines = [f"| attack ({budget}) | holds | seconds |", "|:---|---:|---:|"]
        lines.append(f"| none: right without an attack | {share(self.clean)} | |")
        lines += [f"| {a.name} | {share(a.left)} | {a.seconds:.1f} |" for a in self.attempts]
        lines += ["", "| test | passed | what it says |", "|:---|:---|:---|"]
        lines += [
            f"| {t.name} | {'yes' if t.passed else '**no**'} | {t.sentence} |" for t in self.tests
        ]
        judged = f" An image is judged by most of {self.draws} answers." if self.draws > 1 else ""
        return "\n".join([*lines, "", f"**{self.words}**: {share(self.holds)} hold.{judged}"])
