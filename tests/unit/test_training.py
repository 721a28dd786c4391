"""The training loop: it learns, it is reproducible, and an interruption costs nothing but time."""

import dataclasses
import functools
import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from advcourse import attacks, checkpoints, data, defenses, models, recipes, toy, training

X, Y = toy.points(120)
N_BATCHES = 3


def net(seed=0, dropout=0.3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(2, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 2)]
        return nn.Sequential(*layers)


def fit(model, epochs=4, **more):
    options = {"batch_size": 50, "learning_rate": 0.02, "progress": False} | more
    return training.fit(model, X, Y, epochs=epochs, **options)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def noise(model, x, y, generator):
    return x + 0.05 * torch.randn(x.shape, generator=generator), y


@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
def test_learns(optimizer):
    model = net().train()
    rate = 0.3 if optimizer == "sgd" else 0.02
    losses = fit(model, 80, optimizer=optimizer, learning_rate=rate)
    assert len(losses) == 80 and losses[-1] < 0.5 * losses[0]
    assert training.accuracy(model, X, Y) > 0.85
    assert not any(m.training for m in model.modules())


def test_reported_loss_is_the_mean_over_examples():
    """With a rate of 0 nothing moves, so the loss is that of the first weights."""
    model = net(dropout=0)
    before = weights(model)
    losses = fit(model, 2, learning_rate=0.0, penalty=lambda m: 100 + 0 * weights_sum(m))
    assert losses == pytest.approx([F.cross_entropy(model(X), Y).item()] * 2, rel=1e-5)
    assert torch.equal(before, weights(model))


def weights_sum(model):
    return sum(p.abs().sum() for p in model.parameters())


def test_same_seed_same_weights():
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(made))  # of no account
        before, model = torch.get_rng_state(), net()
        losses = fit(model, augment=noise, seed=seed)
        assert torch.equal(before, torch.get_rng_state())
        made.append((weights(model), losses))
    assert torch.equal(made[0][0], made[1][0]) and made[0][1] == made[1][1]
    assert not torch.equal(made[0][0], made[2][0])


@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
@pytest.mark.parametrize("decay", [True, False])
@pytest.mark.parametrize("batch", [1, 4, 8])
def test_resumed_training_is_bit_identical(optimizer, decay, batch, tmp_path):
    options = {"optimizer": optimizer, "decay": decay, "seed": 3}
    whole, file, seen = net(), tmp_path / "room" / "partial.pt", []
    losses = fit(whole, augment=noise, **options)

    def interrupted(*args):
        seen.append(1)
        if len(seen) == batch + 1:
            raise KeyboardInterrupt
        return noise(*args)

    before, model = torch.get_rng_state(), net()
    with pytest.raises(KeyboardInterrupt):
        fit(model, augment=interrupted, resume=file, **options)
    assert torch.equal(before, torch.get_rng_state())
    assert file.exists() == (batch >= N_BATCHES), "kept after every epoch, not before"
    again, before = net(), len(seen)
    assert fit(again, augment=interrupted, resume=file, **options) == losses
    assert torch.equal(weights(again), weights(whole))
    left = (4 - batch // N_BATCHES) * N_BATCHES
    assert len(seen) - before == left, "finished epochs are not run again"
    assert list(file.parent.glob("*")) == []


@pytest.mark.parametrize("decay", [True, False])
def test_decay(decay):
    """A penalty of constant, enormous slope makes the steps as long as the learning rate."""
    path, model = [], net()

    def slope(model):
        path.append(weights(model).double().mean().item())
        return 1e6 * sum(p.sum() for p in model.parameters())

    fit(model, 5, decay=decay, optimizer="sgd", learning_rate=1e-6, penalty=slope)
    path = [*path[::N_BATCHES], weights(model).double().mean().item()]
    factors = [(1 + math.cos(math.pi * e / 5)) / 2 if decay else 1 for e in range(5)]
    fallen = [a - b for a, b in itertools.pairwise(path)]
    assert fallen == pytest.approx([N_BATCHES * f for f in factors], rel=1e-3)


def test_penalty_is_used():
    plain, small, calls = net(), net(), []

    def penalty(model):
        calls.append(model)
        return 0.5 * sum((p**2).sum() for p in model.parameters())

    fit(plain, 20)
    fit(small, 20, penalty=penalty)
    assert weights(small).norm() < 0.5 * weights(plain).norm()
    assert len(calls) == 20 * N_BATCHES and all(model is small for model in calls)


def test_augment_is_used():
    model, sizes, modes = net(), [], []

    def swap(m, x, y, generator):
        assert m is model and isinstance(generator, torch.Generator)
        sizes.append(len(x))
        m.eval()  # as an attack would; the step itself is in training mode again
        return 1 - x, 1 - y

    def watch(module, inputs, output):
        modes.append(module.training)

    model[2].register_forward_hook(watch)
    fit(model, 40, augment=swap)
    assert training.accuracy(model, 1 - X, 1 - Y) > 0.85
    assert sizes[:3] == [50, 50, 20] and len(sizes) == 40 * N_BATCHES
    assert all(modes[:-1])


def test_every_example_once_an_epoch_in_a_new_order():
    seen = []
    fit(net(), 2, augment=lambda m, x, y, g: seen.append(x) or (x, y))
    epochs = [torch.cat(seen[:3]), torch.cat(seen[3:])]
    assert all(torch.equal(e.unique(dim=0), X.unique(dim=0)) for e in epochs)
    assert not torch.equal(*epochs)
    fit(net(), 2, augment=lambda m, x, y, g: seen.append(x) or (x, y), seed=1)
    assert not torch.equal(epochs[0], torch.cat(seen[6:9])), "the order depends on the seed"


def test_errors():
    with pytest.raises(ValueError, match=r"no optimizer 'lion'; there are adam, rmsprop, sgd"):
        fit(net(), optimizer="lion")
    for x, y in ((X[:0], Y[:0]), (X, Y[:5])):
        with pytest.raises(ValueError, match=f"^x, y: {len(x)} images and {len(y)} labels"):
            training.fit(net(), x, y, epochs=1, progress=False)


def test_accuracy():
    model = nn.Sequential(nn.Dropout(0.9), nn.Identity()).train()
    z = torch.eye(3).repeat(100, 1)
    y = torch.arange(300) % 3
    y[:75] = (y[:75] + 1) % 3
    for batch_size in (1, 7, 1000):
        assert training.accuracy(model, z, y, batch_size) == pytest.approx(0.75)
    assert model.training


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Tiny recipes and an empty folder; counts what is trained."""
    real, fit, trained = recipes.recipes, training.fit, []

    def tiny(dataset):
        return [
            dataclasses.replace(r, fit=r.fit | {"epochs": 2, "batch_size": 500}, share=0.1)
            for r in real(dataset)
        ]

    def counted(model, x, y, **options):
        trained.append((len(x), options["epochs"]))
        return fit(model, x, y, **options)

    monkeypatch.setattr(checkpoints, "recipes", tiny)
    monkeypatch.setattr(checkpoints, "train", functools.partial(checkpoints.train, folder=tmp_path))
    monkeypatch.setattr(models, "CHECKPOINTS", tmp_path)
    manifest = models.manifest
    monkeypatch.setattr(models, "manifest", lambda folder=tmp_path: manifest(folder))
    monkeypatch.setattr(training, "fit", counted)
    return tmp_path, trained


def test_main_trains_what_is_missing(room, capsys):
    folder, trained = room
    share = round(0.1 * len(data.load("digits", quiet=True).x_train))
    assert checkpoints.main(["mlp20", "shallow"], ["digits"]) == 0
    assert trained == [(share, 2)] * 2
    assert "digits: 2 trained, 0 there already" in capsys.readouterr().out
    assert models.check_checkpoints(folder) == []
    assert checkpoints.main(["mlp20", "shallow"], ["digits"]) == 0 and len(trained) == 2
    assert "digits: 0 trained, 2 there already" in capsys.readouterr().out
    assert checkpoints.main(["mlp20"], ["digits"], force=True) == 0 and len(trained) == 3
    assert set(models.manifest(folder)) == {"mlp20-digits-standard", "shallow-digits-standard"}


def test_main_says_how_long_it_takes(room, capsys):
    """From the seconds that the present checkpoints took; here one took 100, the other no note."""
    folder, trained = room
    model = models.build("mlp20")
    for variant, more in (("standard", {"seconds": 100}), ("other", {})):
        models.save(model, "mlp20", "digits", variant, folder, accuracy=0.5, command="c", **more)
    assert checkpoints.main(["mlp20"], ["digits"], force=True) == 0 and len(trained) == 1
    assert "1 to train, about 2 minutes of one CPU core" in capsys.readouterr().out
    entry = models.manifest(folder)["mlp20-digits-standard"]
    assert len(entry["losses"]) == 2 and entry["seconds"] < 100
    assert checkpoints.main(["mlp20"], ["digits"]) == 0
    assert "to train" not in capsys.readouterr().out


def test_an_interrupted_force_goes_on(room, monkeypatch, capsys):
    """What the interrupted command has made is not made twice; the next command starts anew."""
    folder, trained = room
    counted, wanted = (
        training.fit,
        len([r for r in recipes.recipes("digits") if r.architecture == "lenet5"]),
    )

    def interrupted(*args, **options):
        if len(trained) == 2:
            raise KeyboardInterrupt
        return counted(*args, **options)

    monkeypatch.setattr(training, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.main(["lenet5"], ["digits"], force=True)
    first = dict(models.manifest(folder))
    assert len(first) == 2
    monkeypatch.setattr(training, "fit", counted)
    capsys.readouterr()
    assert checkpoints.main(["lenet5"], ["digits"], force=True) == 0
    assert f"digits: {wanted - 2} trained, 2 there already" in capsys.readouterr().out
    assert {k: v["sha256"] for k, v in models.manifest(folder).items() if k in first} == {
        k: v["sha256"] for k, v in first.items()
    }
    count = len(trained)
    assert checkpoints.main(["mlp20"], ["digits"], force=True) == 0 and len(trained) == count + 1
    assert checkpoints.main(["mlp20"], ["digits"], force=True) == 0 and len(trained) == count + 2


def test_main_lists_and_refuses(room, capsys):
    folder, trained = room
    checkpoints.main(["mlp20"], ["digits"])
    capsys.readouterr()
    assert checkpoints.main([], ["digits", "mnist"], listing=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * len(recipes.recipes("digits"))
    share = models.manifest(folder)["mlp20-digits-standard"]["accuracy"]
    (made,) = (line.split(maxsplit=2) for line in lines if "missing" not in line)
    assert made[:2] == ["mlp20-digits-standard", f"{share:.2%}"]
    assert made[2] == "python -m advcourse train mlp20 --dataset digits --force"
    assert checkpoints.main(["resnet"], ["digits"]) == 2 and len(trained) == 1
    assert "no architecture 'resnet'; there are lenet5" in capsys.readouterr().out


def test_variants(room, capsys):
    folder, trained = room
    assert checkpoints.main(["lenet5"], ["digits"], variant="pgd") == 0 and len(trained) == 1
    (entry,) = models.manifest(folder).values()
    assert entry["variant"] == "pgd" and entry["command"].endswith("--variant pgd --force")
    assert checkpoints.main([], ["digits"], variant="nope") == 2 and len(trained) == 1
    told = capsys.readouterr().out
    assert "no variant 'nope'; there are" in told and "pgd" in told and "standard" in told


def test_the_model_trained_against_pgd_resists_it():
    images = data.load("digits", quiet=True)
    x, y = images.x_test[:100], images.y_test[:100]
    left = {}
    for variant in ("standard", "pgd"):
        model = models.load("lenet5", images, variant=variant)
        x_adv = attacks.pgd(model, x, y, eps=0.2, generator=torch.Generator().manual_seed(0))
        left[variant] = training.accuracy(model, x_adv, y)
    assert left["pgd"] > left["standard"] + 0.3


def test_resume_refuses_the_file_of_another_training(tmp_path):
    def stop(model, x, y, generator):
        if calls and len(calls) > 12:
            raise KeyboardInterrupt
        calls.append(1)
        return x, y

    calls, state = [], tmp_path / "state.pt"
    random = torch.Generator().manual_seed(0)
    x, y = torch.rand(64, 4, generator=random), torch.arange(64) % 2
    again = {"epochs": 4, "batch_size": 8, "progress": False, "resume": state}
    with pytest.raises(KeyboardInterrupt):
        training.fit(torch.nn.Linear(4, 2), x, y, augment=stop, **again)
    assert state.exists()
    with pytest.raises(ValueError, match="another training"):
        training.fit(torch.nn.Linear(4, 2), x, y, seed=1, **again)


OTHERS = [{"eps": 0.2}, {"share": 0.5}, {"steps": 3}, {"attack": attacks.fgsm}, None]


@pytest.mark.parametrize("other", OTHERS)
def test_resume_refuses_the_file_of_another_defense(other, tmp_path):
    """The attack of an interrupted adversarial training and its ball are settings like any other."""
    calls, state = [], tmp_path / "state.pt"

    def stop(model, x, y, *, eps, generator, steps=None):
        calls.append(eps)
        if len(calls) == 13:
            raise KeyboardInterrupt
        return x

    x, y = torch.rand(64, 4), torch.arange(64) % 2
    options = {"epochs": 4, "batch_size": 8, "progress": False, "resume": state}
    first = defenses.adversarial_training(stop, eps=0.1)
    with pytest.raises(KeyboardInterrupt):
        training.fit(torch.nn.Linear(4, 2), x, y, objective=first, **options)
    made_with = {"attack": stop, "eps": 0.1} | (other or {})
    changed = None if other is None else defenses.adversarial_training(**made_with)
    with pytest.raises(ValueError, match="another training"):
        training.fit(torch.nn.Linear(4, 2), x, y, objective=changed, **options)
    same = defenses.adversarial_training(stop, eps=0.1)
    assert len(training.fit(torch.nn.Linear(4, 2), x, y, objective=same, **options)) == 4
