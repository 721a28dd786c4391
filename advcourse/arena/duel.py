"""One cell of the matrix: one attacker against one defense on a few images, in any process."""

import copy
import functools
import hashlib
import sys
import time
from dataclasses import replace

import cloudpickle
import torch

from .. import data, defended
from .rules import ATTACKERS, DEFENDERS, Attacker, columns, rows

ROOM = 1e-6  # how far rounding may carry an image out of the ball


class ArenaError(ValueError):
    """A reader's attack or defense that broke a rule; the message names the row or the column."""


def packed(function):
    """Return a reader's function as bytes: by value, so that a worker need not import its module."""
    module = sys.modules.get(getattr(function, "__module__", None))
    elsewhere = module and module.__name__ != "__main__" and not module.__name__.startswith("adv")
    if elsewhere:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(function)
    finally:
        if elsewhere:
            cloudpickle.unregister_pickle_by_value(module)


def duel(job):
    """Play one cell; job and result are plain dicts (see `tournament.jobs`, `matrix.Cell`)."""
    torch.set_num_threads(1)
    images = loaded(job["dataset"])
    x, y = sampled(job["dataset"], job["n_images"], job["seed"])
    if digest(x) != job["images"]:
        raise ArenaError(f"{job['dataset']}: other images here than where the game was started")
    x, y = x[: job["n"]], y[: job["n"]]
    return contest(attacker(job), victim(job, images), x, y, job["eps"], job["seed"])


def attacker(job):
    """Return the row of a job: the course's own by name, a reader's from its bytes."""
    if job["attack"] is None:
        return rows()[job["row"]]
    function = cloudpickle.loads(job["attack"])
    return Attacker(job["row"], None, function, own=True)


def victim(job, images):
    """Return the column of a job; it is a pattern to copy, never to ask."""
    if job["defense"] is None:
        return built(job["column"], job["dataset"])
    return checked_defense(
        job["column"], cloudpickle.loads(job["defense"])(images, torch.device("cpu"))
    )


@functools.lru_cache(maxsize=2)
def loaded(dataset):
    """Load a data set once per process."""
    return data.load(dataset, quiet=True)


@functools.lru_cache(maxsize=4)
def sampled(dataset, n, seed):
    """Return the images of the game, x [n, ...] and y [n]: a fair sample of the test images."""
    return loaded(dataset).sample(n, seed)


@functools.lru_cache(maxsize=60)
def built(column, dataset):
    """Return a defense of the catalog, built once per process."""
    return checked_defense(column, columns()[column](loaded(dataset), torch.device("cpu")))


def digest(x):
    """Return the fingerprint of a tensor."""
    return hashlib.sha256(x.contiguous().numpy().tobytes()).hexdigest()[:16]


def contest(row, pattern, x, y, eps, seed):
    """Let `row` attack a copy of the defense on x [n, ...]; return the cell, as a dict.

    Copies, because a random defense remembers what it was asked, and an attack could change it: the
    judge's copy is one that the attacker never saw.
    """
    generator, begun, note = torch.Generator().manual_seed(seed), time.process_time(), ""
    try:
        x_adv = row.function(copy.deepcopy(pattern), x.clone(), y.clone(), eps, generator)
    except ValueError as error:
        if not (row.white and "no gradient to follow" in str(error)):
            raise ArenaError(f"row {row.name!r} against {pattern.name!r}: {error}") from error
        x_adv, note = x, "the victim shows no gradient: the image was sent as it was"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ArenaError(f"row {row.name!r} against {pattern.name!r}: {said}") from error
    check_images(row, x_adv, x, eps)
    x_adv, judge = x_adv.detach(), copy.deepcopy(pattern)
    answers = judge.answers(x_adv)
    seconds, refusal = time.process_time() - begun, judge.classes(x)
    fell = ((answers != y) & (answers != refusal)).nonzero()[:, 0]
    before = copy.deepcopy(pattern).answers(x[fell[:20]]) if len(fell) else answers[:0]
    good = (before == y[fell[:20]]).nonzero()[:, 0]
    shown = int(fell[good[0]]) if len(good) else int(fell[0]) if len(fell) else 0
    at = slice(shown, shown + 1)
    before = copy.deepcopy(pattern).answers(x[at])
    return {
        "answers": ["-" if a == refusal else str(a) for a in answers.tolist()],
        "shown": shown,
        "before": "-" if before.item() == refusal else str(before.item()),
        "note": note,
        "seconds": round(seconds, 2),
        "x_adv": x_adv[shown].mul(255).round().to(torch.uint8),
    }


def check_images(row, x_adv, x, eps):
    """Raise an ArenaError that names the row, unless its images are what the rules ask for."""
    if not isinstance(x_adv, torch.Tensor) or x_adv.shape != x.shape or x_adv.dtype != x.dtype:
        tensor = isinstance(x_adv, torch.Tensor)
        got = f"{x_adv.dtype} {tuple(x_adv.shape)}" if tensor else type(x_adv).__name__
        raise ArenaError(
            f"row {row.name!r}: returned {got}; return images, {x.dtype} {tuple(x.shape)}"
        )
    low, high = x_adv.min().item(), x_adv.max().item()
    if not (low >= -ROOM and high <= 1 + ROOM):  # nan is neither
        raise ArenaError(
            f"row {row.name!r}: disqualified, its pixels reach from {low:.4g} to {high:.4g}; "
            "end with .clamp(0, 1)"
        )
    far = (x_adv - x).abs().flatten(1).amax(1)
    if row.inside and bool((far > eps + ROOM).any()):
        raise ArenaError(
            f"row {row.name!r}: disqualified, {int((far > eps + ROOM).sum())} of its {len(x)} images "
            f"leave the ball: a pixel moved by {far.max():.4g}, eps is {eps:g}; end with "
            "(x + (x_adv - x).clamp(-eps, eps)).clamp(0, 1)"
        )


def checked_defense(name, made):
    """Return the defense under its name, or say that it is none."""
    if not isinstance(made, defended.Defended):
        raise ArenaError(
            f"column {name!r}: returned {type(made).__name__}; return a defended.Defended"
        )
    return replace(made, name=name)


def classes(dataset):
    """Return the names of the classes."""
    return loaded(dataset).classes


def named(answer, dataset):
    """Return an answer of a duel, a number or a refusal, in words."""
    return answer if answer == "-" else classes(dataset)[int(answer)]


def hashed(raw):
    """Return a short sha256 of bytes."""
    return hashlib.sha256(raw).hexdigest()[:16]


def functions(row, column):
    """Return a job's readers' functions as bytes, None for the course's own."""
    attack, make = ATTACKERS.get(row), DEFENDERS.get(column)
    return {
        "attack": attack and packed(attack.function),
        "defense": make and packed(make),
    }
