import torch

from tests.right_answers import lab06 as right

from . import wrong


@wrong("hyperplane_distance", "no sign")
def signed_distance(w, b, x):
    return (x @ w + b) / w.norm()


@wrong("hyperplane_distance", "divide by the length of w")
def score(w, b, x):
    return (x @ w + b).abs()


@wrong("hyperplane_distance", "squared length")
def distance_over_square(w, b, x):
    return (x @ w + b).abs() / w.square().sum()


@wrong("hyperplane_distance", "wrong norm")
def distance_over_l1(w, b, x):
    return (x @ w + b).abs() / w.abs().sum()


@wrong("hyperplane_distance", "b is missing")
def distance_without_b(w, b, x):
    return (x @ w).abs() / w.norm()


@wrong("hyperplane_foot", "moves away from the plane")
def wrong_way(w, b, x):
    return 2 * x - right.hyperplane_foot(w, b, x)


@wrong("hyperplane_foot", "keep the sign of f")
def one_sided(w, b, x):
    return x - (x @ w + b).abs()[:, None] * w / w.square().sum()


@wrong("hyperplane_foot", "mirror image")
def mirror(w, b, x):
    return 2 * right.hyperplane_foot(w, b, x) - x


@wrong("hyperplane_foot", "w must have length 1")
def foot_over_length(w, b, x):
    return x - (x @ w + b)[:, None] * w / w.norm()


@wrong("hyperplane_foot", "away from the plane; check")
def half_way(w, b, x):
    return (x + right.hyperplane_foot(w, b, x)) / 2


@wrong("hyperplane_foot", "step alone")
def foot_without_x(w, b, x):
    return right.hyperplane_foot(w, b, x) - x


def _by_class(model, x, score=lambda z: z, reduce=torch.sum):
    x = x.clone().requires_grad_()
    z = score(model(x))
    slopes = [torch.autograd.grad(reduce(c), x, retain_graph=True)[0] for c in z.T]
    return torch.stack(slopes, 1)


@wrong("jacobian", "classes first")
def classes_first(model, x):
    return right.jacobian(model, x).transpose(0, 1)


@wrong("jacobian", "adds up from class to class")
def slopes_add_up(model, x):
    x = x.clone().requires_grad_()
    slopes = []
    for column in model(x).T:
        (g,) = torch.autograd.grad(column.sum(), x, retain_graph=True)
        x.grad = g if x.grad is None else x.grad + g
        slopes.append(x.grad.clone())
    return torch.stack(slopes, 1)


@wrong("jacobian", "slopes of the softmax")
def slopes_of_probabilities(model, x):
    return _by_class(model, x, lambda z: z.softmax(1))


@wrong("jacobian", "averages over the batch")
def slopes_of_the_mean(model, x):
    return _by_class(model, x, reduce=torch.mean)


@wrong("jacobian", "gradients in the model's weights")
def slopes_by_backward(model, x):
    slopes = []
    for k in range(model(x).shape[1]):
        leaf = x.clone().requires_grad_()
        model(leaf)[:, k].sum().backward()
        slopes.append(leaf.grad)
    return torch.stack(slopes, 1)


@wrong("jacobian", "it sums over the classes")
def slopes_of_everything(model, x):
    return _by_class(model, x, lambda z: z.sum(1, keepdim=True).expand_as(z))


def _leads(z, slopes, y):
    rows = torch.arange(len(z))
    steep = (slopes[rows, y][:, None] - slopes).flatten(2).norm(dim=2).clamp(min=1e-12)
    return z[rows, y][:, None] - z, steep


def _least(table, y):
    distances, nearest = table.scatter(1, y[:, None], torch.inf).min(1)
    return nearest, distances


@wrong("nearest_boundary", "the class y itself")
def its_own_neighbor(z, slopes, y):
    lead, steep = _leads(z, slopes, y)
    distances, nearest = (lead / steep).min(1)
    return nearest, distances


@wrong("nearest_boundary", "second in score")
def second_in_score(z, slopes, y):
    return _least(_leads(z, slopes, y)[0], y)


@wrong("nearest_boundary", "the slope of k alone")
def slope_of_one_class(z, slopes, y):
    return _least(_leads(z, slopes, y)[0] / slopes.flatten(2).norm(dim=2), y)


@wrong("nearest_boundary", "those are the farthest")
def negative_lead(z, slopes, y):
    lead, steep = _leads(z, slopes, y)
    return _least(-lead / steep, y)


@wrong("nearest_boundary", "numbered among the other classes")
def shifted_classes(z, slopes, y):
    nearest, distances = right.nearest_boundary(z, slopes, y)
    return nearest - (nearest > y).long(), distances


@wrong("nearest_boundary", "those are leads")
def leads_for_distances(z, slopes, y):
    nearest, _ = right.nearest_boundary(z, slopes, y)
    return nearest, _leads(z, slopes, y)[0][torch.arange(len(z)), nearest]


@wrong("nearest_boundary", "return two tensors")
def classes_only(z, slopes, y):
    return right.nearest_boundary(z, slopes, y)[0]


@wrong("nearest_boundary", "the second the distances")
def the_other_way_around(z, slopes, y):
    return right.nearest_boundary(z, slopes, y)[::-1]


def _deepfool(
    model, x, y, steps, overshoot, at_foot=True, hold=True, box=True, nearest=None, way=1
):
    rows, foot, x_adv = torch.arange(len(x)), x, x
    for _ in range(steps):
        base = foot if at_foot else x_adv
        going = (model(x_adv).argmax(1) == y).view(-1, 1, 1, 1)
        z, slopes = model(base).detach(), right.jacobian(model, base)
        k, _ = (nearest or right.nearest_boundary)(z, slopes, y)
        slope = slopes[rows, k] - slopes[rows, y]
        lead = (z[rows, y] - z[rows, k]) / slope.flatten(1).square().sum(1)
        foot = foot + way * lead.view(-1, 1, 1, 1) * slope
        foot = foot.clamp(0, 1) if box else foot
        moved = x + (1 + overshoot) * (foot - x)
        moved = moved.clamp(0, 1) if box else moved
        x_adv = torch.where(going, moved, x_adv) if hold else moved
    return x_adv


@wrong("deepfool", "the overshoot is missing")
def no_overshoot(model, x, y, steps, overshoot):
    return _deepfool(model, x, y, steps, 0.0)


@wrong("deepfool", "second in score")
def goes_to_the_second_in_score(model, x, y, steps, overshoot):
    return _deepfool(model, x, y, steps, overshoot, nearest=second_in_score)


@wrong("deepfool", "the lines are drawn at x_adv")
def lines_beyond_the_overshoot(model, x, y, steps, overshoot):
    return _deepfool(model, x, y, steps, overshoot, at_foot=False)


@wrong("deepfool", "each step is lengthened")
def lengthens_each_step(model, x, y, steps, overshoot):
    z, scores = x, lambda z: model(z).detach()
    for _ in range(steps):
        k, distances = right.nearest_boundary(scores(z), right.jacobian(model, z), y)
        rows, slopes = torch.arange(len(x)), right.jacobian(model, z)
        way = slopes[rows, k] - slopes[rows, y]
        way = way / way.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        moved = (z + (1 + overshoot) * distances.view(-1, 1, 1, 1) * way).clamp(0, 1)
        z = torch.where((scores(z).argmax(1) == y).view(-1, 1, 1, 1), moved, z)
    return z


@wrong("deepfool", "lengthens the last step only")
def lengthens_the_last_step(model, x, y, steps, overshoot):
    foot = x
    for _ in range(steps):
        ahead = _deepfool(model, foot, y, 1, 0.0)
        x_adv = (foot + (1 + overshoot) * (ahead - foot)).clamp(0, 1)
        going = (model(x_adv).argmax(1) == y).view(-1, 1, 1, 1)
        if not going.any():
            break
        foot = torch.where(going, ahead, foot)
    return x_adv


@wrong("deepfool", "go on moving")
def never_finished(model, x, y, steps, overshoot):
    return _deepfool(model, x, y, steps, overshoot, hold=False)


@wrong("deepfool", "leave [0, 1]")
def deepfool_without_box(model, x, y, steps, overshoot):
    return _deepfool(model, x, y, steps, overshoot, box=False)


@wrong("deepfool", "it moves once")
def one_line_only(model, x, y, steps, overshoot):
    return _deepfool(model, x, y, 1, overshoot)


@wrong("deepfool", "away from the boundary")
def away_from_the_boundary(model, x, y, steps, overshoot):
    return _deepfool(model, x, y, steps, overshoot, way=-1)


def _lengths(x, x_adv):
    return (x_adv - x).flatten(1).norm(dim=1), x.flatten(1).norm(dim=1)


@wrong("robustness", "length of the image is missing")
def mean_length(x, x_adv):
    return _lengths(x, x_adv)[0].mean()


@wrong("robustness", "a ratio of means")
def ratio_of_means(x, x_adv):
    change, size = _lengths(x, x_adv)
    return change.mean() / size.mean()


@wrong("robustness", "whole batch")
def rho_of_the_batch(x, x_adv):
    return (x_adv - x).norm() / x.norm()


@wrong("robustness", "upside down")
def upside_down(x, x_adv):
    change, size = _lengths(x, x_adv)
    return (size / change).mean()


@wrong("robustness", "one number")
def rho_of_each(x, x_adv):
    change, size = _lengths(x, x_adv)
    return change / size
