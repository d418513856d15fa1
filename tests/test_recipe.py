"""A recipe is a value: strict to read, equal after writing, and wrong in all places at once."""

import subprocess
import sys

import pytest

from limbeck.core.errors import ConfigError
from limbeck.recipe import DataSpec, Recipe, TeacherSpec
from limbeck.train.plan import TrainSpec

MINIMAL = "data: digits\nteacher: mlp(hidden=[128, 64])\nstudent: linear\n"


def wrong(text, *assignments, base="."):
    with pytest.raises(ConfigError) as caught:
        Recipe.from_text(text, assignments, base=base)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path):
    for name in ("train.csv", "test.csv", "teacher.parquet"):
        (tmp_path / name).write_text("a,label\n1,x\n")
    return tmp_path


def test_three_lines_are_a_recipe():
    recipe = Recipe.from_text(MINIMAL)
    assert recipe == Recipe(
        data=DataSpec(builtin="digits"), teacher=(TeacherSpec(model="mlp(hidden=[128, 64])"),), student="linear"
    )
    assert recipe.objective == "auto"
    assert recipe.seed_list == (0, 1, 2, 3, 4)
    assert recipe.folder.as_posix() == "runs/run"


def test_a_file_knows_its_folder(folder):
    path = folder / "recipe.yaml"
    path.write_text("data: {train: train.csv, test: test.csv}\nteacher: teacher.parquet\nstudent: linear\n")
    recipe = Recipe.from_yaml(path)
    assert recipe.text == path.read_text()
    assert recipe.locate("train.csv") == folder / "train.csv"
    assert Recipe.from_yaml(path, base=folder).base == folder
    assert recipe == Recipe.from_dict(recipe.resolved(), base=folder)


def test_paths_of_the_command_line_may_start_where_one_stands(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "deep").mkdir()
    (folder / "deep" / "recipe.yaml").write_text("data: {train: ../train.csv}\nteacher: linear\nstudent: linear\n")
    recipe = Recipe.from_yaml("deep/recipe.yaml", ["data.test=test.csv"])
    assert recipe.locate(recipe.data.test).read_text() == recipe.locate(recipe.data.train).read_text()


def test_a_run_folder_leads_back_to_its_recipe(folder, tmp_path_factory):
    path = folder / "recipe.yaml"
    path.write_text("# mine\ndata: {train: train.csv}\nteacher: linear\nstudent: linear\n")
    recipe = Recipe.from_yaml(path, ["seeds=3"])
    assert recipe.asked.startswith("# as changed with -s\n")
    assert Recipe.from_yaml(path).asked.startswith("# mine\n")
    run = tmp_path_factory.mktemp("run")
    (run / "recipe.yaml").write_text(recipe.asked)
    again = Recipe.from_run(run)
    assert again.resolved() == recipe.resolved()
    assert (again.base, again.out) == (folder.resolve(), str(run))
    assert again.asked.count("relative paths start at") == 1
    (run / "recipe.yaml").unlink()
    with pytest.raises(ConfigError, match="it was made from Python"):
        Recipe.from_run(run)


def test_missing_files_are_told_with_their_lines(folder):
    path = folder / "recipe.yaml"
    path.write_text(
        "data:\n  train: tarin.csv\n  test: nowhere/test.csv\nteacher: techer.parquet\nstudent: linear\nmetrc: f1\n"
    )
    with pytest.raises(ConfigError) as caught:
        Recipe.from_yaml(path)
    assert str(caught.value) == (
        f"{path} has 4 problems\n\n"
        f"  line 2  data.train: {folder}/tarin.csv does not exist; did you mean 'train.csv'?\n"
        f"  line 3  data.test: {folder}/nowhere/test.csv does not exist; {folder}/nowhere is not there, or empty\n"
        f"  line 4  teacher.0.model: {folder}/techer.parquet does not exist; did you mean 'teacher.parquet'?\n"
        "  line 6  metrc: unknown setting; did you mean 'metric'?"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("teacher: linear\nstudent: linear\n", "data: this setting is missing"),
        ("data: {}\nteacher: a\nstudent: b\n", "data.train: this setting is missing; name a file, or set builtin"),
        ("data: digit\nteacher: a\nstudent: b\n", "no built-in set 'digit'; did you mean 'digits'?"),
        ("data: {builtin: digits, train: x.csv}\nteacher: a\nstudent: b\n", "got both; keep one of them"),
        (MINIMAL + "seeds: 0\n", "line 4  seeds: expected a number >= 1, got 0"),
        (MINIMAL + "name: a/b\n", "expected a name that can be a folder, got 'a/b'"),
        (MINIMAL + "alpha: 0.9\n", "weights stand in the sum, before the term they weigh"),
        (MINIMAL + "teacher_train: 100\n", "teacher_train: unknown setting; how a teacher is trained stands with it"),
        (MINIMAL + "temprature: 4\n", "line 4  temprature: unknown setting"),
        (MINIMAL + "checks: {ignore: [LB999]}\n", "checks.ignore: there is no check 'LB999'"),
        (MINIMAL + "evaluate: {attribution: maybe}\n", "expected auto or true or false, got 'maybe' (text)"),
        (MINIMAL + "export: {tolerance: 0}\n", "export.tolerance: expected a number > 0, got 0"),
        ("data: {builtin: digits, labels: 0}\nteacher: a\nstudent: b\n", "data.labels: expected a number >= 1"),
        ("data: {builtin: digits, views: 4}\nteacher: a\nstudent: b\n", "set view:"),
        ("data: {builtin: digits, validation_fraction: 20}\nteacher: a\nstudent: b\n", "fraction between 0 and 1"),
        ("data: {builtin: digits, task: clasification}\nteacher: a\nstudent: b\n", "did you mean 'classification'?"),
        ("data: {builtin: digits, task: {x: y}}\nteacher: a\nstudent: b\n", "data.task.x: expected one of auto"),
        ("data: digits\nteacher: []\nstudent: b\n", "expected at least one teacher, got none"),
        ("data: digits\nteacher: {model: a, members: 0}\nstudent: b\n", "teacher.0.members: expected a number >= 1"),
        ("data: digits\nteacher: {model: 'p:m', members: 2}\nstudent: b\n", "a teacher of kind import, got 2"),
        ("data: digits\nteacher: {model: a, train: {steps: -1}}\nstudent: b\n", "teacher.0.train.steps"),
        (MINIMAL + "train: {stpes: 3}\n", "train.stpes: unknown setting; did you mean 'steps'?"),
    ],
)
def test_every_refusal_says_what_and_what_to_do(text, message):
    assert message in wrong(text)


def test_an_objective_that_is_none_is_told_with_its_line():
    assert "line 4  objective: " in wrong(MINIMAL + "objective: 0.1 * CE + 0.9 * KDD(temperature=4)\n")
    text = MINIMAL + "objective: 0.1 * CE + 0.9 * KD(temperature=4)\n"
    assert Recipe.from_text(text).objective == "0.1 * CE + 0.9 * KD(temperature=4)"


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("mlp(hidden=[128, 64])", "zoo"),
        ("linear", "zoo"),
        ("sklearn:HistGradientBoostingClassifier(max_iter=200)", "sklearn"),
        ("answers/teacher.parquet", "predictions"),
        ("my_pkg.models:make", "import"),
    ],
)
def test_what_a_teacher_is(model, kind):
    assert TeacherSpec(model=model).kind == kind


def test_several_teachers_with_weights():
    text = "data: digits\nstudent: linear\n"
    text += "teacher:\n  - {model: mlp, members: 5, train: {steps: 9}}\n  - sklearn:Ridge()\n"
    first, second = Recipe.from_text(text, ["teacher.1.weight=0.5"]).teacher
    assert first == TeacherSpec(model="mlp", members=5, train=TrainSpec(steps=9))
    assert second == TeacherSpec(model="sklearn:Ridge()", weight=0.5)


FULL = """
name: tickets
data:
  train: train.csv
  test: test.csv
  columns: {inputs: [a, b], target: {intent: label, tags: [t1, t2]}, id: row, drop: note}
  task: {intent: classification, tags: multilabel}
  classes: [x, y]
  labels: 300
teacher:
  - {model: "mlp(hidden=[8])", members: 3, weight: 2}
  - teacher.parquet
student: my.module:make
train: {steps: 200, learning_rate: 2e-3}
seeds: 3
seed: 7
evaluate: {attribution: false, margin: 0.02}
export: {onnx: false}
checks: {ignore: [LB301]}
out: runs/elsewhere
"""


@pytest.mark.parametrize("defaults", [True, False])
def test_reading_what_was_written_gives_the_same_recipe(folder, defaults):
    recipe = Recipe.from_text(FULL, base=folder)
    text = recipe.to_yaml(defaults=defaults)
    assert Recipe.from_text(text, base=folder) == recipe
    assert "# how many students and controls are trained" in text
    if not defaults:
        assert "batch_size" not in text


def test_resolved_is_the_identity_and_out_is_not_part_of_it(folder):
    recipe = Recipe.from_text(FULL, base=folder)
    moved = recipe.with_(out="elsewhere")
    assert moved.resolved() == recipe.resolved()
    assert moved.fingerprint == recipe.fingerprint
    assert recipe.with_({"train.steps": 201}).fingerprint != recipe.fingerprint
    assert recipe.resolved()["train"]["batch_size"] == TrainSpec().batch_size
    assert recipe.changed["seeds"] == 3
    assert "metric" not in recipe.changed


def test_with_is_strict_and_keeps_the_rest():
    recipe = Recipe.from_text(MINIMAL, base="somewhere")
    changed = recipe.with_({"train.steps": 7, "teacher.members": 5}, seeds=3)
    assert (changed.train.steps, changed.teacher[0].members, changed.seeds) == (7, 5, 3)
    assert changed.base.name == "somewhere"
    assert recipe.seeds == 5
    assert recipe.with_(train=TrainSpec(steps=2)).train == TrainSpec(steps=2)
    with pytest.raises(ConfigError, match=r"train\.stpes: unknown setting; did you mean 'steps'"):
        recipe.with_({"train.stpes": 7})
    with pytest.raises(ConfigError, match=r"student\.x: 'student' is a single value"):
        recipe.with_({"student.x": 7})


def test_reading_a_recipe_without_an_objective_needs_no_torch():
    code = f"from limbeck.recipe import Recipe; import sys;Recipe.from_text({MINIMAL!r}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_settings_of_a_teacher_belong_to_its_kind():
    text = "data: digits\nteacher: {model: 'mlp(hidden=[8])', inputs: raw, id_column: row}\nstudent: linear\n"
    with pytest.raises(ConfigError) as caught:
        Recipe.from_text(text)
    said = str(caught.value)
    assert "expected none for a teacher of kind zoo, got 'raw'" in said
    assert "expected none for a teacher of kind zoo, got 'row'" in said
    good = "data: digits\nteacher: {model: 'os.path:join', inputs: raw, classes: ['1', '0']}\nstudent: linear\n"
    assert Recipe.from_text(good).teacher[0].classes == ("1", "0")


def test_settings_that_a_run_would_ignore_are_refused():
    text = "data: {{train: a.csv, task: {task}, view: {view}}}\nteacher: linear\nstudent: linear\n{more}\n"

    def problems(task, more, view="null"):
        with pytest.raises(ConfigError) as caught:
            Recipe.from_text(text.format(task=task, more=more, view=view))
        return {problem.where: problem.what for problem in caught.value.problems if problem.where != "data.train"}

    none = "expected none for a task that writes"
    both = "writing: {beams: 2, topk: 4}\ncodec: fp32"
    assert problems("classification", both) == {"writing": f"{none} no texts, got beams 2, topk 4"}
    assert problems("{a: regression, b: tagging}", "writing: {temperature: 1.0, beams: 1}") == {
        "writing": f"{none} no texts, got beams 1, temperature 1.0"
    }
    assert problems("generation", both, "jitter") == {
        "codec": "expected auto for a task that writes texts, got fp32", "data.view": f"{none} texts, got one",
    }  # fmt: skip
    assert problems("auto", both) == {}, "the rows say what the task is"
    assert problems("classification", "writing: {beams: 4}\ncodec: auto") == {}, "a default is none"
