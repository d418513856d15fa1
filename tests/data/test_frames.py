from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from limbeck.core.errors import ConfigError
from limbeck.data.frames import is_numeric, like_column, numbers, pick, texts, tidy


def test_tidy_makes_plain_columns():
    frame = pd.DataFrame(
        {0: [1, None], "t": ["a", None], "o": pd.Series([1, 2.5], dtype=object, index=[7, 8])}, index=[7, 8]
    )
    table, said = tidy(frame.assign(d=[Decimal("1.5"), None], b=pd.Series([True, None], dtype=object, index=[7, 8])))
    assert list(table) == ["0", "t", "o", "d", "b"] and table.index.tolist() == [0, 1] and said == []
    assert [table[n].dtype.kind for n in ("0", "o", "d", "b")] == ["f"] * 4
    np.testing.assert_array_equal(table["d"], [1.5, np.nan])


@pytest.mark.parametrize(
    ("column", "days"),
    [
        (pd.Series(pd.to_datetime(["1970-01-03", None])), [2, np.nan]),
        (pd.Series(pd.to_datetime(["1970-01-03 12:00", None]).tz_localize("UTC")), [2.5, np.nan]),
        (pd.Series([pd.Timestamp("1970-01-03").date(), None], dtype=object), [2, np.nan]),
        (pd.Series(pd.to_timedelta([36, None], unit="h")), [1.5, np.nan]),
    ],
)
def test_dates_and_durations_are_days(column, days):
    table, said = tidy(pd.DataFrame({"when": column}))
    np.testing.assert_array_equal(table["when"], days)
    assert said == ["dates in when became days since 1970"]


def test_what_counts_as_numeric():
    numeric = [[1, 2], [1.5, None], [True, False], pd.array([1, None], dtype="Int64"), [2**70, 1]]
    assert all(is_numeric(pd.Series(values)) for values in numeric)
    text = [["1", "2"], pd.Categorical([1, 2]), pd.Series([1, "a"], dtype=object), pd.Series([None], dtype=object)]
    assert not any(is_numeric(pd.Series(values)) for values in text)


def test_numbers_of_a_column():
    for values in (
        [1, 2, None],
        ["1", " 2 ", None],
        pd.array([1, 2, None], dtype="Int64"),
        pd.Categorical([1, 2, None]),
    ):
        np.testing.assert_array_equal(numbers(pd.Series(values), "n"), [1, 2, np.nan])
    for bad in ("many", [1], 10**400):
        with pytest.raises(ConfigError, match=r"expected numbers in column 'n', got '.*' in row 1\n\nthe column holds"):
            numbers(pd.Series([1, bad], dtype=object), "n")


def test_texts_of_a_column():
    columns = [pd.Series(["b", None, "a"]), pd.Series(["b", "", "a"]), pd.Categorical(["b", None, "a"])]
    for column in columns:
        codes, names = texts(pd.Series(column))
        assert codes[1] == -1 and [names[i] for i in codes[[0, 2]]] == ["b", "a"]
    codes, names = texts(pd.Series([3, 3.0, "3", None], dtype=object))
    assert codes.tolist() == [0, 0, 0, -1] and names == ["3"]


def test_a_column_of_another_split_is_read_as_in_train():
    number, text = pd.Series([1.0, 2]), pd.Series(["1", "x"])
    assert like_column(number, number, "c") == {} == like_column(text, text, "c")
    assert like_column(number, pd.Series(["3", None]), "c")["c"].tolist()[0] == 3
    assert like_column(text, pd.Series([3.0, np.nan]), "c")["c"].tolist() == ["3", None]
    assert like_column(number, pd.Series([None, None], dtype=object), "c") == {}
    assert like_column(pd.Series([1, "x"], dtype=object), pd.Series([1, 1]), "c") == {}
    assert like_column(pd.Series([np.nan, np.nan]), text, "c") == {}
    with pytest.raises(ConfigError, match="expected numbers in column 'c', got 'x' in row 1"):
        like_column(number, text, "c")


def test_columns_that_are_not_there_are_named_with_their_neighbours():
    with pytest.raises(
        ConfigError, match="columns 'aeg', 'zzz' in the inputs, not found\n\nfor 'aeg' did you mean 'age'"
    ):
        pick(pd.DataFrame({"age": [1], "b": [2]}), ["aeg", "zzz"], "the inputs")
    assert list(pick(pd.DataFrame({1: [1], "b": [2]}), ["b", "1"], "x")) == ["b", "1"]
