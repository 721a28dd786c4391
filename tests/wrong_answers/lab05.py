import torch

from tests.right_answers import lab05 as right
from tests.right_answers.labs_02_to_04 import gradient

from . import wrong


def _linf(z, x, eps):
    return torch.clamp(z, x - eps, x + eps)


def _image(value):
    return value.view(-1, 1, 1, 1)


def _length(z):
    return _image(z.flatten(1).norm(dim=1))


def _l2(z, x, eps):
    return x + (z - x) * (eps / _length(z - x).clamp(min=1e-12)).clamp(max=1)


@wrong("bim", "the ball is around the iterate")
def ball_around_the_iterate(model, x, y, eps, step_size, steps):
    z = x
    for _ in range(steps):
        moved = z + step_size * gradient(model, z, y).sign()
        z = _linf(moved, z, eps).clamp(0, 1)
    return z


@wrong("bim", "leave [0, 1]")
def bim_without_box(model, x, y, eps, step_size, steps):
    z = x
    for _ in range(steps):
        z = _linf(z + step_size * gradient(model, z, y).sign(), x, eps)
    return z


@wrong("bim", "only one step")
def bim_from_x(model, x, y, eps, step_size, steps):
    z = x
    for _ in range(steps):
        z = _linf(x + step_size * gradient(model, x, y).sign(), x, eps).clamp(0, 1)
    return z


@wrong("bim", "reused")
def bim_with_a_stale_gradient(model, x, y, eps, step_size, steps):
    z, step = x, step_size * gradient(model, x, y).sign()
    for _ in range(steps):
        z = _linf(z + step, x, eps).clamp(0, 1)
    return z


@wrong("bim", "down the loss of y")
def bim_downhill(model, x, y, eps, step_size, steps):
    return right.bim(model, x, y, eps, -step_size, steps)


@wrong("bim", "use step_size, and eps only for the ball")
def bim_with_steps_of_eps(model, x, y, eps, step_size, steps):
    return right.bim(model, x, y, eps, eps, steps)


@wrong("bim", "use the step_size that is passed")
def bim_shares_eps(model, x, y, eps, step_size, steps):
    return right.bim(model, x, y, eps, eps / steps, steps)


@wrong("bim", "sign is missing")
def bim_without_sign(model, x, y, eps, step_size, steps):
    z = x
    for _ in range(steps):
        z = _linf(z + step_size * gradient(model, z, y), x, eps).clamp(0, 1)
    return z


@wrong("bim", "only once, at the end")
def bim_clips_at_the_end(model, x, y, eps, step_size, steps):
    z = x
    for _ in range(steps):
        z = z + step_size * gradient(model, z, y).sign()
    return _linf(z, x, eps).clamp(0, 1)


@wrong("bim", "in place")
def bim_in_place(model, x, y, eps, step_size, steps):
    clean = x.clone()
    for _ in range(steps):
        x += step_size * gradient(model, x, y).sign()
        x.copy_(_linf(x, clean, eps).clamp(0, 1))
    return x


@wrong("random_start", "the clamp is missing")
def start_without_box(x, eps, generator):
    return x + eps * (2 * torch.rand(x.shape, generator=generator) - 1)


@wrong("random_start", "one sign only")
def brighter_only(x, eps, generator):
    return (x + eps * torch.rand(x.shape, generator=generator)).clamp(0, 1)


@wrong("random_start", "the same seed gives another start")
def ignores_the_generator(x, eps, generator):
    return (x + eps * (2 * torch.rand(x.shape) - 1)).clamp(0, 1)


@wrong("random_start", "never seed the generator")
def seeds_inside(x, eps, generator):
    return right.random_start(x, eps, generator.manual_seed(0))


@wrong("random_start", "on the ball's surface")
def corners(x, eps, generator):
    return (x + eps * (2 * torch.rand(x.shape, generator=generator) - 1).sign()).clamp(0, 1)


@wrong("random_start", "it moves a pixel by")
def gaussian(x, eps, generator):
    return (x + eps * torch.randn(x.shape, generator=generator)).clamp(0, 1)


@wrong("random_start", "all images get the same noise")
def one_noise_for_all(x, eps, generator):
    return (x + eps * (2 * torch.rand(x.shape[1:], generator=generator) - 1)).clamp(0, 1)


@wrong("random_start", "get the same number")
def one_number_for_each_image(x, eps, generator):
    noise = _image(2 * torch.rand(len(x), generator=generator) - 1)
    return (x + eps * noise).clamp(0, 1)


@wrong("random_start", "not uniform")
def half_of_eps(x, eps, generator):
    return (x + eps * (torch.rand(x.shape, generator=generator) - 0.5)).clamp(0, 1)


@wrong("pgd", "around the random start")
def bim_from_a_random_start(model, x, y, eps, step_size, steps, generator):
    start = right.random_start(x, eps, generator)
    return right.bim(model, start, y, eps, step_size, steps)


@wrong("pgd", "which is BIM")
def no_random_start(model, x, y, eps, step_size, steps, generator):
    return right.bim(model, x, y, eps, step_size, steps)


@wrong("pgd", "take all randomness from the generator")
def pgd_with_its_own_dice(model, x, y, eps, step_size, steps, generator):
    start = (x + eps * (2 * torch.rand(x.shape) - 1)).clamp(0, 1)
    return right.bim(model, x, y, eps, step_size, steps, start)


@wrong("pgd", "draw the random start once")
def a_new_start_every_step(model, x, y, eps, step_size, steps, generator):
    z = x
    for _ in range(steps):
        z = right.random_start(x, eps, generator)
        z = _linf(z + step_size * gradient(model, z, y).sign(), x, eps).clamp(0, 1)
    return z


@wrong("pgd", "it leaves the ball")
def pgd_without_projection(model, x, y, eps, step_size, steps, generator):
    z = right.random_start(x, eps, generator)
    for _ in range(steps):
        z = (z + step_size * gradient(model, z, y).sign()).clamp(0, 1)
    return z


@wrong("pgd", "down the loss of y")
def pgd_downhill(model, x, y, eps, step_size, steps, generator):
    return right.pgd(model, x, y, eps, -step_size, steps, generator)


@wrong("pgd", "every seed gives the same image")
def returns_x_without_steps(model, x, y, eps, step_size, steps, generator):
    return right.pgd(model, x, y, eps, step_size, steps, generator) if steps else x


@wrong("l2_step", "becomes NaN")
def divides_by_zero(x_adv, gradient, step_size):
    return x_adv + step_size * gradient / _length(gradient)


@wrong("l2_step", "too short")
def floor_swallows_the_step(x_adv, gradient, step_size):
    return x_adv + step_size * gradient / _length(gradient).clamp(min=1e-12)


@wrong("l2_step", "step of linf")
def sign_step(x_adv, gradient, step_size):
    return x_adv + step_size * gradient.sign()


@wrong("l2_step", "not divided by its length")
def raw_step(x_adv, gradient, step_size):
    return x_adv + step_size * gradient


@wrong("l2_step", "that of the whole batch")
def batch_step(x_adv, gradient, step_size):
    return x_adv + step_size * gradient / gradient.norm()


@wrong("l2_step", "step alone")
def step_alone(x_adv, gradient, step_size):
    return step_size * gradient / _length(gradient)


@wrong("l2_step", "must move nothing")
def moves_without_a_gradient(x_adv, gradient, step_size):
    still = (gradient == 0).flatten(1).all(1)
    gradient = torch.where(_image(still), torch.ones_like(gradient), gradient)
    return right.l2_step(x_adv, gradient, step_size)


def _round(model, x, y, steps, step, project, box=True):
    z = x
    for _ in range(steps):
        z = project(z + step(gradient(model, z, y)), z)
        z = z.clamp(0, 1) if box else z
    return z


@wrong("pgd_l2", "around the iterate")
def l2_ball_around_the_iterate(model, x, y, eps, step_size, steps):
    step = lambda g: step_size * g / _length(g)  # noqa: E731
    return _round(model, x, y, steps, step, lambda new, z: _l2(new, z, eps))


@wrong("pgd_l2", "wrong ball")
def l2_steps_in_the_linf_ball(model, x, y, eps, step_size, steps):
    step = lambda g: step_size * g / _length(g)  # noqa: E731
    return _round(model, x, y, steps, step, lambda new, z: _linf(new, x, eps))


@wrong("pgd_l2", "step of linf")
def sign_steps_in_the_l2_ball(model, x, y, eps, step_size, steps):
    step = lambda g: step_size * g.sign()  # noqa: E731
    return _round(model, x, y, steps, step, lambda new, z: _l2(new, x, eps))


@wrong("pgd_l2", "out to its surface")
def always_to_the_surface(model, x, y, eps, step_size, steps):
    step = lambda g: step_size * g / _length(g)  # noqa: E731
    return _round(model, x, y, steps, step, lambda new, z: x + eps * (new - x) / _length(new - x))


@wrong("pgd_l2", "leave [0, 1]")
def pgd_l2_without_box(model, x, y, eps, step_size, steps):
    step = lambda g: step_size * g / _length(g)  # noqa: E731
    return _round(model, x, y, steps, step, lambda new, z: _l2(new, x, eps), box=False)


@wrong("pgd_l2", "contains NaN")
def pgd_l2_divides_by_zero(model, x, y, eps, step_size, steps):
    step = lambda g: step_size * g / _length(g)  # noqa: E731
    return _round(model, x, y, steps, step, lambda new, z: _l2(new, x, eps))


@wrong("pgd_targeted", "does not stop on arrival")
def never_stops(model, x, target, eps, step_size, steps):
    return right.bim(model, x, target, eps, -step_size, steps)


@wrong("pgd_targeted", "climbs the target's loss")
def climbs(model, x, target, eps, step_size, steps):
    return right.pgd_targeted(model, x, target, eps, -step_size, steps)


@wrong("pgd_targeted", "not the batch")
def one_stop_for_all(model, x, target, eps, step_size, steps):
    z = x
    for _ in range(steps):
        if (model(z).argmax(1) == target).any():
            break
        z = right.bim(model, x, target, eps, -step_size, 1, start=z)
    return z


@wrong("pgd_targeted", "its target already must not move")
def looks_after_the_step(model, x, target, eps, step_size, steps):
    z = right.bim(model, x, target, eps, -step_size, 1)
    for _ in range(steps - 1):
        arrived = _image(model(z).argmax(1) == target)
        z = torch.where(arrived, z, right.bim(model, x, target, eps, -step_size, 1, start=z))
    return z


@wrong("pgd_targeted", "leave [0, 1]")
def targeted_without_box(model, x, target, eps, step_size, steps):
    z = x
    for _ in range(steps):
        moved = _linf(z - step_size * gradient(model, z, target).sign(), x, eps)
        z = torch.where(_image(model(z).argmax(1) == target), z, moved)
    return z


def _right(model, y, runs):
    return torch.stack([model(x_adv).argmax(1) == y for x_adv in runs])


@wrong("worst_case", "that is the average")
def averages(model, y, runs):
    return _right(model, y, runs).float().mean().item()


@wrong("worst_case", "worst single run")
def worst_single_run(model, y, runs):
    return _right(model, y, runs).float().mean(1).min().item()


@wrong("worst_case", "some run is not enough")
def right_in_some_run(model, y, runs):
    return _right(model, y, runs).any(0).float().mean().item()


@wrong("worst_case", "only the last run")
def overwrites(model, y, runs):
    for x_adv in runs:
        survived = model(x_adv).argmax(1) == y
    return survived.float().mean().item()


@wrong("worst_case", "the share that falls")
def falls(model, y, runs):
    return 1 - _right(model, y, runs).all(0).float().mean().item()


@wrong("worst_case", "one number")
def a_mask(model, y, runs):
    return _right(model, y, runs).all(0)
