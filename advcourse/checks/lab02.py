"""Checks of lab 02: norms, projections, units of epsilon."""

import torch

from .core import Mistake, ask, close, exercise, generator, tensor

KEYS = ("l0", "l1", "l2", "linf")


def _deltas():
    random = generator(2)
    delta = torch.randn(4, 1, 3, 3, generator=random) * 0.3
    delta[:, :, 0] = 0  # unchanged pixels, so that l0 is not simply the number of pixels
    delta[0] = 0
    return delta


@exercise("Four rulers for the same change; now you know which one a paper means.")
def norms(answer):
    """Check norms(delta [N, ...]) -> {"l0", "l1", "l2", "linf"}, each [N]."""
    delta = _deltas()
    got = ask(answer, delta, unchanged=[delta])
    if not isinstance(got, dict) or set(got) != set(KEYS):
        raise Mistake(f"return a dict with exactly the keys {', '.join(KEYS)}")
    flat = [d.flatten().tolist() for d in delta]
    wanted = {
        "l0": [sum(v != 0 for v in d) for d in flat],
        "l1": [sum(abs(v) for v in d) for d in flat],
        "l2": [sum(v * v for v in d) ** 0.5 for d in flat],
        "linf": [max(abs(v) for v in d) for d in flat],
    }
    wanted = {k: torch.tensor(v, dtype=torch.float32) for k, v in wanted.items()}
    for key in KEYS:
        if isinstance(got[key], torch.Tensor) and got[key].shape != (4,):
            raise Mistake(
                f"{key} has shape {tuple(got[key].shape)} for 4 images: one number for each image, "
                "so flatten all axes but the first, delta.flatten(1), and reduce over dim=1"
            )
        value = tensor(got[key], (4,), key).float()
        if close(value, wanted[key]):
            continue
        plain = delta.flatten(1)
        if key == "l2" and close(value, wanted["l2"] ** 2):
            raise Mistake("l2 is the square root of the sum of squares; the root is missing")
        if key == "l1" and close(value, plain.sum(1)):
            raise Mistake("l1 sums absolute values; without .abs() changes cancel each other")
        if key == "linf" and close(value, plain.amax(1)):
            raise Mistake("linf is the largest absolute change; a darker pixel counts as well")
        if close(value * plain.shape[1], wanted[key], 1e-4):
            raise Mistake(f"{key} is a sum, not a mean over the pixels")
        if key == "l0" and close(value, torch.full((4,), 9.0)):
            raise Mistake("l0 counts the pixels that changed, not all pixels: compare with 0")
        raise Mistake(f"{key} is {value.tolist()}, expected {wanted[key].tolist()}")


def _ball_case(norm):
    """Return x, x_adv with points inside and outside, and a radius."""
    random = generator(7)
    x = 0.3 + 0.4 * torch.rand(4, 1, 2, 3, generator=random)
    delta = torch.randn(4, 1, 2, 3, generator=random) * 0.3
    delta[3] *= 0.01  # one point well inside every ball
    return x, x + delta, {"linf": 0.1, "l2": 0.25, "l1": 0.4}[norm]


def _not_projected(got, x_adv):
    if close(got, x_adv, 1e-7):
        raise Mistake(
            "it returns x_adv unchanged: no projection. If you clamp between x_adv - eps and "
            "x_adv + eps, the ball is around x_adv itself; center it on x"
        )


@exercise("Pixel by pixel: that is why linf is the easiest ball to stay in.")
def project_linf(answer):
    """Check project_linf(x_adv, x, eps) -> nearest point to x_adv with |.| <= eps from x."""
    x, x_adv, eps = _ball_case("linf")
    got = tensor(ask(answer, x_adv, x, eps, unchanged=[x_adv, x]), x.shape)
    wanted = x + (x_adv - x).clamp(-eps, eps)
    if close(got, wanted):
        return
    _not_projected(got, x_adv)
    if close(got, (x_adv - x).clamp(-eps, eps)):
        raise Mistake("that is the change, not the image: add x again")
    if close(got, x_adv.clamp(-eps, eps)):
        raise Mistake("it clamps the image to [-eps, eps]; clamp the change x_adv - x, then add x")
    length = (x_adv - x).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    if close(got, x + (x_adv - x) * (eps / length).clamp(max=1)):
        raise Mistake("wrong norm: it shortens the whole change, which is the l2 ball, not linf")
    if close(got, x + eps * (x_adv - x).sign()):
        raise Mistake("it moves every pixel by eps; a change smaller than eps must stay as it is")
    raise Mistake(f"largest change {(got - x).abs().max():.3f} with eps {eps}, but not the nearest")


@exercise("Inside stays, outside is shortened, the direction never changes.")
def project_l2(answer):
    """Check project_l2(x_adv, x, eps) -> nearest point to x_adv with l2 distance <= eps from x."""
    x, x_adv, eps = _ball_case("l2")
    got = tensor(ask(answer, x_adv, x, eps, unchanged=[x_adv, x]), x.shape)
    delta = x_adv - x
    length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    if close(got, x + delta * (eps / length).clamp(max=1)):
        same = tensor(ask(answer, x, x, eps), x.shape, "the projection of x itself")
        if not close(same, x):
            raise Mistake("x itself must stay where it is")
        return
    _not_projected(got, x_adv)
    if close(got, x + delta * eps / length):
        raise Mistake(
            "it pushes points inside the ball out to its surface; only shorten: multiply by "
            "min(1, eps / length)"
        )
    if close(got, x + delta * min(1, eps / delta.norm().item())):
        raise Mistake("the length is that of the whole batch; take one l2 length for each image")
    if close(got, x + delta.clamp(-eps, eps)):
        raise Mistake("wrong norm: clamping each pixel is the linf ball; shorten the whole change")
    if close(got, x + delta * (eps / length**2).clamp(max=1)):
        raise Mistake("the length misses its square root")
    raise Mistake("some images end outside the ball, or not at its nearest point")


@exercise("Shrink all by one threshold: small changes vanish first, so l1 makes sparse changes.")
def project_l1(answer):
    """Check project_l1(delta, eps) -> nearest point to delta [N, D] with l1 norm <= eps."""
    x, x_adv, eps = _ball_case("l1")
    delta = (x_adv - x).flatten(1)
    got = tensor(ask(answer, delta, eps, unchanged=[delta]), delta.shape)
    wanted = torch.stack([_l1_by_bisection(row, eps) for row in delta])
    if close(got, wanted, 1e-4):
        return
    _not_projected(got, delta)
    length = delta.abs().sum(1, keepdim=True)
    if close(got, delta * (eps / length).clamp(max=1)):
        raise Mistake(
            "it shortens the change until its l1 norm is eps: inside the ball, but not the nearest "
            "point. Subtract one threshold from every |entry| instead, and stop at 0"
        )
    if close(got, delta.clamp(-eps, eps)):
        raise Mistake("wrong norm: clamping each entry is the linf ball")
    inside = torch.stack(
        [_l1_by_bisection(row, eps) if i < 3 else row for i, row in enumerate(got)]
    )
    if not close(got[3], delta[3]):
        raise Mistake("a point inside the ball must stay: use no threshold below 0")
    if (got.sign() * delta.sign() < 0).any():
        raise Mistake("some entries change their sign; shrink towards 0 and stop there")
    if not close(inside, got):
        raise Mistake(f"l1 norms {got.abs().sum(1).tolist()} exceed eps = {eps}")
    raise Mistake("inside the ball, but not the nearest point; check how the threshold is found")


def _l1_by_bisection(row, eps):
    """Project one vector onto the l1 ball by bisection on the threshold: slow, independent."""
    if row.abs().sum() <= eps:
        return row
    low, high = 0.0, row.abs().max().item()
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if (row.abs() - middle).clamp(min=0).sum() > eps else (low, middle)
        )
    return row.sign() * (row.abs() - high).clamp(min=0)


@exercise("The same epsilon in three languages. Most quarrels about robustness start here.")
def pixel_epsilon(answer):
    """Check pixel_epsilon(eps, unit, std) -> eps in [0, 1]; unit "pixel", "255" or "normalized"."""
    for eps, unit, std, wanted in (
        (0.3, "pixel", None, 0.3),
        (8, "255", None, 8 / 255),
        (2.0, "normalized", 0.3081, 2.0 * 0.3081),
    ):
        got = ask(answer, eps, unit, std)
        if got is None:
            raise Mistake("it returns None; end the function with a return")
        if abs(float(got) - wanted) < 1e-6:
            continue
        if unit == "255" and abs(float(got) - eps) < 1e-6:
            raise Mistake("8/255 is 0.031 of the range from 0 to 1: divide by 255")
        if unit == "normalized" and abs(float(got) - eps) < 1e-6:
            raise Mistake(
                "normalized epsilon: the model saw (x - mean) / std, so a step of 1 there is a step "
                "of std in pixels; multiply by std"
            )
        if unit == "normalized" and abs(float(got) - eps / std) < 1e-6:
            raise Mistake("it divides by std; going back to pixels multiplies by it")
        raise Mistake(f"{eps} in unit {unit!r} (std {std}) is {wanted:.4f} in pixels, not {got}")
