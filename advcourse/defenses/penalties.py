"""Make the network itself less steep: penalties on weights and on gradients (lecture 16)."""

import torch
import torch.nn.functional as F
from torch import nn

from ..attacks.contract import frozen
from ..attacks.inputs import check_size

LINEAR = (nn.Linear, nn.Conv2d, nn.AvgPool2d)
# These never pull two inputs further apart: |f(a) - f(b)| <= |a - b| in l2.
HARMLESS = (nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Dropout, nn.Identity)
STRENGTH = "is no strength; pass a number >= 0"


def weights(l1=0.0, l2=0.0):
    """Return a `penalty` of `training.fit`: l1 * sum |w| + l2 * sum w^2 over all weights.

    Biases are left out: they move a boundary, they do not make it steeper. Raises ValueError for a
    negative factor. Source: the blue team's report of lecture 13, and lecture 16.
    """
    check_size("l1", l1, STRENGTH)
    check_size("l2", l2, STRENGTH)

    def penalty(model):
        kept = [p for p in model.parameters() if p.ndim > 1]
        return sum(l1 * w.abs().sum() + l2 * w.square().sum() for w in kept)

    return penalty


def parseval(beta):
    """Return a `penalty` of `training.fit`: beta / 2 * sum over layers of ||W W^T - I||^2.

    It draws every layer towards a map that keeps lengths, so that none of them stretches. W has a
    row for each output; a wide W is used as it is, a tall one by its columns. A kernel is reshaped
    to [out, in * kh * kw] and multiplied by the root of how many windows see one pixel.
    Raises ValueError for a negative beta. Source: Cisse et al. 2017, "Parseval networks";
    lecture 16.
    """
    check_size("beta", beta, STRENGTH)

    def penalty(model):
        layers = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
        return beta / 2 * sum(_unevenness(as_matrix(layer)) for layer in layers)

    return penalty


def as_matrix(layer):
    """Return the weights [out, in * kh * kw] of a layer, scaled by how often a pixel is used."""
    if isinstance(layer, nn.Linear):
        return layer.weight
    pairs = zip(layer.kernel_size, layer.stride, strict=True)
    windows = [-(-size // stride) for size, stride in pairs]  # rounded up
    return layer.weight.flatten(1) * (windows[0] * windows[1]) ** 0.5


def _unevenness(w):
    gram = w @ w.T if len(w) <= w.shape[1] else w.T @ w
    return (gram - torch.eye(len(gram), dtype=w.dtype, device=w.device)).square().sum()


def input_gradient(strength):
    """Return an `objective` of `training.fit`: cross-entropy + strength * mean ||dloss/dx||^2.

    The gradient is that of each image's own loss with respect to its pixels, in l2; its square is
    differentiated once more to train the weights. Raises ValueError for a negative strength.
    Source: Drucker and LeCun 1992, "Double backpropagation"; Ross and Doshi-Velez 2018; lecture 16.
    """
    check_size("strength", strength, STRENGTH)

    def objective(model, x, y, generator=None, done=1.0):
        x = x.detach().requires_grad_()
        loss = F.cross_entropy(model(x), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
        return loss / len(x) + strength * gradient.flatten(1).square().sum(1).mean()

    return objective


def lipschitz(model, shape=(1, 28, 28), steps=300):
    """Return an upper bound of how much `model` stretches an l2 distance between two inputs.

    It is the product of the layers' own factors. A Linear's is its largest singular value; that of
    a convolution or an average pooling, on inputs of this `shape` [C, H, W], is found by `steps`
    power iterations (from below, to about three digits). The rest counts 1.
    Raises ValueError for a layer whose factor is not known.
    Source: Szegedy et al. 2014, "Intriguing properties of neural networks"; lecture 16.
    """
    first, factor = next(model.parameters()), 1.0
    with torch.inference_mode(False), frozen(model):
        x = torch.zeros(1, *shape, dtype=first.dtype, device=first.device)
        for layer in flat_layers(model):
            if is_plain(layer, nn.Linear):
                factor *= torch.linalg.matrix_norm(layer.weight.detach(), 2).item()
            elif is_plain(layer, *LINEAR):
                factor *= _stretch(layer, x, steps)
            elif not is_plain(layer, *HARMLESS) or _overlaps(layer):
                raise ValueError(
                    f"model: no factor is known for the layer {layer}; use Linear, Conv2d, ReLU, "
                    "Flatten, Dropout, AvgPool2d, or MaxPool2d with windows that do not overlap"
                )
            x = layer(x).detach()
    return factor


def flat_layers(model):
    """Return the layers of a Sequential in order, those of nested ones included."""
    if not is_plain(model, nn.Sequential):
        return [model]
    return [layer for part in model for layer in flat_layers(part)]


def is_plain(layer, *kinds):
    """Tell whether a layer is of one of these kinds and computes as that kind does.

    A subclass with a `forward` of its own is not: what is known of its kind says nothing of it.
    """
    return any(isinstance(layer, k) and type(layer).forward is k.forward for k in kinds)


def _overlaps(layer):
    if not isinstance(layer, nn.MaxPool2d):
        return False
    size, stride, spread = (
        v if isinstance(v, tuple) else (v, v)
        for v in (layer.kernel_size, layer.stride, layer.dilation)
    )
    return any(k > s for k, s in zip(size, stride, strict=True)) or max(spread) > 1


def _stretch(layer, x, steps):
    """Return the largest singular value of a linear layer on inputs like x [1, ...]."""
    source = torch.Generator().manual_seed(0)
    v = torch.rand(x.shape, generator=source).to(x)
    zero, length = layer(torch.zeros_like(x)).detach(), 0.0
    for _ in range(steps):
        v = (v / v.norm()).requires_grad_()
        with torch.enable_grad():
            out = layer(v) - zero  # without the bias
            (v,) = torch.autograd.grad(out.square().sum() / 2, v)  # the transposed layer on out
        length = out.norm().item()
    return length
