"""Graphs: read, checked, flipped; and the graph convolutional network on them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from advcourse import data
from advcourse.beyond import gcn
from advcourse.downloads import DataError
from advcourse.graphs import FILE, Graph, load_graph


@pytest.fixture(scope="module")
def digits():
    return load_graph("digits", quiet=True)


@pytest.fixture
def no_wish(monkeypatch):
    monkeypatch.delenv("ADVCOURSE_DATASET", raising=False)


def small(n=6, edges=((0, 0, 1, 3), (1, 2, 2, 4))):
    random = torch.Generator().manual_seed(0)
    mask = torch.ones(n, dtype=torch.bool)
    features = torch.rand(n, 5, generator=random)
    return Graph(
        "small", features, torch.tensor(edges), torch.arange(n) % 2, mask, mask, mask, ("a", "b")
    )


def test_the_digits_graph_is_sound(digits):
    assert digits.name == "digits" and len(digits) == 1797 and len(digits.classes) == 10
    low, high = digits.edges
    assert (low < high).all()
    assert len((low * len(digits) + high).unique()) == digits.edges.shape[1]
    assert digits.degrees.min() >= 3  # each digit has chosen three
    masks = torch.stack([digits.train, digits.val, digits.test]).int()
    assert masks.sum(0).max() == 1
    assert digits.labels[digits.train].bincount().tolist() == [20] * 10
    assert digits.features.min() >= 0 and digits.features.max() == 1


def test_neighbors_are_the_nearest(digits):
    x = torch.nn.functional.normalize(digits.features.double(), dim=1)
    for node in (0, 17, 900):
        closest = (x @ x[node]).index_fill(0, torch.tensor([node]), -1).topk(3).indices
        assert set(closest.tolist()) <= set(digits.neighbors(node).tolist())


def test_mnist_means_cora_where_it_lies_and_digits_mean_digits(no_wish, tmp_path, capsys):
    assert load_graph("mnist", tmp_path).name == "digits"
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and FILE in said and "not in" in said
    assert load_graph("digits", tmp_path).name == "digits"
    assert "because" not in capsys.readouterr().out
    assert data.load_graph is load_graph


def test_the_environment_decides_for_auto_only(monkeypatch, capsys):
    monkeypatch.setenv("ADVCOURSE_DATASET", "digits")
    assert load_graph("auto").name == "digits"
    assert "ADVCOURSE_DATASET" in capsys.readouterr().out
    monkeypatch.setenv("ADVCOURSE_DATASET", "letters")
    with pytest.raises(ValueError, match="ADVCOURSE_DATASET is 'letters'"):
        load_graph("auto")


def test_bad_names_and_missing_and_damaged_files(no_wish, tmp_path):
    with pytest.raises(ValueError, match="name is 'pubmed'"):
        load_graph("pubmed")
    with pytest.raises(DataError, match="is not in"):
        load_graph("cora", tmp_path)
    (tmp_path / "cora").mkdir()
    (tmp_path / FILE).write_bytes(b"no archive")
    with pytest.raises(DataError, match="damaged"):
        load_graph("auto", tmp_path)
    np.savez(tmp_path / FILE, edges=np.zeros((2, 2), dtype=np.int32))
    with pytest.raises(DataError, match=r"damaged .KeyError"):
        load_graph("cora", tmp_path)
    np.savez(tmp_path / FILE, edges=np.array([{"a": 1}], dtype=object))  # a pickle inside
    with pytest.raises(DataError, match="damaged"):
        load_graph("cora", tmp_path)


def _cora_file():
    path = data.where()[0] / FILE
    if not path.is_file():
        pytest.skip("Cora is not in the data folder")
    return path


def test_cora_as_published(no_wish):
    _cora_file()
    graph = load_graph("cora", quiet=True)
    assert (len(graph), graph.edges.shape[1], graph.features.shape[1]) == (2708, 5278, 1433)
    assert [int(m.sum()) for m in (graph.train, graph.val, graph.test)] == [140, 500, 1000]
    assert graph.labels.bincount().tolist() == [351, 217, 418, 818, 426, 298, 180]
    assert graph.features.sum() == 49216


def test_a_cut_cora_file_is_damaged(no_wish, tmp_path):
    path = _cora_file()
    (tmp_path / "cora").mkdir()
    shutil.copy(path, tmp_path / FILE)
    whole = Path(tmp_path / FILE).read_bytes()
    Path(tmp_path / FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged"):
        load_graph("auto", tmp_path)


def test_flip_joins_and_parts_and_leaves_the_old_graph(digits):
    graph = small()
    before = graph.edges.clone()
    flipped = graph.flip(torch.tensor([[5, 2], [0, 0]]))  # a new edge; an old one, given backwards
    assert {tuple(e) for e in flipped.edges.T.tolist()} == {(0, 1), (1, 2), (3, 4), (0, 5)}
    assert torch.equal(graph.edges, before)
    again = flipped.flip(torch.tensor([[0, 0], [5, 2]]))
    assert torch.equal(again.edges, before)
    assert graph.joined(torch.tensor([[2, 4, 0], [0, 3, 4]])).tolist() == [True, True, False]
    assert graph.neighbors(0).tolist() == [1, 2] and graph.degrees.tolist() == [2, 2, 2, 1, 1, 0]


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (torch.tensor([0, 1]), "pass an int64 tensor"),
        (torch.tensor([[0], [9]]), "the graph has 0 to 5"),
        (torch.tensor([[3], [3]]), "3 with itself"),
        ([(0, 1)], "list"),
    ],
)
def test_bad_pairs(pairs, said):
    with pytest.raises(ValueError, match=said):
        small().flip(pairs)


def test_a_part_keeps_the_edges_between_its_nodes():
    graph = small()
    nodes = torch.tensor([4, 0, 3, 1])
    part = graph.part(nodes)
    assert {tuple(e) for e in part.edges.T.tolist()} == {(0, 2), (1, 3)}  # 3-4 and 0-1
    assert torch.equal(part.features, graph.features[nodes]) and len(part) == 4
    assert part.labels.tolist() == [0, 0, 1, 1]


def test_sample_draws_test_nodes_only(digits):
    nodes = digits.sample(50, seed=3)
    assert len(nodes.unique()) == 50 and digits.test[nodes].all()
    assert torch.equal(nodes, digits.sample(50, seed=3))
    assert not torch.equal(nodes, digits.sample(50, seed=4))
    among = digits.labels == 3
    few = digits.sample(5000, among=among)
    assert len(few) == int((among & digits.test).sum()) and (digits.labels[few] == 3).all()
    with pytest.raises(ValueError, match="n: 0"):
        digits.sample(0)


def test_normalized_is_the_papers_matrix():
    graph = small()
    a = torch.eye(6, dtype=torch.float64)
    for i, j in graph.edges.T.tolist():
        a[i, j] = a[j, i] = 1
    scale = torch.diag(a.sum(1).rsqrt())
    assert torch.allclose(
        gcn.normalized(graph.edges, 6, torch.float64).to_dense(), scale @ a @ scale
    )


def dense_adjacency(graph):
    return gcn.normalized(graph.edges, len(graph)).to_dense()


def test_sparse_and_dense_give_the_same_logits_and_gradients():
    graph = small()
    words = (graph.features > 0.5).float()
    model = gcn.GCN(5, 2, hidden=4, generator=torch.Generator().manual_seed(1)).eval()
    a, found = dense_adjacency(graph), []
    for x, adjacency in ((words, a), (gcn.Words(words), gcn.normalized(graph.edges, 6))):
        model.zero_grad()
        z = model(x, adjacency)
        z.square().sum().backward()
        found.append([z.detach(), *(p.grad.clone() for p in model.parameters())])
    for dense, sparse in zip(*found, strict=True):
        assert torch.allclose(dense, sparse, atol=1e-6)
    by_hand = a @ ((a @ (words @ model.first) + model.offset).relu() @ model.second) + model.bias
    assert torch.allclose(by_hand, found[0][0], atol=1e-6)


def test_dropout_of_words_keeps_the_transpose_and_the_mean():
    x = (torch.rand(40, 30, generator=torch.Generator().manual_seed(0)) > 0.8).float()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = [gcn.Words(x).dropped(0.5) for _ in range(200)]
    for words in dropped[:5]:
        assert torch.equal(words.matrix.to_dense(), words.transposed.to_dense().T)
    mean = torch.stack([words.matrix.to_dense() for words in dropped]).mean(0)
    assert (mean[x == 0] == 0).all() and abs(mean[x == 1].mean() - 1) < 0.02


def test_training_is_repeatable_and_good(digits):
    state = torch.get_rng_state()
    first = gcn.train(digits, epochs=60, learning_rate=0.03, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    second = gcn.train(digits, epochs=60, learning_rate=0.03, seed=1)
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
    assert not first.training
    right = gcn.predict(first, digits) == digits.labels
    assert right[digits.test].float().mean() > 0.88
    # Without its edges the same network reads fewer: the neighbors tell it something.
    alone = digits.flip(digits.edges)
    assert alone.edges.shape[1] == 0
    lonely = (
        gcn.predict(gcn.train(alone, epochs=60, learning_rate=0.03, seed=1), alone) == digits.labels
    )
    assert lonely[digits.test].sum() < right[digits.test].sum()


def test_scores_keep_the_mode(digits):
    model = gcn.GCN(64, 10).train()
    first, second = gcn.scores(model, digits), gcn.scores(model, digits)
    assert torch.equal(first, second) and model.training and not first.requires_grad


@pytest.mark.parametrize("setting", [{"epochs": 0}, {"hidden": 1.5}, {"dropout": 2}])
def test_bad_settings(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        gcn.train(small(), **setting)
