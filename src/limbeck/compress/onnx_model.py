"""Run an exported student: raw rows in, classes, labels or values out; NumPy and onnxruntime, no torch.

A student of text reads the folder `tokenizer` beside its file and needs the package tokenizers, no transformers.

student = OnnxStudent("student.onnx")
student.predict(table)          # class names, 0/1 labels or values
student.predict_proba(table)    # probabilities [N, C]
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from limbeck.compress.onnx_text import Texts
from limbeck.core.errors import ConfigError, ShapeMismatch, StoreDamaged

Array: TypeAlias = np.ndarray[Any, Any]
BATCH = 1024


class OnnxStudent:
    """A student read from an ONNX file that limbeck wrote; the file says itself what goes in and what comes out.

    `threads` is the number of threads of onnxruntime, 0 for all cores. Raises ConfigError for files that limbeck did
    not write, StoreDamaged for unreadable ones, and refuses files that point at data outside themselves.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        import onnxruntime as ort

        self.path = Path(path)
        data = _checked_bytes(self.path)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as e:
            raise StoreDamaged(f"expected a model that onnxruntime can run at {path}, got: {e}", "export again") from e
        found = self.session.get_modelmeta().custom_metadata_map
        if "limbeck.heads" not in found:
            raise ConfigError(
                f"expected a student that limbeck exported at {path}, its metadata is missing",
                "run other ONNX files with onnxruntime directly",
            )
        self.inputs: list[dict[str, Any]] = json.loads(found["limbeck.inputs"])
        self.heads: dict[str, dict[str, Any]] = json.loads(found["limbeck.heads"])
        self.user: dict[str, Any] = json.loads(found["limbeck.user"])
        self.version, self.kind = found["limbeck.version"], found["limbeck.kind"]
        names = [facts["name"] for facts in self.inputs]
        self.texts = Texts.beside(self.path, found["limbeck.text"], names) if self.kind == "text" else None

    def predict(self, inputs: Any, head: str | None = None) -> Array:
        """Class names [N], 0/1 labels [N, L] or values [N, K] ([N] where K is 1) for raw rows."""
        _, facts = self._head(head)
        if facts["kind"] == "regression":
            values = self.run(inputs, [facts["outputs"]["value"]])[0]
            return np.asarray(values[:, 0] if values.shape[1] == 1 else values)
        label = self.run(inputs, [facts["outputs"]["label"]])[0]
        return _values(facts["names"])[label] if facts["kind"] == "classification" else label

    def predict_proba(self, inputs: Any, head: str | None = None) -> Array:
        """Probabilities [N, C] for raw rows, in the order of the names of the head."""
        name, facts = self._head(head)
        if facts["kind"] == "regression":
            raise ConfigError(f"expected a head with classes or labels, '{name}' is a regression", "call predict")
        return self.run(inputs, [facts["outputs"]["probabilities"]])[0]

    def answers(self, inputs: Any) -> dict[str, Array]:
        """Logits [N, C] or values [N, K] of every head, as they are kept in predictions."""
        names = [f["outputs"]["value" if f["kind"] == "regression" else "logits"] for f in self.heads.values()]
        return dict(zip(self.heads, self.run(inputs, names), strict=True))

    def run(self, inputs: Any, outputs: list[str], batch: int = BATCH) -> list[Array]:
        """Named outputs of the graph for raw rows, in batches."""
        if self.texts is not None:
            return self.texts.run(lambda feeds: self.session.run(outputs, feeds), inputs, batch)
        feeds = self.feeds(inputs)
        rows = len(next(iter(feeds.values())))
        parts = [
            self.session.run(outputs, {name: values[at : at + batch] for name, values in feeds.items()})
            for at in range(0, max(rows, 1), batch)
        ]
        return [np.concatenate([part[i] for part in parts]) for i in range(len(outputs))]

    def feeds(self, inputs: Any) -> dict[str, Array]:
        """Raw rows as the tensors that the graph takes, by name; raises ConfigError or ShapeMismatch where not fit."""
        if self.texts is not None:
            return self.texts.feeds(self.texts.rows(inputs))
        if self.kind == "table":
            return self._table(inputs)
        (facts,) = self.inputs
        array = np.asarray(inputs)
        if array.ndim != len(facts["shape"]) + 1 or list(array.shape[1:]) != facts["shape"]:
            raise ShapeMismatch(
                f"expected rows of shape {facts['shape']}, got an array of shape {list(array.shape)}",
                "the first axis is the rows; give one row as array[None]",
            )
        if facts["dtype"] == "uint8" and array.dtype != np.uint8:
            raise ConfigError(
                f"expected images of dtype uint8, got {array.dtype}",
                "give raw pixels from 0 to 255, as in training",
            )
        return {facts["name"]: np.ascontiguousarray(array, dtype=facts["dtype"])}

    def _table(self, inputs: Any) -> dict[str, Array]:
        import pandas as pd

        from limbeck.data.frames import numbers, pick, texts

        frame = inputs if isinstance(inputs, pd.DataFrame) else pd.DataFrame(inputs)
        frame = pick(frame, [facts["column"] for facts in self.inputs], "the inputs")
        feeds = {}
        for facts in self.inputs:
            column = frame[facts["column"]]
            if facts["dtype"] == "string":
                codes, words = texts(column)
                values = np.array([*words, facts["missing"]], dtype=object)[codes]  # code -1 is missing
            else:
                values = numbers(column, facts["column"]).astype(np.float32)
            feeds[facts["name"]] = values[:, None]
        return feeds

    def _head(self, head: str | None) -> tuple[str, dict[str, Any]]:
        if head is None and len(self.heads) == 1:
            head = next(iter(self.heads))
        if head not in self.heads:
            raise ConfigError(
                f"expected one of the heads {', '.join(self.heads)}, got {head!r}", "name it: predict(rows, head=...)"
            )
        return head, self.heads[head]


def _values(names: list[str]) -> Array:
    """Class names as the user wrote them: integers where all are, booleans for False and True."""
    if all(name.removeprefix("-").isdecimal() and str(int(name)) == name for name in names):
        return np.array([int(name) for name in names])
    if set(names) == {"False", "True"}:
        return np.array([name == "True" for name in names])
    return np.array(names, dtype=object)


def _checked_bytes(path: Path) -> bytes:
    """The bytes of a model that keeps all its tensors inside; an external path could name any file of the machine."""
    import onnx
    from onnx.external_data_helper import uses_external_data

    if not path.is_file():
        raise ConfigError(f"expected an ONNX file at {os.fspath(path)}, there is none", "run `limbeck export` first")
    data = path.read_bytes()
    try:
        model = onnx.load_model_from_string(data)
    except Exception as e:
        raise StoreDamaged(f"expected an ONNX file at {path}, got: {e}", "export again") from e
    if any(uses_external_data(tensor) for tensor in _tensors(model)):
        raise ConfigError(
            f"expected a model in one file, {path.name} points at data outside of it",
            "limbeck never writes such files; load one you trust with onnx and save it whole",
        )
    return data


def _tensors(model: Any) -> list[Any]:
    found: list[Any] = []

    def visit(nodes: Any) -> None:
        for node in nodes:
            for attribute in node.attribute:
                found.extend([attribute.t, *attribute.tensors])
                for inner in (attribute.g, *attribute.graphs):
                    walk(inner)

    def walk(graph: Any) -> None:
        found.extend(graph.initializer)
        for sparse in graph.sparse_initializer:
            found.extend([sparse.values, sparse.indices])
        visit(graph.node)

    walk(model.graph)
    for function in model.functions:
        visit(function.node)
    return found
