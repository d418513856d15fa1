"""Labels of several columns of which a row knows some: kept in training, whole rows alone are judged."""

import numpy as np
import pandas as pd
import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.data.entries import filled, whole
from limbeck.data.infer import build_task
from limbeck.data.regression import Regression


def rows(n=60, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    return x, np.stack([x[:, 0] * 100 + 7, x[:, 1]], axis=1)


def test_known_entries_are_kept_and_scale_their_column():
    y = np.array([[1.0, np.nan], [3.0, 10.0], [np.nan, np.nan], [5.0, 30.0]])
    task = Regression.fit(y)
    assert task.mean == (3.0, 20.0) and task.scale[1] == 10.0
    targets, mask = task.encode(y)
    assert mask.tolist() == [True, True, False, True]
    assert np.isnan(targets).tolist() == [[False, True], [False, False], [False, False], [False, False]]
    np.testing.assert_allclose(task.natural_targets(targets)[mask], y[mask], rtol=1e-6)


def test_labels_that_are_there_or_unknown():
    task = build_task("multilabel", [[1, None], [0, 1], [None, None]], None)
    targets, mask = task.encode([[1, None], [0, 1], [None, None]])
    assert mask.tolist() == [True, True, False]
    assert targets[0, 0] == 1 and np.isnan(targets[0, 1]) and not np.isnan(targets[1:]).any()
    with pytest.raises(ConfigError, match=r"expected 0 or 1 for label '1', got 0.5 in row 0"):
        task.encode([[np.nan, 0.5], [0, 1]])


def test_a_target_that_no_row_knows_is_named():
    with pytest.raises(ConfigError, match="a value of every target, none of 2 has one of price") as refused:
        Regression.fit([[1.0, np.nan], [2.0, np.nan]], ["size", "price"])
    assert "leave the column out" in str(refused.value)


def test_training_rows_keep_what_they_know_and_test_rows_are_whole():
    x, y = rows()
    y[::3, 1] = np.nan
    test_x, test_y = rows(20, seed=1)
    test_y[:5, 0] = np.nan
    data = lb.Data(train=(x, y), test=(test_x, test_y), task="regression")
    assert data.train.label_mask["main"].all() and np.isnan(data.train.targets["main"]).any()
    for part in (data.validation, data.test):
        assert not np.isnan(part.targets["main"]).any()
    assert data.test.label_mask["main"].sum() == 15
    (part,) = [found for found in data.findings if found.code == "LB140"]
    assert "training rows miss some: y1 (" in part.measured
    (note,) = [found for found in data.findings if found.code == "LB117"]
    assert "5 of 20 in test" in note.measured
    again = lb.Data(train=(x, y), test=(test_x, test_y), task="regression")
    assert again.fingerprint == data.fingerprint
    assert whole(data.train, "main").sum() == (~np.isnan(data.train.targets["main"]).any(axis=1)).sum()
    assert not np.isnan(filled(data.train, "main").targets["main"]).any()


def test_test_rows_of_which_none_is_whole_are_refused():
    x, y = rows()
    other = y.copy()
    other[:, 1] = np.nan
    with pytest.raises(ConfigError, match=r"test: expected labels of 'main', none of its 60 rows"):
        lb.Data(train=(x, y), test=(x + 9, other), task="regression")


def test_the_task_is_seen_where_no_row_is_whole():
    x, y = rows()
    y[::2, 0], y[1::2, 1] = np.nan, np.nan
    test = rows(20, seed=1)
    assert lb.Data(train=(x, y), validation=rows(20, seed=2), test=test).tasks["main"].kind == "regression"
    flags = np.where(np.isnan(y), np.nan, (y > 0).astype(float))
    held = [(a, (b > 0).astype(float)) for a, b in (test, rows(20, seed=2))]
    data = lb.Data(train=(x, flags), validation=held[1], test=held[0])
    assert data.tasks["main"].kind == "multilabel" and data.train.label_mask["main"].all()


def test_equal_rows_that_know_other_entries_do_not_conflict():
    x, y = rows(40)
    flags = (y > 0).astype(float)
    first, second = flags.copy(), flags.copy()
    first[:, 0], second[:, 1] = np.nan, np.nan
    data = lb.Data(
        train=(np.concatenate([x, x]), np.concatenate([first, second])), validation=(x + 5, flags), test=(x - 5, flags)
    )
    assert "LB102" not in {found.code for found in data.findings}


def test_folds_judge_rows_that_are_whole():
    from limbeck.data.folds import Folds

    x, y = rows(50)
    y[::5, 1] = np.nan
    folds = Folds.cut(lb.Data(train=(x, y), task="regression"), 5)
    assert not np.isnan(folds.data.test.targets["main"]).any()
    made = folds.fold(0)
    assert np.isnan(made.train.targets["main"]).any() and not np.isnan(made.test.targets["main"]).any()


def test_empty_cells_of_a_table_are_unknown_entries(tmp_path):
    x, y = rows(60)
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(size=y[:, 0], price=y[:, 1])
    frame.loc[::4, "price"] = None
    frame.to_csv(tmp_path / "t.csv", index=False)
    columns = lb.Columns(target=("size", "price"))
    data = lb.Data(train=tmp_path / "t.csv", test=frame.dropna().iloc[:20] + 3, columns=columns)
    assert data.train.label_mask["main"].all() and np.isnan(data.train.targets["main"]).sum() > 5


def test_rows_that_are_split_off_to_be_judged_are_whole():
    x, y = rows(80)
    y[::2, 1] = np.nan
    data = lb.Data(train=(x, y), test_fraction=0.25, task="regression")
    assert data.test.label_mask["main"].all() and data.validation.label_mask["main"].all()
    assert np.isnan(data.train.targets["main"]).any()


def test_a_label_that_no_row_left_in_train_knows_is_named():
    x, y = rows(40)
    flags = (y > 0).astype(float)
    flags[:, 1] = np.nan
    with pytest.raises(
        ConfigError, match="train: expected a known value of each target of 'main', none of its 40 rows"
    ):
        lb.Data(train=(x, flags), validation=(x + 5, y > 0), test=(x - 5, y > 0), task="multilabel", classes=["a", "b"])
