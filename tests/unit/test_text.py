"""The LSTM that reads messages, and the word and character changes that get past it."""

import pytest
import torch

from advcourse import data
from advcourse.beyond import text, words


@pytest.fixture(scope="module")
def messages():
    return data.load_messages("own", quiet=True)


@pytest.fixture(scope="module")
def model(messages):
    return text.train_lstm(messages.train, messages.y_train, progress=False)


@pytest.fixture(scope="module")
def caught(model, messages):
    return tuple(t for t in messages.spam() if model.caught([t])[0])


def test_tokens():
    said = "Don't call 555-0134, see example.com/a.b now! It's £5"
    assert text.tokens_of(said) == [
        "don't", "call", "555-0134", "see", "example.com/a.b", "now", "!", "it's", "£", "5",
    ]  # fmt: skip
    assert [t for t in text.tokens_of(said) if text.is_word(t)] == [
        "don't", "call", "see", "now", "it's",
    ]  # fmt: skip
    assert text.tokens_of("") == []


def test_it_learns(model, messages):
    right = model.caught(messages.test) == messages.y_test.bool()
    assert right.double().mean() > 0.7 and not model.training


def test_same_seed_same_weights_and_the_global_state_is_left_alone(messages):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, two, other = (
        text.train_lstm(messages.train, messages.y_train, epochs=1, seed=s, progress=False)
        for s in (3, 3, 4)
    )
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(one.linear.weight, two.linear.weight)
    assert not torch.equal(one.linear.weight, other.linear.weight)


def test_padding_and_company_change_nothing(model, messages):
    tokens = model.encode(messages.test[:6])
    longer = torch.cat([tokens, torch.zeros(6, 9, dtype=torch.int64)], 1)
    assert torch.allclose(model.margins(tokens), model.margins(longer), atol=1e-5)
    alone = torch.cat([model.scores([t]) for t in messages.test[:6]])
    assert torch.allclose(alone, model.margins(tokens), atol=1e-5)
    assert model.scores([]).shape == (0,) and model.scores([""]).shape == (1,)


def test_unknown_words_are_one_word(model):
    a, b = model.encode(["qwertz zuiop", "asdfgh yxcvb"])
    assert a.tolist() == b.tolist() == [text.UNKNOWN] * 2


def changed(before, after):
    """Return the places at which the tokens of two texts differ."""
    a, b = text.tokens_of(before), text.tokens_of(after)
    assert len(a) == len(b)
    return [i for i, (s, t) in enumerate(zip(a, b, strict=True)) if s != t]


@pytest.mark.parametrize("attack", [words.swap_words, words.random_swaps])
def test_swaps_keep_the_budget_and_what_the_message_is_for(model, caught, attack):
    found = attack(model, caught, 3)
    for before, after, made in zip(caught, found.texts, found.changes, strict=True):
        places = changed(before, after)
        assert len(places) <= len(made) <= 3 and set(places) <= {i for i, *_ in made}
        tokens, written = text.tokens_of(before), text.tokens_of(after)
        for i, old, new in made:
            assert tokens[i] == old.lower() and text.is_word(old) and text.is_word(new)
            assert written[i] == new and new in model.words
        assert len({i for i, *_ in made}) == len(made), "a place was changed twice"
    assert torch.allclose(model.scores(found.texts), found.scores[-1], atol=1e-5)


def test_what_has_passed_is_left_alone(model, messages):
    found = words.swap_words(model, messages.ham()[:8] + messages.spam()[:8], 2)
    for k in range(2):
        done = found.passed[k]
        assert torch.equal(found.scores[k][done], found.scores[k + 1][done])
    ham = [not c for c in model.caught(messages.ham()[:8]).tolist()]
    assert all(not made for made, is_ham in zip(found.changes, ham, strict=False) if is_ham)


def test_the_first_swap_is_the_best_of_all_where_all_are_tried(messages):
    small = text.train_lstm(messages.train, messages.y_train, words=40, epochs=3, progress=False)
    one = next(t for t in messages.spam() if small.caught([t])[0])
    tokens = text.tokens_of(one)
    every = []
    for i, token in enumerate(tokens):
        if text.is_word(token):
            for new in small.words:
                if text.is_word(new) and new != token:
                    every.append(" ".join([*tokens[:i], new, *tokens[i + 1 :]]))
    best = small.scores(every).min()
    found = words.swap_words(small, [one], 1, candidates=100_000)
    assert found.scores[1, 0] == pytest.approx(best.item(), abs=1e-4)


def test_the_gradient_beats_chance(model, caught):
    chosen = words.swap_words(model, caught, 3).passed[-1].double().mean()
    source = torch.Generator().manual_seed(1)
    chance = words.random_swaps(model, caught, 3, source).passed[-1].double().mean()
    assert chosen > 0.8 and chance < 0.5


def test_same_generator_seed_same_swaps(model, caught):
    draw = [
        words.random_swaps(model, caught[:5], 2, torch.Generator().manual_seed(s)).texts
        for s in (1, 1, 2)
    ]
    assert draw[0] == draw[1] != draw[2]


def test_the_model_stays_as_it_was(model, caught):
    model.train()
    try:
        slopes = [p.grad.clone() for p in model.parameters()]
        before = {k: v.clone() for k, v in model.state_dict().items()}
        assert torch.equal(model.scores(caught), model.scores(caught)), "dropout was on"
        words.swap_words(model, caught[:4], 2)
        assert model.training and all(p.requires_grad for p in model.parameters())
        assert all(torch.equal(g, p.grad) for g, p in zip(slopes, model.parameters(), strict=True))
        assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    finally:
        model.eval()


def test_typos_are_near():
    made = words.typos("prize")
    assert {"pirze", "priize", "pr1ze"} <= set(made) and "prize" not in made
    assert len(made) == len(set(made))
    for typo in made:
        assert typo[0] in "p" and abs(len(typo) - 5) <= 1
    assert words.typos("win") == words.typos("555-0134") == words.typos("example.com") == ()
    assert words.typos("noon") and "noon" not in words.typos("noon")


def test_misspelling_asks_for_scores_only(caught):
    asked = []

    def scores(texts):  # a filter that knows one word
        asked.extend(texts)
        return torch.tensor([1.0 if "prize" in t.split() else -1.0 for t in texts])

    found = words.misspell(scores, ["win a prize today", "no such word"], 2)
    assert found.passed[:, 0].tolist() == [False, True, True]
    assert found.changes[0][0][:2] == (2, "prize") and len(found.changes[0]) == 1
    assert found.texts[1] == "no such word" and found.changes[1] == ()
    assert len(asked) < 20


def test_misspelling_keeps_its_budget(model, caught):
    found = words.misspell(model.scores, caught[:6], 2)
    for before, after, made in zip(caught, found.texts, found.changes, strict=False):
        assert len(made) <= 2 and len(changed(before, after)) == len(made)
        for _, old, new in made:
            assert new in words.typos(old)
    assert (found.scores[1:] <= found.scores[:-1]).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: words.swap_words(m, ["x"], -1), "budget: -1 is no number of words"),
        (lambda m: words.swap_words(m, ["x"], 1, candidates=0), "candidates: 0 is no count"),
        (lambda m: words.swap_words(m, "x", 1), "texts: got str"),
        (lambda m: words.misspell(m.scores, ["x"], 0.5), "budget: 0.5 is no number of words"),
        (lambda m: text.train_lstm(["a"], [1, 0]), r"labels: \(2,\) for 1 texts"),
        (lambda m: text.train_lstm(["a", "b"], [1, 0], words=0), "words: 0 is no count"),
    ],
)
def test_bad_input(model, call, said):
    with pytest.raises(ValueError, match=said):
        call(model)


def test_no_texts(model):
    found = words.swap_words(model, [], 3)
    assert found.texts == () and found.passed.shape == (4, 0)
    assert words.misspell(model.scores, [], 3).passed.shape == (4, 0)
