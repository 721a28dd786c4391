"""One change for all images: its closed form, its ball, and what it does to images it has not seen."""

import pytest
import torch
from torch import nn

from advcourse import attacks
from advcourse.attacks.universal import still_standing
from tests.unit.attack_cases import Net, batch, distances, predict, seeded, victim

NORMS = pytest.mark.parametrize("norm", ["linf", "l2"])


def linear(classes=2, size=6, seed=3):
    """Return a linear model of x [N, 1, 2, 3] in float64."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(size, classes)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(classes, size, generator=seeded(seed)))
        model[1].bias.zero_()
    return model


@NORMS
def test_on_a_linear_model_it_is_the_same_optimum_for_every_image(norm):
    """Two classes: the lead of the true class falls fastest along the difference of two rows."""
    model = linear()
    x = 0.4 + 0.2 * torch.rand(30, 1, 2, 3, generator=seeded(), dtype=torch.float64)
    y = torch.zeros(30, dtype=torch.int64)
    slope = (model[1].weight[1] - model[1].weight[0]).detach()
    wanted = 0.1 * (slope.sign() if norm == "linf" else slope / slope.norm())
    delta = attacks.universal(model, x, y, eps=0.1, norm=norm, generator=seeded())
    torch.testing.assert_close(delta, wanted.view(1, 1, 2, 3), rtol=0, atol=1e-9)
    aimed = attacks.universal(model, x, y, eps=0.1, norm=norm, target=0, generator=seeded())
    torch.testing.assert_close(aimed, -wanted.view(1, 1, 2, 3), rtol=0, atol=1e-9)


def test_where_labels_pull_apart_the_majority_decides():
    model, x = linear(), torch.full((10, 1, 2, 3), 0.5, dtype=torch.float64)
    y = torch.tensor([0] * 7 + [1] * 3)
    delta = attacks.universal(model, x, y, eps=0.1, batch_size=10, generator=seeded())
    slope = (model[1].weight[1] - model[1].weight[0]).detach()
    assert torch.equal(delta.flatten().sign(), slope.sign())


@NORMS
@pytest.mark.parametrize("shape", [(7,), (1, 2, 3), (3, 4, 5)])
def test_it_has_one_row_stays_in_the_ball_and_repeats_with_its_seed(norm, shape):
    model, (x, y, _) = Net(shape).eval(), batch(23, shape=shape)
    before, state = x.clone(), torch.get_rng_state()
    options = {"eps": 0.3, "norm": norm, "batch_size": 5}
    first, second, other = (
        attacks.universal(model, x, y, **options, generator=seeded(s)) for s in (1, 1, 2)
    )
    assert first.shape == (1, *shape) and first.dtype == x.dtype and not first.requires_grad
    assert distances(first, norm).item() <= 0.3 * (1 + 1e-6)
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(x, before) and torch.equal(state, torch.get_rng_state())


def test_every_step_is_shown_and_an_int_aims_all():
    model, (x, y, _) = Net().eval(), batch(20)
    shown = []
    options = {"eps": 0.2, "epochs": 3, "batch_size": 8}
    delta = attacks.universal(
        model, x, y, **options, target=2, generator=seeded(), on_step=lambda *s: shown.append(s)
    )
    assert [step for step, _ in shown] == list(range(1, 10)), "three batches, three epochs"
    assert torch.equal(shown[-1][1], delta)
    each = torch.full_like(y, 2)
    assert torch.equal(
        delta, attacks.universal(model, x, y, **options, target=each, generator=seeded())
    )


def test_the_model_is_left_as_it_was_also_after_an_error():
    x, y, _ = batch(20)
    for fails_at in (None, 4):
        model = Net(fails_at=fails_at).train()
        if fails_at:
            with pytest.raises(RuntimeError, match="out of order"):
                attacks.universal(model, x, y, eps=0.1, generator=seeded())
        else:
            attacks.universal(model, x, y, eps=0.1, generator=seeded())
        assert all(m.training for m in model.modules()) and not any(model.modes)
        assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_the_smooth_count_is_one_half_at_the_boundary_and_falls_beyond_it():
    model = linear()
    x, y = torch.rand(9, 1, 2, 3, generator=seeded(), dtype=torch.float64), torch.zeros(9).long()
    of = still_standing(model, x, y, None)
    z = torch.tensor([[1e3, 0.0], [1.0, 1.0], [0.0, 1e3]], dtype=torch.float64)
    torch.testing.assert_close(of([0, 1, 2])(z), torch.tensor([1.0, 0.5, 0.0]).double())
    aimed = still_standing(model, x, y, torch.ones(9).long())
    torch.testing.assert_close(aimed([0, 1, 2])(z), torch.tensor([1.0, 0.5, 0.0]).double())


def test_it_fools_images_that_it_has_not_seen_where_noise_of_its_size_does_not():
    model, x, y = victim("digits", 400)
    seen, unseen = slice(200, None), slice(200)
    delta = attacks.universal(model, x[seen], y[seen], eps=0.3, generator=seeded())
    sign = 0.3 * (2 * torch.randint(0, 2, delta.shape, generator=seeded()) - 1)
    fooled, by_noise = (
        (predict(model, (x[unseen] + change).clamp(0, 1)) != y[unseen]).float().mean().item()
        for change in (delta, sign)
    )
    assert fooled > 0.5 and by_noise < fooled / 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"eps": -1.0}, "eps: -1.0"),
        ({"norm": "l1"}, "norm: 'l1'"),
        ({"epochs": 0}, "epochs: 0"),
        ({"batch_size": 2.5}, "batch_size: 2.5"),
        ({"step_size": float("nan")}, "step_size: nan"),
        ({"target": 9}, "target: labels from 9"),
        ({"target": torch.zeros(2).long()}, "target: shape"),
        ({"generator": 3}, "generator: got 3"),
        ({"bounds": (1.0, 0.0)}, "bounds"),
    ],
)
def test_bad_arguments_are_named(options, text):
    x, y, _ = batch(6)
    with pytest.raises(ValueError, match=text):
        attacks.universal(Net().eval(), x, y, **{"eps": 0.1} | options)


def test_bad_images_are_named():
    x, y, _ = batch(6)
    for images, labels, text in (
        (x[:0], y[:0], "x: no images"),
        (x + 1, y, "x: values"),
        (x, y[:2], "y: shape"),
        (x.long(), y, "x: got"),
    ):
        with pytest.raises(ValueError, match=text):
            attacks.universal(Net().eval(), images, labels, eps=0.1)
