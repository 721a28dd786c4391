"""One check for each exercise: `from advcourse import checks as check`, then `check.fgsm(fgsm)`.

A check tests by invariants and an independent reference on random small models. It answers with
one line: right, or the likely mistake by name; an untouched exercise says "not attempted yet".
"""

from . import lab02, lab03, lab04, lab05, lab06, lab07, lab08
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
from .lab05 import bim, l2_step, pgd, pgd_l2, pgd_targeted, random_start, worst_case
from .lab06 import (
    deepfool,
    hyperplane_distance,
    hyperplane_foot,
    jacobian,
    nearest_boundary,
    robustness,
)
from .lab07 import carlini_wagner, cw_cost, f4, f6, next_c, quadratic_cost, to_free, to_pixels
from .lab08 import best_pair, change_pair, forward_derivative, jsma, saliency_map, share_changed

LABS = {2: lab02, 3: lab03, 4: lab04, 5: lab05, 6: lab06, 7: lab07, 8: lab08}

__all__ = [
    "LABS",
    "Mistake",
    "Verdict",
    "accuracy",
    "accuracy_drop",
    "best_pair",
    "bim",
    "carlini_wagner",
    "change_pair",
    "cw_cost",
    "deepfool",
    "f4",
    "f6",
    "fgsm",
    "fgsm_targeted",
    "forward_derivative",
    "gaussian_noise",
    "gradient_ascent",
    "hyperplane_distance",
    "hyperplane_foot",
    "input_gradient",
    "jacobian",
    "jsma",
    "l2_step",
    "nearest_boundary",
    "negative",
    "next_c",
    "noise_of_length",
    "norms",
    "pgd",
    "pgd_l2",
    "pgd_targeted",
    "pixel_epsilon",
    "predicted_rise",
    "project_l1",
    "project_l2",
    "project_linf",
    "quadratic_cost",
    "random_start",
    "ready",
    "robustness",
    "saliency_map",
    "share_changed",
    "sweep",
    "to_free",
    "to_pixels",
    "worst_case",
]
