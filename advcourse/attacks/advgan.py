"""Train a network that attacks, with the victim at hand; use it without: AdvGAN's idea (lecture 09)."""

import math

import torch
from torch import nn
from tqdm.auto import tqdm

from .contract import frozen
from .inputs import check_count, check_inputs, check_model, check_size, logits
from .objectives import margin


class Generator(nn.Module):
    """Change images x [N, ...] by one pass of `network`: x + eps * network(x), clipped to `bounds`.

    network: images -> the same shape in [-1, 1], for example `models.build("perturber")`. eps: the
    largest change of a pixel, in pixel units of [0, 1]; a trained generator takes a smaller one,
    too. The victim is no part of it. Raises ValueError for an eps that is none.
    Source: Xiao et al. 2018, "Generating adversarial examples with adversarial networks";
    lecture 09.
    """

    def __init__(self, network, eps, bounds=(0.0, 1.0)):
        super().__init__()
        check_size("eps", eps)
        self.network, self.eps, self.bounds = network, eps, bounds

    def forward(self, x):
        moved = x + self.eps * self.network(x).clamp(-1, 1)
        return torch.max(torch.min(moved, x + self.eps), x - self.eps).clamp(*self.bounds)


def train_generator(
    model,
    x,
    y,
    eps,
    *,
    network=None,
    epochs=4,
    batch_size=32,
    learning_rate=3e-3,
    lead=5.0,
    bounds=(0.0, 1.0),
    seed=0,
    progress=True,
    resume=None,
):
    """Train a `Generator` on x [N, ...] with labels y [N] so that `model` reads its images wrongly.

    The gray box: the victim's gradient is needed now and never again. The loss is the margin of the
    true class (lecture 07's f6), up to a `lead` of another class: what is won by more needs no more.
    Xiao et al. add a critic and a penalty, which keep the change inconspicuous; here the ball does.
    model: images -> scores [N, classes]; untouched. eps: radius of the linf ball, in pixel units of
    [0, 1]. network: trained in place (None: a fresh `models.build("perturber", seed)`, for images
    [N, 1, 28, 28]). resume: a file that keeps the state after every epoch.
    The generator comes in eval mode; `losses` on it is the mean loss of each epoch. Same seed, same
    result; the global random state is left alone. Raises ValueError for bad input.
    Source: Xiao et al. 2018, "Generating adversarial examples with adversarial networks";
    lecture 09.
    """
    from .. import models  # here, because training imports this package
    from ..training import Resume

    check_inputs(x, y, None, bounds, None)
    check_size("eps", eps)
    check_size("lead", lead, "is no lead of scores; pass a number >= 0")
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    if not len(x):
        raise ValueError("x: 0 images; pass at least one")
    network = models.build("perturber", seed) if network is None else network
    made = Generator(network.to(x.device), eps, bounds)
    step = torch.optim.Adam(network.parameters(), lr=learning_rate)
    total = epochs * math.ceil(len(x) / batch_size)
    rate = torch.optim.lr_scheduler.OneCycleLR(step, learning_rate, total_steps=total)
    source = torch.Generator().manual_seed(seed)
    settings = [len(x), eps, epochs, batch_size, learning_rate, lead, seed]
    state = Resume(resume, settings, network, step, rate, source)
    losses = state.restore()
    with torch.inference_mode(False), torch.enable_grad(), frozen(model):
        check_model(model, x, y, None)
        bar = tqdm(range(len(losses), epochs), "the generator", unit="epoch", disable=not progress)
        for _ in bar:
            losses.append(_epoch(made, model, x, y, lead, batch_size, step, rate, source))
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
            state.keep(losses)
    state.forget()
    made.losses = losses
    return made.eval()


def _epoch(made, model, x, y, lead, batch_size, step, rate, source):
    """Let the generator learn once from the shuffled images; return its mean loss."""
    lost, weights = 0.0, list(made.network.parameters())
    made.train()
    for rows in torch.randperm(len(x), generator=source).to(x.device).split(batch_size):
        missed = margin(logits(model, made(x[rows])), y[rows].long(), None)
        loss = (missed + lead).clamp(min=0).mean()
        # Not loss.backward(): that would leave gradients at the victim's weights, too.
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.grad = gradient
        step.step()
        rate.step()
        lost += loss.item() * len(rows)
    return lost / len(x)
