"""The GAN learns, goes on after an interruption, and its drawings are what Defense-GAN lets pass."""

import functools

import pytest
import torch
from torch import nn

from advcourse import attacks, data, models
from advcourse.defenses import DefenseGAN, fit_gan, gan, latent_attack


@functools.cache
def images():
    return data.load("digits", quiet=True).x_train[:64]


def fresh():
    return models.build("generator")


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


class Line(nn.Module):
    """A generator whose drawings are known: the first latent number is the gray value of all."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.first.weight)

    def forward(self, z):
        return self.first(z).clamp(0, 1)[:, :, None, None].expand(-1, 1, 4, 4)


class TestTraining:
    def test_nets_fit_together(self):
        drawn = fresh()(torch.randn(3, 32))
        assert drawn.shape == (3, 1, 28, 28) and 0 <= drawn.min() <= drawn.max() <= 1
        assert gan.critic()(drawn).shape == (3, 1)
        assert 4 * sum(p.numel() for p in fresh().parameters()) <= 1_200_000

    def test_it_learns_the_mean_picture_first(self):
        model, x = fresh(), images()
        before, state = fresh(), torch.get_rng_state()
        z = torch.randn(100, 32, generator=torch.Generator().manual_seed(0))
        losses = fit_gan(model, x, epochs=25, batch_size=16, learning_rate=1e-3, progress=False)
        assert torch.equal(state, torch.get_rng_state()) and not model.training
        assert len(losses) == 25 and all(0 <= v < 4 for v in losses)
        with torch.no_grad():
            away = [(m(z).mean(0) - x.mean(0)).abs().mean().item() for m in (before, model)]
        assert away[1] < 0.5 * away[0]

    def test_same_seed_same_result(self):
        one, two, other = (fresh() for _ in range(3))
        for model, seed in ((one, 0), (two, 0), (other, 1)):
            fit_gan(model, images(), epochs=1, seed=seed, progress=False)
        assert same(one, two) and not same(one, other)

    def test_an_interrupted_training_goes_on(self, tmp_path, monkeypatch):
        file, whole = tmp_path / "gan.pt", fresh()
        expected = fit_gan(whole, images(), epochs=3, progress=False)
        one_epoch, calls = gan._epoch, []

        def breaks(*args):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return one_epoch(*args)

        monkeypatch.setattr(gan, "_epoch", breaks)
        stopped = fresh()
        with pytest.raises(KeyboardInterrupt):
            fit_gan(stopped, images(), epochs=3, progress=False, resume=file)
        assert not same(stopped, fresh()) and file.exists()
        monkeypatch.setattr(gan, "_epoch", one_epoch)
        with pytest.raises(ValueError, match=r"resume: .* another training"):
            fit_gan(fresh(), images(), epochs=4, progress=False, resume=file)
        again = fresh()
        losses = fit_gan(again, images(), epochs=3, progress=False, resume=file)
        assert losses == expected and same(again, whole) and not file.exists()

    def test_refuses(self):
        with pytest.raises(ValueError, match="x: 0 images"):
            fit_gan(fresh(), images()[:0], epochs=1)


class TestProjection:
    def test_a_known_generator_gives_the_mean_gray(self):
        x = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(2))
        drawn = DefenseGAN(Line(), steps=100, restarts=2)(x)
        assert torch.allclose(drawn, x.mean((1, 2, 3), keepdim=True).expand_as(x), atol=5e-3)

    def test_what_it_can_draw_stays(self):
        model = fresh()
        with torch.no_grad():
            x = model(torch.randn(3, 32, generator=torch.Generator().manual_seed(9)))
        there = (DefenseGAN(model, steps=150, restarts=1)(x) - x).flatten(1).norm(dim=1)
        start = (DefenseGAN(model, steps=1, restarts=1)(x) - x).flatten(1).norm(dim=1)
        assert (there < 0.3 * start).all()

    def test_deterministic_alone_or_in_a_batch_and_without_gradient(self):
        defense, x = DefenseGAN(fresh(), steps=5, restarts=3), images()[:4].clone()
        state = torch.get_rng_state()
        with torch.no_grad():
            first = defense(x)
        second = defense(x.requires_grad_())
        assert torch.equal(first, second) and not second.requires_grad
        assert torch.equal(state, torch.get_rng_state())
        assert all(p.grad is None for p in defense.parameters())
        assert torch.allclose(defense(x[2:3]), first[2:3], atol=1e-4)
        assert not torch.equal(DefenseGAN(defense.generator, 5, 3, seed=1)(x), first)

    def test_more_restarts_and_steps_come_nearer(self):
        model, x = fresh(), images()[:6]

        def error(steps, restarts):
            return (DefenseGAN(model, steps, restarts)(x) - x).square().sum().item()

        assert error(30, 4) <= error(30, 1) < error(1, 1)

    @pytest.mark.parametrize("name", ["steps", "restarts", "learning_rate"])
    def test_refuses(self, name):
        for value in (0, -1, None):
            with pytest.raises(ValueError, match=f"{name}: {value}"):
                DefenseGAN(Line(), **{name: value})


class TestAttacks:
    """Against a dark-or-bright classifier behind the generator that draws one gray."""

    def setup_method(self):
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
        with torch.no_grad():
            self.model[1].weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 16))
            self.model[1].bias.copy_(torch.tensor([8.0, -8.0]))
        self.x = torch.full((4, 1, 4, 4), 0.42)
        self.x[2:] = 0.2
        self.y = torch.zeros(4, dtype=torch.int64)
        self.defense = DefenseGAN(Line(), steps=40, restarts=1)

    def check(self, x_adv):
        assert (x_adv - self.x).abs().max() <= 0.15 + 1e-6
        read = self.model(self.defense(x_adv)).argmax(1)
        assert read.tolist() == [1, 1, 0, 0]  # .42 can be brought over .5, .2 cannot

    def test_bpda(self):
        through = nn.Sequential(attacks.BPDA(self.defense), self.model)
        self.check(attacks.bim(through, self.x, self.y, eps=0.15, steps=4))

    def test_latent_attack(self):
        found = latent_attack(Line(), self.model, self.x, self.y, eps=0.15, steps=80, restarts=1)
        assert not found.requires_grad
        self.check(found)

    def test_latent_attack_refuses(self):
        with pytest.raises(ValueError, match=r"eps: -1 is no size"):
            latent_attack(Line(), self.model, self.x, self.y, eps=-1)
