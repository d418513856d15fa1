"""A graph under construction, and the answers of a student as its outputs.

Nodes of limbeck are named "limbeck/…", those of the network "net/…". The names that a user sees are the columns of a
table (or "input") and the outputs "probabilities", "label", "logits", "value" or "embedding", with "HEAD." before them
where there are several heads. Outputs for words are [batch, length, ...]: the first words first, "mask" says how many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from limbeck.compress.traced import WORDS
from limbeck.data.masks.segmentation import Segmentation
from limbeck.data.tasks import Classification, Regression, Retrieval, Similarity, Tagging, Task

BATCH = "batch"
ML_DOMAIN, ML_OPSET = "ai.onnx.ml", 3
DTYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8", TensorProto.STRING: "string", TensorProto.INT64: "int64",
}  # fmt: skip

ANSWER = "answer"  # of a kind that says itself what its answers mean
ROLES = {
    "regression": ("value",), "tagging": ("probabilities", "label", "logits", "mask"),
    "similarity": ("embedding",), "retrieval": ("embedding",),
}  # fmt: skip


@dataclass
class Graph:
    """Nodes, constants, inputs and outputs; `inputs` describes every input for the metadata."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    infos: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    inputs: list[dict[str, Any]] = field(default_factory=list)

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant and return its name."""
        name = f"limbeck/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def node(self, op: str, *inputs: str, out: str = "", domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        name = f"limbeck/{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out or name], name=name, domain=domain, **attributes))
        return out or name

    def input(self, name: str, dtype: int, shape: tuple[int | str, ...], **facts: Any) -> str:
        """Add an input with a dynamic batch axis and return its name; axes with a name are dynamic too."""
        self.infos.append(helper.make_tensor_value_info(name, dtype, [BATCH, *shape]))
        self.inputs.append({"name": name, "dtype": DTYPES[dtype], "shape": list(shape), **facts})
        return name

    def output(self, name: str, dtype: int, *shape: int | str) -> None:
        """Declare an output with a dynamic batch axis; axes with a name are dynamic too."""
        self.outputs.append(helper.make_tensor_value_info(name, dtype, [BATCH, *shape]))


def output_names(tasks: Mapping[str, Task]) -> dict[str, dict[str, str]]:
    """Name the outputs of every head by their role: the role alone for one head, "HEAD.role" for several."""

    def roles(task: Task) -> tuple[str, ...]:
        if task.judged_as and not isinstance(task, Segmentation):
            return (ANSWER, "mask") if task.positions else (ANSWER,)
        return ROLES.get(task.kind, ("probabilities", "label", "logits"))

    return {
        head: {role: role if len(tasks) == 1 else f"{head}.{role}" for role in roles(task)}
        for head, task in tasks.items()
    }


def add_answers(
    graph: Graph, task: Task, raw: str, names: Mapping[str, str], width: int, shape: tuple[int, ...] = ()
) -> None:
    """Turn the raw output [..., width] of one head into what its users read; `raw` is in training space.

    `shape` is that of an encoded row, which masks have the height and width of.
    """
    if isinstance(task, Segmentation):
        _add_masks(graph, task, raw, names, shape[-2:])
        return
    if task.judged_as:  # what it means, the task itself says when it is asked
        graph.node("Identity", raw, out=names[ANSWER])
        places = ("frames",) if task.positions else ()
        graph.output(names[ANSWER], TensorProto.FLOAT, *places, width)
        if places:
            graph.node("Identity", WORDS, out=names["mask"])
            graph.output(names["mask"], TensorProto.BOOL, *places)
        return
    if isinstance(task, Regression):
        wide = graph.node("Mul", raw, graph.constant(np.reshape(task.scale, (1, -1))))
        graph.node("Add", wide, graph.constant(np.reshape(task.mean, (1, -1))), out=names["value"])
        graph.output(names["value"], TensorProto.FLOAT, task.size)
        return
    if isinstance(task, Similarity | Retrieval):
        graph.node("Identity", raw, out=names["embedding"])
        graph.output(names["embedding"], TensorProto.FLOAT, width)
        return
    graph.node("Identity", raw, out=names["logits"])
    words = ("length",) if isinstance(task, Tagging) else ()
    if isinstance(task, Classification | Tagging):
        graph.node("Softmax", raw, out=names["probabilities"], axis=-1)
        graph.node("ArgMax", raw, out=names["label"], axis=-1, keepdims=0)
        graph.output(names["label"], TensorProto.INT64, *words)
    else:
        graph.node("Sigmoid", raw, out=names["probabilities"])
        above = graph.node("Greater", raw, graph.constant(0.0))
        graph.node("Cast", above, out=names["label"], to=TensorProto.INT64)
        graph.output(names["label"], TensorProto.INT64, task.size)
    graph.output(names["probabilities"], TensorProto.FLOAT, *words, task.size)
    graph.output(names["logits"], TensorProto.FLOAT, *words, task.size)
    if words:
        graph.node("Identity", WORDS, out=names["mask"])
        graph.output(names["mask"], TensorProto.BOOL, *words)


def _add_masks(graph: Graph, task: Segmentation, raw: str, names: Mapping[str, str], size: tuple[int, ...]) -> None:
    """Scores [B, C, H, W] and class ids [B, H, W] of the scores [B, P, C] of pixels."""
    first = graph.node("Transpose", raw, perm=[0, 2, 1])
    shaped = graph.node("Reshape", first, graph.constant([0, task.size, *size], np.int64), out=names["logits"])
    graph.node("Softmax", shaped, out=names["probabilities"], axis=1)
    graph.node("ArgMax", shaped, out=names["label"], axis=1, keepdims=0)
    graph.output(names["label"], TensorProto.INT64, *size)
    graph.output(names["probabilities"], TensorProto.FLOAT, task.size, *size)
    graph.output(names["logits"], TensorProto.FLOAT, task.size, *size)
