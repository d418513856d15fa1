"""Whole runs on answers of other shapes: ordered classes, quantiles, means with a spread."""

import numpy as np
import pandas as pd
import pytest
from e2e_runs import PLAN, consistent, distil, score, trivial
from sklearn.datasets import load_diabetes
from sklearn.linear_model import BayesianRidge, LogisticRegression, QuantileRegressor

import limbeck as lb
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.core.files import read_json

LEVELS = ["low", "fair", "high", "severe"]


def diabetes():
    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(1).permutation(len(x))
    return x[order].astype(np.float32) * 20, y[order]


def graded():
    x, y = diabetes()
    return x, np.array(LEVELS, dtype=object)[np.digitize(y, np.quantile(y, [0.25, 0.5, 0.75]))]


def test_ordered_classes(tmp_path):
    x, y = graded()
    data = lb.Data(train=(x[:200], y[:200]), test=(x[200:], y[200:]), task="ordinal", classes=LEVELS)
    teacher = LogisticRegression(max_iter=500).fit(x[:200], y[:200])  # its classes are in order of the alphabet
    run = distil(teacher, "mlp(hidden=[16])", data, tmp_path / "run", until="report")
    card = consistent(run, metric="qwk")
    assert card["tasks"]["main"]["kind"] == "ordinal" and card["tasks"]["main"]["names"] == LEVELS
    assert trivial(run) == pytest.approx(0, abs=1e-12)
    assert score(run) > 0.1 and score(run, metric="level_mae") < trivial(run, metric="level_mae")
    assert card["tasks"]["main"]["calibration"] is not None and card["tasks"]["main"]["classes"]
    said = run.predict(x[200:])
    assert set(said) <= set(LEVELS)
    exported = OnnxStudent(run.export(tmp_path / "student.onnx"))
    assert (exported.predict(x[200:]) == said).all()
    chances = exported.predict_proba(x[200:])
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    page = (run.folder / "report.md").read_text()
    assert "quadratic weighted kappa" in page and "MAE in levels" in page


def test_ordered_classes_are_taught_from_nothing_with_unlabelled_rows(tmp_path):
    x, y = graded()
    data = lb.Data(
        train=(x[:120], y[:120]), unlabeled=x[120:200], test=(x[200:], y[200:]), task="ordinal", classes=LEVELS
    )
    run = distil("mlp(hidden=[32])", "mlp(hidden=[8])", data, tmp_path / "run", attribution=True, teacher_train=PLAN)
    card = consistent(run, metric="qwk")
    assert set(card["tasks"]["main"]["arms"]) == {"teacher", "student", "control", "soft", "pseudo"}
    assert card["provenance"]["objective"] == "0.1 * OrdinalCE + 0.9 * OrdinalKD"


def test_a_recipe_says_the_order(tmp_path):
    x, y = graded()
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])]).assign(level=y)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    text = """
    data: {train: rows.csv, columns: {target: level}, task: ordinal, classes: [low, fair, high, severe]}
    teacher: sklearn:LogisticRegression(max_iter=500)
    student: mlp(hidden=[8])
    objective: 0.2 * OrdinalCE + 0.8 * KD(temperature=2)
    train: {steps: 40}
    seeds: 3
    """
    from limbeck.stages.recipes import run_recipe

    run = run_recipe(lb.Recipe.from_text(text, base=tmp_path), out=tmp_path / "run", until="evaluate")
    assert consistent(run, metric="qwk")["tasks"]["main"]["names"] == LEVELS


def test_losses_of_another_kind_are_refused(tmp_path):
    x, y = graded()
    data = lb.Data(train=(x[:200], y[:200]), test=(x[200:], y[200:]), task="ordinal", classes=LEVELS)
    with pytest.raises(lb.LimbeckError, match="expected a regression task, 'main' is ordinal"):
        distil("mlp", "mlp", data, tmp_path / "run", objective="0.5 * MSE + 0.5 * OrdinalKD")


def test_quantiles_of_a_teacher_that_is_a_function(tmp_path):
    x, y = diabetes()
    fitted = [QuantileRegressor(quantile=q, alpha=0).fit(x[:200], y[:200]) for q in (0.1, 0.5, 0.9)]

    def teacher(rows):
        return np.stack([model.predict(rows) for model in fitted], axis=1)

    data = lb.Data(train=(x[:200], y[:200]), unlabeled=x[200:250], test=(x[250:], y[250:]), task="quantiles")
    asked = lb.Teacher(teacher, inputs="raw")
    run = distil(asked, "mlp(hidden=[16])", data, tmp_path / "run", attribution=True, until="report")
    card = consistent(run, metric="pinball")
    assert (
        card["tasks"]["main"]["kind"] == "quantiles" and card["provenance"]["objective"] == "0.1 * Pinball + 0.9 * L2KD"
    )
    assert score(run) < trivial(run) and score(run, metric="mae") < trivial(run, metric="mae")
    assert 0.6 < score(run, metric="coverage") < 0.95
    said = run.predict(x[250:])
    assert said.shape == (len(x) - 250, 3) and (np.diff(said, axis=1) >= 0).all() and y.min() < said.mean() < y.max()
    np.testing.assert_allclose(OnnxStudent(run.export(tmp_path / "student.onnx")).predict(x[250:]), said)
    page = (run.folder / "report.md").read_text()
    assert "pinball" in page and "coverage" in page


def test_quantiles_of_two_targets_at_levels_of_ones_own_by_a_recipe(tmp_path):
    x, y = diabetes()
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])])
    frame.assign(now=y, later=-3 * y + 5).to_csv(tmp_path / "rows.csv", index=False)
    text = """
    data:
      train: rows.csv
      columns: {target: [now, later]}
      task: quantiles(levels=[0.25, 0.5, 0.75, 0.9])
    teacher: mlp(hidden=[32])
    student: mlp(hidden=[8])
    train: {steps: 60, learning_rate: 0.02}
    seeds: 3
    """
    from limbeck.stages.recipes import run_recipe

    run = run_recipe(lb.Recipe.from_text(text, base=tmp_path), out=tmp_path / "run")
    card = consistent(run, metric="pinball")
    assert "Pinball(levels=(0.25, 0.5, 0.75, 0.9))" in card["provenance"]["objective"]
    assert card["tasks"]["main"]["names"][4] == "later@0.25" and score(run) < trivial(run)
    assert run.predict(frame).shape == (len(x), 8)


def test_levels_that_are_not_those_of_the_task_are_refused(tmp_path):
    x, y = diabetes()
    data = lb.Data(train=(x[:200], y[:200]), test=(x[200:], y[200:]), task="quantiles(levels=[0.25, 0.75])")
    with pytest.raises(lb.LimbeckError, match=r"levels of Pinball to be those of the task 'main', \[0.25, 0.75\], got"):
        distil("mlp", "mlp", data, tmp_path / "run", objective="0.5 * Pinball(levels=[0.2, 0.8]) + 0.5 * L2KD")


def test_a_mean_with_its_spread(tmp_path):
    x, y = diabetes()
    data = lb.Data(train=(x[:250], y[:250]), test=(x[250:], y[250:]), task="gaussian")
    teacher = BayesianRidge().fit(x[:250], y[:250])  # it says its standard deviation when it is asked
    run = distil(teacher, "mlp(hidden=[64])", data, tmp_path / "run", until="report", int8=True)
    card = consistent(run, metric="nll")
    small = read_json(run.folder / "export" / "int8.json")["tasks"]["main"]
    assert small["changed"]["value"] == pytest.approx(small["original"]["value"], abs=0.05)
    assert small["correlation"] > 0.98
    assert card["tasks"]["main"]["names"] == ["y mean", "y sd"]
    assert score(run) < trivial(run) and score(run, metric="rmse") < trivial(run, metric="rmse")
    assert 0.8 < score(run, metric="coverage") < 1
    said = run.predict(x[250:])
    assert said.shape == (len(x) - 250, 2) and (said[:, 1] > 0).all() and np.corrcoef(said[:, 0], y[250:])[0, 1] > 0.5
    np.testing.assert_allclose(OnnxStudent(run.export(tmp_path / "student.onnx")).predict(x[250:]), said)
    assert "NLL" in (run.folder / "report.md").read_text()


def test_an_estimator_without_a_spread_is_refused(tmp_path):
    from sklearn.linear_model import Ridge

    x, y = diabetes()
    data = lb.Data(train=(x[:250], y[:250]), test=(x[250:], y[250:]), task="gaussian")
    with pytest.raises(lb.LimbeckError, match="to give 2 numbers a row for 'main', it gives 1"):
        distil(Ridge().fit(x[:250], y[:250]), "mlp", data, tmp_path / "run")
