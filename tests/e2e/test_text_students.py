"""Small students of text end to end: recipes in YAML, a teacher that looks inside, kills and resumes."""

import json
from functools import cache

import e2e_text_models as tiny
import pandas as pd
import pytest
import torch
import transformers
from e2e_killing import lineage, trace

import limbeck as lb
from limbeck.cli.main import app
from limbeck.core.errors import ConfigError, NotSupported
from limbeck.core.run import Run
from limbeck.models.saved import load
from limbeck.recipe import Recipe
from limbeck.stages.recipes import run_recipe

PLAN = lb.TrainSpec(steps=60, batch_size=32, learning_rate=3e-3)
RECIPE = """
name: {name}
data: {{train: train.csv, test: test.csv, columns: {{target: label}}}}
teacher: {{model: "{teacher}", train: {{steps: 60, batch_size: 32, learning_rate: 0.003}}}}
student: "{student}"
train: {{steps: 40, batch_size: 32, learning_rate: 0.01}}
seeds: 1
export: {{onnx: false}}
"""
STUDENTS = [  # name, class, whether transformers load it as a classifier
    ("keep_layers(1)", "TextNetwork", True),
    ("shrink(width=16, ffn=32) | vocabulary(60)", "TextNetwork", True),
    ("vocabulary(60) | static(dim=8, hidden=[16])", "SmallText", False),
    ("bag_of_words(dim=8)", "SmallText", False),
    ("text_cnn(dim=8, filters=8, vocabulary=60) | max_length(20)", "SmallText", False),
    ("keep_layers(2, how='importance') | frozen", "FrozenText", False),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny.write("bert", tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    tiny.texts(500, 0).to_csv(folder / "train.csv", index=False)
    tiny.texts(200, 1).to_csv(folder / "test.csv", index=False)
    return folder


@cache
def data():
    return lb.Data(train=tiny.texts(500, 0), test=tiny.texts(200, 1))


def recipe_of(base, tables, student, teacher=None):
    return Recipe.from_text(RECIPE.format(name="r", teacher=teacher or base, student=student), base=tables)


@pytest.mark.parametrize("student, network, loads", STUDENTS, ids=[name.partition("(")[0] for name, _, _ in STUDENTS])
def test_a_recipe_makes_and_trains_the_student(base, tables, student, network, loads, tmp_path):
    run = run_recipe(recipe_of(base, tables, student), out=tmp_path / "r")
    assert run.status == "done" and Run.read(run.folder).verify() == []
    card = json.loads((run.folder / "scorecard.json").read_text())
    arms = card["tasks"]["main"]["arms"]
    assert arms["teacher"]["metrics"]["accuracy"]["value"] > 0.9
    assert arms["student"]["metrics"]["accuracy"]["value"] > 0.6
    start, described = card["provenance"]["start"], card["provenance"]["student"]
    assert start["parameters"] == described["parameters"] == card["costs"]["student"]["parameters"]
    assert start["bytes"] == 4 * start["parameters"] and start["smaller"] > 1
    assert 0 <= start["agreement"]["main"] <= 1
    if student == "keep_layers(1)":
        assert start["agreement"]["main"] > 0.75  # it has the teacher's head
    folder = run.folder / "student" / "seed-0"
    made = load(folder)
    assert type(made).__name__ == network and type(run.student).__name__ == network
    if loads:
        said = transformers.pipeline("text-classification", str(folder))(tiny.texts(3, 2)["sentence"].tolist())
        assert {one["label"] for one in said} <= {"sad", "glad"}


@pytest.mark.parametrize(
    "objective",
    [
        lb.CE() + 0.1 * lb.Hidden(pairs=tuple((f"hidden.{s}", f"hidden.{t}") for s, t in lb.layer_map(2, 3))),
        lb.CE() + 0.1 * lb.MiniLM(layers=(2, 3), relation_heads=4),
    ],
    ids=["hidden", "minilm"],
)
def test_a_layer_initialised_student_learns_from_the_inside_of_a_live_teacher(base, objective, tmp_path):
    run = lb.distill(
        base, "keep_layers(2)", data(), objective=objective, train=20, teacher_train=PLAN, seeds=1, onnx=False,
        out=tmp_path / "r", until="evaluate",
    )  # fmt: skip
    inside = "Hidden" if "Hidden" in repr(objective) else "MiniLM"
    losses = [
        e["value"] for e in Run.read(run.folder).events() if e["name"].startswith("loss") and e["arm"] == "student"
    ]
    assert losses and inside in run.scorecard["provenance"]["objective"]
    assert run.scorecard["tasks"]["main"]["arms"]["student"]["metrics"]["accuracy"]["value"] > 0.8


def small_run(folder):
    """Two seeds of a student that is made of the taught teacher, by what the texts say is important."""
    plan = lb.TrainSpec(steps=8, batch_size=32, learning_rate=0.003, checkpoint_every=3, validate_every=4)
    teaching = lb.TrainSpec(steps=60, batch_size=32, learning_rate=0.003, checkpoint_every=50)
    return lb.distill(
        small_run.base, small_run.student, data(), train=plan, teacher_train=teaching, seeds=2, onnx=False, out=folder,
        until="train",
    )  # fmt: skip


def content(folder):
    """Bytes of weights and predictions, and the agreement that was measured before training."""
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for pattern in ("*/seed-*/**/*.safetensors", "teacher/**/*.safetensors", "predictions/*")
        for path in sorted(folder.glob(pattern))
    }
    return found | {"start": Run.read(folder).stage("train", {}).facts["start"]}


@pytest.mark.slow
@pytest.mark.parametrize("student", ["keep_layers(2, how='importance')", "vocabulary(60) | static(dim=8)", "frozen"])
def test_a_killed_run_comes_to_the_same_bits(base, student, tmp_path):
    small_run.base, small_run.student = base, student
    points = trace(small_run, tmp_path / "whole")
    steps = [point for point in points if point.startswith("step student")]
    taught = next(point for point in points if point.startswith("after commit of teacher/member-0/limbeck.json"))
    lineage(small_run, tmp_path / "run", [taught, steps[1], steps[9]])
    whole, killed = content(tmp_path / "whole"), content(tmp_path / "run")
    assert len(whole) > 10
    assert [name for name in {**whole, **killed} if whole.get(name) != killed.get(name)] == []


def test_train_alone_starts_from_what_the_teacher_has_learnt(base, tables, tmp_path):
    recipe = recipe_of(base, tables, "keep_layers(3)")
    run_recipe(recipe, out=tmp_path / "r", until="teach")
    run = run_recipe(recipe, out=tmp_path / "r", until="train")
    start = Run.read(run.folder).stage("train", {}).facts["start"]
    assert start["agreement"]["main"] == 1  # all layers and the head: it is the teacher


def test_a_given_network_of_text_is_a_base(base, tmp_path):
    teacher = lb.teach(base, data(), train=PLAN, out=tmp_path / "teacher")
    network = load(tmp_path / "teacher" / "teacher" / "member-0")
    run = lb.distill(network, "keep_layers(3)", data(), train=4, seeds=1, onnx=False, out=tmp_path / "r", until="train")
    assert Run.read(run.folder).stage("train", {}).facts["start"]["agreement"]["main"] == 1
    by_hand = lb.keep_layers(teacher, 1)
    assert by_hand.model.config.num_hidden_layers == 1
    again = lb.distill(teacher, by_hand, data(), train=4, seeds=1, onnx=False, out=tmp_path / "s", until="train")
    assert Run.read(again.folder).stage("train", {}).facts["start"]["smaller"] > 1.5


def test_pairs_with_several_tasks(base, tmp_path):
    def rows(count, seed):
        first, second = tiny.texts(count, seed), tiny.texts(count, seed + 7)
        same = (first["label"] == second["label"]).map({True: "same", False: "other"})
        length = first["sentence"].str.len() + 0.5
        return pd.DataFrame(
            {"sentence1": first["sentence"], "sentence2": second["sentence"], "n": length, "same": same}
        )

    target = {"same": "same", "n": "n"}
    pairs = lb.Data(train=rows(200, 0), test=rows(60, 1), columns=lb.Columns(target=target))
    assert {head: task.kind for head, task in pairs.tasks.items()} == {"same": "classification", "n": "regression"}
    for number, student in enumerate(("keep_layers(2)", "static(dim=8)", "text_cnn(dim=8, filters=4)", "frozen")):
        run = lb.distill(
            base, student, pairs, train=6, teacher_train=10, seeds=1, onnx=False, ignore=("LB201",), until="train",
            out=tmp_path / str(number),
        )  # fmt: skip
        agreement = Run.read(run.folder).stage("train", {}).facts["start"]["agreement"]
        assert set(agreement) == {"same", "n"} and -1 <= agreement["n"] <= 1
        said = run.student(torch.from_numpy(run.student.encoder.encode(rows(4, 3)[["sentence1", "sentence2"]])))
        assert {head: tuple(values.shape) for head, values in said.items()} == {"same": (4, 2), "n": (4, 1)}


def test_teachers_that_cannot_be_a_base_are_refused_before_any_work(base, tmp_path):
    with pytest.raises(ConfigError, match=r"a model of transformers for the student keep_layers\(2\), got"):
        lb.distill("bag_of_words(dim=4)", "keep_layers(2)", data(), onnx=False, out=tmp_path / "a")
    with pytest.raises(ConfigError, match=r"a model of transformers for the student frozen, got"):
        lb.distill([base, base], "frozen", data(), onnx=False, out=tmp_path / "a")
    with pytest.raises(ConfigError, match=r"for the student shrink\(width=16\) \| static\(dim=8\), got"):
        lb.distill(lambda rows: rows, "shrink(width=16)|static(dim=8)", data(), onnx=False, out=tmp_path / "a")
    with pytest.raises(NotSupported, match="expected an encoder to shrink in width"):
        decoder = tiny.write("gpt2", tmp_path / "gpt2")
        lb.distill(decoder, "shrink(width=16)", data(), onnx=False, out=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_recipe_says_all_that_is_wrong_with_its_networks(tables):
    with pytest.raises(ConfigError) as caught:
        recipe_of("hf:x | keep_layrs(2)", tables, "keep_layers(2) | vocabulry(80)")
    assert "did you mean 'keep_layers'?" in str(caught.value) and "did you mean 'vocabulary'?" in str(caught.value)
    assert str(caught.value).count("there is no step") == 2


def test_check_and_taps_look_at_students_that_are_not_made_yet(base, tables, tmp_path):
    from typer.testing import CliRunner

    path = tables / "recipe.yaml"
    path.write_text(RECIPE.format(name="r", teacher=base, student="keep_layers(2)"))
    done = CliRunner().invoke(app, ["check", str(path), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["estimate"]["parameters"] > 1000
    done = CliRunner().invoke(app, ["taps", str(path), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert "hidden.2" in found["student  keep_layers(2)"] and "hidden.3" not in found["student  keep_layers(2)"]
    assert found[f"teacher  {base}"]["hidden.3"] == [4, 32]


def test_init_writes_a_recipe_of_texts_that_runs(tables, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["init", "moods", "--data", str(tables / "train.csv"), "--target", "label"])
    assert done.exit_code == 0, done.output
    recipe = Recipe.from_yaml(tmp_path / "moods" / "recipe.yaml", ["train.steps=60", "seeds=1"])
    assert "hf:FOLDER" in (tmp_path / "moods" / "recipe.yaml").read_text()
    run = run_recipe(recipe, out=tmp_path / "r")
    assert run.scorecard["tasks"]["main"]["arms"]["teacher"]["metrics"]["accuracy"]["value"] > 0.7
    assert run.exported.is_file()
