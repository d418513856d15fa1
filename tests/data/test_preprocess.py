import json

import numpy as np
import pandas as pd
import pytest

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.data.keys import row_keys
from limbeck.data.preprocess import Preprocess
from limbeck.data.rows import Rows


def rows(inputs, kind="array"):
    return Rows(kind, inputs, row_keys(kind, inputs))


def table():
    return pd.DataFrame(
        {
            "n": [1.0, np.nan, 3.0, 5.0],
            "same": [7, 7, 7, 7],
            "c": ["b", "a", None, "b"],
            "rare": ["p", "q", "p", "p"],
            "flag": [True, False, True, True],
            "empty": [np.nan] * 4,
            "one": ["z"] * 4,
        }
    )


def test_a_table_is_imputed_standardised_and_one_hot():
    prep = Preprocess.fit(rows(table(), "table"))
    spec = prep.spec
    assert [part["name"] for part in spec["numeric"]] == ["n", "flag"]
    assert spec["categorical"] == [{"name": "c", "values": ["b"]}, {"name": "rare", "values": ["p"]}]
    assert spec["columns"] == ["n", "c", "rare", "flag"]
    x = prep.encode(table())
    assert x.dtype == np.float32 and x.shape == (4, *prep.shape) == (4, 8)
    n = np.array([1, 3, 3, 5], dtype=np.float32)  # the median fills
    np.testing.assert_allclose(x[:, 0], (n - 3) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(x[:, :2].mean(axis=0), 0, atol=1e-6)
    # b, missing, unknown
    assert x[:, 2:5].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_unseen_missing_and_empty_categories():
    prep = Preprocess.fit(rows(table(), "table"))
    other = table().assign(c=["new", "", None, "b"])[::-1]
    assert prep.encode(other)[:, 2:5].tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_the_cap_on_categories_sends_the_rest_to_unknown():
    frame = pd.DataFrame({"c": ["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 2 + ["e"]})
    prep = Preprocess.fit(rows(frame, "table"), max_values=2)
    assert prep.spec["categorical"] == [{"name": "c", "values": ["a", "b"]}]
    assert prep.encode(frame)[:, 3].sum() == 6


def test_numbers_as_categories_do_not_depend_on_upcasting():
    frame = pd.DataFrame({"c": pd.Series([3, 3, 4, 4, "x", "x"], dtype=object)})
    prep = Preprocess.fit(rows(frame, "table"))
    assert prep.spec["categorical"][0]["values"] == ["3", "4", "x"]
    np.testing.assert_array_equal(prep.encode(pd.DataFrame({"c": [3.0, 4.0]})), prep.encode({"c": ["3", "4"]}))


@pytest.mark.parametrize("kind", ["table", "array", "image", "series"])
def test_encoding_a_row_does_not_depend_on_the_others_and_the_spec_is_exact(kind):
    rng = np.random.default_rng(0)
    if kind == "table":
        inputs = pd.DataFrame({"a": rng.normal(size=50) * 1e4, "b": rng.choice(["x", "y", None], 50)})
    elif kind == "image":
        inputs = rng.integers(0, 255, (50, 5, 4, 3)).astype(np.uint8)
    else:
        inputs = rng.normal(size=(50, 6) if kind == "array" else (50, 6, 2)) * 100 + 7
    kind = "array" if kind == "series" else kind
    prep = Preprocess.fit(rows(inputs, kind))
    again = Preprocess.from_spec(json.loads(json.dumps(prep.spec)))
    assert again.fingerprint == prep.fingerprint and again.shape == prep.shape
    whole = prep.encode(inputs)
    assert whole.shape == (50, *prep.shape) and whole.dtype == np.float32
    single = [again.encode(inputs.iloc[[i]] if kind == "table" else inputs[i : i + 1]) for i in range(50)]
    np.testing.assert_array_equal(np.concatenate(single), whole)
    assert Preprocess.fit(rows(inputs, kind)).fingerprint == prep.fingerprint


def test_the_documented_arithmetic_is_what_happens():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 4)) * [1, 100, 1e-3, 1] + [5, -20, 0, 3]
    x[3, 0] = np.nan
    x[:, 3] = 3
    prep = Preprocess.fit(rows(x))
    spec = prep.spec
    assert spec["keep"] == [0, 1, 2, 3]
    v = x.astype(np.float32)[:, spec["keep"]]
    v = np.where(np.isnan(v), np.float32(spec["fill"]), v)
    np.testing.assert_array_equal(prep.encode(x), (v - np.float32(spec["mean"])) / np.float32(spec["scale"]))
    # constant columns stay, as zeros: a network of the user's own is as wide as the rows
    np.testing.assert_allclose(prep.encode(x).std(axis=0), [1, 1, 1, 0], rtol=1e-4)


def test_images_become_channels_first():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (20, 3, 4)).astype(np.uint8)
    prep = Preprocess.fit(rows(grey, "image"))
    assert prep.shape == (1, 3, 4) and prep.spec["channel_axis"] is False and prep.spec["dtype"] == "uint8"
    np.testing.assert_allclose(prep.spec["mean"], grey.mean(), rtol=1e-6)
    np.testing.assert_allclose(prep.spec["scale"], grey.std(), rtol=1e-6)
    colour = rng.random((20, 3, 4, 2)).astype(np.float32)
    prep = Preprocess.fit(rows(colour, "image"))
    assert prep.shape == (2, 3, 4) and prep.spec["dtype"] == "float32"
    np.testing.assert_allclose(prep.encode(colour).std(axis=(0, 2, 3)), 1, rtol=1e-5)


def test_unlabelled_rows_take_part():
    a, b = np.zeros((4, 1)), np.ones((4, 1))
    assert Preprocess.fit(rows(a), rows(b)).spec["mean"] == [0.5]


def test_refusals():
    with pytest.raises(ConfigError, match="features that vary, all 2 columns are constant"):
        Preprocess.fit(rows(np.ones((3, 2))))
    with pytest.raises(ConfigError, match="columns that vary, all of a, b are constant or free text"):
        Preprocess.fit(rows(pd.DataFrame({"a": [1, 1], "b": ["x", "y"]}), "table"))
    prep = Preprocess.fit(rows(np.arange(6.0).reshape(3, 2)))
    with pytest.raises(ShapeMismatch, match=r"rows of shape \(2,\), got \(3,\)"):
        prep.encode(np.ones((1, 3)))
    image = Preprocess.fit(rows(np.zeros((2, 4, 5, 3), np.uint8), "image"))
    with pytest.raises(ShapeMismatch, match=r"images of shape \(4, 5, 3\) \(height, width, channels\), got \(4, 5\)"):
        image.encode(np.zeros((1, 4, 5), np.uint8))
    prep = Preprocess.fit(rows(table(), "table"))
    with pytest.raises(ConfigError, match="column 'rare' in the inputs, not found\n\ndid you mean 'rrae'"):
        prep.encode(table().rename(columns={"rare": "rrae"}))
    with pytest.raises(ConfigError, match="expected numbers in column 'n', got 'many' in row 1"):
        prep.encode(table().assign(n=["1", "many", "2", "3"]))
    with pytest.raises(ShapeMismatch, match="a table with named columns, got list"):
        prep.encode([[1, 2]])
    with pytest.raises(ConfigError, match="preprocessing of kind array, table, image, text, audio, parts, got 'sound'"):
        Preprocess.from_spec({"kind": "sound"})


def test_channels_of_series_are_standardised_each_by_itself():
    rng = np.random.default_rng(0)
    series = np.stack([rng.normal(size=(60, 20)), 1000 * rng.normal(size=(60, 20)) + 5000], axis=1).astype(np.float32)
    spec = Preprocess.fit(rows(series))
    encoded = spec.encode(series)
    assert spec.spec["channels_first"] and len(spec.spec["mean"]) == 2
    np.testing.assert_allclose(encoded.mean((0, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(encoded.std((0, 2)), 1, atol=1e-3)
    ragged = np.empty(60, dtype=object)
    ragged[:] = list(series)
    by_length = Preprocess.fit(rows(ragged)).spec
    np.testing.assert_allclose(by_length["scale"], spec.spec["scale"], rtol=1e-5)
