import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from advcourse import attacks
from tests.right_answers import lab17 as right

from . import wrong


class Witness(nn.Module):
    """The plain witness; the slips below are made of it."""

    def __init__(self, model, log):
        super().__init__()
        self.model, self.log = model, log
        self.training = model.training

    def note(self, x):
        return x.detach().clone(), self.model.training, x.requires_grad

    def forward(self, x):
        self.log.append(self.note(x))
        return self.model(x)


def _noting(note):
    class Other(Witness):
        def note(self, x):
            return note(self, x)

    return Other


@wrong("witness", "the *model's* mode")
def witness_of_its_own_mode(model, log):
    seen = _noting(lambda self, x: (x.detach().clone(), self.training, x.requires_grad))(model, log)
    seen.training = True
    return seen


@wrong("witness", "keep a copy")
def witness_with_the_callers_images(model, log):
    return _noting(lambda self, x: (x.detach(), self.model.training, x.requires_grad))(model, log)


@wrong("witness", "carry the graph")
def witness_with_a_graph(model, log):
    return _noting(lambda self, x: (x.clone(), self.model.training, x.requires_grad))(model, log)


@wrong("witness", "the mode of the beginning")
def witness_of_the_beginning(model, log):
    mode = model.training
    return _noting(lambda self, x: (x.detach().clone(), mode, x.requires_grad))(model, log)


@wrong("witness", "No gradient passes".lower())
def witness_that_detaches(model, log):
    class Cut(Witness):
        def forward(self, x):
            self.log.append(self.note(x))
            with torch.no_grad():
                return self.model(x)

    return Cut(model, log)


@wrong("witness", "no gradient of x passes")
def witness_that_asks_with_a_copy(model, log):
    class Cut(Witness):
        def forward(self, x):
            self.log.append(self.note(x))
            return self.model(x.detach())

    return Cut(model, log)


@wrong("witness", "do not reach the model")
def witness_without_a_submodule(model, log):
    class Loose(Witness):
        def __init__(self):
            nn.Module.__init__(self)
            self.keep, self.log = [model], log

        def forward(self, x):
            mode, wanted = self.keep[0].training, x.requires_grad
            self.log.append((x.detach().clone(), mode, wanted))
            return self.keep[0](x)

    return Loose()


@wrong("witness", "changes the model's mode")
def witness_that_calls_eval(model, log):
    return Witness(model.eval(), log)


@wrong("witness", "return an nn.Module")
def witness_as_a_function(model, log):
    def seen(x):
        log.append((x.detach().clone(), model.training, x.requires_grad))
        return model(x)

    return seen


@wrong("witness", "it returns None")
def witness_without_return(model, log):
    Witness(model, log)


@wrong("witness", "the log is still empty")
def witness_with_a_log_of_its_own(model, log):
    return Witness(model, [])


@wrong("witness", "leaves 2 entries")
def witness_that_notes_twice(model, log):
    class Twice(Witness):
        def forward(self, x):
            self.log.append(self.note(x))
            return super().forward(x)

    return Twice(model, log)


@wrong("witness", "a tuple of three")
def witness_of_images_only(model, log):
    return _noting(lambda self, x: x.detach().clone())(model, log)


@wrong("witness", "does not answer like the model")
def witness_of_probabilities(model, log):
    class Soft(Witness):
        def forward(self, x):
            return super().forward(x).softmax(1)

    return Soft(model, log)


@wrong("accusations", "return a dict")
def accusations_as_a_list():
    return list(right.TRUTH.values())


@wrong("accusations", "no evaluation 'J'")
def accusations_of_a_tenth():
    return right.TRUTH | {"J": "none"}


@wrong("accusations", "no mistake of the list")
def accusations_in_own_words():
    return right.TRUTH | {"A": "it divides by the wrong number"}


@wrong("accusations", "still without a mistake: C, F")
def accusations_of_seven():
    return {k: v for k, v in right.TRUTH.items() if k not in "CF"}


@wrong("accusations", 'A is not "train mode": a witness inside the victim noted')
def accusations_a_train_mode():
    return right.TRUTH | {"A": "train mode"}


@wrong("accusations", 'B is not "wrong model": it asks the victim itself')
def accusations_b_wrong_model():
    return right.TRUTH | {"B": "wrong model"}


@wrong("accusations", 'D is not "clip": it makes pixels darker')
def accusations_d_clip():
    return right.TRUTH | {"D": "clip"}


@wrong("accusations", 'C is not "units": with eps 0.1')
def accusations_c_units():
    return right.TRUTH | {"C": "units"}


@wrong("accusations", 'E is not "refusals": a victim that refuses every image gets 0%')
def accusations_e_refusals():
    return right.TRUTH | {"E": "refusals"}


@wrong("accusations", 'F is not "lucky draw": of a victim that tosses coins')
def accusations_f_lucky_draw():
    return right.TRUTH | {"F": "lucky draw"}


@wrong("accusations", 'G is not "chosen images": it was given 40 images')
def accusations_g_chosen():
    return right.TRUTH | {"G": "chosen images"}


@wrong("accusations", 'H is not "only right ones": with eps 0 and every fourth label wrong')
def accusations_h_only_right():
    return right.TRUTH | {"H": "only right ones"}


@wrong("accusations", "it is not honest")
def accusations_all_innocent():
    return dict.fromkeys(right.TRUTH, "none")


def _fair(x, x_adv, eps):
    inside = ((x_adv - x).abs() <= eps + 1e-6) & (x_adv >= 0) & (x_adv <= 1)
    return inside.flatten(1).all(1)


def _right(model, x, y):
    with torch.no_grad():
        return model(x).argmax(1) == y


@wrong("survivors", "wrong without any attack count")
def survivors_of_attacks_only(model, x, y, eps, attacks):
    left = torch.ones(len(x), dtype=torch.bool)
    for attack in attacks:
        x_adv = attack(model, x, y)
        left &= _right(model, x_adv, y) | ~_fair(x, x_adv, eps)
    return left


@wrong("survivors", "leaves the ball or the box counts")
def survivors_of_cheats(model, x, y, eps, attacks):
    left = _right(model, x, y)
    for attack in attacks:
        left &= _right(model, attack(model, x, y), y)
    return left


@wrong("survivors", "leaves [0, 1] counts")
def survivors_without_box(model, x, y, eps, attacks):
    left = _right(model, x, y)
    for attack in attacks:
        x_adv = attack(model, x, y)
        inside = ((x_adv - x).abs() <= eps + 1e-6).flatten(1).all(1)
        left &= _right(model, x_adv, y) | ~inside
    return left


@wrong("survivors", "discards the whole attack")
def survivors_all_or_nothing(model, x, y, eps, attacks):
    left = _right(model, x, y)
    for attack in attacks:
        x_adv = attack(model, x, y)
        if _fair(x, x_adv, eps).all():
            left &= _right(model, x_adv, y)
    return left


@wrong("survivors", "put back into it")
def survivors_projected(model, x, y, eps, attacks):
    left = _right(model, x, y)
    for attack in attacks:
        x_adv = attack(model, x, y).clamp(x - eps, x + eps).clamp(0, 1)
        left &= _right(model, x_adv, y)
    return left


@wrong("survivors", "one attack that fails is enough")
def survivors_of_any(model, x, y, eps, attacks):
    one = [right.survivors(model, x, y, eps, [attack]) for attack in attacks]
    return torch.stack(one).any(0) if one else _right(model, x, y)


@wrong("survivors", "only the last attack counts")
def survivors_of_the_last(model, x, y, eps, attacks):
    return right.survivors(model, x, y, eps, attacks[-1:])


@wrong("survivors", "return those that hold")
def survivors_turned_round(*args):
    return ~right.survivors(*args)


@wrong("survivors", "return a mask, torch.bool")
def survivors_as_floats(*args):
    return right.survivors(*args).float()


@wrong("survivors", "it should be (24,)")
def survivors_as_a_share(*args):
    return right.survivors(*args).float().mean()


@wrong("survivors", "no attack at all")
def survivors_of_at_least_one(model, x, y, eps, attacks):
    if not attacks:
        return torch.ones(len(x), dtype=torch.bool)
    return right.survivors(model, x, y, eps, attacks)


def _honest(model, x, y, eps, train=False, give_back=True):
    mode = model.training
    model.train(train)
    x_adv = attacks.pgd(model, x, y, eps=eps, steps=20)
    clean, held = _right(model, x, y), _right(model, x_adv, y)
    if give_back:
        model.train(mode)
    return clean, held


def _shares(clean, held):
    return clean.float().mean().item(), held.float().mean().item()


@wrong("honest", "divide by all N")
def honest_over_the_right(model, x, y, eps):
    clean, held = _honest(model, x, y, eps)
    return clean.float().mean().item(), (held & clean).sum().item() / max(1, int(clean.sum()))


@wrong("honest", "in train mode in")
def honest_in_train_mode(model, x, y, eps):
    clean, held = _honest(model, x, y, eps, train=True)
    return _shares(clean, held & clean)


@wrong("honest", "restore model.train(mode)")
def honest_that_leaves_eval(model, x, y, eps):
    clean, held = _honest(model, x, y, eps, give_back=False)
    return _shares(clean, held & clean)


@wrong("honest", "only .3081 of it")
def honest_in_normalized_units(model, x, y, eps):
    return right.honest(model, x, y, 0.3081 * eps)


@wrong("honest", "half of epsilon")
def honest_with_half(model, x, y, eps):
    return right.honest(model, x, y, eps / 2)


@wrong("honest", "twice epsilon")
def honest_with_twice(model, x, y, eps):
    return right.honest(model, x, y, 2 * eps)


@wrong("honest", "can hold under it; they may not")
def honest_under_attack_only(model, x, y, eps):
    return _shares(*_honest(model, x, y, eps))


@wrong("honest", "nothing is attacked")
def honest_without_attack(model, x, y, eps):
    return right.honest(model, x, y, 0.0)


@wrong("honest", "return the share that holds")
def honest_about_the_fallen(*args):
    clean, robust = right.honest(*args)
    return clean, 1 - robust


@wrong("honest", "clean first")
def honest_turned_round(*args):
    return right.honest(*args)[::-1]


@wrong("honest", "counts or percent")
def honest_in_percent(*args):
    return tuple(100 * share for share in right.honest(*args))


@wrong("honest", "use .item()")
def honest_as_tensors(*args):
    return tuple(torch.tensor(share) for share in right.honest(*args))


@wrong("honest", "return 2 values")
def honest_without_clean(*args):
    return right.honest(*args)[1]


@wrong("honest", "no pixel gets darker")
def honest_that_only_brightens(model, x, y, eps):
    mode = model.training
    model.eval()
    x_adv = attacks.pgd(model, x, y, eps=eps, steps=20)
    x_adv = (x + (x_adv - x).clamp(0, 1)).clamp(0, 1)
    clean, held = _right(model, x, y), _right(model, x_adv, y)
    model.train(mode)
    return _shares(clean, held & clean)


@wrong("honest", "gradients in the model's weights")
def honest_with_backward(model, x, y, eps):
    found = right.honest(model, x, y, eps)
    mode = model.training
    F.cross_entropy(model.eval()(x), y).backward()
    model.train(mode)
    return found


def _top(z):
    return z.sort(1, descending=True).values


def _others(z, y):
    return z.scatter(1, y[:, None], -torch.inf).amax(1)


def _own(z, y):
    return z.gather(1, y[:, None])[:, 0]


@wrong("dlr_loss", "wrong sign")
def dlr_downhill(z, y):
    return -right.dlr_loss(z, y)


@wrong("dlr_loss", "lead of the first over the second")
def dlr_by_the_second(z, y):
    return (_others(z, y) - _own(z, y)) / (_top(z)[:, 0] - _top(z)[:, 1]).clamp(min=1e-12)


@wrong("dlr_loss", "the first and the last")
def dlr_by_the_range(z, y):
    return (_others(z, y) - _own(z, y)) / (z.amax(1) - z.amin(1)).clamp(min=1e-12)


@wrong("dlr_loss", "includes y itself")
def dlr_with_itself(z, y):
    return (z.amax(1) - _own(z, y)) / (_top(z)[:, 0] - _top(z)[:, 2]).clamp(min=1e-12)


@wrong("dlr_loss", "rival only where y is first")
def dlr_against_the_second(z, y):
    return (_top(z)[:, 1] - _own(z, y)) / (_top(z)[:, 0] - _top(z)[:, 2]).clamp(min=1e-12)


@wrong("dlr_loss", "those are probabilities")
def dlr_of_probabilities(z, y):
    return right.dlr_loss(z.softmax(1), y)


@wrong("dlr_loss", "not divided")
def dlr_without_ratio(z, y):
    return _others(z, y) - _own(z, y)


@wrong("dlr_loss", "one for each image")
def dlr_of_the_batch(z, y):
    return right.dlr_loss(z, y).mean()


@wrong("dlr_loss", "NaN")
def dlr_without_clamp(z, y):
    return (_others(z, y) - _own(z, y)) / (_top(z)[:, 0] - _top(z)[:, 2])


@wrong("dlr_loss", "it carries no gradient")
def dlr_detached(z, y):
    return right.dlr_loss(z.detach(), y)


@wrong("dlr_loss", "is the divisor detached")
def dlr_with_a_fixed_divisor(z, y):
    span = (_top(z)[:, 0] - _top(z)[:, 2]).clamp(min=1e-12).detach()
    return (_others(z, y) - _own(z, y)) / span


@wrong("dlr_loss", "keep the dtype")
def dlr_in_float32(z, y):
    return right.dlr_loss(z.float(), y)


@wrong("dlr_loss", "three classes")
def dlr_for_four_classes(z, y):
    return right.dlr_loss(torch.cat([z, z[:, :1] * 0 - 1], 1) if z.shape[1] == 3 else z, y)


def _parts(losses, best_before, halved_before, rho):
    rises = (losses[1:] > losses[:-1]).sum(0)
    return rises < rho * (len(losses) - 1), losses.amax(0) <= best_before, halved_before


@wrong("halve", "halve where there are fewer")
def halve_at_the_share(losses, best_before, halved_before, rho):
    rises = (losses[1:] > losses[:-1]).sum(0)
    _, stuck, halved = _parts(losses, best_before, halved_before, rho)
    return (rises <= rho * (len(losses) - 1)) | (stuck & ~halved)


@wrong("halve", "or, not and")
def halve_for_both(*args):
    seldom, stuck, halved = _parts(*args)
    return seldom & stuck & ~halved


@wrong("halve", "the second reason is missing")
def halve_for_the_first(*args):
    return _parts(*args)[0]


@wrong("halve", "the first reason is missing")
def halve_for_the_second(*args):
    _, stuck, halved = _parts(*args)
    return stuck & ~halved


@wrong("halve", "the other way round")
def halve_again(*args):
    seldom, stuck, halved = _parts(*args)
    return seldom | (stuck & halved)


@wrong("halve", "gets another period")
def halve_the_halved(*args):
    seldom, stuck, _ = _parts(*args)
    return seldom | stuck


@wrong("halve", "not the loss at the beginning")
def halve_by_the_first_loss(losses, best_before, halved_before, rho):
    return right.halve(losses, losses[0], halved_before, rho)


@wrong("halve", "not that of the beginning")
def halve_above_the_beginning(losses, best_before, halved_before, rho):
    rises = (losses[1:] > losses[0]).sum(0)
    _, stuck, halved = _parts(losses, best_before, halved_before, rho)
    return (rises < rho * (len(losses) - 1)) | (stuck & ~halved)


@wrong("halve", "does not rise")
def halve_with_ties(losses, best_before, halved_before, rho):
    rises = (losses[1:] >= losses[:-1]).sum(0)
    _, stuck, halved = _parts(losses, best_before, halved_before, rho)
    return (rises < rho * (len(losses) - 1)) | (stuck & ~halved)


@wrong("halve", "a row more than there are steps")
def halve_by_rows(losses, best_before, halved_before, rho):
    rises = (losses[1:] > losses[:-1]).sum(0)
    _, stuck, halved = _parts(losses, best_before, halved_before, rho)
    return (rises < rho * len(losses)) | (stuck & ~halved)


@wrong("halve", "whose step stays")
def halve_the_others(*args):
    return ~right.halve(*args)


@wrong("halve", "return a mask, torch.bool")
def halve_as_numbers(*args):
    return right.halve(*args).long()


def _curve(model, x, y, epsilons, attack):
    return [_right(model, attack(model, x, y, e), y).float().mean().item() for e in epsilons]


@wrong("alarms", "compared with its neighbor")
def alarms_of_neighbors(model, x, y, epsilons, attack, slack):
    shares = _curve(model, x, y, epsilons, attack)
    rises = any(b > a + slack for a, b in pairwise(shares))
    return ["rises"] * rises + ["unbounded"] * (shares[-1] > 0)


@wrong("alarms", "compared with the first one")
def alarms_above_the_first(model, x, y, epsilons, attack, slack):
    shares = _curve(model, x, y, epsilons, attack)
    rises = any(share > shares[0] + slack for share in shares)
    return ["rises"] * rises + ["unbounded"] * (shares[-1] > 0)


@wrong("alarms", "slack is not used")
def alarms_without_slack(model, x, y, epsilons, attack, slack):
    return right.alarms(model, x, y, epsilons, attack, 0.0)


@wrong("alarms", "by exactly the slack")
def alarms_at_the_slack(model, x, y, epsilons, attack, slack):
    return right.alarms(model, x, y, epsilons, attack, slack - 1e-9)


@wrong("alarms", "none may")
def alarms_that_forgive(model, x, y, epsilons, attack, slack):
    shares = _curve(model, x, y, epsilons, attack)
    names = right.alarms(model, x, y, epsilons, attack, slack)
    return [n for n in names if n == "rises"] + ["unbounded"] * (shares[-1] > 0.1)


@wrong("alarms", "needs gradients")
@torch.no_grad()
def alarms_without_gradients(*args):
    return right.alarms(*args)


@wrong("alarms", "in another order")
def alarms_turned_round(*args):
    return right.alarms(*args)[::-1]


@wrong("alarms", "it never rings")
def alarms_never(*args):
    return []


@wrong("alarms", "return a list of the names")
def alarms_as_a_set(*args):
    return set(right.alarms(*args))


@wrong("alarms", "divide by all N")
def alarms_of_the_right(model, x, y, epsilons, attack, slack):
    keep = _right(model, x, y)
    return right.alarms(model, x[keep], y[keep], epsilons, attack, slack)


@wrong("alarms", "begins where the last one ended")
def alarms_that_pile_up(model, x, y, epsilons, attack, slack):
    shares = []
    for eps in epsilons:
        x = attack(model, x, y, eps)
        shares.append(_right(model, x, y).float().mean().item())
    pairs = [(a, b) for i, a in enumerate(shares) for b in shares[i + 1 :]]
    return ["rises"] * any(b - a > slack for a, b in pairs) + ["unbounded"] * (shares[-1] > 0)


def _chance(b, n):
    return sum(math.comb(n, k) for k in range(b, n + 1)) / 2**n


def _counts(random_left, gradient_left):
    return int((~random_left & gradient_left).sum()), int((random_left & ~gradient_left).sum())


@wrong("luckier", "leaves chance out")
def luckier_by_a_nose(random_left, gradient_left, level):
    b, c = _counts(random_left, gradient_left)
    return b > c


@wrong("luckier", "the two are exchanged")
def luckier_turned_round(random_left, gradient_left, level):
    return right.luckier(gradient_left, random_left, level)


@wrong("luckier", "twice the chance")
def luckier_on_both_sides(random_left, gradient_left, level):
    b, c = _counts(random_left, gradient_left)
    return 2 * _chance(b, b + c) < level


@wrong("luckier", "at least b is meant")
def luckier_beyond(random_left, gradient_left, level):
    b, c = _counts(random_left, gradient_left)
    return _chance(b + 1, b + c) < level


@wrong("luckier", "n is b + c")
def luckier_of_all(random_left, gradient_left, level):
    b, _ = _counts(random_left, gradient_left)
    return _chance(b, len(random_left)) < level


@wrong("luckier", "the opposite")
def luckier_or_not(*args):
    return not right.luckier(*args)


@wrong("luckier", "return a Python bool")
def luckier_as_a_tensor(*args):
    return torch.tensor(right.luckier(*args))


@wrong("luckier", "exactly the level")
def luckier_at_the_level(random_left, gradient_left, level):
    b, c = _counts(random_left, gradient_left)
    return _chance(b, b + c) <= level
