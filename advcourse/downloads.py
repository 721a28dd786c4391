"""Fetch MNIST and Fashion-MNIST, and verify their files, those already on disk included.

A download is finished and checked in a folder of its own before a file of it is moved into place.
"""

import hashlib
import math
import os
import shutil
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from types import ModuleType
from urllib.request import Request, urlopen

import torch
from filelock import FileLock

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


class DataError(RuntimeError):
    """A data set that is missing or damaged: the reason, and how to mend it."""

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(f"{reason}. {mend}")
        self.reason = reason


def import_torchvision() -> ModuleType:
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


def flaws(name: str, folder: Path) -> dict[str, str]:
    """Return those of the four files that cannot be used, each with its flaw."""
    raw, hashes = folder / FOLDERS[name] / "raw", MNIST_SHA256 if name == "mnist" else {}
    found = {file: _flaw(raw / file, shape, hashes.get(file)) for file, shape in SHAPES.items()}
    return {file: flaw for file, flaw in found.items() if flaw}


def download(name: str, folder: Path) -> None:
    """Fetch with torchvision into a staging folder, check, and move what was flawed into place."""
    cls = getattr(import_torchvision().datasets, FOLDERS[name])
    failure: Exception = ConnectionError("its mirrors did not answer")
    if not (mirrors := _answering(cls.mirrors, cls.resources[0][0])):
        raise failure
    staging, raw = folder / f".download-{FOLDERS[name]}", Path(FOLDERS[name], "raw")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{staging}.lock"):
        if not (flawed := flaws(name, folder)):  # another process has been here
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
        if wrong := flaws(name, staging):
            raise failure if "missing" in wrong.values() else OSError(f"files arrived {wrong}")
        (folder / raw).mkdir(parents=True, exist_ok=True)
        for file in flawed:
            os.replace(staging / raw / file, folder / raw / file)
        shutil.rmtree(staging, ignore_errors=True)


def _answering(mirrors: list[str], file: str) -> list[str]:
    """Return the mirrors that have a file and say so within PROBE_SECONDS, all asked at once."""
    answers: set[str] = set()

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
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Set the process's default time-out for sockets, and put the old one back."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
