"""Export a student to ONNX: preprocessing and label names inside, dynamic batch, one file.

The file takes the raw input that the teacher takes; of texts it takes the ids that the tokenizer beside it makes.
`limbeck.compress.parity` proves that it answers as the student.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import limbeck
from limbeck.compress.tokenizer import CORE, FOLDER, tokenizer_files
from limbeck.compress.traced import NET, Traced, in_float32, trace_rows, trace_tokens
from limbeck.core.errors import ConfigError, NotSupported
from limbeck.core.files import checksum, write_bytes
from limbeck.data.embedded import EMBEDDED
from limbeck.data.preprocess import Preprocess
from limbeck.data.rows import Array
from limbeck.data.similarity import Similarity
from limbeck.data.tasks import Task

if TYPE_CHECKING:
    from torch import nn

    from limbeck.compress.graph import Graph
    from limbeck.models.text.tokens import TextEncoder

SCHEMA = 1
MAX_BYTES = 2**31 - 1  # of a protobuf; larger models need files beside the model, which are not written


def export_onnx(
    module: nn.Module,
    preprocess: Preprocess,
    tasks: Mapping[str, Task],
    path: str | Path,
    *,
    example: Any = None,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write a student as ONNX and return the path; the file is complete or not there.

    module      answers in training space (logits; standardised values), in eval mode
    preprocess  is built into the graph, so that the file takes raw rows
    example     raw rows that the network is traced with; zeros without them
    metadata    anything JSON-able, kept in the file as "limbeck.user"

    Weights in half precision are written as float32. A network of text brings its tokenizer, which is written beside
    the file. Raises ConfigError when a part of the module is in train mode, NotSupported for what ONNX cannot hold.
    """
    refuse_training(module)
    from onnx import checker

    from limbeck.compress.graph import Graph, add_answers, output_names

    refuse_size(module)
    module, path = in_float32(module), Path(path)
    names = output_names(tasks)
    graph = Graph()
    reserved = {name for roles in names.values() for name in roles.values()}
    network, encoded, about, beside = _inside(graph, module, preprocess, tasks, example, reserved)
    before = len(graph.nodes)
    for (head, task), width in zip(tasks.items(), network.widths, strict=True):
        add_answers(graph, task, f"{NET}{head}", names[head], width, preprocess.shape)
    model = _joined(graph, before, network.model, encoded)
    facts = about | {
        "limbeck.schema": str(SCHEMA),
        "limbeck.version": limbeck.__version__,
        "limbeck.kind": str(preprocess.spec["kind"]),
        "limbeck.inputs": json.dumps(graph.inputs, ensure_ascii=False),
        "limbeck.heads": json.dumps(
            {
                h: {"kind": t.kind, "names": list(t.names), "outputs": names[h]}
                | ({"task": t.spec, "form": t.form} if t.judged_as else {})
                | ({"low": t.low, "high": t.high} if isinstance(t, Similarity) else {})
                for h, t in tasks.items()
            },
            ensure_ascii=False,
        ),
        "limbeck.user": json.dumps(dict(metadata or {}), ensure_ascii=False),
    }
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    refuse_bytes(model.ByteSize())
    checker.check_model(model)
    for name, data in beside.items():
        write_bytes(path.parent / FOLDER / name, data)
    write_bytes(path, model.SerializeToString(deterministic=True))
    return path


def _inside(
    graph: Graph, module: nn.Module, preprocess: Preprocess, tasks: Mapping[str, Task], example: Any, reserved: set[str]
) -> tuple[Traced, list[str], dict[str, str], dict[str, bytes]]:
    """The traced network, the names of what goes into it, and what is said and written about texts."""
    from limbeck.compress.inputs import add_preprocessing, add_tokens
    from limbeck.compress.parts_export import about_parts, add_parts, encoder_of, trace_parts
    from limbeck.models.text.network import Tokenised

    if isinstance(module, Tokenised):
        network = trace_tokens(module, tasks)
        encoded = add_tokens(graph, network.inputs)
        facts = {
            "columns": list(preprocess.spec["columns"]), "prompt": getattr(module.encoder, "prompt", ""),
            "apart": any(task.kind in EMBEDDED for task in tasks.values()),
        }  # fmt: skip
        return network, encoded, *_of_texts(module.encoder, facts)
    if preprocess.parts:
        network = trace_parts(module, preprocess, tasks, example)
        encoded = add_parts(graph, preprocess.spec, reserved)
        encoder = encoder_of(module)
        about, beside = _of_texts(encoder, {"columns": []}) if encoder is not None else ({}, {})
        said = about | {"limbeck.parts": json.dumps(about_parts(preprocess), ensure_ascii=False)}
        return network, encoded, said, beside
    axes: tuple[str, ...] = ("batch", "samples") if preprocess.spec["kind"] == "audio" else ("batch",)
    if preprocess.ragged:
        axes = ("batch", *("" for _ in preprocess.shape[1:]), "times")
    network = trace_rows(module, _traced(preprocess, example), tasks, axes)
    return network, [add_preprocessing(graph, preprocess.spec, reserved)], {}, {}


def _of_texts(encoder: TextEncoder, facts: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, bytes]]:
    """What a file says of the tokenizer of its texts, and the files of that."""
    beside = tokenizer_files(encoder)
    said = {"tokenizer": checksum(beside[CORE]), "max_length": encoder.max_length, **facts}
    return {"limbeck.text": json.dumps(said, ensure_ascii=False)}, beside


def refuse_size(module: nn.Module) -> None:
    """Raise NotSupported for a module whose weights alone are too large for one file; shared ones count once."""
    weights = {tensor.data_ptr(): 4 * tensor.numel() for tensor in (*module.parameters(), *module.buffers())}
    refuse_bytes(sum(weights.values()))


def refuse_bytes(size: int) -> None:
    """Raise NotSupported for more bytes than one file holds."""
    if size > MAX_BYTES:
        raise NotSupported(
            f"expected a model below 2 GiB, got {size / 2**30:.1f} GiB",
            "one ONNX file holds no more; export a smaller student",
        )


def refuse_training(module: nn.Module) -> None:
    """Raise ConfigError when any part of a module is in train mode: dropout and batch statistics would be live."""
    live = [name or "the student" for name, part in module.named_modules() if part.training]
    if live:
        shown = ", ".join(live[:5]) + (", …" if len(live) > 5 else "")
        raise ConfigError(
            f"expected a student in eval mode, got {len(live)} parts in train mode: {shown}",
            "call student.eval() before the export",
        )


def _traced(preprocess: Preprocess, example: Any) -> Array:
    """Encoded rows [3, ...] to trace with: the first of the example, repeated where there are fewer."""
    if example is None or not len(example) or preprocess.spec["kind"] == "audio" or preprocess.ragged:
        return np.zeros((3, *preprocess.shape), dtype=np.float32)
    return np.resize(preprocess.encode(example[:3]), (3, *preprocess.shape)).astype(np.float32)


def _joined(graph: Graph, before: int, network: Any, encoded: Sequence[str]) -> Any:
    """One model: limbeck's first nodes, the network under a prefix of its own, limbeck's last nodes."""
    from onnx import compose, helper

    from limbeck.compress.graph import ML_DOMAIN, ML_OPSET

    prefixed = compose.add_prefix(network, NET, rename_outputs=False, inplace=False)
    inner = prefixed.graph
    bridges = [
        helper.make_node("Identity", [name], [taken.name], name=f"limbeck/{taken.name.removeprefix(NET)}")
        for name, taken in zip(encoded, inner.input, strict=True)
    ]
    joined = helper.make_graph(
        [*graph.nodes[:before], *bridges, *inner.node, *graph.nodes[before:]],
        "limbeck",
        graph.infos,
        graph.outputs,
        [*graph.constants, *inner.initializer],
    )
    opsets = {o.domain: o.version for o in prefixed.opset_import} | {ML_DOMAIN: ML_OPSET}
    model = helper.make_model(
        joined,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in opsets.items()],
        functions=list(prefixed.functions),
        producer_name="limbeck",
        producer_version=limbeck.__version__,
        ir_version=min(prefixed.ir_version, 10),
    )
    strip_notes(model.graph)
    return model


def strip_notes(graph: Any) -> None:
    """Take out the exporter's stack traces: paths of this machine have no place in a file that leaves it."""
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
