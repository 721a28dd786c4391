"""The transforms are what they say, and an attacker who knows them gets back what they took."""

import functools
import math

import pytest
import torch
from torch import nn

from advcourse import attacks, data, models, panels, training
from advcourse.defenses import BinaryThreshold, GaussianSmoothing, RandomResizePad, Thermometer

TRANSFORMS = {
    "gaussian": lambda: GaussianSmoothing(1.0),
    "binary": lambda: BinaryThreshold(0.5),
    "resize": lambda: RandomResizePad(20),
}


@pytest.fixture
def x():
    return torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@functools.cache
def victim():
    """LeNet-5 and 60 digits that it reads right."""
    held = data.load("digits", quiet=True)
    model = models.load("lenet5", held)
    right = (model(held.x_test[:80]).argmax(1) == held.y_test[:80]).nonzero()[:60, 0]
    return model, held.x_test[right], held.y_test[right]


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=list(TRANSFORMS))
class TestEvery:
    def test_shape_range_and_an_untouched_input(self, make, x):
        before, state = x.clone(), torch.get_rng_state()
        out = make()(x)
        assert out.shape == x.shape and out.dtype == x.dtype
        assert out.min() >= 0 and out.max() <= 1 + 1e-6
        assert torch.equal(x, before) and torch.equal(state, torch.get_rng_state())

    def test_same_seed_same_result(self, make, x):
        assert torch.equal(make()(x), make()(x))

    def test_has_no_weights(self, make, x):
        assert not list(make().parameters())

    def test_sizes_and_kinds(self, make, x):
        for shape in ((2, 3, 28, 28), (1, 1, 30, 21), (0, 1, 28, 28)):
            for kind in (torch.float32, torch.float64):
                out = make()(torch.rand(shape, dtype=kind))
                assert out.shape == shape and out.dtype == kind


class TestGaussian:
    def test_kernel(self):
        for sigma in (0.3, 1.0, 2.5):
            kernel = GaussianSmoothing(sigma).kernel
            assert kernel.sum().item() == pytest.approx(1, abs=1e-6)
            assert torch.allclose(kernel, kernel.flip(0)) and kernel.argmax() == len(kernel) // 2
            ratio = math.exp(-0.5 / sigma**2)  # of the neighbor to the middle
            middle = len(kernel) // 2
            assert (kernel[middle + 1] / kernel[middle]).item() == pytest.approx(ratio, rel=1e-4)

    def test_sigma_0_is_the_identity_and_a_flat_image_stays(self, x):
        assert torch.equal(GaussianSmoothing(0)(x), x)
        flat = torch.full((1, 1, 9, 5), 0.3)
        assert torch.allclose(GaussianSmoothing(3)(flat), flat)

    def test_a_dot_becomes_the_2d_kernel(self):
        dot = torch.zeros(1, 2, 21, 21)
        dot[0, 1, 10, 10] = 1
        blur = GaussianSmoothing(1.0)
        out = blur(dot)
        outer = blur.kernel[:, None] * blur.kernel[None, :]
        assert torch.allclose(out[0, 1, 7:14, 7:14], outer, atol=1e-7) and not out[0, 0].any()

    def test_gradient(self, x):
        x = x[:1, :, :7, :7].double().requires_grad_()
        assert torch.autograd.gradcheck(GaussianSmoothing(1.0), x)

    @pytest.mark.parametrize("sigma", [-1, math.nan, math.inf, "1", True])
    def test_refuses(self, sigma):
        with pytest.raises(ValueError, match=r"sigma: .* pass a number >= 0"):
            GaussianSmoothing(sigma)


class TestBinary:
    def test_cut(self):
        out = BinaryThreshold(0.5)(torch.tensor([[0.0, 0.49, 0.5, 1.0]]))
        assert out.tolist() == [[0, 0, 1, 1]]

    def test_it_is_told_to_use_bpda(self):
        model, x, y = victim()
        with pytest.raises(ValueError, match=r"no gradient to follow; put attacks\.BPDA"):
            attacks.fgsm(nn.Sequential(BinaryThreshold(), model), x, y, eps=0.1)

    @pytest.mark.parametrize("cut", [0, -0.1, 1.1, None])
    def test_refuses(self, cut):
        with pytest.raises(ValueError, match=r"cut: .* at most 1"):
            BinaryThreshold(cut)


class TestResize:
    def test_full_size_changes_nothing(self, x):
        assert torch.allclose(RandomResizePad(28)(x), x, atol=1e-5)

    def test_a_white_image_becomes_a_white_square_of_an_allowed_size(self):
        out = RandomResizePad(20)(torch.ones(300, 1, 28, 28))
        inside = out[:, 0] > 0.99
        heights, widths = inside.any(2).sum(1), inside.any(1).sum(1)
        assert torch.equal(heights, widths)  # and solid:
        assert torch.equal(inside.sum((1, 2)), heights * widths)
        assert set(heights.tolist()) == set(range(20, 29))
        tops = inside.any(2).int().argmax(1)
        assert tops.min() == 0 and (tops + heights).max() == 28 and len(tops.unique()) == 9

    def test_images_and_passes_draw_their_own(self):
        same = torch.rand(1, 1, 28, 28).expand(8, -1, -1, -1)
        resize = RandomResizePad(20)
        first, second = resize(same), resize(same)
        assert len(first.flatten(1).unique(dim=0)) == 8 and not torch.equal(first, second)
        assert not torch.equal(RandomResizePad(20, seed=1)(same), first)

    def test_gradient(self):
        x = torch.rand(2, 1, 6, 6, dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(lambda x: RandomResizePad(4, seed=3)(x), x)

    def test_refuses(self, x):
        for smallest in (0, -3, 2.5, None):
            with pytest.raises(ValueError, match=r"smallest: .* >= 1"):
                RandomResizePad(smallest)
        with pytest.raises(ValueError, match=r"smallest: 29 exceeds .* 28"):
            RandomResizePad(29)(x)


class TestThermometer:
    def test_by_hand(self):
        x = torch.tensor([0.0, 0.25, 0.3, 0.8, 1.0]).view(5, 1, 1, 1)
        codes = Thermometer(4)(x)[:, :, 0, 0].tolist()
        assert codes == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]

    def test_a_column_is_ones_then_zeros_and_counts_the_pixel(self, x):
        codes = Thermometer(16)(x)
        assert codes.shape == (6, 16, 28, 28) and set(codes.unique().tolist()) == {0, 1}
        assert (codes[:, 1:] <= codes[:, :-1]).all()
        assert torch.equal(codes.sum(1, keepdim=True), (16 * x).ceil())

    def test_the_ramp_has_the_pixel_as_its_mean_and_is_the_code_at_full_levels(self, x):
        coder = Thermometer(8)
        assert torch.allclose(coder.backward(x).mean(1, keepdim=True), x, atol=1e-6)
        full = (x * 8).round() / 8
        assert torch.equal(coder.backward(full), coder(full))

    def test_refuses(self, x):
        for levels in (0, 2.0, None):
            with pytest.raises(ValueError, match=r"levels: .* >= 1"):
                Thermometer(levels)
        with pytest.raises(ValueError, match=r"x: 3 channels"):
            Thermometer(4)(x.expand(-1, 3, -1, -1))
        with pytest.raises(ValueError, match=r"x: shape \(28, 28\)"):
            Thermometer(4)(x[0, 0])


def test_the_threshold_helps_until_the_attacker_knows_it():
    model, x, y = victim()
    cut, eps = BinaryThreshold(0.5), 0.15
    defended = nn.Sequential(cut, model)
    unaware = attacks.bim(model, x, y, eps=eps)
    adaptive = attacks.bim(nn.Sequential(attacks.BPDA(cut), model), x, y, eps=eps, steps=20)
    bare, behind, known = (
        training.accuracy(m, a, y)
        for m, a in ((model, unaware), (defended, unaware), (defended, adaptive))
    )
    assert behind > bare + 0.15 and known < behind
    assert training.accuracy(defended, x, y) > 0.9


def test_blur_and_random_sizes_have_a_gradient_and_it_is_all_the_attacker_needs():
    model, x, y = victim()
    for transform, attacker in (
        (GaussianSmoothing(1.0), lambda m: m),
        (RandomResizePad(24), lambda m: attacks.EOT(m, 5)),
    ):
        defended = nn.Sequential(transform, model)
        clean = training.accuracy(defended, x, y)
        adaptive = attacks.bim(attacker(defended), x, y, eps=0.2)
        assert training.accuracy(defended, adaptive, y) < 0.2 < 0.6 < clean


def test_the_panel_says_what_the_transformed_pictures_are_read_as():
    model, x, y = victim()
    x_adv = attacks.bim(model, x[:1], y[:1], eps=0.2)
    pair, values = torch.cat([x[:1], x_adv]), [0.1, 0.5, 0.9]
    panel = panels.transform_panel(
        BinaryThreshold,
        model,
        pair,
        y[0],
        list("abcdefghij"),
        values,
        {"all": [0.2, 0.4, 0.9]},
        "cut",
    )
    seen = {}
    for value, share in ((0.1, "20.0%"), (0.3, "30.0%"), (0.9, "90.0%")):
        seen[value], caption = panel.draw(value=value)
        read = [
            "abcdefghij"[c]
            for c in model(torch.cat([pair, BinaryThreshold(value)(pair)])).argmax(1)
        ]
        told = dict(zip(panels.transforms.NAMES, read, strict=True))
        assert all(f"{name}: {c}" in caption for name, c in told.items())
        assert caption.startswith(f"cut {value:.2f}") and f"all {share}" in caption
    assert len(set(seen.values())) == 3
