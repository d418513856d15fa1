"""A run of texts ends in an ONNX file with its tokenizer, and everything that answers answers through it."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from typer.testing import CliRunner

import limbeck as lb
from limbeck.cli.main import app
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.core.errors import ConfigError, NotSupported
from limbeck.core.run import Run
from limbeck.recipe import Recipe
from limbeck.stages import check_recipe, run_recipe

from ..compress.tiny_text import WORDS, network, tokenizer

PLAN = lb.TrainSpec(steps=30, batch_size=32, learning_rate=3e-3)
GOOD, BAD = WORDS[4:14], WORDS[14:24]


def sentences(rows, seed):
    """Sentences whose label is that of the majority of their words."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(rows):
        label = int(rng.integers(2))
        words = [*rng.choice((BAD, GOOD)[label], 3), *rng.choice((GOOD, BAD)[label], 1), *rng.choice(WORDS[24:], 6)]
        made.append((" ".join(rng.permutation(words)), ["sad", "glad"][label]))
    return pd.DataFrame(made, columns=["sentence", "label"])


def couples(rows, seed):
    """Pairs whose label says whether the second text has the first word of the first one."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(rows):
        first, second = rng.choice(WORDS[4:20], 4), list(rng.choice(WORDS[20:], 3))
        label = int(rng.integers(2))
        made.append((" ".join(first), " ".join([*second, first[0]] if label else second), label))
    return pd.DataFrame(made, columns=["sentence1", "sentence2", "label"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer().save_pretrained(folder)
    network("bert", {"main": 2}).model.bert.save_pretrained(folder)
    return f"hf:{folder}"


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """A run of a recipe, so that the command line can go on with it."""
    root = tmp_path_factory.mktemp("recipe")
    sentences(400, 0).to_csv(root / "train.csv", index=False)
    sentences(1000, 1).to_csv(root / "test.csv", index=False)
    (root / "recipe.yaml").write_text(
        f"name: mood\ndata: {{train: train.csv, test: test.csv, columns: {{target: label}}}}\nteacher: '{folder}'\n"
        f"student: '{folder}'\ntrain: {{steps: 30, batch_size: 32, learning_rate: 0.003}}\nseeds: 1\n"
        f"export: {{int8: true}}\nout: {root / 'run'}\n"
    )
    return run_recipe(Recipe.from_yaml(root / "recipe.yaml"))


def test_the_files_lie_in_the_run_with_their_checksums(run):
    state = json.loads((run.folder / "run.json").read_text())
    files = state["stages"]["export"]["files"]
    assert {"export/student.onnx", "export/tokenizer/tokenizer.json", "export/parity.json"} <= set(files)
    assert all(entry["xxh3"] for entry in files.values()) and not Run.read(run.folder).verify()
    parity = json.loads((run.folder / "export" / "parity.json").read_text())
    assert parity["held"] and parity["rows"] == 1000 and parity["heads"]["main"]["flips"] == 0


def test_the_run_answers_raw_texts_as_its_torch_student(run):
    rows = sentences(60, 2)
    student = run.student
    with torch.no_grad():
        logits = student(torch.from_numpy(student.encoder.encode(rows["sentence"].tolist()))).numpy()
    names = np.array(list(student.model.config.id2label.values()))
    assert run.predict(rows["sentence"].tolist()).tolist() == names[logits.argmax(1)].tolist()
    assert run.predict(rows).tolist() == names[logits.argmax(1)].tolist()
    np.testing.assert_allclose(run.answers(rows)["main"], logits, atol=1e-4)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(run.predict_proba(rows), p, atol=1e-4)


def test_a_copy_is_whole(run, tmp_path):
    rows = sentences(20, 3)
    path = run.export(tmp_path / "ship" / "mood.onnx")
    assert OnnxStudent(path).predict(rows).tolist() == run.predict(rows).tolist()
    assert lb.export(run, tmp_path / "again" / "mood.onnx").is_file()
    assert (tmp_path / "again" / "tokenizer" / "tokenizer.json").is_file()


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_command_line_predicts_files_of_texts(run, ending, tmp_path):
    rows = sentences(15, 4)
    file = tmp_path / f"rows.{ending}"
    if ending == "csv":
        rows.to_csv(file, index=False)
    elif ending == "jsonl":
        rows.to_json(file, orient="records", lines=True)
    else:
        rows.to_parquet(file)
    said = CliRunner().invoke(app, ["predict", str(run.folder), str(file), "--out", str(tmp_path / "said.csv")])
    assert said.exit_code == 0, said.output
    assert pd.read_csv(tmp_path / "said.csv")["prediction"].tolist() == run.predict(rows).tolist()


def test_the_command_line_exports(run):
    said = CliRunner().invoke(app, ["export", str(run.folder)])
    assert said.exit_code == 0 and "int8_bytes" in said.output


def test_int8_has_its_own_row_with_what_it_costs(run):
    """Its figures are those of the int8 file on the test rows, beside the student as it was evaluated."""
    found, test = run.scorecard["int8"], sentences(1000, 1)
    card, student = found["tasks"]["main"], run.scorecard["tasks"]["main"]["arms"]["student"]["metrics"]["accuracy"]
    quick = OnnxStudent(run.folder / "export" / "student.int8.onnx")
    right, plain = quick.predict(test) == test["label"], run.predict(test) == test["label"]
    assert card["rows"] == 1000 and card["metric"]["name"] == "accuracy"
    assert card["changed"]["value"] == pytest.approx(right.mean())
    assert card["original"]["value"] == pytest.approx(plain.mean()) == pytest.approx(student["per_seed"][0])
    assert card["difference"]["value"] == pytest.approx(right.mean() - plain.mean())
    assert card["difference"]["low"] < card["difference"]["value"] < card["difference"]["high"]
    assert card["agreement"]["value"] == pytest.approx((quick.predict(test) == run.predict(test)).mean())
    assert found["bytes"] == {
        "float32": run.exported.stat().st_size, "int8": (run.folder / "export" / "student.int8.onnx").stat().st_size
    }  # fmt: skip
    assert found["latency"]["int8"]["1"]["p50_ms"] > 0 and found["latency"]["float32"]["64"]["p50_ms"] > 0
    assert "int8" not in json.loads((run.folder / "scorecard.json").read_text())  # the evaluate stage's own file


def test_reports_show_the_row(run):
    html, text = (run.folder / "report.html").read_text(), (run.folder / "report.md").read_text()
    for page in (html, text, str(run)):
        assert "exported, int8" in page and "exported, float32" in page and "× smaller" in page
    assert "int8 minus float32" in html and "int8 minus float32" in text


def test_a_run_that_goes_on_keeps_what_was_measured(run):
    before = (run.folder / "export" / "int8.json").read_bytes()
    again = run_recipe(Recipe.from_run(run.folder))
    assert (run.folder / "export" / "int8.json").read_bytes() == before
    assert again.scorecard == run.scorecard


def test_the_int8_student_is_copied_where_asked(run, tmp_path):
    rows = sentences(20, 3)
    path = run.export(tmp_path / "small.onnx", int8=True)
    assert path.read_bytes() == (run.folder / "export" / "student.int8.onnx").read_bytes()
    assert len(OnnxStudent(path).predict(rows)) == 20


def test_a_damaged_tokenizer_is_made_again(folder, tmp_path):
    data = lb.Data(train=sentences(200, 0), test=sentences(60, 1))
    first = lb.distill(folder, folder, data, train=PLAN, seeds=1, out=tmp_path / "r")
    core = first.folder / "export" / "tokenizer" / "tokenizer.json"
    whole = core.read_bytes()
    core.write_bytes(whole[:-10])
    again = lb.distill(folder, folder, data, train=PLAN, seeds=1, out=tmp_path / "r")
    assert core.read_bytes() == whole and not Run.read(again.folder).verify()


def test_pairs_go_the_whole_way(folder, tmp_path):
    data = lb.Data(train=couples(200, 0), test=couples(100, 1))
    # thirty steps teach little about pairs: the way is looked at here, not how good it is
    done = lb.distill(folder, folder, data, train=PLAN, seeds=1, ignore=("LB201",), out=tmp_path / "r")
    rows = couples(30, 2)
    names = [i["name"] for i in OnnxStudent(done.exported).inputs]
    assert names == ["input_ids", "attention_mask", "token_type_ids"]
    pairs = list(zip(rows["sentence1"], rows["sentence2"], strict=True))
    assert done.predict(rows).tolist() == done.predict(pairs).tolist()
    assert "int8" not in done.scorecard
    with pytest.raises(ConfigError, match=r"expected an int8 student in .*, there is none[\s\S]*int8=True"):
        done.export(tmp_path / "none.onnx", int8=True)


@pytest.mark.parametrize("kind", ["distilbert", "roberta"])
def test_models_of_other_families_go_the_whole_way(kind, tmp_path):
    tokenizer(kind).save_pretrained(tmp_path / "m")
    network(kind, {"main": 2}).model.base_model.save_pretrained(tmp_path / "m")
    data, name = lb.Data(train=sentences(200, 0), test=sentences(100, 1)), f"hf:{tmp_path / 'm'}"
    done = lb.distill(name, name, data, train=PLAN, seeds=1, ignore=("LB201",), out=tmp_path / "r")
    parity = json.loads((done.folder / "export" / "parity.json").read_text())
    assert parity["held"] and parity["rows"] == 100
    names = [i["name"] for i in OnnxStudent(done.exported).inputs]
    assert names == ["input_ids", "attention_mask"]
    assert len(done.predict(sentences(5, 2))) == 5


def test_a_tokenizer_that_cannot_be_exported_is_refused_before_any_work(folder, run, tmp_path, monkeypatch):
    monkeypatch.setattr(transformers.PreTrainedTokenizerFast, "backend_tokenizer", None)
    data = lb.Data(train=sentences(60, 0), test=sentences(30, 1))
    with pytest.raises(NotSupported, match=r"expected a tokenizer that can be written as tokenizer.json, got "):
        lb.distill(folder, folder, data, train=PLAN, out=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    recipe = Recipe.from_run(run.folder)
    with pytest.raises(NotSupported, match=r"expected a tokenizer that can be written as tokenizer.json, got "):
        check_recipe(recipe)
    check_recipe(recipe.with_({"export.onnx": False, "export.int8": False}))
