"""Checks of lab 13: the attack inside the training, four losses, noise, a penalty, the worst case.

Losses are compared with closed forms, in value and in the gradient that reaches the weights.
"""

import torch
from torch import nn

from .. import attacks
from .core import (
    Mistake,
    ask,
    check_left_alone,
    close,
    dropout_victim,
    exercise,
    generator,
    linear_gradient,
    linear_victim,
    tensor,
)


def _first(*pairs):
    """Raise the Mistake of the first (wrong, message) that is wrong."""
    for wrong, message in pairs:
        if wrong:
            raise Mistake(message)


ONLY_X = "ask only for the gradient of the images: torch.autograd.grad(loss, x_adv)"


def _attacked(answer, model, x, y, *args):
    """Return the answer's images; Mistake unless the model is as it was, in the midst of training."""
    weights, training, modes = list(model.parameters()), model.training, []
    for p in weights:
        p.grad = torch.full_like(p, 0.5)  # as if the optimizer still had a use for them
    with model.register_forward_pre_hook(lambda m, _: modes.append(m.training)):
        got = ask(answer, model, x, y, *args, unchanged=[x, y])
    cleared = any(p.grad is None or not p.grad.any() for p in weights)
    _first(
        (cleared, f"it clears the weights' gradients, which are the optimizer's; {ONLY_X}"),
        (
            not cleared and any((p.grad != 0.5).any() for p in weights),
            f"loss.backward() adds to the weights' gradients; {ONLY_X}",
        ),
        (not all(p.requires_grad for p in weights), "it switches off requires_grad of the weights"),
        (
            model.training != training,
            "it leaves the model in another mode; the training goes on in the one it had before",
        ),
        (any(modes), "it attacks in train mode; call model.eval() first, and restore the mode"),
    )
    return tensor(got, x.shape)


@exercise("An attacker who can live inside a training loop and leaves no trace.")
def adversarial_batch(answer):
    """Check adversarial_batch(model, x, y, eps, step_size, steps, generator) -> PGD's images."""
    eps = 0.3
    model, x, y = linear_victim(21, classes=2)  # so that the worst point is one known corner
    x[:, :, 0, 0] = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0])[:, None]
    signs = linear_gradient(model, x, y).sign()
    for mode in (False, True):
        got = _attacked(answer, model.train(mode), x, y, eps, 0.11, 8, generator(1))
    _first(
        (close(got, x), "nothing moved"),
        (got.min() < 0 or got.max() > 1, "some pixels leave [0, 1]: clamp after every step"),
        ((got - x).abs().max() > eps + 1e-5, "it leaves the ball; clip to x - eps and x + eps"),
        (
            close(got, (x - eps * signs).clamp(0, 1)),
            "wrong sign: it walks down the loss of y; add the step",
        ),
        (
            not close(got, (x + eps * signs).clamp(0, 1)),
            "8 steps of .11 cross a ball of .3, but these do not reach its corner: take all the "
            "steps, each from where the last one ended",
        ),
    )
    dropout, *pair = dropout_victim(22)
    _attacked(answer, dropout, *pair, eps, 0.11, 3, generator(1))
    begun = [_attacked(answer, model, x, y, eps, 1e-3, 1, generator(i)) for i in (1, 1, 2)]
    _first(
        ((begun[0] - x).abs().max() < 2e-3, "it starts at x; start at a random point of the ball"),
        (
            not torch.equal(*begun[:2]),
            "the same seed gives another result; draw from the generator",
        ),
        (torch.equal(*begun[1:]), "every generator gives the same start: never seed one yourself"),
    )
    model, x, y = _curved()
    helper = attacks.pgd(model, x, y, eps=eps, step_size=0.06, steps=10, generator=generator(3))
    got = _attacked(answer, model, x, y, eps, 0.06, 10, generator(3))
    loss, wanted = (_cross_entropies(model, z, y).mean() for z in (got, helper))
    if loss < 0.93 * wanted:
        raise Mistake(
            f"on a curved model it reaches a loss of {loss:.2f}, PGD {wanted:.2f}; compute the "
            "gradient anew at every iterate"
        )


def _curved():
    """Return a small tanh network whose slopes turn within the ball, 80 images, their labels."""
    random = generator(23)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_((3 if p.shape[-1] == 6 else 1) * torch.randn(p.shape, generator=random))
        x = torch.rand(80, 1, 2, 3, generator=random)
        return model, x, model(x).argmax(1)


def _cross_entropies(model, x, y):
    """Return the cross-entropy [N] of each image, from its definition."""
    z = model(x)
    return z.exp().sum(1).log() - z[torch.arange(len(y)), y]


def _scalar(value, model):
    """Return a loss, detached, and its gradient in the weights as one vector, or say what lacks."""
    if value is None:
        raise Mistake("it returns None; end the function with a return")
    if isinstance(value, float):
        raise Mistake("that is a float, which has no gradient; return the tensor, without .item()")
    if not isinstance(value, torch.Tensor):
        raise Mistake(f"the result is a {type(value).__name__}; return a torch tensor")
    if value.ndim:
        raise Mistake(f"the result has shape {tuple(value.shape)}; one number for the whole batch")
    weights, grads = list(model.parameters()), None
    if torch.isnan(value):
        raise Mistake("NaN: somewhere is the log of zero or of a negative number; log_softmax(1)")
    if value.requires_grad:
        grads = torch.autograd.grad(value, weights, allow_unused=True, retain_graph=True)
    if grads is None or all(g is None for g in grads):
        raise Mistake(
            "no gradient reaches the weights: .detach(), .data or torch.no_grad() cuts the graph, "
            "and the training could not follow it"
        )
    pairs = zip(weights, grads, strict=True)
    return value.detach(), torch.cat([(p * 0 if g is None else g).flatten() for p, g in pairs])


def _loss(answer, model, *args, unchanged=()):
    """Return `_scalar` of the answer; Mistake if the model is not trained as a trainer expects."""
    model.train()
    modes = []
    with model.register_forward_pre_hook(lambda m, _: modes.append(m.training)):
        value = ask(answer, *args, unchanged=unchanged)
    if any(p.grad is not None for p in model.parameters()):
        raise Mistake("it calls backward(); only return the loss, training.fit does the rest")
    if not model.training or not all(modes):
        raise Mistake("a network learns in train mode; leave eval() to the attack")
    return _scalar(value, model)


UNDER_NO_GRAD = "the attack is called under torch.no_grad(), where it finds no gradient"
CALLED = (
    UNDER_NO_GRAD,
    "attack with the labels y that are passed",
    "pass the generator on to the attack, so that a training can be repeated",
)


def _name(got, mistakes, model):
    """Raise the Mistake of {message: loss} that explains `got`, a loss and its gradient."""
    for message, value in mistakes.items():
        value, gradient = _scalar(value, model)
        if close(got[0], value, 1e-4) and close(got[1], gradient, 1e-3):
            raise Mistake(message)


def _same(got, wanted, model):
    value, gradient = _scalar(wanted, model)
    if close(got[0], value, 1e-4) and not close(got[1], gradient, 1e-3):
        raise Mistake(
            "the value is right, its gradient is not: a part of the graph is cut (.detach(), "
            "torch.no_grad()), so half of the loss teaches nothing"
        )
    return close(got[0], value, 1e-4)


@exercise("Attack, then learn from it: the whole of adversarial training in two lines.")
def adversarial_loss(answer):
    """Check adversarial_loss(attack, model, x, y, eps, generator, done) -> mean loss, attacked."""
    model, x, y = linear_victim(24)
    eps, calls, source = 0.3, [], generator(1)

    def attack(model, x, y, eps, generator=None):
        calls.append((torch.is_grad_enabled(), torch.equal(y, labels), generator is source))
        signs = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0]).view(1, 2, 3)
        return x + eps * signs

    labels = y.clone()

    def at(radius, **how):
        loss = _cross_entropies(model, attack(model, x, y, radius), how.get("y", y))
        return loss.sum() if how.get("summed") else loss.mean()

    for done in (0.15, 0.9, 0.3):
        calls.clear()
        args = (attack, model, x, y, eps, source, done)
        got = _loss(answer, model, *args, unchanged=[x, y])
        if not calls:
            raise Mistake("the attack is never called: attack(model, x, y, radius, generator)")
        _first(*zip((not ok for ok in calls[0]), CALLED, strict=True))
        radius = eps * min(1, done / 0.3)
        if _same(got, at(radius), model):
            continue
        own = model(attack(model, x, y, radius)).argmax(1)
        mistakes = {
            "that is the loss of the clean images; give the attacked ones to the model": at(0),
            "eps does not grow: at `done` below 0.3 the radius is eps * done / 0.3": at(eps),
            "eps goes on growing after the warm-up: min(1, done / 0.3)": at(eps * done / 0.3),
            "at `done` 0.3 the radius is to be eps itself: divide by 0.3": at(eps * done),
            "the losses are summed; take their mean": at(radius, summed=True),
            "the labels are the model's own answers; learn from y": at(radius, y=own),
            "wrong sign: the training minimizes what you return": -at(radius),
            "that is a mixture with the clean loss; the next exercise": (at(radius) + at(0)) / 2,
        }
        _name(got, mistakes, model)
        raise Mistake(f"expected {at(radius):.4f} at `done` {done}, got {got[0]:.4f}")


def _pair(seed):
    """Return a linear model, images [5, 1, 2, 3], changed ones, and labels."""
    model, x, y = linear_victim(seed)
    noise = torch.rand(x.shape, generator=generator(seed + 1)) - 0.5
    return model, x, (x + noise).clamp(0, 1), y


@exercise("Half of the lesson is what the picture is, half is what it might become.")
def mixed_loss(answer):
    """Check mixed_loss(model, x, x_adv, y, share) -> share * attacked + (1 - share) * clean."""
    model, x, x_adv, y = _pair(25)
    clean, attacked = (_cross_entropies(model, z, y).mean() for z in (x, x_adv))
    for share in (0.8, 0.3, 1.0, 0.0):
        got = _loss(answer, model, model, x, x_adv, y, share, unchanged=[x, x_adv, y])
        if _same(got, share * attacked + (1 - share) * clean, model):
            continue
        blend = _cross_entropies(model, share * x_adv + (1 - share) * x, y).mean()
        mistakes = {
            "swapped: share weighs the attacked images": share * clean + (1 - share) * attacked,
            "the share is ignored; both count the same": (clean + attacked) / 2,
            "the weights do not add up to 1: the clean loss counts 1 - share": clean
            + share * attacked,
            "neither loss is weighted; share and 1 - share": clean + attacked,
            "it mixes the images; mix the losses": blend,
            "the losses are summed over the batch; take means": 5
            * (share * attacked + (1 - share) * clean),
            "the clean images are missing": share * attacked,
        }
        _name(got, mistakes, model)
        raise Mistake(f"expected {share * attacked + (1 - share) * clean:.4f}, got {got[0]:.4f}")


@exercise("Be right here, and say the same next door: TRADES by hand.")
def trades_loss(answer):
    """Check trades_loss(model, x, x_adv, y, beta) -> cross-entropy + beta * KL(clean || adv)."""
    model, x, x_adv, y = _pair(26)
    beta, n, k = 3.0, 5, 4

    def log_softmax(z, dim=1):
        return z - z.exp().sum(dim, keepdim=True).log()

    def kl(z, z_adv, dim=1):
        p, q = log_softmax(z, dim), log_softmax(z_adv, dim)
        return (p.exp() * (p - q)).sum() / n

    z, z_adv, clean = model(x), model(x_adv), _cross_entropies(model, x, y).mean()
    attacked = _cross_entropies(model, x_adv, y).mean()
    right, p, q = kl(z, z_adv), z.softmax(1), z_adv.softmax(1)
    got = _loss(answer, model, model, x, x_adv, y, beta, unchanged=[x, x_adv, y])
    wanted = clean + beta * right
    if close(got[0], wanted, 1e-4):
        cut = {
            "the gradient of the clean answer is stopped; both answers are to move": clean
            + beta * kl(z.detach(), z_adv),
            "the gradient of the attacked answer is stopped; both answers are to move": clean
            + beta * kl(z, z_adv.detach()),
        }
        _name(got, cut, model)
        _same(got, wanted, model)
        with torch.no_grad():
            model[1].weight.mul_(300)
        if not ask(answer, model, x, x_adv, y, beta).isfinite():
            raise Mistake("not finite where the network is sure; take log_softmax(1), not log()")
        return
    mistakes = {
        "the KL is the wrong way round: the clean answer is the reference, KL(p(x) || p(x_adv)); "
        "F.kl_div takes it as its second argument": clean + beta * kl(z_adv, z),
        'the KL is averaged over the classes, too; reduction="batchmean"': clean + beta * right / k,
        'the KL is summed over the images; reduction="batchmean"': clean + beta * right * n,
        "F.kl_div takes the log of its first argument for granted; log_softmax(1)": clean
        + beta * (p * (p.log() - q)).sum() / n,
        "the softmax of the attacked logits is missing; log_softmax(1)": clean
        + beta * (p * (p.log() - z_adv)).sum() / n,
        "that softmax runs over the images; the classes are dim 1": clean + beta * kl(z, z_adv, 0),
        "the first term belongs to the clean images": attacked + beta * right,
        "beta weighs the KL, not the cross-entropy": beta * clean + right,
        "beta is missing": clean + right,
        "the KL is to be small: add it": clean - beta * right,
        "the cross-entropy on the clean images is missing": beta * right,
        "that is no KL but the cross-entropy of the attacked images": clean + beta * attacked,
    }
    _name(got, mistakes, model)
    raise Mistake(f"expected {wanted:.4f}, got {got[0]:.4f}")


@exercise("Noise for some and not for others, and every time another.")
def noisy_batch(answer):
    """Check noisy_batch(x, std, probability, generator) -> x with Gaussian noise, image by image."""
    x, std, chance = torch.full((2000, 1, 4, 4), 0.5), 0.1, 0.3
    x[1000:] = 0.0
    random = generator(27)
    got = tensor(ask(answer, x, std, chance, random, unchanged=[x]), x.shape)
    second = ask(answer, x, std, chance, random)
    again = ask(answer, x, std, chance, generator(27))
    delta = (got - x)[:1000].flatten(1)
    hit = (delta != 0).any(1)
    noise, share = delta[hit], hit.float().mean().item()
    pixels = (delta != 0).float().mean().item()
    bell = len(noise) > 1 and (noise.abs() > 2 * std).float().mean() > 0.03  # 4.6 % of a Gaussian
    _first(
        (not hit.any(), "no image gets noise"),
        (torch.equal(got, second), "a second call repeats the first; never seed the generator"),
        (not torch.equal(got, again), "the same seed gives another batch; draw from the generator"),
        (got.min() < 0 or got.max() > 1, "some pixels leave [0, 1]: the clamp is missing"),
        (abs(pixels - chance) < 0.05 and share > 0.9, "chance picks single pixels; pick images"),
        (share == 1, "every image gets noise: one coin for the batch, or none; one for each image"),
        (abs(share - 1 + chance) < 0.05, "turned around: noise where the draw is < probability"),
        (abs(share - chance) > 0.06, f"{share:.0%} of the images get noise, not {chance:.0%}"),
        (len(noise) > 1 and close(noise[0], noise[1]), "all get the same noise; draw for each"),
        (noise.std(dim=1).min() < 1e-5, "all pixels of an image get the same number"),
        (noise.min() >= 0, "the noise only brightens; torch.randn draws both signs"),
        (abs(noise.std() - std**2) < 0.002, "that is the variance std ** 2; multiply by std"),
        (abs(noise.std() - std) > 0.01, f"the noise has a standard deviation of {noise.std():.3f}"),
        (not bell, "that noise is uniform; torch.randn is Gaussian"),
    )
    if not close(ask(answer, x, std, 0.0, generator(1)), x):
        raise Mistake("with probability 0 nothing may change")


@exercise("Smaller weights, a flatter function: cheap, and you know what it is worth.")
def l1_l2(answer):
    """Check l1_l2(model, l1, l2) -> l1 * sum |w| + l2 * sum w^2 over all weights, no biases."""
    random = generator(28)
    model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(6, 4))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=random))
    everything = list(model.parameters())
    weights = [model[0].weight, model[3].weight]

    def penalty(l1, l2, over=weights):
        return sum(l1 * w.abs().sum() + l2 * (w * w).sum() for w in over)

    for l1, l2 in ((0.3, 0.07), (0.2, 0.0), (0.0, 0.5)):
        got = _loss(answer, model, model, l1, l2)
        if _same(got, penalty(l1, l2), model):
            continue
        mistakes = {
            "the biases are in it; take the parameters with more than one axis, p.ndim > 1": penalty(
                l1, l2, everything
            ),
            "l1 and l2 are swapped": penalty(l2, l1),
            "only one layer is penalized; add up all of them": penalty(l1, l2, weights[1:]),
            "these are means; sum over the weights": sum(
                l1 * w.abs().mean() + l2 * (w * w).mean() for w in weights
            ),
            "l2 belongs to the squares, without a factor of 1/2": penalty(l1, l2 / 2),
            "leave out the root: l2 weighs the sum of squares": sum(
                l1 * w.abs().sum() + l2 * w.norm() for w in weights
            ),
            "absolute values are missing: signs cancel": sum(
                l1 * w.sum() + l2 * (w * w).sum() for w in weights
            ),
            "wrong sign: the training minimizes what you return": -penalty(l1, l2),
        }
        _name(got, mistakes, model)
        raise Mistake(f"expected {penalty(l1, l2):.4f}, got {got[0]:.4f}")


@exercise("One number that no attack of the list can improve upon.")
def robust_accuracy(answer):
    """Check robust_accuracy(model, x, y, attacks) -> share right on clean and under every attack."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4, bias=False)).eval()
    with torch.no_grad():
        model[1].weight.copy_(torch.eye(4))  # the brightest pixel is the class
    y = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
    table = [[0, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0, 1, 1]]
    right = torch.tensor([*table, [1, 1, 1, 0, 1, 1, 1, 1]])  # clean, and under three attacks
    x, *moved = (torch.eye(4)[(y + 1 - row) % 4].view(8, 1, 2, 2) for row in right)

    calls = []

    def stub(x_adv):
        def attack(model, start, labels):
            grad = torch.is_grad_enabled()
            calls.append((grad, torch.equal(start, x), torch.equal(labels, y)))
            return x_adv.clone()

        return attack

    def call(runs):
        got = check_left_alone(lambda: ask(answer, model, x, y, runs, unchanged=[x, y]), model)
        for grad, fresh, labeled in calls:
            _first(
                (not grad, UNDER_NO_GRAD),
                (not fresh, "it attacks what the last attack left; start from the clean x"),
                (not labeled, CALLED[1]),
            )
        if got is None:
            raise Mistake("it returns None; end the function with a return")
        if not isinstance(got, float | torch.Tensor) or torch.as_tensor(got).numel() != 1:
            raise Mistake("return one number for all images and attacks together")
        return float(got)

    got, runs = call([stub(x_adv) for x_adv in moved]), right.float().mean(1)
    share = right.bool().all(0).float().mean().item()
    named = (
        (runs.mean(), "that is the average; the attacker keeps what works, image by image"),
        (runs.min(), "that is the worst single attack; choose the worst one for each image"),
        (right[1:].bool().all(0).float().mean(), "an image that is wrong when clean is not robust"),
        (right.bool().any(0).float().mean(), "right once is not enough; under every attack"),
        (runs[-1], "only the last attack counts here; combine all of them"),
        (1 - share, "that is the share that falls; return the share that survives"),
        (8 * share, "that is a count; divide by the number of images"),
    )
    _first(*((abs(got - float(value)) < 1e-5, message) for value, message in named))
    if abs(got - share) > 1e-5:
        raise Mistake(f"expected {share}, got {got}")
    if abs(call([]) - 7 / 8) > 1e-5:
        raise Mistake("without attacks it is the clean accuracy")
