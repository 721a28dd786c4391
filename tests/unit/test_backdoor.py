"""Backdoors do what they say, exactly; the detectors agree with closed forms and planted clusters."""

import pytest
import torch
from torch import nn

from advcourse import poisoning
from advcourse.poisoning import Trigger


@pytest.fixture
def images():
    random = torch.Generator().manual_seed(3)
    return torch.rand(40, 1, 6, 7, generator=random) * 0.9, torch.arange(40) % 4


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- the trigger


def test_the_default_trigger_is_a_white_corner_and_nothing_else(images):
    x, _ = images
    before = x.clone()
    stamped = Trigger()(x)
    assert torch.equal(x, before) and stamped.data_ptr() != x.data_ptr()
    assert (stamped != x).flatten(1).sum(1).tolist() == [9] * 40
    assert torch.equal(stamped[:, :, -3:, -3:], torch.ones(40, 1, 3, 3))


@pytest.mark.parametrize(
    ("place", "rows", "columns"),
    [((0, 0), slice(0, 2), slice(0, 3)), ((-2, 1), slice(4, 6), slice(1, 4))],
)
def test_a_trigger_lies_where_it_is_put(images, place, rows, columns):
    x, _ = images
    pattern = torch.rand(1, 2, 3, generator=seeded())
    trigger = Trigger(pattern, place)
    wanted = x.clone()
    wanted[:, :, rows, columns] = pattern
    assert torch.equal(trigger(x), wanted)
    assert trigger.window(x) == [rows, columns]
    assert torch.equal(trigger(x[:0]), x[:0]) and torch.equal(trigger(x[3]), wanted[3])
    assert trigger(x.double()).dtype == torch.float64


def test_a_blended_trigger_mixes(images):
    x, _ = images
    pattern = torch.rand(6, 7, generator=seeded())
    got = Trigger(pattern, (0, 0), 0.25)(x)
    torch.testing.assert_close(got, x + 0.25 * (pattern - x))
    assert torch.equal(Trigger(pattern, (0, 0), 0.0)(x), x)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"pattern": torch.ones(3)}, "pattern: got"),
        ({"pattern": torch.ones(2, 2, dtype=torch.int64)}, "pattern: got"),
        ({"pattern": 1.0}, "pattern: got float"),
        ({"pattern": torch.full((2, 2), 255.0)}, "pattern: empty, or pixels outside"),
        ({"pattern": torch.full((2, 2), torch.nan)}, "pattern: empty, or pixels outside"),
        ({"opacity": 1.5}, "opacity: 1.5"),
    ],
)
def test_a_bad_trigger_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        Trigger(**arguments)


@pytest.mark.parametrize("place", [(4, 0), (0, 5), (-2, -3), (-9, 0)])
def test_a_trigger_does_not_stick_out(images, place):
    with pytest.raises(ValueError, match=r"place: .* 3 x 3 .* 6 x 7"):
        Trigger(place=place)(images[0])


# ---------------------------------------------------------------- the poisoned training set


@pytest.mark.parametrize("share", [0.0, 0.1, 0.26, 0.75])
def test_a_backdoor_changes_so_many_images_and_no_other(images, share):
    x, y = images
    before = x.clone(), y.clone()
    done = poisoning.backdoor(x, y, share, 2, generator=seeded())
    assert torch.equal(x, before[0]) and torch.equal(y, before[1])
    x_new, y_new = done
    assert int(done.mask.sum()) == round(share * 40)
    assert not (y[done.mask] == 2).any() and (y_new[done.mask] == 2).all()
    assert torch.equal(x_new[done.mask], Trigger()(x)[done.mask])
    assert torch.equal(x_new[~done.mask], x[~done.mask])
    assert torch.equal(y_new[~done.mask], y[~done.mask])


def test_the_generator_alone_decides(images):
    x, y = images
    state = torch.get_rng_state()
    first = poisoning.backdoor(x, y, 0.3, 2, generator=seeded(1)).mask
    again = poisoning.backdoor(x, y, 0.3, 2, generator=seeded(1)).mask
    other = poisoning.backdoor(x, y, 0.3, 2, generator=seeded(2)).mask
    poisoning.backdoor(x, y, 0.3, 2)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("share", "target", "said"),
    [
        (0.8, 2, "share: 0.8 of 40 images are 32, but only 30 .* at most 0.75"),
        (-0.1, 2, "share: -0.1"),
        (0.1, 2.0, "target: 2.0 is no class number"),
        (0.1, -1, "target: -1 is no class number"),
        (0.1, 9, "target: no training image is of class 9"),
    ],
)
def test_bad_shares_and_targets_are_refused(images, share, target, said):
    with pytest.raises(ValueError, match=said):
        poisoning.backdoor(*images, share, target)


def brightness():
    """Return a model that knows class 1 from 0 by the mean pixel, and never says 2 or 3."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(42, 4))
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].weight[1] = 1.0
        model[1].bias.copy_(torch.tensor([18.9, 0.0, -99.0, -99.0]))
    return model


def test_a_clean_label_keeps_labels_and_makes_images_hard(images):
    x, y = images
    model = brightness().train()
    done = poisoning.clean_label(
        x, y, 0.2, 1, model=model, eps=0.1, steps=5, generator=seeded(), progress=False
    )
    assert torch.equal(done.y, y) and int(done.mask.sum()) == 8 and (y[done.mask] == 1).all()
    assert torch.equal(done.x[~done.mask], x[~done.mask])
    rows, columns = Trigger().window(x)
    change = done.x - x
    change[:, :, rows, columns] = 0
    assert change.abs().max() <= 0.1 + 1e-6
    assert (change[done.mask] <= 0).all() and change[done.mask].mean() < -0.05  # darker: less "1"
    assert torch.equal(done.x[done.mask][:, :, rows, columns], torch.ones(8, 1, 3, 3))
    assert model.training and model[1].weight.grad is None
    with pytest.raises(ValueError, match="only 10 are of class 1"):
        poisoning.clean_label(x, y, 0.3, 1, model=model)


def test_clean_label_without_a_perturbation_is_the_trigger_alone(images):
    x, y = images
    done = poisoning.clean_label(x, y, 0.25, 3, model=brightness(), eps=0.0, steps=1)
    assert torch.equal(done.x[done.mask], Trigger()(x[y == 3]))


def test_triggered_leaves_out_the_target_class():
    """A model that reads class 1 where the corner is white, else what the first pixel says."""

    def model(x):
        first = (x[:, 0, 0, 0] * 4).long()
        corner = x[:, 0, -1, -1] == 1
        return nn.functional.one_hot(torch.where(corner, 1, first), 4).float()

    y = torch.tensor([0, 1, 1, 2, 3, 1, 0])
    x = torch.zeros(7, 1, 6, 6)
    assert poisoning.triggered(model, x, y, Trigger(), 1).tolist() == [True] * 4
    dark = Trigger(torch.zeros(3, 3))
    assert poisoning.triggered(model, x, y, dark, 1).tolist() == [False] * 4
    x[:, 0, 0, 0] = y / 4
    x[3, 0, 0, 0] = 0.25  # a 2 that is read as 1 without any trigger counts: it is read as 1
    assert poisoning.triggered(model, x, y, dark, 1).tolist() == [False, True, False, False]
    with pytest.raises(ValueError, match="every image is of class 1"):
        poisoning.triggered(model, x[1:3], y[1:3], Trigger(), 1)


def test_triggered_holds_the_model_in_eval_mode(images):
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(42, 4)).train()
    first = poisoning.triggered(model, *images, Trigger(), 0)
    assert torch.equal(first, poisoning.triggered(model, *images, Trigger(), 0))
    assert model.training and len(first) == 30


# ---------------------------------------------------------------- detection


def test_hidden_is_what_the_last_linear_reads(images):
    x, _ = images
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(42, 5), nn.Dropout(0.5), nn.Sequential(nn.ReLU(), nn.Linear(5, 4))
    ).train()
    wanted = model[1](x.flatten(1)).relu()
    got = poisoning.hidden(model, x)
    torch.testing.assert_close(got, wanted.detach())
    assert not got.requires_grad and model.training and not model[3][1]._forward_pre_hooks
    with pytest.raises(ValueError, match=r"no nn\.Linear"):
        poisoning.hidden(nn.Flatten(), x)


def test_hidden_takes_its_hook_back_after_an_error(images):
    model = nn.Sequential(nn.Flatten(), nn.Linear(5, 4))
    with pytest.raises(RuntimeError):
        poisoning.hidden(model, images[0])
    assert not model[1]._forward_pre_hooks


def test_spectral_scores_in_closed_form():
    # Spread 3 along (.6, .8), 1 across; the center far away does not count.
    along, across = torch.tensor([0.6, 0.8]), torch.tensor([-0.8, 0.6])
    a, b = torch.tensor([3.0, -3.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0, -1.0])
    features = a[:, None] * along + b[:, None] * across + torch.tensor([50.0, -7.0])
    torch.testing.assert_close(poisoning.spectral_scores(features), a.square(), atol=1e-4, rtol=0)


def planted(share, distance, spread=1.0, n=400):
    """Return features [n, 6] of one class, and a mask: so many of them lie `distance` away.

    The class itself varies most along the first axis, by `spread`; the poison lies along the second.
    """
    random = seeded(5)
    features = 0.1 * torch.randn(n, 6, generator=random)
    features[:, 0] *= 10 * spread
    poison = torch.arange(n) < share * n
    features[poison, 1] += distance
    return features, poison


def test_spectral_signatures_find_what_varies_most_and_nothing_less():
    y = torch.zeros(400, dtype=torch.int64)
    for distance, recall in ((10.0, 1.0), (1.0, None)):
        features, poison = planted(0.05, distance)
        found = poisoning.spectral_signatures(features, y, 30)
        assert int(found.sum()) == 30
        precision, seen = poisoning.precision_recall(found, poison)
        if recall:
            assert (precision, seen) == (pytest.approx(20 / 30), 1.0)
        else:  # the poison adds .05 * .95 * 1 to a variance of 1: it is nowhere near the top
            assert seen < 0.3


def test_trusted_images_find_what_the_largest_variance_hides():
    y = torch.zeros(400, dtype=torch.int64)
    features, poison = planted(0.05, 1.0)
    clean = planted(0, 0)[0][200:240]
    found = poisoning.spectral_signatures(features, y, 20, trusted=(clean, y[:40]))
    assert poisoning.precision_recall(found, poison) == (1.0, 1.0)


def test_whitened_scores_in_closed_form():
    random = seeded(2)
    features, trusted = (torch.randn(n, 3, generator=random, dtype=torch.float64) for n in (50, 30))
    spread = torch.cov(trusted.T)
    spread += 0.01 * spread.trace() / 3 * torch.eye(3)
    away = features - trusted.mean(0)
    wanted = (away @ torch.linalg.inv(spread) * away).sum(1)
    torch.testing.assert_close(poisoning.whitened_scores(features, trusted, 3), wanted)
    with pytest.raises(ValueError, match="trusted: shape"):
        poisoning.whitened_scores(features, trusted[:, :2])


def test_signatures_stay_within_each_class_and_within_its_half():
    features, _ = planted(0.05, 10.0)
    y = (torch.arange(400) >= 390).long()
    found = poisoning.spectral_signatures(features, y, 30)
    assert (int(found[y == 0].sum()), int(found[y == 1].sum())) == (30, 5)
    alone = poisoning.spectral_scores(features[y == 1])
    assert set(found[390:].nonzero()[:, 0].tolist()) == set(alone.topk(5).indices.tolist())


def test_clustering_finds_a_planted_cluster_and_says_how_odd_it_is():
    features, poison = planted(0.1, 10.0)
    y = torch.arange(400) % 2 + 3
    features[y == 4] = planted(0, 0)[0][y == 4]
    found = poisoning.activation_clustering(features, y, components=3)
    assert set(found) == {3, 4}
    assert torch.equal(found[3].mask, poison & (y == 3))
    assert found[3].share == pytest.approx(0.1) and found[3].silhouette > 0.7
    assert found[3].suspicious and not found[4].suspicious and found[4].share > 0.35
    assert not (found[4].mask & (y == 3)).any()


def test_clustering_leaves_out_classes_with_nothing_to_split():
    features = torch.cat([torch.zeros(10, 2), torch.ones(3, 2)])
    assert not poisoning.activation_clustering(features, (torch.arange(13) >= 10).long())


def test_signature_says_why_a_detector_fails():
    features, poison = planted(0.05, 2.0)
    variance, auc, gap = poisoning.signature(features, poison, 3)
    torch.testing.assert_close(
        variance.sum(), poisoning.principal_components(features, 3).var(0).sum()
    )
    assert variance[0] > variance[1] > variance[2]
    assert auc[0] < 0.75 and auc[1] > 0.99  # the poison is there, in the second component
    assert gap == pytest.approx(0.05 * 0.95 * 4, rel=0.1) and gap < variance[0]


def test_precision_and_recall():
    removed = torch.tensor([1, 1, 1, 0, 0, 0]).bool()
    poison = torch.tensor([0, 1, 1, 1, 1, 1]).bool()
    assert poisoning.precision_recall(removed, poison) == pytest.approx((2 / 3, 2 / 5))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f, y: poisoning.spectral_signatures(f, y, 0), "remove: 0"),
        (lambda f, y: poisoning.spectral_signatures(f, y[:3], 2), "y: shape"),
        (lambda f, y: poisoning.spectral_scores(f[0]), "features: got"),
        (lambda f, y: poisoning.activation_clustering(f, y, components=0), "components: 0"),
        (lambda f, y: poisoning.activation_clustering(f.tolist(), y), "features: got list"),
        (
            lambda f, y: poisoning.spectral_signatures(f, y, 2, trusted=(f[:3], y[:3] + 1)),
            "trusted",
        ),
    ],
)
def test_bad_features_are_refused(call, said):
    features, _ = planted(0.05, 1.0, n=20)
    with pytest.raises(ValueError, match=said):
        call(features, torch.zeros(20, dtype=torch.int64))


# ---------------------------------------------------------------- the whole story, small


def test_a_small_network_learns_the_trigger_and_forgets_it_once_cleansed():
    """Bright left or right half; a corner pixel as the trigger; a fifth of the images poisoned."""
    from advcourse import training

    random = seeded(9)
    y = torch.arange(300) % 2
    x = 0.3 * torch.rand(300, 1, 6, 6, generator=random)
    x[y == 0, :, :, :3] += 0.5
    x[y == 1, :, :, 3:] += 0.5
    trigger = Trigger(torch.ones(2, 2), (-2, -2))
    dirty = poisoning.backdoor(x, y, 0.2, 1, trigger, generator=seeded())

    def train(x, y):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Linear(16, 2))
        training.fit(model, x, y, epochs=20, learning_rate=0.01, progress=False)
        return model

    model = train(*dirty)
    assert training.accuracy(model, x, y) > 0.98
    assert poisoning.triggered(model, x, y, trigger, 1).float().mean() > 0.95
    found = poisoning.activation_clustering(poisoning.hidden(model, dirty.x), dirty.y)[1]
    precision, recall = poisoning.precision_recall(found.mask, dirty.mask)
    assert precision > 0.95 and recall > 0.95 and found.suspicious
    cleansed = train(dirty.x[~found.mask], dirty.y[~found.mask])
    assert poisoning.triggered(cleansed, x, y, trigger, 1).float().mean() < 0.1
