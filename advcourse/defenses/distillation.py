"""Learn from a softer teacher: defensive distillation (lecture 14).

The teacher is trained `hot`, then the student by `distillation` on what the teacher says. Both
divide their logits by the temperature while they learn and no longer when they are used, so the
student's logits come out that many times larger, and its softmax saturates.
"""

import torch
import torch.nn.functional as F

from ..attacks.contract import frozen
from ..attacks.inputs import check_number, logits


@torch.no_grad()
def soft_labels(teacher, x, temperature):
    """Return the teacher's probabilities [N, classes] for x [N, ...] at this temperature.

    Raises ValueError where the temperature is not positive.
    Source: Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network";
    lecture 14.
    """
    _check(temperature)
    with frozen(teacher):
        return (logits(teacher, x) / temperature).softmax(1)


def hot(temperature):
    """Return an `objective` of `training.fit`: the cross-entropy at this temperature (the teacher's).

    Raises ValueError where the temperature is not positive.
    Source: Papernot et al. 2016, "Distillation as a defense to adversarial perturbations against
    deep neural networks"; lecture 14.
    """
    _check(temperature)

    def objective(model, x, y, generator=None, done=1.0):
        return F.cross_entropy(model(x) / temperature, y)

    return objective


def distillation(teacher, temperature):
    """Return an `objective` of `training.fit` that learns the teacher's soft labels (the student's).

    Both at this temperature; the labels y are not looked at. The student is used at temperature 1.
    Raises ValueError where the temperature is not positive.
    Source: Papernot et al. 2016 (see `hot`); lecture 14.
    """
    _check(temperature)

    def objective(model, x, y, generator=None, done=1.0):
        return F.cross_entropy(model(x) / temperature, soft_labels(teacher, x, temperature))

    return objective


def _check(temperature):
    said = "is no temperature; pass a number > 0, such as 20"
    check_number("temperature", temperature, lambda v: v > 0, said)
