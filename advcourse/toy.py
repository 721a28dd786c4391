"""A problem with two features, in which the ideas of the lectures can be seen."""

import torch
from sklearn.datasets import make_moons
from torch import nn

from . import training


def points(n=400, seed=0):
    """Return two interleaved crescents: x [n, 2] in [0, 1], and y [n]."""
    x, y = make_moons(n, noise=0.12, random_state=seed)
    x = torch.tensor(x, dtype=torch.float32)
    low, high = x.amin(0), x.amax(0)
    return 0.06 + 0.88 * (x - low) / (high - low), torch.tensor(y)


def net(x, y, hidden=64, epochs=200, seed=0, objective=None):
    """Train a 2-hidden-2 ReLU net on the points within a second or two.

    objective: of `training.fit`, for example that of adversarial training, which takes longer.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, 2))
    options = {"batch_size": 100, "learning_rate": 0.03, "progress": False, "objective": objective}
    training.fit(model, x, y, epochs=epochs, **options)
    return model


def four(n=400, seed=0):
    """Return four round clouds: x [n, 2] in [0, 1], and y [n]."""
    centers = torch.tensor([[0.27, 0.3], [0.72, 0.22], [0.3, 0.78], [0.75, 0.7]])
    source = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % len(centers)
    noise = torch.randn(n, 2, generator=source)
    return (centers[y] + 0.09 * noise).clamp(0, 1), y


def linear(x, y, epochs=60, seed=0):
    """Train a linear softmax model on the points x [N, 2], for as many classes as y has."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = nn.Linear(x.shape[1], int(y.max()) + 1)
    training.fit(model, x, y, epochs=epochs, batch_size=100, learning_rate=0.1, progress=False)
    return model
