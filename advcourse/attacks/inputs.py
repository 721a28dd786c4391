"""What a bad argument of an attack is told: its name, its value, and the mend."""

import math
import numbers
from contextlib import contextmanager

import torch
from torch import nn

# Options that are sizes, and options that are counts.
SIZES = (
    "eps",
    "std",
    "step_size",
    "overshoot",
    "confidence",
    "learning_rate",
    "initial_c",
    "initial_eps",
    "weight",
)
COUNTS = ("steps", "restarts", "candidates", "binary_search_steps", "queries", "directions")
NOT_ZERO = ("learning_rate", "initial_c", "initial_eps")  # with 0 nothing would ever move
SWITCHES = ("early_stop", "random_start")


def check_inputs(x, y, target, bounds, generator):
    """Raise a ValueError that names the argument, its value and the mend."""
    check_pixels(x, bounds)
    check_labels("y", y, x)
    if target is not None:
        check_labels("target", target, x)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ValueError(
            f"generator: got {generator!r}; pass torch.Generator().manual_seed(a number)"
        )


def check_pixels(x, bounds=(0.0, 1.0)):
    """Raise a ValueError unless x is a float tensor [N, ...] within finite bounds, up to rounding."""
    lo, hi = bounds
    if not (lo < hi and math.isfinite(lo) and math.isfinite(hi)):
        raise ValueError(
            f"bounds: {bounds} is not a range; pass (lowest, highest) pixel value, both finite"
        )
    if not isinstance(x, torch.Tensor) or not x.is_floating_point() or x.ndim < 2:
        got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__
        raise ValueError(f"x: got {got}; pass a float tensor of shape (N, ...), pixels in {bounds}")
    if x.layout is not torch.strided:
        raise ValueError(f"x: got a tensor of layout {x.layout}; pass x.to_dense()")
    if x.numel():
        low, high = (v.item() for v in torch.aminmax(x.detach()))
        if math.isnan(low) or math.isnan(high):
            raise ValueError("x: contains NaN; find where it comes from before you attack")
        slack = 4 * torch.finfo(x.dtype).eps * max(abs(lo), abs(hi))  # 0.8 is none in float32
        if low < lo - slack or high > hi + slack:
            raise ValueError(
                f"x: values from {low:.7g} to {high:.7g} leave the bounds {bounds}; scale pixels "
                "to [0, 1] and put any normalization into the model's first layer"
            )


def check_labels(name, labels, x):
    """Raise a ValueError unless `labels` holds one class number per example of x."""
    numbers_in = isinstance(labels, torch.Tensor) and not labels.dtype.is_floating_point
    if not numbers_in or labels.dtype == torch.bool:
        got = labels.dtype if isinstance(labels, torch.Tensor) else type(labels).__name__
        raise ValueError(f"{name}: got {got}; pass an int64 tensor of class numbers, shape (N,)")
    if labels.shape != x.shape[:1]:
        raise ValueError(
            f"{name}: shape {tuple(labels.shape)} does not match the {len(x)} inputs; "
            "pass one class number per input"
        )
    if labels.device != x.device:
        raise ValueError(f"{name}: on {labels.device}, x on {x.device}; move it with .to(x.device)")


def check_model(model, x, y, target, may_label=False):
    """Probe the model with one example: right shape, right device, enough classes for the labels.

    may_label: whether a model may answer with labels, int64 [N], instead; it hides its classes.
    """
    if not len(x):
        return
    weight = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    if weight is not None and weight.device != x.device:
        raise ValueError(f"x: on {x.device}, the model on {weight.device}; move x with .to(...)")
    with torch.no_grad():
        z = unheard(model)(x[:1].detach())
    if may_label and isinstance(z, torch.Tensor) and z.dtype == torch.int64 and z.shape == (1,):
        return
    classes = logits(lambda x: z, x[:1]).shape[1]
    if bool(z.isnan().any()):
        raise ValueError(
            "model: returns NaN for the first input, and what compares with NaN is neither robust "
            "nor fooled; has its training diverged? Look at its weights before you attack"
        )
    for name, labels in (("y", y), ("target", target)):
        if labels is not None and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(
                f"{name}: labels from {labels.min()} to {labels.max()}, but the model has "
                f"{classes} classes, numbered 0 to {classes - 1}"
            )


def unheard(model):
    """Return the model without its hooks: who counts queries there counts the attack's, no check's."""
    return model.forward if isinstance(model, nn.Module) else model


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


def check_options(options, known):
    """Raise a ValueError for a size or a count that makes none; None stands where it is the default."""
    for name, value in options.items():
        if value is None and known[name].default is None:
            continue
        if name in SIZES:
            check_size(name, value)
        if name in NOT_ZERO and value == 0:
            raise ValueError(f"{name}: 0 would leave everything where it is; pass a number > 0")
        if name in COUNTS:
            check_count(name, value)
        if name in SWITCHES and not isinstance(value, bool):
            raise ValueError(f"{name}: {value!r} is no switch; pass True or False")


def check_size(name, value, said="is no size; pass a number >= 0, in pixel units"):
    """Raise a ValueError unless `value` is a finite number >= 0."""
    check_number(name, value, lambda v: v >= 0, said)


def check_count(name, value, said=None, least=1):
    """Raise a ValueError unless `value` is a whole number >= `least`."""
    said = said or f"is no count; pass a whole number >= {least}"
    check_number(name, value, lambda v: is_a(numbers.Integral, v) and v >= least, said)


def check_share(name, value, said="is no share; pass a number in [0, 1]"):
    """Raise a ValueError unless `value` is a number in [0, 1]."""
    check_number(name, value, lambda v: 0 <= v <= 1, said)


def check_number(name, value, holds, said):
    """Raise a ValueError "name: value said" unless `value` is a finite number for which `holds`."""
    if not (is_a(numbers.Real, value) and math.isfinite(value) and holds(value)):
        raise ValueError(f"{name}: {value!r} {said}")


def one_of(name, value, allowed):
    """Raise a ValueError unless `value` is one of the `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name}: {value!r} is not one of {', '.join(allowed)}")


def is_a(kind, value):
    """Tell whether `value` is a number of that kind; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def no_target(name, target):
    """Raise a ValueError where an attack that cannot aim is given a target."""
    if target is not None:
        raise ValueError(f"target: {name} cannot aim at a class; leave target out, or use fgsm")


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
