"""Random squares, kept where the score says that they help: Square (lecture 09)."""

import torch

from .contract import attack, succeeded
from .inputs import check_number, logits, one_of
from .objectives import margin
from .oracle import Oracle, allowed, ask
from .windows import L2, Linf

# After which shares of the budget the squares' area is halved once more.
HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


@attack
def square(
    model,
    x,
    y,
    *,
    eps,
    norm="linf",
    queries=5000,
    p=0.8,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Change one random square of x [N, ...] at a time; keep what lowers the margin: no gradient.

    Needs scores [N, classes], from an Oracle or any callable. Starts from vertical stripes (in l2
    from a grid of tiles); an image leaves, and asks no more, once it succeeds. eps: radius of the
    ball in `norm` ("linf" or "l2"), in pixel units of [0, 1]. queries: how many each image may cost
    (an Oracle's budget may allow fewer); `on_step` comes once for each. p: share of the pixels in
    the first squares; it is halved nine times, at fixed shares of `queries`.
    Returns each example's best iterate. Raises ValueError for bad input.
    Source: Andriushchenko et al. 2020, "Square attack: a query-efficient black-box adversarial
    attack via random search"; lecture 09. Here every image draws its own windows in l2, too.
    """
    one_of("norm", norm, ["linf", "l2"])
    check_number("p", p, lambda v: 0 < v <= 1, "is no share of the pixels; pass a number in (0, 1]")
    if isinstance(model, Oracle) and model.answers == "labels":
        raise ValueError(
            "model: this oracle answers with labels; square needs scores, hop_skip_jump does not"
        )
    walk = (Linf if norm == "linf" else L2)(pictures(x), eps, bounds, generator)
    best, lowest = walk.x.clone(), torch.full_like(x.flatten(1)[:, :1].sum(1), torch.inf)
    rows = torch.arange(len(x), device=x.device)  # who has not been fooled yet
    rows = rows[allowed(model, rows)]
    for step in range(queries):
        if not len(rows):
            break
        tried = (
            walk.start(rows)
            if not step
            else walk.propose(best[rows], rows, area(p, step - 1, queries))
        )
        z = logits(
            lambda some, rows=rows: ask(model, some, rows), tried.view(len(tried), *x.shape[1:])
        )
        goal = None if target is None else target[rows]
        lead, won = margin(z, y[rows], goal), succeeded(z, y[rows], goal)
        better = won | (lead < lowest[rows])
        best[rows[better]], lowest[rows[better]] = tried[better], lead[better].to(lowest)
        if on_step:
            on_step(step + 1, best.view(x.shape).clone())
        rows = rows[~won]
        rows = rows[allowed(model, rows)]
    return best.view(x.shape)


def pictures(x):
    """Return x [N, ...] as [N, C, H, W]: what has no channels, or no rows, has one."""
    if x.ndim == 4:
        return x
    return x[:, None] if x.ndim == 3 else x.flatten(1)[:, None, None]


def area(p, step, queries):
    """Return the share of the pixels that a square covers in that step: p, halved again and again."""
    return p / 2 ** sum(step > share * queries for share in HALVINGS)
