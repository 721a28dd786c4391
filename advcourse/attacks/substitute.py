"""Copy the victim by asking it, then attack the copy: the substitute attack (lecture 09)."""

import numbers
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from .contract import chunk_size, derivative, frozen
from .inputs import check_count, check_inputs, check_model, check_number, check_size, is_a, logits
from .oracle import ask_labels


@dataclass(frozen=True)
class Round:
    """What a substitute has cost and reached when it was trained once more."""

    queries: int  # labels asked for so far, all rounds together
    agreement: float | None  # share of the held-out images on which it says what the victim says


def jacobian_augment(model, x, y, step=0.1, bounds=(0.0, 1.0)):
    """Return a new image for each of x [N, ...]: a step along the sign of the slope of its score y.

    y: int64 [N], the labels that the victim gave. step: change of every pixel, in pixel units of
    [0, 1]; below 0 it goes the other way. The score is that of `model`, the substitute: where it
    changes fastest, the substitute has most to learn from the victim's answer. Neither x nor the
    model is changed.
    Raises ValueError for bad input.
    Source: Papernot et al. 2017, "Practical black-box attacks against machine learning"; lecture 09.
    """
    check_inputs(x, y, None, bounds, None)
    check_size("step", abs(step), "is no size of a step; pass a finite number, in pixel units")
    new = []
    with torch.inference_mode(False), torch.enable_grad(), frozen(model):
        size = chunk_size(model, x)
        for part, labels in zip(x.split(size), y.long().split(size), strict=True):
            part = part.detach().clone().requires_grad_()
            score = logits(model, part).gather(1, labels[:, None])
            new.append((part + step * derivative(score.sum(), part).sign()).clamp(*bounds).detach())
    return torch.cat(new)


def train_substitute(
    oracle,
    seeds,
    build,
    *,
    rounds=5,
    step=0.15,
    turn=3,
    epochs=6,
    batch_size=32,
    learning_rate=2e-3,
    held_out=None,
    bounds=(0.0, 1.0),
    seed=0,
    on_round=None,
    progress=True,
):
    """Train a copy of the victim behind `oracle` from a few images and its labels alone.

    Three steps, repeated: ask for the labels of the new images; train the substitute on all images
    so far; make one new image of each (`jacobian_augment`). Every round doubles the images, and
    each is asked about once: len(seeds) * 2**rounds queries in all.

    oracle: an `Oracle`, or any callable that answers images [N, ...] with labels [N] or scores; of
    scores only the highest is looked at. An Oracle counts every new image as one more row.
    seeds: images [N, ...] of the attacker's own. build: () -> a fresh nn.Module, the architecture
    that the attacker guesses. step: of the augmentation, in pixel units of [0, 1]; its sign turns
    after every `turn` rounds (None: never), so that the new images do not all leave in one
    direction. epochs, batch_size, learning_rate: of the training in every round, which goes on from
    the round before. held_out: (images, the victim's labels of them), to measure the agreement,
    which is a judge's business and costs no queries. on_round(round, model): after every training,
    from 0. Returns (the substitute in eval mode, [Round(queries, agreement), ...]).
    Same seed, same result; the global random state is left alone. Raises ValueError for bad input,
    and BudgetSpent where the oracle refuses.
    Source: Papernot et al. 2017, "Practical black-box attacks against machine learning"; the turns
    are Papernot, McDaniel and Goodfellow 2016, "Transferability in machine learning"; lecture 09.
    """
    from ..training import accuracy, fit  # here, because training imports this package

    _check(oracle, seeds, build, rounds, step, turn, bounds)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = build().to(seeds.device)
    options = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    x, y, new, history = seeds[:0], None, seeds.detach(), []
    for count in tqdm(range(rounds + 1), "substitute", unit="round", disable=not progress):
        labels = ask_labels(oracle, new, torch.arange(len(x), len(x) + len(new)))
        x, y = torch.cat([x, new]), labels if y is None else torch.cat([y, labels])
        check_model(model, x, y, None)
        fit(model, x, y, seed=seed + count, progress=False, **options)
        history.append(Round(len(x), None if held_out is None else accuracy(model, *held_out)))
        if on_round:
            on_round(count, model)
        if count < rounds:
            away = -1 if turn and count // turn % 2 else 1
            new = jacobian_augment(model, x, y, away * step, bounds)
    return model, history


def _check(oracle, seeds, build, rounds, step, turn, bounds):
    """Raise a ValueError that names the argument, its value and the mend."""
    if not isinstance(seeds, torch.Tensor) or not len(seeds):
        raise ValueError("seeds: pass a tensor of at least one image, shape (N, ...)")
    # Labels come later, from the oracle: only the images are looked at.
    unknown = torch.zeros(len(seeds), dtype=torch.int64, device=seeds.device)
    check_inputs(seeds, unknown, None, bounds, None)
    for name, value in (("oracle", oracle), ("build", build)):
        if not callable(value):
            raise ValueError(f"{name}: got {type(value).__name__}; pass a function")
    whole = "is no count of rounds; pass a whole number >= 0"
    check_number("rounds", rounds, lambda v: is_a(numbers.Integral, v) and v >= 0, whole)
    check_size("step", step)
    if turn is not None:
        check_count("turn", turn)
