"""More training images at no attack's cost: noisy copies and negatives (lecture 13)."""

import torch

from ..attacks.inputs import check_pixels, check_share


def noisy(std, probability=1.0, clip=True):
    """Return an `augment` of `training.fit` that adds Gaussian noise to each image by chance.

    std: of the noise, in pixel units of [0, 1]; probability: that an image gets it; clip: keep the
    pixels in [0, 1] (randomized smoothing, lecture 16, does not). ValueError for other numbers.
    """
    check_share("std", std)
    check_share("probability", probability)

    def augment(model, x, y, generator):
        noise = torch.randn(x.shape, generator=generator).to(x) * std
        mixed = torch.where(_chosen(x, probability, generator), x + noise, x)
        return (mixed.clamp(0, 1) if clip else mixed), y

    return augment


def negated(probability=0.5):
    """Return an `augment` of `training.fit` that turns each image into its negative by chance.

    Source: Hosseini et al. 2017, "On the limitation of convolutional neural networks in
    recognizing negative images"; lecture 13.
    """
    check_share("probability", probability)

    def augment(model, x, y, generator):
        check_pixels(x)
        return torch.where(_chosen(x, probability, generator), 1 - x, x), y

    return augment


def with_negatives(x, y, count):
    """Return x [N, ...] and y [N] with the negatives of the first `count` images appended.

    Raises ValueError unless 0 <= count <= N.
    """
    if not 0 <= count <= len(x):
        raise ValueError(f"count: {count} negatives of {len(x)} images; pass 0 to {len(x)}")
    return torch.cat([x, 1 - x[:count]]), torch.cat([y, y[:count]])


def _chosen(x, probability, generator):
    """Return a mask [N, 1, ...] of the images that chance picks."""
    draw = torch.rand(len(x), generator=generator).to(x.device)
    return (draw < probability).view(-1, *[1] * (x.ndim - 1))
