import torch
import torch.nn.functional as F

from . import wrong


def _gradient(model, x, y, reduction="sum", frozen=True):
    mode = model.training
    if frozen:
        model.eval()
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(F.cross_entropy(model(x), y, reduction=reduction), x)
    model.train(mode)
    return g


@wrong("input_gradient", "averaged")
def mean_loss(model, x, y):
    return _gradient(model, x, y, "mean")


@wrong("input_gradient", "lowers the loss")
def descends(model, x, y):
    return -_gradient(model, x, y)


@wrong("input_gradient", "already the sign")
def sign_already(model, x, y):
    return _gradient(model, x, y).sign()


@wrong("input_gradient", "gradients in the model's weights")
def backward(model, x, y):
    x = x.clone().requires_grad_()
    F.cross_entropy(model(x), y, reduction="sum").backward()
    return x.grad


@wrong("input_gradient", "caller's x")
def marks_the_callers_x(model, x, y):
    x.requires_grad_()
    return torch.autograd.grad(F.cross_entropy(model(x), y, reduction="sum"), x)[0]


@wrong("input_gradient", "train mode")
def gradient_in_train_mode(model, x, y):
    return _gradient(model, x, y, frozen=False)


@wrong("input_gradient", "another mode")
def gradient_leaves_eval(model, x, y):
    model.eval()
    return _gradient(model, x, y)


@wrong("input_gradient", "requires_grad of the weights")
def freezes_the_weights(model, x, y):
    for p in model.parameters():
        p.requires_grad_(False)
    return _gradient(model, x, y)


_kept = {}


@wrong("input_gradient", "accumulates between calls")
def accumulates(model, x, y):
    _kept["g"] = _gradient(model, x, y) + (_kept.get("g", 0) if _kept.get("m") is model else 0)
    _kept["m"] = model
    return _kept["g"]


@wrong("fgsm", ".clamp(0, 1)")
def no_clamp(model, x, y, eps):
    return x + eps * _gradient(model, x, y).sign()


@wrong("fgsm", "walks down the loss")
def wrong_sign(model, x, y, eps):
    return (x - eps * _gradient(model, x, y).sign()).clamp(0, 1)


@wrong("fgsm", "sign is missing")
def no_sign(model, x, y, eps):
    return (x + eps * _gradient(model, x, y)).clamp(0, 1)


@wrong("fgsm", "wrong norm")
def l2_step(model, x, y, eps):
    g = _gradient(model, x, y)
    return (x + eps * g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).clamp(0, 1)


@wrong("fgsm", "normalized epsilon")
def normalized_epsilon(model, x, y, eps):
    return (x + eps * 0.3081 * _gradient(model, x, y).sign()).clamp(0, 1)


@wrong("fgsm", "do not divide by 255")
def eps_over_255(model, x, y, eps):
    return (x + eps / 255 * _gradient(model, x, y).sign()).clamp(0, 1)


@wrong("fgsm", "clamps to [-1, 1]")
def clamps_to_minus_one(model, x, y, eps):
    return (x + eps * _gradient(model, x, y).sign()).clamp(-1, 1)


@wrong("fgsm", "perturbation alone")
def perturbation_only(model, x, y, eps):
    return eps * _gradient(model, x, y).sign()


@wrong("fgsm", "in place")
def fgsm_in_place(model, x, y, eps):
    return x.add_(eps * _gradient(model, x, y).sign()).clamp_(0, 1)


@wrong("fgsm", "gradients in the model's weights")
def fgsm_by_backward(model, x, y, eps):
    x = x.clone().requires_grad_()
    F.cross_entropy(model(x), y).backward()
    return (x + eps * x.grad.sign()).clamp(0, 1).detach()


@wrong("fgsm", "train mode")
def fgsm_in_train_mode(model, x, y, eps):
    return (x + eps * _gradient(model, x, y, frozen=False).sign()).clamp(0, 1)


@wrong("fgsm", "carries its graph")
def not_detached(model, x, y, eps):
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(F.cross_entropy(model(x), y), x)
    return (x + eps * g.sign()).clamp(0, 1)


@wrong("fgsm", "leaves the ball")
def twice_the_step(model, x, y, eps):
    return (x + 2 * eps * _gradient(model, x, y).sign()).clamp(0, 1)


@wrong("fgsm", "raised TypeError")
def crashes(model, x, y):
    return x


@wrong("fgsm_targeted", "walks away from the target")
def away_from_target(model, x, target, eps):
    return (x + eps * _gradient(model, x, target).sign()).clamp(0, 1)


@wrong("fgsm_targeted", ".clamp(0, 1)")
def targeted_without_clamp(model, x, target, eps):
    return x - eps * _gradient(model, x, target).sign()


def _accuracy(model, x, y):
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


@wrong("sweep", "start from the clean x")
def keeps_going(attack, model, x, y, epsilons):
    shares = []
    for eps in epsilons:
        x = attack(model, x, y, eps)
        shares.append(_accuracy(model, x, y))
    return shares


@wrong("sweep", "never falls")
def measures_clean(attack, model, x, y, epsilons):
    for eps in epsilons:
        attack(model, x, y, eps)
    return [_accuracy(model, x, y) for _ in epsilons]


@wrong("sweep", "error rates")
def errors(attack, model, x, y, epsilons):
    return [1 - _accuracy(model, attack(model, x, y, e), y) for e in epsilons]


@wrong("sweep", "one accuracy for each")
def only_the_last(attack, model, x, y, epsilons):
    return [_accuracy(model, attack(model, x, y, epsilons[-1]), y)]


def _ascent(model, x, y, size, steps, gradient, clamp=True, sign=1):
    z = x.clone()
    for _ in range(steps):
        z = z + sign * size * gradient(z)
        z = z.clamp(0, 1) if clamp else z
    return z


@wrong("gradient_ascent", "reused")
def stale_gradient(model, x, y, step_size, steps):
    g = _gradient(model, x, y)
    return _ascent(model, x, y, step_size, steps, lambda z: g)


@wrong("gradient_ascent", "only one step")
def always_from_x(model, x, y, step_size, steps):
    for _ in range(steps):
        z = (x + step_size * _gradient(model, x, y)).clamp(0, 1)
    return z


@wrong("gradient_ascent", "it descends")
def descent(model, x, y, step_size, steps):
    return _ascent(model, x, y, step_size, steps, lambda z: _gradient(model, z, y), sign=-1)


@wrong("gradient_ascent", "signed step of BIM")
def bim(model, x, y, step_size, steps):
    return _ascent(model, x, y, step_size, steps, lambda z: _gradient(model, z, y).sign())


@wrong("gradient_ascent", "clamp after every step")
def clamps_nowhere(model, x, y, step_size, steps):
    return _ascent(model, x, y, step_size, steps, lambda z: _gradient(model, z, y), clamp=False)


@wrong("gradient_ascent", "averaged over the batch")
def averaged(model, x, y, step_size, steps):
    return _ascent(model, x, y, step_size, steps, lambda z: _gradient(model, z, y, "mean"))


@wrong("predicted_rise", "wrong norm")
def l2_rise(gradient, eps):
    return eps * gradient.flatten(1).norm(dim=1)


@wrong("predicted_rise", "absolute values")
def signed_rise(gradient, eps):
    return eps * gradient.flatten(1).sum(1)
