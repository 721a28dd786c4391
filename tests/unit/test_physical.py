"""The print-and-photograph chain, the camera, JPEG beside PIL's, and EOT behind a mask."""

import io
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from advcourse import attacks, physical


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(n=3, channels=3, height=24, width=32, seed=0):
    """Smooth random pictures, as photographs are."""
    coarse = torch.rand(n, channels, 6, 6, generator=rng(seed))
    return F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)


STEPS = [
    physical.Rotation(),
    physical.Scale(),
    physical.Camera((4, 30)),
    physical.Brightness(),
    physical.Contrast(),
    physical.Blur(),
    physical.Noise((0.01, 0.05)),
    physical.JPEG(),
]
every_step = pytest.mark.parametrize("step", STEPS, ids=lambda s: type(s).__name__)
NEUTRAL = {"turn": 0, "factor": 1, "light": 0, "stretch": 1, "sigma": 0, "std": 0}


@every_step
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_step_keeps_what_it_promises(step, channels):
    x = pictures(4, channels).requires_grad_()
    before, state = x.detach().clone(), torch.get_rng_state()
    one, same, other = step(x, rng(1)), step(x, rng(1)), step(x, rng(2))
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(x.detach(), before)
    assert one.shape == x.shape and one.dtype == x.dtype
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert one.min() >= 0 and one.max() <= 1
    (gradient,) = torch.autograd.grad(one.sum(), x)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0
    assert step(x[:0].detach(), rng()).shape == (0, channels, 24, 32)
    assert step(x.detach().double(), rng()).dtype == torch.float64


@every_step
def test_one_value_a_picture_equals_one_at_a_time(step):
    x, drawn = pictures(4), step.draw(4, rng(3))
    if "std" in drawn:
        drawn["std"] *= 0  # its pixels are drawn for the batch
    together = step(x, rng(), **drawn)
    alone = [
        step(x[i : i + 1], rng(), **{k: v[i].item() for k, v in drawn.items()}) for i in range(4)
    ]
    assert torch.allclose(together, torch.cat(alone), atol=2e-5 if "quality" not in drawn else 0.02)
    for name, (low, high) in step.ranges.items():
        values = step.draw(2000, rng())[name]
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high >= values.max() > high - 0.05 * (high - low)


@pytest.mark.parametrize("step", STEPS, ids=lambda s: type(s).__name__)
def test_nothing_happens_where_nothing_should(step):
    x = pictures()
    values = {name: NEUTRAL[name] for name in step.ranges if name in NEUTRAL}
    if values:
        assert torch.allclose(step(x, rng(), **values), x, atol=1e-5)


def test_rotation_and_scale_move_pixels_where_they_should():
    x = pictures(2, 1, 16, 16)
    assert torch.allclose(physical.rotate(x, 90), x.rot90(1, (2, 3)), atol=1e-5)
    large = pictures(2, 1, 64, 64)
    there = physical.rotate(physical.rotate(large, 20), -20)
    assert (there - large)[..., 16:-16, 16:-16].abs().max() < 0.05
    small = physical.scale(x, 0.5, fill=0.3)
    assert torch.allclose(small[..., 0, :], torch.tensor(0.3))
    means = F.avg_pool2d(x, 2)  # half the size between the pixels: means of four
    assert torch.allclose(small[..., 4:12, 4:12], means, atol=1e-5)


def test_light_in_closed_form():
    x = torch.tensor([0.0, 0.3, 1.0]).view(1, 1, 1, 3)
    assert torch.allclose(physical.brightness(x, 0.2), torch.tensor([0.2, 0.5, 1.0]).view_as(x))
    assert torch.allclose(physical.contrast(x, 0.5), torch.tensor([0.25, 0.4, 0.75]).view_as(x))


def test_blur_is_a_gaussian():
    x = torch.zeros(2, 1, 31, 31)
    x[..., 15, 15] = 1
    soft = physical.blur(x, torch.tensor([1.0, 2.5]))
    away = torch.arange(31) - 15.0
    for picture, sigma in zip(soft[:, 0], (1.0, 2.5), strict=True):
        assert picture.sum().item() == pytest.approx(1, abs=1e-4)
        assert (picture.sum(0) * away**2).sum().item() == pytest.approx(sigma**2, rel=0.05)
    assert torch.equal(physical.blur(x, 0), x)


def test_noise_has_its_size():
    x = torch.full((4, 3, 64, 64), 0.5)
    seen = physical.noise(x, torch.tensor([0.0, 0.01, 0.05, 0.1]), rng())
    assert torch.equal(seen[0], x[0])
    assert torch.allclose(seen.std((1, 2, 3)), torch.tensor([0.0, 0.01, 0.05, 0.1]), atol=2e-3)


@pytest.mark.parametrize("quality", [15, 50, 75, 95])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_beside_the_real_one(quality, channels):
    x = physical.noise(pictures(1, channels, 45, 52), 0.03, rng())  # no multiples of 8
    array = (x[0] * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    image = Image.fromarray(array if channels == 3 else array[..., 0])
    image.save(file, "JPEG", quality=quality, **({"subsampling": 0} if channels == 3 else {}))
    real = torch.from_numpy(np.array(Image.open(file)).reshape(45, 52, channels) / 255.0)
    real = real.permute(2, 0, 1).float()
    ours = physical.jpeg(x, quality)[0]
    # Its integer arithmetic rounds a few coefficients to the other side; what it loses is far more.
    assert (ours - real).abs().mean() < 0.8 / 255
    assert (ours - real).abs().mean() < 0.35 * (x[0] - real).abs().mean()
    assert torch.allclose(ours * 255, (ours * 255).round(), atol=1e-3), "a file holds 8 bits"


def test_jpeg_takes_the_slope_of_the_identity():
    """Rounding has none. In the middle of the range the slope through transform and back is 1."""
    x = (0.4 + 0.2 * pictures(1, 3, 16, 16)).requires_grad_()
    weight = torch.rand(x.shape, generator=rng())
    (gradient,) = torch.autograd.grad((physical.jpeg(x, 60) * weight).sum(), x)
    assert torch.allclose(gradient, weight, atol=1e-4)


def test_the_camera_from_the_front_is_a_frame():
    x = torch.rand(1, 3, 40, 40, generator=rng())
    fill = physical.camera.__globals__["FILL"]
    near = physical.camera(x, 3, 0, background=0.0)
    assert torch.allclose(near, physical.scale(x, fill, fill=0.0), atol=1e-4)
    far = physical.camera(x, 40, 0, background=0.0)
    assert _detail(far) < 0.5 * _detail(near), "far away the details go"


def _detail(x):
    return (x[..., 1:] - x[..., :-1]).square()[..., 12:-12, 12:-12].sum().item()


@pytest.mark.parametrize("angle", [20, 45, 60])
def test_perspective_in_closed_form(angle):
    """Where the two vertical edges of a square sign appear, by the pinhole's similar triangles."""
    side, distance = 200, 10.0
    seen = physical.camera(torch.ones(1, 1, side, side), distance, angle, background=0.0)[0, 0]
    fill, half = physical.camera.__globals__["FILL"], physical.camera.__globals__["SIGN"] / 2
    d, a = distance / half, math.radians(angle)
    edges = [fill * d * s * math.cos(a) / (d + s * math.sin(a)) for s in (-1, 1)]
    lit = (seen[side // 2] > 0.5).nonzero()[:, 0]
    found = [(lit[0].item()) * 2 / side - 1, (lit[-1].item() + 1) * 2 / side - 1]
    assert found == pytest.approx(edges, abs=0.02)
    tall = [seen[:, int((0.9 * e + 1) / 2 * side)].sum().item() / side for e in edges]
    wanted = [fill * d / (d + s * math.sin(a)) for s in (-0.9, 0.9)]
    assert tall == pytest.approx(wanted, abs=0.025), "from the right, the left edge is nearer"
    mirrored = physical.camera(torch.ones(1, 1, side, side), distance, -angle, background=0.0)
    assert torch.allclose(mirrored[0, 0].flip(1), seen, atol=1e-4)


def test_alpha_and_background():
    x, alpha = pictures(2), torch.zeros(1, 1, 24, 32)
    scene = pictures(2, seed=9)
    assert torch.allclose(physical.camera(x, 5, 10, alpha=alpha, background=scene), scene)
    wild = torch.where(alpha.bool(), x, 1 - x)  # what is no sign is never seen
    same = [physical.camera(p, 5, 10, alpha=alpha, background=0.2) for p in (x, wild)]
    assert torch.equal(*same)
    moved = physical.camera(x, 5, 0, background=0.0, shift=(0.25, 0))
    assert torch.allclose(
        moved[..., 8:], physical.camera(x, 5, 0, background=0.0)[..., :-8], atol=1e-4
    )


def test_bad_values_are_named():
    x = pictures()
    cases = [
        (lambda: physical.rotate(x[0], 3), r"x: \(3, 24, 32\)"),
        (lambda: physical.rotate(x, "much"), "degrees: 'much' is no number"),
        (lambda: physical.blur(x, -1), r"sigma: -1 is outside \[0, 4\]"),
        (lambda: physical.blur(x, 9), "sigma: 9 is outside"),
        (lambda: physical.noise(x, float("nan")), "std: nan is outside"),
        (lambda: physical.jpeg(x, 0), "quality: 0 is outside"),
        (lambda: physical.scale(x, 0), "factor: 0 is outside"),
        (lambda: physical.contrast(x, torch.ones(2)), "factor: 2 values for 3 pictures"),
        (lambda: physical.camera(x, 1, 0), "distance: 1 is outside"),
        (lambda: physical.camera(x, 5, 80), "angle: 80 is outside"),
        (lambda: physical.camera(x, 5, 0, alpha=x), "alpha: shape"),
        (lambda: physical.Rotation((3, -3)), r"turn: \(3, -3\) is no range"),
        (lambda: physical.Rotation()(x, rng(), sigma=1), "sigma: this step draws turn"),
        (
            lambda: physical.Chain(STEPS)(x, rng(), tilt=1),
            "tilt: no step draws it; there are angle",
        ),
        (lambda: physical.bars(10, 10, ((0.5, 0.51),)), "a bar of no pixel"),
        (lambda: physical.glasses(10, 10, 0), "thickness: 0 is outside"),
    ]
    for call, said in cases:
        with pytest.raises(ValueError, match=said):
            call()


def test_the_chain_is_its_steps_in_order():
    x, chain = pictures(), physical.Chain(STEPS)
    by_hand, source = x, rng(4)
    for step in STEPS:
        by_hand = step(by_hand, source)
    assert torch.equal(chain(x, rng(4)), by_hand)
    own = physical.Chain(STEPS, rng(4))
    assert torch.equal(own(x), by_hand) and not torch.equal(own(x), by_hand)
    still = physical.Chain(STEPS[:2])(x, rng(), turn=10, factor=torch.full((3,), 1.1))
    assert torch.allclose(still, physical.scale(physical.rotate(x, 10), 1.1), atol=1e-6)
    assert physical.print_and_photograph()(x).shape == x.shape


def test_masks():
    two = physical.bars(48, 48)
    assert two.shape == (1, 48, 48) and set(two.unique().tolist()) == {0.0, 1.0}
    assert int((two[0, :, 24].diff() == 1).sum()) == 2, "two bars in the middle column"
    rims = physical.glasses(48, 48)
    assert rims.shape == (1, 48, 48) and 0.05 < rims.mean() < 0.3
    assert rims[0, 20, 13] == 0 == rims[0, 20, 34], "one looks through the rings"
    assert torch.equal(rims, rims.flip(2))


# ---------------------------------------------------------------- the attack


def victim():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))


@pytest.fixture
def small():
    with torch.random.fork_rng(devices=[]):
        net = victim()
    return net, torch.rand(5, 3, 8, 8, generator=rng(2)), torch.tensor([0, 1, 2, 3, 0])


def identity(x, generator):
    return x


def test_the_ball_and_the_mask(small):
    net, x, y = small
    mask = (torch.rand(1, 8, 8, generator=rng(3)) < 0.4).float()
    for start in (False, True):
        options = {"eps": 0.2, "views": physical.Noise(0.05), "random_start": start, "steps": 6}
        found = attacks.eot_pgd(net, x, y, mask=mask, generator=rng(), **options)
        moved = (found - x).abs()
        assert moved.max() <= 0.2 + 1e-6 and found.min() >= 0 and found.max() <= 1
        outside = ~mask.bool().expand_as(x)
        assert torch.equal(found[outside], x[outside])
        assert (moved[~outside] > 0).float().mean() > 0.9
        assert torch.equal(found, attacks.eot_pgd(net, x, y, mask=mask, generator=rng(), **options))


def test_without_randomness_it_is_pgd_and_on_a_linear_model_the_optimum(small):
    """Closed form: for two classes' difference the best corner of the ball is the sign of weights."""
    net, x, y = small
    target = (y + 1) % 4
    shown = []
    attacks.pgd(
        net,
        x,
        y,
        eps=0.1,
        steps=1,
        random_start=False,
        on_step=lambda _, v: shown.append(v),
    )
    ours = attacks.eot_pgd(net, x, y, eps=0.1, steps=1, views=identity, samples=3)
    assert torch.allclose(ours, shown[-1], atol=1e-6)
    pair = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    found = attacks.eot_pgd(pair, x, y % 2, eps=0.1, views=identity, target=1 - y % 2, steps=8)
    towards = pair[1].weight[1] - pair[1].weight[0]
    way = torch.where((y % 2 == 0)[:, None], towards, -towards).sign().view_as(x)
    assert torch.allclose(found, (x + 0.1 * way).clamp(0, 1), atol=1e-5)
    aimed = attacks.eot_pgd(net, x, y, eps=0.5, views=identity, target=target, steps=20)
    assert torch.equal(net(aimed).argmax(1), target)


def test_it_climbs_the_average_over_views(small):
    """Views that show the picture or its negative in turn have an average slope of zero."""
    _, x, y = small
    linear = nn.Linear(192, 4, bias=False)

    class Bare(nn.Module):
        def forward(self, v):
            return linear(v.flatten(1) - 0.5)

    def both(v, generator):  # each picture comes twice
        turned = torch.arange(len(v)) % 2 == 1
        return torch.where(turned[:, None, None, None], 1 - v, v)

    flat = torch.full_like(x, 0.5)  # all logits are 0 here: the two slopes cancel exactly
    found = attacks.eot_pgd(Bare(), flat, y, eps=0.1, views=both, samples=2, steps=1)
    assert torch.allclose(found, flat, atol=1e-6)
    lone = attacks.eot_pgd(Bare(), flat, y, eps=0.1, views=identity, samples=2, steps=1)
    assert (lone - flat).abs().min() > 0.05


def test_what_an_attack_promises(small):
    net, x, y = small
    net = nn.Sequential(net, nn.Dropout(0.5)).train()
    before, state, seen = x.clone(), torch.get_rng_state(), []
    chain = physical.Chain([physical.Brightness(), physical.Noise()])
    found = attacks.eot_pgd(
        net,
        x,
        y,
        eps=0.1,
        views=chain,
        steps=4,
        samples=2,
        on_step=lambda step, v: seen.append((step, v)),
    )
    assert torch.equal(x, before) and torch.equal(state, torch.get_rng_state())
    assert [step for step, _ in seen] == [1, 2, 3, 4] and torch.equal(seen[-1][1], found)
    assert net.training and all(p.grad is None and p.requires_grad for p in net.parameters())
    assert not found.requires_grad and found.dtype == x.dtype
    double = attacks.eot_pgd(net.double(), x.double(), y, eps=0.1, views=identity, steps=1)
    assert double.dtype == torch.float64


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mask": torch.ones(7, 7)}, r"mask: shape \(7, 7\) does not broadcast"),
        ({"mask": torch.ones(2, 5, 3, 8, 8)}, "mask: shape"),
        ({"mask": torch.full((8, 8), 0.5)}, "mask: has values other than 0 and 1"),
        ({"samples": 0}, "samples: 0 is no count"),
        ({"eps": -1}, "eps: -1 is no size"),
        ({"steps": 0}, "steps: 0 is no count"),
        ({"views": lambda v, generator: v.detach()}, "does not depend on x"),
    ],
)
def test_bad_input_is_named(small, options, said):
    net, x, y = small
    net = net.requires_grad_(False) if "views" in options else net.double().float()
    with pytest.raises(ValueError, match=said):
        attacks.eot_pgd(net, x, y, **{"eps": 0.1, "views": identity, "steps": 2, **options})


def test_the_old_wrapper_serves_too(small):
    """Lecture 14's EOT through the chain: PGD, without a mask."""
    net, x, y = small
    chain = physical.Chain([physical.Contrast(), physical.Noise()], rng())
    seen = nn.Sequential(chain, net)
    found = attacks.pgd(attacks.EOT(seen, 4), x, y, eps=0.3, steps=10, generator=rng())
    assert (net(found).argmax(1) != y).all() and (found - x).abs().max() <= 0.3 + 1e-6
