"""Attack the training set: labels, points, backdoors, and what finds them (lecture 11).

Every function that poisons returns a `Poisoned`: `x, y = insert(...)`, and `.mask` of what is poison.
"""

from .backdoor import Trigger, backdoor, clean_label, triggered
from .bilevel import bilevel, logistic, poison_gradient, rbf, validation_loss
from .detection import (
    Cluster,
    activation_clustering,
    hidden,
    precision_recall,
    principal_components,
    signature,
    spectral_scores,
    spectral_signatures,
    whitened_scores,
)
from .labels import flip_labels
from .points import insert, modify
from .poisoned import Poisoned
from .supply_chain import Surprise, capacity, hide, reveal

__all__ = [
    "Cluster",
    "Poisoned",
    "Surprise",
    "Trigger",
    "activation_clustering",
    "backdoor",
    "bilevel",
    "capacity",
    "clean_label",
    "flip_labels",
    "hidden",
    "hide",
    "insert",
    "logistic",
    "modify",
    "poison_gradient",
    "precision_recall",
    "principal_components",
    "rbf",
    "reveal",
    "signature",
    "spectral_scores",
    "spectral_signatures",
    "triggered",
    "validation_loss",
    "whitened_scores",
]
