"""The nearest decision boundary, one hyperplane after another: DeepFool (lecture 06)."""

import torch

from .contract import attack, derivative, succeeded
from .inputs import check_count, logits, no_target
from .nearer import nearer
from .projection import along, length


@attack
def deepfool(
    model,
    x,
    y,
    *,
    steps=50,
    overshoot=0.02,
    candidates=10,
    halvings=0,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Push x [N, ...] just over the nearest decision boundary, in l2.

    Each step takes the model for linear, finds the nearest of the hyperplanes between y and the
    `candidates` - 1 likeliest other classes, and goes to its foot, clipped to `bounds`.
    overshoot: the share by which the whole change is lengthened, so that it ends beyond the
    boundary and not on it. halvings: how often the last tenth of the way is halved in search of a
    nearer success, one forward pass each; with some the result lies on the boundary, and the
    overshoot is gone. Returns x itself where it was misclassified already, and where `steps` steps
    did not suffice. Raises ValueError for bad input, and for a target.
    Source: Moosavi-Dezfooli, Fawzi and Frossard 2016, "DeepFool: a simple and accurate method to
    fool deep neural networks"; lecture 06.
    """
    no_target("deepfool", target)
    if candidates < 2:
        raise ValueError(f"candidates: {candidates} leaves no boundary; pass 2 classes or more")
    check_count("halvings", halvings, least=0)
    found, foot, x_adv = x.clone(), x.clone(), x.clone()
    rows = torch.arange(len(x), device=x.device)  # who has not crossed yet
    for step in range(steps + 1):
        with torch.no_grad():
            crossed = succeeded(logits(model, x_adv[rows]), y[rows])
        found[rows[crossed]] = x_adv[rows[crossed]]
        rows = rows[~crossed]
        if step == steps or not len(rows):
            break
        # The lines are drawn where the change ends without its overshoot. Drawn beyond it, the last
        # correction, and with it the overshoot, would shrink to nothing on the boundary.
        lead, slope = nearest_hyperplane(model, foot[rows], y[rows], candidates)
        foot[rows] = (foot[rows] - along(lead / length(slope) ** 2, slope)).clamp(*bounds)
        x_adv[rows] = (x[rows] + (1 + overshoot) * (foot - x)[rows]).clamp(*bounds)
        if on_step:
            on_step(step + 1, x_adv.clone())
    return nearer(model, x, found, y, halvings)


def nearest_hyperplane(model, x, y, candidates=10):
    """Return the lead [N] of class y over the class behind the nearest hyperplane, and its slope.

    The model is taken for linear at x [N, ...]; the slope [N, ...] is the gradient of the lead.
    """
    x = x.detach().requires_grad_()
    z = logits(model, x)
    own = z.gather(1, y[:, None])
    others = z.detach().scatter(1, y[:, None], -torch.inf)
    classes = others.topk(min(candidates, z.shape[1]) - 1, dim=1).indices
    leads = (own - z.gather(1, classes)).T
    slopes = [derivative(lead.sum(), x, again=True) for lead in leads]
    distances = torch.stack([f.detach() / length(w) for f, w in zip(leads, slopes, strict=True)])
    first, some = distances.argmin(0), torch.arange(len(x), device=x.device)
    return leads.detach()[first, some], torch.stack(slopes)[first, some]
