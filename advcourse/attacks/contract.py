"""What every attack promises, written once: checked input, an untouched model, chunks, restored modes.

An attack is a plain function decorated with `@attack`; `attacks/fgsm.py` is the shortest example.
"""

import functools
import inspect
import math
import numbers
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

NORMS = ("linf", "l2", "l1")
# A convolutional network on a CPU costs 2 to 3 times more per image in batches of 1,000 than of 250,
# because its activations no longer fit what the allocator keeps. A GPU wants larger batches.
CHUNK = {"cpu": 250}
GPU_CHUNK = 2048


def attack(function):
    """Wrap `function` so that it keeps the contract; its signature and docstring stay visible."""
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
        check_options(options)
        if generator is None:  # the global random state is the caller's, not ours
            generator = torch.Generator(device=x.device)
            generator.seed()
        # A hook sees the whole batch at every step, so such a batch is not split.
        parts = 1 if on_step else max(1, math.ceil(len(x) / chunk_size(x)))
        shared = {"bounds": bounds, "generator": generator, "on_step": on_step, **options}
        with torch.inference_mode(False), torch.enable_grad(), frozen(model):
            # Copies made in here can be differentiated, even where the caller's are for inference.
            x, y = x.detach().clone(), y.long().clone()
            target = target.long().clone() if target is not None else None
            check_model(model, x, y, target)
            targets = target.chunk(parts) if target is not None else [None] * parts
            done = [
                function(model, x_part, y_part, target=t_part, **shared).detach()
                for x_part, y_part, t_part in zip(
                    x.chunk(parts), y.chunk(parts), targets, strict=True
                )
            ]
        return done[0] if len(done) == 1 else torch.cat(done)

    return guarded


def chunk_size(x):
    """Return how many examples of `x` to attack at once on x's device."""
    return CHUNK.get(x.device.type, GPU_CHUNK)


@contextmanager
def frozen(model):
    """Hold `model` in eval mode; give every module its own mode back, even after an error."""
    modes = [(m, m.training) for m in model.modules()] if isinstance(model, nn.Module) else []
    try:
        for module, training in modes:
            if training:
                module.training = False
        yield model
    finally:
        for module, training in modes:
            module.training = training


def logits(model, x):
    """Return model(x) [N, classes], or say what is wrong with its shape."""
    z = model(x)
    if not isinstance(z, torch.Tensor) or z.ndim != 2 or len(z) != len(x):
        got = tuple(z.shape) if isinstance(z, torch.Tensor) else type(z).__name__
        raise ValueError(
            f"model: returned {got} for {len(x)} inputs; return one row of class scores per input, "
            f"shape ({len(x)}, classes)"
        )
    return z


def input_gradient(model, x, loss):
    """Return the gradient [N, ...] of the summed `loss(logits)` with respect to x, and the logits.

    The loss is summed over the batch: an average would divide each example's gradient by the
    batch size. No gradient is computed for the weights.
    """
    x = x.detach().requires_grad_()
    z = logits(model, x)
    gradient = None
    if z.requires_grad:  # which it does for the weights' sake, too
        (gradient,) = torch.autograd.grad(loss(z).sum(), x, allow_unused=True)
    if gradient is None:
        raise ValueError(
            "model: its output does not depend on x through differentiable steps, so there is no "
            "gradient to follow; use a black-box attack, or remove argmax, round or detach from it"
        )
    return gradient, z.detach()


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
    """Keeps each example's best iterate: a success before a failure, then the higher loss."""

    def __init__(self, y, target):
        self.y, self.target, self.loss = y, target, goal_loss(y, target)
        self.x = None

    def offer(self, x, z):
        """Take the iterates x [N, ...] with logits z wherever they beat what is kept."""
        won, height = succeeded(z, self.y, self.target), self.loss(z)
        if self.x is None:
            self.x, self.won, self.height = x.clone(), won, height
            return
        better = (won & ~self.won) | ((won == self.won) & (height > self.height))
        self.x[better] = x[better]
        self.won, self.height = self.won | won, torch.where(better, height, self.height)


def check_inputs(x, y, target, bounds, generator):
    """Raise a ValueError that names the argument, its value and the mend."""
    lo, hi = bounds
    if not lo < hi:
        raise ValueError(f"bounds: {bounds} is not a range; pass (lowest, highest) pixel value")
    if not isinstance(x, torch.Tensor) or not x.is_floating_point() or x.ndim < 2:
        got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__
        raise ValueError(f"x: got {got}; pass a float tensor of shape (N, ...), pixels in {bounds}")
    if x.numel():
        low, high = (v.item() for v in torch.aminmax(x.detach()))
        if math.isnan(low) or math.isnan(high):
            raise ValueError("x: contains NaN; find where it comes from before you attack")
        if low < lo or high > hi:
            raise ValueError(
                f"x: values from {low:.4g} to {high:.4g} leave the bounds {bounds}; scale pixels "
                "to [0, 1] and put any normalization into the model's first layer"
            )
    check_labels("y", y, x)
    if target is not None:
        check_labels("target", target, x)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ValueError(
            f"generator: got {generator!r}; pass torch.Generator().manual_seed(a number)"
        )


def check_labels(name, labels, x):
    """Raise a ValueError unless `labels` holds one class number per example of x."""
    if not isinstance(labels, torch.Tensor) or labels.dtype.is_floating_point:
        got = labels.dtype if isinstance(labels, torch.Tensor) else type(labels).__name__
        raise ValueError(f"{name}: got {got}; pass an int64 tensor of class numbers, shape (N,)")
    if labels.shape != x.shape[:1]:
        raise ValueError(
            f"{name}: shape {tuple(labels.shape)} does not match the {len(x)} inputs; "
            "pass one class number per input"
        )
    if labels.device != x.device:
        raise ValueError(f"{name}: on {labels.device}, x on {x.device}; move it with .to(x.device)")


def check_model(model, x, y, target):
    """Probe the model with one example: right shape, right device, enough classes for the labels."""
    if not len(x):
        return
    weight = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    if weight is not None and weight.device != x.device:
        raise ValueError(f"x: on {x.device}, the model on {weight.device}; move x with .to(...)")
    # Around the hooks of a module: whoever counts queries there counts the attack's, not this one.
    ask = model.forward if isinstance(model, nn.Module) else model
    with torch.no_grad():
        classes = logits(ask, x[:1].detach()).shape[1]
    for name, labels in (("y", y), ("target", target)):
        if labels is not None and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(
                f"{name}: labels from {labels.min()} to {labels.max()}, but the model has "
                f"{classes} classes, numbered 0 to {classes - 1}"
            )


def check_options(options):
    """Raise a ValueError for a budget, step or norm that makes no sense."""
    for name, value in options.items():
        if name in ("eps", "std", "step_size") and not (
            is_a(numbers.Real, value) and 0 <= value < math.inf
        ):
            raise ValueError(f"{name}: {value!r} is no size; pass a number >= 0, in pixel units")
        if name in ("steps", "restarts") and not (is_a(numbers.Integral, value) and value >= 1):
            raise ValueError(f"{name}: {value!r} is no count; pass a whole number >= 1")
        if name == "norm" and value not in NORMS:
            raise ValueError(f"norm: {value!r} is not one of {', '.join(NORMS)}")


def is_a(kind, value):
    """Tell whether `value` is a number of that kind; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def no_target(name, target):
    """Raise a ValueError where an attack that cannot aim is given a target."""
    if target is not None:
        raise ValueError(f"target: {name} cannot aim at a class; leave target out, or use fgsm")
