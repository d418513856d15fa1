"""Rows of parts as inputs of one graph: texts as tokens, columns of tables, arrays and images, each under its name.

The tokens of a text are "PART.input_ids" and so on, an array or an image is "PART"; columns of tables keep their names
where these are free, else they are "PART.COLUMN".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.compress.inputs import add_preprocessing, add_tokens
from limbeck.compress.traced import Traced, traced_with
from limbeck.core.errors import NotSupported
from limbeck.core.parts import Parts
from limbeck.data.preprocess import Preprocess
from limbeck.data.tasks import Task
from limbeck.models.outputs import to_outputs

if TYPE_CHECKING:
    from torch import Tensor, nn

    from limbeck.compress.graph import Graph
    from limbeck.models.text.tokens import TextEncoder

_MASKS = ((1, 1, 1, 1, 1), (1, 1, 1, 0, 0), (0, 0, 1, 1, 0))  # of three texts; any ids will do


def encoder_of(module: nn.Module) -> TextEncoder | None:
    """The tokenizer of all texts that a module of parts reads; raises NotSupported where it has several."""
    found: dict[str, Any] = dict(getattr(module, "encoders", {}))
    if len({encoder.fingerprint for encoder in found.values()}) > 1:
        raise NotSupported(
            f"expected one tokenizer for all texts of an exported student, got {len(found)} ({', '.join(found)})",
            "read all texts with one tokenizer, or say export: {onnx: false} (onnx=False in Python)",
        )
    return next(iter(found.values()), None)


def token_names(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """What a graph takes of a text: of a pair its segments too."""
    pair = ("token_type_ids",) if len(spec["columns"]) > 1 else ()
    return ("input_ids", "attention_mask", *pair)


def add_parts(graph: Graph, spec: Mapping[str, Any], reserved: Set[str]) -> list[str]:
    """Add the inputs and preprocessing of every part and return the names of what the network takes, in order."""
    encoded: list[str] = []
    for part, each in spec["parts"].items():
        before = len(graph.inputs)
        if each["kind"] == "text":
            encoded += add_tokens(graph, [f"{part}.{name}" for name in token_names(each)], f"{part}.length")
        else:
            taken = reserved | {facts["name"] for facts in graph.inputs}
            encoded.append(add_preprocessing(graph, each, taken, part))
        for facts in graph.inputs[before:]:
            facts["part"] = part
    return encoded


def trace_parts(module: nn.Module, preprocess: Preprocess, tasks: Mapping[str, Task], example: Any) -> Traced:
    """Trace a network of parts, rows and lengths of texts free; raises NotSupported for what ONNX cannot hold."""
    import torch

    from limbeck.models.text.tokens import rows_of

    specs = {name: part.spec for name, part in preprocess.parts.items()}
    names = {part: token_names(s) if s["kind"] == "text" else ("",) for part, s in specs.items()}
    asked: Callable[..., Any] = getattr(module, "graph_answers", module)

    class Heads(torch.nn.Module):
        """The outputs of a network of parts in the order of the tasks."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
            left = list(given)
            inputs: dict[str, Tensor] = {}
            for part, taken in names.items():
                mine, left = left[: len(taken)], left[len(taken) :]
                inputs[part] = rows_of(dict(zip(taken, mine, strict=True))) if taken != ("",) else mine[0]
            outputs = to_outputs(asked(inputs), list(tasks))
            return tuple(outputs[head] for head in tasks)

    tensors: dict[str, Tensor] = {}
    axes: list[tuple[str, ...]] = []
    for number, (part, taken) in enumerate(names.items()):
        if taken == ("",):
            tensors[f"part_{number}"] = torch.from_numpy(_rows(preprocess.parts[part], part, example))
            axes.append(("batch",))
            continue
        mask = torch.tensor(_MASKS)
        for name in taken:
            tensors[f"part_{number}_{name}"] = mask if name == "attention_mask" else torch.zeros_like(mask)
            axes.append(("batch", f"length_{number}"))
    return traced_with(Heads(), tensors, tasks, axes)


def _rows(preprocess: Preprocess, part: str, example: Any) -> np.ndarray[Any, Any]:
    shape = (len(_MASKS), *preprocess.shape)
    if not isinstance(example, Parts) or not len(example):
        return np.zeros(shape, dtype=np.float32)
    return np.resize(preprocess.encode(example[: len(_MASKS)][part]), shape).astype(np.float32)


def about_parts(preprocess: Preprocess) -> dict[str, Any]:
    """What the file says of its parts: kinds, and the columns of texts and tables."""
    return {
        name: {"kind": part.spec["kind"], "columns": list(part.spec.get("columns", []))}
        for name, part in preprocess.parts.items()
    }
