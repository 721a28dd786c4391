"""Ask a thousand noisy copies and count the votes: randomized smoothing (lecture 16)."""

import torch
from scipy.stats import beta, binomtest
from torch import nn
from tqdm.auto import tqdm

from ..attacks.contract import chunk_size, frozen
from ..attacks.inputs import check_count, check_number, logits

ABSTAIN = -1


class RandomizedSmoothing:
    """The classifier that answers what `model` says most often under Gaussian noise.

    sigma: standard deviation of the noise, in pixel units. Noisy images are not clipped to [0, 1]:
    the proof is about the noise as it is. classes: of the model; seed: of the noise.
    Raises ValueError for a sigma that is not positive.
    Source: Cohen, Rosenfeld and Kolter 2019, "Certified adversarial robustness via randomized
    smoothing"; lecture 16.
    """

    def __init__(self, model, sigma, classes=10, seed=0):
        noise = "is no noise; pass a number > 0, in pixel units"
        check_number("sigma", sigma, lambda v: v > 0, noise)
        self.model, self.sigma, self.classes, self.seed = model, sigma, classes, seed
        self._generator = None

    def predict(self, x, n=1000, alpha=0.001, progress=False):
        """Return the classes [N] of x [N, ...], -1 where `n` votes leave the winner in doubt.

        An answer is the most likely class under noise, except with probability alpha: the first two
        classes are compared by a binomial test. Raises ValueError for bad n or alpha.
        """
        _check(alpha, n=n)
        votes, first_two = self.votes(x, n, progress).topk(2, dim=1)
        sure = [
            binomtest(a, a + b, 0.5).pvalue <= alpha if a + b else False for a, b in votes.tolist()
        ]
        return torch.where(torch.tensor(sure, device=x.device), first_two[:, 0], ABSTAIN)

    def certify(self, x, n=1000, n0=100, alpha=0.001, progress=False):
        """Return (classes [N], radii [N]): no change of x shorter than its radius changes the class.

        The radius is in l2, pixel units: sigma * Phi^-1(p), where p is a lower bound of the class's
        probability that holds except with probability alpha. The class is guessed from n0 votes and
        judged by n others. -1 and radius 0 where p is not above 1/2. Raises ValueError for bad
        counts or alpha.
        """
        _check(alpha, n=n, n0=n0)
        guess = self.votes(x, n0, progress).argmax(1)
        hits = self.votes(x, n, progress).gather(1, guess[:, None])[:, 0]
        p = lower_bound(hits.cpu(), n, alpha).to(x.device)
        radius = radius_of(p, self.sigma)
        return torch.where(radius > 0, guess, ABSTAIN), radius

    @torch.no_grad()
    def votes(self, x, n, progress=False):
        """Return how many of `n` noisy copies of each x [N, ...] fall into each class, [N, classes]."""
        if self._generator is None or self._generator.device != x.device:
            self._generator = torch.Generator(x.device).manual_seed(self.seed)
        count = torch.zeros(len(x), self.classes, dtype=torch.int64, device=x.device)
        size = chunk_size(self.model, x)
        copies = max(1, size // max(1, min(len(x), size)))
        jobs = [
            (rows, min(copies, n - i))
            for rows in torch.arange(len(x)).split(size)
            for i in range(0, n, copies)
        ]
        with frozen(self.model):
            for rows, k in tqdm(jobs, desc="votes", unit="batch", disable=not progress):
                some = x[rows.to(x.device)].repeat_interleave(k, 0)
                noise = torch.empty_like(some).normal_(generator=self._generator)
                z = logits(self.model, some + self.sigma * noise)
                if z.shape[1] != self.classes:
                    raise ValueError(
                        f"classes: the model returns {z.shape[1]}, not {self.classes}; pass its own"
                    )
                said = nn.functional.one_hot(z.argmax(1), self.classes).view(len(rows), k, -1)
                count[rows] += said.sum(1)
        return count


def lower_bound(hits, n, alpha=0.001):
    """Return p [N], below the true probability except with probability alpha, for `hits` of `n`.

    Source: Clopper and Pearson 1934, one-sided; lecture 16.
    """
    hits = torch.as_tensor(hits, dtype=torch.float64)
    p = beta.ppf(alpha, hits.numpy(), n - hits.numpy() + 1)
    return torch.where(hits > 0, torch.as_tensor(p), 0.0)


def radius_of(p, sigma):
    """Return sigma * Phi^-1(p) [N], the l2 radius in pixel units, and 0 where p is not above 1/2."""
    return sigma * torch.special.ndtri(p.double()).clamp(min=0)


def _check(alpha, **counts):
    rate = "is no error rate; pass a number between 0 and 1"
    check_number("alpha", alpha, lambda v: 0 < v < 1, rate)
    for name, value in counts.items():
        check_count(name, value)
