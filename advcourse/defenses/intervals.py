"""Push a whole box of images through a network: interval bounds (lecture 16)."""

import torch
import torch.nn.functional as F
from torch import nn

from ..attacks.contract import chunk_size, frozen
from ..attacks.inputs import check_inputs, check_model, check_pixels, check_share, check_size
from .adversarial import grown
from .penalties import flat_layers, is_plain

# A larger input gives a larger output, in every entry: such a layer maps corners to corners.
MONOTONE = (nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.Flatten)


def interval_bounds(model, low, high):
    """Return (low, high) [N, classes]: what the logits can be for inputs between low and high.

    low, high: [N, ...], in pixel units. model: Linear, Conv2d, ReLU, MaxPool2d, AvgPool2d, Flatten
    and Dropout (which does nothing here) in a Sequential, nested or not. The bounds hold up to the
    rounding of floats. Raises ValueError for another layer, and where low is above high.
    Source: Gowal et al. 2018, "On the effectiveness of interval bound propagation"; lecture 16.
    """
    if low.shape != high.shape or bool((low > high).any()):
        raise ValueError(
            f"low, high: shapes {tuple(low.shape)} and {tuple(high.shape)}, or a low above its "
            "high; pass the smallest and the largest value of every pixel"
        )
    for layer in flat_layers(model):
        low, high = _through(layer, low, high)
    return low, high


def _through(layer, low, high):
    """Return the bounds after one layer."""
    if is_plain(layer, nn.Dropout):
        return low, high
    if is_plain(layer, *MONOTONE):
        return layer(low), layer(high)
    middle, radius = (low + high) / 2, (high - low) / 2
    if is_plain(layer, nn.Linear):
        middle, radius = layer(middle), F.linear(radius, layer.weight.abs())
    elif is_plain(layer, nn.Conv2d) and layer.padding_mode == "zeros":
        how = (layer.stride, layer.padding, layer.dilation, layer.groups)
        middle, radius = layer(middle), F.conv2d(radius, layer.weight.abs(), None, *how)
    else:
        raise ValueError(
            f"model: no interval passes through the layer {layer}; use Linear, Conv2d with zero "
            "padding, ReLU, MaxPool2d, AvgPool2d, Flatten or Dropout, in a Sequential"
        )
    return middle - radius, middle + radius


def worst_logits(model, x, y, eps):
    """Return [N, classes]: the largest lead z_k - z_y that class k can have in the box around x.

    eps: half the width of the box (linf), in pixel units; the box is cut to [0, 1]. The last layer
    must be Linear: it is folded into the difference, which is tighter than two bounds subtracted.
    The column of y itself is 0. Gradients flow to the weights. Raises ValueError for bad input.
    Source: Gowal et al. 2018; lecture 16.
    """
    check_size("eps", eps)
    *body, last = flat_layers(model)
    if not is_plain(last, nn.Linear):
        raise ValueError(f"model: the last layer is {last}; certificates need a Linear there")
    low, high = (x - eps).clamp(0, 1), (x + eps).clamp(0, 1)
    low, high = interval_bounds(nn.Sequential(*body), low, high)
    middle, radius = (low + high) / 2, (high - low) / 2
    lead = last.weight - last.weight[y, None]  # [N, classes, in]
    offset = 0 if last.bias is None else last.bias - last.bias[y, None]
    return (lead @ middle[..., None] + lead.abs() @ radius[..., None])[..., 0] + offset


@torch.no_grad()
def certified_ibp(model, x, y, eps):
    """Return a mask [N]: no image within eps (linf) of x and in [0, 1] is read as anything but y.

    eps: in pixel units of [0, 1]. What is not certified may be safe all the same; what is, is right
    and stays right (up to the rounding of floats). Raises ValueError for bad input.
    Source: Gowal et al. 2018; lecture 16.
    """
    check_inputs(x, y, None, (0.0, 1.0), None)
    proven = torch.ones(len(x), dtype=torch.bool, device=x.device)
    size = chunk_size(model, x)
    with frozen(model):
        check_model(model, x, y, None)
        for part, x_part, y_part in zip(
            proven.split(size), x.split(size), y.split(size), strict=True
        ):
            worst = worst_logits(model, x_part, y_part, eps)
            part &= worst.scatter(1, y_part[:, None], -torch.inf).amax(1) < 0
    return proven


def interval_training(eps, warm_up=0.5, share=0.5):
    """Return an `objective` of `training.fit`: part cross-entropy, part that of the worst logits.

    eps: half the width of the box at the end (linf), in pixel units. It grows from 0 over the part
    `warm_up` of the training, and with it the weight of the worst case, from 0 to `share`.
    Raises ValueError for a negative eps and a share outside [0, 1].
    Source: Gowal et al. 2018, whose kappa is 1 - share; lecture 16.
    """
    check_size("eps", eps)
    check_share("share", share)

    def objective(model, x, y, generator=None, done=1.0):
        check_pixels(x)
        ripe = grown(done, warm_up)
        worst = F.cross_entropy(worst_logits(model, x, y, eps * ripe), y)
        return (1 - share * ripe) * F.cross_entropy(model(x), y) + share * ripe * worst

    return objective
