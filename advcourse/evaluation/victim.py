"""The model on trial: who judges an image, whether it is random, refuses, or has a gradient."""

import torch
import torch.nn.functional as F
from torch import nn

from ..attacks.contract import chunk_size, derivative, frozen
from ..attacks.inputs import logits
from ..defenses.detection import Refusing

DRAWS = 5  # how often a random model is asked about each image
NO_GRADIENT = "model: its output does not depend on x"  # how contract.derivative begins


class Guarded(nn.Module):
    """The model, with an error instead of scores that are no numbers: argmax would call them 0."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        z = logits(self.model, x)
        bad = z.detach().isnan().any(1)
        if bool(bad.any()):
            raise ValueError(
                f"model: NaN among the scores of {int(bad.sum())} of {len(x)} images; a model that "
                "answers with NaN is broken, not robust: find the log or the division that makes them"
            )
        return z


class Victim:
    """The model that is judged, and never one of its stand-ins."""

    def __init__(self, model, x):
        self.model = Guarded(model)
        self.refusing = model if isinstance(model, Refusing) else None
        first, second = self.scores(x[:100]), self.scores(x[:100])
        self.classes = first.shape[1] - (self.refusing is not None)
        self.random = not torch.allclose(first, second, rtol=1e-4, atol=1e-6)
        self.draws = DRAWS if self.random else 1

    @torch.no_grad()
    def scores(self, x):
        """Return one draw of the model's answers, [N, classes], and a refusal's where it has one."""
        with frozen(self.model):
            parts = x.split(chunk_size(self.model.model, x))
            return torch.cat([self.model(part) for part in parts])

    def most(self, x, good):
        """Return a mask [N]: `good(answers [N])` for more than half of the draws."""
        votes = sum(good(self.scores(x).argmax(1)).float() for _ in range(self.draws))
        return votes > self.draws / 2

    def right(self, x, y):
        """Return a mask [N]: answered, and rightly."""
        return self.most(x, lambda answers: answers == y)

    def holds(self, x, y):
        """Return a mask [N]: right, or refused."""
        return self.most(x, lambda answers: (answers == y) | (answers == self.classes))

    def likely(self, x, y):
        """Return the wrong classes [N, classes - 1], the most likely first."""
        z = self.scores(x)[:, : self.classes]
        ranked = z.scatter(1, y[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
        return ranked[:, : self.classes - 1]


def silent(model, x, y):
    """Return a mask [N]: the gradient of the cross-entropy at x is exactly 0; None: there is none."""
    masks = []
    with torch.enable_grad(), frozen(model):
        for some, labels in zip(x.split(100), y.split(100), strict=True):
            some = some.detach().clone().requires_grad_()
            try:
                loss = F.cross_entropy(logits(model, some), labels, reduction="sum")
                gradient = derivative(loss, some)
            except ValueError as error:
                if str(error).startswith(NO_GRADIENT):
                    return None
                raise
            masks.append((gradient == 0).flatten(1).all(1))
    return torch.cat(masks)
