"""Count the dimensions around an image: local intrinsic dimensionality (lecture 15)."""

import torch

from ..attacks.contract import chunk_size, frozen
from .detection import Detector, activations, squared_distances


def lid(points, reference, k=20):
    """Estimate the local intrinsic dimension [N] around points [N, D] among reference [R, D].

    The maximum likelihood estimate from the distances r_1 <= ... <= r_k to the nearest k of the
    reference points: -1 / mean(log(r_i / r_k)). Differentiable with respect to the points.
    Raises ValueError where there are not more than k reference points.
    Source: Ma et al. 2018, "Characterizing adversarial subspaces using local intrinsic
    dimensionality"; lecture 15.
    """
    if not 2 <= k < len(reference):
        raise ValueError(
            f"k: {k!r} of {len(reference)} reference points; pass 2 <= k < their number"
        )
    near = squared_distances(points, reference).topk(k, dim=1, largest=False).values
    mean_log = (near.log() - near[:, -1:].log()).mean(1) / 2  # of squares: half of it
    return -1 / mean_log.clamp(max=-1e-3)


class LIDDetector(Detector):
    """Weigh the local intrinsic dimension of every layer's activations (Ma et al. 2018).

    model: an nn.Sequential; reference: clean images [R, ...], the neighborhood in which dimensions
    are counted; k: how many neighbors. Raises ValueError where R is not more than k.
    Source: Ma et al. 2018; lecture 15.
    """

    def __init__(self, model, reference, k=20):
        super().__init__(model)
        self.k = k
        with torch.no_grad(), frozen(model):
            chunks = reference.split(chunk_size(model, reference))
            parts = [activations(model, part) for part in chunks]
        self.remember([torch.cat(layer) for layer in zip(*parts, strict=True)])
        lid(self.reference[0][:1].detach(), self.reference[0], k)

    def clues(self, x):
        """Return the logarithm of the dimension in every layer [N, layers]."""
        layers = zip(activations(self.model, x), self.reference, strict=True)
        return torch.stack([lid(a, r, self.k).log() for a, r in layers], 1)
