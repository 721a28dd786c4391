"""Load a graph: Cora's papers and citations, or neighbors among the digits that scikit-learn carries.

Cora is read, never downloaded: one plain npz file without pickles (cora/cora.npz in the data folder).
"""

import os
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from .downloads import DataError

NAMES = ("auto", "cora", "digits")
TITLES = {"cora": "Cora (citations)", "digits": "Neighbors among the UCI digits (embedded)"}
FILE = "cora/cora.npz"
CORA_CLASSES = (
    "theory",
    "reinforcement learning",
    "genetic algorithms",
    "neural networks",
    "probabilistic methods",
    "case based",
    "rule learning",
)
NEIGHBORS = 3  # of every digit; gives it about the degree of a paper in Cora
CORA_NODES, CORA_EDGES = 2708, 5278


@dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """Nodes with features [N, D] float32 and labels [N] int64, and undirected edges between them.

    edges [2, E] int64: every edge once, the smaller number first. train, val, test: masks [N].
    """

    name: str
    features: torch.Tensor
    edges: torch.Tensor
    labels: torch.Tensor
    train: torch.Tensor
    val: torch.Tensor
    test: torch.Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def degrees(self) -> torch.Tensor:
        """How many neighbors every node has, [N] int64."""
        return torch.bincount(self.edges.flatten(), minlength=len(self))

    def neighbors(self, node: int) -> torch.Tensor:
        """Return the numbers of the node's neighbors, in order."""
        a, b = self.edges
        return torch.cat([b[a == node], a[b == node]]).sort().values

    def flip(self, pairs: torch.Tensor) -> "Graph":
        """Return a new graph: each pair of nodes in pairs [2, K] joined where it was not, else parted.

        Raises ValueError for a node that there is not, and for a pair of a node with itself.
        """
        numbers = self._numbers(_checked(pairs, len(self)))
        old = self._numbers(self.edges)
        both, counts = torch.cat([old, numbers]).unique(return_counts=True)
        both = both[counts % 2 == 1]
        return replace(self, edges=torch.stack([both // len(self), both % len(self)]))

    def joined(self, pairs: torch.Tensor) -> torch.Tensor:
        """Return a mask [K]: which pairs of nodes in pairs [2, K] are joined by an edge."""
        return torch.isin(self._numbers(_checked(pairs, len(self))), self._numbers(self.edges))

    def part(self, nodes: torch.Tensor) -> "Graph":
        """Return the graph of these nodes [K] alone, numbered anew in their order."""
        place = torch.full((len(self),), -1)
        place[nodes] = torch.arange(len(nodes))
        edges = place[self.edges]
        edges = edges[:, (edges >= 0).all(0)].sort(0).values
        rows = {k: getattr(self, k)[nodes] for k in ("features", "labels", "train", "val", "test")}
        return replace(self, edges=edges, **rows)

    def sample(self, n: int, seed: int = 0, among: torch.Tensor | None = None) -> torch.Tensor:
        """Return at most n test nodes, drawn at random; only nodes in the mask `among` [N].

        Raises ValueError for n below 1.
        """
        if n < 1:
            raise ValueError(f"n: {n} is no number of nodes; pass a whole number >= 1")
        chosen = (self.test if among is None else self.test & among).nonzero()[:, 0]
        return chosen[
            torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))[:n]
        ]

    def _numbers(self, pairs):
        """Return one number for each undirected pair, [K]."""
        return pairs.min(0).values * len(self) + pairs.max(0).values

    def __repr__(self) -> str:
        return (
            f"Graph({self.name!r}: {len(self):,} nodes, {self.edges.shape[1]:,} edges, "
            f"{self.features.shape[1]:,} features, {len(self.classes)} classes)"
        )


def _checked(pairs, n):
    """Return `pairs` if it is [2, K], int64, of different nodes below n; else a ValueError."""
    if not isinstance(pairs, torch.Tensor) or pairs.ndim != 2 or len(pairs) != 2:
        shape = tuple(pairs.shape) if isinstance(pairs, torch.Tensor) else type(pairs).__name__
        raise ValueError(f"pairs: got {shape}; pass an int64 tensor [2, K], a column for each edge")
    pairs = pairs.long()
    if pairs.numel() and not 0 <= pairs.min() <= pairs.max() < n:
        low, high = pairs.min().item(), pairs.max().item()
        raise ValueError(f"pairs: nodes from {low} to {high}; the graph has 0 to {n - 1}")
    if (pairs[0] == pairs[1]).any():
        node = pairs[0][pairs[0] == pairs[1]][0].item()
        raise ValueError(f"pairs: {node} with itself; an edge joins two different nodes")
    return pairs


def load_graph(name: str = "auto", root: str | Path | None = None, *, quiet: bool = False) -> Graph:
    """Load a graph by name and print one line that says which it is and why.

    "auto" is Cora where it lies in the data folder, else the graph of the digits; a data set's name
    from a notebook's parameters means the same: "mnist" and "fashion" as "auto", "digits" the
    digits. ADVCOURSE_DATASET replaces "auto". Raises ValueError for other names, and DataError for
    a file that is missing (under "cora") or damaged.
    Source: Sen 2008 (Cora) in the split of Yang 2016; lecture 12.
    """
    from .data import where

    wish, why = _resolved(name)
    folder, shown = where(root)
    found = (folder / FILE).is_file()
    if wish == "digits":
        graph, origin = _digits(), "from scikit-learn"
    elif found or wish == "cora":
        graph, origin = _cora(folder / FILE, shown), f"from {shown}"
    else:
        graph = _digits()
        origin = f"because {FILE} is not in {shown}. Every notebook runs on it, too."
    if not quiet:
        counts = (
            f"{len(graph):,} nodes, {graph.edges.shape[1]:,} edges, {len(graph.classes)} classes"
        )
        print(f"{TITLES[graph.name]}: {counts}, {origin}{why}")
    return graph


def _resolved(name):
    """Return "auto", "cora" or "digits", and who wished for it."""
    source, why = "name", ""
    if name == "auto" and (wish := os.environ.get("ADVCOURSE_DATASET")):
        name, source, why = wish, "ADVCOURSE_DATASET", " (chosen by ADVCOURSE_DATASET)"
    if name not in (*NAMES, "mnist", "fashion"):
        raise ValueError(f"{source} is {name!r}; it must be one of {', '.join(NAMES)}")
    return ("auto" if name in ("mnist", "fashion") else name), why


def _cora(path, shown):
    """Read Cora's file, or say what is wrong with it."""
    mend = f"Put the file there ({path}), or use the graph of the digits (name 'digits')"
    if not path.is_file():
        raise DataError(f"{FILE} is not in {shown}", mend)
    try:
        with np.load(path, allow_pickle=False) as file:  # a pickle could run code
            part = {key: torch.from_numpy(file[key].astype(np.int64)) for key in file.files}
        graph = _assembled(part)
    except (
        OSError,
        ValueError,
        KeyError,
        IndexError,
        RuntimeError,
        EOFError,
        zipfile.BadZipFile,
    ) as e:
        text = " ".join(str(e).split())[:120]
        reason = f"{Path(shown, FILE)} is damaged ({type(e).__name__}: {text})"
        raise DataError(reason, mend) from e
    if (len(graph), graph.edges.shape[1]) != (CORA_NODES, CORA_EDGES):
        raise DataError(f"{Path(shown, FILE)} is another graph: {graph!r}", mend)
    return graph


def _assembled(part):
    """Return the Graph of Cora's arrays."""
    n, width = part["feature_shape"].tolist()
    features = torch.zeros(n, width)
    features[part["feature_rows"], part["feature_cols"]] = 1
    edges = _checked(part["edges"].T.contiguous(), n).sort(0).values
    edges = edges[:, (edges[0] * n + edges[1]).argsort()]
    masks = [_mask(part[key], n) for key in ("train", "val", "test")]
    labels = part["labels"]
    if len(labels) != n or not 0 <= labels.min() <= labels.max() < len(CORA_CLASSES):
        raise ValueError(f"{len(labels)} labels for {n} nodes and {len(CORA_CLASSES)} classes")
    return Graph("cora", features, edges, labels, *masks, CORA_CLASSES)


def _mask(nodes, n):
    mask = torch.zeros(n, dtype=torch.bool)
    mask[nodes] = True
    return mask


def _digits():
    """Join every digit to its nearest ones by the angle between their pixels; 20 labels a class."""
    from sklearn.datasets import load_digits
    from sklearn.neighbors import NearestNeighbors

    images, labels = load_digits(return_X_y=True)
    search = NearestNeighbors(n_neighbors=NEIGHBORS + 1, metric="cosine").fit(images)
    near = torch.from_numpy(search.kneighbors(images, return_distance=False)[:, 1:])
    n = len(labels)
    pairs = torch.stack([torch.arange(n).repeat_interleave(NEIGHBORS), near.flatten()])
    pairs = pairs[:, pairs[0] != pairs[1]].sort(0).values
    numbers = (pairs[0] * n + pairs[1]).unique()
    y = torch.tensor(labels, dtype=torch.int64)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    train = torch.cat([order[y[order] == c][:20] for c in range(10)])
    rest = order[~torch.isin(order, train)]
    masks = [_mask(part, n) for part in (train, rest[:500], rest[500:1500])]
    x = torch.tensor(images / 16, dtype=torch.float32)
    edges = torch.stack([numbers // n, numbers % n])
    return Graph("digits", x, edges, y, *masks, tuple("0123456789"))
