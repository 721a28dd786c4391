"""The published figures and the measured ones: complete, independent, resumable (lecture 18)."""

import json
import re

import pytest
import torch
from scipy import stats
from torch import nn

from advcourse import __main__ as command
from advcourse import data, literature, models, training
from advcourse.literature import measure, nets, poster, reasons, report, slides, store, work

DIGITS = data.load("digits", quiet=True)
# As the report prints them: lambda 1, lambda 2, then accuracy and confidence on the test set, at
# epsilon .10, and at .25. Typed from the source, not from the registry.
PRINTED = """
0.0 0.0 0.975 0.981 0.3375 0.768 0.0048 0.767
0.0 0.0001 0.9805 0.9831 0.443 0.7584 0.0091 0.6789
0.0 0.00001 0.9828 0.9877 0.4534 0.7572 0.0145 0.6592
0.0001 0.0 0.9689 0.9600 0.6099 0.7963 0.0534 0.7425
0.0001 0.0001 0.9695 0.9611 0.6229 0.7987 0.0499 0.7269
0.0001 0.00001 0.9667 0.9609 0.57 0.7942 0.0552 0.7469
0.00001 0.0 0.9727 0.9836 0.5609 0.8146 0.0438 0.7183
0.00001 0.0001 0.9727 0.9728 0.4852 0.7799 0.0196 0.7364
0.00001 0.00001 0.9816 0.9820 0.5562 0.7947 0.0262 0.6915
"""
LENET = {"clean": (0.986, 1), "noise": (0.984, 1), "negative": (0.233, 0.645)}
LENET |= {"fgsm": (0.509, 0.993), "pgd": (0.187, 0.982), "deepfool": (0.012, 1)}
OTHERS = {"shallow-clean": 0.9516, "shallow-fgsm": 0.179, "jsma-success": 0.97}
OTHERS |= {"jsma-pixels": 0.0402}
SHAPES = ("smoothing-gain", "hosseini-tuned", "hosseini-scratch", "madry-loss", "madry-spread")
SHAPES += ("noise-norm", "generated-fooled", "generated-looks", "threshold-restored")
FOUND = measure.Found(0.5, 0.4, 0.6, 10, "as it came")


def figure(key):
    return next(f for f in literature.FIGURES if f.key == key)


def test_every_printed_number_has_its_figure():
    keys = [f.key for f in literature.FIGURES]
    assert len(keys) == len(set(keys))
    for line in PRINTED.split("\n")[1:-1]:
        l1, l2, *values = map(float, line.split())
        for k, value in enumerate(values):
            eps, kind = (0, 0.1, 0.25)[k // 2], ("acc", "conf")[k % 2]
            assert figure(f"report-{l1:g}-{l2:g}-{eps:g}-{kind}").published == value
    for l1, eps, values in (
        (1e-4, 0.05, (0.8062, 0.8579)),
        (1e-4, 0.075, (0.6711, 0.8052)),
        (0, 0.05, (0.785, 0.8842)),
        (0, 0.075, (0.5723, 0.8054)),
    ):
        pair = [figure(f"report-{l1:g}-{l1:g}-{eps:g}-{kind}") for kind in ("acc", "conf")]
        assert tuple(f.published for f in pair) == values and pair[0].source.endswith("table 3")
    for name, values in LENET.items():
        assert tuple(figure(f"lenet-{name}-acc{k}").published for k in (1, 5)) == values
    assert {key: figure(key).published for key in OTHERS} == OTHERS
    assert all(isinstance(figure(key).published, str) for key in SHAPES)
    for f in literature.FIGURES:
        assert re.fullmatch(r"l18-[a-z0-9]+", f.cell) and f.job in literature.JOBS
        assert f.source and f.setting and f.what


@pytest.mark.parametrize("dataset", ["mnist", "digits"])
def test_what_is_committed_is_of_the_registry(dataset):
    found = literature.measured(dataset)
    assert list(found) == [f.key for f in literature.FIGURES]
    for f in literature.FIGURES:
        m = found[f.key]
        assert m.low <= m.value <= m.high and m.n >= 3 and m.seconds > 0 and m.setting
        assert f.unit not in ("share", "confidence", "pixels") or 0 <= m.value <= 1
        whole = f.job in ("report", "shallow", "lenet_clean", "lenet_negative", "lenet_fgsm")
        assert not whole or m.n == (10_000 if dataset == "mnist" else 450)
        fits = reasons.agrees(
            f.published, {"value": m.value, "low": m.low, "high": m.high, "n": m.n}
        )
        assert bool(m.reason) != fits, f.key  # a reason exactly where one is due
    for job in ("shallow", "jsma", "lenet_noise", "lenet_pgd", "hosseini", "noise"):
        lengths = {len(v) for k, v in literature.series(dataset, job).items() if "equal" not in k}
        assert len(lengths) == 1 and lengths.pop() >= 3
    assert len(literature.series(dataset, "madry")["standard"]) == 20
    sizes = [row["hidden"] for row in literature.series(dataset, "hidden")["hidden"]]
    assert sizes == list(report.OTHERS)
    with pytest.raises(KeyError, match="train --literature"):
        literature.series(dataset, "nothing")


def test_cheap_figures_come_out_again():
    kept = literature.measured("digits")
    for name in ("shallow", "smoothing", "lenet_clean", "lenet_negative"):
        values, _ = literature.JOBS[name](DIGITS, progress=False)
        for key, found in values.items():
            assert abs(found.value - kept[key].value) < 0.01, key
            assert found.n == kept[key].n


def test_no_measured_figure_knows_the_published_one(monkeypatch):
    grid = {"fgsm": (0, slides.EPS, 0.2)}
    monkeypatch.setattr(slides, "GRIDS", grid)
    job = slides.sweep("fgsm", slides.fgsm)
    before, _ = job(DIGITS, progress=False)
    monkeypatch.setattr(slides, "PUBLISHED", {key: 0.2 for key in slides.PUBLISHED})
    after, lines = job(DIGITS, progress=False)
    assert {k: v[:4] for k, v in before.items()} == {k: v[:4] for k, v in after.items()}
    assert lines["equal1"] != [None]  # the crossing does know it, and says so in the setting
    fixed = poster.shallow(DIGITS, progress=False)[0]["shallow-fgsm"]
    monkeypatch.setattr(poster, "FALLS_TO", 0.5)
    moved = poster.shallow(DIGITS, progress=False)[0]
    assert moved["shallow-fgsm"] == fixed
    assert moved["shallow-eps"].value < 0.11  # .5 is left earlier than .179
    assert moved["shallow-eps"].low < moved["shallow-eps"].value < moved["shallow-eps"].high


def line(weights, bias=0.0):
    """Return a linear model of two classes on [N, 1, 1, D]: class 1 where w x + b > 0."""
    w = torch.tensor(weights)
    net = nn.Sequential(nn.Flatten(), nn.Linear(len(w), 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.stack([-w, w]) / 2)
        net[1].bias.copy_(torch.tensor([-bias, bias]) / 2)
    return net


def test_masks_and_confidences_of_a_linear_model():
    net = line([1.0, -1.0])
    x = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.5]]).view(3, 1, 1, 2)
    y = torch.tensor([1, 1, 1])
    right, confidence = literature.answered(net.train(), x, y)
    assert right.tolist() == [True, False, True] and net.training
    margin = torch.tensor([0.8, 0.6, 0.1])  # of the class that is read, right or wrong
    assert torch.allclose(confidence, torch.sigmoid(margin), atol=1e-6)
    # FGSM takes 2 eps from the margin: .8 falls beyond .4, .1 beyond .05.
    assert literature.under_fgsm(net, x, y, 0.3)[0].tolist() == [True, False, False]
    assert literature.under_fgsm(net, x, y, 0)[0].tolist() == [True, False, True]
    assert literature.found_eps(net, x, y, 0.5) == pytest.approx(0.05, abs=1e-3)
    assert literature.found_eps(net, x, y, 0.1) == pytest.approx(0.4, abs=1e-3)
    assert literature.among(net, x, y, 2).all() and not literature.among(net, x, y, 1).all()


def test_intervals_are_those_of_the_books():
    values = torch.tensor([0.2, 0.5, 0.9, 0.4, 0.1])
    found = measure.mean(values, "so")
    middle = stats.norm.interval(0.95, values.mean().item(), stats.sem(values.double().numpy()))
    assert (found.low, found.high) == pytest.approx(middle, abs=1e-6) and found.n == 5
    some, fewer = torch.tensor([True] * 6 + [False] * 2), torch.tensor([True] * 2 + [False] * 6)
    assert measure.gain(some, fewer).value == pytest.approx(0.5)
    assert measure.share(some)[:1] == (0.75,) and measure.share(some).setting == ""
    rng = torch.Generator().manual_seed(1)
    above, below = (torch.rand(200, generator=rng) + shift for shift in (3, 1))
    found = measure.ratio(above, below)
    assert found.value == pytest.approx((above.mean() / below.mean()).item())
    assert found.low < found.value < found.high
    assert measure.ratio(2 * below, below)[:3] == pytest.approx((2, 2, 2))
    assert measure.crossing([0, 1, 2], [1.0, 0.5, 0.0], 0.25) == 1.5
    assert measure.crossing([0, 1], [1.0, 0.5], 0.25) is None


def test_an_interrupted_run_goes_on(tmp_path):
    ran = []

    def job(name, values, fail=False):
        def run(images, progress=True):
            ran.append(name)
            if fail:
                raise KeyboardInterrupt
            return dict.fromkeys(values, FOUND), {"x": [1, 2]}

        return run

    keys = {name: [f.key for f in literature.FIGURES if f.job == name] for name in literature.JOBS}
    jobs = {n: job(n, values, fail=n == "report") for n, values in keys.items()}
    settings = {"dataset": DIGITS, "progress": False, "folder": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        literature.compute(jobs=jobs, **settings)
    kept = literature.measured(DIGITS, tmp_path)
    before = list(literature.JOBS)[: ran.index("report")]
    assert before == ran[:-1] and set(kept) == {key for name in before for key in keys[name]}
    assert kept["shallow-clean"].setting == "as it came"
    ran.clear()
    found = literature.compute(jobs=jobs | {"report": job("report", keys["report"])}, **settings)
    assert ran == list(literature.JOBS)[len(before) :]
    assert list(found) == [f.key for f in literature.FIGURES]
    ran.clear()
    literature.compute(["shallow-eps"], jobs=jobs, **settings)
    assert ran == ["shallow"]  # named again, measured again, and nothing else
    literature.compute(jobs=jobs, **settings)
    assert ran == ["shallow"] and not list(tmp_path.glob("*.part"))
    with pytest.raises(ValueError, match="keys: no figure 'nobody'"):
        literature.compute(["nobody"], **settings)


GOOD = json.dumps(store.entry(FOUND, 1.0))


@pytest.mark.parametrize(
    "text",
    [
        '{"values": {"nobody": ' + GOOD + '}, "series": {}}',
        '{"values": {"shallow-clean": ' + GOOD.replace("0.5", '"a"') + '}, "series": {}}',
        "{",
        '{"values": {}}',
        '{"values": {"shallow-clean": {"value": 1}}, "series": {}}',
        "[]",
        "7",
    ],
)
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "digits.json").write_text(text)
    with pytest.raises(ValueError, match=r"digits\.json: .*git checkout data/literature"):
        literature.measured("digits", tmp_path)
    with pytest.raises(ValueError, match=r"digits\.json"):
        literature.compute(dataset=DIGITS, folder=tmp_path, progress=False)
    assert (tmp_path / "digits.json").read_text() == text  # not overwritten


def test_reasons_and_tables(tmp_path):
    found = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 100}
    assert literature.agrees(0.45, found) and not literature.agrees(0.61, found)
    assert literature.agrees("above 0", found) and not literature.agrees("above 1", found)
    assert not literature.agrees("all but one", found)
    assert literature.agrees("all but one", found | {"value": 0.99})
    assert not literature.agrees("works", found) and literature.agrees("not given", found)
    assert reasons.reason(figure("shallow-clean"), found, "digits") == reasons.OTHER_DATA
    value = store.entry(FOUND._replace(value=0.91234567), 12.345)
    assert value["seconds"] == 12.3 and value["value"] == 0.91235
    store.write({"values": {"shallow-clean": value}, "series": {}}, "digits", tmp_path)
    store.write({"values": {"shallow-clean": value}, "series": {}}, "mnist", tmp_path)
    digits, mnist = (
        literature.table(name, "shallow", folder=tmp_path).data for name in ("digits", "mnist")
    )
    assert '<span style="color: gray">95.16 %' in digits and "color" not in mnist
    assert "91.23 % (40.00 to 60.00)" in mnist and "-3.93 points" in mnist
    assert mnist.count("not measured yet") == 2 and "[l18-fgsm](#l18-fgsm)" in mnist
    one = literature.table("mnist", keys=["jsma-pixels"], folder=tmp_path).data
    assert one.count("\n") == 2 and "4.02 %" in one


def test_a_network_is_trained_once(tmp_path):
    made = []

    def make(net, resume, progress):
        made.append(str(resume))
        with torch.no_grad():
            net[1].bias.fill_(7.0)
        return [0.5, 0.25]

    for _ in range(2):
        net, epochs = nets.kept("x", DIGITS, literature.network(4), make, folder=tmp_path)
        assert epochs == 2 and not net.training and net[1].bias.eq(7).all()
    assert len(made) == 1 and made[0].endswith("x-digits.pt")
    ours, theirs = literature.network(), models.build("mlp", 0)
    pairs = zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_training_stops_when_it_is_enough():
    asked, x, y = [], DIGITS.x_train[:200], DIGITS.y_train[:200]

    def enough(net):
        asked.append(net.training)
        return len(asked) == 2

    fit = {"optimizer": "rmsprop9", "decay": False, "progress": False}
    stopped, two = literature.network(8), literature.network(8)
    assert len(training.fit(stopped, x, y, epochs=9, stop=enough, **fit)) == 2
    assert asked == [False, False]
    training.fit(two, x, y, epochs=2, **fit)
    assert torch.equal(stopped[1].weight, two[1].weight)
    assert report.OTHERS and training.OPTIMIZERS["rmsprop9"].keywords == {"alpha": 0.9}


def test_command_line(monkeypatch, capsys):
    assert command.main(["train", "--literature", "--dataset", "fashion"]) == 1
    assert "take mnist or digits" in capsys.readouterr().err
    called = []
    monkeypatch.setattr(work, "compute", lambda *a: called.append(a) or {})
    assert command.main(["train", "--literature", "--dataset", "digits"]) == 0
    assert called == [(None, "digits")] and "minutes of one core" in capsys.readouterr().out
