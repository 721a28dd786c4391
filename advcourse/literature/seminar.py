"""The seminar report's figures: images for an answer, thresholding, distillation (lecture 18)."""

from functools import partial

import torch
from torch import nn
from tqdm.auto import tqdm

from .. import attacks, defenses, models
from .measure import answered, mean, scores, share


def drawn(net, x, y, weight=0.05, seed=0):
    """Return images that `net` shall read as the class after y, and that goal [N]."""
    goal, source = (y + 1) % 10, torch.Generator().manual_seed(seed)
    return attacks.generate(net, x, y, weight=weight, target=goal, generator=source), goal


def generated(images, progress=True, n=100):
    """Measure 100 generated images: goal reached, source recognized, and what a threshold restores."""
    net, judge = models.load("mlp20", images), models.load("lenet5", images)
    x, y = images.sample(3 * n)
    usable = answered(net, x, y)[0] & answered(judge, x, y)[0]
    x, y = x[usable][:n], y[usable][:n]
    made, goal = drawn(net, x, y)
    fooled, looks = answered(net, made, goal)[0], answered(judge, made, y)[0]
    own = [scores(net, part).softmax(1)[torch.arange(len(y)), y] for part in (x, made)]
    restored = answered(nn.Sequential(defenses.BinaryThreshold(0.5), net).eval(), made, y)[0]
    setting = "from noise, 200 steps of Adam, goal the next class; images right before"
    judged = f"{setting}; LeNet-5 still reads the source class"
    return {
        "generated-fooled": share(fooled, setting),
        "generated-looks": share(fooled & looks, judged),
        "generated-before": mean(own[0], setting),
        "generated-after": mean(own[1], setting),
        "threshold-restored": share(restored[fooled], "of those that fooled it"),
    }, _weights(net, x, y, progress)


def _weights(net, x, y, progress):
    """Return how many reach the goal by lambda, and how many leave their class at all."""
    lines = {"weight": [0.005, 0.01, 0.02, 0.05, 0.1], "fooled": [], "left": []}
    for weight in tqdm(lines["weight"], desc="lambda", disable=not progress, leave=False):
        made, goal = drawn(net, x, y, weight)
        lines["fooled"].append(share(answered(net, made, goal)[0]).value)
        lines["left"].append(share(~answered(net, made, y)[0]).value)
    return lines


def distilled(images, progress=True, n=200, n_cw=100):
    """Measure early attacks and Carlini-Wagner on LeNet-5 and on its distilled sister."""
    nets = {v: models.load("lenet5", images, v) for v in ("standard", "distilled")}
    x, y = images.sample(1000)
    usable = answered(nets["standard"], x, y)[0] & answered(nets["distilled"], x, y)[0]
    x, y = x[usable], y[usable]
    source = torch.Generator().manual_seed(0)
    ways = {
        "FGSM .25": (partial(attacks.fgsm, eps=0.25), len(x)),
        "PGD .25": (partial(attacks.pgd, eps=0.25, steps=20, generator=source), n),
        "JSMA": (partial(attacks.jsma, gamma=0.145), n),
        "Carlini-Wagner": (
            partial(attacks.carlini_wagner, steps=60, binary_search_steps=5, initial_c=0.1),
            n_cw,
        ),
    }
    masks = {
        v: [~answered(net, way(net, x[:k], y[:k]), y[:k])[0] for way, k in ways.values()]
        for v, net in nets.items()
    }
    early = "FGSM at .25, by the gradient of the cross-entropy in 32 bits; right before"
    values = {
        "distilled-bare": share(masks["standard"][0], early),
        "distilled-early": share(masks["distilled"][0], early),
        "distilled-cw": share(masks["distilled"][3], "l2, no bound; right before"),
    }
    return values, {"attack": list(ways)} | {
        v: [share(m).value for m in row] for v, row in masks.items()
    }
