"""How much each unit of an encoder is worth: by what it does on batches, or by its weights alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from limbeck.models.surgery.anatomy import Anatomy, Layer, Stack
from limbeck.models.surgery.probe import Tokens, encoder_mask, watch

BY_ACTIVATION, BY_WEIGHT = "mean absolute activation", "weight norm"


@dataclass(frozen=True)
class Importance:
    """Scores of units, in float64: of the hidden state, and for each layer of query and key, of values, of the FFN."""

    how: str
    hidden: Tensor
    scores: list[Tensor]
    values: list[Tensor]
    ffn: list[Tensor]

    def heads(self, layer: int, count: int) -> Tensor:
        """A score for each head of a layer: the sum over its values."""
        return self.values[layer].reshape(count, -1).sum(1)


def measure(model: nn.Module, anatomy: Anatomy, stack: Stack, batches: Iterable[Tokens] | None) -> Importance:
    """By activations where there are batches, else by weight norms; raises ConfigError where batches are empty."""
    if batches is None:
        return _by_weight(model, anatomy, stack)
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    watch(model, batches, _watched(model, stack, sums, counts), encoder_mask)
    mean = {path: total / max(counts[path], 1) for path, total in sums.items()}
    layers = stack.layers
    return Importance(
        BY_ACTIVATION,
        hidden=torch.stack([mean[path] for path in (_entry(model, stack), *(layer.path for layer in layers))]).mean(0),
        scores=[mean[layer.attention.query] * mean[layer.attention.key] for layer in layers],
        values=[mean[layer.attention.output] * _columns(model, layer.attention.output) for layer in layers],
        ffn=[mean[layer.ffn_out] * _columns(model, layer.ffn_out) for layer in layers],
    )


def _watched(
    model: nn.Module, stack: Stack, sums: dict[str, Tensor], counts: dict[str, int]
) -> dict[str, Callable[[Tensor, Tensor], None]]:
    """What to look at: outputs of layers, queries and keys, inputs of what reads the values and the FFN's units."""

    def note(path: str, use_input: bool) -> Callable[[Tensor, Tensor], None]:
        def seen(given: Tensor, made: Tensor) -> None:
            value = (given if use_input else made).double().abs()
            sums[path] = sums.get(path, torch.zeros(value.shape[-1], dtype=torch.float64)) + value.sum(0).cpu()
            counts[path] = counts.get(path, 0) + len(value)

        return seen

    made = [_entry(model, stack)]
    read = []
    for layer in stack.layers:
        made += [layer.path, layer.attention.query, layer.attention.key]
        read += [layer.attention.output, layer.ffn_out]
    return {path: note(path, False) for path in made} | {path: note(path, True) for path in read}


def _by_weight(model: nn.Module, anatomy: Anatomy, stack: Stack) -> Importance:
    layers = stack.layers
    return Importance(
        BY_WEIGHT,
        hidden=_hidden_by_weight(model, anatomy, layers),
        scores=[_rows(model, layer.attention.query) * _rows(model, layer.attention.key) for layer in layers],
        values=[_rows(model, layer.attention.value) * _columns(model, layer.attention.output) for layer in layers],
        ffn=[_rows(model, layer.ffn_in[0]) * _columns(model, layer.ffn_out) for layer in layers],
    )


def _hidden_by_weight(model: nn.Module, anatomy: Anatomy, layers: tuple[Layer, ...]) -> Tensor:
    """The mean over the matrices that read a unit of the share of their squared weights that it has."""
    tokens = _weight(model, anatomy.embeddings["tokens"])
    parts = [tokens.square().sum(0)] if tokens.shape[1] == anatomy.width else []
    for layer in layers:
        attention = layer.attention
        for path in (attention.query, attention.key, attention.value, *layer.ffn_in):
            parts.append(_weight(model, path).square().sum(0))
    return torch.stack([part / part.sum().clamp_min(1e-30) for part in parts]).mean(0)


def _entry(model: nn.Module, stack: Stack) -> str:
    """The path of what enters the first layer."""
    prefix = stack.path.removesuffix(stack.spec.layers)
    known = dict(model.named_modules())
    return next(prefix + name for name in stack.spec.entry if prefix + name in known)


def _weight(model: nn.Module, path: str) -> Tensor:
    weight = model.get_submodule(path).weight
    assert isinstance(weight, Tensor)
    return weight.detach().double().cpu()


def _rows(model: nn.Module, path: str) -> Tensor:
    """Norm of what goes into each unit, its bias included."""
    bias = model.get_submodule(path).bias
    total = _weight(model, path).square().sum(1)
    return (total + bias.detach().double().cpu().square() if isinstance(bias, Tensor) else total).sqrt()


def _columns(model: nn.Module, path: str) -> Tensor:
    """Norm of the weights that read each unit."""
    return _weight(model, path).square().sum(0).sqrt()
