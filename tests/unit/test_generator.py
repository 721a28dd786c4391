"""The gray-box generator: inside the ball, without the victim, stronger than it began."""

import functools

import pytest
import torch
from torch import nn

from advcourse import data, models
from advcourse.attacks import Generator, train_generator

EPS = 0.3


@functools.cache
def trained():
    images = data.load("digits", quiet=True)
    victim = models.load("lenet5", "digits").train()
    x, y = images.x_train[:600], images.y_train[:600]
    return victim, train_generator(victim, x, y, EPS, epochs=3, progress=False), (x, y)


def wrong(model, x, y):
    with torch.no_grad():
        return (model.eval()(x).argmax(1) != y).float().mean().item()


def test_it_fools_the_victim_on_images_that_it_has_not_seen():
    victim, made, _ = trained()
    images = data.load("digits", quiet=True)
    with torch.no_grad():
        x_adv = made(images.x_test)
    assert wrong(victim, images.x_test, images.y_test) < 0.05
    assert wrong(victim, x_adv, images.y_test) > 0.9
    assert made.losses[0] > 2 * made.losses[-1]


def test_inside_the_ball_and_the_bounds_one_image_at_a_time():
    _, made, (x, _) = trained()
    with torch.no_grad():
        together, alone = made(x[:5]), made(x[4:5])
        smaller = Generator(made.network, 0.1).eval()(x[:5])
    assert (together - x[:5]).abs().max() <= EPS + 1e-6
    assert (smaller - x[:5]).abs().max() <= 0.1 + 1e-6
    assert together.min() >= 0 and together.max() <= 1
    assert torch.allclose(together[4:5], alone, atol=1e-5), "it depends on its batch"


def test_a_network_that_leaves_its_range_is_held():
    far = Generator(nn.Sequential(nn.Linear(3, 3)), 0.2)
    with torch.no_grad():
        far.network[0].weight.mul_(100)
        x = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
        moved = far(x) - x
    assert moved.abs().max() <= 0.2 + 1e-6 and moved.abs().max() > 0.19


def test_victim_and_random_state_are_left_alone():
    victim = nn.Sequential(nn.Flatten(), nn.Linear(784, 3), nn.Dropout(0.5)).train()
    before = {k: v.clone() for k, v in victim.state_dict().items()}
    x = torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    y, state = torch.arange(40) % 3, torch.get_rng_state()
    made = train_generator(victim, x, y, 0.1, epochs=1, progress=False)
    assert torch.equal(state, torch.get_rng_state()) and victim.training
    assert all(torch.equal(v, before[k]) for k, v in victim.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in victim.parameters())
    assert not made.training
    again = train_generator(victim, x, y, 0.1, epochs=1, progress=False)
    other = train_generator(victim, x, y, 0.1, epochs=1, progress=False, seed=1)
    with torch.no_grad():
        assert torch.equal(made(x), again(x)) and not torch.equal(made(x), other(x))


def test_an_interrupted_training_goes_on(tmp_path):
    victim = nn.Sequential(nn.Flatten(), nn.Linear(784, 3))
    x = torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    y, kept = torch.arange(40) % 3, tmp_path / "state.pt"
    options = {"epochs": 2, "progress": False}
    whole = train_generator(victim, x, y, 0.1, **options)

    calls = []

    class Stopped(nn.Module):
        def forward(self, x):
            calls.append(1)
            if len(calls) > 4:  # a probe, two batches of the first epoch, one of the second
                raise KeyboardInterrupt
            return victim(x)

    with pytest.raises(KeyboardInterrupt):
        train_generator(Stopped(), x, y, 0.1, resume=kept, **options)
    assert kept.exists()
    resumed = train_generator(victim, x, y, 0.1, resume=kept, **options)
    with torch.no_grad():
        assert torch.equal(whole(x), resumed(x)) and not kept.exists()


@pytest.mark.parametrize("dataset", ["mnist", "digits"])
def test_the_checkpoint_is_small_and_beats_its_goal(dataset):
    entry = models.manifest()[f"perturber-{dataset}-standard"]
    assert (models.CHECKPOINTS / entry["file"]).stat().st_size <= 400_000
    if not data.available(dataset):
        pytest.skip(f"{dataset} is not here")
    images = data.load(dataset, quiet=True)
    made = Generator(models.load("perturber", dataset), {"mnist": 0.3, "digits": 0.2}[dataset])
    victim, (x, y) = models.load("lenet5", dataset), images.sample(500)
    with torch.no_grad():
        assert wrong(victim, made(x), y) >= 0.9


X, Y = torch.rand(4, 1, 28, 28), torch.arange(4) % 3


@pytest.mark.parametrize(
    "change, word",
    [
        ({"eps": -1}, "eps: -1"),
        ({"eps": float("nan")}, "eps: nan"),
        ({"epochs": 0}, "epochs: 0"),
        ({"batch_size": 2.5}, "batch_size: 2.5"),
        ({"lead": -1}, "lead: -1"),
        ({"x": X + 1}, "leave the bounds"),
        ({"x": X[:0], "y": Y[:0]}, "x: 0 images"),
        ({"y": Y + 5}, "3 classes"),
    ],
)
def test_bad_input_is_named(change, word):
    victim = nn.Sequential(nn.Flatten(), nn.Linear(784, 3))
    given = {"model": victim, "x": X, "y": Y, "eps": 0.1, "progress": False} | change
    with pytest.raises(ValueError, match=word):
        train_generator(**given)
