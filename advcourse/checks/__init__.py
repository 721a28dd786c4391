"""One check for each exercise: `from advcourse import checks as check`, then `check.fgsm(fgsm)`.

A check tests by invariants and an independent reference on random small models. It answers with
one line: right, or the likely mistake by name; an untouched exercise says "not attempted yet".

A lab's checks live in `labNN.py` and register themselves: every function there under `@exercise`
is `check.NAME` here.
"""

import importlib
import pkgutil

from .core import Mistake, Verdict, ready

LABS = {
    int(found.name[3:]): importlib.import_module(f"{__name__}.{found.name}")
    for found in pkgutil.iter_modules(__path__)
    if found.name.startswith("lab")
}
EXERCISES = {
    name: value
    for lab in LABS.values()
    for name, value in vars(lab).items()
    if getattr(value, "judges", None) == lab.__name__
}
globals().update(EXERCISES)

__all__ = ["EXERCISES", "LABS", "Mistake", "Verdict", "ready", *sorted(EXERCISES)]
