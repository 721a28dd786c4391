"""Distance plus c times an objective, minimized: Carlini and Wagner's attacks (lecture 07)."""

from dataclasses import replace

import torch

from .contract import attack, hook_for, input_gradient
from .descent import BOXES, Task, descend, squared_l2
from .inputs import logits, one_of
from .objectives import OBJECTIVES, margin


@attack
def carlini_wagner(
    model,
    x,
    y,
    *,
    confidence=0.0,
    objective="f6",
    norm="l2",
    box="tanh",
    steps=100,
    binary_search_steps=9,
    learning_rate=None,
    initial_c=1e-3,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Minimize distance(x_adv, x) + c * f(x_adv) over x_adv, with a search for the right c.

    norm: "l2", "linf" or "l0". objective: "f1" to "f7" (objectives.py). confidence: by how much
    the winning logit must lead ("f6" and "f7" aim at it). box: "tanh" writes each pixel as a tanh
    of a free variable, as in the paper; "clip" moves the pixels themselves and clips them, which
    needs about a third of the passes. steps: of Adam for each c, at `learning_rate` (None: .1 for
    tanh, .05 for clip; it falls to a tenth; far fewer than 100 steps need a larger one).
    binary_search_steps: how many values of c, starting from initial_c; for linf and l0, how often
    c may grow before the attack gives up.
    Returns the smallest success, and x itself where there is none or where it was wrong already.
    Raises ValueError for bad input.
    Source: Carlini and Wagner 2017, "Towards evaluating the robustness of neural networks";
    lecture 07.
    """
    one_of("objective", objective, list(OBJECTIVES))
    one_of("norm", norm, ("l2", "linf", "l0"))
    one_of("box", box, list(BOXES))
    if confidence and objective not in ("f6", "f7"):
        raise ValueError(
            f"confidence: {objective} is made of probabilities and knows no lead of logits; "
            "use f6 or f7, or confidence 0"
        )
    rate = {"tanh": 0.1, "clip": 0.05}[box] if learning_rate is None else learning_rate
    task = Task(model, x, y, target, objective, confidence, BOXES[box](bounds))
    with torch.no_grad():
        rows = (~task.won(logits(model, x))).nonzero()[:, 0]
    found, hook = x.clone(), hook_for(on_step, x, rows)
    if len(rows):
        input_gradient(model, x[rows[:1]], lambda z: z)  # which says so where there is none
        search = {"l2": search_l2, "linf": search_linf, "l0": search_l0}[norm]
        found[rows] = search(task.only(rows), steps, binary_search_steps, rate, initial_c, hook)
    return found


def search_l2(task, steps, tries, rate, initial_c, on_step):
    """Search each example's c for the nearest success in l2, and return it, or x [N, ...]."""
    least = torch.full_like(task.x.flatten(1)[:, 0], torch.inf)
    low, high, c = torch.zeros_like(least), least, torch.full_like(least, initial_c)
    found, w = task.x.clone(), task.box.free(task.x)
    for _ in range(tries):
        x_adv, away, _ = descend(task, w, c, squared_l2, steps, rate, on_step)
        closer, won = away < least, away < torch.inf
        found[closer], least = x_adv[closer], torch.minimum(away, least)
        high, low = torch.where(won, c, high), torch.where(won, low, c)
        c = torch.where(high < torch.inf, (low + high) / 2, 10 * c)
    return found


def search_linf(task, steps, tries, rate, initial_c, on_step):
    """Push every pixel's change below a limit that falls, until that fails."""
    limit = torch.full_like(task.x.flatten(1)[:, 0], torch.inf)

    def attempt(rows, w, c, hook):
        tau = limit[rows]

        def excess(delta, some):
            return (delta.flatten(1).abs() - tau[some, None]).clamp(min=0).sum(1)

        def fits(delta, some):
            return delta.flatten(1).abs().amax(1) <= tau[some]

        return descend(task.only(rows), w, c, excess, steps, rate, hook, fits)

    def tighten(rows, x_adv):
        size = (x_adv - task.x[rows]).flatten(1).abs().amax(1)
        limit[rows] = 0.9 * torch.minimum(limit[rows], size)
        return limit[rows] > 1 / 256

    return until_failure(task, attempt, tighten, tries, initial_c, on_step)


def search_l0(task, steps, tries, rate, initial_c, on_step):
    """Attack in l2, then hold the pixels that mattered least, again and again until that fails."""
    movable = torch.ones_like(task.x, dtype=torch.bool)

    def attempt(rows, w, c, hook):
        part = replace(task.only(rows), movable=movable[rows])
        return descend(part, w, c, squared_l2, steps, rate, hook, always)

    def tighten(rows, x_adv):
        part, here = task.only(rows), x_adv.clone().requires_grad_()
        lead = margin(logits(task.model, here), part.y, part.target)  # f6 is flat at a success
        (gradient,) = torch.autograd.grad(lead.sum(), here)
        gain = (gradient * (x_adv - part.x)).abs().flatten(1)
        changed = (x_adv != part.x).flatten(1).sum(1, keepdim=True)
        rank = gain.argsort(1, descending=True).argsort(1)
        movable[rows] = (rank < (0.8 * changed).floor()).view_as(x_adv)
        return changed[:, 0] > 1

    return until_failure(task, attempt, tighten, tries, initial_c, on_step)


def always(delta, rows):
    """Return a mask [M] of every example."""
    return torch.ones_like(rows, dtype=torch.bool)


def until_failure(task, attempt, tighten, tries, initial_c, on_step):
    """Alternate: find a success (c grows tenfold after each failure), then tighten what it may do."""
    found, w = task.x.clone(), task.box.free(task.x)
    c = torch.full_like(task.x.flatten(1)[:, 0], initial_c)
    failures, rows = torch.zeros_like(c), torch.arange(len(c), device=c.device)
    while len(rows):
        hook = hook_for(on_step, found, rows)
        x_adv, least, w[rows] = attempt(rows, w[rows], c[rows], hook)
        won = least < torch.inf
        again, lost = torch.ones_like(won), rows[~won]
        found[rows[won]] = x_adv[won]
        again[won] = tighten(rows[won], x_adv[won]) if bool(won.any()) else again[won]
        c[lost], failures[lost] = 10 * c[lost], failures[lost] + 1
        again[~won] = failures[lost] < tries
        rows = rows[again]
    return found
