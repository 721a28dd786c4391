"""What every function of this folder returns, and the checks and draws that they share."""

import torch

from ..attacks.contract import chunk_size, frozen, logits
from ..attacks.inputs import check_labels, check_share
from ..attacks.objectives import margin


class Poisoned(tuple):
    """A training set (x [N, ...], y [N]) with a `mask` [N] that is True where a row is poison.

    It unpacks into two, `x, y = insert(...)`, so that it goes into any training as it is;
    `.x`, `.y` and `.mask` name its parts.
    """

    def __new__(cls, x, y, mask):
        made = super().__new__(cls, (x, y))
        made.mask = mask
        return made

    @property
    def x(self):
        return self[0]

    @property
    def y(self):
        return self[1]


def check_training_set(x, y, share, generator=None):
    """Raise a ValueError unless x [N, ...] and y [N] are a training set and `share` is a share."""
    if not isinstance(x, torch.Tensor) or not x.is_floating_point() or x.ndim < 2 or not len(x):
        got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__
        raise ValueError(f"x: got {got}; pass a float tensor of shape (N, ...), N at least 1")
    check_labels("y", y, x)
    if int(y.min()) < 0:
        raise ValueError(f"y: a label {int(y.min())}; classes are numbered from 0")
    check_share("share", share)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ValueError(
            f"generator: got {generator!r}; pass torch.Generator().manual_seed(a number)"
        )


def draw_rows(n, count, generator, device):
    """Return `count` different row numbers below n, at random."""
    return torch.randperm(n, generator=generator, device=generator.device)[:count].to(device)


def other_class(y, classes, generator):
    """Return for each label of y [M] one of the other classes, each as likely."""
    step = torch.randint(1, classes, y.shape, generator=generator, device=generator.device)
    return (y + step.to(y.device)) % classes


def how_many_classes(y, classes):
    """Return the number of classes, at least 2: `classes`, or one more than the largest label."""
    found = int(y.max()) + 1
    count = max(found, 2) if classes is None else classes
    if count < max(found, 2):
        raise ValueError(f"classes: {classes!r}, but y has labels up to {found - 1}; pass {found}")
    return count


@torch.no_grad()
def scores(model, x):
    """Return the model's logits for x [N, ...], in chunks, with the model as it was afterwards."""
    if model is None:
        raise ValueError("model: None; pass the model whose boundary or loss chooses the points")
    with frozen(model):
        return torch.cat([logits(model, part) for part in x.split(chunk_size(model, x))])


def beside_boundary(model, x, y):
    """Return how far each x [N, ...] is from leaving class y, [N], and the class beyond, [N].

    The distance is the margin, true logit minus best other: below 0 where the model errs.
    """
    z = scores(model, x)
    others = z.scatter(1, y[:, None].to(z.device), -torch.inf)
    return margin(z, y, None), others.argmax(1)
