"""Bad input is a ValueError that names the argument, its value and the mend, from every attack."""

import math

import pytest
import torch
import torch.nn.functional as F

from advcourse import attacks
from advcourse.attacks.inputs import COUNTS, SIZES
from tests.unit.attack_cases import (
    AIMED,
    CLASSES,
    WHITE,
    Net,
    batch,
    call,
    every,
    over,
    parameters,
    predict,
)

BAD = {  # what is wrong: (arguments that replace the right ones, the message's start)
    "above": ({"x": torch.full((5, 1, 2, 3), 1.5)}, "x: values from 1.5 to 1.5 leave"),
    "below": ({"x": torch.full((5, 1, 2, 3), -0.1)}, "x: values from -0.1 to -0.1 leave"),
    "nan": ({"x": torch.full((5, 1, 2, 3), math.nan)}, "x: contains NaN"),
    "integers": ({"x": torch.zeros(5, 1, 2, 3, dtype=torch.int64)}, "x: got torch.int64"),
    "no batch": ({"x": torch.zeros(5)}, r"x: got torch.float32 \(5,\)"),
    "list": ({"x": [[0.0]]}, "x: got list"),
    "bounds": ({"bounds": (1.0, 0.0)}, r"bounds: \(1.0, 0.0\) is not a range"),
    "one range": ({"bounds": (0.0, 0.5)}, "x: values from 0 to 1 leave"),
    "short": ({"y": torch.zeros(4, dtype=torch.int64)}, r"y: shape \(4,\) .* 5 inputs"),
    "large": ({"y": torch.tensor([0, 1, 2, 3, 4])}, "y: labels from 0 to 4, .* 4 classes"),
    "negative": ({"y": torch.tensor([0, 1, 2, 3, -1])}, "y: labels from -1 to 3"),
    "float": ({"y": torch.zeros(5)}, "y: got torch.float32"),
    "numbers": ({"y": [0, 1, 2, 3, 0]}, "y: got list"),
    "generator": ({"generator": 0}, "generator: got 0"),
    "flat model": ({"model": lambda x: x.flatten(1)[:, 0]}, r"model: returned \(1,\) for 1"),
    "long model": ({"model": lambda x: torch.zeros(len(x) + 1, 4)}, r"model: returned \(2, 4\)"),
    "tuple model": ({"model": lambda x: (x, x)}, "model: returned tuple for 1"),
}
BAD_TARGETS = {
    "short": (torch.zeros(4, dtype=torch.int64), r"target: shape \(4,\)"),
    "large": (torch.full((5,), 4), "target: labels from 4 to 4"),
    "negative": (torch.full((5,), -1), "target: labels from -1 to -1"),
    "float": (torch.zeros(5), "target: got torch.float32"),
    "number": (3, "target: got int"),
}
BAD_SIZES = (-1e-3, math.nan, math.inf, -math.inf, "0.1", True, None)
BAD_COUNTS = (0, -1, 2.0, "3", True, None)
BAD_SHARES = (-0.1, 1.5, math.nan, "0.1", True, None)
OWN = [  # an attack, its argument, values that are none, the message's start
    (
        "jsma",
        "theta",
        (0, 0.0, math.nan, math.inf, -math.inf, "1", True, None),
        "theta: {!r} is no change; pass",
    ),
    ("jsma", "gamma", BAD_SHARES, "gamma: {!r} is no share of the pixels"),
    ("jsma", "scores", ("loss", None), "scores: {!r} is not one of probabilities, logits"),
    ("square", "p", (0, *BAD_SHARES), "p: {!r} is no share of the pixels; pass"),
    ("square", "norm", ("l1", 2, None), "norm: {!r} is not one of linf, l2"),
    ("hop_skip_jump", "norm", ("l1", 2, None), "norm: {!r} is not one of l2, linf"),
    (
        "hop_skip_jump",
        "start",
        (1.0, torch.zeros(4, 1, 2, 3)),
        "start: pass one image for each of x",
    ),
    ("ddn", "gamma", (0, 1, *BAD_SHARES), "gamma: {!r} is no share of the length"),
    ("pgd", "norm", ("l0", "l3", 2, None), "norm: {!r} is not one of linf, l2, l1"),
    ("carlini_wagner", "norm", ("l1", 2, None), "norm: {!r} is not one of l2, linf, l0"),
    ("carlini_wagner", "objective", ("f0", "f8", 6), "objective: {!r} is not one of f1, f2, f3"),
    ("carlini_wagner", "box", ("none", None), "box: {!r} is not one of tanh, clip"),
    ("deepfool", "candidates", (1,), "candidates: {!r} leaves no boundary"),
    ("deepfool", "halvings", (-1, 1.5, None), "halvings: {!r} is no count"),
    ("pgd", "early_stop", ("yes", 1), "early_stop: {!r} is no switch; pass True or False"),
    ("pgd", "random_start", ("no", 0), "random_start: {!r} is no switch"),
    ("carlini_wagner", "learning_rate", (0,), "learning_rate: 0 would leave everything"),
    ("carlini_wagner", "initial_c", (0, 0.0), "initial_c: 0 would leave everything"),
    ("ddn", "initial_eps", (0,), "initial_eps: 0 would leave everything"),
]


def refuses(row, message, *, model=None, **changes):
    x, y, _ = batch()
    changes = {"x": x, "y": y} | changes
    with pytest.raises(ValueError, match=f"^{message}"):
        call(row, model or Net(), changes.pop("x"), changes.pop("y"), **changes)


@every
@pytest.mark.parametrize("wrong", BAD)
def test_bad_input(row, wrong):
    refuses(row, BAD[wrong][1], **BAD[wrong][0])


@every
def test_bad_sizes_and_counts(row):
    for names, values, kind in ((SIZES, BAD_SIZES, "size"), (COUNTS, BAD_COUNTS, "count")):
        for name in names:
            for value in values if name in parameters(row) else ():
                if value is not None or parameters(row)[name].default is not None:
                    refuses(row, f"{name}: {value!r} is no {kind}", **{name: value})
    with pytest.raises(TypeError, match=rf"no argument 'banana'; .*{row.strength or 'target'}"):
        call(row, Net(), *batch()[:2], banana=1)


def test_every_number_that_an_attack_takes_is_checked():
    taken = {n for row in attacks.ATTACKS for n, p in parameters(row).items() if a_number(p)}
    assert taken <= {*SIZES, *COUNTS, *(name for _, name, *_ in OWN)}


def a_number(parameter):
    default = parameter.default
    return isinstance(default, int | float) and not isinstance(default, bool)


@pytest.mark.parametrize("case", OWN, ids=[f"{name}-{argument}" for name, argument, *_ in OWN])
def test_bad_options_of_one_attack(case):
    name, argument, values, message = case
    for value in values:
        told = message.format(value).replace(".", r"\.")
        refuses(attacks.get(name), told, **{argument: value})


def test_confidence_needs_logits():
    row = attacks.get("carlini_wagner")
    for objective in ("f1", "f2", "f3", "f4", "f5"):
        refuses(row, f"confidence: {objective} is made of", objective=objective, confidence=1)


@pytest.mark.parametrize("wrong", BAD_TARGETS)
@over(AIMED)
def test_bad_target(row, wrong):
    refuses(row, BAD_TARGETS[wrong][1], target=BAD_TARGETS[wrong][0])


@over([row for row in attacks.ATTACKS if row not in AIMED])
def test_what_cannot_aim_says_so(row):
    refuses(row, f"target: {row.name} cannot aim", target=batch()[2])


@over(WHITE)
def test_models_without_a_gradient(row):
    net, (x, _, _) = Net().eval(), batch()
    right = {"y": predict(net, x)}  # who is wrong already is not attacked by every attack
    for model in (
        lambda x: F.one_hot(net(x).argmax(1), CLASSES).double(),
        torch.no_grad()(net.forward),
        lambda x: net(x.detach()),  # the weights still require a gradient
    ):
        refuses(row, "model: its output does not depend on x", model=model, **right)
    refuses(row, r"model: returned \(1, 4\) for 5 inputs", model=lambda x: net(x)[:1], **right)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_bounds_that_have_no_exact_float(dtype):
    x = torch.tensor([[0.1, 0.8], [0.45, 0.7]], dtype=dtype).clamp(0.1, 0.8)
    y = torch.zeros(2, dtype=torch.int64)
    found = attacks.negative(lambda x: x, x, y, bounds=(0.1, 0.8))
    assert torch.equal(found, found.clamp(0.1, 0.8))
