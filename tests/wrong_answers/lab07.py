import torch

from tests.right_answers import lab07 as right

from . import wrong


def _own(values, target):
    return values.gather(1, target[:, None])[:, 0]


def _lack(z, target):
    return z.scatter(1, target[:, None], -torch.inf).amax(1) - _own(z, target)


@wrong("f6", "masked with 0")
def times_one_minus_onehot(z, target, confidence):
    onehot = torch.nn.functional.one_hot(target, z.shape[1])
    return ((z * (1 - onehot)).amax(1) - _own(z, target) + confidence).clamp(min=0)


@wrong("f6", "takes part in the maximum")
def maximum_of_all(z, target, confidence):
    return (z.amax(1) - _own(z, target) + confidence).clamp(min=0)


@wrong("f6", "below 0 nothing is left to gain")
def f6_without_clamp(z, target, confidence):
    return _lack(z, target) + confidence


@wrong("f6", "wrong sign")
def rewards_the_others(z, target, confidence):
    return (confidence - _lack(z, target)).clamp(min=0)


@wrong("f6", "authors' program")
def clamps_at_minus_confidence(z, target, confidence):
    return torch.maximum(_lack(z, target), torch.tensor(-float(confidence)))


@wrong("f6", "confidence comes after the clamp")
def confidence_outside(z, target, confidence):
    return _lack(z, target).clamp(min=0) + confidence


@wrong("f6", "confidence is missing")
def no_confidence(z, target, confidence):
    return _lack(z, target).clamp(min=0)


@wrong("f6", "one number for 6 images")
def f6_summed(z, target, confidence):
    return right.f6(z, target, confidence).sum()


@wrong("f6", "no gradient reaches z")
def f6_detached(z, target, confidence):
    return right.f6(z.detach(), target, confidence)


@wrong("f6", "changes its input in place")
def f6_in_place(z, target, confidence):
    own = _own(z, target).clone()
    with torch.no_grad():
        z[torch.arange(len(z)), target] = -torch.inf
    return (z.amax(1) - own + confidence).clamp(min=0)


@wrong("f4", "made of probabilities")
def f4_of_logits(z, target):
    return (0.5 - _own(z, target)).clamp(min=0)


@wrong("f4", "beyond one half")
def f4_without_clamp(z, target):
    return 0.5 - _own(z.softmax(1), target)


@wrong("f4", "wrong sign")
def f4_turned_around(z, target):
    return (_own(z.softmax(1), target) - 0.5).clamp(min=0)


@wrong("f4", "runs over the images")
def softmax_over_images(z, target):
    return (0.5 - _own(z.softmax(0), target)).clamp(min=0)


@wrong("f4", "not of 1")
def wants_certainty(z, target):
    return 1 - _own(z.softmax(1), target)


@wrong("to_free", "infinite at the pixels 0 and 1")
def no_room(x):
    return torch.atanh(2 * x - 1)


@wrong("to_free", "so flat")
def too_little_room(x):
    return torch.atanh((2 * x - 1) * 0.999999)


@wrong("to_free", "take 2 x - 1 first")
def half_of_tanh(x):
    return torch.atanh(x * 0.999)


@wrong("to_free", "undoes the sigmoid")
def logit(x):
    return torch.logit(((2 * x - 1) * 0.999 + 1) / 2)


@wrong("to_free", "the atanh is missing")
def only_scaled(x):
    return (2 * x - 1) * 0.999


@wrong("to_free", "that applies tanh")
def tanh_instead(x):
    return torch.tanh((2 * x - 1) * 0.999)


@wrong("to_free", "in place")
def free_in_place(x):
    return x.mul_(2).sub_(1).mul_(0.999).atanh_()


@wrong("to_pixels", "add 1 and halve")
def only_tanh(w):
    return w.tanh()


@wrong("to_pixels", "that is the sigmoid")
def sigmoid(w):
    return w.sigmoid()


@wrong("to_pixels", "leave [0, 1]")
def exact_inverse(w):
    return (w.tanh() / 0.999 + 1) / 2


@wrong("to_pixels", "a clamp stops the gradient")
def clamped(w):
    return w.clamp(0, 1)


@wrong("to_pixels", "from 0 to 2")
def not_halved(w):
    return w.tanh() + 1


@wrong("to_pixels", "no gradient reaches w")
def pixels_without_graph(w):
    return right.to_pixels(w.detach())


def _terms(model, w, x, target):
    x_adv = right.to_pixels(w)
    return (x_adv - x).flatten(1), right.f6(model(x_adv), target, 0)


@wrong("cw_cost", "the distance is squared")
def root(model, w, x, target, c):
    delta, f = _terms(model, w, x, target)
    return delta.norm(dim=1) + c * f


@wrong("cw_cost", "c weighs the objective")
def c_at_the_distance(model, w, x, target, c):
    delta, f = _terms(model, w, x, target)
    return c * delta.square().sum(1) + f


@wrong("cw_cost", "that of the batch")
def one_distance(model, w, x, target, c):
    delta, f = _terms(model, w, x, target)
    return delta.square().sum() + c * f


@wrong("cw_cost", "between pictures")
def distance_of_w(model, w, x, target, c):
    _, f = _terms(model, w, x, target)
    return (w - x).flatten(1).square().sum(1) + c * f


@wrong("cw_cost", "mean over pixels")
def mean_square(model, w, x, target, c):
    delta, f = _terms(model, w, x, target)
    return delta.square().mean(1) + c * f


@wrong("cw_cost", "c is missing")
def no_c(model, w, x, target, c):
    delta, f = _terms(model, w, x, target)
    return delta.square().sum(1) + f


@wrong("cw_cost", "one number for 5 images")
def summed_cost(model, w, x, target, c):
    return right.cw_cost(model, w, x, target, c).sum()


@wrong("cw_cost", "no gradient reaches w")
def cost_without_graph(model, w, x, target, c):
    return right.cw_cost(model, w.detach(), x, target, c)


@wrong("cw_cost", "one of the terms is detached")
def half_a_graph(model, w, x, target, c):
    delta, f = _terms(model, w, x, target)
    return delta.detach().square().sum(1) + c * f


@wrong("next_c", "swapped")
def swapped(c, low, high, won):
    return right.next_c(c, low, high, ~won)


@wrong("next_c", "infinite; there, ten times")
def always_the_middle(c, low, high, won):
    _, low, high = right.next_c(c, low, high, won)
    return (low + high) / 2, low, high


@wrong("next_c", "not twofold")
def doubles(c, low, high, won):
    next_, low, high = right.next_c(c, low, high, won)
    return torch.where(high < torch.inf, next_, 2 * c), low, high


@wrong("next_c", "old low and high")
def stale_bounds(c, low, high, won):
    next_ = torch.where(high < torch.inf, (low + high) / 2, 10 * c)
    return next_, *right.next_c(c, low, high, won)[1:]


@wrong("next_c", "geometric")
def geometric(c, low, high, won):
    _, low, high = right.next_c(c, low, high, won)
    return torch.where(high < torch.inf, (low * high).sqrt(), 10 * c), low, high


@wrong("next_c", "low is to be c where it failed")
def forgets_low(c, low, high, won):
    next_, _, high = right.next_c(c, low, high, won)
    return next_, low, high


@wrong("next_c", "high is to be c where it succeeded")
def forgets_high(c, low, high, won):
    next_, low, _ = right.next_c(c, low, high, won)
    return next_, low, high


@wrong("next_c", "three tensors")
def only_c(c, low, high, won):
    return right.next_c(c, low, high, won)[0]


@wrong("carlini_wagner", "no step succeeds, return x itself")
def last_iterate(model, x, target, c, steps, learning_rate):
    return list(right.walk(model, x, target, c, steps, learning_rate))[-1][0]


@wrong("carlini_wagner", "not its first or last")
def last_success(model, x, target, c, steps, learning_rate):
    best = x.clone()
    for x_adv, won, _ in right.walk(model, x, target, c, steps, learning_rate):
        best[won] = x_adv[won]
    return best


@wrong("carlini_wagner", "keep only successes")
def nearest_of_all(model, x, target, c, steps, learning_rate):
    path = list(right.walk(model, x, target, c, steps, learning_rate))
    ever = torch.stack([won for _, won, _ in path]).any(0)
    return right.nearest(x, ((image, ever, l2) for image, _, l2 in path))


@wrong("carlini_wagner", "after the step of Adam, not before")
def judges_the_image_before(model, x, target, c, steps, learning_rate):
    path = list(right.walk(model, x, target, c, steps, learning_rate))
    before = [path[0][1], *(won for _, won, _ in path)]
    return right.nearest(x, ((p[0], won, p[2]) for p, won in zip(path, before, strict=False)))


@wrong("carlini_wagner", "every image has its own c")
def mean_c(model, x, target, c, steps, learning_rate):
    c = c.mean().expand(len(x))
    return right.nearest(x, right.walk(model, x, target, c, steps, learning_rate))


@wrong("carlini_wagner", "nearer than its own best")
def best_of_the_batch(model, x, target, c, steps, learning_rate):
    best, least = x.clone(), torch.inf
    for x_adv, won, l2 in right.walk(model, x, target, c, steps, learning_rate):
        for i in won.nonzero()[:, 0].tolist():
            if l2[i] < least:
                best[i], least = x_adv[i], l2[i].item()
    return best


@wrong("carlini_wagner", "return pictures")
def returns_w(model, x, target, c, steps, learning_rate):
    path = right.walk(model, x, target, c, steps, learning_rate)
    best = right.nearest(x, path)
    return torch.where((best != x).flatten(1).any(1).view(-1, 1, 1, 1), right.to_free(best), x)


@wrong("carlini_wagner", "gradients in the model's weights")
def plain_backward(model, x, target, c, steps, learning_rate):
    w = right.to_free(x).requires_grad_()
    for _ in range(steps):
        right.cw_cost(model, w, x, target, c).sum().backward()
    return x


@wrong("quadratic_cost", "1/2 of the first term is missing")
def no_half(probabilities, goal, image, x_target, weight):
    return (goal - probabilities).square().sum(1) + weight * (image - x_target).flatten(
        1
    ).square().sum(1)


def _parts(probabilities, goal, image, x_target):
    return (goal - probabilities).square().sum(1), (image - x_target).flatten(1).square().sum(1)


@wrong("quadratic_cost", "first term only")
def half_of_all(probabilities, goal, image, x_target, weight):
    miss, far = _parts(probabilities, goal, image, x_target)
    return (miss + weight * far) / 2


@wrong("quadratic_cost", "leave the roots out")
def two_roots(probabilities, goal, image, x_target, weight):
    miss, far = _parts(probabilities, goal, image, x_target)
    return miss.sqrt() / 2 + weight * far.sqrt()


@wrong("quadratic_cost", "leave its root out")
def root_of_the_distance(probabilities, goal, image, x_target, weight):
    miss, far = _parts(probabilities, goal, image, x_target)
    return miss / 2 + weight * far.sqrt()


@wrong("quadratic_cost", "not to the goal")
def weight_at_the_goal(probabilities, goal, image, x_target, weight):
    miss, far = _parts(probabilities, goal, image, x_target)
    return weight * miss / 2 + far


@wrong("quadratic_cost", "these are means")
def means(probabilities, goal, image, x_target, weight):
    miss, far = _parts(probabilities, goal, image, x_target)
    return miss / goal.shape[1] / 2 + weight * far / image[0].numel()


@wrong("quadratic_cost", "the weight is missing")
def no_weight(probabilities, goal, image, x_target, weight):
    miss, far = _parts(probabilities, goal, image, x_target)
    return miss / 2 + far


@wrong("quadratic_cost", "one number for 4 images")
def summed_quadratic(probabilities, goal, image, x_target, weight):
    miss, far = _parts(probabilities, goal, image, x_target)
    return (miss / 2 + weight * far).sum()
