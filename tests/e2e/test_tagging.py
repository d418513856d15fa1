"""Tags end to end: a tagger teaches one with another tokenizer, and transformers loads the student."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from e2e_tagging import TAGS, make_model, pieces_tokenizer, sentences, words_tokenizer

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.evaluate import predictions
from limbeck.models.saved import load
from limbeck.transfer.dataset import TransferSet

TEACH = lb.TrainSpec(steps=140, batch_size=32, learning_rate=4e-3)
TRAIN = lb.TrainSpec(steps=40, batch_size=32, learning_rate=5e-3)


def data(**settings):
    train, test = sentences(400, 0), sentences(150, 1)
    return lb.Data(**{"train": train[["tokens", "ner_tags"]], "test": test[["tokens", "ner_tags"]]} | settings)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return (
        make_model(folder / "pieces", pieces_tokenizer()),
        make_model(folder / "words", words_tokenizer(), layers=1, width=16),
    )


@pytest.fixture(scope="module")
def run(folders, tmp_path_factory):
    return lb.distill(
        *folders, data(unlabeled=sentences(100, 2)[["tokens"]]), teacher_train=TEACH, train=TRAIN, seeds=3, onnx=False,
        out=tmp_path_factory.mktemp("run") / "r",
    )  # fmt: skip


def test_the_teacher_learns_and_the_run_ends_in_a_verdict(run):
    card = run.scorecard["tasks"]["main"]
    assert card["kind"] == "tagging" and card["metric"]["name"] == "entity_f1"
    assert card["arms"]["teacher"]["metrics"]["entity_f1"]["value"] > 0.9
    assert card["trivial"]["metrics"]["entity_f1"] == 0
    assert 0.3 < card["arms"]["student"]["metrics"]["entity_f1"]["value"] < 1
    assert run.verdict in ("helped", "no reliable difference", "hurt")
    assert set(card["arms"]) == {"teacher", "student", "control", "soft", "pseudo"}
    assert card["counts"]["sentences"] == 150
    run.report(run.folder / "report.html")
    assert "entity" in (run.folder / "report.html").read_text()


def test_predictions_are_lists_of_lists_and_give_the_score_of_seqeval(run):
    from seqeval.metrics import f1_score

    path = run.folder / "predictions" / "test-student-1.parquet"
    kind = pq.read_schema(path).field("main").type
    assert pa.types.is_large_list(kind) and kind.value_type == pa.large_list(pa.float32())
    truth = sentences(150, 1)
    said = predictions.read(path)
    (cells,) = said.answers["student"]["main"]
    tags = sorted(TAGS, key=lambda tag: (tag != "O", tag[2:], tag))
    decided = [[tags[number] for number in cell.argmax(1)] for cell in cells]
    by_key = dict(zip([tuple(key) for key in said.keys.tolist()], decided, strict=True))
    keys = lb.Data(train=truth[["tokens", "ner_tags"]], validation=truth[["tokens", "ner_tags"]]).train.keys
    found = f1_score(truth["ner_tags"].tolist(), [by_key[tuple(key)] for key in keys.tolist()])
    card = run.scorecard["tasks"]["main"]["arms"]["student"]["metrics"]["entity_f1"]
    assert card["per_seed"][1] == pytest.approx(found)


def test_judge_says_of_the_predictions_what_the_run_said(run):
    rows = data(unlabeled=sentences(100, 2)[["tokens"]]).test
    counts = [len(words) for words in rows.inputs["tokens"]]
    tags = run.scorecard["tasks"]["main"]["names"]
    truth = [
        [tags[number] for number in each[:count]] for each, count in zip(rows.targets["main"], counts, strict=True)
    ]

    def said(arm, seeds):
        files = [run.folder / "predictions" / f"test-{arm}-{seed}.parquet" for seed in seeds]
        kept = predictions.read(files)
        assert kept.keys.tolist() == rows.keys.tolist()
        return kept.answers[arm]["main"]

    found = lb.judge(
        truth, student=said("student", range(3)), control=said("control", range(3)), teacher=said("teacher", [0]),
        classes=tags,
    )  # fmt: skip
    mine, theirs = found["tasks"]["main"], run.scorecard["tasks"]["main"]
    assert found.verdict == run.verdict
    for part in ("kind", "names", "metric", "gain", "gain_per_seed", "retention", "classes"):
        assert mine[part] == theirs[part], part
    for arm in ("teacher", "student", "control"):
        assert mine["arms"][arm] == theirs["arms"][arm]
        assert mine["fidelity"]["arms"].get(arm) == theirs["fidelity"]["arms"].get(arm)


def test_stored_answers_are_ragged(run):
    answers = TransferSet(run.folder / "transfer")
    assert answers.lengths().sum() == len(answers.outputs())
    assert set(answers.lengths().tolist()) <= set(range(4, 12))


def test_pipeline_of_transformers_decides_as_the_student_does(run):
    folder = run.folder / "student" / "seed-0"
    rows = sentences(40, 3)["tokens"].tolist()
    pipe = transformers.pipeline("token-classification", str(folder), ignore_labels=[])
    theirs = [[one["entity"] for one in pipe(" ".join(words))] for words in rows]  # a token a word
    network = load(folder)
    encoded = torch.from_numpy(network.encoder.encode(pd.DataFrame({"tokens": [tuple(words) for words in rows]})))
    with torch.no_grad():
        ids, mask = network(encoded).argmax(-1), network.masks(encoded)["main"]
    names = network.model.config.id2label
    assert theirs == [[names[int(i)] for i in row[kept]] for row, kept in zip(ids, mask, strict=True)]
    assert len({tag for row in theirs for tag in row}) >= 3


def test_what_was_answered_teaches_another_student(run, folders, tmp_path):
    again = lb.distill(
        TransferSet(run.folder / "transfer"), folders[1], data(), train=lb.TrainSpec(steps=4, batch_size=16), seeds=1,
        onnx=False, out=tmp_path / "again",
    )  # fmt: skip
    one, two = (r.scorecard["tasks"]["main"]["arms"]["teacher"]["metrics"] for r in (run, again))
    assert one["entity_f1"]["value"] == pytest.approx(two["entity_f1"]["value"])


def test_a_killed_run_ends_in_the_same_bits(folders, tmp_path, monkeypatch):
    from limbeck.stages import train

    settings = {
        "teacher_train": lb.TrainSpec(steps=25, batch_size=16, learning_rate=4e-3), "seeds": 1, "onnx": False,
        "train": lb.TrainSpec(steps=6, batch_size=16), "ignore": ("LB201",),
    }  # fmt: skip
    small = {"train": sentences(80, 0)[["tokens", "ner_tags"]], "test": sentences(30, 1)[["tokens", "ner_tags"]]}
    lb.distill(*folders, data(**small), out=tmp_path / "sound", **settings)
    real, calls = train.train_arm, []

    def killed(training, arm, seed, bar):
        calls.append(arm.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(training, arm, seed, bar)

    monkeypatch.setattr(train, "train_arm", killed)
    with pytest.raises(KeyboardInterrupt):
        lb.distill(*folders, data(**small), out=tmp_path / "killed", **settings)
    monkeypatch.undo()
    lb.distill(*folders, data(**small), out=tmp_path / "killed", **settings)
    for name in ("student/seed-0/model.safetensors", "control/seed-0/model.safetensors"):
        assert (tmp_path / "sound" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
    for name in ("test-student-0.parquet", "test-control-0.parquet"):
        one, two = (predictions.read(tmp_path / side / "predictions" / name) for side in ("sound", "killed"))
        arm = name.split("-")[1]
        pairs = zip(one.answers[arm]["main"][0], two.answers[arm]["main"][0], strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)


# ------------------------------------------------------------------------------------------ intent and slots


@pytest.fixture(scope="module")
def joint(folders, tmp_path_factory):
    train = sentences(400, 0)
    only = np.arange(len(train)) % 3
    train.loc[only == 1, "intent"] = None  # a third of the rows knows its slots alone, a third its intent alone
    train["ner_tags"] = [None if one == 2 else tags for one, tags in zip(only, train["ner_tags"], strict=True)]
    columns = lb.Columns(inputs=("tokens",), target={"intent": "intent", "slots": "ner_tags"})
    both = lb.Data(train=train, test=sentences(150, 1), columns=columns)
    assert {head: task.kind for head, task in both.tasks.items()} == {"intent": "classification", "slots": "tagging"}
    return lb.distill(
        *folders, both, teacher_train=TEACH, train=TRAIN, seeds=3, onnx=False, out=tmp_path_factory.mktemp("j") / "r"
    )


def test_two_tasks_of_two_kinds_on_one_network(joint):
    tasks = joint.scorecard["tasks"]
    assert tasks["intent"]["metric"]["name"] == "accuracy" and tasks["slots"]["metric"]["name"] == "entity_f1"
    for head, metric in (("intent", "accuracy"), ("slots", "entity_f1")):
        assert tasks[head]["arms"]["teacher"]["metrics"][metric]["value"] > 0.85
        assert tasks[head]["verdict"] in ("helped", "no reliable difference", "hurt")
    assert tasks["intent"]["counts"]["labelled_rows"] == 150
    assert tasks["slots"]["counts"]["sentences"] == 150
    resolved = json.dumps(joint.scorecard["provenance"]["objective"])
    for term in ("CE(on='intent')", "KD(on='intent'", "CE(on='slots')", "KD(on='slots'"):
        assert term.replace("'", "") in resolved.replace("'", "").replace('\\"', ""), resolved


def test_the_network_of_two_tasks_comes_back(joint):
    network = load(joint.folder / "student" / "seed-0")
    encoded = torch.from_numpy(network.encoder.encode(pd.DataFrame({"tokens": [("mr", "may", "likes", "rome")]})))
    with torch.no_grad():
        said = network(encoded)
    assert said["intent"].shape == (1, 2) and network.masks(encoded)["slots"].sum() == 4


# ------------------------------------------------------------------------------------------ refusals


def test_models_that_take_whole_texts_are_refused(folders, tmp_path):
    with pytest.raises(ConfigError, match="expected the teacher to answer for every word of 'main', got function, wh"):
        lb.distill(lambda rows: np.zeros((len(rows), 5)), folders[1], data(), onnx=False, out=tmp_path / "a")
    with pytest.raises(ConfigError, match=r"expected the student mlp.* to answer for every word of 'main', got Net"):
        lb.distill(folders[0], "mlp(hidden=[8])", data(), onnx=False, out=tmp_path / "b")
    with pytest.raises(ConfigError, match=r"expected a classification task, 'main' is regression|multilabel") as caught:
        lb.distill(folders[0], folders[1], data(), objective="0.1 * BCE + KD", onnx=False, out=tmp_path / "c")
    assert "0.1 * CE + 0.9 * KD(temperature=1)" in str(caught.value)
