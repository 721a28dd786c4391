"""Find a backdoor's images by what a network makes of them in its last hidden layer (lecture 11)."""

from dataclasses import dataclass

import torch
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from torch import nn

from ..attacks.contract import chunk_size, frozen
from ..attacks.inputs import check_count, check_labels
from ..metrics import auc


@torch.no_grad()
def hidden(model, x):
    """Return the features [N, D] of x [N, ...] in the last hidden layer: what the last Linear reads.

    Computed in chunks, in eval mode. Raises ValueError for a model without a Linear layer.
    Source: Chen, Carvalho et al. 2018, "Detecting backdoor attacks"; lecture 11.
    """
    layers = list(model.modules()) if isinstance(model, nn.Module) else []
    last = next((m for m in reversed(layers) if isinstance(m, nn.Linear)), None)
    if last is None:
        raise ValueError("model: no nn.Linear in it, so no last hidden layer; pass such a network")
    found = []
    hook = last.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].flatten(1)))
    try:
        with frozen(model):
            for part in x.split(chunk_size(model, x)):
                model(part)
    finally:
        hook.remove()
    return torch.cat(found)


def spectral_scores(features):
    """Return how suspicious each row of one class's features [N, D] is, [N].

    The features are centered; the score is the squared projection on the direction in which they
    vary most, their top right singular vector.
    Source: Tran, Li and Madry 2018, "Spectral signatures in backdoor attacks"; lecture 11.
    """
    return principal_components(features, 1)[:, 0].square()


def whitened_scores(features, trusted, components=20):
    """Return the squared Mahalanobis distance [N] of a class's features [N, D] from trusted [M, D].

    trusted: features of a few dozen images of the class whose labels somebody has checked. They say
    how much the class itself varies in each of the `components` largest directions of `features`, and
    each is divided by that. What stands out then is not what varies most, but what varies more than
    it should. (A hundredth of the mean variance is added, so that few images are enough.)
    Source: Hayase, Kong et al. 2021, "SPECTRE", which estimates the covariance without trusted
    images; lecture 11.
    """
    check_count("components", components)
    if _floats(trusted).shape[1:] != _floats(features).shape[1:] or len(trusted) < 2:
        got = tuple(trusted.shape)
        raise ValueError(
            f"trusted: shape {got}; pass at least 2 rows of {features.shape[1]} features"
        )
    directions = _directions(features, components)
    clean = trusted.double() @ directions.T
    spread = torch.cov(clean.T).reshape(len(directions), -1)
    floor = 0.01 * spread.trace() / len(spread) + 1e-12
    factor = torch.linalg.cholesky(spread + floor * torch.eye(len(spread)).to(spread))
    away = features.double() @ directions.T - clean.mean(0)
    scaled = torch.linalg.solve_triangular(factor, away.T, upper=False)
    return scaled.square().sum(0).to(features.dtype)


def spectral_signatures(features, y, remove, *, trusted=None):
    """Return a mask [N] of what to remove: in each class the `remove` rows with the highest scores.

    features [N, D] of the training set, y [N] its labels, the poisoned ones included. remove: Tran
    et al. take 1.5 times the number of poisons that they fear in a class; never more than half of it.
    trusted: (features [M, D], labels [M]) of checked images; where given, `whitened_scores` replaces
    `spectral_scores`. Raises ValueError for bad input. Source: as `spectral_scores`; lecture 11.
    """
    check_count("remove", remove)
    check_labels("y", y, _floats(features))
    suspicious = torch.zeros(len(y), dtype=torch.bool, device=y.device)
    for rows in _classes(y):
        if trusted is None:
            score = spectral_scores(features[rows])
        else:
            score = whitened_scores(features[rows], trusted[0][trusted[1] == y[rows[0]]])
        suspicious[rows[score.topk(min(remove, len(rows) // 2)).indices]] = True
    return suspicious


@dataclass(frozen=True)
class Cluster:
    """The smaller one of a class's two clusters: a mask [N] over the training set, and how odd it is.

    share: its part of the class. silhouette: near 1 where the two clusters lie far apart.
    """

    mask: torch.Tensor
    share: float
    silhouette: float

    @property
    def suspicious(self):
        """Whether it looks like poison to Chen et al.: small (below 35 %) and apart (above .15)."""
        return self.share < 0.35 and self.silhouette > 0.15


def activation_clustering(features, y, components=10, seed=0):
    """Split each class's features in two, and return {class: `Cluster`}, the smaller one of each.

    features [N, D] of the training set, y [N] its labels, the poisoned ones included. They are
    reduced to so many principal components (Chen et al. take independent components), and 2-means
    with ten starts splits them. Classes of fewer than 4 rows are left out. Raises ValueError for bad
    input. Source: Chen, Carvalho et al. 2018, "Detecting backdoor attacks"; lecture 11.
    """
    check_count("components", components)
    check_labels("y", y, _floats(features))
    found = {}
    for rows in _classes(y):
        if len(rows) < 4:
            continue
        points = principal_components(features[rows], components).cpu().numpy()
        if (points == points[0]).all():  # nothing to split
            continue
        side = KMeans(2, n_init=10, random_state=seed).fit_predict(points)
        small = torch.from_numpy(side == (2 * side.sum() < len(side))).to(y.device)
        mask = torch.zeros(len(y), dtype=torch.bool, device=y.device)
        mask[rows[small]] = True
        apart = silhouette_score(points, side, sample_size=min(2000, len(side)), random_state=seed)
        found[int(y[rows[0]])] = Cluster(mask, small.float().mean().item(), float(apart))
    return found


def principal_components(features, count=10):
    """Return the centered features [N, D] along the `count` directions of most variance, [N, count]."""
    directions = _directions(features, count)
    wide = features.double()
    return ((wide - wide.mean(0)) @ directions.T).to(features.dtype)


def _directions(features, count):
    """Return the `count` top right singular vectors of the centered features [N, D], in float64."""
    centered = _floats(features).double()
    centered = centered - centered.mean(0)
    return torch.linalg.svd(centered, full_matrices=False).Vh[:count]


def signature(features, poison, count=10):
    """Return where the poison lies in a class's features [N, D]: (variance, auc, gap).

    variance [count]: of the class along each principal component; auc [count]: how well it alone tells
    the rows in the mask `poison` [N] from the others (.5: not at all, 1: perfectly); gap: the
    variance that the poison adds along the line from mean to mean, q (1 - q) distance^2 with the
    share q of poison. A detector that looks at the largest variance sees the poison only where the
    gap is of the size of the first variances. Source: lecture 11.
    """
    points = principal_components(features, count)
    sides = [auc(points[~poison, i], points[poison, i]) for i in range(points.shape[1])]
    q = poison.double().mean().item()
    apart = features[poison].mean(0) - features[~poison].mean(0)
    gap = q * (1 - q) * apart.square().sum().item()
    return points.var(0), torch.tensor([max(side, 1 - side) for side in sides]), gap


def precision_recall(removed, poison):
    """Return (precision, recall) of the mask `removed` [N] as a search for the mask `poison` [N].

    Precision: the share of the removed rows that is poison. Recall: the share of the poison that is
    removed. Where nothing is removed, or nothing is poison, that share is NaN.
    """
    hits = (removed & poison).sum()
    return (hits / removed.sum()).item(), (hits / poison.sum()).item()


def _floats(features):
    if not isinstance(features, torch.Tensor) or features.ndim != 2:
        got = tuple(getattr(features, "shape", ())) or type(features).__name__
        raise ValueError(
            f"features: got {got}; pass a float tensor of shape (N, D), as of `hidden`"
        )
    return features


def _classes(y):
    """Return the row numbers of each class of y [N], a list."""
    return [(y == label).nonzero()[:, 0] for label in y.unique()]
