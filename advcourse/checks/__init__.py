"""One check for each exercise: `from advcourse import checks as check`, then `check.fgsm(fgsm)`.

A check tests by invariants and an independent reference on random small models. It answers with
one line: right, or the likely mistake by name; an untouched exercise says "not attempted yet".
"""

from . import lab02, lab03, lab04
from .core import Mistake, Verdict, ready
from .lab02 import norms, pixel_epsilon, project_l1, project_l2, project_linf
from .lab03 import accuracy, accuracy_drop, gaussian_noise, negative, noise_of_length
from .lab04 import (
    fgsm,
    fgsm_targeted,
    gradient_ascent,
    input_gradient,
    predicted_rise,
    sweep,
)

LABS = {2: lab02, 3: lab03, 4: lab04}

__all__ = [
    "LABS",
    "Mistake",
    "Verdict",
    "accuracy",
    "accuracy_drop",
    "fgsm",
    "fgsm_targeted",
    "gaussian_noise",
    "gradient_ascent",
    "input_gradient",
    "negative",
    "noise_of_length",
    "norms",
    "pixel_epsilon",
    "predicted_rise",
    "project_l1",
    "project_l2",
    "project_linf",
    "ready",
    "sweep",
]
