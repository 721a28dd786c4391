"""Every defense of the course under three attackers, on every data set at hand, as one table."""

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from advcourse import attacks, data, defended, defenses, metrics, models

from .measure import kept

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "bench" / "defenses"
RESULT = Path(__file__).parent / "results" / "defenses.md"
EPSILONS = (0.1, 0.3)
STEPS = 40
GOAL = {"eps": 0.3, "steps": 100, "step_size": 0.02, "restarts": 10, "early_stop": True}
HEAD = """\
# Every defense under three attackers

Made by `python -m benchmarks defenses`, which goes on where it was interrupted: {n} test images of
each data set ({goal_n} for the goals). linf, epsilon in pixel units of
[0, 1]. *clean*: right and not refused. *unaware*: PGD of
{steps} steps (random start, steps of 2.5 eps / {steps}) on the undefended model of the same
architecture, its pictures given to the defended one. *adaptive*: what is left after the unaware
attacker's pictures and those of PGD, {steps} steps, on every view that the last column names. All
attacked columns give the share that is right *or refused*, so that for a detector they say how often
nobody is fooled. *certified*: proven right in the ball (never above *adaptive*: the run stops if it
is). Random defenses are judged by one draw.
"""


def row(name, images, n):
    """Measure one defense; return its cells, or those of an earlier, interrupted run."""
    stamp = [entry["sha256"] for entry in models.manifest().values()]
    return kept(CACHE, f"{images.name}-{n}-{name}", stamp, lambda: measured(name, images, n))


def measured(name, images, n):
    """Measure one defense; return its cells."""
    device = models.device()
    one = defended.load(name, images, device)
    n = min(n, one.few or n)
    x, y = images.x_test[:n].to(device), images.y_test[:n].to(device)
    cells = {"n": n, "lecture": one.lecture, "how": one.how, "clean": one.clean(x, y)}
    for eps in EPSILONS:
        cells[f"unaware {eps}"] = share(one.holds(one.unaware(x, y, eps, STEPS), y))
        safe = one.holds(one.adaptive(x, y, eps, STEPS), y)
        cells[f"adaptive {eps}"] = share(safe)
        if one.certificate:
            proven = one.certificate(x, y, eps)
            if bool((proven & ~safe).any()):
                raise RuntimeError(f"{name}: certified at {eps}, and broken by an attack")
            cells[f"certified {eps}"] = share(proven)
    return cells


def share(mask):
    """Return the share of True in a mask [N]."""
    return mask.float().mean().item()


def goals(images, n):
    """Return lines about what this course set out to reach on MNIST, met or not."""
    device = models.device()
    x, y = images.x_test[:n].to(device), images.y_test[:n].to(device)
    lines = []
    for variant in ("pgd", "trades"):
        model = models.load("cnn", images, variant).to(device)
        source = torch.Generator(device).manual_seed(0)
        attack = lambda model, x, y, source=source: attacks.pgd(  # noqa: E731
            model, x, y, generator=source, **GOAL
        )
        left = metrics.evaluate(model, x, y, attack, progress=True).acc1
        clean = models.manifest()[f"cnn-{images.name}-{variant}"]["accuracy"]
        met = "met" if clean >= 0.97 and left >= 0.9 else "missed"
        lines.append(
            f"- cnn, {variant}: {clean:.2%} clean on the whole test set, {left:.1%} of {n} images "
            f"under PGD of 100 steps of .02, 10 restarts, epsilon .3 (goal: 97 % and 90 %): {met}."
        )
    model = models.load("cnn", images, "ibp").to(device)
    proven = share(defenses.certified_ibp(model, x, y, 0.1))
    met = "met" if proven >= 0.9 else "missed"
    lines.append(
        f"- cnn, ibp: {proven:.1%} of {n} images proven at epsilon .1 (goal: 90 %): {met}."
    )
    return lines


def table(rows, n):
    """Return the rows {name: cells} as a Markdown table; those with fewer than n images say so."""
    kinds = [f"{kind} {eps}" for eps in EPSILONS for kind in ("unaware", "adaptive", "certified")]
    header = ["defense", "lecture", "clean", *kinds, "the adaptive attacker"]
    lines = [header, [":---", ":---", *["---:"] * (len(kinds) + 1), ":---"]]
    for name, cells in rows.items():
        shares = [f"{cells[k]:.1%}" if k in cells else "" for k in kinds]
        lines.append(
            [
                f"{name} ({cells['n']})" if cells["n"] < n else name,
                cells["lecture"],
                f"{cells['clean']:.1%}",
                *shares,
                cells["how"],
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main():
    """Measure every defense on every data set that is there, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks defenses", description=__doc__)
    parser.add_argument("--n", type=int, default=200, help="test images (default 200)")
    parser.add_argument("--goal-n", type=int, default=400, help="test images for the goals")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    parts = [HEAD.format(n=options.n, goal_n=options.goal_n, steps=STEPS)]
    for name in ("mnist", "digits"):
        if not data.available(name):
            print(f"{name} is not on this disk and left out")
            continue
        images = data.load(name)
        plain = {"mnist": "MNIST", "digits": "UCI digits"}[name]
        rows = {d: row(d, images, options.n) for d in tqdm(defended.CATALOG, desc=name)}
        parts.append(f"## {plain}\n\n{table(rows, options.n)}\n")
        if name == "mnist":
            parts.append("### Goals\n\n" + "\n".join(goals(images, options.goal_n)) + "\n")
    options.out.write_text("\n".join(parts), encoding="utf-8")
    print(f"written: {options.out}")
