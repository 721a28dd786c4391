"""Every attack beside the same attack of its peers, and beside the bare loop, in one run.

The bare loop is what no gradient attack can do without: forward passes and input gradients.
"""

import argparse
import functools
import hashlib
import json
import os
import platform
import warnings
from pathlib import Path

import torch
from tqdm import tqdm

from advcourse import attacks, data, models

from .measure import FLOOR, Task, in_batches, measure
from .peers import PEERS, version, why_missing
from .tables import report

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "bench"
RESULT = Path(__file__).parent / "results" / "attacks.md"
# Image by image, or minutes for a hundred images.
FEW = {"cw": {"ART": 16}, "cw-targeted": {"ART": 16}, "jsma": {"torchattacks": 16}}


def ours(attack, **options):
    """Return an entry that calls this course's attack of that name."""

    def run(model, x, y, target):
        aim = {} if target is None else {"target": target}
        seeded = torch.Generator(x.device).manual_seed(0)
        return getattr(attacks, attack)(model, x, y, generator=seeded, **aim, **options)

    run.attack = attack
    return run


# To add a variant: a line here; to judge it: a line in tables.GOALS.
_PGD = {"eps": 0.3, "step_size": 0.01, "steps": 40}
_PAPER = {"binary_search_steps": 9, "steps": 100, "learning_rate": 0.1, "initial_c": 1e-3}
_CLIP = {"box": "clip", "binary_search_steps": 6, "steps": 70, "initial_c": 1.0}
_CW = {
    "ours, clip, 6 x 70": ours("carlini_wagner", **_CLIP),
    "ours, tanh, 9 x 100": ours("carlini_wagner", **_PAPER),
}
_L2 = {"eps": 2.0, "steps": 40, "norm": "l2"}
OURS = {
    "fgsm": {"ours": ours("fgsm", eps=0.3)},
    "pgd": {
        "ours": ours("pgd", **_PGD),
        "ours, finished images leave": ours("pgd", early_stop=True, **_PGD),
    },
    "pgd-mlp": {"ours": ours("pgd", **_PGD)},
    "pgd-l2": {
        "ours": ours("pgd", **_L2),
        "ours, steps of .125": ours("pgd", step_size=0.125, **_L2),
    },
    "deepfool": {
        "ours": ours("deepfool", steps=50, overshoot=0.02),
        "ours, 4 candidates": ours("deepfool", steps=50, overshoot=0.02, candidates=4),
        "ours, 8 halvings": ours("deepfool", steps=50, overshoot=0.02, halvings=8),
    },
    "cw": _CW,
    "cw-targeted": _CW,
    "ddn": {"ours": ours("ddn", steps=100)},
    "jsma": {
        "ours": ours("jsma", theta=1.0, gamma=0.1),
        "ours, map of the logits": ours("jsma", theta=1.0, gamma=0.1, scores="logits"),
    },
}
TASKS = {
    "fgsm": Task("FGSM, eps .3", 1000, "linf", 0.3, 1, more=8),
    "pgd": Task("PGD in linf, eps .3, 40 steps of .01", 1000, "linf", 0.3, 40),
    "pgd-mlp": Task("PGD, the same, on the MLP", 1000, "linf", 0.3, 40, "mlp", more=4),
    "pgd-l2": Task(
        "PGD in l2, eps 2, 40 steps (ours of .5, its default; peers of .125)", 500, "l2", 2.0, 40
    ),
    "deepfool": Task("DeepFool, at most 50 steps, overshoot .02", 256, "l2", more=2),
    "cw": Task("Carlini and Wagner in l2 (peers: 9 x 100 steps, lr .1, c from .001)", 128, "l2"),
    "cw-targeted": Task("The same, aimed at (y + 1) mod 10", 128, "l2", targeted=True),
    "ddn": Task("The smallest l2 norm in 100 steps", 128, "l2", more=2),
    "jsma": Task("JSMA, theta 1, gamma .1, aimed at (y + 1) mod 10", 100, "l0", targeted=True),
}


def entries(name):
    """Return {label: run}, {label: its version}, and {label: row} for those that are not there."""
    runs, versions, absent = {}, {}, {}
    for label, run in OURS[name].items():
        if callable(getattr(attacks, run.attack, None)):  # a module of that name is no attack
            runs[label] = run
        else:
            absent[label] = {"absent": "not there yet"}
    for label, peer in PEERS[name].items():
        if why := why_missing(label):
            absent[label] = {"absent": f"not installed ({why})"}
        else:
            runs[label], versions[label] = in_batches(peer), version(label)
    return runs, versions, absent


def fingerprint(name, settings):
    """Return a hash of whatever a task's numbers depend on: code, checkpoints, versions, settings."""
    files = [*sorted((ROOT / "advcourse" / "attacks").glob("*.py")), Path(models.__file__)]
    files += [
        *sorted(Path(__file__).parent.glob("[!_l]*.py")),
        models.CHECKPOINTS / "manifest.json",
    ]
    code = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.exists()]
    peers = [why_missing(label) or version(label) for label in PEERS[name]]
    return hashlib.sha256(json.dumps([name, settings, code, peers]).encode()).hexdigest()


def run_task(name, images, rounds, quick):
    """Return {label: row} of one task."""
    task = TASKS[name]
    order = torch.randperm(len(images.y_test), generator=torch.Generator().manual_seed(0))
    order = order[: task.n // 8 if quick else task.n]
    x, y = images.x_test[order], images.y_test[order]
    target = (y + 1) % 10 if task.targeted else None
    model = models.load(task.architecture, images)
    runs, versions, absent = entries(name)
    rows = measure(name, task, runs, FEW.get(name, {}), model, (x, y, target), rounds)
    for label, of_peer in versions.items():
        rows[label]["version"] = of_peer
    rows |= absent
    first = [label for label in rows if label.startswith(FLOOR)]
    return {label: rows[label] for label in [*first, *OURS[name], *PEERS[name]]}


def cached(name, settings, fresh, run):
    """Return the task's rows from the cache, where they are of this code, else from `run()`.

    run None: return None where the cache has none.
    """
    path = CACHE / f"{name}.json"
    mark = fingerprint(name, settings)
    if path.exists() and not (fresh and run):
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["fingerprint"] == mark:
            return stored["rows"]
    if run is None:
        return None
    rows = run()
    CACHE.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"fingerprint": mark, "rows": rows}, indent=1), encoding="utf-8")
    part.replace(path)
    return rows


def parse(arguments):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often every entry is timed")
    parser.add_argument("--tasks", default=",".join(TASKS), help="some of the default, by commas")
    parser.add_argument("--quick", action="store_true", help="an eighth of the images, one round")
    parser.add_argument("--fresh", action="store_true", help="keep nothing of an earlier run")
    options = parser.parse_known_args(arguments)[0]
    options.tasks = options.tasks.split(",")
    if unknown := set(options.tasks) - set(TASKS):
        parser.error(f"no task {', '.join(sorted(unknown))}; there are {', '.join(TASKS)}")
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least 1")
    return options


def main(arguments=None):
    """Measure, print the tables, and write them to benchmarks/results/attacks.md when complete."""
    options = parse(arguments)
    warnings.filterwarnings("ignore")  # the peers', about what they will lose in later versions
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
    images = data.load("auto")
    rounds = 1 if options.quick else options.rounds
    about = {
        "images": images.name,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "quick": options.quick,
    }
    tables = {}
    for name in tqdm(TASKS, desc="tasks"):
        run = functools.partial(run_task, name, images, rounds, options.quick)
        rows = cached(name, about, options.fresh, run if name in options.tasks else None)
        if rows is not None:
            tables[name] = rows
    text = report(TASKS, tables, about)
    print(text)
    complete = len(tables) == len(TASKS) and not options.quick
    path = RESULT if complete else CACHE / "attacks.md"  # a part never replaces the whole
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
