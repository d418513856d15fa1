import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.core.errors import ConfigError
from limbeck.data.keys import as_scalars, found_in, inverse_of, key_hex, keys_from_hex, row_keys

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True),
    st.booleans(),
    st.text(max_size=5),
    st.sampled_from(["nan", "None", "1", "1.0", "", "-0.0", 1, 1.0, 0.0, -0.0, "ab", "a"]),
)


def same(left, right):
    """Equality by meaning: missing equals missing, numbers by value, text by text."""
    gone = [v is None or (isinstance(v, float) and v != v) for v in (left, right)]
    if any(gone):
        return all(gone)
    if isinstance(left, str) != isinstance(right, str):
        return False
    return left == right


def frame(rows, names=("a", "b")):
    return pd.DataFrame({name: pd.Series([row[i] for row in rows], dtype=object) for i, name in enumerate(names)})


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=8))
def test_tables_have_equal_keys_where_rows_are_equal_and_only_there(rows):
    keys = row_keys("table", frame(rows))
    for i, left in enumerate(rows):
        for j, right in enumerate(rows):
            equal = all(same(x, y) for x, y in zip(left, right, strict=True))
            assert (keys[i] == keys[j]).all() == equal, (left, right)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_keys_do_not_depend_on_the_other_rows(rows, random):
    whole = row_keys("table", frame(rows))
    order = random.sample(range(len(rows)), len(rows))
    np.testing.assert_array_equal(row_keys("table", frame([rows[i] for i in order])), whole[order])
    parts = [row_keys("table", frame(rows[:1])), row_keys("table", frame(rows[1:]))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(), min_size=3, max_size=3), min_size=1, max_size=6), st.integers(0, 6))
def test_array_keys_are_chunkable(rows, cut):
    x = np.array(rows)
    np.testing.assert_array_equal(
        np.concatenate([row_keys("array", x[:cut]), row_keys("array", x[cut:])]), row_keys("array", x)
    )
    for i in range(len(x)):
        for j in range(len(x)):
            equal = np.array_equal(x[i], x[j], equal_nan=True)
            assert (row_keys("array", x)[i] == row_keys("array", x)[j]).all() == equal


def test_containers_and_widths_do_not_change_array_keys():
    x = np.array([[1, 0, 200], [0, 3, 9]])
    base = row_keys("array", x)
    for other in (x.astype(np.uint8), x.astype(np.float32), x.astype(">f8"), np.asfortranarray(x), x[::1]):
        np.testing.assert_array_equal(row_keys("array", other), base)
    np.testing.assert_array_equal(row_keys("array", np.array([[0.0]])), row_keys("array", np.array([[-0.0]])))
    quiet, other_nan = np.array([[np.nan]]), np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)[None]
    np.testing.assert_array_equal(row_keys("array", quiet), row_keys("array", other_nan))
    assert (row_keys("array", x) != row_keys("array", x.reshape(2, 3, 1))).any()


def test_integers_beyond_float64_stay_distinct():
    big = np.array([[2**53], [2**53 + 1], [2**53 + 2]])
    assert inverse_of(row_keys("array", big))[1] == 3
    np.testing.assert_array_equal(row_keys("array", big)[2], row_keys("array", big.astype(float))[2])
    table = pd.DataFrame({"id": big[:, 0]})
    assert inverse_of(row_keys("table", table))[1] == 3
    np.testing.assert_array_equal(row_keys("table", table), row_keys("table", table.astype(object)))
    top = np.array([[2**64 - 1], [2**64 - 2], [2**63]], dtype=np.uint64)
    assert inverse_of(row_keys("array", top))[1] == 3


def test_pandas_containers_do_not_change_table_keys():
    plain = pd.DataFrame({"n": [1, 2, 3], "t": ["x", "y", "x"], "b": [True, False, True]})
    base = row_keys("table", plain)
    same_rows = [
        plain.astype({"n": "float64"}),
        plain.astype({"n": "Int64", "t": "string", "b": "boolean"}),
        plain.astype({"n": "category", "t": "category"}),
        plain.astype(object),
        plain.convert_dtypes(dtype_backend="pyarrow"),
        plain[["b", "t", "n"]],
        plain.set_index(pd.Index([7, 8, 9])),
    ]
    for other in same_rows:
        np.testing.assert_array_equal(row_keys("table", other), base)
    missing = [pd.Series([1.0, np.nan]), pd.Series([1, None], dtype=object), pd.Series([1, pd.NA], dtype="Int64")]
    keys = [row_keys("table", pd.DataFrame({"n": column})) for column in missing]
    assert all((k == keys[0]).all() for k in keys)
    times = pd.DataFrame({"t": pd.to_datetime(["2024-01-01", None])})
    np.testing.assert_array_equal(row_keys("table", times), row_keys("table", times.astype(object)))


def test_tags_keep_apart_what_looks_alike():
    def one(**columns):
        return tuple(row_keys("table", pd.DataFrame({k: pd.Series([v], dtype=object) for k, v in columns.items()}))[0])

    rows = [
        one(a="1", b="x"), one(a=1, b="x"), one(a="ab", b="c"), one(a="a", b="bc"), one(a="nan", b="x"),
        one(a=None, b="x"), one(a="", b="x"), one(a=b"1", b="x"), one(c=1, b="x"), one(a=[1, 2], b="x"),
        one(a=[1, [2]], b="x"), one(a=["1", 2], b="x"), one(ab="", b="x"), one(a=1), one(a="x", b=1),
    ]  # fmt: skip
    assert len(set(rows)) == len(rows)


def test_images_keep_their_dtype_and_shape():
    image = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    keys = [row_keys("image", x) for x in (image, image.astype(np.float32), image.reshape(1, 4, 3), image[..., None])]
    assert len({tuple(k[0]) for k in keys}) == 4
    zero = np.zeros((1, 2, 2), np.float32)
    np.testing.assert_array_equal(row_keys("image", zero), row_keys("image", -zero))
    np.testing.assert_array_equal(row_keys("image", image[:, ::-1, :]), row_keys("image", image[:, ::-1, :].copy()))


def test_keys_are_the_same_on_every_machine():
    table = pd.DataFrame({"a": [1.5, None], "b": ["é", "z"]})
    assert key_hex(row_keys("table", table)) == GOLDEN_TABLE
    assert key_hex(row_keys("array", np.array([[1, 2]]))) == GOLDEN_ARRAY
    assert key_hex(row_keys("image", np.zeros((1, 2, 2), np.uint8))) == GOLDEN_IMAGE


GOLDEN_TABLE = ["cc561a780ac3f19185ba3d37eeef1413", "025743952d3e0935e742316c559ac749"]
GOLDEN_ARRAY = ["3e3cd830e0584927d55b99b1ae921dcc"]
GOLDEN_IMAGE = ["87c9881e42e2ef46b3dffe6b91df1763"]


def test_hex_and_sets():
    keys = row_keys("array", np.array([[1], [2], [1], [3]]))
    np.testing.assert_array_equal(keys_from_hex(key_hex(keys)), keys)
    codes, count = inverse_of(keys)
    assert codes.tolist() == [0, 1, 0, 2] and count == 3
    assert found_in(keys, keys[[3]]).tolist() == [False, False, False, True]
    assert found_in(keys, keys[:0]).tolist() == [False] * 4
    assert len(np.unique(as_scalars(keys))) == 3
    assert row_keys("array", np.zeros((0, 3))).shape == (0, 2)


def test_what_has_no_canonical_form_is_refused():
    with pytest.raises(ConfigError, match="dates or lists in column 'meta', got dict\n\nleave the column out"):
        row_keys("table", pd.DataFrame({"meta": [{"a": 1}]}))
    with pytest.raises(ConfigError, match="expected an array of numbers, got dtype <U1\n\ngive a pandas DataFrame"):
        row_keys("array", np.array([["a"]]))


def test_hashing_is_fast():
    pixels = np.random.default_rng(0).integers(0, 255, (60_000, 784)).astype(np.uint8)
    rng = np.random.default_rng(1)
    table = pd.DataFrame({f"n{i}": rng.normal(size=32_000) for i in range(6)})
    for i in range(8):
        table[f"t{i}"] = rng.choice([f"value {j}" for j in range(40)], 32_000)
    start = time.process_time()
    row_keys("array", pixels)
    assert time.process_time() - start < 1
    start = time.process_time()
    row_keys("table", table)
    assert time.process_time() - start < 2
