import torch

from tests.right_answers import lab12 as right

from . import wrong


@wrong("word_weights", "the sign is turned")
def ham_over_spam(counts, labels, smoothing):
    return right.word_weights(counts, 1 - labels, smoothing)


@wrong("word_weights", "not divided by their total")
def raw_counts(counts, labels, smoothing):
    spam, ham = counts[labels == 1].sum(0), counts[labels == 0].sum(0)
    return ((spam + smoothing) / (ham + smoothing)).log()


@wrong("word_weights", "the total does not contain the smoothing")
def total_before_smoothing(counts, labels, smoothing):
    spam, ham = counts[labels == 1].sum(0), counts[labels == 0].sum(0)
    return ((spam + smoothing) / spam.sum()).log() - ((ham + smoothing) / ham.sum()).log()


@wrong("word_weights", "the smoothing is always 1")
def always_one(counts, labels, smoothing):
    return right.word_weights(counts, labels, 1.0)


@wrong("word_weights", "in how many messages")
def presence(counts, labels, smoothing):
    return right.word_weights(counts.clamp(max=1), labels, smoothing)


@wrong("word_weights", "the logarithm is missing")
def ratio_of_shares(counts, labels, smoothing):
    return right.word_weights(counts, labels, smoothing).exp()


@wrong("word_weights", "NaN")
def no_smoothing(counts, labels, smoothing):
    return right.word_weights(counts, labels, 0.0)


@wrong("good_word_attack", "spends the whole budget")
def never_stops_adding(x, weights, bias, budget):
    x_adv = x.clone()
    for word in weights.argsort()[:budget]:
        if weights[word] < 0:
            x_adv[word] += 1
    return x_adv


@wrong("good_word_attack", "again and again")
def one_word_only(x, weights, bias, budget):
    x_adv = x.clone()
    for _ in range(budget):
        if x_adv @ weights + bias > 0:
            x_adv[weights.argmin()] += 1
    return x_adv


@wrong("good_word_attack", "raise the score")
def bad_words_in_the_end(x, weights, bias, budget):
    x_adv = x.clone()
    for word in weights.argsort()[:budget]:
        if x_adv @ weights + bias > 0:
            x_adv[word] += 1
    return x_adv


@wrong("good_word_attack", "pull towards spam")
def spam_words(x, weights, bias, budget):
    x_adv = x.clone()
    for word in weights.argsort(descending=True)[:budget]:
        if x_adv @ weights + bias > 0:
            x_adv[word] += 1
    return x_adv


@wrong("good_word_attack", "set to 1")
def sets_the_count(x, weights, bias, budget):
    x_adv = x.clone()
    for word in weights.argsort()[:budget]:
        if x_adv @ weights + bias > 0 and weights[word] < 0:
            x_adv[word] = 1
    return x_adv


@wrong("good_word_attack", "passes already")
def looks_after_the_word(x, weights, bias, budget):
    x_adv = x.clone()
    for word in weights.argsort()[:budget]:
        if weights[word] >= 0:
            break
        x_adv[word] += 1
        if x_adv @ weights + bias <= 0:
            break
    return x_adv


@wrong("good_word_attack", "in place")
def changes_the_message(x, weights, bias, budget):
    for word in weights.argsort()[:budget]:
        if x @ weights + bias > 0 and weights[word] < 0:
            x[word] += 1
    return x


@wrong("hotflip_scores", "the sign is turned")
def old_minus_new(gradient, embeddings, tokens):
    return -right.hotflip_scores(gradient, embeddings, tokens)


@wrong("hotflip_scores", "not subtracted")
def new_word_alone(gradient, embeddings, tokens):
    return gradient @ embeddings.T


@wrong("hotflip_scores", "the gradient is missing")
def distances(gradient, embeddings, tokens):
    return torch.cdist(embeddings[tokens], embeddings)


@wrong("hotflip_scores", "not the cosine")
def angles(gradient, embeddings, tokens):
    steps = embeddings[None] - embeddings[tokens][:, None]
    return torch.nn.functional.cosine_similarity(gradient[:, None], steps, dim=2)


@wrong("hotflip_scores", "its own place")
def summed_gradient(gradient, embeddings, tokens):
    whole = gradient.sum(0, keepdim=True).expand_as(gradient)
    return right.hotflip_scores(whole, embeddings, tokens)


@wrong("hotflip_scores", "shape")
def transposed(gradient, embeddings, tokens):
    return right.hotflip_scores(gradient, embeddings, tokens).T


@wrong("misspellings", "first and the last letter stay")
def all_neighbors(word):
    swaps = (word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1))
    return sorted(set(swaps) - {word})


@wrong("misspellings", "the word itself")
def keeps_the_word(word):
    return [word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(1, len(word) - 2)]


@wrong("misspellings", "the same letters")
def drops_a_letter(word):
    return [word[:i] + word[i + 1 :] for i in range(1, len(word) - 1)]


@wrong("misspellings", "are missing")
def only_the_first(word):
    return right.misspellings(word)[:1]


@wrong("misspellings", "beside each other")
def any_two_inner_letters(word):
    found = set()
    for i in range(1, len(word) - 1):
        for j in range(i + 1, len(word) - 1):
            found.add(word[:i] + word[j] + word[i + 1 : j] + word[i] + word[j + 1 :])
    return sorted(found - {word})


@wrong("misspellings", "a list of words")
def one_string(word):
    return " ".join(right.misspellings(word))


@wrong("normalized_adjacency", "I is missing")
def nobody_hears_themselves(edges, n):
    a = torch.zeros(n, n)
    a[edges[0], edges[1]] = a[edges[1], edges[0]] = 1
    scale = a.sum(1).clamp(min=1e-12).rsqrt()
    return scale[:, None] * a * scale


@wrong("normalized_adjacency", "undirected")
def directed(edges, n):
    a = torch.eye(n)
    a[edges[0], edges[1]] = 1
    scale = a.sum(1).rsqrt()
    return scale[:, None] * a * scale


@wrong("normalized_adjacency", "are those of A; take")
def degrees_without_oneself(edges, n):
    a = torch.zeros(n, n)
    a[edges[0], edges[1]] = a[edges[1], edges[0]] = 1
    scale = a.sum(1).clamp(min=1e-12).rsqrt()
    return scale[:, None] * (a + torch.eye(n)) * scale


@wrong("normalized_adjacency", "on both sides")
def row_shares(edges, n):
    a = torch.eye(n)
    a[edges[0], edges[1]] = a[edges[1], edges[0]] = 1
    return a / a.sum(1, keepdim=True)


@wrong("normalized_adjacency", "not normalized yet")
def plain(edges, n):
    a = torch.eye(n)
    a[edges[0], edges[1]] = a[edges[1], edges[0]] = 1
    return a


@wrong("normalized_adjacency", "added at the end")
def oneself_at_the_end(edges, n):
    return nobody_hears_themselves(edges, n) + torch.eye(n)


@wrong("flip_edge", "only one side")
def one_side(adjacency, u, v):
    new = adjacency.clone()
    new[u, v] = 1 - new[u, v]
    return new


@wrong("flip_edge", "it only adds")
def only_adds(adjacency, u, v):
    new = adjacency.clone()
    new[u, v] = new[v, u] = 1
    return new


@wrong("flip_edge", "it only takes")
def only_removes(adjacency, u, v):
    new = adjacency.clone()
    new[u, v] = new[v, u] = 0
    return new


@wrong("flip_edge", "in place")
def writes_into_the_graph(adjacency, u, v):
    adjacency[u, v] = adjacency[v, u] = 1 - adjacency[u, v]
    return adjacency


@wrong("flip_edge", "2 or -1")
def counts_up(adjacency, u, v):
    new = adjacency.clone()
    new[u, v] += 1
    new[v, u] = new[u, v]
    return new


def _search(adjacency, shares, node, label, ends=None, margin=None, hops=2, normal=True):
    found = {}
    for v in range(len(adjacency)) if ends is None else ends:
        if v == node:
            continue
        a = right.flip_edge(adjacency, node, v)
        b = right.normalized_adjacency(a.triu(1).nonzero().T, len(a))
        b = b if normal else a.double() + torch.eye(len(a))
        z = shares.double()
        for _ in range(hops):
            z = b @ z
        z = z[node]
        others = torch.cat([z[:label], z[label + 1 :]])
        found[v] = (z[label] - others.max() if margin is None else margin(z)).item()
    return min(found, key=found.get) if found else (node + 1) % len(adjacency)


@wrong("best_edge", "only tries to add")
def adds_only(adjacency, shares, node, label):
    ends = (adjacency[node] == 0).nonzero()[:, 0].tolist()
    return _search(adjacency, shares, node, label, ends)


@wrong("best_edge", "only tries to take")
def removes_only(adjacency, shares, node, label):
    ends = adjacency[node].nonzero()[:, 0].tolist()
    return _search(adjacency, shares, node, label, ends)


@wrong("best_edge", "helps the label most")
def best_for_the_label(adjacency, shares, node, label):
    def turned(z):
        return torch.cat([z[:label], z[label + 1 :]]).max() - z[label]

    return _search(adjacency, shares, node, label, margin=turned)


@wrong("best_edge", "it lowers the label's score")
def without_a_rival(adjacency, shares, node, label):
    return _search(adjacency, shares, node, label, margin=lambda z: z[label])


@wrong("best_edge", "heard once")
def one_round(adjacency, shares, node, label):
    return _search(adjacency, shares, node, label, hops=1)


@wrong("best_edge", "does not normalize")
def not_normalized(adjacency, shares, node, label):
    return _search(adjacency, shares, node, label, normal=False)


@wrong("best_edge", "return one number")
def a_pair(adjacency, shares, node, label):
    return node, right.best_edge(adjacency, shares, node, label)


@wrong("box_evasion", "leave [0, 1]")
def without_box(x, w, b):
    f = x @ w + b
    can = ((x - f.sign()[:, None] * w.sign()).clamp(0, 1) @ w + b) * f <= 0
    moved = x - (f / w.abs().sum())[:, None] * w.sign()
    return torch.where(can[:, None], moved, x)


@wrong("box_evasion", "falls short")
def clamps_at_the_end(x, w, b):
    return without_box(x, w, b).clamp(0, 1)


@wrong("box_evasion", "least change in l2")
def least_l2(x, w, b):
    size = torch.zeros(len(x), dtype=torch.float64)
    f = (x @ w + b).double()
    low, high = torch.zeros(len(x)).double(), torch.full((len(x),), 9.0).double()

    def moved(size):
        step = -f.sign()[:, None] * size[:, None] * (w / w.norm()).double()
        return (x.double() + step).clamp(0, 1)

    can = (moved(high) @ w.double() + b) * f <= 0
    for _ in range(60):
        size = (low + high) / 2
        over = (moved(size) @ w.double() + b) * f <= 0
        low, high = torch.where(over, low, size), torch.where(over, size, high)
    return torch.where(can[:, None], moved(high).float(), x)


@wrong("box_evasion", "must come back as it was")
def moves_in_vain(x, w, b):
    found = right.box_evasion(x, w, b)
    stuck = (found == x).all(1)
    away = (x - (x @ w + b).sign()[:, None] * w.sign()).clamp(0, 1)
    return torch.where(stuck[:, None], away, found)


@wrong("box_evasion", "one eps for the whole batch")
def one_eps(x, w, b):
    found = right.box_evasion(x, w, b)
    eps = (found - x).abs().max()
    stuck = (found == x).all(1)
    moved = (x - eps * (x @ w + b).sign()[:, None] * w.sign()).clamp(0, 1)
    return torch.where(stuck[:, None], x, moved)


@wrong("box_evasion", "away from the boundary")
def uphill(x, w, b):
    return (x + (x @ w + b).sign()[:, None] * w.sign()).clamp(0, 1)


@wrong("box_evasion", "nothing moved")
def stays(x, w, b):
    return x.clone()


# ---------------------------------------------------------------- the second round


@wrong("word_weights", "the total contains the smoothing only once")
def smoothed_once(counts, labels, smoothing):
    sums = [counts[labels == c].sum(0) for c in (1, 0)]
    spam, ham = ((s + smoothing) / (s.sum() + smoothing) for s in sums)
    return spam.log() - ham.log()


@wrong("word_weights", "to every message")
def smoothed_messages(counts, labels, smoothing):
    sums = [(counts[labels == c] + smoothing).sum(0) for c in (1, 0)]
    return (sums[0] / sums[0].sum()).log() - (sums[1] / sums[1].sum()).log()


@wrong("word_weights", "not log2")
def bits(counts, labels, smoothing):
    return right.word_weights(counts, labels, smoothing) / torch.tensor(2.0).log()


@wrong("good_word_attack", "the bias is forgotten")
def without_bias(x, weights, bias, budget):
    return right.good_word_attack(x, weights, 0.0, budget)


@wrong("good_word_attack", "one word more than the budget")
def one_word_more(x, weights, bias, budget):
    return right.good_word_attack(x, weights, bias, budget + 1)


@wrong("good_word_attack", "one word less than the budget")
def one_word_less(x, weights, bias, budget):
    return right.good_word_attack(x, weights, bias, max(0, budget - 1))


@wrong("good_word_attack", "gives up where the message does not pass")
def all_or_nothing(x, weights, bias, budget):
    found = right.good_word_attack(x, weights, bias, budget)
    return found if found @ weights + bias <= 0 else x


@wrong("hotflip_scores", "not embeddings[i]")
def takes_the_place_for_the_word(gradient, embeddings, tokens):
    old = (gradient * embeddings[: len(tokens)]).sum(1, keepdim=True)
    return gradient @ embeddings.T - old


@wrong("misspellings", "URGENT")
def misspellings_in_small_letters(word):
    return right.misspellings(word.lower())


@wrong("normalized_adjacency", "only the rows are scaled")
def scales_the_rows(edges, n):
    a = torch.eye(n)
    a[edges[0], edges[1]] = a[edges[1], edges[0]] = 1
    return a * a.sum(1).rsqrt()[:, None]


@wrong("normalized_adjacency", "D^-1 on both sides")
def divides_by_whole_degrees(edges, n):
    a = torch.eye(n)
    a[edges[0], edges[1]] = a[edges[1], edges[0]] = 1
    return a / a.sum(1) / a.sum(1)[:, None]


@wrong("normalized_adjacency", "return a dense one")
def sparse_matrix(edges, n):
    return right.normalized_adjacency(edges, n).to_sparse()


@wrong("flip_edge", "torch.bool for a matrix of torch.float32")
def matrix_of_bools(adjacency, u, v):
    return right.flip_edge(adjacency, u, v).bool()


@wrong("best_edge", "a whole one, an int")
def node_as_a_float(*case):
    return float(right.best_edge(*case))


def _best(adjacency, shares, node, label, flip, top):
    margins = []
    for v in range(len(adjacency)):
        a = flip(adjacency, node, v).double() + torch.eye(len(adjacency)).double()
        scale = a.sum(1).rsqrt()
        spread = scale[:, None] * a * scale
        z = (spread @ (spread @ shares.double()))[node]
        margins.append(float("inf") if v == node else (z[label] - top(z, label)).item())
    return margins.index(min(margins))


@wrong("best_edge", "only one side of the edge")
def flips_one_side(adjacency, shares, node, label):
    def flip(a, u, v):
        a = a.clone()
        a[u, v] = 1 - a[u, v]
        return a

    others = lambda z, label: torch.cat([z[:label], z[label + 1 :]]).max()  # noqa: E731
    return _best(adjacency, shares, node, label, flip, others)


@wrong("best_edge", "includes the label's own")
def margin_with_itself(adjacency, shares, node, label):
    return _best(adjacency, shares, node, label, right.flip_edge, lambda z, label: z.max())


@wrong("box_evasion", "far from the boundary")
def box_that_ends_early(x, w, b):
    found = right.box_evasion(x, w, b)
    near = (found - x).abs().amax(1) < 0.5
    return torch.where(near[:, None], found, x)
