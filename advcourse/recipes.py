"""How every checkpoint of the course is made: `python -m advcourse train`."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from . import attacks, data, models, training


@dataclass(frozen=True)
class Recipe:
    """One checkpoint: its name, the arguments of `training.fit`, and what it trains against.

    against: the arguments of the PGD that replaces every batch by its adversarial examples.
    """

    architecture: str
    dataset: str
    variant: str = "standard"
    share: float = 1.0  # of the training set
    seed: int = 0
    fit: dict = field(default_factory=dict)
    against: dict | None = None

    @property
    def key(self):
        return f"{self.architecture}-{self.dataset}-{self.variant}"

    @property
    def command(self):
        special = "" if self.variant == "standard" else f" --variant {self.variant}"
        words = f"train {self.architecture} --dataset {self.dataset}{special}"
        return f"python -m advcourse {words} --force"


# The blue team's report trains with RMSProp in batches of 128; the seminar report on 10 % of MNIST.
FITS = {
    "lenet5": {"mnist": {"epochs": 12}, "digits": {"epochs": 60, "batch_size": 32}},
    "mlp": {
        "mnist": {"epochs": 12, "optimizer": "rmsprop", "decay": False},
        "digits": {"epochs": 60, "optimizer": "rmsprop", "decay": False},
    },
    "shallow": {"mnist": {"epochs": 8}, "digits": {"epochs": 40}},
    "mlp20": {"mnist": {"epochs": 30}, "digits": {"epochs": 60, "batch_size": 32}},
}
SHARES = {("mlp20", "mnist"): 0.1}
# Adversarial training (lecture 13) multiplies the time of an epoch by the attack's steps plus one.
PGD = {
    "mnist": {"eps": 0.2, "step_size": 0.05, "steps": 7},
    "digits": {"eps": 0.2, "step_size": 0.05, "steps": 7},
}
PGD_FITS = {
    "mnist": {"epochs": 12, "learning_rate": 2e-3},
    "digits": {"epochs": 80, "batch_size": 32, "learning_rate": 2e-3},
}


def recipes(dataset):
    """Return the recipes for `dataset`; Fashion-MNIST takes MNIST's settings."""
    like = "digits" if dataset == "digits" else "mnist"
    standard = [
        Recipe(name, dataset, share=SHARES.get((name, like), 1.0), fit=fits[like])
        for name, fits in FITS.items()
    ]
    return [*standard, Recipe("lenet5", dataset, "pgd", fit=PGD_FITS[like], against=PGD[like])]


def adversary(options):
    """Return an `augment` of `training.fit` that attacks every batch with PGD of these options."""

    def augment(model, x, y, generator):
        return attacks.pgd(model, x, y, generator=generator, **options), y

    return options and augment


def train(recipe, dataset, *, folder=models.CHECKPOINTS, progress=True):
    """Train one model by its recipe, store it in `folder`, and return (model, accuracy)."""
    model = models.build(recipe.architecture, recipe.seed)
    device = models.device()
    n = round(recipe.share * len(dataset.x_train))
    begun = time.perf_counter()
    training.fit(
        model.to(device),
        dataset.x_train[:n].to(device),
        dataset.y_train[:n].to(device),
        seed=recipe.seed,
        progress=progress,
        augment=adversary(recipe.against),
        resume=Path(folder) / "partial" / f"{recipe.key}.pt",
        **recipe.fit,
    )
    model.cpu()
    share = training.accuracy(model, dataset.x_test, dataset.y_test)
    facts = {"accuracy": round(share, 4), "seed": recipe.seed, "command": recipe.command}
    models.save(model, recipe.architecture, dataset, recipe.variant, Path(folder), **facts)
    print(f"{recipe.key}: {share:.2%} of the test set, {time.perf_counter() - begun:.0f} s")
    return model, share


def main(names=(), datasets=(), force=False, listing=False, variant=None):
    """Make every checkpoint that is missing, or those named again with `force`; return 0."""
    wrong = [name for name in names if name not in models.ARCHITECTURES]
    if wrong:
        print(f"no architecture {wrong[0]!r}; there are {', '.join(models.ARCHITECTURES)}")
        return 2
    variants = sorted({recipe.variant for recipe in recipes("digits")})
    if variant not in (None, *variants):
        print(f"no variant {variant!r}; there are {', '.join(variants)}")
        return 2
    for name in datasets or [n for n in ("mnist", "digits") if n == "digits" or data.available(n)]:
        wanted = [r for r in recipes(name) if not names or r.architecture in names]
        wanted = [r for r in wanted if variant in (None, r.variant)]
        made = models.manifest()
        if listing:
            for recipe in wanted:
                state = f"{made[recipe.key]['accuracy']:.2%}" if recipe.key in made else "missing"
                print(f"{recipe.key:28} {state:>8}   {recipe.command}")
            continue
        todo = [r for r in wanted if force or r.key not in made]
        dataset = data.load(name) if todo else None
        for recipe in todo:
            train(recipe, dataset)
        print(f"{name}: {len(todo)} trained, {len(wanted) - len(todo)} there already")
    return 0
