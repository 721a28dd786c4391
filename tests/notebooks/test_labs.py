"""Labs are what their solutions generate, give nothing away, and run before they are filled in."""

import ast
import re

from advcourse import notebooks as course
from tests.notebooks.conftest import printed
from tests.repo import ROOT, cells, per_notebook, read

BLOCK = re.compile(
    r"### BEGIN (SOLUTION|HIDDEN TESTS)[^\n]*\n(.*?)### END \1[^\n]*(?:\n|$)", re.DOTALL
)
TRIVIAL = 12  # `return x` may stand anywhere


def lines(text):
    return {line.strip() for line in text.splitlines() if len(line.strip()) >= TRIVIAL}


def secret(solution):
    """Return the lines of a solution that its lab must not show."""
    hidden, shown = set(), set()
    for cell in read(solution).cells:
        if "solution-only" in cell.metadata.get("tags", []):
            hidden |= lines(cell.source)
            continue
        for match in BLOCK.finditer(cell.source):
            hidden |= lines(match[2])
        shown |= lines(BLOCK.sub("", cell.source))
    return hidden - shown


def checks(cell):
    """Count the calls check.NAME(...) in a code cell; check.ready only asks what was checked."""
    calls = [n.func for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Call)]
    named = [f for f in calls if isinstance(f, ast.Attribute) and f.attr != "ready"]
    return sum(isinstance(f.value, ast.Name) and f.value.id == "check" for f in named)


def verdicts(cell):
    """Return the lines in which a check says what it thinks."""
    return [line for line in printed(cell).splitlines() if re.match("[✓✗–] ", line)]


def test_labs_are_generated():
    stale = [path.relative_to(ROOT).as_posix() for path in course.labs(check=True)]
    assert not stale, "run: python -m advcourse labs"


@per_notebook("solutions")
def test_nothing_leaks(notebook):
    hidden = secret(notebook)
    assert hidden, "a solution without a single marked line"
    lab = "\n".join(cell.source for cell in read(ROOT / "labs" / notebook.name).cells)
    leaked = hidden & lines(lab)
    assert not leaked and not re.search("(BEGIN|END) (SOLUTION|HIDDEN)", lab)


@per_notebook("solutions")
def test_a_lab_keeps_its_cell_ids(notebook):
    lab = read(ROOT / "labs" / notebook.name)
    assert {cell.id for cell in lab.cells} <= {cell.id for cell in read(notebook).cells}


@per_notebook("solutions")
def test_a_solution_is_right(notebook, run):
    assert not run.error, run.error
    for cell in cells(run, "code"):
        said = verdicts(cell)
        assert sum(line.startswith("✓") for line in said) >= checks(cell), printed(cell)
        assert not [line for line in said if not line.startswith("✓")]
        assert "not attempted" not in printed(cell) and "not correct" not in printed(cell)


@per_notebook("labs")
def test_an_unfilled_lab_runs_to_its_end(notebook, run):
    assert not run.error, run.error
    assert sum(map(checks, cells(run, "code"))) > 0, "a lab without a check"
    for cell in cells(run, "code"):
        said = verdicts(cell)
        waiting = [line for line in said if "not attempted yet" in line]
        assert len(waiting) >= checks(cell), printed(cell)
        assert not [line for line in said if line.startswith(("✓", "✗"))]
