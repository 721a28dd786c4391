"""The doctor: about ten lines, each problem with its mend, and never an exception."""

import builtins
import shutil
import sys

import pytest

from advcourse import data, doctor, models


@pytest.fixture
def healthy(monkeypatch):
    """A machine on which what others are still writing counts as sound."""
    monkeypatch.setattr(models, "check_checkpoints", list)
    monkeypatch.setattr(data, "available", lambda _name: False)  # hashing is not what is tested


def line(label):
    return next((ok, text) for name, ok, text in doctor.report() if name == label)


def test_about_ten_lines(healthy, capsys):
    assert doctor.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert 9 <= len(lines) <= 12 and all(len(text) < 140 for text in lines)
    assert line("data")[1].startswith("the embedded digits")


def test_every_problem_names_its_mend(healthy):
    assert all(ok or "->" in text for _, ok, text in doctor.report())


def test_a_broken_pair(healthy, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torchvision", None)  # its import raises
    ok, text = line("torchvision")
    assert ok is False and "cannot be imported beside torch" in text
    assert "pip install --upgrade torch torchvision" in text
    assert doctor.main() == 1
    assert "BROKEN torchvision" in capsys.readouterr().out


def test_a_missing_browser_is_a_note(healthy, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    ok, text = line("browser")
    assert ok is None and "-> install Chromium" in text
    assert doctor.main() == 0


def test_damaged_checkpoints(healthy, monkeypatch):
    monkeypatch.setattr(models, "check_checkpoints", lambda: ["a.safetensors is damaged", "b"])
    ok, text = line("checkpoints")
    assert ok is False and text.startswith("a.safetensors is damaged (and 1 more) -> ")
    monkeypatch.delattr(models, "check_checkpoints")
    assert line("checkpoints")[0] is False


@pytest.mark.parametrize("error", [ImportError("no torch"), OSError("libtorch.so: bad"), OSError()])
def test_without_torch_it_still_reports(monkeypatch, error):
    true_import = builtins.__import__

    def broken(name, *args, **kwargs):
        if name == "torch" or name.startswith("advcourse."):  # those import torch at their top
            raise error
        return true_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", broken)
    lines = doctor.report()
    monkeypatch.undo()
    assert {label for label, ok, _ in lines if ok is False} >= {"torch", "device", "checkpoints"}
    assert all(ok is not False or "->" in text for _, ok, text in lines)
