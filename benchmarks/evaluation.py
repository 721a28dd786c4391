"""The honest evaluation beside AutoAttack, and its verdict on every defense of the catalog."""

import argparse
import contextlib
import importlib
import io
import time
from importlib import metadata
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from advcourse import data, defended, evaluation, models
from advcourse.attacks.inputs import frozen
from advcourse.data import TITLES
from advcourse.evaluation.victim import silent
from advcourse.plots import share

from .measure import kept

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "bench" / "evaluation"
RESULT = Path(__file__).parent / "results" / "evaluation.md"
# (architecture, data set, variant, epsilon): those of a plain run, and what `--full` adds
NETS = (("lenet5", "mnist", "pgd", 0.2), ("cnn", "digits", "pgd", 0.2))
MORE = (("cnn", "mnist", "pgd", 0.3), ("cnn", "mnist", "trades", 0.3))
# Where one answer costs hundreds of passes: images, and queries of Square.
SLOW = {
    "Defense-GAN": (10, 10),
    "randomized smoothing, sigma .5": (10, 50),
    "local intrinsic dimension": (20, 100),
}
HEAD = """\
# An honest evaluation beside AutoAttack, and on every defense

Made by `python -m benchmarks evaluation`, which goes on where it was interrupted. Ours is
`evaluation.evaluate`; AutoAttack is the standard run of pyautoattack {pyautoattack} (APGD with
cross-entropy, APGD-T, FAB-T, Square of 5,000 queries), and torchattacks {torchattacks}'s APGD has
cross-entropy and 100 steps. linf, epsilon in pixel units of [0, 1]. Images: `sample(n, seed=0)`, the
same for all in a row; shares with their 95 % intervals. Seconds are CPU seconds of one thread, all
of a row in one run, on a machine that was busy with other work. PyTorch {torch}.
"""


def seeded():
    """Return a generator with seed 0."""
    return torch.Generator().manual_seed(0)


def timed(run):
    """Return run() and the CPU seconds that it took."""
    begun = time.process_time()
    found = run()
    return found, time.process_time() - begun


@torch.no_grad()
def left(model, x, y):
    """Return a mask [N]: right about x [N, ...]."""
    with frozen(model):
        return torch.cat([model(part).argmax(1) for part in x.split(250)]) == y


def autoattack(model, x, y, eps):
    """Return the mask [N] that AutoAttack's standard run leaves, and its CPU seconds."""
    autoattack = importlib.import_module("pyautoattack")

    def run():
        attacker = autoattack.AutoAttack(
            model, norm="Linf", eps=eps, version="standard", seed=0, device="cpu"
        )
        attacker.verbose = False
        return attacker.run_standard_evaluation(x, y, batch_size=250)

    with frozen(model), contextlib.redirect_stdout(io.StringIO()):
        found, seconds = timed(run)
    x_adv = found[0] if isinstance(found, tuple) else found
    inside = (x_adv - x).abs().max() <= eps + 1e-6
    if not inside:
        raise RuntimeError("AutoAttack left the ball")
    return left(model, x_adv, y), seconds


def torchattacks_apgd(model, x, y, eps):
    """Return the mask [N] that torchattacks' APGD of 100 steps leaves, and its CPU seconds."""
    torchattacks = importlib.import_module("torchattacks")
    with frozen(model):
        run = torchattacks.APGD(model, norm="Linf", eps=eps, steps=100, loss="ce", seed=0)
        x_adv, seconds = timed(lambda: run(x, y))
    return left(model, x_adv, y), seconds


def beside(architecture, dataset, variant, eps, n):
    """Return the row of one network: who holds under ours and under theirs, and the seconds."""
    images = data.load(dataset)
    model = models.load(architecture, images, variant)
    x, y = images.sample(n, seed=0)
    verdict, ours = timed(
        lambda: evaluation.evaluate(model, x, y, eps, generator=seeded(), progress=False)
    )
    theirs, aa = autoattack(model, x, y, eps)
    apgd, ta = torchattacks_apgd(model, x, y, eps)
    attempts = {a.name: (int(a.left.sum()), a.seconds) for a in verdict.attempts}
    masks = {"ours": verdict.holds, "AutoAttack": theirs, "torchattacks": apgd}
    return {
        "words": verdict.words,
        "clean": int(verdict.clean.sum()),
        "left": {name: int(mask.sum()) for name, mask in masks.items()},
        "only ours": int((theirs & ~verdict.holds).sum()),
        "only AutoAttack": int((verdict.holds & ~theirs).sum()),
        "seconds": {"ours": ours, "AutoAttack": aa, "torchattacks": ta},
        "attempts": attempts,
        "n": len(x),
    }


def beside_section(nets, n):
    """Return the table beside AutoAttack, with the goals."""
    lines = ["## Beside AutoAttack", ""]
    lines += [
        "| network | eps | n | ours | AutoAttack | APGD, torchattacks | seconds, in this order |"
    ]
    lines += ["|:---|---:|---:|---:|---:|---:|---:|"]
    goals = []
    for net in tqdm(nets, desc="networks"):
        if not data.available(net[1]):
            continue
        name, eps = "-".join(net[:3]), net[3]
        stamp = models.manifest()[name]["sha256"]
        row = kept(CACHE, f"{name}-{n}", stamp, lambda net=net: beside(*net, n))
        m, counts, seconds = row["n"], row["left"], row["seconds"]
        cells = " | ".join(share((counts[k], m)) for k in ("ours", "AutoAttack", "torchattacks"))
        times = ", ".join(f"{seconds[k]:.0f}" for k in ("ours", "AutoAttack", "torchattacks"))
        lines.append(f"| {name} | {eps:g} | {m} | {cells} | {times} |")
        apart = 100 * (counts["ours"] - counts["AutoAttack"]) / m
        close = "met" if apart <= 0.5 else "missed"
        quick = "met" if seconds["ours"] <= seconds["AutoAttack"] else "missed"
        goals.append(
            f"- {name}: {apart:+.1f} points beside AutoAttack (goal: at most +.5): {close}; "
            f"{seconds['ours'] / seconds['AutoAttack']:.2f} of its time (goal: at most 1): {quick}; "
            f"{row['only ours']} images fall to ours alone, {row['only AutoAttack']} to AutoAttack "
            f"alone; verdict: {row['words']}."
        )
    return [*lines, "", *goals]


def verdicts(name, dataset, eps, n):
    """Return the row of one defense: the verdict alone, with the views, and AutoAttack's count."""
    images = data.load(dataset)
    one = defended.load(name, images)
    n, queries = SLOW.get(name, (n, 300))
    x, y = images.sample(n, seed=0)
    row = {"n": len(x), "seconds": {}}
    others = (models.load("cnn", images), one.bare)
    for how, views in (("alone", {"views": ()}), ("views", {})):
        if how == "views" and not one.views:
            continue
        options = {"steps": 40, "queries": queries, "generator": seeded(), "progress": False}
        found, row["seconds"][how] = timed(
            lambda more=views | options: evaluation.of(one, x, y, eps, others=others, **more)
        )
        row[how] = {"words": found.words, "left": int(found.holds.sum())}
        row["clean"] = int(found.clean.sum())
    if one.detector is None and name not in SLOW and has_gradient(one.victim, x, y):
        theirs, row["seconds"]["AutoAttack"] = autoattack(one.victim, x, y, eps)
        row["AutoAttack"] = int(theirs.sum())
    return row


def has_gradient(model: nn.Module, x, y):
    """Tell whether any gradient reaches the images."""
    return silent(model, x[:1], y[:1]) is not None


def verdict_section(dataset, eps, n, stamp, only):
    """Return the table of verdicts on the catalog."""
    lines = [f"## Every defense, {TITLES[dataset]}, epsilon {eps:g}", ""]
    lines += ["40 steps, 300 queries; *alone*: the victim as it is; *with views*: besides it, the"]
    lines += ["stand-ins of an attacker who knows it. AutoAttack attacks the victim alone, where a"]
    lines += ["gradient reaches it and nothing is refused.", ""]
    lines += ["| defense | n | clean | alone | verdict alone | with views | verdict | AutoAttack |"]
    lines += ["|:---|---:|---:|---:|:---|---:|:---|---:|"]
    for name in tqdm(only or defended.CATALOG, desc=dataset):
        row = kept(
            CACHE,
            f"{dataset}-{eps}-{n}-{name}",
            stamp,
            lambda name=name: verdicts(name, dataset, eps, n),
        )
        m = row["n"]
        cell = lambda key, row=row, m=m: share((row[key]["left"], m)) if key in row else ""  # noqa: E731
        words = lambda key, row=row: row[key]["words"] if key in row else ""  # noqa: E731
        theirs = share((row["AutoAttack"], m)) if "AutoAttack" in row else ""
        lines.append(
            f"| {name} | {m} | {share((row['clean'], m))} | {cell('alone')} | {words('alone')} | "
            f"{cell('views')} | {words('views')} | {theirs} |"
        )
    return lines


def main():
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks evaluation", description=__doc__)
    parser.add_argument("--n", type=int, default=50, help="images for each defense (default 50)")
    parser.add_argument("--only", choices=("beside", "verdicts"), help="one section, not written")
    parser.add_argument("--names", nargs="*", help="these defenses alone, not written")
    parser.add_argument("--full", action="store_true", help="500 images, four networks: an hour")
    options = parser.parse_args()
    torch.set_num_threads(1)
    stamp = [entry["sha256"] for entry in models.manifest().values()]
    about = {p: metadata.version(p) for p in ("pyautoattack", "torchattacks")}
    parts = [HEAD.format(**about, torch=torch.__version__.split("+")[0])]
    if options.only != "verdicts":
        nets, n = (NETS + MORE, 500) if options.full else (NETS, 100)
        parts += ["\n".join(beside_section(nets, n)) + "\n"]
    if options.only != "beside":
        for dataset, eps in (("mnist", 0.1), ("mnist", 0.3)):
            if data.available(dataset):
                rows = verdict_section(dataset, eps, options.n, stamp, options.names)
                parts += ["\n".join(rows) + "\n"]
    text = "\n".join(parts)
    if options.only or options.names:
        print(text)
    else:
        RESULT.write_text(text, encoding="utf-8")
        print(f"written: {RESULT}")


if __name__ == "__main__":
    main()
