"""Figures of lecture 12: words and what they weigh, and how many messages are still caught."""

import textwrap
from itertools import pairwise

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .. import metrics, plots
from ..beyond import spam
from .panel import Panel


@plots.styled
def spam_panel(filters, texts, words, most=20, shown=0):
    """Build: one message and its words, both filters' scores, and the share of all still caught.

    filters: {label: Filter}; texts: spam; words: {label: at least `most` good words, best first};
    shown: which text stands on the left. Its `update` takes the number of words.
    """
    counts = range(most + 1)
    caught = {k: spam.still_caught(f, texts, words[k], counts) for k, f in filters.items()}
    made = plots.figure(9.4, 4.0)
    left, ax = made.subplots(1, 2, width_ratios=[1.15, 1])
    left.axis("off")
    left.text(0, 1, _wrapped(texts[shown]), va="top", fontsize=9)
    notes, marks = [], []
    for i, (label, shares) in enumerate(caught.items()):
        line = {"color": plots.LINES[i + 2], "marker": plots.MARKERS[i + 2], "markersize": 4}
        heights = shares.double().mean(1)
        ax.plot(counts, heights, label=label, **line)
        (mark,) = ax.plot([0], [heights[0]], **line | {"markersize": 11})
        marks.append(mark)
        notes.append(left.text(0, 0.52 - 0.5 * i, "", va="top", fontsize=9, color=line["color"]))
    ax.set(xlabel="good words appended", ylabel="spam still caught", ylim=(-0.03, 1.03))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.25)
    ax.legend(loc="upper right")

    def update(count):
        told = []
        for mark, note, (label, shares) in zip(marks, notes, caught.items(), strict=True):
            share = float(shares[count].double().mean())
            mark.set_data([count], [share])
            added = words[label][:count]
            score = float(filters[label].scores(spam.append(texts[shown : shown + 1], added))[0])
            verdict = "spam" if score > 0 else "ham"
            tail = _wrapped("+ " + " ".join(added)) if added else "nothing added"
            note.set_text(f"{label}: score {score:+.2f}, {verdict}\n{tail}")
            told.append(f"{label} calls the message {verdict} and catches {share:.0%} of all spam")
        return f"{count} words: " + "; ".join(told) + "."

    return Panel(made, [*notes, *marks], update)


def _wrapped(text, width=58, lines=5):
    kept = textwrap.wrap(text.replace("$", r"\$"), width)
    return "\n".join(kept[:lines]) + (" ..." if len(kept) > lines else "")


@plots.styled
def count_plane(points, labels, line, path, seed=0):
    """Draw messages by two counts, points [N, 2], labels [N], moved a little so that all are seen.

    line: (weight of the first count, of the second, bias), the filter, which is 0 on its boundary;
    path [K, 2]: where one message goes, step by step. At most 300 messages of each class are drawn.
    """
    made = plots.figure(9.2, 4.0)
    ax, rng = made.subplots(), np.random.default_rng(seed)
    for label, name in enumerate(("ham", "spam")):
        rows = np.flatnonzero(np.asarray(labels) == label)[:300]
        near = points[rows] + rng.uniform(-0.35, 0.35, (len(rows), 2))
        style = {"marker": plots.MARKERS[label], "color": plots.LINES[label], "alpha": 0.6}
        ax.scatter(*near.T, s=14, label=name, **style)
    end = max(9, float(np.max(np.asarray(path)[:, 0])) + 1)
    first = np.array([-0.6, end])
    ax.plot(first, -(line[0] * first + line[2]) / line[1], color=plots.INK, lw=2, label="filter")
    for start, stop in pairwise(path):
        ax.annotate("", stop, start, arrowprops={"arrowstyle": "-|>", "lw": 2, "color": plots.INK})
    ax.plot(*np.asarray(path).T, ".", color=plots.INK)
    ax.set(xlim=(-0.6, end), ylim=(-0.6, 9), xlabel="good words", ylabel="bad words")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return made


@plots.styled
def weight_bars(filters, n=9):
    """Draw for each filter {label: Filter} the n words that pull most to ham, and most to spam."""
    made = plots.figure(9.2, 0.2 * 2 * n + 0.2)
    for ax, (label, f) in zip(made.subplots(1, len(filters)), filters.items(), strict=True):
        words = [*f.good_words(n), *reversed(f.bad_words(n))]
        pulls = [f.weight(word) for word in words]
        colors = [plots.LINES[int(pull > 0)] for pull in pulls]
        ax.barh(range(2 * n), pulls, color=colors, edgecolor=plots.INK, linewidth=0.4)
        ax.set(yticks=range(2 * n), title=label, xlabel="pull of one more of this word")
        ax.set_yticklabels(words, fontsize=8)
        ax.invert_yaxis()
        ax.axvline(0, color=plots.INK)
    return made


@plots.styled
def victims(curves):
    """Draw small multiples, {(title, unit): (budgets, masks [budgets, N])}: shares and intervals."""
    made = plots.figure(9.2, 4.6)
    grid = made.subplots(2, -(-len(curves) // 2), sharey=True, squeeze=False).flat
    for ax, ((title, unit), (budgets, masks)) in zip(grid, curves.items(), strict=False):
        low, high = zip(*(metrics.wilson(int(m.sum()), m.numel()) for m in masks), strict=True)
        ax.fill_between(budgets, low, high, color=plots.LIGHT)
        ax.plot(budgets, masks.double().mean(1), color=plots.CLEAN, marker="o", markersize=4)
        ax.set(title=f"{title}, {masks.shape[1]} inputs", xlabel=unit, ylim=(-0.03, 1.03))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.grid(alpha=0.25)
    return made
