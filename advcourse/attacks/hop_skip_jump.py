"""The nearest success by labels alone: walk along the boundary, HopSkipJump (lecture 09)."""

import itertools
import math

import torch
import torch.nn.functional as F

from .contract import attack
from .inputs import one_of
from .projection import along, unit
from .square import pictures
from .walk import FINE, ORDERS, Walk

# How coarse the random pictures of the start are: cells along each side (0: one for each pixel).
COARSE = (0, 7, 4)
START_CLOSER, START_TOLERANCE = 0.9, 0.02
TOLERANCE = 1e-3  # of a search for the boundary, as a share of the distance
PROBE = 0.01  # how far the probes of the boundary's direction reach, as a share of the distance
HALVINGS = 8
# Ours: rounds with smooth noise; what an older round's estimate keeps; the first angle of a turn;
# the queries that the last round keeps for it.
SMOOTH, MEMORY, ANGLE, REST = 8, 0.9, 0.5, 12
TOGETHER, GPU_TOGETHER = 512, 16384  # probes in one question to the model


@attack(labels=True)
def hop_skip_jump(
    model,
    x,
    y,
    *,
    norm="l2",
    queries=5000,
    start=None,
    candidates=40,
    directions=50,
    smooth=True,
    refined=True,
    target=None,
    bounds=(0.0, 1.0),
    generator=None,
    on_step=None,
):
    """Find a success near x [N, ...] from the model's labels alone, and walk it nearer: no gradient.

    model: scores or labels, from an Oracle or any callable. Each round searches the boundary between
    x and the success by halves, asks for the labels of random points around it, takes their mean
    as the direction of the boundary's normal, and jumps along it. norm: "l2" or "linf", the distance
    that shrinks. queries: how many each image may cost (an Oracle's budget may allow fewer); on_step
    comes after every one to all images. start: successes [N, ...] to begin from; with a target
    pass some. candidates: random pictures that are tried as starts, where they lie nearer than the
    best so far; directions: probes in the first round, sqrt(t) times as many in round t; smooth:
    whether the noise of the first eight rounds is drawn at half the resolution. refined: three
    changes to the published method. Older estimates of the normal count on, each round at .9; the
    point that is probed moves to where half of its probes succeed, which the last round's share
    tells; and in l2 a search along the circle through x and the success, towards the normal, takes
    the jump's place: on a flat boundary it ends at the plane's nearest point.
    Returns the nearest success of all that were evaluated, and x itself where there is none or where
    it was wrong already. Raises ValueError for bad input.
    Source: Chen, Jordan and Wainwright 2020, "HopSkipJumpAttack: a query-efficient decision-based
    attack"; lecture 09. There candidates=1 (until one succeeds), directions=100, smooth=False,
    refined=False. Smooth noise: Li et al. 2020, "QEBA: query-efficient boundary-based blackbox
    attack"; the circle: Reza et al. 2023, "CGBA: curvature-aware geometric black-box attack".
    """
    one_of("norm", norm, list(ORDERS))
    if start is not None and (not isinstance(start, torch.Tensor) or start.shape != x.shape):
        raise ValueError(f"start: pass one image for each of x, shape {tuple(x.shape)}")
    walk = Walk(model, x, y, target, norm, queries, on_step)
    rows = torch.arange(len(x), device=x.device)
    # A generator for each image: what one draws does not depend on how long the others stay.
    seeds = torch.randint(2**62, (len(x),), generator=generator, device=generator.device)
    own = [torch.Generator(device=generator.device).manual_seed(s) for s in seeds.tolist()]
    wrong = walk.ask(x, rows)
    begin(walk, rows[~wrong], own, start, candidates, bounds)
    rows = (~wrong & walk.size.isfinite()).nonzero()[:, 0]
    fine = FINE if refined else TOLERANCE
    at = walk.search(rows, walk.best[rows], fine, 1 - 2 * START_TOLERANCE)
    memory, shift = torch.zeros_like(x), torch.zeros_like(walk.size)
    angle = torch.full_like(walk.size, ANGLE)
    for step in itertools.count(1):
        stay = walk.left[rows] > 0
        rows, at = rows[stay], at[stay]
        if not len(rows):
            return walk.best
        n = probes(walk, rows, int(directions * math.sqrt(step)), refined)
        coarse = smooth and not (refined and step > SMOOTH)
        slope, lean = normals(walk, rows, at, own, n, coarse, shift[rows], bounds)
        walk.show()
        if refined:
            shift[rows] += lean
            memory[rows] = slope = MEMORY * memory[rows] + slope
        if refined and norm == "l2":
            at, angle[rows] = walk.turn(rows, at, slope, angle[rows], bounds)
        else:
            at = walk.search(rows, jump(walk, rows, at, slope, step, bounds), fine, 0.9)


def probes(walk, rows, n, refined):
    """Return how many probes [R] each image may send: n, fewer where its queries end."""
    left = walk.left[rows]
    if not refined:
        return left.clamp(max=n)
    return torch.where(left < n + REST, (left - REST).clamp(min=1), n)


def begin(walk, rows, own, start, candidates, bounds):
    """Find a first success for each of these images: one of `start`, or the nearest random picture."""
    for i in range(candidates + (start is not None) if len(rows) else 0):
        given = start is not None and i == 0
        far = start[rows].to(walk.x) if given else random_pictures(walk, rows, own, i, bounds)
        known = walk.size[rows] / walk.distance(far, rows).clamp(min=1e-12)
        tried = walk.toward(rows, far, (START_CLOSER * known).clamp(max=1))
        won = walk.ask(tried, rows)
        if bool(won.any()):
            walk.search(rows[won], tried[won], START_TOLERANCE, 0.5)


def random_pictures(walk, rows, own, i, bounds):
    """Return a random picture [R, ...] for each of these images: uniform noise, or coarse blocks."""
    shape, cells = pictures(walk.x[:1]).shape, COARSE[i % len(COARSE)]
    shape = (*shape[:2], *(min(side, cells or side) for side in shape[2:]))
    far = torch.cat([draw(own[j], torch.rand, shape, walk.x) for j in rows.tolist()])
    if cells:
        far = F.interpolate((far > 0.5).to(far), size=pictures(walk.x[:1]).shape[2:])
    low, high = bounds
    return (low + (high - low) * far).clamp(low, high).view(len(rows), *walk.x.shape[1:])


def draw(source, kind, shape, like):
    """Draw numbers from a generator, wherever it lives, and bring them to `like`."""
    return kind(shape, generator=source, device=source.device).to(like)


def normals(walk, rows, at, own, n, coarse, shift, bounds):
    """Return the boundary's estimated normals at the successes `at` [R, ...], and their leans [R].

    n: how many labels each may cost [R]; shift [R]: how far the probes' middle moves towards x, in
    what one probe moves along the normal. A lean is the mean of the answers, 1 and -1.
    """
    reach = PROBE * walk.distance(at, rows)
    if walk.norm == "linf":  # that far in each pixel
        reach = reach * math.sqrt(at[0].numel())
    inward = along(shift * reach / math.sqrt(at[0].numel()), unit(walk.x[rows] - at))
    middle, found = at + inward, []
    together = TOGETHER if at.device.type == "cpu" else GPU_TOGETHER
    for on in torch.arange(len(rows), device=at.device).split(max(1, together // int(n.max()))):
        pairs = zip(rows[on].tolist(), n[on].tolist(), strict=True)
        change = torch.cat([noise(own[i], k, at[:1], coarse) for i, k in pairs])
        who = on.repeat_interleave(n[on])
        points = (middle[who] + along(reach[who], change)).clamp(*bounds)
        side = walk.probe(points, rows[who]).to(at) * 2 - 1
        zero = torch.zeros_like(reach)
        lean = zero.index_add(0, who, side)[on] / n[on]
        # Less their mean the answers vary less; where all agree that would leave nothing.
        side = side - torch.where(lean.abs() < 1, lean, 0 * lean)[who - on[0]]
        moved = along(side / reach[who], points - middle[who])
        found.append((torch.zeros_like(at).index_add(0, who, moved)[on], lean))
    return (torch.cat(part) for part in zip(*found, strict=True))


def noise(source, n, like, coarse):
    """Return n directions [n, ...] of length 1 for an image like [1, ...], coarse ones smooth."""
    shape = pictures(like).shape
    coarse = coarse and min(shape[2:]) >= 8
    small = (n, shape[1], *((side + 1) // 2 if coarse else side for side in shape[2:]))
    change = draw(source, torch.randn, small, like)
    if coarse:
        change = F.interpolate(change, size=shape[2:], mode="bilinear", align_corners=False)
    return unit(change.view(n, *like.shape[1:]))


def jump(walk, rows, at, slope, step, bounds):
    """Return successes [R, ...] along the slope, by a step that is halved until it ends in one."""
    direction = unit(slope) if walk.norm == "l2" else slope.sign()
    size, ends = walk.distance(at, rows) / math.sqrt(step), at.clone()
    on = torch.arange(len(rows), device=at.device)
    for _ in range(HALVINGS):
        on = on[walk.left[rows[on]] > 0]
        if not len(on):
            break
        tried = (at[on] + along(size[on], direction[on])).clamp(*bounds)
        won = walk.ask(tried, rows[on])
        ends[on[won]] = tried[won]
        on, size = on[~won], size / 2
    return ends
