"""Attacks on a text classifier that a reader still understands: other words, and misspelt ones."""

from dataclasses import dataclass

import torch

from ..attacks.contract import frozen
from ..attacks.inputs import check_count, check_number
from .spam import check_texts
from .text import PAD, UNKNOWN, is_word, spans, tokens_of

LOOKALIKES = str.maketrans("aeiost", "@31057")


@dataclass(frozen=True)
class Rewritten:
    """What an attack made of N texts within its budget.

    texts: the last state of each; changes: for each text the (number of the token, old, new), in
    order; scores [budget + 1, N]: after so many changes; a text that has passed is left alone.
    """

    texts: tuple[str, ...]
    changes: tuple[tuple[tuple[int, str, str], ...], ...]
    scores: torch.Tensor

    @property
    def passed(self):
        """Tell for every number of changes which texts are called ham, bool [budget + 1, N]."""
        return self.scores <= 0


def swap_words(model, texts, budget, candidates=20):
    """Swap at most `budget` words of each text against words of the vocabulary, by the gradient.

    One gradient with respect to the word vectors says, to first order, what each of all swaps would
    do; the `candidates` best are tried, and the best of those is made. Each place is changed once.
    Numbers, addresses and marks stay: they are what the message is for. White box.
    Source: Ebrahimi et al. 2018 (HotFlip); lecture 12.
    """
    check_count("candidates", candidates)
    words = torch.tensor([i > UNKNOWN and is_word(w) for w, i in _numbered(model)])

    def propose(tokens, free, _generator):
        slope = _slopes(model, tokens)
        table = model.embedding.weight.detach()
        gain = slope @ table.T - (slope * table[tokens]).sum(2, keepdim=True)
        gain = gain.masked_fill(~free[:, :, None] | ~words.to(gain.device), torch.inf)
        gain.scatter_(2, tokens[:, :, None], torch.inf)  # a word against itself is no swap
        best = gain.flatten(1).topk(min(candidates, gain[0].numel()), largest=False)
        place, word = best.indices // gain.shape[2], best.indices % gain.shape[2]
        return place, word, best.values < torch.inf

    return _rewrite(model, texts, budget, propose)


def random_swaps(model, texts, budget, generator=None):
    """Swap at most `budget` words of each text against random ones: what `swap_words` must beat."""
    words = torch.tensor([i for w, i in _numbered(model) if i > UNKNOWN and is_word(w)])

    def propose(tokens, free, generator):
        place = torch.rand(free.shape, generator=generator).masked_fill(~free.cpu(), -1).argmax(1)
        word = words[torch.randint(len(words), (len(tokens),), generator=generator)]
        place, word = place[:, None].to(tokens.device), word[:, None].to(tokens.device)
        return place, word, free.any(1, keepdim=True)

    return _rewrite(model, texts, budget, propose, generator or torch.Generator().manual_seed(0))


def typos(word):
    """Return misspellings of a word that a reader still understands, without repetitions.

    Two inner letters change places; one letter is doubled; one is drawn as a digit or sign that
    looks like it. Words below four letters have none. Source: Gao et al. 2018; lecture 12.
    """
    if len(word) < 4 or not is_word(word):
        return ()
    made = [word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(1, len(word) - 2)]
    made += [word[:i] + word[i - 1] + word[i:] for i in range(2, len(word))]
    signs = word.translate(LOOKALIKES)
    made += [word[:i] + s + word[i + 1 :] for i, s in enumerate(signs) if s != word[i]]
    return tuple(dict.fromkeys(t for t in made if t != word))


def misspell(scores, texts, budget):
    """Misspell at most `budget` words of each text, each time the one that helps most.

    scores: a callable, list of texts -> [N], above 0 for spam; nothing else of the model is used.
    Each word gets one of its `typos`, the first that hides it. Words without any stay.
    Source: Gao et al. 2018 (DeepWordBug, with the victim's own scores); lecture 12.
    """
    _check_budget(budget)
    results = [_misspell(scores, text, budget) for text in check_texts(texts)]
    curves = torch.stack([r[2] for r in results], 1) if results else torch.empty(budget + 1, 0)
    return Rewritten(tuple(r[0] for r in results), tuple(r[1] for r in results), curves)


def _misspell(scores, text, budget):
    changes, now = [], float(scores([text])[0])
    curve = [now]
    while now > 0 and len(changes) < budget:
        tried = []
        for k, (a, b) in enumerate(spans(text)):
            if all(k != done for done, *_ in changes):
                tried += [(k, text[a:b], t, text[:a] + t + text[b:]) for t in typos(text[a:b])[:3]]
        if not tried:
            break
        values = scores([t[3] for t in tried])
        best = int(values.argmin())
        if not values[best] < now:
            break
        now, text = float(values[best]), tried[best][3]
        changes.append(tried[best][:3])
        curve.append(now)
    curve += [now] * (budget + 1 - len(curve))
    return text, tuple(changes), torch.tensor(curve)


def _rewrite(model, texts, budget, propose, generator=None):
    """Let `propose` name swaps for the texts that are still caught, and make the best of them."""
    _check_budget(budget)
    texts = check_texts(texts)
    if not texts:
        return Rewritten((), (), torch.empty(budget + 1, 0))
    tokens, scores = model.encode(texts), []
    movable = [[is_word(t) for t in tokens_of(x)] for x in texts]
    free = torch.zeros_like(tokens, dtype=torch.bool)
    for row, marks in enumerate(movable):
        free[row, : len(marks)] = torch.tensor(marks, dtype=torch.bool)
    scores.append(model.margins(tokens))
    made = [[] for _ in texts]
    for _ in range(budget):
        now = scores[-1].clone()
        rows = ((now > 0) & free.any(1)).nonzero()[:, 0]
        if len(rows):
            place, word, sound = propose(tokens[rows], free[rows], generator)
            chosen, reached = _best(model, tokens[rows], place, word, sound)
            at, new = (v.gather(1, chosen[:, None])[:, 0] for v in (place, word))
            for row, i, number in zip(rows.tolist(), at.tolist(), new.tolist(), strict=True):
                made[row].append((i, model.words[number - 2]))
            tokens[rows, at], free[rows, at], now[rows] = new, False, reached
        scores.append(now)
    written = [_written(text, moves) for text, moves in zip(texts, made, strict=True)]
    return Rewritten(*map(tuple, zip(*written, strict=True)), torch.stack(scores))


def _best(model, tokens, place, word, sound):
    """Try every proposed swap [N, K]; return which is best, [N], and the scores there, [N]."""
    n, k = place.shape
    tried = tokens[:, None].repeat(1, k, 1)
    tried.scatter_(2, place[:, :, None], word[:, :, None])
    values = model.margins(tried.flatten(0, 1)).view(n, k).masked_fill(~sound, torch.inf)
    reached, chosen = values.min(1)
    return chosen, reached


def _slopes(model, tokens):
    """Return the gradient of the score with respect to the word vectors, [N, L, width]."""
    with frozen(model), torch.enable_grad():
        vectors = model.embedding(tokens).detach().requires_grad_()
        z = model.read(vectors, (tokens != PAD).sum(1))
        return torch.autograd.grad((z[:, 1] - z[:, 0]).sum(), vectors)[0]


def _written(text, moves):
    """Return the text with its tokens replaced, and the changes (number, old, new)."""
    places = spans(text)
    changes = tuple((i, text[slice(*places[i])], new) for i, new in moves)
    for i, new in sorted(moves, reverse=True):
        text = text[: places[i][0]] + new + text[places[i][1] :]
    return text, changes


def _numbered(model):
    return [("", PAD), ("", UNKNOWN), *((w, i) for i, w in enumerate(model.words, start=2))]


def _check_budget(budget):
    said = "is no number of words; pass a whole number >= 0"
    check_number("budget", budget, lambda v: v == int(v) and v >= 0, said)
