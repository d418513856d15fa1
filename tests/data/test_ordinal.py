"""Ordered classes: their order, the level that is decided for, and how far wrong is measured."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from limbeck.core.errors import ConfigError
from limbeck.data.infer import build_task
from limbeck.data.ordinal import Ordinal
from limbeck.data.tasks import Classification, task_from_spec
from limbeck.evaluate.answers import decide
from limbeck.evaluate.quality import metric_for

LEVELS = Ordinal(("poor", "fair", "good", "best"))


def drawn(rows=300):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, rows)
    return rng.normal(size=(rows, 4)) + 2 * np.eye(4)[y], y, rng.integers(1, 4, rows).astype(float)


def test_levels_keep_the_order_that_the_user_gave():
    task = build_task("ordinal", ["good", "poor", None], ["poor", "fair", "good"])
    ids, mask = task.encode(["good", "poor", None])
    assert task.classes == ("poor", "fair", "good") and ids.tolist() == [2, 0, 0] and mask.tolist() == [1, 1, 0]
    assert task_from_spec(task.spec) == task and task != Classification(task.classes)


def test_the_order_of_numbers_and_of_ordered_categories_is_known():
    assert build_task("ordinal", [10, 9, 3], None).classes == ("3", "9", "10")
    grades = pd.Series(pd.Categorical(["b", "a"], categories=["c", "b", "a"], ordered=True))
    assert build_task("ordinal", grades, None).classes == ("c", "b", "a")


def test_texts_without_an_order_are_refused():
    with pytest.raises(ConfigError, match=r"the order of the levels .* got texts \(fair, good\)\n\nname them"):
        build_task("ordinal", ["good", "fair"], None)


def test_the_median_is_decided_for():
    logits = np.log([[0.4, 0.05, 0.25, 0.3], [0.1, 0.1, 0.2, 0.6]])
    assert LEVELS.decisions(logits).tolist() == [2, 3] and LEVELS.predict(logits).tolist() == ["good", "best"]
    assert decide(LEVELS.outcome, logits[None]).tolist() == [[2, 3]]


@pytest.mark.parametrize("weighted", [False, True])
def test_kappa_is_that_of_scikit_learn(weighted):
    logits, y, w = drawn()
    weights = w if weighted else None
    wanted = cohen_kappa_score(y, LEVELS.decisions(logits), weights="quadratic", sample_weight=weights)
    assert metric_for(LEVELS.outcome)(logits, y, weights) == pytest.approx(wanted, abs=1e-12)


def test_the_influence_on_kappa_is_its_derivative():
    logits, y, w = drawn(40)
    metric = metric_for(LEVELS.outcome, "qwk")
    found = metric.influence(logits, y, w)
    step = 1e-6
    moved = [metric(logits, y, w + step * w.sum() * np.eye(len(w))[row]) for row in range(len(w))]
    np.testing.assert_allclose(found, (np.array(moved) - metric(logits, y, w)) / step, atol=1e-4)
    assert np.average(found, weights=w) == pytest.approx(0, abs=1e-12)


def test_distances_are_counted_in_levels():
    answers, y = np.log(np.eye(4)[[0, 3, 1]] + 1e-9), np.array([0, 0, 2])
    assert metric_for(LEVELS.outcome, "level_mae")(answers, y) == pytest.approx(4 / 3)
    assert metric_for(LEVELS.outcome, "accuracy")(answers, y) == pytest.approx(1 / 3)
    assert LEVELS.trivial(np.array([0, 1, 1, 3]), 2).tolist() == [1, 1]
