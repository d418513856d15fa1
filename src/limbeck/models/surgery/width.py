"""Students that are narrower: fewer units of the hidden state, fewer heads, a smaller FFN, the most important kept.

    student = shrink(teacher, width=192, ffn=768, batches=batches)

A unit of the FFN or of a head is worth its mean absolute activation over the batches times the norm of the weights
that read it; a unit of the hidden state its mean absolute activation over all layers. Without batches the norms of
the weights stand in. What was used stands in the config as `shrunk_by`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError, NotSupported
from limbeck.models.surgery.anatomy import Anatomy, Layer, Stack
from limbeck.models.surgery.importance import Importance, measure
from limbeck.models.surgery.probe import Tokens
from limbeck.models.surgery.rebuild import M, rebuild, shapes


@dataclass(frozen=True)
class Sizes:
    """Hidden width, number of heads and FFN size of an encoder."""

    width: int
    heads: int
    ffn: int

    @property
    def head_size(self) -> int:
        """Units of one head: transformers derives it from the width."""
        return self.width // self.heads


def shrink(
    model: M,
    width: int | None = None,
    heads: int | None = None,
    ffn: int | None = None,
    batches: Iterable[Tokens] | None = None,
) -> M:
    """A new encoder with a smaller hidden width, fewer heads, a smaller FFN; `model` stays as it is.

    Sizes that are left out stay; with a width alone the size of a head stays and their number follows. `batches` are
    tokenised mappings to measure activations on. Removed units of heads and FFNs that are zero change nothing; those
    of the hidden state always take part in the norms: train the student afterwards. Raises ConfigError for sizes that
    do not go together, NotSupported for anything but an encoder.
    """
    anatomy = Anatomy.of(model)
    stack = anatomy.encoder
    if stack is None or anatomy.decoder is not None:
        raise NotSupported(
            f"expected an encoder to shrink in width, got the {anatomy.kind} {type(model).__name__}",
            "keep_layers makes decoders and encoder-decoders smaller",
        )
    old = Sizes(anatomy.width, stack.heads, stack.ffn)
    new = _sizes(old, width, heads, ffn)
    config = _config(model, anatomy, stack, new)
    importance = measure(model, anatomy, stack, batches)
    config.shrunk_by = importance.how
    return rebuild(model, config, _state(model, config, stack, old, new, importance))


def _sizes(old: Sizes, width: int | None, heads: int | None, ffn: int | None) -> Sizes:
    for name, value, most in (("width", width, old.width), ("heads", heads, old.heads), ("ffn", ffn, old.ffn)):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (whole and 1 <= value <= most):
            raise ConfigError(f"expected {name} from 1 to {most}, got {value!r}", f"leave it out to keep {most}")
    wide = width or old.width
    if heads is None and wide % old.head_size:
        raise ConfigError(
            f"expected a width in heads of {old.head_size} units, got {wide}",
            "give heads too: the width must be a multiple of their number",
        )
    new = Sizes(wide, heads or wide // old.head_size, ffn or old.ffn)
    if new.width % new.heads:
        raise ConfigError(
            f"expected a width that is a multiple of the {new.heads} heads, got {new.width}",
            f"for example width={new.width // new.heads * new.heads or new.heads}",
        )
    if new.head_size > old.head_size:
        raise ConfigError(
            f"expected heads of at most {old.head_size} units, got {new.width} / {new.heads} = {new.head_size}",
            "these encoders have width / heads units in a head: fewer heads need a smaller width",
        )
    return new


def _config(model: nn.Module, anatomy: Anatomy, stack: Stack, new: Sizes) -> Any:
    config: Any = copy.deepcopy(model.config)
    config.hidden_size = new.width
    setattr(config, stack.spec.heads, new.heads)
    setattr(config, stack.spec.ffn, new.ffn)
    size = getattr(config, "embedding_size", anatomy.width)
    if size == anatomy.width:
        if hasattr(config, "embedding_size"):
            config.embedding_size = new.width
        return config
    if size == new.width:
        raise ConfigError(
            f"expected a width other than the {size} of the embeddings, got {new.width}",
            "at equal widths this architecture has no projection between them: take another width",
        )
    return config


@dataclass(frozen=True)
class _Kept:
    """Units of one layer that are kept: of query and key, of the values, of the FFN."""

    scores: Tensor
    values: Tensor
    ffn: Tensor


def _state(
    model: nn.Module, config: Any, stack: Stack, old: Sizes, new: Sizes, importance: Importance
) -> dict[str, Tensor]:
    hidden = _best(importance.hidden, new.width)
    shared = sum(importance.heads(n, old.heads) for n in range(len(stack)))
    bias = [key for key in model.state_dict() if key.endswith("relative_attention_bias.weight")]
    chosen = _best(torch.as_tensor(shared), new.heads)
    axes: dict[str, list[tuple[int, Tensor]]] = {key: [(1, chosen)] for key in bias}
    for number, layer in enumerate(stack.layers):
        # MPNet has one bias of positions for all layers, by head: there every layer keeps the same heads
        kept = _kept(importance, number, old, new, chosen if bias else None)
        axes |= _layer_axes(layer, hidden, kept)
    wanted = shapes(model, config)
    scale = (new.head_size / old.head_size) ** 0.5
    queries = {f"{layer.attention.query}." for layer in stack.layers} if scale != 1 else set()
    state: dict[str, Tensor] = {}
    for key, value in model.state_dict().items():
        cuts = axes.get(key)
        if cuts is None:
            # outside the layers, what changes its size with the width lies along the hidden state
            cuts = [(axis, hidden) for axis, of in enumerate(value.shape) if key in wanted and wanted[key][axis] != of]
        for axis, index in cuts:
            value = value.index_select(axis, index.to(value.device)) if len(index) < value.shape[axis] else value
        # attention divides by the root of the head's size: the query makes up for its change
        state[key] = value * scale if key.rpartition(".")[0] + "." in queries else value
    return state


def _kept(importance: Importance, number: int, old: Sizes, new: Sizes, heads: Tensor | None) -> _Kept:
    heads = _best(importance.heads(number, old.heads), new.heads) if heads is None else heads
    pairs, values = importance.scores[number], importance.values[number]
    return _Kept(
        scores=_in_heads(pairs, heads, old.head_size, new.head_size),
        values=_in_heads(values, heads, old.head_size, new.head_size),
        ffn=_best(importance.ffn[number], new.ffn),
    )


def _in_heads(units: Tensor, heads: Tensor, old: int, new: int) -> Tensor:
    """The best units of each kept head, head by head."""
    return torch.cat([head * old + _best(units[head * old : (head + 1) * old], new) for head in heads.tolist()])


def _best(importance: Tensor, count: int) -> Tensor:
    """Numbers of the most important, ascending; of equals the first."""
    order = torch.argsort(importance, descending=True, stable=True)[:count]
    return order.sort().values


def _layer_axes(layer: Layer, hidden: Tensor, kept: _Kept) -> Mapping[str, list[tuple[int, Tensor]]]:
    """For every tensor of a layer which axis keeps which units."""
    attention = layer.attention
    rows = {attention.query: kept.scores, attention.key: kept.scores, attention.value: kept.values}
    rows |= dict.fromkeys(layer.ffn_in, kept.ffn)
    axes: dict[str, list[tuple[int, Tensor]]] = {}
    for path, units in rows.items():
        axes[f"{path}.weight"] = [(0, units), (1, hidden)]
        axes[f"{path}.bias"] = [(0, units)]
    for path, units in {attention.output: kept.values, layer.ffn_out: kept.ffn}.items():
        axes[f"{path}.weight"] = [(0, hidden), (1, units)]
        axes[f"{path}.bias"] = [(0, hidden)]
    for path in layer.norms:
        axes[f"{path}.weight"] = axes[f"{path}.bias"] = [(0, hidden)]
    return axes
