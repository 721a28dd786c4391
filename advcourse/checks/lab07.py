"""Checks of lab 07: objectives, the change of variables, the cost, the search for c, the attack."""

import torch

from .core import Mistake, ask, check_left_alone, close, exercise, generator, linear_victim, tensor


def _name(got, mistakes):
    """Raise the Mistake of {message: what it computes} that explains `got`."""
    for message, value in mistakes.items():
        if close(got, value, 1e-4):
            raise Mistake(message)


def _follow(value, leaf, shape, name):
    """Return the value [N, ...] detached, and its gradient in `leaf`; Mistake if that is cut off."""
    if isinstance(value, torch.Tensor) and value.ndim == 0:
        raise Mistake(f"one number for {shape[0]} images; one for each, so leave out the last sum")
    flat = tensor(value.detach() if isinstance(value, torch.Tensor) else value, shape)
    gradient = None
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    if gradient is None:
        raise Mistake(
            f"no gradient reaches {name}: .detach(), .item() or torch.no_grad() cuts the graph, "
            "and Adam could not follow it"
        )
    return flat, gradient


def _pick(values, target):
    return values.gather(1, target[:, None])[:, 0]


@exercise("A margin of logits, clamped: it pulls with the same force however sure the network is.")
def f6(answer):
    """Check f6(z [N, K], target [N], confidence) -> max(best other - own + confidence, 0) [N]."""
    for k, confidence, shift in ((4, 0.0, -8.0), (10, 2.0, 0.0), (3, 0.5, -3.0)):
        z = 2 * torch.randn(6, k, generator=generator(k)) + shift
        target = torch.arange(6) % k
        target[:2] = z[:2].argmax(1)  # two that are won already, one of them by far
        z[0, target[0]] += 10
        leaf = z.clone().requires_grad_()
        got = ask(answer, leaf, target, confidence, unchanged=[leaf, target])
        got, _ = _follow(got, leaf, (6,), "z")
        own, pairs = _pick(z, target), list(zip(z.tolist(), target.tolist(), strict=True))
        lack = torch.tensor([max(v for i, v in enumerate(r) if i != t) for r, t in pairs]) - own
        wanted, zeroed = (lack + confidence).clamp(min=0), z.scatter(1, target[:, None], 0.0)
        if close(got, wanted):
            continue
        mistakes = {
            "the target is masked with 0, which wins wherever the logits are negative; mask it "
            "with -torch.inf": (zeroed.amax(1) - own + confidence).clamp(min=0),
            "below 0 nothing is left to gain; clamp, .clamp(min=0)": lack + confidence,
            "wrong sign: it rewards the other classes; the best other minus the target": (
                confidence - lack
            ).clamp(min=0),
        }
        if confidence:
            mistakes |= {
                "max(lead, -confidence) is the same shifted, as in the authors' program; here add "
                "the confidence and clamp at 0, so that 0 means success": lack.clamp(
                    min=-confidence
                ),
                "it never falls below the confidence: the target takes part in the maximum (mask it "
                "with -torch.inf), or the confidence comes after the clamp": lack.clamp(min=0)
                + confidence,
                "the confidence is missing": lack.clamp(min=0),
            }
        _name(got, mistakes)
        raise Mistake(f"expected {wanted.tolist()}, got {got.tolist()}")


@exercise("The same idea on probabilities; the next cell shows what that costs.")
def f4(answer):
    """Check f4(z [N, K], target [N]) -> max(0.5 - probability of the target, 0) [N]."""
    z = 2 * torch.randn(6, 4, generator=generator(11))
    target = z.argmin(1)
    target[:2] = z[:2].argmax(1)
    z[0, target[0]] += 4
    leaf = z.clone().requires_grad_()
    got, _ = _follow(ask(answer, leaf, target, unchanged=[leaf, target]), leaf, (6,), "z")
    share = _pick(z.exp(), target) / z.exp().sum(1)
    if close(got, (0.5 - share).clamp(min=0)):
        return
    over_images = _pick(z.softmax(0), target)
    mistakes = {
        "f4 is made of probabilities; take z.softmax(1) first": 0.5 - _pick(z, target),
        "beyond one half nothing is left to gain; clamp, .clamp(min=0)": 0.5 - share,
        "wrong sign: it falls while the target loses; 0.5 minus its probability": share - 0.5,
        "that softmax runs over the images; the classes are dim 1": 0.5 - over_images,
        "the goal is a probability of one half, 0.5, not of 1": 1 - share,
    }
    _name(got, mistakes)
    _name(got, {message: value.clamp(min=0) for message, value in mistakes.items()})
    raise Mistake(f"expected {(0.5 - share).clamp(min=0).tolist()}, got {got.tolist()}")


@exercise("Every real number is a pixel now, and no pixel starts where tanh is flat.")
def to_free(answer):
    """Check to_free(x) -> w with (tanh(w) + 1) / 2 within 0.0005 of x, finite at 0 and 1."""
    x = torch.rand(2, 1, 3, 4, generator=generator(12))
    x[0, 0, 0], x[1, 0, 1] = 0, 1
    w = tensor(ask(answer, x, unchanged=[x]), x.shape)
    if torch.isinf(w).any():
        raise Mistake(
            "infinite at the pixels 0 and 1, which could never leave from there; multiply "
            "2 x - 1 by 0.999 before the atanh"
        )
    if (((w.tanh() + 1) / 2 - x).abs() < 0.00055).all():
        if w.abs().max() < 4.2:
            return
        raise Mistake(
            f"w reaches {w.abs().max():.1f}, where tanh is so flat that black and white pixels "
            "hardly move; multiply by 0.999"
        )
    y = (2 * x - 1) * 0.999
    mistakes = {
        "pixels are in [0, 1], tanh is in (-1, 1): take 2 x - 1 first": torch.atanh(0.999 * x),
        "twice too large: a logit undoes the sigmoid, but here it is a tanh": 2 * torch.atanh(y),
        "the scaling is right; the atanh is missing": y,
        "that applies tanh; its inverse is needed, torch.atanh": y.tanh(),
    }
    _name(w, mistakes)
    raise Mistake("(tanh(w) + 1) / 2 does not give x back")


@exercise("A box without walls: whatever Adam does to w, the result is a picture.")
def to_pixels(answer):
    """Check to_pixels(w) -> (tanh(w) + 1) / 2, differentiable."""
    w = 4 * torch.randn(3, 1, 2, 5, generator=generator(13))
    leaf = w.clone().requires_grad_()
    got, _ = _follow(ask(answer, leaf, unchanged=[leaf]), leaf, w.shape, "w")
    mistakes = {
        "tanh is in (-1, 1); bring it to (0, 1): add 1 and halve": w.tanh(),
        "that is the sigmoid, (tanh(w / 2) + 1) / 2; to_free undoes a tanh": w.sigmoid(),
        "undoing the 0.999 as well lets large w leave [0, 1]": (w.tanh() / 0.999 + 1) / 2,
        "a clamp stops the gradient outside of [0, 1]; use tanh": w.clamp(0, 1),
        "from 0 to 2: halve the sum": w.tanh() + 1,
    }
    if not close(got, 1 / (1 + (-2 * w).exp())):
        _name(got, mistakes)
        raise Mistake("expected (tanh(w) + 1) / 2")


@exercise("Near, and read as the target, in one number: the whole idea of the attack.")
def cw_cost(answer):
    """Check cw_cost(model, w, x, target, c [N]) -> squared l2 + c * f6 [N], differentiable in w."""
    for seed, classes, size in ((14, 4, 6), (15, 3, 10)):
        model, x, y = linear_victim(seed, classes, size)
        w = torch.atanh(1.6 * x - 0.8) + 0.4 * torch.randn(x.shape, generator=generator(seed))
        c, target = torch.tensor([0.1, 0.5, 1.0, 2.0, 5.0]), (y + 1) % classes
        leaf = w.clone().requires_grad_()
        task = (model, leaf, x, target, c)
        got = check_left_alone(lambda: ask(answer, *task, unchanged=task[1:]), model)  # noqa: B023
        got, gradient = _follow(got, leaf, (len(x),), "w")
        x_adv = 1 / (1 + (-2 * w).exp())
        delta, weight = (x_adv - x).flatten(1), model[1].weight.detach()
        z = model(x_adv).detach()
        rival = z.scatter(1, target[:, None], -torch.inf).argmax(1)
        lack = (_pick(z, rival) - _pick(z, target)).clamp(min=0)
        squared, pull = delta.square().sum(1), c * lack
        if close(got, squared + pull, 1e-4):
            slope = 2 * delta + (c * (lack > 0))[:, None] * (weight[rival] - weight[target])
            if close(gradient, slope.view_as(w) * 2 * x_adv * (1 - x_adv), 1e-3):
                continue
            raise Mistake("its value is right, its gradient is not: one of the terms is detached")
        raw = w - x
        mistakes = {
            "the distance is squared: no root, whose slope has no limit at 0": squared.sqrt()
            + pull,
            "c weighs the objective f6, not the distance": c * squared + lack,
            "the distance is that of the batch; one for each image": squared.sum() + pull,
            "measure between pictures: to_pixels(w) - x, not w - x": raw.square().flatten(1).sum(1)
            + pull,
            "that is the mean over pixels; the l2 norm sums": squared / delta.shape[1] + pull,
            "c is missing": squared + lack,
        }
        _name(got, mistakes)
        raise Mistake("expected ||to_pixels(w) - x||^2 + c * f6(model(to_pixels(w)), target, 0)")


@exercise("Tenfold until it works, then halve the gap: few tries for any scale.")
def next_c(answer):
    """Check next_c(c, low, high, won), each [N] -> the next (c, low, high)."""
    inf = torch.inf
    c, low = torch.tensor([1.0, 2.0, 4.0, 3.0, 10.0]), torch.tensor([0.0, 1.0, 0.0, 2.0, 1.0])
    high, won = torch.tensor([inf, 8.0, inf, 7.0, inf]), torch.tensor([1, 1, 0, 0, 1]).bool()
    got = ask(answer, c, low, high, won, unchanged=[c, low, high, won])
    if not isinstance(got, tuple | list) or len(got) != 3:
        raise Mistake("return three tensors: c, low, high")
    wanted = torch.tensor([0.5, 1.5, 40.0, 5.0, 5.5])
    new_c, low_, high_ = (
        tensor(v, (5,), n) for v, n in zip(got, ("c", "low", "high"), strict=True)
    )
    if close(low_, torch.where(won, c, low)) and close(high_, torch.where(won, high, c)):
        raise Mistake("swapped: after a success a smaller c may do, so success lowers high")
    if not close(low_, torch.where(won, low, c)):
        raise Mistake("low is to be c where it failed, and to stay where it succeeded")
    if not close(high_, torch.where(won, c, high)):
        raise Mistake("high is to be c where it succeeded, and to stay where it failed")
    if close(new_c, wanted):
        return
    if torch.isinf(new_c).any():
        raise Mistake("the middle of low and infinity is infinite; there, ten times c instead")
    if close(new_c[2], 2 * c[2]):
        raise Mistake("while high is infinite, c grows tenfold, not twofold")
    if close(new_c[[0, 4]], 10 * c[[0, 4]]) or close(new_c[[1, 3]], torch.tensor([4.5, 4.5])):
        raise Mistake("the next c uses the old low and high; set these first")
    if close(new_c[1], torch.tensor(2.0).sqrt()):
        raise Mistake("that is the geometric mean; the plain middle is (low + high) / 2")
    raise Mistake(f"expected the next c to be {wanted.tolist()}, got {new_c.tolist()}")


def _two_classes():
    """Return a linear model, images, targets, their distances from the border, the least c."""
    model, _, _ = linear_victim(16, classes=2)
    away, target = torch.tensor([0.1, 0.15, 0.2, 0.25, 0.3, 0.2]), torch.tensor([1, 0, 1, 1, 0, 1])
    with torch.no_grad():
        a = model[1].weight[1] - model[1].weight[0]
        model[1].bias.copy_(torch.stack([a.sum() / 2, a[0] * 0]))  # the border runs through 1/2
        flat = 0.1 * torch.randn(6, 6, generator=generator(16))
        flat -= (flat @ a)[:, None] * a / a.norm() ** 2
        flat += ((1 - 2 * target) * away)[:, None] * a / a.norm()
        return model, (0.5 + flat).view(6, 1, 2, 3), target, away, 2 * away / a.norm()


@exercise("It stops where the closed form of a linear model says that it must.")
def carlini_wagner(answer):
    """Check carlini_wagner(model, x, target, c, steps, learning_rate) -> nearest success, or x."""
    model, x, target, away, least_c = _two_classes()
    # Below least_c the distance wins and there is no success; that is exact for two classes.
    c = least_c * torch.tensor([0.4, 4.0, 4.0, 4.0, 0.4, 30.0])
    lost, task = torch.tensor([1, 0, 0, 0, 1, 0]).bool(), (x, target, c)
    got = check_left_alone(lambda: ask(answer, model, *task, 80, 0.1, unchanged=task), model)
    got = tensor(got, x.shape)
    if got.min() < 0 or got.max() > 1:
        raise Mistake("pixels leave [0, 1]: return pictures, to_pixels(w), not w")
    won, l2 = model(got).argmax(1) == target, (got - x).flatten(1).norm(dim=1)
    if won[lost].any():
        raise Mistake("it succeeds where c is too small for that: every image has its own c")
    if (l2[lost] > 0).any():
        raise Mistake("where no step succeeds, return x itself: start from best = x.clone()")
    if (l2[~lost] == 0).any():
        raise Mistake(
            "it finds nothing where c is large enough: is every image kept whose logits are "
            "largest at its target, and nearer than its own best so far?"
        )
    if not won[~lost].all():
        if (l2 < 0.5 * away)[~lost].any():
            raise Mistake("the nearest of all steps is near x and no success; keep only successes")
        raise Mistake(
            "it returns images that are not read as the target: judge the image that you keep, "
            "that is to_pixels(w) after the step of Adam, not before"
        )
    if (l2 > 1.15 * away)[~lost].any():
        raise Mistake(
            f"successes {(l2 / away)[~lost].max():.2f} times as far as necessary: keep each "
            "image's smallest success of all steps, not its first or last, and start from to_free(x)"
        )


@exercise("The same recipe draws a picture from noise: only the goal and the start have changed.")
def quadratic_cost(answer):
    """Check quadratic_cost(probabilities, goal, image, x_target, weight) -> [N], differentiable."""
    random = generator(17)
    p = torch.randn(4, 5, generator=random).softmax(1)
    image, x = torch.rand(2, 4, 1, 2, 3, generator=random)
    goal, leaf = torch.eye(5)[:4], image.clone().requires_grad_()
    mixed = p + 0.1 * (leaf.flatten(1)[:, :5] - image.flatten(1)[:, :5])  # p, but made of image
    got = ask(answer, mixed, goal, leaf, x, 0.3, unchanged=[mixed, goal, leaf, x])
    got, gradient = _follow(got, leaf, (4,), "the image")
    miss, far = (goal - p).square().sum(1), (image - x).flatten(1).square().sum(1)
    if close(got, miss / 2 + 0.3 * far):
        wanted = 0.6 * (image - x).flatten(1)
        wanted[:, :5] += 0.1 * (p - goal)
        if close(gradient.flatten(1), wanted):
            return
        raise Mistake("its value is right, its gradient is not: one of the terms is detached")
    mistakes = {
        "the factor 1/2 of the first term is missing": miss + 0.3 * far,
        "the factor 1/2 belongs to the first term only": (miss + 0.3 * far) / 2,
        "both norms are squared; leave the roots out": miss.sqrt() / 2 + 0.3 * far.sqrt(),
        "the distance is squared; leave its root out": miss / 2 + 0.3 * far.sqrt(),
        "the weight belongs to the distance, not to the goal": 0.3 * miss / 2 + far,
        "norms sum over classes and pixels; these are means": miss / 10 + 0.3 * far / 6,
        "the weight is missing": miss / 2 + far,
        "the distance is that of the batch; one for each image": miss / 2 + 0.3 * far.sum(),
    }
    _name(got, mistakes)
    raise Mistake("expected 1/2 ||goal - probabilities||^2 + weight * ||image - x_target||^2")
