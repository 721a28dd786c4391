"""Right answers of lab 09, each in another way than the check's reference."""

from collections import Counter

import torch


def make_oracle(model, n, budget):
    counts = torch.zeros(n, dtype=torch.int64)

    def ask(x, rows):
        for image, times in Counter(rows.tolist()).items():
            if counts[image] + times > budget:
                raise RuntimeError(f"image {image} has no query left")
        for image in rows.tolist():
            counts[image] += 1
        with torch.no_grad():
            return torch.cat([model(one[None]).argmax(1) for one in x])

    return ask, counts


def transfer_rate(y, source, target, source_adv, target_adv):
    fair = won = 0
    for label, a, b, c, d in zip(y, source, target, source_adv, target_adv, strict=True):
        if a == b == label and c != label:
            fair += 1
            won += int(d != label)
    return won / max(fair, 1)


def augment(model, x, labels, step):
    new = []
    for image, label in zip(x, labels, strict=True):
        image = image[None].clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(image)[0, label], image)
        new.append((image.detach() + step * slope.sign()).clamp(0, 1))
    return torch.cat([x, *new])


def propose(x, best, corner, side, sign, eps):
    down, across = torch.arange(x.shape[2]), torch.arange(x.shape[3])
    top, left = corner[:, :1], corner[:, 1:]
    rows = (down >= top) & (down < top + side)
    columns = (across >= left) & (across < left + side)
    inside = (rows[:, :, None] & columns[:, None, :])[:, None]
    face = (x + eps * sign[:, None, None, None]).clamp(0, 1)
    return torch.where(inside, face, best)


def keep_better(scores, tried, best, lowest, y):
    best, lowest = best.clone(), lowest.clone()
    for i, row in enumerate(scores(tried)):
        others = torch.cat([row[: y[i]], row[y[i] + 1 :]])
        margin = row[y[i]] - others.max()
        if margin < lowest[i]:
            best[i], lowest[i] = tried[i], margin
    return best, lowest


def to_boundary(ask, x, y, far, steps):
    high, width = torch.ones(len(x), dtype=x.dtype), 1.0
    for _ in range(steps):
        width /= 2
        shape = (-1, *[1] * (x.ndim - 1))
        won = ask(x + (high - width).view(shape) * (far - x)) != y
        high = high - width * won.to(x)
    return x + high.view(-1, *[1] * (x.ndim - 1)) * (far - x)


def normal(ask, at, y, u, delta):
    won = ask(at[None] + delta * u) != y
    if won.all():
        v = u.sum(0)
    elif not won.any():
        v = -u.sum(0)
    else:  # the difference of the two means points the same way
        v = u[won].mean(0) - u[~won].mean(0)
    return v / v.square().sum().sqrt()


def success_curve(queries, won, budgets):
    until = torch.where(won, queries.float(), torch.inf)
    return [float((until <= q).sum()) / len(until) for q in budgets]


RIGHT = {
    "make_oracle": make_oracle,
    "transfer_rate": transfer_rate,
    "augment": augment,
    "propose": propose,
    "keep_better": keep_better,
    "to_boundary": to_boundary,
    "normal": normal,
    "success_curve": success_curve,
}
