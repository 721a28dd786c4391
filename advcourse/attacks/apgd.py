"""PGD that chooses its own steps: on cross-entropy or on a difference of logits (lecture 17)."""

import math

import torch

from .contract import attack, goal_loss, hook_for, input_gradient, succeeded
from .inputs import logits, one_of
from .objectives import margin
from .pgd import Ball
from .projection import along, unit

MOMENTUM = 0.75  # share of the new step; the rest is the last one, once more
RISES = 0.75  # fewer steps than this share going up, and the steps were too long


@attack
def apgd(
    model,
    x,
    y,
    *,
    eps,
    steps=100,
    norm="linf",
    loss="cross_entropy",
    restarts=1,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Climb from a random point of the ball around x [N, ...]; halve the step where it stalls.

    The first step is 2 * eps long. At each of `checkpoints(steps)` an image whose loss rose too
    seldom, or found no new maximum, goes back to its best point with half the step. An image leaves
    as soon as it succeeds. eps: radius of the ball in `norm` ("linf" or "l2"), in pixel units of
    [0, 1]. loss: "cross_entropy" or "dlr", the difference of logits that no rescaling changes.
    restarts: how many random starts. Returns each example's first success, else the iterate of the
    highest loss. Raises ValueError for bad input.
    Source: Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of
    diverse parameter-free attacks"; lecture 17. Here a return to the best point has no momentum.
    """
    one_of("norm", norm, ["linf", "l2"])
    one_of("loss", loss, list(LOSSES))
    found = x.clone()
    top = torch.full((len(x),), -math.inf, dtype=torch.float64, device=x.device)
    left = torch.arange(len(x), device=x.device)  # who has not been fooled yet
    for _ in range(restarts):
        if not len(left):
            break
        goal = None if target is None else target[left]
        ball, hook = Ball(x[left], eps, norm, bounds), hook_for(on_step, found, left)
        best, height = climb(model, ball, y[left], goal, steps, LOSSES[loss], generator, hook)
        better = height > top[left]
        found[left[better]], top[left[better]] = best[better], height[better]
        left = left[height < math.inf]
    return found


def climb(model, ball, y, target, steps, loss_of, generator, on_step, fooled=succeeded):
    """Return each image's first success, else its best iterate, and its loss [N], inf for a success.

    fooled: (logits, y, target) -> mask [N], what counts as a success.
    """
    point = ball.random_point(generator)
    best, device = point.clone(), point.device
    top = torch.full((len(point),), -math.inf, dtype=torch.float64, device=device)
    rows, marks, last_mark = torch.arange(len(point), device=device), checkpoints(steps), 0
    # What is known of each image that is still climbing.
    known = {
        "point": point,
        "before": point,
        "best": point,
        "slope": torch.zeros_like(point),
        "top": top.clone(),
        "value": top.clone(),
        "top_then": top.clone(),
        "size": torch.full_like(top, 2 * ball.eps).to(point.dtype),
        "rises": torch.zeros_like(top),
        "kept_size": torch.zeros_like(top, dtype=torch.bool),
    }
    for step in range(steps + 1):
        goal = loss_of(y, target)
        if step < steps:
            slope, z = input_gradient(model, known["point"], goal)
        else:
            with torch.no_grad():
                slope, z = known["slope"], logits(model, known["point"])
        look(known, goal(z).double(), slope)
        won = fooled(z, y, target)
        known["best"][won], known["top"][won] = known["point"][won], math.inf
        if step == steps or bool(won.any()):  # who climbs on is copied once, at the end
            best[rows], top[rows] = known["best"], known["top"]
            stay = ~won
            known = {name: value[stay] for name, value in known.items()}
            rows, y, slope = rows[stay], y[stay], slope[stay]
            target = None if target is None else target[stay]
            ball.keep(stay)
        if step == steps or not len(rows):
            return best, top
        if step in marks:
            slope = halve(known, slope, step - last_mark)
            last_mark = step
        move(known, ball, slope, first=step == 0)
        if on_step:
            on_step(step + 1, best.index_copy(0, rows, known["point"]))


def look(known, value, slope):
    """Note the losses [N] of the points: whose rose, and whose is the highest so far."""
    known["rises"] = known["rises"] + (value > known["value"])
    higher = value > known["top"]
    known["value"], known["top"] = value, torch.where(higher, value, known["top"])
    for name, new in (("best", known["point"]), ("slope", slope)):
        known[name] = known[name].clone()
        known[name][higher] = new[higher]


def halve(known, slope, taken):
    """Halve the steps that did too little since the last checkpoint, `taken` steps ago.

    These images go back to their best point. Return the slopes [N, ...] to follow now.
    """
    seldom = known["rises"] < RISES * taken
    stuck = known["kept_size"] & (known["top"] <= known["top_then"])
    back = seldom | stuck
    known["size"] = torch.where(back, known["size"] / 2, known["size"])
    known["kept_size"], known["top_then"] = ~back, known["top"].clone()
    known["rises"] = torch.zeros_like(known["rises"])
    for name in ("point", "before"):
        known[name] = known[name].clone()
        known[name][back] = known["best"][back]
    known["value"] = torch.where(back, known["top"], known["value"])
    slope = slope.clone()
    slope[back] = known["slope"][back]
    return slope


def move(known, ball, slope, first):
    """Take a step uphill, and a little of the last one again; stay in the ball."""
    point, before = known["point"], known["before"]
    direction = slope.sign() if ball.norm == "linf" else unit(slope)
    goal = ball.inside(point + along(known["size"], direction))
    if not first:
        goal = ball.inside(point + MOMENTUM * (goal - point) + (1 - MOMENTUM) * (point - before))
    known["point"], known["before"] = goal, point


def checkpoints(steps):
    """Return the steps at which APGD looks back: after 22 % of them, then ever more often."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    # In floating point .22 + .19 + .16 is a little more than .57.
    return {math.ceil(share * steps - 1e-9) for share in shares[1:] if share <= 1}


def dlr(z, y, target=None):
    """Return the difference-of-logits-ratio loss [N] of logits z [N, classes]: above 0 for a success.

    Away from y: (highest other - own) / (highest - third). Towards a target: (target - own) over the
    highest minus the mean of the third and the fourth. Multiplying all logits by one number changes
    nothing. With fewer classes than that, what is highest is set against the lowest; with two, the
    plain difference remains.
    Source: Croce and Hein 2020; lecture 17.
    """
    order = z.sort(dim=1, descending=True).values
    if z.shape[1] == 2:
        scale = torch.ones_like(order[:, 0])
    elif target is None or z.shape[1] == 3:
        scale = order[:, 0] - order[:, 2]
    else:
        scale = order[:, 0] - (order[:, 2] + order[:, 3]) / 2
    if target is None:
        return -margin(z, y, None) / (scale + 1e-12)
    own, aim = (z.gather(1, label[:, None])[:, 0] for label in (y, target))
    return (aim - own) / (scale + 1e-12)


LOSSES = {
    "cross_entropy": goal_loss,
    "dlr": lambda y, target: lambda z: dlr(z, y, target),
}
