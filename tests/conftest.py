"""What all tests share: fair shares of the machine, the data sets, a browser, room to write."""

import itertools
import os
import re
import shutil
from collections import defaultdict

import nbformat
import pytest
from xdist.scheduler import LoadScopeScheduling

from advcourse import doctor
from tests.repo import LISTEN, MOVE

# Read by the checks: a solution that its own check judges wrong raises, and the test fails.
os.environ["ADVCOURSE_STRICT"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:
    # Set before torch is imported, here or in a kernel: more threads than cores cost minutes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


class ByNotebook(LoadScopeScheduling):
    """loadscope, but what tests one notebook is one scope, so that its execution is shared."""

    def _split_scope(self, nodeid):
        about = re.search(
            r"\[(?:\w+-)?((?:lectures|solutions|labs)/\w+)", nodeid
        )  # [mnist-labs/02_x]
        return about[1] if about else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    if config.getvalue("dist") != "loadscope":
        return None
    # In the order of collection, browsers first: a long test that starts last is waited for.
    config.option.loadscopereorder = False
    return ByNotebook(config, log)


def pytest_collection_modifyitems(items):
    """Let nbval's runs move every slider too: a cell before a notebook's own, and one after them.

    And mark what waits for a notebook's execution: `make check` goes without.
    """
    moved = []
    for item in items:
        if "run" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.executes)
    for parent, cells in itertools.groupby(items, lambda item: item.parent):
        cells = list(cells)
        if type(parent).__name__ == "IPyNbFile":
            first, last = type(cells[0]).from_parent, cells[-1].cell_num + 1
            cells.insert(0, first(parent, **surrounding("listens", -1, LISTEN)))
            cells.append(first(parent, **surrounding("controls", last, f"{MOVE}\n_mover.blame()")))
        moved += cells
    items[:] = moved


def surrounding(name, number, source):
    """Return the arguments of an nbval cell that the notebook itself does not have."""
    cell = nbformat.v4.new_code_cell(source)
    return {"name": name, "cell_num": number, "cell": cell, "options": defaultdict(bool)}


@pytest.fixture(params=["digits", "mnist"])
def dataset(request):
    """Each data set by name; MNIST only where it is on disk."""
    from advcourse import data

    if not data.available(request.param):
        pytest.skip(f"{request.param} is not on this disk (a test downloads nothing)")
    return request.param


@pytest.fixture
def build(tmp_path):
    """An empty folder to write to, in place of the repository's build/."""
    folder = tmp_path / "build"
    folder.mkdir()
    return folder


def find_chromium():
    """Return the path of a browser that `doctor` knows, or None."""
    return next(filter(None, map(shutil.which, doctor.BROWSERS)), None)


@pytest.fixture(scope="session")
def chromium():
    """The path of a Chromium, or a Chrome, that is installed."""
    return find_chromium() or pytest.skip("no Chromium here: on Debian, apt-get install chromium")
