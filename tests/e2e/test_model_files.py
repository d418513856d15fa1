"""Files of models: the good ones answer, the hostile ones are refused before anything of them runs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from e2e_model_corpus import good, graph

from limbeck.core.errors import ConfigError
from limbeck.models.files import is_model_file, open_model
from limbeck.models.trusted import is_trusted


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The hostile corpus, opened in a process of its own under an audit hook."""
    folder = tmp_path_factory.mktemp("corpus")
    script = Path(__file__).with_name("e2e_model_corpus.py")
    done = subprocess.run([sys.executable, str(script), str(folder)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_no_hostile_file_runs_anything(corpus):
    assert corpus["seen"] == [] and not corpus["ran"]
    assert {event.split()[0] for event in corpus["proof"]} >= {"compile", "exec", "open"}  # else the watch is blind


REFUSALS = {
    "is a pickle, which can run code.*skops.io.dump": ("a.pkl", "a.pickle", "a.joblib"),
    "its bytes are a pickle.*export it to ONNX": tuple(
        f"{name}.{ending}" for name in ("pickle", "old") for ending in ("onnx", "skops", "txt")
    ),
    "compressed as those of joblib": ("packed.skops",),
    "holds pickled code.*state dict with safetensors": ("a.pt", "a.pth", "a.pt2", "pytorch_model.bin"),
    "archive of torch that holds a pickle.*safetensors": ("archive.onnx", "archive.skops"),
    "HDF5 file of Keras": ("a.h5", "keras.onnx"),
    "points at the file '/etc/passwd' for 'weight'.*save_as_external_data=False": ("absolute.onnx",),
    "points at the file '../secret.bin'": ("above.onnx",),
    "points at the file 'weights.bin'": ("beside.onnx",),
    "points at the file '/etc/passwd' for 'inner'": ("hidden.onnx",),
    "it asks for os.system.*where you trust its author": ("system.skops",),
    "it asks for sklearn.datasets._openml.urlopen": ("borrowed.skops",),
    "it asks for numpy.f2py.compile": ("compiles.skops",),
    "whose first line is 'tree', got 'import os'": ("text.txt",),
    "auto_map.*trust_remote_code is not offered": ("remote",),
}


def test_every_hostile_file_is_refused_with_the_safe_way(corpus):
    assert set(corpus["said"]) == {name for names in REFUSALS.values() for name in names}
    assert set(corpus["names"]) | {"remote"} == set(corpus["said"])
    import re

    for text, names in REFUSALS.items():
        for name in names:
            assert re.search(text, corpus["said"][name], re.DOTALL), corpus["said"][name]


def test_good_files_are_opened(tmp_path):
    x = good(tmp_path)
    np.testing.assert_allclose(open_model(tmp_path / "good.onnx")(x), x)
    estimator = open_model(tmp_path / "good.skops")
    assert type(estimator).__name__ == "HistGradientBoostingClassifier" and estimator.predict_proba(x).shape == (60, 2)


def test_rows_of_a_graph(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(graph().SerializeToString())
    model = open_model(path)
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4]})
    np.testing.assert_allclose(model(frame), [[1, 3], [2, 4]])
    with pytest.raises(ConfigError, match=r"expected rows of shape \[2\] for the input 'rows'.*got \[3\]"):
        model(np.zeros((4, 3)))
    with pytest.raises(ConfigError, match="expected numbers for the input 'rows'"):
        model(pd.DataFrame({"a": ["red"], "b": ["blue"]}))


def test_a_graph_of_so_many_rows_at_once(tmp_path):
    made = graph()
    for end in (made.graph.input[0], made.graph.output[0]):
        end.type.tensor_type.shape.dim[0].dim_value = 3
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    x = np.arange(16, dtype=np.float32).reshape(8, 2)
    np.testing.assert_allclose(open_model(tmp_path / "m.onnx")(x), x)


def columns_graph():
    """Columns `a` [N] and `b` [N, 1] to logits [N, 2] and a label."""
    from onnx import TensorProto, helper, numpy_helper

    axes = numpy_helper.from_array(np.array([1]), "axes")
    nodes = [
        helper.make_node("Unsqueeze", ["a", "axes"], ["wide"]),
        helper.make_node("Concat", ["wide", "b"], ["logits"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
        helper.make_node("Neg", ["logits"], ["other"]),
    ]
    value, kind = helper.make_tensor_value_info, TensorProto.FLOAT
    ends = [value("other", kind, ["n", 2]), value("label", TensorProto.INT64, ["n"]), value("logits", kind, ["n", 2])]
    made = helper.make_graph(nodes, "g", [value("a", kind, ["n"]), value("b", kind, ["n", 1])], ends, [axes])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_columns_by_name(tmp_path):
    (tmp_path / "m.onnx").write_bytes(columns_graph().SerializeToString())
    model = open_model(tmp_path / "m.onnx")
    np.testing.assert_allclose(model(pd.DataFrame({"b": [3, 4], "c": [0, 0], "a": [1.0, 2.0]})), [[1, 3], [2, 4]])
    with pytest.raises(ConfigError, match="the inputs of the ONNX file; a missing"):
        model(pd.DataFrame({"b": [3.0]}))
    with pytest.raises(ConfigError, match="expected a table with the columns a, b"):
        model(np.zeros((2, 2)))
    made = columns_graph()
    made.graph.output[2].name = made.graph.node[1].output[0] = "mine"
    for node in made.graph.node[2:]:
        node.input[0] = "mine"
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(ConfigError, match=r"expected one output of floats in m.onnx, or one called logits"):
        open_model(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("m.onnx", b"hello", "expected an ONNX model in m.onnx, its bytes are none"),
        ("m.onnx", b"", "expected an ONNX model in m.onnx, its bytes are none"),
        ("m.skops", b"hello", "expected an estimator that skops wrote"),
        ("m.weights", b"hello", r"expected a file with a model \(.onnx, .skops, .txt\), got m.weights"),
        ("m.txt", b"tree\nnothing\n", "expected a model that LightGBM can read"),
    ],
)
def test_a_file_that_is_none(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=text):
        open_model(tmp_path / name)


def test_skops_of_something_else_or_unfitted(tmp_path):
    import skops.io
    from sklearn.linear_model import LogisticRegression

    for what, text in (({"a": 1}, "expected an estimator in m.skops, got dict"), (LogisticRegression(), "been fitted")):
        (tmp_path / "m.skops").write_bytes(skops.io.dumps(what))
        with pytest.raises(ConfigError, match=text):
            open_model(tmp_path / "m.skops")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"expected a file with a model at .*m.onnx, there is none"):
        open_model(tmp_path / "m.onnx")


def test_names_and_types():
    assert is_model_file("a/Teacher.ONNX") and is_model_file("b.pkl") and not is_model_file("package.module:model")
    assert is_trusted("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor")
    assert is_trusted("sklearn.tree._tree.Tree") and is_trusted("numpy.dtype")
    for name in (
        "os.system", "numpy.load", "numpy.memmap", "numpy.testing.measure", "scipy._lib._util.inspect",
        "sklearn.utils.fixes.threadpoolctl", "builtins.eval", "numpy", "sklearn.nothing",
    ):  # fmt: skip
        assert not is_trusted(name), name
