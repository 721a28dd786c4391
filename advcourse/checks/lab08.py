"""Checks of lab 08: the Jacobian, the saliency map, the best pair, JSMA, the share of pixels."""

import torch

from .core import Mistake, ask, check_left_alone, close, exercise, generator, linear_victim, tensor


def _name(got, mistakes, tolerance=1e-5):
    """Raise the Mistake of {message: what it computes} that explains `got`."""
    for message, value in mistakes.items():
        if close(got, value, tolerance):
            raise Mistake(message)


def _jacobian(model, x):
    """Return the Jacobian [N, K, D] of a linear victim's probabilities, in closed form."""
    weight = model[1].weight.detach()
    share = (x.flatten(1) @ weight.T + model[1].bias.detach()).softmax(1)
    return share[:, :, None] * (weight - (share @ weight)[:, None])


@exercise("Every answer's wish for every pixel, in one table.")
def forward_derivative(answer):
    """Check forward_derivative(model, x) -> Jacobian [N, K, D] of the probabilities."""
    for seed, classes, size in ((18, 4, 6), (19, 3, 10)):
        model, x, _ = linear_victim(seed, classes, size)
        got = check_left_alone(lambda: ask(answer, model, x, unchanged=[x]), model)  # noqa: B023
        n, wanted = len(x), _jacobian(model, x)
        if isinstance(got, torch.Tensor) and got.shape == (n, size, classes):
            raise Mistake("the classes come second, the pixels last: stack along dim=1")
        if isinstance(got, torch.Tensor) and got.shape == (n, classes, *x.shape[1:]):
            raise Mistake(
                "flatten the pixels, (N, K, D): .flatten(1) each gradient, or .flatten(2)"
            )
        if isinstance(got, torch.Tensor) and got.shape == (classes, n, size):
            raise Mistake("the images come first: torch.stack(..., dim=1)")
        got = tensor(got, wanted.shape, "the Jacobian")
        if x.requires_grad:
            raise Mistake("it switches on requires_grad of the caller's x; work on x.clone()")
        if close(got, wanted):
            continue
        share, weight = model(x).detach().softmax(1), model[1].weight.detach()
        mistakes = {
            "that is the Jacobian of the logits; JSMA's map is made of probabilities, softmax(1)": (
                weight.expand_as(wanted)
            ),
            "that is the Jacobian of the log-probabilities; leave the log out": (
                wanted / share[:, :, None]
            ),
            "averaged over the batch: sum each class's probability over the images": wanted / n,
            "every class has the same row: take one gradient for each class k": (
                wanted.sum(1, keepdim=True).expand_as(wanted)
            ),
        }
        _name(got, mistakes)
        raise Mistake("the derivatives differ from the closed form of a linear model")


@exercise("A pixel counts only if it helps the target and hurts the rest.")
def saliency_map(answer):
    """Check saliency_map(jacobian [N, K, D], target [N]) -> [N, D]."""
    for n, k, d in ((5, 4, 9), (3, 10, 6)):
        # No real Jacobian: its classes do not add up to 0, so that rise and fall differ.
        jacobian, target = torch.randn(n, k, d, generator=generator(k)), torch.arange(n) % k
        got = tensor(ask(answer, jacobian, target, unchanged=[jacobian, target]), (n, d))
        rise = torch.stack([j[t] for j, t in zip(jacobian, target, strict=True)])
        others = torch.stack(
            [sum(j[i] for i in range(k) if i != t) for j, t in zip(jacobian, target, strict=True)]
        )
        wanted, zero = rise * others.abs(), torch.zeros(())
        good = (rise > 0) & (others < 0)
        if close(got, torch.where(good, wanted, zero)):
            continue
        total = jacobian.sum(1)
        mistakes = {
            "zeros are missing: 0 where the target does not gain or the others do not lose": wanted,
            "the absolute value is missing: gain times loss is positive": (
                torch.where(good, rise * others, zero)
            ),
            "the others' condition is the wrong way round: their sum is to fall": (
                torch.where((rise > 0) & (others > 0), wanted, zero)
            ),
            "0 where the others together gain, too": torch.where(rise > 0, wanted, zero),
            "0 where the target loses, too": torch.where(others < 0, wanted, zero),
            "the target is no other class: subtract its row from the sum": (
                torch.where((rise > 0) & (total < 0), rise * total.abs(), zero)
            ),
        }
        _name(got, mistakes)
        raise Mistake("expected dF_t * |sum of the others' dF_i|, or 0 where one of them is wrong")


def _pair(rise, fall, movable, apart=True):
    """Return the best pair and its product, by looking at every one."""
    best, most = None, 0.0
    for p in range(len(rise)):
        for q in range(p + apart, len(rise)):
            a, b = (rise[p] + rise[q]).item(), (fall[p] + fall[q]).item()
            if movable[p] and movable[q] and a > 0 and b > 0 and a * b > most:
                best, most = (p, q), a * b
    return best


@exercise("A third of a million pairs of pixels in one line of broadcasting.")
def best_pair(answer):
    """Check best_pair(rise [D], fall [D], movable [D]) -> (p, q), p < q, or None."""
    full = torch.ones(6, dtype=torch.bool)
    lonely = torch.tensor([9.0, 1.0, -1.0, 2.0, -3.0, 0.5])  # its best "pair" is pixel 0 twice
    losers = torch.tensor([-9.0, -8.0, 1.0, 0.5, -7.0, 0.1])  # two negatives make a large product
    held = torch.tensor([0, 0, 1, 1, 0, 1]).bool()
    cases = [(lonely, lonely, full), (losers, losers, full), (lonely, lonely, held)]
    random = generator(21)
    for size in (7, 9, 12):
        values = torch.randn(2, size, generator=random)
        cases.append((*values, torch.rand(size, generator=random) < 0.7))
    # The most gain, the best single pixels, and the best product are three different pairs here.
    cases.append(
        (torch.tensor([5.0, 4.0, 2.0, 2.0]), torch.tensor([-4.0, 0.1, 2.0, 4.0]), full[:4])
    )
    one = torch.arange(6) == 3
    cases += [(-lonely.abs(), lonely.abs(), full), (lonely.abs(), lonely.abs(), one)]
    for rise, fall, movable in cases:
        task = (rise, fall, movable)
        got, wanted = ask(answer, *task, unchanged=task), _pair(*task)
        if wanted is None:
            if got is not None:
                raise Mistake("no pair qualifies here, so it should return None")
            continue
        if got is None:
            raise Mistake(f"it returns None where the pair {wanted} qualifies")
        if not isinstance(got, tuple | list) or [type(v) for v in got] != [int, int]:
            raise Mistake("return two Python integers: .item(), and divmod(position, D)")
        got = tuple(got)
        if got == wanted:
            continue
        if got == wanted[::-1]:
            raise Mistake("the smaller number comes first: p < q")
        if len(set(got)) < 2:
            raise Mistake("one pixel twice is no pair: rule out the diagonal")
        numbers = movable.nonzero()[:, 0].tolist()
        if max(got) < len(numbers) and tuple(numbers[i] for i in got) == wanted:
            raise Mistake(
                "these are numbers among the movable pixels; keep those of the whole image"
            )
        if not all(movable[i] for i in got):
            raise Mistake("it takes a pixel that cannot move; both of them have to be movable")
        a, b = sum(rise[i] for i in got), sum(fall[i] for i in got)
        if a < 0 and b < 0:
            raise Mistake("two negative sums have a positive product; both sums must be above 0")
        if a < 0 or b < 0:
            raise Mistake("a pair qualifies only if both of its sums are above 0")
        raise Mistake(f"the pair {got} qualifies, but {wanted} has the larger product of sums")


@exercise("Two pixels, and everything else stays as it was.")
def change_pair(answer):
    """Check change_pair(x [C, H, W], pair, theta) -> a copy with two pixels moved and clamped."""
    for shape, pair, theta in (
        ((1, 3, 4), (2, 7), 0.25),
        ((2, 2, 3), (4, 9), -0.5),
        ((1, 3, 3), (0, 8), 1),
    ):
        x = 0.3 + 0.6 * torch.rand(shape, generator=generator(22))
        got = tensor(ask(answer, x, pair, theta, unchanged=[x]), x.shape)
        wanted = x.tolist()
        for at in pair:
            c, rest = divmod(at, shape[1] * shape[2])
            row, column = divmod(rest, shape[2])
            wanted[c][row][column] = min(max(wanted[c][row][column] + theta, 0.0), 1.0)
        if close(got, torch.tensor(wanted)):
            continue
        first, free, put = (x.flatten().clone() for _ in range(3))
        first[pair[0]] = (first[pair[0]] + theta).clamp(0, 1)
        free[list(pair)] += theta
        put[list(pair)] = theta
        mistakes = {
            "nothing changed: did you change a copy, and return another?": x,
            "only the first pixel of the pair has moved": first.view(shape),
            "pixels leave [0, 1]; clamp": free.view(shape),
            "pixels are moved by theta, not set to theta": put.view(shape),
            "every pixel has moved; only the two of the pair": (x + theta).clamp(0, 1),
        }
        _name(got, mistakes)
        raise Mistake(
            "other pixels than the pair's: numbers count through the flattened image, x.flatten()"
        )


def _walk(model, x, target, theta, gamma, fresh=True, hold=True, turn=True, anything=False):
    """Return JSMA's result by looking at every pair; each flag switches one mistake on."""
    x_adv, start, before = x.clone(), _jacobian(model, x)[0], model(x).argmax(1).item()
    for _ in range(int(gamma * x.numel()) // 2):
        jacobian = _jacobian(model, x_adv)[0] if fresh else start
        rise = jacobian[target] * (-1 if turn and theta < 0 else 1)
        flat = x_adv.flatten()
        movable = (flat < 1 if theta > 0 else flat > 0) if hold else flat > -1
        pair = _pair(rise, rise, movable)
        if pair is None:
            return x
        flat[list(pair)] = (flat[list(pair)] + theta).clamp(0, 1)
        x_adv = flat.view_as(x)
        now = model(x_adv).argmax(1).item()
        if now == target or (anything and now != before):
            return x_adv
    return x


@exercise("A handful of pixels, each chosen with a reason.")
def jsma(answer):
    """Check jsma(model, x [1, C, H, W], target, theta, gamma) -> the image, or x on failure."""
    model, _, _ = linear_victim(72, 4, 16)
    x = 0.2 + 0.6 * torch.rand(4, 1, 1, 4, 4, generator=generator(72))[1]

    def asked(image, target, theta, gamma):
        task = (model, image, target, theta, gamma)
        got = check_left_alone(lambda: ask(answer, *task, unchanged=[image]), model)
        return tensor(got, image.shape)

    for target, theta in ((1, 1.0), (0, -1.0)):
        got, wanted = asked(x, target, theta, 1.0), _walk(model, x, target, theta, 1.0)
        if close(got, wanted):
            continue
        wrong = {
            "the map is that of the first image all along; compute it anew after every pair": {
                "fresh": False
            },
            "it gives up, or chooses pixels that are white already (movable is x < 1); repeat map, "
            "pair, change": {"hold": theta < 0},
            "a negative theta turns everything: rise and fall change their signs, and movable is "
            "x > 0": {"turn": theta > 0},
            "it stops at the first other class; only the target counts": {"anything": True},
        }
        _name(got, {m: _walk(model, x, target, theta, 1.0, **flag) for m, flag in wrong.items()})
        if close(got, x):
            raise Mistake("it gives up where pairs are left; repeat map, pair, change")
        raise Mistake("its pixels differ from map, best pair and change, repeated until the target")
    right = _walk(model, x, 1, 1.0, 6 / 16)
    assert (right != x).sum() == 6
    if not close(asked(x, 1, 1.0, 6 / 16), right):
        raise Mistake(
            "it stops too early: gamma = 6 / 16 of 16 pixels are 3 pairs, and the third wins"
        )
    got = asked(x, 1, 1.0, 5.8 / 16)
    if (got != x).sum() > 5:
        raise Mistake("it changes more than gamma * D pixels: at most int(gamma * D) // 2 pairs")
    if not close(got, x):
        raise Mistake("where the target is not reached, return x itself, not the attempt")
    if not close(asked(x, model(x).argmax(1).item(), 1.0, 1.0), x):
        raise Mistake("an image that is read as the target already needs no change: look first")
    try:
        white = asked(
            torch.ones_like(x), (model(torch.ones_like(x)).argmax(1).item() + 1) % 4, 1.0, 1.0
        )
    except Mistake as mistake:
        raise Mistake(f"in a white image best_pair returns None; then give up: {mistake}") from None
    if not close(white, torch.ones_like(x)):
        raise Mistake("a white image cannot be brightened: give up and return x")


@exercise("The ruler of this attack: l0, as a share.")
def share_changed(answer):
    """Check share_changed(x, x_adv) -> share of pixels that differ [N]."""
    for shape in ((4, 1, 3, 4), (3, 2, 2, 2)):
        x = 0.2 + 0.5 * torch.rand(shape, generator=generator(25))
        delta, n = torch.zeros(shape), len(x)
        for i in range(1, n):
            delta.flatten(1)[i, : 2 * i] = torch.tensor([0.2, -0.01]).repeat(i)
        got = ask(answer, x, x + delta, unchanged=[x])
        if isinstance(got, torch.Tensor) and got.ndim == 0:
            raise Mistake(f"one number for {n} images; one for each: flatten(1), then dim=1")
        got, flat = tensor(got, (n,)).float(), delta.flatten(1)
        d = flat.shape[1]
        wanted = torch.tensor([2 * i / d for i in range(n)])
        if close(got, wanted):
            continue
        mistakes = {
            "that is their number; divide by the number of pixels": wanted * d,
            "darker pixels count as well: compare with !=": wanted / 2,
            "that is the mean change; each changed pixel counts 1, however small": flat.abs().mean(
                1
            ),
            "that is the share of pixels that stayed": 1 - wanted,
        }
        _name(got, mistakes)
        raise Mistake(f"expected {wanted.tolist()}, got {got.tolist()}")
