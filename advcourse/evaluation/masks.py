"""The tests that expose a masked gradient; each passes unless chance cannot explain what it saw."""

from itertools import pairwise

import torch
import torch.nn.functional as F

from .. import attacks
from ..claims import paired
from ..metrics import wilson
from ..plots import share
from .verdict import Test

ALLOWED = 0.05  # of zero gradients, and of images that an unbounded attack leaves
SLIGHT = 0.01  # where both curves are at the top, rounding and the last step decide
EPSILONS, STEPS, UNBOUNDED = (0.25, 0.5, 1.0), (2, 10), 50
BETTER = {  # test: (what should not do better, what it should not beat)
    "averaging": ("the mean of several draws", "the gradient of one draw"),
    "black box": ("Square, without a gradient,", "the gradient"),
    "random search": ("a search over random points", "the gradient"),
    "transfer": ("what other models' examples do", "the gradient"),
    "one step": ("one step", "many steps"),
    "first step": ("what knows no gradient", "the first step along it"),
}


def compare(name, weaker, stronger):
    """Return the test that what should be weaker leaves no fewer images than what is stronger.

    weaker, stronger: masks [N], the images that each leaves.
    """
    caught = paired(weaker, stronger)
    low, high = BETTER[name]
    only = int((stronger & ~weaker).sum())
    more = "more than chance allows" if caught else "as it should be"
    text = (
        f"{low} leaves {share(weaker)}, {high} {share(stronger)}, and {only} images fall only to the "
        f"former: {more}."
    )
    numbers = {"weaker": mean(weaker), "stronger": mean(stronger), "only": only}
    return Test(name, not caught, text, numbers)


def gradient(silent):
    """Return the test that there is a gradient. silent: masks [M], where it is 0, one a model."""
    if not silent:
        text = "no gradient reaches the image: a step that has none hides it; attack a view (BPDA)."
        return Test("gradient", False, text, {"zero": 1.0})
    mask = torch.stack(silent).all(0)
    if not len(mask):
        return Test("gradient", True, "no image was right to begin with.", {"zero": 0.0})
    zero = mean(mask)
    passed = wilson(int(mask.sum()), len(mask))[0] <= ALLOWED
    text = f"the gradient of the cross-entropy is exactly 0 at {share(mask)} of the images."
    return Test("gradient", passed, text, {"zero": zero})


def curves(victim, ways, x, y, stands, gradient_left, setting):
    """Yield the tests that compare weaker with stronger attacks by the gradient of the `ways`."""
    rows = stands.nonzero()[:, 0]
    if not ways or not len(rows):
        return
    some, labels = x[rows], y[rows]
    goal = {} if victim.refusing is None else {"target": victim.likely(some, labels)[:, 0]}

    def look(eps, steps):
        """Return who is left [M], and the victim's loss [M], after so many steps in that ball."""
        left, height = torch.ones_like(rows, dtype=torch.bool), None
        for source in ways:
            both = {"eps": eps, "norm": setting.norm, "random_start": False, **goal}
            size = {"step_size": eps} if steps == 1 else {}
            found = attacks.pgd(source, some, labels, steps=steps, **size, **both)
            left &= victim.holds(found, labels)
            loss = loss_of(victim, found, labels)
            height = loss if height is None else torch.maximum(height, loss)
        return left, height

    one = [look(share * setting.eps, 1) for share in EPSILONS]
    many = [look(share * setting.eps, STEPS[-1]) for share in EPSILONS]
    fewer = look(setting.eps, STEPS[0])
    yield compare("one step", one[-1][0], gradient_left[rows])
    texts = [f"{part:g} eps" for part in EPSILONS]
    kinds = {"one step": one, f"{STEPS[-1]} steps": many}
    yield rising("more epsilon", texts, {} if setting.eps == 0 else kinds)
    texts = [f"{n} steps" for n in STEPS]
    yield rising("more steps", texts, {"PGD": [fewer, many[-1]]})
    widest = 1.0 if setting.norm == "linf" else some[0].numel() ** 0.5
    left = look(widest, UNBOUNDED)[0]
    passed = wilson(int(left.sum()), len(left))[0] <= ALLOWED
    text = f"with every pixel free ({setting.norm}, epsilon {widest:.3g}), {share(left)} are left."
    yield Test("unbounded", passed, text, {"left": mean(left)})


def first_step(victim, ways, ledger, others, searched, setting):
    """Yield the test that one step by the gradient beats random points, and other models' one step.

    searched: mask [N], what random points leave. Where the loss bends at once, as after training on
    single steps, many steps may succeed, and a score by one step is still worth nothing.
    """
    if not ways or victim.refusing is not None:
        return
    rows = ledger.stands.nonzero()[:, 0]
    x, y = ledger.x[rows], ledger.y[rows]

    def step(source):
        both = {"steps": 1, "step_size": setting.eps, "random_start": False}
        found = attacks.pgd(source, x, y, eps=setting.eps, norm=setting.norm, **both)
        return victim.holds(found, y)

    own = torch.stack([step(way) for way in ways]).all(0) if len(rows) else searched[rows]
    blind = [searched[rows], *(step(other) for other in others if len(rows))]
    tests = [compare("first step", mask, own) for mask in blind]
    yield next((test for test in tests if not test.passed), tests[0])


def rising(name, steps, kinds):
    """Return the test that no step of a curve leaves more images, or lowers more losses than it lifts.

    kinds: {name: [(left [M], loss [M]), ...]}, one pair for each of the `steps`, weak to strong.
    """
    said, bad, numbers = [], [], {}
    for kind, curve in kinds.items():
        shares = " %, ".join(f"{100 * mean(left):.1f}" for left, _ in curve)
        said.append(f"{kind}: {shares} % left")
        numbers[kind] = [mean(left) for left, _ in curve]
        numbers[f"{kind}, loss"] = [mean(loss) for _, loss in curve]
        for k, ((left, loss), (after, then)) in enumerate(pairwise(curve)):
            if paired(left, after):
                bad.append(f"{kind} of {steps[k + 1]} leave more than of {steps[k]}")
            elif paired(then > loss + SLIGHT * loss.abs(), then < loss - SLIGHT * loss.abs()):
                bad.append(f"the loss falls from {steps[k]} to {steps[k + 1]} ({kind})")
    text = "; ".join([f"at {', '.join(steps)}", *said, *bad]) + "."
    return Test(name, not bad, text, numbers)


@torch.no_grad()
def loss_of(victim, x, y):
    """Return the victim's cross-entropy [N] at x, in double precision, refusals left out."""
    z = victim.scores(x)[:, : victim.classes].double()
    return F.cross_entropy(z, y, reduction="none")


def mean(values):
    """Return the mean of a mask or of numbers [N] as a number."""
    return values.double().mean().item() if len(values) else 0.0
