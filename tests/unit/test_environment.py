"""environment.yml (conda, Binder) and pyproject.toml (pip) ask for the same packages."""

import tomllib

import yaml

from tests.repo import ROOT

CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def split(requirement):
    """Split "name>=1,<2" into its name and the set of its bounds."""
    start = min((i for i, c in enumerate(requirement) if c in "<>=!~"), default=len(requirement))
    bounds = frozenset(b.strip() for b in requirement[start:].split(",") if b.strip())
    return requirement[:start].strip().lower(), bounds


def test_conda_and_pip_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = dict(map(split, project["dependencies"] + project["optional-dependencies"]["test"]))
    wanted = {CONDA_NAMES.get(name, name): bounds for name, bounds in wanted.items()}
    wanted["python"] = split("python" + project["requires-python"])[1]

    listed = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    (by_pip,) = [entry["pip"] for entry in listed if isinstance(entry, dict)]
    found = [entry for entry in listed if isinstance(entry, str) and entry != "pip"] + by_pip
    assert "-e ." in found, "the course itself"
    assert dict(split(entry) for entry in found if entry != "-e .") == wanted


def test_only_conda_forge():
    # pytorch's own channel has been empty since 2.5, and defaults comes with terms of its own.
    channels = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["channels"]
    assert channels == ["conda-forge", "nodefaults"]
