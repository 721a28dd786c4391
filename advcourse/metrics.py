"""Numbers about attacks: how far they move, how often they win, what they cost (lectures 02, 17)."""

import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import NormalDist

import torch
from torch import nn
from tqdm.auto import tqdm

from .attacks.contract import chunk_size, frozen, logits
from .attacks.inputs import check_labels
from .attacks.oracle import Oracle, behind, part_of


def norms(delta):
    """Return {"l0", "l1", "l2", "linf"}, each [N], of the perturbations delta [N, ...].

    l0 counts changed pixels; l1, l2 and linf are in pixel units of [0, 1]. Source: lecture 02.
    """
    if not isinstance(delta, torch.Tensor) or delta.ndim < 2:
        raise ValueError(
            "delta: pass a tensor of shape (N, ...): add a first axis with delta[None]"
        )
    flat = delta.detach().flatten(1)
    size = flat.abs()
    return {
        "l0": (flat != 0).sum(1),
        "l1": size.sum(1),
        "l2": flat.norm(dim=1),
        "linf": size.amax(1) if size.shape[1] else size.sum(1),
    }


@dataclass(frozen=True)
class Report:
    """What `evaluate` measured. Shares are in [0, 1]; norms are medians over all images."""

    n: int
    acc1: float  # the true class is first
    acc5: float  # the true class is among the first five
    confidence: float  # mean probability of the predicted class
    success_rate: float  # of the images that were right (targeted: not yet the target) before
    l0: float
    l1: float
    l2: float
    linf: float
    seconds: float  # the attack alone
    queries: float  # per image: an Oracle's own count, else forward passes of the attack

    def as_dict(self):
        """Return the numbers as a plain dict, for a table."""
        return asdict(self)

    def _repr_markdown_(self):
        names = list(asdict(self))
        cells = [f"{v:,}" if isinstance(v, int) else f"{v:.4g}" for v in asdict(self).values()]
        rows = [names, ["---:"] * len(names), cells]
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def evaluate(model, x, y, attack=None, *, target=None, batch_size=None, progress=False):
    """Attack x [N, ...] with labels y [N] in batches and return a `Report`.

    attack: (model, x, y) -> x_adv, for example `functools.partial(fgsm, eps=0.1)`; None measures
    the clean images. target: int64 [N], passed on to the attack; success then means the target.
    model: may be an attacks.Oracle; the attack gets it, and `queries` are what it counted meanwhile;
    what is said of the images comes from the model behind it, and costs no query.
    Raises ValueError where x is empty or lengths differ.
    """
    if not len(x) or len(x) != len(y):
        raise ValueError(f"x, y: {len(x)} images and {len(y)} labels; pass as many of each, not 0")
    check_labels("y", y, x)
    if target is not None and len(target) != len(x):
        raise ValueError(f"target: {len(target)} classes for {len(x)} images; pass one per image")
    batch_size = batch_size or chunk_size(model, x)
    sums, before, after, moved = [], [], [], []
    seconds, queries = 0.0, 0
    starts = range(0, len(x), batch_size)
    for i in tqdm(starts, desc="evaluate", unit="batch", disable=not progress, leave=False):
        part = slice(i, i + batch_size)
        goal = {} if target is None else {"target": target[part]}
        begun = time.perf_counter()
        asked = part_of(model, i, min(i + batch_size, len(x)))
        with _counting(asked) as count:
            x_adv = attack(asked, x[part], y[part], **goal) if attack else x[part]
        seconds, queries = seconds + time.perf_counter() - begun, queries + count[0]
        judge = behind(model)
        with torch.no_grad(), frozen(judge):
            clean = logits(judge, x[part])
            z = logits(judge, x_adv) if attack else clean
        top = z.topk(min(5, z.shape[1]), dim=1).indices == y[part, None]
        confidence = z.softmax(1).amax(1)
        sums.append(torch.stack([top[:, 0].float(), top.any(1).float(), confidence], 1))
        wanted = y[part] if target is None else target[part]
        before.append(clean.argmax(1) == wanted)
        after.append(z.argmax(1) == wanted)
        moved.append(norms(x_adv - x[part]))
    acc1, acc5, confidence = torch.cat(sums).mean(0).tolist()
    before, after = torch.cat(before), torch.cat(after)
    # Untargeted: right images that turn wrong. Targeted: others that turn into the target.
    eligible, won = (before, ~after) if target is None else (~before, after)
    rate = won[eligible].float().mean().item() if eligible.any() else 0.0
    middle = {k: torch.cat([m[k].float() for m in moved]).median().item() for k in moved[0]}
    return Report(
        len(x), acc1, acc5, confidence, rate, **middle, seconds=seconds, queries=queries / len(x)
    )


def wilson(count, n, level=0.95):
    """Return the interval (low, high) of a share of which `count` of n were seen, at that level.

    Source: Wilson 1927, "Probable inference"; it stays inside [0, 1], and near 0 and 1 it is the
    one to take. Raises ValueError unless 0 <= count <= n and n >= 1.
    """
    if not (n >= 1 and 0 <= count <= n):
        raise ValueError(
            f"count, n: {count} of {n} is no share; pass 0 <= count <= n, n at least 1"
        )
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (count + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * (count * (n - count) / n + z * z / 4) ** 0.5
    return (middle - half if count else 0.0), (middle + half if count < n else 1.0)


def roc(clean, adversarial):
    """Return what a detector's threshold trades: (false positive rates [T], true positive rates [T]).

    clean [N], adversarial [M]: scores, higher is more suspicious. The threshold falls through all
    scores, from above the highest (0, 0) to below the lowest (1, 1); equal scores are one step.
    Raises ValueError for empty scores and for NaN. Source: lecture 15.
    """
    for name, scores in (("clean", clean), ("adversarial", adversarial)):
        if scores.ndim != 1 or not len(scores) or bool(scores.isnan().any()):
            shape = tuple(scores.shape)
            raise ValueError(f"{name}: {shape}, or NaN in it; pass one number per image, (N,)")
    cuts = torch.cat([clean, adversarial]).unique().flip(0)
    rates = [  # how many scores are at least the cut
        (len(s) - torch.searchsorted(s.sort().values, cuts)) / len(s) for s in (clean, adversarial)
    ]
    false, true = (torch.cat([rate.new_zeros(1), rate]) for rate in rates)
    return false, true


def auc(clean, adversarial):
    """Return the area under `roc`: how often an attacked image scores above a clean one, in [0, 1].

    Ties count half; 0.5 is a coin. Raises ValueError for empty scores and for NaN.
    """
    false, true = roc(clean, adversarial)
    return torch.trapezoid(true.double(), false.double()).item()


@torch.no_grad()
def outcomes(system, x, y, batch_size=None):
    """Return {"right", "refused", "fooled"}: the shares of x [N, ...] with labels y [N].

    system: a model whose last class means "refused", for example `defenses.Refusing`. Right: the
    true class, accepted. Fooled: another class, accepted. Raises ValueError where x is empty.
    """
    if not len(x) or len(x) != len(y):
        raise ValueError(f"x, y: {len(x)} images and {len(y)} labels; pass as many of each, not 0")
    check_labels("y", y, x)
    with frozen(system):
        parts = x.split(batch_size or chunk_size(system, x))
        z = torch.cat([logits(system, part) for part in parts])
    answer, refusal = z.argmax(1), z.shape[1] - 1
    masks = {"right": answer == y, "refused": answer == refusal}
    shares = {name: mask.float().mean().item() for name, mask in masks.items()}
    shares["fooled"] = ((answer != y) & (answer != refusal)).float().mean().item()
    return shares


@contextmanager
def _counting(model):
    """Count the examples that pass through `model`, in a list of one number; an Oracle has its own."""
    count = [0]
    if isinstance(model, Oracle):
        before = int(model.queries.sum())
        yield count
        count[0] = int(model.queries.sum()) - before
        return
    if not isinstance(model, nn.Module):
        yield count
        return

    def add(_module, inputs, _output):
        count[0] += len(inputs[0])

    handle = model.register_forward_hook(add)
    try:
        yield count
    finally:
        handle.remove()
