import torch

from . import wrong


def _randn(x, generator):
    return torch.randn(x.shape, generator=generator)


@wrong("gaussian_noise", "global random state")
def global_state(x, std, generator):
    return (x + std * torch.randn_like(x)).clamp(0, 1)


@wrong("gaussian_noise", "only brightens")
def rand_for_randn(x, std, generator):
    return (x + std * torch.rand(x.shape, generator=generator)).clamp(0, 1)


@wrong("gaussian_noise", "squared")
def variance(x, std, generator):
    return (x + std**2 * _randn(x, generator)).clamp(0, 1)


@wrong("gaussian_noise", "same noise")
def one_noise_for_all(x, std, generator):
    return (x + std * torch.randn(x.shape[1:], generator=generator)).clamp(0, 1)


@wrong("gaussian_noise", "leave [0, 1]")
def noise_without_clamp(x, std, generator):
    return x + std * _randn(x, generator)


@wrong("gaussian_noise", "in place")
def noise_in_place(x, std, generator):
    return x.add_(std * _randn(x, generator)).clamp_(0, 1)


@wrong("gaussian_noise", "returns None")
def no_return(x, std, generator):
    (x + std * _randn(x, generator)).clamp(0, 1)


@wrong("negative", "[-1, 1]")
def minus_x(x):
    return -x


@wrong("negative", "0 to 255")
def from_255(x):
    return 255 - x


@wrong("negative", "in place")
def negative_in_place(x):
    return x.neg_().add_(1)


@wrong("accuracy", "dropout is on")
def train_mode(model, x, y):
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


@wrong("accuracy", "restore model.train")
def stays_in_eval(model, x, y):
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


def _measured(model, x, y, number):
    mode = model.training
    model.eval()
    with torch.no_grad():
        z = model(x)
    model.train(mode)
    return number(z, y)


@wrong("accuracy", "not their share")
def counts(model, x, y):
    return _measured(model, x, y, lambda z, y: (z.argmax(1) == y).sum().item())


@wrong("accuracy", "not per cent")
def per_cent(model, x, y):
    return _measured(model, x, y, lambda z, y: 100 * (z.argmax(1) == y).float().mean().item())


@wrong("accuracy", "error rate")
def error_rate(model, x, y):
    return _measured(model, x, y, lambda z, y: (z.argmax(1) != y).float().mean().item())


@wrong("accuracy", "mean confidence")
def mean_confidence(model, x, y):
    return _measured(model, x, y, lambda z, y: z.softmax(1).amax(1).mean().item())


@wrong("accuracy", "take the mean")
def one_per_image(model, x, y):
    return _measured(model, x, y, lambda z, y: (z.argmax(1) == y).float())


@wrong("noise_of_length", "multiply by l2")
def unit_length(x, l2, generator):
    noise = _randn(x, generator)
    return noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


@wrong("noise_of_length", "whole batch")
def batch_of_length(x, l2, generator):
    noise = _randn(x, generator)
    return l2 * noise / noise.norm()


@wrong("noise_of_length", "return the noise alone")
def noisy_image(x, l2, generator):
    noise = _randn(x, generator)
    return x + l2 * noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


@wrong("noise_of_length", "wrong norm")
def largest_entry(x, l2, generator):
    noise = _randn(x, generator)
    return l2 * noise / noise.abs().amax((1, 2, 3), keepdim=True)


@wrong("noise_of_length", "another result")
def unseeded(x, l2, generator):
    noise = torch.randn_like(x)
    return l2 * noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


@wrong("accuracy_drop", "before minus after")
def gain(accuracy, model, x, x_changed, y):
    return accuracy(model, x_changed, y) - accuracy(model, x, y)


@wrong("accuracy_drop", "subtract it")
def after_only(accuracy, model, x, x_changed, y):
    return accuracy(model, x_changed, y)
