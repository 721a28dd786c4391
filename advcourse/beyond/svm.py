"""Evade a support vector machine: in closed form where it is linear, by gradient where it is not."""

import math

import torch
from torch import nn

from ..attacks.contract import attack, derivative, frozen
from ..attacks.inputs import check_number, check_size, logits, no_target, one_of
from ..attacks.objectives import margin
from ..attacks.projection import along, project, unit

ORDERS = {"linf": math.inf, "l2": 2, "l1": 1}


@attack
def closed(
    model,
    x,
    y,
    *,
    norm="l2",
    beyond=1e-4,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Return x [N, ...] with the least change that leaves class y of a linear model, exactly.

    model: an nn.Sequential of nn.Flatten and one nn.Linear, such as classic.linear_svm. norm: "l2",
    "linf" or "l1", in pixel units; beyond: by how much the other score is higher at the end, so that
    rounding does not undo it. Inside `bounds`. The input unchanged where it is misread already, and
    where no image of the box crosses the boundary. Raises ValueError for a model that is not linear
    and for an unknown norm.
    Source: Biggio 2013, "Evasion attacks against machine learning at test time"; lecture 12.
    """
    no_target("closed", target)
    check_size("beyond", beyond, "is no margin of scores; pass a number >= 0")
    change, size = _least(model, x, y, norm, beyond, bounds)
    reached = along((size < math.inf).double(), torch.ones_like(change)) > 0
    x_adv = torch.where(reached, (x.double() + change).to(x.dtype), x).clamp(*bounds)
    if on_step:
        on_step(1, x_adv)
    return x_adv


def distances(model, x, y, norm="l2", bounds=(0.0, 1.0)):
    """Return how far each image x [N, ...] is from being misread by a linear model, [N]; exact.

    0 where it is misread already, infinite where `bounds` hold no image that is. Raises as `closed`.
    """
    with torch.no_grad(), frozen(model):
        return _least(model, x, y, norm, 0.0, bounds)[1].to(x.dtype)


def survives(model, x, y, budgets, norm="l2", bounds=(0.0, 1.0)):
    """Return a mask [budgets, N]: which images a linear model reads right within each budget."""
    away = distances(model, x, y, norm, bounds)
    return torch.stack([away > budget for budget in budgets])


def _least(model, x, y, norm, beyond, bounds):
    """Return the least change [N, ...] that gets across in double precision, and its length [N]."""
    one_of("norm", norm, ORDERS)
    layer = _linear_layer(model)
    weight, z = layer.weight.detach().double(), logits(model, x).detach().double()
    flat, rows = x.detach().flatten(1).double(), torch.arange(len(x), device=x.device)
    best = torch.zeros_like(flat)
    size = torch.where(z.argmax(1) == y, math.inf, 0.0).double()
    for rival in range(z.shape[1]):
        here = rows[(y != rival) & (size > 0)]
        need = z[here, y[here]] - z[here, rival] + beyond
        change, away = _across(flat[here], weight[rival] - weight[y[here]], need, norm, bounds)
        closer = away < size[here]
        best[here[closer]], size[here[closer]] = change[closer], away[closer]
    return best.view_as(x), size


def _linear_layer(model):
    """Return the one linear layer of the model, or say that the model is not linear."""
    layers = [model] if isinstance(model, nn.Linear) else list(model.children())
    layers = [m for m in layers if not isinstance(m, nn.Flatten | nn.Dropout | nn.Identity)]
    if len(layers) != 1 or not isinstance(layers[0], nn.Linear):
        names = ", ".join(type(m).__name__ for m in layers)
        raise ValueError(
            f"model: its layers are {names or type(model).__name__}; the closed form needs one linear "
            "layer (classic.linear_svm); for other models use descend"
        )
    return layers[0]


def _across(x, w, need, norm, bounds):
    """Return the least change [M, D] with w . change = need inside the box, and its length [M].

    Every pixel walks towards its bound, in l2 at the speed |w|, in linf all at one speed, and rests
    there: what they gain grows in straight lines, so sorting the times of rest finds the moment.
    In l1 the pixels with the largest weight go all the way, one after the other.
    """
    strength = w.abs()
    room = torch.where(w > 0, bounds[1] - x, x - bounds[0])
    can = (strength * room).sum(1) >= need
    if norm == "l1":
        change = _filled(strength, room, need)
    else:
        speed = strength if norm == "l2" else (strength > 0).double()
        rest = torch.where(speed > 0, room / speed.clamp(min=1e-300), 0.0)
        change = torch.minimum(speed * _moment(rest, strength * speed, need)[:, None], room)
    change = change * w.sign()
    return change, torch.where(can, change.norm(p=ORDERS[norm], dim=1), math.inf)


def _moment(rest, rate, need):
    """Return the time [M] at which sum(rate * min(time, rest)) reaches `need` (else the last one)."""
    times, order = rest.sort(dim=1)
    rate = rate.gather(1, order)
    walking = rate.flip(1).cumsum(1).flip(1)  # the rate of those that do not rest before each time
    gained = (torch.diff(times, dim=1, prepend=torch.zeros_like(times[:, :1])) * walking).cumsum(1)
    at = (gained < need[:, None]).sum(1).clamp(max=times.shape[1] - 1)[:, None]
    over = gained.gather(1, at)[:, 0] - need
    back = over / walking.gather(1, at)[:, 0].clamp(min=1e-300)
    return times.gather(1, at)[:, 0] - back.clamp(min=0)


def _filled(strength, room, need):
    """Return how far each pixel goes [M, D] where the strongest weights go first."""
    order = strength.argsort(dim=1, descending=True)
    gain = (strength * room).gather(1, order)
    before = gain.cumsum(1) - gain
    share = ((need[:, None] - before) / gain.clamp(min=1e-300)).clamp(0, 1)
    return torch.zeros_like(room).scatter(1, order, share * room.gather(1, order))


@attack
def descend(
    model,
    x,
    y,
    *,
    eps,
    step_size=None,
    steps=50,
    norm="l2",
    mimic=None,
    weight=0.0,
    width=4.0,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Descend the discriminant, the score of y minus the best other one, inside the ball of eps.

    For every differentiable model, a kernel SVM first of all. step_size: None is eps / 10. mimic
    [M, ...]: images of the class to look like; then weight * their density at the iterate (a kernel
    estimate of that width, 1 on top of them all) is gained as well, which keeps the walk where that
    class lives. Returns the best iterate: a success first, then the lowest cost.
    Source: Biggio 2013, "Evasion attacks against machine learning at test time"; lecture 12.
    """
    one_of("norm", norm, ("linf", "l2"))
    said = "is no width; pass a number > 0, in l2 pixel units"
    check_number("width", width, lambda v: v > 0, said)
    if weight and (mimic is None or mimic.shape[1:] != x.shape[1:] or not len(mimic)):
        raise ValueError("mimic: pass images of x's shape, at least one, where weight is above 0")
    step_size = eps / 10 if step_size is None else step_size
    low, high = bounds[0] - x, bounds[1] - x
    z_adv, best = x, x.clone()
    rank = torch.full((len(x),), math.inf, dtype=torch.float64, device=x.device)
    for step in range(steps + 1):
        here = z_adv.detach().requires_grad_()
        apart = margin(logits(model, here), y, target)
        cost = apart - weight * density(here, mimic, width) if weight else apart
        gradient = derivative(cost.sum(), here)
        now = torch.where(apart.detach() < 0, cost.detach().double() - 1e9, cost.detach().double())
        better = now < rank
        best[better], rank[better] = z_adv[better], now[better]
        if step and on_step:
            on_step(step, z_adv.clone())
        if step < steps:
            move = gradient.sign() if norm == "linf" else unit(gradient)
            z_adv = x + project(z_adv - step_size * move - x, eps, norm, low, high)
            z_adv = z_adv.clamp(*bounds)
    return best


def density(x, sample, width):
    """Return the kernel density [N] of x [N, ...] among the sample [M, ...]: the mean of
    exp(-|x - sample|^2 / (2 width^2)), between 0 and 1; width in l2 pixel units.
    """
    squared = torch.cdist(x.flatten(1), sample.to(x.dtype).flatten(1)).square()
    return torch.exp(-squared / (2 * width**2)).mean(1)
