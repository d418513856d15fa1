import datetime

import numpy as np
import pandas as pd
import pytest

from limbeck.core.errors import ConfigError
from limbeck.data.infer import build_task, infer_task
from limbeck.data.tasks import Classification, MultiLabel, Regression

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("raw", "kind", "reason"),
    [
        (["a", "b", None], "classification", "labels are text, 2 distinct"),
        ([True, False], "classification", "labels are true or false"),
        (pd.Series([True, None, False], dtype="boolean"), "classification", "labels are true or false"),
        ([0, 1, 1, 0], "classification", "labels are whole numbers, 2 distinct in 4 rows"),
        (np.repeat([2.0, 5, 9], 5), "classification", "labels are whole numbers, 3 distinct in 15 rows"),
        (np.repeat(np.arange(60), 5), "classification", "labels are whole numbers, 60 distinct in 300 rows"),
        (pd.Series([1, None, 2] * 9, dtype="Int64"), "classification", "whole numbers, 2 distinct in 18 rows"),
        (np.arange(100), "regression", "labels are whole numbers, but 100 distinct in 100 rows"),
        (np.repeat(np.arange(0, 6000, 100), 5), "regression", "labels are whole numbers, but 60 distinct in 300 rows"),
        ([0.5, 1, 2], "regression", "labels are fractions, 3 distinct in 3 rows"),
        ([["a"], ["a", "b"]], "multilabel", "each row has a list of labels"),
        (RNG.integers(0, 2, (30, 4)), "multilabel", "labels are 4 columns of 0 and 1"),
        (np.eye(4)[[0, 1, 2, 3]], "classification", "exactly one 1 in every row"),
        (RNG.normal(size=(30, 2)), "regression", "labels are 2 columns of numbers"),
        (pd.DataFrame({"a": [1, 0], "b": [1, None]}), "multilabel", "labels are 2 columns of 0 and 1"),
    ],
)  # fmt: skip
def test_the_task_is_guessed_with_a_reason(raw, kind, reason):
    found, note = infer_task(raw, "mood")
    assert found == kind and reason in note.measured
    assert (note.code, note.grade) == ("LB110", "note") and "mood" in note.title and f"task='{kind}'" in note.todo


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ([None, np.nan], "labels to infer the task from, got none\n\nsay task='classification'"),
        (np.full((3, 2), np.nan), "labels to infer the task from, got none"),
        ([[0, "x"], [1, "y"]], "numbers where a task has several label columns, got 'x' in row 0\n\nfor several tasks"),
        ([datetime.date(2024, 1, 1)], "labels as text or numbers, got dates"),
        ([{"a": 1}, {"b": 2}], "numbers"),
    ],
)
def test_labels_that_no_task_has_are_refused(raw, text):
    if isinstance(raw[0], list):
        raw = np.array(raw, dtype=object)
    with pytest.raises(ConfigError, match=text):
        infer_task(raw)


def test_given_classes_decide_order_and_number():
    assert build_task("classification", ["b", "a"], ["b", "a", "c"]) == Classification(("b", "a", "c"))
    assert build_task("classification", [0, 1], 4).classes == ("0", "1", "2", "3")
    assert build_task("classification", [2, 5], [2, 5.0]).classes == ("2", "5")
    assert build_task("multilabel", [["a"]], ["b", "a"]) == MultiLabel(("b", "a"))


def test_names_come_from_columns_where_there_are_several():
    matrix = np.eye(3)
    assert build_task("classification", matrix, None, ("x", "y", "z")).classes == ("x", "y", "z")
    assert build_task("classification", matrix, None).classes == ("0", "1", "2")
    assert build_task("multilabel", matrix, None, ("x", "y", "z")).labels == ("x", "y", "z")
    assert build_task("regression", matrix, None, ("x", "y", "z")).targets == ("x", "y", "z")
    assert isinstance(build_task("regression", [1, 2, 3], None), Regression)
    assert build_task("multilabel", [1, 0], None, ("spam",)).labels == ("spam",)


def test_an_unknown_task_is_refused_with_the_nearest():
    with pytest.raises(
        ConfigError, match=r"classification, multilabel, regression.*, got 'regresion'\n\ndid you mean 'regr"
    ):
        build_task("regresion", [1, 2], None)


def test_a_score_beside_two_texts_may_be_a_similarity():
    scores = [0.5, 1, 2.5]
    pair = pd.DataFrame({"a": ["one text", "two", "three"], "b": ["and", "another", "text"]})
    found, note = infer_task(scores, inputs=pair)
    assert found == "regression"
    assert "or 'similarity' (a student that embeds each text, for search and comparison) or 'class" in note.todo
    assert "similarity" not in infer_task(scores, inputs=pair[["a"]])[1].todo
    assert "similarity" not in infer_task(["x", "y", "x"], inputs=pair)[1].todo
