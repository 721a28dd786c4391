"""The three accuracies by which every defense of the course is judged (lectures 13 to 15)."""

import torch

from ..attacks.contract import frozen
from ..attacks.inputs import check_labels, logits


@torch.no_grad()
def judge(defended, x, y, unaware, *adaptive):
    """Return the accuracy on x [N, ...], under the unaware, and under the adaptive attacker.

    defended: the defended model; y [N]: true labels; unaware [N, ...]: x after an attack on the
    bare model; adaptive: x after each attack that knows the defense. Who knows more may do what the
    unaware one did as well, so an image counts as right under the adaptive attacker only where it
    survives all of them. Raises ValueError where there are no images, or not as many of each.
    Source: Carlini et al. 2019, "On evaluating adversarial robustness"; lecture 14.
    """
    for name, rows in (("y", y), ("unaware", unaware), *(("adaptive", a) for a in adaptive)):
        if not len(x) or len(rows) != len(x):
            raise ValueError(f"{name}: {len(rows)} for {len(x)} images; pass one for each, not 0")
    check_labels("y", y, x)
    with frozen(defended):
        clean, left, *more = (
            logits(defended, batch).argmax(1) == y for batch in (x, unaware, *adaptive)
        )
    survive = torch.stack([left, *more]).all(0)
    return tuple(mask.float().mean().item() for mask in (clean, left, survive))
