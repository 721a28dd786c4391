"""Where things lie in the repository, and how a test names its notebook."""

import functools
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]

# A cell before a notebook's own, and one after them. The path is taken back, lest a notebook import
# from it.
LISTEN = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests" / "notebooks")!r})
import mover as _mover
sys.path.pop(0)
_mover.listen()
"""
MOVE = "_mover.move_everything()"


def notebooks(*rooms):
    """Return the notebooks of `rooms` ("lectures", "solutions", "labs"; none: all), sorted."""
    rooms = rooms or ("lectures", "solutions", "labs")
    return [path for room in rooms for path in sorted((ROOT / room).glob("*.ipynb"))]


def per_notebook(*rooms):
    """Run a test once per notebook, as test_name[lectures/04_fgsm]; its argument is `notebook`."""
    paths = notebooks(*rooms)
    ids = [f"{path.parent.name}/{path.stem}" for path in paths]
    return pytest.mark.parametrize("notebook", paths, ids=ids)


@functools.cache
def read(path):
    """Return the notebook at `path`; do not change it, other tests get the same object."""
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def cells(notebook, kind):
    """Return the cells of a kind ("code", "markdown") of a notebook node."""
    return [cell for cell in notebook.cells if cell.cell_type == kind]
