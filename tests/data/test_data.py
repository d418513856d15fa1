import time

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits, load_iris, load_wine

from limbeck.core.errors import ConfigError, LimbeckError
from limbeck.data.data import Data
from limbeck.data.keys import found_in, inverse_of
from limbeck.data.sources import NamedColumns

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(100, 4)), RNG.integers(0, 3, 100)
XT, YT = RNG.normal(size=(30, 4)), RNG.integers(0, 3, 30)


def table(n=100, shift=0.0, **columns):
    rng = np.random.default_rng(n)
    words = {"kind": rng.choice(["u", "v"], n), "species": rng.choice(["p", "q"], n)}
    return pd.DataFrame({"a": rng.normal(size=n) + shift, **words, **columns})


def codes(data):
    return [finding.code for finding in data.findings]


# ------------------------------------------------------------------------------------------ tasks on kinds of rows


def test_classification_on_arrays():
    x, y = load_iris(return_X_y=True)
    data = Data(train=(x, y))
    assert data.tasks["main"].classes == ("0", "1", "2") and data.describe()["kind"] == "array"
    assert len(data.train) + len(data.validation) == 150 and data.test is data.unlabeled is None
    assert data.train.targets["main"].dtype == np.int64 and data.preprocess.encode(x).shape == (150, 4)


def test_regression_on_a_table():
    frame = load_diabetes(as_frame=True).frame
    data = Data(train=frame, columns=NamedColumns(target="target"), test_fraction=0.25)
    task = data.tasks["main"]
    assert task.kind == "regression" and len(data.test) == 110
    np.testing.assert_allclose(
        sorted(task.predict(data.test.targets["main"])),
        sorted(frame["target"][found_in_rows(frame, data.test.inputs)]),
        rtol=1e-5,
    )


def test_targets_are_standardised_by_the_rows_left_in_train():
    y = np.arange(100.0) ** 2
    data = Data(train=(X, y), task="regression", test_fraction=0.2, labels=40)
    task = data.tasks["main"]
    left = y[found_in_rows(pd.DataFrame(X), pd.DataFrame(data.train.inputs))]
    assert len(left) == 32 and task.mean[0] == pytest.approx(left.mean()) and task.scale[0] == pytest.approx(left.std())
    for rows in (data.train, data.validation, data.test):
        want = y[found_in_rows(pd.DataFrame(X), pd.DataFrame(rows.inputs))]
        np.testing.assert_allclose(np.sort(task.predict(rows.targets["main"])), want, rtol=1e-5, atol=1e-2)
    given = Data(train=(X, y), validation=(XT, YT), test=(XT + 1, YT), task="regression").tasks["main"]
    assert given.mean == (y.mean(),)


def found_in_rows(frame, inputs):
    return frame[list(inputs.columns)].apply(tuple, axis=1).isin(set(inputs.apply(tuple, axis=1)))


def test_classification_on_images():
    digits = load_digits()
    data = Data(train=(digits.images.astype(np.uint8), digits.target), test_fraction=0.2, labels=200)
    assert data.train.kind == "image" and data.preprocess.shape == (1, 8, 8)
    assert len(data.train) + len(data.validation) == 200
    assert len(data.unlabeled) == 1797 - 200 - len(data.test) and not data.unlabeled.labelled


@pytest.mark.parametrize("form", ["matrix", "lists", "columns"])
def test_multilabel(form):
    matrix = RNG.integers(0, 2, (100, 3))
    names = ("art", "sport", "war")
    lists = [[n for n, there in zip(names, row, strict=True) if there] for row in matrix]
    if form == "columns":
        frame = table().assign(**dict(zip(names, matrix.T, strict=True)))
        data = Data(train=frame, validation=frame.assign(a=0.0), columns=NamedColumns(target=names))
    else:
        y = matrix if form == "matrix" else lists
        data = Data(train=(X, y), validation=(XT, y[:30]))
    task = data.tasks["main"]
    assert task.kind == "multilabel" and task.labels == (("0", "1", "2") if form == "matrix" else names)
    np.testing.assert_array_equal(data.train.targets["main"], matrix)


def test_two_tasks_with_labels_missing_for_one():
    colour = np.where(Y == 0, None, Y.astype(str).astype(object))
    data = Data(
        train=(X, {"colour": colour, "size": X[:, 0]}), test=(XT, {"colour": YT.clip(1), "size": XT[:, 0]}),
        task={"size": "regression"},
    )  # fmt: skip
    assert {head: task.kind for head, task in data.tasks.items()} == {"colour": "classification", "size": "regression"}
    assert data.train.label_mask["size"].all() and 0 < data.train.label_mask["colour"].mean() < 1
    frame = table(size=X[:, 0])
    two = Data(train=frame, columns=NamedColumns(target={"kind of": "species", "size": "size"}))
    assert list(two.tasks) == ["kind of", "size"] and list(two.train.inputs) == ["a", "kind"]


def test_one_list_of_classes_is_for_the_tasks_that_have_some():
    y = {"a": Y, "b": Y, "size": X[:, 0]}
    data = Data(train=(X, y), classes=["0", "1", "2", "3"])
    assert [task.size for task in data.tasks.values()] == [4, 4, 1]
    data = Data(train=(X, y), classes={"a": ["2", "1", "0"]})
    assert data.tasks["a"].classes == ("2", "1", "0") and data.tasks["b"].size == 3


@pytest.mark.parametrize("dtype", ["int64", "float32", "Int64", "string", "category", "object"])
def test_labels_of_any_dtype_give_the_same_targets(dtype):
    base = Data(train=(X, pd.Series(Y)), task="classification")
    other = Data(train=(X, pd.Series(Y).astype(dtype)), task="classification")
    assert other.tasks == base.tasks and other.fingerprint == base.fingerprint


def test_integer_targets_of_a_regression_and_skipped_class_numbers():
    data = Data(train=(X, RNG.integers(0, 5, 100)), task="regression")
    assert data.tasks["main"].kind == "regression" and data.train.targets["main"].dtype == np.float32
    assert Data(train=(X, RNG.choice([2, 10, 9], 100))).tasks["main"].classes == ("2", "9", "10")
    assert Data(train=(X, RNG.random(100) < 0.5)).tasks["main"].classes == ("False", "True")
    blanks = Data(train=(X, RNG.choice([" a", "a ", "b"], 100)))
    assert blanks.tasks["main"].classes == ("a", "b") and "LB117" not in codes(blanks)


def test_class_order_of_the_source_holds_unless_the_user_gives_one():
    import datasets

    features = datasets.Features({"n": datasets.Value("float64"), "label": datasets.ClassLabel(names=["yes", "no"])})
    given = datasets.Dataset.from_dict(
        {"n": X[:, 0].tolist(), "label": (Y > 0).astype(int).tolist()}, features=features
    )
    assert Data(train=given).tasks["main"].classes == ("yes", "no")
    assert Data(train=given, classes=["no", "yes"]).tasks["main"].classes == ("no", "yes")


# ------------------------------------------------------------------------------------------ splits


def test_validation_is_split_off_stratified_and_the_same_again():
    data = Data(train=(X, Y))
    assert len(data.validation) == 20 and len(data.train) == 80
    assert np.abs(np.bincount(data.validation.targets["main"]) - 0.2 * np.bincount(Y)).max() < 1
    assert Data(train=(X, Y)).fingerprint == data.fingerprint != Data(train=(X, Y), seed=1).fingerprint
    assert len(Data(train=(X, Y), validation_fraction=0.5).validation) == 50
    given = Data(train=(X, Y), validation=(XT, YT))
    assert len(given.train) == 100 and len(given.validation) == 30


def test_groups_and_duplicates_stay_on_one_side():
    x = np.concatenate([X, X[:40]])
    groups = np.concatenate([np.repeat(np.arange(20), 5), np.repeat(np.arange(8), 5)])
    data = Data(train=(x, np.append(Y, Y[:40])), groups=groups, test_fraction=0.2)
    parts = [data.train, data.validation, data.test]
    for i, left in enumerate(parts):
        for right in parts[i + 1 :]:
            assert not set(left.groups) & set(right.groups) and not found_in(left.keys, right.keys).any()


def test_duplicates_share_a_key_and_others_never_do():
    x, y = load_wine(return_X_y=True)
    frame = pd.DataFrame(np.concatenate([x, x]), columns=[f"c{i}" for i in range(13)])
    data = Data(train=(frame, np.append(y, y)), validation=(frame.iloc[:1] + 1, y[:1]))
    assert inverse_of(data.train.keys)[1] == len(np.unique(x, axis=0))


def test_weights_groups_and_ids_go_with_their_rows():
    ids, weights, groups = np.arange(100), np.arange(1, 101.0), np.repeat(np.arange(50), 2)
    data = Data(train=(X, Y), weights=weights, groups=groups, ids=ids)
    for rows in (data.train, data.validation):
        np.testing.assert_array_equal(rows.inputs, X[rows.ids])
        np.testing.assert_allclose(rows.weight, weights[rows.ids] / weights.mean(), rtol=1e-6)
        assert rows.groups.tolist() == [str(i // 2) for i in rows.ids]
    frame = table(w=weights, who=groups, row=ids)
    named = Data(train=frame, columns=NamedColumns(target="species", weight="w", group="who", id="row"))
    assert list(named.train.inputs) == ["a", "kind"]
    np.testing.assert_allclose(named.train.weight, weights[named.train.ids] / weights.mean(), rtol=1e-6)
    assert named.fingerprint != Data(train=frame.assign(w=1.0), columns=NamedColumns("a", "species")).fingerprint


def test_weights_have_mean_one_over_labelled_rows_whatever_their_scale():
    y, weights = Y.astype(float), np.arange(1, 101.0)
    y[:20] = np.nan
    given = {"train": (X, y), "validation": (XT, YT), "task": "classification"}
    data, scaled = Data(**given, weights=weights), Data(**given, weights=1000 * weights)
    np.testing.assert_allclose(data.train.weight, weights / weights[20:].mean(), rtol=1e-6)
    np.testing.assert_allclose(scaled.train.weight, data.train.weight, rtol=1e-6)


@pytest.mark.parametrize("columns", [None, NamedColumns(target="species")])
@pytest.mark.parametrize("labelled", [True, False])
def test_an_unlabelled_table_may_have_or_lack_the_label(columns, labelled):
    more = table(50, shift=9)
    data = Data(train=table(), unlabeled=more if labelled else more.drop(columns="species"), columns=columns)
    assert len(data.unlabeled) == 50 and not data.unlabeled.labelled
    assert list(data.unlabeled.inputs) == ["a", "kind"] == list(data.train.inputs)


def test_frames_beside_separate_labels():
    frame = table().drop(columns="species")
    data = Data(train=(frame, Y), unlabeled=frame.assign(a=1e3), test=(frame.assign(a=2e3), Y))
    assert (len(data.unlabeled), len(data.test)) == (100, 100) and list(data.unlabeled.inputs) == ["a", "kind"]
    named = Data(train=(frame, table()["species"]), test=table(30, shift=9))
    assert len(named.test) == 30


def test_columns_come_in_the_order_of_train():
    test = table(30, shift=9)[["species", "kind", "a"]]
    data = Data(train=table(), test=test)
    assert list(data.test.inputs) == ["a", "kind"]


def test_numbers_and_text_are_read_as_in_train():
    spelt = table(30, shift=9).assign(a=lambda f: f["a"].astype(str))
    data = Data(train=table(), test=spelt)
    assert data.test.inputs["a"].dtype == np.float64
    coded = Data(train=table(code=["1", "x"] * 50), test=table(30, shift=9, code=1))
    assert coded.test.inputs["code"].tolist() == ["1"] * 30
    empty = Data(train=table(code=["1", "x"] * 50), test=table(30, shift=9, code=np.nan))
    assert empty.preprocess.encode(empty.test.inputs).shape[0] == 30


@pytest.mark.parametrize("backend", ["numpy", "nullable", "pyarrow", "category"])
def test_containers_of_pandas_give_the_same_data(backend):
    frame = table(i=RNG.integers(0, 9, 100), b=RNG.random(100) < 0.5)
    changed = {
        "numpy": frame.astype(object), "nullable": frame.convert_dtypes(),
        "pyarrow": frame.convert_dtypes(dtype_backend="pyarrow"), "category": frame.astype({"kind": "category"}),
    }[backend]  # fmt: skip
    base, other = (Data(train=f, view="noise + swap") for f in (frame, changed))
    assert other.tasks == base.tasks
    np.testing.assert_array_equal(other.train.keys, base.train.keys)
    np.testing.assert_array_equal(
        other.preprocess.encode(other.train.inputs), base.preprocess.encode(base.train.inputs)
    )
    views = np.arange(len(base.train))
    assert other.view(other.train.inputs, other.train.keys, views).dtypes.equals(other.train.inputs.dtypes)


def test_missing_values_dates_and_huge_numbers_of_nullable_tables():
    frame = table(
        i=pd.array([1, 2, None, 3] * 25, dtype="Int64"), t=pd.array(["x", None] * 50, dtype="string"),
        d=[*pd.date_range("2024-01-01", periods=99), pd.NaT], huge=[2**70, 1, 2, 3] * 25, id64=2**60 + np.arange(100),
    )  # fmt: skip
    data = Data(train=frame)
    assert [part["name"] for part in data.preprocess.spec["numeric"]] == ["a", "i", "d", "huge"]
    assert [f.measured for f in data.findings if f.code == "LB116"] == ["id64"]  # all equal in float32
    encoded = data.preprocess.encode(data.train.inputs)
    assert np.isfinite(encoded).all() and np.abs(encoded).max() < 20
    assert inverse_of(data.train.keys)[1] == len(data.train)


def test_tensors_are_arrays():
    data = Data(train=(torch.tensor(X), torch.tensor(Y)))
    assert data.fingerprint == Data(train=(X, Y)).fingerprint


def test_a_metric_passes_through():
    def mine(y_true, y_pred):
        return 0.0

    assert Data(train=(X, Y), metric=mine).metric is mine and Data(train=(X, Y), metric="macro_f1").metric == "macro_f1"


def test_views_are_eight_unless_said_and_part_of_the_fingerprint():
    plain, eight, four = Data(train=(X, Y)), Data(train=(X, Y), view="noise"), Data(train=(X, Y), view="noise", views=4)
    assert (plain.views, eight.views, four.views) == (0, 8, 4)
    own = Data(train=(X, Y), view=lambda row, rng: row + rng.normal())
    assert len({d.fingerprint for d in (plain, eight, four, own)}) == 4
    assert eight.describe()["view"] == "noise(0.1)" and plain.describe()["view"] is None


def test_sixty_thousand_images_take_little_time():
    x, y = RNG.integers(0, 255, (60_000, 28, 28)).astype(np.uint8), RNG.integers(0, 10, 60_000)
    start = time.process_time()
    data = Data(train=(x, y), labels=5000, test_fraction=0.1, view="shift(2) + flip")
    assert data.fingerprint and time.process_time() - start < 3  # 0.5 s on a quiet machine


# ------------------------------------------------------------------------------------------ bad input


def with_value(value):
    x = X.copy()
    x[7, 2] = value
    return x


ONES = np.ones(100)
BAD = {
    "no rows": ({"train": None}, "training rows, got none\n\ngive lb.Data"),
    "no labels": ({"train": X}, "labels for the training rows, got none\n\ngive train="),
    "all labels missing": ({"train": (X, [None] * 100)}, "labels to infer the task from, got none"),
    "all missing, classes given": (
        {"train": (X, [None] * 100), "task": "classification", "classes": ["a", "b"]},
        "train: expected labels of 'main', all 100 are missing",
    ),
    "a target that no row knows": (
        {
            "train": (X, np.stack([ONES * np.nan, np.arange(len(X)) * 1.0], axis=1)),
            "task": "regression",
        },
        "training rows with a value of every target, none of 100 has one of y0",
    ),
    "all numbers missing": ({"train": (X, ONES * np.nan), "task": "regression"}, "labelled rows for a regression task"),
    "all test labels missing": (
        {"train": (X, Y), "test": (XT, [None] * 30)},
        "test: expected labels of 'main', all 30 are missing",
    ),
    "one class": ({"train": (X, ONES.astype(int))}, r"at least 2 classes, got 1 \('1'\)\n\ncheck that labels"),
    "a class that train has not": (
        {"train": (X, Y), "test": (XT, YT + 1)},
        "test: expected one of the 3 classes 0, 1, 2, got label '3' in row",
    ),
    "outside given classes": (
        {"train": (X, Y), "classes": 2},
        "train: expected one of the 2 classes 0, 1, got label '2' in row",
    ),
    "ids outside named classes": (
        {"train": (X, Y), "classes": ["cat", "dog"]},
        r"train: expected class ids from 0 to 1, got 2 in row",
    ),
    "infinity": ({"train": (with_value(np.inf), Y)}, "finite inputs in train, got infinity .* 1 rows, the first at 7"),
    "NaN in series": ({"train": (with_value(np.nan)[:, None], Y)}, "no NaN in the inputs of train, got some in 1 rows"),
    "unknown column": (
        {"train": table(), "columns": NamedColumns(target="specis")},
        "column 'specis' in train, not found\n\ndid you mean 'species'",
    ),
    "wrong length": ({"train": (X, Y[:50])}, "one entry a row in train, got 100 rows and 50 labels of 'main'"),
    "wrong weights": (
        {"train": (X, Y), "weights": ONES[:3]},
        "weights: expected one entry for each of 100 training rows",
    ),
    "negative weights": ({"train": (X, Y), "weights": -ONES}, "train: expected finite weights >= 0 that are not all 0"),
    "no weight": ({"train": (X, Y), "weights": 0 * ONES}, "train: expected finite weights >= 0"),
    "weights of text": (
        {"train": table(w="much"), "columns": NamedColumns(target="species", weight="w")},
        "train: expected finite weights >= 0 that are not all 0\n\ncheck the weights or their column",
    ),
    "text where numbers were": (
        {"train": table(), "test": table(30, a=["1", "x"] * 15)},
        "test: expected numbers in column 'a', got 'x' in row 1",
    ),
    "another column": (
        {"train": table(), "test": table(30, extra=1)},
        "the same input columns in test as in train, not in train: extra\n\nname the input columns",
    ),
    "a missing column": (
        {"train": table(), "test": table(30).drop(columns="kind")},
        "in test as in train, missing: kind",
    ),
    "a missing label column": (
        {"train": table(), "test": table(30).drop(columns="species")},
        "column 'species' in test, not found",
    ),
    "repeated names": (
        {"train": pd.concat([table(), table()[["a"]]], axis=1)},
        "train: expected distinct column names, got 'a' twice",
    ),
    "validation without labels": (
        {"train": (X, Y), "validation": XT},
        r"validation: expected labels of 'main', got none\n\ngive \(X, y\)",
    ),
    "a head missing in test": (
        {"train": (X, {"a": Y, "b": Y}), "test": (XT, {"a": YT})},
        "test: expected labels of 'b', got none",
    ),
    "an empty split": (
        {"train": (X, Y), "test": (XT[:0], YT[:0])},
        "test: expected rows, got none\n\nleave the split out",
    ),
    "another shape": (
        {"train": (X, Y), "test": (XT[:, :2], YT)},
        r"rows of test as in train \(array \(4,\)\), got array \(2,\)",
    ),
    "another range of pixels": (
        {"train": (np.zeros((9, 5, 5, 3), np.uint8), range(9)), "test": (np.zeros((3, 5, 5, 3)), range(3))},
        "images of test as uint8, as in train, got float64\n\ngive every split in the same range",
    ),
    "all constant": ({"train": (np.stack([ONES] * 2, 1), Y)}, r"at least two distinct labelled rows"),
    "an unknown task": (
        {"train": (X, Y), "task": "clasification"},
        "got 'clasification'\n\ndid you mean 'classification'",
    ),
    "an unknown head": ({"train": (X, Y), "task": {"mian": "regression"}}, "tasks among main, got mian\n\nname tasks"),
    "text for regression": (
        {"train": (X, ["a", "b"] * 50), "task": "regression"},
        "numbers for a regression task, got 'a'",
    ),
    "views without a view": ({"train": (X, Y), "views": 4}, "a view that makes 4 views, got none"),
    "no views": ({"train": (X, Y), "view": "noise", "views": 0}, "views of at least 1, got 0"),
    "a view of another kind": (
        {"train": (X, Y), "view": "flip"},
        "a view of array rows, got 'flip'\n\nknown: noise, swap",
    ),
    "labels of text columns": (
        {"train": table(), "columns": NamedColumns(target=("species", "kind"))},
        "numbers where a task has several label columns, got '.' in row 0\n\nfor several tasks name each",
    ),
    "classes of a regression": (
        {"train": (X, X[:, 0]), "classes": ["a", "b"]},
        "no classes for a regression task of 1 targets, got 2 .a, b.\n\nleave classes out",
    ),
    "a metric of another kind": ({"train": (X, Y), "metric": 3}, "a metric by name or as a function .* got int"),
    "infinity in half precision": (
        {"train": (with_value(np.inf).astype(np.float16), Y)},
        "finite inputs in train, got infinity .* the first at 7",
    ),
    "too many labels kept": (
        {"train": (X, Y), "labels": 101},
        "labels between 1 and the 100 labelled training rows, got 101",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_sentence_with_a_way_out(name):
    given, text = BAD[name]
    with pytest.raises(LimbeckError, match=text) as caught:
        Data(**given)
    assert caught.value.todo and caught.value.exit_code == 2


def test_all_problems_come_at_once():
    with pytest.raises(ConfigError, match=r"(?s)the data has 3 problems.*train: .*validation: .*test: ") as caught:
        Data(train=(X, Y[:3]), validation="nowhere.csv", test=([[1], [[2, 3]]], [0, 1]))
    assert [problem.where for problem in caught.value.problems] == ["train", "validation", "test"]


def test_a_text_for_columns_is_the_column_of_labels():
    frame = pd.DataFrame({"churn": ["yes", "no"] * 20, "age": range(40), "active": [0, 1, 1, 0] * 10})
    data = Data(train=frame, test=frame.assign(age=frame["age"] + 100), columns="churn")
    assert data.tasks["main"].classes == ("no", "yes") and list(data.train.inputs.columns) == ["age", "active"]
