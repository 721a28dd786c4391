"""Make the checkpoints by their recipes: `python -m advcourse train`."""

import json
import time
from pathlib import Path

from torch import nn

from . import data, defenses, models, training
from .recipes import recipes


def train(recipe, dataset, *, folder=models.CHECKPOINTS, progress=True):
    """Make one checkpoint by its recipe, store it in `folder`, and return (model, accuracy).

    The accuracy of what is no classifier is None.
    """
    model = models.build(recipe.architecture, recipe.seed)
    victim = (nn.Sequential(recipe.through, model) if recipe.through else model).to(models.device())
    n = round(recipe.share * len(dataset.x_train))
    x, y = (part[:n].to(models.device()) for part in (dataset.x_train, dataset.y_train))
    kept, begun = Path(folder) / "partial" / f"{recipe.key}.pt", time.process_time()
    options = {**recipe.fit, "seed": recipe.seed, "progress": progress}
    if recipe.temperature:
        options["objective"] = _taught(recipe, x, y, options, kept.with_suffix(".teacher.pt"))
    if recipe.maker:
        losses = recipe.maker(victim, x, resume=kept, **options)
    else:
        losses = training.fit(victim, x, y, resume=kept, **options)
    victim.cpu()
    share = None
    if not recipe.maker:
        share = training.accuracy(victim, dataset.x_test, dataset.y_test)
    seconds = time.process_time() - begun  # of one CPU core, whatever else the machine does
    facts = {"accuracy": share and round(share, 4), "seed": recipe.seed, "command": recipe.command}
    facts |= {"seconds": round(seconds), "losses": [round(loss, 4) for loss in losses]}
    models.save(model, recipe.architecture, dataset, recipe.variant, Path(folder), **facts)
    reached = "made" if share is None else f"{_percent(share)} of the test set"
    print(f"{recipe.key}: {reached}, {seconds:.0f} s of CPU time")
    return model, share


def _taught(recipe, x, y, options, kept):
    """Train the recipe's teacher; return the objective of a student who imitates it."""
    teacher = models.build(recipe.architecture, recipe.seed + 1).to(x.device)
    lesson = {**options, "objective": defenses.hot(recipe.temperature)}
    training.fit(teacher, x, y, resume=kept, **lesson)
    return defenses.distillation(teacher, recipe.temperature)


def _percent(share):
    return "-" if share is None else f"{share:.2%}"


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
    sets = datasets or [n for n in ("mnist", "digits", "signs") if data.available(n)]
    wanted = [
        r
        for name in sets
        for r in recipes(name)
        if (not names or r.architecture in names) and variant in (None, r.variant)
    ]
    if listing:
        _list(wanted)
        return 0
    made = models.manifest()
    again = _Again(models.CHECKPOINTS / "partial" / "again.json", wanted if force else [])
    todo = [r for r in wanted if r.key not in (again.done if force else made)]
    if todo:
        print(f"{len(todo)} to train{_estimate(todo, made)}; after Ctrl-C the same command goes on")
    loaded = {}
    for recipe in todo:
        if recipe.dataset not in loaded:
            loaded = {recipe.dataset: data.load(recipe.dataset)}
        train(recipe, loaded[recipe.dataset])
        again.note(recipe)
    again.forget()
    for name in sets:
        counts = [sum(r.dataset == name for r in group) for group in (todo, wanted)]
        print(f"{name}: {counts[0]} trained, {counts[1] - counts[0]} there already")
    return 0


def _list(wanted):
    made = models.manifest()
    for recipe in wanted:
        entry = made.get(recipe.key)
        state = _percent(entry["accuracy"]) if entry else "missing"
        print(f"{recipe.key:32} {state:>8}   {recipe.command}")


def _estimate(todo, made):
    """Return how long it will take, by what it took when the present checkpoints were made."""
    known = [made[r.key]["seconds"] for r in todo if "seconds" in made.get(r.key, {})]
    if not known:
        return ""
    minutes = sum(known) / len(known) * len(todo) / 60
    return f", about {max(1, round(minutes))} minutes of one CPU core by what the present ones took"


class _Again:
    """What a run with `force` has made so far, in a file: an interrupted one goes on there."""

    def __init__(self, path, wanted):
        self.path, self.wanted = path, [recipe.key for recipe in wanted]
        kept = json.loads(path.read_text()) if wanted and path.exists() else {}
        self.done = kept["done"] if kept.get("wanted") == self.wanted else []

    def note(self, recipe):
        if self.wanted:
            self.done.append(recipe.key)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps({"wanted": self.wanted, "done": self.done}))

    def forget(self):
        if self.wanted:
            self.path.unlink(missing_ok=True)
