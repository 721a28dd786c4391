"""Checks of lab 16: intervals, Lipschitz constants, double backpropagation, randomized smoothing."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

from .core import Mistake, ask, check_left_alone, close, exercise, generator, linear_victim, tensor


def _name(got, mistakes, tolerance=1e-4):
    """Raise the Mistake of {message: value} that explains the tensor `got`."""
    for message, value in mistakes.items():
        if close(got, value.detach(), tolerance):
            raise Mistake(message)


def _bounds(result, shape):
    """Return (low, high) as one detached tensor [2, ...]; Mistake unless it can be trained on."""
    if result is None:
        raise Mistake("it returns None; end the function with a return")
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Mistake("return two tensors: return low, high")
    for value in result:
        tensor(value.detach() if isinstance(value, torch.Tensor) else value, shape, "a bound")
    if not all(value.requires_grad for value in result):
        raise Mistake(
            "no gradient reaches the weights: leave out .detach() and torch.no_grad(), so that a "
            "training can follow the bounds"
        )
    both = torch.stack([value.detach() for value in result])
    if (both[0] > both[1] + 1e-5).all():
        raise Mistake("low is above high; return them in the order low, high")
    return both


@exercise("The smallest box that holds every output: for one layer, interval arithmetic is exact.")
def linear_bounds(answer):
    """Check linear_bounds(low, high, weight, bias) -> exact bounds [N, out] of one Linear layer."""
    random = generator(31)
    for outputs, inputs in ((4, 3), (2, 5)):
        w, b = (
            torch.randn(outputs, inputs, generator=random),
            torch.randn(outputs, generator=random),
        )
        low = torch.randn(6, inputs, generator=random)
        high = low + torch.rand(6, inputs, generator=random)
        weights = w.clone().requires_grad_(), b.clone().requires_grad_()
        got = _bounds(ask(answer, low, high, *weights, unchanged=[low, high]), (6, outputs))
        corners = torch.tensor(list(itertools.product([0.0, 1.0], repeat=inputs)))[:, None]
        every = (low + corners * (high - low)) @ w.T + b  # [2 ** inputs, 6, outputs]
        wanted, ends = torch.stack([every.amin(0), every.amax(0)]), torch.stack([low, high])
        radius, down_up = (high - low) @ w.abs().T / 2, torch.tensor([-1.0, 1.0])[:, None, None]
        if close(got, wanted, 1e-4):
            continue
        mistakes = {
            "the two ends went through the layer like images; a negative weight turns a low end "
            "into a high one, so the radius is multiplied by |W|": ends @ w.T + b,
            "sorting W low + b and W high + b looks at two corners of the box; every output has a "
            "worst corner of its own": (ends @ w.T + b).sort(0).values,
            "|W| is for the radius only; the middle is multiplied by W": ends @ w.abs().T + b,
            "the bias is missing; it shifts the middle": wanted - b,
            "the bias is there twice; it shifts the middle, once": wanted + b,
            "the bias is in the radius, too; it stretches nothing": wanted + down_up * b,
            "the radius is half of high - low": wanted + down_up * radius,
        }
        _name(got, mistakes)
        if (got[0] > wanted[0] + 1e-4).any() or (got[1] < wanted[1] - 1e-4).any():
            raise Mistake("not sound: an input of the box has an output outside these bounds")
        raise Mistake("sound, but too wide; for a single layer the exact box can be had")


def _net(*sizes):
    """Return a random ReLU net of these layer sizes behind a Flatten, for images [N, 1, 2, 3]."""
    random, layers = generator(sum(sizes)), [nn.Flatten()]
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    with torch.no_grad():
        for p in nn.Sequential(*layers).parameters():
            p.copy_(torch.randn(p.shape, generator=random))
    return nn.Sequential(*layers[:-1]).eval()


def _through(model, low, high, relu=True):
    """Return the bounds [2, N, classes] of a `_net`, by positive and negative weights apart."""
    low, high = low.flatten(1), high.flatten(1)
    for layer in model[1:]:
        if isinstance(layer, nn.Linear):
            w, b = layer.weight.detach(), layer.bias.detach()
            up, down = w.clamp(min=0).T, w.clamp(max=0).T
            low, high = low @ up + high @ down + b, high @ up + low @ down + b
        elif relu:
            low, high = low.clamp(min=0), high.clamp(min=0)
    return torch.stack([low, high])


@exercise("A whole ball of images in one pass: whatever comes out, these bounds hold it.")
def network_bounds(answer):
    """Check network_bounds(model, x, eps) -> interval bounds of the logits, box cut to [0, 1]."""
    eps, random = 0.3, generator(32)
    x = torch.rand(7, 1, 2, 3, generator=random)
    for sizes in ((6, 5, 4), (6, 4), (6, 5, 5, 3)):
        model = _net(*sizes)
        result = check_left_alone(lambda m=model: ask(answer, m, x, eps, unchanged=[x]), model)
        got, low, high = _bounds(result, (7, sizes[-1])), x - eps, x + eps
        box = low.clamp(0, 1), high.clamp(0, 1)
        wanted = _through(model, *box)
        if close(got, wanted, 1e-3):
            continue
        half = (x - eps / 2).clamp(0, 1), (x + eps / 2).clamp(0, 1)
        mistakes = {
            "the box is not cut to [0, 1], where all images are": _through(model, low, high),
            "eps is half the width of the box, from x - eps to x + eps": _through(model, *half),
            "the ReLUs are missing; clamp low and high at 0": _through(model, *box, relu=False),
            "there is no ReLU after the last layer; follow the model": wanted.clamp(min=0),
            "the ends went through the network like images; use linear_bounds in each Linear": (
                torch.stack([model(end) for end in box])
            ),
        }
        _name(got, mistakes, 1e-3)
        inside = box[0] + torch.rand(200, *x.shape, generator=random) * (box[1] - box[0])
        z = model(inside.flatten(0, 1)).detach().view(200, 7, -1)
        if (z < got[0] - 1e-3).any() or (z > got[1] + 1e-3).any():
            raise Mistake("not sound: an image of the box has a logit outside these bounds")
        raise Mistake("these are not the bounds of linear_bounds and ReLU, layer by layer")


@exercise("Positive means proven: no image of the box can be read as anything else.")
def worst_margin(answer):
    """Check worst_margin(low, high, y) -> low end of y minus the largest high end of the rest."""
    random, rows = generator(34), torch.arange(40)
    low = torch.randn(40, 5, generator=random)
    high = low + 2 * torch.rand(40, 5, generator=random)
    y, front = torch.randint(0, 5, (40,), generator=random), (low + high).argmax(1)
    got = ask(answer, low, high, y, unchanged=[low, high, y])
    if isinstance(got, torch.Tensor) and got.dtype == torch.bool:
        raise Mistake("that is the verdict already; return the margin, a number for each image")
    got = tensor(got, (40,), "the margin")
    mine, best = low[rows, y], high[rows, y]
    rest = [[k for k in range(5) if k != label] for label in y.tolist()]
    low_rest, high_rest = (ends.gather(1, torch.tensor(rest)) for ends in (low, high))
    own, top = low.gather(1, front[:, None])[:, 0], high_rest.amax(1)
    wanted = mine - top
    mistakes = {
        "wrong ends: that is the best case, with y at its high end": best - low_rest.amax(1),
        "the rivals are at their low ends; in the worst case they are high": mine
        - low_rest.amax(1),
        "y is at its high end; in the worst case it is low": best - top,
        "y itself is among its rivals; leave its column out": mine - high.amax(1),
        "wrong sign: positive is to mean proven": -wanted,
        "the strongest rival decides: the largest high end, not the smallest": mine
        - high_rest.amin(1),
        "the strongest rival decides: the largest high end, not the mean": mine - high_rest.mean(1),
        "that is the margin of the class in front; what counts is the label y": own
        - high.scatter(1, front[:, None], -torch.inf).amax(1),
    }
    _name(got, mistakes)
    if not close(got, wanted):
        raise Mistake("expected low[y] minus the largest high end of all other classes")
    if not answer(low.requires_grad_(), high.requires_grad_(), y).requires_grad:
        raise Mistake("the graph is cut; without .detach() and no_grad() a training can use it")


@exercise("How far a layer can stretch, found by asking it again and again.")
def spectral_norm(answer):
    """Check spectral_norm(weight, steps, generator) -> largest singular value, power iteration."""
    random = generator(35)
    for shape in ((6, 4), (3, 8), (5, 5)):
        w, state = 0.4 * torch.randn(shape, generator=random), torch.get_rng_state()
        wanted, found = torch.linalg.svdvals(w)[0].item(), []
        for steps in (100, 1, 100, 600):
            value = ask(answer, w, steps, generator(5), unchanged=[w])
            if value is None:
                raise Mistake("it returns None; end the function with a return")
            if torch.as_tensor(value).numel() != 1:
                raise Mistake("return one number, the length of W v; not the vector")
            found.append(float(value))
        got, first, again, _ = found
        right = abs(got - wanted) < 1e-3 * wanted
        for wrong, message in (
            (
                not all(math.isfinite(v) for v in found) or found[-1] < 1e-9,
                "the vector overflows or vanishes; divide it by its length in every step",
            ),
            (
                not torch.equal(state, torch.get_rng_state()) or got != again,
                "draw the start from the generator: torch.randn(..., generator=generator)",
            ),
            (
                abs(got - wanted**2) < 1e-3,
                "that is the square: W^T W stretches by the square of what W does",
            ),
            (abs(got - w.norm()) < 1e-3, "that is the Frobenius norm: all directions together"),
            (
                right and abs(got - first) < 1e-6,
                "exact after a single step: a library's SVD, or a number of steps of your own?",
            ),
            (abs(got - first) < 1e-6, "it takes a single step; repeat `steps` times"),
            (max(got, first) > 1.001 * wanted, "no vector of length 1 becomes that long"),
            (not right, "it ends elsewhere; each step takes v through W, and back through W^T"),
        ):
            if wrong:
                raise Mistake(message)


@exercise("A distance in which nothing can happen, from one number for each layer.")
def l2_radius(answer):
    """Check l2_radius(margin, lipschitz) -> margin / (sqrt(2) * lipschitz), or 0 if negative."""
    margin, lipschitz = torch.tensor([0.7, 2.0, -1.0, 0.0, 3.5]), 2.5
    got = tensor(ask(answer, margin, lipschitz, unchanged=[margin]), margin.shape, "the radius")
    # The net x -> 2.5 x reaches the bound: half of the margin goes into each of two logits.
    nearest = margin[:, None] / lipschitz * torch.tensor([-0.5, 0.5])
    wanted = nearest.norm(dim=1).where(margin > 0, 0)
    ahead, root = margin.clamp(min=0), math.sqrt(2)
    mistakes = {
        "too long: while one logit falls another can rise, and their difference moves by up to "
        "sqrt(2) times lipschitz": ahead / lipschitz,
        "sound, but too short: two logits never move by the whole length both; sqrt(2), not 2": (
            ahead / lipschitz / 2
        ),
        "a misread image has no radius; 0 where the margin is negative": margin / root / lipschitz,
        "a net that stretches more has shorter radii; divide by lipschitz": ahead
        * lipschitz
        / root,
        "upside down: sqrt(2) makes the radius shorter": ahead * root / lipschitz,
    }
    _name(got, mistakes, 1e-5)
    if not close(got, wanted):
        raise Mistake(f"expected {wanted.tolist()}, got {got.tolist()}")


@exercise("A gradient of a gradient: now the training feels how steep the loss is.")
def gradient_penalty(answer):
    """Check gradient_penalty(model, x, y) -> mean squared l2 norm of each image's own gradient."""
    model, x, y = linear_victim(36)
    got = check_left_alone(lambda: ask(answer, model.train(), x, y, unchanged=[x, y]), model)
    if x.requires_grad:
        raise Mistake("it switches on requires_grad of the caller's x; work on x.clone()")
    value = tensor(got.detach() if isinstance(got, torch.Tensor) else got, (), "the penalty")
    each = (model(x).softmax(1) - F.one_hot(y, 4)) @ model[-1].weight  # gradients in closed form
    wanted, n = each.square().sum(1).mean(), len(x)
    mistakes = {
        'the loss is averaged, so each gradient is too small by the batch size; reduction="sum"': (
            wanted / n**2
        ),
        "the loss is averaged and the squares are summed; the other way around": wanted / n,
        "the squares are summed over the images; take their mean": n * wanted,
        "not squared: that is the mean length; leave out the root": each.norm(dim=1).mean(),
        "that is one norm of the whole batch; each image has a gradient of its own": each.norm(),
        "sum over the pixels; average over the images only": each.square().mean(),
        "that is the l1 norm; square the gradient": each.abs().sum(1).mean(),
        "the cross-entropy is in it; return the penalty alone": F.cross_entropy(model(x), y)
        + wanted,
    }
    _name(value, mistakes)
    if not close(value, wanted.detach(), 1e-4):
        raise Mistake(f"expected {wanted:.4f}, the mean of |dloss/dx|^2; got {value:.4f}")
    weights, grads = list(model.parameters()), [None]
    if got.requires_grad:
        grads = torch.autograd.grad(got, weights, allow_unused=True)
    if all(g is None for g in grads):
        raise Mistake(
            "the value is right, but no gradient reaches the weights; create_graph=True keeps the "
            "graph of the gradient"
        )
    pairs = zip(grads, torch.autograd.grad(wanted, weights), strict=True)
    if not all(g is not None and close(g, w, 1e-3) for g, w in pairs):
        raise Mistake("the value is right, its gradient is not: a .detach() cuts part of the graph")


class _Booth(nn.Module):
    """Four classes: a black image or a white one, without or with much noise in its first pixel."""

    def __init__(self):
        super().__init__()
        self.shown, self.modes = [], []
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        self.shown.append(x.detach().clone())
        self.modes.append(self.training)
        first = x[:, 0, 0, 0]
        base = first.round().clamp(0, 1)
        said = 2 * base + (first - base > 0.1)
        return 3 * self.weight * F.one_hot(said.long(), 4)


@exercise("An election: every noisy copy has one vote.")
def smoothed_counts(answer):
    """Check smoothed_counts(model, x, sigma, n, generator) -> votes [N, classes], whole numbers."""
    model, sigma, n = _Booth().train(), 0.1, 900
    x = torch.tensor([0.0, 1.0, 0.0])[:, None, None, None].repeat(1, 1, 2, 2)

    def call(seed):
        return ask(answer, model, x, sigma, n, generator(seed), unchanged=[x])

    got = tensor(check_left_alone(lambda: call(37), model), (3, 4), "the counts")
    shown = torch.cat(model.shown)
    noise = shown - shown.round().clamp(0, 1)
    std, votes = noise.std().item(), got.sum(1)
    alike = noise.flatten(1).mul(1e4).round().unique(dim=0)  # equal but for float rounding
    for wrong, message in (
        (any(model.modes), "it asks in train mode; call model.eval(), and restore the mode"),
        (
            not torch.equal(got, got.round()),
            "these are no whole numbers: a copy votes for one class, by argmax; no averages",
        ),
        (close(votes, votes.new_ones(3)), "these are shares; return the counts"),
        (len(shown) != 3 * n, f"{len(shown)} copies for 3 images and n {n}; each image needs n"),
        (
            not (shown < 0).any() or not (shown > 1).any(),
            "the noisy images are clipped to [0, 1]; the proof is about the noise as it is",
        ),
        (0.8 < std / sigma**2 < 1.2, "the noise is multiplied by sigma^2; sigma is enough"),
        (noise.abs().max() < 2.5 * std, "this noise has no tails; torch.randn, not rand"),
        (not 0.9 < std / sigma < 1.1, f"the noise has a std of {std:.3f} where sigma is {sigma}"),
        (noise.flatten(1).std(1).mean() < sigma / 2, "noise is drawn for each pixel, not image"),
        (len(alike) < 2.9 * n, "noise is shared; every copy needs its own"),
        (not (votes == n).all(), f"the votes of an image add up to n, {n}, not {votes.tolist()}"),
    ):
        if wrong:
            raise Mistake(message)
    if not torch.equal(call(37), got) or torch.equal(call(38), got):
        raise Mistake("the generator does not decide: torch.randn(..., generator=generator)")
    rare = 0.5 * math.erfc(1 / math.sqrt(2))  # a pixel's noise is above sigma
    wanted = torch.tensor([[1 - rare, rare, 0, 0], [0, 0, 1 - rare, rare], [1 - rare, rare, 0, 0]])
    if (got / n - wanted).abs().max() > 0.07:
        raise Mistake("votes of one image are counted for another; which copy is whose?")


def _clopper_pearson(counts, n, alpha):
    """Return the p [N] for which `counts` or more of n have probability alpha, by bisection."""
    j = torch.arange(n + 1, dtype=torch.float64)
    ways = math.lgamma(n + 1) - torch.lgamma(j + 1) - torch.lgamma(n - j + 1)
    low, high = torch.zeros(len(counts), 1).double(), torch.ones(len(counts), 1).double()
    for _ in range(50):
        p = (low + high) / 2
        terms = (ways + j * p.log() + (n - j) * (-p).log1p()).exp()
        rare = (terms * (j >= counts[:, None])).sum(1, keepdim=True) < alpha
        low, high = torch.where(rare, p, low), torch.where(rare, high, p)
    return low[:, 0]


@exercise("A radius that is too long at most once in 1 / alpha: a proof with an error bar.")
def certified_radius(answer):
    """Check certified_radius(counts, n, sigma, alpha) -> l2 radii [N], 0 where it abstains."""
    for n, sigma, alpha in ((500, 0.3, 0.01), (100, 0.5, 0.001)):
        counts = torch.tensor([0.97, 0.9, 0.75, 1.0, 0.51, 0.2]).mul(n).round().long()
        got = ask(answer, counts, n, sigma, alpha, unchanged=[counts])
        got, sure = tensor(got, counts.shape, "the radii").double(), slice(3)

        def bound(level, k=counts[:3], n=n):
            return torch.special.ndtri(_clopper_pearson(k, n, level))

        r, p = bound(alpha), _clopper_pearson(counts, n, alpha)
        over = -torch.special.ndtri(_clopper_pearson(n - counts[sure], n, alpha))
        mistakes = {
            "that is the radius of the plain share of votes, which may be luck; take the lower "
            "bound": sigma * torch.special.ndtri(counts[sure] / n),
            "alpha / 2 is for two ends; only the lower one matters here": sigma * bound(alpha / 2),
            "that is the upper end of the confidence interval; the proof needs the lower": sigma
            * over,
            "upside down: the quantile is beta.ppf(alpha, ...), not 1 - alpha": sigma
            * bound(1 - alpha),
            "sigma is missing; more noise, longer radius": r,
            "sigma is squared; sigma * norm.ppf(p)": sigma**2 * r,
            "it divides by sigma; more noise, longer radius": r / sigma,
            "norm.cdf is the way back; the radius is sigma * norm.ppf(p)": sigma
            * torch.special.ndtr(p[sure]),
            "the quantile is missing: sigma * norm.ppf(p), not sigma * p": sigma * p[sure],
        }
        _name(got[sure], mistakes, 1e-5)
        wanted = sigma * torch.special.ndtri(p)
        if close(got, wanted, 1e-4) or (got < 0).any():
            raise Mistake("it never abstains: where p is at most 1/2 the radius is 0, not negative")
        if not close(got, wanted.clamp(min=0), 1e-4):
            raise Mistake(f"expected {wanted.clamp(min=0).tolist()}, got {got.tolist()}")
