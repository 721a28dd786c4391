"""Every notebook keeps the shape that readers, slides and tools rely on. Nothing runs here."""

import ast
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from statistics import median

import nbformat
import pytest

from tests.repo import ROOT, cells, notebooks, per_notebook, read

DATA_URI = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]+")
MACHINE_PATH = re.compile(r"(?<![\w+/.=-])/(work|tmp|root|home|Users)/|[A-Z]:\\Users|ipykernel_\d")
SLIDE_TYPES = {"slide", "subslide", "fragment", "notes", "skip", "-"}
BRITISH = re.compile(
    r"\b((un)?(colour|behaviour|neighbour|favour|honour|flavour)\w*|labell\w+|modelling|analysing"
    r"|(defence|offence|licence|grey|centre|fibre|artefact|judgement)s?|greyscale|analyse[dr]?"
    r"|\w*(binar|categor|character|custom|discret|emphas|factor|final|general|initial|linear|local"
    r"|maxim|memor|minim|normal|optim|organ|parameter|parametr|penal|quant|random|real|recogn"
    r"|regular|serial|special|standard|summar|synchron|token|util|vector|visual)"
    r"is(e[drs]?|ing|ations?))\b",
    re.IGNORECASE,
)


def text(cell):
    """Return the markdown of a cell without its code blocks, where # is no heading."""
    return re.sub(r"^```.*?^```", "", cell.source, flags=re.DOTALL | re.MULTILINE)


def headings(notebook):
    prose = "\n".join(text(cell) for cell in cells(notebook, "markdown"))
    return [len(marks) for marks in re.findall(r"^(#{1,6}) +\S", prose, re.MULTILINE)]


def outputs(notebook):
    """Yield (mime type, text) of everything that a notebook's cells put out."""
    for cell in cells(notebook, "code"):
        for output in cell.outputs:
            if output.output_type == "stream":
                yield "text/plain", output.text
            for mime, value in output.get("data", {}).items():
                yield mime, value if isinstance(value, str) else json.dumps(value)


def code_lines(cell):
    return sum(1 for line in cell.source.splitlines() if line.strip())


class Images(HTMLParser):
    """Collect the alt texts of the images of a piece of HTML."""

    def __init__(self, html):
        super().__init__()
        self.alts = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.alts.append(dict(attrs).get("alt") or "")


# ---------------------------------------------------------------- every notebook


@per_notebook()
def test_valid_and_cell_ids_unique(notebook):
    raw = json.loads(notebook.read_text(encoding="utf-8"))
    assert (raw["nbformat"], raw["nbformat_minor"] >= 5) == (4, True)
    nbformat.validate(read(notebook))
    ids = [cell.get("id") for cell in raw["cells"]]  # from the file: nbformat would invent them
    assert all(ids)
    assert len(ids) == len(set(ids))


@per_notebook()
def test_one_h1_first_and_no_level_skipped(notebook):
    nb = read(notebook)
    first = nb.cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    levels = headings(nb)
    assert levels.count(1) == 1
    jumps = [(a, b) for a, b in pairwise(levels) if b > a + 1]
    assert not jumps, f"heading levels skipped: {jumps}"


@per_notebook()
def test_imports_then_parameters(notebook):
    first, second = cells(read(notebook), "code")[:2]
    kinds = {type(node) for node in ast.parse(first.source).body}
    assert kinds & {ast.Import, ast.ImportFrom}, "the first code cell holds the imports"
    assert "parameters" in second.metadata.get("tags", [])
    lines = ast.parse(second.source).body
    assert all(isinstance(line, ast.Assign | ast.AnnAssign) for line in lines), "plain settings"
    names = {node.id for node in ast.walk(ast.parse(second.source)) if isinstance(node, ast.Name)}
    assert {"dataset", "seed"} <= names, "papermill sets these; it only warns of unknown names"


@per_notebook()
def test_no_error_no_widget_state_no_leftovers(notebook):
    nb = read(notebook)
    assert not [o for c in cells(nb, "code") for o in c.outputs if o.output_type == "error"]
    assert not {"widgets", "papermill"} & nb.metadata.keys()
    for cell in nb.cells:
        assert not {"papermill", "execution"} & cell.metadata.keys()
        assert "injected-parameters" not in cell.metadata.get("tags", [])


@per_notebook()
def test_no_machine_paths(notebook):
    found = [
        match[0] + value[match.end() : match.end() + 40]
        for _, value in outputs(read(notebook))
        for match in MACHINE_PATH.finditer(DATA_URI.sub("", value))
    ]
    assert not found


@per_notebook("solutions", "labs")
def test_stripped(notebook):
    for cell in cells(read(notebook), "code"):
        assert not cell.outputs and cell.execution_count is None, f"cell {cell.id} has outputs"


# ---------------------------------------------------------------- lectures


@per_notebook("lectures")
def test_executed_in_order_and_small(notebook):
    counts = [cell.execution_count for cell in cells(read(notebook), "code")]
    assert counts == list(range(1, len(counts) + 1))
    assert notebook.stat().st_size < 1_500_000


@per_notebook("lectures")
def test_lengths(notebook):
    nb = read(notebook)
    assert 35 <= len(nb.cells) <= 60
    sizes = [code_lines(cell) for cell in cells(nb, "code")]
    assert median(sizes) <= 8 and max(sizes) <= 25, f"lines of code per cell: {sizes}"
    words = sum(len(cell.source.split()) for cell in cells(nb, "markdown"))
    assert words >= 1200, f"{words} words of prose"


@per_notebook("lectures")
def test_figures_carry_alt_text(notebook):
    nb = read(notebook)
    bare = [mime for mime, _ in outputs(nb) if mime.startswith("image/")]
    assert not bare, "a bare figure has no alt text: advcourse.plots.show(figure, alt=...)"
    alts = [alt for mime, html in outputs(nb) if mime == "text/html" for alt in Images(html).alts]
    assert alts, "a lecture has figures"
    assert all(alt.strip() for alt in alts)


@per_notebook("lectures")
def test_questions_and_references(notebook):
    prose = [cell.source for cell in cells(read(notebook), "markdown")]
    folded = "\n".join(prose)
    assert folded.count("<details") >= 3 and folded.count("<summary") >= 3
    references = next((s for s in prose if re.search(r"^#+ References", s, re.MULTILINE)), "")
    items = re.findall(r"^(?:[-*]|\d+\.) (.*(?:\n(?![-*\d#\n]).*)*)", references, re.MULTILINE)
    assert items, "no list under a heading References"
    lacking = [i for i in items if not (re.search(r"\b(19|20)\d\d\b", i) and "](http" in i)]
    assert not lacking, f"a reference needs a year and a link: {lacking}"


@per_notebook("lectures")
def test_slides(notebook):
    types = [cell.metadata.get("slideshow", {}).get("slide_type") for cell in read(notebook).cells]
    assert set(types) <= SLIDE_TYPES, "every cell says which slide it belongs to"
    assert "notes" in types, "no speaker notes"


# ---------------------------------------------------------------- spelling


def written():
    """Return every text that readers see: notebooks, code, pages of documentation."""
    rooms = ("advcourse", "tests", "benchmarks", "docs", "data")
    files = [p for room in rooms for kind in ("*.py", "*.md") for p in (ROOT / room).rglob(kind)]
    files += [*ROOT.glob("*.md"), *notebooks("lectures", "solutions")]
    # Not this list of the words itself.
    return [path for path in files if path.name != "test_structure.py"]


@pytest.mark.parametrize("path", written(), ids=lambda path: str(path.relative_to(ROOT)))
def test_american_spelling(path):
    if path.suffix == ".ipynb":
        # The title of a paper is spelled as it was published.
        sources = [c.source for c in read(path).cells if not re.search("^#+ References", c.source)]
    else:
        sources = [path.read_text(encoding="utf-8")]
    prose = re.sub(r"https?://\S+", "", "\n".join(sources))
    assert not {match[0] for match in BRITISH.finditer(prose)}
