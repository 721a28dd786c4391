"""The poison point that has been trained against: gradient ascent through the training (lecture 11).

A logistic regression with weight decay has one optimum, and its Hessian is a small matrix. So the
derivative of the trained weights with respect to a training point can be written down and solved.
"""

import math

import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from ..attacks.inputs import check_count, check_labels, check_number, check_size
from ..randomness import source_of
from .poisoned import Poisoned, check_training_set


def rbf(centers, width):
    """Return a map of points [N, D] to features [N, K]: how near each of the K centers is.

    The feature is exp(-distance^2 / (2 width^2)); a linear model on it draws curved boundaries.
    """
    check_size("width", width)

    def features(x):
        gap = x.flatten(1)[:, None, :] - centers.flatten(1).to(x)[None]
        return (-gap.square().sum(2) / (2 * width**2)).exp()

    return features


def with_one(x, features=None):
    """Return x [N, ...] as rows of features in float64, with a 1 at the end for the bias."""
    a = features(x.double()) if features else x.double().flatten(1)
    return torch.cat([a, torch.ones_like(a[:, :1])], 1)


def logistic(x, y, decay=1e-2, features=None, start=None, tolerance=1e-10):
    """Train a logistic regression on x [N, ...], y [N] in {0, 1}; return theta [K + 1], float64.

    It minimizes the mean log loss plus decay / 2 * |weights|^2 by Newton's method, until the
    gradient is below `tolerance`; the last entry is the bias, which does not decay. start: a theta
    to begin with. Raises ValueError for other labels and for a decay that is not above 0.
    Source: lecture 11.
    """
    _check_two(x, y, decay)
    a, t = with_one(x, features), y.double()
    theta = torch.zeros_like(a[0]) if start is None else start.clone()
    value, gradient, hessian = _training_loss(theta, a, t, decay)
    for _ in range(100):
        if gradient.norm() < tolerance:
            break
        step, size = torch.linalg.solve(hessian(), gradient), 1.0
        while True:  # a full step, unless it leads uphill
            new = theta - size * step
            lower, slope, bend = _training_loss(new, a, t, decay)
            if lower <= value + 1e-12 or size < 1e-6:
                break
            size /= 2
        theta, value, gradient, hessian = new, lower, slope, bend
    return theta


def _training_loss(theta, a, t, decay):
    """Return the loss that `logistic` minimizes, its gradient, and a function for its Hessian."""
    ridge = torch.full_like(theta, decay)
    ridge[-1] = 0
    z = a @ theta
    p = z.sigmoid()
    value = F.binary_cross_entropy_with_logits(z, t) + 0.5 * (ridge * theta.square()).sum()
    gradient = a.T @ (p - t) / len(a) + ridge * theta
    return value, gradient, lambda: (a.T * (p * (1 - p))) @ a / len(a) + ridge.diag()


def validation_loss(theta, x, y, features=None):
    """Return the mean log loss of theta [K + 1] on x [M, ...], y [M]: what the attacker raises."""
    return F.binary_cross_entropy_with_logits(with_one(x, features) @ theta, y.double())


def poison_gradient(theta, x, y, mask, x_val, y_val, decay=1e-2, features=None):
    """Return how the validation loss moves with each poison point, [P, ...], float64.

    theta: trained on all of x [N, ...], y [N] by `logistic` with the same decay and features;
    mask [N]: which rows are poison. The derivative goes through the training: with H the Hessian of
    the training loss and g the validation loss' gradient, it is minus the derivative of
    (H^-1 g) . (gradient of the poison's own loss) / N (the implicit function theorem).
    Source: Biggio, Nelson and Laskov 2012, "Poisoning attacks against support vector machines",
    who do it for the SVM; lecture 11.
    """
    a, t = with_one(x, features), y.double()
    hessian = _training_loss(theta, a, t, decay)[2]()
    a_val = with_one(x_val, features)
    g = a_val.T @ ((a_val @ theta).sigmoid() - y_val.double()) / len(a_val)
    v = torch.linalg.solve(hessian, g)
    with torch.enable_grad():
        poison = x[mask].detach().double().requires_grad_()
        row = with_one(poison, features)
        pull = ((row @ theta).sigmoid() - t[mask]) * (row @ v)
        return -torch.autograd.grad(pull.sum() / len(x), poison)[0]


def bilevel(
    x,
    y,
    share,
    x_val,
    y_val,
    *,
    decay=1e-2,
    steps=40,
    step_size=0.1,
    attacked=1,
    features=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
    progress=True,
):
    """Add the points to x [N, ...], y [N] in {0, 1} that hurt a logistic regression most.

    Each starts as a copy of a random point of the class `attacked` with the other label. All climb
    the loss on x_val [M, ...], y_val [M] of the model trained on clean points and poison: retrain,
    solve for the exact gradient, step, stay inside `bounds`; a step that does not help is halved.
    share: of the new set that is poison, in [0, 1); step_size: largest change of a feature in a
    step; features: a differentiable map of points to features [N, K], for example `rbf`.
    on_step(step, poison [P, ...]): called after every step.
    Returns a `Poisoned` set, its poison at the end. Raises ValueError for bad input.
    Source: Biggio, Nelson and Laskov 2012, "Poisoning attacks against support vector machines";
    lecture 11.
    """
    check_training_set(x, y, share, generator)
    check_labels("y_val", y_val, x_val)
    for points, labels in ((x, y), (x_val, y_val)):
        _check_two(points, labels, decay)
    check_count("steps", steps)
    check_size("step_size", step_size)
    check_number("attacked", attacked, lambda v: v in (0, 1), "is no class; pass 0 or 1")
    if share == 1 or not bool((y == attacked).any()):
        raise ValueError(
            f"share, attacked: {share}, {attacked}; the set needs clean points, and some of class "
            f"{attacked} to start from"
        )
    source, count = source_of(generator), round(share * len(y) / (1 - share))
    home = (y == attacked).nonzero()[:, 0]
    drawn = torch.randint(len(home), (count,), generator=source, device=source.device)
    start = x[home[drawn.to(home.device)]].double()
    y_new = torch.cat([y, torch.full_like(y[:1], 1 - attacked).expand(count)])
    mask = torch.arange(len(y_new), device=y.device) >= len(y)
    settings = {"decay": decay, "features": features}

    def outcome(poison, theta=None):
        theta = logistic(torch.cat([x.double(), poison]), y_new, start=theta, **settings)
        return theta, validation_loss(theta, x_val, y_val, features).item()

    best, theta, height = start, None, -math.inf
    if count:
        theta, height = outcome(start)
    for step in tqdm(range(1, steps + 1 if count else 1), desc="poison", disable=not progress):
        whole = torch.cat([x.double(), best])
        slope = poison_gradient(theta, whole, y_new, mask, x_val, y_val, **settings)
        largest = slope.flatten(1).abs().amax(1).clamp(min=1e-30)
        trial = best + step_size * slope / largest.view(-1, *[1] * (x.ndim - 1))
        trial = trial.clamp(*bounds)
        new, reached = outcome(trial, theta)
        if reached > height:
            best, theta, height = trial, new, reached
        else:
            step_size = step_size / 2
        if on_step:
            on_step(step, best.clone())
    return Poisoned(torch.cat([x, best.to(x)]), y_new, mask)


def _check_two(x, y, decay):
    """Raise a ValueError unless y [N] holds 0 and 1 only, and the decay makes the optimum unique."""
    check_labels("y", y, x)
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) <= 1:
        raise ValueError(
            f"y: labels from {int(y.min())} to {int(y.max())}; this model has two classes, 0 and 1"
        )
    check_size("decay", decay, "is no decay; pass a number above 0")
    if decay == 0:
        raise ValueError("decay: 0; pass a number above 0, so that the training has one optimum")
