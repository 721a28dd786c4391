"""Run the lectures, resumably, and build the pages that open from disk without a network."""

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from urllib.parse import quote

import nbformat
from tqdm import tqdm

from advcourse import pages
from advcourse.notebooks import (
    CourseError,
    check_parameters,
    execute,
    find_root,
    tidy,
    write_text,
)
from advcourse.pages import index, page

__all__ = ["index", "page", "run"]


def run(names=None, out="build/site", parameters=None, force=False, in_place=False) -> int:
    """Execute the lectures that changed since the last run, write their pages, return an exit code.

    Executed copies stay in build/executed, pages go to `out`. With `in_place` the lectures run on
    MNIST and are written back, tidied, to lectures/: that is how the committed ones are made.
    """
    root = find_root()
    lectures = select(root, names)
    if in_place and parameters:
        raise CourseError("--in-place takes no parameters: committed lectures show their defaults")
    if in_place:
        os.environ["ADVCOURSE_DATASET"] = "mnist"  # the kernels inherit it
    for lecture in lectures:
        check_parameters(lecture, parameters)
    prints = {lecture: fingerprint(root, lecture, parameters) for lecture in lectures}
    waiting = [x for x in lectures if force or record(root, x).get("fingerprint") != prints[x]]
    if fresh := len(lectures) - len(waiting):
        print(f"{fresh} of {len(lectures)} lectures are up to date", file=sys.stderr)

    failures, interrupted = {}, False
    try:
        failures = _execute_all(root, waiting, prints, parameters)
    except KeyboardInterrupt:
        interrupted = True
    good = [x for x in lectures if x.stem not in failures]  # a forced run may fail on old results
    done = [x for x in good if record(root, x).get("fingerprint") == prints[x]]
    for lecture in done if in_place else []:
        write_text(lecture, nbformat.writes(tidy(_read(executed(root, lecture)))) + "\n")
    failures |= publish(root, root / out)

    for name, message in failures.items():
        print(f"\nFAILED {name}\n  {message}", file=sys.stderr)
    if interrupted:
        again = "run the same command again to go on from there"
        print(f"\nInterrupted, {len(done)} of {len(lectures)} finished: {again}.", file=sys.stderr)
        return 130
    where = (root / out / "index.html").resolve()
    print(f"\nOpen {_shown(where)} in a browser:\n  {where.as_uri()}")
    return 1 if failures else 0


def select(root: Path, names=None) -> list[Path]:
    """Find lectures by number, by name or by path; all of them where none is named."""
    lectures = sorted((root / "lectures").glob("[0-9]*.ipynb"))
    chosen = []
    for name in names or []:
        stem = Path(name).name.removesuffix(".ipynb")
        found = [x for x in lectures if stem.zfill(2) in (x.stem, x.stem.split("_")[0])]
        if not found:
            there = ", ".join(x.stem for x in lectures) or "none"
            raise CourseError(f"no lecture {name!r} in {root / 'lectures'}; there are: {there}")
        chosen += found
    if not lectures:
        raise CourseError(f"no lecture (NN_name.ipynb) in {root / 'lectures'}")
    return sorted(set(chosen)) or lectures


def fingerprint(root: Path, lecture: Path, parameters=None) -> str:
    """Hash all that a lecture's result hangs on: its source, the parameters, the code, the data."""
    cells = [(c.cell_type, c.source, c.metadata.get("tags")) for c in _read(lecture).cells]
    chosen = [os.environ.get(name) for name in ("ADVCOURSE_DATASET", "ADVCOURSE_DATA")]
    sha = hashlib.sha256(json.dumps([cells, parameters or {}, chosen], default=str).encode())
    package = Path(__file__).parent
    manifests = (root / "data" / "checkpoints").glob("*.json")
    for path in [*sorted(package.rglob("*.py")), *sorted(manifests)]:
        sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest()


def executed(root: Path, lecture: Path) -> Path:
    """Say where the executed copy of a lecture lies."""
    return root / "build" / "executed" / lecture.name


def record(root: Path, lecture: Path) -> dict:
    """Read what is known of the last finished run: its fingerprint and its seconds."""
    path = executed(root, lecture)
    try:
        return json.loads(path.with_suffix(".json").read_text("utf-8")) if path.exists() else {}
    except (OSError, ValueError):
        return {}


def _execute_all(root, waiting, prints, parameters) -> dict[str, str]:
    """Execute lecture after lecture under one bar of cells; return the message of each failure."""
    failures, past = {}, 0
    sizes = [
        sum(c.cell_type == "code" and bool(c.source.strip()) for c in _read(x).cells)
        for x in waiting
    ]
    with tqdm(total=sum(sizes), unit="cell", disable=None) as bar:
        for lecture, size in zip(waiting, sizes, strict=True):
            bar.set_description(lecture.stem)
            started = time.perf_counter()
            try:
                _execute_one(root, lecture, prints[lecture], parameters, bar.update)
                ending = f"executed in {time.perf_counter() - started:.1f} s"
            except CourseError as error:
                failures[lecture.stem], ending = str(error), "FAILED"
            tqdm.write(f"{lecture.stem}: {ending}", file=sys.stderr)
            past += size
            bar.update(past - bar.n)
    return failures


def _execute_one(root, lecture, print_, parameters, on_cell) -> None:
    """Execute one lecture beside its last good copy, which gives way only to a finished one."""
    final = executed(root, lecture)
    partial = final.with_name(f"{lecture.stem}.partial.ipynb")
    started = time.perf_counter()
    # The kernel works in build/executed: whatever a cell leaves behind stays out of the sources.
    execute(lecture, partial, parameters, cwd=final.parent, on_cell=on_cell)
    seconds = round(time.perf_counter() - started, 1)
    os.replace(partial, final)
    known = {"fingerprint": print_, "seconds": seconds}
    write_text(final.with_suffix(".json"), json.dumps(known) + "\n")


def publish(root: Path, out: Path) -> dict[str, str]:
    """Write the pages of what was executed and the contents; return the message of each failure."""
    up, failures, listed, ready = _way(root, out), {}, [], {}
    for path in select(root):
        known, copy = record(root, path), executed(root, path)
        notebook = _read(copy if known else path)
        lab = next((lab.name for lab in _labs(root, path)), "")
        listed.append(pages.describe(notebook, path.stem, known.get("seconds"), lab))
        if known:
            ready[listed[-1]] = notebook
    order = list(ready)
    for lecture, before, after in zip(order, [None, *order], [*order[1:], None], strict=False):
        try:
            text = page(ready[lecture], lecture, before, after, up, {x.name for x in order})
            write_text(out / f"{lecture.name}.html", text)
        except CourseError as error:
            failures[lecture.name] = f"no page: {error}"
    write_text(out / "index.html", index(listed, up))
    return failures


def _labs(root: Path, lecture: Path):
    return sorted((root / "labs").glob(lecture.stem.split("_")[0] + "*.ipynb"))


def _way(root: Path, out: Path) -> str:
    """Write the way from the pages to the course; on another Windows drive there is only a URI."""
    try:
        return quote(Path(os.path.relpath(root, out)).as_posix())
    except ValueError:
        return root.as_uri()


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _read(path: Path):
    return nbformat.read(path, as_version=4)
