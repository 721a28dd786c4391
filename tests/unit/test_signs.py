"""The course's own road signs: the same pictures everywhere, and a network that reads them."""

import functools
import hashlib

import pytest
import torch

from advcourse import data, models, recipes, signs

images = functools.cache(functools.partial(data.load, "signs", quiet=True))


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_templates_are_ten_different_signs():
    flat, alpha = signs.templates(), signs.shapes()
    assert flat.shape == (10, 3, 48, 48) and alpha.shape == (10, 1, 48, 48)
    assert flat.dtype == alpha.dtype == torch.float32
    assert flat.min() >= 0 and flat.max() <= 1 and alpha.min() == 0 and alpha.max() == 1
    apart = torch.cdist(flat.flatten(1), flat.flatten(1)) + 99 * torch.eye(10)
    assert apart.min() > 2, "two signs alike"
    assert len(signs.CLASSES) == 10 and len(set(signs.CLASSES)) == 10
    flat.zero_()
    alpha.zero_()
    assert signs.templates().any() and signs.shapes().any(), "the caller's copy is the caller's"


def test_the_same_picture_on_every_machine():
    """No font and no smoothing of the drawing library: whole numbers, the same everywhere."""
    pixels = (torch.cat([signs.templates(), signs.shapes()], 1) * 255).round().byte()
    found = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()[:16]
    assert found == "cf58389bc5ad4858"


def test_shapes_and_colors():
    flat, alpha = signs.templates(), signs.shapes()
    by_name = dict(zip(signs.CLASSES, zip(flat, alpha, strict=True), strict=True))
    areas = {name: shape.mean().item() for name, (_, shape) in by_name.items()}
    assert areas["stop"] == pytest.approx(2 * 2**0.5 / 4, abs=0.01)  # an octagon in its circle
    assert areas["priority road"] == pytest.approx(0.5, abs=0.01)
    assert areas["limit 30"] == pytest.approx(torch.pi / 4 * 0.96**2, abs=0.01)
    assert areas["yield"] < 0.55
    red, blue = (by_name[name][0][:, 40, 24] for name in ("stop", "keep right"))
    assert red[0] > 2 * red[2] and blue[2] > 2 * blue[0]
    thirty, sixty = by_name["limit 30"][0], by_name["limit 60"][0]
    assert torch.equal(thirty[:, :, 26:], sixty[:, :, 26:]), "the same zero"
    assert not torch.equal(thirty[:, :, :23], sixty[:, :, :23])


def test_views_are_drawn_from_the_generator():
    x, alpha = signs.templates()[:4].requires_grad_(), signs.shapes()[:4]
    state = torch.get_rng_state()
    one, same, other = (signs.views(x, alpha, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert one.min() >= 0 and one.max() <= 1
    (gradient,) = torch.autograd.grad(one.sum(), x)
    assert (gradient.flatten(1).abs().sum(1) > 0).all()
    assert not (gradient * (alpha == 0)).any(), "what is no sign is never seen"
    near, far = (signs.views(x[:1], alpha[:1], rng(3), d, 0) for d in (5, 40))
    assert not torch.equal(near, far)


def test_the_data_set(capsys):
    dataset = data.load("signs")
    assert "Road signs: 1,000 training and 1,000 test images, 48 x 48" in capsys.readouterr().out
    assert data.available("signs") and dataset.name == "signs" and dataset.classes == signs.CLASSES
    for x, y in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        assert x.shape == (1000, 3, 48, 48) and x.dtype == torch.float32
        assert y.dtype == torch.int64 and (y.bincount() == 100).all()
        assert x.min() >= 0 and x.max() <= 1
    x, y = dataset.sample(50, seed=1)
    assert x.shape == (50, 3, 48, 48) and (y.bincount() == 5).all()


def test_seeds_and_sizes():
    one, same, other = (signs.load(20, 10, seed) for seed in (1, 1, 2))
    assert torch.equal(one.x_train, same.x_train) and torch.equal(one.y_test, same.y_test)
    assert not torch.equal(one.x_train, other.x_train)
    assert not torch.equal(one.x_train[:10], one.x_test)
    assert signs.load(3, 1).x_train.shape == (3, 3, 48, 48)
    for sizes, name in (((0, 5), "n_train"), ((5, 0), "n_test")):
        with pytest.raises(ValueError, match=f"{name}: 0 is no number of pictures"):
            signs.load(*sizes)


def test_no_notebook_gets_signs_for_digits(monkeypatch):
    monkeypatch.setenv("ADVCOURSE_DATASET", "signs")
    with pytest.raises(ValueError, match="ADVCOURSE_DATASET is 'signs'; it must be one of auto"):
        data.load()


def test_the_net_reads_unseen_views():
    net, dataset = models.load("signnet", "signs"), images()
    with torch.no_grad():
        right = net(dataset.x_test).argmax(1) == dataset.y_test
        assert right.float().mean() >= 0.97
        fresh = signs.load(1, 300, seed=11)  # views of another seed than the committed
        assert (net(fresh.x_test).argmax(1) == fresh.y_test).float().mean() >= 0.95
        flat = signs.templates() * signs.shapes() + 0.5 * (1 - signs.shapes())
        assert (net(flat).argmax(1) == torch.arange(10)).all()
    assert sum(p.numel() for p in net.parameters()) == 52_330


def test_the_recipe():
    (recipe,) = recipes.recipes("signs")
    assert recipe.key == "signnet-signs-standard" and recipe.key in models.manifest()
    assert recipe.command == "python -m advcourse train signnet --dataset signs --force"
    assert not {r.architecture for r in recipes.recipes("digits")} & {"signnet"}
