"""What every attack promises, written once: checked input, an untouched model, chunks, restored modes.

An attack is a plain function decorated with `@attack`; `attacks/fgsm.py` is the shortest example.
"""

import functools
import inspect
import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

from ..randomness import source_of
from .inputs import check_inputs, check_model, check_options, frozen, logits
from .oracle import behind, part_of

# A convolutional network on a CPU costs up to 3 times more per image in batches of 1,000 than of
# 250, because its activations no longer fit what the allocator keeps. Without convolutions the
# activations are small, and a larger batch saves overhead; a GPU wants larger ones still.
CHUNK, DENSE_CHUNK, GPU_CHUNK = 250, 1000, 2048
# Added to the loss of a success, so that it ranks before every failure.
SUCCESS = 1e9


def attack(function=None, *, labels=False):
    """Wrap `function` so that it keeps the contract; its signature and docstring stay visible.

    labels: whether it is content with a model that answers with labels, int64 [N]. An Oracle is not
    asked by the checks, and learns which image of the whole batch each query is about.
    """
    if function is None:
        return functools.partial(attack, labels=labels)
    options_known = inspect.signature(function).parameters

    @functools.wraps(function)
    def guarded(
        model, x, y, *, target=None, bounds=(0.0, 1.0), generator=None, on_step=None, **options
    ):
        for name in options:
            if name not in options_known:
                known = ", ".join(list(options_known)[3:])
                raise TypeError(f"{function.__name__}() has no argument {name!r}; it has {known}")
        check_inputs(x, y, target, bounds, generator)
        check_options(options, options_known)
        generator = source_of(generator, x.device)
        # A hook sees the whole batch at every step, so such a batch is not split.
        parts = 1 if on_step else max(1, math.ceil(len(x) / chunk_size(model, x)))
        if on_step:  # counted here, so that an attack with restarts or rounds counts on
            on_step = counted(on_step)
        shared = {"bounds": bounds, "generator": generator, "on_step": on_step, **options}
        with torch.inference_mode(False), torch.enable_grad(), frozen(behind(model)):
            # Copies made in here can be differentiated, even where the caller's are for inference.
            x, y = x.detach().clone(), y.long().clone()
            target = target.long().clone() if target is not None else None
            check_model(behind(model), x, y, target, labels)
            targets = target.chunk(parts) if target is not None else [None] * parts
            pieces = zip(x.chunk(parts), y.chunk(parts), targets, strict=True)
            done, start = [], 0
            for x_part, y_part, t_part in pieces:
                asked = part_of(model, start, start + len(x_part)) if parts > 1 else model
                start += len(x_part)
                done.append(function(asked, x_part, y_part, target=t_part, **shared).detach())
        return done[0] if len(done) == 1 else torch.cat(done)

    return guarded


def counted(on_step):
    """Return the hook `on_step` for an attack of several rounds: it numbers the calls from 1."""
    calls = itertools.count(1)
    return lambda step, x_adv: on_step(next(calls), x_adv)


def hook_for(on_step, whole, rows):
    """Return the hook of an attack on these rows only: it shows the `whole` batch [N, ...]."""
    return on_step and (lambda step, x_adv: on_step(step, whole.index_copy(0, rows, x_adv)))


def chunk_size(model, x):
    """Return how many examples of `x` to send through the model at once, by x's device."""
    if x.device.type != "cpu":
        return GPU_CHUNK
    model = behind(model)
    layers = list(model.modules()) if isinstance(model, nn.Module) else []
    convolves = any(isinstance(m, nn.modules.conv._ConvNd) for m in layers)
    return DENSE_CHUNK if layers and not convolves else CHUNK


def input_gradient(model, x, loss):
    """Return the gradient [N, ...] of the summed `loss(logits)` with respect to x, and the logits.

    The loss is summed over the batch: an average would divide each example's gradient by the
    batch size. No gradient is computed for the weights.
    """
    x = x.detach().requires_grad_()
    z = logits(model, x)
    return derivative(loss(z).sum(), x), z.detach()


def derivative(total, x, again=False):
    """Return the gradient of the number `total` with respect to x, or say that there is none.

    again: whether more gradients of the same pass will be asked for.
    """
    gradient = None
    if total.requires_grad:  # which it does for the weights' sake, too
        (gradient,) = torch.autograd.grad(total, x, allow_unused=True, retain_graph=again)
    if gradient is None:
        raise ValueError(
            "model: its output does not depend on x through differentiable steps, so there is no "
            "gradient to follow; put attacks.BPDA in place of the step that has none (a threshold, "
            "round, argmax, detach), or use a black-box attack"
        )
    if not bool(gradient.sum().isfinite()) and not bool(gradient.isfinite().all()):
        raise ValueError(
            "model: its gradient with respect to x is not finite, and an attack that follows it "
            "would call the model robust; look for a root, a power, a norm or a logarithm at 0 and "
            "keep its argument away from there (x.clamp(min=1e-6))"
        )
    return gradient


def only_step(x_adv, bounds, on_step):
    """Return x_adv [N, ...] clipped to `bounds`, the one step that its attack takes."""
    x_adv = x_adv.clamp(*bounds)
    if on_step:
        on_step(1, x_adv.clone())
    return x_adv


def goal_loss(y, target):
    """Return the loss to climb, logits [N, classes] -> [N]: away from y, or towards target."""
    if target is None:
        return lambda z: F.cross_entropy(z, y, reduction="none")
    return lambda z: -F.cross_entropy(z, target, reduction="none")


def succeeded(z, y, target=None):
    """Return a mask [N]: predicted as `target`, or as anything but y where there is no target."""
    predicted = z.argmax(1)
    return predicted != y if target is None else predicted == target


class Best:
    """Keeps each example's best iterate: a success before a failure, then the higher loss.

    Copying every iterate would cost a fifth of a small network's time. So `offer` keeps the iterate
    as it is (do not write into it), and copies a row only once a later iterate does worse.
    """

    def __init__(self, x, y, target):
        self.kept, self.y, self.target = x.clone(), y, target
        self.rank = torch.full((len(x),), -math.inf, dtype=torch.float64, device=x.device)
        self.newest = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.last = None

    def offer(self, x, z):
        """Take the iterates x [N, ...] with logits z wherever they beat what is kept."""
        loss = goal_loss(self.y, self.target)(z).double()
        rank = torch.where(succeeded(z, self.y, self.target), loss + SUCCESS, loss)
        better = rank > self.rank
        self._copy(self.newest & ~better)
        self.rank, self.newest, self.last = torch.maximum(rank, self.rank), better, x

    def _copy(self, rows):
        if self.last is not None and bool(rows.any()):
            self.kept[rows] = self.last[rows]

    @property
    def x(self):
        """The best iterates so far [N, ...]."""
        self._copy(self.newest)
        return self.kept

    @property
    def won(self):
        """A mask [N]: whose best iterate is a success."""
        return self.rank > SUCCESS / 2

    def keep(self, stay):
        """Forget every example but those in the mask `stay` [N]."""
        self.kept, self.rank, self.y = self.x[stay], self.rank[stay], self.y[stay]
        self.target = self.target[stay] if self.target is not None else None
        self.newest, self.last = torch.zeros_like(self.rank, dtype=torch.bool), None
