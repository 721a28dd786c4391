"""A victim behind a counter: it answers questions, and shows nothing else (lecture 09)."""

import weakref

import torch
import torch.nn.functional as F

from .inputs import check_count, frozen, logits, one_of

# The models, apart from the oracles that ask them: no attribute of an oracle leads to its weights.
_BEHIND = weakref.WeakKeyDictionary()
ORDERS = {"l2": 2, "linf": torch.inf}


class BudgetSpent(RuntimeError):
    """An oracle was asked more often than its budget allows; `rows` are the images concerned."""

    def __init__(self, message, rows):
        super().__init__(message)
        self.rows = rows


class Oracle:
    """Answer queries about images with class scores or labels alone, and count those of every image.

    model: any callable, images [N, ...] -> scores [N, classes]; held in eval mode while it answers.
    answers: "scores" (detached [N, classes]) or "labels" (int64 [N]). budget: how many queries each
    image may cost (None: no limit). Source: lecture 09.
    """

    def __init__(self, model, answers="scores", budget=None):
        one_of("answers", answers, ["scores", "labels"])
        if not callable(model):
            raise ValueError(f"model: got {type(model).__name__}; pass a network or a function")
        if budget is not None:
            check_count("budget", budget)
        _BEHIND[self] = behind(model)
        self.answers, self.budget, self._rows = answers, budget, None
        self._counts = [torch.zeros(0, dtype=torch.int64)]  # in a list: shared with every part

    def __call__(self, x, rows=None):
        """Return the answers to x [N, ...]; rows: int64 [N], which image each query is about.

        rows may repeat, and None means 0 to N - 1. Raises BudgetSpent where an image would exceed
        the budget: then nobody is answered and nothing is counted. Raises ValueError where x
        requires a gradient.
        """
        if not isinstance(x, torch.Tensor) or not x.ndim:
            raise ValueError(f"x: got {type(x).__name__}; pass a tensor of images, shape (N, ...)")
        if x.requires_grad:
            raise ValueError(
                "x: it requires a gradient, and an oracle has none to give; pass x.detach(), and use "
                "a black-box attack"
            )
        asked = torch.bincount(self._named(x, rows))
        counts = self._grown(len(asked))
        asked = torch.cat([asked, asked.new_zeros(len(counts) - len(asked))])
        if self.budget is not None and bool((spent := counts + asked > self.budget).any()):
            images = spent.nonzero()[:, 0]
            raise BudgetSpent(
                f"the budget of {self.budget} queries per image does not allow {len(x)} more for "
                f"{len(images)} of the images (the first: number {images[0]}, asked "
                f"{counts[images[0]]} times so far); nothing was answered, nothing was counted",
                images,
            )
        model = _BEHIND[self]
        with torch.no_grad(), frozen(model):
            z = model(x)
        self._counts[0] = counts + asked
        return z.argmax(1) if self.answers == "labels" and z.ndim == 2 else z.detach()

    def _named(self, x, rows):
        rows = torch.arange(len(x)) if rows is None else torch.as_tensor(rows).cpu()
        if rows.shape != x.shape[:1] or rows.is_floating_point() or bool((rows < 0).any()):
            raise ValueError(
                f"rows: {tuple(rows.shape)} for {len(x)} queries; pass the number of its image, an "
                "integer from 0, for each"
            )
        if self._rows is None or not len(rows):
            return rows.long()
        if int(rows.max()) >= len(self._rows):
            raise ValueError(f"rows: {int(rows.max())} in a part of {len(self._rows)} images")
        return self._rows[rows.long()]

    def _grown(self, n):
        counts = self._counts[0]
        return torch.cat([counts, counts.new_zeros(max(0, n - len(counts)))])

    @property
    def queries(self):
        """How often each image was asked about so far, int64 [images]."""
        if self._rows is None:
            return self._counts[0].clone()
        return self._grown(int(self._rows.max()) + 1 if len(self._rows) else 0)[self._rows]

    def left(self, rows):
        """Return how many queries these images [N] may still cost, int64 [N]."""
        rows = torch.as_tensor(rows).cpu()
        rows = rows if self._rows is None else self._rows[rows]
        if self.budget is None:
            return torch.full_like(rows, torch.iinfo(torch.int64).max)
        return self.budget - self._grown(int(rows.max()) + 1 if len(rows) else 0)[rows]

    def part(self, rows):
        """Return this oracle for some of its images: row i there is rows[i] here, counted here."""
        rows = torch.as_tensor(rows, dtype=torch.int64).cpu()
        view = Oracle(_BEHIND[self], self.answers, self.budget)
        view._rows, view._counts = rows if self._rows is None else self._rows[rows], self._counts
        return view

    def __repr__(self):
        limit = "no limit" if self.budget is None else f"at most {self.budget} queries per image"
        return f"Oracle({self.answers}, {limit}, {int(self.queries.sum())} asked)"


def behind(model):
    """Return the model behind an oracle, or any other model itself: for a judge, not an attack."""
    return _BEHIND[model] if isinstance(model, Oracle) else model


def ask(model, x, rows=None):
    """Return model(x) without a gradient; an Oracle is told which images [N] it is asked about."""
    with torch.no_grad():
        return model(x, rows) if isinstance(model, Oracle) else model(x)


def ask_labels(model, x, rows=None):
    """Return the labels [N] that the model gives x: those it answers, or the highest scores'."""
    answer = ask(model, x, rows)
    if (
        isinstance(answer, torch.Tensor)
        and answer.dtype == torch.int64
        and answer.shape == x.shape[:1]
    ):
        return answer
    return logits(lambda _: answer, x).argmax(1)


def part_of(model, start, stop):
    """Return the model for images start to stop of a batch: an Oracle counts them as those."""
    return model.part(range(start, stop)) if isinstance(model, Oracle) else model


def allowed(model, rows):
    """Return a mask [len(rows)]: whose budget allows one more query."""
    if not isinstance(model, Oracle) or model.budget is None:
        return torch.ones_like(rows, dtype=torch.bool)
    return (model.left(rows) > 0).to(rows.device)


class Trace:
    """A hook that remembers how near the best success of each image came, and after how many queries.

    Pass it as `on_step` of `hop_skip_jump` on an Oracle that has not been asked before; `norm` as
    there. An image that has not moved counts as infinitely far: leave out those that are wrong.
    """

    def __init__(self, oracle, x, norm="l2"):
        one_of("norm", norm, list(ORDERS))
        self.oracle, self.x, self.norm, self.seen = oracle, x, norm, []

    def __call__(self, _step, x_adv):
        size = (x_adv - self.x).flatten(1).norm(ORDERS[self.norm], dim=1)
        self.seen.append((self.oracle.queries, torch.where(size > 0, size, torch.inf).cpu()))

    def after(self, queries):
        """Return [N] the least distance after so many queries of each image; for a list [Q, N]."""
        if not isinstance(queries, int):
            return torch.stack([self.after(int(q)) for q in queries])
        least = torch.full((len(self.x),), torch.inf)
        for asked, size in self.seen:
            asked = F.pad(asked, (0, len(least) - len(asked)))
            least = torch.where(asked <= queries, torch.minimum(least, size.to(least)), least)
        return least
