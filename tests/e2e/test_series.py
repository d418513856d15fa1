"""Whole runs on series: classes of waves, and forecasts of several steps with their quantiles."""

import numpy as np
import pandas as pd
from e2e_runs import consistent, distil, score, trivial

import limbeck as lb
from limbeck.cli.tables import answers_table, read_inputs
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.stages.recipes import run_recipe


def waves(rows, seed):
    rng = np.random.default_rng(seed)
    y, when = rng.integers(0, 3, rows), np.arange(40)
    start = rng.uniform(0, 40, (rows, 1))
    x = np.sin((when + start) * np.array([0.3, 0.6, 1.0])[y][:, None]) + rng.normal(0, 0.4, (rows, 40))
    return np.stack([x, rng.normal(size=(rows, 40))], axis=1).astype(np.float32), np.array(["slow", "even", "fast"])[y]


def test_classes_of_series(tmp_path):
    data = lb.Data(train=waves(80, 0), unlabeled=waves(60, 1)[0], test=waves(120, 2))
    plan = lb.TrainSpec(steps=100, batch_size=32, learning_rate=0.02)
    run = distil(
        "series_cnn(width=12)", "series_cnn(width=8, reach=1, depth=2)", data, tmp_path / "run", train=plan,
        teacher_train=plan, until="report",
    )  # fmt: skip
    consistent(run, metric="accuracy")
    assert score(run) > 0.7
    x = waves(20, 3)[0]
    assert (OnnxStudent(run.export(tmp_path / "student.onnx")).predict(x) == run.predict(x)).all()


TEXT = """
data:
  train: load.csv
  task: quantiles
  windows: {target: load, history: 24, horizon: 3, time: hour}
teacher: "series_cnn(width=8, depth=2, reach=1, hidden=32)"
student: linear
train: {steps: 60, learning_rate: 0.02}
seeds: 3
"""


def test_forecasts_of_several_steps_by_a_recipe(tmp_path):
    rng, hours = np.random.default_rng(0), pd.date_range("2024-01-01", periods=600, freq="h")
    load = 10 + 3 * np.sin(np.arange(600) * 2 * np.pi / 24) + rng.normal(0, 0.5, 600)
    pd.DataFrame({"hour": hours, "load": load}).to_csv(tmp_path / "load.csv", index=False)
    run = run_recipe(lb.Recipe.from_text(TEXT, base=tmp_path), out=tmp_path / "run")
    card = consistent(run, metric="pinball")["tasks"]["main"]
    assert card["names"][:4] == ["load+1@0.1", "load+1@0.5", "load+1@0.9", "load+2@0.1"]
    assert score(run) < 0.6 * trivial(run) and 0.6 < score(run, metric="coverage") <= 1
    assert card["counts"]["test_rows"] == 120 - 3 + 1
    table = answers_table(run.answering(), *read_inputs(tmp_path / "load.csv", run.folder))
    assert len(table) == 600 - 24 + 1 and list(table.columns)[:2] == ["hour", "load+1@0.1"]
    assert str(table["hour"].iloc[-1]).startswith("2024-01-25 23:00")  # the last forecast is of what nobody knows yet
    past = np.asarray(load[-24:], dtype=np.float32)[None, None]
    said = run.predict(past)
    assert said.shape == (1, 9) and (np.diff(said.reshape(3, 3), axis=1) >= 0).all() and abs(said.mean() - 10) < 5


def test_windows_that_are_cut_when_they_are_asked_for_give_the_same_student(tmp_path, monkeypatch):
    from limbeck.data import windows
    from limbeck.data.ondisk import OnDisk

    rng, hours = np.random.default_rng(0), np.arange(600)
    frame = pd.DataFrame({"load": 10 + 3 * np.sin(hours * 2 * np.pi / 24) + rng.normal(0, 0.5, 600)})

    def small(folder):
        splits = lb.windows(frame, target="load", history=24, horizon=3)
        data = lb.Data(**splits, task="quantiles")
        plan = lb.TrainSpec(steps=20, batch_size=32)
        run = lb.distill(
            "series_cnn(width=4, depth=1)",
            "linear",
            data,
            train=plan,
            seeds=1,
            ignore=("LB201",),
            out=tmp_path / folder,
        )
        return data, run

    held, whole = small("whole")
    monkeypatch.setattr(windows, "HELD", 0)
    cut, later = small("cut")
    assert isinstance(cut.train.inputs, OnDisk) and not isinstance(held.train.inputs, OnDisk)
    assert (cut.train.keys == held.train.keys).all()
    weights = [(run.folder / "student/seed-0/model.safetensors").read_bytes() for run in (whole, later)]
    assert weights[0] == weights[1]


def test_windows_of_a_long_series_take_the_memory_of_the_series():
    import tracemalloc

    frame = pd.DataFrame({"load": np.sin(np.arange(200_000) / 10).astype(np.float32)})
    tracemalloc.start()
    try:
        data = lb.Data(**lb.windows(frame, target="load", history=1024), task="regression")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    windows = 4 * 1024 * len(data.train)
    assert windows > 400e6 and peak < windows / 2
