"""The literature, reproduced: published figures beside measured ones (lecture 18)."""

from .measure import Found, among, answered, found_eps, mean, scores, share, under_fgsm
from .nets import network, report_net, trained
from .reasons import agrees
from .registry import FIGURES, TABLE_1, TABLE_2, TABLE_3, Figure
from .seminar import drawn
from .slides import EPS
from .store import Measured, measured, series
from .tables import table, words
from .trainings import climbs
from .work import JOBS, compute

__all__ = [
    "EPS",
    "FIGURES",
    "JOBS",
    "TABLE_1",
    "TABLE_2",
    "TABLE_3",
    "Figure",
    "Found",
    "Measured",
    "agrees",
    "among",
    "answered",
    "climbs",
    "compute",
    "drawn",
    "found_eps",
    "mean",
    "measured",
    "network",
    "report_net",
    "scores",
    "series",
    "share",
    "table",
    "trained",
    "under_fgsm",
    "words",
]
