"""Published beside measured, for lecture 18: table rows, verdicts, results held to their cache."""

from dataclasses import asdict

import numpy as np
import torch

from .. import metrics, plots
from .measure import mean
from .reasons import agrees
from .registry import FIGURES
from .store import Measured, measured, read, series
from .tables import bounds, difference, words

WORDS = ("met", "can be met", "missed", "not stated", "not comparable", "not measured")
SOURCES = ("blue team", "poster", "slides", "notes", "seminar")
# The heading under which each figure is measured: a heading's anchor works in JupyterLab and on a page.
SECTIONS = {
    "l18-fgsm": "3. The shallow network of the poster",
    "l18-jsma": "Saliency maps and a filter",
    "l18-smoothing": "Saliency maps and a filter",
    "l18-table1": "2. The report of the blue team",
    "l18-table2": "Table 2",
    "l18-table3": "Table 3 and figure 1",
    "l18-lenet": "4. The LeNet of the slides",
    "l18-hosseini": "Four panels and twenty restarts",
    "l18-madry": "Four panels and twenty restarts",
    "l18-noise": "5. The notes on noise",
    "l18-generate": "6. The images of the seminar paper",
    "l18-threshold": "Two defenses",
    "l18-distilled": "Two defenses",
}


NOT_YET = Measured(*[float("nan")] * 3, 0, "not measured yet", "", 0.0)


def crossing(settings, shares, level):
    """Return the setting at which a falling curve passes `level`, between its points, else nan."""
    shares = torch.as_tensor(shares, dtype=torch.float64).cummin(0).values.numpy()
    if not shares[-1] <= level <= shares[0]:
        return float("nan")
    return float(np.interp(-level, -shares, settings))


class Book:
    """All figures of lecture 18 and what was measured on one data set.

    figures: {key: Figure}; found: {key: Measured}; foreign: whether the images are not MNIST's, so
    that no published value is about them.
    """

    def __init__(self, images):
        self.images, self.foreign = images, images.name != "mnist"
        self.figures = {figure.key: figure for figure in FIGURES}
        kept = measured(images)
        self.found = {key: kept.get(key, NOT_YET) for key in self.figures}

    def __getitem__(self, key):
        """Return the published value."""
        return self.figures[key].published

    def has(self, job):
        """Tell whether the curves of this job are stored."""
        return job in read(self.images)["series"]

    def value(self, key):
        """Return the cached value."""
        return self.found[key].value

    def printed(self, key):
        """Return a published value for a table, gray where it belongs to other images."""
        value = self[key]
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        return f'<span style="color: gray">{text}</span>' if self.foreign else text

    def cached(self, key):
        """Return a cached value with its interval, for a table."""
        m = self.found[key]
        return "not measured yet" if not m.n else f"{m.value:.4f} ({m.low:.4f} to {m.high:.4f})"

    def agrees(self, key, sample, room=0.001):
        """Return (claim, whether it holds) for `claims.hold`: computed now, and as cached.

        sample: a mask [N] or values [N], whose interval has to meet the cached one; or one number,
        which has to lie within `room` of the cached one.
        """
        m = self.found[key]
        if not m.n:
            return f"{key}: nothing is cached yet", True
        if isinstance(sample, float):
            low, high, near = sample, sample, abs(sample - m.value) <= room
        else:
            low, high = _interval(sample)
            near = low <= m.high and m.low <= high
        now = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        return f"{key} is as cached (now {now}, cached {self.cached(key)})", near

    def row(self, key, now, said=""):
        """Return [what, published, now, cached with interval]; said: what stands before `what`."""
        text = f"{now:.4f}" if isinstance(now, float) else now
        return [said + self.figures[key].what, self.printed(key), text, self.cached(key)]

    def met(self, key):
        """Tell whether a published number lies in our interval, half of its last digit allowed for."""
        m, value = self.found[key], self[key]
        half = 0.5 * 10.0 ** -len(f"{value}".partition(".")[2])
        return m.low - half <= value <= m.high + half

    def verdict(self, key):
        """Return one of `WORDS`."""
        f, m = self.figures[key], self.found[key]
        if not m.n:
            return "not measured"
        if self.foreign:
            return "not comparable"
        if f.published == "not given":
            return "not stated"
        if isinstance(f.published, str):
            return "met" if agrees(f.published, asdict(m)) else "missed"
        free = "no strength" in f.setting or "no epsilon" in f.setting
        return "met" if self.met(key) else "can be met" if free and _reached(m) else "missed"

    def table(self):
        """Return every figure as a row: published, ours, difference, verdict, setting, reason, link."""
        rows = []
        for key, f in self.figures.items():
            m, heading = self.found[key], SECTIONS[f.cell]
            ours = (
                "not measured yet"
                if not m.n
                else f"{words(m.value, f.unit)} ({bounds(m, f.unit)}), n = {m.n:,}"
            )
            gap = "–" if self.foreign or not m.n else difference(f, m) or "–"
            setting = "; ours: ".join(part for part in (f.setting, m.setting) if part)
            link = f"[{heading}](#{heading.replace(' ', '-')})"
            what = [f"{f.what} ({f.source})", self.printed(key), ours, gap, self.verdict(key)]
            rows.append([*what, setting, m.reason or "–", link])
        head = ["figure", "published", "ours, 95 %", "difference", "verdict", "setting", "reason"]
        return plots.table([*head, "section"], rows)

    def tally(self):
        """Return how many figures of each source got each of `WORDS`."""
        rows = []
        for source in SOURCES:
            said = [self.verdict(k) for k, f in self.figures.items() if f.source.startswith(source)]
            rows.append([source, len(said), *(said.count(word) for word in WORDS)])
        return plots.table(["source", "figures", *WORDS], rows)

    def sizes(self):
        """Return [hidden neurons, accuracy clean, at .10, at .25] of the nets without a penalty."""
        ours = {f"acc {eps:g}": self.value(f"report-0-0-{eps:g}-acc") for eps in (0, 0.1, 0.25)}
        nets = [*series(self.images, "hidden")["hidden"], {"hidden": 128, **ours}]
        nets.sort(key=lambda net: net["hidden"])
        return [[net["hidden"], *(net[f"acc {eps:g}"] for eps in (0, 0.1, 0.25))] for net in nets]


def _interval(sample):
    """Return the 95 % interval of a mask's share, or of the mean of values [N]."""
    if sample.dtype == torch.bool:
        return metrics.wilson(int(sample.sum()), len(sample))
    found = mean(sample)
    return found.low, found.high


def _reached(m):
    """Tell whether some strength of our sweep gives the published value."""
    return "equal at" in m.setting or "epsilon .1, ours" in m.setting
