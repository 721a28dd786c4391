"""What the tests of the attacks share: a small network, images, the rows of the table, victims."""

import functools
import inspect
import math

import pytest
import torch
from hypothesis import settings
from torch import nn

from advcourse import attacks, data, models

STEPS, CLASSES = 3, 4
ROWS = {row.name: row for row in attacks.ATTACKS}
WHITE = [row for row in attacks.ATTACKS if row.knowledge == "white box"]
AIMED = [row for row in attacks.ATTACKS if row.goal == "both"]
LEAST = [row for row in attacks.ATTACKS if row.norm.startswith("least ")]
ORDERS = {"linf": math.inf, "l2": 2, "l1": 1, "l0": 0}
every = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
draws = settings(deadline=None, derandomize=True, max_examples=30)
# Few passes, and yet some successes: what a row's attack takes beside its budget and its steps.
QUICK = {
    "carlini_wagner": {"binary_search_steps": 3, "initial_c": 1.0, "learning_rate": 0.5},
    "jsma": {"steps": STEPS},
    "square": {"queries": 12},
    "hop_skip_jump": {"queries": 25, "candidates": 3, "directions": 4},
}
# A tenth of six pixels is none.
STRONGEST = {row.name: row.strongest for row in attacks.ATTACKS} | {"jsma": 1.0}


class Net(nn.Module):
    """Small and smooth, with every layer that behaves otherwise in training; keeps what it saw."""

    def __init__(self, shape=(1, 2, 3), dtype=torch.float64, fails_at=None, classes=CLASSES):
        super().__init__()
        layers = [nn.Flatten(), nn.Linear(math.prod(shape), 8), nn.BatchNorm1d(8), nn.Tanh()]
        self.body = nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(8, classes)).to(dtype)
        source = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weight in self.parameters():
                weight.normal_(std=1.5, generator=source)
        self.fails_at, self.modes, self.sizes = fails_at, [], []

    def forward(self, x):
        self.modes += [m.training for m in self.modules()]
        self.sizes.append(len(x))
        if len(self.sizes) == self.fails_at:
            raise RuntimeError("out of order")
        return self.body(x)


def call(row, model, x, y, budget=None, **more):
    """Run a row's attack with a budget (half its strongest) and few steps."""
    budget = STRONGEST[row.name] / 2 if budget is None else budget
    options = {row.strength: budget} if row.strength else {}
    options |= {"steps": STEPS} if "steps" in parameters(row) else {}
    return row.function(model, x, y, **options | QUICK.get(row.name, {}) | more)


def batch(n=5, seed=0, shape=(1, 2, 3), dtype=torch.float64, bounds=(0.0, 1.0)):
    """Return x, y and a target that is never y; some pixels lie on the bounds."""
    source, (lo, hi) = torch.Generator().manual_seed(seed), bounds
    x = (1.4 * torch.rand(n, *shape, generator=source, dtype=dtype) - 0.2).clamp(0, 1)
    y, step = (torch.randint(1, CLASSES, (n,), generator=source) for _ in range(2))
    return (lo + (hi - lo) * x).clamp(lo, hi), y, (y + step) % CLASSES


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def parameters(row):
    return inspect.signature(row.function).parameters


def still(row):
    return {"random_start": False} if "random_start" in parameters(row) else {}


def steady(row):
    x, net = batch()[0], Net()  # who is wrong already is left alone by some attacks
    runs = [
        call(row, net, x, predict(net.eval(), x), generator=seeded(s), **still(row)) for s in (0, 1)
    ]
    return torch.equal(*runs)


def over(rows):
    return pytest.mark.parametrize("row", rows, ids=[row.name for row in rows])


def scores(model, x):
    with torch.no_grad():
        return model(x)


def predict(model, x):
    return scores(model, x).argmax(1)


STEADY = [row for row in attacks.ATTACKS if steady(row)]


def lead(model, x, y):
    """Return by how much each label's score leads the others' [N]; negative once it is passed."""
    z = scores(model, x)
    own = z.gather(1, y[:, None])[:, 0]
    return own - z.scatter(1, y[:, None], -torch.inf).amax(1)


def distances(delta, norm):
    return delta.flatten(1).double().norm(ORDERS[norm], dim=1)


@functools.cache
def victim(dataset, n=100):
    """Return the trained LeNet-5 and n test images with their labels, the same in every test."""
    held = data.load(dataset, quiet=True)
    some = torch.randperm(len(held.y_test), generator=seeded())[:n]
    return models.load("lenet5", held), held.x_test[some], held.y_test[some]
