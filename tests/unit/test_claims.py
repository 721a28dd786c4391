"""A sentence is held by the run: an error for the tests, an honest line for a reader."""

import pytest
import torch
from scipy.stats import binomtest

from advcourse import claims, metrics, plots


def masks(*counts, n=200):
    return [torch.arange(n) < count for count in counts]


def test_a_claim_that_holds_says_nothing(capsys):
    assert claims.hold("two is more than one", 2 > 1) is True
    assert claims.hold("a tensor will do", torch.tensor(True)) is True
    assert capsys.readouterr().out == ""


def test_a_claim_that_fails_is_an_error_for_the_tests(monkeypatch):
    monkeypatch.setenv("ADVCOURSE_STRICT", "1")
    scope = {"claims": claims, "lecture": "Lecture 99"}
    with pytest.raises(claims.ClaimError) as caught:
        exec("claims.hold('the net holds', 0.25 > 0.5, left=0.25, n=200)", scope)
    assert str(caught.value) == "Lecture 99: the net holds (left 0.25, n 200)"
    with pytest.raises(AssertionError, match=r"this notebook: all \(shares \[0.125, 1\]\)"):
        claims.hold("all", False, shares=torch.tensor([0.125, 1.0]))


def test_a_claim_that_fails_is_a_line_for_a_reader(monkeypatch, capsys):
    monkeypatch.delenv("ADVCOURSE_STRICT", raising=False)
    assert claims.hold("the net holds", False, left=1 / 3) is False
    assert capsys.readouterr().out == "On this run this did not hold: the net holds (left 0.3333)\n"


def test_say_chooses():
    assert (
        claims.say(True, "yes", "no").data == "yes" and claims.say(False, "yes", "no").data == "no"
    )


def test_apart_wants_intervals_that_do_not_meet():
    few, more, most = masks(80, 95, 130)
    assert not claims.apart(few, more) and not claims.apart(more, few)
    assert claims.apart(few, most) and not claims.apart(most, few)
    assert claims.apart((80, 200), (130, 200)) and not claims.apart((8, 20), (13, 20))


def test_paired_counts_only_the_images_that_differ():
    few, more = masks(80, 95)
    assert claims.paired(few, more), "15 gained, none lost"
    assert not claims.paired(more, few) and not claims.paired(few, few)
    few, shifted = torch.zeros(30).bool(), torch.zeros(30).bool()
    few[:6], shifted[6:15] = True, True
    assert not claims.paired(few, shifted), "9 against 6 is chance"
    assert claims.paired(*masks(0, 5, n=9)) and not claims.paired(*masks(0, 4, n=9)), "1/32, 1/16"


def test_wilson():
    for count, n, level in ((103, 200, 0.95), (1, 7, 0.95), (300, 900, 0.99)):
        there = binomtest(count, n).proportion_ci(level, method="wilson")
        assert metrics.wilson(count, n, level) == pytest.approx((there.low, there.high), abs=1e-9)
    assert metrics.wilson(0, 50)[0] == 0 and metrics.wilson(50, 50)[1] == 1
    assert round(metrics.wilson(0, 50)[1], 4) == 0.0713
    assert metrics.wilson(5, 10, 0.5)[0] > metrics.wilson(5, 10)[0]
    for count, n in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(ValueError, match=f"{count} of {n} is no share"):
            metrics.wilson(count, n)


def test_share():
    assert plots.share((103, 200)) == "51.5 % (44.6 to 58.3)"
    assert plots.share(masks(200)[0]) == "100.0 % (98.1 to 100.0)"
