"""Checks of lab 15: density, dimension, ROC curve, threshold, outcomes, the attack on the detector."""

import math

import torch
import torch.nn.functional as F

from .core import (
    Mistake,
    ask,
    check_left_alone,
    close,
    exercise,
    generator,
    linear_gradient,
    linear_victim,
    tensor,
)

NO_GRADIENT = "its gradient is cut off, and the attacker needs it: no detach, no_grad, item or list"


def _name(got, mistakes):
    """Raise the Mistake of {message: what it computes} that explains `got`."""
    for message, value in mistakes.items():
        if close(got, torch.as_tensor(value), 1e-4):
            raise Mistake(message)


def _rows(value, n, wanted, mistakes, rule):
    """Raise a Mistake unless `value` is the tensor `wanted` [N]."""
    if isinstance(value, torch.Tensor) and value.ndim == 0:
        raise Mistake(f"one number for {n} images; one for each, shape ({n},)")
    got = tensor(value, (n,))
    if not close(got, wanted, 1e-4):
        _name(got, mistakes)
        raise Mistake(f"expected {rule}")


def _slope(value, leaf, wanted):
    """Raise a Mistake unless d value.sum() / d leaf is that of `wanted`, computed independently."""
    (right,) = torch.autograd.grad(wanted.sum(), leaf)
    got = None
    if value.requires_grad:
        (got,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    if got is None:
        raise Mistake(NO_GRADIENT)
    if got.isnan().any():
        raise Mistake("its gradient is NaN at a reference point: square without a root in between")
    if not close(got, right, 1e-3 * (1 + right.abs().max().item())):
        raise Mistake("the value is right, its gradient is not: is a part of it detached?")


def _number(value, what):
    """Return one number as a float, else raise a Mistake."""
    if value is None:
        raise Mistake("it returns None; end the function with a return")
    if isinstance(value, bool | str | tuple | list) or torch.as_tensor(value).numel() != 1:
        raise Mistake(f"{what} is one number, not a {type(value).__name__}")
    return float(value)


@exercise("Far from everything it has seen, and it still returns a number.")
def log_density(answer):
    """Check log_density(points [N, D], reference [R, D], bandwidth) -> [N]."""
    for n, d, r, h in ((5, 3, 7, 1.3), (4, 2, 6, 0.6)):
        points, reference = torch.randn(n + r, d, generator=generator(n)).split((n, r))
        points[0] = reference[0]
        got = ask(answer, points, reference, h, unchanged=[points, reference])
        if isinstance(got, torch.Tensor) and got.shape == (r,):
            raise Mistake("the average runs over the reference points, not over yours: dim=1")
        square = (points[:, None] - reference).square().sum(2)
        e = -square / h**2

        def log_mean(exponent):
            return exponent.exp().mean(1).log()

        wanted = log_mean(e)
        mistakes = {
            "that is the log of the sum; a mean divides by the number of reference points": (
                wanted + math.log(r)
            ),
            "it averages the exponents; average their exp, and take the log at the end": e.mean(1),
            "that is the density; take its log": wanted.exp(),
            "wrong sign: it is high where there are many reference points": -wanted,
            "the exponent is positive: far points count most; put a minus": log_mean(-e),
            "the bandwidth is squared": log_mean(-square / h),
            "this kernel divides by bandwidth**2, without the 2 of a Gaussian": log_mean(e / 2),
            "the distance is squared: without a root": log_mean(-square.sqrt() / h**2),
            "only the nearest reference point counts here; all of them do": e.amax(1),
        }
        _rows(got, n, wanted, mistakes, "the log of the mean of exp(-distance^2 / bandwidth^2)")
        leaf = points.clone().requires_grad_()
        far = leaf[:, None] - reference
        _slope(ask(answer, leaf, reference, h), leaf, log_mean(-far.square().sum(2) / h**2))
    if not torch.isfinite(ask(answer, 50 + points, reference, h)).all():
        raise Mistake(
            "it is -inf far from all reference points: exp() has rounded to 0 before the log. Keep "
            "the exponents: logsumexp(1), then subtract log R"
        )


@exercise("How fast does the neighborhood fill up? That is a dimension.")
def lid(answer):
    """Check lid(distances [N, R], k) -> [N], -1 / mean(log(r_i / r_k)) over the nearest k."""
    for n, r, k in ((4, 12, 5), (3, 30, 20)):
        far = 0.1 + torch.rand(n, r, generator=generator(r))
        got = ask(answer, far, k, unchanged=[far])

        def estimate(near, last=None):
            last = near[:, -1:] if last is None else last
            return -1 / (near / last).log().mean(1)

        ranked = torch.tensor([sorted(row) for row in far.tolist()])
        near = ranked[:, :k]
        wanted = estimate(near)
        mistakes = {
            "divide by k, not by k - 1: the k-th neighbor adds log 1 = 0, and counts": (
                wanted * (k - 1) / k
            ),
            "the distances come unsorted; the k smallest are wanted": estimate(far[:, :k]),
            "the distances come unsorted; sort them first": estimate(far[:, :k], near[:, -1:]),
            "those are the k largest distances; take the smallest": estimate(
                ranked.flip(1)[:, :k], ranked[:, -1:]
            ),
            "the smallest is largest in your order: r_k is the largest of the k": -estimate(
                1 / near.flip(1)
            ),
            "the nearest is left out; the image itself is not among these distances": estimate(
                ranked[:, 1 : k + 1]
            ),
            "wrong sign: logs of ratios below 1 are negative, a dimension is not": -wanted,
            "that is one over the dimension: turn it over": 1 / wanted,
            "that is one over the dimension, and negative: -1 / mean": -1 / wanted,
            "the natural logarithm, not log10": wanted * math.log(10),
            "the natural logarithm, not log2": wanted * math.log(2),
            "divide by r_k, the distance of the k-th neighbor, inside the log": estimate(near, 1.0),
            "r_k is the k-th distance, not the largest of all": estimate(near, ranked[:, -1:]),
            "all distances are in it; only those of the nearest k": estimate(ranked),
        }
        _rows(got, n, wanted, mistakes, "-1 / mean(log(r_i / r_k)) over the k nearest")
        leaf = far.clone().requires_grad_()
        mask = far <= near[:, -1:]
        logs = torch.where(mask, leaf.log(), 0.0).sum(1) / k
        last = (leaf * (far == near[:, -1:])).sum(1).log()
        _slope(ask(answer, leaf, k), leaf, -1 / (logs - last))


def _roc(clean, attacked, cuts, alarmed=lambda s, t: s >= t):
    """Return the points of the curve [T, 2] for these thresholds, by counting."""
    points = [
        [sum(alarmed(s, t) for s in group) / len(group) for group in (clean, attacked)]
        for t in cuts
    ]
    return torch.tensor(points)


@exercise("Every threshold at once: nobody can pick the one that flatters.")
def roc(answer):
    """Check roc(clean [N], attacked [M]) -> false and true positive rates, a point per score."""
    ties = torch.randint(0, 6, (23,), generator=generator(3)).float()
    for clean, attacked in (
        (torch.tensor([0.1, 0.4, 0.4, 0.7]), torch.tensor([0.4, 0.9, 0.9, 0.7, 0.2])),
        (torch.randn(6, generator=generator(1)), torch.randn(9, generator=generator(2)) + 1),
        (ties[:9], ties[9:] + 1),
    ):
        value = ask(answer, clean, attacked, unchanged=[clean, attacked])
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise Mistake("return two tensors: false positive rates, true positive rates")
        cuts = sorted({*clean.tolist(), *attacked.tolist()}, reverse=True)
        task = clean.tolist(), attacked.tolist()
        wanted = _roc(*task, [math.inf, *cuts])
        if any(not isinstance(v, torch.Tensor) or v.ndim != 1 for v in value):
            raise Mistake("the two rates are tensors of one axis, a number for each threshold")
        if len(value[0]) != len(value[1]):
            raise Mistake("as many false as true positive rates: the thresholds are the same")
        got = torch.stack([v.float() for v in value], 1)
        if close(got, wanted):
            continue
        n, m = len(clean), len(attacked)
        mistakes = {
            "the two are swapped: false positives are clean images": wanted.flip(1),
            "the other way round: from the highest threshold, (0, 0), to the lowest": wanted.flip(
                0
            ),
            "swapped and turned around: (false, true), from (0, 0) on": wanted.flip(0, 1),
            "the start is missing, (0, 0): a threshold above all scores": wanted[1:],
            "the end is missing, (1, 1): at the lowest score all are refused, with >=": wanted[:-1],
            "start and end are missing, (0, 0) and (1, 1)": wanted[1:-1],
            "those are counts; shares of each group": wanted * torch.tensor([n, m]),
            "each rate is a share of its own group, not of all": wanted
            * torch.tensor([n, m])
            / (n + m),
            "it alarms below the threshold; high scores are suspicious": _roc(
                *task, [math.inf, *cuts], lambda s, t: s < t
            ).flip(0),
        }
        _name(got, mistakes)
        if len(got) > len(wanted):
            raise Mistake(
                f"{len(got)} points for {len(cuts)} different scores: equal scores cross the "
                "threshold together. One point for each different score, and the start: unique()"
            )
        if len(got) < len(wanted):
            raise Mistake("thresholds are missing: every different score of BOTH groups is one")
        raise Mistake(f"expected {wanted.tolist()}, got {got.tolist()}")


@exercise("The chance that an attacked image looks more suspicious than an honest one.")
def auc(answer):
    """Check auc(clean [N], attacked [M]) -> share of pairs in order, ties one half."""
    for seed, n, m in ((4, 7, 7), (5, 6, 11)):
        scores = torch.randint(0, 5, (n + m,), generator=generator(seed)).float()
        clean, attacked = scores[:n], scores[n:] + 1
        got = _number(ask(answer, clean, attacked, unchanged=[clean, attacked]), "the area")
        pairs = [(c, a) for c in clean.tolist() for a in attacked.tolist()]
        above = sum(a > c for c, a in pairs) / len(pairs)
        tied = sum(a == c for c, a in pairs) / len(pairs)
        wanted = above + tied / 2
        if abs(got - wanted) < 1e-5:
            continue
        found = torch.tensor(got)
        mistakes = {
            "ties count for nothing: equal scores are a coin flip, one half": above,
            "ties count in full: equal scores are a coin flip, one half": above + tied,
            "turned around: the attacked image is to have the higher score": 1 - wanted,
            "that is a number of pairs; divide by N * M": wanted * len(pairs),
        }
        if n == m:
            order = (attacked > clean).float() + (attacked == clean).float() / 2
            mistakes["only N pairs: compare every clean with every attacked one"] = order.mean()
        _name(found, mistakes)
        raise Mistake(f"expected {wanted:.4f}, got {got:.4f}")


@exercise("Chosen on clean images alone: you need not know the attack.")
def choose_threshold(answer):
    """Check choose_threshold(clean_scores [N], rate) -> lowest score with a share <= rate above."""
    for n, rate in ((40, 0.05), (10, 0.25), (30, 0.1), (20, 0.0), (41, 0.2)):
        scores = torch.randn(n, generator=generator(n)).exp()
        if n == 41:
            scores = (2 * scores).round()  # with ties
        got = _number(ask(answer, scores, rate, unchanged=[scores]), "the threshold")
        t = min(t for t in scores.tolist() if sum(s > t for s in scores.tolist()) <= rate * n)
        allowed, over = (scores > t).sum().item(), (scores > got + 1e-6).sum().item()
        if over == allowed:
            continue
        said = f"{over} of {n} clean images lie above it with rate {rate}"
        spread = [scores.mean() + c * scores.std() for c in (1, 1.645, 2, 3)]
        if min(abs(got - float(s)) for s in spread) < 1e-4:
            raise Mistake(f"{said}: mean and spread assume a bell curve; count the scores instead")
        if over >= n // 2:
            raise Mistake(
                f"{said}: the other side of the quantile; look from the highest score down"
            )
        if over > allowed:
            raise Mistake(f"{said}, which is too many; does a quantile interpolate between scores?")
        if over == 0:
            raise Mistake(f"{said}: that is the maximum; {allowed} may lie above")
        raise Mistake(f"{said}: {allowed} may; the lowest such score is {t:.4f}, not {got:.4f}")


@exercise("Three fates, and they add up to one.")
def outcomes(answer):
    """Check outcomes(predicted [N], y [N], refused bool [N]) -> (right, refused, fooled)."""
    y = torch.arange(10) % 4
    predicted = torch.tensor([0, 1, 2, 3, 0, 1, 2, 0, 3, 3])
    no = torch.tensor([0, 0, 0, 1, 0, 1, 0, 0, 0, 1]).bool()
    got = ask(answer, predicted, y, no, unchanged=[predicted, y, no])
    if not isinstance(got, tuple | list) or len(got) != 3:
        raise Mistake("return three numbers: right, refused, fooled")
    got = torch.tensor([_number(v, "each share") for v in got])
    match = predicted == y
    share = lambda mask: mask.float().mean()  # noqa: E731
    right, stopped, fooled = share(match & ~no), share(no), share(~match & ~no)
    if close(got, torch.stack([right, stopped, fooled])):
        return
    for value, message in (
        (got.sum() / 10, "those are counts; divide by the number of images"),
        (got[[0, 2]].sum(), "right and fooled are shares of all images, not of the accepted ones"),
    ):
        if abs(value - 1) < 1e-5 and (got > 1).any() == message.startswith("those"):
            raise Mistake(message)
    for i, value, message in (
        (0, share(match), "a refused image is not right: nobody got an answer"),
        (2, share(~match), "a refused image fools nobody"),
        (1, share(no & ~match), "refused counts every refused image, those read right as well"),
        (1, share(~no), "refused is true where an image is refused, not where it is accepted"),
        (0, fooled, "right and fooled are swapped"),
    ):
        if abs(got[i] - value) < 1e-5:
            raise Mistake(message)
    raise Mistake(f"expected {[round(float(v), 2) for v in (right, stopped, fooled)]}")


@exercise("Two wishes in one line: be read wrong, and do not stand out.")
def joint_loss(answer):
    """Check joint_loss(z [N, K], y [N], score [N], threshold, weight) -> [N], to climb."""
    random, n = generator(8), 6
    z, y = torch.randn(n, 4, generator=random), torch.arange(n) % 4
    score, threshold, weight = torch.tensor([-2.0, 3.0, 0.4, 5.0, 0.9, -0.5]), 0.7, 2.5
    task = (z, y, score)
    got = ask(answer, *task, threshold, weight, unchanged=task)
    ce, over = -z.log_softmax(1)[torch.arange(n), y], score - threshold
    alarm = over.clamp(min=0)
    mistakes = {
        "wrong sign of the alarm: this climbs towards being detected; subtract it": (
            ce + weight * alarm
        ),
        "wrong sign: the attacker climbs, so the cross-entropy adds": -ce - weight * alarm,
        "that is a loss to descend; the attacker of this lab climbs": weight * alarm - ce,
        "below the threshold there is nothing to gain: relu is missing": ce - weight * over,
        "the threshold is missing: only what lies above it is penalized": (
            ce - weight * score.clamp(min=0)
        ),
        "turned around: score - threshold is what sets off the alarm": (
            ce - weight * (-over).clamp(min=0)
        ),
        "the detector is missing": ce,
        "the weight is missing": ce - alarm,
        "the weight belongs to the alarm, not to the cross-entropy": weight * ce - alarm,
        "an alarm of 0 or 1 has no gradient; take how far the score is above": (
            ce - weight * (over > 0)
        ),
    }
    _rows(got, n, ce - weight * alarm, mistakes, "cross-entropy - weight * relu(score - threshold)")
    for i in (0, 2):
        leaf = task[i].clone().requires_grad_()
        a, b = (leaf, score) if i == 0 else (z, leaf)
        right = F.cross_entropy(a, y, reduction="none") - weight * F.relu(b - threshold)
        _slope(ask(answer, a, y, b, threshold, weight), leaf, right)


def _walk(model, a, x, y, eps, threshold, weight, size, steps, **flags):
    """Return the iterates' end in closed form, score(x) = x . a; each flag switches a mistake on."""
    z, start = x, None
    for _ in range(steps):
        score = z.flatten(1) @ a
        gradient = linear_gradient(model, z, y)
        if not flags.get("unaware"):
            alarm = (score > threshold).float() * flags.get("sign", 1)
            gradient = gradient - weight * alarm.view(-1, 1, 1, 1) * a.view_as(x[:1])
        start = gradient if start is None else start
        gradient = start if flags.get("stale") else gradient
        moved = z + size * (gradient if flags.get("raw") else gradient.sign())
        if not flags.get("free"):
            moved = torch.clamp(moved, x - eps, x + eps)
        moved = moved if flags.get("unclamped") else moved.clamp(0, 1)
        with torch.no_grad():
            wrong = model(z).argmax(1) != y
        won = wrong if flags.get("careless") else wrong & (score <= threshold)
        won = score <= threshold if flags.get("modest") else won
        won = won & (not flags.get("restless"))
        z = torch.where(won.view(-1, 1, 1, 1), z, moved)
    return z


@exercise("You know the detector, so it is one more thing to fool.")
def evade(answer):
    """Check evade(model, score, x, y, eps, threshold, weight, step_size, steps) -> images."""
    right = []
    for seed in (1, 2):
        model, x, _ = linear_victim(seed)
        y, a = model(x).argmax(1), torch.randn(6, generator=generator(seed))
        x[:, :, 0, 0] = 0.02
        threshold, numbers = (x.flatten(1) @ a).median().item(), (3.0, 0.05, 12)
        task = (x, y, 0.3, threshold, *numbers)
        score = lambda x: x.flatten(1) @ a  # noqa: E731, B023
        got = check_left_alone(
            lambda: ask(answer, model, score, *task, unchanged=[x, y]),  # noqa: B023
            model,
        )
        right.append((tensor(got, x.shape), model, a, task))
    if all(close(got, _walk(model, a, *task), 1e-4) for got, model, a, task in right):
        return
    for flags, message in (
        ({"unaware": True}, "that is plain PGD: the detector's score is not in the loss"),
        ({"sign": -1}, "wrong sign of the alarm: it walks towards being detected"),
        ({"careless": True}, "an image stops once it is read wrong; it must be accepted, too"),
        ({"modest": True}, "an image stops as soon as it is accepted; it must be read wrong, too"),
        ({"restless": True}, "an image that has won walks on, and may lose again: let it stay"),
        ({"stale": True}, "the gradient of the first step is reused; compute it at every iterate"),
        ({"raw": True}, "the sign of the gradient is missing"),
        ({"free": True}, "it leaves the ball: clamp to [x - eps, x + eps] after every step"),
        ({"unclamped": True}, "some pixels leave [0, 1]: clamp after every step"),
    ):
        if all(close(got, _walk(model, a, *t, **flags), 1e-4) for got, model, a, t in right):
            raise Mistake(message)
    if all(close(got, t[0]) for got, _, _, t in right):
        raise Mistake("nothing moved")
    if any((got - t[0]).abs().max() > t[2] + 1e-5 for got, _, _, t in right):
        raise Mistake("it leaves the ball: clamp around the clean x, not around the iterate")
    raise Mistake("the iterates differ from sign steps on joint_loss, where only winners stay")
