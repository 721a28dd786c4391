"""Published beside measured, as the tables of lecture 18."""

from .. import plots
from .reasons import agrees
from .registry import FIGURES
from .store import FOLDER, measured

HEADER = ["source", "figure", "published", "ours", "difference", "n", "setting", "why", "cell"]
PERCENT = ("share", "confidence", "difference", "pixels")


def table(dataset, job=None, keys=None, *, folder=FOLDER):
    """Return the Markdown table of every figure (or of one `job`, or of `keys`) for `dataset`.

    Where the data set is not MNIST the published values are gray: they are of other images.
    """
    found, name = measured(dataset, folder), dataset if isinstance(dataset, str) else dataset.name
    chosen = [f for f in FIGURES if (job in (None, f.job)) and (keys is None or f.key in keys)]
    return plots.table(HEADER, [_row(f, found.get(f.key), name) for f in chosen])


def _row(figure, m, dataset):
    said = words(figure.published, figure.unit)
    if dataset != "mnist":
        said = f'<span style="color: gray">{said}</span>'
    what = f"{figure.setting}: {figure.what}"
    link = f"[{figure.cell}](#{figure.cell})"
    if m is None:
        return [figure.source, what, said, "not measured yet", "", "", "", "", link]
    ours = f"{words(m.value, figure.unit)} ({bounds(m, figure.unit)})"
    why = m.reason or "in the interval"
    return [
        figure.source,
        what,
        said,
        ours,
        difference(figure, m),
        f"{m.n:,}",
        m.setting,
        why,
        link,
    ]


def words(value, unit):
    """Return a value as the tables print it; words stay words."""
    if isinstance(value, str):
        return value
    return f"{100 * value:.2f} %" if unit in PERCENT else f"{value:.3g}"


def bounds(m, unit):
    """Return the interval of a `Measured` in the unit of its figure."""
    scale, digits = (100, 2) if unit in PERCENT else (1, 3)
    return f"{scale * m.low:.{digits}f} to {scale * m.high:.{digits}f}"


def difference(figure, m):
    """Return ours minus theirs, with its sign; of words, whether they hold."""
    if isinstance(figure.published, str):
        if figure.published == "not given":
            return ""
        holds = agrees(figure.published, {"value": m.value, "low": m.low, "high": m.high, "n": m.n})
        return "holds" if holds else "does not hold"
    gap = m.value - figure.published
    return f"{100 * gap:+.2f} points" if figure.unit in PERCENT else f"{gap:+.3g}"
