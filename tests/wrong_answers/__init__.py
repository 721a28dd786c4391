"""Typical wrong answers of students; each check must name the mistake that each one makes.

`WRONG` lists (check, what its message must contain, the answer). One entry, one mistake.
"""

import importlib
import pkgutil

WRONG = []


def wrong(check, message):
    """Register the decorated function as a wrong answer to `check`, caught with `message`."""

    def register(answer):
        WRONG.append((check, message, answer))
        return answer

    return register


for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")
