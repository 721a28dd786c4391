"""Victims that are no networks: linear and kernel SVM, logistic regression, naive Bayes.

scikit-learn fits them; what comes back is an `nn.Module` that maps images [N, ...] to class scores
[N, K], float32, in eval mode and differentiable in x, so that every attack of the course runs on it.
"""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn import functional as F

from .attacks.inputs import check_count, check_number


def linear_svm(x, y, *, c=0.03, n=None, seed=0):
    """Fit a linear SVM, one class against the rest, to x [N, ...] with labels y [N].

    c: weight of the margin's violations against the squared norm of the weights; n: fit to so many
    of the images only, drawn by `seed` with every class in its share (None: to all).
    The module's scores are the signed decision values. Raises ValueError for bad input.
    Source: Cortes and Vapnik 1995, "Support-vector networks"; lectures 09 and 12.
    """
    from sklearn.svm import LinearSVC

    check_positive("c", c)
    rows, labels = _checked(x, y, n, seed)
    fitted = LinearSVC(C=c, random_state=seed, max_iter=5000).fit(rows, labels)
    return _linear(fitted.coef_, fitted.intercept_, x)


def logistic_regression(x, y, *, c=0.1, n=None, seed=0):
    """Fit logistic regression (a softmax over linear scores) to x [N, ...] with labels y [N].

    c: inverse weight of the penalty on the squared weights; n, seed: as in `linear_svm`.
    The softmax of the module's scores is the model's probability. Raises ValueError for bad input.
    Source: Cox 1958, "The regression analysis of binary sequences"; lectures 09, 11 and 12.
    """
    from sklearn.linear_model import LogisticRegression

    check_positive("c", c)
    rows, labels = _checked(x, y, n, seed)
    fitted = LogisticRegression(C=c, max_iter=300).fit(rows, labels)
    return _linear(fitted.coef_, fitted.intercept_, x)


def naive_bayes(x, y, *, alpha=1.0, n=None, seed=0):
    """Fit naive Bayes (Bernoulli) to x [N, ...], values in [0, 1], with labels y [N].

    Every pixel is a coin, heads with the class's mean intensity there; a gray pixel counts as so
    much of a head. The log posterior is then linear in x. It treats neighboring pixels as
    independent and is far too sure of itself: its scores are divided by one number, the temperature
    that makes the images it was fitted to likeliest, which moves no decision but keeps the softmax
    from saturating, where gradients vanish.
    alpha: imagined heads and tails that every coin has seen before; n, seed: as in `linear_svm`.
    Raises ValueError for bad input. Source: Maron 1961, "Automatic indexing"; lectures 09 and 12.
    """
    from sklearn.naive_bayes import BernoulliNB

    check_positive("alpha", alpha)
    rows, labels = _checked(x, y, n, seed)
    if rows.min() < 0 or rows.max() > 1:
        raise ValueError(
            f"x: values from {rows.min():.4g} to {rows.max():.4g}; naive Bayes reads a pixel as a "
            "share of ink, scale x to [0, 1]"
        )
    fitted = BernoulliNB(alpha=alpha, binarize=None).fit(rows, labels)
    ink = fitted.feature_log_prob_
    blank = np.log1p(-np.exp(ink))
    weight, bias = ink - blank, blank.sum(1) + fitted.class_log_prior_
    temperature = _temperature(rows @ weight.T + bias, labels)
    return _linear(weight / temperature, bias / temperature, x)


def kernel_svm(x, y, *, gamma=None, c=5.0, n=2000, seed=0):
    """Fit an SVM with a Gaussian kernel, one class against the rest, to x [N, ...], labels y [N].

    gamma: the kernel is exp(-gamma |x - x'|^2) (None: 1 / (pixels * variance of a pixel)); c: as in
    `linear_svm`; n: images to fit to, at most (the matrix of all pairs is in memory, and every
    answer of the module looks at all the support vectors), None for all; seed: as there.
    Raises ValueError for bad input.
    Source: Cortes and Vapnik 1995, "Support-vector networks"; lecture 12.
    """
    from sklearn.svm import SVC

    check_positive("c", c)
    rows, labels = _checked(x, y, n, seed)
    if gamma is None:
        gamma = 1 / (rows.shape[1] * max(rows.var(), 1e-12))
    check_positive("gamma", gamma)
    squares = (rows**2).sum(1)
    distances = np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0)
    gram = np.exp(-gamma * distances)
    weight, bias = np.zeros((labels.max() + 1, len(rows))), []
    for k in range(len(weight)):
        fitted = SVC(C=c, kernel="precomputed").fit(gram, labels == k)
        weight[k, fitted.support_] = fitted.dual_coef_[0]
        bias.append(fitted.intercept_[0])
    used = np.abs(weight).max(0) > 0
    kept = [_tensor(part, x) for part in (rows[used], weight[:, used], np.array(bias))]
    return KernelMachine(*kept, float(gamma)).eval()


class KernelMachine(nn.Module):
    """Scores [N, K] = kernel(x, support vectors) @ weight.T + bias, with a Gaussian kernel."""

    def __init__(self, support, weight, bias, gamma):
        super().__init__()
        self.register_buffer("support", support)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.gamma = gamma

    def forward(self, x):
        flat = x.flatten(1)
        squares = flat.square().sum(1, keepdim=True) + self.support.square().sum(1)
        distances = torch.addmm(squares, flat, self.support.T, alpha=-2).clamp(min=0)
        return F.linear(torch.exp(-self.gamma * distances), self.weight, self.bias)


def check_positive(name, value):
    """Raise a ValueError unless `value` is a finite number above 0."""
    check_number(name, value, lambda v: v > 0, "is not positive; pass a number > 0")


def _checked(x, y, n, seed):
    """Return what to fit to: float64 rows [n, pixels] and labels [n]; or say what is wrong."""
    if not isinstance(x, torch.Tensor) or not x.is_floating_point() or x.ndim < 2 or not len(x):
        raise ValueError("x: pass a float tensor of shape (N, ...) with at least two images")
    if not isinstance(y, torch.Tensor) or y.dtype.is_floating_point or y.shape != x.shape[:1]:
        raise ValueError(f"y: pass an int64 tensor of {len(x)} class numbers, shape ({len(x)},)")
    if not bool(torch.isfinite(x).all()):
        raise ValueError("x: contains NaN or infinity; find where it comes from before you fit")
    rows, labels = x.detach().flatten(1).double().cpu().numpy(), y.cpu().numpy()
    if n is not None:
        check_count("n", n)
        keep = _drawn(labels, n, seed)
        rows, labels = rows[keep], labels[keep]
    present = np.unique(labels)
    if len(present) < 2 or present.tolist() != list(range(len(present))):
        raise ValueError(
            f"y: the classes {present.tolist()} among {len(labels)} images; number them from 0 "
            "without gaps, two at least, and pass an image of each"
        )
    return rows, labels


def _drawn(labels, n, seed):
    """Return the numbers of n rows, every class with its share."""
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels))  # where each row stands within its class, from 0 to 1
    for k in np.unique(labels):
        mine = order[labels[order] == k]
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return order[np.argsort(place[order], kind="stable")][:n]


def _linear(weight, bias, x):
    """Return the module with these weights; of two classes, one row becomes one score for each."""
    if len(weight) == 1:
        weight, bias = (np.stack([-part[0] / 2, part[0] / 2]) for part in (weight, bias))
    layer = nn.Linear(weight.shape[1], len(weight), device="meta")
    layer.weight, layer.bias = nn.Parameter(_tensor(weight, x)), nn.Parameter(_tensor(bias, x))
    return nn.Sequential(nn.Flatten(), layer).eval()


def _tensor(array, x):
    return torch.tensor(array, dtype=torch.float32, device=x.device)


def _temperature(scores, labels):
    """Return the number that the scores [N, K] must be divided by for the likeliest labels."""
    z, y = torch.tensor(scores), torch.tensor(labels, dtype=torch.int64)

    def loss(power):
        return F.cross_entropy(z / 10**power, y).item()

    return 10 ** minimize_scalar(loss, bounds=(-2, 4), method="bounded").x
