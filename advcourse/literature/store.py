"""What was measured, in one small file per data set: `data/literature/<dataset>.json`."""

import json
from dataclasses import dataclass, fields
from pathlib import Path

from ..models import CHECKPOINTS
from ..notebooks import write_text
from .reasons import reason
from .registry import FIGURES

FOLDER = CHECKPOINTS.parent / "literature"
MEND = "restore it with `git checkout data/literature`, or delete it and run "
MEND += "`python -m advcourse train --literature`"


@dataclass(frozen=True)
class Measured:
    """What we found for one figure: the value with its 95 % interval, of how many, and how.

    setting: what we set where the source is silent; reason: why it is not the published value
    ("" where the published value lies in the interval); seconds: of the whole job, on one core.
    """

    value: float
    low: float
    high: float
    n: int
    setting: str
    reason: str
    seconds: float


def read(dataset, folder=FOLDER):
    """Return {"values": {key: {...}}, "series": {job: {...}}} as stored; empty where nothing is.

    Raises ValueError, with the mend, for a file that is damaged.
    """
    path = Path(folder) / f"{_name(dataset)}.json"
    if not path.exists():
        return {"values": {}, "series": {}}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        sound = isinstance(kept["series"], dict) and all(
            _sound(key, value) for key, value in kept["values"].items()
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise ValueError(f"{path.name}: is not the file of results that it was; {MEND}")
    return kept


def _sound(key, value):
    """Tell whether a stored value is one of a known figure, with numbers where they belong."""
    numbers = all(isinstance(value[name], (int, float)) for name in ("value", "low", "high", "n"))
    wanted = {f.name for f in fields(Measured)} - {"reason"}
    return set(value) == wanted and numbers and key in {f.key for f in FIGURES}


def write(kept, dataset, folder=FOLDER):
    """Store the results at once or not at all: an interruption leaves the old file."""
    path = Path(folder) / f"{_name(dataset)}.json"
    order = [f.key for f in FIGURES]
    values = dict(sorted(kept["values"].items(), key=lambda item: order.index(item[0])))
    rows = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in values.items()]
    series = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(kept["series"].items())]
    text = '{\n "values": {\n' + ",\n".join(rows) + '\n },\n "series": {\n' + ",\n".join(series)
    write_text(path, text + "\n }\n}\n")


def measured(dataset, folder=FOLDER):
    """Return {key: Measured} of what is stored for `dataset`, a name or a `data.Dataset`."""
    found = read(dataset, folder)["values"]
    figures = {f.key: f for f in FIGURES}
    return {
        key: Measured(**v, reason=reason(figures[key], v, _name(dataset)))
        for key, v in found.items()
    }


def series(dataset, job, folder=FOLDER):
    """Return the curves of one job, {name: numbers}; raises KeyError where it has not run."""
    kept = read(dataset, folder)["series"]
    if job not in kept:
        raise KeyError(f"{job}: not measured; run `python -m advcourse train --literature`")
    return kept[job]


def entry(found, seconds):
    """Return what is stored of one `Found`."""
    kept = found._asdict() | {"seconds": round(seconds, 1)}
    return {k: round(v, 5) if isinstance(v, float) else v for k, v in kept.items()}


def short(series):
    """Return the curves of a job with five digits each, as they are stored."""
    return json.loads(json.dumps(series), parse_float=lambda text: float(f"{float(text):.5g}"))


def _name(dataset):
    return dataset if isinstance(dataset, str) else dataset.name
