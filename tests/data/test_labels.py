from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch

from limbeck.core.errors import ConfigError
from limbeck.data.labels import (
    as_labels,
    check_names,
    names_in,
    numbers_of,
    present,
    sorted_names,
    text_of,
    texts_of,
    whole_numbers,
)
from limbeck.data.raw import group_names, named_labels


@pytest.mark.parametrize(
    "raw",
    [
        ["a", None, "b"], ["a", np.nan, "b"], ["a", pd.NA, "b"], ["a", "", "b"], ["a", "  ", "b"],
        np.array(["a", None, "b"], dtype=object), pd.Series(["a", None, "b"]),
        pd.Series(["a", None, "b"], dtype="string"),
        pd.Series(["a", None, "b"], dtype="category"), pd.Categorical(["a", None, "b"]), pd.Index(["a", None, "b"]),
        ("a", None, "b"), pd.DataFrame({"y": ["a", None, "b"]}), np.array([["a"], [None], ["b"]], dtype=object),
        pd.Series(["a", None, "b"], dtype="str"),
    ],
)  # fmt: skip
def test_containers_of_text_labels_are_alike(raw):
    values = as_labels(raw)
    assert values.shape == (3,) and present(values).tolist() == [True, False, True]
    assert texts_of(values[present(values)]).tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "raw",
    [
        [1, None, 2], [1.0, np.nan, 2], pd.Series([1, None, 2], dtype="Int64"), pd.Series([1, None, 2]),
        pd.Series([1, None, 2], dtype="Float64"), pd.Series([1, None, 2], dtype="category"),
        np.array([1, np.nan, 2], np.float32), [Decimal(1), None, Decimal(2)],
    ],
)  # fmt: skip
def test_containers_of_numbers_are_alike(raw):
    values = as_labels(raw)
    assert present(values).tolist() == [True, False, True]
    assert texts_of(values[present(values)]).tolist() == ["1", "2"]


def test_lists_of_names_and_matrices():
    lists = as_labels([["a"], ["a", "b"], None])
    assert lists.dtype == object and present(lists).tolist() == [True, True, False]
    assert as_labels([[0, 1], [1, 1]]).tolist() == [[0, 1], [1, 1]]
    assert as_labels([np.array([0, 1]), np.array([1, 1])]).shape == (2, 2)
    cells = as_labels(pd.Series([np.array(["a"]), None, np.array(["a", "b"])]))
    assert cells.tolist() == [["a"], None, ["a", "b"]]
    assert present(np.array([[1, np.nan], [1, 0]])).tolist() == [False, True]


def test_names_of_classes():
    cases = {"3": [3, 3.0, "3", " 3 ", np.int8(3), np.float32(3)], "True": [True, np.bool_(True)], "0.5": [0.5, "0.5"]}
    for name, values in cases.items():
        assert {text_of(value) for value in values} == {name}
    assert texts_of(np.array([1, True, 1.0], dtype=object)).tolist() == ["1", "True", "1"]
    assert sorted_names(["10", "9", "9"]) == ("9", "10") and sorted_names(["10", "9", "a"]) == ("10", "9", "a")
    assert whole_numbers(["-1", "0", "12"]) and not whole_numbers(["01"]) and not whole_numbers(["1.0"])


def test_several_names_in_one_cell():
    assert names_in("a| b ;c|") == ["a", "b", "c"] and names_in(["x", 3.0]) == ["x", "3"] and names_in(7) == ["7"]


def test_numbers_of_a_matrix():
    np.testing.assert_array_equal(numbers_of(np.array([[1, None], [True, "2"]], object)), [[1, np.nan], [1, 2]])
    with pytest.raises(ConfigError, match="several label columns, got 'x' in row 1\n\nfor several tasks name each"):
        numbers_of(np.array([[1, 2], [1, "x"]], dtype=object))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (np.zeros((2, 2, 2)), r"labels \[N\] or \[N, L\], got shape \(2, 2, 2\)\n\ngive several outputs as a mapping"),
        ("a", "one label per row, got the single value 'a'\n\ngive a list"),
        (pd.date_range("2024", periods=2), "labels as text or numbers, got dates"),
        (pd.Series(pd.to_timedelta([1, 2])), "labels as text or numbers, got dates"),
        ([pd.Timestamp(0)], "labels as text or numbers, got dates"),
    ],
)
def test_labels_that_are_refused(raw, text):
    with pytest.raises(ConfigError, match=text):
        as_labels(raw)
    with pytest.raises(ConfigError, match="one class for each row, got a list of them\n\nuse task='multilabel'"):
        texts_of(as_labels([["a"], ["b", "c"]]))


def test_names_are_checked():
    with pytest.raises(ConfigError, match="distinct labels, got 'a' twice\n\nname each of the labels once"):
        check_names(("a", "b", "a"), "labels", 1)


def test_labels_by_task():
    labels, names = named_labels({"a": torch.tensor([1, 0]), 2: ["x", None]})
    assert labels["a"].tolist() == [1, 0] and labels["2"].tolist() == ["x", None] and names == {}
    labels, names = named_labels(pd.DataFrame({"u": [1, 0], "v": [0, 1]}))
    assert labels["main"].tolist() == [[1, 0], [0, 1]] and names == {"main": ("u", "v")}


def test_groups_are_text_and_a_missing_one_stands_alone():
    names = group_names(np.array([1, 1.0, "a", None, np.nan], dtype=object))
    assert names[0] == names[1] == "1" and names[2] == "a" and len(set(names)) == 4
    assert group_names(None) is None


def test_lists_of_numbers_with_gaps_are_a_matrix():
    found = as_labels([[1, 0], [None, 1], [0, 1]])
    assert found.dtype == np.float64 and np.isnan(found[1, 0]) and found[2].tolist() == [0, 1]
    assert as_labels([["a", None], ["b", "a"]]).dtype == object
