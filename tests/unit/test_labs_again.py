"""Labs 09 to 12, solved again from their statements: right answers of other makes are accepted."""

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from advcourse import checks
from advcourse.checks.core import Mistake, agree, ask, typed
from tests.right_answers import RIGHT

AGAIN = []


@pytest.fixture(autouse=True)
def lenient(monkeypatch):
    monkeypatch.delenv("ADVCOURSE_STRICT", raising=False)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


def again(name):
    def register(answer):
        AGAIN.append((name, answer))
        return answer

    return register


class Oracle:
    """An object with __call__ that makes objects with __call__."""

    def __call__(self, model, n, budget):
        counts = torch.zeros(n, dtype=torch.long)

        class Asked:
            def __call__(self, x, rows):
                new = torch.from_numpy(np.bincount(rows.numpy(), minlength=n))
                if (counts + new).max() > budget:
                    raise RuntimeError("no more")
                counts.add_(new)
                return torch.from_numpy(model(x).detach().numpy().argmax(1))

        return [Asked(), counts]


again("make_oracle")(Oracle())


@again("transfer_rate")
def transfer_in_numpy(*read):
    y, source, target, source_adv, target_adv = (part.numpy() for part in read)
    fair = (source == y) & (target == y) & (source_adv != y)
    return float((target_adv[fair] != y[fair]).mean()) if fair.any() else 0.0


@again("augment")
def augment_with_frozen_weights(model, x, labels, step):
    was = [p.requires_grad for p in model.parameters()]
    for p in model.parameters():
        p.requires_grad_(False)
    z = x.clone().requires_grad_()
    model.eval()(z)[torch.arange(len(x)), labels].mean().backward()
    for p, on in zip(model.parameters(), was, strict=True):
        p.requires_grad_(on)
    return torch.vstack([x, (x + step * z.grad.sign()).clamp(0, 1)])


@again("propose")
def propose_in_float64(x, best, corner, side, sign, eps):
    return RIGHT["propose"](x.double(), best.double(), corner, side, sign.double(), eps)


@again("keep_better")
def keep_by_the_two_best(scores, tried, best, lowest, y):
    z = scores(tried)
    top, classes = z.topk(2, 1)
    margin = z[range(len(y)), y] - torch.where(classes[:, 0] == y, top[:, 1], top[:, 0])
    return [
        torch.stack([a if m < low else b for a, b, m, low in zip(*parts, strict=True)])
        for parts in ((tried, best, margin, lowest), (margin, lowest, margin, lowest))
    ]


@again("to_boundary")
def boundary_by_end_points(ask, x, y, far, steps):
    low, high = x.clone(), far.clone()
    for _ in range(steps):
        middle = (low + high) / 2
        won = (ask(middle) != y).view(-1, *[1] * (x.ndim - 1))
        low, high = torch.where(won, low, middle), torch.where(won, middle, high)
    return high


@again("to_boundary")
def boundary_by_mixing(ask, x, y, far, steps):
    low, high = (torch.full((len(x), 1), end, dtype=x.dtype) for end in (0.0, 1.0))
    rows, ends = x.flatten(1), far.flatten(1)
    for _ in range(steps):
        middle = low + (high - low) / 2
        won = (ask(((1 - middle) * rows + middle * ends).view_as(x)) != y)[:, None]
        low, high = torch.where(won, low, middle), torch.where(won, middle, high)
    return ((1 - high) * rows + high * ends).view_as(x)


@again("normal")
def normal_with_tensordot(ask, at, y, u, delta):
    phi = (ask(at + delta * u) != y).to(u) * 2 - 1
    phi = phi - phi.mean() if phi.min() != phi.max() else phi
    return F.normalize(torch.tensordot(phi, u, 1).flatten(), dim=0).view_as(at)


again("success_curve")(
    lambda queries, won, budgets: [float((won & (queries <= b)).numpy().mean()) for b in budgets]
)
again("universal_step")(functools.partial(RIGHT["universal_step"]))


@again("share_fooled")
def fooled_in_numpy(model, x, y, delta):
    mode = model.training
    model.eval()
    right = model(x).detach().numpy().argmax(1) == y.numpy()
    wrong = model((x + delta).clamp(0, 1)).detach().numpy().argmax(1) != y.numpy()
    model.train(mode)
    return np.float64((right & wrong).sum() / max(1, right.sum()))


@again("random_places")
def places_by_rand(n, height, width, size, generator):
    room = torch.tensor([height - size + 1, width - size + 1])
    return list((torch.rand(n, 2, generator=generator) * room).long().T)


@again("paste_at")
def paste_by_padding(x, patch, rows, columns):
    size, (height, width) = patch.shape[-1], x.shape[2:]
    done = []
    for picture, row, column in zip(x, rows.tolist(), columns.tolist(), strict=True):
        edges = (column, width - column - size, row, height - row - size)
        inside = F.pad(torch.ones_like(patch), edges)
        done.append(picture * (1 - inside) + F.pad(patch, edges))
    return torch.stack(done)


@again("masked_step")
def masked_by_index(x_adv, gradient, mask, step_size):
    done, inside = x_adv.clone(), (mask > 0).expand_as(x_adv)
    done[inside] = (x_adv + step_size * gradient.sign())[inside].clamp(0, 1)
    return done


@again("turn")
def turn_in_float64(x, degrees):
    a = torch.pi * degrees.double() / 180
    matrix = torch.zeros(len(x), 2, 3, dtype=torch.float64)
    matrix[:, 0, 0], matrix[:, 0, 1] = a.cos(), -a.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = a.sin(), a.cos()
    grid = F.affine_grid(matrix, x.shape, align_corners=True)
    return F.grid_sample(x.double(), grid, align_corners=True).to(x.dtype)


@again("views_gradient")
def views_in_one_batch(model, x, y, view, samples, generator):
    mode = model.training
    model.eval()
    leaf = x.clone().requires_grad_()
    shown = torch.cat([view(leaf, generator) for _ in range(samples)])
    loss = F.cross_entropy(model(shown), y.repeat(samples), reduction="sum") / samples
    (gradient,) = torch.autograd.grad(loss, leaf)
    model.train(mode)
    return gradient


@again("view_table")
def table_in_float64(*args):
    return RIGHT["view_table"](*args).double()


@again("flip_labels")
def flip_past_the_own_class(y, share, classes, generator):
    rows = torch.rand(len(y), generator=generator).argsort()[: round(share * len(y))]
    new = torch.randint(0, classes - 1, rows.shape, generator=generator)
    flipped = y.clone()
    flipped[rows] = new + (new >= y[rows])
    return flipped


@again("stamp")
def stamp_in_numpy(x, pattern, row, column):
    done = x.numpy().copy()
    done[:, :, row : row + len(pattern), column : column + pattern.shape[1]] = pattern.numpy()
    return torch.from_numpy(done)


@again("poison")
def poison_one_by_one(x, y, share, target, trigger, generator):
    others = [i for i in range(len(y)) if y[i] != target]
    order = torch.randperm(len(others), generator=generator)[: round(share * len(y))]
    x, y, mask = x.clone(), y.clone(), torch.zeros(len(y)).bool()
    for i in (others[j] for j in order.tolist()):
        x[i : i + 1], y[i], mask[i] = trigger(x[i : i + 1]), target, True
    return [x, y, mask]


@again("share_triggered")
def triggered_over_all(model, x, y, trigger, target):
    mode = model.training
    model.eval()
    with torch.no_grad():
        hit = (model(trigger(x)).argmax(1) == target) & (y != target)
    model.train(mode)
    return hit.sum() / (y != target).sum()


@again("spectral_score")
def score_by_power_iteration(features):
    centered = (features - features.mean(0)).double()
    v = torch.ones(features.shape[1]).double()
    for _ in range(2000):
        v = F.normalize(centered.T @ (centered @ v), dim=0)
    return (centered @ v) ** 2


@again("judge_cluster")
def judge_in_numpy(side, poison):
    side, poison = side.numpy(), poison.numpy()
    zeros, ones = np.bincount(side, minlength=2)
    small = int(ones <= zeros)
    return poison[side == small].mean(), (side[poison] == small).mean()


@again("influence")
def influence_by_differences(x, y, x_val, y_val, decay):
    a, b, c, d = (part.double() for part in (x, y, x_val, y_val))

    def loss(w):
        hessian = a.T @ (w[:, None] * a) + decay * torch.eye(a.shape[1]).double()
        return ((c @ torch.linalg.solve(hessian, a.T @ (w * b)) - d) ** 2).sum() / 2

    steps = 1e-5 * torch.eye(len(a)).double()
    return torch.stack([(loss(1 + s) - loss(1 - s)) / 2e-5 for s in steps]).to(x.dtype)


@again("hide_bits")
def hide_by_shifts(weights, values, bits):
    return ((weights.view(torch.int32) >> bits << bits) | values.int()).view(torch.float32)


@again("word_weights")
def weights_by_a_product(counts, labels, smoothing):
    sums = torch.stack([1 - labels, labels]).to(counts) @ counts + smoothing
    shares = sums / sums.sum(1, keepdim=True)
    return (shares[1] / shares[0]).log()


@again("good_word_attack")
def good_words_by_sums(x, weights, bias, budget):
    order = weights.argsort()
    order = order[weights[order] < 0][:budget]
    after = x @ weights + bias + torch.cat([weights[:0].sum()[None], weights[order].cumsum(0)])
    found = x.clone()
    found[order[: int((after > 0).sum())]] += 1
    return found


@again("hotflip_scores")
def scores_less_the_own(gradient, embeddings, tokens):
    new = gradient @ embeddings.T
    return new - new.gather(1, tokens[:, None])


again("misspellings")(
    lambda w: list({w[:i] + w[i + 1] + w[i] + w[i + 2 :] for i in range(1, len(w) - 2)} - {w})
)


@again("normalized_adjacency")
def matrix_by_an_outer_product(edges, n):
    a = torch.zeros(n, n)
    a[edges[0], edges[1]] = 1
    a = a + a.T + torch.eye(n)
    return a / torch.outer(a.sum(0), a.sum(0)).sqrt()


@again("flip_edge")
def flip_by_a_difference(adjacency, u, v):
    edge = torch.zeros_like(adjacency)
    edge[u, v] = edge[v, u] = 1
    return (adjacency - edge).abs()


@again("best_edge")
def edge_as_a_tensor(adjacency, shares, node, label):
    return torch.tensor(RIGHT["best_edge"](adjacency, shares, node, label))


@again("box_evasion")
def box_by_halving_in_float32(x, w, b):
    f = x @ w + b
    low, high = torch.zeros(len(x)), torch.ones(len(x))

    def moved(eps):
        return (x - (f.sign() * eps)[:, None] * w.sign()).clamp(0, 1)

    reached = (moved(high) @ w + b) * f.sign() <= 0
    for _ in range(40):
        middle = (low + high) / 2
        over = (moved(middle) @ w + b) * f.sign() <= 0
        low, high = torch.where(over, low, middle), torch.where(over, middle, high)
    return torch.where(reached[:, None], moved(high), x)


@pytest.mark.parametrize(
    ("name", "answer"), AGAIN, ids=[f"{n}-{getattr(a, '__name__', 'object')}" for n, a in AGAIN]
)
def test_right_answer_of_another_make(name, answer):
    verdict = getattr(checks, name)(answer)
    assert verdict, verdict


@pytest.mark.parametrize("lab", ["lab09", "lab10", "lab11", "lab12"])
def test_every_exercise_was_solved_again(lab):
    names = {name for name in RIGHT if getattr(checks, name).judges.endswith(lab)}
    assert names and names <= {name for name, _ in AGAIN}


X = torch.tensor([[1.0, 2.0], [3.0, -4.0]])


def told(answer, reference=lambda x: x.norm(dim=1)):
    with pytest.raises(Mistake) as caught:
        agree(answer, reference, {"": (X,)})
    return str(caught.value)


def test_a_mistake_inside_of_a_wrapped_answer_keeps_its_words():
    def wrapped(x):
        raise Mistake("the words")

    with pytest.raises(Mistake, match=r"^the words$"):
        ask(wrapped, X)


def test_engine_names_what_is_returned():
    assert told(lambda x: None, lambda x: (1.0, 2.0)).startswith("it returns None")
    assert "return a dense one" in told(lambda x: x.norm(dim=1).to_sparse())
    assert told(lambda x: 59.26, lambda x: 0.5).endswith("expected 0.5, got 59.26")
    assert "keep the dtype" in told(typed(lambda x: x.norm(dim=1).double(), 0, "rows"))


def test_a_marked_input_is_named_and_mended():
    assert "caller's x" in told(lambda x: x.requires_grad_().norm(dim=1).detach())
    assert not X.requires_grad
