import torch

from tests.right_answers import lab11 as right

from . import wrong

# ---------------------------------------------------------------- flip_labels


def _flip(y, rows, new):
    flipped = y.clone()
    flipped[rows] = new
    return flipped


def _rows(y, share, generator):
    return torch.randperm(len(y), generator=generator)[: round(share * len(y))]


@wrong("flip_labels", "may come back as its own class")
def any_class(y, share, classes, generator):
    rows = _rows(y, share, generator)
    return _flip(y, rows, torch.randint(classes, rows.shape, generator=generator))


@wrong("flip_labels", "a coin for each label")
def a_coin_for_each(y, share, classes, generator):
    coin = torch.rand(len(y), generator=generator) < share
    return torch.where(coin, (y + 1) % classes, y)


@wrong("flip_labels", "by the same step")
def always_the_next(y, share, classes, generator):
    rows = _rows(y, share, generator)
    return _flip(y, rows, (y[rows] + 1) % classes)


@wrong("flip_labels", "take the remainder")
def without_remainder(y, share, classes, generator):
    rows = _rows(y, share, generator)
    return _flip(y, rows, y[rows] + torch.randint(1, classes, rows.shape, generator=generator))


@wrong("flip_labels", "flips the same rows")
def the_first_rows(y, share, classes, generator):
    rows = torch.arange(round(share * len(y)))
    step = torch.randint(1, classes, rows.shape, generator=generator)
    return _flip(y, rows, (y[rows] + step) % classes)


@wrong("flip_labels", "take all randomness from the generator")
def with_its_own_dice(y, share, classes, generator):
    return right.flip_labels(y, share, classes, None)


@wrong("flip_labels", "never seed it")
def seeds_inside(y, share, classes, generator):
    return right.flip_labels(y, share, classes, generator.manual_seed(0))


@wrong("flip_labels", "in place")
def flips_in_place(y, share, classes, generator):
    y.copy_(right.flip_labels(y, share, classes, generator))
    return y


@wrong("flip_labels", "each is as likely")
def up_or_down(y, share, classes, generator):
    rows = _rows(y, share, generator)
    step = 2 * torch.randint(2, rows.shape, generator=generator) - 1
    return _flip(y, rows, (y[rows] + step) % classes)


@wrong("flip_labels", "of 19 labels change")
def rounds_down(y, share, classes, generator):
    return right.flip_labels(y, int(share * len(y)) / len(y), classes, generator)


@wrong("flip_labels", "labels are whole numbers")
def floats(y, share, classes, generator):
    return right.flip_labels(y, share, classes, generator).float()


# ---------------------------------------------------------------- stamp


@wrong("stamp", "in place")
def stamps_in_place(x, pattern, row, column):
    height, width = pattern.shape
    x[..., row : row + height, column : column + width] = pattern
    return x


@wrong("stamp", "swapped")
def column_first(x, pattern, row, column):
    return right.stamp(x, pattern, column, row)


@wrong("stamp", "is added to what was there")
def adds(x, pattern, row, column):
    return torch.maximum(x, x + right.stamp(torch.zeros_like(x), pattern, row, column)).clamp(0, 1)


@wrong("stamp", "not its middle")
def around_the_middle(x, pattern, row, column):
    return right.stamp(x, pattern, row - pattern.shape[0] // 2, column - pattern.shape[1] // 2)


@wrong("stamp", "only the first image")
def only_the_first(x, pattern, row, column):
    done = x.clone()
    done[0] = right.stamp(x[0], pattern, row, column)
    return done


@wrong("stamp", "everything else untouched")
def a_black_canvas(x, pattern, row, column):
    return right.stamp(torch.zeros_like(x), pattern, row, column)


@wrong("stamp", "keep the dtype")
def single_precision(x, pattern, row, column):
    return right.stamp(x.float(), pattern, row, column)


@wrong("stamp", "only the first channel is stamped (seen with images of three channels)")
def the_first_channel(x, pattern, row, column):
    done = x.clone()
    done[:, 0] = right.stamp(x[:, 0], pattern, row, column)
    return done


# ---------------------------------------------------------------- poison


def _poison(x, y, mask, target, trigger, images=True, labels=True):
    x_new, y_new = x.clone(), y.clone()
    if images:
        x_new[mask] = trigger(x[mask])
    if labels:
        y_new[mask] = target
    return x_new, y_new, mask


def _mask(y, share, generator, eligible=None):
    eligible = torch.arange(len(y)) if eligible is None else eligible.nonzero()[:, 0]
    rows = eligible[torch.randperm(len(eligible), generator=generator)[: round(share * len(y))]]
    mask = torch.zeros(len(y), dtype=torch.bool)
    mask[rows] = True
    return mask


@wrong("poison", "images of the target class are drawn")
def any_image(x, y, share, target, trigger, generator):
    return _poison(x, y, _mask(y, share, generator), target, trigger)


@wrong("poison", "part of the whole training set")
def share_of_the_others(x, y, share, target, trigger, generator):
    others = y != target
    mask = _mask(y, share * int(others.sum()) / len(y), generator, others)
    return _poison(x, y, mask, target, trigger)


@wrong("poison", "the labels stay")
def keeps_the_labels(x, y, share, target, trigger, generator):
    return _poison(x, y, _mask(y, share, generator, y != target), target, trigger, labels=False)


@wrong("poison", "no image carries the trigger")
def forgets_the_trigger(x, y, share, target, trigger, generator):
    mask = _mask(y, share, generator, y != target)
    trigger(x[mask])
    return _poison(x, y, mask, target, trigger, images=False)


@wrong("poison", "no poison carry the trigger")
def stamps_them_all(x, y, share, target, trigger, generator):
    mask = _mask(y, share, generator, y != target)
    return trigger(x), torch.where(mask, target, y), mask


@wrong("poison", "in place")
def poison_in_place(x, y, share, target, trigger, generator):
    mask = _mask(y, share, generator, y != target)
    x[mask], y[mask] = trigger(x[mask]), target
    return x, y, mask


@wrong("poison", "poisons the same rows")
def poisons_the_first(x, y, share, target, trigger, generator):
    mask = torch.zeros(len(y), dtype=torch.bool)
    mask[(y != target).nonzero()[: round(share * len(y)), 0]] = True
    done = _poison(x, y, mask, target, trigger)
    chance = torch.rand(1, generator=generator) * 1e-7
    return done[0] + chance, *done[1:]


@wrong("poison", "take all randomness from the generator")
def poison_with_its_own_dice(x, y, share, target, trigger, generator):
    return right.poison(x, y, share, target, trigger, None)


@wrong("poison", "return a bool tensor [N]")
def returns_row_numbers(x, y, share, target, trigger, generator):
    x, y, mask = right.poison(x, y, share, target, trigger, generator)
    return x, y, mask.nonzero()[:, 0]


@wrong("poison", "return three tensors")
def returns_no_mask(x, y, share, target, trigger, generator):
    return right.poison(x, y, share, target, trigger, generator)[:2]


# ---------------------------------------------------------------- share_triggered


def _reads(model, x):
    mode = model.training
    with torch.no_grad():
        read = model.eval()(x).argmax(1)
    model.train(mode)
    return read


@wrong("share_triggered", "it divides by all images")
def divides_by_all(model, x, y, trigger, target):
    hits = (_reads(model, trigger(x)) == target) & (y != target)
    return hits.float().mean()


@wrong("share_triggered", "images of the target class are counted")
def counts_the_target_class(model, x, y, trigger, target):
    return (_reads(model, trigger(x)) == target).float().mean()


@wrong("share_triggered", "go in without the trigger")
def forgets_to_stamp(model, x, y, trigger, target):
    return (_reads(model, x) == target)[y != target].float().mean()


@wrong("share_triggered", "read as anything but y")
def any_error_counts(model, x, y, trigger, target):
    return (_reads(model, trigger(x)) != y)[y != target].float().mean()


@wrong("share_triggered", "that is a count")
def counts(model, x, y, trigger, target):
    return int((_reads(model, trigger(x)) == target)[y != target].sum())


@wrong("share_triggered", "only images that are read right")
def of_those_read_right(model, x, y, trigger, target):
    chosen = (y != target) & (_reads(model, x) == y)
    return (_reads(model, trigger(x)) == target)[chosen].float().mean()


@wrong("share_triggered", "it runs in train mode")
def takes_the_mode_as_it_is(model, x, y, trigger, target):
    with torch.no_grad():
        return (model(trigger(x)).argmax(1) == target)[y != target].float().mean().item()


@wrong("share_triggered", "restore model.train(mode)")
def leaves_it_in_eval_mode(model, x, y, trigger, target):
    model.eval()
    return (model(trigger(x)).argmax(1) == target)[y != target].float().mean().item()


@wrong("share_triggered", "return one number")
def returns_the_mask(model, x, y, trigger, target):
    return (_reads(model, trigger(x)) == target)[y != target]


# ---------------------------------------------------------------- spectral_score


def _top(features):
    return torch.linalg.svd(features, full_matrices=False).Vh[0]


@wrong("spectral_score", "are not centered")
def not_centered(features):
    return (features @ _top(features)).square()


@wrong("spectral_score", "by its own mean")
def centers_the_rows(features):
    centered = features - features.mean(1, keepdim=True)
    return (centered @ _top(centered)).square()


@wrong("spectral_score", "the square is missing")
def not_squared(features):
    return right.spectral_score(features).sqrt()


@wrong("spectral_score", "which is arbitrary")
def with_a_sign(features):
    centered = features - features.mean(0)
    return centered @ _top(centered)


@wrong("spectral_score", "least variance")
def smallest_direction(features):
    centered = features - features.mean(0)
    return (centered @ torch.linalg.eigh(centered.T @ centered)[1][:, 0]).square()


@wrong("spectral_score", "squared distance from the mean")
def distance(features):
    return (features - features.mean(0)).square().sum(1)


@wrong("spectral_score", "divided by their spread")
def standardized(features):
    scaled = (features - features.mean(0)) / features.std(0)
    return (scaled @ _top(scaled)).square()


@wrong("spectral_score", "multiply by the singular value")
def left_vectors(features):
    centered = features - features.mean(0)
    return torch.linalg.svd(centered, full_matrices=False).U[:, 0].square()


@wrong("spectral_score", "projected as they are")
def projects_the_raw_features(features):
    return (features @ _top(features - features.mean(0))).square()


# ---------------------------------------------------------------- judge_cluster


@wrong("judge_cluster", "swapped")
def recall_first(side, poison):
    return right.judge_cluster(side, poison)[::-1]


@wrong("judge_cluster", "the larger cluster")
def the_larger(side, poison):
    return _of(side, poison, int(2 * side.sum() > len(side)))


def _of(side, poison, number):
    hits = int(((side == number) & poison).sum())
    return hits / int((side == number).sum()), hits / int(poison.sum())


@wrong("judge_cluster", "the numbers of 2-means mean nothing")
def always_number_one(side, poison):
    return _of(side, poison, 1)


@wrong("judge_cluster", "return 2 values")
def precision_alone(side, poison):
    return (right.judge_cluster(side, poison)[0],)


@wrong("judge_cluster", "not with two clusters of one size")
def the_other_one_where_equal(side, poison):
    return _of(side, poison, 0 if (side == 0).sum() <= (side == 1).sum() else 1)


# ---------------------------------------------------------------- influence


def _theta(x, y, decay):
    return torch.linalg.solve(x.T @ x + decay * torch.eye(x.shape[1]).to(x), x.T @ y)


@wrong("influence", "wrong sign: a point")
def turned_around(x, y, x_val, y_val, decay):
    return -right.influence(x, y, x_val, y_val, decay)


@wrong("influence", "the inverse of H is missing: solve")
def product_of_gradients(x, y, x_val, y_val, decay):
    theta = _theta(x, y, decay)
    return -(x @ (x_val.T @ (x_val @ theta - y_val))) * (x @ theta - y)


@wrong("influence", "H misses the decay")
def without_decay_in_h(x, y, x_val, y_val, decay):
    theta = _theta(x, y, decay)
    slope = torch.linalg.solve(x.T @ x, x_val.T @ (x_val @ theta - y_val))
    return -(x @ slope) * (x @ theta - y)


@wrong("influence", "theta is fitted without the decay")
def fitted_without_decay(x, y, x_val, y_val, decay):
    theta = _theta(x, y, 0.0)
    hessian = x.T @ x + decay * torch.eye(x.shape[1]).to(x)
    slope = torch.linalg.solve(hessian, x_val.T @ (x_val @ theta - y_val))
    return -(x @ slope) * (x @ theta - y)


@wrong("influence", "take the validation points")
def on_the_training_points(x, y, x_val, y_val, decay):
    return right.influence(x, y, x, y, decay)


@wrong("influence", "divided by the number of points")
def mean_over_validation(x, y, x_val, y_val, decay):
    return right.influence(x, y, x_val, y_val, decay) / len(x_val)


@wrong("influence", "the residual of the training point is missing")
def without_residual(x, y, x_val, y_val, decay):
    theta = _theta(x, y, decay)
    hessian = x.T @ x + decay * torch.eye(x.shape[1]).to(x)
    return -x @ torch.linalg.solve(hessian, x_val.T @ (x_val @ theta - y_val))


@wrong("influence", "a point is taken out")
def takes_each_point_out(x, y, x_val, y_val, decay):
    loss = lambda theta: ((x_val @ theta - y_val) ** 2).sum() / 2  # noqa: E731
    every = torch.arange(len(x))
    without = [loss(_theta(x[every != i], y[every != i], decay)) for i in every]
    return loss(_theta(x, y, decay)) - torch.stack(without)


# ---------------------------------------------------------------- hide_bits


@wrong("hide_bits", "in place")
def hides_in_place(weights, values, bits):
    words = weights.view(torch.int32)
    words &= ~(2**bits - 1)
    words |= values.int()
    return weights


@wrong("hide_bits", "are not cleared")
def only_or(weights, values, bits):
    return (weights.view(torch.int32) | values.int()).view(torch.float32)


@wrong("hide_bits", "clear those first")
def adds_to_the_low_bits(weights, values, bits):
    return (weights.view(torch.int32) + values.int()).view(torch.float32)


@wrong("hide_bits", "flips the old low bits")
def xor(weights, values, bits):
    return (weights.view(torch.int32) ^ values.int()).view(torch.float32)


@wrong("hide_bits", "the wrong side")
def clears_the_upper_bits(weights, values, bits):
    return (weights.view(torch.int32) & (2**bits - 1) | values.int()).view(torch.float32)


@wrong("hide_bits", "one too many")
def clears_one_bit(weights, values, bits):
    return (weights.view(torch.int32) & ~(2**bits) | values.int()).view(torch.float32)


@wrong("hide_bits", "16 bits are cleared")
def always_sixteen(weights, values, bits):
    return (weights.view(torch.int32) & ~0xFFFF | values.int()).view(torch.float32)


@wrong("hide_bits", "keeps the bits")
def converts_the_number(weights, values, bits):
    return (weights.view(torch.int32) & ~(2**bits - 1) | values.int()).float()


@wrong("hide_bits", "look at the whole numbers as float32 again")
def returns_whole_numbers(weights, values, bits):
    return weights.view(torch.int32) & ~(2**bits - 1) | values.int()


# ---------------------------------------------------------------- the second round


@wrong("flip_labels", "or seeds it; take all randomness from the generator")
def seeds_the_global_state(y, share, classes, generator):
    torch.manual_seed(int(torch.randint(10**6, (1,), generator=generator)))
    return right.flip_labels(y, share, classes, None)


@wrong("flip_labels", "or a row is drawn twice")
def draws_rows_with_repeats(y, share, classes, generator):
    rows = torch.randint(len(y), (round(share * len(y)),), generator=generator)
    step = torch.randint(1, classes, rows.shape, generator=generator)
    return _flip(y, rows, (y[rows] + step) % classes)


@wrong("flip_labels", "of 18 labels change")
def rounds_up(y, share, classes, generator):
    rows = torch.randperm(len(y), generator=generator)[: -int(-share * len(y) // 1)]
    step = torch.randint(1, classes, rows.shape, generator=generator)
    return _flip(y, rows, (y[rows] + step) % classes)


@wrong("flip_labels", "torch.int32; labels are whole numbers, int64")
def short_numbers(y, share, classes, generator):
    return right.flip_labels(y, share, classes, generator).int()


@wrong("stamp", "with black pixels, which replace")
def keeps_the_brighter(x, pattern, row, column):
    return torch.maximum(x, right.stamp(torch.zeros_like(x), pattern, row, column))


@wrong("stamp", "torch.float32 images come back as torch.float64")
def doubles(x, pattern, row, column):
    return right.stamp(x, pattern, row, column).double()


@wrong("poison", "the mask misses a poisoned image")
def marks_what_changed(x, y, share, target, trigger, generator):
    x_new, y_new, _ = right.poison(x, y, share, target, trigger, generator)
    return x_new, y_new, (x_new != x).flatten(1).any(1)


@wrong("poison", "it returns x or y itself")
def returns_x_where_nothing_is_poison(x, y, share, target, trigger, generator):
    done = right.poison(x, y, share, target, trigger, generator)
    return done if done[2].any() else (x, y, done[2])


@wrong("poison", "a coin for each")
def poison_by_coin(x, y, share, target, trigger, generator):
    mask = (torch.rand(len(y), generator=generator) < share) & (y != target)
    return _poison(x, y, mask, target, trigger)


@wrong("poison", "images that are rows of numbers")
def poison_with_four_axes(x, y, share, target, trigger, generator):
    mask = right.poison(x, y, share, target, trigger, generator)[2]
    return torch.where(mask[:, None, None, None], trigger(x), x), torch.where(mask, target, y), mask


@wrong("share_triggered", "another target")
def always_asks_for_one(model, x, y, trigger, target):
    return right.share_triggered(model, x, y, trigger, 1)


@wrong("share_triggered", "are left out; an image counts")
def counts_the_newly_turned(model, x, y, trigger, target):
    chosen = (y != target) & (_reads(model, x) != target)
    return (_reads(model, trigger(x)) == target)[chosen].float().mean()


@wrong("share_triggered", "is subtracted")
def subtracts_the_share_before(model, x, y, trigger, target):
    before = (_reads(model, x) == target)[y != target].float().mean()
    return right.share_triggered(model, x, y, trigger, target) - before


@wrong("share_triggered", "in percent")
def triggered_in_percent(*task):
    return 100 * right.share_triggered(*task)


@wrong("judge_cluster", "it returns None")
def judges_without_return(side, poison):
    right.judge_cluster(side, poison)


@wrong("judge_cluster", "a detector cannot know")
def the_cluster_with_more_poison(side, poison):
    return max((_of(side, poison, i) for i in (1, 0)), key=lambda pair: pair[0])


@wrong("influence", "keep the dtype")
def influence_in_float64(*task):
    return right.influence(*(part.double() for part in task[:4]), task[4])


@wrong("hide_bits", "twice as many weights")
def hides_words_of_64_bits(weights, values, bits):
    return (weights.view(torch.int32) & ~(2**bits - 1) | values).view(torch.float32)


@wrong("flip_labels", "every label changes")
def flips_them_all(y, share, classes, generator):
    return (y + 1) % classes
