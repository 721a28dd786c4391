"""The attack on one node: exact scores, obedient to its place and its bound, and strong."""

import itertools

import numpy as np
import pytest
import torch

from advcourse.beyond import gcn, nettack
from advcourse.graphs import Graph, load_graph
from advcourse.panels import graph_panel, neighborhood


def random_graph(n=30, seed=0, share=0.12):
    random = torch.Generator().manual_seed(seed)
    upper = (torch.rand(n, n, generator=random) < share).triu(1)
    upper[torch.arange(n - 1), torch.arange(1, n)] = True  # nobody alone
    everybody = torch.ones(n, dtype=torch.bool)
    features, labels = torch.rand(n, 8, generator=random), torch.arange(n) % 3
    return Graph("random", features, upper.nonzero().T, labels, *[everybody] * 3, tuple("abc"))


def dense_logits(graph, weights):
    """The surrogate from scratch, with dense matrices: (A A X W) [N, classes]."""
    a = torch.eye(len(graph), dtype=torch.float64)
    a[graph.edges[0], graph.edges[1]] = a[graph.edges[1], graph.edges[0]] = 1
    scale = a.sum(1).rsqrt()
    a = scale[:, None] * a * scale
    x = graph.features.double()
    return a @ (a @ ((x / x.sum(1, keepdim=True)) @ weights.double()))


def dense_margin(graph, weights, node, label):
    z = dense_logits(graph, weights)[node]
    return (z[label] - torch.cat([z[:label], z[label + 1 :]]).max()).item()


@pytest.fixture(scope="module")
def case():
    graph = random_graph()
    weights = torch.randn(8, 3, generator=torch.Generator().manual_seed(5))
    return graph, weights


def test_scores_are_exact_for_every_edge(case):
    graph, weights = case
    for node in (0, 7, 29):
        for end in [node, *graph.neighbors(node).tolist()]:
            found = nettack.margins(graph, weights, node, end, 1)
            for v in range(len(graph)):
                if v in (node, end):
                    assert found[v].isinf()
                    continue
                changed = graph.flip(torch.tensor([[end], [v]]))
                wanted = dense_margin(changed, weights, node, 1)
                assert found[v].item() == pytest.approx(wanted, abs=1e-6), (node, end, v)


def test_the_first_edge_is_the_best_of_all(case):
    graph, weights = case
    for node in (3, 12):
        label = int(dense_logits(graph, weights)[node].argmax())
        (flip,) = nettack.attack(graph, weights, node, 1).T.tolist()
        tried = {}
        for v in range(len(graph)):
            changed = graph.flip(torch.tensor([[node], [v]])) if v != node else graph
            if v != node and changed.degrees.min() > 0:
                tried[v] = dense_margin(changed, weights, node, label)
        assert flip[0] == node and flip[1] == min(tried, key=tried.get)


def test_the_margin_falls_with_every_edge_and_the_order_is_kept(case):
    graph, weights = case
    flips = nettack.attack(graph, weights, 4, 4, label=0)
    falls = [
        dense_margin(graph.flip(flips[:, :k]), weights, 4, 0) for k in range(flips.shape[1] + 1)
    ]
    assert all(b < a for a, b in itertools.pairwise(falls))
    shorter = nettack.attack(graph, weights, 4, 2, label=0)
    assert torch.equal(shorter, flips[:, :2])


def test_places(case):
    graph, weights = case
    own = nettack.attack(graph, weights, 9, 3, at="target")
    assert (own[0] == 9).all() and len(own.T.unique(dim=0)) == own.shape[1]
    others = nettack.attack(graph, weights, 9, 3, at="neighbors")
    assert (others != 9).all()
    assert torch.isin(others[0], graph.neighbors(9)).all()
    assert torch.equal(graph.flip(others).neighbors(9), graph.neighbors(9))


def test_nobody_loses_the_last_edge(case):
    _, weights = case
    path = torch.tensor([list(range(11)), list(range(1, 12))])
    everybody = torch.ones(12, dtype=torch.bool)
    features = torch.rand(12, 8, generator=torch.Generator().manual_seed(2))
    graph = Graph("path", features, path, torch.zeros(12).long(), *[everybody] * 3, tuple("abc"))
    for node in range(12):
        for at in nettack.PLACES:
            after = graph.flip(nettack.attack(graph, weights, node, 4, at=at))
            assert after.degrees.min() >= 1


def reference_test(before, after):
    """Zügner's test in numpy: -2 log-likelihood of one law for both, + 2 of one each."""

    def likelihood(d):
        d = d[d >= 2].astype(float)
        alpha = 1 + len(d) / np.log(d / 1.5).sum()
        return len(d) * np.log(alpha) + len(d) * alpha * np.log(2) - (alpha + 1) * np.log(d).sum()

    return -2 * likelihood(np.concatenate([before, after])) + 2 * (
        likelihood(before) + likelihood(after)
    )


def test_degree_test(case):
    graph, _ = case
    assert nettack.degree_test(graph.degrees, graph.degrees) == pytest.approx(0, abs=1e-9)
    hub = graph.flip(torch.stack([torch.zeros(20).long(), torch.arange(2, 22)]))
    wanted = reference_test(graph.degrees.numpy(), hub.degrees.numpy())
    assert nettack.degree_test(graph.degrees, hub.degrees) == pytest.approx(wanted, abs=1e-9)
    assert wanted > nettack.UNNOTICED


def test_suspicion_bounds_the_degree_test(case):
    graph, weights = case
    free = nettack.attack(graph, weights, 5, 4, label=2)
    held = nettack.attack(graph, weights, 5, 4, label=2, suspicion=0.0005)
    loud = nettack.degree_test(graph.degrees, graph.flip(free).degrees)
    assert loud > 0.0005 > nettack.degree_test(graph.degrees, graph.flip(held).degrees)
    with pytest.raises(ValueError, match="suspicion"):
        nettack.attack(graph, weights, 5, 4, suspicion=-1)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"node": 30}, "node: 30"), ({"budget": 0}, "budget: 0"), ({"at": "home"}, "at: 'home'")],
)
def test_bad_input(case, change, said):
    graph, weights = case
    options = {"node": 1, "budget": 2, **change}
    with pytest.raises(ValueError, match=said):
        nettack.attack(graph, weights, **options)


def test_margins_want_a_neighbor(case):
    graph, weights = case
    stranger = next(v for v in range(1, 30) if v not in graph.neighbors(0).tolist())
    with pytest.raises(ValueError, match="end"):
        nettack.margins(graph, weights, 0, stranger, 0)


@pytest.fixture(scope="module")
def digits():
    graph = load_graph("digits", quiet=True)
    model = gcn.train(graph, epochs=60)
    right = gcn.predict(model, graph) == graph.labels
    return graph, model, graph.sample(20, among=right), nettack.surrogate(graph)


def test_the_surrogate_reads_like_the_network(digits):
    graph, model, _, weights = digits
    read = dense_logits(graph, weights).argmax(1)
    assert (read == gcn.predict(model, graph))[graph.test].float().mean() > 0.85
    assert torch.equal(weights, nettack.surrogate(graph))


def test_the_surrogate_learns_from_its_own_guesses_and_no_hidden_labels():
    def path(labels, far):
        n = 12
        features = torch.eye(n)
        features[-1] = far
        known = torch.arange(n) < 3
        edges = torch.stack([torch.arange(n - 1), torch.arange(1, n)])
        return Graph("path", features, edges, labels, known, ~known, ~known, tuple("abc"))

    labels, far = torch.arange(12) % 3, torch.eye(12)[-1]
    weights = nettack.surrogate(path(labels, far), steps=20, guesses=True)
    hidden = torch.where(torch.arange(12) < 3, labels, (labels + 1) % 3)
    assert torch.equal(weights, nettack.surrogate(path(hidden, far), steps=20, guesses=True))
    # No node with a label hears the last one; its features count all the same.
    moved = path(labels, far.flip(0))
    assert not torch.equal(weights, nettack.surrogate(moved, steps=20, guesses=True))
    labeled_only = nettack.surrogate(moved, steps=20)
    assert torch.equal(labeled_only, nettack.surrogate(path(labels, far), steps=20))


def test_evasion_beats_chance_and_columns_are_prefixes(digits):
    graph, model, nodes, weights = digits
    flips = [nettack.attack(graph, weights, v, 5, label=graph.labels[v]) for v in nodes]
    read = nettack.evasion(model, graph, nodes, flips)
    assert read.shape == (20, 6) and torch.equal(read[:, 0], graph.labels[nodes])
    misread = read != graph.labels[nodes][:, None]
    random = torch.Generator().manual_seed(0)
    noise = []
    for v in nodes:
        ends = torch.randperm(len(graph), generator=random)
        noise.append(torch.stack([v.expand(5), ends[ends != v][:5]]))
    luck = nettack.evasion(model, graph, nodes, noise)[:, -1] != graph.labels[nodes]
    assert misread[:, 5].float().mean() >= 0.6 and misread[:, 5].sum() > luck.sum() + 5
    k3 = gcn.predict(model, graph.flip(flips[0][:, :3]))[nodes[0]]
    assert read[0, 3] == k3


def test_white_box_takes_the_candidate_that_hurts_the_victim_most(digits):
    graph, model, nodes, weights = digits
    node, label = nodes[0], graph.labels[nodes[0]]
    options = {"label": label, "model": model, "candidates": 4}
    (flip,) = nettack.attack(graph, weights, node, 1, **options).T.tolist()
    margins = nettack.margins(graph, weights, node, node, int(label))
    tried = {}
    for v in margins.topk(4, largest=False).indices.tolist():
        z = gcn.scores(model, graph.flip(torch.tensor([[int(node)], [v]])))[node]
        others = torch.cat([z[:label], z[label + 1 :]])
        tried[v] = (z[label] - others.max()).item()
    assert flip == [int(node), min(tried, key=tried.get)]


def test_poisoning_trains_anew_on_the_changed_graph(digits):
    graph, _, nodes, weights = digits
    flips = [nettack.attack(graph, weights, nodes[0], 5, label=graph.labels[nodes[0]])]
    read = nettack.poisoning(graph, nodes[:1], flips, seed=3, epochs=15)
    changed = graph.flip(flips[0])
    assert read[0] == gcn.predict(gcn.train(changed, seed=3, epochs=15), changed)[nodes[0]]


def test_pictures(digits):
    graph, model, nodes, weights = digits
    flips = nettack.attack(graph, weights, nodes[0], 3, label=graph.labels[nodes[0]])
    neighborhood(graph, nodes[0], flips, (3, 5)).canvas.draw()
    neighborhood(graph, nodes[0], flips[:, :0]).canvas.draw()
    p = gcn.scores(model, graph)[nodes[0]].softmax(0)
    panel = graph_panel(graph, nodes[0], flips, torch.stack([p] * 4))
    none, said = panel.draw(edges=0)
    all_of_them, told = panel.draw(edges=3)
    assert none != all_of_them and said.startswith("0 edges changed") and told.startswith("3 edges")
    assert panel.draw(edges=0)[0] == none
