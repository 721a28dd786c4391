"""Adversarial images of one model, shown to others: transfer matrices (lecture 09)."""

from dataclasses import dataclass

import torch

from .attacks.contract import chunk_size, frozen
from .attacks.inputs import logits


@dataclass(frozen=True)
class Transfer:
    """Which images of which source fool which target.

    read [T, N]: whether target t read image n correctly before; fooled [S, T, N]: whether it reads
    it wrongly once source s has attacked it, and read it correctly before.
    """

    sources: list
    targets: list
    read: torch.Tensor
    fooled: torch.Tensor

    @property
    def shares(self):
        """The matrix [S, T]: of the images that the target read correctly, the share it loses.

        Not of all images: an image that the target had wrong by itself is no success of anyone's,
        and a poor target would look easy to fool. nan where a target read none.
        """
        return self.fooled.float().sum(2) / self.read.float().sum(1)

    def counts(self, source, target):
        """Return (fooled, read before), two counts, of one cell by its names."""
        s, t = self.sources.index(source), self.targets.index(target)
        return int(self.fooled[s, t].sum()), int(self.read[t].sum())


def transfer(sources, targets, x, y, attack):
    """Attack every source on x [N, ...] with labels y [N], show the result to every target.

    sources: {name: model} that can be attacked; targets: {name: model}, any callables images ->
    scores. A name that is in both is the same model: there stands the white box, the diagonal.
    attack: (model, x, y) -> x_adv, run once for each source, for example `partial(fgsm, eps=0.2)`.
    Raises ValueError where there is no source, no target or no image, or lengths differ.
    Source: Papernot, McDaniel and Goodfellow 2016, "Transferability in machine learning";
    lecture 09.
    """
    if not sources or not targets:
        raise ValueError(
            f"sources, targets: {len(sources)} and {len(targets)} models; pass at least one of each"
        )
    if not len(x) or len(x) != len(y):
        raise ValueError(f"x, y: {len(x)} images and {len(y)} labels; pass as many of each, not 0")
    read = torch.stack([right(model, x, y) for model in targets.values()])
    lost = []
    for model in sources.values():
        x_adv = attack(model, x, y)
        lost.append(torch.stack([wrong(target, x_adv, y) for target in targets.values()]))
    return Transfer(list(sources), list(targets), read, torch.stack(lost) & read)


@torch.no_grad()
def right(model, x, y):
    """Return a mask [N], on the CPU: which of x [N, ...] the model, in eval mode, reads as y [N]."""
    with frozen(model):
        parts = zip(x.split(chunk_size(model, x)), y.split(chunk_size(model, x)), strict=True)
        return torch.cat([logits(model, a).argmax(1) == b for a, b in parts]).cpu()


def wrong(model, x, y):
    """Return the opposite of `right`: which of x [N, ...] the model does not read as y [N]."""
    return ~right(model, x, y)
