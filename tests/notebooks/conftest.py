"""One execution of every notebook with other settings, for all tests that look at it.

nbval runs each notebook as it is committed, on MNIST where that is on disk (tests/conftest.py); here
papermill runs it on the embedded digits, with another seed and a third of its counts. Both move
every slider. So each notebook runs once per data set.
"""

import ast
import functools
from dataclasses import dataclass, field

import nbformat
import papermill
import pytest

from tests.repo import LISTEN, MOVE

# What makes a notebook slow. nbval runs the same notebook with all of it; here a third will do.
COUNTS = ("n_images", "n_train", "n_gan", "n_votes", "passes", "steps")
FEW = 3
EPILOGUE = (MOVE, "_mover.report()")


@dataclass
class Run:
    """What came of a notebook: the executed cells, the first error, what its controls did."""

    cells: list
    error: str = ""
    swallowed: list = field(default_factory=list)
    moved: dict = field(default_factory=dict)


def fewer(notebook):
    """Return the notebook's counts, divided by `FEW`."""
    settings = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    given = {line.targets[0].id: line.value for line in ast.parse(settings.source).body}
    return {name: ast.literal_eval(given[name]) // FEW for name in COUNTS if name in given}


@functools.cache
def execute(path, dataset, seed):
    """Run the notebook at `path` by papermill between `LISTEN` and `EPILOGUE`."""
    notebook = nbformat.read(path, as_version=4)
    own = [cell.id for cell in notebook.cells]
    new = nbformat.v4.new_code_cell
    notebook.cells = [new(LISTEN), *notebook.cells, *map(new, EPILOGUE)]
    try:
        done = papermill.execute_notebook(
            notebook,
            None,
            parameters={"dataset": dataset, "seed": seed, **fewer(notebook)},
            kernel_name="python3",
            progress_bar=False,
            execution_timeout=300,
            cwd=path.parent,
        )
    except Exception as error:  # a cell's, a time-out, a dead kernel: each test reports it
        return Run([], error=f"{type(error).__name__}: {error}")
    report = done.cells[-1].outputs[-1].data["application/json"]
    return Run([cell for cell in done.cells if cell.id in own], **report)


@pytest.fixture
def run(notebook):
    """The `Run` of the test's notebook on the digits; one execution, however many tests."""
    # Another seed than the committed one: what holds for a single draw is not taught.
    return execute(notebook, "digits", seed=7)


def printed(cell):
    """Return the text that a code cell put out, one string."""
    texts = [o.text for o in cell.outputs if o.output_type == "stream"]
    datas = [o.data for o in cell.outputs if "data" in o]
    return "\n".join(texts + [d.get("text/markdown", d.get("text/plain", "")) for d in datas])
