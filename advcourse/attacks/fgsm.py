"""One look at the gradient: FGSM, and plain gradient ascent beside it (lecture 04)."""

from .contract import Best, attack, goal_loss, input_gradient, only_step
from .inputs import logits


@attack
def fgsm(model, x, y, *, eps, target=None, bounds=(0.0, 1.0), generator=None, on_step=None):
    """Move every pixel of x [N, ...] by `eps` along the sign of the loss gradient, and clip.

    Without `target` the loss of the true class y grows; with `target` the target's loss shrinks.
    eps: largest change of any pixel (linf), in pixel units of [0, 1].
    Raises ValueError for bad input.
    Source: Goodfellow, Shlens and Szegedy 2015, "Explaining and harnessing adversarial
    examples"; lecture 04.
    """
    gradient, _ = input_gradient(model, x, goal_loss(y, target))
    return only_step(x + eps * gradient.sign(), bounds, on_step)


@attack
def gradient_ascent(
    model,
    x,
    y,
    *,
    step_size=1.0,
    steps=10,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Repeat x <- x + step_size * gradient of the loss, clipped: FGSM's sibling without the sign.

    Nothing bounds the total change but `bounds`. Returns each example's best iterate.
    step_size: factor on the raw gradient (not a distance: a confident model's gradient is tiny).
    Raises ValueError for bad input.
    Source: lecture 04; the gradient step of many introductions to the subject.
    """
    loss, best, x_adv = goal_loss(y, target), Best(x, y, target), x
    for step in range(1, steps + 1):
        gradient, z = input_gradient(model, x_adv, loss)
        if step > 1:  # the start is no iterate
            best.offer(x_adv, z)
        x_adv = (x_adv + step_size * gradient).clamp(*bounds)
        if on_step:
            on_step(step, x_adv.clone())
    if steps > 1:
        best.offer(x_adv, logits(model, x_adv).detach())
    return best.x if steps > 1 else x_adv
