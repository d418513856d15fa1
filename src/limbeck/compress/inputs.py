"""Preprocessing as ONNX nodes: what `limbeck.data.preprocess` does to raw rows, from the same spec."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
from onnx import TensorProto

from limbeck.compress.graph import ML_DOMAIN, Graph
from limbeck.core.errors import NotSupported

MISSING = ""  # how a missing category enters a string tensor, which has no NaN


def add_preprocessing(graph: Graph, spec: Mapping[str, Any], reserved: Set[str], dtype: Any = None) -> str:
    """Add the inputs and nodes of a preprocessing and return the name of the encoded tensor [B, ...].

    `reserved` names are taken by outputs; a column of that name enters as "column.NAME", as the metadata says.
    """
    kinds = {"table": _table, "array": _array, "image": _image}
    if spec.get("kind") not in kinds:
        raise NotSupported(
            f"expected a preprocessing of {', '.join(kinds)} to export, got {spec.get('kind')!r}",
            "export the network alone with torch.onnx.export",
        )
    return kinds[spec["kind"]](graph, spec, reserved, dtype)


def _table(graph: Graph, spec: Mapping[str, Any], reserved: Set[str], dtype: Any) -> str:
    parts = []
    numeric, categorical = spec["numeric"], spec["categorical"]
    if numeric:
        columns = [graph.input(_free(c["name"], reserved), TensorProto.FLOAT, (1,), column=c["name"]) for c in numeric]
        joined = graph.node("Concat", *columns, axis=1) if len(columns) > 1 else columns[0]
        fill, mean, scale = (np.array([[c[k] for c in numeric]], dtype=np.float32) for k in ("fill", "mean", "scale"))
        parts.append(_standardised(graph, joined, fill, mean, scale))
    for column in categorical:
        name = graph.input(_free(column["name"], reserved), TensorProto.STRING, (1,), column=column["name"])
        parts.append(_one_hot(graph, name, [str(v) for v in column["values"]]))
    return graph.node("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def _free(name: str, reserved: Set[str]) -> str:
    taken = name in reserved or not name or name.startswith(("limbeck/", "net/"))
    return f"column.{name}" if taken else name


def _standardised(graph: Graph, raw: str, fill: Any, mean: Any, scale: Any) -> str:
    missing = graph.node("IsNaN", raw)
    filled = graph.node("Where", missing, graph.constant(fill), raw)
    centred = graph.node("Sub", filled, graph.constant(mean))
    return graph.node("Div", centred, graph.constant(scale))


def _one_hot(graph: Graph, name: str, values: list[str]) -> str:
    """One column for each value, one for missing, one for unknown values, in that order."""
    width = len(values) + 2
    place = graph.node(
        "LabelEncoder",
        name,
        domain=ML_DOMAIN,
        keys_strings=[*values, MISSING],
        values_int64s=list(range(len(values) + 1)),
        default_int64=width - 1,
    )
    flat = graph.node("Reshape", place, graph.constant([-1], np.int64))
    return graph.node("OneHot", flat, graph.constant(width, np.int64), graph.constant([0.0, 1.0]), axis=-1)


def _array(graph: Graph, spec: Mapping[str, Any], reserved: Set[str], dtype: Any) -> str:
    raise NotSupported("arrays", "")


def _image(graph: Graph, spec: Mapping[str, Any], reserved: Set[str], dtype: Any) -> str:
    uint8 = dtype is not None and np.dtype(dtype) == np.uint8
    height, width, channels = spec["height"], spec["width"], spec["channels"]
    shape = (height, width) if channels == 1 else (height, width, channels)
    raw = graph.input("input", TensorProto.UINT8 if uint8 else TensorProto.FLOAT, shape)
    pixels = graph.node("Cast", raw, to=TensorProto.FLOAT) if uint8 else raw
    if channels == 1:
        pixels = graph.node("Unsqueeze", pixels, graph.constant([1], np.int64))
    else:
        pixels = graph.node("Transpose", pixels, perm=[0, 3, 1, 2])
    mean, scale = (np.reshape(np.asarray(spec[k], np.float32), (1, -1, 1, 1)) for k in ("mean", "scale"))
    return graph.node("Div", graph.node("Sub", pixels, graph.constant(mean)), graph.constant(scale))
