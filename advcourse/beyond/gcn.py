"""A graph convolutional network of two layers, by hand, on torch's sparse matrices."""

import warnings

import torch
import torch.nn.functional as F
from torch import nn

from ..attacks.contract import frozen
from ..attacks.inputs import check_count, check_share


def normalized(edges, n, dtype=torch.float32):
    """Return D^-1/2 (A + I) D^-1/2 as a sparse matrix [n, n], for undirected edges [2, E] given once.

    Every node is its own neighbor, too (I), and an edge counts less the more edges its ends have:
    D holds the degrees in A + I. Source: Kipf and Welling 2017, equation 2; lecture 12.
    """
    own = torch.arange(n, device=edges.device)
    rows = torch.cat([edges[0], edges[1], own])
    columns = torch.cat([edges[1], edges[0], own])
    scale = torch.bincount(rows, minlength=n).to(dtype).rsqrt()
    return _csr(torch.stack([rows, columns]), scale[rows] * scale[columns], (n, n))


def _csr(places, values, shape):
    """Return a sparse matrix in the layout whose products are ten times faster than the default's."""
    matrix = torch.sparse_coo_tensor(places, values, shape, check_invariants=False).coalesce()
    with warnings.catch_warnings():  # that the layout is in beta since 2021
        warnings.simplefilter("ignore", UserWarning)
        return matrix.to_sparse_csr()


class _Times(torch.autograd.Function):
    """matrix @ dense for a sparse matrix whose transpose is at hand.

    torch's own backward pass transposes it anew in every step: 35 ms instead of .2 on Cora.
    """

    @staticmethod
    def forward(ctx, dense, matrix, transposed):
        ctx.transposed = transposed
        return matrix @ dense

    @staticmethod
    def backward(ctx, gradient):
        return ctx.transposed @ gradient.contiguous(), None, None


class Words:
    """Sparse features [N, D] with their transpose: `words @ weights` is differentiable and fast."""

    def __init__(self, x):
        places = x.nonzero().T
        self.matrix = _csr(places, x[tuple(places)], x.shape)
        turned = places.flip(0)
        self.order = (turned[0] * len(x) + turned[1]).argsort()
        self.transposed = _csr(turned, x[tuple(places)], x.T.shape)
        self.shape, self.device = x.shape, x.device

    def __matmul__(self, weights):
        return _Times.apply(weights, self.matrix, self.transposed)

    def dropped(self, share):
        """Return the words after dropout: each entry gone with probability `share`, else scaled."""
        other = object.__new__(Words)
        other.shape, other.device, other.order = self.shape, self.device, self.order
        values = F.dropout(self.matrix.values(), share)
        other.matrix = _valued(self.matrix, values)
        other.transposed = _valued(self.transposed, values[self.order])
        return other


def _valued(matrix, values):
    """Return the sparse matrix with other values in the same places."""
    parts = matrix.crow_indices(), matrix.col_indices(), values, matrix.shape
    return torch.sparse_csr_tensor(*parts, check_invariants=False)


def shares(features):
    """Return the features [N, D] divided by their sum in each row: a long paper weighs no more."""
    return features / features.sum(1, keepdim=True).clamp(min=1e-12)


class GCN(nn.Module):
    """Two graph convolutions: logits = A relu(A X W1) W2, A the normalized adjacency.

    forward(x, adjacency) -> logits [N, classes]; x [N, D]: a tensor, or `Words`; adjacency [N, N]:
    what `normalized` returns, or the same as a dense tensor.
    Source: Kipf and Welling 2017, "Semi-supervised classification with graph convolutional
    networks"; lecture 12.
    """

    def __init__(self, features, classes, hidden=16, dropout=0.5, generator=None):
        super().__init__()
        self.dropout = dropout
        self.first = nn.Parameter(_glorot(features, hidden, generator))
        self.second = nn.Parameter(_glorot(hidden, classes, generator))
        self.offset = nn.Parameter(torch.zeros(hidden))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, x, adjacency):
        h = spread(self._dropped(x) @ self.first, adjacency) + self.offset
        return spread(self._dropped(h.relu()) @ self.second, adjacency) + self.bias

    def _dropped(self, x):
        if isinstance(x, Words):
            return x.dropped(self.dropout) if self.training else x
        return F.dropout(x, self.dropout, self.training)


def spread(h, adjacency):
    """Return adjacency @ h, differentiable in h: every node hears its neighbors and itself."""
    if adjacency.layout == torch.sparse_csr:  # symmetric: its own transpose
        return _Times.apply(h, adjacency, adjacency)
    return adjacency @ h


def _glorot(rows, columns, generator):
    limit = (6 / (rows + columns)) ** 0.5
    return torch.empty(rows, columns).uniform_(-limit, limit, generator=generator)


def train(
    graph, *, hidden=16, dropout=0.5, epochs=200, learning_rate=0.01, weight_decay=5e-4, seed=0
):
    """Train a GCN on the graph's training nodes and return it, in eval mode; about a second on Cora.

    The weights are those of the epoch with the lowest loss on the validation nodes. Same seed, same
    result; the global random state is left alone. Raises ValueError for settings that are none.
    Source: Kipf and Welling 2017; lecture 12.
    """
    check_count("epochs", epochs)
    check_count("hidden", hidden)
    check_share("dropout", dropout)
    x, adjacency = inputs(graph)
    random = torch.Generator().manual_seed(seed)
    model = GCN(x.shape[1], len(graph.classes), hidden, dropout, random).to(graph.features.device)
    # As in the paper, only the first layer is kept small.
    groups = [
        {"params": [model.first, model.offset], "weight_decay": weight_decay},
        {"params": [model.second, model.bias]},
    ]
    optimizer = torch.optim.Adam(groups, lr=learning_rate)
    best, kept = float("inf"), None
    devices = [x.device] if x.device.type == "cuda" else []
    with torch.enable_grad(), torch.random.fork_rng(devices=devices):  # for the dropout
        torch.manual_seed(seed)
        for _ in range(epochs):
            model.train()
            loss = F.cross_entropy(model(x, adjacency)[graph.train], graph.labels[graph.train])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            held_out = F.cross_entropy(
                _scores(model, x, adjacency)[graph.val], graph.labels[graph.val]
            )
            if held_out < best:
                best, kept = held_out, [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), kept, strict=True):
            parameter.copy_(value)
    return model.eval()


def inputs(graph):
    """Return what a GCN of this graph is given: features [N, D], adjacency [N, N]."""
    x = shares(graph.features)
    sparse = (x != 0).float().mean() < 0.1  # words: one in a hundred is there
    return Words(x) if sparse else x, normalized(graph.edges, len(graph))


def _scores(model, x, adjacency):
    with torch.no_grad(), frozen(model):
        return model(x, adjacency)


def scores(model, graph):
    """Return the logits [N, classes] of every node of the graph; the model keeps its mode."""
    return _scores(model, *inputs(graph))


def predict(model, graph):
    """Return the class that the model reads at every node, [N] int64."""
    return scores(model, graph).argmax(1)
