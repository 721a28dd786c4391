"""The pages that `make course` writes: no network, no complaint, and their sliders move."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from tests.browser.conftest import PIXELS
from tests.repo import ROOT

LECTURE = "04_fgsm"


@pytest.fixture(scope="module")
def site(chromium, tmp_path_factory):
    """A small build of the site, in a folder whose name holds a space."""
    if not (ROOT / "lectures" / f"{LECTURE}.ipynb").exists():
        pytest.skip(f"no lecture {LECTURE}")
    out = tmp_path_factory.mktemp("the site")
    command = [sys.executable, "-m", "advcourse", "run", LECTURE, "--out", str(out)]
    done = subprocess.run(
        [*command, "-p", "dataset", "digits"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def visit(page, path):
    page.goto(path.as_uri())
    page.wait_for_load_state("load")


def test_every_page_is_quiet_and_alone(site, page, screenshots):
    paths = sorted(site.rglob("*.html"))
    assert site / "index.html" in paths
    assert any(LECTURE in path.stem for path in paths)
    for path in paths:
        visit(page, path)
        broken = "images => images.filter(i => i.complete && !i.naturalWidth).map(i => i.alt)"
        page.screenshot(path=screenshots / f"page-{path.stem}.png")
        assert not page.problems, path.name
        assert not page.locator("img").evaluate_all(broken), f"{path.name}: pictures are missing"


def test_links_lead_somewhere(site, page):
    for path in sorted(site.rglob("*.html")):
        visit(page, path)
        links = page.locator("a[href]").evaluate_all("links => links.map(a => a.href)")
        files = {url2pathname(urlsplit(link).path) for link in links if link.startswith("file:")}
        dead = [file for file in files if not Path(file).exists()]
        assert not dead, path.name


def lecture_page(site):
    return next(path for path in site.rglob("*.html") if LECTURE in path.stem)


def test_formulas_are_set(site, page):
    visit(page, lecture_page(site))
    assert page.locator("math").count() > 0
    assert not re.search(r"\$\$|\\(frac|epsilon|mathrm)", page.locator("body").inner_text())


def test_twins_move_by_key_and_mouse(site, page, screenshots):
    visit(page, lecture_page(site))
    twins = page.locator("figure.advcourse-twin").all()
    assert twins, "no slider works without a kernel"
    for number, twin in enumerate(twins, start=1):
        twin.scroll_into_view_if_needed()
        for slider in twin.locator("input[type=range]").all():
            check_moves(page, twin, slider)
        page.screenshot(path=screenshots / f"page-twin-{number}.png")
    assert not page.problems


def check_moves(page, twin, slider):
    """Take a slider from end to end, by arrow keys and by mouse: picture and words must follow."""

    def look():
        return twin.locator("img").first.evaluate(PIXELS), twin.locator("output").all_inner_texts()

    def press(key):
        page.keyboard.press(key)
        return look()

    slider.focus()
    (first, words), (_, next_words), (last, last_words) = map(press, ("Home", "ArrowRight", "End"))
    assert words != next_words, f"an arrow key leaves {words}"
    assert words != last_words, f"the other end leaves {words}"
    assert first != last, f"the same picture at {words} and {last_words}"
    box = slider.bounding_box()
    page.mouse.click(box["x"] + 2, box["y"] + box["height"] / 2)
    assert look() == (first, words), "a click on the left end does not lead there"
