"""Let a generator redraw the picture; what it cannot draw is lost: Defense-GAN (lecture 14)."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from tqdm.auto import tqdm

from ..attacks.contract import frozen
from ..attacks.inputs import check_count, check_number, check_size
from ..attacks.objectives import margin
from ..training import Resume

# The generator that is kept is a moving average of the trained one: it draws steadier pictures.
MEMORY = 0.998


def critic():
    """Build the net that tells images [N, 1, 28, 28] from drawings: [N, 1], high for images.

    Spectral normalization (Miyato et al. 2018) bounds its slope, which keeps the training stable.
    """
    return nn.Sequential(
        spectral_norm(nn.Conv2d(1, 24, 4, stride=2, padding=1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(24, 48, 4, stride=2, padding=1)),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        spectral_norm(nn.Linear(48 * 49, 1)),
    )


def fit_gan(
    model, x, *, epochs, batch_size=64, learning_rate=5e-4, seed=0, progress=True, resume=None
):
    """Train the generator `model` in place against a critic on x [N, 1, 28, 28]; no labels needed.

    model: latent [N, L] -> images, beginning with a linear layer. Returns the mean loss of the
    critic for each epoch: 2 where it cannot tell images from drawings, 0 where it always can.
    resume: a file that keeps the state after every epoch; an interrupted training goes on there.
    Stopped early, `model` keeps what it has learned. Same seed, same result; the global random
    state is left alone. Raises ValueError for no images, and a `resume` file of other settings.
    Source: Goodfellow et al. 2014, "Generative adversarial nets", with the hinge loss and the
    spectral normalization of Miyato et al. 2018; lecture 14.
    """
    if not len(x):
        raise ValueError("x: 0 images; pass at least one")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        judge, artist = critic().to(x.device), copy.deepcopy(model).train()
        # A small memory of gradients (0.5): with 0.9 the two chase each other in circles.
        steps = [
            torch.optim.Adam(net.parameters(), lr=learning_rate, betas=(0.5, 0.99))
            for net in (artist, judge)
        ]
        source = torch.Generator().manual_seed(seed)
        settings = [len(x), epochs, batch_size, learning_rate, seed]
        nets = nn.ModuleList([model, artist, judge])
        state = Resume(resume, settings, nets, *steps, source)
        losses = state.restore()
        for _ in tqdm(range(len(losses), epochs), "the GAN", unit="epoch", disable=not progress):
            losses.append(_epoch(nets, steps, x, batch_size, source, len(losses)))
            state.keep(losses)
    state.forget()
    model.eval()
    return losses


def _epoch(nets, steps, x, batch_size, source, epoch):
    """Let both learn once from the shuffled images; return the critic's mean loss."""
    (model, artist, judge), total = nets, 0.0
    batches = torch.randperm(len(x), generator=source).to(x.device).split(batch_size)
    for count, rows in enumerate(batches, epoch * len(batches)):
        drawn = artist(_latent(artist, len(rows), source))
        loss = F.relu(1 - judge(x[rows])).mean() + F.relu(1 + judge(drawn.detach())).mean()
        _learn(steps[1], loss)
        _learn(steps[0], -judge(drawn).mean())
        total += loss.item() * len(rows)
        memory = min(MEMORY, (1 + count) / (10 + count))  # short at first: soon forget the start
        with torch.no_grad():
            for kept, new in zip(model.parameters(), artist.parameters(), strict=True):
                kept.lerp_(new, 1 - memory)
    return total / len(x)


def _learn(step, loss):
    step.zero_grad(set_to_none=True)
    loss.backward()
    step.step()


def _latent(generator, count, source):
    """Draw latent vectors [count, L] for the generator, normally distributed."""
    first = next(m for m in generator.modules() if isinstance(m, nn.Linear))
    return torch.randn(count, first.in_features, generator=source).to(first.weight)


class DefenseGAN(nn.Module):
    """Replace each image of x [N, 1, H, W] by the nearest that `generator` draws.

    It searches the latent space by Adam for `steps` steps, from those `restarts` of 500 random
    starts whose drawings are nearest, and keeps the best drawing (in l2). The starts follow from
    `seed`, so the same image always becomes the same drawing. No gradient passes: see attacks.BPDA.
    Raises ValueError for counts and rates that are none.
    Source: Samangouei, Kabkab and Chellappa 2018, "Defense-GAN: protecting classifiers against
    adversarial attacks using generative models"; lecture 14.
    """

    candidates = 500

    def __init__(self, generator, steps=50, restarts=4, learning_rate=0.1, seed=0):
        super().__init__()
        check_count("steps", steps)
        check_count("restarts", restarts)
        rate = "is no rate; pass a number > 0"
        check_number("learning_rate", learning_rate, lambda v: v > 0, rate)
        self.generator, self.steps, self.restarts = generator, steps, restarts
        self.learning_rate, self.seed = learning_rate, seed

    def forward(self, x):
        z = self.search(x)
        with torch.no_grad(), frozen(self.generator):
            return self.generator(z)

    def search(self, x):
        """Return the latent vectors [N, L] of the nearest drawings."""
        with torch.inference_mode(False), torch.enable_grad(), frozen(self.generator):
            x = x.detach().clone()
            z = self._starts(x)
            goal = x.repeat_interleave(len(z) // len(x), 0)
            z, error = descend(z, lambda z: self._error(z, goal), self.steps, self.learning_rate)
        best = error.view(len(x), -1).argmin(1)
        return z.view(len(x), -1, z.shape[1])[torch.arange(len(x)), best]

    def _error(self, z, goal):
        return (self.generator(z) - goal).flatten(1).square().sum(1)

    @torch.no_grad()
    def _starts(self, x):
        """Return `restarts` latent vectors for each image, those of each in a row."""
        source = torch.Generator().manual_seed(self.seed)
        z = _latent(self.generator, max(self.candidates, self.restarts), source)
        drawn = self.generator(z).flatten(1)
        # One row at a time: a product of matrices would round differently in another batch.
        near = [(drawn - image).square().sum(1) for image in x.flatten(1)]
        return z[torch.stack(near).topk(self.restarts, largest=False).indices.flatten()]


def latent_attack(
    generator, model, x, y, *, eps, steps=200, learning_rate=0.05, restarts=4, seed=0
):
    """Look for drawings near x [N, 1, H, W] that `model` misreads: what Defense-GAN lets pass.

    It begins at the nearest drawings, and descends on the margin of the true class y [N] plus what
    sticks out of the linf ball of radius eps (in pixel units of [0, 1]). Returns the drawings,
    clipped into the ball and to [0, 1]. Raises ValueError where eps is negative.
    Source: the attack within the generator's range of Athalye, Carlini and Wagner 2018; lecture 14.
    """
    check_size("eps", eps)
    start = DefenseGAN(generator, restarts=restarts, seed=seed).search(x)
    low, high = (x - eps).clamp(0, 1), (x + eps).clamp(0, 1)

    def cost(z):
        drawn = generator(z)
        outside = (drawn - drawn.detach().clamp(low, high)).flatten(1).square().sum(1)
        return margin(model(drawn), y, None).clamp(min=-1) + outside

    with torch.inference_mode(False), torch.enable_grad(), frozen(generator), frozen(model):
        z = descend(start, cost, steps, learning_rate)[0]
        return generator(z).detach().clamp(low, high)


def descend(z, cost, steps, learning_rate):
    """Minimize cost(z) [N] by Adam, each row by itself; return the best z [N, L] and its cost.

    The learning rate falls to 0 along a half cosine.
    """
    z = z.clone().requires_grad_()
    best, least = z.detach().clone(), torch.full_like(z.detach()[:, 0], torch.inf)
    adam = torch.optim.Adam([z], lr=learning_rate)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for step in range(steps + 1):
        now = cost(z)
        better = now.detach() < least
        best[better], least[better] = z.detach()[better], now.detach()[better]
        if step < steps:
            (z.grad,) = torch.autograd.grad(now.sum(), z)
            adam.step()
            fall.step()
    return best, least
