"""One call: attack as AutoAttack does, and ask whether the gradient could be believed."""

from torch import nn
from tqdm.auto import tqdm

from ..attacks import EOT
from ..attacks.inputs import check_count, check_inputs, check_size, one_of
from ..randomness import source_of
from . import attempts, masks
from .attempts import Ledger, Setting
from .verdict import Verdict
from .victim import Guarded, Victim, silent


def evaluate(
    model,
    x,
    y,
    eps,
    norm="linf",
    *,
    steps=100,
    restarts=1,
    queries=1000,
    views=(),
    others=(),
    generator=None,
    progress=True,
):
    """Attack x [N, ...] in every way, look for a masked gradient, and return a `Verdict`.

    The worst case over APGD with cross-entropy, APGD with the targeted DLR loss, DDN (in l2), Square
    of `queries`, random points, and the examples of `others`; an image leaves once it is fooled.
    eps: radius in `norm` ("linf" or "l2"), in pixel units of [0, 1]. views: differentiable stand-ins
    of the model (BPDA, EOT), attacked besides it; success is always judged on `model` itself. A
    random model is judged by most of five answers, and attacked through their average as well. Where
    the model is a `Refusing`, a refusal holds, and attacks aim at its other classes.
    Raises ValueError for bad input, and for a model that answers with NaN.
    Source: Croce and Hein 2020; Athalye, Carlini and Wagner 2018; Carlini et al. 2019, "On evaluating
    adversarial robustness"; lecture 17.
    """
    one_of("norm", norm, ["linf", "l2"])
    check_size("eps", eps)
    for name, count in (("steps", steps), ("restarts", restarts), ("queries", queries)):
        check_count(name, count)
    check_inputs(x, y, None, (0.0, 1.0), generator)
    if not len(x):
        raise ValueError("x: no images; pass at least one, a few hundred for a narrow interval")
    views, others = models_of("views", views), models_of("others", others)
    source = source_of(generator, x.device)
    x, y, victim = x.detach(), y.long(), Victim(model, x.detach())
    if not 0 <= y.min() <= y.max() < victim.classes:
        raise ValueError(f"y: labels from {y.min()} to {y.max()}; the model has {victim.classes}")
    setting = Setting(eps, norm, steps, restarts, queries, source)
    bar = tqdm(desc="evaluate", unit="attack", disable=not progress, leave=False)
    with bar:
        ledger = Ledger(victim, x, y, bar)
        tests = tuple(trial(victim, ledger, setting, views, others))
    clean = victim.right(x, y)
    found = ledger.stands & ledger.left, ledger.x_adv, tuple(ledger.attempts), tests
    return Verdict(eps, norm, clean, *found, draws=victim.draws)


def of(defended, x, y, eps, norm="linf", **options):
    """Return the `Verdict` about a `Defended`: its victim, with its views, and its bare model."""
    views = tuple(view for view in defended.views if view is not defended.victim)
    both = {"views": views, "others": (defended.bare,)} | options
    return evaluate(defended.victim, x, y, eps, norm, **both)


def models_of(name, models):
    """Return the models, each with a guard against NaN, or say what is wrong with them."""
    if isinstance(models, nn.Module) or not all(map(callable, models)):
        raise ValueError(f"{name}: pass a tuple of models, images -> scores, such as (model,)")
    return tuple(map(Guarded, models))


def trial(victim, ledger, setting, views, others):
    """Run every attack; yield the tests."""
    x, y, rows = ledger.x, ledger.y, ledger.stands
    mute = {source: silent(source, x[rows], y[rows]) for source in (victim.model, *views)}
    ways = [source for source, mask in mute.items() if mask is not None]
    yield masks.gradient([mute[source] for source in ways])

    def climb(source, name):
        for attack, function in attempts.white(victim, source, setting).items():
            ledger.run(attack + name, function)

    if victim.model in ways:
        climb(victim.model, "")
    before = ledger.left.clone()
    for k, view in enumerate(views):
        if view in ways:
            climb(view, f", on view {k + 1}" if len(views) > 1 else ", on the view")
    if victim.random and victim.model in ways and victim.refusing is None:
        mean = EOT(victim.model, attempts.AVERAGED)
        averaged = ledger.run(
            f"APGD, cross-entropy, mean of {attempts.AVERAGED} draws",
            attempts.white(victim, mean, setting)["APGD, cross-entropy"],
            everyone=True,
        )
        yield masks.compare("averaging", averaged, ledger.left | before if not views else before)
    gradient = ledger.left.clone() if not victim.random or views else before
    yield from masks.curves(victim, ways, x, y, ledger.stands, gradient, setting)
    found = ledger.run("Square, no gradient", attempts.black(victim, setting), everyone=True)
    yield masks.compare("black box", found, gradient)
    found = ledger.run("random points", attempts.at_random(victim, setting), everyone=True)
    yield masks.compare("random search", found, gradient)
    yield from masks.first_step(victim, ways, ledger, others, found, setting)
    passed_on = ledger.stands.clone()
    for k, other in enumerate(others):
        name = (
            f"examples of other model {k + 1}" if len(others) > 1 else "examples of another model"
        )
        one = ledger.run(name, attempts.transferred(other, setting), everyone=True)
        passed_on &= one
    if others:
        yield masks.compare("transfer", passed_on, gradient)
