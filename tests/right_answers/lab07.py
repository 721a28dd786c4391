"""Right answers of lab 07."""

import torch


def f6(z, target, confidence):
    own = z.gather(1, target[:, None])[:, 0]
    other = z.scatter(1, target[:, None], -torch.inf).amax(1)
    return (other - own + confidence).clamp(min=0)


def to_free(x):
    return torch.atanh((2 * x - 1) * 0.999)


def to_pixels(w):
    return (w.tanh() + 1) / 2


def cw_cost(model, w, x, target, c):
    x_adv = to_pixels(w)
    return (x_adv - x).flatten(1).square().sum(1) + c * f6(model(x_adv), target, 0)


def next_c(c, low, high, won):
    high, low = torch.where(won, c, high), torch.where(won, low, c)
    return torch.where(high < torch.inf, (low + high) / 2, 10 * c), low, high


def walk(model, x, target, c, steps, learning_rate, start=None, cost=cw_cost):
    """Yield (image, won, l2) after every step of Adam."""
    w = (to_free(x) if start is None else start).requires_grad_()
    adam = torch.optim.Adam([w], lr=learning_rate)
    for _ in range(steps):
        (w.grad,) = torch.autograd.grad(cost(model, w, x, target, c).sum(), w)
        adam.step()
        with torch.no_grad():
            x_adv = to_pixels(w)
            yield x_adv, model(x_adv).argmax(1) == target, (x_adv - x).flatten(1).norm(dim=1)


def nearest(x, path):
    best, least = x.clone(), torch.full((len(x),), torch.inf)
    for x_adv, won, l2 in path:
        closer = won & (l2 < least)
        best[closer], least[closer] = x_adv[closer], l2[closer]
    return best


RIGHT = {
    "f6": f6,
    "f4": lambda z, target: (0.5 - z.softmax(1).gather(1, target[:, None])[:, 0]).clamp(min=0),
    "to_free": to_free,
    "to_pixels": to_pixels,
    "cw_cost": cw_cost,
    "next_c": next_c,
    "carlini_wagner": lambda model, x, *rest: nearest(x, walk(model, x, *rest)),
    "quadratic_cost": lambda probabilities, goal, image, x_target, weight: (
        (goal - probabilities).square().sum(1) / 2
        + weight * (image - x_target).flatten(1).square().sum(1)
    ),
}
