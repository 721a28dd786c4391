"""Right answers of lab 12, written another way than the references."""

import math

import torch


def word_weights(counts, labels, smoothing):
    rows = []
    for c in (1, 0):
        total = counts[labels == c].sum(0) + smoothing
        rows.append(total.log() - math.log(total.sum()))
    return rows[0] - rows[1]


def good_word_attack(x, weights, bias, budget):
    x_adv, score = x.clone(), (x * weights).sum() + bias
    for word in weights.argsort()[:budget].tolist():
        if score <= 0 or weights[word] >= 0:
            return x_adv
        x_adv[word] += 1
        score = score + weights[word]
    return x_adv


def hotflip_scores(gradient, embeddings, tokens):
    return torch.stack(
        [(embeddings - embeddings[t]) @ g for g, t in zip(gradient, tokens, strict=True)]
    )


def misspellings(word):
    inner = list(word)
    found = set()
    for i in range(1, len(word) - 2):
        inner[i], inner[i + 1] = inner[i + 1], inner[i]
        found.add("".join(inner))
        inner[i], inner[i + 1] = inner[i + 1], inner[i]
    return sorted(found - {word})


def normalized_adjacency(edges, n):
    a = torch.zeros(n, n, dtype=torch.float64)
    for i, j in edges.T.tolist():
        a[i, j] = a[j, i] = 1.0
    a += torch.eye(n, dtype=torch.float64)
    scale = torch.diag(1 / a.sum(0).sqrt())
    return scale @ a @ scale


def flip_edge(adjacency, u, v):
    change = torch.zeros_like(adjacency)
    change[u, v] = change[v, u] = 1 - 2 * adjacency[u, v]
    return adjacency + change


def best_edge(adjacency, shares, node, label):
    def margin(v):
        a = flip_edge(adjacency, node, v)
        b = normalized_adjacency(a.triu(1).nonzero().T, len(a))
        z = (b @ (b @ shares.double()))[node].tolist()
        return z[label] - max(z[:label] + z[label + 1 :])

    return min((v for v in range(len(adjacency)) if v != node), key=margin)


def box_evasion(x, w, b):
    """Exact, image by image: as eps grows, pixels reach the box one after the other."""
    moved = []
    for image in x.double():
        v, f = w.double(), (image @ w.double() + b).item()
        sign = math.copysign(1, f)
        room = torch.where(v * sign > 0, image, 1 - image)
        step = 0.0
        for start in [0.0, *room.sort().values.tolist()]:
            fixed = room <= start
            rest = abs(f) - (v.abs() * room)[fixed].sum().item()
            free = v.abs()[~fixed].sum().item()
            end = room[~fixed].min().item() if free > 0 else 0.0
            if free > 0 and rest <= free * end + 1e-9:
                step = rest / free
                break
        moved.append((image - sign * step * v.sign()).clamp(0, 1))
    return torch.stack(moved).to(x.dtype)


RIGHT = {
    "word_weights": word_weights,
    "good_word_attack": good_word_attack,
    "hotflip_scores": hotflip_scores,
    "misspellings": misspellings,
    "normalized_adjacency": normalized_adjacency,
    "flip_edge": flip_edge,
    "best_edge": best_edge,
    "box_evasion": box_evasion,
}
