import functools
import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.core.errors import ConfigError
from limbeck.data.keys import row_keys
from limbeck.data.rows import Rows
from limbeck.data.views import parse, view_of

COUNT = 24


def rows_of(kind, inputs):
    return Rows(kind, inputs, row_keys(kind, inputs))


def make(name):
    rng = np.random.default_rng(0)
    if name == "table":
        inputs = pd.DataFrame(
            {
                "f": rng.normal(size=COUNT) * 10, "f32": rng.normal(size=COUNT).astype(np.float32),
                "i": rng.integers(0, 50, COUNT), "b": rng.random(COUNT) < 0.5,
                "I": pd.array([None, *rng.integers(0, 50, COUNT - 1)], dtype="Int64"),
                "t": rng.choice(["u", "v", "w"], COUNT), "c": pd.Categorical(rng.choice(["x", "y"], COUNT)),
                "o": pd.Series(rng.choice(["p", None], COUNT), dtype=object), "gap": np.nan,
            }
        )  # fmt: skip
        return rows_of("table", inputs)
    if name == "texts":
        texts = [" ".join(rng.choice(["red", "dog", "a", "cat,"], rng.integers(0, 7))) for _ in range(COUNT)]
        return rows_of(
            "text", pd.DataFrame({"a": texts, "b": [*rng.choice(["我喜欢狗", "two words"], COUNT - 1), None]})
        )
    shapes = {
        "grey": ("image", rng.integers(0, 256, (COUNT, 9, 8)).astype(np.uint8)),
        "colour": ("image", rng.random((COUNT, 9, 8, 3)).astype(np.float32)),
        "array": ("array", rng.normal(size=(COUNT, 5))),
        "bytes": ("array", rng.integers(0, 256, (COUNT, 5)).astype(np.uint8)),
        "series": ("array", rng.normal(size=(COUNT, 4, 3)).astype(np.float32)),
    }
    return rows_of(*shapes[name])


SETS = {name: make(name) for name in ("grey", "colour", "array", "bytes", "series", "table", "texts")}
TEXTS = {
    "image": ["shift(2)", "flip", "crop(0.5)", "noise(0.2)", "cutout", "shift + flip + noise"],
    "array": ["noise(0.5)", "swap(0.4)", "noise + swap"],
    "table": ["noise(0.5)", "swap(0.4)", "swap + noise"],
    "text": ["drop(0.3)", "replace(0.4)", "drop + replace"],
}
CASES = [(name, text) for name, rows in SETS.items() for text in TEXTS[rows.kind]]


def dither(row, rng):
    """A user's augmentation of rows of any kind."""
    if isinstance(row, pd.Series):
        row["f"] += rng.normal()
        return row
    return np.clip(row + np.round(rng.normal(size=row.shape) * 3), 0, 255).astype(row.dtype)


VIEWS = {(n, t): view_of(t, SETS[n].kind, 5, SETS[n]) for n, t in CASES}
VIEWS |= {(n, "own"): view_of(dither, SETS[n].kind, 5, SETS[n]) for n in ("grey", "array", "table")}


def equal(left, right):
    if isinstance(left, pd.DataFrame):
        return left.reset_index(drop=True).equals(right.reset_index(drop=True))
    return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=left.dtype.kind == "f")


def some(inputs, index):
    return inputs.iloc[index] if isinstance(inputs, pd.DataFrame) else inputs[index]


def apply(view, rows, index, views):
    return view(some(rows.inputs, index), rows.keys[index], np.asarray(views))


@pytest.mark.parametrize(("name", "text"), VIEWS, ids=str)
@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.integers(0, COUNT - 1), st.integers(0, 5)), min_size=1, max_size=7), st.randoms())
def test_a_view_depends_on_seed_row_and_view_alone(name, text, batch, shuffle):
    rows, view = SETS[name], VIEWS[name, text]
    index, views = np.array([i for i, _ in batch]), np.array([v for _, v in batch])
    whole = apply(view, rows, index, views)
    assert len(whole) == len(batch)
    order = shuffle.sample(range(len(batch)), len(batch))
    assert equal(apply(view, rows, index[order], views[order]), some(whole, order))
    for place, (i, v) in enumerate(batch):
        assert equal(apply(view, rows, np.array([i]), [v]), some(whole, [place]))


@pytest.mark.parametrize(("name", "text"), VIEWS, ids=str)
def test_view_0_is_the_row_others_differ_and_dtype_and_shape_are_kept(name, text):
    rows, view, index = SETS[name], VIEWS[name, text], np.arange(COUNT)
    assert equal(apply(view, rows, index, np.zeros(COUNT, int)), rows.inputs)
    one, two = (apply(view, rows, index, np.full(COUNT, v)) for v in (1, 2))
    other = view_of(dither if text == "own" else text, rows.kind, 6, rows)
    for left, right in ((one, rows.inputs), (one, two), (one, apply(other, rows, index, np.ones(COUNT, int)))):
        assert not equal(left, right)
    if rows.kind in ("table", "text"):
        assert one.dtypes.equals(rows.inputs.dtypes) and list(one) == list(rows.inputs)
    else:
        assert one.dtype == rows.inputs.dtype and one.shape == rows.inputs.shape
    half = apply(view, rows, index, index % 2)
    assert equal(some(half, index[::2]), some(rows.inputs, index[::2]))


def test_equal_rows_have_equal_views():
    x = np.repeat(np.random.default_rng(0).normal(size=(1, 5)), 3, axis=0)
    rows = rows_of("array", x)
    made = view_of("noise + swap", "array", 0, SETS["array"])(rows.inputs, rows.keys, np.ones(3, int))
    assert (made == made[0]).all()


@pytest.mark.parametrize("text", ["noise(3)", "swap(0.9)"])
def test_tables_keep_valid_values(text):
    rows = SETS["table"]
    made = apply(view_of(text, "table", 0, rows), rows, np.arange(COUNT), np.full(COUNT, 3))
    for name in ("t", "c", "o", "b"):
        assert set(made[name].dropna()) <= set(rows.inputs[name].dropna())
        if text.startswith("noise"):
            assert made[name].equals(rows.inputs[name])
    assert made["gap"].isna().all()
    if text.startswith("noise"):
        assert pd.isna(made["I"][0]) and made["I"].isna().sum() == 1


def test_swap_takes_whole_cells_from_the_same_column_of_frozen_partners():
    rows = SETS["array"]
    made = apply(view_of("swap(0.5)", "array", 0, rows), rows, np.arange(COUNT), np.ones(COUNT, int))
    for column in range(5):
        assert set(made[:, column]) <= set(rows.inputs[:, column])
    changed = (made != rows.inputs).mean()
    assert 0.3 < changed < 0.6
    few = rows.take(np.arange(3))
    made = apply(view_of("swap(1)", "array", 0, few), rows, np.arange(COUNT), np.ones(COUNT, int))
    assert {tuple(row) for row in made} == {tuple(row) for row in few.inputs}


def test_words_are_left_out_or_replaced_by_words_of_the_training_texts():
    frame = pd.DataFrame({"text": ["one two three four five six"] * 200 + ["我喜欢狗和猫" * 3] * 200 + ["", None]})
    rows = Rows("text", frame, np.arange(2 * len(frame), dtype=np.uint64).reshape(-1, 2))
    view = view_of("drop(0.3)", "text", 0, rows)
    made = view(frame, rows.keys, np.ones(len(frame), dtype=int))["text"].tolist()
    kept = [len(text.split()) for text in made[:200]]
    assert np.mean(kept) == pytest.approx(6 * 0.7, abs=0.3) and min(kept) >= 1
    assert all("  " not in text and text == text.strip() for text in made[:400])
    assert np.mean([len(text) for text in made[200:400]]) == pytest.approx(18 * 0.7, abs=0.8)  # a character is a word
    assert made[400] == "" and pd.isna(made[401])
    all_but_one = view_of("drop(1)", "text", 0, rows)(frame, rows.keys, np.ones(len(frame), dtype=int))["text"]
    assert all(len(text.split()) == 1 for text in all_but_one[:200])
    other = view_of("replace(0.5)", "text", 0, rows)(frame, rows.keys, np.ones(len(frame), dtype=int))["text"]
    words = {word for text in other[:200] for word in text.split()}
    assert {"one", "six", "狗"} <= words  # of all texts, as often as they occur
    same = [sum(a == b for a, b in zip(text.split(), frame["text"][0].split(), strict=True)) for text in other[:200]]
    assert 3 <= np.mean(same) < 4  # half stay, few are replaced by themselves


def test_rows_of_words_have_no_view_that_moves_their_labels():
    frame = pd.DataFrame({"tokens": pd.Series([("a", "b"), ("c",)], dtype=object)})
    rows = Rows("text", frame, np.arange(4, dtype=np.uint64).reshape(-1, 2))
    with pytest.raises(
        ConfigError, match="rows of texts for a view that leaves out or replaces words, got rows of words"
    ):
        view_of("drop", "text", 0, rows)


def test_partners_of_another_dtype_and_order_of_columns_are_no_trouble():
    rows = SETS["table"]
    view = view_of("swap(0.8)", "table", 0, rows)
    other = rows.inputs.astype({"i": "float64", "c": "object", "b": "object"})
    for views in (np.ones(COUNT, int), np.arange(COUNT) % 2, np.zeros(COUNT, int)):
        made = view(other, rows.keys, views)
        assert made.dtypes.astype(str).to_dict() | {"c": "object"} == other.dtypes.astype(str).to_dict()
    turned = view(rows.inputs[list(rows.inputs)[::-1]], rows.keys, np.ones(COUNT, int))
    assert equal(turned[list(rows.inputs)], view(rows.inputs, rows.keys, np.ones(COUNT, int)))


def test_noise_has_the_strength_it_says():
    x = np.random.default_rng(1).normal(size=(4000, 2)) * [1, 100]
    rows = rows_of("array", x)
    moved = apply(view_of("noise(0.1)", "array", 0, rows), rows, np.arange(4000), np.ones(4000, int)) - x
    np.testing.assert_allclose(moved.std(axis=0), [0.1, 10], rtol=0.05)
    assert np.abs(moved.mean(axis=0) / [0.1, 10]).max() < 0.06


def test_whole_numbers_move_by_whole_steps_and_large_ones_exactly():
    x = np.array([[2**60 + 1, 0], [2**60 + 3, 50], [2**60 + 5, 100]])
    rows = rows_of("array", x)
    made = apply(view_of("noise(1e-19)", "array", 0, rows), rows, np.arange(3), np.ones(3, int))
    np.testing.assert_array_equal(made, x)
    pixels = SETS["grey"]
    assert apply(view_of("noise(9)", "image", 0, pixels), pixels, np.arange(COUNT), np.ones(COUNT, int)).max() == 255


def test_images_are_moved_cut_and_mirrored():
    x = np.arange(1, 73, dtype=np.uint8).reshape(1, 9, 8)
    rows = rows_of("image", np.repeat(x, 200, axis=0))
    views, index = np.arange(1, 201), np.arange(200)
    mirrored = apply(view_of("flip", "image", 0, rows), rows, index, views)
    kinds = [bool((image == x[0]).all()) for image in mirrored]
    assert 70 < sum(kinds) < 130 and all(
        (im == x[0][:, ::-1]).all() for im, k in zip(mirrored, kinds, strict=True) if not k
    )
    moved = apply(view_of("shift(2)", "image", 0, rows), rows, index, views)
    assert {(int((im == 0).all(1).sum()), int((im == 0).all(0).sum())) for im in moved} == {
        (down, right) for down in range(3) for right in range(3)
    }
    cut = apply(view_of("cutout(0.5)", "image", 0, rows), rows, index, views)
    assert {int((im == 0).sum()) for im in cut} == {4 * 4}
    cropped = apply(view_of("crop(0.5)", "image", 0, rows), rows, index, views)
    assert (cropped > 0).all() and len({im.tobytes() for im in cropped}) > 40


def test_fingerprints_say_what_decides_the_result():
    rows = SETS["array"]
    base = view_of("swap(0.1)", "array", 0, rows).fingerprint
    assert view_of("swap", "array", 0, rows).fingerprint == base
    others = [
        view_of("swap(0.2)", "array", 0, rows), view_of("swap", "array", 1, rows), view_of("noise", "array", 0, rows),
        view_of("swap", "array", 0, rows.take(np.arange(1, COUNT))),
        view_of("swap", "array", 0, rows.take(np.arange(COUNT)[::-1])),
        view_of("swap + noise", "array", 0, rows), view_of("noise", "array", 0, rows.take(np.arange(5))),
    ]  # fmt: skip
    assert len({base, *(view.fingerprint for view in others)}) == 8


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("shfit(2)", "image", "a view of image rows, got 'shfit'\n\ndid you mean 'shift'"),
        ("flip", "array", "a view of array rows, got 'flip'\n\nknown: noise, swap"),
        ("shift(a)", "image", r"one number in shift\(a\)\n\nfor example shift\(2\)"),
        ("shift(1, 2)", "image", "one number in shift"),
        ("shift(2", "image", r"a view of image rows, got 'shift\(2'"),
        ("__import__('os')", "image", "a view of image rows, got '__import__"),
        ("shift(2.5)", "image", "a whole number in shift"),
        ("shift(-1)", "image", "a whole number in shift"),
        ("flip(1.5)", "image", r"a share from 0 to 1 in flip\(1.5\), not below 0\n\nfor example flip\(0.5\)"),
        ("noise(nan)", "table", r"a number in noise\(nan\)"),
        ("shift(8)", "image", r"a shift below the 8 pixels of an image, got shift\(8\)"),
    ],
)
def test_texts_that_are_refused(text, kind, said):
    name = {"image": "grey"}.get(kind, kind)
    with pytest.raises(ConfigError, match=said):
        view_of(text, kind, 0, SETS[name])


def test_texts_are_parsed():
    assert [str(step) for step in parse(" shift( 3 )+flip() + noise(1e-2)", "image")] == [
        "shift(3)", "flip(0.5)", "noise(0.01)",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"a view as text or as a function \(row, generator\) -> row, got int"):
        view_of(3, "image", 0, SETS["grey"])


# ------------------------------------------------------------------------------------------ a user's own


def test_a_callable_gets_a_generator_of_its_row_and_view():
    rows, seen = SETS["array"], []

    def watch(row, rng):
        seen.append(rng.integers(0, 2**62))
        return row

    view = view_of(watch, "array", 0, rows)
    seen.clear()
    view(rows.inputs[:3], rows.keys[:3], np.array([1, 0, 2]))
    view(rows.inputs[[2, 0]], rows.keys[[2, 0]], np.array([2, 1]))
    assert len(seen) == 4 and seen[0] == seen[3] and seen[1] == seen[2] and seen[0] != seen[1]


COUNTER = iter(range(10**6))
REPLAY = "to give the same row from the same generator, row .* differs\n\ndraw from the generator that it is given only"


@pytest.mark.parametrize(
    "function",
    [
        lambda row, rng: row + np.random.random(),
        lambda row, rng: row + random.random(),
        lambda row, rng: row * next(COUNTER),
        lambda row, rng: row + np.random.default_rng().normal(),
    ],
)
def test_callables_that_do_not_repeat_are_refused(function):
    with pytest.raises(ConfigError, match=REPLAY):
        view_of(function, "array", 0, SETS["array"])


def test_a_callable_on_tables_that_does_not_repeat_is_refused():
    def shaky(row, rng):
        row["f"] = random.random()
        return row

    with pytest.raises(ConfigError, match=REPLAY):
        view_of(shaky, "table", 0, SETS["table"])


@pytest.mark.parametrize(
    ("name", "function", "text"),
    [
        ("array", lambda row, rng: row[:2], r"a row \(5,\) of float64 from the view .*, got \(2,\) of float64"),
        ("grey", lambda row, rng: row * 0.5, r"a row \(9, 8\) of uint8 .* of float64\n\n.*astype\('uint8'\)"),
        ("array", lambda row, rng: row.nope, "row 0 gave AttributeError: .*\n\na view is a function"),
        ("array", lambda row: row, "row 0 gave TypeError"),
        ("table", lambda row, rng: row[["f"]], "a row with the columns f, f32, .*, got f\n\nreturn the pandas Series"),
        ("table", lambda row, rng: None, "a row with the columns .*, got NoneType"),
        ("table", lambda row, rng: {**row, "i": "many"}, "expected int64 in column 'i' from the view .*, got: "),
    ],
)  # fmt: skip
def test_callables_with_wrong_results_are_refused(name, function, text):
    with pytest.raises(ConfigError, match=text):
        view_of(function, SETS[name].kind, 0, SETS[name])


def test_a_callable_may_work_in_double_precision_and_change_its_row_in_place():
    rows = SETS["colour"]

    def brighten(row, rng):
        row *= rng.random()
        return row.astype(np.float64)

    before = rows.inputs.copy()
    made = view_of(brighten, "image", 0, rows)(rows.inputs, rows.keys, np.ones(COUNT, int))
    assert made.dtype == np.float32 and (made != before).any()
    np.testing.assert_array_equal(rows.inputs, before)


def scaled(row, rng, by=1.0):
    return row * (1 + by * rng.random())


class Scaled:
    def __init__(self, by):
        self.by = by

    def __call__(self, row, rng):
        return scaled(row, rng, self.by)

    def method(self, row, rng):
        return row * self.by


def closed(by):
    return lambda row, rng: row * by


def inner(by):
    def outer(row, rng):
        return (lambda r: r * by)(row)

    return outer


def test_own_fingerprints_follow_code_constants_closures_and_objects():
    rows = SETS["array"]

    def of(function, seed=0):
        return view_of(function, "array", seed, rows).fingerprint

    made = [
        of(scaled), of(scaled, 1), of(functools.partial(scaled, by=2)), of(functools.partial(scaled, by=3)),
        of(Scaled(2)), of(Scaled(3)), of(Scaled(2).method), of(Scaled(3).method), of(closed(2)), of(closed(3)),
        of(lambda row, rng: (lambda r: r * 2)(row)), of(lambda row, rng: (lambda r: r * 3)(row)),
        of(lambda row, rng, by=2: row * by), of(lambda row, rng, by=3: row * by),
        of(closed(np.array([2.0]))), of(closed(np.array([3.0]))), of(inner(2)), of(inner(3)),
    ]  # fmt: skip
    assert len(set(made)) == len(made)
    again = [of(functools.partial(scaled, by=3)), of(Scaled(3)), of(closed(3)), of(inner(3))]
    assert again == [made[3], made[5], made[9], made[17]]


SCRIPT = """
from limbeck.data.own_view import OwnView
class Inner:
    pass
class Outer:
    def __init__(self): self.inner, self.names = Inner(), {"b", "a", "c"}
    def __call__(self, row, rng): return row
print(OwnView(Outer(), 0).fingerprint)
"""


def test_own_fingerprints_are_the_same_in_every_process():
    seeds = ("1", "2")
    made = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in seeds
    }
    assert len(made) == 1


def test_an_own_view_names_itself():
    assert view_of(scaled, "array", 0, SETS["array"]).describe() == "scaled"
    assert view_of(functools.partial(scaled, by=2), "array", 0, SETS["array"]).describe() == "scaled"
    assert view_of(Scaled(2), "array", 0, SETS["array"]).describe() == "Scaled"
    made = view_of("noise", "array", 0, SETS["array"])
    assert view_of(made, "array", 3, SETS["array"]) is made and view_of(None, "array", 0, SETS["array"]) is None
