"""A reader opens the lecture in JupyterLab, runs it, and drags both sliders with the mouse."""

import time

from tests.browser.conftest import PIXELS, drag
from tests.browser.lab import RUN_ALL
from tests.repo import ROOT

LECTURE = ROOT / "lectures" / "04_fgsm.ipynb"
SECOND = 1000  # playwright counts in milliseconds


class Explorer:
    """The attack explorer of a page, its controls by the names that a reader sees."""

    def __init__(self, page):
        self.page = page
        # A lecture has simpler explorers as well; this one has iterations.
        self.box = page.locator(".advcourse-explorer").filter(has=self.label("iterations")).first

    def label(self, name):
        return self.page.locator(f'.widget-label:text-is("{name}")')

    def control(self, kind, name):
        return self.box.locator(f".widget-{kind}").filter(has=self.label(name)).first

    def look(self):
        """Return what is seen: the pixels of the picture, the words of the status line."""
        picture = self.box.locator("img").first.evaluate(PIXELS)
        return picture, self.box.locator(".advcourse-status").first.inner_text()

    def after(self, action):
        """Do something to a control; return what is seen once picture and words have changed."""
        before = self.look()
        action()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            now = self.look()
            if now[0] != before[0] and now[1] != before[1]:
                return self.rested()
            time.sleep(0.02)
        kept = [
            name for name, a, b in zip(("picture", "words"), before, now, strict=True) if a == b
        ]
        raise AssertionError(f"{' and '.join(kept)} did not change: {now[1]!r}")

    def rested(self, calm=0.5):
        """Wait until the last redraw of a drag has arrived."""
        seen, since = self.look(), time.monotonic()
        while time.monotonic() - since < calm:
            time.sleep(0.05)
            if (now := self.look()) != seen:
                seen, since = now, time.monotonic()
        return seen

    def drag(self, name, share):
        slider = self.control("slider", name)
        drag(self.page, slider.locator(".noUi-handle"), slider.locator(".noUi-target"), share)

    def value(self, name):
        return float(self.control("slider", name).locator(".widget-readout").inner_text())

    def can_move(self, name):
        slider = self.control("slider", name)
        return slider.is_visible() and slider.locator(".noUi-target[disabled]").count() == 0

    def choose_attack_that_iterates(self):
        menu = self.control("dropdown", "attack").locator("select")
        for name in reversed(menu.locator("option").all_inner_texts()):
            menu.select_option(name)
            self.rested()
            if self.can_move("iterations"):
                return name
        raise AssertionError("no attack of the menu has iterations")


def test_both_sliders_move_picture_and_words(page, lab, screenshots):
    page.goto(lab.open(LECTURE), timeout=120 * SECOND)
    page.wait_for_function("() => !!window.jupyterapp", timeout=60 * SECOND)
    assert page.evaluate(RUN_ALL), "a cell failed"
    explorer = Explorer(page)
    # The notebook draws only the cells near the view: go there as a reader would, by scrolling.
    page.locator(".jp-WindowedPanel-outer").first.hover()
    for _ in range(200):
        if explorer.box.count() and explorer.box.locator("img").count():
            break
        page.mouse.wheel(0, 400)
        page.wait_for_timeout(50)
    explorer.control("slider", "epsilon").scroll_into_view_if_needed()
    explorer.drag("epsilon", 0.0)
    assert "still right" in explorer.rested()[1]
    page.screenshot(path=screenshots / "lab-1-before.png")

    small = explorer.value("epsilon")
    assert "fooled" in explorer.after(lambda: explorer.drag("epsilon", 0.8))[1]
    assert explorer.value("epsilon") > small
    page.screenshot(path=screenshots / "lab-2-epsilon.png")
    explorer.box.screenshot(path=screenshots / "explorer.png")
    for name in ("epsilon", "iterations"):  # as a screen reader finds them
        assert explorer.box.get_by_role("slider", name=name).count() == 1
    for name in ("attack", "image", "target"):
        assert explorer.box.get_by_role("combobox", name=name).count() == 1
    status = explorer.box.locator(".advcourse-status [aria-live=polite]")
    assert explorer.box.locator("img").get_attribute("alt") == status.text_content().strip()

    at = explorer.value("epsilon")
    explorer.control("slider", "epsilon").locator(".noUi-handle").focus()
    explorer.after(lambda: [page.keyboard.press("ArrowLeft") for _ in range(5)])
    assert explorer.value("epsilon") < at

    assert explorer.choose_attack_that_iterates()
    explorer.drag("iterations", 0.0)
    assert "still right" in explorer.rested()[1]
    first = explorer.value("iterations")
    assert "fooled" in explorer.after(lambda: explorer.drag("iterations", 1.0))[1]
    assert explorer.value("iterations") > first
    page.screenshot(path=screenshots / "lab-3-iterations.png")

    last = explorer.value("iterations")
    explorer.control("slider", "iterations").locator(".noUi-handle").focus()
    explorer.after(lambda: [page.keyboard.press("ArrowLeft") for _ in range(3)])
    assert explorer.value("iterations") < last
    assert not [p for p in page.problems if p.startswith("asked for")]
