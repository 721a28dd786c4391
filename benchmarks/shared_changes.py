"""One change for all images, and one sticker: ours beside ART's and beside ten plain lines."""

import argparse
import statistics
import time
from pathlib import Path

import torch
from tqdm import tqdm

from advcourse import data, metrics, models
from advcourse.attacks import Patch

from . import peers
from .shared_entries import (
    EPS,
    SIZE,
    TARGET,
    aimed,
    art_patch,
    art_universal,
    floor,
    noise,
    our_patch,
    ours,
    plain,
    plain_patch,
    random_patch,
)

RESULT = Path(__file__).parent / "results" / "shared_changes.md"
HEAD = """\
# Shared changes: one perturbation, one patch, for all images

Made by `python -m benchmarks shared_changes`. MNIST, LeNet-5; everything is trained on {n}
training images and judged on {n} test images that it has not seen (a stratified sample; the patch
at random places, the same for all rows). *fooled*: another answer than on the clean image; with a
target, also how often it is the target. CPU seconds of one thread, best of the runs. Several runs
have other seeds and other training images, and the share is their mean. {version}.
"""
# What each change of the plain loop does, one at a time, and all together.
STEPS = {
    "plain: sign of the summed cross-entropy's gradient, step eps / 10": {},
    "the clamp does not hide a change from the gradient": {"through": True},
    "smooth count of those that still stand, instead of the cross-entropy": {"smooth": True},
    "step eps / 5": {"step": 0.2},
    "momentum .9": {"momentum": 0.9},
    "steps that fall to 0 along a half cosine": {"cosine": True},
    "batches of 250": {"batch": 250},
    "clamp passed, smooth count": {"through": True, "smooth": True},
    "clamp passed, smooth count, step eps / 5 (`attacks.universal`)": {
        "through": True,
        "smooth": True,
        "step": 0.2,
    },
    "the same, with momentum .9": {"through": True, "smooth": True, "step": 0.2, "momentum": 0.9},
    "the same, with the half cosine": {
        "through": True,
        "smooth": True,
        "step": 0.2,
        "cosine": True,
    },
}


def measure(run, model, images, n, seeds, target=None):
    """Train with every seed; return the row's numbers."""
    x, _ = images.sample(n)
    with torch.no_grad():
        clean = model(x).argmax(1)
    fooled, aimed, seconds = [], [], []
    for seed in range(seeds):
        seen = images.sample(n, seed=seed, part="train")
        source, begun = torch.Generator().manual_seed(seed), time.process_time()
        change = run(model, *seen, source)
        seconds.append(time.process_time() - begun)
        if isinstance(change, Patch):
            changed = change.apply(x, torch.Generator().manual_seed(99))
        else:
            changed = (x + change).clamp(0, 1)
        with torch.no_grad():
            answer = model(changed).argmax(1)
        fooled.append((answer != clean).float().mean().item())
        aimed.append((answer == target).float().mean().item() if target is not None else None)
    hits = round(statistics.mean(fooled) * n)
    low, high = metrics.wilson(hits, n)
    aim = "" if target is None else f"{statistics.mean(aimed):.1%}"
    many = f" (runs {min(fooled):.1%} to {max(fooled):.1%})" if seeds > 1 else ""
    cells = [
        f"{min(seconds):.2f}",
        f"{statistics.mean(fooled):.1%}{many}",
        f"{low:.1%} to {high:.1%}",
    ]
    return [*cells, aim], statistics.mean(fooled), min(seconds)


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


def goal(text, met, measured):
    return [text, measured, "met" if met else "missed"]


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks shared_changes")
    parser.add_argument("--quick", action="store_true", help="fewer images and runs, no file")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    images = data.load("mnist", quiet=True)
    model, n, seeds = models.load("lenet5", images), 200 if quick else 1000, 1 if quick else 5
    absent = peers.why_missing("ART")
    entries = [
        ("universal", "bare loop, 10 x all images", floor(10), seeds, None),
        ("universal", "ours", ours(eps=EPS), seeds, None),
        ("universal", "plain sign ascent", plain, seeds, None),
        ("universal", "ART, 100 images", art_universal, 1, None),
        ("patch", "bare loop, 40 x all images", floor(40), 2, None),
        ("patch", "ours", our_patch(), seeds, None),
        ("patch", "plain Adam", plain_patch, 2, None),
        ("patch", "ART", art_patch, 1, None),
        ("patch", "random pixels", random_patch, seeds, None),
        ("patch", f"ours, to {TARGET}", our_patch(target=TARGET), seeds, TARGET),
        ("patch", f"plain Adam, to {TARGET}", aimed(plain_patch), 2, TARGET),
        ("patch", f"ART, to {TARGET}", aimed(art_patch), 1, TARGET),
    ]
    found, rows = {}, {"universal": [], "patch": []}
    for kind, label, run, times, target in tqdm(entries, desc="shared changes"):
        if label.startswith("ART") and absent:
            rows[kind].append([label, absent, "", "", ""])
            continue
        cells, *found[kind, label] = measure(run, model, images, n, times, target)
        shown = cells if not label.startswith("bare") else [cells[0], "", "", ""]
        rows[kind].append([label, *shown])
    head = ["entry", "CPU seconds", "fooled", "95 % interval", f"read as {TARGET}"]
    lines = [HEAD.format(n=n, version=f"PyTorch {torch.__version__}, one thread")]
    lines += [
        f"## Universal, linf {EPS}",
        "",
        *table(head[:-1], [r[:-1] for r in rows["universal"]]),
    ]
    lines += ["", f"## Patch {SIZE} x {SIZE}, any place", "", *table(head, rows["patch"])]
    lines += [
        "",
        "## What makes the universal change stronger",
        "",
        *ablation(model, images, n, seeds),
    ]
    lines += ["", "## Fooled against the length", "", *lengths(model, images, n)]
    lines += ["", "## Goals", "", *goals(found)]
    text = "\n".join(lines) + "\n"
    print(text)
    if not quick:
        RESULT.write_text(text)


def ablation(model, images, n, seeds):
    """Return the table of ideas: each alone on the plain loop, and together."""
    rows = []
    for label, options in tqdm(STEPS.items(), desc="ideas"):
        run = lambda *given, options=options: plain(*given, **options)  # noqa: E731
        cells, *_ = measure(run, model, images, n, seeds)
        rows.append([label, cells[1]])
    return table(["change of the plain loop", "fooled"], rows)


def lengths(model, images, n):
    """Return the share fooled at several lengths, in both norms, beside random noise."""
    rows = []
    for norm, sizes in (("linf", (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)), ("l2", (1, 2, 3, 4, 5, 6))):
        for eps in sizes:
            cells, *_ = measure(ours(eps=eps, norm=norm), model, images, n, 2)
            by_noise, *_ = measure(noise(eps, norm), model, images, n, 2)
            rows.append([norm, eps, cells[1], by_noise[1]])
    return table(["norm", "length", "fooled", "by random signs of that length"], rows)


def goals(found):
    """Return the table of what was aimed at."""
    share, seconds = found["universal", "ours"]
    rows = [
        goal(
            f"universal, linf {EPS}: at least 20 % of unseen images", share >= 0.2, f"{share:.1%}"
        ),
        goal("universal: at most 1 CPU second", seconds <= 1, f"{seconds:.2f} s"),
    ]
    share, seconds = found["patch", "ours"]
    rows += [
        goal("patch: at least 40 % changed", share >= 0.4, f"{share:.1%}"),
        goal("patch: at most 6 CPU seconds", seconds <= 6, f"{seconds:.2f} s"),
    ]
    bare = found["universal", "bare loop, 10 x all images"][1]
    text = f"the machine: bare loop, 10 passes over all images, in {bare:.2f} s (quiet: .65 s)"
    return [*table(["goal", "measured", ""], rows), "", text[0].upper() + text[1:] + "."]
