"""The spam game is typed in a page without a kernel, and says what the filters in Python say."""

import pytest

from advcourse import data, widgets
from advcourse.beyond import spam


@pytest.fixture(scope="module")
def rounds():
    messages = data.load_messages("own", quiet=True)
    first = [make(messages.train, messages.y_train) for make in spam.MAKERS.values()]
    attacked = [spam.append(messages.spam("train"), f.good_words(10)) for f in first]
    second = [
        spam.retrain(f, messages.train, messages.y_train, new)
        for f, new in zip(first, attacked, strict=True)
    ]
    texts = [t for t in messages.spam() if all(f.caught([t])[0] for f in (*first, *second))]
    return {"round 1": first, "round 3": second}, texts[:5]


def test_typed_scores_are_pythons(rounds, page, tmp_path, screenshots):
    rounds, texts = rounds
    path = tmp_path / "game.html"
    html = widgets.SpamPage(rounds, texts)._repr_html_()
    path.write_text(f'<meta charset="utf-8"><body>{html}', encoding="utf-8")
    page.goto(path.as_uri())
    said = page.locator('[data-part="said"]')

    def check(round_, text):
        shown = [float(said.nth(i).inner_text().split(",")[0]) for i in range(2)]
        scores = [float(f.scores([text])[0]) for f in rounds[round_]]
        assert shown == pytest.approx(scores, abs=0.011)

    check("round 1", texts[0])
    page.locator('[data-part="offers"] button').nth(1).click()
    check("round 1", f"{texts[0]} {rounds['round 1'][0].good_words(2)[1]}")
    page.get_by_role("button", name="start again").click()
    page.get_by_label("your words").press_sequentially("Sorry, SO tired! naïve übung")
    check("round 1", f"{texts[0]} Sorry, SO tired! naïve übung")
    page.locator('[data-part="offers"] button').first.click()
    assert "words added" in page.locator("figcaption").inner_text()
    page.get_by_label("message").select_option("3")
    page.get_by_label("against").select_option("1")
    page.get_by_role("button", name="optimal attacker").click()
    found = spam.greedy(rounds["round 1"][1], texts[3], 20)
    assert page.get_by_label("your words").input_value() == " ".join(found.words)
    check("round 1", spam.append([texts[3]], found.words)[0])
    page.screenshot(path=screenshots / "spam-game-typed.png")
    page.get_by_label("round").select_option("1")
    check("round 3", texts[3])
    slider = page.get_by_label("attacker's words")
    slider.focus()
    slider.press("ArrowRight")
    best = spam.greedy(rounds["round 3"][1], texts[3], 1)
    check("round 3", spam.append([texts[3]], best.words)[0])
    page.screenshot(path=screenshots / "spam-game-round-3.png")
    assert not page.problems
