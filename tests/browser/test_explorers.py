"""Every explorer of lectures 05 on, live in JupyterLab: each slider moves its picture."""

import ast

import nbformat
import pytest

from tests.browser.lab import RUN_ALL
from tests.browser.test_lab import SECOND, Explorer
from tests.repo import ROOT

# Few images and steps: here the sliders count, not the tables.
FEW = {
    "05": {"n_images": 60, "steps": 10},
    "06": {"n_images": 60},
    "07": {"n_images": 30, "steps": 20},
    "08": {"n_images": 60},
    "09": {"n_images": 90, "n_train": 900, "queries": 300},
    "10": {"n_images": 120, "n_train": 300, "steps": 20},
    "11": {"n_train": 1500, "n_images": 500, "stamps": (0.0, 0.02, 0.08)},
    "12": {"n_images": 80, "steps": 10},
    "13": {"n_images": 20, "n_train": 300, "passes": 600, "restarts": 1},
    "14": {"n_images": 30, "n_gan": 4, "steps": 5},
    "15": {"n_images": 40, "steps": 10},
    "16": {"n_images": 20, "n_votes": 100, "steps": 5},
}
EXPLORERS = {
    "05": 2,
    "06": 4,
    "07": 3,
    "08": 1,
    "09": 1,
    "10": 1,
    "11": 2,
    "12": 2,
    "13": 3,
    "14": 3,
    "15": 1,
    "16": 3,
}


def shortened(number, folder):
    """Write a copy of a lecture: what its explorers rest on, with less to compute; return its path."""
    (source,) = (ROOT / "lectures").glob(f"{number}_*.ipynb")
    notebook = nbformat.read(source, as_version=4)
    settings = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    settings.source += "\n" + "\n".join(f"{k} = {v}" for k, v in FEW[number].items())
    notebook.cells = explorers_alone(notebook.cells)
    nbformat.write(notebook, folder / source.name)
    return folder / source.name


def explorers_alone(cells):
    """Return the code cells that make an explorer, and those that give a name to what these read."""
    needed, kept = {"lecture"}, []
    for cell in reversed([cell for cell in cells if cell.cell_type == "code"]):
        nodes = list(ast.walk(ast.parse(cell.source)))
        calls = {getattr(node, "attr", "").lower() for node in nodes}
        if any("explore" in name for name in calls) or needed & bound(nodes):
            needed |= {n.id for n in nodes if isinstance(n, ast.Name)}
            kept.insert(0, cell)
    return kept


def bound(nodes):
    """Return the names that the nodes of a cell bind, or put something into."""
    names = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    imports = [a for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names]
    names |= {alias.asname or alias.name.split(".")[0] for alias in imports}
    for node in nodes:
        stored = isinstance(getattr(node, "ctx", None), ast.Store)
        while isinstance(node, ast.Subscript | ast.Attribute):
            node = node.value
        if stored and isinstance(node, ast.Name):
            names.add(node.id)
    return names


class Any(Explorer):
    """The explorer with a given heading."""

    def __init__(self, page, heading):
        self.page = page
        title = page.locator(f'b:text-is("{heading}")')
        self.box = page.locator(".advcourse-explorer").filter(has=title).first

    def sliders(self):
        """Return the names of the sliders that a hand could move."""
        labels = self.box.locator(".widget-slider .widget-label")
        labels.first.wait_for()
        names = [name.strip() for name in labels.all_text_contents()]
        return [name for name in names if self.can_move(name)]


def headings(page):
    """Scroll down the notebook; yield the heading of each explorer as it comes into sight."""
    seen, outer = set(), page.locator(".jp-WindowedPanel-outer").first
    outer.evaluate("panel => panel.scrollTop = 0")  # running all cells has led to the end
    outer.hover()
    for _ in range(100):
        for box in page.locator(".advcourse-explorer").all():
            heading = box.locator("b").first.text_content()
            if heading not in seen and box.locator("img").count():
                seen.add(heading)
                yield heading
                outer.hover()
        page.mouse.wheel(0, 300)
        page.wait_for_timeout(50)


@pytest.mark.parametrize("number", FEW)
def test_every_slider_moves_its_picture(page, lab, number, tmp_path, screenshots):
    page.goto(lab.open(shortened(number, tmp_path)), timeout=120 * SECOND)
    page.wait_for_function("() => !!window.jupyterapp", timeout=60 * SECOND)
    assert page.evaluate(RUN_ALL), "a cell failed"
    count = 0
    for heading in headings(page):
        explorer = Any(page, heading)
        explorer.box.scroll_into_view_if_needed()
        sliders = explorer.sliders()
        assert sliders, f"{heading}: nothing to drag"
        for name in sliders:
            explorer.drag(name, 0.0)
            low = explorer.rested()
            explorer.box.screenshot(path=screenshots / f"{number}-{count}-{name}-low.png")
            explorer.drag(name, 1.0)
            high = explorer.rested()
            explorer.box.screenshot(path=screenshots / f"{number}-{count}-{name}-high.png")
            assert low[0] != high[0] and low[1] != high[1], f"{heading}: {name}"
            explorer.drag(name, 0.6)
        count += 1
    assert count >= EXPLORERS[number]
    assert not [p for p in page.problems if p.startswith("asked for")]
