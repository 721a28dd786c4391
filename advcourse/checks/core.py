"""What a check is: it tries a reader's function on small random cases and answers with one line."""

import functools
import os

import torch
from torch import nn

# What every check of this session has said last, so that later cells know what they may use.
_passed = {}


class Mistake(Exception):
    """A wrong answer; its text names the likely mistake and says what to do."""


class Verdict:
    """The answer of a check: true if right; prints as one line."""

    def __init__(self, name, state, text):
        self.name, self.state, self.text = name, state, text

    def __bool__(self):
        return self.state == "right"

    def __repr__(self):
        sign, word = {
            "right": ("✓", "right"),
            "wrong": ("✗", "not correct yet"),
            "open": ("–", "not attempted yet"),
        }[self.state]
        return f"{sign} {self.name}: {word}{'. ' + self.text if self.text else ''}"


def exercise(praise):
    """Turn a judge (answer -> None, or raises Mistake) into a check that prints its verdict.

    Under nbgrader (NBGRADER_EXECUTION), and for a wrong answer where ADVCOURSE_STRICT is set, the
    check raises, so that a grader or a test sees it.
    """

    def decorate(judge):
        name = judge.__name__

        @functools.wraps(judge)
        def check(answer):
            grading = os.environ.get("NBGRADER_EXECUTION")
            try:
                if not callable(answer):
                    raise Mistake(f"pass the function itself, check.{name}({name}), not its result")
                judge(answer)
                verdict = Verdict(name, "right", praise)
            except NotImplementedError:
                if grading:
                    raise
                verdict = Verdict(name, "open", "Replace the TODO, then run this cell again")
            except Mistake as mistake:
                if grading or os.environ.get("ADVCOURSE_STRICT"):
                    raise AssertionError(f"{name}: {mistake}") from None
                verdict = Verdict(name, "wrong", str(mistake))
            _passed[name] = bool(verdict)
            return verdict

        return check

    return decorate


def ready(*names):
    """Return whether these exercises are right by now; if not, print what is skipped, and why."""
    missing = [name for name in names if not _passed.get(name)]
    if missing:
        print(f"Skipped: this needs {', '.join(missing)}. Finish the exercise and run it again.")
    return not missing


def ask(answer, *args, unchanged=(), **kwargs):
    """Call the answer; turn its crash, or a change of its tensors `unchanged`, into a Mistake."""
    before = [t.clone() for t in unchanged]
    try:
        result = answer(*args, **kwargs)
    except NotImplementedError:
        raise
    except Exception as problem:
        raise Mistake(f"it raised {type(problem).__name__}: {problem}") from None
    if any(not torch.equal(a, b) for a, b in zip(before, unchanged, strict=True)):
        raise Mistake(
            "it changes its input in place; work on a copy (x.clone()), or use operations without "
            "a trailing underscore"
        )
    return result


def tensor(value, shape, what="the result"):
    """Return `value` if it is a detached tensor of this shape, else raise a Mistake."""
    if value is None:
        raise Mistake("it returns None; end the function with a return")
    if not isinstance(value, torch.Tensor):
        raise Mistake(f"{what} is a {type(value).__name__}; return a torch tensor")
    if value.shape != shape:
        raise Mistake(f"{what} has shape {tuple(value.shape)}; it should be {tuple(shape)}")
    if value.requires_grad:
        raise Mistake(f"{what} still carries its graph; return it with .detach()")
    if torch.isnan(value).any():
        raise Mistake(f"{what} contains NaN; look for a division by zero or a log of zero")
    return value


def close(a, b, tolerance=1e-5):
    """Return whether two tensors agree within `tolerance`."""
    return a.shape == b.shape and torch.allclose(a.float(), b.float(), rtol=0, atol=tolerance)


def generator(seed):
    """Return a seeded random generator."""
    return torch.Generator().manual_seed(seed)


def linear_victim(seed=0, classes=4, size=6):
    """Return a random softmax-linear model, images [5, 1, 2, 3] in [0.2, 0.8], and labels [5].

    Its input gradient has a closed form, W^T (softmax - onehot): an independent reference.
    """
    random = generator(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(size, classes))
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(classes, size, generator=random))
        model[1].bias.copy_(torch.randn(classes, generator=random))
    x = 0.2 + 0.6 * torch.rand(5, 1, 2, size // 2, generator=random)
    return model, x, torch.randint(0, classes, (5,), generator=random)


def linear_gradient(model, x, labels):
    """Return the closed-form gradient of the summed cross-entropy of a `linear_victim`."""
    weight, bias = model[-1].weight.detach(), model[-1].bias.detach()
    share = (x.flatten(1) @ weight.T + bias).softmax(1)
    share[torch.arange(len(x)), labels] -= 1
    return (share @ weight).view_as(x)


def dropout_victim(seed=0):
    """Return a `linear_victim` behind strong dropout, in train mode: it shows who forgot eval()."""
    model, x, y = linear_victim(seed)
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), model[1]).train(), x, y


def check_left_alone(answer_call, model):
    """Run `answer_call()`; raise a Mistake if it leaves gradients in the weights or another mode."""
    mode = model.training
    result = answer_call()
    if any(p.grad is not None for p in model.parameters()):
        raise Mistake(
            "it leaves gradients in the model's weights, which accumulate from call to call; ask "
            "only for x: torch.autograd.grad(loss, x)"
        )
    if model.training != mode:
        raise Mistake("it leaves the model in another mode; restore model.train(mode) at the end")
    if any(not p.requires_grad for p in model.parameters()):
        raise Mistake("it switches off requires_grad of the weights; leave the model as it was")
    return result
