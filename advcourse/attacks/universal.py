"""One change for all images: the universal perturbation (lecture 10)."""

from contextlib import contextmanager

import torch
from tqdm.auto import tqdm

from ..randomness import source_of
from .contract import frozen, input_gradient
from .inputs import check_count, check_inputs, check_model, check_size, is_a, logits, one_of
from .objectives import margin
from .projection import project, unit

# How far one step goes, in radii of the ball.
REACH = {"linf": 0.2, "l2": 0.5}
# Where the smooth count falls from 1 to 0, as a share of the median clean lead.
SOFTNESS = 0.18


def universal(
    model,
    x,
    y,
    *,
    eps,
    norm="linf",
    epochs=10,
    batch_size=100,
    step_size=None,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
    progress=False,
):
    """Find one change delta [1, ...] that fools the model on most images: (x + delta).clamp(*bounds).

    x [N, ...], y [N]: the images that it learns from; it is meant for others of their kind. eps: the
    length of delta in `norm` ("linf" or "l2"); step_size: of a step (None: REACH * eps); both in
    pixel units of [0, 1]. target: one class, or int64 [N]; None: any class but y. Each epoch goes
    once through x in a new order; on_step(step, delta) is called after each step.

    It lowers the number of images that still stand, made smooth (`still_standing`). The summed
    cross-entropy would not do: most of its gradient comes from images that are fooled already. And
    each image has its say on every pixel, also where the clamp hides the present change from it.
    Same generator seed, same delta. Raises ValueError for bad input.
    Source: Moosavi-Dezfooli et al. 2017, "Universal adversarial perturbations"; the steps over
    batches as in Shafahi et al. 2020, "Universal adversarial training"; lecture 10.
    """
    one_of("norm", norm, list(REACH))
    check_size("eps", eps)
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        check_count(name, value)
    size = REACH[norm] * eps if step_size is None else step_size
    check_size("step_size", size)
    with ready(model, x, y, target, bounds, generator) as (x, y, target, generator):
        left = still_standing(model, x, y, target)
        delta = torch.zeros_like(x[:1])
        walk = batches(len(x), epochs, batch_size, generator, progress)
        for step, rows in enumerate(walk, 1):
            changed = (x[rows] + delta).clamp(*bounds)
            gradient, _ = input_gradient(model, changed, left(rows))
            uphill = -gradient.sum(0, keepdim=True)  # as if there were no clamp: see above
            uphill = uphill.sign() if norm == "linf" else unit(uphill)
            delta = project(delta + size * uphill, eps, norm)
            if on_step:
                on_step(step, delta.clone())
    return delta


def still_standing(model, x, y, target):
    """Return rows -> (logits -> the number of these images that stand, made smooth, [N]).

    It is the sigmoid of each image's lead over the nearest other class (targeted: of the others'
    lead over the target): about 1 for an image far from the boundary, 0 for one beyond it. The
    gradient is largest where an image can be won. The width is set by the clean images' leads.
    """
    with torch.no_grad():
        z = torch.cat([logits(model, part) for part in x.split(1000)])
    lead = margin(z, y, target)
    width = SOFTNESS * lead.abs().median().clamp(min=1e-6)

    def of(rows):
        labels, goals = y[rows], None if target is None else target[rows]
        return lambda z: torch.sigmoid(margin(z, labels, goals) / width)

    return of


@contextmanager
def ready(model, x, y, target, bounds, generator):
    """Check the input, as `contract.attack` does; yield x, y, target, generator for the inside."""
    if is_a(int, target):
        target = torch.full_like(y, target)
    check_inputs(x, y, target, bounds, generator)
    if not len(x):
        raise ValueError("x: no images to learn from; pass at least one")
    generator = source_of(generator)
    with torch.inference_mode(False), torch.enable_grad(), frozen(model):
        x, y = x.detach().clone(), y.long().clone()
        target = None if target is None else target.long().clone()
        check_model(model, x, y, target)
        yield x, y, target, generator


def batches(n, epochs, batch_size, generator, progress):
    """Return a bar over the rows of each step: every epoch in a new order."""
    rows = [
        part
        for _ in range(epochs)
        for part in torch.randperm(n, generator=generator, device=generator.device).split(
            batch_size
        )
    ]
    return tqdm(rows, desc="one for all", unit="step", disable=not progress, leave=False)
