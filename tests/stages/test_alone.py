"""The stages as functions, and answers that teach without their teacher."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier

import limbeck as lb
from limbeck.core.errors import ConfigError, StoreMismatch
from limbeck.recipe import Recipe
from limbeck.stages.alone import evaluate, export, report, train
from limbeck.stages.recipes import make_teacher, run_recipe

PLAN = lb.TrainSpec(steps=40, batch_size=64, learning_rate=0.01)
RECIPE = """
name: {name}
data: {{builtin: digits, labels: 100}}
teacher: {teacher}
student: linear
train: {{steps: 5}}
seeds: 1
"""


@pytest.fixture(scope="module")
def data():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype(np.float32), y[order]
    test = (x[700:1100], y[700:1100])
    return lb.Data(train=(x[:200], y[:200]), unlabeled=x[200:500], validation=(x[500:700], y[500:700]), test=test)


@pytest.fixture(scope="module")
def forest(data):
    names = np.asarray(data.tasks["main"].classes)
    return ExtraTreesClassifier(50, random_state=0).fit(data.train.inputs, names[data.train.targets["main"]])


@pytest.fixture(scope="module")
def answers(data, forest, tmp_path_factory):
    return lb.label(forest, data, out=tmp_path_factory.mktemp("answers") / "run")


def test_the_stages_alone_come_to_what_the_whole_way_comes_to(data, forest, answers, tmp_path):
    whole = lb.distill(forest, "mlp(hidden=[8])", data, train=PLAN, seeds=3, attribution=False, out=tmp_path / "whole")
    run = train(answers, "mlp(hidden=[8])", data, train=PLAN, seeds=3, attribution=False, out=tmp_path / "alone")
    assert run.status == "partial" and run.verdict is None
    run = evaluate(run)
    assert run.verdict == whole.verdict
    assert run.gain == whole.gain and run.retention == whole.retention and run.agreement == whole.agreement
    assert export(run, tmp_path / "student.onnx").is_file()
    np.testing.assert_array_equal(run.predict(data.test.inputs), whole.predict(data.test.inputs))
    assert report(run, tmp_path / "r.md") == (tmp_path / "r.md",)


def test_answers_teach_without_the_model_that_gave_them(data, answers, tmp_path):
    folder = answers.store.path
    for number, given in enumerate((answers, f"answers:{folder}", f"answers:{folder.parent}")):
        out = tmp_path / str(number)
        run = lb.distill(given, "linear", data, train=5, seeds=1, onnx=False, attribution=False, out=out)
        copy = lb.TransferSet(run.folder / "transfer")
        np.testing.assert_array_equal(copy.outputs(), answers.outputs())
        assert copy.store.manifest.identity.teacher == answers.store.manifest.identity.teacher


def test_answers_to_other_rows_are_refused(answers, tmp_path):
    x, y = load_digits(return_X_y=True)
    other = lb.Data(train=(x[:100] + 1, y[:100]), test=(x[100:300] + 1, y[100:300]))
    with pytest.raises(StoreMismatch, match=r"expected an answer to each of 80 rows .* 80 were never answered"):
        lb.distill(answers, "linear", other, train=5, seeds=1, out=tmp_path / "run")


def test_views_that_were_not_labelled_are_refused(answers, tmp_path):
    x, y = load_digits(return_X_y=True)
    moved = lb.Data(train=(x[:100], y[:100]), test=(x[100:300], y[100:300]), view="noise(0.1)", views=3)
    with pytest.raises(StoreMismatch, match="expected answers to 3 views of noise"):
        lb.distill(answers, "linear", moved, train=5, seeds=1, out=tmp_path / "run")


def test_a_folder_without_answers_is_refused(data, tmp_path):
    with pytest.raises(ConfigError, match=r"expected a transfer set at .*nothing, there is no manifest.json"):
        lb.distill(f"answers:{tmp_path / 'nothing'}", "linear", data, out=tmp_path / "run")


def test_a_recipe_names_answers_of_another_run(tmp_path):
    first = Recipe.from_text(RECIPE.format(name="a", teacher="{model: 'mlp(hidden=[8])', train: 60}"))
    done = run_recipe(first, out=tmp_path / "a", until="label")
    second = Recipe.from_text(RECIPE.format(name="b", teacher=f"answers:{tmp_path / 'a'}"))
    assert make_teacher(second).describe()["kind"] == "answers"
    run = run_recipe(second, out=tmp_path / "b", until="evaluate")
    teacher = lb.TransferSet(done.folder / "transfer").store.manifest.identity.teacher
    assert run.scorecard["provenance"]["teacher"]["teacher"] == teacher


def test_a_run_from_python_goes_on_in_its_script_only(data, answers, tmp_path):
    run = train(answers, "linear", data, train=5, seeds=1, out=tmp_path / "run")
    with pytest.raises(ConfigError, match="it was made from Python"):
        evaluate(run.folder)


def test_answers_beyond_float16_are_stored_as_float32_where_it_is_asked(data, tmp_path):
    def loud(rows):
        return 1e5 * np.eye(10, dtype=np.float32)[rows.sum(axis=1).astype(int) % 10]

    with pytest.raises(ConfigError, match=r"fit float16 .* got 100000[\s\S]*codec='fp32'"):
        lb.label(loud, data, out=tmp_path / "half")
    with pytest.raises(ConfigError, match="a teacher that knows the task"):
        lb.label(loud, data, out=tmp_path / "whole", codec="fp32")
    assert lb.TransferSet(tmp_path / "whole" / "transfer").outputs().dtype == np.float32


def test_a_codec_that_is_none_is_refused(data, tmp_path):
    with pytest.raises(ConfigError, match=r"expected a codec of auto, fp16, fp32, got 'int8'"):
        lb.label("linear", data, out=tmp_path / "x", codec="int8")
