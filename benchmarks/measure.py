"""How the benchmark of the attacks times, counts and judges: entries in turns, nobody believed."""

import json
import math
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from advcourse.metrics import norms

PEER_BATCH = 250  # the peers' best on LeNet-5, or as good as it
FLOOR = "bare loop"
FLOOR_BATCHES = (100, 250, 500, 1000)
FLOOR_PASSES = 40  # where the task does not say how many
SLOW = 20  # seconds; what takes longer is timed once
QUIET = {"leave": False, "disable": None}  # no bar within a bar where there is no terminal


def kept(folder, name, stamp, measure):
    """Return measure(), or what an earlier, interrupted run wrote under that name and stamp."""
    path = folder / f"{name.replace(' ', '_')}.json"
    old = json.loads(path.read_text()) if path.exists() else {}
    if old.get("stamp") == stamp and "found" in old:
        return old["found"]
    found = measure()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"stamp": stamp, "found": found}))
    return found


@dataclass(frozen=True)
class Task:
    """What every entry of a table is asked for."""

    title: str
    n: int
    norm: str  # that the median is given in
    eps: float = math.inf
    passes: int | None = None  # of the bare loop beside it; None: as many as the entry makes
    architecture: str = "lenet5"
    targeted: bool = False
    more: int = 1  # rounds for one, where a call is short


class Counted(nn.Module):
    """A model that counts the examples passing through it, forwards and backwards."""

    def __init__(self, model):
        super().__init__()
        self.model, self.forwards, self.backwards = model, 0, 0
        self.register_forward_hook(self.count)

    def forward(self, x):
        return self.model(x)

    def count(self, _module, _inputs, z):
        self.forwards += len(z)
        if z.requires_grad:
            z.register_hook(self.count_backwards)

    def count_backwards(self, gradient):
        times = 1
        if torch._C._functorch.is_legacy_batchedtensor(gradient):  # `is_grads_batched` in `grad`
            times = len(torch._remove_batch_dim(gradient, 1, 0, 0))
        self.backwards += times * len(gradient)


def bare_loop(passes, batch):
    """Return an entry that makes `passes` forward passes and input gradients, and nothing else."""

    def run(model, x, y, _target):
        for part, labels in zip(x.split(batch), y.split(batch), strict=True):
            part = part.detach().requires_grad_()  # the weights keep theirs, as the user has them
            for _ in range(passes):
                torch.autograd.grad(F.cross_entropy(model(part), labels, reduction="sum"), part)

    return run


def in_batches(peer):
    """Return the peer's adapter, called with `PEER_BATCH` images at a time."""

    def run(model, x, y, target):
        starts = range(0, len(x), PEER_BATCH)
        parts = [slice(i, i + PEER_BATCH) for i in starts]
        aims = [None if target is None else target[part] for part in parts]
        done = [peer(model, x[p], y[p], aim) for p, aim in zip(parts, aims, strict=True)]
        return torch.cat([x_adv.detach() for x_adv in done])

    return run


def call(run, model, images):
    """Run an entry on copies of `images` (x, y, target); return its result and its seconds."""
    model.eval()
    model.zero_grad(set_to_none=True)  # several peers leave gradients behind
    torch.manual_seed(0)
    np.random.seed(0)  # where ART draws from
    copies = [None if part is None else part.clone() for part in images]
    begun = time.perf_counter()
    x_adv = run(model, *copies)
    return x_adv, time.perf_counter() - begun


def judge(task, model, images, x_adv):
    """Return success, robust accuracy and median norm of what an attack returned.

    Outside of the box or the ball is a failure, and so is an image that is all black.
    """
    x, y, target = images
    boxed = x_adv.clamp(0, 1)
    size = norms(boxed - x)[task.norm].float()
    valid = ((x_adv - boxed).abs().flatten(1).amax(1) <= 1e-4) & (size <= task.eps + 1e-4)
    valid &= (boxed > 0).flatten(1).any(1)
    with torch.no_grad():
        before, after = model(x).argmax(1), model(boxed).argmax(1)
    wanted = (before == y) if target is None else (before != target)
    won = valid & ((after != y) if target is None else (after == target))
    right = torch.where(valid, after, before) == y
    reached = torch.where(won, size, torch.inf)[wanted]
    return {
        "success": won[wanted].float().mean().item(),
        "robust": right.float().mean().item(),
        "norm": statistics.median(reached.tolist()),
    }


def count(task, run, model, images):
    """Run an entry once, untimed; return its row so far, and whether it is slow."""
    counted = Counted(model)
    x_adv, seconds = call(run, counted, images)
    passes = {
        "forwards": counted.forwards / len(x_adv),
        "backwards": counted.backwards / len(x_adv),
    }
    return {"n": len(x_adv), **judge(task, model, images, x_adv), **passes}, seconds > SLOW


def measure(name, task, runs, few, model, images, rounds):
    """Return {label: row} of every entry in `runs`, timed in turns with the bare loop.

    few: {label: images} for entries that get fewer of them.
    """
    rows, once = {}, set()
    first = {label: [p if p is None else p[: few.get(label)] for p in images] for label in runs}
    for label, run in tqdm(runs.items(), desc=f"{name}: passes", **QUIET):
        try:
            rows[label], slow = count(task, run, model, first[label])
        except Exception as error:  # a peer's, or a colleague's: the others still count
            rows[label] = {"absent": f"failed ({type(error).__name__}: {error})"}
            continue
        once |= {label} if slow else set()
    passes = task.passes or FLOOR_PASSES
    sizes = sorted({min(size, len(images[0])) for size in FLOOR_BATCHES})
    floors = {size: bare_loop(passes, size) for size in sizes}
    turns = floors | {label: run for label, run in runs.items() if "absent" not in rows[label]}
    times = {label: [] for label in turns}
    total = range(rounds * task.more)
    bar = tqdm([(i, label) for i in total for label in turns], desc=name, **QUIET)
    for i, label in bar:
        if i == 0 or label not in once:
            times[label].append(call(turns[label], model, first.get(label, images))[1])
    size = min(floors, key=lambda size: statistics.median(times[size]))
    floor = min(times[size])
    for label in turns.keys() - floors.keys():
        row = rows[label]
        asked = task.passes or max(row["forwards"], row["backwards"])
        beside = floor / passes / len(images[0]) * asked * row["n"]
        row |= {"best": min(times[label]), "median": statistics.median(times[label])}
        row["ratio"] = row["best"] / beside if beside else math.inf
    bare = {"n": len(images[0]), "best": floor, "median": statistics.median(times[size])}
    bare |= {"ratio": 1.0, "forwards": passes, "backwards": passes}
    return {f"{FLOOR}, batches of {size}": bare, **rows}
