"""A right answer to every exercise: {check: answer}, gathered from the modules of this folder."""

import importlib
import pkgutil

RIGHT = {}
for module in pkgutil.iter_modules(__path__):
    RIGHT |= importlib.import_module(f"{__name__}.{module.name}").RIGHT
