"""Measure every figure of lecture 18: `python -m advcourse train --literature`."""

import time

from tqdm.auto import tqdm

from .. import data
from . import poster, report, seminar, slides, store, trainings
from .nets import saved
from .registry import FIGURES

JOBS = {
    "shallow": poster.shallow,
    "jsma": poster.jsma,
    "smoothing": poster.smoothing,
    "report": report.report,
    "hidden": report.hidden,
    "lenet_clean": slides.lenet_clean,
    "lenet_negative": slides.lenet_negative,
    "lenet_noise": slides.sweep("noise", slides.noise),
    "lenet_fgsm": slides.sweep("fgsm", slides.fgsm),
    "lenet_pgd": slides.sweep("pgd", slides.pgd, 500),
    "lenet_deepfool": slides.lenet_deepfool,
    "hosseini": trainings.hosseini,
    "madry": trainings.madry,
    "noise": trainings.noise,
    "generated": seminar.generated,
    "distilled": seminar.distilled,
}


def compute(keys=None, dataset="mnist", progress=True, *, folder=store.FOLDER, jobs=None):
    """Measure what is missing, or what `keys` names (again), and store it; return {key: Measured}.

    One job measures the figures that belong together; each is stored as it is done, so that after
    Ctrl-C the same call goes on. keys: of `FIGURES`; dataset: a name or a `data.Dataset`.
    Raises ValueError for an unknown key, and for a damaged file of results.
    """
    jobs, of = jobs or JOBS, {f.key: f.job for f in FIGURES}
    wrong = [key for key in keys or () if key not in of]
    if wrong:
        raise ValueError(f"keys: no figure {wrong[0]!r}; take them from literature.FIGURES")
    kept = store.read(dataset, folder)
    missing = {of[key] for key in of if key not in kept["values"]}
    wanted = {of[k] for k in keys} if keys else missing | set(jobs) - set(kept["series"])
    todo = [name for name in jobs if name in wanted]
    if todo:
        images = data.load(dataset, quiet=not progress) if isinstance(dataset, str) else dataset
        bar = tqdm(todo, desc="literature", unit="job", disable=not progress)
        for name in bar:
            bar.set_postfix_str(name)
            _do(name, jobs[name], images, progress, folder)
    return store.measured(dataset, folder)


def _do(name, job, images, progress, folder):
    """Run one job and store what it found; its trainings count, also those made before."""
    begun = time.process_time() + saved()
    values, series = job(images, progress=progress)
    seconds = time.process_time() + saved() - begun
    kept = store.read(images, folder)  # again: another process may have stored something
    kept["values"] |= {key: store.entry(found, seconds) for key, found in values.items()}
    kept["series"][name] = store.short(series)
    store.write(kept, images, folder)


def main(datasets=(), force=False):
    """Measure on every data set that is there; return 0. ValueError for one without networks."""
    wrong = [name for name in datasets if name not in ("mnist", "digits")]
    if wrong:
        raise ValueError(f"--dataset: {wrong[0]!r} has no published figures; take mnist or digits")
    for name in datasets or [n for n in ("mnist", "digits") if data.available(n)]:
        found = compute([f.key for f in FIGURES] if force else None, name)
        seconds = {f.job: found[f.key].seconds for f in FIGURES if f.key in found}
        minutes = sum(seconds.values()) / 60
        print(
            f"{name}: {len(found)} figures; {minutes:.0f} minutes of one core, trainings included"
        )
    return 0
