import numpy as np
import pandas as pd
import pytest

from limbeck.core.errors import ShapeMismatch
from limbeck.data.keys import row_keys
from limbeck.data.rows import Rows, row_shape


def rows(n=4, start=0, **more):
    x = np.arange(start, start + n, dtype=np.float32)[:, None]
    return Rows("array", x, row_keys("array", x), **more)


def test_take_takes_everything_along():
    four = rows(
        targets={"main": np.array([0, 1, 0, 1])}, label_mask={"main": np.array([True, True, False, True])},
        weight=np.arange(4, dtype=np.float32), groups=np.array(list("aabb")), ids=np.array(list("wxyz")),
    )  # fmt: skip
    two = four.take([3, 1])
    assert two.inputs[:, 0].tolist() == [3, 1] and two.ids.tolist() == ["z", "x"]
    assert two.targets["main"].tolist() == [1, 1] and two.label_mask["main"].all()
    assert two.weight.tolist() == [3, 1] and two.groups.tolist() == ["b", "a"]
    np.testing.assert_array_equal(two.keys, four.keys[[3, 1]])
    assert len(four.take(np.array([False, True, False, False]))) == 1
    assert len(four.take([])) == 0
    assert four.labelled and not four.without_labels().labelled


def test_take_of_a_table_has_a_fresh_index():
    frame = pd.DataFrame({"a": [1, 2, 3]})
    table = Rows("table", frame, row_keys("table", frame)).take([2, 0])
    assert table.inputs["a"].tolist() == [3, 1] and table.inputs.index.tolist() == [0, 1]
    assert row_shape(table.inputs) == ("a",)


def test_concat_masks_what_has_no_label_and_weighs_it_one():
    first = rows(2, targets={"main": np.array([1, 1])}, label_mask={"main": np.array([True, False])},
                 weight=np.array([2.0, 3.0], dtype=np.float32), ids=np.array([1, 2]))  # fmt: skip
    both = Rows.concat([first, rows(2, start=5)])
    assert both.targets["main"].tolist() == [1, 1, 0, 0]
    assert both.label_mask["main"].tolist() == [True, False, False, False]
    assert both.weight.tolist() == [2, 3, 1, 1] and both.ids is None
    assert both.inputs[:, 0].tolist() == [0, 1, 5, 6]


def test_lengths_and_kinds_must_fit():
    with pytest.raises(ShapeMismatch, match="one entry per row everywhere, got 4 inputs, 4 keys, 3 ids"):
        rows(ids=np.arange(3))
    with pytest.raises(ShapeMismatch, match="array, table, image, text, audio, parts, got 'sound'"):
        Rows("sound", np.zeros((1, 1)), np.zeros((1, 2), np.uint64))
    with pytest.raises(ShapeMismatch, match="at least one split"):
        Rows.concat([])
    wide = np.zeros((1, 2))
    with pytest.raises(ShapeMismatch, match=r"splits of one kind and shape, got array \(1,\) and array \(2,\)"):
        Rows.concat([rows(1), Rows("array", wide, row_keys("array", wide))])
