"""Ask a module for its answers on many rows: in eval mode, without gradients, and left as it was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.core.errors import LimbeckError
from limbeck.core.parts import Parts, plain
from limbeck.core.runtime import device_of
from limbeck.models.outputs import to_outputs

_PIXELS = 1 << 20  # of the images that are answered at once


@runtime_checkable
class InParts(Protocol):
    """A module that is faster when rows come in parts of its choice."""

    def parts(self, inputs: Tensor) -> Sequence[Tensor]:
        """Positions of the rows of each part."""
        ...


class Sliced(Protocol):
    """Rows [N, ...] that are made as they are asked for."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, at: slice) -> Tensor:
        """Some of them."""
        ...


@contextmanager
def answering(model: nn.Module, parts: Sequence[nn.Module] | None = None) -> Iterator[nn.Module]:
    """Put every submodule in eval mode and gradients off; the mode of each is restored afterwards.

    `parts` are all submodules where they are known already.
    """
    modes = [(part, part.training) for part in (model.modules() if parts is None else parts)]
    if any(training for _, training in modes):
        model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        for part, training in modes:
            if part.training != training:
                part.training = training


@contextmanager
def told(who: str, inputs: Any) -> Iterator[None]:
    """Say of whatever goes wrong inside a user's model whose it is and what it was given; the cause stays with it.

    Raises LimbeckError.
    """
    try:
        yield
    except LimbeckError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise LimbeckError(
            f"expected {who} to answer {shown(inputs)}, it raised {type(error).__name__}: {first}",
            f"{_gets(inputs)}call it on such rows by itself to see where; lb.Teacher(model, inputs='raw') gives it the "
            "rows as they are, inputs='encoded' as the student takes them",
        ) from error


def _gets(inputs: Any) -> str:
    """That a model gets a table, and how it reads a column of it; "" for anything else."""
    if not hasattr(inputs, "columns"):
        return ""
    names = [repr(str(name)) for name in inputs.columns]
    column = f"the column {names[0]}" if len(names) == 1 else f"the columns {', '.join(names[:8])}"
    return f"it gets a DataFrame with {column}: read a column by its name, rows[{names[0]}]; "


def shown(inputs: Any) -> str:
    """What a model was given, in words: "64 rows (float32 [64, 13])"."""
    if hasattr(inputs, "columns"):
        names = [str(name) for name in inputs.columns]
        return f"a table of {len(inputs)} rows ({', '.join(names[:8])}{', ...' if len(names) > 8 else ''})"
    if hasattr(inputs, "shape") and hasattr(inputs, "dtype") and len(inputs.shape):
        return f"{len(inputs)} rows ({str(inputs.dtype).removeprefix('torch.')} {list(inputs.shape)})"
    if isinstance(inputs, Parts):
        return f"a mapping of the parts of {len(inputs)} rows ({', '.join(inputs)})"
    return f"inputs of type {type(inputs).__name__}"


def answer(model: nn.Module, inputs: Any) -> Any:
    """What a module says without gradients: one of text in parts of like length, so that padding costs little."""
    parts = model.parts(inputs) if isinstance(model, InParts) and isinstance(inputs, Tensor) else ()
    if len(parts) < 2:
        return model(plain(inputs))
    order = torch.cat(list(parts))
    said = [model(inputs[part]) for part in parts]
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    if isinstance(said[0], Tensor):
        return joined(said)[back]
    return {name: joined([part[name] for part in said])[back] for name in said[0]}


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Outputs of several batches [B, ...] as one; those with positions [B, T, C] are padded to the longest."""
    longest = max(part.shape[1] for part in parts) if parts[0].dim() == 3 else 0
    if longest:
        parts = [torch.nn.functional.pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts]
    return torch.cat(list(parts))


def at_once(shape: Sequence[int], batch_size: int = 1024) -> int:
    """Rows of a batch: fewer than asked for where they are large images [N, C, H, W], whose maps fill memory."""
    return min(batch_size, max(1, _PIXELS // (shape[2] * shape[3]))) if len(shape) == 4 else batch_size


def predict(
    model: nn.Module, inputs: Tensor | np.ndarray | Parts | Sliced, heads: Sequence[str], batch_size: int = 1024
) -> dict[str, np.ndarray]:
    """Outputs [N, C] ([N, T, C] of words) float32 of each head for inputs [N, ...], or parts of them, in batches."""
    tensor = torch.as_tensor(inputs) if isinstance(inputs, np.ndarray) else inputs
    if isinstance(tensor, Tensor):
        batch_size = at_once(tuple(tensor.shape), batch_size)
    device = device_of(model)
    parts: dict[str, list[Tensor]] = {head: [] for head in heads}
    with answering(model):
        for start in range(0, len(tensor), batch_size):
            outputs = to_outputs(answer(model, tensor[start : start + batch_size].to(device)), heads)
            for head in heads:
                parts[head].append(outputs[head].float().cpu())
    return {head: joined(found).numpy() if found else np.empty((0, 0), np.float32) for head, found in parts.items()}
