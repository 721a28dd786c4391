"""Checks of lab 04: the input gradient, FGSM, its targeted sibling, the sweep, plain ascent."""

import torch
import torch.nn.functional as F

from .core import (
    Mistake,
    ask,
    check_left_alone,
    close,
    dropout_victim,
    exercise,
    linear_gradient,
    linear_victim,
    tensor,
)


@exercise("You have the one ingredient of every white-box attack.")
def input_gradient(answer):
    """Check input_gradient(model, x, y) -> gradient [N, ...] of the summed loss, eval mode."""
    model, x, y = linear_victim(1)
    got = check_left_alone(lambda: ask(answer, model, x, y, unchanged=[x, y]), model)
    got = tensor(got, x.shape, "the gradient")
    if x.requires_grad:
        raise Mistake("it switches on requires_grad of the caller's x; work on x.clone()")
    wanted = linear_gradient(model, x, y)
    if close(got, wanted / len(x)):
        raise Mistake(
            "the loss is averaged, so each gradient is divided by the batch size; use "
            'reduction="sum"'
        )
    if close(got, -wanted):
        raise Mistake("wrong sign: this is the gradient that lowers the loss")
    if close(got, wanted.sign()):
        raise Mistake("that is already the sign; return the gradient itself")
    if not close(got, wanted, 1e-4):
        raise Mistake("the gradient differs from the closed form of a linear model")
    if not close(tensor(ask(answer, model, x, y), x.shape), got):
        raise Mistake("the second call gives another result: a gradient accumulates between calls")
    _eval_mode(answer)


def _eval_mode(answer, *more):
    """Raise a Mistake if a model in train mode is attacked with its dropout on."""
    model, x, y = dropout_victim(2)
    first = check_left_alone(lambda: ask(answer, model, x, y, *more), model)
    results = [ask(answer, model, x, y, *more) for _ in range(5)]
    if not all(torch.equal(first, r) for r in results):
        raise Mistake(
            "it attacks in train mode: dropout changes the model at every call. Call model.eval() "
            "first, and give the model its mode back at the end"
        )


def _fgsm_mistakes(got, x, gradient, eps, climb):
    """Raise the Mistake that explains `got`, which is not clamp(x + climb * eps * sign)."""
    step = eps * gradient.sign()
    if close(got, x):
        raise Mistake("nothing moved")
    if close(got, x + climb * step):
        raise Mistake("some pixels leave [0, 1]: the last step is missing, .clamp(0, 1)")
    if close(got, (x - climb * step).clamp(0, 1)) or close(got, x - climb * step):
        raise Mistake(
            "wrong sign: it walks down the loss of y; add the step"
            if climb > 0
            else "wrong sign: it walks away from the target; its loss must shrink, so subtract"
        )
    if close(got, (x + climb * eps * gradient).clamp(0, 1)):
        raise Mistake("the sign is missing: every pixel moves by eps, however small its gradient")
    length = gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    if close(got, (x + climb * eps * gradient / length).clamp(0, 1)):
        raise Mistake("wrong norm: that is a step of l2 length eps; FGSM uses the sign, for linf")
    if close(got, (x + climb * eps * 0.3081 * gradient.sign()).clamp(0, 1)) or close(
        got, (x + climb * eps / 0.3081 * gradient.sign()).clamp(0, 1)
    ):
        raise Mistake("normalized epsilon: eps is in pixels of [0, 1]; do not scale it by a std")
    if close(got, (x + climb * eps / 255 * gradient.sign()).clamp(0, 1)):
        raise Mistake("eps is in pixels of [0, 1] already; do not divide by 255")
    if close(got, (x + climb * step).clamp(-1, 1)):
        raise Mistake("it clamps to [-1, 1]; pixels of this course are in [0, 1]")
    if close(got, climb * step):
        raise Mistake("that is the perturbation alone; add x")
    linf = (got - x).abs().max().item()
    if linf > eps + 1e-5:
        raise Mistake(f"it moves a pixel by {linf:.3f} with eps {eps}: it leaves the ball")
    raise Mistake("expected x plus or minus eps at every pixel, by the sign of the gradient")


@exercise("One gradient, one sign, one clamp. That is the whole attack.")
def fgsm(answer):
    """Check fgsm(model, x, y, eps) -> clamp(x + eps * sign(gradient), 0, 1)."""
    model, x, y = linear_victim(3)
    x = x.clone()
    x[:, :, 0, 0] = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0])[:, None]  # pixels on the box's faces
    eps = 0.3
    got = check_left_alone(lambda: ask(answer, model, x, y, eps, unchanged=[x, y]), model)
    got = tensor(got, x.shape)
    gradient = linear_gradient(model, x, y)
    if not close(got, (x + eps * gradient.sign()).clamp(0, 1)):
        _fgsm_mistakes(got, x, gradient, eps, +1)
    if not close(tensor(ask(answer, model, x, y, 0.0), x.shape), x):
        raise Mistake("with eps 0 nothing may move")
    _eval_mode(answer, 0.1)


@exercise("Down the loss of where you want to go, instead of up the loss of where you are.")
def fgsm_targeted(answer):
    """Check fgsm_targeted(model, x, target, eps) -> clamp(x - eps * sign(gradient of target))."""
    model, x, y = linear_victim(4)
    target, eps = (y + 1) % 4, 0.3
    got = check_left_alone(lambda: ask(answer, model, x, target, eps, unchanged=[x, target]), model)
    got = tensor(got, x.shape)
    gradient = linear_gradient(model, x, target)
    if not close(got, (x - eps * gradient.sign()).clamp(0, 1)):
        _fgsm_mistakes(got, x, gradient, eps, -1)


@exercise("A curve instead of a number: nobody can pick the epsilon that flatters.")
def sweep(answer):
    """Check sweep(attack, model, x, y, epsilons) -> list of accuracies, one for each epsilon."""
    model, x, _ = linear_victim(5)
    model.eval()
    with torch.no_grad():
        y = model(x).argmax(1)

    seen = []

    def attack(model, x, y, eps):
        seen.append((x.clone(), eps))
        return (x + eps * linear_gradient(model, x, y).sign()).clamp(0, 1)

    epsilons = [0.0, 0.1, 0.2, 0.4]
    got = check_left_alone(lambda: ask(answer, attack, model, x, y, epsilons, unchanged=[x]), model)
    if got is None:
        raise Mistake("it returns None; end the function with a return")
    if len(got) != len(epsilons):
        raise Mistake(f"{len(got)} numbers for {len(epsilons)} epsilons: one accuracy for each")
    if any(not torch.equal(start, x) for start, _ in seen):
        raise Mistake("it attacks what the last epsilon left; start from the clean x every time")
    got = [float(v) for v in got]
    with torch.no_grad():
        wanted = [
            (model(attack(model, x, y, e)).argmax(1) == y).float().mean().item() for e in epsilons
        ]
    if all(abs(a - b) < 1e-5 for a, b in zip(got, wanted, strict=True)):
        return
    if all(abs(a - (1 - b)) < 1e-5 for a, b in zip(got, wanted, strict=True)):
        raise Mistake("these are error rates; return accuracies")
    if abs(got[-1] - 1) < 1e-5 and abs(got[0] - 1) < 1e-5:
        raise Mistake("the accuracy never falls: is it measured on the clean x, not on x_adv?")
    raise Mistake(f"expected {wanted}, got {got}")


@exercise("The sibling without the sign: as long as the gradient, wherever that leads.")
def gradient_ascent(answer):
    """Check gradient_ascent(model, x, y, step_size, steps) -> the last iterate, clamped each step."""
    model, x, y = linear_victim(6)
    size, steps = 0.2, 3
    got = check_left_alone(lambda: ask(answer, model, x, y, size, steps, unchanged=[x, y]), model)
    got = tensor(got, x.shape)

    def walk(gradient_at, clamp=True, sign=1):
        z = x.clone()
        for _ in range(steps):
            z = z + sign * size * gradient_at(z)
            z = z.clamp(0, 1) if clamp else z
        return z

    fresh = lambda z: linear_gradient(model, z, y)  # noqa: E731
    if close(got, walk(fresh), 1e-4):
        return
    if close(got, x):
        raise Mistake("nothing moved")
    if close(got, walk(lambda z: linear_gradient(model, x, y)), 1e-4):
        raise Mistake("the gradient of the first step is reused; compute it anew at every iterate")
    if close(got, (x + size * fresh(x)).clamp(0, 1), 1e-4):
        raise Mistake(
            "only one step is taken: does every step start from x instead of the iterate?"
        )
    if close(got, walk(fresh, sign=-1), 1e-4):
        raise Mistake("wrong sign: it descends; add the gradient to climb the loss")
    if close(got, walk(lambda z: fresh(z).sign()), 1e-4):
        raise Mistake("that is the signed step of BIM (lecture 05); here the gradient itself")
    if close(got, walk(lambda z: fresh(z) / len(x)), 1e-4):
        raise Mistake('the loss is averaged over the batch; use reduction="sum"')
    if got.min() < 0 or got.max() > 1 or close(got, walk(fresh, clamp=False).clamp(0, 1), 1e-4):
        raise Mistake("pixels leave [0, 1] on the way; clamp after every step")
    raise Mistake("the iterates differ from x <- clamp(x + step_size * gradient)")


@exercise("First order or not: you can tell where the straight line stops being true.")
def predicted_rise(answer):
    """Check predicted_rise(gradient, eps) -> eps * l1 norm of each gradient [N]."""
    model, x, y = linear_victim(7)
    gradient = linear_gradient(model, x, y)
    got = tensor(ask(answer, gradient, 0.1, unchanged=[gradient]), (len(x),))
    if close(got, 0.1 * gradient.flatten(1).abs().sum(1)):
        small = 1e-4  # an independent look: the real loss rises by that much for a small step
        base = F.cross_entropy(model(x), y, reduction="none")
        moved = F.cross_entropy(model(x + small * gradient.sign()), y, reduction="none")
        assert close((moved - base).detach() / small, got / 0.1, 0.05), "reference is wrong"
        return
    if close(got, 0.1 * gradient.flatten(1).norm(dim=1)):
        raise Mistake(
            "wrong norm: the sign step gains eps times the l1 norm of the gradient, not l2"
        )
    if close(got, 0.1 * gradient.flatten(1).sum(1)):
        raise Mistake("take absolute values: the sign turns every term positive")
    raise Mistake("the rise is the gradient times the step: sum over pixels of eps * |gradient|")
