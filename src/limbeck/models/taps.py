"""Taps: named inner features of a model, captured in the same forward pass that makes its outputs.

A tap is the name of a submodule ("body.2", "layer4.1"); it gives what that module returns. Attention maps come from
modules that return (output, weights), such as nn.MultiheadAttention, which is asked for its weights per head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from limbeck.core.errors import MissingSignal
from limbeck.core.kinds import suggest
from limbeck.core.parts import plain
from limbeck.models.predict import answering


@runtime_checkable
class Masked(Protocol):
    """A model that knows which positions of its inputs are real."""

    def mask(self, inputs: Any) -> Tensor:
        """True where a position is real, bool [B, T]."""
        ...


@runtime_checkable
class MaskedWords(Protocol):
    """A model some of whose outputs have positions of their own, such as words."""

    def masks(self, inputs: Any) -> dict[str, Tensor]:
        """True where a position of an output is real, bool [B, T] by output."""
        ...


@runtime_checkable
class Joining(Protocol):
    """A model that calls its inside more than once in a forward pass."""

    def joined(self, calls: Sequence[Tensor], inputs: Any) -> Tensor:
        """One tap of what the calls gave, in their order."""
        ...


@dataclass(frozen=True)
class Captured:
    """What one forward pass gave: the raw output, the taps and the attention maps."""

    raw: Any
    taps: dict[str, Tensor]
    attention: dict[str, Tensor]


def run(model: nn.Module, inputs: Any, taps: Sequence[str] = (), attention: Sequence[str] = ()) -> Captured:
    """Run a model once and capture the outputs of named submodules on the way.

    Raises MissingSignal for a name that the model has not, or a module that was not reached or returns no tensor.
    """
    if not taps and not attention:
        return Captured(model(plain(inputs)), {}, {})
    calls: dict[str, list[Tensor]] = {}
    maps: dict[str, Tensor] = {}
    handles: list[Any] = []
    all_calls = isinstance(model, Joining)
    try:
        for name in taps:
            handles.append(_module(model, name, "tap").register_forward_hook(_keeper(calls, name, all_calls)))
        for name in attention:
            module = _module(model, name, "attention")
            handles.append(module.register_forward_hook(_weight_keeper(maps, name)))
            if isinstance(module, nn.MultiheadAttention):
                handles.append(module.register_forward_pre_hook(_ask_for_weights, with_kwargs=True))
        raw = model(plain(inputs))
    finally:
        for handle in handles:
            handle.remove()
    found = {
        name: model.joined(each, inputs) if isinstance(model, Joining) else each[-1] for name, each in calls.items()
    }
    for name, kept in [*((n, found) for n in taps), *((n, maps) for n in attention)]:
        if name not in kept:
            raise MissingSignal(
                f"expected the module '{name}' to give a tensor in the forward pass, it gave none",
                "name a module that runs in forward and returns a tensor; `limbeck taps` lists them",
            )
    return Captured(raw, found, maps)


def list_taps(model: nn.Module, example: Any) -> dict[str, tuple[int, ...]]:
    """Names of all submodules that give a tensor, in the order in which they run, with shapes without the batch."""
    shapes: dict[str, tuple[int, ...]] = {}
    handles = []

    def note(name: str) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            tensor = _tensor(output)
            if tensor is not None:
                shapes.setdefault(name, tuple(tensor.shape[1:]))

        return hook

    try:
        for name, module in model.named_modules():
            if name:
                handles.append(module.register_forward_hook(note(name)))
        with answering(model):
            model(example)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _module(model: nn.Module, name: str, what: str) -> nn.Module:
    name = getattr(model, "tap_paths", {}).get(name, name)
    try:
        return model.get_submodule(name) if name else model
    except AttributeError:
        known = [path for path, _ in model.named_modules() if path]
        near = suggest(name, known)
        listed = f"there are: {', '.join(known[:12])}{', ...' if len(known) > 12 else ''}"
        raise MissingSignal(
            f"expected a module named '{name}' for the {what}, {type(model).__name__} has none",
            f"{near}\n{listed}" if near else listed,
        ) from None


def _tensor(output: Any) -> Tensor | None:
    if isinstance(output, tuple | list) and output:
        output = output[0]
    if isinstance(output, Tensor) and output.dim() > 0:
        return output
    return None


def _keeper(calls: dict[str, list[Tensor]], name: str, all_calls: bool) -> Any:
    def hook(_module: nn.Module, _args: Any, output: Any) -> None:
        tensor = _tensor(output)
        if tensor is not None:
            calls[name] = [*(calls.get(name, ()) if all_calls else ()), tensor]

    return hook


def _weight_keeper(maps: dict[str, Tensor], name: str) -> Any:
    def hook(_module: nn.Module, _args: Any, output: Any) -> None:
        if isinstance(output, tuple | list) and len(output) > 1 and isinstance(output[1], Tensor):
            maps[name] = output[1]

    return hook


def _ask_for_weights(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return args, {**kwargs, "need_weights": True, "average_attn_weights": False}
