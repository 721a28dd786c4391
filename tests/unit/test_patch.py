"""A patch covers exactly its area, anywhere, on a new tensor; and training finds a good one."""

import pytest
import torch
from scipy.stats import chisquare
from torch import nn

from advcourse import attacks
from advcourse.attacks.sticker import Patch, gather, outline, paste
from tests.unit.attack_cases import Net, predict, seeded, victim

SHAPES = pytest.mark.parametrize("shape", ["square", "round"])


def pictures(n=6, channels=3, height=12, width=9, seed=1):
    """Return images in [.1, .9]; a patch of zeros and ones changes every pixel that it covers."""
    return 0.1 + 0.8 * torch.rand(n, channels, height, width, generator=seeded(seed))


def sticker(size=4, channels=3, shape="square", rotate=0.0):
    pixels = torch.randint(0, 2, (channels, size, size), generator=seeded(7)).float()
    return Patch(pixels, outline(size, shape), rotate)


@SHAPES
def test_it_changes_exactly_its_area_on_a_new_tensor(shape):
    x, patch = pictures(40), sticker(shape=shape)
    before, state = x.clone(), torch.get_rng_state()
    pasted = patch.apply(x, seeded())
    assert torch.equal(x, before) and pasted.data_ptr() != x.data_ptr()
    assert torch.equal(state, torch.get_rng_state())
    changed = (pasted != x).all(1)
    assert torch.equal(changed, (pasted != x).any(1))
    assert (changed.sum((1, 2)) == patch.area).all()
    again = patch.apply(pasted, seeded())  # the same places: nothing piles up
    assert torch.equal(again, pasted)
    for picture, where in zip(pasted, changed, strict=True):
        rows, columns = where.any(1).nonzero()[:, 0], where.any(0).nonzero()[:, 0]
        window = picture[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert torch.equal(window[:, patch.mask], patch.pixels[:, patch.mask])


def test_every_place_where_it_fits_is_equally_likely():
    x = pictures(4500, 1, 7, 5)
    index = sticker(3, 1).place(x, seeded(3))
    corner = (index == 0).flatten(1).int().argmax(1)
    counts = torch.bincount(corner, minlength=35).view(7, 5)
    assert counts[5:].sum() == 0 and counts[:, 3:].sum() == 0
    assert chisquare(counts[:5, :3].flatten()).pvalue > 1e-3


def test_places_come_from_the_generator_one_image_after_another():
    x, patch, source = pictures(20), sticker(rotate=20.0), seeded(4)
    first, second = patch.apply(x, source), patch.apply(x, source)
    assert not torch.equal(first, second)
    assert torch.equal(first, patch.apply(x, seeded(4)))
    source = seeded(4)
    halves = [patch.apply(part, source) for part in x.split(10)]
    assert torch.equal(torch.cat(halves), first)
    assert not torch.equal(patch.apply(x), patch.apply(x)), "without one every call is another"


def test_a_given_place_is_kept_to_the_corners():
    x, patch = pictures(), sticker()
    for row, column in ((0, 0), (8, 5), (3, 2)):
        pasted = patch.apply(x, at=(row, column))
        wanted = x.clone()
        wanted[:, :, row : row + 4, column : column + 4] = patch.pixels
        assert torch.equal(pasted, wanted)
    whole = sticker(9)
    assert (whole.apply(pictures(height=9), seeded()) == whole.pixels).all()


def test_quarter_turns_are_exact():
    x, patch = pictures(2), sticker()
    for quarters in (-1, 0, 1, 2):
        pasted = patch.apply(x, at=(2, 3), angle=90.0 * quarters)
        turned = torch.rot90(patch.pixels, quarters, (1, 2))
        assert torch.equal(pasted[0, :, 2:6, 3:7], turned), quarters
        assert ((pasted != x).any(1).sum((1, 2)) == 16).all()


@SHAPES
def test_a_turned_patch_stays_whole(shape):
    x, patch = pictures(200, 3, 30, 30), sticker(10, shape=shape, rotate=180.0)
    covered = (patch.apply(x, seeded()) != x).any(1).sum((1, 2))
    assert (covered - patch.area).abs().max() <= 0.13 * patch.area
    assert (covered.float().mean() - patch.area).abs() < 0.03 * patch.area
    margin = patch.apply(x[:, :, :16, :16], seeded())  # it just fits
    assert ((margin != x[:, :, :16, :16]).any(1).sum((1, 2)) - patch.area).abs().max() <= 13


def test_the_patch_gets_the_gradient_of_every_pixel_that_it_covers():
    x, patch = pictures(9).double(), sticker(4, rotate=40.0)
    index = patch.place(x, seeded())
    pixels = patch.pixels.double().requires_grad_()
    weight = torch.randn(x.shape, generator=seeded(), dtype=torch.float64)
    (wanted,) = torch.autograd.grad((weight * paste(x, pixels, index)).sum(), pixels)
    torch.testing.assert_close(gather(weight, index, pixels), wanted)


class Bright(nn.Module):
    """Class 1 where the picture is bright; class 0 where it is dark."""

    def forward(self, x):
        light = x.flatten(1).mean(1) - 0.5
        return torch.stack([-light, light], 1)


@pytest.mark.parametrize(("options", "wanted"), [({}, 1.0), ({"target": 0}, 0.0)])
def test_against_a_light_meter_it_turns_white_or_black(options, wanted):
    x = 0.5 * pictures(20)
    y = torch.zeros(20).long()
    options = {"size": 3, "epochs": 60, **options}
    patch = attacks.patch(Bright(), x, y, shape="round", generator=seeded(), **options)
    assert patch.pixels.shape == (3, 3, 3) and patch.size == 3
    assert (patch.pixels[:, patch.mask] == wanted).all()
    wide = attacks.patch(Bright(), x, y, bounds=(-1.0, 2.0), generator=seeded(), **options)
    assert (wide.pixels == 3 * wanted - 1).float().mean() > 0.5


def test_same_seed_same_patch_and_everything_else_is_left_alone():
    x, y = pictures(15, 1, 8, 8).double(), torch.arange(15) % 4
    options = {"size": 3, "epochs": 2, "batch_size": 4}
    model = Net((1, 8, 8)).train()
    before, state = x.clone(), torch.get_rng_state()
    first, second, other = (
        attacks.patch(model, x, y, **options, generator=seeded(s)) for s in (1, 1, 2)
    )
    assert torch.equal(first.pixels, second.pixels) and not torch.equal(first.pixels, other.pixels)
    assert first.pixels.dtype == x.dtype and not first.pixels.requires_grad
    assert torch.equal(x, before) and torch.equal(state, torch.get_rng_state())
    assert all(m.training for m in model.modules()) and not any(model.modes)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    with pytest.raises(RuntimeError, match="out of order"):
        attacks.patch(Net((1, 8, 8), fails_at=3).train(), x, y, **options)


def test_steps_are_shown_and_views_see_the_pasted_picture():
    x, y = pictures(10, 1, 8, 8), torch.arange(10) % 2
    shown, seen, source = [], [], seeded()

    def views(images, generator):
        assert generator is source
        seen.append(images.detach())
        return 1 - images

    patch = attacks.patch(
        Bright(), 0.5 * x, 0 * y, size=3, epochs=20, batch_size=5, views=views, generator=source,
        on_step=lambda step, now: shown.append((step, now)),
    )  # fmt: skip
    assert [step for step, _ in shown] == list(range(1, 41)) and len(seen) == 40
    assert torch.equal(shown[-1][1].pixels, patch.pixels)
    assert (patch.pixels == 0).all(), "through a negative, black is bright"
    assert all(bool((picture != 0.5 * x[:5]).any()) for picture in seen)


@pytest.mark.parametrize("target", [None, 3])
def test_it_fools_new_images_at_new_places_better_than_a_random_one(target):
    model, x, y = victim("digits", 400)
    options = {"size": 12, "epochs": 12, "batch_size": 50, "target": target}
    patch = attacks.patch(model, x[200:], y[200:], generator=seeded(), **options)
    control = Patch.random(12, generator=seeded())
    won = []
    for one in (patch, control):
        answer = predict(model, one.apply(x[:200], seeded(9)))
        won.append(
            (answer != y[:200] if target is None else answer == target).float().mean().item()
        )
    assert won[0] > won[1] + (0.15 if target is None else 0.05), won


@SHAPES
def test_a_file_keeps_it(shape, tmp_path):
    patch = sticker(5, shape=shape, rotate=30.0)
    patch.save(tmp_path / "patch.safetensors")
    back, x = Patch.load(tmp_path / "patch.safetensors"), pictures()
    assert back.area == patch.area and back.rotate == 30.0
    assert torch.equal(back.apply(x, seeded()), patch.apply(x, seeded()))


def test_the_random_control_comes_from_its_generator():
    one, two = Patch.random(4, 3, generator=seeded()), Patch.random(4, 3, generator=seeded())
    assert torch.equal(one.pixels, two.pixels) and one.pixels.shape == (3, 4, 4)
    assert one.area == 16 and Patch.random(5, shape="round").area == 21


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"size": 0}, "size: 0"),
        ({"size": 2.5}, "size: 2.5"),
        ({"size": 9}, "size: 9 does not fit"),
        ({"size": 7, "rotate": 20.0}, "with its turn it needs 9"),
        ({"shape": "star"}, "shape: 'star'"),
        ({"rotate": -3.0}, "rotate: -3.0"),
        ({"epochs": 0}, "epochs: 0"),
        ({"batch_size": True}, "batch_size: True"),
        ({"learning_rate": -1.0}, "learning_rate: -1.0"),
        ({"target": 4}, "target: labels from 4"),
    ],
)
def test_bad_arguments_are_named(options, text):
    x, y = pictures(5, 1, 8, 8).double(), torch.arange(5) % 4
    with pytest.raises(ValueError, match=text):
        attacks.patch(Net((1, 8, 8)).eval(), x, y, **{"size": 3} | options)


def test_bad_places_and_images_are_named():
    patch, x = sticker(), pictures()
    rows = x[:, 0, 0].double()
    for call, text in (
        (lambda: patch.apply(x[:, :1]), "x: 1 channels"),
        (lambda: patch.apply(x[0]), "x: shape"),
        (lambda: patch.apply(x[:, :, :3]), "does not fit"),
        (lambda: patch.apply(x, at=(9, 0)), r"at: \(9, 0\)"),
        (lambda: patch.apply(x, at=(0, -1)), r"at: \(0, -1\)"),
        (lambda: patch.apply(x, at=(0.5, 1)), "whole numbers"),
        (lambda: patch.apply(x, angle=float("inf")), "angle: inf"),
        (
            lambda: attacks.patch(Net((9,)), rows, torch.zeros(6).long(), size=2),
            "x: shape",
        ),
    ):
        with pytest.raises(ValueError, match=text):
            call()
