"""Every published figure that lecture 18 reproduces, as one table: `literature.FIGURES`."""

from dataclasses import dataclass

REPORT = "blue team's report (NYU)"
POSTER = "poster (UCLA, IBM Research)"
SLIDES = "slides (University of Idaho)"
NOTES = "notes on noise in training"
SEMINAR = "seminar report (AKGEC)"
WHOLE = "whole test set"


@dataclass(frozen=True)
class Figure:
    """One published figure: where it stands, what it is of, and what was printed.

    published: a number, or a few words where the source prints a curve or a word; unit: "share",
    "confidence", "norm", "ratio", ...; cell: of lecture 18, in which it is measured; job: the name
    of the function in `literature.JOBS` that measures it.
    """

    key: str
    source: str
    setting: str
    what: str
    published: float | str
    unit: str
    cell: str
    job: str


# Table 2 of the blue team's report: (lambda 1, lambda 2): accuracy and confidence on the test set,
# at epsilon .10, and at .25. The row (0, 0) is its table 1.
TABLE_1 = {(0.0, 0.0): (0.975, 0.981, 0.3375, 0.768, 0.0048, 0.767)}
TABLE_2 = {
    (0.0, 1e-4): (0.9805, 0.9831, 0.443, 0.7584, 0.0091, 0.6789),
    (0.0, 1e-5): (0.9828, 0.9877, 0.4534, 0.7572, 0.0145, 0.6592),
    (1e-4, 0.0): (0.9689, 0.9600, 0.6099, 0.7963, 0.0534, 0.7425),
    (1e-4, 1e-4): (0.9695, 0.9611, 0.6229, 0.7987, 0.0499, 0.7269),
    (1e-4, 1e-5): (0.9667, 0.9609, 0.57, 0.7942, 0.0552, 0.7469),
    (1e-5, 0.0): (0.9727, 0.9836, 0.5609, 0.8146, 0.0438, 0.7183),
    (1e-5, 1e-4): (0.9727, 0.9728, 0.4852, 0.7799, 0.0196, 0.7364),
    (1e-5, 1e-5): (0.9816, 0.9820, 0.5562, 0.7947, 0.0262, 0.6915),
}
# Table 3: at epsilon .05 and at .075, accuracy and confidence.
TABLE_3 = {
    (1e-4, 1e-4): (0.8062, 0.8579, 0.6711, 0.8052),
    (0.0, 0.0): (0.785, 0.8842, 0.5723, 0.8054),
}
LAMBDAS = tuple(TABLE_1 | TABLE_2)
MLP = "784-128-10, ReLU, dropout, RMSProp .9, batches of 128"
KINDS = (("acc", "accuracy", "share"), ("conf", "mean confidence", "confidence"))


def report_key(lambdas, eps, kind):
    """Return the key of a figure of the blue team's report: its penalty, epsilon, acc or conf."""
    return f"report-{lambdas[0]:g}-{lambdas[1]:g}-{eps:g}-{kind}"


def _report(table, name, epsilons, cell):
    for lambdas, values in table.items():
        pairs = [(eps, kind) for eps in epsilons for kind in KINDS]
        for (eps, (kind, words, unit)), value in zip(pairs, values, strict=True):
            penalty = f"lambda1 {lambdas[0]:g}, lambda2 {lambdas[1]:g}"
            what = f"{words}, FGSM at epsilon {eps:g}" if eps else f"{words}, test set"
            key, setting = report_key(lambdas, eps, kind), f"{MLP}; {penalty}"
            yield Figure(key, f"{REPORT}, {name}", setting, what, value, unit, cell, "report")


def _rows(source, cell, job, *rows):
    """Return a figure for each (key, setting, what, published, unit)."""
    return [Figure(key, source, *rest, cell, job) for key, *rest in rows]


def _lenet():
    shares = {
        "clean": ("no attack", 0.986, 1.0),
        "noise": ("Gaussian noise", 0.984, 1.0),
        "negative": ("the negative", 0.233, 0.645),
        "fgsm": ("FGSM", 0.509, 0.993),
        "pgd": ("PGD", 0.187, 0.982),
        "deepfool": ("DeepFool", 0.012, 1.0),
    }
    for name, (words, *published) in shares.items():
        setting = f"LeNet; {words}" + ("" if name in ("clean", "negative") else ", no strength")
        for k, value in zip((1, 5), published, strict=True):
            row = f"lenet-{name}-acc{k}", setting, f"accuracy among the first {k}", value, "share"
            yield _rows(f"{SLIDES}, LeNet table", "l18-lenet", f"lenet_{name}", row)[0]


SHALLOW, SHALLOW20 = "784-32-10, ReLU (ours; the poster says shallow)", "784-20-10, 10 % of MNIST"
DISTILLED, AIM = "LeNet-5, temperature 20", "lambda .05, another class as the goal"

FIGURES = (
    *_rows(
        POSTER,
        "l18-fgsm",
        "shallow",
        ("shallow-clean", SHALLOW, "accuracy, test set", 0.9516, "share"),
        ("shallow-fgsm", f"{SHALLOW}; no epsilon is given", "accuracy, FGSM", 0.179, "share"),
        ("shallow-eps", f"{SHALLOW}", "epsilon that leaves 17.9 %", "not given", "epsilon"),
    ),
    *_rows(
        f"{POSTER}, after Papernot et al. 2016",
        "l18-jsma",
        "jsma",
        ("jsma-success", "LeNet, targeted, at most 14.5 % of the pixels", "success", 0.97, "share"),
        ("jsma-pixels", "the same, of the successes", "mean share of pixels", 0.0402, "pixels"),
    ),
    *_rows(
        POSTER,
        "l18-smoothing",
        "smoothing",
        (
            "smoothing-gain",
            f"{SHALLOW}; Gaussian filter",
            "accuracy that the best filter returns",
            "above 0",
            "difference",
        ),
    ),
    *_report(TABLE_1, "table 1", (0, 0.1, 0.25), "l18-table1"),
    *_report(TABLE_2, "table 2", (0, 0.1, 0.25), "l18-table2"),
    *_report(TABLE_3, "table 3", (0.05, 0.075), "l18-table3"),
    *_lenet(),
    *_rows(
        f"{SLIDES}, after Hosseini et al. 2017",
        "l18-hosseini",
        "hosseini",
        ("hosseini-tuned", "fine-tuned", "accuracy gained on negatives", "above 0", "difference"),
        (
            "hosseini-scratch",
            "from scratch",
            "accuracy gained on negatives",
            "above 0",
            "difference",
        ),
    ),
    *_rows(
        f"{SLIDES}, after Madry et al. 2018",
        "l18-madry",
        "madry",
        ("madry-loss", "20 restarts of PGD", "final loss, standard : trained", "above 1", "ratio"),
        ("madry-spread", "20 restarts of PGD", "spread, standard : trained", "above 1", "ratio"),
    ),
    *_rows(
        NOTES,
        "l18-noise",
        "noise",
        ("noise-norm", "LeNet-5, three seeds", "norm, always noise : never", "above 1", "ratio"),
    ),
    *_rows(
        SEMINAR,
        "l18-generate",
        "generated",
        ("generated-fooled", f"{SHALLOW20}; {AIM}", "read as the goal", "all but one", "share"),
        (
            "generated-looks",
            "the same",
            "fool it, and look like the source",
            "all but one",
            "share",
        ),
        (
            "generated-before",
            "originals (published: one 6)",
            "confidence in the source class",
            0.89,
            "confidence",
        ),
        (
            "generated-after",
            "generated images (published: one 6)",
            "confidence in the source class",
            0.37,
            "confidence",
        ),
    ),
    *_rows(
        SEMINAR,
        "l18-threshold",
        "generated",
        (
            "threshold-restored",
            "generated images, cut at .5",
            "prediction restored",
            "works",
            "share",
        ),
    ),
    *_rows(
        f"{SEMINAR}, after Papernot et al. 2016 and Carlini and Wagner 2017",
        "l18-distilled",
        "distilled",
        ("distilled-bare", "undefended, an early attack", "fooled", 0.9589, "share"),
        ("distilled-early", f"{DISTILLED}, an early attack", "fooled", 0.0045, "share"),
        ("distilled-cw", f"{DISTILLED}, Carlini-Wagner", "fooled", 1.0, "share"),
    ),
)
