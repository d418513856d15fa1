"""The exported file takes raw rows and answers as the student does, or parity says by how much it does not."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from torch import nn

from limbeck.compress.export import export_onnx
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.compress.parity import check_parity
from limbeck.core.errors import ChecksFailed, ConfigError, NotSupported, ShapeMismatch, StoreDamaged
from limbeck.data.preprocess import Preprocess
from limbeck.data.tasks import Classification
from limbeck.models.predict import predict

from .conftest import rows_of, table

THREE = {"main": Classification(("cat", "dog", "owl"))}


def test_parity_holds_on_raw_rows(shipped):
    found = check_parity(shipped.path, shipped.student, shipped.preprocess, shipped.tasks, shipped.inputs)
    assert found["held"] and found["rows"] == len(shipped.inputs) and found["batches"] == [1, 7]
    for head in shipped.tasks:
        assert found["heads"][head]["difference"] < 1e-4 and found["heads"][head]["flips"] == 0


def test_answers_are_in_the_users_terms(shipped):
    exported = OnnxStudent(shipped.path)
    outputs = predict(shipped.student, shipped.preprocess.encode(shipped.inputs), list(shipped.tasks))
    for head, task in shipped.tasks.items():
        np.testing.assert_allclose(
            np.asarray(exported.answers(shipped.inputs)[head]), task.to_natural(outputs[head]), rtol=1e-3, atol=1e-3
        )
        answers = exported.predict(shipped.inputs, head)
        if task.kind == "regression":
            np.testing.assert_allclose(answers, task.predict(outputs[head]), rtol=1e-3, atol=1e-3)
            continue
        assert answers.tolist() == task.predict(outputs[head]).tolist()
        p = exported.predict_proba(shipped.inputs, head)
        z = torch.tensor(outputs[head])
        expected = z.softmax(-1) if task.kind == "classification" else z.sigmoid()
        np.testing.assert_allclose(p, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_any_number_of_rows(shipped, rows):
    exported, few = OnnxStudent(shipped.path), shipped.inputs[:rows]
    for head, values in exported.answers(few).items():
        assert values.shape == (rows, shipped.tasks[head].size)
        np.testing.assert_allclose(values, exported.answers(shipped.inputs)[head][:rows], rtol=1e-4, atol=1e-4)


def test_the_file_says_what_it_is_and_nothing_of_this_machine(shipped):
    exported = OnnxStudent(shipped.path)
    assert exported.user == {"note": "für später"}
    assert {h: f["names"] for h, f in exported.heads.items()} == {h: list(t.names) for h, t in shipped.tasks.items()}
    content = shipped.path.read_bytes()
    for word in (b".py", b"site-packages", str(Path.cwd()).encode(), b"stack_trace"):
        assert word not in content
    assert [p.name for p in shipped.path.parent.iterdir()] == [shipped.path.name]


def test_a_table_s_columns_are_the_inputs(table_case):
    exported = OnnxStudent(table_case.path)
    names = {i["column"]: i["name"] for i in exported.inputs}
    assert names["label"] == "column.label" and names["logits"] == "column.logits" and names["age"] == "age"
    shuffled = table_case.inputs[table_case.inputs.columns[::-1]].assign(extra=1)
    assert exported.predict(shuffled).tolist() == exported.predict(table_case.inputs).tolist()
    with pytest.raises(ConfigError, match="expected column 'colour' in the inputs, not found"):
        exported.predict(table_case.inputs.drop(columns="colour"))


@pytest.fixture(scope="module")
def table_case(tmp_path_factory):
    frame = table()
    preprocess = Preprocess.fit(rows_of("table", frame))
    torch.manual_seed(0)
    student = nn.Sequential(nn.Linear(preprocess.shape[0], 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)).eval()
    path = tmp_path_factory.mktemp("table") / "student.onnx"
    export_onnx(student, preprocess, THREE, path)
    return type("Case", (), {"path": path, "student": student, "preprocess": preprocess, "inputs": frame})


def test_a_student_in_train_mode_is_refused(table_case, tmp_path):
    table_case.student[2].train()
    try:
        for action in (
            lambda: export_onnx(table_case.student, table_case.preprocess, THREE, tmp_path / "x.onnx"),
            lambda: check_parity(table_case.path, table_case.student, table_case.preprocess, THREE, table_case.inputs),
        ):
            with pytest.raises(ConfigError, match="expected a student in eval mode, got 1 parts in train mode: 2"):
                action()
    finally:
        table_case.student[2].eval()
    assert not list(tmp_path.iterdir())


class AlwaysDrops(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(nn.functional.dropout(x, 0.5, training=True))


def test_live_dropout_wrong_weights_and_wrong_preprocessing_are_caught(table_case):
    other = Preprocess.fit(rows_of("table", table_case.inputs.assign(age=table_case.inputs["age"] * 3 + 50)))
    moved = nn.Sequential(table_case.student, nn.Hardtanh(-0.1, 0.1)).eval()
    for student, preprocess in (
        (AlwaysDrops(table_case.student).eval(), table_case.preprocess),
        (table_case.student, other),
        (moved, table_case.preprocess),
    ):
        with pytest.raises(ChecksFailed, match=r"LB401: .* got for 'main' a difference of .* decisions flipped") as e:
            check_parity(table_case.path, student, preprocess, THREE, table_case.inputs)
        assert e.value.exit_code == 3 and "do not ship this file" in str(e.value)


def test_nan_is_never_parity(table_case):
    class Nan(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 3), float("nan"))

    with pytest.raises(ChecksFailed, match="a difference of inf"):
        check_parity(table_case.path, Nan().eval(), table_case.preprocess, THREE, table_case.inputs)


def test_exports_that_cannot_be(table_case, tmp_path):
    class Branches(nn.Module):
        def forward(self, x):
            return x[:, :3] if x.sum() > 0 else -x[:, :3]

    with pytest.raises(NotSupported, match="expected a student that torch can export to ONNX"):
        export_onnx(Branches().eval(), table_case.preprocess, THREE, tmp_path / "a.onnx")
    narrow = nn.Linear(table_case.preprocess.shape[0], 2).eval()
    with pytest.raises(ShapeMismatch, match="expected the student to give 3 numbers a row for 'main', it gives 2"):
        export_onnx(narrow, table_case.preprocess, THREE, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_the_same_student_is_the_same_file(table_case, tmp_path):
    again = export_onnx(table_case.student, table_case.preprocess, THREE, tmp_path / "again.onnx")
    assert again.read_bytes() == table_case.path.read_bytes()


def test_files_that_are_refused(table_case, tmp_path):
    with pytest.raises(ConfigError, match=r"expected an ONNX file at .*none.onnx, there is none"):
        OnnxStudent(tmp_path / "none.onnx")
    (tmp_path / "junk.onnx").write_bytes(b"junk" * 100)
    with pytest.raises(StoreDamaged, match="expected"):
        OnnxStudent(tmp_path / "junk.onnx")
    model = onnx.load(table_case.path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(ConfigError, match="expected a student that limbeck exported"):
        OnnxStudent(tmp_path / "foreign.onnx")
    model = onnx.load(table_case.path)
    tensor = next(t for t in model.graph.initializer if t.name.startswith("net/"))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")
    (tmp_path / "outside.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ConfigError, match=r"expected a model in one file, outside.onnx points at data outside of it"):
        OnnxStudent(tmp_path / "outside.onnx")


def test_wrong_shapes_are_said(table_case, tmp_path):
    inputs = np.random.default_rng(0).normal(size=(30, 5))
    preprocess = Preprocess.fit(rows_of("array", inputs))
    path = export_onnx(nn.Linear(preprocess.shape[0], 3).eval(), preprocess, THREE, tmp_path / "a.onnx")
    with pytest.raises(ShapeMismatch, match=r"expected rows of shape \[5\], got an array of shape \[30, 4\]"):
        OnnxStudent(path).predict(inputs[:, :4])
    with pytest.raises(ConfigError, match="expected one of the heads main, got 'other'"):
        OnnxStudent(path).predict(inputs, head="other")


def test_the_runtime_example_needs_neither_torch_nor_limbeck(table_case, tmp_path):
    table_case.inputs.to_csv(tmp_path / "rows.csv", index=False)
    example = Path(__file__).parents[2] / "examples" / "onnx_runtime.py"
    blocked = "import sys; sys.modules['torch'] = sys.modules['limbeck'] = None; "
    arguments = [str(table_case.path), str(tmp_path / "rows.csv")]
    code = f"{blocked}sys.argv[1:] = {arguments!r}; exec(open({str(example)!r}).read())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    expected = OnnxStudent(table_case.path).predict(pd.read_csv(tmp_path / "rows.csv"))
    assert out.split() == [word for name in expected for word in ("main", name)]
    assert json.loads(OnnxStudent(table_case.path).session.get_modelmeta().custom_metadata_map["limbeck.inputs"])


def test_running_imports_no_torch(table_case):
    code = (
        "import sys; from limbeck.compress.onnx_model import OnnxStudent; "
        f"OnnxStudent({str(table_case.path)!r}); print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
