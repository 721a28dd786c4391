"""Who plays: the rows (attackers) and the columns (defenses) of the game, and how readers join.

The rules. Every row but one must stay in the linf ball of radius eps. An attack that keeps another
norm small (DeepFool, Carlini-Wagner, DDN, HopSkipJump), or that knows no budget (Gaussian noise, the
negative, gradient ascent, generate), runs as it is; then each pixel is pulled back to within eps of
the original, and the victim is asked about that. So such a row says what its idea is worth in this
ball, and not whether it succeeds where it may go as far as it likes. JSMA would lose all that it is
if it were pulled back: it keeps a budget of its own, a tenth of the pixels, each by any amount, and
its name says so. White-box rows attack what the victim shows, a refusal being one more class for
them. Black-box rows ask through an `attacks.Oracle`. Where a white-box row finds no gradient it
sends the image as it was, and the cell carries a note. A reader's attack is not pulled back: if it
leaves the ball, it is disqualified.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .. import attacks, defended
from ..attacks.pgd import Ball

# Numbers are settings; "eps" stands for the budget of the game. A row of ATTACKS that is not here
# gets its eps, if it has one, and its defaults.
SETTINGS = {
    "gaussian_noise": {"std": "eps"},
    "gradient_ascent": {"step_size": 1.0, "steps": 40},
    "bim": {"eps": "eps", "steps": 40},
    "pgd": {"eps": "eps", "steps": 40},
    "deepfool": {"steps": 30},
    "carlini_wagner": {"steps": 50, "binary_search_steps": 4},
    "ddn": {"steps": 60},
    "generate": {"weight": 0.05, "steps": 60},
    "square": {"eps": "eps", "queries": 300},
    "hop_skip_jump": {"norm": "linf", "queries": 300},
    "apgd": {"eps": "eps", "steps": 40},
}
# About how often each image goes through the victim: a slow cell takes fewer images (`images_for`).
PASSES = {"jsma": 80, "deepfool": 300, "carlini_wagner": 400, "ddn": 120, "generate": 120}
PASSES |= {"pgd": 80, "bim": 80, "gradient_ascent": 80, "apgd": 80}
PASSES |= {"square": 300, "hop_skip_jump": 300, "adaptive": 15, "unaware": 1}
# And about how many passes of LeNet-5 one pass of a slow victim costs.
COSTS = {"Defense-GAN": 200, "randomized smoothing, sigma .5": 100}
COSTS |= {"kernel density and doubt": 4, "local intrinsic dimension": 10}
COSTS |= {"random resizing and padding": 3, "thermometer, 16 levels": 3}
BLIND = {*list(COSTS)[:2], "thermometer, 16 levels", "binary threshold .5"}  # no gradient to follow
AFFORDABLE, FEWEST = 20_000, 5
OWN_BUDGET = {"jsma": "JSMA, 10 % of the pixels"}


@dataclass(frozen=True)
class Attacker:
    """A row. function: (victim: Defended, x, y, eps, generator) -> x_adv [N, ...].

    settings: in words, all that decides what it does; inside: whether it must stay in the ball;
    white: whether it follows the victim's gradient; where there is none, that is a note and no error.
    own: whether a reader's. passes: about how often each image goes through the victim.
    """

    name: str
    lecture: int | None
    function: Callable
    settings: str = ""
    inside: bool = True
    white: bool = False
    own: bool = False
    passes: int = 1


ATTACKERS, DEFENDERS = {}, {}  # the readers' own, by name: those of this session


def rows():
    """Return {name: Attacker}: the course's own, then the readers'."""
    found = [_nobody(), *(_from_table(row) for row in attacks.ATTACKS), *_knowing()]
    return {row.name: row for row in found} | ATTACKERS


def columns():
    """Return {name: maker}, (images, device) -> Defended: the catalog, then the readers'."""
    return defended.CATALOG | DEFENDERS


def attack(name, lecture=None):
    """Let a function join the rows under `name`, for this session: `@arena.attack("mine")`.

    The function takes (victim: Defended, x [N, 1, H, W], y [N], eps, generator) and returns x_adv of
    the same shape, inside [0, 1] and within eps of x in every pixel. It may look at all of the
    victim: `victim.victim`, `victim.bare`, `victim.views`. It is pickled by value for other processes.
    Raises ValueError for a name that is taken. Source: lecture 17.
    """

    def join(function):
        _check_free("attack", name, rows(), ATTACKERS.get(name), function)
        ATTACKERS[name] = Attacker(name, lecture, function, own=True, passes=100)
        return function

    return join


def defense(name, lecture=None):
    """Let a function join the columns under `name`, for this session: `@arena.defense("mine")`.

    The function takes (images: Dataset, device) and returns a `Defended`. Raises ValueError for a
    name that is taken. Source: lecture 17.
    """

    def join(make):
        _check_free("defense", name, columns(), DEFENDERS.get(name), make)
        DEFENDERS[name] = make
        return make

    return join


def leave(name):
    """Take a reader's attack or defense out of the game again; other names are a ValueError."""
    if name not in ATTACKERS and name not in DEFENDERS:
        raise ValueError(f"name: nobody joined as {name!r} in this session")
    ATTACKERS.pop(name, None)
    DEFENDERS.pop(name, None)


def images_for(row, column, n_images):
    """Return how many images the cell takes: all of them, or fewer where they would take too long."""
    asked = 1 if row.white and column in BLIND else row.passes
    passes = asked * COSTS.get(column, 1)
    return min(n_images, max(FEWEST, AFFORDABLE // passes))


def _check_free(kind, name, taken, mine, function):
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f'name: {name!r} is no name; write @arena.{kind}("a name")')
    if not callable(function):
        raise ValueError(f"{name}: {function!r} is no function; put @arena.{kind}(...) above a def")
    known = getattr(mine, "function", mine)
    again = known is not None and known.__qualname__ == getattr(function, "__qualname__", "")
    if name in taken and not again:  # the same cell, run again, replaces what it made
        raise ValueError(f"name: {name!r} is taken; give your {kind} another name")


def _nobody():
    return Attacker("no attack", None, lambda victim, x, y, eps, generator: x, "nothing")


def _from_table(row):
    name = OWN_BUDGET.get(row.name, row.name)
    options = SETTINGS.get(row.name, {"eps": "eps"} if row.strength == "eps" else {})
    black = row.knowledge == "black box"

    def run(victim, x, y, eps, generator):
        set_to = {k: eps if v == "eps" else v for k, v in options.items()}
        answers = "labels" if row.name == "hop_skip_jump" else "scores"
        model = attacks.Oracle(victim.victim, answers) if black else victim.victim
        x_adv = row.function(model, x, y, generator=generator, **set_to)
        return x_adv if row.name in OWN_BUDGET else pulled(x_adv, x, eps)

    words, inside = f"{row.name} {sorted(options.items())}", row.name not in OWN_BUDGET
    passes = PASSES.get(row.name, 2)
    return Attacker(name, row.lecture, run, words, inside, not black, passes=passes)


def _knowing():
    """Return the two attackers that `Defended` brings with it."""
    for kind, words in (("unaware", "unaware: PGD on the bare model"), ("adaptive", "adaptive")):

        def run(victim, x, y, eps, generator, kind=kind):
            return getattr(victim, kind)(x, y, eps, 40, generator.initial_seed())

        yield Attacker(words, 14, run, f"{kind}, 40 steps", passes=PASSES[kind])


def pulled(x_adv, x, eps):
    """Return x_adv [N, ...] with every pixel pulled back to within eps of x, and into [0, 1]."""
    return Ball(x, eps, "linf", (0.0, 1.0)).inside(x_adv)
