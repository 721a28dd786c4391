"""Pictures of lecture 12's graphs: one node, its neighbors and theirs, and the edges that change."""

import math

import torch

from .. import plots
from .panel import Panel

OUTER = 36  # nodes of the second ring that are drawn; a paper that many cite has hundreds
ADDED = {"color": plots.ADVERSARIAL, "linewidth": 2.4, "linestyle": "-"}
REMOVED = {"color": plots.INK, "linewidth": 1.6, "linestyle": ":"}


def places(graph, node, flips):
    """Return {node number: (x, y)}: the node, a ring of its neighbors and new ones, a ring of theirs.

    flips [2, K]: the edges that an attack changes; their ends are always among those placed.
    """
    node = int(node)
    after = graph.flip(flips) if flips.numel() else graph
    near = torch.cat([graph.neighbors(node), after.neighbors(node)]).unique().tolist()
    ends = [v for v in flips.flatten().unique().tolist() if v != node and v not in near]
    spots, parents = {node: (0.0, 0.0)}, {}
    for v in near:
        around = graph.neighbors(v).tolist() + [
            b for pair in flips.T.tolist() if v in pair for b in pair
        ]
        for other in around:
            if other != node and other not in near:
                parents.setdefault(other, v)
    outer = [v for v in parents if v in ends]
    outer += [v for v in parents if v not in ends][: max(0, OUTER - len(outer))]
    # Each inner node has a slice of the circle as wide as it has children, so that edges do not cross.
    children = {v: [o for o in outer if parents[o] == v] for v in near}
    total, at = sum(2 + len(c) for c in children.values()), 0
    for v in near:
        width = 2 + len(children[v])
        spots[v] = _polar((at + width / 2) / total, 1.0)
        for i, other in enumerate(children[v]):
            spots[other] = _polar((at + (i + 1) * width / (width - 1)) / total, 2.0)
        at += width
    return spots


def _polar(turn, radius):
    return radius * math.cos(2 * math.pi * turn), radius * math.sin(2 * math.pi * turn)


def _nodes(ax, graph, node, spots):
    """Draw the nodes: the class of each as a number, filled where it is the node's own class."""
    own = int(graph.labels[node])
    for v, spot in spots.items():
        same, size = int(graph.labels[v]) == own, 17 if v == int(node) else 11
        fill = plots.CLEAN if same else "white"
        edge = plots.INK if v == int(node) else plots.CLEAN if same else "#6b7785"
        line = {"markersize": size, "markeredgecolor": edge, "markerfacecolor": fill, "zorder": 3}
        ax.plot(*spot, "o", markeredgewidth=3 if v == int(node) else 1, **line)
        text = {
            "ha": "center",
            "va": "center",
            "fontsize": 10 if v == int(node) else 7,
            "zorder": 4,
        }
        ax.text(*spot, int(graph.labels[v]), color="white" if same else plots.INK, **text)
    ax.set(xlim=(-2.4, 2.4), ylim=(-2.9, 2.6), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _edges(ax, graph, spots, without=()):
    """Draw the graph's own edges between the nodes that have a place."""
    shown = torch.tensor(sorted(spots))
    both = torch.isin(graph.edges[0], shown) & torch.isin(graph.edges[1], shown)
    for a, b in graph.edges[:, both].T.tolist():
        if (a, b) not in without:
            ax.plot(*zip(spots[a], spots[b], strict=True), color="#8a96a3", linewidth=1, zorder=1)


def _flip_artists(ax, graph, spots, flips):
    """Draw every flipped edge; return for each of them its artists: the line and its mark."""
    artists = []
    joined = graph.joined(flips).tolist() if flips.numel() else []
    for (a, b), was in zip(flips.T.tolist(), joined, strict=True):
        (x0, y0), (x1, y1) = spots[a], spots[b]
        (line,) = ax.plot([x0, x1], [y0, y1], zorder=2, **(REMOVED if was else ADDED))
        mark = {"marker": "x" if was else "P", "markersize": 9, "zorder": 5}
        style = {"color": REMOVED["color"] if was else ADDED["color"], "markeredgewidth": 2}
        style |= {} if was else {"markeredgecolor": "white", "markeredgewidth": 0.8}
        (sign,) = ax.plot([0.45 * x0 + 0.55 * x1], [0.45 * y0 + 0.55 * y1], **mark, **style)
        artists.append([line, sign])
    return artists


def _legend(ax):
    ax.plot([], [], marker="P", label="added edge", **ADDED)
    ax.plot([], [], marker="x", label="removed edge", **REMOVED)
    ax.plot([], [], "o", color=plots.CLEAN, label="of the node's own class")
    ax.plot([], [], "o", color="white", markeredgecolor="#6b7785", label="of another class")
    ax.legend(loc="lower center", ncols=2, fontsize=8, borderpad=0)


@plots.styled
def neighborhood(graph, node, flips, reads=None):
    """Draw a node's neighborhood before and after the flips [2, K]; the class numbers stand inside.

    reads: (before, after), the classes that the model reads at the node, for the titles.
    """
    made = plots.figure(9.4, 5.0)
    spots = places(graph, node, flips)
    gone = {tuple(sorted(p)) for p in flips.T.tolist()}
    names = ["", ""] if reads is None else [f": read as {graph.classes[int(r)]}" for r in reads]
    for ax, name, read in zip(made.subplots(1, 2), ("before", "after"), names, strict=True):
        after = name == "after"
        _edges(ax, graph, spots, without=gone if after else ())
        if after:
            _flip_artists(ax, graph, spots, flips)
        _nodes(ax, graph, node, spots)
        _legend(ax) if after else None
        ax.text(0, 2.4, name + read, ha="center")
    return made


@plots.styled
def graph_panel(graph, node, flips, probabilities):
    """Build: a node's neighborhood with the first k flips, and what the model reads at the node.

    flips [2, K]; probabilities [K + 1, classes]: the model's, after 0 to K flips. Its `update` takes
    `edges`, from 0 to K.
    """
    made = plots.figure(9.4, 5.0)
    ax, side = made.subplots(1, 2, width_ratios=[1.25, 1])
    spots, label = places(graph, node, flips), int(graph.labels[node])
    gone = {tuple(sorted(p)) for p in flips.T.tolist()}
    _edges(ax, graph, spots, without=gone)
    pieces = _flip_artists(ax, graph, spots, flips)
    was = graph.joined(flips).tolist() if flips.numel() else []
    kept = [  # the same edges while they are still there
        ax.plot(*zip(spots[a], spots[b], strict=True), color="#8a96a3", linewidth=1)[0]
        for a, b in flips.T.tolist()
    ]
    _nodes(ax, graph, node, spots)
    _legend(ax)
    names = [name if name == str(i) else f"{i} {name}" for i, name in enumerate(graph.classes)]
    bars = side.barh(names, probabilities[0].tolist(), color=plots.LIGHT, edgecolor=plots.INK)
    bars[label].set_facecolor(plots.CLEAN)
    side.set(xlim=(0, 1), xlabel="the model's probability")
    side.invert_yaxis()
    changing = [*kept, *(part for piece in pieces for part in piece), *bars]
    tops = [line for line in ax.lines if line.get_zorder() >= 3 and line not in changing]

    def update(edges):
        for i, (piece, own) in enumerate(zip(pieces, kept, strict=True)):
            own.set_visible(was[i] and i >= edges)
            for part in piece:
                part.set_visible(i < edges)
        for bar, value in zip(bars, probabilities[edges].tolist(), strict=True):
            bar.set_width(value)
        read = int(probabilities[edges].argmax())
        added = sum(not joined for joined in was[:edges])
        told = "right" if read == label else "misread"
        return (
            f"{edges} edge{'s' * (edges != 1)} changed ({added} added, {edges - added} removed): "
            f"read as {graph.classes[read]} with {probabilities[edges, read]:.0%}; its class is "
            f"{graph.classes[label]}: {told}."
        )

    return Panel(made, [*changing, *tops, *ax.texts], update)
