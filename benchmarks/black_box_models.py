"""Two sections of the black-box benchmark: the substitute, and the gray-box generator."""

import time

import torch

from advcourse import models
from advcourse.attacks import Generator, Oracle, fgsm, pgd, train_substitute
from advcourse.plots import share
from advcourse.transfer import wrong

EPS = 0.3
# Shares wrong under FGSM and PGD on the substitute, and its agreement, as a trial of this course
# reached them with a plain loop: 150 seeds, 4,800 labels, 1,000 other images, epsilon .3.
GOALS = {"lenet5": (0.41, 0.51, 0.84), "mlp": (0.97, 0.99, 0.835)}
TITLES = {"lenet5": "LeNet-5 by LeNet-5", "mlp": "MLP by LeNet-5"}


def substitute_section(images, model, x, y, quick):
    """Return the Markdown lines of the substitute attack: agreement and transfer, beside the goals."""
    n = 200 if quick else 1000
    drawn, labels = images.sample(n + 150)
    test, truth, seeds = drawn[:n], labels[:n], drawn[n:]
    lines = [
        "## Substitute: 150 seeds, labels alone",
        "",
        f"Share wrong at epsilon {EPS} of {n:,} other images; the goal in brackets.",
        "",
        "| victim | queries | agreement | FGSM | PGD, 20 steps | seconds of CPU |",
        "| :--- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, goals in GOALS.items():
        victim = models.load(name, images)
        oracle, begun = Oracle(victim, answers="labels", budget=1), time.process_time()
        build = models.ARCHITECTURES["lenet5"]
        copy, _ = train_substitute(oracle, seeds, build, rounds=2 if quick else 5, progress=False)
        seconds = time.process_time() - begun
        said = victim(test).argmax(1)
        source = torch.Generator().manual_seed(0)
        adv = [fgsm(copy, test, truth, eps=EPS)]
        adv.append(pgd(copy, test, truth, eps=EPS, steps=20, generator=source))
        masks = [*(wrong(victim, part, truth) for part in adv), ~wrong(copy, test, said)]
        by_fgsm, by_pgd, agree = (
            f"{share(mask)} [{goal:.0%}]" for mask, goal in zip(masks, goals, strict=True)
        )
        asked = int(oracle.queries.sum())
        row = [TITLES[name], f"{asked:,}", agree, by_fgsm, by_pgd, f"{seconds:.0f}"]
        lines.append("| " + " | ".join(row) + " |")
    said = "Published (Papernot 2017): 84.24 % after 6,400 queries on a hosted model, epsilon .3."
    return [*lines, "", said, ""]


def generator_section(images, model, x, y, quick):
    """Return the Markdown lines of the generator: what it fools that it has not seen."""
    test, truth = images.sample(500) if quick else (images.x_test, images.y_test)
    eps = 0.2 if images.name == "digits" else EPS
    made = Generator(models.load("perturber", images), eps).eval()
    begun = time.process_time()
    with torch.no_grad():
        adv = torch.cat([made(part) for part in test.split(250)])
    each = 1000 * (time.process_time() - begun) / len(test)
    targets = {"LeNet-5, its teacher [94 %]": model, "cnn": models.load("cnn", images)}
    targets["cnn, trained with PGD"] = models.load("cnn", images, "pgd")
    lines = [
        "## Generator: one pass an image, without the victim",
        "",
        f"Epsilon {eps}, {len(test):,} unseen images, {each:.2f} ms each; of those read right before.",
        "",
        "| target | fooled |",
        "| :--- | ---: |",
    ]
    for name, target in targets.items():
        read = ~wrong(target, test, truth)
        lines.append(f"| {name} | {share(wrong(target, adv, truth)[read])} |")
    said = (
        "Published (Xiao 2018): 97.9, 97.1 and 98.3 % on three nets of their own; ports 88 to 94 %."
    )
    return [*lines, "", said, ""]
