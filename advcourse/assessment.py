"""The unguided assessments that close a lab: a goal, a budget, a score (labs 09, 10 and 12)."""

import math
import os
from dataclasses import dataclass

import torch

from . import metrics
from .attacks import BudgetSpent, Oracle
from .checks.core import Mistake, Verdict, ask, brief

LEVELS = ("bronze", "silver", "gold")
# What a level may ask for: the comparison that has to hold, and how it is written.
ASKED = {"success": (">=", "at least"), "distance": ("<=", "at most"), "queries": ("<=", "at most")}


@dataclass(frozen=True)
class Assessment:
    """What `assess` found; it shows itself as a Markdown table under one line, true at any level."""

    level: str | None  # "gold", "silver", "bronze", or None
    said: str
    n: int = 0
    success: float = math.nan
    interval: tuple = (math.nan, math.nan)  # 95 %, of `success`
    distance: float = math.nan  # medians over all inputs; a failure counts as infinite
    queries: float = math.nan
    attempted: bool = True
    lines: tuple = ()  # the table's rows: (name, {"success", "distance", "queries"})

    def __bool__(self):
        return self.level is not None

    def __repr__(self):
        return self.said

    def _repr_markdown_(self):
        if not self.lines:
            return self.said
        rows = ["| | success | median distance | median queries |", "|---|---|---|---|"]
        for name, numbers in self.lines:
            cells = (_cell(kind, numbers.get(kind)) for kind in ASKED)
            rows.append(f"| {name} | {' | '.join(cells)} |")
        return "\n".join([self.said, "", *rows])


def assess(
    attempt,
    victim,
    x,
    y,
    *,
    budget,
    levels,
    answers="labels",
    distance="l2",
    limit=math.inf,
    bounds=None,
    won=None,
    target=None,
    peers=None,
    seed=0,
):
    """Let `attempt` loose on a victim behind an Oracle, and score what it returns, for an Assessment.

    attempt(oracle, x, y, generator) -> found [N, ...]. victim: any callable; budget: queries for
    each input (None: no limit). distance: "l0", "l1", "l2", "linf", or a function (x, found) -> [N];
    what lies farther than `limit`, or outside of `bounds` (lowest, highest), has failed. won: found
    -> mask [N] of successes; None: the victim's label is not y, or is `target`. levels: {"bronze":
    {"success": least share, "distance": largest median, "queries": largest median}, "silver": ...,
    "gold": ...}, each number only where it is asked. peers: {name: the same three numbers}, for the
    table. What the attempt does wrong is a sentence, and an AssertionError under ADVCOURSE_STRICT.
    Raises ValueError for bad levels.
    """
    for name, asked in levels.items():
        if name not in LEVELS or not asked or not set(asked) <= set(ASKED):
            raise ValueError(f"levels: {name!r}: {asked} is none; {LEVELS} ask for {list(ASKED)}")
    oracle = Oracle(victim, answers, budget)
    source = torch.Generator(device=x.device).manual_seed(seed)
    try:
        found = _attempted(attempt, oracle, x, y, source)
    except NotImplementedError:
        if os.environ.get("NBGRADER_EXECUTION"):
            raise
        return Assessment(None, repr(Verdict("assessment", "open", "")), attempted=False)
    except Mistake as mistake:
        return _told(Assessment(None, repr(Verdict("assessment", "wrong", str(mistake)))))
    with torch.no_grad():
        if won is None:
            label = Oracle(victim, "labels")(found)
            success = label != y if target is None else label == target
        else:
            success = won(found).bool()
        far = distance(x, found) if callable(distance) else metrics.norms(found - x)[distance]
    success = success & (far <= limit + 1e-6)
    if bounds is not None:
        success &= ((found >= bounds[0]) & (found <= bounds[1])).flatten(1).all(1)
    success = success.cpu()
    queries = torch.zeros(len(x), dtype=torch.int64)
    queries[: len(oracle.queries)] = oracle.queries[: len(x)]
    share, count = success.double().mean().item(), int(success.sum())
    own = {
        "success": share,
        "distance": median(torch.where(success, far.cpu().double(), torch.inf)),
        "queries": median(torch.where(success, queries.double(), torch.inf)),
    }
    level = next((name for name in reversed(LEVELS) if _reaches(own, levels.get(name))), None)
    missing = next(
        (name for name in LEVELS if name in levels and not _reaches(own, levels[name])), ""
    )
    said = f"**{level}**" if level else "no level yet"
    if missing:
        said += f"; {missing} asks for {_wanted(levels[missing])}"
    interval = metrics.wilson(count, len(x))
    head = (
        f"{said}. {count} of {len(x)} inputs, {share:.0%} ({interval[0]:.0%} to {interval[1]:.0%})."
    )
    lines = [("this attempt", own)]
    lines += [(f"{name} (asked)", levels[name]) for name in LEVELS if name in levels]
    lines += (peers or {}).items()
    return _told(
        Assessment(
            level,
            head,
            len(x),
            share,
            interval,
            own["distance"],
            own["queries"],
            True,
            tuple(lines),
        )
    )


def _attempted(attempt, oracle, x, y, source):
    """Return what the attempt found, or raise the Mistake that says what went wrong."""
    refused = []

    def watched(*args):
        try:
            return attempt(*args)
        except BudgetSpent as spent:
            refused.append(spent)
            raise

    try:
        found = ask(watched, oracle, x.clone(), y.clone(), source)
    except Mistake:
        if refused:
            raise Mistake(
                f"{refused[0]}; count, or ask oracle.left(rows), and return the best so far in time"
            ) from None
        raise
    if not isinstance(found, torch.Tensor) or found.shape != x.shape:
        got = tuple(found.shape) if isinstance(found, torch.Tensor) else brief(found)
        raise Mistake(f"return one input for each, a tensor {tuple(x.shape)}; it returned {got}")
    if found.requires_grad or (found.is_floating_point() and bool(found.isnan().any())):
        raise Mistake("return plain numbers: detached, and without NaN")
    return found


def _told(result):
    """Return the result; where a test wants to see failures, raise instead of returning one."""
    if not result and (os.environ.get("ADVCOURSE_STRICT") or os.environ.get("NBGRADER_EXECUTION")):
        raise AssertionError(result.said)
    return result


def median(values):
    """Return the median of values [N]; of an even number the mean of the two in the middle."""
    ordered = values.sort().values
    return ordered[[(len(ordered) - 1) // 2, len(ordered) // 2]].mean().item()


def _reaches(own, asked):
    """Tell whether the numbers meet everything that a level asks for; no level is never met."""
    if asked is None:
        return False
    signs = {">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b}
    return all(signs[ASKED[kind][0]](own[kind], value) for kind, value in asked.items())


def _wanted(asked):
    """Say what a level asks for, in words."""
    words = {"success": "success", "distance": "a median distance of", "queries": "median queries"}
    return ", ".join(f"{words[k]} {ASKED[k][1]} {_cell(k, v)}" for k, v in asked.items())


def _cell(kind, value):
    """Return a number for the table: nothing where it is not known, a word where there is none."""
    if value is None or math.isnan(value):
        return ""
    if math.isinf(value):
        return "none"
    return {"success": f"{value:.0%}", "distance": f"{value:.2f}"}.get(kind, f"{value:,.0f}")
