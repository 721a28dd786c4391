"""Load the messages of lecture 12: the SMS Spam Collection, or the corpus written for this course.

Labels: 1 spam, 0 ham. A message that stands twice in a collection is taken once, so that none is
both trained on and tested on.
"""

import hashlib
import html
import io
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import torch

from .downloads import DataError

SMS = Path("sms_spam", "SMSSpamCollection")
SMS_SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"
SMS_URL = "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip"
OWN = Path(__file__).resolve().parents[1] / "data" / "corpus" / "messages.tsv"
TITLES = {"sms": "SMS Spam Collection", "own": "The course's own messages"}
ADULT = re.compile(
    r"sex|xxx|babe|horny|shag|girls|adult|18\+|nude|porn|gay|lesb|flirt|naughty|lover|fuck|hardcore"
    r"|singles|housewi|busty|dating|\bdate|fantas|\bchat|married|discreet|admirer",
    re.IGNORECASE,
)
SECONDS = 2.5  # for the archive to answer

_failures: dict[Path, str] = {}  # so that an absent network is waited for once


@dataclass(frozen=True, eq=False, repr=False)
class Messages:
    """Texts, and labels [N], int64: 1 spam, 0 ham; three quarters train, one quarter tests."""

    name: str
    train: tuple[str, ...]
    y_train: torch.Tensor
    test: tuple[str, ...]
    y_test: torch.Tensor
    classes: tuple[str, ...] = ("ham", "spam")

    @property
    def counts(self) -> str:
        spam = int(self.y_train.sum() + self.y_test.sum())
        n = len(self.train) + len(self.test)
        return f"{len(self.train):,} training and {len(self.test):,} test messages, {spam / n:.0%} spam"

    def spam(self, part: str = "test") -> tuple[str, ...]:
        """Return the spam of one part, "test" or "train"."""
        return self._of(part, 1)

    def ham(self, part: str = "test") -> tuple[str, ...]:
        """Return the ham of one part, "test" or "train"."""
        return self._of(part, 0)

    def _of(self, part: str, label: int) -> tuple[str, ...]:
        if part not in ("test", "train"):
            raise ValueError(f"part: {part!r} is not one of test, train")
        texts, y = (self.test, self.y_test) if part == "test" else (self.train, self.y_train)
        return tuple(text for text, mark in zip(texts, y.tolist(), strict=True) if mark == label)

    def __repr__(self) -> str:
        return f"Messages({self.name!r}: {self.counts})"


def load_messages(
    name: str = "auto", root: str | Path | None = None, *, quiet: bool = False
) -> Messages:
    """Load messages by name and print one line that says which they are and why.

    "sms" is the SMS Spam Collection, in `sms_spam/` of the data folder or downloaded into it; "own"
    the committed corpus; "auto" the first where it can be had, else the second. The split is fixed
    and stratified. Raises ValueError for another name, DataError where "sms" cannot be had or read.
    """
    if name not in ("auto", *TITLES):
        raise ValueError(f"name: {name!r} is not one of auto, {', '.join(TITLES)}")
    from .data import where  # data re-exports this function

    folder, shown = where(root)
    if name != "own":
        try:
            messages, origin = _split("sms", _sms(folder, shown)), f"from {shown}"
        except DataError as error:
            if name == "sms":
                raise
            name, why = "own", f"because {error.reason}"
    else:
        why = "as asked for"
    if name == "own":
        messages = _split("own", OWN.read_text(encoding="utf-8"))
        origin = f"written for teaching, collected from nobody; {why}"
    if not quiet:
        print(f"{TITLES[messages.name]}: {messages.counts}, {origin}")
    return messages


def presentable(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the texts that can stand on a screen in front of a class: none that sell sex."""
    return tuple(text for text in texts if not ADULT.search(text))


def _sms(folder: Path, shown: str) -> str:
    """Return the collection's text, downloaded first if need be; a damaged file is an error."""
    path, title = folder / SMS, TITLES["sms"]
    mend = f"Put the file SMSSpamCollection into {folder / SMS.parent}, or ask for the name 'own'"
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        body = None
    except OSError as error:
        raise DataError(f"{Path(shown, SMS)} is unreadable: {error.strerror}", mend) from error
    if body is None:
        if folder not in _failures:
            try:
                return _download(path)
            except (OSError, HTTPException, zipfile.BadZipFile, KeyError) as error:
                text = getattr(error, "strerror", None) or str(error) or type(error).__name__
                _failures[folder] = text.splitlines()[0]
        reason = f"the {title} is not in {shown} and cannot be downloaded: {_failures[folder]}"
        raise DataError(reason, mend)
    if hashlib.sha256(body).hexdigest() != SMS_SHA256:
        raise DataError(f"{Path(shown, SMS)} is damaged", f"Delete it. {mend}")
    return body.decode("utf-8")


def _download(path: Path) -> str:
    """Fetch the archive, check the collection in it, and keep it where the folder lets us."""
    with urlopen(SMS_URL, timeout=SECONDS) as answer:
        archive = zipfile.ZipFile(io.BytesIO(answer.read()))
    body = archive.read(SMS.name)
    if hashlib.sha256(body).hexdigest() != SMS_SHA256:
        raise OSError("the file that arrived is not the collection")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(body)
    part.replace(path)
    return body.decode("utf-8")


def _split(name: str, text: str) -> Messages:
    """Cut lines "label TAB message" into the two parts; equal messages count once."""
    from sklearn.model_selection import train_test_split

    lines = [line.split("\t", 1) for line in text.split("\n") if line and not line.startswith("#")]
    # Who collected the ham wrote "<" as "&lt;": a filter would learn that "lt" is a good word.
    labels = {html.unescape(message): int(label == "spam") for label, message in lines}
    texts, y = list(labels), torch.tensor(list(labels.values()))
    rows = train_test_split(range(len(y)), test_size=0.25, stratify=y, random_state=0)
    train, test = (tuple(texts[i] for i in part) for part in rows)
    return Messages(name, train, y[rows[0]], test, y[rows[1]])
