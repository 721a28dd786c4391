"""How every checkpoint of the course is made, as one table: `python -m advcourse train --list`."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from . import attacks, defenses, models

# The ball of the literature's MNIST networks, in pixel units. The digits' strokes are gray, and hardly
# a network can be right at .3.
EPS = {"mnist": 0.3, "digits": 0.2}
STEPS = {"step": 1 / 3, "steps": 7}


@dataclass(frozen=True)
class Recipe:
    """One checkpoint: its name and the arguments of `training.fit`, the defense among them.

    through: a transform before the network, which is trained behind it and stored without it.
    temperature: of a teacher, trained first with the same arguments, whom the network imitates.
    maker: (model, x, **fit) trains what is no classifier, instead of `training.fit`.
    """

    architecture: str
    dataset: str
    variant: str = "standard"
    share: float = 1.0  # of the training set
    seed: int = 0
    fit: dict = field(default_factory=dict)
    through: Callable | None = None
    temperature: float | None = None
    maker: Callable | None = None

    @property
    def key(self):
        return f"{self.architecture}-{self.dataset}-{self.variant}"

    @property
    def command(self):
        special = "" if self.variant == "standard" else f" --variant {self.variant}"
        words = f"train {self.architecture} --dataset {self.dataset}{special}"
        return f"python -m advcourse {words} --force"


# The blue team's report trains with RMSProp in batches of 128; the seminar report on 10 % of MNIST.
STANDARD = {
    "lenet5": {"mnist": {"epochs": 12}, "digits": {"epochs": 60, "batch_size": 32}},
    "mlp": {
        "mnist": {"epochs": 12, "optimizer": "rmsprop", "decay": False},
        "digits": {"epochs": 60, "optimizer": "rmsprop", "decay": False},
    },
    "shallow": {"mnist": {"epochs": 8}, "digits": {"epochs": 40}},
    "mlp20": {"mnist": {"epochs": 30}, "digits": {"epochs": 60, "batch_size": 32}},
    "cnn": {"mnist": {"epochs": 8}, "digits": {"epochs": 40, "batch_size": 32}},
    "tiny": {
        "mnist": {"epochs": 8, "learning_rate": 3e-3},
        "digits": {"epochs": 60, "batch_size": 32, "learning_rate": 3e-3},
    },
}
SHARES = {("mlp20", "mnist"): 0.1, ("generator", "mnist"): 1 / 3, ("perturber", "mnist"): 1 / 6}
# MNIST has 60,000 images an epoch, the digits 1,347: the epochs make up for it.
LONG = {"mnist": {"epochs": 15}, "digits": {"epochs": 80, "batch_size": 32}}
SHORT = {"mnist": {"epochs": 8}, "digits": {"epochs": 60, "batch_size": 32}}
PATIENT = {
    "mnist": {"epochs": 12, "learning_rate": 2e-3},
    "digits": {"epochs": 80, "batch_size": 32, "learning_rate": 2e-3},
}
MIDDLE = {
    "mnist": {"epochs": 10},
    "digits": {"epochs": 80, "batch_size": 32, "learning_rate": 2e-3},
}
DRAWING = {"mnist": {"epochs": 8}, "digits": {"epochs": 60}}
PERTURBING = {"mnist": {"epochs": 4}, "digits": {"epochs": 20}}
# The blue team's two networks, to the letter: RMSProp with .9, until the published test accuracy is
# reached (lecture 18 counts the epochs; on the digits it may never be).
TO_THE_LETTER = {"optimizer": "rmsprop9", "decay": False}
REPORT = {
    "mnist": {"epochs": 13, **TO_THE_LETTER},
    "digits": {"epochs": 60, **TO_THE_LETTER},
}
REPORT_L1L2 = {
    "mnist": {"epochs": 22, **TO_THE_LETTER},
    "digits": {"epochs": 60, **TO_THE_LETTER},
}
# The signs are in color and have a network of their own (lecture 10).
SIGNS = {"epochs": 60, "batch_size": 32}


def recipes(dataset):
    """Return the recipes for `dataset`; Fashion-MNIST takes MNIST's settings."""
    if dataset == "signs":
        return [Recipe("signnet", "signs", fit=SIGNS)]
    like = "digits" if dataset == "digits" else "mnist"
    plain = {(name, "standard"): (fits, {}) for name, fits in STANDARD.items()}
    return [
        Recipe(name, dataset, variant, SHARES.get((name, like), 1.0), **_with(fits[like], extra))
        for (name, variant), (fits, extra) in {**plain, **_defended(EPS[like], dataset)}.items()
    ]


def _with(fit, extra):
    """Return the recipe's fields: what `extra` says of them, and all the rest for the fit."""
    fields = {k: v for k, v in extra.items() if k in ("through", "temperature", "maker")}
    return {"fit": fit | {k: v for k, v in extra.items() if k not in fields}, **fields}


def _defended(eps, dataset):
    """Return {(architecture, variant): (epochs and the like by data set, the defense)}."""
    return {
        ("lenet5", "pgd"): (
            PATIENT,
            {"objective": defenses.adversarial_training(eps=0.2, step=0.25, steps=7, warm_up=0)},
        ),
        ("cnn", "pgd"): (LONG, {"objective": defenses.adversarial_training(eps=eps, **STEPS)}),
        ("cnn", "trades"): (LONG, {"objective": defenses.trades(eps=eps, **STEPS)}),
        ("cnn", "fgsm"): (
            MIDDLE,
            {"objective": defenses.adversarial_training(attacks.fgsm, eps=eps)},
        ),
        ("cnn", "ibp"): (MIDDLE, {"objective": defenses.interval_training(0.12)}),
        ("lenet5", "noise"): (SHORT, {"augment": defenses.noisy(0.5, clip=False)}),
        ("lenet5", "negatives"): (SHORT, {"augment": defenses.negated(0.5)}),
        ("lenet5", "distilled"): (SHORT, {"temperature": 20}),
        ("lenet5", "parseval"): (SHORT, {"penalty": defenses.parseval(0.003)}),
        ("lenet5", "gradient_penalty"): (SHORT, {"objective": defenses.input_gradient(1.0)}),
        ("lenet5x16", "thermometer"): (SHORT, {"through": defenses.Thermometer(16)}),
        ("mlp", "l1l2"): (STANDARD["mlp"], {"penalty": defenses.weights(1e-4, 1e-4)}),
        ("mlp", "report"): (REPORT, {}),
        ("mlp", "report_l1l2"): (REPORT_L1L2, {"penalty": defenses.weights(1e-4, 1e-4)}),
        ("tiny", "l1l2"): (STANDARD["tiny"], {"penalty": defenses.weights(l2=1e-3)}),
        ("generator", "standard"): (DRAWING, {"maker": defenses.fit_gan}),
        ("perturber", "standard"): (PERTURBING, {"maker": _against_lenet5(dataset, eps)}),
    }


def _against_lenet5(dataset, eps):
    """Return the maker of the generator of lecture 09: it needs its victim, trained before."""

    def maker(network, x, **fit):
        victim = models.load("lenet5", dataset).to(x.device)
        with torch.no_grad():  # away from what the victim says, which needs no labels
            y = torch.cat([victim(part).argmax(1) for part in x.split(1000)])
        return attacks.train_generator(victim, x, y, eps, network=network, **fit).losses

    return maker
