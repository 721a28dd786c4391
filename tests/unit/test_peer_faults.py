"""What other libraries were found to do wrong, each fault as a test that this one does not.

Measured side by side with eight of them. The faults that any attack could have (a model left in
another mode, gradients in its weights, a caller's tensor changed, a budget or box overstepped) are
in test_attacks.py, for every row of the table.
"""

import pytest
import torch

from advcourse import attacks
from tests.unit.attack_cases import distances, lead, predict, seeded, victim

BOX = pytest.mark.parametrize("box", ["tanh", "clip"])
# From its ends a pixel needs a hundred steps through the tanh.
QUICK = {
    "tanh": {"steps": 100, "binary_search_steps": 4, "initial_c": 1.0},
    "clip": {"steps": 40, "binary_search_steps": 4, "initial_c": 1.0},
}


def right(dataset="digits", n=20):
    """Return LeNet-5 and n images that it sees rightly, their pixels made black or white."""
    model, x, y = victim(dataset)
    x = x.round()
    some = (predict(model, x) == y).nonzero()[:n, 0]
    return model, x[some], y[some]


@BOX
def test_pixels_at_their_ends_can_move(box):
    """torchattacks starts at atanh(+-1) = inf: 0 of 19,774 black pixels ever moved."""
    model, x, y = right()
    assert set(x.unique().tolist()) == {0.0, 1.0}
    found = attacks.carlini_wagner(model, x, y, box=box, **QUICK[box])
    change = found - x
    assert bool((predict(model, found) != y).all())
    for end in (0.0, 1.0):
        most = torch.where(x == end, change.abs(), torch.zeros_like(x)).flatten(1).amax(1)
        assert most.median() > 0.1, "far beyond the little that the tanh needs to start from"
    rival = attacks.ddn(model, x, y)
    assert distances(change, "l2").median() < 1.1 * distances(rival - x, "l2").median()


@BOX
@pytest.mark.parametrize("norm", ["l2", "linf", "l0"])
def test_a_failed_attack_returns_the_image(norm, box):
    """foolbox returns black images: 104 of 128, of which 93 are reported as successes."""
    model, x, y = victim("digits")
    x, y = x[:20], y[:20]
    hopeless = {"steps": 2, "binary_search_steps": 1, "initial_c": 1e-6, "learning_rate": 1e-4}
    assert torch.equal(attacks.carlini_wagner(model, x, y, norm=norm, box=box, **hopeless), x)


def test_other_failed_attacks_return_the_image():
    model, x, y = right()
    assert torch.equal(attacks.deepfool(model, x, y, steps=1, overshoot=0.0)[:1], x[:1])
    assert torch.equal(attacks.ddn(model, x, y, steps=1, initial_eps=1e-3), x)
    assert torch.equal(attacks.jsma(model, x, y, steps=1, theta=0.01), x)


@BOX
def test_the_papers_first_c_is_enough(box):
    """ART's CW has 0 % success there, since its c only doubles."""
    model, x, y = right(n=6)
    found = attacks.carlini_wagner(model, x, y, box=box, steps=QUICK[box]["steps"])
    assert bool((predict(model, found) != y).all())


def test_deepfool_ends_beyond_the_boundary(dataset):
    """torchattacks ends on it for half of the images: a margin of 1e-6, still seen rightly."""
    model, x, y = victim(dataset)
    found = attacks.deepfool(model, x, y)
    moved = (found != x).flatten(1).any(1)
    assert torch.equal(moved, predict(model, x) == y) and moved.float().mean() > 0.9
    ahead = -lead(model, found, y)[moved].double()
    assert ahead.min() > 1e-5 and ahead.quantile(0.1) > 5e-3
    alone = torch.cat([predict(model, one[None]) for one in found])
    assert bool((alone != y).all()), "in a batch of its own it would be right again"


def test_the_overshoot_lengthens_the_whole_change():
    """cleverhans and ART left it unused; torchattacks shrinks it with the steps."""
    model, x, y = victim("digits", 40)
    ahead = []
    for overshoot in (0.0, 0.02, 0.2):
        found = attacks.deepfool(model, x, y, overshoot=overshoot)
        ahead.append(-lead(model, found, y)[predict(model, x) == y].median().item())
    assert ahead[0] < ahead[1] < ahead[2]


@pytest.mark.parametrize("name", ["deepfool", "carlini_wagner", "ddn", "jsma"])
def test_what_is_wrong_already_is_left_alone(name):
    """ART's DeepFool ignores the labels, and so "heals" 86 % of the images that were wrong."""
    model, x, y = victim("digits", 20)
    y = (predict(model, x) + 1) % 10
    few = {"binary_search_steps": 1, "steps": 5} if name == "carlini_wagner" else {}
    assert torch.equal(getattr(attacks, name)(model, x, y, **few), x)


@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
def test_pgd_is_as_strong_in_a_large_batch(norm):
    """cleverhans averages the loss over the batch: robust accuracy .141 alone, .203 among 128."""
    model, x, y = victim("digits", 128)
    options = {"norm": norm, "eps": {"l2": 1.5, "l1": 10.0, "linf": 0.1}[norm], "steps": 8}
    options |= {"random_start": False}
    whole = attacks.pgd(model, x, y, **options)
    alone = torch.cat(
        [attacks.pgd(model, x[i : i + 1], y[i : i + 1], **options) for i in range(0, 128, 6)]
    )
    size = distances(whole - x, norm)
    assert size.min() > 0.99 * options["eps"] or norm == "linf", "each uses its whole budget"
    robust = [(predict(model, a) == y[::6]).float().mean() for a in (whole[::6], alone)]
    assert robust[0] == robust[1]
    # A gradient that is 0 but for rounding has either sign, so in linf a pixel may differ.
    near = (whole[::6] - alone).abs().flatten(1).amax(1) < 1e-5
    assert near.float().mean() > (0.9 if norm == "linf" else 0.95)


@pytest.mark.parametrize("aims", [False, True])
def test_a_single_step_is_fgsms(aims):
    """adv-lib never looks at the last iterate: with steps=1 the input comes back as it went in."""
    model, x, y = victim("digits")
    goal = {"target": (y + 1) % 10} if aims else {}
    one = attacks.pgd(model, x, y, eps=0.1, steps=1, random_start=False, **goal)
    assert torch.equal(one, attacks.fgsm(model, x, y, eps=0.1, **goal))
    assert torch.equal(one, attacks.bim(model, x, y, eps=0.1, steps=1, **goal))
    assert distances(one - x, "linf").min() > 0.099


def test_no_gradient_reaches_the_weights():
    """Six peers leave gradients there, one leaves a training model in eval mode."""
    model, x, y = victim("digits")
    model.train()
    try:
        for row in attacks.ATTACKS:
            if row.knowledge == "white box":
                more = {row.strength: 0.1} if row.strength and row.name != "carlini_wagner" else {}
                more |= {"steps": 2} if row.iterates else {}
                more |= {"binary_search_steps": 1} if row.name == "carlini_wagner" else {}
                row.function(model, x[:4], y[:4], **more, generator=seeded())
                assert all(p.grad is None and p.requires_grad for p in model.parameters())
                assert all(m.training for m in model.modules())
    finally:
        model.eval()
