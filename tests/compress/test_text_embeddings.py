"""Sentence networks as ONNX: one text in, its embedding out; pairs by their cosine, as the torch student gives them."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules

from limbeck.compress.export import export_onnx
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.compress.parity import check_parity
from limbeck.compress.quantise import quantise
from limbeck.core.errors import ChecksFailed, ConfigError
from limbeck.data.preprocess import Preprocess
from limbeck.data.tasks import Retrieval, Similarity
from limbeck.models.text.sentences import SentenceNetwork, embeddings

from .tiny_text import LENGTH, WORDS, pairs, texts, tokenizer

PAIR = Preprocess({"kind": "text", "columns": ["premise", "hypothesis"]})
TASKS = {"main": Similarity(0.0, 5.0)}


def static(seed=0, normalise=True):
    torch.manual_seed(seed)
    vectors = modules.StaticEmbedding(tokenizer(), embedding_weights=torch.randn(len(WORDS), 8))
    vectors.tokenizer.enable_truncation(LENGTH)
    parts = [vectors, modules.Normalize()] if normalise else [vectors]
    return SentenceNetwork.of(SentenceTransformer(modules=parts, device="cpu")).eval()


def bert(folder, kind="mean", prompt=""):
    """A tiny BERT with pooling, a projection and normalisation."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=160, initializer_range=0.4, pad_token_id=0,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    reader = modules.Transformer(str(folder), max_seq_length=LENGTH)
    parts = [reader, modules.Pooling(16, pooling_mode=kind), modules.Dense(16, 6), modules.Normalize()]
    more = {"prompts": {"p": prompt}, "default_prompt_name": "p"} if prompt else {}
    return SentenceNetwork.of(SentenceTransformer(modules=parts, device="cpu", **more)).eval()


@pytest.fixture(scope="module", params=["static", "plain static", "mean", "cls", "prompt"])
def shipped(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("embeds")
    if "static" in request.param:
        student = static(normalise=request.param == "static")
    else:
        kind = "cls" if request.param == "cls" else "mean"
        student = bert(folder / "bert", kind, "w7 w8: " if request.param == "prompt" else "")
    path = export_onnx(student, PAIR, TASKS, folder / "student.onnx")
    return SimpleNamespace(name=request.param, path=path, student=student)


def test_embeddings_and_cosines_are_those_of_torch(shipped):
    rows = pairs(1000)
    rows.loc[::50, "hypothesis"] = ""  # the first text alone
    found = check_parity(shipped.path, shipped.student, PAIR, TASKS, rows)
    figures = found["heads"]["main"]
    assert found["held"] and found["rows"] == 1000 and figures["difference"] < 1e-5 and figures["cosines"] < 1e-5
    exported, some = OnnxStudent(shipped.path), texts(200, 5)
    said = exported.embed(some)
    np.testing.assert_allclose(said, embeddings(shipped.student, some), atol=1e-5)
    assert said.shape == (200, shipped.student.width) and len(np.unique(said.round(4), axis=0)) > 150


def test_sentence_transformers_gives_the_same_embeddings(shipped):
    some = texts(50, 6)
    theirs = shipped.student.model.encode(some)
    np.testing.assert_allclose(OnnxStudent(shipped.path).embed(some), theirs, atol=1e-5)


def test_pairs_are_answered_by_a_score_that_is_their_cosine_in_the_units_of_the_task(shipped):
    exported, rows = OnnxStudent(shipped.path), pairs(60, 1)
    said = exported.predict(rows)
    task = TASKS["main"]
    np.testing.assert_allclose(said, task.predict(exported.answers(rows)["main"]))
    assert exported.heads["main"]["low"] == task.low and exported.heads["main"]["high"] == task.high
    said = (said - task.low) / (task.high - task.low)
    u, v = exported.embed(rows["premise"].tolist()), exported.embed(rows["hypothesis"].tolist())
    lengths = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    sound = (rows["premise"] != "") & (rows["hypothesis"] != "")
    np.testing.assert_allclose(said[sound], ((u * v).sum(1) / np.maximum(lengths, 1e-9))[sound], atol=1e-5)
    assert said.std() > 0.05
    listed = list(rows.itertuples(index=False, name=None))
    assert np.array_equal(exported.predict(listed), exported.predict(rows))
    assert exported.answers(rows)["main"].shape == (60, 2 * shipped.student.width)
    assert len(exported.predict(rows[:0])) == 0 and exported.embed([]).shape == (0, shipped.student.width)


def test_the_graph_takes_one_text_and_padding_changes_nothing(shipped):
    exported = OnnxStudent(shipped.path, threads=1)
    assert [(i.name, i.shape) for i in exported.session.get_inputs()] == [
        (name, ["batch", "length"]) for name in ("input_ids", "attention_mask")
    ]
    (out,) = exported.session.get_outputs()
    assert (out.name, out.shape) == ("embedding", ["batch", shipped.student.width])
    rows = [("w1 w2 w3", "w4"), ("w5", "w6 w7")]
    feeds = exported.feeds(rows)
    assert feeds["input_ids"].shape[0] == 4, "both texts of each pair"
    said = exported.session.run(["embedding"], feeds)[0]
    np.testing.assert_allclose(said, exported.embed(["w1 w2 w3", "w5", "w4", "w6 w7"]), atol=1e-5)
    for left, right in ((2, 0), (0, 3), (5, 1)):
        wide = {name: np.pad(values, ((0, 0), (left, right))) for name, values in feeds.items()}
        np.testing.assert_allclose(exported.session.run(["embedding"], wide)[0], said, atol=2e-5)


def test_equal_texts_are_asked_for_once(shipped):
    exported, asked = OnnxStudent(shipped.path), []
    real = exported.session

    def run(outputs, feeds):
        asked.append(len(feeds["input_ids"]))
        return real.run(outputs, feeds)

    exported.session = SimpleNamespace(run=run)
    said = exported.embed(["w1", "w2", "w1", "w1"])
    assert sum(asked) == 2 and np.array_equal(said[0], said[2]) and not np.array_equal(said[0], said[1])


def test_what_cannot_be_is_said(shipped):
    exported = OnnxStudent(shipped.path)
    with pytest.raises(ConfigError, match="expected a head with classes or labels, 'main' is a similarity"):
        exported.predict_proba(pairs(3))
    with pytest.raises(ConfigError, match=r"expected pairs of texts \(premise, hypothesis\), got 'alone'"):
        exported.predict(["alone"])
    with pytest.raises(ConfigError, match="expected texts in 'text', got int '3' in row 0"):
        exported.embed([3])
    with pytest.raises(ConfigError, match="expected column 'hypothesis' in the inputs, not found"):
        exported.predict(pd.DataFrame({"premise": ["w1"]}))


def test_other_weights_are_caught(tmp_path):
    path = export_onnx(static(), PAIR, TASKS, tmp_path / "student.onnx")
    with pytest.raises(ChecksFailed, match="LB401"):
        check_parity(path, static(1), PAIR, TASKS, pairs(20))


def test_int8_embeddings_stay_close(shipped, tmp_path):
    target = shipped.path.with_name("int8.onnx")
    assert quantise(shipped.path, target) > 0
    exported, quick, some = OnnxStudent(shipped.path), OnnxStudent(target), texts(300, 7)
    u, v = exported.embed(some), quick.embed(some)
    there = np.linalg.norm(u, axis=1) > 0
    cosines = (u * v).sum(1)[there] / (np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1))[there]
    assert cosines.mean() > 0.98 and not np.array_equal(u, v)


def test_retrieval_is_exported_alike(tmp_path):
    path = export_onnx(static(), PAIR, {"main": Retrieval()}, tmp_path / "student.onnx")
    assert check_parity(path, static(), PAIR, {"main": Retrieval()}, pairs(50))["held"]
    assert OnnxStudent(path).heads["main"]["kind"] == "retrieval"


def test_running_needs_neither_torch_nor_transformers(shipped):
    some = texts(20)
    code = (
        "import sys, json; sys.modules['torch'] = sys.modules['transformers'] = sys.modules['sentence_transformers'] = "
        "None\nfrom limbeck.compress.onnx_model import OnnxStudent\n"
        f"print(json.dumps(OnnxStudent({str(shipped.path)!r}).embed({some!r}).tolist()))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    np.testing.assert_allclose(json.loads(out), OnnxStudent(shipped.path).embed(some), atol=1e-6)


def test_the_runtime_example_embeds_both_texts(shipped, tmp_path):
    rows = pairs(12, 3)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    example = Path(__file__).parents[2] / "examples" / "onnx_runtime.py"
    blocked = "import sys; sys.modules['torch'] = sys.modules['transformers'] = sys.modules['limbeck'] = None; "
    arguments = [str(shipped.path), str(tmp_path / "rows.csv")]
    code = f"{blocked}sys.argv[1:] = {arguments!r}; exec(open({str(example)!r}).read())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    said = [json.loads(line.removeprefix("main ")) for line in out.splitlines()]
    expected = OnnxStudent(shipped.path).embed([*rows["premise"], *rows["hypothesis"]])
    np.testing.assert_allclose(said, expected, atol=1e-5)
