"""The figures about training: negatives, noise, and the loss after PGD (lecture 18)."""

import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from .. import attacks, defenses, metrics, models, recipes, training
from .measure import Found, answered, gain, ratio, share
from .nets import kept

N_TRAIN, EPOCHS = 10_000, {"mnist": 3, "digits": 8}
COUNTS = {"mnist": (0, 100, 500, 2000, 10_000), "digits": (0, 20, 100, 400, 1347)}
PROBABILITIES, SEEDS, STD = (0.0, 0.5, 1.0), (0, 1, 2), 0.5
T_OF_THREE = 4.303  # the t distribution's 97.5 % with two degrees of freedom


def lenet(images, name, seed=0, *, start=None, x=None, y=None, progress=True, **fit):
    """Return LeNet-5 trained on x, y (without: the first 10,000 training images)."""
    net = models.build("lenet5", seed)
    if start is not None:
        net.load_state_dict(start.state_dict())
    x = images.x_train[:N_TRAIN] if x is None else x
    y = images.y_train[:N_TRAIN] if y is None else y
    like = "digits" if images.name == "digits" else "mnist"
    fit = {"epochs": EPOCHS[like], "batch_size": 64, "seed": seed, **fit}

    def make(net, **options):
        return training.fit(net, x, y, **fit, **options) if len(x) else []

    return kept(name, images, net, make, progress=progress)[0]


def hosseini(images, progress=True):
    """Measure regular and negative test images against the negatives in the training."""
    x, y = images.x_train[:N_TRAIN], images.y_train[:N_TRAIN]
    base = lenet(images, "regular", progress=False)
    counts = COUNTS["digits" if images.name == "digits" else "mnist"]
    masks = {way: {"regular": [], "negative": []} for way in ("tuned", "scratch")}
    for count in tqdm(counts, desc="negatives", disable=not progress, leave=False):
        tuned = {"start": base, "x": 1 - x[:count], "y": y[:count]}
        more = dict(zip("xy", defenses.with_negatives(x, y, count), strict=True))
        for way, fit in (("tuned", tuned), ("scratch", more)):
            net = lenet(images, f"{way}-{count}", **fit, progress=False) if count else base
            for kind, test in (("regular", images.x_test), ("negative", 1 - images.x_test)):
                masks[way][kind].append(answered(net, test, images.y_test)[0])
    setting = f"LeNet-5, {len(x):,} images, {counts[-1]:,} negatives against none"
    values = {
        f"hosseini-{way}": gain(m["negative"][-1], m["negative"][0], setting)
        for way, m in masks.items()
    }
    lines = {
        f"{way}_{kind}": [share(m).value for m in column]
        for way, kinds in masks.items()
        for kind, column in kinds.items()
    }
    return values, {"count": list(counts), **lines}


def climbs(net, x, y, eps, steps=100, restarts=20, seed=0):
    """Return the loss after each step of PGD, [restarts, steps], of one image x [1, ...]."""
    losses, labels = [], y.expand(restarts)

    def note(step, x_adv):
        with torch.no_grad():
            losses.append(F.cross_entropy(net(x_adv), labels, reduction="none"))

    source = torch.Generator().manual_seed(seed)
    settings = {"eps": eps, "steps": steps, "step_size": eps / 30, "generator": source}
    attacks.pgd(net, x.expand(restarts, *x.shape[1:]).clone(), labels, on_step=note, **settings)
    return torch.stack(losses, 1)


def madry(images, progress=True, n=12):
    """Measure the losses at the end of 20 restarts, on the standard and on the trained network."""
    eps = recipes.EPS["digits" if images.name == "digits" else "mnist"]
    x, y = images.sample(n)
    finals, lines = {}, {"eps": [eps], "step": list(range(1, 101, 3))}
    for name in ("standard", "pgd"):
        net, runs = models.load("cnn", images, name), []
        for k in tqdm(range(n), desc=name, disable=not progress, leave=False):
            runs.append(climbs(net, x[k : k + 1], y[k : k + 1], eps))
        finals[name] = torch.stack([run[:, -1] for run in runs])
        label = "trained" if name == "pgd" else name
        lines[label] = runs[0][:, ::3].tolist()
        lines[f"final_{label}"] = finals[name][:5].tolist()
    setting = f"cnn, epsilon {eps:g}, {n} images, 20 restarts of 100 steps of epsilon / 30"
    values = {
        "madry-loss": ratio(*(f.mean(1) for f in finals.values()), setting),
        "madry-spread": ratio(*(f.std(1) for f in finals.values()), setting),
    }
    return values, lines


def noise(images, progress=True, n=300):
    """Measure the smallest change against the probability of noise in the training, three seeds."""
    x, y = images.sample(n)
    norms = [[0.0] * len(SEEDS) for _ in PROBABILITIES]
    nets = [(i, j) for i in range(len(PROBABILITIES)) for j in range(len(SEEDS))]
    for i, j in tqdm(nets, desc="noise", disable=not progress, leave=False):
        p, seed = PROBABILITIES[i], SEEDS[j]
        augment = defenses.noisy(STD, p)
        net = lenet(images, f"noise-{p:g}-{seed}", seed, augment=augment, progress=False)
        right = answered(net, x, y)[0]
        change = metrics.norms(attacks.deepfool(net, x, y) - x)["l2"][right]
        norms[i][j] = round(change.mean().item(), 4)
    ratios = torch.tensor(norms[-1], dtype=torch.float64) / torch.tensor(norms[0])
    middle, half = ratios.mean().item(), T_OF_THREE * (ratios.std() / 3**0.5).item()
    setting = f"DeepFool, {len(x)} images, deviation {STD:g}; the interval is over the seeds"
    values = {"noise-norm": Found(middle, middle - half, middle + half, len(SEEDS), setting)}
    return values, {"probability": list(PROBABILITIES), "norms": norms}
