"""Texts as answers: the card of a task, its verdict, what is kept on disk."""

import numpy as np
import pytest

from limbeck.core.errors import ShapeMismatch
from limbeck.data.tasks import Generation
from limbeck.evaluate import predictions
from limbeck.evaluate.evidence import Evidence
from limbeck.evaluate.quality import metric_for
from limbeck.evaluate.scorecard import Scorecard, build
from limbeck.report.page import page_of

WORDS = np.array([f"w{number}" for number in range(50)])
ROWS, SEEDS = 150, 4


def noisy(texts, share, rng):
    """Texts with a share of their words replaced."""
    made = []
    for text in texts:
        words = np.array(text.split())
        made.append(" ".join(np.where(rng.random(len(words)) < share, rng.choice(WORDS, len(words)), words)))
    return np.array(made, dtype=object)


def evidence(student=0.15, control=0.35, of_teacher=True, **more):
    rng = np.random.default_rng(0)
    y = np.array([" ".join(rng.choice(WORDS, rng.integers(5, 12))) for _ in range(ROWS)], dtype=object)
    teacher = noisy(y, 0.1, rng)
    learned = teacher if of_teacher else y
    arms = {
        "teacher": teacher, "student": np.stack([noisy(learned, student, rng) for _ in range(SEEDS)]),
        "control": np.stack([noisy(y, control, rng) for _ in range(SEEDS)]),
    }  # fmt: skip
    return Evidence(Generation("de"), y, arms, sources=noisy(y, 1.0, rng), **more)


def test_a_student_that_learned_from_the_teacher_was_helped():
    e = evidence()
    card = Scorecard(build({"main": e}, seeds=range(SEEDS)))
    task = card.data["tasks"]["main"]
    assert card.verdict == "helped" and task["knowledge"]["credited"] and task["knowledge"]["uptake"]["low"] > 0
    metric = metric_for(e.task)
    per_seed = [metric(s, e.y) - metric(c, e.y) for s, c in zip(e.arms["student"], e.arms["control"], strict=True)]
    assert card.gain.value == pytest.approx(np.mean(per_seed)) and card.gain.low > 0
    assert task["retention"]["ratio"]["value"] < 1
    assert task["arms"]["teacher"]["metrics"]["bleu"]["value"] == pytest.approx(metric(e.arms["teacher"], e.y))
    assert task["trivial"]["metrics"]["bleu"] == pytest.approx(metric(e.sources, e.y))
    arms = task["fidelity"]["arms"]
    assert arms["student"]["bleu"] > arms["control"]["bleu"]
    same = np.mean([(s == e.arms["teacher"]).mean() for s in e.arms["student"]])
    assert arms["student"]["agreement"]["value"] == pytest.approx(same)


def test_equal_arms_have_no_reliable_difference_and_a_better_control_hurts():
    assert Scorecard(build({"main": evidence(0.3, 0.3, of_teacher=False)})).verdict == "no reliable difference"
    assert Scorecard(build({"main": evidence(0.5, 0.2)})).verdict == "hurt"


def test_stored_texts_at_the_wrong_rows_are_found():
    e = evidence()
    moved = np.roll(e.arms["teacher"], 7)
    right, wrong = (
        build({"main": evidence(stored=(texts, e.y))})["tasks"]["main"]["knowledge"]["stored"]
        for texts in (e.arms["teacher"], moved)
    )
    assert right["fits"] and not wrong["fits"]
    card = Scorecard(build({"main": evidence(stored=(moved, e.y))}))
    assert "LB203" in [finding.code for finding in card.checks]


def test_rows_without_a_reference_and_weights_are_respected():
    mask, weights = np.arange(ROWS) % 3 > 0, np.linspace(0.5, 2, ROWS)
    e = evidence(mask=mask, weights=weights)
    card = build({"main": e})["tasks"]["main"]
    assert card["counts"]["labelled_rows"] == mask.sum()
    expected = metric_for(e.task)(e.arms["teacher"][mask], e.y[mask], weights[mask])
    assert card["arms"]["teacher"]["metrics"]["bleu"]["value"] == pytest.approx(expected)


def test_a_function_of_texts_is_a_metric():
    def same(y_true, y_pred):
        return float(np.mean([a == b for a, b in zip(y_true, y_pred, strict=True)]))

    e = evidence(metric=same)
    card = build({"main": e})["tasks"]["main"]
    assert card["metric"] == {"name": "same", "unit": "", "higher_is_better": True}
    assert card["arms"]["teacher"]["metrics"]["same"]["value"] == pytest.approx((e.arms["teacher"] == e.y).mean())


def test_examples_are_shown_with_all_that_was_written():
    e = evidence()
    card = build({"main": e}, seeds=range(SEEDS))
    first = card["tasks"]["main"]["examples"][0]
    assert first == {
        "source": e.sources[0], "reference": e.y[0], "teacher": e.arms["teacher"][0],
        "student": e.arms["student"][0][0], "control": e.arms["control"][0][0],
    }  # fmt: skip
    sections = {section.title: section for section in page_of(card).sections}
    assert sections["Examples"].tables[0].rows[0][1:] == tuple(first.values())
    assert sections["How like the teacher"].tables[0].header[-1] == "BLEU against the teacher's texts"
    assert "source" not in build({"main": evidence()} | {})["tasks"]["main"] and "Calibration" not in sections


def test_texts_come_back_from_disk(tmp_path):
    keys = np.arange(6, dtype=np.uint64).reshape(3, 2)
    texts = np.array([["a b", "", "ü\n|"], ["c", "d", "e"]], dtype=object)
    path = tmp_path / "p.parquet"
    predictions.write(path, keys, "student", {"main": texts}, [3, 4])
    back = predictions.read(path)
    assert back.answers["student"]["main"].tolist() == texts.tolist() and back.seeds["student"] == (3, 4)
    with pytest.raises(ShapeMismatch, match=r"to have shape \[1, 3\], got \[2, 3\]"):
        predictions.write(path, keys, "student", {"main": texts}, [3])
