"""The catalog: every defense of the course, with attackers who see what they are said to see."""

import pytest
import torch
from torch import nn

from advcourse import attacks, data, defended, models
from advcourse.defenses import BinaryThreshold

IMAGES = data.load("digits", quiet=True)
X, Y = IMAGES.x_test[:40], IMAGES.y_test[:40]


def test_unknown_name():
    with pytest.raises(ValueError, match=r"no defense 'prayer'; there are no defense, LeNet-5, no"):
        defended.load("prayer", IMAGES)


@pytest.mark.slow
@pytest.mark.parametrize("name", defended.CATALOG)
def test_every_defense_under_its_attackers(name):
    """Adaptive contains unaware, so it never leaves more; a certificate never exceeds either."""
    one = defended.load(name, IMAGES)
    assert one.name == name and one.lecture in {"04", "13", "14", "15", "16"} and one.how
    assert one.clean(X, Y) > 0.7  # random sizes cost most
    x, y = X[:16], Y[:16]
    for found in (one.unaware(x, y, 0.1, 5), one.adaptive(x, y, 0.1, 5)):
        assert found.shape == x.shape and (found - x).abs().max() <= 0.1 + 1e-6
        assert found.min() >= 0 and found.max() <= 1
    if one.certificate:
        proven = one.certificate(x, y, 0.02)
        assert (
            proven.dtype == torch.bool and one.holds(one.adaptive(x, y, 0.02, 10), y)[proven].all()
        )


def test_adaptive_starts_from_what_the_unaware_found():
    """The victim is right everywhere but where the bare model's attacker goes; PGD has no way in."""
    bare = models.load("lenet5", IMAGES)
    one = defended.Defended("", "14", nn.Sequential(BinaryThreshold(0.5), bare), bare)
    first = one.unaware(X, Y, 0.2, 10)
    assert torch.equal(one.adaptive(X, Y, 0.2, 10), first), "no views: nothing else is tried"
    blind = nn.Sequential(attacks.BPDA(BinaryThreshold(0.5)), bare)
    both = defended.Defended("", "14", one.victim, bare, (blind,))
    fooled = ~one.holds(first, Y)
    second = both.adaptive(X, Y, 0.2, 10)
    assert torch.equal(second[fooled], first[fooled])
    assert both.holds(second, Y).sum() <= one.holds(first, Y).sum()


def test_a_refusal_holds_and_is_not_clean():
    bare = models.load("lenet5", IMAGES)

    class Refuses(nn.Module):
        def forward(self, x):
            z = bare(x)
            return torch.cat([z, z.amax(1, keepdim=True) + 1], 1)

    one = defended.Defended("", "15", Refuses(), bare)
    assert one.clean(X, Y) == 0 and one.holds(X, Y).all()
