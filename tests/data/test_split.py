import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.core.errors import ConfigError
from limbeck.data.keys import found_in, row_keys
from limbeck.data.raw import group_names
from limbeck.data.rows import Rows
from limbeck.data.split import keep_labels, split_off
from limbeck.data.tasks import Classification, Regression

ROW = st.tuples(st.integers(0, 30), st.integers(0, 2), st.booleans(), st.integers(0, 9))  # value, class, mask, group
TASKS = {"main": Classification(("a", "b", "c"))}


def rows_of(values, classes, mask=None, groups=None):
    x = np.asarray(values, dtype=np.float64)[:, None]
    mask = np.ones(len(x), bool) if mask is None else np.asarray(mask)
    return Rows("array", x, row_keys("array", x), {"main": np.asarray(classes)}, {"main": mask},
                groups=group_names(None if groups is None else np.asarray(groups)))  # fmt: skip


def shares(rows):
    return np.bincount(rows.targets["main"], minlength=3) / len(rows)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(ROW, min_size=4, max_size=60),
    st.floats(0.05, 0.9), st.booleans(), st.integers(-3, 2**40),
)  # fmt: skip
def test_keys_and_groups_never_stand_on_both_sides(rows, fraction, grouped, seed):
    values, classes, mask, groups = map(list, zip(*rows, strict=True))
    whole = rows_of(values, classes, mask, groups if grouped else None)
    try:
        rest, part = split_off(whole, fraction, TASKS, seed, "validation")
    except ConfigError as refused:
        assert "to split validation rows off" in str(refused) or "to be left for training" in str(refused)
        return
    assert len(part) and part.label_mask["main"].all() and rest.label_mask["main"].any()
    assert not found_in(part.keys, rest.keys).any()
    if grouped:
        assert not set(part.groups) & set(rest.groups)
    again = split_off(whole, fraction, TASKS, seed, "validation")[1]
    np.testing.assert_array_equal(again.inputs, part.inputs)


def test_classes_keep_their_shares():
    rng = np.random.default_rng(0)
    classes = rng.choice(3, 1000, p=[0.7, 0.25, 0.05])
    rest, part = split_off(rows_of(np.arange(1000), classes), 0.2, TASKS, 0, "validation")
    assert len(part) == 200 and len(rest) == 800
    assert np.abs(np.bincount(part.targets["main"]) - 0.2 * np.bincount(classes)).max() < 1


@pytest.mark.parametrize("size", [2, 10, 25])
def test_groups_give_about_the_fraction_and_the_classes(size):
    rng = np.random.default_rng(0)
    groups, classes = np.repeat(np.arange(1000 // size), size), rng.choice(3, 1000, p=[0.6, 0.3, 0.1])
    _, part = split_off(rows_of(np.arange(1000), classes, groups=groups), 0.2, TASKS, 0, "validation")
    assert 180 <= len(part) <= 220
    assert np.abs(shares(part) - [0.6, 0.3, 0.1]).max() < 0.08


def test_many_duplicates_give_about_the_fraction_and_the_classes():
    values = np.repeat(np.arange(100), 10)
    _, part = split_off(rows_of(values, values % 3), 0.2, TASKS, 0, "validation")
    assert 190 <= len(part) <= 210 and np.abs(shares(part) - 1 / 3).max() < 0.05


def test_duplicates_tie_groups_together():
    # rows 1 and 2 are equal and in different groups: both groups move as one
    rows = rows_of([0, 1, 1, 3, 4, 5, 6, 7], [0, 1] * 4, groups=["p", "p", "q", "q", "r", "r", "s", "s"])
    for seed in range(12):
        rest, part = split_off(rows, 0.25, TASKS, seed, "validation")
        for side in (set(rest.groups), set(part.groups)):
            assert ("p" in side) == ("q" in side)


def test_rows_without_a_group_are_groups_of_their_own():
    rows = rows_of(np.arange(100), [0, 1] * 50, groups=[None, np.nan] * 50)
    assert len(split_off(rows, 0.2, TASKS, 0, "validation")[1]) == 20


def test_seeds_and_names_give_other_parts():
    rows = rows_of(np.arange(200), [0, 1] * 100)
    ways = ((0, "validation"), (1, "validation"), (0, "test"))
    parts = [split_off(rows, 0.2, TASKS, *way)[1].inputs[:, 0].tolist() for way in ways]
    assert parts[0] != parts[1] and parts[0] != parts[2]


def test_regression_is_split_without_strata():
    x = np.arange(50.0)[:, None]
    rows = Rows("array", x, row_keys("array", x), {"main": x.astype(np.float32)}, {"main": np.ones(50, bool)})
    rest, part = split_off(rows, 0.1, {"main": Regression()}, 0, "test")
    assert (len(rest), len(part)) == (45, 5)


def test_keep_labels_keeps_exactly_so_many_in_proportion():
    rows = rows_of(np.arange(100), [0] * 80 + [1] * 20, mask=[True] * 90 + [False] * 10)
    kept, more = keep_labels(rows, 18, TASKS, 0)
    assert len(kept) == 18 and len(more) == 82 and not more.labelled and kept.label_mask["main"].all()
    assert np.bincount(kept.targets["main"]).tolist() == [16, 2]
    np.testing.assert_array_equal(keep_labels(rows, 18, TASKS, 0)[0].inputs, kept.inputs)
    with pytest.raises(
        ConfigError, match="labels between 1 and the 90 labelled training rows, got 91\n\nask for fewer"
    ):
        keep_labels(rows, 91, TASKS, 0)


def test_splits_that_are_refused():
    rows = rows_of(np.arange(4), [0, 1, 0, 1])
    for fraction in (0, 1, -0.1, 2):
        with pytest.raises(ConfigError, match=r"validation_fraction between 0 and 1, got .*\n\n0.2 is the default"):
            split_off(rows, fraction, TASKS, 0, "validation")
    same = rows_of([1, 1, 1], [0, 1, 0])
    with pytest.raises(ConfigError, match=r"at least two distinct labelled rows \(or groups\) .* got 1 in 3 labelled"):
        split_off(same, 0.2, TASKS, 0, "test")
    with pytest.raises(ConfigError, match="to split validation rows off, got 1 in 4"):
        split_off(rows_of(np.arange(4), [0, 1, 0, 1], groups=["g"] * 4), 0.2, TASKS, 0, "validation")
    none = rows_of(np.arange(4), [0, 1, 0, 1], mask=[False] * 4)
    with pytest.raises(ConfigError, match="to split validation rows off, got 0 in 0"):
        split_off(none, 0.2, TASKS, 0, "validation")


def test_two_groups_are_split_even_where_each_is_too_large():
    rows = rows_of(np.arange(100), [0, 1] * 50, groups=["p"] * 60 + ["q"] * 40)
    for fraction in (0.1, 0.9):
        rest, part = split_off(rows, fraction, TASKS, 0, "validation")
        assert {len(rest), len(part)} == {60, 40}
