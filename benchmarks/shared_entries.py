"""What is compared in `shared_changes`: ours, ten plain lines, ART's, the bare loop, chance."""

import math

import torch
import torch.nn.functional as F

from advcourse import attacks
from advcourse.attacks.contract import input_gradient
from advcourse.attacks.sticker import Patch, gather, outline, paste
from advcourse.attacks.universal import still_standing

EPS, SIZE, TARGET, BATCH = 0.2, 10, 8, 100


def plain(model, x, y, source, through=False, smooth=False, step=0.1, momentum=0.0, cosine=False,
          batch=BATCH, epochs=10):  # fmt: skip
    """Return a universal change by sign steps over batches; the arguments are one idea each."""
    delta = speed = torch.zeros_like(x[:1])
    left = still_standing(model, x, y, None)
    walk = [r for _ in range(epochs) for r in torch.randperm(len(x), generator=source).split(batch)]
    for i, rows in enumerate(walk):
        changed, labels = x[rows] + delta, y[rows]
        loss = left(rows) if smooth else (lambda z: -F.cross_entropy(z, labels, reduction="none"))  # noqa: B023
        gradient, _ = input_gradient(model, changed.clamp(0, 1), loss)
        if not through:
            gradient = gradient * ((changed >= 0) & (changed <= 1))
        total = gradient.sum(0, keepdim=True)
        speed = momentum * speed + total / total.abs().sum().clamp(min=1e-12)
        length = step * EPS * (0.5 + 0.5 * math.cos(math.pi * i / len(walk)) if cosine else 1)
        delta = (delta - length * speed.sign()).clamp(-EPS, EPS)
    return delta


def plain_patch(model, x, y, source, target=None, epochs=50, rate=0.2):
    """Return a patch by Adam on the cross-entropy."""
    pixels, mask = torch.full((1, SIZE, SIZE), 0.5), outline(SIZE, "square")
    adam = torch.optim.Adam([pixels], lr=rate)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=source).split(BATCH):
            index = Patch(pixels, mask).place(x[rows], source)
            goal = y[rows] if target is None else torch.full_like(y[rows], target)
            sign = -1 if target is None else 1
            loss = lambda z: sign * F.cross_entropy(z, goal, reduction="none")  # noqa: B023, E731
            gradient, _ = input_gradient(model, paste(x[rows], pixels, index), loss)
            pixels.grad = gather(gradient, index, pixels)
            adam.step()
            pixels.clamp_(0, 1)
    return Patch(pixels, mask)


def art_classifier(model):
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=(1, 28, 28),
        nb_classes=10,
        clip_values=(0, 1),
        device_type="cpu",
    )


def art_universal(model, x, y, source):
    """ART's, by DeepFool: on 100 images and 3 rounds, which take it long enough."""
    from art.attacks.evasion import UniversalPerturbation

    attack = UniversalPerturbation(
        art_classifier(model),
        attacker="deepfool",
        attacker_params={"verbose": False},
        eps=EPS,
        norm=float("inf"),
        max_iter=3,
        verbose=False,
    )
    attack.generate(x[:100].numpy(), F.one_hot(y[:100], 10).numpy())
    return torch.from_numpy(attack.noise).float().view(1, 1, 28, 28)


def art_patch(model, x, y, source, target=None):
    """ART's, upright and of a fixed size, which is its scale of 10 / 28."""
    from art.attacks.evasion.adversarial_patch.adversarial_patch_pytorch import (
        AdversarialPatchPyTorch,
    )

    attack = AdversarialPatchPyTorch(
        art_classifier(model),
        rotation_max=0.0,
        scale_min=SIZE / 28,
        scale_max=SIZE / 28 + 1e-4,
        learning_rate=0.05,
        max_iter=50,
        batch_size=BATCH,
        patch_shape=(1, SIZE, SIZE),
        patch_type="square",
        targeted=target is not None,
        verbose=False,
    )
    goal = y if target is None else torch.full_like(y, target)
    pixels, _ = attack.generate(x.numpy(), F.one_hot(goal, 10).numpy().astype("float32"))
    return Patch(torch.from_numpy(pixels).float().clamp(0, 1), outline(SIZE, "square"))


def ours(**options):
    return lambda model, x, y, source: attacks.universal(model, x, y, generator=source, **options)


def our_patch(**options):
    return lambda model, x, y, source: attacks.patch(
        model, x, y, size=SIZE, generator=source, **options
    )


def floor(epochs):
    """Return the bare loop: as many forward and input-gradient passes, and nothing else."""

    def run(model, x, y, source):
        for _ in range(epochs):
            for rows in torch.randperm(len(x), generator=source).split(BATCH):
                input_gradient(model, x[rows], lambda z: -z.sum(1))
        return torch.zeros(1, 1, 28, 28)

    return run


def aimed(run):
    return lambda *given: run(*given, target=TARGET)


def random_patch(model, x, y, source):
    return Patch.random(SIZE, generator=source)


def noise(eps, norm):
    """Return an entry that draws random signs."""

    def run(model, x, y, source):
        sign = 2.0 * torch.randint(0, 2, x[:1].shape, generator=source) - 1
        return eps * (sign if norm == "linf" else sign / sign.norm())

    return run
