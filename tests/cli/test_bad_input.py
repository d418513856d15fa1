"""What users get wrong: one clear message, the documented exit code, never a traceback. Real stages, tiny data."""

import errno
import io
import json
import resource
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from limbeck.cli.main import app
from limbeck.core.console import Console
from limbeck.core.run import Run

CLASSES = ("ant", "bee", "cat")
RECIPE = """\
name: tiny
data: {train: rows.csv, columns: {target: label, id: id}}
teacher: {model: "mlp(hidden=[16])", train: {steps: 80, learning_rate: 0.01}}
student: linear
train: {steps: 20, batch_size: 32}
seeds: 1
export: {onnx: true}
"""


def rows(count=150, seed=0):
    """A table with numbers, a category, missing cells and three classes that the numbers tell apart."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    frame = pd.DataFrame({"id": np.arange(count), "a": y + rng.normal(0, 0.1, count), "b": rng.normal(0, 1, count)})
    frame["city"] = np.where(rng.random(count) < 0.5, "Bern", "Genf")
    frame.loc[::17, "b"] = np.nan
    frame["label"] = np.array(CLASSES)[y]
    return frame


def said(done, code, *parts):
    """A refusal as DESIGN wants it: its exit code, one lowercase sentence on stderr, nothing on stdout."""
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "broke inside limbeck" not in done.stderr
    last = done.stderr[done.stderr.index("error  ") :]
    assert last[7] == last[7].lower()
    for part in parts:
        assert part in done.stderr, done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with data, a recipe and a finished run of it; copied by the tests that break something."""
    folder = tmp_path_factory.mktemp("made")
    rows().to_csv(folder / "rows.csv", index=False)
    (folder / "recipe.yaml").write_text(RECIPE)
    arguments = ["distill", str(folder / "recipe.yaml"), "--out", str(folder / "runs" / "tiny"), "-q"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code in (0, 3), done.output
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of that folder to work in."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ------------------------------------------------------------------------------------------------ the recipe


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["expected a recipe in r.yaml, it is empty", "`limbeck init NAME --data FILE` writes one"]),
        ("# a comment\n", ["it is empty"]),
        ("data: [a\nteacher: mlp\n", ["line 2  syntax: this is not YAML"]),
        ("data:\n\tbuiltin: digits\n", ["line 2  syntax: a tab stands where YAML wants spaces; indent with spaces"]),
        ("- a\n- b\n", ["expected a mapping of settings", "got a list of 2"]),
        ("hello\n", ["expected a mapping of settings", "got 'hello' (text)"]),
        ("data: digits\ndata: digits\n", ["line 2  data: the key stands twice, first on line 1"]),
        ("data: digits\nteacher: mlp\n", ["student: this setting is missing"]),
        ("data: digit\nteacher: mlp\nstudent: linear\n", ["line 1  data.builtin", "did you mean 'digits'?"]),
        ("data: digits\nteacher: mlp\nstudent: 3\n", ["line 3  student: expected text, got 3"]),
        ("data: digits\nteacher: mlp\nstudent: linear\nname: a/b\n", ["line 4  name: expected a name that can be"]),
    ],
)
def test_a_broken_recipe(command, tmp_path, text, parts):
    (tmp_path / "r.yaml").write_text(text)
    said(command("check", "r.yaml"), 2, "r.yaml", *parts)
    plain = json.loads(command("check", "r.yaml", "--json").stdout)["error"]
    assert (plain["type"], plain["exit_code"]) == ("ConfigError", 2)


def test_all_problems_at_once_with_their_lines(command, tmp_path):
    text = (
        "data: {train: rowz.csv}\nteacher: mlp\nstudnet: linear\nseeds: five\n"
        "train: {stepz: 3, lr: 0.1, batch_size: -2}\nobjective: CE + KDD + KD(temprature=3)\nalpha: 0.3\n"
    )
    (tmp_path / "r.yaml").write_text(text)
    said(
        command("distill", "r.yaml"), 2,
        "r.yaml has 9 problems",
        "line 3  studnet: unknown setting; did you mean 'student'?",
        "line 4  seeds: expected a whole number, got 'five' (text)",
        "line 5  train.stepz: unknown setting; did you mean 'steps'?",
        "line 5  train.lr: unknown setting; it is spelt learning_rate",
        "line 5  train.batch_size: expected a number >= 1, got -2",
        "line 6  objective: expected the name of a loss, got 'KDD'; did you mean 'KD'?",
        "line 6  objective: KD.temprature: unknown field; did you mean 'temperature'?",
        "line 7  alpha: 'alpha' means opposite things",
        "student: this setting is missing",
    )  # fmt: skip
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("objective", "parts"),
    [
        ("CE", ["expected an objective in which the teacher has a part", "the control comes by itself"]),
        ("CE + 0 * KD", ["expected an objective in which the teacher has a part"]),
        ("alpha * CE + KD", ["line 7  objective", "expected a number as a weight, got 'alpha'", "before the term"]),
        ("CE + KD(alpha=0.5)", ["there is no 'alpha'", "weights stand in the sum"]),
        ("CE + KD(temperature=hot)", ["KD.temperature: expected a number or auto, got hot"]),
        ("CE + KD(temperature=-1)", ["KD.temperature: expected a number > 0 or 'auto', got -1.0"]),
        ("CE + FOO", ["expected the name of a loss, got 'FOO'", "known: ", " BCE, "]),
        ("CE +", ["cannot read 'CE +'"]),
        ("-1 * KD + CE", ["finite number >= 0, got -1.0"]),
        ("nowhere.module:Loss + CE", ["cannot import nowhere.module", "there is no module 'nowhere'"]),
        ("CE + KD(on='price')", ["KD: expected a task of the data (main), got 'price'; write KD(on='main')"]),
        ("BCE + BernoulliKD", ["BCE: expected a multilabel task, 'main' is classification", "0.1 * CE + 0.9 * KD"]),
        ("CE + BoundedKD", ["BoundedKD: expected a regression task, 'main' is classification"]),
    ],
)
def test_a_wrong_objective_makes_no_folder(command, here, objective, parts):
    shutil.rmtree("runs")
    (here / "recipe.yaml").write_text(RECIPE.replace("export: {onnx: true}", f'objective: "{objective}"'))
    said(command("distill"), 2, *parts)
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("student=mpl", ["expected the name of a network, got 'mpl'", "did you mean 'mlp'?"]),
        ("student=mlp(hiden=[3])", ["mlp.hiden: unknown setting; did you mean 'hidden'?"]),
        ("student=cnn", ["expected images [channels, height, width] for cnn", "use mlp for flat inputs"]),
        ("student=nowhere.module:make", ["there is no module 'nowhere'", "PYTHONPATH"]),
        ("teacher=sklearn:RandomForrest", ["expected an estimator of scikit-learn, got 'RandomForrest'"]),
        ("teacher=sklearn:Ridge(alfa=1)", ["expected settings of Ridge", "alfa"]),
        ("train.stepz=3", ["-s train.stepz: unknown setting; did you mean 'steps'?"]),
        ("seeds", ["expected key.path=value", "for example -s train.steps=200"]),
        ("teacher=nothing.csv", ["nothing.csv does not exist"]),
        ("data.train=row.csv", ["row.csv does not exist; did you mean 'rows.csv'?"]),
        ("data.columns.target=lable", ["expected column 'lable' in train, not found", "did you mean 'label'?"]),
        ("data.columns.drop=[cty]", ["expected column 'cty' in train, not found", "did you mean 'city'?"]),
        ("data.task=clasification", ["-s data.task", "did you mean 'classification'?"]),
        ("data.classes=[ant, bee]", ["ant, bee", "cat"]),
        ("checks.ignore=[LB999]", ["there is no check 'LB999'"]),
    ],
)
def test_a_wrong_setting(command, here, setting, parts):
    shutil.rmtree("runs")
    said(command("check", "-s", setting), 2, *parts)
    assert not (here / "runs").exists()


def test_settings_of_an_estimator_that_only_show_when_it_is_fitted(command, here):
    done = command("teach", "--out", "o", "-s", "teacher=sklearn:RandomForestClassifier(n_estimators=-3)")
    said(done, 2, "expected a teacher that can be fitted, RandomForestClassifier says: The 'n_estimators' parameter")


# -------------------------------------------------------------------------------------------------- the data


def in_place(folder, name, content):
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is None:
        path.mkdir()
    else:
        path.write_text(content)


PARQUET = io.BytesIO()
rows().to_parquet(PARQUET)
ZIPPED = io.BytesIO()
np.savez(ZIPPED, x=np.zeros((20, 3), np.float32), y=np.arange(20) % 2)
UNREADABLE = {
    "empty.csv": "",
    "ragged.csv": "a,label\n1,x\n1,2,3,4\n",
    "bytes.csv": bytes(range(256)) * 8,
    "cut.jsonl": '{"a": 1, "label": "x"}\n{"a":\n',
    "cut.parquet": PARQUET.getvalue()[:900],
    "fake.parquet": "a,label\n1,x\n",
    "cut.npz": ZIPPED.getvalue()[:200],
    "sheet.xlsx": "none",
    "folder.csv": None,
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_files_that_cannot_be_read_are_named(command, here, name):
    in_place(here, name, UNREADABLE[name])
    said(command("check", "-s", f"data.train={name}"), 2, name)
    said(command("init", "new", "--data", name), 2, name)
    assert not (here / "new").exists()
    said(command("predict", "tiny", name), 2, name)
    said(command("judge", name, "--student", name, "--control", name), 2, name)


def test_an_image_that_is_none(command, tmp_path):
    for label in CLASSES[:2]:
        (tmp_path / "images" / label).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "images" / label / "1.png")
    (tmp_path / "images" / "ant" / "2.png").write_bytes(b"no image")
    said(command("init", "new", "--data", "images"), 2, "2.png")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda frame: frame.assign(label="ant"), ["ant"]),
        (lambda frame: frame.assign(label=None), ["label"]),
        (lambda frame: frame.assign(a=np.where(frame.id == 3, np.inf, frame.a)), ["infinit"]),
        (lambda frame: frame.head(0), ["expected rows"]),
        (lambda frame: frame.head(3), ["expected"]),
        (lambda frame: frame[["id", "label"]], ["expected input columns"]),
    ],
)
def test_rows_that_cannot_be_learnt_from(command, here, change, parts):
    change(rows()).to_csv("rows.csv", index=False)
    said(command("check"), 2, *parts)


def test_missing_features_are_filled_and_said(command, here):
    rows().assign(b=np.nan).to_csv("rows.csv", index=False)
    done = command("check", "-v")
    assert done.exit_code == 0, done.output
    assert "LB113" in done.stderr or "LB114" in done.stderr


def test_labels_outside_the_classes_of_training(command, here):
    rows(40, 1).assign(label="dog").to_csv("test.csv", index=False)
    said(command("check", "-s", "data.test=test.csv"), 2, "dog", "ant, bee, cat")


def test_a_class_without_rows_is_said(command, here):
    done = command("check", "-s", "data.classes=[ant, bee, cat, dog]")
    assert done.exit_code in (2, 3), done.output
    assert "dog" in done.stderr
    assert "broke inside" not in done.stderr


def test_a_table_of_answers_comes_in(command, here):
    table(lambda t: t.drop(columns="cat")).to_csv("answers.csv", index=False)
    said(command("transfer", "import", "answers.csv", "recipe.yaml", "--out", "p"), 2, "cat")
    table().to_csv("answers.csv", index=False)
    assert command("transfer", "import", "answers.csv", "recipe.yaml", "--out", "q").exit_code == 0
    assert command("transfer", "verify", "q").exit_code == 0


def test_heavy_overlap_is_an_issue(command, here):
    rows().head(60).to_csv("test.csv", index=False)
    rows(60, 1).to_csv("more.csv", index=False)
    pd.concat([pd.read_csv("test.csv").head(10), pd.read_csv("more.csv")]).to_csv("test.csv", index=False)
    done = command("check", "-s", "data.test=test.csv")
    assert done.exit_code == 3, done.output
    assert "10 of 70" in done.stderr
    assert "exit code 3: an issue was found (limbeck checks LB" in done.stderr


# ------------------------------------------------------------------------------------- a table as the teacher


def table(change=None, names=CLASSES):
    frame = rows()
    answers = pd.DataFrame({name: np.where(frame.label == name, 0.8, 0.1) for name in names})
    answers.insert(0, "id", frame.id)
    return answers if change is None else change(answers)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda t: t.drop(columns="cat"), ["cat"]),
        (lambda t: t.assign(dog=0.0), ["dog"]),
        (lambda t: pd.concat([t, t.head(3)]), ["id"]),
        (lambda t: t.tail(100), ["50"]),
        (lambda t: t.assign(ant=np.nan), ["expected finite predictions for head 'main'"]),
        (lambda t: t.assign(ant="much"), ["expected numbers as predictions of head 'main'"]),
        (lambda t: t.drop(columns="id"), ["id"]),
        (lambda t: t.rename(columns={"ant": "bee", "bee": "cat", "cat": "ant"}), ["order"]),
    ],
)
def test_a_table_of_answers_that_does_not_fit(command, here, change, parts):
    table(change).to_csv("answers.csv", index=False)
    said(command("label", "--out", "o", "-s", "teacher=answers.csv"), 2, *parts)


# ------------------------------------------------------------------------------------------------------ judge


def predictions(seeds=2, right=0.9):
    rng = np.random.default_rng(3)
    frame, parts = rows(), []
    for seed in range(seeds):
        said_ = np.where(rng.random(len(frame)) < right, frame.label, "ant")
        part = pd.DataFrame({name: np.where(said_ == name, 0.8, 0.1) for name in CLASSES})
        part.insert(0, "seed", seed)
        part.insert(0, "id", frame.id)
        parts.append(part)
    return pd.concat(parts)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda t: pd.concat([t, t.head(2)]), ["student, seed 0: 2 duplicated ids: 0, 1; keep one answer"]),
        (lambda t: t[t.id != 7], ["student, seed 0: 1 of 150 rows are missing: 7", "student, seed 1"]),
        (lambda t: t.assign(id=t.id + 900), ["student, seed 0: 150 of 150 rows are missing"]),
        (lambda t: t[t.seed == 0], ["student has 1 seeds, control 2"]),
        (lambda t: t.assign(seed=t.seed + 5), ["student has the seeds [5, 6], control [0, 1]"]),
        (lambda t: t.assign(seed="first"), ["student: expected whole numbers as seeds, got first"]),
        (lambda t: t.drop(columns="id"), ["student: expected a column 'id', got seed, ant, bee, cat"]),
        (lambda t: t.drop(columns="cat"), ["1 problem", "student: no column for cat"]),
        (lambda t: t.assign(dog=0.0), ["1 problem", "student: unknown columns dog"]),
        (lambda t: t.assign(ant=np.nan), ["1 problem", "student: 150 rows hold NaN or infinity"]),
        (lambda t: t.assign(ant="much"), ["student: expected numbers in every class column, got text in ant"]),
        (lambda t: t.head(0), ["student: expected answers, the table has no rows"]),
    ],
)
def test_predictions_that_cannot_be_judged(command, tmp_path, change, parts):
    rows()[["id", "label"]].to_csv(tmp_path / "y.csv", index=False)
    predictions().to_csv(tmp_path / "c.csv", index=False)
    change(predictions()).to_csv(tmp_path / "s.csv", index=False)
    files = ["y.csv", "--student", "s.csv", "--control", "c.csv"]
    said(command("judge", *files), 2, "what judge was given", *parts)
    assert json.loads(command("judge", *files, "--json").stdout)["error"]["problems"]


@pytest.mark.parametrize(
    ("change", "options", "parts"),
    [
        (lambda y: y.assign(label="dog"), [], ["150 rows have a label outside the classes ant, bee, cat: dog"]),
        (lambda y: y[["id"]], [], ["y: expected a column 'label', got only 'id'"]),
        (lambda y: pd.concat([y, y.head(1)]), [], ["y: duplicated ids: 0"]),
        (lambda y: y, ["--task", "clasification"], ["got 'clasification'", "did you mean 'classification'?"]),
        (lambda y: y, ["--metric", "acuracy"], ["did you mean 'accuracy'?"]),
        (lambda y: y, ["--margin", "-1"], ["expected a margin >= 0, got -1.0"]),
    ],
)
def test_labels_and_options_that_cannot_be_judged(command, tmp_path, change, options, parts):
    change(rows()[["id", "label"]]).to_csv(tmp_path / "y.csv", index=False)
    predictions().to_csv(tmp_path / "s.csv", index=False)
    said(command("judge", "y.csv", "--student", "s.csv", "--control", "s.csv", *options), 2, *parts)


# ---------------------------------------------------------------------------------------------------- predict


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda frame: frame.drop(columns="a"), ["expected column 'a' in the inputs, not found"]),
        (lambda frame: frame.rename(columns={"city": "citi"}), ["did you mean 'citi'?"]),
        (lambda frame: frame.assign(a="much"), ["expected numbers in column 'a', got 'much' in row 0"]),
    ],
)
def test_rows_that_the_student_cannot_take(command, here, change, parts):
    change(rows(9, 2)).to_csv("new.csv", index=False)
    said(command("predict", "tiny", "new.csv"), 2, *parts)


def test_ids_and_more_columns_do_no_harm(command, here):
    rows(9, 2).assign(more=1)[["more", "label", "b", "city", "a", "id"]].to_csv("new.csv", index=False)
    done = command("predict", "tiny", "new.csv")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == "id,prediction"
    assert len(done.stdout.splitlines()) == 10
    many = json.loads(command("predict", "tiny", "new.csv", "--proba", "--json").stdout)["predictions"]
    assert list(many[0]) == ["id", *CLASSES]
    assert sum(many[0][name] for name in CLASSES) == pytest.approx(1, abs=1e-5)


def test_no_student_no_run_no_file(command, here):
    shutil.copytree("runs/tiny", "runs/bare")
    shutil.rmtree("runs/bare/export")
    said(
        command("predict", "bare", "rows.csv"),
        2,
        "expected an exported student in runs/bare, there is none",
        "run `limbeck export`",
    )
    said(command("predict", "tinny", "rows.csv"), 2, "expected a run folder at tinny", "did you mean 'tiny'?")
    said(command("predict", "tiny", "row.csv"), 2, "FILE: row.csv does not exist; did you mean 'rows.csv'?")


# -------------------------------------------------------------------------------------------------- out folders


def test_out_folders_that_are_refused(command, here):
    said(command("distill", "-s", "seeds=2"), 2, "expected runs/tiny to hold a run of this recipe", "seeds: [0] ->")
    said(
        command("distill", "--out", "."), 2, "expected . to be empty or a run folder", "name another folder with --out"
    )
    said(command("distill", "--out", "rows.csv"), 2, "expected rows.csv to be a folder, it is a file")
    said(command("distill", "--out", "rows.csv/x"), 2, "but a file stands where a folder belongs")
    said(command("predict", "tiny", "rows.csv", "--out", "rows.csv/x"), 2, "a file stands where a folder belongs")
    said(command("init", "new", "--data", "rows.csv", "--out", "rows.csv"), 2, "a file stands where a folder belongs")


def test_a_full_disk_is_said_and_the_run_goes_on(command, here):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (500, 12_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            done = command("label", "--out", "full")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        said(done, 2, "the file would pass the size limit of this process", "run again")
    assert command("label", "--out", "full").exit_code == 0
    assert Run.read("full").verify() == []


def test_a_disk_that_cannot_be_written_is_said(command, here, monkeypatch):
    def refuse(path, *rest, **more):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("limbeck.core.lock.os.open", refuse)
    said(command("distill", "--out", "o"), 2, "but the file system is read-only", "write to another folder")


def test_a_killed_run_goes_on(command, here, monkeypatch):
    def killed(*rest, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.argv", ["limbeck", "train", "--out", "o"])
    with monkeypatch.context() as patch:
        patch.setattr("limbeck.stages.train.train_arm", killed)
        said(command("train", "--out", "o"), 130, "interrupted", "go on with: limbeck train --out o")
        plain = json.loads(command("train", "--out", "o", "--json").stdout)["error"]
    assert plain == {"type": "Interrupted", "resume": "limbeck train --out o", "exit_code": 130}
    assert "interrupted" in command("ls", ".").stdout
    assert command("train", "--out", "o").exit_code == 0
    assert Run.read("o").status == "partial"


# ------------------------------------------------------------------------------------------- damaged run folders

DAMAGED = {
    "training": [
        "student/seed-0/model.safetensors", "control/seed-0/config.json", "student/seed-0/facts.json",
        "predictions/test-student-0.parquet", "predictions/validation-control-0.parquet",
    ],
    "teacher": [
        "teacher/member-0/model.safetensors", "predictions/test-teacher-0.parquet",
        "transfer/segment-0000/00-main.values.00000.bin",
    ],
    "settings of the teacher": ["teacher/member-0/config.json"],
    "results": ["scorecard.json", "export/student.onnx", "report.html"],
}  # fmt: skip


def flip(path, place=0.5):
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("what", DAMAGED)
def test_damage_is_found_and_made_again(command, here, what):
    before = {path: path.read_bytes() for path in (here / "runs" / "tiny").rglob("*.safetensors")}
    for name in DAMAGED[what]:
        flip(here / "runs" / "tiny" / name)
    done = command("distill")
    assert done.exit_code in (0, 3), done.output
    assert Run.read("runs/tiny").verify() == []
    assert {path: path.read_bytes() for path in before} == before


def test_damage_is_never_used(command, here):
    flip(here / "runs" / "tiny" / "scorecard.json", 0.9)
    said(command("report", "tiny"), 2, "scorecard.json has other bytes than were written", "makes it again")
    assert command("ls").stdout.startswith("damaged")
    flip(here / "runs" / "tiny" / "export" / "student.onnx")
    said(command("predict", "tiny", "rows.csv"), 2, "student.onnx has other bytes than were written")
    flip(here / "runs" / "tiny" / "transfer" / "manifest.json")
    said(command("transfer", "verify", "runs/tiny"), 2, "manifest.json")
    said(command("distill"), 2, "manifest.json")
    (here / "runs" / "tiny" / "run.json").write_text("[1]")
    for verb in (["distill"], ["report", "tiny"], ["predict", "tiny", "rows.csv"], ["export", "runs/tiny"]):
        said(command(*verb), 2, "run.json", "to describe a run, it does not")


def test_a_stage_alone_leaves_a_finished_run_finished(command, here):
    assert command("evaluate").exit_code in (0, 3)
    assert Run.read("runs/tiny").status == "done"


# --------------------------------------------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    "arguments",
    [["judge"], ["distill", "--nope"], ["--nope"], ["distil"], ["transfer", "verify"], ["judge", "--margin=x"]],
)
def test_wrong_usage_is_json_too(command, arguments):
    done = command(*arguments, "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["type"] == "UsageError"
    assert "Usage" in done.stderr
    assert command(*arguments).stdout == ""


def test_json_holds_numbers_of_any_kind():
    out = io.StringIO()
    found = {"a": np.float32("nan"), "b": np.int64(3), "c": np.array([1.5, np.inf]), "d": np.bool_(True), "e": {1}}
    Console(as_json=True, out=out).emit(found)
    assert json.loads(out.getvalue()) == {"a": None, "b": 3, "c": [1.5, None], "d": True, "e": [1]}
