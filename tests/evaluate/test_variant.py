"""A changed student beside the one it was made from: figures as they follow from the answers."""

import numpy as np
import pytest

from limbeck.data.tasks import Classification, MultiLabel, Regression
from limbeck.evaluate import stats
from limbeck.evaluate.evidence import CONTROL, STUDENT, TEACHER, Evidence
from limbeck.evaluate.variant import lost, slower, variant_card

THREE = Classification(("a", "b", "c"))


def _evidence(noise, task=THREE, rows=400, **more):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, rows)
    plain = 2.0 * np.eye(3)[truth] + rng.normal(size=(rows, 3))
    changed = plain + noise * rng.normal(size=(rows, 3))
    teacher = 3.0 * np.eye(3)[truth] + rng.normal(size=(rows, 3))
    return Evidence(task, truth, {STUDENT: changed[None], CONTROL: plain[None], TEACHER: teacher[None]}, **more)


def test_the_difference_is_paired_over_rows():
    e = _evidence(1.0)
    card = variant_card(e)
    right = {arm: (answers[0].argmax(1) == e.y).astype(float) for arm, answers in e.arms.items()}
    assert card["rows"] == 400 and card["metric"]["name"] == "accuracy"
    assert card["original"]["value"] == pytest.approx(right[CONTROL].mean())
    assert card["changed"]["value"] == pytest.approx(right[STUDENT].mean())
    expected = stats.gain(right[STUDENT], right[CONTROL])
    assert card["difference"] == pytest.approx({"value": expected.value, "low": expected.low, "high": expected.high})
    decided = {arm: answers[0].argmax(1) for arm, answers in e.arms.items()}
    assert card["agreement"]["value"] == pytest.approx((decided[STUDENT] == decided[CONTROL]).mean())
    assert card["teacher"]["changed"]["value"] == pytest.approx((decided[STUDENT] == decided[TEACHER]).mean())
    assert card["teacher"]["original"]["value"] == pytest.approx((decided[CONTROL] == decided[TEACHER]).mean())


def test_rows_without_a_label_count_nowhere():
    mask = np.arange(400) < 100
    assert variant_card(_evidence(1.0, mask=mask))["rows"] == 100


def test_the_same_student_loses_nothing_and_says_so_with_an_interval():
    card = variant_card(_evidence(0.0))
    assert card["difference"]["value"] == 0.0 and card["difference"]["low"] < 0 < card["difference"]["high"]
    assert card["agreement"]["value"] == 1.0 and lost("main", card) is None


def test_a_sure_loss_is_a_finding_and_only_a_sure_one():
    found = lost("mood", variant_card(_evidence(4.0)))
    assert found.code == "LB403" and found.grade == "tip" and found.title == "mood: int8 costs quality"
    assert "accuracy changes by −" in found.measured
    assert lost("main", variant_card(_evidence(0.05))) is None


def test_values_and_labels():
    rng = np.random.default_rng(1)
    truth = rng.normal(5, 2, (300, 1))
    plain = truth + rng.normal(size=(300, 1))
    arms = {STUDENT: (plain + 2 * rng.normal(size=(300, 1)))[None], CONTROL: plain[None]}
    card = variant_card(Evidence(Regression(("v",), (5.0,), (2.0,)), truth, arms, metric="rmse"))
    assert card["agreement"] is None and card["teacher"] is None and 0.5 < card["correlation"] < 1
    expected = float(np.sqrt(np.mean((arms[STUDENT][0] - plain) ** 2)))
    assert card["rmse_to_original"] == pytest.approx(expected)
    assert lost("main", card).code == "LB403"  # an error that rises is a loss
    labels = (rng.random((200, 2)) < 0.5).astype(np.int64)
    scores = 2.0 * labels - 1 + rng.normal(size=(200, 2))
    said = variant_card(Evidence(MultiLabel(("x", "y")), labels, {STUDENT: -scores[None], CONTROL: scores[None]}))
    assert said["agreement"]["value"] == 0.0 and lost("main", said).code == "LB403"


def test_time_is_judged_by_the_middle_call():
    assert slower(1.0, 2.0) is None
    assert slower(3.0, 2.0).code == "LB402" and "3 ms in int8 and 2 ms in float32" in slower(3.0, 2.0).measured
