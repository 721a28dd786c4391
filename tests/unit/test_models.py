"""The committed checkpoints are what the manifest says, and a damaged one is never loaded."""

import functools
import json
import math
import shutil

import pytest
import torch
from torch import nn

from advcourse import checkpoints, data, models, recipes, training

MB = 1_000_000
MANIFEST = models.manifest()
everyone = pytest.mark.parametrize("architecture", models.ARCHITECTURES)
images = functools.cache(functools.partial(data.load, quiet=True))
FLOOR = {"mnist": 0.989, "digits": 0.98}


@pytest.fixture
def folder(tmp_path):
    """A copy of the smallest checkpoints, to damage."""
    for file in ("manifest.json", "mlp20-digits-standard.safetensors"):
        shutil.copy(models.CHECKPOINTS / file, tmp_path / file)
    return tmp_path


def test_everything_is_there_and_sound():
    assert models.check_checkpoints() == []
    assert {(e["architecture"], e["dataset"]) for e in MANIFEST.values()} >= {
        (a, d) for a in models.ARCHITECTURES if a != "signnet" for d in ("mnist", "digits")
    } | {("signnet", "signs")}
    facts = {"architecture", "dataset", "variant", "file", "sha256", "accuracy", "seed", "command"}
    for key, entry in MANIFEST.items():
        assert key == f"{entry['architecture']}-{entry['dataset']}-{entry['variant']}"
        assert facts <= set(entry) and entry["file"] == f"{key}.safetensors"


def test_sizes():
    files = {p.name: p.stat().st_size for p in models.CHECKPOINTS.glob("*.safetensors")}
    assert set(files) == {entry["file"] for entry in MANIFEST.values()}
    assert max(files.values()) <= 2 * MB and sum(files.values()) <= 30 * MB


@pytest.mark.slow
@pytest.mark.parametrize("key", MANIFEST)
def test_accuracy_is_the_manifests(key):
    entry = MANIFEST[key]
    if not data.available(entry["dataset"]):
        pytest.skip(f"{entry['dataset']} is not on this disk (a test downloads nothing)")
    held = images(entry["dataset"])
    model = models.load(entry["architecture"], held, entry["variant"])
    assert not any(m.training for m in model.modules())
    (recipe,) = (r for r in recipes.recipes(entry["dataset"]) if r.key == key)
    if recipe.maker:
        assert entry["accuracy"] is None, "it is no classifier"
        return
    model = nn.Sequential(recipe.through, model) if recipe.through else model
    with torch.no_grad():
        right = torch.cat([model(x).argmax(1) for x in held.x_test.split(500)]) == held.y_test
    share = right.double().mean().item()
    assert share == pytest.approx(entry["accuracy"], abs=0.001)
    assert share == pytest.approx(training.accuracy(model, held.x_test, held.y_test), abs=1e-6)
    if entry["architecture"] == "lenet5" and entry["variant"] == "standard":
        assert share >= FLOOR[entry["dataset"]]


def test_parameters():
    count = {a: sum(p.numel() for p in models.build(a).parameters()) for a in models.ARCHITECTURES}
    assert count["lenet5"] == 61_706
    assert count["mlp"] == 784 * 128 + 128 + 1290 and count["mlp20"] == 784 * 20 + 20 + 210
    assert count["shallow"] == 784 * 32 + 32 + 330


@everyone
def test_build(architecture):
    before = torch.get_rng_state()
    one, two, other = (models.build(architecture, seed) for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    pairs = list(zip(one.parameters(), two.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    # A normalization begins at 1 and 0, whatever the seed.
    assert all(not torch.equal(a, c) for a, _, c in pairs if len(a.unique()) > 1)
    takes = {"lenet5x16": (16, 28, 28), "generator": (32,), "signnet": (3, 48, 48)}
    takes = takes.get(architecture, (1, 28, 28))
    gives = (1, 28, 28) if architecture in ("generator", "perturber") else (10,)
    assert one(torch.zeros(2, *takes)).shape == (2, *gives)


def test_unknown_names():
    for ask in (models.build, lambda name: models.load(name, "digits")):
        with pytest.raises(ValueError, match=r"no architecture 'resnet'; there are lenet5, .*mlp,"):
            ask("resnet")
    with pytest.raises(
        FileNotFoundError, match=r"no checkpoint mlp-digits-nope; .*--variant nope`"
    ):
        models.load("mlp", "digits", "nope")
    with pytest.raises(FileNotFoundError, match=r"mlp-cats-standard; .*so far: cnn-digits"):
        models.load("mlp", "cats")


def test_empty_folder(tmp_path):
    assert models.manifest(tmp_path) == {} and models.variants("digits", tmp_path) == []
    assert models.check_checkpoints(tmp_path) == ["no checkpoints: python -m advcourse train"]
    with pytest.raises(FileNotFoundError, match="Trained so far: none"):
        models.load("mlp", "digits", folder=tmp_path)


@pytest.mark.parametrize("where", [0, 200, -1])
def test_one_flipped_bit(folder, where):
    path = folder / "mlp20-digits-standard.safetensors"
    assert models.load("mlp20", "digits", folder=folder)
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"mlp20-digits-standard.safetensors is not the file .*again"):
        models.load("mlp20", "digits", folder=folder)
    assert path.read_bytes() == content, "a damaged file is not replaced"
    problems = models.check_checkpoints(folder)
    assert sum("is not the file" in p for p in problems) == 1
    assert sum("is missing" in p for p in problems) == len(MANIFEST) - 1 == len(problems) - 1


def test_missing_file(folder):
    with pytest.raises(FileNotFoundError, match=r"checkpoint mlp-digits-.* is missing; restore it"):
        models.load("mlp", "digits", folder=folder)


@everyone
def test_round_trip(architecture, tmp_path):
    folder, model = tmp_path / "new" / "room", models.build(architecture, 5).train()
    for variant, accuracy in (("first", 0.25), ("second", 0.5), ("first", 0.75)):
        models.save(model, architecture, "digits", variant, folder, accuracy=accuracy, command="c")
    loaded = models.load(architecture, "digits", "first", folder)
    assert not any(m.training for m in loaded.modules()) and model.training
    state = model.state_dict()
    assert state.keys() == loaded.state_dict().keys()
    assert all(torch.equal(v, state[k]) for k, v in loaded.state_dict().items())
    assert models.manifest(folder)[f"{architecture}-digits-first"]["accuracy"] == 0.75
    assert models.variants("digits", folder) == [(architecture, v) for v in ("first", "second")]
    assert models.variants("mnist", folder) == [] == models.check_checkpoints(folder)
    assert sorted(p.suffix for p in folder.iterdir()) == [".json", *[".safetensors"] * 2]


def test_a_file_of_another_model_is_not_loaded(tmp_path):
    path = models.save(nn.Linear(2, 2), "mlp", "digits", folder=tmp_path, command="c")
    with pytest.raises(RuntimeError, match="Error"):
        models.load("mlp", "digits", folder=tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["mlp-digits-standard"]["sha256"]
    assert path.parent == tmp_path


def test_variants():
    named = "standard fgsm pgd trades noise negatives l1l2 distilled parseval gradient_penalty ibp"
    for dataset in ("digits", "mnist"):
        assert {variant for _, variant in models.variants(dataset)} >= set(named.split())
    listed = {(*pair, name) for name in ("digits", "mnist") for pair in models.variants(name)}
    assert len(listed) == sum(e["dataset"] in ("digits", "mnist") for e in MANIFEST.values())
    assert models.variants(images("digits")) == models.variants("digits")


def test_the_smallest_can_be_made_again(tmp_path, capsys):
    (recipe,) = (r for r in recipes.recipes("digits") if r.architecture == "mlp20")
    _, share = checkpoints.train(recipe, images("digits"), folder=tmp_path, progress=False)
    entry, made = MANIFEST[recipe.key], models.manifest(tmp_path)[recipe.key]
    assert abs(share - entry["accuracy"]) <= 0.015
    assert math.isclose(made["accuracy"], share, abs_tol=5e-5)
    assert all(made[k] == entry[k] for k in ("seed", "command", "file", "architecture", "dataset"))
    assert f"{recipe.key}: {share:.2%} of the test set" in capsys.readouterr().out
    assert models.load("mlp20", "digits", folder=tmp_path)
