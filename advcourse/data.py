"""Load the course's images: MNIST, Fashion-MNIST, or the digits that scikit-learn carries.

A file is read only if it is what it should be; `downloads` verifies it, and fetches what is not.
"""

import os
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import torch
import torch.nn.functional as F

from .downloads import FOLDERS, DataError, download, flaws, import_torchvision

NAMES = ("auto", "mnist", "digits", "fashion", "signs")
TITLES = {"mnist": "MNIST", "fashion": "Fashion-MNIST", "digits": "UCI digits (embedded)"}
TITLES["signs"] = "Road signs"

_failures: dict[tuple[str, Path], str] = {}  # so that "auto" waits for an absent network once


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

    def sample(
        self, n: int, seed: int = 0, part: str = "test"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x [n, 1, 28, 28] and y [n], drawn at random; all images where there are fewer.

        Every class has its share of the whole part, to within one image. Fair where the first n are
        not: MNIST's first 5,000 test images are cleaner than the others. part: "test" or "train".
        Raises ValueError for n below 1 and for another part.
        """
        if part not in ("test", "train"):
            raise ValueError(f"part: {part!r} is not one of test, train")
        x, y = (self.x_test, self.y_test) if part == "test" else (self.x_train, self.y_train)
        if n < 1:
            raise ValueError(f"n: {n} is no number of images; pass a whole number >= 1")
        source = torch.Generator().manual_seed(seed)
        shuffled = torch.randperm(len(y), generator=source)
        # Where each image stands within its class, as a share: the n smallest are a fair sample.
        place = torch.empty(len(y))
        for label in y.unique():
            rows = shuffled[y[shuffled] == label]
            place[rows] = (torch.arange(len(rows)) + 0.5) / len(rows)
        place += 1e-6 * torch.rand(len(y), generator=source)  # ties between classes
        chosen = place.argsort()[:n]
        chosen = chosen[torch.randperm(len(chosen), generator=source)]
        return x[chosen], y[chosen]

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
    elif name == "signs":
        from . import signs  # which draws its pictures, and needs this module for it

        dataset, origin = signs.load(), "48 x 48 in color, drawn by the course (advcourse.signs)"
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
    return name in ("auto", "digits", "signs") or not flaws(name, where(root)[0])


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


def _resolve(name: str) -> tuple[str, str]:
    """Return the name of the data set, after ADVCOURSE_DATASET, and where the wish came from."""
    source, why = "name", ""
    if name == "auto" and (wish := os.environ.get("ADVCOURSE_DATASET")):
        name, source, why = wish, "ADVCOURSE_DATASET", " (chosen by ADVCOURSE_DATASET)"
    allowed = NAMES if not why else [n for n in NAMES if n != "signs"]  # no notebook's digits
    if name not in allowed:
        raise ValueError(f"{source} is {name!r}; it must be one of {', '.join(allowed)}")
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


def _ensure(name: str, folder: Path, shown: str, remember: bool) -> None:
    """Download what is missing, and what is damaged in the course's own folder, or raise."""
    flawed, raw = flaws(name, folder), f"{FOLDERS[name]}/raw"
    if not flawed:
        return
    bad = [file for file, flaw in flawed.items() if flaw != "missing"]
    reason = f"{TITLES[name]} is not in {shown}"
    mend = f"Put its four uncompressed files into {folder / raw}, or point ADVCOURSE_DATA at a "
    mend += f"folder that has them in {raw}, or use the embedded digits (name 'digits')"
    if bad:
        reason = f"{Path(shown, raw, bad[0])} is {flawed[bad[0]]}"
        mend = f"Delete {folder / raw / bad[0]}, so that it is downloaded again. {mend}"
        if folder != _default_folder()[0]:  # a reader's own files are not replaced
            raise DataError(reason, mend)
    failure = _failures.get((name, folder)) if remember else None
    if failure is None:
        try:
            download(name, folder)
            return
        except (OSError, RuntimeError, HTTPException) as error:
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            failure = text.splitlines()[0].rstrip(":")
    _failures[name, folder] = failure
    raise DataError(f"{reason} and cannot be downloaded: {failure}", mend)


from .corpora import Messages, load_messages  # noqa: E402, F401  (they need `where`)
from .graphs import Graph, load_graph  # noqa: E402, F401
