"""The benchmark of the attacks as Markdown: a table per task, then the goals and who met them."""

import math

from advcourse.data import TITLES

HEAD = (
    "entry",
    "version",
    "seconds",
    "median",
    "ms per image",
    "x floor",
    "success",
    "robust accuracy",
    "median {norm}",
    "forwards",
    "backwards",
)
FOOT = """\
Entries take turns, round by round. *seconds*: the best round; *median*: over the rounds; what takes
longer than 20 s is timed once. The *bare loop* is nothing but `autograd.grad` of the summed
cross-entropy with respect to the images, with weights that require a gradient, in the batches that
were fastest in the same run. *x floor*: the best time over the bare loop's, for the passes that the
task names (FGSM 1, PGD 40 per image), elsewhere for as many as the entry made: the larger number of
its forward and its backward passes, so that many backward passes over one forward pass can stay
below 1. *forwards*, *backwards*: passes through the model per image, counted in a run of its own.

*success*: changed predictions among the images that were right before; with a target, predictions
of the target among the others. *robust accuracy*: right after the attack, of all. *median*: over
the images that *success* is about, a failure counting as infinite. All three are computed here from
the returned images, clipped to [0, 1]; an image outside of the box or the ball by more than .0001,
or all black, is a failure. Peers get batches of 250. Every image takes part, also the few that the
model gets wrong."""


def at_most(key, bound):
    """Return a check that the entry's `key` is `bound` or less, in the digits that are printed."""
    return lambda rows, own: (f"{own[key]:.3f}", round(own[key], 3) <= bound)


def at_least(key, bound):
    """Return a check that the entry's `key` is `bound` or more, in the digits that are printed."""
    return lambda rows, own: (f"{own[key]:.3f}", round(own[key], 3) >= bound)


def as_successful_as(label):
    """Return a check that the entry succeeds as often as the one called `label`."""

    def check(rows, own):
        if "best" not in rows[label]:
            return "no such entry in this run", False
        other = rows[label]["success"]
        return f"{own['success']:.3f}, there {other:.3f}", own["success"] >= other

    return check


def as_low_as_peers(key, *labels):
    """Return a check that none of these peers (all of them) has a lower `key` on as many images."""

    def check(rows, own):
        there = {
            label: round(row[key], 3)
            for label, row in rows.items()
            if row.get("version") and row.get("n") == own["n"] and label in (labels or rows)
        }
        if not there:
            return f"{own[key]:.3f}, the peer is not installed", False
        best = min(there, key=there.get)
        return f"{own[key]:.3f}, {best} {there[best]:.3f}", round(own[key], 3) <= there[best]

    return check


def faster(times, label, else_ms):
    """Return a check that the entry is `times` as fast as the peer `label` in the same run.

    else_ms: milliseconds per image that count where the peer is not installed.
    """

    def check(rows, own):
        ms = 1000 * own["best"] / own["n"]
        text = f"{ms:.2f} ms ({1000 / ms:.0f} images/s)"
        if "best" not in rows[label]:
            return f"{text}, the peer is not installed; {else_ms:.2f} ms asked", ms <= else_ms
        there = 1000 * rows[label]["best"] / rows[label]["n"]
        return f"{text}, there {there:.2f} ms: {there / ms:.2f} x", ms * times <= there

    return check


def within_passes(bound):
    """Return a check that the entry makes no more forward or backward passes per image."""

    def check(rows, own):
        passes = max(own["forwards"], own["backwards"])
        return f"{passes:.0f}", passes <= bound

    return check


def within_ms(bound):
    """Return a check that the entry takes at most `bound` milliseconds per image."""

    def check(rows, own):
        ms = 1000 * own["best"] / own["n"]
        return f"{ms:.1f} ms", ms <= bound

    return check


LEAVE, CLIP = "ours, finished images leave", "ours, clip, 6 x 70"
SAME = "ours, steps of .125"
PGD_L2 = ("torchattacks", "foolbox", "ART", "cleverhans", "torchattack")  # not adv-lib's APGD
ADVLIB_DDN = ("adv-lib", "adv-lib, not rounded")
# (task, entry, what is asked for, the check). The absolute bounds are the best peer's on another
# LeNet-5; "any peer's" asks for the same beside the peers of this run.
GOALS = [
    ("fgsm", "ours", "at most 1.05 x the floor", at_most("ratio", 1.05)),
    ("pgd", "ours", "at most 1.05 x the floor", at_most("ratio", 1.05)),
    ("pgd", LEAVE, "at most .5 x the floor of all 40 steps", at_most("ratio", 0.5)),
    ("pgd", LEAVE, "no less success than with all steps", as_successful_as("ours")),
    ("pgd-mlp", "ours", "at most 1.15 x the floor", at_most("ratio", 1.15)),
    ("pgd-l2", "ours", "robust accuracy at most .146", at_most("robust", 0.146)),
    ("pgd-l2", "ours", "robust accuracy at most any PGD's", as_low_as_peers("robust", *PGD_L2)),
    ("pgd-l2", SAME, "the same with the peers' steps", as_low_as_peers("robust", *PGD_L2)),
    *(
        ("deepfool", label, text, check)
        for label in ("ours", "ours, 4 candidates", "ours, 8 halvings")
        for text, check in (
            ("2 x as fast as adv-lib", faster(2, "adv-lib", 1000 / 690)),
            ("median l2 at most 1.771", at_most("norm", 1.771)),
            ("median l2 at most any peer's", as_low_as_peers("norm")),
            ("success 1", at_least("success", 1)),
        )
    ),
    ("cw", CLIP, "2 x as fast as adv-lib", faster(2, "adv-lib", 3400 / 128)),
    ("cw", CLIP, "at most 900 passes", within_passes(900)),
    ("cw", CLIP, "median l2 at most 1.473", at_most("norm", 1.473)),
    ("cw", CLIP, "median l2 at most any peer's", as_low_as_peers("norm")),
    ("cw", CLIP, "success 1", at_least("success", 1)),
    ("cw-targeted", CLIP, "at most 900 passes", within_passes(900)),
    ("cw-targeted", CLIP, "median l2 at most 2.341", at_most("norm", 2.341)),
    ("cw-targeted", CLIP, "median l2 at most any peer's", as_low_as_peers("norm")),
    ("cw-targeted", CLIP, "success 1", at_least("success", 1)),
    ("ddn", "ours", "as fast as adv-lib's", faster(1, "adv-lib", 860 / 128)),
    ("ddn", "ours", "median l2 at most adv-lib's", as_low_as_peers("norm", *ADVLIB_DDN)),
    ("jsma", "ours", "at most 20 ms per image", within_ms(20)),
    ("jsma", "ours", "success at least .82", at_least("success", 0.82)),
]


def report(tasks, tables, about):
    """Return the whole text: {name: Task}, {name: {label: row}} of those that ran, the settings."""
    lines = [
        "# Attacks beside their peers",
        "",
        f"{TITLES[about['images']]}, test images shuffled with seed 0; LeNet-5 where nothing else is "
        f"said. PyTorch {about['torch']} on the CPU, Python {about['python']}, threads: "
        f"{about['threads']}, rounds: {about['rounds']} (more where a call is short). Made by "
        "`python -m benchmarks attacks`.",
    ]
    if about["quick"]:
        lines += ["", "**A trial with an eighth of the images and one round, not a measurement.**"]
    for name, task in tasks.items():
        lines += ["", f"## {task.title}", ""]
        lines += table(task, tables[name]) if name in tables else ["Not run."]
    lines += ["", "## How to read the tables", "", FOOT, "", "## Goals", "", *goals(tasks, tables)]
    if about["images"] != "mnist":
        lines += ["", "The goals were set on MNIST; on these images they say little."]
    return "\n".join(lines) + "\n"


def row_of(cells):
    """Return one line of a Markdown table; a bar in a cell would end it."""
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def table(task, rows):
    """Return the lines of one task's table, with how many images it is about."""
    n = max(row.get("n", 0) for row in rows.values())
    lines = [f"{n} images.", "", row_of(HEAD).format(norm=task.norm)]
    lines.append(row_of(["---", "---"] + ["---:"] * (len(HEAD) - 2)))
    for label, row in rows.items():
        if "absent" in row:
            lines.append(row_of([label, row["absent"], *[""] * (len(HEAD) - 2)]))
            continue
        name = label if row["n"] == n else f"{label} ({row['n']} images)"
        times = [row["best"], row["median"], 1000 * row["best"] / row["n"]]
        shares = [row.get(key) for key in ("ratio", "success", "robust", "norm")]
        digits = [2, 3, 3, 0 if task.norm == "l0" else 3]
        cells = [name, row.get("version", ""), *[f"{seconds:.3g}" for seconds in times]]
        cells += [number(v, places) for v, places in zip(shares, digits, strict=True)]
        cells += [number(row[key], 0 if row[key] >= 100 else 1) for key in HEAD[-2:]]
        lines.append(row_of(cells))
    return lines


def number(value, places):
    """Return a number for a cell: nothing where there is none, a dash for infinity."""
    if value is None:
        return ""
    return "∞" if math.isinf(value) else f"{value:.{places}f}"


def goals(tasks, tables):
    """Return the lines of the goals' table."""
    lines = [row_of(["task", "entry", "goal", "measured", ""]), row_of(["---"] * 5)]
    for name, label, text, check in GOALS:
        rows = tables.get(name)
        own = rows[label] if rows else {"absent": "not run"}
        if "absent" in own:
            measured, verdict = own["absent"], ""
        else:
            measured, met = check(rows, own)
            verdict = "met" if met else "missed"
        lines.append(row_of([name, label, text, measured, verdict]))
    return lines
