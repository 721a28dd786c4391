"""Is the image where its class lives, and is the network sure of it? Density and doubt (lecture 15)."""

import math

import torch
from torch import nn

from ..attacks.inputs import check_number
from .detection import Detector, in_chunks, squared_distances


def log_density(points, reference, bandwidth):
    """Return the log [N] of the mean of exp(-||point - r||^2 / bandwidth^2) over reference [R, D].

    points: [N, D]. Raises ValueError where there is no reference point, or no width.
    Source: Feinman et al. 2017, "Detecting adversarial samples from artifacts"; lecture 15.
    """
    check_number("bandwidth", bandwidth, lambda v: v > 0, "is no width; pass a number > 0")
    if not len(reference):
        raise ValueError("reference: no points; pass at least one of every class")
    exponent = -squared_distances(points, reference) / bandwidth**2
    return exponent.logsumexp(1) - math.log(len(reference))


class KernelDensityDetector(Detector):
    """Weigh two clues: the density of the predicted class's features, and the doubt under dropout.

    Density: a kernel estimate among the last hidden layer's features of those reference images
    [R, ...] that are predicted alike. Doubt: how the probabilities vary when a share `dropout` of
    these features is dropped, over `samples` masks, drawn once from `seed` and then kept, so that
    the score is a function. LeNet-5 was trained without dropout; the masks come in at test time.
    model: an nn.Sequential that ends with an nn.Linear. bandwidth: of the kernel, in units of the
    features (None: the median distance to the nearest neighbor of the same class).
    Source: Feinman et al. 2017, "Detecting adversarial samples from artifacts"; lecture 15.
    """

    def __init__(self, model, reference, bandwidth=None, dropout=0.5, samples=50, seed=0):
        super().__init__(model)
        if not isinstance(model[-1], nn.Linear):
            raise ValueError(
                f"model: ends with {model[-1]}; pass one whose last layer is nn.Linear"
            )
        share = "is no share; pass a number between 0 and 1"
        check_number("dropout", dropout, lambda v: 0 < v < 1, share)
        features = in_chunks(model, self.features, reference)
        predicted = model[-1](features).argmax(1)
        width = model[-1].out_features
        self.remember([features[predicted == c].detach() for c in range(width)])
        self.bandwidth = typical_distance(self.reference) if bandwidth is None else bandwidth
        source = torch.Generator().manual_seed(seed)
        kept = torch.rand(samples, model[-1].in_features, generator=source) >= dropout
        self.register_buffer("masks", kept.to(features) / (1 - dropout))

    def features(self, x):
        """Return the last hidden layer's features [N, D] of x [N, ...]."""
        return self.model[:-1](x)

    def clues(self, x):
        """Return the log density and the log doubt [N, 2]."""
        features = self.features(x)
        predicted = self.model[-1](features).argmax(1)
        return torch.stack([self.density(features, predicted), self.doubt(features).log()], 1)

    def density(self, features, predicted):
        """Return the log density [N] of features [N, D] among those of the predicted class [N]."""
        result = features.new_zeros(len(features))
        reference = self.reference
        for c in predicted.unique().tolist():
            rows = (predicted == c).nonzero()[:, 0]
            found = log_density(features[rows], reference[c], self.bandwidth)
            result = result.index_put((rows,), found)
        return result

    def doubt(self, features):
        """Return the variance [N], summed over the classes, of the probabilities under the masks."""
        p = self.model[-1](features[:, None] * self.masks).softmax(2)  # [N, samples, K]
        return p.var(1, unbiased=False).sum(1) + 1e-6


def typical_distance(groups):
    """Return the median distance from a point to its nearest in the same group; groups: [R, D] each."""
    nearest = []
    for points in groups:
        if len(points) > 1:
            square = squared_distances(points, points).fill_diagonal_(torch.inf)
            nearest.append(square.amin(1))
    return torch.cat(nearest).median().sqrt().item()
