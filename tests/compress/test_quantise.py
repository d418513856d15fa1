"""int8 files: smaller, answering nearly alike, on texts, tables and images; what cannot be quantised is not written."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from limbeck.compress.export import export_onnx
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.compress.quantise import WEIGHTS, quantise
from limbeck.data.preprocess import Preprocess
from limbeck.data.tasks import Classification
from limbeck.models.zoo import build

from .conftest import rows_of, table
from .tiny_text import Tied, network, texts

THREE = {"main": Classification(("cat", "dog", "owl"))}
TEXT = Preprocess({"kind": "text", "columns": ["text"]})


def _table():
    frame = table(200)
    preprocess = Preprocess.fit(rows_of("table", frame))
    return build("mlp(hidden=[256, 256])", tuple(preprocess.shape), {"main": 3}), preprocess, frame


def _image():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 12, 10), dtype=np.uint8)
    preprocess = Preprocess.fit(rows_of("image", pixels))
    return build("cnn(width=8, depth=2)", tuple(preprocess.shape), {"main": 3}), preprocess, pixels


CASES = {
    "table": _table,
    "image": _image,
    "bert": lambda: (network("bert", {"main": 3}), TEXT, texts(300)),
    "embeddings": lambda: (Tied(vocabulary=5000), TEXT, texts(300)),
}


@pytest.fixture(scope="module", params=list(CASES))
def both(request, tmp_path_factory):
    torch.manual_seed(0)
    student, preprocess, rows = CASES[request.param]()
    path = tmp_path_factory.mktemp("int8") / "student.onnx"
    export_onnx(student.eval(), preprocess, THREE, path, example=rows, metadata={"note": "x"})
    small = path.with_name("student.int8.onnx")
    return request.param, path, small, quantise(path, small), rows


def test_it_answers_nearly_alike_from_a_smaller_file(both):
    name, path, small, tensors, rows = both
    assert tensors > 0
    plain, quick = OnnxStudent(path).answers(rows)["main"], OnnxStudent(small).answers(rows)["main"]
    spread = plain.std()
    assert 0 < np.abs(plain - quick).max() < 0.35 * spread
    assert (plain.argmax(1) == quick.argmax(1)).mean() > 0.9
    # of the others the graph outweighs the weights; shared embeddings are quantised for each of their two uses
    if name in ("table", "embeddings"):
        assert small.stat().st_size < {"table": 0.4, "embeddings": 0.7}[name] * path.stat().st_size


def test_it_says_of_itself_what_the_original_says(both):
    _, path, small, _, _ = both
    about = [OnnxStudent(file).session.get_modelmeta().custom_metadata_map for file in (path, small)]
    assert about[1] == about[0] | {WEIGHTS: "int8"}
    assert onnx.load(small).producer_name == "limbeck"
    kinds = {tensor.data_type for tensor in onnx.load(small).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
    for word in (b".py", b"site-packages", b"/tmp"):
        assert word not in small.read_bytes()


def test_any_number_of_rows(both):
    _, _, small, _, rows = both
    for count in (0, 1, 7):
        assert OnnxStudent(small).answers(rows[:count])["main"].shape == (count, 3)


def test_the_same_file_is_quantised_to_the_same_file(both, tmp_path):
    _, path, small, _, _ = both
    quantise(path, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == small.read_bytes()


def test_a_network_without_matrices_leaves_no_file(tmp_path):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

        def forward(self, x):
            return x * self.scale

    preprocess = Preprocess.fit(rows_of("array", np.random.default_rng(0).normal(size=(20, 3))))
    path = export_onnx(Scaled().eval(), preprocess, THREE, tmp_path / "student.onnx")
    assert quantise(path, tmp_path / "student.int8.onnx") == 0
    assert [file.name for file in tmp_path.iterdir()] == ["student.onnx"]


def test_quantising_says_nothing(both, tmp_path, caplog, capfd):
    quantise(both[1], tmp_path / "again.onnx")
    assert not caplog.records and capfd.readouterr() == ("", "")
