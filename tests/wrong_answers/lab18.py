"""Wrong answers of lab 18, as students write them."""

import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn

from tests.right_answers import lab18 as right

from . import wrong


def _wald(count, n, z=1.96):
    p = count / n
    reach = z * (p * (1 - p) / n) ** 0.5
    return max(0.0, p - reach), min(1.0, p + reach)


def _wilson(count, n, z):
    p = count / n
    middle, reach = p + z**2 / (2 * n), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    low, high = (middle - reach) / (1 + z**2 / n), (middle + reach) / (1 + z**2 / n)
    return max(0.0, low), min(1.0, high)


@wrong("share_interval", "a single point")
def share_by_the_textbook(count, n):
    return _wald(count, n)


@wrong("share_interval", "95 % were asked for")
def share_at_ninety(count, n):
    return _wilson(count, n, 1.5)


@wrong("share_interval", "more than 95 %")
def share_at_ninety_nine(count, n):
    return _wilson(count, n, 2.576)


@wrong("share_interval", "per cents")
def share_in_per_cents(count, n):
    return tuple(100 * end for end in _wilson(count, n, 1.96))


@wrong("share_interval", "lies above high")
def share_turned(count, n):
    return _wilson(count, n, 1.96)[::-1]


@wrong("share_interval", "between 0 and 1")
def share_out_of_range(count, n):
    return count / n - 1 / n**0.5, count / n + 1 / n**0.5


@wrong("share_interval", "return two numbers")
def share_as_a_reach(count, n):
    return 1.96 * (0.25 / n) ** 0.5


def _mean(values, factor, correction=1, root=0.5):
    reach = factor * values.std(correction=correction).item() / len(values) ** root
    return values.mean().item() - reach, values.mean().item() + reach


def _t(values):
    return stats.t.ppf(0.975, len(values) - 1)


@wrong("mean_interval", "normal distribution's 1.96")
def mean_with_z(values):
    return _mean(values, 1.96)


@wrong("mean_interval", "should be N - 1")
def mean_with_n(values):
    return _mean(values, _t(values), correction=0)


@wrong("mean_interval", "spread of single values")
def mean_of_single_values(values):
    return _mean(values, _t(values), root=0)


@wrong("mean_interval", "2.5 % were asked for")
def mean_with_one_side(values):
    return _mean(values, stats.t.ppf(0.95, len(values) - 1))


@wrong("mean_interval", "degrees of freedom")
def mean_with_n_degrees(values):
    return _mean(values, stats.t.ppf(0.975, len(values)))


@wrong("mean_interval", "not the middle and the reach")
def mean_and_reach(values):
    low, high = right.mean_interval(values)
    return (low + high) / 2, (high - low) / 2


@wrong("mean_interval", "Python floats")
def mean_of_tensors(values):
    return tuple(torch.tensor(end) for end in right.mean_interval(values))


@wrong("find_eps", "which half do you keep")
def eps_the_wrong_half(accuracy, published, high, tolerance):
    if not accuracy(high) <= published <= accuracy(0):
        return None
    low, top = 0.0, high
    while top - low > tolerance:
        middle = (low + top) / 2
        low, top = (low, middle) if accuracy(middle) > published else (middle, top)
    return (low + top) / 2


def _halve(accuracy, published, high, tolerance, most=1000):
    low = 0.0
    while high - low > tolerance and most:
        middle, most = (low + high) / 2, most - 1
        low, high = (middle, high) if accuracy(middle) > published else (low, middle)
    return (low + high) / 2


@wrong("find_eps", "begins below")
def eps_without_a_look_at_the_ends(accuracy, published, high, tolerance):
    return _halve(accuracy, published, high, tolerance)


@wrong("find_eps", "ends above")
def eps_that_looks_at_one_end(accuracy, published, high, tolerance):
    if accuracy(0.0) < published:
        return None
    return _halve(accuracy, published, high, tolerance)


@wrong("find_eps", "was published")
def eps_with_eight_halvings(accuracy, published, high, tolerance):
    if not accuracy(high) <= published <= accuracy(0):
        return None
    return _halve(accuracy, published, high, tolerance, 6)


@wrong("find_eps", "more than 60 times")
def eps_by_a_grid(accuracy, published, high, tolerance):
    eps = 0.0
    while accuracy(eps) > published:
        eps += tolerance
    return eps


@wrong("find_eps", "outside of 0 to")
def eps_up_to_one(accuracy, published, high, tolerance):
    return right.find_eps(accuracy, published, 1.0, tolerance)


@wrong("find_eps", "does pass the published value")
def eps_that_must_hit(accuracy, published, high, tolerance):
    low = 0.0
    for _ in range(40):
        middle = (low + high) / 2
        there = accuracy(middle)
        if abs(there - published) < 1e-6:
            return middle
        low, high = (middle, high) if there > published else (low, middle)
    return None


@wrong("find_eps", "with a straight line")
def eps_never(accuracy, published, high, tolerance):
    return None


def _net(inputs, hidden, p=0.5, relu=True):
    active = nn.ReLU() if relu else nn.Identity()
    first = nn.Linear(inputs, hidden)
    return nn.Sequential(nn.Flatten(), first, active, nn.Dropout(p), nn.Linear(hidden, 10))


def _train(
    x, y, hidden, epochs, seed, *, net=_net, size=128, shuffle="epoch", make=None, alpha=0.9, **how
):
    if how.get("seeded", True):
        torch.manual_seed(seed)
    model = net(x[0].numel(), hidden)
    if how.get("late"):
        torch.manual_seed(seed)
    if not how.get("mode", True):
        model.eval()
    make = make or (lambda p: torch.optim.RMSprop(p, lr=how.get("lr", 1e-3), alpha=alpha))
    optimizer, rows = make(model.parameters()), torch.randperm(len(x))
    for _ in range(epochs):
        if shuffle == "epoch":
            rows = torch.randperm(len(x))
        if shuffle == "never":
            rows = torch.arange(len(x))
        if shuffle == "with repeats":
            rows = torch.randint(len(x), (len(x),))
        for some in rows.split(size):
            if how.get("drop_last") and len(some) < size:
                continue
            z = model(x[some])
            z = z.softmax(1) if how.get("twice") else z
            if not how.get("add_up"):
                optimizer.zero_grad()
            F.cross_entropy(z, y[some]).backward()
            optimizer.step()
    return model.eval() if how.get("ends", True) else model


def _student(name, message, **how):
    def answer(x, y, hidden, epochs, seed):
        return _train(x, y, hidden, epochs, seed, **how)

    answer.__name__ = name
    wrong("train_net", message)(answer)


_student("net_left_in_train_mode", "train mode", ends=False)
_student("net_trained_in_eval_mode", "nothing is dropped", mode=False)
_student("net_with_a_fifth_dropped", "asked for one half", net=lambda i, h: _net(i, h, 0.2))
_student("net_without_relu", "below 0", net=lambda i, h: _net(i, h, relu=False))
_student("net_with_adam", "Adam", make=lambda p: torch.optim.Adam(p, lr=1e-3))
_student("net_with_the_default_alpha", "keeps .9", alpha=0.99)
_student("net_with_a_large_step", "asked for 1e-3", lr=1e-2)
_student("net_in_small_batches", "30 steps for 300 images", size=32)
_student("net_that_drops_the_rest", "smaller last batch", drop_last=True)
_student("net_never_shuffled", "in which they are given", shuffle="never")
_student("net_shuffled_once", "a new one in each epoch", shuffle="once")
_student("net_with_repeats", "exactly once", shuffle="with repeats")
_student("net_without_a_seed", "two networks", seeded=False)
_student("net_with_gradients_that_add_up", "add up from batch to batch", add_up=True)
_student("net_with_two_softmaxes", "a second softmax", twice=True)
_student(
    "net_with_probabilities",
    "return logits",
    net=lambda i, h: nn.Sequential(*_net(i, h), nn.Softmax(1)),
)
_student(
    "net_with_another_layer",
    "linear layers are",
    net=lambda i, h: nn.Sequential(*_net(i, h)[:4], nn.Linear(h, h), nn.Linear(h, 10)),
)


@wrong("train_net", "another seed gives the same")
def net_with_its_own_seed(x, y, hidden, epochs, seed):
    return _train(x, y, hidden, epochs, 0)


@wrong("train_net", "6 steps for 300 images")
def net_with_one_epoch_too_few(x, y, hidden, epochs, seed):
    return _train(x, y, hidden, epochs - 1, seed)


@wrong("train_net", "return the network")
def net_and_losses(x, y, hidden, epochs, seed):
    return _train(x, y, hidden, epochs, seed), [0.0]


@wrong("mean_confidence", "softmax(1)")
def confidence_over_the_images(z, y, which):
    p = z.softmax(0)
    if which == "true":
        return p.gather(1, y[:, None]).mean().item()
    named, read = p.max(1)
    named = named[read == y] if which == "right" else named
    return named.mean().item() if len(named) else 0.0


@wrong("mean_confidence", "softmax first")
def confidence_of_logits(z, y, which):
    return z.max(1).values.mean().item()


@wrong("mean_confidence", "mean over the right ones")
def confidence_over_all(z, y, which):
    named, read = z.softmax(1).max(1)
    if which == "right":
        return (named * (read == y)).mean().item()
    return right.mean_confidence(z, y, which)


@wrong("mean_confidence", "which is not used")
def confidence_of_one_kind(z, y, which):
    return z.softmax(1).max(1).values.mean().item()


@wrong("mean_confidence", "got nan")
def confidence_without_a_right_one(z, y, which):
    named, read = z.softmax(1).max(1)
    if which == "right":
        return named[read == y].mean().item()
    return right.mean_confidence(z, y, which)


@wrong("mean_confidence", "Python float")
def confidence_as_a_tensor(z, y, which):
    return torch.tensor(right.mean_confidence(z, y, which))


@wrong("verdict", "rounding is not allowed for")
def verdict_to_the_letter(published, decimals, low, high, width):
    if not low <= published <= high:
        return "missed"
    return "met" if high - low <= width else "cannot tell"


@wrong("verdict", "a whole digit")
def verdict_with_a_whole_digit(published, decimals, low, high, width):
    digit = 10.0**-decimals
    if published + digit < low or published - digit > high:
        return "missed"
    return "met" if high - low <= width else "cannot tell"


@wrong("verdict", "ask that first")
def verdict_of_the_width_first(published, decimals, low, high, width):
    if high - low > width:
        return "cannot tell"
    return right.verdict(published, decimals, low, high, width)


@wrong("verdict", "width is not used")
def verdict_with_two_words(published, decimals, low, high, width):
    return right.verdict(published, decimals, low, high, 1e9)


@wrong("verdict", "none of the three words")
def verdict_with_a_truth_value(published, decimals, low, high, width):
    return low <= published <= high


@wrong("verdict", "")
def verdict_where_the_published_range_must_lie_inside(published, decimals, low, high, width):
    half = 0.5 * 10.0**-decimals
    if published - half < low or published + half > high:
        return "missed"
    return "met" if high - low <= width else "cannot tell"


@wrong("ahead", "larger mean alone")
def ahead_by_the_mean(a, b):
    return "a" if a.mean() > b.mean() else "b"


@wrong("ahead", "seeds that are won")
def ahead_by_wins(a, b):
    won, lost = int((a > b).sum()), int((a < b).sum())
    return "a" if won > lost else "b" if lost > won else "undecided"


@wrong("ahead", "two intervals are compared")
def ahead_by_two_intervals(a, b):
    (low, high), (below, above) = right.mean_interval(a), right.mean_interval(b)
    return "a" if low > above else "b" if below > high else "undecided"


@wrong("ahead", "wrong way round")
def ahead_turned(a, b):
    return right.ahead(b, a)


@wrong("ahead", "1.96")
def ahead_with_z(a, b):
    low, high = _mean(a - b, 1.96)
    return "a" if low > 0 else "b" if high < 0 else "undecided"


@wrong("ahead", "one of the words")
def ahead_with_a_truth_value(a, b):
    return bool(a.mean() > b.mean())


def _count(victim, observer, x, made, y, goal, **how):
    fair = (victim(x).argmax(1) == y) & (observer(x).argmax(1) == y)
    won = victim(made).argmax(1) == goal
    seen = observer(made).argmax(1) == y
    return fair, won, seen


@wrong("convincing", "n is all pairs")
def convincing_over_all(*args):
    fair, won, seen = _count(*args)
    return int((won & seen).sum()), len(fair)


@wrong("convincing", "victim has to read the goal")
def convincing_any_class(victim, observer, x, made, y, goal):
    fair, _, seen = _count(victim, observer, x, made, y, goal)
    return int((fair & seen & (victim(made).argmax(1) != y)).sum()), int(fair.sum())


@wrong("convincing", "not asked about what was made")
def convincing_without_an_observer(*args):
    fair, won, _ = _count(*args)
    return int((fair & won).sum()), int(fair.sum())


@wrong("convincing", "victim alone")
def convincing_fair_to_the_victim(victim, observer, x, made, y, goal):
    _, won, seen = _count(victim, observer, x, made, y, goal)
    fair = victim(x).argmax(1) == y
    return int((fair & won & seen).sum()), int(fair.sum())


@wrong("convincing", "not fair are in the count")
def convincing_with_the_unfair(*args):
    fair, won, seen = _count(*args)
    return int((won & seen).sum()), int(fair.sum())


@wrong("convincing", "two counts")
def convincing_share(*args):
    fair, won, seen = _count(*args)
    return (fair & won & seen).sum().item() / max(fair.sum().item(), 1), int(fair.sum())


@wrong("convincing", "in this order")
def convincing_turned(*args):
    return right.convincing(*args)[::-1]


@wrong("convincing", "Python ints")
def convincing_tensors(*args):
    fair, won, seen = _count(*args)
    return (fair & won & seen).sum(), fair.sum()
