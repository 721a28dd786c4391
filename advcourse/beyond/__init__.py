"""Beyond pictures (lecture 12): spam filters, text classifiers, graphs, support vector machines."""

# ruff: noqa: F401  (what a notebook takes from here)

from .spam import (
    Evasion,
    Filter,
    append,
    frequent_words,
    greedy,
    linear_svm,
    naive_bayes,
    retrain,
    still_caught,
    words_of,
)
from .text import TextClassifier, train_lstm
from .words import Rewritten, misspell, random_swaps, swap_words, typos
