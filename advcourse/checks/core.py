"""What a check is: it tries a reader's function on small random cases and answers with one line."""

import functools
import os
import traceback

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
                _judged(judge, answer)
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

        check.judges = judge.__module__
        return check

    return decorate


def _judged(judge, answer):
    """Run the judge; a crash of its own is a Mistake with one sentence, not a traceback."""
    try:
        judge(answer)
    except Mistake:
        raise
    except NotImplementedError as problem:
        if said := _unwritten(problem, answer):
            raise Mistake(said) from None
        raise
    except Exception as problem:
        text = " ".join(str(problem).split())[:160]
        raise Mistake(
            f"the check could not work with what it got back ({type(problem).__name__}: {text}); look "
            "at the type, the shape and the dtype of what you return"
        ) from problem


def _unwritten(problem, answer):
    """Tell what a NotImplementedError means: "" for the answer's own stub, else a sentence.

    torch raises that class as well, and so does the stub of an earlier exercise that this one calls.
    """
    frame = traceback.extract_tb(problem.__traceback__)[-1]
    code = getattr(answer, "__code__", None)
    own = code is None or (frame.filename, frame.name) == (code.co_filename, code.co_name)
    raised = "raise NotImplementedError" in frame.line if frame.line else not str(problem)
    if raised:
        return "" if own else f"it calls {frame.name}, which is not written yet; write that first"
    return f"it raised NotImplementedError: {' '.join(str(problem).split())[:160]}"


def ready(*names):
    """Return whether these exercises are right by now; if not, print what is skipped, and why."""
    missing = [name for name in names if not _passed.get(name)]
    if missing:
        print(f"Skipped: this needs {', '.join(missing)}. Finish the exercise and run it again.")
    return not missing


def ask(answer, *args, unchanged=(), **kwargs):
    """Call the answer; turn its crash, or a change of its tensors `unchanged`, into a Mistake."""
    before, tracked = [t.clone() for t in unchanged], [t.requires_grad for t in unchanged]
    try:
        result = answer(*args, **kwargs)
    except (Mistake, NotImplementedError):  # the latter is the stub's, or torch's: see `_judged`
        raise
    except Exception as problem:
        raise Mistake(f"it raised {type(problem).__name__}: {problem}") from None
    if any(not torch.equal(a, b) for a, b in zip(before, unchanged, strict=True)):
        raise Mistake(
            "it changes its input in place; work on a copy (x.clone()), or use operations without "
            "a trailing underscore"
        )
    if [t.requires_grad for t in unchanged] != tracked:
        for t, was in zip(unchanged, tracked, strict=True):
            t.requires_grad_(was)
        raise Mistake(
            "it switches on requires_grad of the caller's x, and leaves it on; work on a copy, "
            "x.clone()"
        )
    return result


def agree(answer, reference, cases, mistakes=(), *, tolerance=1e-5, expected="", what="the result"):
    """Hold the answer to `reference` in every case, or raise the Mistake that explains it.

    cases: {hint: arguments, or a function that makes them anew}. The first hint is "", the case that
    everybody tries; the others say what is special, as in "a batch of one". mistakes: {message:
    function with the reference's arguments}; the first that gives what the answer gave is the
    mistake. It may also be a function of the reference's result, where it takes `right`. expected:
    a sentence for an answer that none of them explains. Tensors among the arguments are not to change.
    """
    for hint, case in cases.items():
        make = case if callable(case) else lambda case=case: case
        args, wanted = make(), reference(*make())
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        got = _alike(ask(answer, *args, unchanged=tensors), wanted, what, hint)
        if all(_near(g, w, tolerance) for g, w in zip(got, _all(wanted), strict=True)):
            continue
        for message, wrong in dict(mistakes).items():
            try:
                other = _all(wrong(*make()))
            except Exception:  # a slip that cannot even run in this case explains nothing here
                continue
            pairs = list(zip(got, other, strict=False))
            if len(pairs) == len(got) and all(_near(g, w, tolerance) for g, w in pairs):
                raise Mistake(f"{message}{f' (seen with {hint})' if hint else ''}")
        told = f"right at first, but not with {hint}" if hint else "not the expected values"
        got = got if isinstance(wanted, tuple | list) else got[0]
        shown = "" if expected else f"; expected {brief(wanted)}, got {brief(got)}"
        raise Mistake(f"{told}{': ' if expected else ''}{expected}{shown}")


def typed(answer, place, name):
    """Return the answer, held to the dtype of its argument number `place`, which is `name`."""

    def judged(*args):
        got = answer(*args)
        if isinstance(got, torch.Tensor) and got.dtype != args[place].dtype:
            raise Mistake(
                f"it returns {got.dtype} for {name} of {args[place].dtype}; keep the dtype"
            )
        return got

    return judged


def draws(answer, make, what="the result"):
    """Hold the answer to its generator; make(generator) returns its arguments.

    The same seed gives the same, the same generator object twice gives two draws, and the global
    random state stays where it was. Returns the first result.
    """
    state, source = torch.get_rng_state(), generator(5)
    first, second = (ask(answer, *make(source)) for _ in range(2))
    again = ask(answer, *make(generator(5)))
    if not torch.equal(state, torch.get_rng_state()):
        raise Mistake("it draws from the global random state; pass generator=generator to the draw")
    same = [all(_near(a, b, 0) for a, b in zip(_all(first), _all(x))) for x in (second, again)]  # noqa: B905
    if not same[1]:
        raise Mistake(
            f"the same seed does not give the same: all of {what} comes from the generator"
        )
    if same[0]:
        raise Mistake(
            "called twice with one generator object it draws the same twice; use the generator that "
            "is passed, without seeding it or a new one"
        )
    return first


def _all(value):
    """Return the result's parts as a list: a tuple or a list is taken apart."""
    return list(value) if isinstance(value, tuple | list) else [value]


def _alike(got, wanted, what, hint):
    """Return the parts of `got` if they have the types and shapes of `wanted`'s."""
    parts, seen = _all(wanted), _all(got)
    if got is None and wanted is not None:
        raise Mistake("it returns None; end the function with a return")
    if isinstance(wanted, tuple) and len(parts) != len(seen):
        raise Mistake(f"return {len(parts)} values, not {len(seen)}")
    if isinstance(wanted, list) and (not isinstance(got, list | tuple) or len(parts) != len(seen)):
        raise Mistake(f"{what} should be a list of {len(parts)}, one for each; got {brief(got)}")
    where = f" with {hint}" if hint else ""
    for i, part in enumerate(parts):
        name = what if len(parts) == 1 else f"{what}, part {i + 1},"
        if isinstance(part, torch.Tensor):
            tensor(seen[i], part.shape, name + where)
        elif seen[i] is None:
            raise Mistake("it returns None; end the function with a return")
        elif isinstance(part, bool | int | float) and not _is_number(seen[i]):
            raise Mistake(f"{name}{where} is {brief(seen[i])}; return one number")
    return seen


def _is_number(value):
    if isinstance(value, torch.Tensor):
        return value.numel() == 1
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, str)


def _near(a, b, tolerance):
    """Tell whether two parts agree; NaN never does."""
    if isinstance(b, torch.Tensor):
        return isinstance(a, torch.Tensor) and close(a, b, tolerance)
    if isinstance(b, int | float):
        return _is_number(a) and abs(float(a) - float(b)) <= tolerance
    return a == b


def brief(value):
    """Return a value in few characters, as a message shows it."""
    if isinstance(value, torch.Tensor):
        flat = value.detach().flatten()
        if flat.numel() > 6:
            return f"a tensor {tuple(value.shape)} beginning {brief(flat[:3])}"
        value = flat.tolist() if value.ndim else value.item()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(brief, value[:6])) + (", ...]" if len(value) > 6 else "]")
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:60]


def tensor(value, shape, what="the result"):
    """Return `value` if it is a detached tensor of this shape, else raise a Mistake."""
    if value is None:
        raise Mistake("it returns None; end the function with a return")
    if not isinstance(value, torch.Tensor):
        raise Mistake(f"{what} is a {type(value).__name__}; return a torch tensor")
    if value.layout != torch.strided:
        raise Mistake(f"{what} is a sparse tensor; return a dense one, .to_dense()")
    if value.shape != shape:
        raise Mistake(f"{what} has shape {tuple(value.shape)}; it should be {tuple(shape)}")
    if value.requires_grad:
        raise Mistake(f"{what} still carries its graph; return it with .detach()")
    if torch.isnan(value).any():
        raise Mistake(f"{what} contains NaN; look for a division by zero or a log of zero")
    return value


def close(a, b, tolerance=1e-5):
    """Return whether two tensors agree within `tolerance`."""
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=0, atol=tolerance)


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
