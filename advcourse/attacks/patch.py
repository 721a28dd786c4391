"""A sticker for any image and any place: how the adversarial patch is found (lecture 10)."""

import torch

from .contract import input_gradient
from .inputs import check_count, check_size
from .sticker import Patch, check_fits, check_turn, gather, outline, paste
from .universal import batches, ready, still_standing


def patch(
    model,
    x,
    y,
    *,
    size,
    target=None,
    shape="square",
    rotate=0.0,
    epochs=25,
    batch_size=100,
    learning_rate=0.2,
    views=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
    progress=False,
):
    """Train a `Patch` that fools the model wherever it is pasted, and whatever lies under it.

    x [N, C, H, W], y [N]: the images that it learns from; it is meant for others of their kind.
    size: of a side, in pixels; shape: "square" or "round". target: one class, or int64 [N]; None:
    any class but y. rotate: the largest turn to either side, in degrees. Place and turn are drawn
    afresh for each image and step. views: (images, generator) -> images, a random differentiable
    change of the whole picture after pasting, for example a camera's. learning_rate: of Adam, in
    pixel units; it falls to 0 along a half cosine. on_step(step, patch) after each step.
    Same generator seed, same patch. Raises ValueError for bad input.
    Source: Brown et al. 2017, "Adversarial patch"; lecture 10.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        check_count(name, value)
    check_size("learning_rate", learning_rate)
    rotate, mask = check_turn("rotate", rotate), outline(size, shape)
    with ready(model, x, y, target, bounds, generator) as (x, y, target, generator):
        check_fits(x, size, rotate)
        left = still_standing(model, x, y, target)
        # From gray: of the runs that began at random pixels, one in three ended low.
        pixels = x.new_full((x.shape[1], size, size), sum(bounds) / 2)
        adam = torch.optim.Adam([pixels], lr=learning_rate)
        seen = (lambda images: model(views(images, generator))) if views else model
        walk = batches(len(x), epochs, batch_size, generator, progress)
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(adam, len(walk))
        for step, rows in enumerate(walk, 1):
            index = Patch(pixels, mask, rotate).place(x[rows], generator)
            gradient, _ = input_gradient(seen, paste(x[rows], pixels, index), left(rows))
            pixels.grad = gather(gradient, index, pixels)
            adam.step()
            fall.step()
            pixels.clamp_(*bounds)
            if on_step:
                on_step(step, Patch(pixels.clone(), mask, rotate))
    return Patch(pixels.detach().clone(), mask.to(x.device), rotate)
