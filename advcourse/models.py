"""The victims, and their checkpoints: plain tensors with a manifest that says how they were made."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

CHECKPOINTS = Path(__file__).resolve().parent.parent / "data" / "checkpoints"


def lenet5():
    """Build LeNet-5 (LeCun et al. 1998) with ReLU and max pooling: N x 1 x 28 x 28 -> N x 10."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def mlp():
    """Build the blue team's net, 784-128-10 with ReLU and dropout (lectures 04 and 13)."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)
    )


def shallow():
    """Build the shallow network of lecture 14, 784-32-10 with ReLU."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def mlp20():
    """Build the seminar report's 784-20-10 net (lecture 07)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.ReLU(), nn.Linear(20, 10))


def lenet5x16():
    """Build LeNet-5 for pictures of 16 channels, such as thermometer codes (lecture 14)."""
    model = lenet5()
    model[0] = nn.Conv2d(16, 6, 5, padding=2)
    return model


def cnn():
    """Build the net of the robust models, 285,000 weights: strides instead of pooling (lecture 13).

    N x 1 x 28 x 28 -> N x 10. An attack on it costs as little as on LeNet-5.
    """
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3136, 80),
        nn.ReLU(),
        nn.Linear(80, 10),
    )


def generator():
    """Build the generator of Defense-GAN (lecture 14): latent N x 32 -> images N x 1 x 28 x 28."""
    return nn.Sequential(
        nn.Linear(32, 48 * 49),
        nn.ReLU(),
        nn.Unflatten(1, (48, 7, 7)),
        nn.ConvTranspose2d(48, 24, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(24, 1, 4, stride=2, padding=1),
        nn.Sigmoid(),
    )


def perturber():
    """Build the net that draws perturbations (lecture 09): N x 1 x 28 x 28 -> the same, in [-1, 1].

    Without the normalization it learns next to nothing: the tanh saturates early.
    """
    layers = []
    for convolution in (
        nn.Conv2d(1, 24, 4, stride=2, padding=1),
        nn.Conv2d(24, 48, 4, stride=2, padding=1),
        nn.Conv2d(48, 48, 3, padding=1),
        nn.Conv2d(48, 48, 3, padding=1),
        nn.ConvTranspose2d(48, 24, 4, stride=2, padding=1),
    ):
        layers += [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(24, 1, 4, stride=2, padding=1), nn.Tanh())


def tiny():
    """Build the net of the semidefinite certificate (lecture 16): 49 pooled pixels, 16 units."""
    return nn.Sequential(
        nn.AvgPool2d(4), nn.Flatten(), nn.Linear(49, 16), nn.ReLU(), nn.Linear(16, 10)
    )


def signnet():
    """Build the net of the road signs (lecture 10), 52,000 weights: N x 3 x 48 x 48 -> N x 10."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1152, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


ARCHITECTURES = {
    f.__name__: f
    for f in (lenet5, lenet5x16, mlp, shallow, mlp20, cnn, tiny, generator, perturber, signnet)
}


def device():
    """Return the device to compute on: CUDA, Apple's MPS, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def build(architecture, seed=0):
    """Return a fresh model with weights drawn from `seed`; the global random state is left alone."""
    if architecture not in ARCHITECTURES:
        raise ValueError(f"no architecture {architecture!r}; there are {', '.join(ARCHITECTURES)}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # not a GPU's, which nobody would restore
        return ARCHITECTURES[architecture]()


def load(architecture, dataset, variant="standard", folder=CHECKPOINTS):
    """Return the trained model in eval mode, on the CPU.

    dataset: a name ("mnist", "digits") or a `data.Dataset`; variant: how it was trained.
    Raises ValueError for an unknown name, FileNotFoundError where nothing was trained yet, and
    OSError for a file that is not the one its manifest describes.
    """
    model = build(architecture)
    entry = _entry(architecture, dataset, variant, folder)
    model.load_state_dict(load_file(_sound(entry, folder)))
    return model.eval()


def save(model, architecture, dataset, variant="standard", folder=CHECKPOINTS, **facts):
    """Store the weights and enter `facts` (accuracy, seed, command ...) in the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    key = _key(architecture, dataset, variant)
    path = folder / f"{key}.safetensors"
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    part = path.with_suffix(".part")
    save_file(state, part)
    part.chmod(0o644)  # safetensors makes it private
    part.replace(path)
    entries = manifest(folder) | {
        key: {
            "architecture": architecture,
            "dataset": _name(dataset),
            "variant": variant,
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            **facts,
        }
    }
    text = json.dumps(dict(sorted(entries.items())), indent=1) + "\n"
    part = folder / "manifest.part"
    part.write_text(text, encoding="utf-8")
    part.replace(folder / "manifest.json")
    return path


def manifest(folder=CHECKPOINTS):
    """Return {key: {architecture, dataset, variant, file, sha256, accuracy, seed, command}}."""
    path = folder / "manifest.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def variants(dataset, folder=CHECKPOINTS):
    """Return the (architecture, variant) pairs that are trained on `dataset`."""
    name = _name(dataset)
    return [
        (e["architecture"], e["variant"]) for e in manifest(folder).values() if e["dataset"] == name
    ]


def check_checkpoints(folder=CHECKPOINTS):
    """Return a sentence for every checkpoint that is missing or damaged; [] when all are sound."""
    entries = manifest(folder)
    problems = [] if entries else ["no checkpoints: python -m advcourse train"]
    for entry in entries.values():
        try:
            _sound(entry, folder)
        except OSError as problem:
            problems.append(str(problem))
    return problems


def _name(dataset):
    return dataset if isinstance(dataset, str) else dataset.name


def _key(architecture, dataset, variant):
    return f"{architecture}-{_name(dataset)}-{variant}"


def _entry(architecture, dataset, variant, folder):
    key = _key(architecture, dataset, variant)
    entries = manifest(folder)
    if key not in entries:
        trained = ", ".join(sorted(entries)) or "none"
        special = "" if variant == "standard" else f" --variant {variant}"
        raise FileNotFoundError(
            f"no checkpoint {key}; make it with `python -m advcourse train {architecture} "
            f"--dataset {_name(dataset)}{special}`. Trained so far: {trained}"
        )
    return entries[key]


def _sound(entry, folder):
    """Return the path of the entry's file, once its hash is the manifest's."""
    path = folder / entry["file"]
    mend = f"restore it with `git checkout data/checkpoints`, or make it again: {entry['command']}"
    if not path.exists():
        raise FileNotFoundError(f"checkpoint {path.name} is missing; {mend}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
        raise OSError(f"checkpoint {path.name} is not the file that the manifest describes; {mend}")
    return path
