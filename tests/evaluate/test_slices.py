"""The metric slice by slice."""

import numpy as np
import pytest

from limbeck.data.slices import Slicing
from limbeck.data.tasks import Classification
from limbeck.evaluate import scorecard
from limbeck.evaluate.evidence import Evidence
from limbeck.evaluate.slices import apart_from
from limbeck.evaluate.stats import Interval
from limbeck.report.page import page_of

N = 400


def evidence(bad=0.9, hurt=0.0, **more):
    """Rows 0 to 99 are slice "odd": the student is wrong there in a share `bad` of them, elsewhere in a tenth."""
    draw = np.random.default_rng(0)
    y = draw.integers(0, 2, N)
    odd = np.arange(N) < 100

    def answers(wrong):
        said = np.where(draw.random((3, N)) < wrong, 1 - y, y)
        return np.stack([-said, said], axis=-1).astype(np.float32) * 3

    arms = {
        "teacher": answers(0.05)[:1], "student": answers(np.where(odd, bad, 0.1)),
        "control": answers(np.where(odd, bad - hurt, 0.1)),
    }  # fmt: skip
    slices = {"site": Slicing(("odd", "usual", "rare"), np.where(odd, 0, np.where(np.arange(N) == N - 1, 2, 1)))}
    return Evidence(Classification(("a", "b")), y, arms, slices=slices, **more)


def card_of(e):
    return scorecard.build({"main": e}, seeds=(0, 1, 2))


def test_each_slice_has_its_metric_which_is_that_of_its_rows_alone():
    e = evidence()
    card = card_of(e)
    (by,) = card["tasks"]["main"]["slices"]["by"]
    odd, usual, rare = by["slices"]
    assert by["name"] == "site" and odd["rows"] == 100 and usual["rows"] == 299
    right = e.arms["student"][:, :100].argmax(-1) == e.y[:100]
    assert odd["arms"]["student"]["value"] == pytest.approx(right.mean())
    assert odd["arms"]["student"]["low"] < right.mean() < odd["arms"]["student"]["high"]
    assert rare == {"name": "rare", "rows": 1}  # too few to say anything
    assert card["tasks"]["main"]["slices"]["tested"] == 2


def test_a_slice_that_falls_behind_is_found_and_one_by_chance_is_not():
    found = [f for f in card_of(evidence())["findings"] if f["code"] == "LB138"]
    assert [f["data"]["slice"] for f in found] == ["odd"] and "reliably worse than on the others" in found[0][
        "measured"
    ]
    assert not [f for f in card_of(evidence(bad=0.1))["findings"] if f["code"] in ("LB137", "LB138")]


def test_a_slice_that_distillation_hurts_is_found():
    found = [f for f in card_of(evidence(bad=0.5, hurt=0.4))["findings"] if f["code"] == "LB137"]
    assert [f["data"]["slice"] for f in found] == ["odd"]


def test_masked_rows_leave_their_slice_and_any_metric_is_measured():
    mask = np.arange(N) >= 50
    card = card_of(evidence(mask=mask, metric="macro_f1"))["tasks"]["main"]
    assert card["slices"]["by"][0]["slices"][0]["rows"] == 50
    low, value, high = (card["slices"]["by"][0]["slices"][0]["arms"]["student"][k] for k in ("low", "value", "high"))
    assert low < value < high


def test_a_slice_of_one_group_is_measured_over_its_rows():
    groups = np.where(np.arange(N) < 100, 0, 1 + np.arange(N) % 7)
    odd = card_of(evidence(groups=groups))["tasks"]["main"]["slices"]["by"][0]["slices"][0]
    assert odd["arms"]["student"]["low"] < odd["arms"]["student"]["value"]


def test_two_intervals_of_other_rows_make_one_of_their_difference():
    apart = apart_from(Interval(3.0, 2.0, 4.0), Interval(1.0, 0.0, 2.0))
    assert (apart.value, apart.low, apart.high) == pytest.approx((2, 2 - 2**0.5, 2 + 2**0.5))


def test_the_report_shows_slices_and_says_that_they_are_many():
    page = page_of(card_of(evidence()))
    (section,) = [s for s in page.sections if s.title == "Slice by slice"]
    assert "2 slices are compared at once" in section.text[0]
    assert section.tables[0].rows[0][:2] == ("odd", "100") and section.tables[0].rows[0][-1] == "falls behind"
    assert section.tables[0].rows[2][-1] == "too few rows"


def test_with_folds_slices_count_that_training_sets_overlap():
    plain, folded = (card_of(evidence(**more))["tasks"]["main"]["slices"]["by"][0] for more in ({}, {"folds": 5}))

    def width(line, *keys):
        for key in keys:
            line = line[key]
        return line["high"] - line["low"]

    for keys in (("gain",), ("difference",), ("behind",), ("arms", "student")):
        assert width(folded["slices"][0], *keys) > 1.01 * width(plain["slices"][0], *keys)
