"""What an attacker who knows the defense puts in its place: BPDA, EOT, rescaled logits (lecture 14).

Each is a module, so every white-box attack runs through it:
`attacks.pgd(nn.Sequential(BPDA(transform), model), x, y, eps=...)` attacks a defense that has no
gradient of its own. The result is then given to the defended model, `nn.Sequential(transform, model)`.
"""

import torch
from torch import nn

from .inputs import check_count, check_number, logits


class BPDA(nn.Module):
    """Answer as `transform` does, but take the gradient of the smooth `backward` in its place.

    transform: x [N, ...] -> [N, ...], with a useless gradient or none; backward: a differentiable
    function that resembles it, None for the identity. Raises ValueError in the forward pass where
    the two do not return the same shape.
    Source: Athalye, Carlini and Wagner 2018, "Obfuscated gradients give a false sense of security";
    lecture 14.
    """

    def __init__(self, transform, backward=None):
        super().__init__()
        self.transform, self.stand_in = transform, backward

    def forward(self, x):
        with torch.no_grad():
            exact = self.transform(x)
        smooth = self.stand_in(x) if self.stand_in else x
        if smooth.shape != exact.shape:
            name = "what backward returns" if self.stand_in else "the identity"
            raise ValueError(
                f"backward: {name} has shape {tuple(smooth.shape)}, transform's result "
                f"{tuple(exact.shape)}; pass a differentiable function of that shape"
            )
        return exact + (smooth - smooth.detach())  # the bracket is 0, and has the gradient


class EOT(nn.Module):
    """Average the logits of a random `model` over `samples` draws, and with them the gradient.

    x [N, ...] -> [N, classes]. The softmax of averaged logits is the geometric mean of the draws'
    probabilities, brought to a sum of 1: up to that sum, its cross-entropy is the expected loss of
    EOT. An average of probabilities would lose the draws whose probability has rounded to 0 or 1.
    Raises ValueError where `samples` is no count.
    Source: Athalye, Engstrom, Ilyas and Kwok 2018, "Synthesizing robust adversarial examples";
    lecture 14.
    """

    def __init__(self, model, samples=20):
        super().__init__()
        check_count("samples", samples)
        self.model, self.samples = model, samples

    def forward(self, x):
        return sum(logits(self.model, x) for _ in range(self.samples)) / self.samples


class Rescaled(nn.Module):
    """Divide the logits of each image by a constant, so that a saturated softmax has a slope again.

    x [N, ...] -> [N, classes], with the decisions of `model`. The highest logit becomes 0, and the
    third highest minus `spread`, however far apart they were; the scale has no gradient of its own.
    Source: the scale of the DLR loss, Croce and Hein 2020, "Reliable evaluation of adversarial
    robustness with an ensemble of diverse parameter-free attacks"; lecture 14.
    """

    def __init__(self, model, spread=5.0):
        super().__init__()
        distance = "is no distance; pass a number > 0, such as 5"
        check_number("spread", spread, lambda v: v > 0, distance)
        self.model, self.spread = model, spread

    def forward(self, x):
        z = logits(self.model, x)
        top = z.detach().topk(min(3, z.shape[1]), dim=1).values
        scale = (top[:, :1] - top[:, -1:]).clamp(min=1e-12)
        return (z - top[:, :1]) / scale * self.spread
