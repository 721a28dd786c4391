"""The messages: which are loaded and why, what the committed corpus promises, what is refused."""

import io
import re
import zipfile
from collections import Counter
from hashlib import sha256

import pytest
import torch

from advcourse import corpora, data
from advcourse.downloads import DataError

TINY = "".join(
    f"{kind}\t{kind} number {i} &amp; more\n" for kind in ("ham", "spam") for i in range(8)
) + ("ham\tham number 0 &amp; more\n")


@pytest.fixture
def collection(monkeypatch, tmp_path):
    """A tiny collection that passes for the real one, where it would be looked for."""
    path = tmp_path / "sms_spam" / "SMSSpamCollection"
    path.parent.mkdir()
    path.write_text(TINY, encoding="utf-8")
    monkeypatch.setattr(corpora, "SMS_SHA256", sha256(TINY.encode()).hexdigest())
    monkeypatch.setattr(corpora, "_failures", {})
    return path


@pytest.fixture
def no_network(monkeypatch):
    asked = []

    def refuse(url, timeout):
        asked.append(url)
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(corpora, "urlopen", refuse)
    monkeypatch.setattr(corpora, "_failures", {})
    return asked


def test_the_collection_is_read_once_for_each_message(collection, tmp_path, capsys):
    messages = data.load_messages(root=tmp_path)
    assert messages.name == "sms" and len(messages.train) + len(messages.test) == 16
    assert not set(messages.train) & set(messages.test)
    assert "ham number 0 & more" in messages.train + messages.test
    assert messages.y_test.tolist().count(1) == 2 and messages.y_test.dtype == torch.int64
    for text, label in zip(messages.train, messages.y_train.tolist(), strict=True):
        assert text.startswith("spam" if label else "ham")
    line = capsys.readouterr().out
    assert line.startswith("SMS Spam Collection: 12 training and 4 test messages, 50% spam, from ")


def test_a_part_by_label(collection, tmp_path):
    messages = data.load_messages("sms", tmp_path, quiet=True)
    assert all(text.startswith("spam") for text in messages.spam())
    assert len(messages.spam("train")) + len(messages.ham("train")) == len(messages.train)
    with pytest.raises(ValueError, match="part: 'all' is not one of test, train"):
        messages.spam("all")


def test_a_damaged_collection_is_named_and_left_alone(collection, tmp_path, capsys):
    collection.write_text(TINY[:-3], encoding="utf-8")
    with pytest.raises(DataError, match=r"SMSSpamCollection is damaged\. Delete it\. Put the file"):
        data.load_messages("sms", tmp_path)
    assert data.load_messages(root=tmp_path).name == "own"
    assert "SMSSpamCollection is damaged" in capsys.readouterr().out
    assert collection.read_text(encoding="utf-8") == TINY[:-3]


def test_no_collection_and_no_network(no_network, tmp_path, capsys):
    assert data.load_messages(root=tmp_path).name == "own"
    assert "cannot be downloaded: Network is unreachable" in capsys.readouterr().out
    with pytest.raises(DataError, match="or ask for the name 'own'"):
        data.load_messages("sms", tmp_path)
    assert len(no_network) == 1, "an absent network is waited for once"
    assert not list(tmp_path.iterdir())


def zipped(text):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("SMSSpamCollection", text)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("body", "sound"), [(zipped(TINY), True), (zipped(TINY[1:]), False), (b"no archive", False)]
)
def test_a_download_is_kept_only_if_it_is_the_collection(
    collection, monkeypatch, tmp_path, body, sound
):
    collection.unlink()
    monkeypatch.setattr(corpora, "urlopen", lambda url, timeout: io.BytesIO(body))
    messages = data.load_messages(root=tmp_path, quiet=True)
    assert messages.name == ("sms" if sound else "own")
    assert [p.name for p in collection.parent.iterdir()] == ["SMSSpamCollection"] * sound


def test_names(tmp_path):
    with pytest.raises(ValueError, match="name: 'mail' is not one of auto, sms, own"):
        data.load_messages("mail")


def test_the_committed_corpus():
    messages = data.load_messages("own", quiet=True)
    texts, y = messages.train + messages.test, torch.cat([messages.y_train, messages.y_test])
    assert len(texts) >= 300 and 2 * int(y.sum()) == len(y)
    plain = Counter(re.sub(r"\W+", " ", text.lower()).strip() for text in texts)
    assert max(plain.values()) == 1, "a message stands twice"
    assert all(10 <= len(text) <= 200 for text in texts)


def test_the_committed_corpus_names_nobody():
    for text in corpora.OWN.read_text(encoding="utf-8").splitlines():
        message = text.split("\t")[1]
        assert not re.findall(r"\b\d{5,}\b|www|http|\.net\b|\.org\b", message), message
        assert all(n.startswith("555-01") for n in re.findall(r"\b\d{3}-\d{4}\b", message))
        assert all(m == "example" for m in re.findall(r"(\w+)\.com\b", message)), message


def test_no_single_word_gives_the_corpus_away():
    messages = data.load_messages("own", quiet=True)
    texts = [set(re.findall(r"\w+", t.lower())) for t in messages.train + messages.test]
    y = torch.cat([messages.y_train, messages.y_test]).bool().tolist()
    right = {
        word: sum((word in text) == spam for text, spam in zip(texts, y, strict=True)) / len(y)
        for word in set().union(*texts)
    }
    assert max(right.values()) < 0.75, max(right, key=right.get)


def test_presentable():
    texts = ("Win a prize now", "SEXY chat with girls", "see you at the essex station")
    assert corpora.presentable(texts) == texts[:1]
