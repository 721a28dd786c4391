"""A text classifier that reads in order (an LSTM), and the training of it (lecture 12).

Texts in, labels 1 (spam) and 0 (ham); a score above 0 says spam. The attacks are in `words`.
"""

import re
from collections import Counter

import torch
from torch import nn

from .. import training
from ..attacks.contract import frozen
from ..attacks.inputs import check_count
from .spam import _marks, check_texts

# A word, a number or an address in one piece ("don't", "555-0142", "example.com/win"), or a mark.
TOKEN = re.compile(r"\w+(?:[.'’/@:&-]+\w+)*|[£$€!?]")
PAD, UNKNOWN = 0, 1
LONGEST = 60  # tokens; what follows is not read


class TextClassifier(nn.Module):
    """An embedding, an LSTM that reads left to right, and a linear layer on its last state.

    words: the vocabulary, whose first word has number 2 (0 is padding, 1 any unknown word).
    tokens [N, L] int64 -> logits [N, 2], (ham, spam); padding stands at the end and changes nothing.
    """

    def __init__(self, words, width=32, hidden=48):
        super().__init__()
        self.words = tuple(words)
        self.number = {word: i for i, word in enumerate(self.words, start=2)}
        self.embedding = nn.Embedding(len(self.words) + 2, width, padding_idx=PAD)
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.dropout = nn.Dropout(0.3)
        self.linear = nn.Linear(hidden, 2)

    def forward(self, tokens):
        lengths = (tokens != PAD).sum(1)
        longest = max(int(lengths.max()), 1) if len(tokens) else 1
        return self.read(self.embedding(tokens[:, :longest]), lengths)

    def read(self, vectors, lengths):
        """Return the logits [N, 2] of word vectors [N, L, width], the first `lengths` of them."""
        states, _ = self.lstm(vectors)
        last = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[2])
        return self.linear(self.dropout(states.gather(1, last)[:, 0]))

    def encode(self, texts):
        """Return the numbers of the texts' tokens, int64 [N, L], padded at the end."""
        rows = [[self.number.get(t, UNKNOWN) for t in tokens_of(x)] for x in check_texts(texts)]
        longest = max((len(row) for row in rows), default=0)
        rows = [row + [PAD] * (max(longest, 1) - len(row)) for row in rows]
        return torch.tensor(rows, dtype=torch.int64).to(self.linear.weight.device)

    @torch.no_grad()
    def margins(self, tokens, batch_size=2000):
        """Return logit of spam minus logit of ham, [N], in eval mode, in batches."""
        with frozen(self):
            z = torch.cat([self(part) for part in tokens.split(batch_size)])
        return z[:, 1] - z[:, 0]

    def scores(self, texts):
        """Return the scores of the texts, [N]; above 0 means spam."""
        return self.margins(self.encode(texts)) if len(texts) else torch.empty(0)

    def caught(self, texts):
        """Tell which of the texts are called spam, bool [N]."""
        return self.scores(texts) > 0


def spans(text):
    """Return (start, end) of the tokens of a text that are read."""
    return [match.span() for match in TOKEN.finditer(text)][:LONGEST]


def tokens_of(text):
    """Return the tokens of a text, in lower case."""
    return [text[a:b].lower() for a, b in spans(text)]


def is_word(token):
    """Tell whether a token is a plain word: no number, address, or mark. Only those are changed."""
    return token.replace("'", "").replace("’", "").isalpha()


def train_lstm(
    texts, labels, *, words=3000, width=32, hidden=48, epochs=None, seed=0, progress=True
) -> TextClassifier:
    """Train a `TextClassifier` on N texts with labels [N], 1 spam and 0 ham; a few seconds.

    words: the size of its vocabulary, the most frequent tokens first; epochs: 4 by default, and 12
    where there are fewer than 1,000 texts. Same seed, same result.
    Raises ValueError for other labels, lengths that differ, and counts below 1.
    Source: Hochreiter and Schmidhuber 1997; lecture 12.
    """
    texts = check_texts(texts)
    y = torch.as_tensor(_marks(labels, len(texts)))
    epochs = epochs if epochs is not None else 4 if len(texts) >= 1000 else 12
    for name, value in (("words", words), ("width", width), ("hidden", hidden), ("epochs", epochs)):
        check_count(name, value)
    seen = Counter(token for text in texts for token in tokens_of(text))
    vocabulary = sorted(seen, key=lambda token: (-seen[token], token))[:words]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = TextClassifier(vocabulary, width, hidden)
    x = model.encode(texts)
    training.fit(
        model,
        x,
        y,
        epochs=epochs,
        batch_size=64,
        learning_rate=5e-3,
        seed=seed,
        augment=_forget,
        progress=progress,
    )
    return model


def _forget(_model, x, y, generator):
    """Hide one word in twenty, so that the vector of the unknown word is trained, too."""
    hidden = torch.rand(x.shape, generator=generator).to(x.device) < 0.05
    return x.masked_fill(hidden & (x != PAD), UNKNOWN), y
