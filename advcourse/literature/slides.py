"""The slides' LeNet table, each attack as a curve over its strength (lecture 18)."""

import torch
from tqdm.auto import tqdm

from .. import attacks, models
from .measure import among, crossing, scores, share
from .registry import FIGURES

# The table names no strength. The library that the slides credit has .3 as its default, and its
# images are usually normalized by a deviation of .3081: that is .092 in pixel units.
EPS = round(0.3 * 0.3081, 4)
PUBLISHED = {f.key: f.published for f in FIGURES}
GRIDS = {
    "noise": (0, EPS, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
    "fgsm": (0, 0.025, 0.05, 0.075, EPS, 0.125, 0.15, 0.2, 0.25, 0.3),
    "pgd": (0, 0.025, 0.05, 0.075, EPS, 0.125, 0.15, 0.2),
}
NAMES = {"noise": "std", "fgsm": "epsilon", "pgd": "20 steps, epsilon"}


def noise(net, x, y, eps):
    """Add Gaussian noise of deviation `eps`."""
    return attacks.gaussian_noise(net, x, y, std=eps, generator=torch.Generator().manual_seed(0))


def fgsm(net, x, y, eps):
    """Take one step of the sign."""
    return attacks.fgsm(net, x, y, eps=eps)


def pgd(net, x, y, eps):
    """Take twenty steps inside the ball."""
    source = torch.Generator().manual_seed(0)
    return attacks.pgd(net, x, y, eps=eps, steps=20, generator=source)


def lenet_clean(images, progress=True):
    """Measure LeNet-5 without an attack."""
    net, x, y = models.load("lenet5", images), images.x_test, images.y_test
    return {f"lenet-clean-acc{k}": share(among(net, x, y, k), "LeNet-5") for k in (1, 5)}, {}


def lenet_negative(images, progress=True):
    """Measure LeNet-5 on negatives, and its sisters of other trainings: no strength, much chance."""
    x, y, lines = 1 - images.x_test, images.y_test, {"net": [], "acc1": [], "acc5": []}
    for architecture, variant in models.variants(images):
        if architecture == "lenet5" and variant != "negatives":
            net = models.load("lenet5", images, variant)
            found = {k: share(among(net, x, y, k), "LeNet-5") for k in (1, 5)}
            lines["net"].append(variant)
            for k in (1, 5):
                lines[f"acc{k}"].append(found[k].value)
            if variant == "standard":
                values = {f"lenet-negative-acc{k}": found[k] for k in (1, 5)}
    return values, lines


def sweep(name, attack, n=None):
    """Return the job that measures `attack` at our strength, and along the whole grid."""

    def job(images, progress=True):
        net, values = models.load("lenet5", images), {}
        x, y = images.sample(n) if n else (images.x_test, images.y_test)
        lines = {"eps": list(GRIDS[name]), "acc1": [], "acc5": []}
        for eps in tqdm(lines["eps"], desc=name, disable=not progress, leave=False):
            moved = attack(net, x, y, eps) if eps else x
            for k in (1, 5):
                found = share(among(net, moved, y, k))
                lines[f"acc{k}"].append(found.value)
                if eps == EPS:
                    values[f"lenet-{name}-acc{k}"] = found
        for k in (1, 5):
            key = f"lenet-{name}-acc{k}"
            level = PUBLISHED[key]  # 1 is passed at once, which says nothing
            equal = crossing(lines["eps"], lines[f"acc{k}"], level) if level < 1 else None
            where = "" if equal is None else f"; equal at {equal:.3f}"
            values[key] = values[key]._replace(setting=f"{NAMES[name]} {EPS:.3f}, ours{where}")
            lines[f"equal{k}"] = [equal]
        return values, lines

    job.__doc__ = attack.__doc__
    return job


def lenet_deepfool(images, progress=True, n=3000):
    """Measure DeepFool away from what the network *reads*, right or wrong, as the library does it."""
    net, (x, y) = models.load("lenet5", images), images.sample(n)
    lines, read = {"steps": [1, 2, 3, 4, 50], "acc1": [], "acc5": []}, scores(net, x).argmax(1)
    for steps in tqdm(lines["steps"], desc="deepfool", disable=not progress, leave=False):
        some = slice(n if steps == 50 else n // 6)
        moved = attacks.deepfool(net, x[some], read[some], steps=steps)
        masks = {k: among(net, moved, y[some], k) for k in (1, 5)}
        for k, mask in masks.items():
            lines[f"acc{k}"].append(share(mask).value)
    setting = "away from the class that is read; 50 steps at most"
    return {f"lenet-deepfool-acc{k}": share(mask, setting) for k, mask in masks.items()}, lines
