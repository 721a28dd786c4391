"""Every defense of the course as a victim, with what its attackers know (lectures 13 to 17).

`CATALOG` is the table of them all, behind the undefended models that they are to be compared with:
the benchmark, lecture 16's explorer and lecture 17 read it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from . import attacks, defenses, models
from .attacks.contract import frozen
from .defenses.detection import Refusing


@dataclass(frozen=True)
class Defended:
    """One defended model and three attackers' views of it.

    victim: what is attacked, images -> logits (one more class where it can refuse). bare: the
    undefended model, all that the unaware attacker knows. views: the stand-ins of the victim that
    the adaptive attacker attacks, one after the other, with PGD. how: them in words.
    detector: whose joint attack is tried as well. certificate: (x, y, eps) -> proven mask [N].
    few: how many images a table should take, where the adaptive attack is slow.
    """

    name: str
    lecture: str
    victim: nn.Module
    bare: nn.Module
    views: tuple = ()
    how: str = "PGD on it, and on its rescaled logits"
    detector: nn.Module | None = None
    certificate: Callable | None = None
    few: int | None = None

    def unaware(self, x, y, eps, steps=40, seed=0):
        """Return the images [N, ...] of an attacker who only knows the bare model."""
        source = torch.Generator(x.device).manual_seed(seed)
        return attacks.pgd(self.bare, x, y, eps=eps, steps=steps, generator=source)

    def adaptive(self, x, y, eps, steps=40, seed=0):
        """Return, for each image, the first of several attempts that fools the victim.

        They are the unaware attacker's, PGD on every view, and the joint attack on a detector.
        """
        source = torch.Generator(x.device).manual_seed(seed)
        found = self.unaware(x, y, eps, steps, seed)
        attempts = [
            lambda x, y, view=view: attacks.pgd(view, x, y, eps=eps, steps=steps, generator=source)
            for view in self.views
        ]
        if self.detector is not None:
            watch = {"score": self.detector.score, "threshold": self.detector.threshold}
            attempts.append(
                lambda x, y: attacks.joint(
                    self.bare, x, y, eps=eps, restarts=3, generator=source, **watch
                )
            )
        for attempt in attempts:
            left = self.holds(found, y).nonzero()[:, 0]
            if len(left):
                found[left] = attempt(x[left], y[left])
        return found

    def over(self, epsilons, x, y, steps=40, seed=0):
        """Return {"unaware", "adaptive", "certified"}: the shares of x that hold, per epsilon.

        Without a certificate the last is missing. The first epsilon should be 0: nobody attacks.
        """
        found = {"unaware": [], "adaptive": []}
        for eps in epsilons:
            for kind, shares in found.items():
                x_adv = getattr(self, kind)(x, y, eps, steps, seed)
                shares.append(self.holds(x_adv, y).float().mean().item())
        if self.certificate:
            proven = [self.certificate(x, y, eps).float().mean().item() for eps in epsilons]
            found["certified"] = proven
        return found

    @torch.no_grad()
    def answers(self, x):
        """Return what the victim says to x [N, ...]: classes [N], a refusal being one of them."""
        with frozen(self.victim):
            return torch.cat([self.victim(part).argmax(1) for part in x.split(250)])

    def holds(self, x, y):
        """Return a mask [N]: the victim is right about x [N, ...], or refuses to answer."""
        answers = self.answers(x)
        return (answers == y) | (answers == self.classes(x))

    @torch.no_grad()
    def classes(self, x):
        """Return the number of classes: an answer of that number is a refusal."""
        with frozen(self.bare):
            return self.bare(x[:1]).shape[1]

    def clean(self, x, y):
        """Return the share of x [N, ...] that is answered, and rightly."""
        return (self.answers(x) == y).float().mean().item()


def direct(model):
    """Return the views of a model that has a gradient of its own."""
    return model, attacks.Rescaled(model)


def trained(lecture, architecture, variant, certificate=None):
    """Return the maker of a model whose weights are the defense."""

    def make(images, device):
        victim = models.load(architecture, images, variant).to(device)
        bare = models.load(architecture, images).to(device)
        proof = certificate and (lambda x, y, eps: certificate(victim, x, y, eps))
        return Defended("", lecture, victim, bare, direct(victim), certificate=proof)

    return make


def transformed(transform, view=None, how=None, few=None):
    """Return the maker of LeNet-5 behind a transform; view: (transform, model) -> a stand-in."""

    def make(images, device):
        bare = models.load("lenet5", images).to(device)
        front = transform(images, device)
        victim = nn.Sequential(front, bare)
        known = direct(view(front, bare) if view else victim)
        words = {"how": how} if how else {}
        return Defended("", "14", victim, bare, known, few=few, **words)

    return make


def thermometer(images, device):
    """Return LeNet-5 that reads thermometer codes."""
    code = defenses.Thermometer(16)
    model = models.load("lenet5x16", images, "thermometer").to(device)
    marks = torch.arange(16, device=device)[:, None, None]
    gentle = lambda x: torch.sigmoid(16 * x - marks)  # noqa: E731
    ramp, soft = (
        nn.Sequential(attacks.BPDA(code, smooth), model) for smooth in (code.backward, gentle)
    )
    how = "PGD through ramps, and through sigmoids, in place of the steps (BPDA)"
    bare = models.load("lenet5", images).to(device)
    return Defended("", "14", nn.Sequential(code, model), bare, (*direct(ramp), soft), how)


def watched(make_detector):
    """Return the maker of LeNet-5 with a detector, whose threshold refuses 5 % of clean images."""

    def make(images, device):
        bare = models.load("lenet5", images).to(device)
        x, y = images.x_train.to(device), images.y_train.to(device)
        source = torch.Generator(device).manual_seed(0)
        seen = {"eps": 0.3, "generator": source}
        x_adv = attacks.pgd(bare, x[:500], y[:500], steps=20, **seen)
        noise = attacks.uniform_noise(bare, x[:500], y[:500], **seen)
        detector = make_detector(bare, x[500:1000]).fit(x[:500], x_adv, noise)
        detector.set_threshold(images.x_test[-200:].to(device), rate=0.05)
        how = "the joint loss of classifier and detector"
        return Defended("", "15", Refusing(bare, detector), bare, (), how, detector=detector)

    return make


def smoothed(images, device):
    """Return the vote of 100 noisy copies, by LeNet-5 that was trained with noise."""
    model = models.load("lenet5", images, "noise").to(device)
    vote = Vote(defenses.RandomizedSmoothing(model, SIGMA))
    views = direct(attacks.EOT(nn.Sequential(Noise(SIGMA), model), 10))
    bare = models.load("lenet5", images).to(device)
    how = "PGD on the mean of 10 noisy copies (EOT)"
    return Defended("", "16", vote, bare, views, how)


class Vote(nn.Module):
    """The votes of a `RandomizedSmoothing` as logits: x [N, ...] -> [N, classes]."""

    def __init__(self, smoothing, n=100):
        super().__init__()
        self.smoothing, self.n = smoothing, n

    def forward(self, x):
        return self.smoothing.votes(x, self.n).float()


class Noise(nn.Module):
    """Add Gaussian noise of width `sigma` to x [N, ...], anew at every pass, from `seed` on."""

    def __init__(self, sigma, seed=0):
        super().__init__()
        self.sigma, self.generator = sigma, torch.Generator().manual_seed(seed)

    def forward(self, x):
        return x + self.sigma * torch.randn(x.shape, generator=self.generator).to(x)


def _eot(transform, model):
    return attacks.EOT(nn.Sequential(transform, model), 10)


def _bpda(transform, model):
    return nn.Sequential(attacks.BPDA(transform), model)


def _gan(images, device):
    return defenses.DefenseGAN(models.load("generator", images).to(device), steps=30, restarts=2)


SIGMA = 0.5
BPDA = "PGD, the identity in place of its gradient (BPDA)"
CATALOG = {
    "no defense, LeNet-5": trained("04", "lenet5", "standard"),
    "no defense, cnn": trained("04", "cnn", "standard"),
    "no defense, MLP": trained("04", "mlp", "standard"),
    "no defense, two layers": trained("04", "tiny", "standard"),
    "FGSM-trained": trained("13", "cnn", "fgsm"),
    "PGD-trained": trained("13", "cnn", "pgd"),
    "TRADES": trained("13", "cnn", "trades"),
    "PGD-trained, LeNet-5, eps .2": trained("13", "lenet5", "pgd"),
    "noise-trained": trained("13", "lenet5", "noise"),
    "negatives": trained("13", "lenet5", "negatives"),
    "l1 + l2 penalty": trained("13", "mlp", "l1l2"),
    "Gaussian smoothing, sigma 1": transformed(lambda *_: defenses.GaussianSmoothing(1.0)),
    "binary threshold .5": transformed(lambda *_: defenses.BinaryThreshold(0.5), _bpda, BPDA),
    "random resizing and padding": transformed(
        lambda *_: defenses.RandomResizePad(24), _eot, "PGD on the mean of 10 draws (EOT)"
    ),
    "thermometer, 16 levels": thermometer,
    "distillation": trained("14", "lenet5", "distilled"),
    "Defense-GAN": transformed(_gan, _bpda, BPDA, few=40),
    "kernel density and doubt": watched(defenses.KernelDensityDetector),
    "local intrinsic dimension": watched(defenses.LIDDetector),
    "detector network": watched(lambda model, _: defenses.DetectorNetwork(model)),
    "Parseval": trained("16", "lenet5", "parseval"),
    "input-gradient penalty": trained("16", "lenet5", "gradient_penalty"),
    "interval training": trained("16", "cnn", "ibp", defenses.certified_ibp),
    "two layers, SDP": trained("16", "tiny", "l1l2", defenses.certified_sdp),
    "randomized smoothing, sigma .5": smoothed,
}


def load(name, images, device="cpu"):
    """Return the `Defended` of that name, trained on `images`. Raises ValueError for another name."""
    if name not in CATALOG:
        raise ValueError(f"no defense {name!r}; there are {', '.join(CATALOG)}")
    return replace(CATALOG[name](images, torch.device(device)), name=name)
