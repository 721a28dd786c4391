"""The victims that are no networks: right where scikit-learn is, differentiable, reproducible."""

import functools

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB
from sklearn.svm import SVC, LinearSVC

from advcourse import attacks, classic, data, training

MAKERS = ["linear_svm", "logistic_regression", "naive_bayes", "kernel_svm"]


@functools.cache
def digits():
    return data.load("digits", quiet=True)


@functools.cache
def fitted(name):
    images = digits()
    return getattr(classic, name)(images.x_train, images.y_train, n=400)


@pytest.mark.parametrize(
    "name, least",
    list(zip(MAKERS, [0.92, 0.92, 0.86, 0.96], strict=True)),
)
def test_accuracy_mode_shape_and_type(name, least):
    images, model = digits(), fitted(name)
    assert training.accuracy(model, images.x_test, images.y_test) >= least
    z = model(images.x_test[:7])
    assert z.shape == (7, 10) and z.dtype == torch.float32 and not model.training
    one = model(images.x_test[3:4])
    assert torch.allclose(one, z[3:4], atol=1e-4), "an answer depends on its batch"


def test_linear_models_decide_as_scikit_learn_does():
    images = digits()
    x, y = images.x_train[:500], images.y_train[:500]
    rows, test = x.flatten(1).double().numpy(), images.x_test.flatten(1).double().numpy()
    pairs = [
        (classic.linear_svm(x, y, c=0.2), LinearSVC(C=0.2, random_state=0, max_iter=5000)),
        (classic.logistic_regression(x, y, c=2.0), LogisticRegression(C=2.0, max_iter=300)),
        (classic.naive_bayes(x, y, alpha=0.5), BernoulliNB(alpha=0.5, binarize=None)),
    ]
    for ours, theirs in pairs:
        theirs.fit(rows, y.numpy())
        agree = ours(images.x_test).argmax(1).numpy() == theirs.predict(test)
        assert agree.mean() > 0.995
    p = pairs[1][0](images.x_test).softmax(1).detach().numpy()
    assert np.abs(p - pairs[1][1].predict_proba(test)).max() < 1e-4


def test_kernel_machine_is_the_sum_over_its_support_vectors():
    images = digits()
    keep = images.y_train < 2
    x, y = images.x_train[keep], images.y_train[keep]
    model = classic.kernel_svm(x, y, gamma=0.05, c=1.0)
    theirs = SVC(C=1.0, gamma=0.05).fit(x.flatten(1).double().numpy(), (y == 1).numpy())
    test = images.x_test[images.y_test < 2]
    decision = theirs.decision_function(test.flatten(1).double().numpy())
    z = model(test).detach().numpy()
    assert np.abs(z[:, 1] - decision).max() < 1e-3
    assert np.abs(z[:, 0] + decision).max() < 1e-3, "one class against the rest, both ways"
    assert len(model.support) < len(x)


def test_two_classes_get_one_score_each():
    images = digits()
    keep = (images.y_train == 3) | (images.y_train == 8)
    x, y = images.x_train[keep], (images.y_train[keep] == 8).long()
    for name in MAKERS:
        z = getattr(classic, name)(x, y)(x)
        assert z.shape == (len(x), 2)
        assert (z.argmax(1) == y).float().mean() > 0.9


def test_naive_bayes_is_calibrated_and_keeps_its_gradient():
    images, model = digits(), fitted("naive_bayes")
    x, y = images.x_test[:100], images.y_test[:100]
    p = model(x).softmax(1).amax(1)
    assert p.mean() < 0.97, "without the temperature it is sure of nearly everything"
    gradient = torch.autograd.grad(
        torch.nn.functional.cross_entropy(model(a := x.clone().requires_grad_()), y), a
    )[0]
    assert (gradient.flatten(1).abs().amax(1) > 0).float().mean() > 0.95


@pytest.mark.parametrize("name", MAKERS)
def test_every_attack_runs_on_it_and_the_same_seed_makes_the_same(name):
    images, model = digits(), fitted(name)
    x, y = images.x_test[:60], images.y_test[:60]
    x_adv = attacks.pgd(model, x, y, eps=0.15, steps=5, random_start=False)
    clean, wrong = (model(part).argmax(1) != y for part in (x, x_adv))
    assert wrong.sum() > clean.sum() + 15
    again = getattr(classic, name)(images.x_train, images.y_train, n=400)
    assert torch.equal(again(x), model(x))
    other = getattr(classic, name)(images.x_train, images.y_train, n=400, seed=1)
    assert not torch.equal(other(x), model(x))


def test_a_subset_holds_every_class_in_its_share():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    counts = np.bincount(labels[classic._drawn(labels, 100, 0)])
    assert np.abs(counts - [60, 30, 10]).max() <= 1
    assert len(set(classic._drawn(labels, 100, 0).tolist())) == 100


X, Y = torch.rand(12, 1, 4, 4), torch.arange(12) % 3


@pytest.mark.parametrize(
    "name, x, y, more, word",
    [
        ("linear_svm", X, Y, {"c": 0}, "c: 0"),
        ("logistic_regression", X, Y, {"c": float("nan")}, "c: nan"),
        ("naive_bayes", X, Y, {"alpha": -1}, "alpha: -1"),
        ("naive_bayes", 3 * X, Y, {}, "share of ink"),
        ("kernel_svm", X, Y, {"gamma": 0.0}, "gamma: 0.0"),
        ("kernel_svm", X, Y, {"n": 0}, "n: 0"),
        ("linear_svm", X, Y, {"n": 1.5}, "n: 1.5"),
        ("linear_svm", X, 2 * Y, {}, "without gaps"),
        ("linear_svm", X, 0 * Y, {}, "two at least"),
        ("linear_svm", X, Y[:5], {}, "y: pass"),
        ("linear_svm", X, Y.float(), {}, "y: pass"),
        ("linear_svm", X / 0, Y, {}, "NaN or infinity"),
        ("linear_svm", X[:0], Y[:0], {}, "at least two"),
        ("linear_svm", X.long(), Y, {}, "x: pass"),
    ],
)
def test_bad_input_is_named(name, x, y, more, word):
    with pytest.raises(ValueError, match=word):
        getattr(classic, name)(x, y, **more)
