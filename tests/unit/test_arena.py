"""The game of lecture 17: its rules, its files, readers' own players, and a worker that is killed."""

import json
import os
import re
import signal
import threading
import time

import pytest
import torch
from torch import nn

from advcourse import arena, data, defended, models, panels
from advcourse.__main__ import main
from advcourse.arena import duel, files, rules, tournament

ROWS = ["no attack", "fgsm", "pgd"]
COLUMNS = ["no defense, LeNet-5", "PGD-trained", "binary threshold .5"]
X, Y = data.load("digits", quiet=True).sample(12, seed=0)


def play(folder, rows=ROWS, columns=COLUMNS, n=12, workers=1, **options):
    options = {"eps": 0.1, "progress": False} | options
    return arena.play(
        "digits", n, rows=rows, columns=columns, folder=folder, workers=workers, **options
    )


@pytest.fixture
def guests():
    """Whoever joins during a test leaves after it."""
    yield
    for name in [*rules.ATTACKERS, *rules.DEFENDERS]:
        arena.leave(name)


@pytest.fixture(autouse=True)
def nothing_committed(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "COMMITTED", tmp_path / "committed")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return play(tmp_path_factory.mktemp("small"))


def test_shares_are_those_of_an_independent_count(small):
    """FGSM and PGD written out here, against the networks themselves."""
    model = models.load("lenet5", "digits")
    x = X.clone().requires_grad_()
    nn.functional.cross_entropy(model(x), Y, reduction="sum").backward()
    x_adv = (X + 0.1 * x.grad.sign()).clamp(0, 1)
    with torch.no_grad():
        right, left = (model(z).argmax(1) == Y for z in (X, x_adv))
    assert torch.equal(small.mask("no attack", "no defense, LeNet-5"), right)
    assert torch.equal(small.mask("fgsm", "no defense, LeNet-5"), left)
    at = small.rows.index("fgsm"), small.columns.index("no defense, LeNet-5")
    assert small.held[at] == left.float().mean() and small.n[at] == 12


def test_sorted_by_means(small):
    rows, columns = small.held.mean(1), small.held.mean(0)
    assert torch.equal(rows, rows.sort().values), "the strongest attack first"
    assert torch.equal(columns, columns.sort(descending=True).values), "the strongest defense first"
    assert set(small.rows) == set(ROWS) and set(small.columns) == set(COLUMNS)


def test_no_gradient_is_a_note(small):
    blind = "binary threshold .5"
    assert "no gradient" in small.note("pgd", blind) and not small.note("no attack", blind)
    assert torch.equal(small.mask("pgd", blind), small.mask("no attack", blind))
    assert not small.note("pgd", "PGD-trained")


def test_the_rest_of_a_matrix(small):
    worst = small.worst("no defense, LeNet-5")
    each = torch.stack([small.mask(row, "no defense, LeNet-5") for row in ROWS])
    assert torch.equal(worst, each.all(0))
    least = ROWS[each.float().mean(1).argmin()]
    assert small.best_attack("no defense, LeNet-5") == least == "pgd"
    assert small.table(["fgsm"], ["PGD-trained"]).data.splitlines()[2].startswith("| fgsm | ")
    assert re.fullmatch(r"[\d.]+ % \([\d.]+ to [\d.]+\)", small.share("fgsm", "PGD-trained"))
    with pytest.raises(ValueError, match="row: no 'magic'; there are "):
        small.cell("magic", "PGD-trained")


def test_picture_is_the_cells_own_or_made_again(small, tmp_path):
    one = small.picture("fgsm", "no defense, LeNet-5")
    cell = small.cell("fgsm", "no defense, LeNet-5")
    assert torch.equal(one.clean, X[cell.shown]) and one.label == str(Y[cell.shown].item())
    assert (one.attacked - one.clean).abs().max() <= 0.1 + 0.5 / 255
    assert one.says == cell.answers[cell.shown]
    if not small.mask("fgsm", "no defense, LeNet-5").all():
        assert one.says != one.label and one.words == f"says {one.says}, wrongly"
    path = files.gather(small, tmp_path)
    bare = json.loads(path.read_text())
    for line in bare["cells"]:
        line["picture"] = ""
    path.write_text(json.dumps(bare))
    again = arena.read("digits", tmp_path, 0.1).picture("fgsm", "no defense, LeNet-5")
    assert (again.attacked - one.attacked).abs().max() <= 0.5 / 255 + 1e-6  # FGSM has no batch
    assert (again.says, again.before, again.label) == (one.says, one.before, one.label)


def test_gathered_and_read(small, tmp_path):
    kept = arena.read("digits", files.gather(small, tmp_path).parent, 0.1)
    assert kept == small and torch.equal(kept.held, small.held)
    mnist = arena.Matrix("mnist", 0.1, 0, small.labels, small.cells, small.rows, small.columns)
    lines = json.loads(files.gather(mnist, tmp_path).read_text())["cells"]
    assert not any(line["picture"] for line in lines), "no pictures of MNIST in what is committed"
    with pytest.raises(ValueError, match=r"eps: no matrix of digits at eps 0\.7"):
        arena.read("digits", tmp_path, 0.7)


def test_what_was_played_is_not_played_again(small, tmp_path, monkeypatch):
    first = play(tmp_path, rows=["no attack", "fgsm"])
    asked = []
    monkeypatch.setattr(duel, "duel", lambda job: asked.append(job["row"]) or old(job))
    assert play(tmp_path, rows=["no attack", "fgsm"]) == first and not asked
    (cut,) = tmp_path.rglob("fgsm--pgd-trained--*.json")
    cut.unlink()
    again = play(tmp_path, rows=["no attack", "fgsm"])
    assert torch.equal(again.held, first.held) and asked == ["fgsm"]
    play(tmp_path, rows=["fgsm"], n=11)
    assert asked[1:] == ["fgsm"] * 3, "other images are other cells"
    play(tmp_path, rows=["fgsm"], force=True)
    assert len(asked) == 7
    files.gather(first)
    play(tmp_path / "elsewhere", rows=["fgsm"])
    assert len(asked) == 7, "what is committed under the same key is not played either"


old = duel.duel


def test_keys_follow_the_checkpoint(monkeypatch):
    def keys():
        made = tournament.jobs("digits", 12, 0.1, 0, ["fgsm"], COLUMNS)
        return {job["column"]: job["key"] for job in made}

    before, made_of = keys(), tournament.ingredients

    def retrained(column, *more):
        return ["other weights"] if column == "PGD-trained" else made_of(column, *more)

    monkeypatch.setattr(tournament, "ingredients", retrained)
    after = keys()
    assert [c for c in COLUMNS if before[c] != after[c]] == ["PGD-trained"]
    shas = {models.manifest()[f"{name}-digits-{v}"]["sha256"] for name, v in CNNS}
    assert set(made_of("PGD-trained", defended.CATALOG["PGD-trained"], "digits")) == shas


CNNS = (("cnn", "pgd"), ("cnn", "standard"))


def test_every_column_names_its_checkpoints():
    images = data.load("digits", quiet=True)
    for name in ("PGD-trained", "Defense-GAN", "detector network", "thermometer, 16 levels"):
        found = tournament.ingredients(name, defended.CATALOG[name], images.name)
        assert len(found) == 2 - (name == "detector network")


def test_rules_of_the_ball():
    wide = {
        "negative",
        "gradient_ascent",
        "gaussian_noise",
        "deepfool",
        "hop_skip_jump",
        "generate",
    }
    victim = defended.load("no defense, two layers", data.load("digits", quiet=True))
    for name in (*wide, "JSMA, 10 % of the pixels"):
        row = rules.rows()[name]
        x_adv = row.function(victim, X[:3], Y[:3], 0.05, torch.Generator().manual_seed(0))
        assert x_adv.min() >= 0 and x_adv.max() <= 1
        assert row.inside == (name in wide)
        assert not row.inside or (x_adv - X[:3]).abs().max() <= 0.05 + 1e-6
    few = {c: rules.images_for(rules.rows()["square"], c, 100) for c in defended.CATALOG}
    assert few["PGD-trained"] == 66 and few["Defense-GAN"] == rules.FEWEST


def test_every_attack_of_the_table_has_a_row():
    names = set(rules.rows())
    for row in rules.attacks.ATTACKS:
        assert rules.OWN_BUDGET.get(row.name, row.name) in names


def test_guests_join_rows_and_columns(guests, tmp_path):
    @arena.attack("darker")
    def darker(victim, x, y, eps, generator):
        return (x - eps).clamp(0, 1)

    @arena.defense("never sure")
    def never(images, device):
        bare = models.load("lenet5", images).to(device)
        return defended.Defended("", "17", Refuses(), bare)

    made = play(tmp_path, ["darker", "no attack"], ["never sure", "no defense, MLP"], workers=2)
    assert made.columns[0] == "never sure" and made.mask("darker", "never sure").all()
    with torch.no_grad():
        right = models.load("mlp", "digits")((X - 0.1).clamp(0, 1)).argmax(1) == Y
    assert torch.equal(made.mask("darker", "no defense, MLP"), right)
    one = made.picture("darker", "never sure")
    assert one.words == "refuses to answer" and (one.clean - one.attacked).max() > 0.05
    assert "darker" in rules.rows() and arena.leave("darker") is None
    assert "darker" not in rules.rows()


class Refuses(nn.Module):
    def forward(self, x):
        return nn.functional.one_hot(torch.full((len(x),), 10), 11).float()


@pytest.mark.parametrize(
    "returned, said",
    [
        (
            lambda x: x + 0.2 * (x < 0.5),
            r"row 'mine': disqualified, 12 of its 12 images leave the ball",
        ),
        (lambda x: x + 0.05, r"row 'mine': disqualified, its pixels reach from 0\.05 to 1\.05"),
        (lambda x: x * torch.nan, r"row 'mine': disqualified, its pixels reach from nan"),
        (lambda x: x[:5], r"row 'mine': returned torch.float32 \(5, 1, 28, 28\); return images"),
        (lambda x: None, r"row 'mine': returned NoneType"),
        (lambda x: x.unknown, r"row 'mine' against 'PGD-trained': AttributeError"),
    ],
)
def test_who_breaks_a_rule_is_named(guests, tmp_path, returned, said):
    arena.attack("mine")(lambda victim, x, y, eps, generator: returned(x))
    with pytest.raises(arena.ArenaError, match=said):
        play(tmp_path, ["mine"], ["PGD-trained"])


def test_names_and_arguments(guests, tmp_path):
    with pytest.raises(ValueError, match="name: 'pgd' is taken; give your attack another name"):
        arena.attack("pgd")(len)
    with pytest.raises(ValueError, match="name: 'TRADES' is taken"):
        arena.defense("TRADES")(len)
    with pytest.raises(ValueError, match="is no name"):
        arena.attack(len)(len)
    with pytest.raises(ValueError, match="is no function"):
        arena.attack("mine")(3)
    arena.defense("mine")(lambda images, device: 3)
    with pytest.raises(arena.ArenaError, match="column 'mine': returned int; return a defended"):
        play(tmp_path, ["fgsm"], ["mine"])
    with pytest.raises(ValueError, match="rows: no 'magic'; there are no attack, "):
        play(tmp_path, ["magic"])
    with pytest.raises(ValueError, match="columns: no 'magic'"):
        play(tmp_path, columns=["magic"])
    with pytest.raises(ValueError, match="n_images: 0 is no count"):
        play(tmp_path, n=0)
    with pytest.raises(ValueError, match=r"eps: -1\.0 is no size"):
        play(tmp_path, eps=-1)
    with pytest.raises(ValueError, match="nobody joined as 'you'"):
        arena.leave("you")


def test_an_attack_cannot_change_who_judges_it(guests, tmp_path):
    @arena.attack("cheat")
    def cheat(victim, x, y, eps, generator):
        with torch.no_grad():
            for weight in victim.victim.parameters():
                weight.zero_()
        return x

    made = play(tmp_path, ["cheat", "no attack"], ["PGD-trained"])
    assert torch.equal(made.mask("cheat", "PGD-trained"), made.mask("no attack", "PGD-trained"))


def test_a_killed_worker_loses_nothing(guests, tmp_path, capfd):
    """The first worker to begin a duel is killed in it; the matrix is that of one quiet process."""
    (tmp_path / "log").mkdir()
    log = str(tmp_path / "log")

    @arena.attack("slow")
    def slow(victim, x, y, eps, generator):
        open(os.path.join(log, f"{os.getpid()}"), "w").close()
        time.sleep(0.4)
        return (x + eps * torch.rand(x.shape, generator=generator).round()).clamp(0, 1)

    killed = []

    def kill():
        until = time.time() + 300
        while time.time() < until and not killed:
            for pid in os.listdir(log):
                os.kill(int(pid), signal.SIGKILL)
                killed.append(int(pid))
                break
            time.sleep(0.02)

    threading.Thread(target=kill, daemon=True).start()
    rows = [*ROWS, "slow"]
    made = play(tmp_path / "cluster", rows, workers=2)
    pids = {int(pid) for pid in os.listdir(log)}
    assert killed and len(pids) >= 2 and os.getpid() not in pids
    assert len(made.cells) == len(rows) * len(COLUMNS)
    quiet = play(tmp_path / "serial", rows, workers=1)
    assert [c.answers for c in map(made.cells.get, quiet.cells)] == [
        c.answers for c in quiet.cells.values()
    ]
    print(capfd.readouterr().err[-2000:])


def test_command(tmp_path, capsys, monkeypatch):
    words = ["arena", "--dataset", "digits", "--images", "12", "--workers", "1", "--eps", "0.1"]
    words += ["--folder", str(tmp_path / "cells"), "--gather", str(tmp_path / "kept")]
    assert main([*words, "--rows", "fgsm", "--columns", *COLUMNS]) == 0
    said = capsys.readouterr().out
    assert "3 cells" in said and "PGD-trained" in said
    assert arena.read("digits", tmp_path / "kept", 0.1).rows == ("fgsm",)
    assert main([*words, "--rows", "magic"]) == 1
    assert "rows: no 'magic'" in capsys.readouterr().err

    def stop(job):
        raise KeyboardInterrupt

    monkeypatch.setattr(duel, "duel", stop)
    assert main([*words, "--rows", "pgd", "--columns", *COLUMNS]) == 130
    assert "run the same command again" in capsys.readouterr().out


@pytest.mark.parametrize("heat_map", [True, False])
def test_panel(small, heat_map):
    panel = panels.arena_panel(small, heat_map)
    for row in ROWS:
        png, said = panel.draw(row=row, column="no defense, LeNet-5")
        one = small.picture(row, "no defense, LeNet-5")
        assert png[:4] == b"\x89PNG" and said.startswith(f"{row} against no defense, LeNet-5: ")
        assert small.share(row, "no defense, LeNet-5") in said and one.words in said
    shown = [a.get_array() for a in panel.changing if hasattr(a, "get_array")]
    assert torch.equal(torch.tensor(shown[1].data), one.attacked[0])
    if heat_map:
        at = small.columns.index("no defense, LeNet-5"), small.rows.index(ROWS[-1])
        assert panel.changing[0].get_xy() == (at[0] - 0.5, at[1] - 0.5)
    assert panels.arena_figure(small).axes[0].texts[0].get_text()[0].isdigit()
