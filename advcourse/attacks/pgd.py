"""Many small steps that never leave the ball: BIM and PGD (lecture 05)."""

import torch

from .contract import SUCCESS, Best, attack, goal_loss, hook_for, input_gradient
from .inputs import logits, one_of
from .projection import along, length, project, unit

# How far the steps of a run reach together, in radii of the ball, where nobody says otherwise. In l2
# and l1 the gradient spreads over all pixels and projecting takes most of it back: steps are longer.
REACH = {"linf": 2.5, "l2": 10.0, "l1": 80.0}


@attack
def bim(
    model,
    x,
    y,
    *,
    eps,
    step_size=None,
    steps=10,
    early_stop=False,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Repeat FGSM's step on x [N, ...] with a smaller one, and clip to the linf ball each time.

    eps: radius of the ball; step_size: change per step (None: 2.5 * eps / steps); both in pixel
    units of [0, 1]. early_stop: an image leaves as soon as it succeeds.
    Returns each example's best iterate. Raises ValueError for bad input.
    Source: Kurakin, Goodfellow and Bengio 2017, "Adversarial examples in the physical world";
    lecture 05.
    """
    size = size_of_step(step_size, eps, steps, "linf")
    ball = Ball(x, eps, "linf", bounds)
    return climb(model, x, ball, y, target, size, steps, early_stop, on_step)[0]


@attack
def pgd(
    model,
    x,
    y,
    *,
    eps,
    step_size=None,
    steps=40,
    norm="linf",
    random_start=True,
    restarts=1,
    early_stop=False,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Climb the loss from a random point of the ball around x [N, ...], projecting after each step.

    eps: radius of the ball in `norm` ("linf", "l2" or "l1"); step_size: length of a step in that
    norm (None: REACH * eps / steps); both in pixel units of [0, 1]. restarts: how many random
    starts; who succeeded sits the others out. early_stop: an image leaves as soon as it succeeds.
    Returns each example's best iterate (with early_stop its first success).
    Raises ValueError for bad input.
    Source: Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks";
    lecture 05.
    """
    one_of("norm", norm, list(REACH))
    size = size_of_step(step_size, eps, steps, norm)

    def run(rows, hook):
        ball, goal = Ball(x[rows], eps, norm, bounds), None if target is None else target[rows]
        start = ball.random_point(generator) if random_start else ball.x
        return climb(model, start, ball, y[rows], goal, size, steps, early_stop, hook)

    found, height = run(slice(None), on_step)
    for _ in range(restarts - 1):
        left = (height < SUCCESS / 2).nonzero()[:, 0]  # who has not been fooled yet
        if not len(left):
            break
        x_adv, rank = run(left, hook_for(on_step, found, left))
        better = rank > height[left]
        found[left[better]], height[left[better]] = x_adv[better], rank[better]
    return found


def size_of_step(step_size, eps, steps, norm):
    """Return `step_size`, or the usual choice."""
    return REACH[norm] * eps / steps if step_size is None else step_size


def climb(model, start, ball, y, target, step_size, steps, early_stop, on_step):
    """Take `steps` steps of projected gradient ascent from `start` [N, ...].

    Return each example's best iterate and its rank (contract.Best).
    """
    best, x_adv = Best(start, y, target), start
    found, rank = torch.empty_like(start), torch.empty_like(best.rank)
    rows = torch.arange(len(start), device=start.device)  # who is still climbing
    for step in range(1, steps + 1):
        gradient, z = input_gradient(model, x_adv, goal_loss(best.y, best.target))
        if step > 1:  # the start is no iterate
            best.offer(x_adv, z)
        if early_stop and bool(best.won.any()):
            stay = ~best.won
            found[rows], rank[rows] = best.x, best.rank
            rows, x_adv, gradient = rows[stay], x_adv[stay], gradient[stay]
            best.keep(stay)
            ball.keep(stay)
        if not len(rows):
            return found, rank
        x_adv = ball.step(x_adv, gradient, step_size)
        if on_step:
            on_step(step, found.index_copy(0, rows, x_adv))
    with torch.no_grad():
        best.offer(x_adv, logits(model, x_adv))
    if len(rows) == len(found):  # nobody left: spare the copy
        return best.x, best.rank
    found[rows], rank[rows] = best.x, best.rank
    return found, rank


class Ball:
    """The allowed images around x [N, ...]: within eps in the norm, and inside the bounds."""

    def __init__(self, x, eps, norm, bounds):
        self.x, self.eps, self.norm = x, eps, norm
        radius = eps if norm == "linf" else torch.inf
        self.low, self.high = (x - radius).clamp(*bounds), (x + radius).clamp(*bounds)

    def keep(self, stay):
        """Forget every example but those in the mask `stay` [N]."""
        self.x, self.low, self.high = self.x[stay], self.low[stay], self.high[stay]

    def step(self, x_adv, gradient, size):
        """Return x_adv, one step of that size uphill, projected onto the ball; uses up gradient."""
        if self.norm == "linf":  # in the gradient's own memory: nothing is allocated
            moved = torch.add(x_adv, gradient.sign_(), alpha=size, out=gradient)
            return moved.clamp_(self.low, self.high)
        return self.inside(x_adv + size * unit(gradient, int(self.norm[1])))

    def inside(self, points):
        """Return the nearest allowed images to points [N, ...]."""
        if self.norm == "linf":
            return torch.clamp(points, self.low, self.high)
        delta, room = points - self.x, (self.low - self.x, self.high - self.x)
        return torch.clamp(self.x + project(delta, self.eps, self.norm, *room), self.low, self.high)

    def random_point(self, generator):
        """Return a uniformly random point of the ball, clipped to the bounds."""
        draw = torch.empty(self.x.shape, dtype=self.x.dtype, device=generator.device)
        if self.norm == "linf":
            delta = draw.uniform_(-self.eps, self.eps, generator=generator)
        elif self.norm == "l2":  # a random direction; a radius that fills the ball evenly
            radius = torch.empty_like(draw.flatten(1)[:, 0]).uniform_(generator=generator)
            radius = self.eps * radius ** (1 / draw[0].numel())
            draw.normal_(generator=generator)
            delta = along(radius / length(draw), draw)
        else:  # the gaps between random cuts of eps are the sizes; the last gap stays unused
            cut = draw.exponential_(generator=generator).flatten(1)
            spare = torch.empty_like(cut[:, :1]).exponential_(generator=generator)
            sign = torch.empty_like(cut).uniform_(-1, 1, generator=generator).sign()
            delta = (self.eps * sign * cut / (cut.sum(1, keepdim=True) + spare)).view_as(draw)
        return torch.clamp(self.x + delta.to(self.x.device), self.low, self.high)
