"""The files that keep what was played: one for each cell, and one for a whole matrix."""

import json
from dataclasses import asdict
from pathlib import Path

from ..models import CHECKPOINTS
from ..notebooks import write_text
from .matrix import Cell, assembled

COMMITTED = CHECKPOINTS.parent / "arena"
# At which budgets the course plays; the first is the one that `eps=None` means.
EPS = {"mnist": (0.1, 0.3), "digits": (0.1,), "fashion": (0.1,)}


def read(dataset, folder=None, eps=None):
    """Return the matrix that is kept in `folder` (None: data/arena, what the course comes with).

    eps: in pixel units (None: the first of EPS). Raises ValueError where there is none.
    """
    folder, eps = Path(folder or COMMITTED), eps_for(dataset, eps)
    path = folder / f"{dataset}-{eps:g}.json"
    if not path.exists():
        raise ValueError(
            f"eps: no matrix of {dataset} at eps {eps:g} in {folder.name}/; make it with "
            f"python -m advcourse arena --dataset {dataset} --eps {eps:g} --gather {folder.name}"
        )
    kept = json.loads(path.read_text("utf-8"))
    cells = [Cell(**cell | {"answers": tuple(cell["answers"])}) for cell in kept.pop("cells")]
    return assembled(cells=cells, **kept)


def gather(matrix, folder=None):
    """Write the matrix into one file, a line per cell; return its path.

    Pictures go in only where the images may be given on: those of the embedded digits.
    """
    lines = []
    for r in matrix.rows:
        for c in matrix.columns:
            if (r, c) in matrix.cells:
                kept = asdict(matrix.cells[r, c])
                kept["answers"] = list(kept["answers"])
                if matrix.dataset != "digits":
                    kept["picture"] = ""
                lines.append(json.dumps(kept))
    head = {"dataset": matrix.dataset, "eps": matrix.eps, "seed": matrix.seed}
    head = json.dumps(head | {"labels": list(matrix.labels)})
    path = Path(folder or COMMITTED) / f"{matrix.dataset}-{matrix.eps:g}.json"
    write_text(path, head[:-1] + ', "cells": [\n' + ",\n".join(lines) + "\n]}\n")
    return path


def eps_for(dataset, eps):
    """Return eps, or the one that the course plays this data set at."""
    if eps is not None:
        return float(eps)
    if dataset not in EPS:
        raise ValueError(f"dataset: {dataset!r} is not one of {', '.join(EPS)}")
    return EPS[dataset][0]


def file_of(folder, job):
    """Return the path of a cell's file: what it is, for people, and its key."""
    words = f"{job['row']}--{job['column']}".lower()
    slug = "".join(c if c.isalnum() or c == "-" else "_" for c in words)
    return folder / f"{slug}--{job['key']}.json"


def save(path, cell):
    """Write a cell, whole or not at all."""
    write_text(path, json.dumps(asdict(cell)) + "\n")


def loaded(path):
    """Return the cell that `save` wrote."""
    kept = json.loads(path.read_text("utf-8"))
    return Cell(**kept | {"answers": tuple(kept["answers"])})


def committed(dataset, eps):
    """Return {key: cell} of what the course comes with; {} where there is nothing."""
    try:
        return {cell.key: cell for cell in read(dataset, eps=eps).cells.values()}
    except ValueError:
        return {}


def default_folder():
    """Return build/arena beside the course, or a folder of the reader's where there is no course."""
    root = CHECKPOINTS.parents[1]
    beside = (root / "lectures").is_dir()
    return root / "build" / "arena" if beside else Path.home() / ".cache" / "advcourse" / "arena"
