"""Two pixels at a time, chosen by a map: the Jacobian-based saliency map attack (lecture 08)."""

import torch

from .contract import attack, derivative, succeeded
from .inputs import check_number, check_share, logits, one_of

# How many pixels the search for the best pair begins with. It proves that they suffice.
FEW = 24


@attack
def jsma(
    model,
    x,
    y,
    *,
    theta=1.0,
    gamma=0.1,
    scores="probabilities",
    steps=None,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Change the pair of pixels of x [N, ...] that the saliency map favors, until target is reached.

    theta: what each chosen pixel moves by, up (> 0) or down (< 0), in pixel units of [0, 1].
    gamma: the largest share of all pixels that may be changed. scores: what the map is made of,
    "probabilities" or "logits". steps: at most so many pairs (None: as gamma allows). Without
    `target` it aims at the likeliest other class. A pixel that has reached its bound is not chosen
    again. Returns x itself where the target is not reached, and where it was predicted already.
    Raises ValueError for bad input.
    Source: Papernot et al. 2016, "The limitations of deep learning in adversarial settings";
    lecture 08.
    """
    one_of("scores", scores, ("probabilities", "logits"))
    change = "is no change; pass one per pixel, above or below 0"
    check_number("theta", theta, lambda v: v != 0, change)
    check_share("gamma", gamma, "is no share of the pixels; pass a number from 0 to 1")
    found, x_adv, most = x.clone(), x.clone(), int(gamma * x[:1].numel()) // 2
    with torch.no_grad():
        z = logits(model, x)
    rows = (~succeeded(z, y, target)).nonzero()[:, 0]  # who is still on the way
    aim = target if target is not None else z.scatter(1, y[:, None], -torch.inf).argmax(1)
    for step in range(1, (most if steps is None else min(most, steps)) + 1):
        if not len(rows):
            break
        rise, fall = saliency(model, x_adv[rows], aim[rows], scores)
        movable = x_adv[rows] < bounds[1] if theta > 0 else x_adv[rows] > bounds[0]
        sign = 1 if theta > 0 else -1  # darkening gains what brightening loses
        pair, value = best_pair(sign * rise, sign * fall, movable.flatten(1))
        rows, pair = rows[value > 0], pair[value > 0]
        flat = x_adv.flatten(1)
        moved = flat[rows[:, None], pair] + theta
        x_adv = flat.index_put((rows[:, None], pair), moved.clamp(*bounds)).view_as(x)
        if on_step:
            on_step(step, x_adv.clone())
        with torch.no_grad():
            won = logits(model, x_adv[rows]).argmax(1) == aim[rows]
        found[rows[won]] = x_adv[rows[won]]
        rows = rows[~won]
    return found


def saliency(model, x, target, scores="probabilities"):
    """Return how the target's score rises, and the others' together fall, with each pixel [N, D].

    Probabilities sum to 1, so the others fall by what the target gains: one gradient is enough.
    It is divided by the target's probability, which changes no comparison and never vanishes.
    """
    x = x.detach().requires_grad_()
    z = logits(model, x)
    values = z.log_softmax(1) if scores == "probabilities" else z
    own = values.gather(1, target[:, None]).sum()
    rise = derivative(own, x, again=scores == "logits")
    if scores == "probabilities":
        return rise.flatten(1), rise.flatten(1)
    all_of_them = derivative(z.sum(), x)
    return rise.flatten(1), (rise - all_of_them).flatten(1)


def best_pair(rise, fall, movable):
    """Return each row's pair of movable pixels with the largest product of sums, and the product.

    For pixels p and q that is (rise_p + rise_q) * (fall_p + fall_q), both sums positive; where no
    pair is, the value is 0. rise, fall, movable: [N, D].

    There are 307,000 pairs of 784 pixels, and few need a look. A product of sums A * C is at most
    ((t A + C / t) / 2)^2 for every t > 0, and equal for t = sqrt(C / A). So with the t of a good
    pair, a pixel whose t * rise + fall / t is too small is in no better one.
    """
    rise, fall = rise.masked_fill(~movable, -1e18), fall.masked_fill(~movable, -1e18)
    few, rows = min(FEW, rise.shape[1]), torch.arange(len(rise), device=rise.device)
    pair, value = torch.zeros_like(rise[:, :2], dtype=torch.long), torch.zeros_like(rise[:, 0])
    t = torch.ones_like(rise[:, :1])
    for _ in range(4):
        line = t * rise[rows] + fall[rows] / t
        found, height, ratio = among(rise[rows], fall[rows], line.topk(few, 1).indices)
        better = height > value[rows]
        pair[rows[better]], value[rows[better]] = found[better], height[better]
        reach = line + line.amax(1, keepdim=True)  # of the best pair that a pixel may be in
        unsure = (reach >= 2 * value[rows, None].sqrt()).sum(1) > few
        rows, t = rows[unsure], torch.where(height[:, None] > 0, ratio.sqrt(), t)[unsure]
        if not len(rows):
            return pair, value
    every = torch.arange(rise.shape[1], device=rise.device)
    for part in rows.split(16):  # all pairs of one image take megabytes
        everywhere = every.expand(len(part), -1)
        pair[part], value[part], _ = among(rise[part], fall[part], everywhere)
    return pair, value


def among(rise, fall, pixels):
    """Return the best pair [N, 2] of these pixels [N, K], its product, and its fall over its rise."""
    a, c = rise.gather(1, pixels), fall.gather(1, pixels)
    a, c = a[:, :, None] + a[:, None], c[:, :, None] + c[:, None]
    product = torch.where((a > 0) & (c > 0), a * c, 0.0)
    product.diagonal(dim1=1, dim2=2).fill_(0)  # a pair has two pixels
    value, at = product.flatten(1).max(1)
    k, at = pixels.shape[1], at[:, None]
    pair = pixels.gather(1, torch.cat([at // k, at % k], 1))
    ratio = c.flatten(1).gather(1, at) / a.flatten(1).gather(1, at)
    return pair, value, ratio
