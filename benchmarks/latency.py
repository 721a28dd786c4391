"""From key press to new pixels in the browser: the explorer beside a new figure for every move.

Both stand in one notebook in one JupyterLab, on the same model and picture, and take turns, so
that a busy machine is busy for both. What counts is the time from the key event until another
picture stands in the page, decoded; the browser paints it with its next frame.
"""

import argparse
import platform
import statistics
import tempfile
from pathlib import Path

import nbformat

from tests.browser.conftest import QUIET
from tests.browser.lab import RUN_ALL, serve
from tests.conftest import find_chromium

SETUP = """
import torch, ipywidgets as w, matplotlib.pyplot as plt
from advcourse import attacks, data, models, widgets
images = data.load("auto", quiet=True)
victim = models.load("lenet5", images)
x, y = images.x_test[:4], images.y_test[:4]
"""
OURS = """
ours = widgets.AttackExplorer(victim, x, y, images.classes, rows=["fgsm"], strength=0.25)
ours.add_class("ours")
ours
"""
# The same, for leaps of five steps.
LEAP = """
leap = widgets.AttackExplorer(victim, x, y, images.classes, rows=["fgsm"], strength=0.0)
leap.add_class("leap")
leap
"""
# Up in leaps, a step aside, down in leaps: 36 values of epsilon, none of them twice.
SWEEP = ["PageUp"] * 9 + ["ArrowRight"] + ["PageDown"] * 9 + ["ArrowRight"]
LEAPS = SWEEP + SWEEP
# What one would write first: interactive_output, and the same five panels as a new figure each time.
NAIVE = """
def draw(eps):
    x_adv = attacks.fgsm(victim, x[:1], y[:1], eps=eps)
    with torch.no_grad():
        before, after = victim(x[:1]).softmax(1)[0], victim(x_adv).softmax(1)[0]
    delta = x_adv - x[:1]
    figure, axes = plt.subplots(1, 5, figsize=(9.4, 2.75), width_ratios=[1, 1, 1, 1, 1.55])
    shown = (x[:1], delta / max(eps, 1e-9), delta, x_adv)
    for ax, picture in zip(axes, shown):
        ax.imshow(picture[0, 0], cmap="gray"); ax.set(xticks=[], yticks=[])
    axes[4].barh(range(10), before, 0.38); axes[4].barh([i + 0.4 for i in range(10)], after, 0.38)
    axes[0].set_title("image"); axes[3].set_title("adversarial image")
    plt.show()

eps = w.FloatSlider(value=0.25, min=0, max=0.5, step=0.01, description="epsilon")
out = w.interactive_output(draw, {"eps": eps})
box = w.VBox([eps, out]); box.add_class("naive"); box
"""
# Resolves with the milliseconds from the key event until another picture is there, decoded.
WATCH = """box => new Promise(done => {
  const images = () => [...box.querySelectorAll("img")];
  const shown = () => images().map(i => i.src).join();
  const before = shown();
  let start = 0;
  box.addEventListener("keydown", () => { start = performance.now(); },
                       {capture: true, once: true});
  const watcher = new MutationObserver(async () => {
    if (!start || !images().length || shown() === before) return;
    watcher.disconnect();
    await Promise.all(images().map(i => i.decode().catch(() => 0)));
    done(performance.now() - start);
  });
  watcher.observe(box, {subtree: true, childList: true, attributeFilter: ["src"]});
})"""


def measure(page, box, key):
    """Press `key` on the box's slider; return the milliseconds until the new picture is there."""
    handle = box.locator(".noUi-handle").first
    handle.focus()
    waiting = page.evaluate_handle(
        f"box => {{ window.moved = ({WATCH})(box); }}", box.element_handle()
    )
    waiting.dispose()
    page.keyboard.press(key)
    took = page.evaluate("() => window.moved")
    page.wait_for_timeout(250)  # until kernel and page rest, so that neither pays for the other
    return took


def run(moves):
    """Return {"ours": times, "leap": times, "naive": times} in milliseconds, taken in turns."""
    from playwright.sync_api import sync_playwright

    cells = [nbformat.v4.new_code_cell(text.strip()) for text in (SETUP, OURS, LEAP, NAIVE)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        notebook = Path(folder) / "latency.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), notebook)
        (Path(folder) / "lab").mkdir()
        with serve(Path(folder) / "lab") as lab:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=QUIET)
            page = browser.new_page(viewport={"width": 1280, "height": 1400})
            page.goto(lab.open(notebook), timeout=120_000)
            page.wait_for_function("() => !!window.jupyterapp", timeout=60_000)
            if not page.evaluate(RUN_ALL):
                raise RuntimeError("a cell of the benchmark's notebook failed")
            boxes = {name: page.locator(f".{name}") for name in ("ours", "leap", "naive")}
            for box in boxes.values():
                box.locator("img").first.wait_for(timeout=60_000)
            times = {name: [] for name in boxes}
            for i in range(moves):
                for name, box in boxes.items():
                    step = "ArrowRight" if i % 40 < 20 else "ArrowLeft"
                    took = measure(page, box, LEAPS[i] if name == "leap" else step)
                    if i >= 3 and (name != "leap" or LEAPS[i].startswith("Page")):
                        times[name].append(took)  # the first moves warm caches on all sides
            browser.close()
    return times


def main():
    """Measure, print the table, and write it to benchmarks/results/latency.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--moves", type=int, default=40, choices=range(5, 41), help="key presses each"
    )
    times = run(parser.parse_known_args()[0].moves)
    lines = [
        "# From key press to new pixels",
        "",
        f"Median of {len(times['ours'])} key presses each, taken in turns in one JupyterLab under "
        f"headless Chromium; LeNet-5, FGSM, five panels. While the kernel rests, the explorer draws "
        f"ahead what its sliders would show; a picture that is not there yet costs about 20 ms more. "
        f"Python {platform.python_version()}.",
        "",
        "| pattern | median ms | 90 % below | slowest |",
        "|---|---|---|---|",
    ]
    names = {
        "ours": "the explorer, step by step",
        "leap": "the explorer, leaps of five steps",
        "naive": "interactive_output, a new figure",
    }
    for key, name in names.items():
        values = sorted(times[key])
        middle, high = statistics.median(values), values[int(0.9 * len(values))]
        lines.append(f"| {name} | {middle:.0f} | {high:.0f} | {values[-1]:.0f} |")
    ratio = statistics.median(times["naive"]) / statistics.median(times["ours"])
    lines += ["", f"Ratio of the medians, step by step: {ratio:.1f}."]
    text = "\n".join(lines) + "\n"
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "latency.md").write_text(text, encoding="utf-8")
    print(text)
