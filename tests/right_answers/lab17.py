"""Right answers of lab 17, each in another way than the check's reference."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from scipy.stats import binomtest
from torch import nn

TRUTH = {
    "A": "only right ones",
    "B": "train mode",
    "C": "clip",
    "D": "units",
    "E": "lucky draw",
    "F": "none",
    "G": "wrong model",
    "H": "chosen images",
    "I": "refusals",
}


def witness(model, log):
    seen = nn.Sequential(model)
    seen.training = model.training

    def note(module, args):
        (x,) = args
        log.append((x.detach().clone(), model.training, x.requires_grad))

    seen.register_forward_pre_hook(note)
    return seen


def accusations():
    return dict(reversed(TRUTH.items()))


def survivors(model, x, y, eps, attacks):
    left = [i for i in range(len(x)) if model(x[i : i + 1]).argmax() == y[i]]
    for attack in attacks:
        for i in list(left):
            one = x[i : i + 1]
            x_adv = attack(model, one, y[i : i + 1])
            fair = (x_adv - one).abs().max() <= eps + 1e-6 and 0 <= x_adv.min() <= x_adv.max() <= 1
            if fair and model(x_adv).argmax() != y[i]:
                left.remove(i)
    mask = torch.zeros(len(x), dtype=torch.bool)
    mask[left] = True
    return mask


def honest(model, x, y, eps):
    mode = model.training
    model.eval()
    right, holds = 0, 0
    for image, label in zip(x.split(7), y.split(7), strict=True):
        image_adv = image.clone()
        for _ in range(20):
            z = image_adv.detach().requires_grad_()
            logits = model(z)
            margin = logits.gather(1, label[:, None]).sum()
            (slope,) = torch.autograd.grad(margin, z)
            image_adv = image_adv - eps / 4 * slope.sign()
            image_adv = torch.clamp(image_adv, image - eps, image + eps).clamp(0, 1)
        with torch.no_grad():
            fine = model(image).argmax(1) == label
            right += fine.sum().item()
            holds += (fine & (model(image_adv).argmax(1) == label)).sum().item()
    model.train(mode)
    return right / len(x), holds / len(x)


def dlr_loss(z, y):
    mine = F.one_hot(y, z.shape[1]).bool()
    rival = z.masked_fill(mine, -torch.inf).max(1).values
    top = z.topk(3, dim=1).values
    return (rival - z[mine]) / (top[:, 0] - top[:, 2]).clamp(min=1e-12)


def halve(losses, best_before, halved_before, rho):
    answers = []
    for i in range(losses.shape[1]):
        row = losses[:, i].tolist()
        rises = sum(b > a for a, b in pairwise(row))
        seldom = rises < rho * (len(row) - 1)
        improved = max(row) > best_before[i].item()
        answers.append(seldom or (not improved and not bool(halved_before[i])))
    return torch.tensor(answers)


def alarms(model, x, y, epsilons, attack, slack):
    shares = []
    for eps in epsilons:
        shares.append(float((model(attack(model, x, y, eps)).argmax(1) == y).double().mean()))
    pairs = [(a, b) for i, a in enumerate(shares) for b in shares[i + 1 :]]
    names = []
    if any(b - a > slack for a, b in pairs):
        names.append("rises")
    if shares[-1]:
        names.append("unbounded")
    return names


def luckier(random_left, gradient_left, level):
    only = int((gradient_left & ~random_left).sum())
    differ = int((gradient_left ^ random_left).sum())
    if not differ:
        return False
    return bool(binomtest(only, differ, alternative="greater").pvalue < level)


RIGHT = {
    "witness": witness,
    "accusations": accusations,
    "survivors": survivors,
    "honest": honest,
    "dlr_loss": dlr_loss,
    "halve": halve,
    "alarms": alarms,
    "luckier": luckier,
}
