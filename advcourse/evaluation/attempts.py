"""The attacks of an evaluation, and the ledger of who still stands."""

import time
from dataclasses import dataclass, field

import torch

from .. import attacks
from ..attacks.pgd import Ball
from .verdict import Attempt
from .victim import Guarded

AVERAGED = 10  # draws of a random model in one gradient
POINTS = 100  # random points for each image
FOLLOWED = 40  # PGD's steps on other models
AIMS = 9  # wrong classes that are aimed at


@dataclass
class Setting:
    """What every attack of an evaluation shares."""

    eps: float
    norm: str
    steps: int
    restarts: int
    queries: int
    generator: torch.Generator

    @property
    def ball(self):
        """The arguments that say where an attack may go, and its generator."""
        return {"eps": self.eps, "norm": self.norm, "generator": self.generator}


@dataclass
class Ledger:
    """Who stands [N]: not fooled by the clean image; and, of these, who is left after every attack."""

    victim: object
    x: torch.Tensor
    y: torch.Tensor
    bar: object
    attempts: list = field(default_factory=list)

    def __post_init__(self):
        self.stands = self.victim.holds(self.x, self.y)
        self.left, self.x_adv = self.stands.clone(), self.x.clone()

    def run(self, name, attack, everyone=False):
        """Run attack(x, y) on who is left, or on all who stand; return the mask [N] it leaves.

        What is left after all attacks so far is in `left`; an attack that is given only those who
        are left leaves no more than that.
        """
        self.bar.set_postfix_str(name)
        begun = time.perf_counter()
        mask = (self.stands if everyone else self.left).clone()
        rows = mask.nonzero()[:, 0]
        if len(rows):
            found = attack(self.x[rows], self.y[rows])
            mask[rows] = self.victim.holds(found, self.y[rows])
            open_still = self.left[rows]
            self.x_adv[rows[open_still]] = found[open_still]
        self.left = self.left & mask
        seconds = time.perf_counter() - begun
        self.attempts.append(Attempt(name, self.left.clone(), seconds))
        self.bar.update()
        return mask


def white(victim, source, setting):
    """Return {name: attack} by the gradient of `source`, the victim or a stand-in of it."""
    both = {"steps": setting.steps, **setting.ball}
    ours = victim.refusing is not None and source is victim.model
    if ours:
        return refusal(victim, source, setting)
    found = {
        "APGD, cross-entropy": lambda x, y: attacks.apgd(
            source, x, y, restarts=setting.restarts, **both
        ),
        "APGD, targeted DLR": lambda x, y: repeated(
            setting.restarts, source, x, y, lambda x, y: attacks.apgd_targeted(source, x, y, **both)
        ),
    }
    if setting.norm == "l2":
        found["DDN"] = lambda x, y: shortened(attacks.ddn(source, x, y), x, setting)
    return found


def refusal(victim, source, setting):
    """Return {name: attack} on a model that may refuse: each aims at a class, or at both parts."""
    judge, both = victim.refusing, {"steps": setting.steps, **setting.ball}

    def aimed(x, y):
        found, likely = x.clone(), victim.likely(x, y)
        for k in range(min(AIMS, likely.shape[1])):
            left = victim.holds(found, y).nonzero()[:, 0]
            if not len(left):
                break
            goal = {"target": likely[left, k], "loss": "dlr"}
            found[left] = attacks.apgd(source, x[left], y[left], **goal, **both)
        return found

    found = {"APGD, targeted DLR": aimed}
    if setting.norm == "linf":
        watch = {"score": judge.detector.score, "threshold": judge.detector.threshold}
        watch |= {"eps": setting.eps, "steps": setting.steps, "generator": setting.generator}
        bare = Guarded(judge.model)
        found["joint attack"] = lambda x, y: attacks.joint(bare, x, y, restarts=3, **watch)
    return found


def repeated(times, model, x, y, attack):
    """Return attack(x, y), again for those whom `model` still reads rightly."""
    found = attack(x, y)
    for _ in range(times - 1):
        left = (attacks.ask_labels(model, found) == y).nonzero()[:, 0]
        if not len(left):
            break
        found[left] = attack(x[left], y[left])
    return found


def shortened(found, x, setting):
    """Return the images found, pulled back into the ball around x [N, ...] where they left it."""
    return Ball(x, setting.eps, setting.norm, (0.0, 1.0)).inside(found)


def black(victim, setting):
    """Return the attack that only asks for scores."""

    def ask(x, y):
        goal = {} if victim.refusing is None else {"target": victim.likely(x, y)[:, 0]}
        return attacks.square(victim.model, x, y, queries=setting.queries, **goal, **setting.ball)

    return ask


def at_random(victim, setting):
    """Return the attack that tries random points of the ball, every second one on its surface."""

    def search(x, y):
        found, left = x.clone(), torch.arange(len(x), device=x.device)
        for k in range(POINTS):
            ball = Ball(x[left], setting.eps, setting.norm, (0.0, 1.0))
            tried = ball.random_point(setting.generator)
            if k % 2 and setting.norm == "linf":
                tried = ball.inside(ball.x + setting.eps * (tried - ball.x).sign())
            found[left] = tried
            left = left[victim.holds(tried, y[left])]
            if not len(left):
                break
        return found

    return search


def transferred(other, setting):
    """Return the attack that knows only another model."""
    both = {"steps": FOLLOWED, **setting.ball}
    return lambda x, y: attacks.pgd(other, x, y, **both)
