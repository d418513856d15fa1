"""Students that write texts, exported: encoder and decoder as ONNX, the same texts by onnxruntime alone."""

import copy
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

from limbeck.compress.onnx_model import OnnxStudent
from limbeck.compress.onnx_writer import Search, decoder_of
from limbeck.compress.tokenizer import ship
from limbeck.compress.writer_export import check_writer, export_writer
from limbeck.core.errors import ChecksFailed, ConfigError, NotSupported, StoreDamaged
from limbeck.models.student import Student
from limbeck.models.text.pairs import targets_of
from limbeck.models.text.seq2seq import Seq2SeqNetwork

WORDS = ["red", "blue", "old", "dog", "cat", "bird", "runs", "sits", "now"]
RNG = np.random.default_rng(0)
SOURCES = [" ".join(RNG.choice(WORDS, RNG.integers(1, 9))) for _ in range(150)]
NAME = "seq2seq(d_model=32, layers=1, heads=2, ffn=32, vocabulary=80, max_length=16, dropout=0.0)"
FORMS = ("pegasus", "bart")


def network_of(form):
    made = Student.of(NAME, (), {"main": 0}, kinds={"main": "generation"}, texts=lambda: SOURCES).build(0)
    if form == "pegasus":
        return made
    torch.manual_seed(0)
    config = transformers.BartConfig(
        vocab_size=len(made.encoder.tokenizer), d_model=32, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32,
        decoder_ffn_dim=32, encoder_attention_heads=2, decoder_attention_heads=2, max_position_embeddings=40,
        dropout=0.0, init_std=0.2, pad_token_id=0, bos_token_id=0, eos_token_id=made.encoder.tokenizer.eos_token_id,
        decoder_start_token_id=0, forced_eos_token_id=made.encoder.tokenizer.eos_token_id,
    )  # fmt: skip
    return Seq2SeqNetwork(transformers.BartForConditionalGeneration(config), made.encoder, "main")


def taught(form):
    """A network that has learned to write the words backwards, so that its texts differ in words and length."""
    network = network_of(form).train()
    targets = [" ".join(reversed(text.split())) for text in SOURCES]
    rows = torch.from_numpy(network.encoder.pairs(SOURCES, targets))
    ids, mask = targets_of(rows)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2 if form == "pegasus" else 3e-3)
    for _ in range(60):
        torch.nn.functional.cross_entropy(network(rows)[mask], ids[mask]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return network.eval()


@pytest.fixture(scope="module", params=FORMS)
def shipped(request, tmp_path_factory):
    network = taught(request.param)
    path = tmp_path_factory.mktemp(request.param) / "student.onnx"
    export_writer(network, path, columns=["de"], head="main", names=["en"], max_length=128, tokens=64)
    return network, path


def test_the_exported_student_writes_the_same_texts(shipped):
    network, path = shipped
    frame = pd.DataFrame({"de": [*SOURCES, "", None, "unknown wörter"]})
    found = check_writer(path, network, frame, tolerance=1e-4)
    facts = found["heads"]["main"]
    assert found["held"] and facts["flips"] == 0 and facts["decisions"] == 153 and 0 < facts["difference"] < 1e-4
    said = OnnxStudent(path).predict(SOURCES)
    assert len(set(said)) > 10 and sum(a == b for a, b in zip(said, network.write(SOURCES), strict=True)) >= 149
    assert OnnxStudent(path).answers(frame[:3]) == {"main": said[:3]} and OnnxStudent(path).predict([]) == []


def test_it_runs_without_torch_and_transformers(shipped):
    _, path = shipped
    code = (
        "import sys; from limbeck.compress.onnx_model import OnnxStudent; "
        f"print(OnnxStudent({str(path)!r}).predict(['red dog'])); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("['"), done.stderr


def test_files_go_together(shipped, tmp_path):
    _, path = shipped
    moved = ship(path, tmp_path / "small.onnx")
    assert decoder_of(moved).is_file() and OnnxStudent(moved).predict(["red dog"]) == OnnxStudent(path).predict(
        ["red dog"]
    )
    decoder_of(moved).write_bytes(decoder_of(path).read_bytes() + b"\0")
    with pytest.raises(StoreDamaged, match=r"small.decoder.onnx to be the decoder that small.onnx was exported with"):
        OnnxStudent(moved)
    decoder_of(moved).unlink()
    with pytest.raises(ConfigError, match=r"expected the decoder of small.onnx at .*small.decoder.onnx, there is none"):
        OnnxStudent(moved)


def test_probabilities_and_embeddings_are_refused(shipped):
    with pytest.raises(ConfigError, match="a head with classes or labels, 'main' is a generation"):
        OnnxStudent(shipped[1]).predict_proba(["red"])
    with pytest.raises(ConfigError, match="expected a student that embeds texts, this one answers generation"):
        OnnxStudent(shipped[1]).embed(["red"])


def test_another_network_does_not_hold(shipped):
    network, path = shipped
    other = copy.deepcopy(network)
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(1.2)
    with pytest.raises(ChecksFailed, match=r"LB401: expected the exported student to write what the student writes"):
        check_writer(path, other, SOURCES, tolerance=1e-4)


def test_settings_beyond_greedy_search_are_refused(tmp_path):
    network = network_of("bart").eval()
    network.model.generation_config.no_repeat_ngram_size = 3
    with pytest.raises(NotSupported, match=r"plain greedy search, its generation_config has no_repeat_ngram_size=3"):
        export_writer(network, tmp_path / "s.onnx", columns=["a"], head="main", names=["b"], max_length=9, tokens=99)
    assert not list(tmp_path.iterdir())


def test_forced_and_suppressed_tokens_are_kept_to():
    search = Search(
        start=0, end=(1,), padding=0, suppressed=(7,), first=5, last=1, max_length=4, factor=2, more=16, tokens=99
    )
    logits = np.zeros((2, 9), np.float32)
    logits[:, 7], logits[0, 3], logits[1, 1] = 9.0, 2.0, 2.0
    assert search.greedy(lambda ids: logits.copy(), 2, 10) == [[5, 3, 3, 1], [5, 1, 0, 0]]
    assert [part.tolist() for part in search.parts(np.array([40, 50, 3, 60]))] == [[3], [1], [0, 2]]
