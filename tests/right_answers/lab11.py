"""Right answers of lab 11, each by another way than the lab's solution."""

import numpy as np
import torch


def flip_labels(y, share, classes, generator):
    flipped = y.tolist()
    rows = torch.randperm(len(y), generator=generator).tolist()[: round(share * len(y))]
    for i in rows:
        others = [c for c in range(classes) if c != flipped[i]]
        flipped[i] = others[int(torch.randint(len(others), (1,), generator=generator))]
    return torch.tensor(flipped, dtype=y.dtype)


def stamp(x, pattern, row, column):
    height, width = pattern.shape
    inside = torch.zeros(x.shape[-2:], dtype=torch.bool)
    inside[row : row + height, column : column + width] = True
    canvas = torch.zeros(x.shape[-2:], dtype=x.dtype)
    canvas[inside] = pattern.flatten().to(x.dtype)
    return torch.where(inside, canvas, x)


def poison(x, y, share, target, trigger, generator):
    order = torch.rand(len(y), generator=generator)
    order[y == target] = 2.0
    mask = torch.zeros(len(y), dtype=torch.bool)
    mask[order.argsort()[: round(share * len(y))]] = True
    x_new = torch.where(mask.view(-1, *[1] * (x.ndim - 1)), trigger(x), x)
    return x_new, torch.where(mask, torch.full_like(y, target), y), mask


@torch.no_grad()
def share_triggered(model, x, y, trigger, target):
    mode, others = model.training, y != target
    model.eval()
    hits = sum(int(model(trigger(x[i : i + 1])).argmax()) == target for i in others.nonzero())
    model.train(mode)
    return hits / int(others.sum())


def spectral_score(features):
    centered = features - features.mean(0, keepdim=True)
    _, directions = torch.linalg.eigh(centered.T @ centered)
    return (centered @ directions[:, -1]) ** 2


def judge_cluster(side, poison):
    groups = {c: {i for i, s in enumerate(side.tolist()) if s == c} for c in (1, 0)}
    small = min(groups.values(), key=len)  # of equal ones the first, which is number 1
    bad = set(poison.nonzero()[:, 0].tolist())
    return len(small & bad) / len(small), len(small & bad) / len(bad)


def influence(x, y, x_val, y_val, decay):
    """Differentiate through the closed form, with a weight for every training point."""
    weights = torch.ones(len(x), dtype=x.dtype, requires_grad=True)
    with torch.enable_grad():
        hessian = x.T @ (weights[:, None] * x) + decay * torch.eye(x.shape[1], dtype=x.dtype)
        theta = torch.linalg.inv(hessian) @ (x.T @ (weights * y))
        loss = ((x_val @ theta - y_val) ** 2).sum() / 2
    (gradient,) = torch.autograd.grad(loss, weights)
    return gradient


def hide_bits(weights, values, bits):
    words = weights.numpy().copy().view(np.uint32)
    words -= words % 2**bits
    return torch.from_numpy((words + values.numpy().astype(np.uint32)).view(np.float32))


RIGHT = {
    "flip_labels": flip_labels,
    "stamp": stamp,
    "poison": poison,
    "share_triggered": share_triggered,
    "spectral_score": spectral_score,
    "judge_cluster": judge_cluster,
    "influence": influence,
    "hide_bits": hide_bits,
}
