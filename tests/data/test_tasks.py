import json

import numpy as np
import pandas as pd
import pytest
import torch

from limbeck.core.errors import ConfigError
from limbeck.data.tasks import Classification, MultiLabel, Regression, class_names, label_names, task_from_spec

ANIMALS = Classification(("cat", "dog", "10"))
NUMBERED = Classification(("0", "1", "2"))


@pytest.mark.parametrize(
    ("raw", "ids", "mask"),
    [
        (["dog", "cat", " cat ", "10"], [1, 0, 0, 2], [1, 1, 1, 1]),
        (["dog", None, "", float("nan")], [1, 0, 0, 0], [1, 0, 0, 0]),
        (pd.Series(["dog", None, "cat"], dtype="string"), [1, 0, 0], [1, 0, 1]),
        (pd.Categorical(["dog", None, "cat"]), [1, 0, 0], [1, 0, 1]),
        ([0, 2, 1], [0, 2, 1], [1, 1, 1]),
        (np.array([[0, 1, 0], [0, 0, 1]]), [1, 2], [1, 1]),
        (np.array([[0, 1, 0], [np.nan, 0, 1]]), [1, 0], [1, 0]),
    ],
)
def test_labels_become_class_ids(raw, ids, mask):
    found, there = ANIMALS.encode(raw)
    assert found.dtype == np.int64 and found.tolist() == ids and there.tolist() == [bool(m) for m in mask]


@pytest.mark.parametrize(
    "raw", [[2, 0], [2.0, 0.0], ["2", "0"], np.array([2, 0], np.uint8), pd.Series([2, 0], dtype="Int64"), ["2 ", 0]]
)
def test_a_number_is_the_class_of_its_name_however_it_is_written(raw):
    assert NUMBERED.encode(raw)[0].tolist() == [2, 0]


@pytest.mark.parametrize(
    ("task", "raw", "text"),
    [
        (ANIMALS, ["cat", "dgo"], "one of the 3 classes cat, dog, 10, got label 'dgo' in row 1\n\ndid you mean 'dog'"),
        (ANIMALS, [0, None, 3, 4], r"class ids from 0 to 2, got 3 in row 2 \(and 1 more unknown labels\)\n\nthere"),
        (ANIMALS, [0, -1], "class ids from 0 to 2, got -1 in row 1"),
        (NUMBERED, [0, 3], "one of the 3 classes 0, 1, 2, got label '3' in row 1\n\ncorrect the label, or name all"),
        (NUMBERED, [0.5], "got label '0.5' in row 0"),
        (NUMBERED, np.zeros((2, 4)), r"one-hot rows of 3 classes, got shape \(2, 4\)\n\nfor several labels a row"),
        (NUMBERED, [[0, 1, 1]], r"one-hot rows with exactly one 1, got \[0, 1, 1\] in row 0\n\n.*task='multilabel'"),
        (NUMBERED, [["0", "1"], ["1", "2"]], "one class for each row, got a list of them\n\nuse task='multilabel'"),
    ],
)  # fmt: skip
def test_labels_that_are_no_class_are_refused(task, raw, text):
    with pytest.raises(ConfigError, match=text):
        task.encode(raw)


def test_the_order_of_classes_is_by_number_where_all_are_numbers():
    assert class_names(["10", "9", "1", None]) == ("1", "9", "10")
    assert class_names([2, 10, 5]) == ("2", "5", "10") and class_names([0.5, 0.25]) == ("0.25", "0.5")
    assert class_names(["b10", "b9", "a"]) == ("a", "b10", "b9")
    assert class_names([True, False]) == class_names(np.array([True, False])) == ("False", "True")


def test_decisions_come_as_the_user_wrote_the_classes():
    logits = np.eye(2)
    cases = [
        (("5", "7"), [5, 7]),
        (("False", "True"), [False, True]),
        (("a", "b"), ["a", "b"]),
        (("01", "1"), ["01", "1"]),
    ]
    for names, expected in cases:
        found = Classification(names).predict(logits).tolist()
        assert found == expected and type(found[0]) is type(expected[0])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Classification(("a",)), r"at least 2 classes, got 1 \('a'\)\n\ncheck that labels are in the right"),
        (lambda: Classification(()), "at least 2 classes, got 0"),
        (lambda: Classification(("a", "a")), "distinct classes, got 'a' twice"),
        (lambda: MultiLabel(()), "at least 1 labels, got 0"),
        (lambda: Regression(("y",), (0.0,), (0.0,)), "a mean and a scale above 0 for each of 1 targets"),
        (lambda: task_from_spec({"kind": "ranking"}), "a task of kind auto, classification, multilabel, .*got 'r"),
    ],
)  # fmt: skip
def test_tasks_that_are_refused(make, text):
    with pytest.raises(ConfigError, match=text):
        make()


GENRES = MultiLabel(("art", "sport", "war"))


@pytest.mark.parametrize(
    "raw",
    [
        [["sport"], [], ["war", "art"], None],
        [{"sport"}, set(), {"war", "art"}, None],
        [np.array(["sport"]), np.array([]), np.array(["war", "art"]), None],
        np.array([[0, 1, 0], [0, 0, 0], [1, 0, 1], [np.nan] * 3]),
        pd.DataFrame({"a": [0, 0, 1, None], "b": [1, 0, 0, None], "c": [0, 0, 1, None]}, dtype=object),
    ],
)
def test_labels_that_apply_become_ones(raw):
    targets, mask = GENRES.encode(raw)
    assert targets.dtype == np.float32 and targets.tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 0, 0]]
    assert mask.tolist() == [True, True, True, False]


def test_labels_in_one_text():
    targets, mask = GENRES.encode(["art|war", "sport; art", "", "war"])
    assert targets.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0], [0, 0, 1]] and mask.tolist() == [
        True,
        True,
        False,
        True,
    ]
    assert label_names(["b|a", "c", None]) == ("a", "b", "c")


def test_one_label_may_be_a_plain_column():
    assert MultiLabel(("spam",)).encode([1, 0, 1])[0].tolist() == [[1], [0], [1]]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ([["sprot"]], "labels among art, sport, war, got label 'sprot' in row 0\n\ndid you mean 'sport'"),
        (np.zeros((2, 2)), r"3 columns of 0 and 1 \(art, sport, war\), got 2"),
        ([[0, 0.5, 0]], "0 or 1 for label 'sport', got 0.5 in row 0\n\nscores of a teacher are no labels"),
        (np.array([[0, 1, "x"]], dtype=object), "numbers where a task has several label columns, got 'x' in row 0"),
    ],
)
def test_labels_that_do_not_fit_are_refused(raw, text):
    with pytest.raises(ConfigError, match=text):
        GENRES.encode(raw)


@pytest.mark.parametrize("raw", [[1, 2, 3, None], pd.Series([1, 2, 3, None], dtype="Int64"), [1.0, 2, 3, np.nan]])
def test_regression_trains_on_standard_units_and_answers_in_natural_ones(raw):
    task = Regression.fit(raw)
    targets, mask = task.encode(raw)
    assert mask.tolist() == [True, True, True, False] and targets.dtype == np.float32
    np.testing.assert_allclose(targets[:3, 0], [-(1.5**0.5), 0, 1.5**0.5], rtol=1e-6)
    np.testing.assert_allclose(task.predict(targets[:3]), [1, 2, 3], rtol=1e-6)
    there_and_back = task.to_natural(task.to_training(torch.tensor([[5.0]], dtype=torch.float64)))
    torch.testing.assert_close(there_and_back, torch.tensor([[5.0]], dtype=torch.float64))


def test_several_targets_and_constant_ones():
    task = Regression.fit(pd.DataFrame({"a": [1.0, 3], "b": [7.0, 7]}), ("a", "b"))
    assert task.scale == (1.0, 1.0) and task.predict(np.zeros((1, 2))).tolist() == [[2, 7]]
    assert task.encode([[1, 7], [np.nan, 7], [np.nan] * 2])[1].tolist() == [True, True, False]
    huge = Regression.fit([1e12, 1e12 + 1e-6])
    assert huge.scale == (1.0,)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ([1, "much"], "numbers for a regression task, got 'much' in row 1\n\ncorrect the value, or use task='class"),
        ([1, np.inf], "finite regression targets, got an infinite one in row 1\n\nleave the row out or clip"),
        (np.zeros((2, 3)), r"1 target columns \(y\), got 3"),
    ],
)
def test_targets_that_are_refused(raw, text):
    with pytest.raises(ConfigError, match=text):
        Regression(("y",), (0.0,), (1.0,)).encode(raw)


@pytest.mark.parametrize("task", [ANIMALS, GENRES, Regression(("a", "b"), (1.5, 0.0), (0.1, 3.0))])
def test_specs_make_the_same_task(task):
    assert task_from_spec(json.loads(json.dumps(task.to_spec()))) == task
