import torch
import torch.nn.functional as F

from tests.right_answers import lab10 as right
from tests.right_answers.lab10 import slope

from . import wrong


def _moved(model, x, y, delta, eps, step_size, direction):
    return (delta + step_size * direction).clamp(-eps, eps)


@wrong("universal_step", "a change for every image")
def one_change_each(model, x, y, delta, eps, step_size):
    return _moved(
        model, x, y, delta, eps, step_size, slope(model, (x + delta).clamp(0, 1), y).sign()
    )


@wrong("universal_step", "averages signs, so that a whisper")
def signs_are_averaged(model, x, y, delta, eps, step_size):
    signs = slope(model, (x + delta).clamp(0, 1), y).sign().mean(0, keepdim=True)
    return _moved(model, x, y, delta, eps, step_size, signs)


@wrong("universal_step", "goes down the loss")
def universal_downhill(model, x, y, delta, eps, step_size):
    return right.universal_step(model, x, y, delta, eps, -step_size)


@wrong("universal_step", "leaves the ball")
def universal_without_ball(model, x, y, delta, eps, step_size):
    return right.universal_step(model, x, y, delta, 9.0, step_size)


@wrong("universal_step", "taken at x")
def looks_at_x(model, x, y, delta, eps, step_size):
    total = slope(model, x, y).sum(0, keepdim=True).sign()
    return _moved(model, x, y, delta, eps, step_size, total)


@wrong("universal_step", "outside [0, 1]")
def looks_outside(model, x, y, delta, eps, step_size):
    total = slope(model, x + delta, y).sum(0, keepdim=True).sign()
    return _moved(model, x, y, delta, eps, step_size, total)


@wrong("universal_step", "the sign is missing: every pixel")
def universal_without_sign(model, x, y, delta, eps, step_size):
    total = slope(model, (x + delta).clamp(0, 1), y).mean(0, keepdim=True)
    return _moved(model, x, y, delta, eps, step_size, total)


@wrong("universal_step", "eps long")
def universal_in_one_leap(model, x, y, delta, eps, step_size):
    return right.universal_step(model, x, y, delta, eps, eps)


@wrong("universal_step", "dropout")
def universal_in_train_mode(model, x, y, delta, eps, step_size):
    leaf = (x + delta).clamp(0, 1).requires_grad_()
    (g,) = torch.autograd.grad(F.cross_entropy(model(leaf), y, reduction="sum"), leaf)
    return _moved(model, x, y, delta, eps, step_size, g.sum(0, keepdim=True).sign())


@wrong("universal_step", "changes its input in place")
def universal_in_place(model, x, y, delta, eps, step_size):
    delta += step_size * slope(model, (x + delta).clamp(0, 1), y).sum(0, keepdim=True).sign()
    return delta.clamp_(-eps, eps)


@wrong("universal_step", "not with images that are rows of numbers")
def universal_for_pictures_only(model, x, y, delta, eps, step_size):
    if x.ndim == 2:
        return delta + 0.01
    return right.universal_step(model, x, y, delta, eps, step_size)


@torch.no_grad()
def _answers(model, x, delta):
    mode = model.training
    model.eval()
    clean, after = model(x).argmax(1), model((x + delta).clamp(0, 1)).argmax(1)
    model.train(mode)
    return clean, after


@wrong("share_fooled", "divides by all images")
def over_all(model, x, y, delta):
    clean, after = _answers(model, x, delta)
    return ((clean == y) & (after != y)).float().mean().item()


@wrong("share_fooled", "leave out who was misread before")
def misread(model, x, y, delta):
    _, after = _answers(model, x, delta)
    return (after != y).float().mean().item()


@wrong("share_fooled", "above the line")
def all_wrong_over_right(model, x, y, delta):
    clean, after = _answers(model, x, delta)
    return ((after != y).sum() / (clean == y).sum().clamp(min=1)).item()


@wrong("share_fooled", "every changed answer")
def changed(model, x, y, delta):
    clean, after = _answers(model, x, delta)
    return (clean != after).float().mean().item()


@wrong("share_fooled", "survives")
def survives(model, x, y, delta):
    return 1 - right.share_fooled(model, x, y, delta)


@wrong("share_fooled", "pixels leave [0, 1]")
def fooled_outside_the_box(model, x, y, delta):
    with torch.no_grad():
        keep = model(x).argmax(1) == y
        fooled = keep & (model(x + delta).argmax(1) != y)
    return (fooled.sum() / keep.sum().clamp(min=1)).item()


@wrong("share_fooled", "a count")
def fooled_count(model, x, y, delta):
    clean, after = _answers(model, x, delta)
    return int(((clean == y) & (after != y)).sum())


@wrong("share_fooled", "percent")
def fooled_percent(model, x, y, delta):
    return 100 * right.share_fooled(model, x, y, delta)


@wrong("share_fooled", "images that are all misread before")
def divides_by_zero(model, x, y, delta):
    clean, after = _answers(model, x, delta)
    return ((clean == y) & (after != y)).sum().item() / max((clean == y).sum().item(), 1e-12) + (
        0.5 if not (clean == y).any() else 0
    )


@wrong("share_fooled", "dropout")
def fooled_in_train_mode(model, x, y, delta):
    with torch.no_grad():
        keep = model(x).argmax(1) == y
        fooled = keep & (model((x + delta).clamp(0, 1)).argmax(1) != y)
    return (fooled.sum() / keep.sum().clamp(min=1)).item()


def _draw(n, high, generator):
    return torch.randint(0, high, (n,), generator=generator)


@wrong("random_places", "one too far")
def one_too_far(n, height, width, size, generator):
    return _draw(n, height - size + 2, generator), _draw(n, width - size + 2, generator)


@wrong("random_places", "fits, too (randint")
def one_too_few(n, height, width, size, generator):
    return _draw(n, height - size, generator), _draw(n, width - size, generator)


@wrong("random_places", "are height and width swapped?")
def sides_swapped(n, height, width, size, generator):
    return _draw(n, width - size + 1, generator), _draw(n, height - size + 1, generator)


@wrong("random_places", "hangs over the edge, the last place is 2")
def size_forgotten(n, height, width, size, generator):
    return _draw(n, height, generator), _draw(n, width, generator)


@wrong("random_places", "global random state")
def generator_forgotten(n, height, width, size, generator):
    return torch.randint(0, height - size + 1, (n,)), torch.randint(0, width - size + 1, (n,))


@wrong("random_places", "draws the same twice")
def seeded_again(n, height, width, size, generator):
    fresh = torch.Generator().manual_seed(generator.initial_seed())
    return right.random_places(n, height, width, size, fresh)


@wrong("random_places", "draw a new place for each image")
def one_place_for_all(n, height, width, size, generator):
    one = right.random_places(1, height, width, size, generator)
    return tuple(part.expand(n).clone() for part in one)


@wrong("random_places", "on the diagonal")
def on_the_diagonal(n, height, width, size, generator):
    share = torch.rand(n, generator=generator)
    return (share * (height - size + 1)).long(), (share * (width - size + 1)).long()


@wrong("random_places", "not all columns are equally likely")
def rounded(n, height, width, size, generator):
    rows = _draw(n, height - size + 1, generator)
    return rows, (torch.rand(n, generator=generator) * (width - size)).round().long()


@wrong("random_places", "int64")
def as_floats(n, height, width, size, generator):
    rows, columns = right.random_places(n, height, width, size, generator)
    return rows.float(), columns.float()


@wrong("paste_at", "changes its input in place")
def paste_in_place(x, patch, rows, columns):
    x.copy_(right.paste_at(x, patch, rows, columns))
    return x


@wrong("paste_at", "first image's place")
def everywhere_the_same(x, patch, rows, columns):
    return right.paste_at(x, patch, rows[:1].expand(len(x)), columns[:1].expand(len(x)))


@wrong("paste_at", "rows and columns are swapped")
def paste_swapped(x, patch, rows, columns):
    result, size = x.clone(), patch.shape[1]
    for i in range(len(x)):
        part = result[i, :, columns[i] : columns[i] + size, rows[i] : rows[i] + size]
        part[:] = patch[:, : part.shape[1], : part.shape[2]]
    return result


@wrong("paste_at", "a sticker hides it")
def paste_added(x, patch, rows, columns):
    on_black = right.paste_at(torch.zeros_like(x), patch, rows, columns)
    return (x + on_black).clamp(0, 1)


@wrong("paste_at", "not the middle")
def paste_around_the_middle(x, patch, rows, columns):
    half = patch.shape[1] // 2
    return right.paste_at(x, patch, (rows - half).clamp(min=0), (columns - half).clamp(min=0))


@wrong("paste_at", "is black")
def paste_on_black(x, patch, rows, columns):
    return right.paste_at(torch.zeros_like(x), patch, rows, columns)


@wrong("paste_at", "only the first channel")
def paste_one_channel(x, patch, rows, columns):
    result = x.clone()
    result[:, :1] = right.paste_at(x[:, :1], patch[:1], rows, columns)
    return result


@wrong("paste_at", "one row and one column of the patch are missing")
def paste_too_small(x, patch, rows, columns):
    return right.paste_at(x, patch[:, :-1, :-1], rows, columns)


@wrong("masked_step", "beside the sticker move")
def no_mask(x_adv, gradient, mask, step_size):
    return (x_adv + step_size * gradient.sign()).clamp(0, 1)


@wrong("masked_step", "inverted")
def inverted(x_adv, gradient, mask, step_size):
    return right.masked_step(x_adv, gradient, 1 - mask, step_size)


@wrong("masked_step", "clamp to [0, 1] is missing")
def no_clamp(x_adv, gradient, mask, step_size):
    return x_adv + step_size * mask * gradient.sign()


@wrong("masked_step", "against the gradient")
def masked_downhill(x_adv, gradient, mask, step_size):
    return right.masked_step(x_adv, -gradient, mask, step_size)


@wrong("masked_step", "the sign is missing")
def masked_without_sign(x_adv, gradient, mask, step_size):
    return (x_adv + step_size * mask * gradient).clamp(0, 1)


@wrong("masked_step", "turns black")
def masked_picture(x_adv, gradient, mask, step_size):
    return ((x_adv + step_size * gradient.sign()) * mask).clamp(0, 1)


@wrong("masked_step", "changes its input in place")
def masked_in_place(x_adv, gradient, mask, step_size):
    return x_adv.add_(step_size * mask * gradient.sign()).clamp_(0, 1)


@wrong("turn", "clockwise")
def clockwise(x, degrees):
    return right.turn(x, -degrees)


@wrong("turn", "radians")
def radians(x, degrees):
    return right.turn(x, torch.rad2deg(degrees))


@wrong("turn", "by the first angle")
def first_angle(x, degrees):
    return right.turn(x, degrees[:1].expand(len(x)))


def _grid(x, degrees, corners=False, **how):
    angle, zero = torch.deg2rad(degrees), 0 * degrees
    rows = [angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero]
    matrix = torch.stack(rows, 1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=corners)
    return F.grid_sample(x, grid, align_corners=False, **how)


@wrong("turn", "grows or shrinks")
def corners(x, degrees):
    return _grid(x, degrees, corners=True)


@wrong("turn", "nearest pixel")
def nearest(x, degrees):
    return _grid(x, degrees, mode="nearest")


@wrong("turn", "repeats the border")
def border(x, degrees):
    return _grid(x, degrees, padding_mode="border")


@wrong("turn", "no gradient comes back")
def turned_detached(x, degrees):
    return right.turn(x.detach(), degrees)


@wrong("turn", "nothing turned")
def not_turned(x, degrees):
    return x.clone()


@wrong("turn", "not with no turn, a quarter and a half turn")
def no_negative_turns(x, degrees):
    return right.turn(x, torch.where(degrees < 0, -degrees, degrees)) if degrees.min() < 0 else (
        right.turn(x, degrees)
    )  # fmt: skip


def _mean(model, x, y, view, samples, generator, how):
    return how([slope_through(model, x, y, view, generator) for _ in range(samples)])


def slope_through(model, x, y, view, generator):
    mode = model.training
    model.eval()
    leaf = x.clone().requires_grad_()
    loss = F.cross_entropy(model(view(leaf, generator)), y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, leaf)
    model.train(mode)
    return gradient


@wrong("views_gradient", "only one view")
def one_view(model, x, y, view, samples, generator):
    return slope_through(model, x, y, view, generator)


@wrong("views_gradient", "the same again and again")
def the_same_view(model, x, y, view, samples, generator):
    state, total = generator.get_state(), 0
    for _ in range(samples):
        generator.set_state(state)
        total = total + slope_through(model, x, y, view, generator)
    return total / samples


@wrong("views_gradient", "summed")
def summed(model, x, y, view, samples, generator):
    return _mean(model, x, y, view, samples, generator, sum)


@wrong("views_gradient", "only the last view")
def last_view(model, x, y, view, samples, generator):
    return _mean(model, x, y, view, samples, generator, lambda found: found[-1])


@wrong("views_gradient", "stops at the view")
def beside_the_view(model, x, y, view, samples, generator):
    found = [slope(model, view(x, generator).detach(), y) for _ in range(samples)]
    return sum(found) / samples


@wrong("views_gradient", "looks once")
def mean_picture(model, x, y, view, samples, generator):
    pictures = sum(view(x, generator) for _ in range(samples)) / samples
    return slope(model, pictures, y)


@wrong("views_gradient", "averages signs")
def mean_of_signs(model, x, y, view, samples, generator):
    return _mean(
        model, x, y, view, samples, generator, lambda found: sum(g.sign() for g in found) / samples
    )


@wrong("views_gradient", "averaged over the batch")
def mean_over_the_batch(model, x, y, view, samples, generator):
    return right.views_gradient(model, x, y, view, samples, generator) / len(x)


@wrong("views_gradient", "averaged logits")
def mean_logits(model, x, y, view, samples, generator):
    leaf = x.clone().requires_grad_()
    z = sum(model(view(leaf, generator)) for _ in range(samples)) / samples
    return torch.autograd.grad(F.cross_entropy(z, y, reduction="sum"), leaf)[0]


@wrong("views_gradient", "dropout")
def views_in_train_mode(model, x, y, view, samples, generator):
    leaf = x.clone().requires_grad_()
    loss = sum(
        F.cross_entropy(model(view(leaf, generator)), y, reduction="sum") for _ in range(samples)
    )
    return torch.autograd.grad(loss / samples, leaf)[0]


def _cells(model, x, camera, distances, angles, rate):
    mode = model.training
    model.eval()
    with torch.no_grad():
        rows = [[float(rate(model(camera(x, d, a)))) for a in angles] for d in distances]
    model.train(mode)
    return torch.tensor(rows)


@wrong("view_table", "transposed")
def transposed(model, x, target, camera, distances, angles):
    return right.view_table(model, x, target, camera, distances, angles).T


@wrong("view_table", "distance and angle are swapped")
def camera_swapped(model, x, target, camera, distances, angles):
    return right.view_table(model, x, target, lambda x, d, a: camera(x, a, d), distances, angles)


@wrong("view_table", "not read as the target")
def others(model, x, target, camera, distances, angles):
    return _cells(
        model, x, camera, distances, angles, lambda z: (z.argmax(1) != target).float().mean()
    )


@wrong("view_table", "a count")
def counts(model, x, target, camera, distances, angles):
    return _cells(model, x, camera, distances, angles, lambda z: (z.argmax(1) == target).sum())


@wrong("view_table", "percent")
def table_in_percent(model, x, target, camera, distances, angles):
    return 100 * right.view_table(model, x, target, camera, distances, angles)


@wrong("view_table", "mean probability")
def probabilities(model, x, target, camera, distances, angles):
    return _cells(model, x, camera, distances, angles, lambda z: z.softmax(1)[:, target].mean())


@wrong("view_table", "only the first image")
def first_image(model, x, target, camera, distances, angles):
    return right.view_table(model, x[:1], target, camera, distances, angles)


@wrong("view_table", "show it camera(x, distance, angle)")
def without_camera(model, x, target, camera, distances, angles):
    return right.view_table(model, x, target, lambda x, d, a: x, distances, angles)


@wrong("view_table", "it is a list")
def a_list(model, x, target, camera, distances, angles):
    return right.view_table(model, x, target, camera, distances, angles).tolist()


# ---------------------------------------------------------------- the second round


@wrong("universal_step", "through the clamp")
def universal_through_the_clamp(model, x, y, delta, eps, step_size):
    seen = x + delta
    votes = slope(model, seen.clamp(0, 1), y) * ((seen >= 0) & (seen <= 1))
    return _moved(model, x, y, delta, eps, step_size, votes.sum(0, keepdim=True).sign())


@wrong("universal_step", "comes in eval mode leaves in train mode")
def universal_always_trains(model, x, y, delta, eps, step_size):
    moved = right.universal_step(model, x, y, delta, eps, step_size)
    model.train()
    return moved


@wrong("universal_step", "another eps and step_size")
def universal_of_one_eps(model, x, y, delta, eps, step_size):
    return right.universal_step(model, x, y, delta, 0.3, step_size)


@wrong("share_fooled", "drop of the accuracy; an image")
def fooled_as_a_drop(model, x, y, delta):
    mode = model.training
    model.eval()
    with torch.no_grad():
        clean, after = model(x).argmax(1), model((x + delta).clamp(0, 1)).argmax(1)
    model.train(mode)
    return ((clean == y).float() - (after == y).float()).mean().item()


@wrong("share_fooled", "comes in eval mode leaves in train mode")
def fooled_always_trains(model, x, y, delta):
    share = right.share_fooled(model, x, y, delta)
    model.train()
    return share


@wrong("paste_at", "black pixels")
def pastes_what_is_bright(x, patch, rows, columns):
    there = right.paste_at(torch.zeros_like(x), patch, rows, columns)
    return torch.where(there > 0, there, x)


@wrong("masked_step", "another step_size")
def masked_step_of_one_size(x_adv, gradient, mask, step_size):
    return right.masked_step(x_adv, gradient, mask, 0.2)


@wrong("masked_step", "pixels whose gradient is 0")
def masked_step_without_zero(x_adv, gradient, mask, step_size):
    return right.masked_step(x_adv, torch.where(gradient >= 0, 1.0, -1.0), mask, step_size)


@wrong("views_gradient", "it calls view 7 times for 6 samples")
def views_one_too_many(model, x, y, view, samples, generator):
    gradient = right.views_gradient(model, x, y, view, samples, generator)
    view(x, generator)
    return gradient


@wrong("views_gradient", "show it the whole batch")
def views_of_single_images(model, x, y, view, samples, generator):
    each = [(x[i : i + 1], y[i : i + 1]) for i in range(len(x))]
    found = [right.views_gradient(model, *one, view, samples, generator) for one in each]
    return torch.cat(found)


@wrong("views_gradient", "caller's x")
def views_mark_x(model, x, y, view, samples, generator):
    mode = model.training
    model.eval()
    x.requires_grad_()
    losses = [
        F.cross_entropy(model(view(x, generator)), y, reduction="sum") for _ in range(samples)
    ]
    (gradient,) = torch.autograd.grad(sum(losses) / samples, x)
    model.train(mode)
    return gradient


@wrong("view_table", "which cuts shares off")
def table_of_whole_numbers(*args):
    return right.view_table(*args).int()
