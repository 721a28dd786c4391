"""Right answers of lab 10, image by image and view by view."""

import math

import torch
import torch.nn.functional as F


def slope(model, x, y):
    """Return the gradient of each image's own loss, one after another, in eval mode."""
    mode = model.training
    model.eval()
    rows = []
    for image, label in zip(x, y, strict=True):
        leaf = image[None].clone().requires_grad_()
        rows.append(torch.autograd.grad(F.cross_entropy(model(leaf), label[None]), leaf)[0])
    model.train(mode)
    return torch.cat(rows)


def universal_step(model, x, y, delta, eps, step_size):
    seen = torch.clamp(x + delta, 0, 1)
    votes = sum(slope(model, seen[i : i + 2], y[i : i + 2]).sum(0) for i in range(0, len(x), 2))
    moved = delta + step_size * torch.sign(votes)[None]
    return torch.minimum(
        torch.maximum(moved, -eps * torch.ones_like(moved)), torch.full_like(moved, eps)
    )


def share_fooled(model, x, y, delta):
    mode = model.training
    model.eval()
    fooled = right = 0
    with torch.no_grad():
        for image, label in zip(x, y, strict=True):
            if model(image[None]).argmax(1) == label:
                right += 1
                fooled += int(model((image[None] + delta).clamp(0, 1)).argmax(1) != label)
    model.train(mode)
    return fooled / right if right else 0.0


def random_places(n, height, width, size, generator):
    free = (height - size + 1) * (width - size + 1)
    place = torch.randint(free, (n,), generator=generator)
    print("places drawn:", n)
    return place // (width - size + 1), place % (width - size + 1)


def paste_at(x, patch, rows, columns):
    size = patch.shape[1]
    down = torch.arange(x.shape[2])[None] - rows[:, None]
    across = torch.arange(x.shape[3])[None] - columns[:, None]
    inside = ((down >= 0) & (down < size))[:, :, None] & ((across >= 0) & (across < size))[:, None]
    there = patch[:, down.clamp(0, size - 1)[:, :, None], across.clamp(0, size - 1)[:, None]]
    return torch.where(inside[:, None], there.transpose(0, 1), x)


def masked_step(x_adv, gradient, mask, step_size):
    moved = torch.clamp(x_adv + step_size * torch.sign(gradient), min=0, max=1)
    return torch.where(mask.bool(), moved, x_adv)


def turn(x, degrees):
    pictures = []
    for picture, angle in zip(x, degrees.tolist(), strict=True):
        a = math.radians(angle)
        matrix = [[math.cos(a), -math.sin(a), 0.0], [math.sin(a), math.cos(a), 0.0]]
        grid = F.affine_grid(x.new_tensor([matrix]), [1, *picture.shape], align_corners=False)
        pictures.append(F.grid_sample(picture[None], grid, align_corners=False))
    return torch.cat(pictures)


def views_gradient(model, x, y, view, samples, generator):
    mode = model.training
    model.eval()
    x = x.detach().clone().requires_grad_()
    loss = 0
    for _ in range(samples):
        loss = loss + F.cross_entropy(model(view(x, generator)), y, reduction="sum") / samples
    (gradient,) = torch.autograd.grad(loss, x)
    model.train(mode)
    return gradient


def view_table(model, x, target, camera, distances, angles):
    mode = model.training
    model.eval()
    table = torch.zeros(len(distances), len(angles))
    for i, distance in enumerate(distances):
        for j, angle in enumerate(angles):
            with torch.no_grad():
                read = [model(camera(image[None], distance, angle)).argmax(1) for image in x]
            table[i, j] = (torch.cat(read) == target).double().mean()
    model.train(mode)
    return table


RIGHT = {
    "universal_step": universal_step,
    "share_fooled": share_fooled,
    "random_places": random_places,
    "paste_at": paste_at,
    "masked_step": masked_step,
    "turn": turn,
    "views_gradient": views_gradient,
    "view_table": view_table,
}
