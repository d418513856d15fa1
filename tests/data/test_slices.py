"""By what test rows are told apart."""

import numpy as np
import pandas as pd
import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.data.slices import MISSING, by_values, slice_values, slicings, snr_of, terciles

RATE = 8000


def speech(snr, seconds=1.0, seed=0):
    """A tone that is there half of the time, in white noise at a ratio (of the tone while it sounds)."""
    draw = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    tone = np.where((time * 4).astype(int) % 2 == 0, 0.3 * np.sin(2 * np.pi * 500 * time), 0)
    return (tone + 0.3 / np.sqrt(2) * 10 ** (-snr / 20) * draw.normal(size=len(time))).astype(np.float32)


@pytest.mark.parametrize("snr", [30, 20, 10])
def test_the_ratio_that_is_estimated_is_near_the_one_that_was_made(snr):
    assert snr_of(speech(snr), RATE) == pytest.approx(snr, abs=2.5)


def test_the_ratio_does_not_depend_on_the_level_and_ends_at_its_limits():
    clip = speech(15)
    assert snr_of(clip, RATE) == pytest.approx(snr_of(0.1 * clip, RATE), abs=0.01)
    assert snr_of(np.zeros(4000, np.float32), RATE) == 0
    assert snr_of(np.full(4000, 0.5, np.float32), RATE) == 0
    assert snr_of(np.concatenate([np.zeros(4000), speech(30)]).astype(np.float32), RATE) == 60
    assert snr_of(np.ones(3, np.float32), RATE) == 0  # shorter than a frame


def test_numbers_are_cut_into_terciles_and_nan_is_in_none():
    found = terciles(np.array([1.0, 2, 3, 4, 5, 6, np.nan]), "s")
    assert found.of.tolist() == [0, 0, 1, 1, 2, 2, -1]
    assert found.names == ("up to 2 s", "2 to 4 s", "above 4 s")


def test_values_are_slices_and_rare_ones_are_put_together():
    found = by_values(np.array(["b", "a", "b"], dtype=object))
    assert found.names == ("a", "b") and found.of.tolist() == [1, 0, 1]
    many = by_values(np.array([f"v{i:02d}" for i in range(20)] + ["v19"], dtype=object))
    assert len(many.names) == 12 and many.names[-1] == "others (9 values)"
    assert (many.of == 11).sum() == 9 and many.names[many.of[-1]] == "v19"
    few = by_values(slice_values([3.0, 1.0, None]))
    assert few.names == ("1", "3", MISSING) and few.of.tolist() == [1, 0, 2]


def test_columns_that_are_named_go_with_their_rows():
    frame = pd.DataFrame({"x": np.arange(40.0), "site": list("ab") * 20, "y": [0, 1] * 20})
    data = lb.Data(train=frame, test_fraction=0.25, columns=lb.Columns(target="y", drop=("site",), slices=("site",)))
    assert list(data.train.inputs.columns) == ["x"]
    assert data.test.slices["site"].tolist() == ["a" if x % 2 == 0 else "b" for x in data.test.inputs["x"]]
    kept = lb.Data(train=frame, test=frame.iloc[:4].assign(x=-1.0), columns=lb.Columns(target="y", slices=("site",)))
    assert "site" in kept.train.inputs.columns


def test_rows_of_arrays_are_told_apart_by_what_stands_beside_them():
    x, y = np.random.default_rng(0).normal(size=(40, 3)), [0, 1] * 20
    data = lb.Data(train=(x[:30], y[:30]), test=(x[30:], y[30:]), slices={"who": list("abcde") * 2})
    assert set(slicings(data.test)) == {"who"}
    with pytest.raises(ConfigError, match=r"one entry of slices\['who'\] for each of 10 test rows, got 3"):
        lb.Data(train=(x[:30], y[:30]), test=(x[30:], y[30:]), slices={"who": list("abc")})


def test_a_column_of_slices_that_is_not_there_is_refused():
    frame = pd.DataFrame({"x": np.arange(40.0), "y": [0, 1] * 20})
    with pytest.raises(ConfigError, match="site"):
        lb.Data(train=frame, test=frame.assign(x=frame.x + 0.5), columns=lb.Columns(target="y", slices=("site",)))


def test_texts_have_their_length_and_clips_their_ratio_too():
    texts = pd.DataFrame({"text": ["a " * n for n in range(1, 31)], "label": [0, 1] * 15})
    assert set(slicings(lb.Data(train=texts, test_fraction=0.4).test)) == {"length"}
    clips = [speech(10 + i, 0.5 + 0.02 * i, i) for i in range(12)]
    data = lb.Data(train=(clips, [0, 1] * 6), test=(clips[:9][::-1], [0, 1] * 4 + [0]), sample_rate=RATE)
    assert set(slicings(data.train)) == {"length", "SNR"}


@pytest.mark.parametrize("values", [[1234567, 1234568], [20240101, 20240102, 20240103], [0.1234567, 0.1234568]])
def test_numbers_that_are_names_stay_apart(values):
    found = by_values(slice_values(values * 5))
    assert len(np.unique(found.of)) == len(values)
    assert found.names[: len(values)] == tuple(str(value) for value in values)
