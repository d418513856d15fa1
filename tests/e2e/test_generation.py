"""Texts for texts end to end: a teacher writes once, students learn from what it wrote, and a verdict on BLEU."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

import limbeck as lb
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.core.errors import NotSupported
from limbeck.core.run import Run
from limbeck.models.text.seq2seq import Seq2SeqNetwork
from limbeck.transfer import texts as store

NAMES = ["red", "blue", "old", "dog", "cat", "bird", "runs", "sits", "the", "now"]
WORDS = dict(
    zip(NAMES, ["rot", "blau", "alt", "hund", "katze", "vogel", "rennt", "sitzt", "das", "jetzt"], strict=True)
)
TEACHER = "seq2seq(d_model=32, layers=1, heads=2, ffn=32, vocabulary=96, max_length=16, dropout=0.0)"
STUDENT = TEACHER.replace("32", "16")
LONG, SHORT = (lb.TrainSpec(steps=n, batch_size=32, learning_rate=1e-2, validate_every=n) for n in (120, 20))


def pairs(count, seed):
    """Sentences of a small language, word by word in another one, the first word last."""
    rng = np.random.default_rng(seed)
    sources = [rng.choice(NAMES, int(rng.integers(3, 7))) for _ in range(count)]
    targets = [[WORDS[word] for word in [*text[1:], text[0]]] for text in sources]
    return pd.DataFrame({"source": [" ".join(t) for t in sources], "target": [" ".join(t) for t in targets]})


def data_of():
    return lb.Data(
        train=pairs(300, 0), unlabeled=pairs(60, 3)[["source"]], validation=pairs(40, 1), test=pairs(60, 2), seed=0
    )


def run_in(folder, **more):
    return lb.distill(
        TEACHER, STUDENT, data_of(), objective="0.5 * CE + 0.5 * SequenceKD + KD(temperature=1)", train=SHORT,
        teacher_train=LONG, seeds=3, attribution=False, writing=lb.WriteSpec(beams=2), out=folder, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_in(tmp_path_factory.mktemp("run") / "r")


def test_the_teacher_knows_more_than_chance_and_there_is_a_verdict(run):
    card = run.scorecard["tasks"]["main"]
    arms = {arm: entry["metrics"]["bleu"]["value"] for arm, entry in card["arms"].items()}
    assert card["metric"]["name"] == "bleu" and card["trivial"]["from"] == "copied sources"
    assert arms["teacher"] > card["trivial"]["metrics"]["bleu"] + 0.2
    assert card["verdict"] in ("helped", "no reliable difference", "hurt")
    assert card["gain"]["low"] < arms["student"] - arms["control"] < card["gain"]["high"]
    assert card["calibration"] is None and card["classes"] == []
    assert set(card["arms"]["student"]["metrics"]) == {"bleu", "chrf", "rouge_l"}
    assert 0 <= card["fidelity"]["arms"]["student"]["bleu"] <= 1 and run.agreement is not None


def test_judge_says_of_the_predictions_what_the_run_said(run):
    rows = data_of().test

    def said(arm, seeds):
        tables = [pd.read_parquet(run.folder / "predictions" / f"test-{arm}-{seed}.parquet") for seed in seeds]
        return [table["main"].tolist() for table in tables]

    found = lb.judge(
        rows.targets["main"], student=said("student", range(3)), control=said("control", range(3)),
        teacher=said("teacher", [0]), sources=rows.inputs["source"].tolist(), task="generation",
    )  # fmt: skip
    mine, theirs = found["tasks"]["main"], run.scorecard["tasks"]["main"]
    assert found.verdict == run.verdict
    for part in ("kind", "metric", "gain", "gain_per_seed", "retention", "fidelity", "trivial", "examples"):
        assert mine[part] == theirs[part], part
    for arm in ("teacher", "student", "control"):
        assert mine["arms"][arm] == theirs["arms"][arm]


def test_the_report_shows_examples_beside_the_numbers(run):
    card = run.scorecard["tasks"]["main"]
    assert set(card["examples"][0]) == {"source", "reference", "teacher", "student", "control"}
    page = (run.folder / "report.html").read_text()
    assert "Examples" in page and card["examples"][0]["source"] in page and "BLEU" in page
    assert card["examples"][-1]["teacher"] in (run.folder / "report.md").read_text()


def test_the_teacher_wrote_for_labelled_and_unlabelled_sources_once(run):
    found = store.read(run.folder / "transfer")
    rows = data_of()
    texts, logprobs = found.of(np.concatenate([rows.train.keys, rows.unlabeled.keys]))
    assert all(isinstance(text, str) for text in texts) and (logprobs < 0).all()
    assert json.loads((run.folder / "run.json").read_text())["stages"]["train"]["facts"]["writing"]["texts"] == 360


def test_predictions_on_disk_are_texts_and_the_student_writes_them_in_transformers(run):
    folder = run.folder / "student" / "seed-1"
    kept = pd.read_parquet(run.folder / "predictions" / "test-student-1.parquet")
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    sources = data_of().test.inputs["source"].tolist()
    for source, text in list(zip(sources, kept["main"], strict=True))[:10]:
        with torch.no_grad():
            made = model.generate(**tokenizer([source], return_tensors="pt"), max_new_tokens=16, do_sample=False)
        assert tokenizer.decode(made[0], skip_special_tokens=True).strip() == text
    assert isinstance(run.student, Seq2SeqNetwork)


def test_the_run_writes_for_new_rows_and_exports_nothing(run, tmp_path):
    from typer.testing import CliRunner

    from limbeck.cli.main import app

    rows = data_of().test.inputs
    seed = json.loads((run.folder / "run.json").read_text())["stages"]["train"]["facts"]["best_seed"]
    kept = pd.read_parquet(run.folder / "predictions" / f"test-student-{seed}.parquet")["main"].tolist()
    assert run.predict(rows) == kept and run.predict(rows["source"].tolist()) == kept and run.predict([]) == []
    with pytest.raises(NotSupported, match=r"this one writes texts and was not exported[\s\S]*onnx: true"):
        run.export(tmp_path / "student.onnx")
    with pytest.raises(NotSupported, match="expected a task with probabilities, the student writes texts"):
        run.predict_proba(rows)
    with pytest.raises(NotSupported, match="expected a student of a task on embeddings, this one writes texts"):
        run.embed(["red dog"])
    rows.to_csv(tmp_path / "new.csv", index=False)
    done = CliRunner().invoke(
        app, ["predict", str(run.folder), str(tmp_path / "new.csv"), "--out", str(tmp_path / "p.csv")]
    )
    assert done.exit_code == 0, done.output
    assert pd.read_csv(tmp_path / "p.csv", keep_default_na=False)["prediction"].tolist() == kept


def test_a_run_that_is_done_does_nothing_again_and_is_whole(run):
    before = (run.folder / "scorecard.json").read_bytes()
    stamps = {
        path: path.stat().st_mtime_ns for path in (run.folder / "transfer").iterdir() if path.suffix == ".parquet"
    }
    run_in(run.folder)
    assert (run.folder / "scorecard.json").read_bytes() == before
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert Run.read(run.folder).verify() == []


def test_a_killed_run_goes_on_and_comes_to_the_same(tmp_path, monkeypatch):
    """Killed while the teacher writes, and again at the first student."""
    from limbeck.stages import scoring, writers

    def small(folder):
        return lb.distill(
            TEACHER, STUDENT, lb.Data(train=pairs(80, 0), validation=pairs(20, 1), test=pairs(20, 2)), train=3,
            teacher_train=lb.TrainSpec(steps=30, batch_size=16, learning_rate=1e-2), seeds=1,
            ignore=("LB201",), out=folder,
        )  # fmt: skip

    monkeypatch.setattr(store, "SHARD_ROWS", 16)
    monkeypatch.setattr(store.fill, "__kwdefaults__", {**store.fill.__kwdefaults__, "shard_rows": 16})
    small(tmp_path / "whole")
    asked, write = [], writers.NetworkWriter.write

    def killed(self, sources, how, seed):
        asked.append(len(sources))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return write(self, sources, how, seed)

    monkeypatch.setattr(writers.NetworkWriter, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        small(tmp_path / "killed")
    assert len(list((tmp_path / "killed" / "transfer").glob("*.parquet"))) == 2
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "texts_of", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            small(tmp_path / "killed")
    assert sum(asked[3:]) == 80 - 2 * 16 + 40  # what was written is not written again
    small(tmp_path / "killed")
    for part in ("transfer", "predictions", "student"):
        for path in (tmp_path / "whole" / part).rglob("*"):
            if path.is_file() and path.name not in (".lock", "facts.json"):
                other = tmp_path / "killed" / part / path.relative_to(tmp_path / "whole" / part)
                assert other.read_bytes() == path.read_bytes(), path.name


def test_a_function_of_texts_teaches_and_is_asked_once(tmp_path):
    asked = []

    def translate(texts):
        asked.extend(texts)
        return [" ".join(WORDS[word] for word in [*text.split()[1:], text.split()[0]]) for text in texts]

    data = lb.Data(train=pairs(60, 0), validation=pairs(20, 1), test=pairs(20, 2))
    done = lb.distill(translate, STUDENT, data, train=2, seeds=1, out=tmp_path / "r")
    assert done.scorecard["tasks"]["main"]["arms"]["teacher"]["metrics"]["bleu"]["value"] == pytest.approx(1.0)
    assert len(asked) == len(set(asked)) == 60 + 20 + 20 - (20 - len(data.test))


def test_a_recipe_says_it_all(tmp_path):
    from limbeck.stages import run_recipe

    for name, count in (("train", 60), ("validation", 20), ("test", 20)):
        pairs(count, len(name)).to_csv(tmp_path / f"{name}.csv", index=False)
    recipe = lb.Recipe.from_text(
        f"""
name: words
data: {{train: train.csv, validation: validation.csv, test: test.csv, task: generation}}
teacher: {{model: "{TEACHER}", train: {{steps: 2}}}}
student: "{STUDENT}"
objective: SequenceKD
train: 2
writing: {{beams: 1, temperature: 0.7, length_ratio: [0.1, 9.0]}}
seeds: 1
export: {{onnx: true}}
checks: {{ignore: [LB201]}}
""",
        base=tmp_path,
    )
    done = run_recipe(recipe, out=tmp_path / "r")
    assert done.scorecard["tasks"]["main"]["kind"] == "generation"
    assert "temperature: 0.7" in (tmp_path / "r" / "resolved.yaml").read_text()
    rows = pairs(20, len("test"))[["source"]]
    kept = pd.read_parquet(tmp_path / "r" / "predictions" / "test-student-0.parquet")["main"].tolist()
    assert done.exported.is_file() and done.predict(rows) == kept
    copied = done.export(tmp_path / "ship" / "small.onnx")
    assert OnnxStudent(copied).predict(rows["source"].tolist()) == kept
