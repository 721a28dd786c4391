"""One training loop; what makes a training special is an argument of it, not a loop of its own."""

import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from .attacks.contract import frozen, logits
from .attacks.inputs import check_labels

OPTIMIZERS = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop, "sgd": torch.optim.SGD}
# RMSProp as Hinton introduced it and the blue team used it; PyTorch's own average is over .99.
OPTIMIZERS["rmsprop9"] = functools.partial(torch.optim.RMSprop, alpha=0.9)


def fit(
    model,
    x,
    y,
    *,
    epochs,
    batch_size=128,
    optimizer="adam",
    learning_rate=1e-3,
    decay=True,
    augment=None,
    objective=None,
    penalty=None,
    stop=None,
    seed=0,
    progress=True,
    resume=None,
):
    """Train `model` on x [N, ...] and y [N] by cross-entropy; return the mean loss of each epoch.

    decay: let the learning rate fall to 0 along a half cosine.
    augment: (model, x, y, generator) -> (x, y) for each batch, for example noise or an attack.
    objective: (model, x, y, generator, done) -> scalar, instead of the cross-entropy, for example
    that of adversarial training; done: the part of the training that is over, in (0, 1].
    penalty: (model) -> scalar, added to the loss, for example an l1 or l2 norm of the weights.
    stop: (model) -> whether this is enough, asked after every epoch, in eval mode.
    resume: a file that keeps the state after every epoch; an interrupted training goes on there.
    The model is left in eval mode. Same seed, same result; the global random state is left alone.
    Raises ValueError for unknown optimizers, lengths that differ, and a `resume` file of other
    settings. (On a GPU a resumed dropout draws other numbers; on a CPU the result is the same.)
    """
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"no optimizer {optimizer!r}; there are {', '.join(OPTIMIZERS)}")
    if not len(x) or len(x) != len(y):
        raise ValueError(f"x, y: {len(x)} images and {len(y)} labels; pass as many of each, not 0")
    step = OPTIMIZERS[optimizer](model.parameters(), lr=learning_rate)
    factor = torch.optim.lr_scheduler.CosineAnnealingLR(step, epochs) if decay else None
    shuffle = torch.Generator().manual_seed(seed)
    settings = [len(x), epochs, batch_size, optimizer, learning_rate, decay, seed]
    settings += [_described(part) for part in (augment, objective, penalty)]
    state = Resume(resume, settings, model, step, factor, shuffle)
    gpus = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):  # dropout draws from the global state
        torch.manual_seed(seed + 1)
        losses = state.restore()
        bar = tqdm(range(len(losses), epochs), desc="training", unit="epoch", disable=not progress)
        for epoch in bar:
            parts = augment, objective or cross_entropy, penalty
            losses.append(_epoch(model, x, y, batch_size, step, parts, shuffle, epoch, epochs))
            if factor:
                factor.step()
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
            if stop and stop(model.eval()):
                break
            state.keep(losses)
    state.forget()
    model.eval()
    return losses


def cross_entropy(model, x, y, generator=None, done=1.0):
    """Return the mean cross-entropy: the `objective` of a training without a defense."""
    return F.cross_entropy(model(x), y)


def _epoch(model, x, y, batch_size, step, parts, generator, epoch, epochs):
    """Run once over the shuffled data; return the mean loss per example."""
    augment, objective, penalty = parts
    total = seen = 0.0
    for rows in torch.randperm(len(x), generator=generator).to(x.device).split(batch_size):
        x_batch, y_batch = x[rows], y[rows]
        seen += len(rows)
        if augment:
            x_batch, y_batch = augment(model, x_batch, y_batch, generator)
        model.train()
        loss = objective(model, x_batch, y_batch, generator, (epoch + seen / len(x)) / epochs)
        cost = loss + penalty(model) if penalty else loss
        step.zero_grad(set_to_none=True)
        cost.backward()
        step.step()
        total += loss.item() * len(rows)
    return total / len(x)


def _described(part):
    """Return a text of what `part` is and was made with, the attack in a defense included.

    Of a list only that it is one: a function may count in it what it has seen.
    """
    if part is None or isinstance(part, (bool, int, float, str)):
        return repr(part)
    if isinstance(part, tuple):
        part = dict(enumerate(part))
    if isinstance(part, dict):
        return " ".join(f"{key}={_described(value)}" for key, value in part.items())
    name = getattr(part, "__qualname__", type(part).__qualname__)
    if isinstance(part, functools.partial):
        made_with = {"function": part.func, **dict(enumerate(part.args)), **part.keywords}
    elif "<locals>" in name and hasattr(part, "__closure__"):  # made by another function
        cells = zip(part.__code__.co_freevars, part.__closure__ or (), strict=True)
        made_with = {key: cell.cell_contents for key, cell in cells}
    else:
        return name
    return f"{name}({_described(made_with)})"


class Resume:
    """The state of a training between two epochs, in a file; nothing where no file is asked for."""

    def __init__(self, path, settings, model, step, factor, generator):
        self.path, self.settings = Path(path) if path else None, settings
        self.parts = [p for p in (model, step, factor) if p]
        self.generator = generator

    def restore(self):
        if not self.path or not self.path.exists():
            return []
        kept = torch.load(self.path, weights_only=True, map_location="cpu")
        if kept["settings"] != self.settings:
            raise ValueError(f"resume: {self.path} is of another training; delete it to start anew")
        for part, state in zip(self.parts, kept["parts"], strict=True):
            part.load_state_dict(state)
        self.generator.set_state(kept["shuffle"])
        torch.set_rng_state(kept["dropout"])
        return kept["losses"]

    def keep(self, losses):
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.path.with_suffix(".part")
            kept = {
                "settings": self.settings,
                "parts": [p.state_dict() for p in self.parts],
                "shuffle": self.generator.get_state(),
                "dropout": torch.get_rng_state(),
                "losses": losses,
            }
            torch.save(kept, part)
            part.replace(self.path)

    def forget(self):
        if self.path:
            self.path.unlink(missing_ok=True)


@torch.no_grad()
def accuracy(model, x, y, batch_size=1000):
    """Return the share of x [N, ...] whose label y [N] the model predicts, in eval mode.

    Raises ValueError unless y holds one class number per image.
    """
    check_labels("y", y, x)
    with frozen(model):
        right = [
            logits(model, a).argmax(1) == b
            for a, b in zip(x.split(batch_size), y.split(batch_size), strict=True)
        ]
    return torch.cat(right).float().mean().item()
