"""Checks of lab 18: intervals, a lost epsilon, a network from its description, a verdict."""

import copy
import math

import torch
from scipy import stats
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from .core import Mistake, _is_number, agree, ask, brief, exercise, generator, linear_victim

# --- an interval for a share


def _wilson(count, n, z=1.96):
    p = count / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return middle - reach, middle + reach


def _ends(pair, what):
    """Return two floats, low and high, or raise a Mistake."""
    if pair is None:
        raise Mistake("it returns None; end the function with a return")
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise Mistake(f"return two numbers, (low, high); got {brief(pair)} {what}")
    if not all(_is_number(end) for end in pair):
        raise Mistake(f"low and high should be numbers; got {brief(list(pair))} {what}")
    low, high = map(float, pair)
    if math.isnan(low + high):
        raise Mistake(f"an end is NaN {what}; look for a root of a negative number")
    if low > high:
        raise Mistake(f"low {low:.3g} lies above high {high:.3g} {what}; return (low, high)")
    return low, high


@exercise("Near 0 and near 1 it still keeps its promise.")
def share_interval(answer):
    """Check share_interval(count, n) -> (low, high): how often it holds the truth."""
    sums = {}
    for n in (1, 10, 40, 200):
        found = []
        for count in range(n + 1):
            what = f"for {count} of {n}"
            low, high = _ends(ask(answer, count, n), what)
            if high > 1.0 + 1e-9 and high > 2:
                raise Mistake(f"it returns per cents ({high:.3g} {what}); return shares in [0, 1]")
            if n > 1 and low == high:
                raise Mistake(
                    f"{what} the interval is a single point: sqrt(p (1 - p) / n) is 0 there, and "
                    "nobody is certain after so few; try Wilson's"
                )
            if low < -1e-9 or high > 1 + 1e-9:
                raise Mistake(f"{low:.3f} to {high:.3f} {what}: a share lies between 0 and 1")
            if not low - 1e-9 <= count / n <= high + 1e-9:
                raise Mistake(f"{low:.3f} to {high:.3f} {what}: it does not hold what was seen")
            found.append((low, high))
        sums[n] = found
    _covers(sums)


def _covers(sums):
    """Hold the intervals to 95 of 100 samples, by adding up binomial probabilities."""
    for n in (200, 40, 10):
        shares = [0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97]
        held = {}
        for p in shares:
            chance = stats.binom.pmf(range(n + 1), n, p)
            held[p] = sum(c for c, (a, b) in zip(chance, sums[n], strict=True) if a <= p <= b)
        p, least = min(held.items(), key=lambda item: item[1])
        mean = sum(held.values()) / len(held)
        if mean < 0.925 or least < 0.85:
            raise Mistake(
                f"with n = {n} and a true share of {p:g} it holds the truth in only {least:.0%} of "
                f"the samples ({mean:.0%} over several shares); 95 % were asked for"
            )
        width = sum(b - a for a, b in sums[n]) / sum(
            b - a for a, b in map(_wilson_of(n), range(n + 1))
        )
        if width > {200: 1.15, 40: 1.2, 10: 1.35}[n]:
            raise Mistake(
                f"with n = {n} it holds the truth in {mean:.1%} of the samples and is {width:.2f} "
                "times as wide as Wilson's; that is more than 95 %, and says less"
            )


def _wilson_of(n):
    return lambda count: _wilson(count, n)


# --- an interval for a mean


def _mean(values, df=1, ddof=1, root=0.5, z=None, half=False, level=0.975):
    n = len(values)
    t = z or stats.t.ppf(level, n - df)
    reach = float(t * values.double().std(correction=ddof) / n**root)
    middle = float(values.double().mean())
    return (middle, reach) if half else (middle - reach, middle + reach)


@exercise("Three seeds, and 4.30 instead of 1.96.")
def mean_interval(answer):
    """Check mean_interval(values) -> (low, high) by Student's t."""

    def slip(**wrong):
        return lambda values: _mean(values, **wrong)

    values = 0.3 + 0.1 * torch.rand(9, generator=generator(1))
    agree(
        answer,
        _mean,
        {
            "": (values,),
            "three values": (values[:3],),
            "two values": (values[3:5],),
            "three equal values": (torch.full((3,), 0.5),),
            "values below 0": (-2 - 3 * values,),
            "double precision": (values.double() * 7,),
        },
        {
            "that is the normal distribution's 1.96; with so few values it is Student's t": slip(
                z=1.96
            ),
            "that is the normal distribution's 1.960; with so few values it is Student's t": slip(
                z=stats.norm.ppf(0.975)
            ),
            "the standard deviation has N in its denominator; it should be N - 1": slip(ddof=0),
            "that is the spread of single values; the mean's is s / sqrt(N)": slip(root=0),
            "it divides by N; the root of N": slip(root=1),
            "the degrees of freedom are N - 1, not N": slip(df=0),
            "ppf(0.95) leaves 5 % on either side; 2.5 % were asked for": slip(level=0.95),
            "return the two ends, (low, high), not the middle and the reach": slip(half=True),
        },
        tolerance=1e-4,
        expected="mean - t * s / sqrt(N) and mean + t * s / sqrt(N), t with N - 1 degrees of freedom",
        what="the interval",
    )
    low, high = answer(values)
    if not isinstance(low, float) or not isinstance(high, float):
        raise Mistake("return Python floats; .item() turns a tensor of one number into one")


# --- the lost epsilon


class _Curve:
    """A falling accuracy that counts its calls, and refuses an epsilon out of range."""

    def __init__(self, f, high):
        self.f, self.high, self.calls = f, high, 0

    def __call__(self, eps):
        eps = float(eps)
        if not 0 <= eps <= self.high:
            raise Mistake(
                f"it asks for the accuracy at epsilon {eps:.3g}, outside of 0 to {self.high}"
            )
        self.calls += 1
        if self.calls > 60:
            raise Mistake("it asks for the accuracy more than 60 times; halve the interval")
        return self.f(eps)


def _jumps(steps, start=0.98):
    """Return a falling curve with jumps at the given places, by 1 / len(steps) each."""
    return lambda eps: start * sum(eps < s for s in steps) / len(steps)


@exercise("Found where it can be found, and None where it cannot.")
def find_eps(answer):
    """Check find_eps(accuracy, published, high, tolerance) -> epsilon or None."""

    def straight(eps):
        return 0.95 - 1.9 * eps

    def steep(eps):
        return 0.99 / (1 + math.exp(60 * (eps - 0.31)))

    def early(eps):
        return 0.97 * math.exp(-40 * eps)

    places = torch.rand(20, generator=generator(2)).mul(0.4).sort().values.tolist()
    cases = [
        ("a straight line", straight, 0.5, 0.4, 1e-3),
        ("a line that is passed early", early, 0.6, 0.5, 1e-3),
        ("a steep curve", steep, 0.2, 0.5, 1e-4),
        ("a curve with jumps", _jumps(places), 0.43, 0.4, 1e-3),
        ("one large jump", _jumps([0.123]), 0.5, 0.3, 1e-3),
        ("a large high", lambda eps: max(0.0, 0.9 - 0.3 * eps), 0.45, 4.0, 1e-3),
        ("a coarse tolerance", straight, 0.3, 0.4, 0.05),
    ]
    for hint, f, published, high, tolerance in cases:
        got = ask(answer, _Curve(f, high), published, high, tolerance)
        if got is None:
            raise Mistake(f"None, but the curve does pass the published value (seen with {hint})")
        if not _is_number(got) or math.isnan(float(got)):
            raise Mistake(f"return one number, an epsilon; got {brief(got)} (seen with {hint})")
        got = float(got)
        near = [min(max(got + side * tolerance * 1.001, 0.0), high) for side in (-1, 1)]
        if not f(near[0]) >= published >= f(near[1]) or not 0 <= got <= high:
            there = f(min(max(got, 0.0), high))
            if abs(there - (1 - published)) < 0.02 and abs(published - 0.5) > 0.05:
                raise Mistake(f"there the share that is wrong equals the published one ({hint})")
            says = f"epsilon {got:.4g} leaves {there:.3f}, and {published:g} was published"
            if there > published and abs(got - high) < 0.02 * high:
                says += "; it runs to high: which half do you keep?"
            elif got < 0.02 * high:
                says += "; it runs to 0: which half do you keep?"
            raise Mistake(f"{says} (seen with {hint}, tolerance {tolerance:g})")
    for hint, f, published in (
        ("begins below", lambda eps: 0.6 - eps, 0.7),
        ("ends above", lambda eps: 0.9 - 0.2 * eps, 0.5),
        ("is flat, above", lambda eps: 0.8, 0.5),
    ):
        got = ask(answer, _Curve(f, 0.4), published, 0.4, 1e-3)
        if got is not None:
            raise Mistake(
                f"epsilon {brief(got)}, though the curve {hint} the published value, so that there is "
                "none; return None"
            )


# --- a network from its description


class _Watch:
    """What passes through the linear layers, and what each step of the optimizer uses of it."""

    def __init__(self):
        self.seen, self.used, self.steps = [], [], []

    def __enter__(self):
        def layer(module, inputs, output):
            if isinstance(module, nn.Linear):
                self.seen.append((module, inputs[0].detach(), output.detach()))

        def step(optimizer, args, kwargs):
            group = optimizer.param_groups[0]
            bias = [
                p.grad.clone() for p in group["params"] if p.shape == (10,) and p.grad is not None
            ]
            self.steps.append((type(optimizer).__name__, dict(group, params=None), bias[-1:]))
            self.used.append(self.seen[-2:])  # the batch before the step; others only measure

        self.handles = [
            nn.modules.module.register_module_forward_hook(layer),
            register_optimizer_step_pre_hook(step),
        ]
        return self

    def __exit__(self, *error):
        for handle in self.handles:
            handle.remove()


def _numbered(n, side=4, seed=0):
    """Return images [n, 1, side, side] that carry their number in the first pixel, and easy labels."""
    random = generator(seed)
    y = torch.arange(n) % 10
    x = 0.2 * torch.rand(n, 1, side, side, generator=random)
    x[torch.arange(n), 0, 1 + y // 4, y % 4] += 0.8
    x[:, 0, 0, 0] = torch.arange(n) / n
    return x, y


@exercise("From a paragraph of prose to a network.")
def train_net(answer):
    """Check train_net(x, y, hidden, epochs, seed): layers, batches, dropout, optimizer, seed."""
    n, epochs = 300, 3
    x, y = _numbered(n)
    state = torch.get_rng_state()
    try:
        with _Watch() as watch:
            model = ask(answer, x, y, 24, epochs, 5, unchanged=(x, y))
        _layers(model, x, 24)
        _batches(watch, n, epochs)
        _gradients(watch, y)
        _optimizer(watch.steps)
        with _Watch() as watch, torch.no_grad():
            model(x)
        if _dropped([watch.seen[-2:]]) > 0.02:
            raise Mistake("the dropout still works in the network that is returned; model.eval()")
        _seeds(answer, x, y, model)
        big, labels = _numbered(800, 5, seed=1)
        model = ask(answer, big, labels, 40, 25, 1)
        with torch.no_grad():
            right = (model(big).argmax(1) == labels).float().mean().item()
        if right < 0.9:
            raise Mistake(
                f"after 25 epochs on easy images it reads {right:.0%} of them; does each step follow "
                "the gradient of its own batch (zero_grad, backward, step), of the logits' loss?"
            )
    finally:
        torch.set_rng_state(state)


def _layers(model, x, hidden):
    if not isinstance(model, nn.Module):
        raise Mistake(f"return the network, an nn.Module, not a {type(model).__name__}")
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    sizes = [(m.in_features, m.out_features) for m in linear]
    wanted = [(x[0].numel(), hidden), (hidden, 10)]
    if sizes != wanted:
        raise Mistake(f"its linear layers are {sizes}; asked for {wanted}")
    if any(m.bias is None for m in linear):
        raise Mistake("a linear layer has no bias")
    if model.training:
        raise Mistake("the network comes back in train mode; return model.eval()")
    with torch.no_grad():
        z, one = model(x), model(x[:1])
    if z.shape != (len(x), 10) or one.shape != (1, 10):
        raise Mistake(
            f"for {len(x)} images it gives a tensor {tuple(z.shape)}; it should be [N, 10]"
        )
    if bool((z.exp().sum(1) - 1).abs().max() < 1e-3) or bool((z.sum(1) - 1).abs().max() < 1e-3):
        raise Mistake("it returns probabilities; return logits, the softmax belongs to the loss")


def _dropped(pairs):
    """Return the share of the active hidden units that are 0 at the second layer."""
    lost = total = 0
    for (_, _, first), (_, given, _) in pairs:
        active = first > 1e-6
        lost += int((given[active] == 0).sum())
        total += int(active.sum())
    return lost / max(total, 1)


def _batches(watch, n, epochs):
    """Hold the batches to their size, each epoch to all images in a new order, units to dropout."""
    if not watch.steps:
        raise Mistake("no optimizer has made a step; call optimizer.step()")
    wanted, steps = [128, 128, n - 256], len(watch.steps)
    if steps != 3 * epochs:
        left = "; the smaller last batch counts too" if steps == 2 * epochs else ""
        raise Mistake(
            f"{steps} steps for {n} images and {epochs} epochs; asked for {3 * epochs}{left}"
        )
    sizes = [len(pair[0][1]) for pair in watch.used]
    if sizes != wanted * epochs:
        raise Mistake(f"the first batches have {sizes[:3]} images; asked for {wanted}")
    numbers = [_numbers(pair, n) for pair in watch.used]
    orders = [torch.cat(numbers[3 * e : 3 * e + 3]) for e in range(epochs)]
    if any(not torch.equal(order.sort().values, torch.arange(n)) for order in orders):
        raise Mistake("in one epoch every image should be seen exactly once: shuffle with randperm")
    if torch.equal(orders[0], torch.arange(n)):
        raise Mistake("the images come in the order in which they are given; shuffle them")
    if torch.equal(orders[0], orders[1]):
        raise Mistake("every epoch has the same order; draw a new one in each epoch")
    if any(bool((given < 0).any()) for _, (_, given, _) in watch.used):
        raise Mistake("the second layer sees values below 0; ReLU belongs between the layers")
    share = _dropped(watch.used)
    if share < 0.02:
        raise Mistake(
            "nothing is dropped while it trains; a dropout layer works in train mode only"
        )
    if not 0.42 < share < 0.58:
        raise Mistake(
            f"{share:.0%} of the hidden units are dropped while it trains; asked for one half"
        )


def _numbers(pair, n):
    """Return which images a batch holds: each carries its number in its first pixel."""
    return (pair[0][1].flatten(1)[:, 0] * n).round().long()


def _gradients(watch, y):
    """Hold the gradient of the last bias to its closed form, the mean of softmax - onehot."""
    before = torch.zeros(10)
    for (_, _, bias), pair in zip(watch.steps, watch.used, strict=True):
        share = pair[1][2].softmax(1)
        labels = y[_numbers(pair, len(y))]
        wanted = (share - nn.functional.one_hot(labels, 10)).mean(0)
        if not bias:
            raise Mistake(
                "the last layer has no gradient at a step; call loss.backward() before it"
            )
        if torch.allclose(bias[0], wanted, atol=1e-4):
            before = bias[0]
            continue
        if torch.allclose(bias[0], wanted + before, atol=1e-4) and before.abs().max() > 0:
            raise Mistake(
                "gradients add up from batch to batch; optimizer.zero_grad() before backward"
            )
        raise Mistake(
            "the gradient at a step is not that of F.cross_entropy(logits, labels) of its batch: is "
            "there a second softmax, or do the labels keep another order than the images?"
        )


def _optimizer(steps):
    names = {name for name, *_ in steps}
    if names != {"RMSprop"}:
        raise Mistake(f"the steps are {', '.join(sorted(names))}'s; asked for torch.optim.RMSprop")
    group = steps[0][1]
    for key, wanted, says in (
        ("alpha", 0.9, "the report's running mean keeps .9"),
        ("lr", 1e-3, "asked for 1e-3"),
        ("weight_decay", 0, "no penalty was asked for"),
        ("momentum", 0, "no momentum was asked for"),
    ):
        if abs(float(group[key]) - wanted) > 1e-9:
            raise Mistake(f"RMSprop has {key} {float(group[key]):g}; {says}")


def _seeds(answer, x, y, model):
    def weights(net):
        return torch.cat([p.detach().flatten() for p in net.parameters()])

    torch.manual_seed(99)
    torch.rand(7)
    again = ask(answer, x, y, 24, 3, 5)
    other = ask(answer, x, y, 24, 3, 6)
    if not torch.equal(weights(model), weights(again)):
        raise Mistake(
            "called twice with one seed it gives two networks; set the seed before the first weight "
            "is drawn"
        )
    if torch.equal(weights(model), weights(other)):
        raise Mistake("another seed gives the same network; use the seed that is passed")


# --- confidence


def _confidence(z, y, which, dim=1, over="right", kind="softmax"):
    p = z.softmax(dim) if kind == "softmax" else z
    named, read = p.max(1)
    if which == "true":
        found = p.gather(1, y[:, None])[:, 0]
    elif which == "named":
        found = named
    elif over == "all":
        return float((named * (read == y)).mean())
    else:
        found = named[read == y] if over == "right" else named[read != y]
    return float(found.mean()) if len(found) else 0.0


@exercise("One word, three numbers.")
def mean_confidence(answer):
    """Check mean_confidence(z, y, which) -> float."""
    random = generator(31)
    z, y = 3 * torch.randn(40, 5, generator=random), torch.randint(0, 5, (40,), generator=random)
    wrong = (z.argmax(1) + 1) % 5

    def slip(**changed):
        return lambda *args: _confidence(*args, **changed)

    def swap(**words):
        return lambda z, y, which: _confidence(z, y, words.get(which, which))

    def of_mean(z, y, which):
        p = z.softmax(1).mean(0)
        return float(p.max())

    words = ("named", "right", "true")
    agree(
        answer,
        _confidence,
        {
            "": (z, y, "named"),
            "the word right": (z, y, "right"),
            "the word true": (z, y, "true"),
            **{f"a batch of one, {w}": (z[:1], y[:1], w) for w in words},
            "no image right": (z, wrong, "right"),
            "no image right, the true class": (z, wrong, "true"),
            "every image right": (z, z.argmax(1), "right"),
            "large logits": (200 * z, y, "named"),
            "as many images as classes": (z[:5], y[:5], "named"),
            "double precision": (z.double(), y, "true"),
        },
        {
            "the softmax runs over the images; softmax(1)": slip(dim=0),
            "those are logits; a confidence is a probability: softmax first": slip(kind="logits"),
            "the right ones are divided by all images; take the mean over the right ones": slip(
                over="all"
            ),
            "that is the mean over the wrong images": slip(over="wrong"),
            "that is the probability of the true class": swap(named="true", right="true"),
            "that is the probability of the named class; which is not used": swap(
                right="named", true="named"
            ),
            "that is the mean over the right images only": swap(named="right", true="right"),
            "the probabilities are averaged first; take each image's largest, then the mean": of_mean,
        },
        what="the confidence",
    )
    if not isinstance(answer(z, y, "true"), float):
        raise Mistake("return a Python float; .item() turns a tensor of one number into one")


# --- a verdict


def _verdict(published, decimals, low, high, width, reach=0.5, wide="after", close=False):
    half = reach * 10**-decimals
    apart = published + half < low or published - half > high
    if wide == "before" and high - low > width:
        return "cannot tell"
    if close:
        apart = abs(published - (low + high) / 2) > half
    if apart:
        return "missed"
    if wide == "never":
        return "met"
    return "cannot tell" if high - low > width else "met"


@exercise("Three words, and the third is an honest one.")
def verdict(answer):
    """Check verdict(published, decimals, low, high, width) -> "met", "missed" or "cannot tell"."""

    def slip(**changed):
        return lambda *args: _verdict(*args, **changed)

    def inverted(*args):
        return {"met": "missed", "missed": "met"}.get(_verdict(*args), "cannot tell")

    cases = {
        "": (0.34, 2, 0.33, 0.36, 0.1),
        "a number below the interval": (0.2, 3, 0.33, 0.36, 0.1),
        "a number above the interval": (0.5, 3, 0.33, 0.36, 0.1),
        "a number that its rounding saves, above": (0.34, 2, 0.3, 0.337, 0.1),
        "a number that its rounding saves, below": (0.34, 2, 0.343, 0.36, 0.1),
        "a number that its rounding does not save, above": (0.34, 2, 0.3, 0.333, 0.1),
        "a number that its rounding does not save, below": (0.34, 2, 0.347, 0.36, 0.1),
        "four decimals": (0.3375, 4, 0.3377, 0.35, 0.1),
        "a narrow interval inside the rounding": (0.3, 1, 0.31, 0.32, 0.1),
        "a wide interval": (0.5, 3, 0.3, 0.6, 0.1),
        "an interval almost too wide": (0.5, 3, 0.46, 0.54, 0.1),
        "an interval just too wide": (0.5, 3, 0.43, 0.56, 0.1),
        "a wide interval that misses": (0.9, 3, 0.3, 0.6, 0.1),
        "a narrow one under a strict width": (0.5, 3, 0.48, 0.52, 0.01),
        "no decimals": (3.0, 0, 3.2, 3.4, 1.0),
        "a wide one that only its rounding saves": (0.3, 1, 0.34, 0.9, 0.1),
    }
    wanted = {"met", "missed", "cannot tell"}
    for hint, args in cases.items():
        got = ask(answer, *args)
        if got is None:
            raise Mistake("it returns None; end every branch with a return")
        if got not in wanted:
            raise Mistake(
                f"{brief(got)} is none of the three words {', '.join(sorted(wanted))} ({hint})"
            )
    agree(
        answer,
        _verdict,
        cases,
        {
            "the rounding is not allowed for: half of the last printed digit, to both sides": slip(
                reach=0
            ),
            "a whole digit is allowed for; half of it, to both sides": slip(reach=1),
            "an interval that is too wide still misses what lies outside: ask that first": slip(
                wide="before"
            ),
            "the width is not used; a wide interval cannot tell": slip(wide="never"),
            "only the middle of the interval is compared; the two ranges need a point in common": slip(
                close=True
            ),
            "met and missed are the wrong way round": inverted,
        },
        expected="missed where the two ranges share no point, else cannot tell if high - low > width",
        what="the verdict",
    )


# --- which of two


def _ahead(a, b, way="paired"):
    if way == "mean":
        return "a" if a.mean() > b.mean() else "b"
    if way == "wins":
        won = int((a > b).sum()) * 2 - len(a)
        return "a" if won > 0 else "b" if won < 0 else "undecided"
    if way == "apart":
        (a_low, a_high), (b_low, b_high) = _mean(a), _mean(b)
        return "a" if a_low > b_high else "b" if b_low > a_high else "undecided"
    if way == "sorted":
        a, b = a.sort().values, b.sort().values
    low, high = _mean(a - b, **({"z": 1.96} if way == "normal" else {}))
    return "a" if low > 0 else "b" if high < 0 else "undecided"


@exercise("Paired: what the seed does to both is no difference.")
def ahead(answer):
    """Check ahead(a, b) -> "a", "b" or "undecided"."""
    seed = torch.tensor([0.90, 0.80, 0.95, 0.85])
    small = torch.tensor([0.010, 0.012, 0.009, 0.011])
    a3, b3 = torch.tensor([0.91, 0.92, 0.95]), torch.tensor([0.90, 0.90, 0.90])

    def slip(way):
        return lambda a, b: _ahead(a, b, way)

    def turned(a, b):
        return {"a": "b", "b": "a"}.get(_ahead(a, b), "undecided")

    cases = {
        "": (seed + small, seed),
        "b ahead": (seed, seed + small),
        "no difference": (seed + torch.tensor([0.01, -0.012, 0.008, -0.009]), seed),
        "other seeds far apart": (seed.flip(0) + 0.02, seed),
        "one seed that weighs more": (seed + torch.tensor([0.01, 0.012, 0.011, -0.2]), seed),
        "three seeds, a in front in each, by chance": (a3, b3),
        "two seeds": (torch.tensor([0.9, 0.8]), torch.tensor([0.8, 0.71])),
        "almost decided": (seed + torch.tensor([0.004, 0.012, 0.03, 0.02]), seed),
        "b ahead in mean only": (seed, seed + torch.tensor([0.2, -0.01, -0.012, -0.01])),
        "double precision": ((seed + small).double(), seed.double()),
        "numbers above 1": (30 * seed, 30 * (seed + small)),
    }
    for args in cases.values():
        got = ask(answer, *args)
        if got not in ("a", "b", "undecided"):
            raise Mistake(f'return one of the words "a", "b" and "undecided"; got {brief(got)}')
    agree(
        answer,
        _ahead,
        cases,
        {
            "a and b are the wrong way round": turned,
            "that is 1.96; with so few seeds it is Student's t, as in exercise 2": slip("normal"),
            "the seeds that are won are counted; take the interval of the mean difference": slip(
                "wins"
            ),
            "the larger mean alone decides; ask whether the interval of the difference holds 0": slip(
                "mean"
            ),
            "two intervals are compared; take the differences seed by seed": slip("apart"),
            "the values are sorted, and the pairs are lost": slip("sorted"),
        },
        expected="the sign of the interval of the mean of a - b, seed by seed, by Student's t",
        what="the answer",
    )


# --- fooled, and still a digit


def _convincing(victim, observer, x, made, y, goal, fair="both", won="both", seen="y", over="fair"):
    with torch.no_grad():
        a, b, c, d = (net(part).argmax(1) for part in (x, made) for net in (victim, observer))
    both = {"both": (a == y) & (b == y), "victim": a == y, "observer": b == y}
    mask = both.get(fair, torch.ones_like(y, dtype=torch.bool))
    fooled = c != y if won == "any" else c == goal
    seen = {"y": d == y, "goal": d != goal, "all": torch.ones_like(mask)}[seen]
    count = int(((mask if over == "fair" else torch.ones_like(mask)) & fooled & seen).sum())
    return count, int(mask.sum())


@exercise("Fooled, and still a digit: a count that says over what.")
def convincing(answer):
    """Check convincing(victim, observer, x, made, y, goal) -> (count, n)."""

    def case(seed, n=60, shape=(1, 2, 3), classes=4, push=1.0):
        victim = linear_victim(seed, classes, math.prod(shape))[0]
        observer = copy.deepcopy(victim)
        random = generator(seed + 7)
        with torch.no_grad():
            weight = observer[1].weight
            weight += 2.0 * torch.randn(weight.shape, generator=random)
        x = torch.rand(n, *shape, generator=random)
        with torch.no_grad():
            y = victim(x).argmax(1)
        some = torch.rand(n, generator=random) < 0.2
        y = torch.where(some, (y + 1) % classes, y)
        goal = (y + 1 + torch.randint(0, classes - 1, (n,), generator=random)) % classes
        slope = (victim[1].weight[goal] - victim[1].weight[y]).detach().view(n, *shape)
        made = (x + push * torch.rand(n, *[1] * len(shape), generator=random) * slope).clamp(0, 1)
        return victim, observer, x, made, y, goal

    def one(args, row):
        return (*args[:2], *(part[row : row + 1] for part in args[2:]))

    def slip(**changed):
        return lambda *args: _convincing(*args, **changed)

    first = case(91)
    won = [_convincing(*one(first, row)) for row in range(60)]
    unfair = won.index((0, 0))
    agree(
        answer,
        _convincing,
        {
            "": first,
            "other images": case(97, 80, push=0.5),
            "a batch of one": one(first, won.index((1, 1)) if (1, 1) in won else 0),
            "a batch of one that is not fair": one(first, unfair),
            "images of another shape": case(93, 50, (4, 3), 6, 0.7),
            "double precision": (
                *(copy.deepcopy(net).double() for net in first[:2]),
                *(part.double() for part in first[2:4]),
                *first[4:],
            ),
        },
        {
            "fair pairs are those of the victim alone; both networks read the source": slip(
                fair="victim"
            ),
            "fair pairs are those of the observer alone; both networks read the source": slip(
                fair="observer"
            ),
            "n is all pairs; only the fair ones count": slip(fair="none"),
            "any wrong class counts as fooled; the victim has to read the goal": slip(won="any"),
            "the observer is not asked about what was made": slip(seen="all"),
            "the observer has to read the source's class, not only another one than the goal": slip(
                seen="goal"
            ),
            "pairs that are not fair are in the count": slip(over="all"),
            "return (count, n), in this order": lambda *args: _convincing(*args)[::-1],
            "that is a share; return two counts": lambda *args: (
                _convincing(*args)[0] / max(_convincing(*args)[1], 1),
                _convincing(*args)[1],
            ),
            "victim and observer are exchanged": lambda v, o, *rest: _convincing(o, v, *rest),
        },
        tolerance=1e-9,
        what="the two counts",
    )
    if any(not isinstance(count, int) for count in answer(*first)):
        raise Mistake("return two Python ints; int(mask.sum())")
