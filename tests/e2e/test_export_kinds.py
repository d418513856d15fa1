"""The default run of every kind of text task ends in an ONNX student with parity, which answers for the run."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from e2e_tagging import make_model, pieces_tokenizer, words_tokenizer
from e2e_tagging import sentences as tagged
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from typer.testing import CliRunner

import limbeck as lb
from limbeck.cli.main import app
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.core.errors import ConfigError

from ..compress.tiny_text import WORDS, network, tokenizer

PLAN = lb.TrainSpec(steps=12, batch_size=32, learning_rate=5e-3)
FEW = {"seeds": 1, "attribution": False, "ignore": ("LB201",)}  # the way is looked at here, not how good it is


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer().save_pretrained(folder)
    network("bert", {"main": 2}).model.bert.save_pretrained(folder)
    return f"hf:{folder}"


def held(run, metric):
    """What parity found, of a run that was exported; its scorecard is about this metric."""
    assert run.scorecard["tasks"][next(iter(run.scorecard["tasks"]))]["metric"]["name"] == metric
    parity = json.loads((run.folder / "export" / "parity.json").read_text())
    assert parity["held"] and all(f["flips"] == 0 and f["difference"] < 1e-4 for f in parity["heads"].values())
    return parity


# ------------------------------------------------------------------------------------------ whole texts


def reviews(rows, seed):
    rng = np.random.default_rng(seed)
    made = [list(rng.choice(WORDS[4:], 8)) for _ in range(rows)]
    return pd.DataFrame(
        {
            "text": [" ".join(words) for words in made],
            "mood": ["glad" if len({*words} & {*WORDS[4:24]}) > 2 else "sad" for words in made],
            "stars": [float(len({*words} & {*WORDS[4:24]})) for words in made],
            "topics": ["|".join(word for word in ("w1", "w2", "w3") if word in words) for words in made],
        }
    )


@pytest.mark.parametrize(
    ("target", "task", "metric"),
    [
        ("mood", None, "accuracy"), ("topics", "multilabel", "macro_f1"), ("stars", "regression", "r2"),
        ({"mood": "mood", "stars": "stars"}, None, "accuracy"),
    ],
)  # fmt: skip
def test_tasks_on_whole_texts(target, task, metric, folder, tmp_path):
    columns = lb.Columns(inputs=("text",), target=target)
    data = lb.Data(train=reviews(150, 0), test=reviews(60, 1), columns=columns, **({"task": task} if task else {}))
    run = lb.distill(folder, folder, data, train=PLAN, teacher_train=PLAN, out=tmp_path / "r", **FEW)
    assert held(run, metric)["rows"] == 60
    heads = list(data.tasks)
    said = [run.predict(reviews(7, 2), head) for head in heads]
    assert [len(answer) for answer in said] == [7] * len(heads)


# ------------------------------------------------------------------------------------------ words


@pytest.fixture(scope="module")
def tags(tmp_path_factory):
    root = tmp_path_factory.mktemp("tags")
    teacher = make_model(root / "words", words_tokenizer())
    student = make_model(root / "pieces", pieces_tokenizer(), layers=1, width=16)
    columns = ["tokens", "ner_tags"]
    data = lb.Data(train=tagged(250, 0)[columns], test=tagged(120, 1)[columns])
    spec = lb.TrainSpec(steps=80, batch_size=32, learning_rate=5e-3)
    return lb.distill(teacher, student, data, train=spec, teacher_train=spec, int8=True, out=root / "r", **FEW)


def test_tags_of_words(tags):
    parity = held(tags, "entity_f1")
    assert parity["heads"]["main"]["decisions"] == sum(map(len, tagged(120, 1)["tokens"]))
    rows = tagged(40, 2)
    said = tags.predict(rows["tokens"].tolist())
    student = tags.student
    encoded = torch.from_numpy(student.encoder.encode(pd.DataFrame({"tokens": rows["tokens"].map(tuple)})))
    with torch.no_grad():
        ids, mask = student(encoded).argmax(-1), student.masks(encoded)["main"]
    names = student.model.config.id2label
    assert said == [[names[int(i)] for i in row[there]] for row, there in zip(ids, mask, strict=True)]
    assert said == tags.predict([" ".join(words) for words in rows["tokens"]]) == tags.predict(rows)
    assert len({tag for row in said for tag in row}) >= 3


def test_int8_of_a_tagger_is_measured_in_entity_f1(tags):
    from seqeval.metrics import f1_score

    test, card = tagged(120, 1), tags.scorecard["int8"]["tasks"]["main"]
    assert card["metric"]["name"] == "entity_f1"
    for arm, file in (("original", "student.onnx"), ("changed", "student.int8.onnx")):
        said = OnnxStudent(tags.folder / "export" / file).predict(test)
        assert card[arm]["value"] == pytest.approx(f1_score(test["ner_tags"].tolist(), said))
    assert card["original"]["value"] > 0.1 and 0.5 < card["agreement"]["value"] <= 1
    for page in ((tags.folder / "report.html").read_text(), (tags.folder / "report.md").read_text(), str(tags)):
        assert "exported, int8" in page


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_command_line_writes_a_list_of_tags_for_each_row(tags, ending, tmp_path):
    rows = tagged(9, 3)[["tokens"]]
    if ending == "csv":
        rows.assign(tokens=rows["tokens"].map(json.dumps)).to_csv(tmp_path / "rows.csv", index=False)
    elif ending == "jsonl":
        rows.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    else:
        rows.to_parquet(tmp_path / "rows.parquet")
    out = tmp_path / f"said.{ending}"
    asked = ["predict", str(tags.folder), str(tmp_path / f"rows.{ending}")]
    done = CliRunner().invoke(app, [*asked, "--out", str(out)])
    assert done.exit_code == 0, done.output
    readers = {"csv": pd.read_csv, "jsonl": lambda path: pd.read_json(path, lines=True), "parquet": pd.read_parquet}
    found = readers[ending](out)["prediction"]
    said = [json.loads(cell) if ending == "csv" else list(cell) for cell in found]
    assert said == tags.predict(rows["tokens"].tolist())
    shown = CliRunner().invoke(app, [*asked, "--json"])
    assert json.loads(shown.stdout)["predictions"][0]["prediction"] == said[0]
    proba = CliRunner().invoke(app, [*asked, "--proba", "--out", str(tmp_path / "p.csv")])
    assert proba.exit_code == 0, proba.output
    cell = json.loads(pd.read_csv(tmp_path / "p.csv")["prediction"][0])
    assert np.shape(cell) == (len(said[0]), 5) and np.allclose(np.sum(cell, axis=1), 1, atol=1e-4)


def test_intent_and_slots(tmp_path):
    name = make_model(tmp_path / "m", words_tokenizer(), layers=1, width=16)
    columns = lb.Columns(inputs=("tokens",), target={"intent": "intent", "slots": "ner_tags"})
    data = lb.Data(train=tagged(150, 0), test=tagged(60, 1), columns=columns)
    run = lb.distill(name, name, data, train=PLAN, teacher_train=PLAN, int8=True, out=tmp_path / "r", **FEW)
    assert set(held(run, "accuracy")["heads"]) == {"intent", "slots"}
    assert set(run.scorecard["int8"]["tasks"]) == {"intent", "slots"}
    rows = tagged(5, 2)
    assert len(run.predict(rows, "intent")) == 5 and set(run.predict(rows, "intent")) <= {"visits", "other"}
    assert [len(row) for row in run.predict(rows, "slots")] == rows["tokens"].map(len).tolist()
    rows.assign(tokens=rows["tokens"].map(json.dumps)).to_csv(tmp_path / "rows.csv", index=False)
    done = CliRunner().invoke(app, ["predict", str(run.folder), str(tmp_path / "rows.csv"), "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert list(pd.read_csv(tmp_path / "predictions.csv").columns) == ["intent", "slots"]


# ------------------------------------------------------------------------------------------ embeddings


def static(width, seed):
    torch.manual_seed(seed)
    vectors = modules.StaticEmbedding(tokenizer(), embedding_weights=torch.randn(len(WORDS), width))
    return SentenceTransformer(modules=[vectors, modules.Normalize()], device="cpu")


def sayings(count, seed, teacher):
    rng = np.random.default_rng(seed)
    first = [" ".join(rng.choice(WORDS[4:30], rng.integers(3, 6))) for _ in range(count)]
    second = [" ".join(rng.choice([*text.split(), *WORDS[4:7]], 3)) for text in first]
    cosine = (teacher.encode(first) * teacher.encode(second)).sum(1)
    return pd.DataFrame({"sentence1": first, "sentence2": second, "score": 5 * cosine + rng.normal(0, 0.3, count)})


@pytest.mark.parametrize("kind", ["static", "bert"])
def test_similarity(kind, folder, tmp_path):
    teacher = static(8, 0)
    data = lb.Data(train=sayings(150, 0, teacher), test=sayings(80, 1, teacher), task="similarity")
    student = static(6, 1) if kind == "static" else folder
    spec = lb.TrainSpec(steps=40, batch_size=32, learning_rate=3e-2 if kind == "static" else 1e-3)
    run = lb.distill(teacher, student, data, train=spec, int8=True, out=tmp_path / "r", **FEW)
    assert held(run, "spearman")["heads"]["main"]["cosines"] < 1e-4
    rows = data.test.inputs
    seed = json.loads((run.folder / "run.json").read_text())["stages"]["train"]["facts"]["best_seed"]
    model = SentenceTransformer(str(run.folder / "student" / f"seed-{seed}"))
    first, second = (model.encode(list(rows[name])) for name in ("sentence1", "sentence2"))
    np.testing.assert_allclose(run.embed(rows["sentence1"]), first, atol=1e-5)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    task = data.tasks["main"]
    wanted = task.low + (first * second).sum(1) / lengths * (task.high - task.low)  # in the units of the scores
    np.testing.assert_allclose(run.predict(rows), wanted, atol=1e-4)

    from scipy.stats import spearmanr

    card = run.scorecard["int8"]["tasks"]["main"]
    scores = data.test.targets["main"][:, 0]
    for arm, file in (("original", "student.onnx"), ("changed", "student.int8.onnx")):
        said = OnnxStudent(run.folder / "export" / file).predict(rows)
        assert card[arm]["value"] == pytest.approx(spearmanr(said, scores).statistic, abs=1e-6)
    assert card["correlation"] > 0.9 and card["agreement"] is None
    assert "exported, int8" in (run.folder / "report.html").read_text() and "exported, int8" in str(run)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    asked = ["predict", str(run.folder), str(tmp_path / "rows.csv"), "--out", str(tmp_path / "said.csv")]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    np.testing.assert_allclose(pd.read_csv(tmp_path / "said.csv")["prediction"], run.predict(rows), atol=1e-6)


def test_retrieval(tmp_path):
    teacher = static(8, 0)
    parts = [sayings(count, seed, teacher)[["sentence2", "sentence1"]] for seed, count in enumerate((150, 60, 40))]
    train, test, more = (part.set_axis(["query", "passage"], axis=1) for part in parts)
    data = lb.Data(train=train, test=test, corpus=more["passage"].tolist(), task="retrieval")
    spec = lb.TrainSpec(steps=40, batch_size=32, learning_rate=3e-2)
    run = lb.distill(teacher, static(6, 1), data, train=spec, int8=True, out=tmp_path / "r", **FEW)
    held(run, "recall@10")
    card = run.scorecard["int8"]["tasks"]["main"]
    own = run.scorecard["tasks"]["main"]["arms"]["student"]["metrics"]["recall@10"]["per_seed"][0]
    assert card["metric"]["name"] == "recall@10" and card["original"]["value"] == pytest.approx(own)
    documents = list(dict.fromkeys([*data.test.inputs["passage"], *data.corpus.inputs["query"]]))
    quick = OnnxStudent(run.folder / "export" / "student.int8.onnx")
    scores = quick.embed(data.test.inputs["query"]) @ quick.embed(documents).T
    mine = np.array([documents.index(text) for text in data.test.inputs["passage"]])
    rank = (scores > scores[np.arange(len(mine)), mine][:, None] + 1e-6).sum(1)
    assert card["changed"]["value"] == pytest.approx((rank < 10).mean(), abs=0.05)
    assert run.predict(data.test.inputs).shape == (60,)


# ------------------------------------------------------------------------------------------ texts that are written


def test_a_student_that_writes_is_refused_before_any_work(tmp_path):
    rows = pd.DataFrame({"de": [f"ein w{n} haus" for n in range(40)], "en": [f"a w{n} house" for n in range(40)]})
    columns = lb.Columns(inputs=("de",), target="en")
    data = lb.Data(train=rows, test=rows.iloc[:10].assign(de=lambda t: t["de"] + " hier"), columns=columns,
                   task="generation")  # fmt: skip
    with pytest.raises(ConfigError, match=r"expected no int8 of a student that writes texts[\s\S]*export.onnx: true"):
        student = "seq2seq(vocabulary=80, d_model=16, heads=2)"
        lb.distill(lambda texts: ["a house"] * len(texts), student, data, int8=True, out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


# ----------------------------------------------------------------------------------------- small networks of pairs


@pytest.mark.parametrize("student", ["bag_of_words(dim=8)", "text_cnn(dim=8, filters=4)"])
def test_small_students_of_pairs_keep_the_texts_apart_in_onnx(student, tmp_path):
    rng = np.random.default_rng(0)
    first, second = ([" ".join(rng.choice(WORDS[4:30], rng.integers(1, 6))) for _ in range(120)] for _ in range(2))
    longer = [len(a.split()) > len(b.split()) for a, b in zip(first, second, strict=True)]
    rows = pd.DataFrame({"premise": first, "hypothesis": second, "label": longer})

    def teacher(pairs):
        first, second = (pairs[name].str.split().str.len().to_numpy() for name in ("premise", "hypothesis"))
        return np.stack([1.0 - (first > second), first > second], axis=1) * 0.8 + 0.1

    data = lb.Data(train=rows[:80], test=rows[80:])
    run = lb.distill(teacher, student, data, train=20, out=tmp_path / "r", **FEW)
    facts = json.loads((run.folder / "export" / "parity.json").read_text())
    assert facts["held"] and facts["heads"]["main"]["flips"] == 0
    turned = rows[["premise", "hypothesis"]].rename(columns={"premise": "hypothesis", "hypothesis": "premise"})
    apart = run.answers(rows)["main"] - run.answers(turned[["premise", "hypothesis"]])["main"]
    assert np.abs(apart).max() > 1e-4  # which text is which matters


def test_a_teacher_answers_every_view_of_a_text_once(tmp_path):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS[4:30], rng.integers(2, 7))) for _ in range(100)]
    rows = pd.DataFrame({"text": texts, "label": [len(text.split()) > 4 for text in texts]})
    heard = []

    def teacher(table):
        heard.extend(table["text"])
        long = (table["text"].str.split().str.len() > 4).to_numpy()
        return np.stack([1.0 - long, long], axis=1) * 0.8 + 0.1

    data = lb.Data(train=rows[:70], test=rows[70:], view="drop(0.3) + replace(0.3)", views=3)
    run = lb.distill(teacher, "bag_of_words(dim=8)", data, train=20, out=tmp_path / "r", **FEW)
    facts = json.loads((run.folder / "run.json").read_text())["stages"]["label"]["facts"]
    assert facts["answers"] == 3 * len(data.train) and run.exported.is_file()
    assert len(set(heard) - set(texts)) > len(data.train)  # words were left out or replaced
