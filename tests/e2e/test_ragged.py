"""A whole run on series of different lengths, exported and asked; what takes one length only is refused."""

import json

import numpy as np
import pytest
from e2e_runs import consistent, distil, score
from sklearn.linear_model import LogisticRegression

import limbeck as lb
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.core.errors import ConfigError


def waves(rows, seed):
    rng = np.random.default_rng(seed)
    y, made = rng.integers(0, 2, rows), []
    for kind in y:
        when = np.arange(int(rng.integers(12, 30)))
        wave = np.sin(when * (0.3, 1.0)[kind] + rng.uniform(0, 6)) + rng.normal(0, 0.3, len(when))
        made.append(np.stack([wave, rng.normal(size=len(when))]).astype(np.float32))
    return made, np.array(["slow", "fast"])[y]


def test_series_of_different_lengths(tmp_path):
    data = lb.Data(train=waves(80, 0), unlabeled=waves(30, 1)[0], test=waves(80, 2))
    plan = lb.TrainSpec(steps=60, batch_size=32, learning_rate=0.02)
    run = distil(
        "series_cnn(width=12)", "series_cnn(width=8, reach=1, depth=2)", data, tmp_path / "run", train=plan,
        teacher_train=plan, until="report",
    )  # fmt: skip
    consistent(run, metric="accuracy")
    assert score(run) > 0.7
    x = waves(20, 3)[0]
    x[0] = np.concatenate([x[0]] * 4, axis=1)  # longer than any training row
    said = run.predict(x)
    assert (OnnxStudent(run.export(tmp_path / "student.onnx")).predict(x) == said).all()
    assert [run.predict([row])[0] for row in x] == list(said)


@pytest.mark.parametrize(
    ("teacher", "student", "got"),
    [
        ("series_cnn", "mlp", "got mlp"),
        ("series_cnn", "series_cnn(hidden=8)", r"got series_cnn\(hidden=8\)"),
        ("cnn", "series_cnn", "got cnn"),
        (LogisticRegression(), "series_cnn", "got the estimator LogisticRegression"),
    ],
)
def test_what_takes_one_length_is_refused(tmp_path, teacher, student, got):
    with pytest.raises(ConfigError, match=f"takes series of different lengths, {got}.*\n\ngive series_cnn"):
        distil(teacher, student, lb.Data(train=waves(40, 0), test=waves(20, 2)), tmp_path / "run")


def test_a_first_recipe_for_lines_of_series_runs_and_predicts(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from limbeck.cli.main import app

    monkeypatch.chdir(tmp_path)
    for name, seed in (("train", 0), ("test", 2)):
        rows = [{"series": wave[0].tolist(), "label": label} for wave, label in zip(*waves(50, seed), strict=True)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def limbeck(*words):
        said = CliRunner().invoke(app, list(words))
        assert said.exit_code == 0, said.output
        return said.stdout

    limbeck("init", "lines", "--data", "train.jsonl", "--test", "test.jsonl")
    assert "series_cnn(width=8)" in (tmp_path / "lines/recipe.yaml").read_text()
    limbeck(
        "distill", "lines/recipe.yaml", "-q", "-s", "train.steps=10", "-s", "seeds=1", "-s", "checks.ignore=[LB201]"
    )
    said = limbeck("predict", "runs/lines", "test.jsonl").split()
    assert len(said) == 51 and {*said[1:]} <= {"slow", "fast"}
