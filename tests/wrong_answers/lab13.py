import torch
import torch.nn.functional as F

from tests.right_answers import lab13 as right
from tests.right_answers.labs_02_to_04 import gradient

from . import wrong


def _start(x, eps, generator):
    return (x + eps * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(0, 1)


def _climb(x_adv, x, eps, step, steps):
    for _ in range(steps):
        x_adv = torch.clamp(x_adv + step(x_adv), x - eps, x + eps).clamp(0, 1)
    return x_adv


@wrong("adversarial_batch", "adds to the weights' gradients")
def by_backward(model, x, y, eps, step_size, steps, generator):
    def step(x_adv):
        leaf = x_adv.clone().requires_grad_()
        F.cross_entropy(model(leaf), y).backward()
        return step_size * leaf.grad.sign()

    mode = model.training
    model.eval()
    x_adv = _climb(_start(x, eps, generator), x, eps, step, steps)
    model.train(mode)
    return x_adv


@wrong("adversarial_batch", "clears the weights' gradients")
def cleans_up_behind_it(model, *args):
    x_adv = by_backward(model, *args)
    model.zero_grad()
    return x_adv


@wrong("adversarial_batch", "leaves the model in another mode")
def leaves_it_in_eval(model, *args):
    model.eval()
    return right.adversarial_batch(model, *args)


@wrong("adversarial_batch", "another mode")
def always_back_to_train(model, *args):
    x_adv = right.adversarial_batch(model, *args)
    model.train()
    return x_adv


@wrong("adversarial_batch", "attacks in train mode")
def attacks_while_training(model, x, y, eps, step_size, steps, generator):
    def step(x_adv):
        leaf = x_adv.clone().requires_grad_()
        (g,) = torch.autograd.grad(F.cross_entropy(model(leaf), y), leaf)
        return step_size * g.sign()

    return _climb(_start(x, eps, generator), x, eps, step, steps)


@wrong("adversarial_batch", "requires_grad of the weights")
def freezes(model, *args):
    model.requires_grad_(False)
    return right.adversarial_batch(model, *args)


@wrong("adversarial_batch", "start at a random point")
def begins_at_x(model, x, y, eps, step_size, steps, generator):
    return _climb(x, x, eps, lambda z: step_size * gradient(model, z, y).sign(), steps)


@wrong("adversarial_batch", "draw from the generator")
def global_noise(model, x, y, eps, step_size, steps, generator):
    start = _start(x, eps, None)
    return _climb(start, x, eps, lambda z: step_size * gradient(model, z, y).sign(), steps)


@wrong("adversarial_batch", "never seed one yourself")
def seeds_it(model, x, y, eps, step_size, steps, generator):
    generator.manual_seed(0)
    return right.adversarial_batch(model, x, y, eps, step_size, steps, generator)


@wrong("adversarial_batch", "take all the steps")
def a_single_step(model, x, y, eps, step_size, steps, generator):
    return right.adversarial_batch(model, x, y, eps, step_size, 1, generator)


@wrong("adversarial_batch", "leaves the ball")
def ball_around_the_iterate(model, x, y, eps, step_size, steps, generator):
    x_adv = _start(x, eps, generator)
    for _ in range(steps):
        step = step_size * gradient(model, x_adv, y).sign()
        x_adv = torch.clamp(x_adv + step, x_adv - eps, x_adv + eps).clamp(0, 1)
    return x_adv


@wrong("adversarial_batch", "leave [0, 1]")
def no_box(model, x, y, eps, step_size, steps, generator):
    x_adv = _start(x, eps, generator)
    for _ in range(steps):
        step = step_size * gradient(model, x_adv, y).sign()
        x_adv = torch.clamp(x_adv + step, x - eps, x + eps)
    return x_adv


@wrong("adversarial_batch", "down the loss of y")
def makes_it_easier(model, x, y, eps, step_size, steps, generator):
    return right.adversarial_batch(model, x, 1 - y if y.max() < 2 else y, eps, 1, 9, generator)


@wrong("adversarial_batch", "anew at every iterate")
def stale_gradient(model, x, y, eps, step_size, steps, generator):
    step = step_size * gradient(model, x, y).sign()
    return _climb(_start(x, eps, generator), x, eps, lambda z: step, steps)


@wrong("adversarial_loss", "loss of the clean images")
def learns_from_clean(attack, model, x, y, eps, generator, done):
    right.adversarial_loss(attack, model, x, y, eps, generator, done)
    return F.cross_entropy(model(x), y)


@wrong("adversarial_loss", "never called")
def no_attack(attack, model, x, y, eps, generator, done):
    return F.cross_entropy(model(x), y)


@wrong("adversarial_loss", "eps does not grow")
def full_radius(attack, model, x, y, eps, generator, done):
    return right.adversarial_loss(attack, model, x, y, eps, generator, 1.0)


@wrong("adversarial_loss", "goes on growing")
def grows_forever(attack, model, x, y, eps, generator, done):
    return right.adversarial_loss(attack, model, x, y, eps * done / 0.3, generator, 1.0)


@wrong("adversarial_loss", "divide by 0.3")
def grows_until_the_end(attack, model, x, y, eps, generator, done):
    return right.adversarial_loss(attack, model, x, y, eps * done, generator, 1.0)


@wrong("adversarial_loss", "pass the generator on")
def no_generator(attack, model, x, y, eps, generator, done):
    return right.adversarial_loss(attack, model, x, y, eps, None, done)


@wrong("adversarial_loss", "under torch.no_grad()")
def attack_without_gradients(attack, model, x, y, eps, generator, done):
    with torch.no_grad():
        x_adv = attack(model, x, y, eps * min(1, done / 0.3), generator)
    return F.cross_entropy(model(x_adv), y)


@wrong("adversarial_loss", "summed")
def summed(attack, model, x, y, eps, generator, done):
    return len(x) * right.adversarial_loss(attack, model, x, y, eps, generator, done)


@wrong("adversarial_loss", "without .item()")
def number(attack, model, x, y, eps, generator, done):
    return right.adversarial_loss(attack, model, x, y, eps, generator, done).item()


@wrong("adversarial_loss", "no gradient reaches the weights")
def detached(attack, model, x, y, eps, generator, done):
    return right.adversarial_loss(attack, model, x, y, eps, generator, done).detach()


@wrong("adversarial_loss", "calls backward()")
def trains_itself(attack, model, x, y, eps, generator, done):
    loss = right.adversarial_loss(attack, model, x, y, eps, generator, done)
    loss.backward(retain_graph=True)
    return loss


@wrong("adversarial_loss", "learns in train mode")
def learns_in_eval_mode(attack, model, x, y, eps, generator, done):
    model.eval()
    loss = right.adversarial_loss(attack, model, x, y, eps, generator, done)
    model.train()
    return loss


@wrong("mixed_loss", "swapped")
def share_of_the_clean(model, x, x_adv, y, share):
    return right.mixed_loss(model, x, x_adv, y, 1 - share)


@wrong("mixed_loss", "share is ignored")
def one_big_batch(model, x, x_adv, y, share):
    return right.mixed_loss(model, x, x_adv, y, 0.5)


@wrong("mixed_loss", "counts 1 - share")
def clean_in_full(model, x, x_adv, y, share):
    return F.cross_entropy(model(x), y) + share * F.cross_entropy(model(x_adv), y)


@wrong("mixed_loss", "mixes the images")
def mixes_the_images(model, x, x_adv, y, share):
    return F.cross_entropy(model(share * x_adv + (1 - share) * x), y)


@wrong("mixed_loss", "take means")
def mixed_sums(model, x, x_adv, y, share):
    return len(x) * right.mixed_loss(model, x, x_adv, y, share)


@wrong("mixed_loss", "a part of the graph is cut")
def half_detached(model, x, x_adv, y, share):
    with torch.no_grad():
        clean = F.cross_entropy(model(x), y)
    return share * F.cross_entropy(model(x_adv), y) + (1 - share) * clean


def _trades(x_first, p, log_q, y, beta, reduction="batchmean"):
    return F.cross_entropy(x_first, y) + beta * F.kl_div(log_q, p, reduction=reduction)


@wrong("trades_loss", "wrong way round")
def swapped_kl(model, x, x_adv, y, beta):
    z, z_adv = model(x), model(x_adv)
    return _trades(z, z_adv.softmax(1), z.log_softmax(1), y, beta)


@wrong("trades_loss", "the log of its first argument")
def kl_of_probabilities(model, x, x_adv, y, beta):
    z, z_adv = model(x), model(x_adv)
    return _trades(z, z.softmax(1), z_adv.softmax(1), y, beta)


@wrong("trades_loss", "softmax of the attacked logits is missing")
def kl_of_logits(model, x, x_adv, y, beta):
    z, z_adv = model(x), model(x_adv)
    return _trades(z, z.softmax(1), z_adv, y, beta)


@wrong("trades_loss", "NaN")
def no_softmax_at_all(model, x, x_adv, y, beta):
    z, z_adv = model(x), model(x_adv)
    return _trades(z, z, z_adv, y, beta)


@wrong("trades_loss", "averaged over the classes")
def mean_reduction(model, x, x_adv, y, beta):
    z, log_q = model(x), model(x_adv).log_softmax(1)
    far = F.kl_div(log_q, z.softmax(1), reduction="none").mean()
    return F.cross_entropy(z, y) + beta * far


@wrong("trades_loss", "summed over the images")
def sum_reduction(model, x, x_adv, y, beta):
    z, z_adv = model(x), model(x_adv)
    return _trades(z, z.softmax(1), z_adv.log_softmax(1), y, beta, "sum")


@wrong("trades_loss", "gradient of the clean answer is stopped")
def teacher_stands_still(model, x, x_adv, y, beta):
    z, z_adv = model(x), model(x_adv)
    return _trades(z, z.detach().softmax(1), z_adv.log_softmax(1), y, beta)


@wrong("trades_loss", "gradient of the attacked answer is stopped")
def neighbor_stands_still(model, x, x_adv, y, beta):
    z = model(x)
    with torch.no_grad():
        log_q = model(x_adv).log_softmax(1)
    return _trades(z, z.softmax(1), log_q, y, beta)


@wrong("trades_loss", "first term belongs to the clean")
def madry_and_trades(model, x, x_adv, y, beta):
    z, z_adv = model(x), model(x_adv)
    return _trades(z_adv, z.softmax(1), z_adv.log_softmax(1), y, beta)


@wrong("trades_loss", "beta weighs the KL")
def beta_at_the_cross_entropy(model, x, x_adv, y, beta):
    z, z_adv = model(x), model(x_adv)
    kl = F.kl_div(z_adv.log_softmax(1), z.softmax(1), reduction="batchmean")
    return beta * F.cross_entropy(z, y) + kl


@wrong("trades_loss", "the classes are dim 1")
def softmax_over_images(model, x, x_adv, y, beta):
    z, z_adv = model(x), model(x_adv)
    return _trades(z, z.softmax(0), z_adv.log_softmax(0), y, beta)


@wrong("trades_loss", "not finite where the network is sure")
def log_of_softmax(model, x, x_adv, y, beta):
    z, z_adv = model(x), model(x_adv)
    return _trades(z, z.softmax(1), z_adv.softmax(1).log(), y, beta)


def _noise(x, std, generator):
    return std * torch.randn(x.shape, generator=generator)


def _coin(x, probability, generator):
    return (torch.rand(len(x), generator=generator) < probability).view(-1, 1, 1, 1)


@wrong("noisy_batch", "chance picks single pixels")
def pixel_by_pixel(x, std, probability, generator):
    chosen = torch.rand(x.shape, generator=generator) < probability
    return (x + chosen * _noise(x, std, generator)).clamp(0, 1)


@wrong("noisy_batch", "one coin for the batch, or none")
def everybody(x, std, probability, generator):
    return right.noisy_batch(x, std, 1.0, generator)


@wrong("noisy_batch", "turned around")
def turned_around(x, std, probability, generator):
    return right.noisy_batch(x, std, 1 - probability, generator)


@wrong("noisy_batch", "clamp is missing")
def no_clamp(x, std, probability, generator):
    return x + _coin(x, probability, generator) * _noise(x, std, generator)


@wrong("noisy_batch", "draw from the generator")
def from_the_global_state(x, std, probability, generator):
    return right.noisy_batch(x, std, probability, torch.default_generator)


@wrong("noisy_batch", "never seed the generator")
def seeded(x, std, probability, generator):
    return right.noisy_batch(x, std, probability, generator.manual_seed(0))


@wrong("noisy_batch", "all get the same noise")
def one_noise_for_all(x, std, probability, generator):
    noise = _noise(x[:1], std, generator)
    return (x + _coin(x, probability, generator) * noise).clamp(0, 1)


@wrong("noisy_batch", "only brightens")
def only_brighter(x, std, probability, generator):
    noise = _noise(x, std, generator).abs()
    return (x + _coin(x, probability, generator) * noise).clamp(0, 1)


@wrong("noisy_batch", "uniform")
def uniform(x, std, probability, generator):
    noise = 12**0.5 * std * (torch.rand(x.shape, generator=generator) - 0.5)
    return (x + _coin(x, probability, generator) * noise).clamp(0, 1)


@wrong("noisy_batch", "variance")
def variance(x, std, probability, generator):
    return right.noisy_batch(x, std**2, probability, generator)


@wrong("noisy_batch", "in place")
def noise_in_place(x, std, probability, generator):
    return x.copy_(right.noisy_batch(x, std, probability, generator))


@wrong("l1_l2", "biases are in it")
def with_biases(model, l1, l2):
    return sum(l1 * p.abs().sum() + l2 * p.square().sum() for p in model.parameters())


def _matrices(model):
    return [p for p in model.parameters() if p.ndim > 1]


@wrong("l1_l2", "swapped")
def l1_for_l2(model, l1, l2):
    return right.l1_l2(model, l2, l1)


@wrong("l1_l2", "these are means")
def mean_weights(model, l1, l2):
    return sum(l1 * p.abs().mean() + l2 * p.square().mean() for p in _matrices(model))


@wrong("l1_l2", "factor of 1/2")
def halves(model, l1, l2):
    return right.l1_l2(model, l1, l2 / 2)


@wrong("l1_l2", "leave out the root")
def with_the_root(model, l1, l2):
    return sum(l1 * p.abs().sum() + l2 * p.norm() for p in _matrices(model))


@wrong("l1_l2", "absolute values are missing")
def signs_cancel(model, l1, l2):
    return sum(l1 * p.sum() + l2 * p.square().sum() for p in _matrices(model))


@wrong("l1_l2", "only one layer")
def linear_layers_only(model, l1, l2):
    return sum(l1 * p.abs().sum() + l2 * p.square().sum() for p in _matrices(model)[1:])


@wrong("l1_l2", "no gradient reaches the weights")
def of_the_data(model, l1, l2):
    return sum(l1 * p.data.abs().sum() + l2 * p.data.square().sum() for p in _matrices(model))


def _rows(model, x, y, attacks):
    images = [x, *(attack(model, x, y) for attack in attacks)]
    with torch.no_grad():
        return torch.stack([model(z).argmax(1) == y for z in images]).float()


@wrong("robust_accuracy", "the average")
def average(model, x, y, attacks):
    return _rows(model, x, y, attacks).mean()


@wrong("robust_accuracy", "worst single attack")
def worst_attack(model, x, y, attacks):
    return _rows(model, x, y, attacks).mean(1).min()


@wrong("robust_accuracy", "wrong when clean")
def clean_forgotten(model, x, y, attacks):
    rows = _rows(model, x, y, attacks)
    return (rows[1:] if attacks else rows).amin(0).mean()


@wrong("robust_accuracy", "right once")
def right_once(model, x, y, attacks):
    return _rows(model, x, y, attacks).amax(0).mean()


@wrong("robust_accuracy", "only the last")
def last_attack(model, x, y, attacks):
    return _rows(model, x, y, attacks)[-1].mean()


@wrong("robust_accuracy", "share that falls")
def fallen(model, x, y, attacks):
    return 1 - right.robust_accuracy(model, x, y, attacks)


@wrong("robust_accuracy", "a count")
def counted(model, x, y, attacks):
    return _rows(model, x, y, attacks).amin(0).sum()


@wrong("robust_accuracy", "start from the clean x")
def chained(model, x, y, attacks):
    survived = model(x).argmax(1) == y
    for attack in attacks:
        x = attack(model, x, y)
        survived &= model(x).argmax(1) == y
    return survived.float().mean()


@wrong("robust_accuracy", "under torch.no_grad()")
def without_gradients(model, x, y, attacks):
    with torch.no_grad():
        return right.robust_accuracy(model, x, y, attacks)


@wrong("robust_accuracy", "one number")
def one_for_each(model, x, y, attacks):
    return _rows(model, x, y, attacks).mean(1)
