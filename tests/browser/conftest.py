"""A real Chromium that sees this machine and nothing else, and pictures of what it saw."""

import re

import pytest

from tests.browser.lab import serve
from tests.repo import ROOT

LOCAL = re.compile(r"^\w+://(127\.0\.0\.1|localhost)[:/]")
QUIET = [f"--disable-{what}" for what in ("gpu", "background-networking", "component-update")]


@pytest.fixture(scope="module")
def browser(chromium):
    # Closed with the module: playwright's event loop would be in the way of nbclient's.
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory):
    """The one JupyterLab that all tests of a worker open their notebooks in."""
    with serve(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def page(browser):
    """A fresh page; `page.problems` lists what it complained of or asked of the network."""
    context = browser.new_context(viewport={"width": 1280, "height": 960})
    page = context.new_page()
    page.problems = []

    def refuse(route):
        if LOCAL.match(route.request.url):
            return route.continue_()
        page.problems.append(f"asked for {route.request.url}")
        return route.abort()

    context.route(re.compile("^(https?|wss?):"), refuse)
    page.on("pageerror", lambda error: page.problems.append(f"error: {error}"))
    page.on(
        "console",
        lambda said: said.type == "error" and page.problems.append(f"console: {said.text}"),
    )
    yield page
    context.close()


@pytest.fixture(scope="session")
def screenshots():
    folder = ROOT / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# What an <img> shows, whatever its address: a widget's address changes with every redraw.
PIXELS = """image => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  canvas.getContext("2d").drawImage(image, 0, 0);
  try { return canvas.toDataURL(); } catch { return image.src; }  // a file beside the page
}"""


def drag(page, handle, track, share):
    """Drag `handle` with the mouse to `share` (0 to 1) of its track, over several moves."""
    handle.scroll_into_view_if_needed()
    start, rail = handle.bounding_box(), track.bounding_box()
    y = start["y"] + start["height"] / 2
    page.mouse.move(start["x"] + start["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(rail["x"] + share * rail["width"], y, steps=10)
    page.mouse.up()
