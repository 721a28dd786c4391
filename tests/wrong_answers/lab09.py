import torch

from tests.right_answers import lab09 as right

from . import wrong


def _column(value, like):
    return value.view(-1, *[1] * (like.ndim - 1))


def _oracle(model, n, budget, add, refuse):
    counts = torch.zeros(n, dtype=torch.int64)

    def ask(x, rows):
        if refuse(counts, torch.bincount(rows, minlength=n), budget):
            raise RuntimeError("spent")
        add(counts, rows)
        return model(x).argmax(1)

    return ask, counts


def _add(counts, rows):
    counts += torch.bincount(rows, minlength=len(counts))


def _over(counts, new, budget):
    return bool((counts + new > budget).any())


@wrong("make_oracle", "it never refuses")
def oracle_without_a_budget(model, n, budget):
    return _oracle(model, n, budget, _add, lambda *a: False)


@wrong("make_oracle", "one query too early")
def oracle_that_stops_early(model, n, budget):
    return _oracle(model, n, budget, _add, lambda c, new, b: bool((c + new >= b).any()))


@wrong("make_oracle", "use torch.bincount")
def oracle_that_counts_repeats_once(model, n, budget):
    def add(counts, rows):
        counts[rows] += 1

    return _oracle(model, n, budget, add, lambda c, new, b: bool((c + new.clamp(max=1) > b).any()))


@wrong("make_oracle", "counts a call that it refuses")
def oracle_that_charges_a_refusal(model, n, budget):
    counts = torch.zeros(n, dtype=torch.int64)

    def ask(x, rows):
        _add(counts, rows)
        if bool((counts > budget).any()):
            raise RuntimeError("spent")
        return model(x).argmax(1)

    return ask, counts


@wrong("make_oracle", "meant for each")
def oracle_with_one_budget_for_all(model, n, budget):
    return _oracle(model, n, budget, _add, lambda c, new, b: int((c + new).sum()) > b)


@wrong("make_oracle", "not at what this call would add")
def oracle_that_looks_back(model, n, budget):
    counts = torch.zeros(n, dtype=torch.int64)

    def ask(x, rows):
        if bool((counts[rows] > budget).any()):
            raise RuntimeError("spent")
        _add(counts, rows)
        return model(x).argmax(1)

    return ask, counts


@wrong("make_oracle", "answer with labels")
def oracle_that_gives_scores(model, n, budget):
    ask, counts = right.make_oracle(model, n, budget)

    def told(x, rows):
        ask(x, rows)
        return model(x)

    return told, counts


@wrong("make_oracle", "return two things")
def oracle_without_counts(model, n, budget):
    return right.make_oracle(model, n, budget)[0], None


@wrong("transfer_rate", "the denominator is all images")
def transfer_over_all(y, source, target, source_adv, target_adv):
    won = (source == y) & (target == y) & (source_adv != y) & (target_adv != y)
    return won.float().mean().item()


@wrong("transfer_rate", "do not even fool the source")
def transfer_of_duds(y, source, target, source_adv, target_adv):
    return right.transfer_rate(y, source, target, y + 1, target_adv)


@wrong("transfer_rate", "misreads without an attack")
def transfer_to_the_wrong_already(y, source, target, source_adv, target_adv):
    return right.transfer_rate(y, source, y, source_adv, target_adv)


@wrong("transfer_rate", "same wrong class")
def transfer_of_a_class(y, source, target, source_adv, target_adv):
    fair = (source == y) & (target == y) & (source_adv != y)
    won = fair & (source_adv == target_adv)
    return (won.sum() / fair.sum().clamp(min=1)).item()


@wrong("transfer_rate", "does not transfer")
def transfer_that_fails(y, source, target, source_adv, target_adv):
    fair = (source == y) & (target == y) & (source_adv != y)
    return ((target_adv[fair] == y[fair]).float().mean()).item() if fair.any() else 0.0


@wrong("transfer_rate", "no picture that counts")
def transfer_of_nothing(y, source, target, source_adv, target_adv):
    fair = (source == y) & (target == y) & (source_adv != y)
    return (target_adv[fair] != y[fair]).float().mean().item()


def _slope(model, x, labels, total=None):
    z = x.clone().requires_grad_()
    scores = model(z)
    total = scores.gather(1, labels[:, None]).sum() if total is None else total(scores)
    return torch.autograd.grad(total, z)[0]


@wrong("augment", "it should be (10, 1, 2, 3)")
def augment_without_the_old(model, x, labels, step):
    return right.augment(model, x, labels, step)[len(x) :]


@wrong("augment", "the sign is missing")
def augment_along_the_gradient(model, x, labels, step):
    return torch.cat([x, (x + step * _slope(model, x, labels)).clamp(0, 1)])


@wrong("augment", "leave [0, 1]")
def augment_without_box(model, x, labels, step):
    return torch.cat([x, x + step * _slope(model, x, labels).sign()])


@wrong("augment", "wrong sign")
def augment_downhill(model, x, labels, step):
    return right.augment(model, x, labels, -step)


@wrong("augment", "the slope of the loss")
def augment_with_the_loss(model, x, labels, step):
    loss = lambda z: torch.nn.functional.cross_entropy(z, labels, reduction="sum")  # noqa: E731
    return torch.cat([x, (x + step * _slope(model, x, labels, loss).sign()).clamp(0, 1)])


@wrong("augment", "the model itself prefers")
def augment_by_prediction(model, x, labels, step):
    return right.augment(model, x, model(x).argmax(1), step)


@wrong("augment", "all scores are added up")
def augment_with_all_scores(model, x, labels, step):
    slope = _slope(model, x, labels, torch.sum)
    return torch.cat([x, (x + step * slope.sign()).clamp(0, 1)])


@wrong("propose", "changes pile up")
def propose_on_best(x, best, corner, side, sign, eps):
    return right.propose(best, best, corner, side, sign, eps)


@wrong("propose", "leave [0, 1]")
def propose_without_box(x, best, corner, side, sign, eps):
    inside = right.propose(torch.zeros_like(x), best * 0, corner, side, sign.abs(), 1) == 1
    return torch.where(inside, x + eps * _column(sign, x), best)


@wrong("propose", "row and column are swapped")
def propose_swapped(x, best, corner, side, sign, eps):
    return right.propose(x, best, corner.flip(1), side, sign, eps)


@wrong("propose", "wrong sign")
def propose_the_other_way(x, best, corner, side, sign, eps):
    return right.propose(x, best, corner, side, -sign, eps)


@wrong("propose", "the whole image changes")
def propose_everywhere(x, best, corner, side, sign, eps):
    return (x + eps * _column(sign, x)).clamp(0, 1)


@wrong("propose", "best should stay there")
def propose_from_x(x, best, corner, side, sign, eps):
    return right.propose(x, x, corner, side, sign, eps)


@wrong("propose", "changes its input in place")
def propose_in_place(x, best, corner, side, sign, eps):
    best.copy_(right.propose(x, best, corner, side, sign, eps))
    return best


@wrong("propose", "three channels")
def propose_in_the_first_channel(x, best, corner, side, sign, eps):
    tried = best.clone()
    tried[:, :1] = right.propose(x[:, :1], best[:, :1], corner, side, sign, eps)
    return tried


def _margin(z, y):
    own = z.gather(1, y[:, None])[:, 0]
    return own - z.scatter(1, y[:, None], -torch.inf).amax(1)


@wrong("keep_better", "keeps every proposal")
def keep_all(scores, tried, best, lowest, y):
    return tried, _margin(scores(tried), y)


@wrong("keep_better", "the wrong half")
def keep_worse(scores, tried, best, lowest, y):
    margin = _margin(scores(tried), y)
    up = margin > lowest
    return torch.where(_column(up, best), tried, best), torch.where(up, margin, lowest)


@wrong("keep_better", "each image for itself")
def keep_as_a_batch(scores, tried, best, lowest, y):
    margin = _margin(scores(tried), y)
    return (tried, margin) if margin.mean() < lowest.mean() else (best, lowest)


@wrong("keep_better", "subtract the highest of the others")
def keep_by_score(scores, tried, best, lowest, y):
    own = scores(tried).gather(1, y[:, None])[:, 0]
    down = own < lowest
    return torch.where(_column(down, best), tried, best), torch.where(down, own, lowest)


@wrong("keep_better", "strictly lower")
def keep_ties(scores, tried, best, lowest, y):
    margin = _margin(scores(tried), y)
    down = margin <= lowest
    return torch.where(_column(down, best), tried, best), torch.where(down, margin, lowest)


@wrong("to_boundary", "still read as y")
def boundary_from_inside(ask, x, y, far, steps):
    low = torch.zeros(len(x), dtype=x.dtype)
    for step in range(steps):
        width = 0.5 ** (step + 1)
        won = ask(x + _column(low + width, x) * (far - x)) != y
        low = torch.where(won, low, low + width)
    return x + _column(low, x) * (far - x)


@wrong("to_boundary", "wrong way round")
def boundary_turned_round(ask, x, y, far, steps):
    return right.to_boundary(lambda z: torch.where(ask(z) != y, y, y + 1), x, y, far, steps)


@wrong("to_boundary", "by its own label")
def boundary_of_a_batch(ask, x, y, far, steps):
    low, high = 0.0, 1.0
    for _ in range(steps):
        middle = (low + high) / 2
        if bool((ask(x + middle * (far - x)) != y).all()):
            high = middle
        else:
            low = middle
    return x + high * (far - x)


@wrong("to_boundary", "one step too few")
def boundary_too_early(ask, x, y, far, steps):
    return right.to_boundary(ask, x, y, far, max(0, steps - 1))


@wrong("to_boundary", "nothing moved")
def boundary_is_far(ask, x, y, far, steps):
    return far.clone()


@wrong("to_boundary", "it calls ask 14 times for 7 steps")
def boundary_asks_twice(ask, x, y, far, steps):
    return right.to_boundary(lambda z: ask(z) + 0 * ask(z), x, y, far, steps)


def _lean(phi, u):
    v = (_column(phi, u) * u).mean(0)
    return v / v.norm()


@wrong("normal", "the mean of the answers is not subtracted")
def normal_without_baseline(ask, at, y, u, delta):
    return _lean((ask(at + delta * u) != y).to(u) * 2 - 1, u)


@wrong("normal", "points back into the class y")
def normal_inwards(ask, at, y, u, delta):
    return -right.normal(ask, at, y, u, delta)


@wrong("normal", "not of length 1")
def normal_of_any_length(ask, at, y, u, delta):
    phi = (ask(at + delta * u) != y).to(u) * 2 - 1
    lean = phi - phi.mean() if phi.std() > 0 else phi
    return (_column(lean, u) * u).mean(0)


@wrong("normal", "the others should be -1")
def normal_of_successes(ask, at, y, u, delta):
    return _lean((ask(at + delta * u) != y).to(u), u)


@wrong("normal", "NaN")
def normal_that_divides_by_zero(ask, at, y, u, delta):
    phi = (ask(at + delta * u) != y).to(u) * 2 - 1
    return _lean(phi - phi.mean(), u)


@wrong("success_curve", "failures that used few queries")
def curve_of_all(queries, won, budgets):
    return [(queries <= q).float().mean().item() for q in budgets]


@wrong("success_curve", "only the successes are in the denominator")
def curve_of_the_won(queries, won, budgets):
    return [(queries[won] <= q).float().mean().item() for q in budgets]


@wrong("success_curve", "may be used up")
def curve_below(queries, won, budgets):
    return [(won & (queries < q)).float().mean().item() for q in budgets]


@wrong("success_curve", "the share that holds")
def curve_of_the_rest(queries, won, budgets):
    return [1 - (won & (queries <= q)).float().mean().item() for q in budgets]


@wrong("success_curve", "a list of")
def curve_as_a_number(queries, won, budgets):
    return (won & (queries <= max(budgets))).float().mean().item()


# ---------------------------------------------------------------- the second round


@wrong("make_oracle", "counts = counts + new makes another one")
def oracle_with_another_tensor(model, n, budget):
    return right.make_oracle(model, n, budget)[0], torch.zeros(n, dtype=torch.int64)


@wrong("make_oracle", "leave the mode alone")
def oracle_that_calls_eval(model, n, budget):
    if isinstance(model, torch.nn.Module):
        model.eval()
    return right.make_oracle(model, n, budget)


@wrong("make_oracle", "call it, and no more")
def oracle_for_modules_only(model, n, budget):
    mode = model.training
    made = right.make_oracle(model, n, budget)
    assert model.training == mode
    return made


@wrong("make_oracle", "each query alone")
def oracle_that_looks_at_single_queries(model, n, budget):
    counts = torch.zeros(n, dtype=torch.int64)

    def ask(x, rows):
        if bool((counts[rows] + 1 > budget).any()):
            raise RuntimeError("spent")
        _add(counts, rows)
        return model(x).argmax(1)

    return ask, counts


@wrong("make_oracle", "query by query until one is refused")
def oracle_that_pays_one_by_one(model, n, budget):
    counts = torch.zeros(n, dtype=torch.int64)

    def ask(x, rows):
        for row in rows:
            if counts[row] + 1 > budget:
                raise RuntimeError("spent")
            counts[row] += 1
        return model(x).argmax(1)

    return ask, counts


@wrong("make_oracle", "the first queries are refused, with RuntimeError: The size of tensor")
def oracle_without_minlength(model, n, budget):
    counts = torch.zeros(n, dtype=torch.int64)

    def ask(x, rows):
        counts.add_(torch.bincount(rows))
        return model(x).argmax(1)

    return ask, counts


@wrong("make_oracle", "ask returns None")
def oracle_that_is_silent(model, n, budget):
    ask, counts = right.make_oracle(model, n, budget)

    def silent(x, rows):
        try:
            return ask(x, rows)
        except RuntimeError:
            return None

    return silent, counts


@wrong("make_oracle", "it returns None; end make_oracle")
def oracle_without_return(model, n, budget):
    right.make_oracle(model, n, budget)


@wrong("transfer_rate", "return a Python float")
def transfer_as_a_tensor(*args):
    return torch.tensor(right.transfer_rate(*args))


@wrong("transfer_rate", "in percent")
def transfer_in_percent(*args):
    return 100 * right.transfer_rate(*args)


@wrong("transfer_rate", "only in the denominator")
def transfer_over_the_source(y, source, target, source_adv, target_adv):
    fair = (source == y) & (source_adv != y)
    won = fair & (target == y) & (target_adv != y)
    return won.sum().item() / max(fair.sum().item(), 1)


@wrong("augment", "caller's x")
def augment_marks_x(model, x, labels, step):
    score = model(x.requires_grad_()).gather(1, labels[:, None]).sum()
    (slope,) = torch.autograd.grad(score, x)
    return torch.cat([x, (x + step * slope.sign()).clamp(0, 1)]).detach()


@wrong("augment", "switches off requires_grad of the weights")
def augment_freezes(model, x, labels, step):
    for weight in model.parameters():
        weight.requires_grad_(False)
    return right.augment(model, x, labels, step)


@wrong("augment", "another step")
def augment_by_a_tenth(model, x, labels, step):
    return right.augment(model, x, labels, 0.1)


@wrong("augment", "old and new images alternate")
def augment_in_pairs(model, x, labels, step):
    both = right.augment(model, x, labels, step).split(len(x))
    return torch.stack(both, 1).flatten(0, 1)


@wrong("keep_better", "it asks 2 times")
def keep_asks_twice(scores, tried, best, lowest, y):
    scores(tried)
    return right.keep_better(scores, tried, best, lowest, y)


@wrong("to_boundary", "keep the dtype")
def boundary_in_float32(ask, x, y, far, steps):
    return right.to_boundary(ask, x, y, far, steps).float()


@wrong("to_boundary", "16 steps")
def boundary_that_stops_when_it_is_near(ask, x, y, far, steps):
    return right.to_boundary(ask, x, y, far, min(steps, 12))


@wrong("normal", "the points are clamped")
def normal_in_the_box(ask, at, y, u, delta):
    return right.normal(lambda z: ask(z.clamp(0, 1)), at, y, u, delta)


@wrong("normal", "only one other class counts")
def normal_of_one_class(ask, at, y, u, delta):
    return right.normal(lambda z: torch.where(ask(z) == 1, 1, y), at, y, u, delta)


@wrong("normal", "it asks 40 times")
def normal_one_by_one(ask, at, y, u, delta):
    return right.normal(lambda z: torch.cat([ask(one[None]) for one in z]), at, y, u, delta)


@wrong("normal", "for directions of torch.float64; keep the dtype")
def normal_in_float32(ask, at, y, u, delta):
    return right.normal(ask, at, y, u, delta).float()


@wrong("success_curve", "the budgets are sorted")
def curve_in_order(queries, won, budgets):
    return right.success_curve(queries, won, sorted(budgets))


@wrong("success_curve", "Python floats")
def curve_of_tensors(queries, won, budgets):
    return [torch.tensor(share) for share in right.success_curve(queries, won, budgets)]
