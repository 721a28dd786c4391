"""Train a second network that tells attacked images from honest ones (lecture 15)."""

import torch
from torch import nn

from .. import training
from .detection import Detector, honest_images, in_chunks


class DetectorNetwork(Detector):
    """Watch one inner layer of the model with a small network of its own (Metzen et al. 2017).

    model: an nn.Sequential; layer: how many of its layers come before the branch (0: the image
    itself; in LeNet-5, 3 is the first pooling). hidden: width of the small network.
    Source: Metzen et al. 2017, "On detecting adversarial perturbations"; lecture 15.
    """

    def __init__(self, model, layer=3, hidden=64):
        super().__init__(model)
        if not 0 <= layer < len(model):
            raise ValueError(f"layer: {layer!r}; the model has layers 0 to {len(model) - 1}")
        self.layer, self.hidden, self.network = layer, hidden, None

    def clues(self, x):
        """Return the watched layer's activations [N, D]."""
        return self.model[: self.layer](x).flatten(1)

    def fit(self, x, x_adv, x_noisy=None, epochs=20, seed=0):
        """Train the small network: x_adv [M, ...] against x [N, ...] and x_noisy; return self."""
        honest = honest_images(x, x_adv, x_noisy)
        found = torch.cat([in_chunks(self, self.clues, part) for part in (honest, x_adv)])
        attacked = (torch.arange(len(found), device=found.device) >= len(honest)).long()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            layers = nn.Linear(found.shape[1], self.hidden), nn.ReLU(), nn.Linear(self.hidden, 2)
        self.network = nn.Sequential(*layers).to(found)
        training.fit(self.network, found, attacked, epochs=epochs, seed=seed, progress=False)
        return self

    def score(self, x):
        """Return the log odds of "attacked" [N] of x [N, ...]; differentiable."""
        if self.network is None:
            raise ValueError("detector: not fitted yet; call fit(x, x_adv) before score")
        z = self.network(self.clues(x))
        return z[:, 1] - z[:, 0]
