"""One number per pair of classes bounds every image: the semidefinite certificate (lecture 16).

For f(x) = V relu(W x + b) + c let d = V_i - V_j. A ReLU's output never moves further than its
input, nor the other way. So a change of x by e moves f_i - f_j by e^T A s, where A = W^T diag(d)
and s in [0, 1]^H says how much of its change each hidden unit lets through. With |e| <= eps (linf)
that is at most eps * max t^T A s over signs t. Write s = (1 + r) / 2 with r in [-1, 1]^H and
u = (t, 1, r): t^T A s = u^T M u / 4, where M holds B = [A's row sums, A], and u u^T is a positive
semidefinite matrix P with a diagonal of at most 1. Forgetting that P is such a product leaves a
larger maximum, that of <M, P> / 4, but one that a solver finds.
"""

import copy
import functools
import itertools
import warnings

import numpy as np
import torch
from torch import nn

from ..attacks.contract import frozen
from ..attacks.inputs import check_inputs, check_model, check_size, logits, one_of
from .penalties import flat_layers, is_plain

STRAIGHT = (nn.Linear, nn.Conv2d, nn.AvgPool2d, nn.Flatten, nn.Dropout)
NORMS = {"spectral": 2, "frobenius": "fro"}


def two_layers(model, shape=(1, 28, 28)):
    """Return W [H, D] and V [K, H] of a net x -> V relu(W x + b) + c, in float64.

    model: linear layers (Linear, Conv2d, AvgPool2d, Flatten), one ReLU, one Linear. The layers
    before the ReLU are folded into W. Pixels (of an input of this `shape`) that have the same
    weights act as one input with the sum of them, so a pooled net has a D for each of its cells.
    Raises ValueError for another net.
    """
    layers = flat_layers(model)
    body = layers[:-2]
    ends = is_plain(layers[-1], nn.Linear) and is_plain(layers[-2:][0], nn.ReLU)
    if not body or not ends or not all(is_plain(m, *STRAIGHT) for m in body):
        raise ValueError(
            "model: this bound is for linear layers, then one ReLU, then one Linear; got "
            + ", ".join(type(m).__name__ for m in layers)
        )
    first = copy.deepcopy(nn.Sequential(*body)).double().cpu().eval()
    basis = torch.eye(torch.Size(shape).numel(), dtype=torch.float64).view(-1, *shape)
    with torch.no_grad():
        effects = (first(basis) - first(torch.zeros_like(basis[:1]))).flatten(1)
    w, count = effects.unique(dim=0, return_counts=True)
    return (w * count[:, None]).T, layers[-1].weight.detach().double().cpu()


def spread(w, d):
    """Return B [D, 1 + H] of this module's first lines, for W [H, D] and d [H]."""
    a = w.T * d
    return torch.cat([a.sum(1, keepdim=True), a], 1)


def solve(b):
    """Return multipliers c [P, D + 1 + H] for B [P, D, 1 + H]: least sum c with diag(c) - M psd.

    P is made of inner products of unit vectors. Where those of (1, r) are given, by a matrix Q, the
    best vector of input k is known and adds sqrt(B_k Q B_k^T): so the solver, through cvxpy, only
    looks for Q [1 + H, 1 + H]. The result carries its error; `checked` makes it a bound.
    """
    import cvxpy as cp  # slow to import, and nothing else in the course needs it

    inputs, units = b.shape[1:]
    q, squares = cp.Variable((units, units), PSD=True), cp.Parameter((inputs, units**2))
    diagonal, weight = cp.diag(q) <= 1, cp.Parameter(inputs, nonneg=True)
    lengths = cp.sqrt(squares @ cp.vec(q, order="C"))
    problem = cp.Problem(cp.Maximize(2 * weight @ lengths), [diagonal])
    found = []
    for one in b.numpy():
        # Rows of length 1 and weights up to 1: a dead pixel's row would be lost among the others.
        size = np.linalg.norm(one, axis=1).clip(min=1e-12)
        rows, scale = one / size[:, None], size.max()
        squares.value = np.einsum("kg,kh->kgh", rows, rows).reshape(inputs, -1)
        weight.value = size / scale
        _run(problem, cp)
        ends = size * np.sqrt(np.maximum(squares.value @ q.value.reshape(-1), 0))
        found.append(np.concatenate([ends, scale * diagonal.dual_value]))
    return torch.from_numpy(np.stack(found))


def _run(problem, cp):
    """Solve the problem; an inexact solution is no wrong one here, so nothing is said of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            problem.solve(solver="CLARABEL")
        except cp.error.SolverError:  # slower, less exact, and hardly ever stuck
            problem.solve(solver="SCS")


def checked(b, c):
    """Return an upper bound [P] of <M, P> over psd P with a diagonal <= 1, for any c [P, N].

    <M, P> = <diag(c), P> + <M - diag(c), P>. The first is at most the sum of the positive c; the
    second at most N times the largest eigenvalue of M - diag(c), where that is positive. So an
    inexact c costs sharpness, never soundness.
    """
    m = torch.zeros(*c.shape, c.shape[1], dtype=c.dtype)
    m[:, : b.shape[1], b.shape[1] :] = b
    top = torch.linalg.eigvalsh(m + m.mT - torch.diag_embed(c))[:, -1]
    return c.clamp(min=0).sum(1) + c.shape[1] * top.clamp(min=0)


def sdp_bounds(model, shape=(1, 28, 28)):
    """Return [K, K]: by how much f_i - f_j can grow at most, per unit of linf change of the input.

    model: two layers, as in `two_layers`. One semidefinite program for each pair of classes; the
    result is kept, so that the same weights are not solved twice. Sound whatever the solver's
    accuracy, up to the rounding of float64. Raises ValueError for another net.
    Source: Raghunathan, Steinhardt and Liang 2018, "Certified defenses against adversarial
    examples"; lecture 16.
    """
    w, v = two_layers(model, shape)
    return _solved(w.numpy().tobytes(), v.numpy().tobytes(), w.shape, v.shape).clone()


@functools.lru_cache(maxsize=32)
def _solved(w, v, w_shape, v_shape):
    w, v = (
        torch.frombuffer(bytearray(part), dtype=torch.float64).view(shape)
        for part, shape in ((w, w_shape), (v, v_shape))
    )
    pairs = list(itertools.combinations(range(len(v)), 2))
    b = torch.stack([spread(w, v[i] - v[j]) for i, j in pairs])
    bounds = torch.zeros(len(v), len(v), dtype=torch.float64)
    i, j = torch.tensor(pairs).T
    bounds[i, j] = bounds[j, i] = checked(b, solve(b)) / 4  # t -> -t turns f_i - f_j around
    return bounds


def norm_bounds(model, norm="spectral", shape=(1, 28, 28)):
    """Return [K, K] like `sdp_bounds`, from sqrt(D) * |W| * |V_i - V_j|_2: cheap and loose.

    norm: of W, "spectral" or "frobenius". Raises ValueError for another norm or another net.
    Source: the baselines of Raghunathan, Steinhardt and Liang 2018; lecture 16.
    """
    one_of("norm", norm, list(NORMS))
    w, v = two_layers(model, shape)
    size = torch.linalg.matrix_norm(w, NORMS[norm])
    return w.shape[1] ** 0.5 * size * torch.cdist(v, v)


@torch.no_grad()
def certified_sdp(model, x, y, eps, bounds=None):
    """Return a mask [N]: no image within eps (linf) of x [N, ...] is read as anything but y.

    eps: in pixel units of [0, 1]. bounds: [K, K]; None: `sdp_bounds(model)`; or `norm_bounds`.
    Raises ValueError for bad input. Source: Raghunathan, Steinhardt and Liang 2018; lecture 16.
    """
    check_inputs(x, y, None, (0.0, 1.0), None)
    check_size("eps", eps)
    with frozen(model):
        check_model(model, x, y, None)
        z = logits(model, x).double()
    bounds = sdp_bounds(model, tuple(x.shape[1:])) if bounds is None else bounds
    lead = z.gather(1, y[:, None]) - z - eps * bounds.to(z.device)[:, y].T
    return lead.scatter(1, y[:, None], torch.inf).amin(1) > 0
