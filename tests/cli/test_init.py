"""`limbeck init`: a recipe for each kind of file, which runs, with every guess in a comment."""

import e2e_tagging
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from limbeck.data.kinds import KINDS
from limbeck.recipe import Recipe
from limbeck.stages.recipes import read_data

RNG = np.random.default_rng(0)
FAST = ("-s", "seeds=1", "-s", "train.steps=60", "-s", "train.learning_rate=0.02", "-s", "export.onnx=true")


def table(count=120):
    y = RNG.integers(0, 2, count)
    frame = pd.DataFrame({"id": range(count), "a": y + RNG.normal(0, 0.1, count), "b": RNG.normal(0, 1, count)})
    frame["city"] = np.where(RNG.random(count) < 0.5, "Bern", None)
    return frame.assign(label=np.where(y == 1, "yes", "no"))


def write(folder, kind):
    frame = table()
    path = folder / {"csv": "t.csv", "jsonl": "t.jsonl", "parquet": "t.parquet", "npz": "t.npz"}.get(kind, "images")
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif kind == "parquet":
        frame.to_parquet(path)
    elif kind == "npz":
        np.savez(path, y=(frame.label == "yes").to_numpy(np.int64), x=frame[["a", "b"]].to_numpy(np.float32))
    else:
        for place in range(60):
            label = ("dark", "light")[place % 2]
            (path / label).mkdir(parents=True, exist_ok=True)
            pixels = RNG.integers(0, 60, (8, 8)) + 160 * (place % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(path / label / f"{place}.png")
    return path.name


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "npz", "images"])
def test_a_guessed_recipe_runs(command, tmp_path, kind):
    name = write(tmp_path, kind)
    done = command("init", "first", "--data", name)
    assert done.exit_code == 0, done.output
    assert done.stdout == "first/recipe.yaml\n"
    assert done.stderr == "next: limbeck check first/recipe.yaml, then limbeck distill first/recipe.yaml\n"
    text = (tmp_path / "first" / "recipe.yaml").read_text()
    assert f"train: ../{name}" in text
    for guess in ("task: classification (labels are", "teacher and student: ", "test rows: a fifth"):
        assert f"# guessed {guess}" in text
    assert ("# guessed target: label (by its name)" in text) == (kind not in ("npz", "images"))
    assert command("check", "first/recipe.yaml").exit_code == 0
    if kind in ("jsonl", "parquet"):
        return  # tables are all the same from here
    teacher = ("-s", "teacher=mlp(hidden=[16])") if kind == "csv" else ()  # as many steps as the student
    done = command("distill", "first/recipe.yaml", *FAST, *teacher)
    assert done.exit_code in (0, 3), done.output
    assert "student  runs/first/export/student.onnx  (seed " in done.stdout
    assert done.stdout.endswith("next     limbeck predict runs/first FILE\n")
    done = command("predict", "first", name)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("prediction\n" if kind == "npz" else "id,prediction\n")
    assert len(done.stdout.splitlines()) == 1 + (60 if kind == "images" else 120)


def test_two_columns_of_free_text_are_a_translation(command, tmp_path):
    words = [f"w{number}" for number in range(30)]
    rows = [{"translation": {n: " ".join(RNG.choice(words, 6)) for n in ("de", "en")}} for _ in range(40)]
    pd.DataFrame(rows).to_json("pairs.jsonl", orient="records", lines=True)
    done = command("init", "words", "--data", "pairs.jsonl")
    assert done.exit_code == 0, done.output
    assert "# guessed task: generation (two columns of free text)\n" in (tmp_path / "words" / "recipe.yaml").read_text()
    recipe = Recipe.from_yaml("words/recipe.yaml")
    assert (recipe.data.task, recipe.data.columns.target, recipe.export.onnx) == ("generation", "en", "auto")
    assert recipe.student.startswith("seq2seq(") and read_data(recipe).tasks["main"].kind == "generation"


def test_words_and_their_tags_are_tagged_by_a_recipe_that_runs(command, tmp_path):
    rows = e2e_tagging.sentences(120, 0)[["tokens", "ner_tags"]].assign(source="wiki")
    rows.to_json("t.jsonl", orient="records", lines=True)
    rows.to_parquet("t.parquet")
    done = command("init", "tags", "--data", "t.parquet")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "tags" / "recipe.yaml").read_text()
    assert "# guessed task: tagging (rows are lists of words" in text
    recipe = Recipe.from_yaml("tags/recipe.yaml")
    assert (recipe.data.columns.inputs, recipe.data.columns.target) == (("tokens",), "ner_tags")
    assert command("init", "lines", "--data", "t.jsonl").exit_code == 0
    done = command("check", "lines/recipe.yaml")
    assert done.exit_code == 0, done.output
    done = command("distill", "lines/recipe.yaml", *FAST, "-s", "teacher=text_cnn(dim=16, filters=16)")
    assert done.exit_code in (0, 3), done.output
    assert "entity f1" in done.stdout
    done = command("predict", "lines", "t.jsonl")
    assert done.stdout.splitlines()[0] == "prediction" and done.stdout.splitlines()[1].startswith('"[""')


@pytest.mark.parametrize("change", ["teacher=bag_of_words", "student=bag_of_words", "teacher=mlp", "student=linear"])
def test_check_refuses_a_network_that_a_run_on_words_would_refuse(command, tmp_path, change):
    e2e_tagging.sentences(60, 0)[["tokens", "ner_tags"]].to_json("t.jsonl", orient="records", lines=True)
    command("init", "tags", "--data", "t.jsonl")
    done = command("check", "tags/recipe.yaml", "-s", change)
    assert done.exit_code == 2
    role, _, name = change.partition("=")
    assert f"expected the {role} {name}" in done.stderr and "to answer for every word of 'main', got" in done.stderr
    assert done.stderr.rstrip().endswith(
        "give a token classifier: text_cnn(...), hf:FOLDER, or a TaggingNetwork; answers of others as a table of lists"
    )


def test_two_texts_and_a_score_are_a_regression_or_asked_for_a_similarity(command, tmp_path):
    words = [f"w{number}" for number in range(30)]
    texts = [[" ".join(RNG.choice(words, 5)) for _ in range(60)] for _ in range(2)]
    frame = pd.DataFrame({"first": texts[0], "second": texts[1], "score": RNG.random(60) * 5})
    frame.to_csv("sts.csv", index=False)
    assert command("init", "plain", "--data", "sts.csv").exit_code == 0
    text = (tmp_path / "plain" / "recipe.yaml").read_text()
    assert "# guessed a score that a network reads off both texts; --task similarity compares embeddings" in text
    assert command("init", "alike", "--data", "sts.csv", "--task", "similarity").exit_code == 0
    recipe = Recipe.from_yaml("alike/recipe.yaml")
    assert (recipe.data.columns.inputs, recipe.data.columns.target) == (("first", "second"), "score")
    assert read_data(recipe).tasks["main"].kind == "similarity"
    assert "no built-in network embeds texts" in (tmp_path / "alike" / "recipe.yaml").read_text()
    frame.drop(columns="score").to_csv("pairs.csv", index=False)
    done = command("init", "none", "--data", "pairs.csv", "--task", "similarity")
    assert done.exit_code == 2 and "expected two columns of texts and one of scores in pairs.csv" in done.stderr
    assert command("init", "find", "--data", "pairs.csv", "--task", "retrieval").exit_code == 0
    assert read_data(Recipe.from_yaml("find/recipe.yaml")).tasks["main"].kind == "retrieval"


def test_every_kind_of_task_is_named_in_the_help(command):
    said = command("init", "--help").output
    assert all(kind in said for kind in KINDS)


def test_several_labels_and_other_tasks(command, tmp_path):
    frame = table().assign(hot=RNG.integers(0, 2, 120), old=RNG.integers(0, 2, 120)).drop(columns="label")
    frame.assign(price=RNG.normal(0, 1, 120)).to_csv("t.csv", index=False)
    assert command("init", "many", "--data", "t.csv", "--target", "hot", "--target", "old").exit_code == 0
    text = (tmp_path / "many" / "recipe.yaml").read_text()
    assert "# guessed target: hot, old (as asked)\n" in text
    recipe = Recipe.from_yaml("many/recipe.yaml")
    assert (recipe.data.columns.target, recipe.data.task) == (("hot", "old"), "multilabel")
    assert command("init", "price", "--data", "t.csv").exit_code == 0
    recipe = Recipe.from_yaml("price/recipe.yaml")
    assert recipe.data.task == "regression"
    assert recipe.teacher[0].model.startswith("sklearn:ExtraTreesRegressor")  # few rows


def test_labels_with_separators_are_pointed_out(command, tmp_path):
    table().assign(label=np.where(RNG.random(120) < 0.5, "hot|old", "hot")).to_csv("t.csv", index=False)
    command("init", "tags", "--data", "t.csv")
    assert (
        "though some hold | or ; (for several labels a row: task: multilabel)"
        in (tmp_path / "tags" / "recipe.yaml").read_text()
    )
    command("init", "tags", "--data", "t.csv", "--task", "multilabel", "--overwrite")
    assert "# guessed task: multilabel (as asked)" in (tmp_path / "tags" / "recipe.yaml").read_text()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--data", "u.csv"], "--data: u.csv does not exist; did you mean 't.csv'?"),
        (["--data", "t.csv", "--test", "u.csv"], "--test: u.csv does not exist; did you mean 't.csv'?"),
        (["--data", "t.csv", "--target", "lable"], "did you mean 'label'?"),
        (["--data", "t.csv", "--task", "clasification"], "did you mean 'classification'?"),
        (["--data", "one.csv"], "expected a column of labels in one.csv, it has one column"),
    ],
)
def test_what_cannot_be_guessed(command, tmp_path, options, part):
    table().to_csv("t.csv", index=False)
    table()[["a"]].to_csv("one.csv", index=False)
    done = command("init", "new", *options)
    assert done.exit_code == 2
    assert part in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_recipe_is_not_replaced_unasked(command, tmp_path):
    table().to_csv("t.csv", index=False)
    command("init", "new", "--data", "t.csv")
    done = command("init", "new", "--data", "t.csv")
    assert done.exit_code == 2
    assert "expected no recipe at new/recipe.yaml, there is one" in done.stderr


def test_two_tasks_are_answered_side_by_side(command, tmp_path):
    frame = table()
    frame.assign(price=frame.a * 2, hot=(frame.a > 0.5).astype(int), cold=(frame.a < 0.5).astype(int)).to_csv(
        "t.csv", index=False
    )
    (tmp_path / "r.yaml").write_text(
        "name: two\nteacher: mlp(hidden=[16])\nstudent: linear\nseeds: 1\ntrain: {steps: 100, learning_rate: 0.02}\n"
        "data: {train: t.csv, columns: {id: id, target: {kind: label, price: price, temper: [hot, cold]}}}\n"
    )
    done = command("distill", "r.yaml")
    assert done.exit_code in (0, 3), done.output
    done = command("predict", "two", "t.csv")
    assert done.stdout.splitlines()[0] == "id,kind,price,temper.hot,temper.cold", done.output
    done = command("predict", "two", "t.csv", "--proba")
    assert done.stdout.splitlines()[0] == "id,kind.no,kind.yes,price,temper.hot,temper.cold"
