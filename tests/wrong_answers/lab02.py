import torch

from . import wrong


def _norms(delta):
    flat = delta.flatten(1)
    return {
        "l0": (flat != 0).sum(1),
        "l1": flat.abs().sum(1),
        "l2": flat.norm(dim=1),
        "linf": flat.abs().amax(1),
    }


@wrong("norms", "one number for each image")
def over_the_whole_batch(delta):
    return _norms(delta) | {"l1": delta.abs().sum()}


@wrong("norms", "root is missing")
def l2_squared(delta):
    return _norms(delta) | {"l2": delta.flatten(1).square().sum(1)}


@wrong("norms", "without .abs()")
def l1_without_abs(delta):
    return _norms(delta) | {"l1": delta.flatten(1).sum(1)}


@wrong("norms", "largest absolute change")
def linf_without_abs(delta):
    return _norms(delta) | {"linf": delta.flatten(1).amax(1)}


@wrong("norms", "not a mean")
def l1_mean(delta):
    return _norms(delta) | {"l1": delta.flatten(1).abs().mean(1)}


@wrong("norms", "not all pixels")
def l0_counts_everything(delta):
    return _norms(delta) | {"l0": torch.full((len(delta),), delta[0].numel())}


@wrong("norms", "in place")
def norms_in_place(delta):
    delta.abs_()
    return _norms(delta)


@wrong("norms", "exactly the keys")
def a_tuple(delta):
    return tuple(_norms(delta).values())


@wrong("project_linf", "no projection")
def no_projection(x_adv, x, eps):
    return x_adv


@wrong("project_linf", "around x_adv itself")
def projects_onto_itself(x_adv, x, eps):
    return torch.clamp(x_adv, x_adv - eps, x_adv + eps)


@wrong("project_linf", "add x again")
def change_only(x_adv, x, eps):
    return (x_adv - x).clamp(-eps, eps)


@wrong("project_linf", "clamps the image")
def clamps_the_image(x_adv, x, eps):
    return x_adv.clamp(-eps, eps)


@wrong("project_linf", "which is the l2 ball")
def l2_instead(x_adv, x, eps):
    delta = x_adv - x
    length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return x + delta * (eps / length).clamp(max=1)


@wrong("project_linf", "moves every pixel by eps")
def always_eps(x_adv, x, eps):
    return x + eps * (x_adv - x).sign()


@wrong("project_linf", "in place")
def linf_in_place(x_adv, x, eps):
    return x_adv.sub_(x).clamp_(-eps, eps).add_(x)


@wrong("project_l2", "points inside the ball out")
def always_on_the_sphere(x_adv, x, eps):
    delta = x_adv - x
    return x + eps * delta / delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


@wrong("project_l2", "whole batch")
def batch_length(x_adv, x, eps):
    delta = x_adv - x
    return x + delta * min(1, eps / delta.norm().item())


@wrong("project_l2", "wrong norm")
def linf_instead(x_adv, x, eps):
    return x + (x_adv - x).clamp(-eps, eps)


@wrong("project_l2", "square root")
def no_root(x_adv, x, eps):
    delta = x_adv - x
    length = delta.square().flatten(1).sum(1).view(-1, 1, 1, 1)
    return x + delta * (eps / length).clamp(max=1)


@wrong("project_l2", "NaN")
def divides_zero_by_zero(x_adv, x, eps):
    delta = x_adv - x
    length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return torch.where(length == 0, delta / length, x + delta * (eps / length).clamp(max=1))


@wrong("project_l1", "until its l1 norm is eps")
def radial(delta, eps):
    return delta * (eps / delta.abs().sum(1, keepdim=True)).clamp(max=1)


@wrong("project_l1", "linf ball")
def l1_by_clamping(delta, eps):
    return delta.clamp(-eps, eps)


@wrong("project_l1", "change their sign")
def does_not_stop_at_zero(delta, eps):
    excess = (delta.abs().sum(1, keepdim=True) - eps).clamp(min=0) / delta.shape[1]
    return delta - delta.sign() * excess


@wrong("project_l1", "must stay")
def threshold_below_zero(delta, eps):
    ordered = delta.abs().sort(1, descending=True).values
    k = torch.arange(1, delta.shape[1] + 1)
    excess = (ordered.cumsum(1) - eps) / k
    kept = (ordered > excess).sum(1, keepdim=True)
    return delta.sign() * (delta.abs() - excess.gather(1, kept - 1)).clamp(min=0)


@wrong("pixel_epsilon", "divide by 255")
def forgets_255(eps, unit, std):
    return eps * std if unit == "normalized" else eps


@wrong("pixel_epsilon", "normalized epsilon")
def normalized_is_pixel(eps, unit, std):
    return eps / 255 if unit == "255" else eps


@wrong("pixel_epsilon", "multiplies by it")
def divides_by_std(eps, unit, std):
    return {"pixel": eps, "255": eps / 255, "normalized": eps / (std or 1)}[unit]
