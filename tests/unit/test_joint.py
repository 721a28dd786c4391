"""The joint attack: inside its ball, reproducible, and hidden where plain PGD is seen."""

import pytest
import torch

from advcourse import attacks, defenses
from tests.unit.attack_cases import CLASSES, Net, batch, predict, seeded

EPS = 0.4


def brightness(x):
    """A detector that can be read: how far the mean has moved from a gray of 0.5 [N]."""
    return (x.flatten(1).mean(1) - 0.5).abs()


def run(model, x, y, *, threshold=0.05, **more):
    options = {"eps": EPS, "score": brightness, "steps": 20, "generator": seeded()} | more
    return attacks.joint(model, x, y, threshold=threshold, **options)


def counts(model, x_adv, y, threshold=0.05):
    """Return how many are fooled, and how many of these are accepted."""
    fooled = predict(model, x_adv) != y
    return fooled.sum().item(), (fooled & (brightness(x_adv) <= threshold)).sum().item()


def test_it_hides_where_plain_pgd_is_seen():
    model, (x, y, _) = Net().eval(), batch(200)
    plain = attacks.pgd(model, x, y, eps=EPS, steps=20, generator=seeded())
    fooled, accepted = counts(model, run(model, x, y), y)
    plainly, seen_through = counts(model, plain, y)
    assert accepted > seen_through + 20
    assert fooled <= plainly, "who also hides has less room to fool"


@pytest.mark.parametrize("aims", [False, True])
@pytest.mark.parametrize("restarts", [1, 3])
def test_ball_box_and_an_untouched_model(aims, restarts):
    model, (x, y, target) = Net().train(), batch(60)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    kept, state = x.clone(), torch.get_rng_state()
    goal = target if aims else None
    found = run(model, x, y, target=goal, restarts=restarts)
    assert found.shape == x.shape and found.dtype == x.dtype and not found.requires_grad
    assert (found - x).abs().max() <= EPS + 1e-6 and 0 <= found.min() <= found.max() <= 1
    assert torch.equal(x, kept) and torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(m.training for m in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(found, run(model, x, y, target=goal, restarts=restarts))
    assert not torch.equal(found, run(model, x, y, target=goal, generator=seeded(1)))


def test_a_target_is_reached_and_accepted():
    model, (x, y, target) = Net().eval(), batch(200)
    found = run(model, x, y, target=target)
    hit = (predict(model, found) == target) & (brightness(found) <= 0.05)
    before = (predict(model, x) == target) & (brightness(x) <= 0.05)
    assert hit.sum() > before.sum() + 20


def test_restarts_only_help():
    model, (x, y, _) = Net().eval(), batch(200)
    once, often = (counts(model, run(model, x, y, restarts=r), y)[1] for r in (1, 5))
    assert often > once


def test_weight_0_is_blind_to_the_detector():
    model, (x, y, _) = Net().eval(), batch(200)
    blind = counts(model, run(model, x, y, weight=0.0), y)
    aware = counts(model, run(model, x, y, weight=1.0), y)
    assert aware[1] > blind[1]


def test_who_cannot_be_hidden_is_at_least_fooled():
    model, (x, y, _) = Net().eval(), batch(100)
    # Nothing passes a threshold below zero: the best that is left is a wrong class.
    fooled, accepted = counts(model, run(model, x, y, threshold=-1.0, weight=0.1), y, -1.0)
    already = (predict(model, x) != y).sum().item()
    assert accepted == 0 and fooled > already


def test_the_result_is_the_best_iterate():
    model, (x, y, _) = Net().eval(), batch(50)
    seen = []
    found = run(model, x, y, threshold=0.02, on_step=lambda _, x_adv: seen.append(x_adv))
    assert len(seen) <= 20

    def rank(x_adv):
        fooled = predict(model, x_adv) != y
        return fooled.double() + (fooled & (brightness(x_adv) <= 0.02))

    assert torch.equal(rank(found), torch.stack([rank(s) for s in seen]).amax(0))


def test_an_example_does_not_depend_on_its_batch():
    model, (x, y, _) = Net().eval(), batch(20)
    together = run(model, x, y, random_start=False)
    alone = torch.cat(
        [run(model, x[i : i + 1], y[i : i + 1], random_start=False) for i in range(20)]
    )
    torch.testing.assert_close(together, alone)


def test_what_bad_input_is_told():
    model, (x, y, _) = Net().eval(), batch()
    cases = [
        ({"threshold": None}, "threshold: None is no number.*detector.threshold"),
        ({"threshold": float("nan")}, "threshold: nan is no number"),
        ({"score": 3}, "score: got 3; pass a function"),
        ({"score": lambda x: x.mean()}, r"score: returned \(\) for 1 input"),
        ({"score": lambda x: brightness(x).detach()}, "score: does not depend on x"),
        ({"eps": -1}, "eps: -1 is no size"),
        ({"weight": -1}, "weight: -1 is no size"),
        ({"restarts": 0}, "restarts: 0 is no count"),
        ({"target": torch.full((5,), CLASSES)}, "target: labels from"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            run(model, x, y, **options)
    blind = torch.nn.Sequential(defenses.BinaryThreshold(0.5), model)  # the score has a gradient
    with pytest.raises(ValueError, match="model: its output does not depend on x"):
        run(blind, x, y)
    assert len(run(model, x[:0], y[:0])) == 0
