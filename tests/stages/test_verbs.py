"""Verbs alone and in their order, and what `limbeck check` knows before work."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.core.run import Run
from limbeck.recipe import Recipe
from limbeck.stages import check_recipe, run_recipe
from limbeck.stages.order import STAGES

PLAN = lb.TrainSpec(steps=10, batch_size=32)
RECIPE = """
name: digits
data: {{builtin: digits, labels: 200}}
teacher: {{model: "mlp(hidden=[16])", train: 20, members: 2}}
student: mlp(hidden=[8])
train: {{steps: 10, batch_size: 32}}
seeds: {seeds}
"""


@pytest.fixture(scope="module")
def rows():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return x[order].astype(np.float32), y[order]


@pytest.fixture
def data(rows):
    x, y = rows
    return lb.Data(train=(x[:200], y[:200]), validation=(x[200:300], y[200:300]), test=(x[300:500], y[300:500]))


def test_stages_are_done_in_their_order_and_no_further_than_asked(data, tmp_path):
    left = {
        "teach": {"teacher"},
        "label": {"transfer", "predictions"},
        "train": {"student", "control"},
        "evaluate": {"scorecard.json"},
        "export": {"export"},
        "report": {"report.html", "report.md"},
    }
    there = set()
    for stage in STAGES:
        there |= left[stage]
        run = lb.distill(
            "mlp(hidden=[16])", "linear", data, train=PLAN, teacher_train=60, seeds=1, until=stage, out=tmp_path / "run"
        )
        found = {path.name for path in run.folder.iterdir() if not path.name.startswith(".")}
        assert found - {"run.json", "resolved.yaml", "events.jsonl"} == there
        assert run.status == ("done" if stage == "report" else "partial")
        assert list(json.loads((run.folder / "run.json").read_text())["stages"]) == list(
            STAGES[: STAGES.index(stage) + 1]
        )
    assert Run.read(run.folder).verify() == []


def test_an_unknown_stage_is_refused(data, tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)expected a stage, got 'lable'.*did you mean 'label'"):
        lb.distill("linear", "linear", data, until="lable", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_was_taught_alone_is_read_and_not_trained_again(data, tmp_path):
    plan = lb.TrainSpec(steps=60, batch_size=32, learning_rate=0.02)
    teacher = lb.teach("mlp(hidden=[16])", data, train=plan, members=2, out=tmp_path / "teacher")
    files = sorted((tmp_path / "teacher" / "teacher").glob("member-*/model.safetensors"))
    written = [(path.stat().st_mtime_ns, path.read_bytes()) for path in files]
    assert len(written) == 2 and written[0][1] != written[1][1]
    again = lb.teach("mlp(hidden=[16])", data, train=plan, members=2, out=tmp_path / "teacher")
    assert [(path.stat().st_mtime_ns, path.read_bytes()) for path in files] == written
    assert teacher.fingerprint() == again.fingerprint()
    first = lb.label(teacher, data, out=tmp_path / "one").outputs()
    np.testing.assert_array_equal(first, lb.label(again, data, out=tmp_path / "two").outputs())
    assert not list((tmp_path / "one").rglob("member-*"))  # the label stage trained nothing
    found = data.train.targets["main"] == first[
        lb.TransferSet(tmp_path / "one" / "transfer").store.find(data.train.keys)
    ].argmax(1)
    assert found.mean() > 0.8


def test_a_teacher_is_taught_again_for_other_data_and_says_so(data, rows, tmp_path, capsys):
    from limbeck.core.console import Console

    x, y = rows
    teacher = lb.teach("mlp(hidden=[16])", data, train=30, out=tmp_path / "teacher")
    before = teacher.fingerprint()
    other = lb.Data(train=(x[:300] * 2, y[:300]), test=(x[300:400] * 2, y[300:400]))
    lb.label(teacher, other, out=tmp_path / "other", console=Console())
    assert "the teacher is taught again: these are other data" in capsys.readouterr().err
    assert teacher.fingerprint() != before and list((tmp_path / "other").rglob("member-0"))


def test_an_estimator_is_fitted_on_the_labelled_rows(data, tmp_path):
    teacher = lb.teach(GaussianNB(var_smoothing=1e-3), data, out=tmp_path / "teacher")
    answers = lb.label(teacher, data, out=tmp_path / "answers")
    assert len(answers) == len(data.train)
    run = Run.read(tmp_path / "answers")
    assert run.status == "done" and list(run.state["stages"]) == ["teach", "label"]


def test_what_answers_already_is_not_taught(data, rows):
    x, y = rows
    with pytest.raises(ConfigError, match=r"expected something to train, got GaussianNB that answers already"):
        lb.teach(GaussianNB().fit(x[:200], y[:200]), data)


def test_too_few_seeds_are_refused(data):
    with pytest.raises(ConfigError, match=r"(?s)expected at least one seed, got 0.*a verdict needs 3"):
        lb.distill("linear", "linear", data, seeds=0)


def test_data_without_test_rows_is_refused(rows):
    x, y = rows
    with pytest.raises(ConfigError, match=r"(?s)expected test rows, got none.*test_fraction=0.2; of few rows folds=5"):
        lb.distill("linear", "linear", lb.Data(train=(x[:50], y[:50])))


def test_a_check_says_what_a_run_will_do(tmp_path):
    recipe = Recipe.from_text(RECIPE.format(seeds=3))
    found = check_recipe(recipe).estimate
    assert found["arms"] == ["student", "control", "soft", "pseudo"] and found["students"] == 12
    assert found["steps"] == 10 and found["steps_reason"] == "asked for"
    assert found["parameters"] == 64 * 8 + 8 + 8 * 10 + 10
    assert found["seconds"] == pytest.approx(found["teach_seconds"] + found["train_seconds"], abs=0.11)
    assert found["train_seconds"] == pytest.approx(found["seconds_per_step"] * 10 * 12, abs=0.051)
    assert 0.005 < found["smallest_gain"] < 0.2 and found["memory_bytes"] > 4 * 1797 * 64
    run = run_recipe(recipe, out=tmp_path / "run", until="evaluate")
    assert list(run.scorecard["tasks"]["main"]["arms"]) == ["teacher", *found["arms"]]
    assert run.scorecard["costs"]["student"]["parameters"] == found["parameters"]
    assert run.scorecard["tasks"]["main"]["counts"]["test_rows"] == found["test_rows"]


def test_a_check_says_that_a_test_set_is_small():
    report = check_recipe(Recipe.from_text(RECIPE.format(seeds=3)))
    (small,) = [finding for finding in report.findings if finding.code == "LB106"]
    assert (
        small.grade == "tip" and f"{report.estimate['test_rows']} test rows and 3 seeds show a gain" in small.measured
    )
    silent = Recipe.from_text(RECIPE.format(seeds=3) + "checks: {ignore: [LB106]}\n")
    assert "LB106" not in {finding.code for finding in check_recipe(silent).findings}
    assert check_recipe(Recipe.from_text(RECIPE.format(seeds=2))).estimate["smallest_gain"] is None


def test_a_check_refuses_what_the_run_would_refuse():
    text = RECIPE.format(seeds=1).replace('{model: "mlp(hidden=[16])", train: 20, members: 2}', "sklearn:GaussianNB()")
    with pytest.raises(ConfigError, match="a network as the teacher that labels in bf16"):
        check_recipe(Recipe.from_text(text + "label: bf16\n"))
