"""Folds: every labelled row is tested once; classes are spread, groups and equal rows stay together."""

import numpy as np
import pandas as pd
import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError, NotSupported
from limbeck.data.folds import Folds
from limbeck.data.keys import found_in


def table(rows=70, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 4)).astype(np.float32), np.array(["a", "b", "c"])[
        rng.permutation(np.arange(rows) % 3)
    ]


def of(data, count=5):
    folds = Folds.cut(data, count)
    return folds, [folds.fold(number) for number in range(count)]


def test_every_labelled_row_is_tested_once_by_models_that_have_not_seen_it():
    folds, each = of(lb.Data(train=table()))
    assert len(folds.data.test) == 70
    tested = np.concatenate([data.test.keys for data in each])
    assert len(np.unique(tested, axis=0)) == 70 and found_in(folds.data.test.keys, tested).all()
    for number, data in enumerate(each):
        assert (data.test.keys == folds.data.test.keys[folds.judged == number]).all()
        for seen in (data.train, data.validation):
            assert not found_in(data.test.keys, seen.keys).any()
        assert len(data.train) + len(data.validation) + len(data.test) == 70 and len(data.validation) == 11
    assert len({data.fingerprint for data in [folds.data, *each]}) == 6


def test_classes_are_spread_over_the_folds():
    folds, each = of(lb.Data(train=table(rows=68)), 4)
    counts = np.array([np.bincount(data.test.targets["main"], minlength=3) for data in each])
    assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all() and set(counts.sum(axis=1)) <= {16, 17, 18}
    assert (Folds.cut(lb.Data(train=table(rows=68)), 4).of == folds.of).all()  # the same again
    other = Folds.cut(lb.Data(train=table(rows=68), seed=1), 4)
    assert not np.array_equal(
        np.sort(other.pool.keys[other.of == 0], axis=0), np.sort(folds.pool.keys[folds.of == 0], axis=0)
    )


def test_groups_and_equal_rows_stay_in_one_fold():
    x, y = table()
    x[1:4] = x[0]
    _, each = of(lb.Data(train=(x, y), groups=np.arange(70) // 5), 5)
    for data in each:
        for seen in (data.train, data.validation):
            assert not set(data.test.groups) & set(seen.groups)
    assert {len(data.test) for data in each} <= {10, 15, 20}


def test_rows_without_a_label_train_in_every_fold():
    x, y = table()
    y = pd.Series(y).where(np.arange(70) % 7 > 0, None)
    _, each = of(lb.Data(train=(x, y), unlabeled=np.concatenate([x[1:3] + 1, x[1:2]])))
    assert sum(len(data.test) for data in each) == 60
    assert all((~data.train.label_mask["main"]).sum() == 10 for data in each)
    for data in each:  # the unlabelled row that is labelled too leaves the fold that tests (or validates) it
        held = np.concatenate([data.test.keys, data.validation.keys])
        assert not found_in(data.unlabeled.keys, held).any() and len(data.unlabeled) in (2, 3)
    assert {len(data.unlabeled) for data in each} == {2, 3}


def test_numbers_are_scaled_by_the_training_rows_of_their_fold():
    x, _ = table()
    y = x[:, 0] * 100 + 1000
    folds, each = of(lb.Data(train=(x, y)))
    for data in each:
        task, train = data.tasks["main"], data.train.targets["main"]
        assert abs(train.mean()) < 1e-4 and abs(train.std() - 1) < 1e-4
        whole = folds.data.tasks["main"].truth(folds.data.test, "main")[folds.judged == each.index(data)]
        assert np.allclose(task.truth(data.test, "main"), whole, rtol=1e-5)
    assert len({data.preprocess.fingerprint for data in each}) == 5


def test_given_validation_rows_serve_every_fold():
    x, y = table()
    _, each = of(lb.Data(train=(x[:50], y[:50]), validation=(x[45:], y[45:])), 5)
    assert sum(len(data.test) for data in each) == 50
    for data in each:
        assert not found_in(data.validation.keys, data.test.keys).any() and len(data.validation) >= 20


def test_what_folds_are_not_for_is_refused():
    x, y = table()
    with pytest.raises(ConfigError, match=r"(?s)expected no test rows beside folds=5, got 10.*\n\n.*windows of times"):
        Folds.cut(lb.Data(train=(x[:60], y[:60]), test=(x[60:], y[60:])), 5)
    with pytest.raises(
        ConfigError, match=r"expected folds from 2 up to the 7 distinct labelled rows \(or groups\), got 8"
    ):
        Folds.cut(lb.Data(train=(x, y), groups=np.arange(70) // 10), 8)
    words = [["one", "two"]] * 3 + [["two", "three"]] * 3
    tagged = lb.Data(
        train=(words, [["B-X", "O"]] * 3 + [["O", "B-X"]] * 3), validation=(words, [["B-X", "O"]] * 6), task="tagging"
    )
    with pytest.raises(NotSupported, match=r"expected tasks of classification.* for folds, got 'main' of kind tagging"):
        Folds.cut(tagged, 2)


def test_rows_without_a_label_do_not_show_what_is_tested():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    y = rng.integers(0, 2, 60).astype(float)
    again = lb.Data(train=(np.concatenate([x, x[:20]]), np.concatenate([y, np.full(20, np.nan)])))
    y[::5] = np.nan
    grouped = lb.Data(train=(x, y), groups=np.repeat(np.arange(12), 5))
    for data in (again, grouped):
        folds = Folds.cut(data, 4)
        for number in range(4):
            made = folds.fold(number)
            assert not found_in(made.test.keys, made.train.keys).any()
            if made.test.groups is not None:
                assert not set(made.test.groups) & set(made.train.groups)


def test_a_task_whose_labels_are_all_in_one_fold_is_refused():
    rng = np.random.default_rng(0)
    price = np.full(60, np.nan)
    price[:20] = rng.normal(size=20)
    groups = np.r_[np.zeros(20), np.arange(1, 41)]
    x, held = rng.normal(size=(60, 3)), rng.normal(size=(8, 3))
    beside = {"topic": np.tile([0.0, 1.0], 4), "price": rng.normal(size=8)}
    data = lb.Data(
        train=(x, {"topic": np.tile([0.0, 1.0], 30), "price": price}), validation=(held, beside), groups=groups
    )
    with pytest.raises(ConfigError, match="labels of 'price' in two folds or more, all of them are in one"):
        Folds.cut(data, 5)
