"""Taggers as ONNX: the file and the tokenizer beside it tag raw rows of words as torch does."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from limbeck.compress.export import export_onnx
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.compress.parity import check_parity
from limbeck.core.errors import ChecksFailed, ConfigError
from limbeck.data.preprocess import Preprocess
from limbeck.data.tasks import Classification, Tagging
from limbeck.models.text.tokens import TextEncoder

from .tiny_text import LENGTH, WORDS
from .tiny_words import SILENT, sentences, table, tagger

TAGS = ("O", "B-X", "I-X", "B-Y")
JOINT = {"intent": Classification(("ask", "tell")), "slots": Tagging(TAGS)}
COLUMN = Preprocess({"kind": "text", "columns": ["tokens"]})


@pytest.fixture(scope="module", params=["words", "pieces", "joint"])
def shipped(request, tmp_path_factory):
    tasks = JOINT if request.param == "joint" else {"main": Tagging(TAGS)}
    head = list(tasks)[-1]
    student = tagger("pieces" if request.param == "joint" else request.param, {h: t.size for h, t in tasks.items()},
                     (head,))  # fmt: skip
    path = export_onnx(student, COLUMN, tasks, tmp_path_factory.mktemp("tags") / "student.onnx")
    return SimpleNamespace(path=path, student=student, tasks=tasks, head=head)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    student = tagger("pieces", {"main": 4}, ("main",))
    path = export_onnx(student, COLUMN, {"main": Tagging(TAGS)}, tmp_path_factory.mktemp("pieces") / "student.onnx")
    return SimpleNamespace(path=path, student=student)


def said_by_torch(student, rows, head):
    """Tags of each row, word by word: the network itself, asked about one row at a time."""
    found = []
    for words in rows:
        encoded = torch.from_numpy(student.encoder.encode(table([words])))
        with torch.no_grad():
            said = student(encoded)
        said = said[head] if isinstance(said, dict) else said
        there = student.masks(encoded)[head][0]
        tags = ["O"] * len(words)
        for place in torch.nonzero(there)[:, 0].tolist():
            tags[place] = TAGS[int(said[0, place].argmax())]
        found.append(tags)
    return found


def test_a_thousand_rows_are_tagged_as_torch_does(shipped):
    rows = sentences(1000)
    found = check_parity(shipped.path, shipped.student, COLUMN, shipped.tasks, table(rows))
    figures = found["heads"][shipped.head]
    assert found["held"] and figures["flips"] == 0 and figures["difference"] < 1e-5
    assert figures["decisions"] == sum(map(len, rows))
    few = rows[:150]
    said = OnnxStudent(shipped.path).predict(few, shipped.head)
    assert said == said_by_torch(shipped.student, few, shipped.head)
    assert {tag for row in said for tag in row} == set(TAGS)


def test_a_word_without_a_token_is_outside_and_the_words_behind_it_keep_their_tags(pieces):
    exported, row = OnnxStudent(pieces.path), ["w1", "w22", "w3"]
    gap = ["w1", SILENT, "w22", SILENT, SILENT, "w3"]
    (plain,), (said,) = exported.predict([row]), exported.predict([gap])
    assert set(plain) != {"O"}
    assert said == [plain[0], "O", plain[1], "O", "O", plain[2]]
    assert check_parity(pieces.path, pieces.student, COLUMN, {"main": Tagging(TAGS)}, [gap])["held"]


def test_a_row_that_was_cut_has_a_tag_for_every_word(shipped):
    exported, row = OnnxStudent(shipped.path), [WORDS[4 + number % 60] for number in range(100)]
    (said,) = exported.predict([row], shipped.head)
    assert len(said) == 100 and set(said[LENGTH:]) == {"O"} and set(said[:8]) != {"O"}
    (logits,), (p,) = exported.answers([row])[shipped.head], exported.predict_proba([row], shipped.head)
    assert logits.shape == p.shape == (100, 4)
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
    assert [TAGS[number] for number in logits.argmax(1)] == said == [TAGS[number] for number in p.argmax(1)]


def test_inputs_and_outputs_are_described(shipped):
    session, heads = OnnxStudent(shipped.path).session, OnnxStudent(shipped.path).heads
    names = ["input_ids", "attention_mask", "token_type_ids", "word_starts"]
    assert [(i.name, i.shape) for i in session.get_inputs()] == [(name, ["batch", "length"]) for name in names]
    out = {o.name: (o.type, o.shape) for o in session.get_outputs()}
    outputs = heads[shipped.head]["outputs"]
    assert out[outputs["logits"]] == ("tensor(float)", ["batch", "length", 4])
    assert out[outputs["label"]] == ("tensor(int64)", ["batch", "length"])
    assert out[outputs["mask"]] == ("tensor(bool)", ["batch", "length"])


@pytest.mark.parametrize(("left", "right"), [(3, 0), (0, 5), (17, 2)])
def test_padding_on_any_side_changes_nothing(shipped, left, right):
    exported = OnnxStudent(shipped.path, threads=1)
    feeds = exported.feeds([tuple(words) for words in sentences(9, 3)])
    wide = {name: np.pad(values, ((0, 0), (left, right))) for name, values in feeds.items()}
    outputs = exported.heads[shipped.head]["outputs"]
    names = [outputs["logits"], outputs["mask"]]
    logits, mask = exported.session.run(names, feeds)
    again, there = exported.session.run(names, wide)
    length = mask.shape[1]
    assert np.array_equal(there[:, :length], mask) and not there[:, length:].any()
    np.testing.assert_allclose(again[:, :length][mask], logits[mask], atol=2e-5)


def test_the_tokens_and_starts_are_those_of_training(shipped):
    rows = sentences(300, 4)
    exported = OnnxStudent(shipped.path)
    feeds = exported.feeds(exported.texts.rows(rows))
    encoded = shipped.student.encoder.encode(table(rows))
    there = feeds["attention_mask"] > 0
    assert np.array_equal(np.where(there, feeds["input_ids"], -1), np.where(encoded >= 0, encoded & 0xFFFFFF, -1))
    assert np.array_equal(feeds["word_starts"], np.where(encoded >= 0, encoded >> 25, 0))
    silent = shipped.student.encoder.tokenizer.tokenize(SILENT) == []
    assert (feeds["word_starts"].max() > 1) == silent


def test_rows_come_in_many_forms(pieces):
    exported, rows = OnnxStudent(pieces.path), [["w1", "w2", ",", "w3"], ["w4"]]
    expected = exported.predict(rows)
    texts = ["w1 w2, w3", "w4"]  # split into words and signs
    for given in (
        [tuple(row) for row in rows], np.array([np.array(row) for row in rows], dtype=object), table(rows), texts,
        pd.Series(texts), [{"tokens": row} for row in rows], {"tokens": ["w1 w2 , w3", "w4"]},
        pd.DataFrame({"tokens": [json.dumps(row) for row in rows], "more": 1}),
    ):  # fmt: skip
        assert exported.predict(given) == expected
    assert [len(tags) for tags in exported.predict([None, [], ["w1"]])] == [0, 0, 1]
    assert exported.predict([]) == [] and exported.answers([])["main"] == []


def test_what_is_no_row_of_words_is_said(pieces):
    exported = OnnxStudent(pieces.path)
    with pytest.raises(ConfigError, match="expected rows of texts, got one text"):
        exported.predict("w1 w2")
    with pytest.raises(ConfigError, match="expected a list of words or a text in 'tokens', got int '3' in row 1"):
        exported.predict([["w1"], 3])
    with pytest.raises(ConfigError, match=r"expected words in 'tokens' of the inputs, got 7 \(int\) in row 0"):
        exported.predict([["w1", 7]])
    with pytest.raises(ConfigError, match="expected a student that embeds texts, this one answers tagging"):
        exported.embed(["w1"])


def test_another_length_is_caught(pieces):
    student = tagger("pieces", {"main": 4}, ("main",))
    student.encoder = TextEncoder(student.encoder.tokenizer, 6)
    with pytest.raises(ChecksFailed, match=r"LB401[\s\S]*decisions flipped"):
        check_parity(pieces.path, student, COLUMN, {"main": Tagging(TAGS)}, table(sentences(100)))


def test_running_needs_neither_torch_nor_transformers(pieces):
    rows = sentences(40)
    code = (
        "import sys, json; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from limbeck.compress.onnx_model import OnnxStudent\n"
        f"print(json.dumps(OnnxStudent({str(pieces.path)!r}).predict({rows!r})))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == OnnxStudent(pieces.path).predict(rows)


def test_the_runtime_example_says_what_runs_a_tagger(pieces, tmp_path):
    pd.DataFrame({"tokens": ["w1 w2"]}).to_csv(tmp_path / "rows.csv", index=False)
    example = Path(__file__).parents[2] / "examples" / "onnx_runtime.py"
    done = subprocess.run(
        [sys.executable, str(example), str(pieces.path), str(tmp_path / "rows.csv")], capture_output=True, text=True
    )
    assert done.returncode == 1 and "OnnxStudent runs it" in done.stderr
