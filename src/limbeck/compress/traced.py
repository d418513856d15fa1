"""The network inside an exported file: traced by torch, with a batch axis (and for text a length) that is free."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.core.errors import NotSupported
from limbeck.data.tasks import Task
from limbeck.models.outputs import check_width, to_outputs

if TYPE_CHECKING:
    from torch import Tensor, nn

    from limbeck.models.text.network import Tokenised

NET, WORDS = "net/", "limbeck/words"  # before names of the network; which words it answers for [batch, length]
_TRACED = ((1, 1, 1, 1, 1), (1, 1, 1, 0, 0), (0, 0, 1, 1, 0))  # masks of three texts; any ids will do


@dataclass(frozen=True)
class Traced:
    """A network as ONNX, and the names of the tensors that it takes, in their order."""

    model: Any
    inputs: tuple[str, ...]
    widths: tuple[int, ...]  # of the last axis of every head


def trace_rows(
    module: nn.Module, rows: np.ndarray[Any, Any], tasks: Mapping[str, Task], axes: tuple[str, ...] = ("batch",)
) -> Traced:
    """Trace a network on encoded rows [3, ...], `axes` free; raises NotSupported for what ONNX cannot hold."""
    import torch

    class Heads(torch.nn.Module):
        """The outputs of a network in the order of the tasks."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, encoded: Tensor) -> tuple[Tensor, ...]:
            outputs = to_outputs(self.inner(encoded), list(tasks))
            masks = [self.inner.masks(encoded)[head] for head in framed[:1]]  # type: ignore[operator]
            return (*(outputs[head] for head in tasks), *masks)

    framed = [head for head, task in tasks.items() if task.positions and task.kind != "segmentation"]

    return _trace(Heads(), {"encoded": torch.from_numpy(rows)}, tasks, axes)


def trace_tokens(module: Tokenised, tasks: Mapping[str, Task]) -> Traced:
    """Trace a network of text on ids and mask [B, T] and what else it takes (`graph_inputs`), both axes free.

    Padding may stand on either side of the tokens and be of any length. Raises NotSupported for what ONNX cannot hold.
    """
    import torch

    from limbeck.models.text.alignment import word_places
    from limbeck.models.text.tokens import rows_of

    names = ("input_ids", "attention_mask", *module.graph_inputs)
    of_words = any(task.kind == "tagging" for task in tasks.values())

    class Heads(torch.nn.Module):
        """The outputs of a network of text in the order of the tasks, then which words have an answer."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
            rows = rows_of(dict(zip(names, given, strict=True)))
            outputs = to_outputs(self.inner.graph_answers(rows), list(tasks))
            return (*(outputs[head] for head in tasks), *([word_places(rows)[1]] if of_words else []))

    mask = torch.tensor(_TRACED)
    example = {name: mask if name == "attention_mask" else torch.zeros_like(mask) for name in names}
    return _trace(Heads(), example, tasks, ("batch", "length"), given_as_list=True)


def _trace(
    heads: nn.Module, example: Mapping[str, Tensor], tasks: Mapping[str, Task], axes: tuple[str, ...], *,
    given_as_list: bool = False,
) -> Traced:  # fmt: skip
    return traced_with(heads, example, tasks, [axes for _ in example], given_as_list=given_as_list)


def traced_with(
    heads: nn.Module, example: Mapping[str, Tensor], tasks: Mapping[str, Task], axes: Sequence[tuple[str, ...]], *,
    given_as_list: bool = True,
) -> Traced:  # fmt: skip
    """Trace a module that gives the outputs of the tasks, `axes` of each input free: the first ones, by their names."""
    import torch

    device = next((p.device for p in heads.parameters()), torch.device("cpu"))
    given = tuple(tensor.to(device) for tensor in example.values())
    heads = heads.eval()
    with torch.no_grad():
        said = heads(*given)
    for (head, task), output in zip(tasks.items(), said, strict=False):
        check_width(output, task.size, head, "the student")
    dims = {name: torch.export.Dim(name) for some in axes for name in some if name}  # "" is an axis that is fixed
    shapes: Any = tuple({number: dims[name] for number, name in enumerate(some) if name} for some in axes)
    outputs = [*(f"{NET}{head}" for head in tasks), *([WORDS] if len(said) > len(tasks) else [])]
    tensors = dict(zip(example, given, strict=True))
    model = exported_by_torch(heads, tensors, (shapes,) if given_as_list else shapes, outputs, len(dims) > 1)
    return Traced(model, tuple(example), tuple(int(output.shape[-1]) for output in said[: len(tasks)]))


def exported_by_torch(
    module: nn.Module, example: Mapping[str, Tensor], shapes: Any, outputs: list[str], lengths: bool = True
) -> Any:
    """The ONNX model of a module, with the axes free that `shapes` name; raises NotSupported for what cannot be one."""
    import torch

    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                tuple(example.values()),
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=list(example),
                output_names=outputs,
                verbose=False,
            )
    except Exception as e:
        reason = str(e).strip().splitlines()
        raise NotSupported(
            f"expected a student that torch can export to ONNX, got: {reason[0] if reason else type(e).__name__}",
            "avoid control flow that depends on values and on the number of rows in forward"
            + (", or on their length" if lengths else ""),
        ) from e
    assert program is not None
    return program.model_proto


def in_float32(module: nn.Module) -> nn.Module:
    """The module, or its copy in float32 where weights are in half precision, which ONNX Runtime has no kernels for."""
    import torch

    halves = (torch.float16, torch.bfloat16)
    if not any(tensor.dtype in halves for tensor in (*module.parameters(), *module.buffers())):
        return module
    return copy.deepcopy(module).float()


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
