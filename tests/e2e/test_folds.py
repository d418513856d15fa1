"""Whole runs with folds: few rows, each of them tested once by students that were not trained on it."""

import numpy as np
import pandas as pd
import pytest
from e2e_runs import PLAN, consistent, distil, score
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import limbeck as lb
from limbeck.core.errors import ConfigError, StoreMismatch
from limbeck.core.run import Run
from limbeck.evaluate.predictions import read
from limbeck.report.folder import scorecard_of
from limbeck.stages import train as train_stage
from limbeck.stages import verbs
from limbeck.stages.forecast import check_recipe
from limbeck.stages.recipes import run_recipe

FAST = lb.TrainSpec(steps=40, batch_size=32, learning_rate=0.02, validate_every=20)


def iris(rows=66):
    x, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))[:rows]
    return x[order].astype(np.float32), np.array(["setosa", "versicolor", "virginica"])[y[order]]


def distil_iris(out, **more):
    data = lb.Data(train=iris())
    return distil("mlp(hidden=[24])", "mlp(hidden=[6])", data, out, folds=3, train=PLAN, until="report", **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return distil_iris(tmp_path_factory.mktemp("folds") / "run")


def test_a_verdict_over_all_rows(whole):
    card = consistent(whole, metric="accuracy")["tasks"]["main"]
    assert card["counts"]["test_rows"] == 66 and card["counts"]["folds"] == 3
    assert score(whole) > 0.7 and score(whole, "teacher") > 0.85
    assert "66 rows, each tested once in 3 folds, × 3 seeds" in whole.scorecard["sentence"]
    assert card["calibration"]["student"] is not None and len(card["classes"]) > 0
    assert whole.scorecard["provenance"]["folds"] == 3
    assert whole.scorecard["costs"]["control"]["seeds"] == 9 and whole.scorecard["costs"]["student"]["parameters"] > 0
    text = (whole.folder / "report.md").read_text()
    assert "What is shipped was trained on all rows" in text and "66 rows, each tested once in 3 folds" in text


def test_answers_to_a_row_are_of_the_fold_that_left_it_out(whole):
    pooled = {tuple(key): row for key, row in zip(*_answers(whole.folder, "test-control-1"), strict=True)}
    found = 0
    for number in (1, 2, 3):
        fold = Run.read(whole.folder / "folds" / str(number))
        assert fold.status == "partial" and fold.verify() == []
        for key, row in zip(*_answers(fold.folder, "test-control-1"), strict=True):
            assert (pooled[tuple(key)] == row).all()
            found += 1
    assert found == len(pooled) == 66


def _answers(folder, name):
    found = read(folder / "predictions" / f"{name}.parquet")
    return found.keys.tolist(), found.answers["control"]["main"][0]


def test_what_is_shipped_is_trained_on_all_rows(whole):
    assert sorted(path.name for path in (whole.folder / "student").iterdir()) == ["seed-0"]
    assert not (whole.folder / "control").exists()
    x, y = iris()
    assert (whole.predict(x) == y).mean() > 0.7
    data = whole.scorecard["provenance"]["data"]["rows"]
    assert data["train"] + data["validation"] == 66


def test_the_interval_is_wider_than_that_of_as_many_free_rows(whole):
    from limbeck.evaluate.evidence import Evidence
    from limbeck.evaluate.taskcard import task_card

    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    arms = {arm: rng.normal(size=(3, 60, 2)) + 2 * np.eye(2)[y] for arm in ("teacher", "student", "control")}
    task = lb.Data(train=(rng.normal(size=(60, 2)), y)).tasks["main"]
    wide, plain = (
        task_card("main", Evidence(task=task, y=y, arms=arms, folds=folds), margin=0.01).card for folds in (5, None)
    )
    for of in (
        lambda c: c["gain"],
        lambda c: c["retention"]["difference"],
        lambda c: c["arms"]["student"]["metrics"]["accuracy"],
    ):
        assert of(wide)["value"] == of(plain)["value"]
        assert of(wide)["high"] - of(wide)["low"] > 1.15 * (of(plain)["high"] - of(plain)["low"])


def test_a_killed_run_goes_on_and_ends_the_same(whole, tmp_path, monkeypatch):
    real, began = verbs.run_job, []

    def killed(*args, **more):
        began.append(args[6].name)
        if args[6].name == "2" and len(began) < 4:
            raise KeyboardInterrupt
        return real(*args, **more)

    monkeypatch.setattr(verbs, "run_job", killed)
    with pytest.raises(KeyboardInterrupt):
        distil_iris(tmp_path / "run")
    first = (tmp_path / "run/folds/1/run.json").read_bytes()
    assert Run.read(tmp_path / "run").status == "interrupted" and not (tmp_path / "run/folds/2/run.json").exists()
    monkeypatch.setattr(verbs, "run_job", real)
    trained, fit = [], train_stage.fit_network

    def counted(*args, **more):
        trained.append(args[8])
        return fit(*args, **more)

    monkeypatch.setattr(train_stage, "fit_network", counted)
    again = distil_iris(tmp_path / "run")
    assert first and not any("folds/1/" in folder.as_posix() for folder in trained)
    ours, theirs = (scorecard_of(run.folder) for run in (again, whole))
    assert ours["tasks"] == theirs["tasks"] and ours["verdict"] == theirs["verdict"]
    trained.clear()
    distil_iris(tmp_path / "run")
    assert not trained
    (tmp_path / "run/folds/2/student/seed-1/model.safetensors").write_bytes(b"")  # damaged: that one is made again
    mended = distil_iris(tmp_path / "run")
    assert [folder.as_posix().split("/run/")[1] for folder in trained] == ["folds/2/student/seed-1"]
    assert scorecard_of(mended.folder)["tasks"] == theirs["tasks"]
    with pytest.raises(StoreMismatch, match="differs in 1 setting\n\n  folds: 3 -> 4"):
        lb.distill("mlp(hidden=[24])", "mlp(hidden=[6])", lb.Data(train=iris()), folds=4, train=PLAN, seeds=3,
                   attribution=False, out=tmp_path / "run")  # fmt: skip


TEXT = """
data: {train: rows.csv, unlabeled: more.csv, columns: {target: y, group: who}}
teacher: "sklearn:LogisticRegression(C=10.0)"
student: "mlp(hidden=[6])"
train: {steps: 40, learning_rate: 0.02}
seeds: 3
evaluate: {folds: 3}
"""


def test_a_recipe_with_groups_and_unlabelled_rows(tmp_path):
    x, y = iris(150)
    table = pd.DataFrame(x, columns=list("abcd")).assign(y=y, who=np.arange(150) // 2)
    table[:72].to_csv(tmp_path / "rows.csv", index=False)
    table[72:].drop(columns="y").to_csv(tmp_path / "more.csv", index=False)
    recipe = lb.Recipe.from_text(TEXT, base=tmp_path)
    estimate = check_recipe(recipe).estimate
    assert estimate["students"] == 4 * 3 * 3 + 1 and estimate["test_rows"] == 72
    run = run_recipe(recipe, out=tmp_path / "run")
    card = run.scorecard["tasks"]["main"]
    assert card["counts"]["test_rows"] == 72 and set(card["arms"]) == {
        "teacher",
        "student",
        "control",
        "soft",
        "pseudo",
    }
    assert card["attribution"] is not None and run.export(tmp_path / "x.onnx").is_file()
    assert "evaluate.folds" not in str(run) and not {"LB135", "LB136"} & {f.code for f in run.checks}
    for wrong, text in (
        ("data.test=rows.csv", "data.test: expected none beside evaluate.folds"),
        ("export.int8=true", "export.int8: expected none beside evaluate.folds"),
        ("evaluate.folds=1", "evaluate.folds"),
    ):
        with pytest.raises(ConfigError, match=text):
            lb.Recipe.from_text(TEXT, [wrong], base=tmp_path)
    times = TEXT.replace("unlabeled: more.csv, columns: {target: y, group: who}", "windows: {target: a, history: 4}")
    with pytest.raises(
        ConfigError, match=r"data.windows: expected none beside evaluate.folds: a fold would be forecast"
    ):
        lb.Recipe.from_text(times, base=tmp_path)


@pytest.mark.parametrize("kind", ["multilabel", "regression", "ordinal"])
def test_other_kinds_of_tasks(kind, tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 3)).astype(np.float32)
    y = {
        "multilabel": np.stack([x[:, 0] > 0, x[:, 1] > 0], axis=1).astype(int),
        "regression": 50 + 10 * x[:, 0] + x[:, 1],
        "ordinal": np.digitize(x[:, 0], [-0.5, 0.5]),
    }[kind]
    data = lb.Data(train=(x, y), task=kind)
    plan = lb.TrainSpec(steps=80, batch_size=32, learning_rate=0.02)
    run = distil("mlp(hidden=[16])", "mlp(hidden=[6])", data, tmp_path / kind, folds=3, train=plan)
    card = consistent(run)["tasks"]["main"]
    assert card["counts"]["test_rows"] == 60 and card["counts"]["folds"] == 3
    if kind == "regression":  # answers of folds whose scales differ are put together in natural units
        assert score(run, "teacher") > 0.8 and score(run, metric="rmse") < 8


def test_a_teacher_that_comes_trained_is_said_and_answers_of_a_run_are_refused(tmp_path):
    x, y = iris()
    run = distil(
        LogisticRegression(max_iter=500).fit(x, y),
        "linear",
        lb.Data(train=(x, y)),
        tmp_path / "run",
        folds=3,
        train=FAST,
    )
    (said,) = [finding for finding in run.checks if finding.code == "LB135"]
    assert "LogisticRegression answers all folds as it came" in said.measured
    with pytest.raises(ConfigError, match="expected a teacher that is trained within each fold, got the answers of"):
        lb.distill(f"answers:{tmp_path / 'run'}", "linear", lb.Data(train=(x, y)), folds=3, out=tmp_path / "other")
    few = lb.Data(train=(x[:50], y[:50]), test=(x[50:], y[50:]))
    plain = distil("mlp(hidden=[24])", "linear", few, tmp_path / "plain", train=FAST)
    (tip,) = [finding for finding in plain.checks if finding.code == "LB136"]
    assert tip.measured == "16 of 66 labelled rows are test rows"


def test_int8_and_a_single_fold_are_refused(tmp_path):
    for more, text in (
        ({"folds": 1}, "two folds or more"),
        ({"folds": 3, "int8": True}, "expected folds without int8"),
    ):
        with pytest.raises(ConfigError, match=text):
            lb.distill("linear", "linear", lb.Data(train=iris()), out=tmp_path / "run", **more)
