"""The spam filters against closed forms and scikit-learn, the attackers against brute force."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.svm import LinearSVC

from advcourse import data, panels, widgets
from advcourse.beyond import spam
from advcourse.widgets.spam_page import folded, packed

TEXTS = ("win cash now", "cash prize win win", "see you at lunch", "lunch now with you", "call you")
LABELS = (1, 1, 0, 0, 0)


@pytest.fixture(scope="module")
def messages():
    return data.load_messages("own", quiet=True)


@pytest.fixture(scope="module", params=list(spam.MAKERS))
def fitted(request, messages):
    return spam.make(request.param, messages.train, messages.y_train)


def test_naive_bayes_by_the_formula():
    f = spam.naive_bayes(TEXTS, LABELS)
    # 7 words of spam, 10 of ham; 10 different ones; "win" 3 times in spam, "you" 3 times in ham.
    assert len(f.words) == 10
    assert f.weight("win") == pytest.approx(math.log(4 / 17) - math.log(1 / 20))
    assert f.weight("You") == pytest.approx(math.log(1 / 17) - math.log(4 / 20))
    assert f.weight("unheard") == 0
    expected = math.log(2 / 3) + 2 * f.weight("win") + f.weight("you")
    assert f.scores(["Win, WIN: you! unheard"]).item() == pytest.approx(expected)


def test_both_agree_with_scikit_learn(messages):
    f = spam.naive_bayes(messages.train, messages.y_train)
    y = messages.y_train.numpy()
    odds = MultinomialNB().fit(f.features(messages.train), y)
    odds = np.diff(odds.predict_joint_log_proba(f.features(messages.test)))[:, 0]
    assert np.allclose(f.scores(messages.test), odds)
    f = spam.linear_svm(messages.train, messages.y_train)
    rows = TfidfVectorizer().fit(messages.train)
    svm = LinearSVC(random_state=0).fit(rows.transform(messages.train), y)
    expected = svm.decision_function(rows.transform(messages.test))
    assert np.allclose(f.scores(messages.test), expected, atol=1e-6)


def test_a_filter_filters(fitted, messages):
    right = fitted.caught(messages.test) == messages.y_test.bool()
    assert right.double().mean() > 0.8
    assert fitted.scores(messages.test).dtype == torch.float64


def test_a_text_does_not_depend_on_its_company(fitted, messages):
    alone = torch.cat([fitted.scores([text]) for text in messages.test[:5]])
    assert torch.allclose(alone, fitted.scores(messages.test)[:5])
    assert fitted.scores([""]).item() == pytest.approx(fitted.bias)


def test_words_are_ranked_by_what_they_pull(fitted):
    pulls = [fitted.weight(word) for word in fitted.good_words(len(fitted.words))]
    assert pulls == sorted(pulls) and pulls[0] < 0 < pulls[-1]
    assert fitted.bad_words(1)[0] == max(fitted.words, key=fitted.weight)
    text = "hello there friend"
    for word in (fitted.good_words(1)[0], fitted.bad_words(1)[0]):
        moved = fitted.scores(spam.append([text], [word])) - fitted.scores([text])
        assert (moved.item() > 0) == (fitted.weight(word) > 0)


def test_append_keeps_the_message_whole():
    assert spam.append(["a b", ""], ["c", "d"]) == ("a b c d", " c d")
    assert spam.append(["a b"], []) == ("a b",)


def test_still_caught_is_counted_prefix_by_prefix(fitted, messages):
    words = fitted.good_words(8)
    caught = spam.still_caught(fitted, messages.spam(), words, (0, 3, 8))
    assert torch.equal(caught[0], fitted.caught(messages.spam()))
    assert torch.equal(
        caught[1], fitted.caught([f"{t} {' '.join(words[:3])}" for t in messages.spam()])
    )
    assert caught[2].sum() < caught[0].sum()


def test_greedy_needs_no_more_words_than_any_set(messages):
    # Every set of words of a small vocabulary is tried: none is smaller than naive Bayes' greedy.
    bayes = spam.naive_bayes(TEXTS, LABELS, smoothing=0.5)
    text = "win cash call"
    found = spam.greedy(bayes, text, 10)
    assert found.passed and len(found.words) >= 2
    for size in range(len(found.words)):
        for words in itertools.combinations(bayes.words, size):
            assert bayes.caught(spam.append([text], words))[0]


def test_greedy_reports_what_happened(fitted, messages):
    shorter = []
    for text in messages.spam():
        found = spam.greedy(fitted, text, 6)
        said = [fitted.scores(spam.append([text], found.words[:k])).item() for k in range(7)]
        assert found.scores == pytest.approx(said[: len(found.scores)])
        assert all(score > 0 for score in found.scores[:-1])
        assert found.passed == (found.scores[-1] <= 0) and len(set(found.words)) == len(found.words)
        fixed = spam.still_caught(fitted, [text], fitted.good_words(6), range(7))[:, 0]
        if found.passed:  # never more words than the fixed list needs
            shorter.append(
                len(found.words) <= int((~fixed).nonzero()[0]) if not fixed.all() else True
            )
    assert np.mean(shorter) > 0.95


def test_greedy_keeps_its_budget(fitted, messages):
    assert len(spam.greedy(fitted, messages.spam()[0], 10**6).words) < len(fitted.words)
    hard = max(messages.spam(), key=lambda text: fitted.scores([text]).item())
    assert spam.greedy(fitted, hard, 0) == spam.Evasion((), (fitted.scores([hard]).item(),), False)
    assert len(spam.greedy(fitted, hard, 1).words) == 1
    ham = messages.ham()[0]
    assert not fitted.caught([ham])[0] and spam.greedy(fitted, ham, 5).words == ()


def test_retraining_changes_weights_and_nothing_else(fitted, messages):
    attacked = spam.append(messages.spam("train"), fitted.good_words(10))
    again = spam.retrain(fitted, messages.train, messages.y_train, attacked)
    assert again.words == fitted.words and again.scale is fitted.scale
    assert again.name == f"{fitted.name}, retrained"
    old = spam.append(messages.spam(), fitted.good_words(10))
    assert fitted.caught(old).double().mean() < 0.3 and again.caught(old).double().mean() > 0.9
    new = spam.append(messages.spam(), again.good_words(10))
    assert again.caught(new).double().mean() < 0.5
    same = spam.retrain(fitted, messages.train, messages.y_train, ())
    assert np.allclose(same.weights, fitted.weights, atol=1e-3)


def test_frequent_words_know_no_filter():
    assert spam.frequent_words(TEXTS, LABELS, 2) == ("you", "lunch")
    texts = ("to you", "to me", "to win", "to lose")
    assert spam.frequent_words(texts, (0, 0, 1, 1), 1) == ("to",)
    assert "to" not in spam.frequent_words(texts, (0, 0, 1, 1), 2, beside_spam=True)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: spam.naive_bayes("one text", [1]), "texts: got str; pass a list of texts"),
        (lambda: spam.naive_bayes(TEXTS, LABELS[:4]), r"labels: \(4,\) for 5 texts"),
        (lambda: spam.linear_svm(TEXTS, (2, 1, 0, 0, 0)), "1 spam, 0 ham"),
        (lambda: spam.linear_svm(TEXTS, (0,) * 5), "a filter learns from spam and ham"),
        (lambda: spam.naive_bayes(TEXTS, LABELS, smoothing=0), "smoothing: 0 is no count"),
        (lambda: spam.linear_svm(TEXTS, LABELS, strength=-1), "strength: -1 is no weight"),
        (lambda: spam.naive_bayes(TEXTS, LABELS).good_words(0), "n: 0 is no count"),
        (lambda: spam.greedy(spam.naive_bayes(TEXTS, LABELS), "x", -1), "budget: -1 is no number"),
        (
            lambda: spam.greedy(spam.naive_bayes(TEXTS, LABELS), "x", 1.5),
            "budget: 1.5 is no number",
        ),
        (lambda: spam.frequent_words(TEXTS, LABELS, 0), "n: 0 is no count"),
        (lambda: spam.make("oracle", TEXTS, LABELS), "name: 'oracle' is not one of"),
    ],
)
def test_bad_input(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# ---------------------------------------------------------------- the game


@pytest.fixture(scope="module")
def rounds(messages):
    first = [make(messages.train, messages.y_train) for make in spam.MAKERS.values()]
    second = [
        spam.retrain(
            f,
            messages.train,
            messages.y_train,
            spam.append(messages.spam("train"), f.good_words(10)),
        )
        for f in first
    ]
    return {"round 1": first, "round 3": second}


def test_the_game_is_played(rounds, messages):
    game = widgets.SpamGame(rounds, messages.spam()[:4])
    before = game.scores()
    assert "0 words added" in game.status.value and set(before) == {"naive Bayes", "linear SVM"}
    game.offers[0].click()
    assert game.words.value == rounds["round 1"][0].good_words(1)[0]
    assert game.scores()["naive Bayes"] < before["naive Bayes"]
    game.words.value = "free money"
    assert "2 words added" in game.status.value
    game.optimal.click()
    found = spam.greedy(rounds["round 1"][0], messages.spam()[0], 20)
    assert game.words.value == " ".join(found.words) and game.scores()["naive Bayes"] <= 0
    game.budget.value = 0
    assert game.words.value == "" and game.scores() == before
    game.round.value = "round 3"
    assert set(game.scores()) == {"naive Bayes, retrained", "linear SVM, retrained"}


def test_the_page_carries_the_filters(rounds, messages):
    page = widgets.SpamPage(rounds, messages.spam()[:4])
    html = page._repr_html_()
    assert html.count("<template>") == 2 and "<script" not in html and len(html) < 150_000
    assert "0 words added" in html
    other = spam.naive_bayes(messages.test, messages.y_test)
    with pytest.raises(ValueError, match="rounds: the filters have different words"):
        widgets.SpamPage({"a": rounds["round 1"], "b": [other]}, messages.spam())


def test_folding_and_packing_lose_nothing():
    words = ("a", "ab", "abc", "b", "x" * 50, "x" * 51)
    unfolded = []
    for item in folded(words).split(" "):
        before = unfolded[-1] if unfolded else ""
        unfolded.append(before[: int(item[0], 36)] + item[1:])
    assert tuple(unfolded) == words
    values = np.array([-3.5, 0, 0.001, 7.25])
    import base64

    kept = packed(values)
    back = np.frombuffer(base64.b64decode(kept["data"]), "<i2") * kept["unit"]
    assert np.abs(back - values).max() <= kept["unit"] / 2 + 1e-12


def test_the_panel_counts_what_is_caught(rounds, messages):
    filters = {f.name: f for f in rounds["round 1"]}
    words = {name: f.good_words(6) for name, f in filters.items()}
    panel = panels.spam_panel(filters, messages.spam(), words, most=6)
    picture, caption = panel.draw(count=2)
    share = spam.still_caught(filters["naive Bayes"], messages.spam(), words["naive Bayes"], [2])
    assert f"catches {share.double().mean():.0%} of all spam" in caption
    assert picture != panel.draw(count=3)[0]
