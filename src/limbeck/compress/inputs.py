"""Preprocessing as ONNX nodes: what `limbeck.data.preprocess` does to raw rows, from the same spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from onnx import TensorProto

from limbeck.compress.graph import ML_DOMAIN, Graph
from limbeck.core.errors import NotSupported

MISSING = "<missing>"  # how a missing category enters a string tensor, which has no NaN; empty text is text


def add_preprocessing(graph: Graph, spec: Mapping[str, Any], reserved: Set[str], part: str = "") -> str:
    """Add the inputs and nodes of a preprocessing and return the name of the encoded tensor [B, ...].

    `reserved` names are taken by outputs; a column of that name enters as "column.NAME", as the metadata says. Of rows
    of several parts the `part` says which this is: its array or image enters under that name, not as "input".
    """
    kinds = {"table": _table, "array": _array, "image": _image, "audio": _audio}
    if spec.get("kind") not in kinds:
        raise NotSupported(
            f"expected a preprocessing of {', '.join(kinds)} to export, got {spec.get('kind')!r}",
            "export the network alone with torch.onnx.export",
        )
    return kinds[spec["kind"]](graph, spec, reserved, part)


def add_tokens(graph: Graph, names: Sequence[str], length: str = "length") -> list[str]:
    """Add the inputs int64 [batch, length] of a network of text and return their names."""
    return [graph.input(name, TensorProto.INT64, (length,)) for name in names]


def _table(graph: Graph, spec: Mapping[str, Any], reserved: Set[str], part: str) -> str:
    parts = []
    numeric, categorical = spec["numeric"], spec["categorical"]
    if numeric:
        columns = [
            graph.input(_free(c["name"], reserved, part), TensorProto.FLOAT, (1,), column=c["name"]) for c in numeric
        ]
        joined = graph.node("Concat", *columns, axis=1) if len(columns) > 1 else columns[0]
        fill, mean, scale = ([c[key] for c in numeric] for key in ("fill", "mean", "scale"))
        parts.append(_standardised(graph, _filled(graph, joined, fill), mean, scale))
    for column in categorical:
        facts = {"column": column["name"], "missing": _missing(column["values"])}
        name = graph.input(_free(column["name"], reserved, part), TensorProto.STRING, (1,), **facts)
        parts.append(_one_hot(graph, name, column["values"], facts["missing"]))
    return graph.node("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def _free(name: str, reserved: Set[str], part: str) -> str:
    taken = name in reserved or not name or name.startswith(("limbeck/", "net/"))
    return f"{part or 'column'}.{name}" if taken else name


def _missing(values: list[str]) -> str:
    word = MISSING
    while word in values:
        word = f"<{word}>"
    return word


def _filled(graph: Graph, raw: str, fill: Any) -> str:
    return graph.node("Where", graph.node("IsNaN", raw), graph.constant(fill), raw)


def _standardised(graph: Graph, raw: str, mean: Any, scale: Any) -> str:
    # one subtraction and one division in float32, as the preprocessing itself: equal bit for bit
    return graph.node("Div", graph.node("Sub", raw, graph.constant(mean)), graph.constant(scale))


def _one_hot(graph: Graph, name: str, values: list[str], missing: str) -> str:
    """One column for each value, one for missing, one for unknown values, in that order."""
    width = len(values) + 2
    place = graph.node(
        "LabelEncoder",
        name,
        domain=ML_DOMAIN,
        keys_strings=[*values, missing],
        values_int64s=list(range(len(values) + 1)),
        default_int64=width - 1,
    )
    flat = graph.node("Reshape", place, graph.constant([-1], np.int64))
    return graph.node("OneHot", flat, graph.constant(width, np.int64), graph.constant([0.0, 1.0]), axis=-1)


def _array(graph: Graph, spec: Mapping[str, Any], reserved: Set[str], part: str) -> str:
    if spec.get("ragged", False):
        channels = tuple(spec["shape"][:-1])
        series = graph.input(part or "input", TensorProto.FLOAT, (*channels, "times"), ragged=True)
        turn = (-1, 1) if channels else (1,)
        return _standardised(graph, series, *(np.reshape(spec[name], turn) for name in ("mean", "scale")))
    values = graph.input(part or "input", TensorProto.FLOAT, tuple(spec["shape"]))
    if spec["keep"] is not None:
        kept = graph.node("Gather", values, graph.constant(spec["keep"], np.int64), axis=1)
        values = _filled(graph, kept, spec["fill"])
    turn = (-1, 1) if spec.get("channels_first", False) else (-1,)
    return _standardised(graph, values, *(np.reshape(spec[name], turn) for name in ("mean", "scale")))


def _audio(graph: Graph, spec: Mapping[str, Any], reserved: Set[str], part: str) -> str:
    """Samples at the rate of the training clips, NaN behind the end of each; their features are in the network."""
    return graph.input(part or "input", TensorProto.FLOAT, ("samples",), rate=spec["rate"])


def _image(graph: Graph, spec: Mapping[str, Any], reserved: Set[str], part: str) -> str:
    size = (spec["height"], spec["width"])
    shape = (*size, spec["channels"]) if spec["channel_axis"] else size
    bytes_ = spec["dtype"] == "uint8"
    pixels = graph.input(part or "input", TensorProto.UINT8 if bytes_ else TensorProto.FLOAT, shape)
    if bytes_:
        pixels = graph.node("Cast", pixels, to=TensorProto.FLOAT)
    if not spec["channel_axis"]:
        pixels = graph.node("Unsqueeze", pixels, graph.constant([3], np.int64))
    scaled = _standardised(graph, pixels, spec["mean"], spec["scale"])
    return graph.node("Transpose", scaled, perm=[0, 3, 1, 2])
