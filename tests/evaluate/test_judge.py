"""Predictions from anyone's trainer: the same truth from arrays, tables and files, and one error that lists all."""

import numpy as np
import pandas as pd
import pytest

from limbeck.core.errors import ConfigError
from limbeck.evaluate.judge import judge


@pytest.fixture
def arrays(world):
    return {a: world[a] for a in ("teacher", "student", "control")}


def table(values, names, seeds=None):
    blocks = values if values.ndim == 3 else values[None]
    parts = []
    for seed, block in enumerate(blocks):
        part = pd.DataFrame(block, columns=list(names))
        part.insert(0, "id", [f"r{i}" for i in range(len(block))])
        if values.ndim == 3:
            part.insert(1, "seed", seed if seeds is None else seeds[seed])
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def truth_table(world):
    return pd.DataFrame(
        {"id": [f"r{i}" for i in range(len(world["y"]))], "label": np.array(world["names"])[world["y"]]}
    )


def test_tables_in_any_order_say_what_arrays_say(world, arrays, tmp_path):
    plain = judge(world["y"], **arrays, classes=range(5))
    names = world["names"]
    tables = {a: table(v, names).sample(frac=1, random_state=3) for a, v in arrays.items()}
    tables["control"] = tables["control"][["seed", "c", "a", "id", "e", "d", "b"]]
    named = judge(truth_table(world), **tables)
    assert named["verdict"] == plain["verdict"] == "helped"
    assert named.gain == plain.gain and named.retention == plain.retention
    tables["teacher"].to_csv(tmp_path / "teacher.csv", index=False)
    tables["student"].to_parquet(tmp_path / "student.parquet")
    tables["control"].to_json(tmp_path / "control.jsonl", orient="records", lines=True)
    truth_table(world).to_csv(tmp_path / "y.csv", index=False)
    paths = {"teacher": "teacher.csv", "student": "student.parquet", "control": "control.jsonl"}
    from_files = judge(tmp_path / "y.csv", **{a: tmp_path / p for a, p in paths.items()})
    assert from_files.gain == named.gain


def test_probabilities_count_as_their_logits(world, arrays):
    e = np.exp(arrays["student"])
    with_p = judge(world["y"], **arrays | {"student": e / e.sum(-1, keepdims=True)})
    plain = judge(world["y"], **arrays)
    left, right = (s["tasks"]["main"]["calibration"]["student"]["before"] for s in (with_p, plain))
    assert left["nll"] == pytest.approx(right["nll"])


def test_decisions_by_id_or_by_name(world, arrays):
    ids = {a: v.argmax(-1) for a, v in arrays.items()}
    names = np.array(world["names"])
    plain = judge(world["y"], **arrays)
    by_id, by_name = judge(world["y"], **ids), judge(names[world["y"]], **{a: names[v] for a, v in ids.items()})
    assert by_id.gain == by_name.gain == plain.gain
    assert by_id["tasks"]["main"]["calibration"] is None
    assert by_id["tasks"]["main"]["fidelity"]["arms"]["student"]["kl"] is None


def test_regression_is_seen_from_the_labels():
    rng = np.random.default_rng(0)
    y = rng.normal(size=100)
    card = judge(y, teacher=y + 0.1, student=y + 0.2 * rng.normal(size=(4, 100)), control=y + rng.normal(size=(4, 100)))
    assert card["tasks"]["main"]["kind"] == "regression" and card.verdict == "helped"
    assert card.retention is None or card.retention.value < 1


def test_labels_are_seen_from_their_columns():
    rng = np.random.default_rng(0)
    y = (rng.random((120, 2)) < 0.5).astype(int)
    said = [np.where(rng.random((3, 120, 2)) < p, y, 1 - y) for p in (0.95, 0.7)]
    card = judge(y, student=said[0], control=said[1])
    assert card["tasks"]["main"]["kind"] == "multilabel" and card.verdict == "helped"
    assert card.retention is None


def test_a_row_without_label_is_left_out(world, arrays):
    y = world["y"].astype(float)
    y[:100] = np.nan
    card = judge(y, **arrays, task="classification", classes=range(5))
    assert card["tasks"]["main"]["counts"]["labelled_rows"] == 300


def test_swapped_columns_of_an_array_are_found(world, arrays):
    card = judge(world["y"], **arrays | {"teacher": arrays["teacher"][:, ::-1]})
    assert [f.code for f in card.issues if f.code == "LB202"]


def test_every_problem_is_in_the_one_error(world, arrays):
    names = world["names"]
    teacher, student, control = (table(v, names) for v in (arrays["teacher"], arrays["student"], arrays["control"]))
    teacher.loc[3, "id"] = "r4"
    student = student.drop(index=[7, 8]).rename(columns={"a": "aa"})
    control.loc[5, "b"] = np.nan
    control["seed"] += 1
    with pytest.raises(ConfigError) as e:
        judge(truth_table(world), teacher=teacher, student=student, control=control)
    message = str(e.value)
    assert message.startswith("what judge was given has ")
    assert "teacher: 1 duplicated ids: r4" in message
    assert "student, seed 0: 2 of 400 rows are missing: r7, r8" in message
    assert "control: 1 rows hold NaN or infinity" in message
    assert len(e.value.problems) >= 3


def test_columns_that_are_no_classes_are_named(world, arrays):
    student = table(arrays["student"], "vwxyz")
    with pytest.raises(ConfigError, match="no column for a, b, c, d, e; unknown columns v, w, x, y, z"):
        judge(truth_table(world), student=student, control=table(arrays["control"], world["names"]), classes="abcde")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"student": np.zeros((5, 400, 4))}, r"student: expected 5 classes \(0, 1, 2, 3, 4\), got 4 columns"),
        ({"student": np.zeros((5, 399, 5))}, "student: expected 400 rows, as in y, got 399"),
        ({"control": np.zeros((3, 400, 5))}, "seeds: student has 5 seeds, control 3"),
        ({"student": np.full((5, 400, 5), np.nan)}, "student: 400 rows hold NaN or infinity"),
        ({"teacher": "no/such.csv"}, "teacher: no/such.csv does not exist"),
        ({"teacher": "answers.xls"}, "teacher: expected a .csv, .parquet or .jsonl file, got answers.xls"),
        ({"teacher": pd.DataFrame({"a": [1.0]})}, "teacher: expected a column 'id', got a"),
        ({"weights": [1.0, 2.0]}, "weights: expected one entry for each of 400 rows, got 2"),
        ({"classes": range(3)}, "y: .* rows have a label outside the classes 0, 1, 2: 3, 4"),
        ({"ids": ["x"] * 400}, "y: duplicated ids: x"),
        ({"ids": ["x"]}, "ids: expected 400 ids, one for each row of y, got 1"),
    ],
)
def test_refusals(world, arrays, changes, text):
    with pytest.raises(ConfigError, match=text):
        judge(world["y"], **{"classes": range(5)} | arrays | changes)


def test_unknown_task_and_different_seeds(world, arrays):
    with pytest.raises(ConfigError, match="expected task to be auto or one of classification, multilabel, regression"):
        judge(world["y"], **arrays, task="ranking")
    names = world["names"]
    student, control = table(arrays["student"], names), table(arrays["control"], names, seeds=[5, 6, 7, 8, 9])
    with pytest.raises(ConfigError, match=r"student has the seeds \[0, 1, 2, 3, 4\], control \[5, 6, 7, 8, 9\]"):
        judge(truth_table(world), student=student, control=control)


def test_whole_numbers_are_quantities_where_the_answers_have_fractions():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 50, 100)
    card = judge(y, student=y + rng.normal(size=(3, 100)), control=y + 3 * rng.normal(size=(3, 100)))
    assert card["tasks"]["main"]["kind"] == "regression"


def test_boolean_labels_say_what_whole_numbers_say():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 80)
    logits = {a: np.eye(2)[y] * 2 + rng.normal(size=(80, 2)) for a in ("teacher", "student", "control")}
    plain = judge(y, **logits).retention
    tables = {a: table(v, [False, True]) for a, v in logits.items()}
    truth = pd.DataFrame({"id": [f"r{i}" for i in range(80)], "label": y})
    for labels in (truth, truth.astype({"label": bool})):
        assert judge(labels, **tables).retention == plain
    assert judge(y.astype(bool), **logits).retention == plain
    assert judge(y.astype(bool), **logits, classes=[False, True]).retention == plain
    decided = {a: v.argmax(-1) for a, v in logits.items()}
    for one, other in ((bool, int), (int, bool), (bool, bool)):
        assert judge(y.astype(one), **{a: v.astype(other) for a, v in decided.items()}).retention == plain
