import math

import torch
import torch.nn.functional as F

from . import wrong


def _exponent(points, reference, bandwidth):
    return -torch.cdist(points, reference).square() / bandwidth**2


@wrong("log_density", "log of the sum")
def density_summed(points, reference, bandwidth):
    return _exponent(points, reference, bandwidth).logsumexp(1)


@wrong("log_density", "averages the exponents")
def mean_of_the_logs(points, reference, bandwidth):
    return _exponent(points, reference, bandwidth).mean(1)


@wrong("log_density", "take its log")
def density_itself(points, reference, bandwidth):
    return _exponent(points, reference, bandwidth).exp().mean(1)


@wrong("log_density", "wrong sign")
def suspicion_instead(points, reference, bandwidth):
    return -_exponent(points, reference, bandwidth).exp().mean(1).log()


@wrong("log_density", "put a minus")
def far_points_count(points, reference, bandwidth):
    return (-_exponent(points, reference, bandwidth)).exp().mean(1).log()


@wrong("log_density", "bandwidth is squared")
def bandwidth_not_squared(points, reference, bandwidth):
    return _exponent(points, reference, bandwidth**0.5).exp().mean(1).log()


@wrong("log_density", "without the 2")
def usual_gaussian(points, reference, bandwidth):
    return (_exponent(points, reference, bandwidth) / 2).exp().mean(1).log()


@wrong("log_density", "distance is squared")
def distance_not_squared(points, reference, bandwidth):
    return (-torch.cdist(points, reference) / bandwidth**2).exp().mean(1).log()


@wrong("log_density", "only the nearest")
def nearest_only(points, reference, bandwidth):
    return _exponent(points, reference, bandwidth).amax(1)


@wrong("log_density", "dim=1")
def over_the_points(points, reference, bandwidth):
    return _exponent(points, reference, bandwidth).exp().mean(0).log()


@wrong("log_density", "-inf far from all")
def density_underflows(points, reference, bandwidth):
    return _exponent(points, reference, bandwidth).exp().mean(1).log()


@wrong("log_density", "gradient is cut off")
def density_under_no_grad(points, reference, bandwidth):
    with torch.no_grad():
        return _exponent(points, reference, bandwidth).logsumexp(1) - math.log(len(reference))


@wrong("log_density", "NaN at a reference point")
def root_and_square(points, reference, bandwidth):
    length = (points[:, None] - reference).square().sum(2).sqrt()
    return (-(length**2) / bandwidth**2).logsumexp(1) - math.log(len(reference))


def _near(distances, k):
    return distances.topk(k, dim=1, largest=False).values


def _estimate(near):
    return -1 / (near / near[:, -1:]).log().mean(1)


@wrong("lid", "not by k - 1")
def over_k_minus_one(distances, k):
    near = _near(distances, k)
    return -1 / (near[:, :-1] / near[:, -1:]).log().mean(1)


@wrong("lid", "the k smallest are wanted")
def takes_the_first(distances, k):
    return _estimate(distances[:, :k])


@wrong("lid", "k largest")
def takes_the_farthest(distances, k):
    return _estimate(distances.topk(k, dim=1).values.flip(1))


@wrong("lid", "nearest is left out")
def skips_the_nearest(distances, k):
    return _estimate(_near(distances, k + 1)[:, 1:])


@wrong("lid", "wrong sign")
def negative_dimension(distances, k):
    return -_estimate(_near(distances, k))


@wrong("lid", "turn it over")
def not_inverted(distances, k):
    return 1 / _estimate(_near(distances, k))


@wrong("lid", "negative: -1 / mean")
def mean_log_alone(distances, k):
    return -1 / _estimate(_near(distances, k))


@wrong("lid", "not log10")
def decimal_log(distances, k):
    near = _near(distances, k)
    return -1 / (near / near[:, -1:]).log10().mean(1)


@wrong("lid", "divide by r_k")
def no_ratio(distances, k):
    return -1 / _near(distances, k).log().mean(1)


@wrong("lid", "not the largest of all")
def over_the_farthest(distances, k):
    return -1 / (_near(distances, k) / distances.amax(1, keepdim=True)).log().mean(1)


@wrong("lid", "only those of the nearest k")
def all_distances(distances, k):
    return _estimate(distances.sort(1).values)


@wrong("lid", "one number for")
def lid_of_the_batch(distances, k):
    return _estimate(_near(distances, k)).mean()


@wrong("lid", "gradient is cut off")
def lid_detached(distances, k):
    return _estimate(_near(distances, k)).detach()


def _cuts(clean, attacked, start=True):
    cuts = torch.cat([clean, attacked]).unique().flip(0)
    return (torch.cat([torch.tensor([torch.inf]), cuts]) if start else cuts)[:, None]


def _rates(clean, attacked, cuts):
    return (clean >= cuts).float().mean(1), (attacked >= cuts).float().mean(1)


@wrong("roc", "the two are swapped")
def roc_swapped(clean, attacked):
    return _rates(clean, attacked, _cuts(clean, attacked))[::-1]


@wrong("roc", "the other way round")
def roc_backwards(clean, attacked):
    return _rates(clean, attacked, _cuts(clean, attacked).flip(0))


@wrong("roc", "start is missing")
def roc_without_start(clean, attacked):
    return _rates(clean, attacked, _cuts(clean, attacked, start=False))


@wrong("roc", "end is missing")
def roc_without_end(clean, attacked):
    cuts = _cuts(clean, attacked, start=False)
    return (clean > cuts).float().mean(1), (attacked > cuts).float().mean(1)


@wrong("roc", "counts; shares")
def roc_counts(clean, attacked):
    cuts = _cuts(clean, attacked)
    return (clean >= cuts).sum(1), (attacked >= cuts).sum(1)


@wrong("roc", "its own group")
def roc_of_all(clean, attacked):
    cuts, total = _cuts(clean, attacked), len(clean) + len(attacked)
    return (clean >= cuts).sum(1) / total, (attacked >= cuts).sum(1) / total


@wrong("roc", "alarms below")
def roc_below(clean, attacked):
    cuts = _cuts(clean, attacked).flip(0)
    return (clean < cuts).float().mean(1), (attacked < cuts).float().mean(1)


@wrong("roc", "cross the threshold together")
def roc_splits_ties(clean, attacked):
    label = torch.cat([torch.zeros(len(clean)), torch.ones(len(attacked))])
    label = label[torch.cat([clean, attacked]).argsort(descending=True)]
    zero = torch.zeros(1)
    return (
        torch.cat([zero, (1 - label).cumsum(0) / len(clean)]),
        torch.cat([zero, label.cumsum(0) / len(attacked)]),
    )


@wrong("roc", "BOTH groups")
def roc_at_clean_scores(clean, attacked):
    return _rates(clean, attacked, _cuts(clean, clean))


@wrong("roc", "return two tensors")
def roc_as_one_tensor(clean, attacked):
    return torch.stack(_rates(clean, attacked, _cuts(clean, attacked)))


@wrong("auc", "ties count for nothing")
def ties_lost(clean, attacked):
    return (attacked[:, None] > clean).float().mean()


@wrong("auc", "ties count in full")
def ties_won(clean, attacked):
    return (attacked[:, None] >= clean).float().mean()


def _order(difference):
    return (difference > 0).float() + (difference == 0).float() / 2


@wrong("auc", "turned around")
def area_above(clean, attacked):
    return _order(clean[:, None] - attacked).mean()


@wrong("auc", "divide by N * M")
def pairs_counted(clean, attacked):
    return _order(attacked[:, None] - clean).sum()


@wrong("auc", "only N pairs")
def row_by_row(clean, attacked):
    return _order(attacked - clean).mean()


def _ranked(scores):
    return scores.sort(descending=True).values


@wrong("choose_threshold", "other side of the quantile")
def refuses_nearly_all(clean_scores, rate):
    return clean_scores.quantile(rate).item()


@wrong("choose_threshold", "interpolate")
def interpolated(clean_scores, rate):
    return clean_scores.quantile(1 - rate).item()


@wrong("choose_threshold", "the lowest such score")
def one_rank_too_high(clean_scores, rate):
    return _ranked(clean_scores)[max(0, int(rate * len(clean_scores) + 1e-9) - 1)].item()


@wrong("choose_threshold", "that is the maximum")
def nobody_refused(clean_scores, rate):
    return clean_scores.max().item()


@wrong("choose_threshold", "bell curve")
def two_sigma(clean_scores, rate):
    return (clean_scores.mean() + 2 * clean_scores.std()).item()


@wrong("choose_threshold", "one number")
def a_mask(clean_scores, rate):
    return clean_scores > clean_scores.quantile(1 - rate)


def _shares(*masks):
    return tuple(mask.float().mean().item() for mask in masks)


@wrong("outcomes", "a refused image is not right")
def right_though_refused(predicted, y, refused):
    return _shares(predicted == y, refused, (predicted != y) & ~refused)


@wrong("outcomes", "fools nobody")
def fooled_though_refused(predicted, y, refused):
    return _shares((predicted == y) & ~refused, refused, predicted != y)


@wrong("outcomes", "every refused image")
def refused_if_wrong(predicted, y, refused):
    return _shares(
        (predicted == y) & ~refused, refused & (predicted != y), (predicted != y) & ~refused
    )


@wrong("outcomes", "not where it is accepted")
def accepted_instead(predicted, y, refused):
    return _shares((predicted == y) & refused, ~refused, (predicted != y) & refused)


@wrong("outcomes", "of all images")
def of_the_accepted(predicted, y, refused):
    right = (predicted == y)[~refused].float().mean().item()
    return right, refused.float().mean().item(), 1 - right


@wrong("outcomes", "counts")
def outcomes_counted(predicted, y, refused):
    right, stopped, fooled = _shares(
        (predicted == y) & ~refused, refused, (predicted != y) & ~refused
    )
    return right * len(y), stopped * len(y), fooled * len(y)


@wrong("outcomes", "swapped")
def fooled_first(predicted, y, refused):
    return _shares((predicted != y) & ~refused, refused, (predicted == y) & ~refused)


def _ce(z, y):
    return F.cross_entropy(z, y, reduction="none")


@wrong("joint_loss", "towards being detected")
def alarm_added(z, y, score, threshold, weight):
    return _ce(z, y) + weight * F.relu(score - threshold)


@wrong("joint_loss", "a loss to descend")
def to_descend(z, y, score, threshold, weight):
    return weight * F.relu(score - threshold) - _ce(z, y)


@wrong("joint_loss", "relu is missing")
def no_relu(z, y, score, threshold, weight):
    return _ce(z, y) - weight * (score - threshold)


@wrong("joint_loss", "the threshold is missing")
def no_threshold(z, y, score, threshold, weight):
    return _ce(z, y) - weight * F.relu(score)


@wrong("joint_loss", "turned around")
def alarm_below(z, y, score, threshold, weight):
    return _ce(z, y) - weight * F.relu(threshold - score)


@wrong("joint_loss", "not to the cross-entropy")
def weight_on_the_wrong_part(z, y, score, threshold, weight):
    return weight * _ce(z, y) - F.relu(score - threshold)


@wrong("joint_loss", "has no gradient")
def alarm_as_a_step(z, y, score, threshold, weight):
    return _ce(z, y) - weight * (score > threshold).float()


@wrong("joint_loss", "one number for")
def joint_mean(z, y, score, threshold, weight):
    return F.cross_entropy(z, y) - weight * F.relu(score - threshold).mean()


@wrong("joint_loss", "gradient is cut off")
def alarm_detached(z, y, score, threshold, weight):
    return _ce(z, y) - weight * F.relu(score - threshold).detach()


def _evade(model, score, x, y, eps, threshold, weight, step_size, steps, **flags):
    x_adv, kept = x, None
    for _ in range(steps):
        x_adv = x_adv.clone().requires_grad_()
        z, s = model(x_adv), score(x_adv)
        alarm = F.relu(s - threshold)
        loss = (_ce(z, y) - flags.get("sign", 1) * weight * alarm).sum()
        (gradient,) = torch.autograd.grad(loss, x_adv)
        kept = gradient if kept is None else kept
        gradient = kept if flags.get("stale") else gradient
        moved = x_adv + step_size * (gradient if flags.get("raw") else gradient.sign())
        center = x_adv if flags.get("own") else x
        if not flags.get("free"):
            moved = torch.clamp(moved, center - eps, center + eps)
        moved = moved if flags.get("unclamped") else moved.clamp(0, 1)
        won = flags.get("won", lambda wrong, fine: wrong & fine)(z.argmax(1) != y, s <= threshold)
        x_adv = torch.where(won.view(-1, 1, 1, 1), x_adv, moved).detach()
    return x_adv


@wrong("evade", "plain PGD")
def evade_without_detector(*task):
    return _evade(*task, sign=0)


@wrong("evade", "walks towards being detected")
def evade_into_the_alarm(*task):
    return _evade(*task, sign=-1)


@wrong("evade", "it must be accepted, too")
def evade_stops_when_wrong(*task):
    return _evade(*task, won=lambda wrong, fine: wrong)


@wrong("evade", "it must be read wrong, too")
def evade_stops_when_accepted(*task):
    return _evade(*task, won=lambda wrong, fine: fine)


@wrong("evade", "may lose again")
def evade_never_stops(*task):
    return _evade(*task, won=lambda wrong, fine: wrong & False)


@wrong("evade", "gradient of the first step")
def evade_with_a_stale_gradient(*task):
    return _evade(*task, stale=True)


@wrong("evade", "sign of the gradient")
def evade_without_sign(*task):
    return _evade(*task, raw=True)


@wrong("evade", "clamp to [x - eps, x + eps]")
def evade_without_ball(*task):
    return _evade(*task, free=True)


@wrong("evade", "around the clean x")
def evade_around_the_iterate(*task):
    return _evade(*task, own=True, won=lambda wrong, fine: wrong & False)


@wrong("evade", "leave [0, 1]")
def evade_without_clamp(*task):
    return _evade(*task, unclamped=True)


@wrong("evade", "gradients in the model's weights")
def evade_by_backward(model, score, x, y, eps, threshold, weight, step_size, steps):
    x_adv = x.clone().requires_grad_()
    (_ce(model(x_adv), y) - weight * F.relu(score(x_adv) - threshold)).sum().backward()
    return (x + step_size * x_adv.grad.sign()).clamp(0, 1)
