"""The wiring of the verbs: what they hand on, what they print, what code they end with."""

import json

import numpy as np
import pandas as pd
import pytest

from limbeck.core.errors import ChecksFailed
from limbeck.core.findings import Finding
from limbeck.core.run import Run

ISSUE = Finding("LB202", "issue", "class order", "12 % against 97 %", "why", "reorder the outputs")
TIP = Finding("LB106", "tip", "small test set", "200 rows", "why", "label more")


@pytest.mark.parametrize(
    ("verb", "until"),
    [
        ("distill", "report"), ("teach", "teach"), ("label", "label"), ("train", "train"), ("evaluate", "evaluate"),
        ("export", "export"),
    ],
)  # fmt: skip
def test_a_verb_runs_up_to_its_stage(command, stages, recipe, verb, until):
    done = command(verb, recipe, "-s", "seeds=3", "-s", "train.steps=7", "--out", "here", "--overwrite")
    assert done.exit_code == 0, done.output
    (call,) = stages.calls
    assert (call["until"], call["overwrite"], str(call["out"])) == (until, True, "here")
    assert (call["recipe"].seeds, call["recipe"].train.steps) == (3, 7)


def test_the_recipe_here_is_the_default_and_runs_names_the_folder(command, stages, recipe):
    assert command("train").exit_code == 0
    assert str(stages.calls[0]["out"]) == "runs/tiny"


def test_a_run_folder_stands_for_its_recipe(command, stages, recipe):
    command("train", recipe, "--out", "here", "-s", "seeds=3")
    assert command("evaluate", "here").exit_code == 0
    first, second = stages.calls
    assert second["recipe"].resolved() == first["recipe"].resolved()
    assert str(second["out"]) == "here"


def test_distill_prints_the_summary_and_json(command, stages, recipe):
    stages.scorecard = {"verdict": "helped", "value": float("nan")}
    stages.findings = [TIP]
    assert command("distill", recipe).stdout == "summary of runs/tiny\n"
    done = command("distill", recipe, "--json")
    assert json.loads(done.stdout) == {
        "folder": "runs/tiny",
        "verdict": "helped",
        "scorecard": {"verdict": "helped", "value": None},
        "findings": [TIP.to_json()],
    }


def test_a_stage_says_what_it_left(command, stages, recipe):
    assert command("label", recipe).stdout == "label  runs/tiny  1 files, 4 bytes  rows 3\n"
    done = json.loads(command("label", recipe, "--json").stdout)
    assert done["files"] == ["label/a.bin"]
    assert done["facts"] == {"rows": 3}


def test_export_of_a_finished_run_needs_no_recipe(command, stages, tmp_path):
    with Run.open(tmp_path / "r", {"name": "from python"}, command=[]) as run:
        stage = run.stage("export", {}, outputs=("export",))
        with stage:
            run.path("export").mkdir()
            run.path("export", "student.onnx").write_bytes(b"12345")
            stage.note(difference=1e-6)
    done = command("export", "r")
    assert done.stdout == "export  r  1 files, 5 bytes  difference 1e-06\n"
    run.path("export", "student.onnx").write_bytes(b"12346")
    done = command("export", "r")
    assert done.exit_code == 2
    assert "it was made from Python" in done.stderr
    assert stages.calls == []


@pytest.mark.parametrize("verb", ["distill", "evaluate", "train", "check"])
def test_an_issue_ends_in_exit_code_3(command, stages, recipe, verb):
    stages.findings = [TIP, ISSUE]
    assert command(verb, recipe).exit_code == 3
    stages.findings = [TIP]
    assert command(verb, recipe).exit_code == 0


def test_checks_that_stop_a_run_are_exit_code_3(command, stages, recipe):
    stages.raises = ChecksFailed("2 checks failed", "see above")
    done = command("distill", recipe)
    assert done.exit_code == 3
    assert done.stderr == "error  2 checks failed\n\nsee above\n"


def test_demo_never_fails_on_what_it_shows(command, stages):
    stages.findings = [ISSUE]
    assert command("demo", "digits", "--article", "--out", "d").exit_code == 0
    assert stages.calls[0] | {"out": str(stages.calls[0]["out"])} == {
        "name": "digits", "article": True, "out": "d", "overwrite": False,
    }  # fmt: skip
    done = command("demo", "digit")
    assert done.exit_code == 2
    assert "did you mean 'digits'?" in done.stderr


def test_check_tells_findings_and_estimates(command, stages, recipe):
    stages.findings = [TIP]
    done = command("check", recipe)
    assert done.stderr.startswith("⚠ LB106  small test set: 200 rows\n")
    assert [" ".join(line.split()) for line in done.stdout.splitlines()] == [
        "train about 42 s", "memory about 3 MB", "smallest gain 1.2 points",
    ]  # fmt: skip
    plain = json.loads(command("check", recipe, "--json").stdout)
    assert plain["estimate"]["train_seconds"] == 42
    assert plain["recipe"]["name"] == "tiny"


def test_checks_are_explained(command):
    page = command("checks", "lb202").stdout
    assert page.startswith("LB202  the teacher's classes are in another order than the labels\n")
    assert "what to do" in page
    assert "checks: {ignore: [LB202]}" in page
    listing = command("checks", "--out", "texts").stdout
    assert listing.splitlines()[0].startswith("LB101  ")
    assert len(json.loads(command("checks", "--json").stdout)) == len(listing.splitlines())
    missing = command("checks", "LB999")
    assert missing.exit_code == 2
    assert "expected the code of a check, got 'LB999'" in missing.stderr


def test_runs_are_listed(command, tmp_path):
    assert "no runs in runs; `limbeck demo digits` makes one" in command("ls").stderr
    with Run.open(tmp_path / "runs" / "a", {"name": "a"}, command=[]) as run:
        run.path("scorecard.json").write_text(json.dumps({"verdict": "hurt", "sentence": "it hurt"}))
    (tmp_path / "runs" / "b").mkdir()
    (tmp_path / "runs" / "b" / "run.json").write_text("{")
    done = command("ls")
    assert done.exit_code == 0
    assert sorted(line.split()[0] for line in done.stdout.splitlines()) == ["damaged", "done"]
    assert "runs/a" in done.stdout
    assert {line["verdict"] for line in json.loads(command("ls", "--json").stdout)} == {"hurt", None}


def test_the_machine_is_described(command):
    done = json.loads(command("env", "--json", "--out", "e").stdout)
    assert done["versions"]["torch"]
    assert done["hardware"]["cores"] >= 1


def predictions(path, answers, seeds=1):
    frames = [
        pd.DataFrame({"id": range(len(answers)), "seed": seed, "no": 1 - answers, "yes": answers})
        for seed in range(seeds)
    ]
    pd.concat(frames).to_csv(path, index=False)


def test_predictions_of_anyone_are_judged(command, tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    pd.DataFrame({"id": range(400), "label": np.where(y == 1, "yes", "no")}).to_csv("y.csv", index=False)
    for name, right in (("teacher", 0.95), ("student", 0.93), ("control", 0.7)):
        hit = rng.random(400) < right
        predictions(tmp_path / f"{name}.csv", np.where(hit, y, 1 - y) * 0.8 + 0.1, seeds=3)
    files = ["--student", "student.csv", "--control", "control.csv", "--teacher", "teacher.csv"]
    done = command("judge", "y.csv", *files, "--out", "judged")
    assert done.exit_code == 0, done.output
    assert "helped" in done.stdout
    assert (tmp_path / "judged" / "report.md").is_file()
    card = json.loads(command("judge", "y.csv", *files, "--json").stdout)
    assert card["verdict"] == "helped"
    assert card == json.loads((tmp_path / "judged" / "scorecard.json").read_text())


def test_tags_and_texts_of_anyone_are_judged(command):
    rng = np.random.default_rng(0)
    words = ["house", "tree", "red", "blue", "small", "wide", "old"]
    tags, texts = ([list(rng.choice(some, 6)) for _ in range(60)] for some in (["O", "B-X", "I-X"], words))

    def table(rows, name, write):
        frame = pd.DataFrame({"id": range(60), "label": [write(row) for row in rows]})
        frame.to_csv(name, index=False)

    for kind, truth, write, other in (
        ("tagging", tags, lambda row: json.dumps([str(tag) for tag in row]), "O"),
        ("generation", texts, " ".join, "no"),
    ):
        table(truth, "y.csv", write)
        for arm, right in (("student", 0.95), ("control", 0.5)):
            said = [[tag if rng.random() < right else other for tag in row] for row in truth]
            table(said, f"{arm}.csv", write)
        done = command("judge", "y.csv", "--student", "student.csv", "--control", "control.csv", "--json")
        assert done.exit_code in (0, 3), done.output
        card = json.loads(done.stdout)["tasks"]["main"]
        assert card["kind"] == kind and card["gain"]["low"] > 0
        done = command("judge", "y.csv", "--student", "student.csv", "--control", "control.csv", "--out", "judged")
        assert done.exit_code in (0, 3) and "Traceback" not in done.output


def test_judge_names_all_missing_files(command, tmp_path):
    (tmp_path / "labels.csv").write_text("id,label\n1,x\n")
    done = command("judge", "label.csv", "--student", "s.csv", "--control", "labels.csv")
    assert done.exit_code == 2
    assert "labels: label.csv does not exist; did you mean 'labels.csv'?" in done.stderr
    assert "--student: s.csv does not exist" in done.stderr


def test_report_needs_an_evaluated_run(command, tmp_path):
    done = command("report")
    assert done.exit_code == 2
    assert "name a run folder, or run `limbeck demo digits`" in done.stderr
    Run.open(tmp_path / "runs" / "a", {"name": "a"}, command=[]).close()
    done = command("report", "a")
    assert done.exit_code == 2
    assert "run `limbeck evaluate` on it first" in done.stderr


def test_another_data_folder_can_be_named(command, stages, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "t.csv").write_text("a,b\n1,2\n")
    (tmp_path / "r.yaml").write_text("data: {train: t.csv}\nteacher: mlp\nstudent: linear\n")
    assert command("train", "r.yaml").exit_code == 2
    assert command("train", "r.yaml", "--data", "elsewhere").exit_code == 0
    recipe = stages.calls[0]["recipe"]
    assert recipe.locate(recipe.data.train).read_text() == "a,b\n1,2\n"
    done = command("train", "r.yaml", "--data", "nowhere")
    assert "expected a folder after --data, got nowhere" in done.stderr
