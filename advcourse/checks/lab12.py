"""Checks of lab 12: weights of words, good words, swapped words and letters, edges, a linear SVM.

Each has a reference, a few cases, and the usual slips as variants of the reference.
"""

import math

import torch

from .core import Mistake, agree, ask, brief, exercise, generator, typed


def _counts(seed=0, messages=9, words=6, dtype=torch.float32):
    random = generator(seed)
    counts = torch.randint(0, 4, (messages, words), generator=random).to(dtype)
    labels = torch.arange(messages) % 3 % 2
    counts[labels == 1, 0] += 3
    counts[labels == 0, 1] += 3
    counts[:, 2] = 0  # a word that no message contains
    return counts, labels


def _weights(counts, labels, smoothing):
    spam = counts[labels == 1].double().sum(0) + smoothing
    ham = counts[labels == 0].double().sum(0) + smoothing
    return (spam / spam.sum()).log() - (ham / ham.sum()).log()


def _as(dtype, value):
    return value.to(dtype)


def _unsmoothed_total(counts, labels, smoothing):
    spam, ham = counts[labels == 1].double().sum(0), counts[labels == 0].double().sum(0)
    return ((spam + smoothing) / spam.sum()).log() - ((ham + smoothing) / ham.sum()).log()


def _smoothed_once(counts, labels, smoothing):
    spam, ham = counts[labels == 1].double().sum(0), counts[labels == 0].double().sum(0)
    spam, ham = ((v + smoothing) / (v.sum() + smoothing) for v in (spam, ham))
    return spam.log() - ham.log()


@exercise("A word's weight is a log ratio, and smoothing keeps unseen words harmless")
def word_weights(answer):
    counts, labels = _counts()
    agree(
        answer,
        lambda *a: _weights(*a).float(),
        {
            "": (counts, labels, 1.0),
            "another smoothing": (counts, labels, 0.1),
            "one message of each class": (*(t[:2] for t in _counts(3)), 1.0),
            "other numbers of messages and words": (*_counts(4, 14, 8), 2.0),
        },
        {
            "the sign is turned: positive means spam, so the share in spam stands on top": (
                lambda *a: -_weights(*a)
            ),
            "the words of each class are not divided by their total: take shares, "
            "count / total of the class, before the logarithm": lambda c, y, s: (
                (c[y == 1].sum(0) + s).log() - (c[y == 0].sum(0) + s).log()
            ),
            "the total does not contain the smoothing: add it to every word's count, then divide "
            "by the sum of these": _unsmoothed_total,
            "the smoothing is always 1; use the argument": lambda c, y, s: _weights(c, y, 1.0),
            "it counts in how many messages a word stands; count how often it stands": (
                lambda c, y, s: _weights((c > 0).float(), y, s)
            ),
            "the total contains the smoothing only once: add it to every word's count, then divide "
            "by the sum of these": lambda c, y, s: _smoothed_once(c, y, s),
            "the smoothing is added to every message; add it once, to the count of the class": (
                lambda c, y, s: _weights(c + s, y, 0.0)
            ),
            "the smoothing is added to the shares; add it to the counts, before you divide": (
                lambda c, y, s: (
                    (c[y == 1].sum(0) / c[y == 1].sum() + s).log()
                    - (c[y == 0].sum(0) / c[y == 0].sum() + s).log()
                )
            ),
            "take the natural logarithm, not log2": lambda *a: _weights(*a) / math.log(2),
            "take the natural logarithm, not log10": lambda *a: _weights(*a) / math.log(10),
            "that is the share in spam alone; subtract the same in ham": lambda c, y, s: (
                (c[y == 1].sum(0) + s) / (c[y == 1].sum(0) + s).sum()
            ).log(),
            "the logarithm is missing": lambda *a: _weights(*a).exp(),
            "that is the weight against all messages; compare spam with ham": lambda c, y, s: (
                _weights(torch.cat([c, c]), torch.cat([y, torch.zeros_like(y)]), s)
            ),
        },
        tolerance=1e-4,
        expected="log(share of the word among spam's words) - log(the same in ham)",
        what="the weights",
    )


def _message(seed=0, words=10, dtype=torch.float32):
    """Return a caught message, weights with five good words among them, and a bias."""
    random = generator(seed)
    size = 0.3 + torch.rand(words, generator=random)
    weights = torch.where(torch.arange(words) % 2 == 0, size, -size).to(dtype)
    x = torch.zeros(words, dtype=dtype)
    x[0], x[2], x[1] = 2, 1, 1  # the message already has one of the good words
    return x, weights, 1.0 - float(x @ weights)


def _good(
    x,
    weights,
    bias,
    budget,
    *,
    stop=0.0,
    late=False,
    again=False,
    any_word=False,
    worst=False,
    put=False,
):
    x_adv, free = x.clone(), torch.ones(len(x), dtype=torch.bool)
    for _ in range(budget):
        if not late and x_adv @ weights + bias <= stop:
            break
        values = torch.where(free, -weights if worst else weights, torch.inf)
        best = int(values.argmin())
        if values[best] == torch.inf or (not any_word and values[best] >= 0):
            break
        x_adv[best] = 1 if put else x_adv[best] + 1
        free[best] = again
    return x_adv


@exercise("Each added word is the strongest one left, and it stops as soon as the message passes")
def good_word_attack(answer):
    x, weights, bias = _message()
    double = _message(2, dtype=torch.float64)
    few = torch.where(weights < 0, weights.clamp(min=-0.05), weights)
    agree(
        answer,
        _good,
        {
            "": (x, weights, bias, 5),
            "a message that three words are enough for": (x, weights, bias + 1.2, 5),
            "a budget of one word": (x, weights, bias, 1),
            "a budget of 0": (x, weights, bias, 0),
            "a message that passes already": (x, weights, bias - 3, 5),
            "a larger budget than there are good words": (x, few, bias, 9),
            "float64": (double[0], double[1], double[2], 4),
        },
        {
            "it spends the whole budget; stop as soon as the score is not above 0": (
                lambda *a: _good(*a, late=True)
            ),
            "the same word is added again and again; each word may be added once": (
                lambda *a: _good(*a, again=True)
            ),
            "it adds words that raise the score once the good ones are used up": (
                lambda *a: _good(*a, any_word=True)
            ),
            "it adds the words that pull towards spam; good words have the lowest weights": (
                lambda *a: _good(*a, worst=True, any_word=True)
            ),
            "the count is set to 1, or a word that the message has is skipped; add one to what the "
            "message has": lambda *a: _good(*a, put=True),
            "one word too few: the score is still above 0": lambda *a: _good(*a, stop=0.5),
            "the bias is forgotten: the score is x @ weights + bias": lambda x, w, b, k: _good(
                x, w, 0.0, k
            ),
            "it adds one word more than the budget": lambda x, w, b, k: _good(x, w, b, k + 1),
            "it adds one word less than the budget": lambda x, w, b, k: _good(x, w, b, k - 1),
            "it gives up where the message does not pass; return the message with the words that "
            "it has by then": lambda x, w, b, k: z if (z := _good(x, w, b, k)) @ w + b <= 0 else x,
            "a message that passes already needs no word: look at the score before each word": (
                lambda x, w, b, k: _good(
                    x, w, b, min(k, 1) if x @ w + b <= 0 else k, late=x @ w + b <= 0
                )
            ),
            "nothing was added": lambda x, w, b, k: x,
        },
        expected="the words with the lowest weights, once each, until the score is not above 0",
        what="the new message",
    )


def _swap_case(seed=0, length=4, words=7, width=3, dtype=torch.float32):
    random = generator(seed)
    gradient = torch.randn(length, width, generator=random).to(dtype)
    table = torch.randn(words, width, generator=random).to(dtype)
    return gradient, table, torch.randint(0, words, (length,), generator=random)


def _swap(gradient, table, tokens):
    return (gradient @ table.T - (gradient * table[tokens]).sum(1, keepdim=True)).float()


@exercise("One gradient scores every swap at every place; a word against itself scores 0")
def hotflip_scores(answer):
    agree(
        answer,
        _swap,
        {
            "": _swap_case(),
            "a message of one word": _swap_case(1, length=1),
            "as many words in the message as in the vocabulary": _swap_case(2, length=7),
            "the same word twice": (*_swap_case(3)[:2], torch.tensor([5, 2, 5, 2])),
            "another width": _swap_case(4, 3, 5, 6),
        },
        {
            "the sign is turned: new word minus old word": lambda *a: -_swap(*a),
            "the word that leaves is not subtracted": lambda g, e, t: g @ e.T,
            "the word that stands at place i is embeddings[tokens[i]], not embeddings[i]": (
                lambda g, e, t: g @ e.T - (g * e[: len(g)]).sum(1, keepdim=True)
            ),
            "that is the distance of the two words; the gradient is missing": lambda g, e, t: (
                torch.cdist(e[t], e)
            ),
            "it scores the angle; take the plain dot product, not the cosine": lambda g, e, t: (
                torch.nn.functional.cosine_similarity(g[:, None], e[None] - e[t][:, None], dim=2)
            ),
            "the gradient of every place must meet the words of its own place only": (
                lambda g, e, t: _swap(g.sum(0, keepdim=True).expand_as(g), e, t)
            ),
        },
        tolerance=1e-4,
        expected="row i, column v: gradient[i] . (embeddings[v] - embeddings[tokens[i]])",
        what="the scores",
    )


def _misspelt(word):
    found = []
    for i in range(1, len(word) - 2):
        new = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        if new != word and new not in found:
            found.append(new)
    return found


@exercise("First and last letter stay, so a reader still reads it; the filter does not know it")
def misspellings(answer):
    for word in (
        "prize",
        "claim",
        "letter",
        "free",
        "book",
        "eeeel",
        "URGENT",
        "guaranteed",
        "win",
        "a",
        "",
    ):
        got, wanted = ask(answer, word), _misspelt(word)
        if not isinstance(got, list):
            raise Mistake(f"return a list of words; for {word!r} it returns {brief(got)}")
        if sorted(map(str, got)) == sorted(wanted):
            continue
        said = f"for {word!r} it returns {brief(got)}"
        if word in got:
            raise Mistake(f"{said}: the word itself is no misspelling of it (two equal letters)")
        if any(not isinstance(w, str) or sorted(w) != sorted(word) for w in got):
            raise Mistake(f"{said}: every result has the same letters, two neighbors swapped")
        if any(w[0] != word[0] or w[-1] != word[-1] for w in got):
            raise Mistake(f"{said}: the first and the last letter stay where they are")
        if len(set(got)) < len(got):
            raise Mistake(f"{said}: each misspelling once")
        if any(w not in wanted for w in got):
            raise Mistake(
                f"{said}: swap two letters that stand beside each other, one pair at a time"
            )
        raise Mistake(
            f"{said}: {len(wanted)} words are wanted and {len(wanted) - len(got)} of them are "
            f"missing, among them {next(w for w in wanted if w not in got)!r}"
        )


def _edges(seed=0, n=6, share=0.4):
    upper = (torch.rand(n, n, generator=generator(seed)) < share).triu(1)
    return upper.nonzero().T, n


def _plain(edges, n):
    a = torch.zeros(n, n)
    a[edges[0], edges[1]] = a[edges[1], edges[0]] = 1
    return a


def _normal(edges, n, a=None):
    a = _plain(edges, n) + torch.eye(n) if a is None else a
    scale = a.sum(1).clamp(min=1e-12).rsqrt()
    return scale[:, None] * a * scale


def _one_sided(edges, n):
    a = torch.eye(n)
    a[edges[0], edges[1]] = 1
    return _normal(edges, n, a)


def _degrees_of_a(edges, n):
    a = _plain(edges, n)
    scale = a.sum(1).clamp(min=1e-12).rsqrt()
    return scale[:, None] * (a + torch.eye(n)) * scale


def _rows(edges, n):
    a = _plain(edges, n) + torch.eye(n)
    return a / a.sum(1, keepdim=True)


@exercise("Symmetric, with everybody their own neighbor; busy nodes count less in each edge")
def normalized_adjacency(answer):
    agree(
        answer,
        _normal,
        {
            "": _edges(),
            "a node without edges": (torch.tensor([[0, 1], [1, 2]]), 4),
            "no edges": (torch.zeros(2, 0, dtype=torch.int64), 3),
            "one node": (torch.zeros(2, 0, dtype=torch.int64), 1),
            "the larger number first": (torch.tensor([[3, 2, 1], [0, 1, 0]]), 4),
        },
        {
            "I is missing: every node is its own neighbor": lambda e, n: _normal(
                e, n, _plain(e, n)
            ),
            "an edge is undirected: set [a, b] and [b, a]": _one_sided,
            "the degrees are those of A; take the row sums of A + I": _degrees_of_a,
            "the rows are divided by their sum, D^-1 (A + I); take D^-1/2 on both sides": _rows,
            "only the rows are scaled; multiply by D^-1/2 on both sides": lambda e, n: (
                (a := _plain(e, n) + torch.eye(n)) * a.sum(1).rsqrt()[:, None]
            ),
            "the columns are divided by their sum; take D^-1/2 on both sides": lambda e, n: (
                _rows(e, n).T
            ),
            "it is D^-1 on both sides; take the roots of the degrees": lambda e, n: (
                (a := _plain(e, n) + torch.eye(n)) / a.sum(1) / a.sum(1)[:, None]
            ),
            "every node is its own neighbor twice; I is added once": lambda e, n: _normal(
                e, n, _plain(e, n) + 2 * torch.eye(n)
            ),
            "I is added at the end; add it before you normalize": lambda e, n: (
                _normal(e, n, _plain(e, n)) + torch.eye(n)
            ),
            "it is not normalized yet: that is A + I": lambda e, n: _plain(e, n) + torch.eye(n),
            "it is D^1/2 (A + I) D^1/2: divide by the roots of the degrees": lambda e, n: (
                lambda a: a.sum(1).sqrt()[:, None] * a * a.sum(1).sqrt()
            )(_plain(e, n) + torch.eye(n)),
        },
        expected="D^-1/2 (A + I) D^-1/2 with the degrees of A + I",
        what="the matrix",
    )


def _flip(a, u, v):
    new = a.clone()
    new[u, v] = new[v, u] = 1 - a[u, v]
    return new


def _flip_one_side(a, u, v):
    new = a.clone()
    new[u, v] = 1 - a[u, v]
    return new


def _set(a, u, v, value=1.0):
    new = a.clone()
    new[u, v] = new[v, u] = value
    return new


@exercise("A new matrix, symmetric, with one edge more or less")
def flip_edge(answer):
    a = _plain(*_edges(1))
    here, there = (
        (a.triu(1) == 1).nonzero()[0].tolist(),
        (a + torch.eye(6) == 0).nonzero()[0].tolist(),
    )
    agree(
        typed(answer, 0, "a matrix"),
        _flip,
        {
            "": (a, *there),
            "an edge that is there": (a, *here),
            "the larger number first": (a, *reversed(there)),
            "float64": (a.double(), *here),
            "two nodes": (torch.zeros(2, 2), 0, 1),
        },
        {
            "only one side is flipped; an edge stands at [u, v] and at [v, u]": _flip_one_side,
            "it only adds edges; an edge that is there has to go": _set,
            "it only takes edges away": lambda a, u, v: _set(a, u, v, 0.0),
            "nothing changed": lambda a, u, v: a,
            "entries of 2 or -1: an entry becomes 1 - a[u, v]": lambda a, u, v: _set(
                a, u, v, a[u, v].item() + 1
            ),
        },
        expected="entries [u, v] and [v, u] become 1 - a[u, v]; all others stay",
        what="the new matrix",
    )


def _node_case(seed, n=9, classes=3, share=0.3):
    a = _plain(*_edges(seed, n, share))
    random = generator(seed + 50)
    shares = torch.randn(n, classes, generator=random, dtype=torch.float64).float()
    return a, shares, int(a.sum(1).argmax()), seed % classes


def _margins(
    a,
    shares,
    node,
    label,
    *,
    allowed=None,
    hops=2,
    normal=True,
    stale=False,
    rival=True,
    truth=False,
    flip=_flip,
    masked=True,
):
    """Return the surrogate's margin of `node` after its edge to each v is flipped; inf for itself."""
    found = torch.full((len(a),), torch.inf, dtype=torch.float64)
    eye = torch.eye(len(a), dtype=torch.float64)
    degrees = (a.double() + eye).sum(1)
    for v in range(len(a)):
        if v == node or (allowed is not None and int(a[node, v]) != allowed):
            continue
        new = flip(a, node, v).double() + eye
        scale = (degrees if stale else new.sum(1)).rsqrt()
        spread = scale[:, None] * new * scale if normal else new
        z = shares.double()
        for _ in range(hops):
            z = spread @ z
        z = z[node]
        others = torch.cat([z[:label], z[label + 1 :]]) if masked else z
        found[v] = z[label] - others.max() if rival else z[label]
        found[v] = z.softmax(0)[label] if truth else found[v]
    return found


def _best_edge(*case, **slip):
    return int(_margins(*case, **slip).argmin())


@exercise("Every other end is tried, with new degrees, and the lowest margin is taken")
def best_edge(answer):
    cases = [_node_case(seed) for seed in range(8)]
    cases += [_node_case(11, n=3, share=0.5), _node_case(12, classes=2)]
    for a, shares, node, label in cases:
        got = ask(answer, a, shares, node, label, unchanged=[a, shares])
        if isinstance(got, tuple | list):
            raise Mistake("return one number, the other end of the edge; not a pair or a list")
        agree(lambda got=got: got, lambda: 0, {"": ()}, tolerance=1e9, what="the other end")
        value = got.item() if hasattr(got, "item") else got
        if isinstance(value, float):
            raise Mistake(f"it returns {brief(value)}; the number of a node is a whole one, an int")
        if int(got) == node:
            raise Mistake("that is the node itself; an edge joins two different nodes")

    def everywhere(function):  # one number could be right, or a slip's, by chance
        return lambda: torch.tensor([int(function(*case)) for case in cases])

    slips = {
        "it takes the edge that helps the label most; take the lowest margin": lambda *c: int(
            torch.where(_margins(*c).isinf(), -torch.inf, _margins(*c)).argmax()
        ),
        "it only tries to add edges; taking one away may be better": (
            lambda *c: _best_edge(*c, allowed=0)
        ),
        "it only tries to take edges away": lambda *c: _best_edge(*c, allowed=1),
        "it lowers the label's score; lower the margin, score of the label minus the best other": (
            lambda *c: _best_edge(*c, rival=False)
        ),
        "the neighbors are heard once; the surrogate is A A X W: two rounds": (
            lambda *c: _best_edge(*c, hops=1)
        ),
        "it does not normalize; use normalized, D^-1/2 (A + I) D^-1/2, of the flipped graph": (
            lambda *c: _best_edge(*c, normal=False)
        ),
        "the degrees are the old ones; a flipped edge changes two of them": (
            lambda *c: _best_edge(*c, stale=True)
        ),
        "only one side of the edge is flipped; an edge stands at [u, v] and at [v, u]": (
            lambda *c: _best_edge(*c, flip=_flip_one_side)
        ),
        "the best score includes the label's own; take the best of the others": (
            lambda *c: _best_edge(*c, masked=False)
        ),
        "it lowers the probability of the label, which is not the margin": (
            lambda *c: _best_edge(*c, truth=True)
        ),
    }
    said = "the number v whose flipped edge (node, v) gives the lowest margin"
    slips = {message: everywhere(slip) for message, slip in slips.items()}
    agree(everywhere(answer), everywhere(_best_edge), {"": ()}, slips, expected=said)


def _svm_case(seed=0, images=6, pixels=8, dtype=torch.float32):
    random = generator(seed)
    x = torch.rand(images, pixels, generator=random).to(dtype)
    x[0, :3], x[-1, :3] = 0.0, 1.0  # on the faces of the box
    w = torch.randn(pixels, generator=random).to(dtype)
    w[0] = 2.0
    return x, w, float(-0.5 * w.sum() + 0.2)


def _far_case():
    """Return images near that corner of the box where f is largest, and a boundary far away."""
    x, w, _ = _svm_case(5)
    x = torch.where(w > 0, 0.9 + 0.1 * x, 0.1 * x)
    return x, w, float(0.75 * w.abs().sum() - (x @ w).mean())


def _boxed(x, w, b, *, box=True, late=False, turn=1.0, l2=False, shared=False, always=False):
    x, w = x.double(), w.double()
    f = x @ w + b
    side = -turn * f.sign()[:, None]
    direction = w / w.norm() if l2 else w.sign()

    def moved(size, inside=box):
        x_adv = x + size[:, None] * side * direction
        return x_adv.clamp(0, 1) if inside else x_adv

    low, high = torch.zeros(len(x)).double(), torch.full((len(x),), 1.0 if not l2 else 9.0).double()
    can = (moved(high, box and not late) @ w + b) * f <= 0
    for _ in range(60):
        middle = (low + high) / 2
        over = (moved(middle, box and not late) @ w + b) * f <= 0
        low, high = torch.where(over, low, middle), torch.where(over, middle, high)
    size = high.max().expand_as(high) if shared else high
    keep = can | torch.tensor(always)
    return torch.where(keep[:, None], moved(size), x).float()


@exercise("The boundary is met exactly, inside the box, with the least change of any pixel")
def box_evasion(answer):
    x, w, b = _svm_case()
    zero = w.clone()
    zero[3] = 0
    agree(
        answer,
        _boxed,
        {
            "": (x, w, b),
            "one image": (x[1:2], w, b),
            "a boundary that some cannot reach": (x, w, b + 0.55 * float(w.abs().sum())),
            "a boundary that nobody can reach": (x, w, b + 2 * float(w.abs().sum())),
            "a pixel without weight": (x, zero, b),
            "other images": _svm_case(3, 9, 12),
            "images far from the boundary (eps above .7)": _far_case(),
        },
        {
            "pixels leave [0, 1]": lambda *a: _boxed(*a, box=False),
            "it clamps after the formula without a box, and falls short; a clamped pixel's part must "
            "be made up by the others: search for eps": lambda *a: _boxed(*a, late=True),
            "it moves away from the boundary: against the sign of the score": lambda *a: _boxed(
                *a, turn=-1.0, always=True
            ),
            "that is the least change in l2; here every pixel moves by the same eps": lambda *a: (
                _boxed(*a, l2=True)
            ),
            "one eps for the whole batch; each image has its own": lambda *a: _boxed(
                *a, shared=True
            ),
            "an image that cannot reach the boundary must come back as it was": lambda *a: _boxed(
                *a, always=True
            ),
            "nothing moved": lambda x, w, b: x,
        },
        tolerance=2e-4,
        expected="clamp(x - sign(f) eps sign(w), 0, 1) with the least eps at which f is 0",
        what="the images",
    )
