"""Right answers of labs 02 to 04."""

import torch
import torch.nn.functional as F

from advcourse import attacks, metrics


def gradient(model, x, y):
    mode = model.training
    model.eval()
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(F.cross_entropy(model(x), y, reduction="sum"), x)
    model.train(mode)
    return g


def accuracy(model, x, y):
    mode = model.training
    model.eval()
    with torch.no_grad():
        share = (model(x).argmax(1) == y).float().mean().item()
    model.train(mode)
    return share


def noise_of_length(x, l2, generator):
    noise = torch.randn(x.shape, generator=generator)
    return noise * l2 / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


RIGHT = {
    "norms": metrics.norms,
    "project_linf": lambda x_adv, x, eps: x + attacks.project(x_adv - x, eps, "linf"),
    "project_l2": lambda x_adv, x, eps: x + attacks.project(x_adv - x, eps, "l2"),
    "project_l1": lambda delta, eps: attacks.project(delta, eps, "l1"),
    "pixel_epsilon": lambda eps, unit, std: (
        eps * {"pixel": 1, "255": 1 / 255, "normalized": std}[unit]
    ),
    "gaussian_noise": lambda x, std, generator: (
        x + std * torch.randn(x.shape, generator=generator)
    ).clamp(0, 1),
    "negative": lambda x: 1 - x,
    "accuracy": accuracy,
    "noise_of_length": noise_of_length,
    "accuracy_drop": lambda accuracy, model, x, changed, y: (
        accuracy(model, x, y) - accuracy(model, changed, y)
    ),
    "input_gradient": gradient,
    "fgsm": lambda model, x, y, eps: attacks.fgsm(model, x, y, eps=eps),
    "fgsm_targeted": lambda model, x, target, eps: attacks.fgsm(
        model, x, target, eps=eps, target=target
    ),
    "sweep": lambda attack, model, x, y, epsilons: [
        accuracy(model, attack(model, x, y, e), y) for e in epsilons
    ],
    "gradient_ascent": None,  # below: the attack returns its best iterate, the exercise its last
    "predicted_rise": lambda gradient, eps: eps * gradient.flatten(1).abs().sum(1),
}


def last_iterate(model, x, y, step_size, steps):
    path = []
    keep = {"on_step": lambda _, x_adv: path.append(x_adv)}
    attacks.gradient_ascent(model, x, y, step_size=step_size, steps=steps, **keep)
    return path[-1]


RIGHT["gradient_ascent"] = last_iterate
