"""Tell attacked images from honest ones, and refuse them: what all detectors share (lecture 15)."""

import math

import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from ..attacks.contract import chunk_size, frozen, logits
from ..attacks.inputs import check_number


class Detector(nn.Module):
    """What every detector can do; a new one writes `clues` (or `fit` and `score`).

    model: an nn.Sequential, inputs [N, ...] -> logits [N, K], that is watched and never changed.
    """

    def __init__(self, model):
        super().__init__()
        if not isinstance(model, nn.Sequential):
            got = type(model).__name__
            raise ValueError(f"model: a {got}; pass an nn.Sequential, whose layers can be read")
        self.model, self.threshold = model, None
        for name in ("weight", "bias"):
            self.register_buffer(name, None)  # a buffer goes where the model goes

    def clues(self, x):
        """Return what the detector looks at [N, F], differentiable with respect to x [N, ...]."""
        raise NotImplementedError(f"{type(self).__name__} has no clues")

    def fit(self, x, x_adv, x_noisy=None):
        """Weigh the clues by a logistic regression: x_adv [M, ...] against x [N, ...]; return self.

        x_noisy: noisy images, which count as honest. Use images that are no reference images: those
        are nearer to themselves than any other image is. Raises ValueError for empty or odd shapes.
        """
        honest = honest_images(x, x_adv, x_noisy)
        found = torch.cat([in_chunks(self, self.clues, part) for part in (honest, x_adv)])
        attacked = torch.arange(len(found)) >= len(honest)
        center, spread = found.mean(0), found.std(0).clamp(min=1e-6)
        scaled = ((found - center) / spread).cpu().double().numpy()
        both = LogisticRegression(class_weight="balanced").fit(scaled, attacked.numpy())
        weight = torch.tensor(both.coef_[0], dtype=found.dtype, device=found.device)
        self.weight = weight / spread
        self.bias = float(both.intercept_[0]) - (self.weight * center).sum()
        return self

    def remember(self, parts):
        """Keep what the reference images look like, a list of tensors, as the `reference`."""
        self.parts = len(parts)
        for i, part in enumerate(parts):
            self.register_buffer(f"reference_{i}", part)

    @property
    def reference(self):
        """The list that `remember` was given, on the device of the model."""
        return [self.get_buffer(f"reference_{i}") for i in range(self.parts)]

    def score(self, x):
        """Return how suspicious each x [N, ...] is, [N]: the log odds of "attacked".

        Differentiable with respect to x, so that an attacker can use it as well.
        """
        if self.weight is None:
            raise ValueError("detector: not fitted yet; call fit(x, x_adv) before score")
        return self.clues(x) @ self.weight + self.bias

    def forward(self, x):
        """Return `score(x)`."""
        return self.score(x)

    def scores(self, x):
        """Return `score(x)` [N] for any number of images, without gradients."""
        return in_chunks(self, self.score, x)

    def set_threshold(self, x, rate=0.05):
        """Choose the threshold above which a share `rate` of the clean images x [N, ...] lies.

        x: held-out images, seen by neither the model nor `fit`. Stores the threshold and returns it.
        Raises ValueError where x is empty, or for a rate outside [0, 1).
        """
        self.threshold = threshold_at(self.scores(x) if len(x) else x, rate)
        return self.threshold

    def detect(self, x):
        """Return a mask [N]: whose score lies above the threshold."""
        return self.scores(x) > threshold_of(self)


class Refusing(nn.Module):
    """The model with one class more, K: "refuse to answer", chosen where the detector is alarmed.

    Its logits [N, K + 1] are the model's, and their maximum + score - threshold. To fool the whole
    system an image must be neither right nor refused. An untargeted attack of the course does not
    know that: it counts class K as a success. Aim at a class with `target`, or use `attacks.joint`.
    Source: Carlini and Wagner 2017, "Adversarial examples are not easily detected"; lecture 15.
    """

    def __init__(self, model, detector):
        super().__init__()
        self.model, self.detector = model, detector
        threshold_of(detector)

    def forward(self, x):
        z = logits(self.model, x)
        over = self.detector.score(x) - threshold_of(self.detector)
        return torch.cat([z, (z.amax(1) + over)[:, None]], 1)


def threshold_at(scores, rate):
    """Return the number above which a share `rate` of the clean images' scores [N] lies."""
    said = "is no false positive rate; pass a number in [0, 1)"
    check_number("rate", rate, lambda v: 0 <= v < 1, said)
    if not len(scores):
        raise ValueError("x: no images; pass held-out clean images, a few hundred")
    ranked = scores.sort(descending=True).values
    return ranked[math.floor(rate * len(scores) + 1e-9)].item()


def threshold_of(detector):
    """Return the detector's threshold, or say that there is none yet."""
    if detector.threshold is None:
        raise ValueError("detector: no threshold yet; call set_threshold(held-out clean images)")
    return detector.threshold


def honest_images(x, x_adv, x_noisy=None):
    """Return the images of `fit` that are not attacked, once all have been looked at."""
    for name, part in (("x", x), ("x_adv", x_adv), ("x_noisy", x_noisy)):
        if part is not None and (not len(part) or part.shape[1:] != x.shape[1:]):
            shape = tuple(part.shape)
            raise ValueError(f"{name}: shape {shape}; pass images of x's shape, at least one")
    return x if x_noisy is None else torch.cat([x, x_noisy])


def in_chunks(model, function, x):
    """Return function(x) for all x [N, ...], a chunk at a time, in eval mode, without gradients."""
    with torch.no_grad(), frozen(model):
        return torch.cat([function(part) for part in x.split(chunk_size(model, x))])


def activations(model, x):
    """Return the output of every layer of an nn.Sequential for x [N, ...], each flat: [N, D].

    Layers that only reshape or drop are left out, for they say the same again.
    """
    found = []
    for layer in model:
        if isinstance(layer, nn.Sequential):
            inner = activations(layer, x)
            found, x = found + inner, layer(x)
            continue
        x = layer(x)
        if not isinstance(layer, nn.Flatten | nn.Dropout | nn.Identity):
            found.append(x.flatten(1))
    return found


def squared_distances(a, b):
    """Return the squared l2 distances [N, M] between the rows of a [N, D] and b [M, D]."""
    square = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
    return square.clamp(min=1e-12)
