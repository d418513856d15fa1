"""Whole runs on rows that know some of their labels."""

import numpy as np
import pandas as pd
import pytest
from e2e_runs import distil

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.recipe import Recipe
from limbeck.stages.recipes import run_recipe


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 4))
    y = np.stack([x @ rng.normal(size=4) > 0, x[:, 0] * x[:, 1] > 0, x[:, 2] > 0.3], axis=1).astype(float)
    frame = pd.DataFrame(x, columns=list("abcd")).assign(p=y[:, 0], q=y[:, 1], r=y[:, 2])
    return frame


def test_a_table_with_empty_cells_among_its_labels_gets_a_verdict(table, tmp_path):
    holes = table[:160].copy()
    rng = np.random.default_rng(1)
    for name in "pqr":
        holes.loc[rng.random(160) < 0.4, name] = None
    holes.to_csv(tmp_path / "train.csv", index=False)
    table[160:200].to_csv(tmp_path / "held.csv", index=False)
    table[200:].to_csv(tmp_path / "test.csv", index=False)
    (tmp_path / "r.yaml").write_text(
        "data: {train: train.csv, validation: held.csv, test: test.csv, columns: {target: [p, q, r]},\n"
        "       task: multilabel}\n"
        "teacher: {model: 'mlp(hidden=[24])', members: 2}\nstudent: 'mlp(hidden=[8])'\n"
        "train: {steps: 150}\nseeds: 3\n"
    )
    run = run_recipe(Recipe.from_yaml(tmp_path / "r.yaml"), out=tmp_path / "run")
    card = run.scorecard["tasks"]["main"]
    assert run.verdict and card["arms"]["control"]["metrics"]["macro_f1"]["value"] > 0.6
    assert np.isfinite(card["trivial"]["metrics"]["macro_f1"])
    assert run.predict(table[200:][list("abcd")]).shape == (40, 3)
    again = run_recipe(Recipe.from_yaml(tmp_path / "r.yaml"), out=tmp_path / "run")
    assert again.scorecard == run.scorecard


@pytest.mark.parametrize("task", ["regression", "quantiles(levels=[0.1, 0.5, 0.9])", "gaussian"])
def test_numbers_of_which_some_are_unknown(task, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)).astype(np.float32)
    y = np.stack([x[:, 0] * 50, x[:, 1] + x[:, 2]], axis=1)
    y[:120:2, 0], y[1:120:3, 1] = np.nan, np.nan
    data = lb.Data(train=(x[:120], y[:120]), validation=(x[120:150], y[120:150]), test=(x[150:], y[150:]), task=task)
    run = distil("mlp(hidden=[16])", "mlp(hidden=[4])", data, tmp_path / "run", train=lb.TrainSpec(steps=120))
    values = run.scorecard["tasks"]["main"]["arms"]["student"]["metrics"]
    assert all(np.isfinite(entry["value"]) for entry in values.values())


def test_an_estimator_is_fitted_on_whole_rows(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3)).astype(np.float32)
    y = np.stack([x[:, 0], x[:, 1]], axis=1)
    holes = y.copy()
    y[:80:2, 0], holes[:80:2, 0] = np.nan, np.nan
    rest = {"validation": (x[80:100], y[80:100]), "test": (x[100:], y[100:])}
    run = distil(
        "sklearn:LinearRegression", "mlp(hidden=[4])", lb.Data(train=(x[:80], y[:80]), task="regression", **rest),
        tmp_path / "run", train=lb.TrainSpec(steps=40),
    )  # fmt: skip
    assert run.scorecard["tasks"]["main"]["arms"]["teacher"]["metrics"]["r2"]["value"] > 0.99
    holes[1:80:2, 1] = np.nan
    data = lb.Data(train=(x[:80], holes[:80]), task="regression", **rest)
    with pytest.raises(ConfigError, match="every target is known for the teacher LinearRegression, each of 80 misses"):
        distil("sklearn:LinearRegression", "mlp(hidden=[4])", data, tmp_path / "other", train=lb.TrainSpec(steps=40))
