"""The data sets: what is loaded, and that nothing half-downloaded or damaged ever is."""

import gzip
import hashlib
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from advcourse import data, downloads
from tests.unit.mirror import Mirror, corrupt, hanging, truncated

TINY = {
    "train-images-idx3-ubyte": (40, 28, 28),
    "train-labels-idx1-ubyte": (40,),
    "t10k-images-idx3-ubyte": (20, 28, 28),
    "t10k-labels-idx1-ubyte": (20,),
}


def idx(shape):
    values = torch.arange(torch.Size(shape).numel()) % (10 if len(shape) == 1 else 256)
    header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    return header + values.to(torch.uint8).numpy().tobytes()


RAW = {file: idx(shape) for file, shape in TINY.items()}
GZ = {f"{file}.gz": gzip.compress(body, mtime=0) for file, body in RAW.items()}


def put(root, files=RAW):
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file, body in files.items():
        (raw / file).write_bytes(body)
    return raw


@pytest.fixture
def mirrors(monkeypatch, tmp_path):
    """Two local mirrors of a tiny MNIST that stand in for torchvision's, and an empty folder."""
    datasets = pytest.importorskip("torchvision").datasets
    pair = Mirror(GZ), Mirror(GZ)
    digests = {file: hashlib.sha256(body).hexdigest() for file, body in RAW.items()}
    resources = [(file, hashlib.md5(body).hexdigest()) for file, body in GZ.items()]
    monkeypatch.setattr(datasets.MNIST, "mirrors", [mirror.url for mirror in pair])
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setattr(downloads, "SHAPES", TINY)
    monkeypatch.setattr(downloads, "MNIST_SHA256", digests)
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 0.4)
    monkeypatch.setattr(downloads, "READ_SECONDS", 0.4)
    monkeypatch.setattr(data, "_failures", {})
    monkeypatch.setattr(data, "_default_folder", lambda: (tmp_path, "data/"))
    monkeypatch.delenv("ADVCOURSE_DATA", raising=False)
    monkeypatch.delenv("ADVCOURSE_DATASET", raising=False)
    yield pair
    for mirror in pair:
        mirror.server.shutdown()
        mirror.server.server_close()


def tree(root):
    return {p.relative_to(root): p.stat().st_mtime_ns for p in root.rglob("*")}


def raw_files(root):
    return {p.name for p in (root / "MNIST").rglob("*") if p.is_file()}


def assert_contract(dataset):
    for x, y in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        assert x.dtype == torch.float32 and x.shape == (len(y), 1, 28, 28)
        assert y.dtype == torch.int64 and y.min() >= 0 and y.max() < len(dataset.classes) == 10
        assert x.min() >= 0 and x.max() <= 1
    assert all(isinstance(name, str) for name in dataset.classes)


def test_digits_are_stratified_and_fixed():
    dataset = data.load("digits", quiet=True)
    assert_contract(dataset)
    assert repr(dataset) == "Dataset('digits': 1,347 training and 450 test images, 10 classes)"
    counts = dataset.y_test.bincount()
    assert counts.min() >= 43 and counts.max() <= 46
    assert not dataset.x_train[..., :4, :].any() and not dataset.x_train[..., -4:].any()
    # The checkpoints were trained on this split: another would leak test images into training.
    assert hashlib.sha256(dataset.y_test.numpy().tobytes()).hexdigest()[:16] == "13be8853154ebc01"


def test_a_sample_is_fair_and_fixed():
    images = data.load("digits", quiet=True)
    x, y = images.sample(90)
    again, other = images.sample(90), images.sample(90, seed=1)
    assert torch.equal(x, again[0]) and torch.equal(y, again[1]) and not torch.equal(x, other[0])
    share = images.y_test.bincount() * 90 / len(images.y_test)
    assert bool(((y.bincount() - share).abs() <= 1).all())
    assert y[:20].bincount(minlength=10).count_nonzero() > 5, "the classes are mixed"
    rows = {row.numpy().tobytes() for row in images.x_test}
    assert {row.numpy().tobytes() for row in x} <= rows and len(x.unique(dim=0)) == 90
    state = torch.get_rng_state()
    small, all_of_them = images.sample(7)[1], images.sample(10_000)[1]
    assert len(small.unique()) == 7, "seven images are of seven classes"
    assert torch.equal(all_of_them.bincount(), images.y_test.bincount())
    assert len(images.sample(600, part="train")[1]) == 600, "more than there are test images"
    assert torch.equal(state, torch.get_rng_state())
    for wrong in ({"n": 0}, {"n": 5, "part": "valid"}):
        with pytest.raises(ValueError, match=r"no number of images|not one of"):
            images.sample(**wrong)


@pytest.mark.skipif(not data.available("mnist"), reason="MNIST is not on disk")
def test_the_real_mnist(capsys):
    dataset = data.load("mnist")
    assert_contract(dataset)
    assert dataset.y_train[:5].tolist() == [5, 0, 4, 1, 9]
    assert capsys.readouterr().out.startswith("MNIST: 60,000 training and 10,000 test images, from")


def test_download_then_disk(mirrors, tmp_path, capsys):
    dataset = data.load()
    assert_contract(dataset)
    assert dataset.name == "mnist" and dataset.y_test.tolist() == list(range(10)) * 2
    line = "MNIST: 40 training and 20 test images, from data/\n"
    assert capsys.readouterr().out == line
    assert raw_files(tmp_path) == set(RAW) and not (tmp_path / ".download-MNIST").exists()
    asked = len(mirrors[0].log)
    data.load("mnist")
    assert len(mirrors[0].log) == asked and mirrors[1].log == ["HEAD"]
    assert capsys.readouterr().out == line


@pytest.mark.parametrize("fault", [truncated, corrupt, hanging])
def test_the_second_mirror_mends_the_first(mirrors, tmp_path, fault):
    bad = "t10k-images-idx3-ubyte.gz"
    mirrors[0].spoil[bad] = fault
    start = time.monotonic()
    assert data.load("mnist", quiet=True).name == "mnist"
    assert time.monotonic() - start < 3  # a mirror that hangs does so for four seconds
    assert set(mirrors[1].log) - {"HEAD"} == {
        bad,
        "t10k-labels-idx1-ubyte.gz",
    }  # the whole ones were kept
    assert data.available("mnist")


def test_an_interrupted_download_resumes(mirrors, tmp_path):
    for mirror in mirrors:
        mirror.spoil["t10k-images-idx3-ubyte.gz"] = truncated
    with pytest.raises(data.DataError, match="cannot be downloaded"):
        data.load("mnist")
    assert not data.available("mnist") and not (tmp_path / "MNIST").exists()
    # As if it had died in the middle of an extraction, too.
    for file in RAW:
        (tmp_path / ".download-MNIST/MNIST/raw" / file).write_bytes(b"half")
    for mirror in mirrors:
        mirror.spoil.clear()
        mirror.log.clear()
    assert data.load("mnist", quiet=True).name == "mnist"
    assert set(mirrors[0].log) - {"HEAD"} == {
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    }


def test_ctrl_c_leaves_nothing_that_is_used(mirrors, tmp_path, monkeypatch):
    from torchvision.datasets import mnist

    def interrupt(*_args, **_kwargs):
        staged = tmp_path / ".download-MNIST/MNIST/raw/train-labels-idx1-ubyte"
        staged.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(mnist, "download_and_extract_archive", interrupt)
    with pytest.raises(KeyboardInterrupt):
        data.load()
    assert not data.available("mnist") and not (tmp_path / "MNIST").exists()


def test_a_hanging_network_is_waited_for_once(mirrors, capsys):
    for mirror in mirrors:
        mirror.spoil["HEAD"] = hanging
    data.load("digits", quiet=True)  # scikit-learn's import is not what is timed
    before, start = socket.getdefaulttimeout(), time.monotonic()
    assert data.load().name == "digits" and data.load().name == "digits"
    assert time.monotonic() - start < 3
    assert [mirror.log for mirror in mirrors] == [["HEAD"], ["HEAD"]]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1]
    assert "MNIST is not in data/ and cannot be downloaded: its mirrors did not answer" in lines[0]
    assert socket.getdefaulttimeout() == before


def test_two_at_once_download_once(mirrors, tmp_path):
    data.load("mnist", tmp_path / "alone", quiet=True)
    alone = sorted(file for file in mirrors[0].log if file != "HEAD")
    mirrors[0].log.clear()
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: data.load("mnist", quiet=True).name, range(2)))
    assert both == ["mnist", "mnist"]
    assert sorted(file for file in mirrors[0].log if file != "HEAD") == alone


@pytest.mark.parametrize("body", [RAW["t10k-images-idx3-ubyte"][:-1], b"", b"\0" * 15696])
def test_a_damaged_file_is_found_and_fetched_again(mirrors, tmp_path, body):
    raw = put(tmp_path, RAW | {"t10k-images-idx3-ubyte": body})
    sound = (raw / "train-images-idx3-ubyte").stat().st_ino
    assert not data.available("mnist")
    assert data.load(quiet=True).name == "mnist"
    assert (raw / "train-images-idx3-ubyte").stat().st_ino == sound  # only the bad one is replaced
    assert data.available("mnist")


def test_one_flipped_bit_is_found(mirrors, tmp_path):
    body = bytearray(RAW["train-images-idx3-ubyte"])
    body[5000] ^= 1
    put(tmp_path, RAW | {"train-images-idx3-ubyte": bytes(body)})
    assert not data.available("mnist")


def test_a_readers_own_damaged_file_is_named_and_left(mirrors, tmp_path, capsys):
    raw = put(tmp_path / "own", RAW | {"t10k-labels-idx1-ubyte": b"short"})
    before = tree(tmp_path / "own")
    with pytest.raises(data.DataError, match=r"t10k-labels-idx1-ubyte is damaged\. Delete"):
        data.load("mnist", tmp_path / "own")
    assert data.load("auto", tmp_path / "own").name == "digits"
    out = capsys.readouterr().out
    assert f"because {raw / 't10k-labels-idx1-ubyte'} is damaged" in out and out.count("\n") == 1
    assert tree(tmp_path / "own") == before and not mirrors[0].log


def test_a_complete_folder_is_not_written_to(mirrors, tmp_path):
    raw = put(tmp_path)
    for path in (*raw.iterdir(), raw, raw.parent, tmp_path):
        path.chmod(0o555)
    before = tree(tmp_path)
    assert data.load("mnist", quiet=True).name == "mnist"
    for path in (tmp_path, raw.parent, raw):
        path.chmod(0o755)  # so that pytest can clear it away
    assert tree(tmp_path) == before


def test_a_folder_that_cannot_be_written_is_a_reason(mirrors, tmp_path, monkeypatch, capsys):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert data.load().name == "digits"
    out = capsys.readouterr().out
    assert "cannot be downloaded: Permission denied" in out and str(tmp_path) not in out


def test_the_variables(mirrors, tmp_path, monkeypatch, capsys):
    put(tmp_path / "elsewhere")
    monkeypatch.setenv("ADVCOURSE_DATA", str(tmp_path / "elsewhere"))
    assert data.load().name == "mnist"
    assert capsys.readouterr().out.endswith("from ADVCOURSE_DATA\n")
    assert data.available("mnist") and not data.available("mnist", tmp_path)
    monkeypatch.setenv("ADVCOURSE_DATASET", "digits")
    assert data.load().name == "digits" and data.load("mnist").name == "mnist"
    assert "chosen by ADVCOURSE_DATASET" in capsys.readouterr().out
    monkeypatch.setenv("ADVCOURSE_DATASET", "minst")
    with pytest.raises(ValueError, match="ADVCOURSE_DATASET is 'minst'; it must be one of auto"):
        data.load()


@pytest.mark.parametrize("name", ["MNIST", "", None, "cifar10"])
def test_an_unknown_name_is_named(name):
    for function in (data.load, data.available):
        with pytest.raises(ValueError, match=f"name is {name!r}; it must be one of auto, mnist"):
            function(name)


def test_a_missing_data_set_says_what_to_do(mirrors):
    for mirror in mirrors:
        mirror.spoil["HEAD"] = hanging
    with pytest.raises(data.DataError, match=r"MNIST/raw.*ADVCOURSE_DATA.*digits"):
        data.load("mnist")


def test_a_torchvision_of_another_torch(mirrors, tmp_path, monkeypatch, capsys):
    put(tmp_path)
    monkeypatch.setitem(sys.modules, "torchvision", None)  # its import raises
    with pytest.raises(ImportError, match="pip install --upgrade torch torchvision"):
        data.load("mnist")
    assert data.load().name == "digits"
    assert "because torchvision cannot be imported" in capsys.readouterr().out
