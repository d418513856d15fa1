"""Windows of tables of times: what lies in them, where splits end, and series that are refused."""

import numpy as np
import pandas as pd
import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.data.window_spec import WindowSpec
from limbeck.data.windows import pasts, windows

HOURS = pd.date_range("2024-01-01", periods=100, freq="h")
TABLE = pd.DataFrame({"hour": HOURS, "load": np.arange(100.0), "heat": np.arange(100.0) * 10})


def cut(*tables, **settings):
    """Inputs and named targets of every split."""
    splits = windows(*tables, **settings)
    return {
        split: (raw.inputs, pd.DataFrame(raw.labels["main"], columns=list(raw.label_columns["main"])))
        for split, raw in splits.items()
    }


def test_a_window_is_the_past_and_the_steps_behind_it():
    (x, y) = cut(TABLE, target="load", history=5, horizon=2, time="hour")["train"]
    assert x.shape[1:] == (2, 5) and list(y.columns) == ["load+1", "load+2"]
    assert x[0].tolist() == [[0, 1, 2, 3, 4], [0, 10, 20, 30, 40]] and y.iloc[0].tolist() == [5, 6]
    assert x[-1, 0, -1] + 1 == y.iloc[-1, 0]


def test_what_a_split_forecasts_lies_inside_it():
    splits = cut(TABLE, target="load", history=5, horizon=3, validation_fraction=0.25, test_fraction=0.2)
    spans = {split: (y.to_numpy().min(), y.to_numpy().max()) for split, (_, y) in splits.items()}
    assert spans == {"train": (5, 59), "validation": (60, 79), "test": (80, 99)}
    for x, y in splits.values():
        assert len(x) == len(y) and (x[:, 0, -1] + 1 == y["load+1"]).all()  # nothing of the future is in the past


def test_later_rows_are_the_test_and_windows_may_start_in_the_rows_before():
    splits = cut(TABLE[:70], TABLE[70:], target=["heat", "load"], inputs=["load"], history=8, horizon=2, time="hour")
    x, y = splits["test"]
    assert y["load+1"].min() == 70 and x.shape == (29, 1, 8) and x[0, 0, 0] == 62
    assert list(y.columns) == ["heat+1", "heat+2", "load+1", "load+2"]


def test_a_stride_leaves_windows_out():
    (x, y) = cut(TABLE, target="load", history=4, horizon=2, stride=3)["train"]
    assert y["load+1"].tolist()[:3] == [4, 7, 10] and x[1, 0].tolist() == [3, 4, 5, 6]


def test_windows_share_the_memory_of_their_table():
    long = pd.DataFrame({"load": np.random.default_rng(0).normal(size=5_000)})
    splits = windows(long, target="load", history=1_000)
    x = splits["train"].inputs
    assert x.base is not None and x.strides[0] == x.strides[2] == 4  # one step is one number further
    data = lb.Data(**splits)
    assert data.train.inputs.strides == x.strides and data.test.inputs.base is not None
    assert [len(rows) for rows in (data.train, data.validation, data.test)] == [
        len(raw.inputs) for raw in splits.values()
    ]


def test_every_past_of_a_table_is_there_to_forecast_from():
    spec = WindowSpec(target="load", history=4, horizon=2, stride=3, time="hour")
    past, ends = pasts(spec, TABLE[:12])
    assert past[:, 0, -1].tolist() == [3, 6, 9] and ends["hour"].tolist() == HOURS[[3, 6, 9]].to_numpy().tolist()
    with pytest.raises(ConfigError, match="4 rows of past at least, got 3"):
        pasts(spec, TABLE[:3])


def test_windows_that_overlap_are_a_group():
    groups = windows(TABLE, target="load", history=5, horizon=3)["test"].groups
    assert groups.tolist() == ["test 0"] * 8 + ["test 1"] * 8 + ["test 2"] * 2


LATE = TABLE.assign(hour=HOURS.where(HOURS[7] != HOURS, HOURS[3]))
GAP = TABLE.drop(index=[40, 41])
HOLE = TABLE.assign(load=TABLE.load.where(TABLE.index != 12))


@pytest.mark.parametrize(
    ("table", "more", "words"),
    [
        (LATE, {}, r"times in order in column 'hour', row 7 \(2024-01-01 03:00:00\) does not come after row 6"),
        (TABLE[::-1], {}, "times in order in column 'hour', row 1 .*\n\nsort the table by time"),
        (GAP, {}, r"times 0 days 01:00:00 apart .* got 1 other steps, the first of 0 days 03:00:00 before row 40"),
        (HOLE, {}, "no gaps in the series, got 1 missing numbers, the first in row 12 of column 'load'\n\nfill them"),
        (TABLE, {"target": "laod"}, r"a column 'laod' \(target\) in the table\n\ndid you mean 'load'"),
        (TABLE, {"time": "day"}, r"a column 'day' \(time\)"),
        (TABLE, {"inputs": ["hour"]}, "expected numbers in column 'hour'"),
        (TABLE, {"history": 95}, "train to hold a window of 95 past and 2 future steps, it has 64 rows\n\ngive more"),
        (TABLE, {"horizon": 0}, "horizon: expected .*>= 1.*, got 0"),
        (TABLE.assign(hour="soon"), {}, "expected times in column 'hour', got"),
        ({"load": [1.0, 2.0], "heat": [1.0]}, {}, "columns of one length, got load 2, heat 1"),
        ([1.0, 2.0], {}, "a table with a row for each time, got list"),
    ],
)  # fmt: skip
def test_series_that_make_no_windows_are_refused(table, more, words):
    with pytest.raises(ConfigError, match=words):
        windows(table, **{"target": "load", "history": 5, "horizon": 2, "time": "hour"} | more)


@pytest.mark.parametrize("ragged", [[[1.0, 2.0], [[1.0]]], [np.ones((2, 3)), np.ones((1, 4))]])
def test_rows_of_other_dimensions_are_refused(ragged):
    with pytest.raises(ConfigError, match=r"rows of one shape in train, got .*\n\nresize or pad them"):
        lb.Data(train=(ragged, [0, 1]))


def test_a_recipe_does_not_mix_windows_with_other_rows():
    with pytest.raises(ConfigError, match=r"data.unlabeled: expected none beside windows"):
        lb.Recipe.from_text(
            "data: {train: a.csv, unlabeled: b.csv, windows: {target: load, history: 3}}\nteacher: mlp\nstudent: mlp\n"
        )
