"""Attack one node of a graph by its edges: greedy on a linear surrogate, with exact scores.

A graph convolutional network without its ReLU is linear, logits = A A X W. Then what a flipped edge
does to one node can be written down, for all other ends at once. Source: Zügner 2018; lecture 12.
"""

import math

import torch
import torch.nn.functional as F

from ..attacks.inputs import check_count, check_number, one_of
from . import gcn
from .suspicion import UNNOTICED, degree_test, ratios  # noqa: F401  (the test belongs to the attack)

PLACES = ("target", "neighbors")


def surrogate(graph, *, steps=100, learning_rate=0.2, weight_decay=5e-6, guesses=False, seed=0):
    """Return the weights W [D, classes] of the linear model A A X W, trained on the training nodes.

    guesses: train it again, on all nodes, the unlabeled ones with the classes that the first fit
    reads; a little stronger. It is the attacker's own: neither the victim's weights nor its answers
    are looked at. Same seed, same result. Source: Wu 2019, "Simplifying graph convolutional
    networks"; Lee 2013, "Pseudo-label"; Zügner 2018; lecture 12.
    """
    check_count("steps", steps)
    x, adjacency = gcn.inputs(graph)
    spread = (adjacency @ (adjacency @ gcn.shares(graph.features)))[graph.train]
    random = torch.Generator().manual_seed(seed)
    start = 0.01 * torch.randn(spread.shape[1], len(graph.classes), generator=random)

    def fitted(read, labels, weight_decay):
        weights = start.to(spread.device).clone().requires_grad_()
        optimizer = torch.optim.Adam([weights], lr=learning_rate, weight_decay=weight_decay)
        with torch.enable_grad():
            for _ in range(steps):
                loss = F.cross_entropy(read(weights), labels)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
        return weights.detach()

    first = fitted(lambda weights: spread @ weights, graph.labels[graph.train], weight_decay)
    if not guesses:
        return first
    guessed = _linear(x, adjacency, first).argmax(1)
    guessed[graph.train] = graph.labels[graph.train]
    # Guesses want more restraint than labels do.
    return fitted(lambda weights: _linear(x, adjacency, weights), guessed, 10 * weight_decay)


def _linear(x, adjacency, weights):
    """Return A A X W [N, classes]: two rounds of hearing the neighbors, and nothing bent."""
    return gcn.spread(gcn.spread(x @ weights, adjacency), adjacency)


def attack(
    graph,
    weights,
    node,
    budget,
    *,
    label=None,
    at="target",
    suspicion=None,
    model=None,
    candidates=20,
):
    """Return the edges to flip, [2, K] in the order of choice, so that `node` is misread.

    weights [D, classes]: the surrogate's. label: the class to leave, by default what the surrogate
    reads. at: "target" flips edges of the node itself, "neighbors" edges of its neighbors only, and
    never one of its own. suspicion: keep the degree test below this (UNNOTICED = .004), or None.
    Greedy: each edge is the one that pushes the surrogate's margin lowest; K is less than the budget
    where no edge lowers it. model: the victim, where the attacker has it (white box): of the
    surrogate's best `candidates` the edge that pushes the model's own margin lowest is taken. No edge
    is taken away that is the last of a node. Raises ValueError
    for a node that there is not, a budget below 1, and an unknown place.
    Source: Zügner 2018, "Adversarial attacks on neural networks for graph data"; lecture 12.
    """
    one_of("at", at, PLACES)
    check_count("budget", budget)
    check_count("candidates", candidates)
    node = _node(graph, node)
    shares = (gcn.shares(graph.features) @ weights).double()
    if label is None:
        label = _read(graph, shares, node)
    current, chosen = graph, []
    ends = [node] if at == "target" else graph.neighbors(node).tolist()
    for _ in range(budget):
        count = 1 if model is None else candidates
        found = _best(current, shares, node, int(label), ends, graph, suspicion, count)
        if not found:
            break
        if model is not None:
            found = [min(found, key=_victims_margin(model, current, node, int(label)))]
        chosen.append(found[0])
        current = current.flip(torch.tensor(found[0])[:, None])
    return torch.tensor(chosen, dtype=torch.int64).view(-1, 2).T


def _best(current, shares, node, label, ends, original, suspicion, count):
    """Return the `count` pairs of nodes whose flips leave the lowest margins; only what lowers it."""
    now, found = _margin(_logits(current, shares, node), label).item(), []
    for end in ends:
        margins = _margin(flipped(current, shares, node, end), label)
        allowed = _allowed(current, end, original, suspicion)
        if end != node:
            allowed[node] = False
        margins[~allowed] = math.inf
        values, others = margins.topk(min(count, len(margins)), largest=False)
        found += zip(values.tolist(), [end] * len(others), others.tolist(), strict=True)
    found = sorted((m, end, v) for m, end, v in found if m < now - 1e-12)
    return [(end, v) for _, end, v in found[:count]]


def _victims_margin(model, graph, node, label):
    """Return a function of a pair: the model's own margin at the node once the pair is flipped."""
    x, _ = gcn.inputs(graph)

    @torch.no_grad()
    def margin(pair):
        changed = graph.flip(torch.tensor(pair)[:, None])
        return _margin(model(x, gcn.normalized(changed.edges, len(graph)))[node], label).item()

    return margin


def _allowed(graph, end, original, suspicion):
    """Return a mask [N]: which nodes may be joined to, or parted from, `end`."""
    degrees, neighbors = graph.degrees, graph.neighbors(end)
    allowed = torch.ones(len(graph), dtype=torch.bool)
    allowed[end] = False
    step = torch.ones(len(graph), dtype=torch.int64)
    step[neighbors] = -1
    allowed &= (degrees + step > 0) & (degrees[end] + step > 0)
    if suspicion is not None:
        check_number("suspicion", suspicion, lambda v: v > 0, "is no bound; pass a number > 0")
        allowed &= ratios(original.degrees, degrees, end, step) < suspicion
    return allowed


def _node(graph, node):
    node = int(node)
    if not 0 <= node < len(graph):
        raise ValueError(f"node: {node} is not in the graph, whose nodes are 0 to {len(graph) - 1}")
    return node


def _margin(logits, label):
    """Return the score of `label` minus the best other one, along the last axis."""
    others = logits.clone()
    others[..., label] = -math.inf
    return logits[..., label] - others.amax(-1)


def _heard(graph, shares):
    """Return (degrees with oneself [N], what each node hears [N, classes]: shares over root degree)."""
    degrees = graph.degrees.double() + 1
    sent = shares / degrees.sqrt()[:, None]
    a, b = graph.edges
    heard = sent.clone().index_add_(0, a, sent[b]).index_add_(0, b, sent[a])
    return degrees, heard


def _logits(graph, shares, node):
    """Return the surrogate's logits [classes] of one node: two rounds of hearing the neighbors."""
    degrees, heard = _heard(graph, shares)
    close = torch.cat([graph.neighbors(node), torch.tensor([node])])
    return (heard[close] / degrees[close, None]).sum(0) / degrees[node].sqrt()


def _read(graph, shares, node):
    return int(_logits(graph, shares, node).argmax())


def flipped(graph, shares, node, end):
    """Return the surrogate's logits of `node` after the edge (end, v) is flipped, for every v [N].

    shares [N, classes]: X W. end: the node itself, or one of its neighbors. Exact: only the terms
    that the edge touches are changed. (The rows of v = end and v = node mean
    nothing.)
    """
    degrees, heard = _heard(graph, shares)
    n, own = len(graph), end == node
    tied = torch.zeros(n, dtype=torch.float64)  # v is joined to `end`
    tied[graph.neighbors(end)] = 1
    close = torch.zeros(n, dtype=torch.float64)  # v is `node` or a neighbor of it
    close[graph.neighbors(node)] = 1
    close[node] = 1
    step = 1 - 2 * tied
    d_end, d_v = degrees[end] + step, degrees + step  # afterwards
    # The change of what `end` and v send to those who hear them before and after.
    moved_end = (d_end.rsqrt() - degrees[end].rsqrt())[:, None] * shares[end]
    moved_v = (d_v.rsqrt() - degrees.rsqrt())[:, None] * shares
    # What `end` and v hear afterwards: a new voice at its new strength, a lost one at its old.
    lost, joined = tied[:, None], 1 - tied[:, None]
    from_v = joined * shares / d_v.sqrt()[:, None] - lost * shares / degrees.sqrt()[:, None]
    from_end = (
        joined * shares[end] / d_end.sqrt()[:, None] - lost * shares[end] / degrees[end].sqrt()
    )
    heard_end, heard_v = heard[end] + moved_end + from_v, heard + moved_v + from_end
    # How strongly `node` hears what others say about each node: the sum of 1 / degree between them.
    weight, (a, b) = close / degrees, graph.edges
    between = (
        torch.zeros(n, dtype=torch.float64).index_add_(0, a, weight[b]).index_add_(0, b, weight[a])
    )
    total = (heard * weight[:, None]).sum(0) - heard[end] / degrees[end] - heard * weight[:, None]
    total = total + moved_end * (between[end] - tied * weight)[:, None]
    total = total + moved_v * (between - tied / degrees[end])[:, None]
    hears_v = 1 - tied if own else close  # afterwards
    total = total + heard_end / d_end[:, None] + heard_v * (hears_v / d_v)[:, None]
    return total / (d_end.sqrt()[:, None] if own else degrees[node].sqrt())


def margins(graph, weights, node, end, label):
    """Return the surrogate's margin of `node` after the edge (end, v) is flipped, for every v [N].

    weights [D, classes]; below 0 the node is no longer read as `label`; infinite for v = end, and for
    the edge between the two where end is a neighbor. Raises ValueError unless end is the node or a
    neighbor of it.
    """
    node, end = _node(graph, node), _node(graph, end)
    if end != node and end not in graph.neighbors(node).tolist():
        raise ValueError(
            f"end: {end} is no neighbor of {node}; pass the node or one of its neighbors"
        )
    shares = (gcn.shares(graph.features) @ weights).double()
    found = _margin(flipped(graph, shares, node, end), label)
    found[[node, end]] = math.inf
    return found


def evasion(model, graph, nodes, flips):
    """Return what a trained model, its weights fixed, reads at each node as its edges are flipped.

    nodes: K numbers; flips: for each of them a tensor [2, B]. Returns [K, 1 + most flips] int64:
    column k is read after the first k flips; a shorter list keeps its last reading.
    """
    x, _ = gcn.inputs(graph)
    columns = 1 + max((pairs.shape[1] for pairs in flips), default=0)
    read = torch.zeros(len(nodes), columns, dtype=torch.int64)
    with torch.no_grad():
        clean = model(x, gcn.normalized(graph.edges, len(graph))).argmax(1)
        for i, (node, pairs) in enumerate(zip(nodes, flips, strict=True)):
            read[i] = clean[node]
            for k in range(1, pairs.shape[1] + 1):
                changed = gcn.normalized(graph.flip(pairs[:, :k]).edges, len(graph))
                read[i, k:] = model(x, changed)[node].argmax()
    return read


def poisoning(graph, nodes, flips, *, seed=0, **settings):
    """Return what a network trained on the changed graph reads at each node, [K] int64.

    For each node its own flips [2, B], its own graph, and its own training (gcn.train's settings).
    """
    read = []
    for node, pairs in zip(nodes, flips, strict=True):
        changed = graph.flip(pairs)
        read.append(gcn.predict(gcn.train(changed, seed=seed, **settings), changed)[int(node)])
    return torch.stack(read) if read else torch.zeros(0, dtype=torch.int64)
