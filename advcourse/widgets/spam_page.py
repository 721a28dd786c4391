"""The spam game for a page without a kernel: the filters' weights in it, and plain JavaScript."""

import base64
import html
import json
from pathlib import Path

import numpy as np

from .spam import BUTTONS, CAUGHT, MOST, PASSED, bar, signed, span_of

SCRIPT = Path(__file__).resolve().parents[1] / "templates" / "advcourse" / "spam.js"
# The first control that is touched compiles the script; all call what it returns.
RUN = (
    "const f=this.closest('figure');"
    "(f.play||=Function('f',f.querySelectorAll('template')[1].content.textContent)(f))(this)"
)
DEEPEST = 32767


def packed(values):
    """Return numbers as 16-bit whole numbers and their unit: a thirtieth of a per mille at most."""
    unit = float(np.abs(values).max()) / DEEPEST or 1.0
    whole = np.rint(np.asarray(values) / unit).astype("<i2")
    return {"unit": unit, "data": base64.b64encode(whole.tobytes()).decode()}


def folded(words):
    """Return sorted words in one string, each without what it shares with the one before it.

    The length of that is its first character, in base 36.
    """
    before, items = "", []
    for word in words:
        same = 0
        while same < min(len(before), len(word), 35) and before[same] == word[same]:
            same += 1
        items.append("0123456789abcdefghijklmnopqrstuvwxyz"[same] + word[same:])
        before = word
    return " ".join(items)


class SpamPage:
    """The game of `SpamGame` as HTML: the same rounds and texts; what is typed is scored in the page.

    rounds: {name of the round: (naive Bayes, linear SVM)}, all with one vocabulary.
    """

    def __init__(self, rounds, texts):
        filters = [f for round_ in rounds.values() for f in round_]
        if len({f.words for f in filters}) != 1:
            raise ValueError("rounds: the filters have different words; fit them on the same texts")
        self.rounds, self.texts = rounds, tuple(texts)
        scale = next((f.scale for f in filters if f.scale is not None), np.ones(1))
        self.data = {
            "words": folded(filters[0].words),
            "scale": packed(scale),
            "texts": self.texts,
            "buttons": BUTTONS,
            "colors": [CAUGHT, PASSED],
            "rounds": [[self._filter(f) for f in round_] for round_ in rounds.values()],
        }

    @staticmethod
    def _filter(f):
        kept = {
            "name": f.name,
            "bias": f.bias,
            "scaled": f.scale is not None,
            "span": span_of(f.name),
        }
        return kept | {"weights": packed(f.weights)}

    def __repr__(self):
        return f"[the spam game: {len(self.texts)} messages; open the page to type]"

    def _repr_html_(self):
        first = next(iter(self.rounds.values()))
        choices = {
            "message": [f"{i + 1}: {text[:45]}" for i, text in enumerate(self.texts)],
            "round": list(self.rounds),
            "against": [f.name for f in first],
        }
        menus = "".join(_menu(name, labels) for name, labels in choices.items())
        bars = "".join(bar(f.name, float(f.scores(self.texts[:1])[0])) for f in first)
        quote = "border-left:4px solid #b8c2cc;padding:.3em .8em;margin:.3em 0"
        told = ", ".join(
            f"{f.name} {'catches it' if f.caught(self.texts[:1])[0] else 'lets it pass'}"
            for f in first
        )
        offers = "".join(
            f'<button type="button" data-part="offer" data-word="{word}" style="margin:0 .3em .3em 0" '
            f'aria-label="add the word {word}" onclick="{RUN}">{word} {signed(first[0].weight(word))}'
            "</button>"
            for word in first[0].good_words(BUTTONS)
        )
        data = html.escape(json.dumps(self.data), quote=False)
        script = html.escape(SCRIPT.read_text(encoding="utf-8"), quote=False)
        return (
            '<figure class="advcourse-typed" role="group" aria-label="The spam game, typed" '
            'style="margin:1em 0"><b>The spam game: type in the page</b><div>'
            f'{menus}</div><div data-part="text" style="{quote}">{html.escape(self.texts[0])}</div>'
            '<textarea data-part="words" rows="2" aria-label="your words" style="width:98%" '
            f'placeholder="type words here, or press a button" oninput="{RUN}"></textarea>'
            f'<div data-part="offers">{offers}</div>'
            f"{_button('optimal', 'optimal attacker')} {_button('again', 'start again')}"
            '<label style="display:block;margin:.3em 0">attacker\'s words '
            f'<input type="range" data-part="budget" min="0" max="{MOST}" value="0" step="1" '
            f'aria-label="attacker\'s words" style="width:45%" oninput="{RUN}"><span>0</span></label>'
            f'{bars}<figcaption data-part="status" aria-live="polite">0 words added: {told}.'
            f"</figcaption><template>{data}</template><template>{script}</template></figure>"
        )


def _menu(name, labels):
    options = "".join(
        f'<option value="{i}">{html.escape(label)}</option>' for i, label in enumerate(labels)
    )
    return (
        f'<label style="margin-right:1em">{name} <select data-part="{name}" style="max-width:22em" '
        f'aria-label="{name}" onchange="{RUN}">{options}</select></label>'
    )


def _button(name, text):
    return f'<button type="button" data-part="{name}" onclick="{RUN}">{text}</button>'
