"""Run a model over tokenised batches to look at what its parts give: in eval mode, and left as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError
from limbeck.core.runtime import device_of

Tokens = Mapping[str, Any]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients inside the block; the mode of every submodule is restored."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training


def watch(
    model: nn.Module,
    batches: Iterable[Tokens],
    seen: Mapping[str, Callable[[Tensor, Tensor], None]],
    mask: Callable[[Tokens], Tensor | None],
) -> None:
    """Run batches and call `seen[path](input, output)` for every submodule named there.

    Input and output come as [tokens, D], valid tokens alone. Raises ConfigError where there is no batch.
    """
    state: dict[str, Tensor | None] = {"mask": None}
    hooks = [
        model.get_submodule(path).register_forward_hook(_hook(call, state), with_kwargs=True)
        for path, call in seen.items()
    ]
    device, count = device_of(model), 0
    try:
        with evaluating(model):
            for batch in batches:
                moved = {name: v.to(device) if isinstance(v, Tensor) else v for name, v in batch.items()}
                state["mask"] = mask(moved)
                model(**moved)
                count += 1
    finally:
        for hook in hooks:
            hook.remove()
    if not count:
        raise ConfigError(
            "expected at least one batch to look at the activations, got none",
            "give a list of tokenised mappings, for example [tokenizer(texts, padding=True, return_tensors='pt')]",
        )


def encoder_mask(batch: Tokens) -> Tensor | None:
    """Which tokens of a batch are no padding; None where all are valid."""
    return batch.get("attention_mask")


def decoder_mask(batch: Tokens) -> Tensor | None:
    """Which tokens of the decoder are no padding, from its own mask or the labels; None where all are valid."""
    mask, labels = batch.get("decoder_attention_mask"), batch.get("labels")
    if isinstance(mask, Tensor):
        return mask
    return labels != -100 if isinstance(labels, Tensor) else None


def _hook(call: Callable[[Tensor, Tensor], None], state: Mapping[str, Tensor | None]) -> Any:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given = args[0] if args else kwargs.get("hidden_states")
        made = output[0] if isinstance(output, tuple | list) else output
        if isinstance(made, Tensor):
            # what is called with other names (embeddings) is looked at for its output only
            given = given if isinstance(given, Tensor) else made
            call(_valid(given, state["mask"]), _valid(made, state["mask"]))

    return hook


def _valid(value: Tensor, mask: Tensor | None) -> Tensor:
    """The valid tokens of [B, L, D] as [tokens, D]."""
    if mask is None or mask.shape != value.shape[:2]:
        return value.reshape(-1, value.shape[-1])
    return value[mask.bool()]
