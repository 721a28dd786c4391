"""Attacks that know nothing of the model: random noise and the negative image (lecture 03)."""

import torch

from .contract import attack, only_step
from .inputs import no_target


@attack
def gaussian_noise(
    model, x, y, *, std, target=None, bounds=(0.0, 1.0), generator=None, on_step=None
):
    """Add Gaussian noise to x [N, ...] and clip to `bounds`: weak, black box, untargeted.

    std: standard deviation per pixel, in pixel units of [0, 1].
    Raises ValueError for bad input, and for a target: noise cannot aim.
    Source: lecture 03; the "noise attack" of introductory lectures.
    """
    no_target("gaussian_noise", target)
    noise = torch.empty(x.shape, dtype=x.dtype, device=generator.device)
    noise = noise.normal_(generator=generator).to(x.device)
    return only_step(x + std * noise, bounds, on_step)


@attack
def uniform_noise(
    model, x, y, *, eps, target=None, bounds=(0.0, 1.0), generator=None, on_step=None
):
    """Add noise drawn uniformly from the linf ball of radius `eps` to x [N, ...], and clip.

    eps: largest change of any pixel, in pixel units of [0, 1].
    Raises ValueError for bad input, and for a target: noise cannot aim.
    Source: lecture 03. The same ball as FGSM's, without its gradient.
    """
    no_target("uniform_noise", target)
    noise = torch.empty(x.shape, dtype=x.dtype, device=generator.device)
    noise = noise.uniform_(-eps, eps, generator=generator).to(x.device)
    return only_step(x + noise, bounds, on_step)


@attack
def negative(model, x, y, *, target=None, bounds=(0.0, 1.0), generator=None, on_step=None):
    """Return the negative of x [N, ...]: each pixel p becomes lowest + highest - p.

    A semantic attack: far away in every norm, yet the same object to a person.
    Raises ValueError for bad input, and for a target.
    Source: Hosseini et al. 2017, "On the limitation of convolutional neural networks in
    recognizing negative images"; lecture 03.
    """
    no_target("negative", target)
    lo, hi = bounds
    return only_step(lo + hi - x, bounds, on_step)
