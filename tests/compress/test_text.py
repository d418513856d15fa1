"""Students of text as ONNX: the file and the tokenizer beside it decide as torch does, on raw texts."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
import transformers

import limbeck.compress.export as exporting
from limbeck.compress.export import export_onnx
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.compress.parity import check_parity
from limbeck.compress.tokenizer import ship
from limbeck.core.errors import ChecksFailed, ConfigError, NotInstalled, NotSupported, StoreDamaged
from limbeck.data.preprocess import Preprocess
from limbeck.data.tasks import Classification, MultiLabel, Regression
from limbeck.models.predict import predict
from limbeck.models.text.tokens import TextEncoder

from .tiny_text import LENGTH, WORDS, Tied, network, pairs, texts, tokenizer

TWO = {"main": Classification(("bad", "good"))}
THREE = {"main": Classification(("a", "b", "c"))}
HEADS = {
    "mood": Classification(("sad", "glad", "none")),
    "topics": MultiLabel(("sun", "rain")),
    "stars": Regression(("stars",), (3.0,), (2.0,)),
}
ONE_COLUMN = Preprocess({"kind": "text", "columns": ["text"]})
PAIR = Preprocess({"kind": "text", "columns": ["premise", "hypothesis"]})
KINDS = ("bert", "distilbert", "roberta pair", "pair", "heads", "tied")


def made(name):
    if name == "tied":
        return Tied().eval(), THREE, ONE_COLUMN
    tasks = HEADS if name == "heads" else TWO
    kind = "bert" if name in ("pair", "heads") else name.removesuffix(" pair")
    return network(kind, {h: t.size for h, t in tasks.items()}), tasks, PAIR if name.endswith("pair") else ONE_COLUMN


@pytest.fixture(scope="module", params=KINDS)
def shipped(request, tmp_path_factory):
    student, tasks, preprocess = made(request.param)
    path = tmp_path_factory.mktemp("text") / "student.onnx"
    export_onnx(student, preprocess, tasks, path, metadata={"note": "für später"})
    return SimpleNamespace(
        name=request.param, path=path, student=student, tasks=tasks, preprocess=preprocess,
        rows=pairs if preprocess is PAIR else texts,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    path = tmp_path_factory.mktemp("bert") / "student.onnx"
    student = network("bert", {"main": 2})
    export_onnx(student, ONE_COLUMN, TWO, path)
    return SimpleNamespace(path=path, student=student)


def test_a_thousand_raw_texts_are_decided_as_torch_does(shipped):
    rows = shipped.rows(1200)
    found = check_parity(shipped.path, shipped.student, shipped.preprocess, shipped.tasks, rows)
    assert found["held"] and found["rows"] == 1200
    exported = OnnxStudent(shipped.path)
    outputs = predict(shipped.student, shipped.student.encoder.encode(rows), list(shipped.tasks))
    for head, task in shipped.tasks.items():
        assert found["heads"][head]["difference"] < 1e-5 and found["heads"][head]["flips"] == 0
        said = exported.predict(rows, head)
        expected = task.predict(outputs[head])
        if task.kind == "regression":
            np.testing.assert_allclose(said, expected, rtol=1e-4, atol=1e-4)
            continue
        assert said.tolist() == expected.tolist()
        assert len(np.unique(np.asarray(said).astype(str))) > 1  # an answer that never changes proves nothing


def test_inputs_are_those_that_the_network_takes(shipped):
    inputs = [(i.name, i.type, i.shape) for i in OnnxStudent(shipped.path).session.get_inputs()]
    segments = ["token_type_ids"] if shipped.name in ("bert", "pair", "heads") else []
    names = ["input_ids", "attention_mask", *segments]
    assert inputs == [(name, "tensor(int64)", ["batch", "length"]) for name in names]


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, 128), (64, 1), (64, 128), (5, 9)])
def test_any_batch_any_length_and_padding_on_any_side(shipped, batch, length):
    exported = OnnxStudent(shipped.path, threads=1)
    rng = np.random.default_rng(length)
    counts = rng.integers(1, length + 1, batch)
    counts[0] = length
    mask = (np.arange(length) < counts[:, None]).astype(np.int64)
    ids = rng.integers(4, len(WORDS), (batch, length)) * mask
    segments = (np.arange(length) >= counts[:, None] // 2) * mask
    rows = np.where(mask > 0, ids | segments << 24, -1).astype(np.int32)
    expected = predict(shipped.student, rows, list(shipped.tasks))
    for left, right in ((0, 0), (3, 0), (0, 5), (17, 2)):
        parts = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
        feeds = {i["name"]: np.pad(parts[i["name"]], ((0, 0), (left, right))) for i in exported.inputs}
        for head, task in shipped.tasks.items():
            raw = exported.heads[head]["outputs"]["value" if task.kind == "regression" else "logits"]
            said = exported.session.run([raw], feeds)[0]
            np.testing.assert_allclose(said, task.to_natural(expected[head]), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_any_number_of_texts(shipped, rows):
    few = shipped.rows(7)[:rows]
    for head, values in OnnxStudent(shipped.path).answers(few).items():
        assert values.shape == (rows, shipped.tasks[head].size)


def test_the_tokens_are_those_of_training(shipped):
    exported, rows = OnnxStudent(shipped.path), shipped.rows(300, 3)
    feeds = exported.feeds(rows)
    encoded = shipped.student.encoder.encode(rows)
    assert encoded.shape[1] == LENGTH  # some were cut
    ids = np.where(feeds["attention_mask"] > 0, feeds["input_ids"], -1)
    assert np.array_equal(ids, np.where(encoded >= 0, encoded & 0xFFFFFF, -1))
    if "token_type_ids" in feeds:
        assert np.array_equal(feeds["token_type_ids"], np.where(encoded >= 0, encoded >> 24, 0))
        assert feeds["token_type_ids"].any() == (shipped.name == "pair")


def test_transformers_reads_the_tokenizer_beside_the_file(shipped):
    theirs = transformers.AutoTokenizer.from_pretrained(shipped.path.parent / "tokenizer")
    assert theirs.model_max_length == LENGTH
    columns = [["w1 w2", "w3 " * 50]] * len(shipped.preprocess.spec["columns"])
    mine = shipped.student.encoder.tokenizer(*columns, truncation=True, max_length=LENGTH)
    assert theirs(*columns, truncation=True)["input_ids"] == mine["input_ids"]


def test_nothing_of_this_machine_leaves(shipped):
    files = [path for path in shipped.path.parent.rglob("*") if path.is_file()]
    assert {path.relative_to(shipped.path.parent).as_posix() for path in files} >= {
        "student.onnx", "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json",
    }  # fmt: skip
    for path in files:
        for word in (b".py", b"site-packages", b"/tmp", b"stack_trace"):
            assert word not in path.read_bytes(), path


def test_the_same_student_is_the_same_file(bert, tmp_path):
    again = export_onnx(bert.student, ONE_COLUMN, TWO, tmp_path / "student.onnx")
    assert again.read_bytes() == bert.path.read_bytes()


def test_running_needs_neither_torch_nor_transformers(bert):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from limbeck.compress.onnx_model import OnnxStudent\n"
        f"print(*OnnxStudent({str(bert.path)!r}).predict({texts(400)!r}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == OnnxStudent(bert.path).predict(texts(400)).tolist()
    assert set(out.split()) == {"bad", "good"}


def test_the_runtime_example_takes_texts(shipped, tmp_path):
    rows = shipped.rows(30)
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame({"text": rows})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    example = Path(__file__).parents[2] / "examples" / "onnx_runtime.py"
    blocked = "import sys; sys.modules['torch'] = sys.modules['transformers'] = sys.modules['limbeck'] = None; "
    arguments = [str(shipped.path), str(tmp_path / "rows.csv")]
    code = f"{blocked}sys.argv[1:] = {arguments!r}; exec(open({str(example)!r}).read())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    said = [line.split(" ", 1) for line in out.splitlines()]
    for head, task in shipped.tasks.items():
        lines = [text for name, text in said if name == head]
        if task.kind == "classification":
            assert lines == OnnxStudent(shipped.path).predict(rows, head).tolist()
        else:
            np.testing.assert_allclose(
                [json.loads(line) for line in lines],
                np.reshape(OnnxStudent(shipped.path).predict(rows, head), (30, -1)),
                rtol=1e-4,
            )


def test_texts_come_in_many_forms(bert, tmp_path):
    exported, rows = OnnxStudent(bert.path), texts(9)
    expected = exported.answers(rows)["main"]
    for given in (
        tuple(rows), np.array(rows, dtype=object), pd.Series(rows), pd.DataFrame({"more": 1, "text": rows}),
        {"text": rows}, [{"text": row} for row in rows],
    ):  # fmt: skip
        assert np.array_equal(exported.answers(given)["main"], expected)
    words = [row.split(" ") for row in rows]
    assert np.array_equal(exported.answers(pd.DataFrame({"text": words}))["main"], expected)
    assert np.array_equal(exported.answers(words)["main"], expected)
    blank = exported.answers(["", "w1"])["main"]
    assert np.array_equal(exported.answers([None, "w1"])["main"], blank)
    assert np.array_equal(exported.answers(pd.DataFrame({"text": [float("nan"), "w1"]}))["main"], blank)


def test_pairs_come_in_many_forms(tmp_path):
    path = export_onnx(network("bert", {"main": 2}), PAIR, TWO, tmp_path / "student.onnx")
    exported, frame = OnnxStudent(path), pairs(9)
    expected = exported.answers(frame)["main"]
    listed = list(frame.itertuples(index=False, name=None))
    for given in (listed, [list(row) for row in listed], frame.to_numpy(), frame[frame.columns[::-1]]):
        assert np.array_equal(exported.answers(given)["main"], expected)
    with pytest.raises(ConfigError, match=r"expected pairs of texts \(premise, hypothesis\), got 'alone'"):
        exported.predict(["alone", "too"])
    with pytest.raises(ConfigError, match="expected column 'hypothesis' in the inputs, not found"):
        exported.predict(frame.drop(columns="hypothesis"))


def test_what_is_no_text_is_said(bert):
    exported = OnnxStudent(bert.path)
    with pytest.raises(ConfigError, match=r"expected rows of texts, got one text\n\ngive a list of texts: \[text\]"):
        exported.predict("w1 w2")
    with pytest.raises(ConfigError, match="expected texts in 'text', got int '3' in row 1"):
        exported.predict(["w1", 3])
    with pytest.raises(ConfigError, match="expected column 'text' in the inputs, not found"):
        exported.predict(pd.DataFrame({"other": ["w1"]}))


def test_rows_of_like_length_go_together(bert):
    """Padding costs little: far fewer tokens than rows times the longest, and never more rows than asked for."""
    exported, rows = OnnxStudent(bert.path), texts(2000, longest=20)
    seen = []
    exported.texts.run(lambda feeds: seen.append(feeds["attention_mask"]) or [np.zeros(len(seen[-1]))], rows, 256)
    assert max(mask.shape[0] for mask in seen) <= 256
    assert sum(mask.sum() for mask in seen) >= 0.9 * sum(mask.size for mask in seen)
    assert sum(mask.size for mask in seen) < 0.75 * 2000 * 22


def test_a_file_without_its_tokenizer_or_with_another_one_is_refused(bert, tmp_path):
    alone = tmp_path / "student.onnx"
    alone.write_bytes(bert.path.read_bytes())
    with pytest.raises(ConfigError, match=r"expected the tokenizer of student.onnx at .*tokenizer.json, there is none"):
        OnnxStudent(alone)
    ship(bert.path, tmp_path / "b" / "small.onnx")
    assert OnnxStudent(tmp_path / "b" / "small.onnx").predict(texts(3)).tolist()
    core = tmp_path / "b" / "tokenizer" / "tokenizer.json"
    core.write_text(core.read_text().replace('"w1": 5', '"w1": 6').replace('"w2": 6', '"w2": 5'))
    with pytest.raises(StoreDamaged, match=r"to be the tokenizer that small.onnx was exported with, it is another"):
        OnnxStudent(tmp_path / "b" / "small.onnx")
    with pytest.raises(ConfigError, match=r"expected no other tokenizer beside .*, .* belongs to another student"):
        ship(bert.path, tmp_path / "b" / "second.onnx")
    assert not (tmp_path / "b" / "second.onnx").exists()


def test_without_the_package_tokenizers_the_line_that_installs_it_is_said(bert, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(NotInstalled, match=r"expected the package tokenizers[\s\S]*pip install 'limbeck\[text\]'"):
        OnnxStudent(bert.path)


def test_a_tokenizer_that_cannot_be_written_is_refused(tmp_path):
    class Slow:
        model_max_length, truncation_side = 24, "right"

    student = network("bert", {"main": 2})
    student.encoder = TextEncoder(Slow(), 24)
    with pytest.raises(NotSupported, match=r"expected a tokenizer that can be written as tokenizer.json, got Slow"):
        export_onnx(student, ONE_COLUMN, TWO, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_texts_are_cut_on_the_side_that_the_tokenizer_says(tmp_path):
    student = network("bert", {"main": 2})
    student.encoder.tokenizer.truncation_side = "left"
    path = export_onnx(student, ONE_COLUMN, TWO, tmp_path / "student.onnx")
    assert check_parity(path, student, ONE_COLUMN, TWO, texts(200))["held"]
    longest = " ".join(f"w{number}" for number in range(60))
    assert OnnxStudent(path).feeds([longest])["input_ids"][0, -2] == WORDS.index("w59")


def test_other_weights_and_another_length_are_caught(bert):
    for student in (network("bert", {"main": 2}, seed=1), network("bert", {"main": 2})):
        student.encoder = TextEncoder(tokenizer(), 6 if torch.equal(*map(_first, (student, bert.student))) else LENGTH)
        with pytest.raises(ChecksFailed, match="LB401"):
            check_parity(bert.path, student, ONE_COLUMN, TWO, texts(200))


def _first(student):
    return next(student.parameters())


def test_shared_weights_stay_shared(tmp_path):
    student = Tied(vocabulary=20_000, width=16).eval()
    path = export_onnx(student, ONE_COLUMN, THREE, tmp_path / "student.onnx")
    assert check_parity(path, student, ONE_COLUMN, THREE, texts(100))["held"]
    assert path.stat().st_size < 1.1 * 4 * 20_000 * 16  # once, not twice


def test_weights_in_half_precision_are_exported_as_float32(tmp_path):
    student = network("bert", {"main": 2}).bfloat16()
    path = export_onnx(student, ONE_COLUMN, TWO, tmp_path / "student.onnx")
    assert check_parity(path, student, ONE_COLUMN, TWO, texts(300))["held"]
    assert _first(student).dtype == torch.bfloat16
    kinds = {tensor.data_type for tensor in onnx.load(path).graph.initializer}
    assert onnx.TensorProto.BFLOAT16 not in kinds and onnx.TensorProto.FLOAT16 not in kinds


def test_a_network_too_large_for_one_file_is_refused_before_it_is_traced(bert, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "MAX_BYTES", 10_000)
    monkeypatch.setattr(exporting, "trace_tokens", None)
    with pytest.raises(NotSupported, match="expected a model below 2 GiB"):
        export_onnx(bert.student, ONE_COLUMN, TWO, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_steps_that_depend_on_values_are_refused(tmp_path):
    class Branches(Tied):
        def answers(self, rows):
            return super().answers(rows if rows.sum() > 0 else -rows)

    with pytest.raises(NotSupported, match="expected a student that torch can export to ONNX"):
        export_onnx(Branches().eval(), ONE_COLUMN, THREE, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_a_hostile_file_is_refused(bert, tmp_path):
    ship(bert.path, tmp_path / "student.onnx")
    model = onnx.load(tmp_path / "student.onnx")
    tensor = next(t for t in model.graph.initializer if t.name.startswith("net/"))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")
    (tmp_path / "student.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ConfigError, match="points at data outside of it"):
        OnnxStudent(tmp_path / "student.onnx")


def test_the_file_says_what_it_takes(bert):
    about = OnnxStudent(bert.path).session.get_modelmeta().custom_metadata_map
    said = json.loads(about["limbeck.text"])
    assert said["columns"] == ["text"] and said["max_length"] == LENGTH and about["limbeck.kind"] == "text"
    assert json.loads(about["limbeck.inputs"])[0] == {"name": "input_ids", "dtype": "int64", "shape": ["length"]}
