"""The spam game of lecture 12: add good words until a filter lets the message through."""

import html as html_lib

import ipywidgets as w

from ..beyond import spam
from .explorer import WIDE, menu, slider

MOST = 20  # words that the optimal attacker may add
BUTTONS = 8
SPANS = {"naive Bayes": 20.0, "linear SVM": 2.0}  # scores from -span to span fill a bar
CAUGHT, PASSED = "#d55e00", "#0072b2"  # the colors of spam and ham in the figures


def span_of(name):
    """Return the score that fills the bar of a filter of that name."""
    return next((span for kind, span in SPANS.items() if name.startswith(kind)), 10.0)


def bar(name, score):
    """Return one filter's verdict as HTML: a bar that starts at the threshold, and words."""
    share = 50 * min(abs(score) / span_of(name), 1)
    left = 50 if score > 0 else 50 - share
    color, said = (CAUGHT, "spam: caught") if score > 0 else (PASSED, "ham: passes")
    return (
        '<div data-part="bar" style="margin:.35em 0"><span style="display:inline-block;'
        f'min-width:12em">{html_lib.escape(name)}</span><span style="display:inline-block;'
        'position:relative;width:45%;height:1em;background:#e8ecef;vertical-align:middle">'
        f'<span data-part="fill" style="position:absolute;left:{left:.1f}%;width:{share:.1f}%;'
        f'height:100%;background:{color}"></span><span style="position:absolute;left:50%;'
        'top:-.2em;height:1.4em;border-left:2px solid #1f2933"></span></span> '
        f'<span data-part="said">{score:+.2f}, {said}</span></div>'
    )


def signed(pull):
    """Return how a word pulls, as on a button."""
    return f"{pull:+.2f}".replace("-", "−")


class SpamGame(w.VBox):
    """Texts that two filters catch, a box for the reader's words, and what the filters say to both.

    rounds: {name of the round: filters}, the same kinds of filters in each; texts: messages to
    choose from. The reader only adds: the message stays whole.
    """

    def __init__(self, rounds, texts):
        self.rounds, self.texts = rounds, tuple(texts)
        kinds = [f.name for f in next(iter(rounds.values()))]
        shown = [(f"{i + 1}: {text[:45]}", i) for i, text in enumerate(self.texts)]
        self.message = menu(shown, "message")
        self.round = menu(list(rounds), "round")
        self.against = menu([(name, i) for i, name in enumerate(kinds)], "against")
        self.budget = slider(0, 0, MOST, 1, "attacker's words")
        self.shown, self.bars, self.status = w.HTML(), w.HTML(), w.HTML()
        self.words = w.Textarea(
            description="your words",
            placeholder="type words here, or press a button",
            layout=WIDE,
            style={"description_width": "7.5em"},
        )
        self.offers = [w.Button(layout=w.Layout(width="auto")) for _ in range(BUTTONS)]
        self.optimal = w.Button(description="optimal attacker", tooltip="as few words as it needs")
        self.again = w.Button(description="start again")
        heading = w.HTML("<b>The spam game: get the message through</b>")
        super().__init__(
            [
                heading,
                w.HBox([self.message, self.round, self.against]),
                self.shown,
                self.words,
                w.HBox(self.offers),
                w.HBox([self.optimal, self.again]),
                self.budget,
                self.bars,
                self.status,
            ]
        )
        for box in (1, 4):
            self.children[box].layout.flex_flow = "row wrap"
        self.add_class("advcourse-explorer")
        self.status.add_class("advcourse-status")
        for button in self.offers:
            button.on_click(self._take)
        self.optimal.on_click(lambda _: self._play())
        self.again.on_click(lambda _: self._start())
        for control in (self.message, self.round, self.against):
            control.observe(lambda _: self._start(), names="value")
        self.budget.observe(self._spend, names="value")
        self.words.observe(lambda _: self.refresh(), names="value")
        self.refresh()

    @property
    def filters(self):
        """Return the filters of the round that is played."""
        return self.rounds[self.round.value]

    @property
    def text(self):
        """Return the message with the reader's words after it."""
        return f"{self.texts[self.message.value]} {self.words.value}".strip()

    def scores(self):
        """Return what each filter of the round says to the text now, {name: score}."""
        return {f.name: float(f.scores([self.text])[0]) for f in self.filters}

    def refresh(self):
        """Show the message, the verdicts, and the best words that are not in yet."""
        scores, added = self.scores(), spam.words_of(self.words.value)
        style = "border-left:4px solid #b8c2cc;padding:.3em .8em;margin:.3em 0"
        message = html_lib.escape(self.texts[self.message.value])
        self.shown.value = f'<div style="{style}">{message}</div>'
        self.bars.value = "".join(bar(name, score) for name, score in scores.items())
        told = ", ".join(
            f"{name} {'catches it' if score > 0 else 'lets it pass'}"
            for name, score in scores.items()
        )
        count = f"{len(added)} word{'s' * (len(added) != 1)} added"
        self.status.value = f'<span aria-live="polite">{count}: {html_lib.escape(told)}.</span>'
        aim = self.filters[self.against.value]
        best = [word for word in aim.good_words(BUTTONS + len(added)) if word not in added]
        for button, word in zip(self.offers, best, strict=False):
            button.description = f"{word} {signed(aim.weight(word))}"
            button.tooltip = f"add the word {word}"

    def _take(self, button):
        word = button.description.split(" ")[0]
        self.words.value = f"{self.words.value} {word}".strip()

    def _start(self):
        self.budget.value, self.words.value = 0, ""
        self.refresh()

    def _spend(self, change):
        words = self._best(change["new"]).words if change["new"] else ()
        self.words.value = " ".join(words)

    def _play(self):
        words = self._best(MOST).words
        self.budget.value = len(words)
        self.words.value = " ".join(words)  # the slider may have stood there already

    def _best(self, budget):
        aim = self.filters[self.against.value]
        return spam.greedy(aim, self.texts[self.message.value], budget)
