import torch
import torch.nn.functional as F
from scipy.stats import beta, norm

from tests.right_answers import lab16 as right

from . import wrong


@wrong("linear_bounds", "|W|")
def ends_like_images(low, high, weight, bias):
    return F.linear(low, weight, bias), F.linear(high, weight, bias)


@wrong("linear_bounds", "worst corner of its own")
def sorts_the_ends(low, high, weight, bias):
    a, b = F.linear(low, weight, bias), F.linear(high, weight, bias)
    return torch.minimum(a, b), torch.maximum(a, b)


@wrong("linear_bounds", "for the radius only")
def abs_everywhere(low, high, weight, bias):
    return F.linear(low, weight.abs(), bias), F.linear(high, weight.abs(), bias)


@wrong("linear_bounds", "shifts the middle, once")
def bias_twice(low, high, weight, bias):
    up, down = weight.clamp(min=0), weight.clamp(max=0)
    return (
        F.linear(low, up, bias) + F.linear(high, down, bias),
        F.linear(high, up, bias) + F.linear(low, down, bias),
    )


@wrong("linear_bounds", "stretches nothing")
def bias_in_the_radius(low, high, weight, bias):
    middle = F.linear((low + high) / 2, weight, bias)
    radius = F.linear((high - low) / 2, weight.abs(), bias)
    return middle - radius, middle + radius


@wrong("linear_bounds", "bias is missing")
def no_bias(low, high, weight, bias):
    return right.linear_bounds(low, high, weight, 0)


@wrong("linear_bounds", "order low, high")
def swapped(low, high, weight, bias):
    return right.linear_bounds(low, high, weight, bias)[::-1]


@wrong("linear_bounds", "half of high - low")
def whole_width(low, high, weight, bias):
    middle, radius = (low + high) / 2 @ weight.T + bias, (high - low) @ weight.abs().T
    return middle - radius, middle + radius


@wrong("linear_bounds", "no gradient reaches the weights")
def bounds_without_graph(low, high, weight, bias):
    with torch.no_grad():
        return right.linear_bounds(low, high, weight, bias)


@wrong("linear_bounds", "return two tensors")
def stacked(low, high, weight, bias):
    return torch.stack(right.linear_bounds(low, high, weight, bias))


@wrong("linear_bounds", "not sound")
def a_bit_too_tight(low, high, weight, bias):
    a, b = right.linear_bounds(low, high, weight, bias)
    return a + 0.1 * (b - a), b - 0.1 * (b - a)


@wrong("linear_bounds", "too wide")
def safety_margin(low, high, weight, bias):
    a, b = right.linear_bounds(low, high, weight, bias)
    return a - 0.1, b + 0.1


def _net(model, low, high, relu=True):
    low, high = low.flatten(1), high.flatten(1)
    for layer in model:
        if isinstance(layer, torch.nn.Linear):
            low, high = right.linear_bounds(low, high, layer.weight, layer.bias)
        elif relu:
            low, high = low.relu(), high.relu()
    return low, high


@wrong("network_bounds", "not cut to [0, 1]")
def no_box(model, x, eps):
    return right.interval_bounds(model, x - eps, x + eps)


@wrong("network_bounds", "half the width")
def half_of_eps(model, x, eps):
    return right.network_bounds(model, x, eps / 2)


@wrong("network_bounds", "ReLUs are missing")
def skips_the_relu(model, x, eps):
    layers = [m for m in model if not isinstance(m, torch.nn.ReLU)]
    return right.network_bounds(torch.nn.Sequential(*layers), x, eps)


@wrong("network_bounds", "no ReLU after the last layer")
def relu_after_each_layer(model, x, eps):
    low, high = right.network_bounds(model, x, eps)
    return low.relu(), high.relu()


@wrong("network_bounds", "like images")
def runs_the_ends(model, x, eps):
    return model((x - eps).clamp(0, 1)), model((x + eps).clamp(0, 1))


@wrong("network_bounds", "a training can follow")
def detached(model, x, eps):
    return [bound.detach() for bound in right.network_bounds(model, x, eps)]


@wrong("network_bounds", "gradients in the model's weights")
def calls_backward(model, x, eps):
    low, high = right.network_bounds(model, x, eps)
    high.sum().backward(retain_graph=True)
    return low, high


@wrong("network_bounds", "outside these bounds")
def by_sampling(model, x, eps):
    source = torch.Generator().manual_seed(0)
    box = [
        model((x + eps * (2 * torch.rand(x.shape, generator=source) - 1)).clamp(0, 1))
        for _ in range(20)
    ]
    return torch.stack(box).amin(0), torch.stack(box).amax(0)


def _rest(ends, y):
    return ends.scatter(1, y[:, None], -torch.inf).amax(1)


def _own(ends, y):
    return ends.gather(1, y[:, None])[:, 0]


@wrong("worst_margin", "best case")
def best_case(low, high, y):
    return _own(high, y) - _rest(low, y)


@wrong("worst_margin", "rivals are at their low ends")
def all_low(low, high, y):
    return _own(low, y) - _rest(low, y)


@wrong("worst_margin", "y is at its high end")
def all_high(low, high, y):
    return _own(high, y) - _rest(high, y)


@wrong("worst_margin", "leave its column out")
def against_itself(low, high, y):
    return _own(low, y) - high.amax(1)


@wrong("worst_margin", "wrong sign")
def largest_lead(low, high, y):
    return _rest(high, y) - _own(low, y)


@wrong("worst_margin", "not the smallest")
def weakest_rival(low, high, y):
    return _own(low, y) - high.scatter(1, y[:, None], torch.inf).amin(1)


@wrong("worst_margin", "what counts is the label y")
def of_the_prediction(low, high, y):
    return right.worst_margin(low, high, (low + high).argmax(1))


@wrong("worst_margin", "the verdict already")
def verdict(low, high, y):
    return right.worst_margin(low, high, y) > 0


@wrong("worst_margin", "in place")
def overwrites(low, high, y):
    high[torch.arange(len(y)), y] = -torch.inf
    return _own(low, y) - high.amax(1)


@wrong("worst_margin", "graph is cut")
def margin_as_data(low, high, y):
    return right.worst_margin(low.detach(), high.detach(), y)


@wrong("spectral_norm", "Frobenius")
def frobenius(weight, steps, generator):
    return weight.norm()


@wrong("spectral_norm", "the square")
def eigenvalue_of_the_square(weight, steps, generator):
    return right.spectral_norm(weight, steps, generator) ** 2


@wrong("spectral_norm", "overflows or vanishes")
def never_normalized(weight, steps, generator):
    v = torch.randn(weight.shape[1], generator=generator)
    for _ in range(steps):
        v = weight.T @ (weight @ v)
    return (weight @ v).norm() / v.norm()


@wrong("spectral_norm", "library's SVD")
def from_the_library(weight, steps, generator):
    return torch.linalg.matrix_norm(weight, 2)


@wrong("spectral_norm", "a single step")
def always_from_the_start(weight, steps, generator):
    start = torch.randn(weight.shape[1], generator=generator)
    for _ in range(steps):
        v = F.normalize(weight.T @ (weight @ start), dim=0)
    return (weight @ v).norm()


@wrong("spectral_norm", "draw the start from the generator")
def global_start(weight, steps, generator):
    return right.spectral_norm(weight, steps, None)


@wrong("spectral_norm", "raised RuntimeError")
def forgets_the_way_back(weight, steps, generator):
    v = torch.randn(weight.shape[1], generator=generator)
    for _ in range(steps):
        v = F.normalize(weight @ v, dim=0)
    return (weight @ v).norm()


@wrong("spectral_norm", "no vector of length 1")
def column_sums(weight, steps, generator):
    start = torch.rand((), generator=generator)
    return weight.abs().sum(0).max() + start / steps


@wrong("spectral_norm", "not the vector")
def the_vector(weight, steps, generator):
    return weight @ torch.randn(weight.shape[1], generator=generator)


@wrong("l2_radius", "too long")
def margin_over_lipschitz(margin, lipschitz):
    return (margin / lipschitz).clamp(min=0)


@wrong("l2_radius", "too short")
def twice_lipschitz(margin, lipschitz):
    return (margin / 2 / lipschitz).clamp(min=0)


@wrong("l2_radius", "misread image has no radius")
def negative_radius(margin, lipschitz):
    return margin / 2**0.5 / lipschitz


@wrong("l2_radius", "divide by lipschitz")
def times_lipschitz(margin, lipschitz):
    return margin.clamp(min=0) / 2**0.5 * lipschitz


@wrong("l2_radius", "upside down")
def times_root_two(margin, lipschitz):
    return margin.clamp(min=0) * 2**0.5 / lipschitz


def _gradient(model, x, y, graph=True, reduction="sum"):
    x = x.clone().requires_grad_()
    loss = F.cross_entropy(model(x), y, reduction=reduction)
    return torch.autograd.grad(loss, x, create_graph=graph)[0].flatten(1)


@wrong("gradient_penalty", "create_graph=True")
def no_graph(model, x, y):
    return _gradient(model, x, y, graph=False).square().sum(1).mean()


@wrong("gradient_penalty", 'reduction="sum"')
def mean_loss(model, x, y):
    return _gradient(model, x, y, reduction="mean").square().sum(1).mean()


@wrong("gradient_penalty", "the other way around")
def mean_loss_summed_squares(model, x, y):
    return _gradient(model, x, y, reduction="mean").square().sum()


@wrong("gradient_penalty", "take their mean")
def summed_squares(model, x, y):
    return _gradient(model, x, y).square().sum()


@wrong("gradient_penalty", "not squared")
def plain_length(model, x, y):
    return _gradient(model, x, y).norm(dim=1).mean()


@wrong("gradient_penalty", "one norm of the whole batch")
def norm_of_the_batch(model, x, y):
    return _gradient(model, x, y).norm()


@wrong("gradient_penalty", "sum over the pixels")
def mean_over_pixels(model, x, y):
    return _gradient(model, x, y).square().mean()


@wrong("gradient_penalty", "l1 norm")
def l1_norm(model, x, y):
    return _gradient(model, x, y).abs().sum(1).mean()


@wrong("gradient_penalty", "return the penalty alone")
def whole_objective(model, x, y):
    return F.cross_entropy(model(x), y) + right.gradient_penalty(model, x, y)


@wrong("gradient_penalty", "gradients in the model's weights")
def by_backward(model, x, y):
    x = x.clone().requires_grad_()
    F.cross_entropy(model(x), y, reduction="sum").backward()
    return x.grad.flatten(1).square().sum(1).mean()


@wrong("gradient_penalty", "caller's x")
def marks_the_callers_x(model, x, y):
    loss = F.cross_entropy(model(x.requires_grad_()), y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    return gradient.flatten(1).square().sum(1).mean()


@wrong("gradient_penalty", "cuts part of the graph")
def half_a_graph(model, x, y):
    gradient = _gradient(model, x, y)
    return (gradient * gradient.detach()).sum(1).mean()


def _votes(model, copies, n):
    with torch.no_grad(), right.frozen(model):
        z = model(copies)
    return F.one_hot(z.argmax(1), z.shape[1]).view(-1, n, z.shape[1]).sum(1)


def _noise(x, n, generator):
    return torch.randn(len(x) * n, *x.shape[1:], generator=generator)


@wrong("smoothed_counts", "clipped to [0, 1]")
def clips(model, x, sigma, n, generator):
    copies = x.repeat_interleave(n, 0) + sigma * _noise(x, n, generator)
    return _votes(model, copies.clamp(0, 1), n)


@wrong("smoothed_counts", "sigma^2")
def variance_for_std(model, x, sigma, n, generator):
    return right.smoothed_counts(model, x, sigma**2, n, generator)


@wrong("smoothed_counts", "no tails")
def uniform(model, x, sigma, n, generator):
    noise = 2 * torch.rand(len(x) * n, *x.shape[1:], generator=generator) - 1
    return _votes(model, x.repeat_interleave(n, 0) + sigma * noise, n)


@wrong("smoothed_counts", "a std of")
def no_sigma(model, x, sigma, n, generator):
    return right.smoothed_counts(model, x, 1.0, n, generator)


@wrong("smoothed_counts", "noise is shared")
def one_noise_for_all_images(model, x, sigma, n, generator):
    noise = _noise(x[:1], n, generator).repeat(len(x), 1, 1, 1)
    return _votes(model, x.repeat_interleave(n, 0) + sigma * noise, n)


@wrong("smoothed_counts", "for each pixel")
def one_number_for_an_image(model, x, sigma, n, generator):
    noise = _noise(x, n, generator)[:, :, :1, :1]
    return _votes(model, x.repeat_interleave(n, 0) + sigma * noise, n)


@wrong("smoothed_counts", "which copy is whose")
def mixed_up_rows(model, x, sigma, n, generator):
    return _votes(model, x.repeat(n, 1, 1, 1) + sigma * _noise(x, n, generator), n)


@wrong("smoothed_counts", "train mode")
def votes_in_train_mode(model, x, sigma, n, generator):
    mode = model.training
    counts = right.smoothed_counts(model.train(), x, sigma, n, generator)
    noise = sigma * _noise(x, 1, generator)
    with torch.no_grad():
        model(x + noise)
    model.train(mode)
    return counts


@wrong("smoothed_counts", "another mode")
def leaves_eval(model, x, sigma, n, generator):
    return right.smoothed_counts(model.eval(), x, sigma, n, generator)


@wrong("smoothed_counts", "no whole numbers")
def sums_probabilities(model, x, sigma, n, generator):
    with torch.no_grad(), right.frozen(model):
        copies = x.repeat_interleave(n, 0) + sigma * _noise(x, n, generator)
        return model(copies).softmax(1).view(len(x), n, -1).sum(1)


@wrong("smoothed_counts", "each image needs n")
def n_for_all(model, x, sigma, n, generator):
    return right.smoothed_counts(model, x, sigma, n // len(x), generator)


@wrong("smoothed_counts", "the generator does not decide")
def its_own_generator(model, x, sigma, n, generator):
    return right.smoothed_counts(model, x, sigma, n, torch.Generator().manual_seed(0))


def _p(counts, n, alpha):
    return torch.as_tensor(beta.ppf(alpha, counts, n - counts + 1))


@wrong("certified_radius", "may be luck")
def plain_share(counts, n, sigma, alpha):
    return (sigma * torch.special.ndtri(counts / n)).clamp(0, 100)


@wrong("certified_radius", "for two ends")
def two_sided(counts, n, sigma, alpha):
    return right.certified_radius(counts, n, sigma, alpha / 2)


@wrong("certified_radius", "upper end")
def upper_end(counts, n, sigma, alpha):
    p = torch.as_tensor(beta.ppf(1 - alpha, counts + 1, n - counts)).nan_to_num(1.0)
    return right.radius_of(p.clamp(max=1 - 1e-9), sigma)


@wrong("certified_radius", "upside down")
def other_tail(counts, n, sigma, alpha):
    return right.certified_radius(counts, n, sigma, 1 - alpha)


@wrong("certified_radius", "sigma is missing")
def no_scale(counts, n, sigma, alpha):
    return right.certified_radius(counts, n, 1, alpha)


@wrong("certified_radius", "divides by sigma")
def over_sigma(counts, n, sigma, alpha):
    return right.certified_radius(counts, n, 1 / sigma, alpha)


@wrong("certified_radius", "never abstains")
def negative_radii(counts, n, sigma, alpha):
    return sigma * torch.special.ndtri(_p(counts, n, alpha))


@wrong("certified_radius", "quantile is missing")
def share_as_radius(counts, n, sigma, alpha):
    return sigma * _p(counts, n, alpha)


@wrong("certified_radius", "the way back")
def cdf_for_ppf(counts, n, sigma, alpha):
    return sigma * torch.as_tensor(norm.cdf(_p(counts, n, alpha)))


@wrong("certified_radius", "return a torch tensor")
def numpy_array(counts, n, sigma, alpha):
    return right.certified_radius(counts, n, sigma, alpha).numpy()
