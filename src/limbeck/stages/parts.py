"""What a teacher takes of rows of parts: all of them by name, or those that it was told to take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.core.kinds import suggest
from limbeck.core.parts import Parts

if TYPE_CHECKING:
    from limbeck.data.data import Data


def refuse_parts(chosen: Sequence[str] | None, kind: str) -> None:
    """Refuse parts for a teacher of other rows; raises ConfigError."""
    if chosen is not None:
        raise ConfigError(
            f"expected rows of several parts for a teacher that takes {', '.join(chosen)}, got rows of kind {kind}",
            "leave parts out",
        )


def chosen_of(parts: Sequence[str] | None, data: Data) -> tuple[str, ...]:
    """The parts that a teacher takes; raises ConfigError for one that there is not."""
    inputs = data.train.inputs
    assert isinstance(inputs, Parts)
    if parts is None:
        return inputs.names
    chosen = (parts,) if isinstance(parts, str) else tuple(parts)
    unknown = next((name for name in chosen if name not in inputs), None)
    if unknown is not None or not chosen:
        raise ConfigError(
            f"expected a teacher that takes some of the parts {', '.join(inputs.names)}, got '{unknown or 'none'}'",
            suggest(str(unknown), inputs.names),
        )
    return chosen


def prepare_parts(model: Any, parts: Sequence[str] | None, how: str, data: Data) -> Callable[[Any], Any]:
    """From raw rows of parts to what a teacher takes: a mapping of the parts, or the one part that it was told to take.

    A torch module gets tensors, encoded by the preprocessing and by the tokenizers that it brings for texts; anything
    else gets raw arrays and frames, unless it asks for encoded ones.
    """
    from torch import nn

    chosen = chosen_of(parts, data)
    module = isinstance(model, nn.Module)
    encode = _encoder(model, chosen, data) if module and how != "raw" else _raw(data, chosen, module, how)
    alone = parts is not None and len(chosen) == 1

    def prepare(inputs: Parts) -> Any:
        made = {name: encode[name](inputs[name]) for name in chosen}
        return made[chosen[0]] if alone else Parts(made, inputs.kinds)

    return prepare


def _encoder(model: Any, chosen: Sequence[str], data: Data) -> Mapping[str, Callable[[Any], Any]]:
    import torch

    from limbeck.models.text.network import Tokenised

    brought = dict.fromkeys(chosen, model.encoder) if isinstance(model, Tokenised) else getattr(model, "encoders", {})
    found: dict[str, Callable[[Any], Any]] = {}
    for name in chosen:
        if name in brought:
            found[name] = _tokens(brought[name])
        elif data.preprocess.parts[name].spec["kind"] == "text":
            raise ConfigError(
                f"expected a teacher that brings a tokenizer for the text '{name}', {type(model).__name__} has none",
                f"give it an attribute encoders = {{'{name}': ...}}, choose other parts with lb.Teacher(model, "
                "parts=[...]), or give a callable that reads the raw rows",
            )
        else:
            found[name] = _numbers(data.preprocess.parts[name], torch.from_numpy)
    return found


def _tokens(encoder: Any) -> Callable[[Any], Any]:
    import torch

    return lambda part: torch.from_numpy(encoder.encode(part))


def _numbers(preprocess: Any, made: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda part: made(np.ascontiguousarray(preprocess.encode(part), dtype=np.float32))


def _raw(data: Data, chosen: Sequence[str], module: bool, how: str) -> Mapping[str, Callable[[Any], Any]]:
    from limbeck.stages.teachers import estimator_input, raw_tensor

    if how == "encoded":
        return {name: _numbers(data.preprocess.parts[name], lambda values: values) for name in chosen}
    return dict.fromkeys(chosen, raw_tensor if module else estimator_input)
