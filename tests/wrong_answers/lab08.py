import torch

from tests.right_answers import lab08 as right

from . import wrong


def _jacobian(x, scores):
    return torch.stack(
        [torch.autograd.grad(s, x, retain_graph=True)[0].flatten(1) for s in scores], 1
    )


@wrong("forward_derivative", "Jacobian of the logits")
def of_logits(model, x):
    x = x.clone().requires_grad_()
    return _jacobian(x, model(x).sum(0))


@wrong("forward_derivative", "log-probabilities")
def of_log_probabilities(model, x):
    x = x.clone().requires_grad_()
    return _jacobian(x, model(x).log_softmax(1).sum(0))


@wrong("forward_derivative", "averaged over the batch")
def of_the_mean(model, x):
    x = x.clone().requires_grad_()
    return _jacobian(x, model(x).softmax(1).mean(0))


@wrong("forward_derivative", "every class has the same row")
def of_the_sum(model, x):
    x = x.clone().requires_grad_()
    p = model(x).softmax(1)
    return _jacobian(x, [p.sum()] * p.shape[1])


@wrong("forward_derivative", "the classes come second")
def transposed(model, x):
    return right.forward_derivative(model, x).transpose(1, 2)


@wrong("forward_derivative", "the images come first")
def stacked_in_front(model, x):
    return right.forward_derivative(model, x).transpose(0, 1)


@wrong("forward_derivative", "flatten the pixels")
def keeps_the_shape(model, x):
    return right.forward_derivative(model, x).unflatten(2, x.shape[1:])


@wrong("forward_derivative", "gradients in the model's weights")
def by_backward(model, x):
    x = x.clone().requires_grad_()
    model(x).softmax(1).sum().backward()
    return x.grad


@wrong("forward_derivative", "caller's x")
def marks_x(model, x):
    x.requires_grad_()
    return _jacobian(x, model(x).softmax(1).sum(0))


@wrong("saliency_map", "zeros are missing")
def no_zeros(jacobian, target):
    rise, others = right.rise_and_others(jacobian, target)
    return rise * others.abs()


@wrong("saliency_map", "absolute value is missing")
def no_abs(jacobian, target):
    rise, others = right.rise_and_others(jacobian, target)
    return torch.where((rise > 0) & (others < 0), rise * others, 0.0)


@wrong("saliency_map", "wrong way round")
def others_gain(jacobian, target):
    rise, others = right.rise_and_others(jacobian, target)
    return torch.where((rise > 0) & (others > 0), rise * others, 0.0)


@wrong("saliency_map", "where the others together gain")
def forgets_the_others(jacobian, target):
    rise, others = right.rise_and_others(jacobian, target)
    return torch.where(rise > 0, rise * others.abs(), 0.0)


@wrong("saliency_map", "where the target loses")
def forgets_the_target(jacobian, target):
    rise, others = right.rise_and_others(jacobian, target)
    return torch.where(others < 0, rise * others.abs(), 0.0)


@wrong("saliency_map", "no other class")
def target_among_the_others(jacobian, target):
    rise, _ = right.rise_and_others(jacobian, target)
    total = jacobian.sum(1)
    return torch.where((rise > 0) & (total < 0), rise * total.abs(), 0.0)


def _best(rise, fall, fine, value=None):
    a, b = rise[:, None] + rise, fall[:, None] + fall
    if not fine.any():
        return None
    value = torch.where(fine, a * b if value is None else value, -torch.inf)
    return divmod(value.argmax().item(), len(rise))


def _fine(rise, fall, movable):
    a, b = rise[:, None] + rise, fall[:, None] + fall
    return movable[:, None] & movable & (a > 0) & (b > 0)


@wrong("best_pair", "rule out the diagonal")
def with_diagonal(rise, fall, movable):
    return _best(rise, fall, _fine(rise, fall, movable).triu())


@wrong("best_pair", "positive product")
def negative_times_negative(rise, fall, movable):
    return _best(rise, fall, (movable[:, None] & movable).triu(1))


@wrong("best_pair", "cannot move")
def ignores_movable(rise, fall, movable):
    return _best(rise, fall, _fine(rise, fall, torch.ones_like(movable)).triu(1))


@wrong("best_pair", "numbers among the movable pixels")
def compressed(rise, fall, movable):
    return right.best_pair(rise[movable], fall[movable], movable[movable])


@wrong("best_pair", "has the larger")
def most_gain(rise, fall, movable):
    fine = _fine(rise, fall, movable).triu(1)
    return _best(rise, fall, fine, rise[:, None] + rise)


@wrong("best_pair", "p < q")
def turned(rise, fall, movable):
    pair = right.best_pair(rise, fall, movable)
    return pair and pair[::-1]


@wrong("best_pair", "two Python integers")
def as_tensor(rise, fall, movable):
    pair = right.best_pair(rise, fall, movable)
    return pair and torch.tensor(pair)


@wrong("best_pair", "should return None")
def always_a_pair(rise, fall, movable):
    return right.best_pair(rise, fall, movable) or (0, 1)


@wrong("change_pair", "in place")
def flatten_is_a_view(x, pair, theta):
    flat = x.flatten()
    flat[list(pair)] = (flat[list(pair)] + theta).clamp(0, 1)
    return flat.view_as(x)


@wrong("change_pair", "pixels leave [0, 1]")
def pair_without_clamp(x, pair, theta):
    flat = x.flatten().clone()
    flat[list(pair)] += theta
    return flat.view_as(x)


@wrong("change_pair", "not set to theta")
def set_to_theta(x, pair, theta):
    flat = x.flatten().clone()
    flat[list(pair)] = theta
    return flat.view_as(x)


@wrong("change_pair", "every pixel has moved")
def whole_image(x, pair, theta):
    return (x + theta).clamp(0, 1)


@wrong("change_pair", "only the first pixel")
def first_pixel(x, pair, theta):
    return right.change_pair(x, pair[:1], theta)


@wrong("change_pair", "nothing changed")
def change_of_a_copy(x, pair, theta):
    x.flatten().clone()[list(pair)] += theta
    return x


@wrong("change_pair", "count through the flattened image")
def columns_first(x, pair, theta):
    return right.change_pair(x.transpose(1, 2), pair, theta).transpose(1, 2)


def _jsma(model, x, target, theta, gamma, stale=False, hold=True, turn=True, anything=False):
    x_adv, sign, start = x, -1 if turn and theta < 0 else 1, x
    before = model(x).argmax(1).item()
    if before == target:
        return x
    for _ in range(int(gamma * x.numel()) // 2):
        jacobian = right.forward_derivative(model, start if stale else x_adv)
        rise, others = right.rise_and_others(jacobian, torch.tensor([target]))
        movable = x_adv < 1 if theta > 0 else x_adv > 0
        movable = movable if hold else torch.ones_like(movable)
        pair = right.best_pair(sign * rise[0], -sign * others[0], movable.flatten())
        if pair is None:
            return x
        x_adv = right.change_pair(x_adv[0], pair, theta)[None]
        now = model(x_adv).argmax(1).item()
        if now == target or (anything and now != before):
            return x_adv
    return x


@wrong("jsma", "that of the first image all along")
def stale_map(*args):
    return _jsma(*args, stale=True)


@wrong("jsma", "white already")
def holds_nothing(*args):
    return _jsma(*args, hold=False)


@wrong("jsma", "a negative theta turns everything")
def never_turns(*args):
    return _jsma(*args, turn=False)


@wrong("jsma", "only the target counts")
def any_other_class(*args):
    return _jsma(*args, anything=True)


@wrong("jsma", "return x itself, not the attempt")
def returns_the_attempt(model, x, target, theta, gamma):
    done = right.jsma(model, x, target, theta, gamma)
    return right.change_pair(x[0], (0, 1), theta)[None] if torch.equal(done, x) else done


@wrong("jsma", "more than gamma * D pixels")
def pairs_for_pixels(model, x, target, theta, gamma):
    return right.jsma(model, x, target, theta, 2 * gamma)


@wrong("jsma", "stops too early")
def judges_before_the_last_change(model, x, target, theta, gamma):
    return right.jsma(model, x, target, theta, gamma - 1 / x.numel())


@wrong("jsma", "needs no change")
def changes_first(model, x, target, theta, gamma):
    if model(x).argmax(1).item() == target:
        return right.change_pair(x[0], (0, 1), theta)[None]
    return right.jsma(model, x, target, theta, gamma)


@wrong("jsma", "best_pair returns None")
def trusts_the_pair(model, x, target, theta, gamma):
    if (x == 1).all():
        return right.change_pair(x[0], None, theta)[None]
    return right.jsma(model, x, target, theta, gamma)


@wrong("share_changed", "that is their number")
def count(x, x_adv):
    return (x != x_adv).flatten(1).sum(1)


@wrong("share_changed", "darker pixels count as well")
def only_brighter(x, x_adv):
    return (x_adv > x).flatten(1).float().mean(1)


@wrong("share_changed", "mean change")
def mean_change(x, x_adv):
    return (x_adv - x).abs().flatten(1).mean(1)


@wrong("share_changed", "one number for 4 images")
def of_the_batch(x, x_adv):
    return (x != x_adv).float().mean()


@wrong("share_changed", "that stayed")
def unchanged_pixels(x, x_adv):
    return (x == x_adv).flatten(1).float().mean(1)
