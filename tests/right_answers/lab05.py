"""Right answers of lab 05, by hand: a helper returns the best iterate, an exercise the last."""

import torch

from tests.right_answers.labs_02_to_04 import gradient


def bim(model, x, y, eps, step_size, steps, start=None):
    low, high = (x - eps).clamp(min=0), (x + eps).clamp(max=1)
    x_adv = x if start is None else start
    for _ in range(steps):
        x_adv = torch.clamp(x_adv + step_size * gradient(model, x_adv, y).sign(), low, high)
    return x_adv


def random_start(x, eps, generator):
    return (x + torch.empty_like(x).uniform_(-eps, eps, generator=generator)).clamp(0, 1)


def pgd(model, x, y, eps, step_size, steps, generator):
    return bim(model, x, y, eps, step_size, steps, random_start(x, eps, generator))


def l2_step(x_adv, gradient, step_size):
    lengths = gradient.double().flatten(1).norm(dim=1)
    moves = [g.double() / n if n else g for g, n in zip(gradient, lengths, strict=True)]
    return x_adv + step_size * torch.stack(moves).float()


def pgd_l2(model, x, y, eps, step_size, steps):
    x_adv = x
    for _ in range(steps):
        delta = l2_step(x_adv, gradient(model, x_adv, y), step_size) - x
        x_adv = x + delta.flatten(1).renorm(2, 0, eps).view_as(x)
        x_adv = x_adv.clamp(0, 1)
    return x_adv


def pgd_targeted(model, x, target, eps, step_size, steps):
    x_adv = x.clone()
    for _ in range(steps):
        on = (model(x_adv).argmax(1) != target).nonzero()[:, 0]
        if not len(on):
            break
        step = -step_size * gradient(model, x_adv[on], target[on]).sign()
        x_adv[on] = (x[on] + (x_adv[on] + step - x[on]).clamp(-eps, eps)).clamp(0, 1)
    return x_adv


def worst_case(model, y, runs):
    right = torch.stack([model(x_adv).argmax(1) == y for x_adv in runs])
    return right.all(0).float().mean()


RIGHT = {
    "bim": bim,
    "random_start": random_start,
    "pgd": pgd,
    "l2_step": l2_step,
    "pgd_l2": pgd_l2,
    "pgd_targeted": pgd_targeted,
    "worst_case": worst_case,
}
