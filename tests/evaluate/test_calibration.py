"""Calibration on cases whose answer is known."""

import numpy as np
import pytest
import sklearn.metrics as sk

from limbeck.evaluate import calibration as cal
from limbeck.evaluate.answers import Plain

TWO = Plain("classification", ("no", "yes"))


def test_ece_of_one_confidence_is_the_gap():
    confidence, correct = np.full(100, 0.9), np.arange(100) < 60
    assert cal.ece(confidence, correct, mass=False) == pytest.approx(0.3)


def test_equal_mass_bins_hold_equally_many_rows():
    rng = np.random.default_rng(0)
    table = cal.reliability(rng.random(150) ** 4, rng.random(150) < 0.5)
    assert [line["rows"] for line in table] == [10] * 15
    wide = cal.reliability(np.array([0.01, 0.02, 0.99, 1.0]), np.array([0, 0, 1, 1]), mass=False)
    assert [line["rows"] for line in wide] == [2, 2]


def test_a_calibrated_model_has_a_small_error_and_an_overconfident_one_is_repaired():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(20_000, 2)) * 2
    p = np.exp(logits[:, 1]) / np.exp(logits).sum(1)
    y = (rng.random(20_000) < p).astype(int)
    good = cal.calibration(TWO, logits[None], y)
    assert good["before"]["ece"] < 0.015 and good["after"] is None
    sharp = 3 * logits
    halves = slice(0, 10_000), slice(10_000, None)
    bad = cal.calibration(TWO, sharp[halves[1]][None], y[halves[1]], validation=(sharp[halves[0]][None], y[halves[0]]))
    assert bad["temperature"][0] == pytest.approx(3, rel=0.1)
    assert bad["before"]["ece"] > 0.08 and bad["after"]["ece"] < 0.02
    assert bad["after"]["nll"] < bad["before"]["nll"]


def test_nll_and_brier_are_those_of_sklearn():
    rng = np.random.default_rng(2)
    three = Plain("classification", ("a", "b", "c"))
    logits, y, w = rng.normal(size=(50, 3)), rng.integers(0, 3, 50), rng.random(50)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert cal.nll(three, logits, y, w) == pytest.approx(sk.log_loss(y, p, sample_weight=w))
    assert cal.brier(three, logits, y) == pytest.approx(((p - np.eye(3)[y]) ** 2).sum(1).mean())


def test_labels_are_calibrated_each_for_itself():
    labels = Plain("multilabel", ("a", "b"))
    logits, y = np.log([[[3.0, 1 / 3]] * 4])[0], np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    found = cal.calibration(labels, logits[None], y)
    assert found["before"]["ece_equal_width"] == pytest.approx(0, abs=1e-12)
    assert found["before"]["brier"] == pytest.approx(0.1875)


def test_no_probabilities_no_calibration():
    assert cal.calibration(TWO, np.array([[0, 1]]), np.array([0, 1])) is None
    assert cal.calibration(Plain("regression", ("p",)), np.zeros((1, 2, 1)), np.zeros((2, 1))) is None


def test_a_model_without_a_mistake_on_validation_keeps_a_temperature():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 200)
    logits = np.stack([-3.0 * (2 * y - 1), 3.0 * (2 * y - 1)], axis=1) / 2  # right everywhere, 95 % sure
    assert 0.4 < cal.fit_temperature(TWO, logits, y) < 1
    few = cal.calibration(TWO, logits[None], y, validation=(logits[None, :50], y[:50]))
    assert few["after"] is None and few["temperature"] is None
