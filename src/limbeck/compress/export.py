"""Export a student to ONNX: preprocessing and label names inside, dynamic batch, one file.

The file takes the raw input that the teacher takes. `limbeck.compress.parity` proves that it answers as the student.
"""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import limbeck
from limbeck.core.errors import ConfigError, NotSupported
from limbeck.data.preprocess import Preprocess
from limbeck.data.rows import Array
from limbeck.data.tasks import Task
from limbeck.models.outputs import check_width, to_outputs

if TYPE_CHECKING:
    from torch import Tensor, nn

    from limbeck.compress.graph import Graph

SCHEMA = 1
MAX_BYTES = 2**31 - 1  # of a protobuf; larger models need files beside the model, which are not written
NET = "net/"


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

    Raises ConfigError when a part of the module is in train mode, NotSupported for what ONNX cannot hold.
    """
    refuse_training(module)
    from onnx import checker

    from limbeck.compress.graph import Graph, add_answers, output_names
    from limbeck.compress.inputs import add_preprocessing

    network = _network(module, _traced(preprocess, example), tasks)
    names = output_names(tasks)
    graph = Graph()
    reserved = {name for roles in names.values() for name in roles.values()}
    encoded = add_preprocessing(graph, preprocess.spec, reserved)
    before = len(graph.nodes)
    for head, task in tasks.items():
        add_answers(graph, task, f"{NET}{head}", names[head])
    model = _joined(graph, before, network, encoded)
    facts = {
        "limbeck.schema": str(SCHEMA),
        "limbeck.version": limbeck.__version__,
        "limbeck.kind": str(preprocess.spec["kind"]),
        "limbeck.inputs": json.dumps(graph.inputs, ensure_ascii=False),
        "limbeck.heads": json.dumps(
            {h: {"kind": t.kind, "names": list(t.names), "outputs": names[h]} for h, t in tasks.items()},
            ensure_ascii=False,
        ),
        "limbeck.user": json.dumps(dict(metadata or {}), ensure_ascii=False),
    }
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    if model.ByteSize() > MAX_BYTES:
        raise NotSupported(
            f"expected a model below 2 GiB, got {model.ByteSize() / 2**30:.1f} GiB",
            "one ONNX file holds no more; export a smaller student",
        )
    checker.check_model(model)
    return _write(model, Path(path))


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
    if example is None or not len(example):
        return np.zeros((3, *preprocess.shape), dtype=np.float32)
    return np.resize(preprocess.encode(example[:3]), (3, *preprocess.shape)).astype(np.float32)


def _network(module: nn.Module, rows: Array, tasks: Mapping[str, Task]) -> Any:
    import torch

    class Heads(torch.nn.Module):
        """The outputs of a network in the order of the tasks."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, encoded: Tensor) -> tuple[Tensor, ...]:
            outputs = to_outputs(self.inner(encoded), list(tasks))
            return tuple(outputs[head] for head in tasks)

    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    heads = Heads().eval()
    example = torch.from_numpy(rows).to(device)
    with torch.no_grad():
        for (head, task), output in zip(tasks.items(), heads(example), strict=True):
            check_width(output, task.size, head, "the student")
    try:
        with _quiet():
            program = torch.onnx.export(
                heads,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=["encoded"],
                output_names=[f"{NET}{head}" for head in tasks],
                verbose=False,
            )
    except Exception as e:
        reason = str(e).strip().splitlines()
        raise NotSupported(
            f"expected a student that torch can export to ONNX, got: {reason[0] if reason else type(e).__name__}",
            "avoid control flow that depends on values and on the number of rows in forward",
        ) from e
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's talk of other packages off the terminal; errors still raise."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)


def _joined(graph: Graph, before: int, network: Any, encoded: str) -> Any:
    """One model: limbeck's first nodes, the network under a prefix of its own, limbeck's last nodes."""
    from onnx import compose, helper

    from limbeck.compress.graph import ML_DOMAIN, ML_OPSET

    prefixed = compose.add_prefix(network, NET, rename_outputs=False, inplace=False)
    inner = prefixed.graph
    bridge = helper.make_node("Identity", [encoded], [inner.input[0].name], name="limbeck/encoded")
    joined = helper.make_graph(
        [*graph.nodes[:before], bridge, *inner.node, *graph.nodes[before:]],
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
    _strip(model.graph)
    return model


def _strip(graph: Any) -> None:
    # the exporter notes stack traces with the paths of the machine; they have no place in a file that leaves it
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


def _write(model: Any, path: Path) -> Path:
    from limbeck.core.files import write_bytes

    write_bytes(path, model.SerializeToString(deterministic=True))
    return path
