"""The poster's figures: a shallow network under FGSM, JSMA, and a Gaussian filter (lecture 18)."""

import torch
from torch import nn

from .. import attacks, defenses, metrics, models
from .measure import Found, answered, found_eps, gain, mean, share, under_fgsm

FALLS_TO = 0.179  # the poster's accuracy after the attack
SIGMAS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


def shallow(images, progress=True):
    """Measure the shallow network: clean, at our epsilon .1, and where it falls to 17.9 %."""
    net, x, y = models.load("shallow", images), images.x_test, images.y_test
    grid = [k / 50 for k in range(11)]
    right = {eps: under_fgsm(net, x, y, eps)[0] for eps in grid}
    bounds = metrics.wilson(round(FALLS_TO * len(x)), len(x))
    low, high = (found_eps(net, x, y, bound) for bound in reversed(bounds))
    eps = found_eps(net, x, y, FALLS_TO)
    values = {
        "shallow-clean": share(right[0], "784-32-10, Adam"),
        "shallow-fgsm": share(right[0.1], "epsilon .1, ours"),
        "shallow-eps": Found(eps, low, high, len(x), "where our accuracy is 17.9 %, by halving"),
    }
    return values, {"eps": grid, "acc": [share(m).value for m in right.values()]}


def jsma(images, progress=True, n=1000):
    """Measure JSMA with one drawn target per image: how often it arrives, on how many pixels."""
    net = models.load("lenet5", images)
    x, y = images.sample(n)
    source = torch.Generator().manual_seed(0)
    target = (y + torch.randint(1, 10, y.shape, generator=source)) % 10
    way = attacks.jsma(net, x, y, target=target, gamma=0.145)
    there = answered(net, x, target)[0]  # already, without an attack
    changed = metrics.norms(way - x)["l0"].double() / x[0].numel()
    won = answered(net, way, target)[0][~there]
    changed = changed[~there]
    setting = "LeNet-5, one drawn target an image, map of the probabilities"
    budgets = [0.01, 0.02, 0.03, 0.0402, 0.05, 0.075, 0.1, 0.145]
    within = [share(won & (changed <= b)).value for b in budgets]
    values = {"jsma-success": share(won, setting), "jsma-pixels": mean(changed[won], setting)}
    return values, {"budget": budgets, "success": within}


def smoothing(images, progress=True):
    """Measure the filter on images made for the bare network, as strong as the poster's."""
    net, x, y = models.load("shallow", images), images.x_test, images.y_test
    eps = found_eps(net, x, y, FALLS_TO)
    hazy = attacks.fgsm(net, x, y, eps=eps)
    nets = {s: nn.Sequential(defenses.GaussianSmoothing(s), net).eval() for s in SIGMAS}
    clean = [answered(n, x, y)[0] for n in nets.values()]
    attacked = [answered(n, hazy, y)[0] for n in nets.values()]
    # One half of the images chooses the filter, the other half measures it.
    best = max(range(1, len(SIGMAS)), key=lambda k: int(attacked[k][::2].sum()))
    setting = (
        f"epsilon {eps:.3f}, sigma {SIGMAS[best]:g} chosen on the other half; unaware attacker"
    )
    values = {"smoothing-gain": gain(attacked[best][1::2], attacked[0][1::2], setting)}
    shares = {"clean": clean, "attacked": attacked}
    lines = {name: [share(m).value for m in masks] for name, masks in shares.items()}
    return values, {"sigma": list(SIGMAS), **lines, "eps": [eps]}
