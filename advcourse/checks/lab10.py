"""Checks of lab 10: one change for all, a patch at any place, a mask, a turn, and many views."""

from functools import partial

import torch
import torch.nn.functional as F

from .core import (
    Mistake,
    agree,
    ask,
    brief,
    check_left_alone,
    close,
    draws,
    dropout_victim,
    exercise,
    generator,
    linear_gradient,
    linear_victim,
    tensor,
)

EPS, SIZE = 0.3, 0.1


def _attack(at=None, order=None, size=None, eps=None, box=(0, 1), through=False):
    """Return universal_step with one slip, or none: how it looks, averages, moves and clips."""

    def step(model, x, y, delta, eps_given, size_given):
        seen = (x + delta).clamp(*box) if at is None else at(x, delta)
        slope = linear_gradient(model, seen, y)
        if through:
            slope = slope * ((x + delta >= 0) & (x + delta <= 1))
        mean = slope.mean(0, keepdim=True).sign() if order is None else order(slope)
        length = size_given if size is None else eps_given if size == "eps" else size
        bound = eps_given if eps is None else eps
        return (delta + length * mean).clamp(-bound, bound)

    return step


def _universal_case(seed, n=5, size=6, rows=False, double=False, eps=EPS, step_size=SIZE):
    """Return model, images at the bounds, labels, and a change that is near its ball's surface."""
    model, x, y = linear_victim(seed, size=size)
    model[1].weight.data.mul_(4)  # so that where one looks matters
    x, y = (10 * (x - 0.5)).clamp(0, 1)[:n], y[:n]
    x = x.flatten(1) if rows else x
    delta = 0.3 * (2 * torch.rand(x[:1].shape, generator=generator(seed + 9)) - 1)
    if double:
        model, x, delta = model.double(), x.double(), delta.double()
    return model, x, y, delta, eps, step_size


@exercise("One vote for each image, and one change for all of them.")
def universal_step(answer):
    """Check universal_step(model, x, y, delta, eps, step_size) -> the next delta [1, ...]."""
    shown = {}

    def alone(*args):
        got = check_left_alone(partial(answer, *args), args[0])
        shown["got"] = got
        if isinstance(got, torch.Tensor) and got.shape == args[1].shape != args[3].shape:
            raise Mistake(
                "it has a change for every image; sum the gradient over the images (dim 0, "
                "keepdim=True) before you take its sign: one change for all"
            )
        return got

    cases = {
        "": partial(_universal_case, 31),
        "a batch of one": partial(_universal_case, 70, n=1),
        "images that are rows of numbers": partial(_universal_case, 37, size=8, rows=True),
        "double precision": partial(_universal_case, 63, double=True),
        "another eps and step_size": partial(_universal_case, 64, eps=0.2, step_size=0.04),
    }
    downhill = lambda g: -g.mean(0, keepdim=True).sign()  # noqa: E731
    mistakes = {
        "nothing moved": _attack(size=0),
        "wrong sign: it goes down the loss of y; add the step": _attack(order=downhill),
        "the step leaves the ball: clip the new delta to -eps, eps": _attack(eps=9.0),
        "the gradient is taken at x; look at the pictures as they are now, x + delta": _attack(
            at=lambda x, delta: x
        ),
        "the network sees pixels outside [0, 1]: clamp x + delta before you ask it": _attack(
            box=(-9, 9)
        ),
        "it averages signs, so that a whisper counts as much as a shout; average the gradients "
        "first, then take the sign": _attack(order=lambda g: g.sign().mean(0, keepdim=True)),
        "it averages signs, and takes the sign again: sum the gradients, then take the sign": (
            _attack(order=lambda g: g.sign().sum(0, keepdim=True).sign())
        ),
        "the sign is missing: every pixel moves by step_size": _attack(
            order=lambda g: g.mean(0, keepdim=True)
        ),
        "the sign is missing, and the gradients are summed": _attack(
            order=lambda g: g.sum(0, keepdim=True)
        ),
        "the gradient is taken through the clamp, which silences pixels at 0 and 1; take it with "
        "respect to the clamped pictures": _attack(through=True),
        "the step is eps long; it should be step_size": _attack(size="eps"),
        "only the first image has a vote": _attack(order=lambda g: g[:1].sign()),
        "it begins at 0 again; begin at the delta that is passed": lambda m, x, y, d, e, s: _attack(
            at=lambda x, _: (x + d).clamp(0, 1)
        )(m, x, y, torch.zeros_like(d), e, s),
    }
    agree(alone, _attack(), cases, mistakes, what="delta")
    _in_eval(answer, lambda m, x, y: (m, x[:3], y[:3], torch.zeros_like(x[:1]), EPS, SIZE))


def _in_eval(answer, arguments):
    """Raise a Mistake unless the answer is the same behind dropout in train mode, and leaves it so.

    arguments: (model, x, y) -> the answer's arguments, made anew for every call.
    """
    model, _, y = dropout_victim(8)
    x, y = torch.rand(60, 1, 2, 3, generator=generator(80)), y.repeat(12)

    def call():
        return ask(answer, *arguments(model, x, y))

    first, second = (check_left_alone(call, model) for _ in range(2))
    model.eval()
    third = call()
    if model.training:
        raise Mistake(
            "a model that comes in eval mode leaves in train mode; keep mode = model.training at the "
            "beginning, and call model.train(mode) at the end"
        )
    if not (_same(first, second) and _same(first, third)):
        raise Mistake(
            "with dropout in train mode the result changes from call to call: call model.eval() "
            "first, and at the end model.train(mode) with the mode that it came in"
        )


def _same(a, b):
    if isinstance(a, torch.Tensor):
        return close(a, b)
    return abs(a - b) < 1e-6


def _shares(kind):
    """Return share_fooled with the slip `kind`."""

    def share(model, x, y, delta):
        with torch.no_grad():
            clean, open_end = model(x).argmax(1), model(x + delta).argmax(1)
            after = model((x + delta).clamp(0, 1)).argmax(1)
        right, wrong = clean == y, after != y
        count = max(1, int(right.sum()))
        return {
            "": (right & wrong).sum() / count,
            "of all": (right & wrong).float().mean(),
            "misread": wrong.float().mean(),
            "over right": wrong.sum() / count,
            "moved": (clean != after).float().mean(),
            "moved over right": (clean != after).sum() / count,
            "survives": (right & ~wrong).sum() / count,
            "accuracy": (~wrong).float().mean(),
            "box": (right & (open_end != y)).sum() / count,
            "count": (right & wrong).sum(),
            "percent": 100 * (right & wrong).sum() / count,
            "drop": (right.float() - (~wrong).float()).mean(),
            "drop over right": (right.float() - (~wrong).float()).sum() / count,
        }[kind].item()

    return share


def _share_case(seed, n=60, rows=False, all_wrong=False, double=False):
    model, _, _ = linear_victim(seed)
    x = torch.rand(n, 1, 2, 3, generator=generator(seed + 1)).round(decimals=1)
    delta = 0.8 * (2 * torch.rand(1, 1, 2, 3, generator=generator(seed + 2)) - 1)
    with torch.no_grad():
        y = model(x).argmax(1)
    y[: n if all_wrong else n // 4] += 1
    y %= 4
    if rows:
        x, delta = x.flatten(1), delta.flatten(1)
    if double:
        model, x, delta = model.double(), x.double(), delta.double()
    return model, x, y, delta


@exercise("Who was wrong before cannot be fooled.")
def share_fooled(answer):
    """Check share_fooled(model, x, y, delta) -> of those read rightly, the share that turns wrong."""
    cases = {
        "": partial(_share_case, 22),
        "a batch of one": partial(_share_case, 23, n=1),
        "images that are rows of numbers": partial(_share_case, 24, n=47, rows=True),
        "double precision": partial(_share_case, 25, n=47, double=True),
        "images that are all misread before": partial(_share_case, 26, all_wrong=True),
    }
    mistakes = {
        "it divides by all images; who was misread before cannot be fooled, so divide by the images "
        "that are right without delta": _shares("of all"),
        "that is the share of all images that are misread; leave out who was misread before": (
            _shares("misread")
        ),
        "the images that were misread before are still in the count above the line": _shares(
            "over right"
        ),
        "it counts every changed answer, also one that was wrong before": _shares("moved"),
        "it counts changed answers of images that were wrong before, too": _shares(
            "moved over right"
        ),
        "that is the share that survives; return the share that is fooled": _shares("survives"),
        "that is the accuracy under the change; return the share that is fooled": _shares(
            "accuracy"
        ),
        "that is the drop of the accuracy; an image that is right only under the change must not "
        "make up for one that is fooled": _shares("drop"),
        "that is the drop of the accuracy, as a share; an image that is right only under the change "
        "must not make up for one that is fooled": _shares("drop over right"),
        "pixels leave [0, 1]: clamp x + delta before the model sees it": _shares("box"),
        "that is a count; divide it by the number of images that were right": _shares("count"),
        "that is in percent; return a number between 0 and 1": _shares("percent"),
    }

    def alone(*args):
        return check_left_alone(partial(answer, *args), args[0])

    agree(alone, _shares(""), cases, mistakes, what="the share")
    _in_eval(lambda *args: float(answer(*args)), lambda m, x, y: (m, x, y, 0.4 + 0 * x[:1]))


@exercise("Every place where it fits, and each as likely as the others.")
def random_places(answer):
    """Check random_places(n, height, width, size, generator) -> rows [n], columns [n]."""

    def make(source, n=4000, height=6, width=9, size=4):
        return n, height, width, size, source

    def pair(*args):
        got = answer(*args)
        if got is None:
            raise Mistake("it returns None; end the function with a return")
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise Mistake(f"return two tensors, rows and columns; got {brief(got)}")
        for name, part in zip(("rows", "columns"), got, strict=True):
            if tensor(part, (args[0],), name).dtype != torch.int64:
                raise Mistake(f"{name} are {part.dtype}; places are whole numbers, int64")
        return tuple(got)

    rows, columns = draws(pair, make, "both rows and columns")
    for name, got, most in (("rows", rows, 2), ("columns", columns, 5)):
        low, high = int(got.min()), int(got.max())
        if low < 0 or high > most + 1:
            swapped = " (are height and width swapped?)" if name == "rows" and high == 5 else ""
            raise Mistake(
                f"{name} from {low} to {high}, with a patch of 4 in 6 x 9: it hangs over the edge, "
                f"the last place is {most}{swapped}"
            )
        if high == most + 1:
            raise Mistake(f"{name} up to {high}: one too far, the patch hangs over the edge")
        if low == high:
            raise Mistake(f"all {name} are {low}; draw a new place for each image")
        if high == most - 1 or (high < most and low == 0):
            raise Mistake(f"{name} end at {high}; {most} fits, too (randint leaves its end out)")
        if low > 0:
            raise Mistake(f"{name} begin at {low}; 0 is a place, too")
        counts = torch.bincount(got, minlength=most + 1) / len(got)
        if (counts - 1 / (most + 1)).abs().max() > 0.04:
            raise Mistake(f"not all {name} are equally likely: shares {brief(counts)}")
    rows, columns = pair(*make(generator(3), 4000, 7, 7, 3))
    if torch.equal(rows, columns):
        raise Mistake(
            "rows and columns are one draw, so all places lie on the diagonal: draw twice"
        )
    together = torch.bincount(5 * rows + columns, minlength=25) / len(rows)
    if (together - 1 / 25).abs().max() > 0.02:
        raise Mistake("rows and columns depend on each other; draw each anew")
    for text, args in (("a batch of one", (1, 6, 9, 4)), ("a patch that fills it", (5, 4, 4, 4))):
        try:
            rows, columns = ask(pair, *args, generator(2))
        except Mistake as mistake:
            raise Mistake(f"{mistake} (seen with {text})") from None
        if args[0] == 5 and (rows.any() or columns.any()):
            raise Mistake("a patch of the picture's own size has one place: row 0, column 0")


def _pasted(kind):
    """Return paste_at with the slip `kind`."""

    def paste(x, patch, rows, columns):
        result, size = x.clone(), patch.shape[-1]
        if kind == "black":
            result = torch.zeros_like(x)
        if kind == "one place":
            rows, columns = rows[:1].expand(len(x)), columns[:1].expand(len(x))
        if kind == "swapped":
            rows, columns = columns, rows
        for i, (r, c) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
            if kind == "middle":
                r, c = max(0, r - size // 2), max(0, c - size // 2)
            part = result[i, :, r : r + size, c : c + size]
            height, width = part.shape[1:]
            piece = patch[:, :height, :width]
            piece = piece.transpose(1, 2) if kind == "turned" and height == width else piece
            if kind == "one channel":
                part[0] = piece[0]
            elif kind == "first channel for all":
                part[:] = piece[:1]
            elif kind == "short":
                part[:, :-1, :-1] = piece[:, :-1, :-1]
            else:
                part[:] = part + piece if kind == "added" else piece
        return result.clamp(0, 1) if kind == "added" else result

    return paste


def _paste_case(seed, n=6, channels=3, height=8, width=11, size=3, double=False, dark=False):
    x = 0.1 + 0.8 * torch.rand(n, channels, height, width, generator=generator(seed))
    patch = 0.5 + 0.4 * torch.rand(channels, size, size, generator=generator(seed + 1))
    patch = patch.sub(0.7).mul(9).clamp(0, 1) if dark else patch
    rows, columns = (
        torch.randint(0, end - size + 1, (n,), generator=generator(seed + 2)) for end in x.shape[2:]
    )
    if double:
        x, patch = x.double(), patch.double()
    return x, patch, rows, columns


@exercise("A new picture, the patch's own pixels, and nothing beside them.")
def paste_at(answer):
    """Check paste_at(x, patch, rows, columns) -> new images with the patch at its places."""
    cases = {
        "": partial(_paste_case, 31, channels=1),
        "colors, and pictures that are wider than high": partial(_paste_case, 32),
        "a batch of one": partial(_paste_case, 33, n=1),
        "double precision": partial(_paste_case, 34, double=True),
        "a patch that fills the picture": partial(_paste_case, 35, height=4, width=4, size=4),
        "a patch with black pixels, which hide as well": partial(_paste_case, 37, dark=True),
    }
    mistakes = {
        "nothing is pasted": lambda x, *_: x,
        "every image has its patch at the first image's place; use rows[i], columns[i]": _pasted(
            "one place"
        ),
        "rows and columns are swapped": _pasted("swapped"),
        "the patch is added to what lies under it; a sticker hides it": _pasted("added"),
        "(row, column) is the upper left corner, not the middle": _pasted("middle"),
        "everything beside the patch is black; begin with x.clone()": _pasted("black"),
        "the patch is reflected: rows and columns of the patch itself are swapped": _pasted(
            "turned"
        ),
        "one row and one column of the patch are missing: slices end before their end": _pasted(
            "short"
        ),
        "only the first channel has the patch; paste [:, row : ..., column : ...]": _pasted(
            "one channel"
        ),
        "every channel has the patch's first one": _pasted("first channel for all"),
    }
    agree(answer, _pasted(""), cases, mistakes)
    x, patch, rows, columns = _paste_case(36)
    got = ask(answer, x, patch, rows, columns)
    if got.data_ptr() == x.data_ptr():
        raise Mistake("it returns x itself; work on x.clone()")


def _stuck(x_adv, gradient, mask, step_size):
    return (x_adv + step_size * gradient.sign() * mask).clamp(0, 1)


def _mask_case(seed, n=4, channels=1, double=False, flat=False, step_size=0.2):
    x, gradient = (
        torch.rand(n, channels, 5, 6, generator=generator(seed + i)) - i / 2 for i in range(2)
    )
    x[:, :, 0] = x[:, :, 0].round()
    if flat:
        gradient[:, :, 2:4] = 0
    mask = (torch.rand(1, 5, 6, generator=generator(seed + 2)) > 0.4).float()
    parts = (x.double(), gradient.double(), mask.double()) if double else (x, gradient, mask)
    return *parts, step_size


@exercise("Only the sticker changes; the sign behind it does not.")
def masked_step(answer):
    """Check masked_step(x_adv, gradient, mask, step_size) -> x_adv, moved where the mask is 1."""
    cases = {
        "": partial(_mask_case, 41),
        "a batch of one": partial(_mask_case, 42, n=1),
        "colors": partial(_mask_case, 43, channels=3),
        "double precision": partial(_mask_case, 44, double=True),
        "another step_size": partial(_mask_case, 45, step_size=0.07),
        "pixels whose gradient is 0 (they stay)": partial(_mask_case, 46, flat=True),
    }
    mistakes = {
        "nothing moved": lambda x, g, m, s: x,
        "the mask is not used: pixels beside the sticker move": lambda x, g, m, s: _stuck(
            x, g, 1, s
        ),
        "the mask is inverted: 1 is where it may change": lambda x, g, m, s: _stuck(x, g, 1 - m, s),
        "wrong sign: the step goes against the gradient; add it": lambda x, g, m, s: _stuck(
            x, -g, m, s
        ),
        "the clamp to [0, 1] is missing": lambda x, g, m, s: x + s * g.sign() * m,
        "the sign is missing: every pixel moves by step_size": lambda x, g, m, s: (
            x + s * g * m
        ).clamp(0, 1),
        "beside the sticker the picture turns black: multiply the step by the mask, not the picture": (
            lambda x, g, m, s: _stuck(x, g, 1, s) * m
        ),
        "that is the step alone; add x_adv": lambda x, g, m, s: s * g.sign() * m,
        "that is the step alone; add x_adv (and then clamp)": lambda x, g, m, s: (
            s * g.sign() * m
        ).clamp(0, 1),
    }
    agree(answer, _stuck, cases, mistakes)


def _turned(
    x,
    degrees,
    direction=1,
    corners=(False, False),
    mode="bilinear",
    pad="zeros",
    each=True,
    deg=True,
):
    """Return x [N, C, S, S] turned counterclockwise; the arguments are the usual slips."""
    angle = direction * (torch.deg2rad(degrees) if deg else degrees).to(x)
    angle = angle if each else angle[:1].expand(len(x))
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    matrix = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=corners[0])
    return F.grid_sample(x, grid, mode=mode, padding_mode=pad, align_corners=corners[1])


def _turn_case(seed, n=4, channels=2, side=8, double=False):
    x = torch.rand(n, channels, side, side, generator=generator(seed))
    degrees = 10 + 60 * torch.rand(n, generator=generator(seed + 1))
    return (x.double(), degrees.double()) if double else (x, degrees)


@exercise("The picture turns, and the gradient comes back the same way.")
def turn(answer):
    """Check turn(x, degrees) -> x [N, C, S, S], each turned counterclockwise by its own angle."""
    cases = {
        "": partial(_turn_case, 51),
        "a batch of one": partial(_turn_case, 52, n=1, side=7),
        "colors": partial(_turn_case, 53, channels=3),
        "double precision": partial(_turn_case, 54, double=True),
        "no turn, a quarter and a half turn": lambda: (
            torch.rand(4, 1, 6, 6, generator=generator(55)),
            torch.tensor([0.0, 90.0, 180.0, -90.0]),
        ),
    }
    mistakes = {
        "nothing turned": lambda x, degrees: x,
        "it turns clockwise: the grid says where each pixel comes from, so its angle is the other "
        "way round": partial(_turned, direction=-1),
        "the angle is taken as radians: torch.deg2rad(degrees)": partial(_turned, deg=False),
        "it is taken as radians, and turned clockwise": partial(_turned, deg=False, direction=-1),
        "every image turns by the first angle": partial(_turned, each=False),
        "it grows or shrinks as it turns: pass the same align_corners to both functions": partial(
            _turned, corners=(True, False)
        ),
        "it grows or shrinks as it turns: pass the same align_corners to both functions, ": partial(
            _turned, corners=(False, True)
        ),
        "the nearest pixel is taken, which has no smooth gradient; mode='bilinear'": partial(
            _turned, mode="nearest"
        ),
        "what comes from outside repeats the border; it should be 0": partial(
            _turned, pad="border"
        ),
    }
    agree(answer, _turned, cases, mistakes, tolerance=1e-4)
    x, degrees = _turn_case(56)
    weight = torch.randn(x.shape, generator=generator(57))
    leaf = x.clone().requires_grad_()
    got = ask(answer, leaf, degrees)
    if not got.requires_grad:
        raise Mistake(
            "no gradient comes back through it: no .detach(), no torch.no_grad(), no numpy"
        )
    gradients = []
    for result, source in (
        (got, leaf),
        (_turned(other := x.clone().requires_grad_(), degrees), other),
    ):
        gradients += torch.autograd.grad((weight * result).sum(), source)
    if not close(*gradients, 1e-4):
        raise Mistake("the picture is right, but its gradient is not; is a part of it detached?")


def _view(x, source):
    """Return a random view of x [N, ...]: another contrast and another light, one draw a call."""
    contrast, light = torch.rand(2, generator=source).to(x) - 0.3
    return contrast * x + light


def _averaged(kind=""):
    """Return views_gradient with the slip `kind`, in closed form for a linear victim."""

    def gradient(model, x, y, view, samples, source):
        slopes, seen = [], []
        for _ in range(1 if kind == "one view" else samples):
            leaf = x.clone().requires_grad_()
            picture = view(leaf, source)
            outer = linear_gradient(model, picture.detach(), y)
            through = torch.autograd.grad((picture * outer).sum(), leaf)[0]
            slopes.append(outer if kind == "beside" else through)
            seen.append(picture.detach())
        if kind == "mean picture":
            return linear_gradient(model, torch.stack(seen).mean(0), y)
        if kind == "signs":
            slopes = [s.sign() for s in slopes]
        total = torch.stack(slopes).sum(0)
        mean = total / len(slopes)
        return {"sum": total, "last": slopes[-1], "batch": mean / len(x)}.get(kind, mean)

    return gradient


def _view_case(seed, n=5, samples=6, rows=False, double=False):
    model, x, y = linear_victim(seed)
    x, y = x[:n].flatten(1) if rows else x[:n], y[:n]
    if double:
        model, x = model.double(), x.double()
    return model, x, y, _view, samples, generator(seed + 5)


def _mean_logits(model, x, y, view, samples, source):
    leaf = x.clone().requires_grad_()
    z = torch.stack([model(view(leaf, source)) for _ in range(samples)]).mean(0)
    return torch.autograd.grad(F.cross_entropy(z, y, reduction="sum"), leaf)[0]


@exercise("What helps in every view is what is left in the mean.")
def views_gradient(answer):
    """Check views_gradient(model, x, y, view, samples, generator) -> mean gradient over views."""
    cases = {
        "": partial(_view_case, 61),
        "one view": partial(_view_case, 62, samples=1),
        "a batch of one": partial(_view_case, 63, n=1),
        "images that are rows of numbers": partial(_view_case, 64, rows=True, samples=3),
        "double precision": partial(_view_case, 65, double=True),
    }
    mistakes = {
        "only one view, or the same again and again: draw a new one for each of the samples, with "
        "the generator that is passed": _averaged("one view"),
        "the gradients are summed; divide by the number of views": _averaged("sum"),
        "only the last view is left; add the gradients up": _averaged("last"),
        "the gradient stops at the view: take it with respect to x, through view(x, generator)": (
            _averaged("beside")
        ),
        "it averages the views and looks once; look at each view, and average the gradients": (
            _averaged("mean picture")
        ),
        "it averages signs; average the gradients themselves": _averaged("signs"),
        "the loss is averaged over the batch; sum it, so that no image depends on the others": (
            _averaged("batch")
        ),
        "that is the gradient of the averaged logits; average the gradients of the loss": (
            _mean_logits
        ),
        "the gradient is 0": lambda model, x, *_: torch.zeros_like(x),
        "wrong sign: return the gradient of the loss, not minus it": (
            lambda *args: -_averaged()(*args)
        ),
    }

    def alone(model, x, y, view, samples, source):
        shown = []

        def counted(z, random):
            shown.append(len(z))
            return view(z, random)

        got = check_left_alone(partial(answer, model, x, y, counted, samples, source), model)
        if len(shown) != samples and set(shown) == {len(x)}:
            few = ": only one view, or the same again and again" if len(shown) < 2 else ""
            raise Mistake(
                f"it calls view {len(shown)} times for {samples} samples{few}; call view(x, "
                "generator) once for each sample"
            )
        if set(shown) - {len(x)}:
            raise Mistake(
                f"view is shown {shown[0]} pictures at once; show it the whole batch, of {len(x)}, "
                "once for each sample"
            )
        return got

    agree(alone, _averaged(), cases, mistakes, what="the gradient")
    _in_eval(answer, lambda model, x, y: (model, x, y, _view, 2, generator(3)))
    given = _view_case(66)[:5]
    draws(answer, lambda source: (*given, source), "the gradient")


def _table(kind=""):
    """Return view_table with the slip `kind`."""

    def table(model, x, target, camera, distances, angles):
        rows = []
        for distance in distances:
            rows.append([])
            for angle in angles:
                with torch.no_grad():
                    given = (angle, distance) if kind == "swapped" else (distance, angle)
                    z = model(x if kind == "blind" else camera(x, *given))
                hit = z.argmax(1) == target
                hit = ~hit if kind == "others" else hit[:1] if kind == "first" else hit
                chance = z.softmax(1)[:, target].mean()
                share = hit.float().sum() if kind == "count" else hit.float().mean()
                rows[-1].append((chance if kind == "chance" else share).item())
        result = torch.tensor(rows)
        result = result.T.contiguous() if kind == "transposed" else result
        return 100 * result if kind == "percent" else result

    return table


def _camera(x, distance, angle):
    """Return x, dimmed by the distance and tilted by the angle: a stand-in for a camera."""
    tilt = torch.linspace(-1, 1, x[0].numel()).view(x[:1].shape).to(x)
    return x / (1 + 0.05 * distance) + 0.015 * angle * tilt


def _table_case(seed, n=30, distances=(1, 5, 20), angles=(0, 10, 25), double=False):
    model, _, _ = linear_victim(seed)
    x = torch.rand(n, 1, 2, 3, generator=generator(seed + 1))
    if double:
        model, x = model.double(), x.double()
    return model, x, 1, _camera, list(distances), list(angles)


@exercise("The same sticker, from near and far, from the front and from the side.")
def view_table(answer):
    """Check view_table(model, x, target, camera, distances, angles) -> shares [D, A]."""
    cases = {
        "": partial(_table_case, 15),
        "other numbers of distances and angles": partial(_table_case, 6, angles=(0, 15, 30, 50)),
        "a batch of one": partial(_table_case, 4, n=1),
        "double precision": partial(_table_case, 1, double=True),
    }
    mistakes = {
        "the table is transposed: a row for each distance, a column for each angle": _table(
            "transposed"
        ),
        "distance and angle are swapped: camera(x, distance, angle)": _table("swapped"),
        "the model sees x itself; show it camera(x, distance, angle)": _table("blind"),
        "that is the share that is not read as the target": _table("others"),
        "only the first image counts; take the share of all": _table("first"),
        "that is a count; divide by the number of images": _table("count"),
        "that is in percent; return numbers between 0 and 1": _table("percent"),
        "that is the mean probability of the target; count whose answer it is (argmax)": _table(
            "chance"
        ),
    }

    def alone(*args):
        got = check_left_alone(partial(answer, *args), args[0])
        shape = (len(args[4]), len(args[5]))
        if isinstance(got, torch.Tensor) and got.shape == shape[::-1] != shape:
            raise Mistake(
                f"the table is transposed: {shape[0]} distances are its rows, {shape[1]} angles its "
                "columns"
            )
        if isinstance(got, list):
            raise Mistake("it is a list; return torch.tensor(rows), with shape (distances, angles)")
        if isinstance(got, torch.Tensor) and not got.is_floating_point():
            raise Mistake(f"the table is of {got.dtype}, which cuts shares off; return floats")
        return got

    agree(alone, _table(), cases, mistakes, what="the table")
    _in_eval(answer, lambda m, x, y: (m, x, 1, _camera, [1, 2], [0, 5]))
