"""Play the whole matrix, on both cores or on a cluster: resumable, cell by cell."""

import json
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

from tqdm.auto import tqdm

from .. import data, models
from ..attacks.inputs import check_count, check_size
from . import duel, files, matrix, rules

VERSION = 1  # of all that decides a cell's value and is in no other part of its key: count it up


def play(
    dataset,
    n_images=100,
    eps=None,
    rows=None,
    columns=None,
    scheduler=None,
    folder=None,
    progress=True,
    *,
    seed=0,
    workers=None,
    force=False,
):
    """Play every row against every column that has not been played yet; return the `Matrix`.

    dataset: a name, or a `Dataset` that has one. n_images: of the test set, for each cell but the
    slow ones (`rules.images_for`). eps: radius of the linf ball in pixel units of [0, 1] (None:
    `files.EPS`). rows, columns: names (None: all, readers' own included). scheduler: the address of
    a Dask cluster, "tcp://..."; its workers need the course and its data. workers: processes on this
    machine where there is no scheduler (None: one for each core; 1: this process alone). folder:
    where a file for each cell goes, as soon as it is played (None: build/arena); what is there or
    committed in data/arena, under the same key, is not played again, unless `force`.
    Same seed, same matrix, whoever plays it. Raises ValueError for unknown names, and ArenaError for
    a reader's attack or defense that breaks a rule; what was played until then is kept.
    """
    dataset = getattr(dataset, "name", dataset)
    dataset = data.load(dataset, quiet=True).name if dataset == "auto" else dataset
    eps = files.eps_for(dataset, eps)
    check_size("eps", eps)
    check_count("n_images", n_images)
    here = Path(folder or files.default_folder()) / f"{dataset}-{eps:g}"
    wanted = jobs(dataset, n_images, eps, seed, chosen("rows", rows), chosen("columns", columns))
    kept = {} if force else files.committed(dataset, eps)
    done = {}
    for job in wanted:
        path = files.file_of(here, job)
        if path.exists() and not force:
            done[job["key"]] = files.loaded(path)
        elif job["key"] in kept:
            done[job["key"]] = kept[job["key"]]
    todo = [job for job in wanted if job["key"] not in done]
    bar = tqdm(
        total=len(wanted), initial=len(done), desc="arena", unit="cell", disable=not progress
    )
    with bar, players(scheduler, workers, len(todo)) as results:
        for job, result in results(todo):
            cell = cell_of(job, result)
            files.save(files.file_of(here, job), cell)
            done[job["key"]] = cell
            bar.update()
    _, y = duel.sampled(dataset, n_images, seed)
    names = duel.classes(dataset)
    cells = [replace(done[job["key"]], row=job["row"], column=job["column"]) for job in wanted]
    return matrix.assembled(dataset, eps, seed, [names[int(label)] for label in y], cells)


def jobs(dataset, n_images, eps, seed, rows, columns):
    """Return the jobs, the slowest first: plain dicts that any process can play with `duel.duel`."""
    images = duel.digest(duel.sampled(dataset, n_images, seed)[0])
    everyone, makers, found = rules.rows(), rules.columns(), []
    of_column = {column: ingredients(column, makers[column], dataset) for column in columns}
    for row in (everyone[name] for name in rows):
        for column in columns:
            n = rules.images_for(row, column, n_images)
            job = {"dataset": dataset, "n_images": n_images, "n": n, "eps": eps, "seed": seed}
            job |= {"images": images, "row": row.name, "column": column}
            job |= duel.functions(row.name, column)
            attack = duel.hashed(job["attack"]) if row.own else row.settings
            decides = [VERSION, row.name, attack, column, of_column[column], images, n, eps, seed]
            job["key"] = duel.hashed(json.dumps(decides).encode())
            job["cost"] = n * row.passes * rules.COSTS.get(column, 1)
            found.append(job)
    return sorted(found, key=lambda job: -job["cost"])


def ingredients(column, make, dataset):
    """Return what a column is made of: the sha256 of its checkpoints, or the reader's function.

    Its maker is run on no images, which ends early where it would train a detector on some: by then
    it has loaded its networks.
    """
    if column in rules.DEFENDERS:
        return [duel.hashed(duel.packed(make))]
    images, asked = duel.loaded(dataset), []
    empty = replace(images, **{part: getattr(images, part)[:0] for part in PARTS})

    def load(architecture, name, variant="standard", *args, **options):
        asked.append(f"{architecture}-{getattr(name, 'name', name)}-{variant}")
        return original(architecture, name, variant, *args, **options)

    original = models.load
    with mock.patch.object(models, "load", load):
        try:
            make(empty, "cpu")
        except (ValueError, IndexError, RuntimeError):  # no images to learn from
            assert asked, f"{column}: no checkpoint"
    shas = models.manifest()
    return sorted(shas[key]["sha256"] for key in asked)


PARTS = ("x_train", "y_train", "x_test", "y_test")


def chosen(kind, names):
    """Return the names of rows or columns, all for None; an unknown one is a ValueError."""
    known = rules.rows() if kind == "rows" else rules.columns()
    names = list(known) if names is None else [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in known:
            raise ValueError(f"{kind}: no {name!r}; there are {', '.join(known)}")
    return list(dict.fromkeys(names))


@contextmanager
def players(scheduler, workers, count):
    """Yield a function jobs -> pairs (job, result) as they are done: here, or by Dask's workers.

    A worker that dies takes nothing with it: its cells are given to another, and what was done has
    been written by then.
    """
    workers = workers or os.cpu_count() or 1
    if not count or (scheduler is None and min(workers, count) == 1):
        yield lambda todo: ((job, duel.duel(job)) for job in todo)
        return
    from distributed import Client, LocalCluster, as_completed

    def results(client, todo):
        futures = {}
        for job in todo:
            future = client.submit(duel.duel, job, key=f"{job['key']}-{id(todo)}", retries=3)
            futures[future] = job
        try:
            for future in as_completed(list(futures)):
                yield futures[future], future.result()
        finally:
            client.cancel(list(futures))

    local = None
    if scheduler is None:  # loopback only, and no dashboard whose port might be taken
        local = LocalCluster(
            n_workers=min(workers, count),
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
        )
    with local or _nothing(), Client(local or scheduler) as client:
        yield lambda todo: results(client, todo)


@contextmanager
def _nothing():
    yield


def cell_of(job, result):
    """Return the `Cell` of a job's result, its answers in words."""
    answers = tuple(duel.named(a, job["dataset"]) for a in result["answers"])
    return matrix.Cell(
        row=job["row"],
        column=job["column"],
        key=job["key"],
        answers=answers,
        shown=result["shown"],
        before=duel.named(result["before"], job["dataset"]),
        note=result["note"],
        seconds=result["seconds"],
        picture=matrix.squeezed(result["x_adv"]),
    )
