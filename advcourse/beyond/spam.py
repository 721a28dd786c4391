"""The spam game of lecture 12: two filters whose weights on words can be read, and good words.

Texts in, labels 1 (spam) and 0 (ham); a score above 0 says spam.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.svm import LinearSVC

from ..attacks.inputs import check_count, check_number, one_of

WORD = r"(?u)\b\w\w+\b"  # what a filter takes for a word, in lower case


@dataclass(frozen=True, eq=False, repr=False)
class Filter:
    """A linear spam filter: score = weights . features + bias, spam where it is above 0.

    words: the vocabulary (V); weights [V]; scale [V]: inverse document frequencies, by which a count
    is multiplied before the row is brought to length 1, or None where counts are taken as they are.
    """

    name: str
    words: tuple[str, ...]
    weights: np.ndarray
    bias: float
    scale: np.ndarray | None = None
    place: dict[str, int] = field(default_factory=dict)

    def __post_init__(self):
        self.place.update({word: i for i, word in enumerate(self.words)})

    def __repr__(self):
        return f"Filter({self.name!r}, {len(self.words):,} words)"

    def features(self, texts):
        """Return what the filter sees of the texts, sparse [N, V]."""
        counts = _counter(self.words).transform(check_texts(texts)).astype(np.float64)
        return counts if self.scale is None else _unit_rows(counts, self.scale)

    def scores(self, texts):
        """Return the scores of the texts, float64 [N]; above 0 means spam."""
        return torch.from_numpy(self.features(texts) @ self.weights + self.bias)

    def caught(self, texts):
        """Tell which of the texts the filter calls spam, bool [N]."""
        return self.scores(texts) > 0

    def pull(self):
        """Return what one more occurrence of each word pulls at the score, [V]."""
        return self.weights if self.scale is None else self.weights * self.scale

    def weight(self, word):
        """Return how one word pulls; 0 where the filter does not know it."""
        at = self.place.get(word.lower())
        return 0.0 if at is None else float(self.pull()[at])

    def good_words(self, n):
        """Return the n words that pull most towards ham, the strongest first."""
        check_count("n", n)
        return tuple(self.words[i] for i in self.pull().argsort(kind="stable")[:n])

    def bad_words(self, n):
        """Return the n words that pull most towards spam, the strongest first."""
        check_count("n", n)
        return tuple(self.words[i] for i in (-self.pull()).argsort(kind="stable")[:n])


def words_of(text):
    """Return the words of a text as the filters see them, in order, with repetitions."""
    return CountVectorizer(token_pattern=WORD).build_analyzer()(text)


def naive_bayes(texts, labels, smoothing=1.0):
    """Fit multinomial naive Bayes: a word's weight is log p(word | spam) - log p(word | ham).

    texts: N texts; labels [N]: 1 spam, 0 ham; smoothing: added to every word's count in each class.
    Raises ValueError for other labels, for lengths that differ, and without one class.
    Source: Sahami et al. 1998; lecture 12.
    """
    words, counts, y = _counted(texts, labels)
    weights, bias = _fit_bayes(counts, y, smoothing)
    return Filter("naive Bayes", words, weights, bias)


def linear_svm(texts, labels, strength=1.0):
    """Fit a linear support vector machine on TF-IDF rows of length 1.

    strength: the weight of the hinge losses against the margin (C). Errors as in `naive_bayes`.
    Source: Drucker et al. 1999; lecture 12.
    """
    words, counts, y = _counted(texts, labels)
    share = np.asarray((counts > 0).sum(0)).ravel()
    scale = np.log((1 + counts.shape[0]) / (1 + share)) + 1
    weights, bias = _fit_svm(_unit_rows(counts, scale), y, strength)
    return Filter("linear SVM", words, weights, bias, scale)


def retrain(filter, texts, labels, attacked, strength=1.0):
    """Return the filter with new weights: trained on the texts and on `attacked` spam, too.

    It keeps its words and their scale: the defender of the game changes weights.
    Source: Dalvi et al. 2004; lecture 12.
    """
    texts, attacked = check_texts(texts), check_texts(attacked)
    y = np.concatenate([_marks(labels, len(texts)), np.ones(len(attacked), dtype=int)])
    features = filter.features((*texts, *attacked))
    fit = _fit_bayes if filter.scale is None else _fit_svm
    weights, bias = fit(features, y, strength)
    return Filter(f"{filter.name}, retrained", filter.words, weights, bias, filter.scale)


def append(texts, words):
    """Return the texts with the words after their ends, in order; the texts stay whole."""
    tail = "".join(f" {word}" for word in words)
    return tuple(text + tail for text in check_texts(texts))


def frequent_words(texts, labels, n, beside_spam=False):
    """Return n words that many ham messages hold: good words without a look at the filter.

    beside_spam: take the share of ham with the word less the share of spam with it; a spammer knows
    his own messages. Source: Lowd and Meek 2005 (their passive attacks); lecture 12.
    """
    check_count("n", n)
    words, counts, y = _counted(texts, labels)
    ham, spam = (np.asarray((counts[y == label] > 0).mean(0)).ravel() for label in (0, 1))
    share = ham - spam if beside_spam else ham
    return tuple(words[i] for i in (-share).argsort(kind="stable")[:n])


def still_caught(filter, texts, words, counts):
    """Return which texts are caught after the first k of the words, bool [len(counts), N]."""
    return torch.stack([filter.caught(append(texts, words[:k])) for k in counts])


@dataclass(frozen=True)
class Evasion:
    """What `greedy` did: the words in order, the score before and after each, and whether it won."""

    words: tuple[str, ...]
    scores: tuple[float, ...]
    passed: bool


def greedy(filter, text, budget):
    """Append the word that lowers the score most, again and again, until the text passes.

    "Lowers most" is counted in score times row length, whose sign is the score's. Each word once, at
    most `budget` of them. Against naive Bayes no attacker that only adds, each word once, needs
    fewer; against the SVM, where the row's length changes with every word, greedy is near that.
    Source: Lowd and Meek 2005; lecture 12.
    """
    check_number("budget", budget, lambda v: v == int(v) and v >= 0, "is no number of words >= 0")
    (text,) = check_texts((text,))
    count = _counter(filter.words).transform([text]).toarray()[0].astype(np.float64)
    scale = np.ones(len(count)) if filter.scale is None else filter.scale
    pull = filter.pull()
    total = float(count @ pull)
    square = float(np.square(count * scale).sum())
    more = np.square(scale) * (2 * count + 1)  # by what one more of each lengthens the row, squared
    free, words, scores = np.ones(len(count), bool), [], [float(filter.scores((text,)))]
    while scores[-1] > 0 and len(words) < min(budget, len(count)):
        length = 1.0 if filter.scale is None else np.sqrt(square + more)
        reached = np.where(free, total + pull + filter.bias * length, np.inf)
        best = int(reached.argmin())
        if not reached[best] < total + filter.bias * (
            length if filter.scale is None else square**0.5
        ):
            break  # no word is left that helps
        total, square, free[best] = total + pull[best], square + more[best], False
        words.append(filter.words[best])
        scores.append(float(total / np.broadcast_to(length, len(pull))[best] + filter.bias))
    return Evasion(tuple(words), tuple(scores), scores[-1] <= 0)


def check_texts(texts):
    """Return the texts as a tuple, or say that they are none."""
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"texts: got {type(texts).__name__}; pass a list of texts, also for one")
    return tuple(texts)


def _marks(labels, n):
    y = np.asarray(labels)
    if y.shape != (n,) or not np.isin(y, (0, 1)).all():
        raise ValueError(f"labels: {y.shape} for {n} texts; pass one label per text, 1 spam, 0 ham")
    if len(np.unique(y)) < 2:
        raise ValueError(f"labels: all are {y[:1]}; a filter learns from spam and ham")
    return y


def _counter(words):
    return CountVectorizer(token_pattern=WORD, vocabulary=words)


def _counted(texts, labels):
    """Return the vocabulary of the texts, their counts [N, V] and the labels as an array."""
    texts = check_texts(texts)
    y = _marks(labels, len(texts))
    counter = CountVectorizer(token_pattern=WORD)
    counts = counter.fit_transform(texts).astype(np.float64)
    return tuple(counter.get_feature_names_out().tolist()), counts, y


def _unit_rows(counts, scale):
    rows = counts @ sparse.diags(scale)
    length = np.sqrt(rows.multiply(rows).sum(1))
    return sparse.diags(1 / np.asarray(np.where(length == 0, 1, length)).ravel()) @ rows


def _fit_bayes(counts, y, smoothing):
    check_number("smoothing", smoothing, lambda v: v > 0, "is no count; pass a number > 0")
    seen = np.stack([np.asarray(counts[y == label].sum(0)).ravel() for label in (0, 1)]) + smoothing
    ham, spam = np.log(seen / seen.sum(1, keepdims=True))
    return spam - ham, float(np.log((y == 1).sum() / (y == 0).sum()))


def _fit_svm(rows, y, strength):
    check_number("strength", strength, lambda v: v > 0, "is no weight; pass a number > 0")
    fitted = LinearSVC(C=strength, random_state=0).fit(rows, y)
    return fitted.coef_[0], float(fitted.intercept_[0])


MAKERS = {"naive Bayes": naive_bayes, "linear SVM": linear_svm}


def make(name, texts, labels):
    """Fit the filter called "naive Bayes" or "linear SVM"."""
    one_of("name", name, tuple(MAKERS))
    return MAKERS[name](texts, labels)
