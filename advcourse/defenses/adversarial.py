"""Pretend to be the attacker, and train on what you find: adversarial training (lecture 13)."""

import torch.nn.functional as F

from .. import attacks
from ..attacks.contract import frozen, input_gradient
from ..attacks.inputs import check_pixels
from ..attacks.pgd import Ball

# Against a ball of this size a network trained from scratch stays at chance for epochs: its first
# gradients say nothing. So the ball grows to its full size over the first part of the training.
WARM_UP = 0.3


def adversarial_training(attack=attacks.pgd, *, eps, share=1.0, step=None, warm_up=WARM_UP, **more):
    """Return an `objective` of `training.fit`: the cross-entropy under `attack`.

    attack: an attack with a budget `eps`, in pixel units of [0, 1]; more: its other options.
    share: weight of the adversarial loss; the rest is that of the clean images (1/2 in Goodfellow
    2015, 1 in Madry 2018). step: length of the attack's steps, in units of eps. warm_up: the part
    of the training in which eps grows from 0; 0 for fine-tuning.
    Source: Goodfellow, Shlens and Szegedy 2015; Madry et al. 2018; lecture 13.
    """

    def objective(model, x, y, generator, done):
        radius = eps * grown(done, warm_up)
        options = more if step is None else {"step_size": step * radius, **more}
        x_adv = attack(model, x, y, eps=radius, generator=generator, **options)
        loss = F.cross_entropy(model(x_adv), y)
        return loss if share == 1 else share * loss + (1 - share) * F.cross_entropy(model(x), y)

    return objective


def trades(*, eps, beta=6.0, step=0.25, steps=7, warm_up=WARM_UP):
    """Return an `objective` of `training.fit`: be right on x, and say the same all around it.

    The cross-entropy on x, and beta times the Kullback-Leibler divergence between the answers at x
    and at the point of the linf ball where they differ most (found by PGD in `steps` steps of `step`
    radii). eps: in pixel units of [0, 1]. Source: Zhang et al. 2019, "Theoretically principled
    trade-off between robustness and accuracy"; lecture 13.
    """

    def objective(model, x, y, generator, done):
        check_pixels(x)
        radius = eps * grown(done, warm_up)
        x_adv = farthest_answer(model, x, radius, step * radius, steps, generator)
        z = model(x)
        return F.cross_entropy(z, y) + beta * divergence(z, model(x_adv)).mean()

    return objective


def farthest_answer(model, x, eps, step_size, steps, generator):
    """Return the point of the linf ball around x [N, ...] whose answer differs most from x's."""
    ball = Ball(x, eps, "linf", (0.0, 1.0))
    with frozen(model):
        z = model(x).detach()
        x_adv = ball.random_point(generator)
        for _ in range(steps):
            gradient, _ = input_gradient(model, x_adv, lambda z_adv: divergence(z, z_adv))
            x_adv = ball.step(x_adv, gradient, step_size)
    return x_adv


def grown(done, warm_up):
    """Return how much of the full radius is used once the part `done` of the training is over."""
    return min(1.0, done / warm_up) if warm_up else 1.0


def divergence(z, z_adv):
    """Return KL(softmax(z) || softmax(z_adv)) [N] of logits [N, K]."""
    log_p, log_q = z.log_softmax(1), z_adv.log_softmax(1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)
