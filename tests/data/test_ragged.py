"""Series of different lengths as rows: read, keyed, encoded, refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.data.keys import row_keys
from limbeck.data.preprocess import Preprocess
from limbeck.data.ragged import is_ragged, padded_series
from limbeck.data.raw import frame_inputs, inputs_of
from limbeck.data.rows import Rows

LENGTHS = (3, 5, 4)


def series(*channels: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(3, 2, (*channels, n)).astype(np.float32) for n in LENGTHS]


def rows_of(given: list[np.ndarray]) -> Rows:
    kind, inputs = inputs_of(given, "train")
    return Rows(kind, inputs, row_keys(kind, inputs))


@pytest.mark.parametrize("channels", [(), (2,)])
def test_lists_and_columns_become_series(channels: tuple[int, ...]) -> None:
    given = series(*channels)
    kind, inputs = inputs_of(given, "train")
    assert kind == "array" and is_ragged(inputs) and [row.shape[-1] for row in inputs] == list(LENGTHS)
    cells = [row.tolist() for row in given]
    for _, again in (inputs_of(cells, "train"), frame_inputs(pd.DataFrame({"x": cells}), "train")[:2]):
        assert (row_keys("array", again) == row_keys("array", inputs)).all()


def test_rows_of_one_length_stay_as_they_were() -> None:
    kind, inputs = inputs_of([np.zeros((2, 4)), np.ones((2, 4))], "train")
    assert kind == "array" and isinstance(inputs, np.ndarray) and inputs.shape == (2, 2, 4)
    assert not Preprocess.fit(Rows(kind, inputs, row_keys(kind, inputs))).ragged


def test_the_preprocessing_sees_only_the_values_that_are_there() -> None:
    given = series(2)
    preprocess = Preprocess.fit(rows_of(given))
    every = np.concatenate(given, axis=1).astype(np.float64)
    np.testing.assert_allclose(preprocess.spec["mean"], every.mean(1), rtol=1e-5)
    np.testing.assert_allclose(preprocess.spec["scale"], every.std(1), rtol=1e-5)
    encoded = preprocess.encode(given)
    assert encoded.shape == (3, 2, 5) and preprocess.shape == (2, 5)
    assert (np.isnan(encoded[:, 0]).sum(1) == [2, 0, 1]).all()
    wider = preprocess.encode([*given, np.zeros((2, 9), np.float32)])
    np.testing.assert_array_equal(wider[:3, :, :5], encoded)
    assert Preprocess.from_spec(preprocess.spec).fingerprint == preprocess.fingerprint


def test_splits_of_other_lengths_go_together() -> None:
    train, test = series(), [np.ones(9), np.zeros(9)]
    data = lb.Data(train=(train * 4, ["a", "b", "c"] * 4), test=(test, ["a", "b"]))
    assert is_ragged(data.train.inputs) and is_ragged(data.test.inputs)
    assert len(Rows.concat([data.train, data.test])) == len(data.train) + 2


def test_keys_tell_series_with_zeros_behind_them_apart() -> None:
    keys = rows_of([np.ones(2), np.array([1.0, 1.0, 0.0]), np.ones(2), np.ones(3)]).keys
    assert (keys[0] == keys[2]).all() and (keys[0] != keys[1]).any() and (keys[0] != keys[3]).any()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([np.zeros(2), np.zeros(0)], "expected series in train, that of row 1 is empty"),
        ([np.zeros(2), np.array([1.0, np.nan, 2.0])], "got NaN or infinity in row 1"),
        ([np.zeros((2, 3)), np.zeros((3, 4))], "expected rows of one shape in train"),
        ([np.zeros(3), np.zeros((2, 4))], "expected rows of one shape in train"),
        ([[1.0, 2.0], ["a", 2.0, 3.0]], "expected rows of one shape in train"),
    ],
)
def test_bad_series(given: list[object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        inputs_of(given, "train")


def test_channels_of_another_split_and_of_rows_in_use() -> None:
    with pytest.raises(ConfigError, match="expected series of the same channels in every split"):
        lb.Data(train=(series(2) * 4, ["a", "b", "c"] * 4), test=(series(3), ["a", "b", "c"]))
    with pytest.raises(ShapeMismatch, match=r"expected series of shape \[2, 'T'\], got shape \[4\] in row 0"):
        padded_series([np.zeros(4)], (2, 5))


def test_built_in_augmentations_are_refused() -> None:
    with pytest.raises(
        ConfigError, match="expected no built-in augmentation of series of different lengths, got noise"
    ):
        lb.Data(train=(series() * 4, ["a", "b", "c"] * 4), test=(series(), ["a", "b", "c"]), view="noise")


def test_series_with_time_first_are_told_how_to_turn():
    rng = np.random.default_rng(0)
    given = [rng.normal(size=(30 + n % 5, 3)) for n in range(20)]
    with pytest.raises(ConfigError, match=r"differ in their first axis alone \(\(30, 3\)") as refused:
        lb.Data(train=(given, np.arange(20) % 2))
    assert "x.T for x in series" in str(refused.value)
    assert lb.Data(train=([x.T for x in given], np.arange(20) % 2)).preprocess.ragged
