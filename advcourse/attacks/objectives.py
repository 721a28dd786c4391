"""The seven objectives of Carlini and Wagner: small where the attack has succeeded (lecture 07).

Two of them cannot be taken as they are printed. f1 = -loss + 1 falls while the target becomes less
likely, so the loss enters with the other sign. f5 = -log(2F - 2) has a logarithm whose argument is
never positive, because a probability F is at most 1; without the "- 2" it is 0 where F is one half,
as f4 is, and everywhere defined. Then f1 and f5 differ by a constant: they are one objective.
"""

import math

import torch
import torch.nn.functional as F


def margin(scores, y, target):
    """Return [N] by how much the goal is missed in scores [N, classes]; negative once it is reached."""
    label = y if target is None else target
    own = scores.gather(1, label[:, None])[:, 0]
    other = scores.scatter(1, label[:, None], -torch.inf).amax(1)
    return own - other if target is None else other - own


def log_share(z, y, target):
    """Return [N] the log of the goal's probability: that of the target, or of all classes but y."""
    log_p = z.log_softmax(1)
    if target is not None:
        return log_p.gather(1, target[:, None])[:, 0]
    return log_p.scatter(1, y[:, None], -torch.inf).logsumexp(1)


OBJECTIVES = {
    "f1": lambda z, y, t, k: -log_share(z, y, t) - 1,
    "f2": lambda z, y, t, k: margin(z.softmax(1), y, t).clamp(min=0),
    "f3": lambda z, y, t, k: F.softplus(margin(z.softmax(1), y, t)) - math.log(2),
    "f4": lambda z, y, t, k: (0.5 - log_share(z, y, t).exp()).clamp(min=0),
    "f5": lambda z, y, t, k: -log_share(z, y, t) - math.log(2),
    "f6": lambda z, y, t, k: (margin(z, y, t) + k).clamp(min=0),
    "f7": lambda z, y, t, k: F.softplus(margin(z, y, t) + k) - math.log(2),
}
