"""Load the course's images: MNIST, Fashion-MNIST, or the digits that scikit-learn carries.

A file is read only if it is what it should be; a download is finished and checked elsewhere first.
"""

import hashlib
import math
import os
import shutil
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

import torch
import torch.nn.functional as F
from filelock import FileLock

NAMES = ("auto", "mnist", "digits", "fashion")
TITLES = {"mnist": "MNIST", "fashion": "Fashion-MNIST", "digits": "UCI digits (embedded)"}
FOLDERS = {"mnist": "MNIST", "fashion": "FashionMNIST"}  # torchvision's classes and folders
SHAPES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
# Hashed on every load: 0.04 s for 55 MB (0.1 s where the processor has no SHA instructions), less
# than making floats of them, while a marker would vouch for a file that was damaged after it.
# Fashion-MNIST's publishers give hashes of the .gz files only; torchvision checks those.
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
PROBE_SECONDS = 2.5  # for a mirror to answer at all
READ_SECONDS = 10.0  # for the next bytes of a download
PAIR_ADVICE = "install the pair from one index: pip install --upgrade torch torchvision"

_failures: dict[tuple[str, Path], str] = {}  # so that "auto" waits for an absent network once


class DataError(RuntimeError):
    """A data set that is missing or damaged: the reason, and how to mend it."""

    def __init__(self, reason: str, mend: str):
        super().__init__(f"{reason}. {mend}")
        self.reason = reason


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images [N, 1, 28, 28], float32 in [0, 1], with labels [N], int64, and the classes' names."""

    name: str
    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor
    classes: tuple[str, ...]

    @property
    def counts(self) -> str:
        return f"{len(self.y_train):,} training and {len(self.y_test):,} test images"

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}: {self.counts}, {len(self.classes)} classes)"


def load(name: str = "auto", root: str | Path | None = None, *, quiet: bool = False) -> Dataset:
    """Load a data set by name and print one line that says which it is and why.

    "auto" is MNIST where it is on disk or can be downloaded, else the embedded digits.
    ADVCOURSE_DATASET replaces "auto"; ADVCOURSE_DATA is the folder where no `root` is given.
    """
    name, why = _resolve(name)
    folder, shown = where(root)
    if name == "digits":
        dataset, origin = _digits(), "from scikit-learn"
    elif name != "auto":
        dataset, origin = _from_idx(name, folder, shown), f"from {shown}"
    else:
        try:
            dataset, origin = _from_idx("mnist", folder, shown, remember=True), f"from {shown}"
        except (DataError, ImportError) as error:
            reason = error.reason if isinstance(error, DataError) else str(error)
            dataset, origin = _digits(), f"because {reason}. Every notebook runs on them too."
    if not quiet:
        print(f"{TITLES[dataset.name]}: {dataset.counts}, {origin}{why}")
    return dataset


def available(name: str, root: str | Path | None = None) -> bool:
    """Tell whether a data set is complete and sound on disk; downloads nothing."""
    name, _ = _resolve(name)
    return name in ("auto", "digits") or not _flaws(name, where(root)[0])


def where(root: str | Path | None = None) -> tuple[Path, str]:
    """Return the data folder and its name for the reader, never a path that they did not type."""
    if root is not None:
        return Path(root).expanduser(), str(root)
    if variable := os.environ.get("ADVCOURSE_DATA"):
        return Path(variable).expanduser(), "ADVCOURSE_DATA"
    return _default_folder()


def _default_folder() -> tuple[Path, str]:
    beside = Path(__file__).resolve().parents[1] / "data"
    if (beside / "checkpoints").is_dir():  # not just any folder called data in site-packages
        return beside, "data/"
    return Path.home() / ".cache" / "advcourse", "~/.cache/advcourse"


def import_torchvision():
    """Import torchvision; one that does not fit its torch is an ImportError with the mend."""
    try:
        import torchvision
        from torchvision import datasets  # noqa: F401
    # RuntimeError: "operator torchvision::nms does not exist"; AttributeError: the import after it
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        version = torch.__version__
        message = f"torchvision cannot be imported beside torch {version}; {PAIR_ADVICE}"
        raise ImportError(message) from error
    return torchvision


def _resolve(name: str) -> tuple[str, str]:
    """Return the name of the data set, after ADVCOURSE_DATASET, and where the wish came from."""
    source, why = "name", ""
    if name == "auto" and (wish := os.environ.get("ADVCOURSE_DATASET")):
        name, source, why = wish, "ADVCOURSE_DATASET", " (chosen by ADVCOURSE_DATASET)"
    if name not in NAMES:
        raise ValueError(f"{source} is {name!r}; it must be one of {', '.join(NAMES)}")
    return name, why


def _digits() -> Dataset:
    """Place UCI's 8 x 8 digits as MNIST places its own: 20 x 20, centered on 28 x 28."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    # Bicubic: LeNet-5 then reaches 98.2 to 98.4 % over three seeds; bilinear 97.8 to 98.7 %,
    # and 28 x 28 without the border 97.3 to 98.4 %.
    x = F.interpolate(x, size=(20, 20), mode="bicubic", align_corners=False).clamp(0, 1)
    x, y = F.pad(x, (4, 4, 4, 4)), torch.tensor(labels, dtype=torch.int64)
    train, test = train_test_split(range(len(y)), test_size=0.25, stratify=labels, random_state=0)
    return Dataset("digits", x[train], y[train], x[test], y[test], tuple("0123456789"))


def _from_idx(name: str, folder: Path, shown: str, remember: bool = False) -> Dataset:
    """Read one of the two MNISTs, downloaded first if need be."""
    _ensure(name, folder, shown, remember)
    # The readers, not the class: it prefers an old processed/training.pt, which nobody checked.
    datasets = import_torchvision().datasets
    reader = datasets.mnist
    raw = folder / FOLDERS[name] / "raw"

    def split(stem: str) -> tuple[torch.Tensor, torch.Tensor]:
        images = reader.read_image_file(str(raw / f"{stem}-images-idx3-ubyte"))
        labels = reader.read_label_file(str(raw / f"{stem}-labels-idx1-ubyte"))
        return images.unsqueeze(1).float().div_(255), labels

    fashion = datasets.FashionMNIST.classes
    classes = tuple(fashion if name == "fashion" else "0123456789")
    return Dataset(name, *split("train"), *split("t10k"), classes)


def _flaw(path: Path, shape: tuple[int, ...], sha256: str | None) -> str:
    """Return what is wrong with an idx file of bytes: "missing", "unreadable", "damaged" or ""."""
    header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    try:
        with path.open("rb") as file:
            sound = os.fstat(file.fileno()).st_size == len(header) + math.prod(shape)
            sound = sound and file.read(len(header)) == header
            if sound and sha256:
                file.seek(0)
                sound = hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "unreadable"
    return "" if sound else "damaged"


def _flaws(name: str, folder: Path) -> dict[str, str]:
    """Return those of the four files that cannot be used, each with its flaw."""
    raw, hashes = folder / FOLDERS[name] / "raw", MNIST_SHA256 if name == "mnist" else {}
    found = {file: _flaw(raw / file, shape, hashes.get(file)) for file, shape in SHAPES.items()}
    return {file: flaw for file, flaw in found.items() if flaw}


def _ensure(name: str, folder: Path, shown: str, remember: bool) -> None:
    """Download what is missing, and what is damaged in the course's own folder, or raise."""
    flaws, raw = _flaws(name, folder), f"{FOLDERS[name]}/raw"
    if not flaws:
        return
    bad = [file for file, flaw in flaws.items() if flaw != "missing"]
    reason = f"{TITLES[name]} is not in {shown}"
    mend = f"Put its four uncompressed files into {folder / raw}, or point ADVCOURSE_DATA at a "
    mend += f"folder that has them in {raw}, or use the embedded digits (name 'digits')"
    if bad:
        reason = f"{Path(shown, raw, bad[0])} is {flaws[bad[0]]}"
        mend = f"Delete {folder / raw / bad[0]}, so that it is downloaded again. {mend}"
        if folder != _default_folder()[0]:  # a reader's own files are not replaced
            raise DataError(reason, mend)
    failure = _failures.get((name, folder)) if remember else None
    if failure is None:
        try:
            _download(name, folder)
            return
        except (OSError, RuntimeError, HTTPException) as error:
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            failure = text.splitlines()[0].rstrip(":")
    _failures[name, folder] = failure
    raise DataError(f"{reason} and cannot be downloaded: {failure}", mend)


def _download(name: str, folder: Path) -> None:
    """Fetch with torchvision into a staging folder, check, and move what was flawed into place."""
    cls = getattr(import_torchvision().datasets, FOLDERS[name])
    failure: Exception = ConnectionError("its mirrors did not answer")
    if not (mirrors := _answering(cls.mirrors, cls.resources[0][0])):
        raise failure
    staging, raw = folder / f".download-{FOLDERS[name]}", Path(FOLDERS[name], "raw")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{staging}.lock"):
        if not (flaws := _flaws(name, folder)):  # another process has been here
            return
        for mirror in mirrors:
            for file in SHAPES:  # torchvision takes a half-extracted file for a finished one
                (staging / raw / file).unlink(missing_ok=True)
            # A class for each mirror, as torchvision's own loop over them ends where one stalls.
            # It keeps finished .gz files whose md5 is right, so the next attempt resumes.
            one = type(cls.__name__, (cls,), {"mirrors": [mirror]})
            try:
                with _socket_timeout(READ_SECONDS):
                    one(staging, train=False, download=True)
                break
            except (OSError, RuntimeError, HTTPException) as error:
                failure = error
        if wrong := _flaws(name, staging):
            raise failure if "missing" in wrong.values() else OSError(f"files arrived {wrong}")
        (folder / raw).mkdir(parents=True, exist_ok=True)
        for file in flaws:
            os.replace(staging / raw / file, folder / raw / file)
        shutil.rmtree(staging, ignore_errors=True)


def _answering(mirrors: list[str], file: str) -> list[str]:
    """Return the mirrors that have a file and say so within PROBE_SECONDS, all asked at once."""
    answers = set()

    def ask(mirror: str) -> None:
        with suppress(OSError, HTTPException):
            urlopen(Request(mirror + file, method="HEAD"), timeout=PROBE_SECONDS).close()
            answers.add(mirror)

    # Daemon threads, because a name look-up heeds no time-out.
    threads = [threading.Thread(target=ask, args=(mirror,), daemon=True) for mirror in mirrors]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PROBE_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [mirror for mirror in mirrors if mirror in answers]


@contextmanager
def _socket_timeout(seconds: float):
    """Set the process's default time-out for sockets, and put the old one back."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
