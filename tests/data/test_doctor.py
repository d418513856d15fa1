import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import limbeck.data
from limbeck.core.checks import CHECKS
from limbeck.data.data import Data
from limbeck.data.sources import NamedColumns

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 3))
Y = RNG.integers(0, 2, 400)
FAR = RNG.normal(size=(400, 3)) + 100


def found(code, **given):
    """The findings of a code."""
    return [finding for finding in Data(**given).findings if finding.code == code]


def only(code, **given):
    findings = found(code, **given)
    assert len(findings) == 1, findings
    return findings[0]


def frame(**columns):
    return pd.DataFrame({"n": X[:, 0], "label": np.where(Y, "yes", "no"), **columns})


def test_every_code_has_a_page():
    folder = Path(limbeck.data.__file__).parent
    codes = {code for path in folder.glob("*.py") for code in re.findall(r'"(LB\d{3})"', path.read_text())}
    assert len(codes) > 10 and codes <= set(CHECKS)


def test_a_quiet_set_says_nothing():
    data = Data(train=(X, Y), test=(FAR, Y), task="classification")
    assert data.findings == () and data.overlaps == 0


@pytest.mark.parametrize(("shared", "grade"), [(1, "tip"), (4, "tip"), (5, "issue"), (40, "issue")])
def test_test_rows_in_training_leave_the_score_and_are_counted(shared, grade):
    test = (np.concatenate([X[:shared], FAR[shared:]]), Y)
    finding = only("LB101", train=(X, Y), test=test, task="classification")
    assert finding.grade == grade and finding.data == {"rows": shared, "of": 400, "train": shared}
    assert f"{shared} of 400 test rows ({shared / 4:.3g} %): {shared} in train" == finding.measured
    assert "left out" in finding.why
    data = Data(train=(X, Y), test=test, task="classification")
    assert len(data.test) == 400 - shared == len(data.test.targets["main"]) and data.overlaps == shared
    np.testing.assert_array_equal(data.test.inputs, FAR[shared:])


@pytest.mark.parametrize("split", ["unlabeled", "validation"])
def test_test_rows_among_unlabelled_and_validation_rows_count_as_well(split):
    more = {"unlabeled": FAR[:8], "validation": (FAR[:8], Y[:8])}[split]
    finding = only("LB101", train=(X, Y), test=(FAR, Y), **{split: more})
    assert finding.grade == "issue" and finding.data == {"rows": 8, "of": 400, split: 8}


def test_a_row_in_two_splits_is_counted_once():
    finding = only("LB101", train=(X, Y), unlabeled=X[:2], test=(np.concatenate([X[:2], FAR]), np.append(Y, [0, 1])))
    assert finding.data == {"rows": 2, "of": 402, "train": 2, "unlabeled": 2} and finding.grade == "tip"


def test_where_every_test_row_was_seen_all_stay_and_it_is_said():
    finding = only("LB101", train=(X, Y), test=(X[:50], Y[:50]))
    assert finding.grade == "issue" and "50 of 50 test rows (100 %)" in finding.measured
    assert "none could be left out" in finding.why
    data = Data(train=(X, Y), test=(X[:50], Y[:50]))
    assert len(data.test) == 50 and data.overlaps == data.describe()["overlaps_dropped"] == 0


def test_overlap_does_not_depend_on_how_a_file_spelt_the_row():
    train = frame(code=["1", "x"] * 200)
    finding = only("LB101", train=train, test=train[train["code"] == "1"].iloc[:3].assign(code=1))
    assert finding.data["rows"] == 3


@pytest.mark.parametrize("narrow", ["train", "test"])
@pytest.mark.parametrize("kind", ["array", "table", "nullable"])
def test_test_rows_in_another_float_dtype_than_in_training_are_seen(kind, narrow):
    rows = {"train": X, "test": np.concatenate([X[:3], FAR])}
    rows[narrow] = rows[narrow].astype(np.float32)
    if kind != "array":
        rows = {split: pd.DataFrame(x, columns=["a", "b", "c"]).assign(n=3) for split, x in rows.items()}
    if kind == "nullable":
        rows = {split: x.convert_dtypes() for split, x in rows.items()}
    data = Data(train=(rows["train"], Y), test=(rows["test"], np.append(Y[:3], Y)), task="classification")
    assert data.overlaps == 3 and len(data.test) == 400
    note = next(f.measured for f in data.findings if f.code == "LB111" and "float32" in f.measured)
    where = "the inputs" if kind == "array" else "column a, b, c"
    assert note == f"floats of {where} became float32 in every split, as they are in one of them"
    if kind != "array":
        assert data.train.inputs["n"].dtype.kind == "i"


def test_validation_rows_and_groups_on_both_sides_are_said():
    finding = only("LB119", train=(X, Y), validation=(np.concatenate([X[:3], FAR]), np.append(Y, [0, 1, 0])))
    assert finding.grade == "tip" and finding.measured == "3 of 403 validation rows"
    columns = NamedColumns(target="label", group="who")
    train, test = frame(who=["p", "q", None, "s"] * 100), frame(who=["p", None, "t", "u"] * 100).assign(n=FAR[:, 0])
    finding = only("LB120", train=train, test=test, columns=columns)
    assert finding.measured == "1 groups: p" and finding.data == {"split": "test", "groups": 1}
    assert not found("LB120", train=train, columns=columns)


def test_unlabelled_rows_that_stand_in_validation_are_dropped_and_counted():
    given = {"train": (X, Y), "validation": (FAR[:50], Y[:50])}
    finding = only("LB119", **given, unlabeled=FAR[40:80])
    assert finding.measured == "0 of 50 validation rows; 10 stood in unlabeled, which lost them"
    assert finding.data == {"rows": 0, "of": 50, "unlabeled": 10}
    np.testing.assert_array_equal(Data(**given, unlabeled=FAR[40:80]).unlabeled.inputs, FAR[50:80])
    assert Data(**given, unlabeled=FAR[:9]).unlabeled is None


def test_equal_inputs_with_different_labels_are_said():
    x, y = np.repeat(X[:100], 2, axis=0), np.repeat(Y[:100], 2)
    y[[0, 2, 4]] = 1 - y[[0, 2, 4]]
    finding = only("LB102", train=(x, y), validation=(FAR, Y), task="classification")
    assert finding.grade == "tip" and finding.measured.startswith("3 inputs of 'main'")
    assert not found("LB102", train=(x, y.astype(float)), validation=(FAR, Y), task="regression")
    assert found("LB102", train=(x, np.stack([y, y], axis=1)), validation=(FAR, Y[:, None] * [1, 1]), task="multilabel")


def test_empty_and_rare_classes_are_said():
    given = {"train": (X, Y), "validation": (FAR, Y), "task": "classification"}
    finding = only("LB103", **given, classes=["0", "1", "2"])
    assert finding.grade == "issue" and finding.measured == "1 of 3 classes of 'main' have none: 2"
    assert finding.data == {"split": "train", "classes": ["2"]}
    finding = only("LB103", **given, test=(FAR[:30] + 1, np.zeros(30, int)))
    assert finding.grade == "tip" and "classes without rows in test" in finding.title
    y = Y.copy()
    y[:3] = 2
    finding = only("LB103", train=(X, y), validation=(FAR, Y), task="classification")
    assert finding.grade == "note" and finding.measured == "1 classes of 'main': 2"


def test_labels_that_no_row_has_are_said():
    matrix = np.stack([Y, np.zeros_like(Y)], axis=1)
    finding = only("LB103", train=(X, matrix), task="multilabel")
    assert finding.grade == "issue" and finding.measured == "1 of 2 labels of 'main' have none: 1"


def test_imbalance_is_said():
    y = (np.arange(400) < 20).astype(int)
    finding = only("LB112", train=(X, y), task="classification")
    assert finding.grade == "note" and "19 times the rows" in finding.measured
    assert not found("LB112", train=(X, Y), task="classification")


def test_missing_values_of_tables_and_arrays_are_said():
    holes = X.copy()
    holes[:7, 1] = np.nan
    given = {"validation": (FAR, Y), "task": "classification"}
    assert only("LB113", train=(holes, Y), **given).measured == "column 1 (7)"
    table = frame(m=[np.nan, 1.0, 2.0, 3.0] * 100, t=["a", None, "b", "a"] * 100)
    table.loc[:2, "label"] = None
    finding = only("LB113", train=table, validation=frame(m=1.0, t="a"))
    assert finding.measured == "m (100), t (100)" and finding.grade == "note"


def test_rows_without_a_label_are_said_by_split():
    y = np.where(Y, "yes", "no").astype(object)
    y[:4] = None
    test = np.where(Y, "yes", "no").astype(object)
    test[0] = np.nan
    finding = only("LB117", train=(X, y), validation=(FAR + 1, test), test=(FAR, test))
    assert finding.measured == "4 of 400 in train, 1 of 400 in validation, 1 of 400 in test"
    two = only("LB117", train=(X, {"a": y, "b": Y}), validation=(FAR, {"a": ["yes"] * 400, "b": Y}))
    assert "'a'" in two.title


def test_constant_and_all_missing_inputs_are_said():
    x = X.copy()
    x[:, 0], x[:, 2] = 5, np.nan
    finding = only("LB114", train=(x, Y), task="classification")
    assert finding.measured == "column 0, column 2"
    table = frame(same=1, gone=np.nan, text="x")
    assert only("LB114", train=table).measured == "same, gone, text"


def test_text_mixed_types_and_free_text_are_said():
    table = frame(
        t=["a", "b"] * 200, m=[1, "a"] * 200, spelt=["12", "unknown"] * 200, free=[f"row {i}" for i in range(400)]
    )
    assert only("LB115", train=table).measured == "t, m, spelt"
    assert only("LB118", train=table).measured == "m, spelt"
    assert only("LB116", train=table).measured == "free"
    assert not found("LB118", train=frame(t=["a", None] * 200))
    assert only("LB116", train=frame(once=[1.0, None] * 200)).measured == "once"


def test_dates_and_guessed_columns_are_said():
    findings = found("LB111", train=frame(d=pd.date_range("2024-01-01", periods=400)))
    assert {finding.measured for finding in findings} == {
        "columns were not named: target: label (by its name)", "dates in d became days since 1970",
    }  # fmt: skip
    assert not found("LB111", train=frame(), columns=NamedColumns(target="label"))


def test_long_lists_are_cut():
    wide = frame(**{f"c{i}": 1 for i in range(9)})
    assert only("LB114", train=wide).measured == "c0, c1, c2, c3, c4, c5 and 3 more"


def test_rows_without_any_text_or_word_are_counted():
    texts = pd.DataFrame({"sentence": [f"a good film {n}" for n in range(50)], "label": [n % 2 for n in range(50)]})
    assert not found("LB125", train=texts, test=texts.assign(sentence=texts.sentence + " x"))
    odd = texts.assign(sentence=["", "  ", None, *texts.sentence[3:]])
    (finding,) = found("LB125", train=odd, test=texts.assign(sentence=texts.sentence + " x"), validation_fraction=0.5)
    assert finding.grade == "note" and sum(int(part.split()[0]) for part in finding.measured.split(", ")) == 3
    words = pd.DataFrame({"tokens": [["a", f"w{n}"] for n in range(20)], "ner_tags": [["O", "B-X"]] * 20})
    words.at[3, "tokens"], words.at[3, "ner_tags"] = [], []
    (finding,) = found("LB125", train=words, validation=words[4:], test=words[4:])
    assert finding.measured == "1 of 20 in train"
