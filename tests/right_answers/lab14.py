"""Right answers of lab 14, each by another way than the solution's."""

import torch
import torch.nn.functional as F

from advcourse import defenses
from tests.right_answers.labs_02_to_04 import gradient


class Detour(torch.autograd.Function):
    """The straight-through trick as an operation with a backward pass of its own."""

    @staticmethod
    def forward(ctx, x, transform, stand_in):
        ctx.stand_in = stand_in
        ctx.save_for_backward(x)
        return transform(x)

    @staticmethod
    def backward(ctx, pull):
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(ctx.stand_in(x), x, pull)[0], None, None


def soft_cross_entropy(z, soft, temperature):
    return F.cross_entropy(z / temperature, soft)


def three_accuracies(attack, bare, defended, surrogate, x, y):
    inputs = [x, *(attack(model, x, y) for model in (bare, surrogate))]
    return [(defended(images).argmax(1) == y).float().mean() for images in inputs]


RIGHT = {
    "smooth": lambda x, sigma: defenses.GaussianSmoothing(sigma)(x),
    "binarize": lambda x, cut: defenses.BinaryThreshold(cut)(x),
    "thermometer": lambda x, levels: defenses.Thermometer(levels)(x),
    "straight_through": lambda transform, stand_in, x: Detour.apply(x, transform, stand_in),
    "eot_gradient": lambda model, x, y, samples: torch.stack(
        [gradient(model, x, y) for _ in range(samples)]
    ).mean(0),
    "three_accuracies": three_accuracies,
    "soft_cross_entropy": soft_cross_entropy,
}
