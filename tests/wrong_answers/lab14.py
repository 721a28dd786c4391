import math

import torch
import torch.nn.functional as F

from tests.right_answers.labs_02_to_04 import gradient

from . import wrong


def _blur(x, sigma, weight=None, mode="replicate", radius=None):
    radius = radius or math.ceil(3 * sigma)
    d = torch.arange(-radius, radius + 1.0)
    k = torch.exp(-0.5 * d**2 / sigma**2) if weight is None else weight(d)
    planes = F.pad(x, 4 * [radius], mode=mode) if mode else x
    rows = F.conv2d(planes.flatten(0, 1)[:, None], k[None, None, None] / k.sum())
    return F.conv2d(rows, k[None, None, :, None] / k.sum())[:, 0].unflatten(0, x.shape[:2])


@wrong("smooth", "the picture shrinks")
def no_padding(x, sigma):
    return _blur(x, sigma, mode=None, radius=4)


@wrong("smooth", "border fades to black")
def zero_padding(x, sigma):
    return _blur(x, sigma, mode="constant")


@wrong("smooth", "divide by the sum")
def not_normalized(x, sigma):
    total = 2 * torch.pi * sigma**2  # of the weights
    return total * _blur(x, sigma)


@wrong("smooth", "sigma squared")
def sigma_is_the_variance(x, sigma):
    return _blur(x, sigma, lambda d: torch.exp(-0.5 * d**2 / sigma))


@wrong("smooth", "1/2 in the exponent")
def no_half(x, sigma):
    return _blur(x, sigma, lambda d: torch.exp(-(d**2) / sigma**2))


@wrong("smooth", "mixes the channels")
def mixes_channels(x, sigma):
    return _blur(x.sum(1, keepdim=True), sigma).expand_as(x)


@wrong("smooth", "no Gaussian")
def box_filter(x, sigma):
    return _blur(x, sigma, torch.ones_like, radius=2)


@wrong("smooth", "let the radius grow")
def fixed_radius(x, sigma):
    return _blur(x, sigma, radius=4)


@wrong("binarize", "use >=")
def strictly_above(x, cut):
    return (x > cut).float()


@wrong("binarize", "swapped")
def inverted(x, cut):
    return (x < cut).float()


@wrong("binarize", "torch.bool")
def truth_values(x, cut):
    return x >= cut


@wrong("binarize", "whatever the cut")
def rounds(x, cut):
    return x.round()


@wrong("binarize", "keep their gray")
def keeps_gray(x, cut):
    return x * (x >= cut)


@wrong("binarize", "in place")
def binarize_in_place(x, cut):
    x[x >= cut], x[x < cut] = 1.0, 0.0
    return x


def _marks(levels):
    return torch.arange(levels)[:, None, None]


@wrong("thermometer", "lights no channel")
def black_lights_the_first(x, levels):
    return (x >= _marks(levels) / levels).float()


@wrong("thermometer", "one level too high")
def starts_at_one(x, levels):
    return (x > (_marks(levels) + 1) / levels).float()


@wrong("thermometer", "one-hot")
def one_hot(x, levels):
    return ((x * levels).ceil() - 1 == _marks(levels)).float()


@wrong("thermometer", "upside down")
def upside_down(x, levels):
    return (x > _marks(levels).flip(0) / levels).float()


@wrong("thermometer", "ramps")
def ramps(x, levels):
    return (levels * x - _marks(levels)).clamp(0, 1)


@wrong("thermometer", "has shape")
def channels_last(x, levels):
    return (x > _marks(levels) / levels).float().movedim(1, -1)


@wrong("straight_through", "gradient is zero")
def transform_keeps_its_gradient(transform, stand_in, x):
    return transform(x) + 0 * stand_in(x)


@wrong("straight_through", "forward it is the stand-in")
def only_the_stand_in(transform, stand_in, x):
    return stand_in(x)


@wrong("straight_through", "no gradient reaches x")
def detached_all(transform, stand_in, x):
    return transform(x).detach()


@wrong("straight_through", "worth 0")
def adds_the_stand_in(transform, stand_in, x):
    return transform(x).detach() + stand_in(x)


@wrong("straight_through", "of the identity")
def always_the_identity(transform, stand_in, x):
    return transform(x).detach() + x - x.detach()


@wrong("straight_through", "minus that of stand_in")
def swapped_bracket(transform, stand_in, x):
    return transform(x).detach() + (stand_in(x).detach() - stand_in(x))


@wrong("straight_through", "it leaks")
def transform_not_detached(transform, stand_in, x):
    smooth = stand_in(x)
    return transform(x) + smooth - smooth.detach()


@wrong("eot_gradient", "asked once")
def one_draw_many_times(model, x, y, samples):
    x = x.clone().requires_grad_()
    loss = F.cross_entropy(model(x), y, reduction="sum")
    return sum(torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(samples)) / samples


def _draws(model, x, y, samples):
    return torch.stack([gradient(model, x, y) for _ in range(samples)])


@wrong("eot_gradient", "sum of the gradients")
def eot_sum(model, x, y, samples):
    return _draws(model, x, y, samples).sum(0)


@wrong("eot_gradient", "averages signs")
def mean_of_signs(model, x, y, samples):
    return _draws(model, x, y, samples).sign().mean(0)


@wrong("eot_gradient", "only the last draw is returned")
def last_draw(model, x, y, samples):
    return _draws(model, x, y, samples)[-1]


@wrong("eot_gradient", "averaged over the batch")
def averaged_over_the_batch(model, x, y, samples):
    return _draws(model, x, y, samples).mean(0) / len(x)


@wrong("eot_gradient", "gradients in the model's weights")
def eot_backward(model, x, y, samples):
    x = x.clone().requires_grad_()
    for _ in range(samples):
        (F.cross_entropy(model(x), y, reduction="sum") / samples).backward()
    return x.grad


@wrong("three_accuracies", "attacks `defended`")
def attacks_the_mask(attack, bare, defended, surrogate, x, y):
    inputs = x, attack(bare, x, y), attack(defended, x, y)
    return [_share(defended, images, y) for images in inputs]


def _share(model, x, y):
    return (model(x).argmax(1) == y).float().mean().item()


@wrong("three_accuracies", "adaptive is measured on `surrogate`")
def judges_the_surrogate(attack, bare, defended, surrogate, x, y):
    unaware, adaptive = attack(bare, x, y), attack(surrogate, x, y)
    return _share(defended, x, y), _share(defended, unaware, y), _share(surrogate, adaptive, y)


@wrong("three_accuracies", "unaware is measured on `bare`")
def judges_the_bare_one(attack, bare, defended, surrogate, x, y):
    unaware, adaptive = attack(bare, x, y), attack(surrogate, x, y)
    return _share(defended, x, y), _share(bare, unaware, y), _share(defended, adaptive, y)


@wrong("three_accuracies", "swapped")
def swaps_the_attackers(attack, bare, defended, surrogate, x, y):
    inputs = x, attack(surrogate, x, y), attack(bare, x, y)
    return [_share(defended, images, y) for images in inputs]


@wrong("three_accuracies", "starts from the clean x")
def attacks_the_attacked(attack, bare, defended, surrogate, x, y):
    unaware = attack(bare, x, y)
    inputs = x, unaware, attack(surrogate, unaware, y)
    return [_share(defended, images, y) for images in inputs]


@wrong("three_accuracies", "error rates")
def three_error_rates(attack, bare, defended, surrogate, x, y):
    inputs = x, attack(bare, x, y), attack(surrogate, x, y)
    return [1 - _share(defended, images, y) for images in inputs]


@wrong("soft_cross_entropy", "temperature is missing")
def without_temperature(z, soft, temperature):
    return F.cross_entropy(z, soft)


@wrong("soft_cross_entropy", "multiplies")
def multiplies(z, soft, temperature):
    return F.cross_entropy(z * temperature, soft)


@wrong("soft_cross_entropy", "sign is missing")
def without_minus(z, soft, temperature):
    return -F.cross_entropy(z / temperature, soft)


@wrong("soft_cross_entropy", "sum over the batch")
def summed(z, soft, temperature):
    return F.cross_entropy(z / temperature, soft, reduction="sum")


@wrong("soft_cross_entropy", "first choice")
def hard_labels(z, soft, temperature):
    return F.cross_entropy(z / temperature, soft.argmax(1))


@wrong("soft_cross_entropy", "probabilities already")
def softmax_twice(z, soft, temperature):
    return F.cross_entropy(z / temperature, soft.softmax(1))


@wrong("soft_cross_entropy", "overflow")
def log_of_softmax(z, soft, temperature):
    return -(soft * (z / temperature).softmax(1).log()).sum(1).mean()
