"""The parts of a transformers model by what they do: embeddings, layers, attention, feed-forward networks, norms.

    Anatomy.of(model).encoder.layers[0].attention.query    # "bert.encoder.layer.0.attention.self.query"

Everything is a path from the model, so that `model.get_submodule(path)` gives the module and `path + ".weight"` is a
name of the state dict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from limbeck.core.catalog import require
from limbeck.core.errors import ConfigError, NotSupported
from limbeck.core.kinds import suggest
from limbeck.models.surgery.families import FAMILIES, Family, Projections, StackSpec


@dataclass(frozen=True)
class Attention:
    """Paths of the linears of an attention; `fused` where one linear makes query, key and value."""

    query: str
    key: str
    value: str
    output: str

    @property
    def fused(self) -> bool:
        """Whether query, key and value are one linear (GPT-2)."""
        return self.query == self.key == self.value


@dataclass(frozen=True)
class Layer:
    """Paths of the parts of one layer; `ffn_in` holds two linears where the FFN is gated."""

    path: str
    attention: Attention
    cross: Attention | None
    ffn_in: tuple[str, ...]
    ffn_out: str
    norms: tuple[str, ...]


@dataclass(frozen=True)
class Stack:
    """A list of layers with its sizes and the names that the config has for them."""

    path: str
    layers: tuple[Layer, ...]
    norms: tuple[str, ...]
    heads: int
    kv_heads: int
    head_size: int
    ffn: int
    spec: StackSpec

    def __len__(self) -> int:
        return len(self.layers)


@dataclass(frozen=True)
class Anatomy:
    """Where the parts of one model are."""

    kind: str
    base: str
    width: int
    embeddings: Mapping[str, str]
    encoder: Stack | None
    decoder: Stack | None

    @classmethod
    def of(cls, model: nn.Module) -> Anatomy:
        """Find the parts of a transformers model.

        Raises ConfigError for what is no PreTrainedModel, NotSupported for an architecture that is not known,
        NotInstalled without transformers.
        """
        check_model(model)
        loose: Any = model
        config, base_module = loose.config, loose.base_model
        kind = str(config.model_type)
        family = _family(kind, model)
        base = next(path for path, module in model.named_modules() if module is base_module)
        find = _Finder(model, base, kind)
        encoder = _stack(find, family.encoder, family, config)
        decoder = _stack(find, family.decoder, family, config)
        if encoder is None and decoder is None:
            spec = family.encoder or family.decoder
            find.need(spec.layers if spec else "layers")
        embeddings = {name: find.one(paths) for name, paths in family.embeddings.items()}
        if embeddings["tokens"] is None:
            find.need(family.embeddings["tokens"][0])
        there = {name: path for name, path in embeddings.items() if path is not None}
        return cls(kind, base, int(config.hidden_size), there, encoder, decoder)

    @property
    def stacks(self) -> dict[str, Stack]:
        """The encoder and the decoder, those that there are."""
        return {name: s for name, s in (("encoder", self.encoder), ("decoder", self.decoder)) if s is not None}

    def under(self, path: str) -> str:
        """A path in the base model as a path in the model."""
        return f"{self.base}.{path}" if self.base else path


def tap_paths(model: nn.Module) -> dict[str, str]:
    """Names of taps of a model with one stack -> submodule paths.

    "hidden.0" is what enters the first layer, "hidden.I" what layer I gives, "query.I", "key.I" and "value.I" are its
    projections (I from 1). Raises NotSupported for an encoder-decoder.
    """
    anatomy = Anatomy.of(model)
    stacks = list(anatomy.stacks.values())
    find = _Finder(model, anatomy.base, anatomy.kind)
    entry = find.one(stacks[0].spec.entry)
    if len(stacks) != 1 or entry is None:
        raise NotSupported(
            f"expected an encoder or a decoder alone to name its taps, got the encoder-decoder {type(model).__name__}",
            "take the paths from Anatomy.of(model).encoder and .decoder",
        )
    taps = {"hidden.0": entry}
    for number, layer in enumerate(stacks[0].layers, start=1):
        taps[f"hidden.{number}"] = layer.path
        if not layer.attention.fused:
            for name in ("query", "key", "value"):
                taps[f"{name}.{number}"] = getattr(layer.attention, name)
    return taps


def check_model(model: nn.Module) -> None:
    """Refuse what is no model of transformers; raises ConfigError, NotInstalled."""
    transformers = require("transformers", "surgery on a transformers model")
    if not isinstance(model, transformers.PreTrainedModel):
        inner = [path for path, m in _modules(model) if isinstance(m, transformers.PreTrainedModel)]
        raise ConfigError(
            f"expected a transformers.PreTrainedModel, got {type(model).__name__}",
            f"hand in the model inside: model.get_submodule('{inner[0]}')"
            if inner
            else "load it with transformers.AutoModel.from_pretrained",
        )


def _modules(model: Any) -> list[tuple[str, nn.Module]]:
    return list(model.named_modules()) if isinstance(model, nn.Module) else []


def _family(kind: str, model: nn.Module) -> Family:
    if kind not in FAMILIES:
        near = suggest(kind, FAMILIES)
        known = f"known: {', '.join(FAMILIES)}"
        raise NotSupported(
            f"expected an architecture whose parts are known, got '{kind}' ({type(model).__name__})",
            f"{near}\n{known}" if near else known,
        )
    config: Any = model.config
    if getattr(config, "add_cross_attention", False):
        raise NotSupported(
            f"expected {type(model).__name__} without cross-attention, its config has add_cross_attention=True",
            "a decoder with cross-attention is known for t5, bart and marian only",
        )
    return FAMILIES[kind]


@dataclass(frozen=True)
class _Finder:
    """Looks for submodules of one model by paths in its base."""

    model: nn.Module
    base: str
    kind: str

    def one(self, paths: tuple[str, ...]) -> str | None:
        """The first of some paths that is there."""
        return next((found for path in paths if (found := self._find(path)) is not None), None)

    def need(self, path: str) -> str:
        """A path that must be there; raises NotSupported."""
        if (found := self._find(path)) is None:
            raise NotSupported(
                f"expected a submodule '{path}' in the {self.kind} {type(self.model).__name__}, there is none",
                "its parts lie elsewhere than in transformers' own model: only those are known",
            )
        return found

    def _find(self, path: str) -> str | None:
        whole = f"{self.base}.{path}" if self.base else path
        try:
            return whole if self.model.get_submodule(whole) is not None else None
        except AttributeError:
            return None


def _stack(find: _Finder, spec: StackSpec | None, family: Family, config: Any) -> Stack | None:
    if spec is None or (path := find.one((spec.layers,))) is None:
        return None
    modules: Any = find.model.get_submodule(path)
    layers = tuple(_layer(find, spec, n) for n in range(len(modules)))
    heads = int(getattr(config, spec.heads))
    kv_heads = int(getattr(config, family.kv_heads)) if family.kv_heads else heads
    size = getattr(config, family.head_size, None) if family.head_size else None
    width = int(config.hidden_size)
    ffn = getattr(config, spec.ffn) or 4 * width  # GPT-2 leaves n_inner open
    norms = tuple(found for name in spec.final_norms if (found := find.one((name,))) is not None)
    return Stack(path, layers, norms, heads, kv_heads, int(size or width // heads), int(ffn), spec)


def _layer(find: _Finder, spec: StackSpec, number: int) -> Layer:
    prefix = f"{spec.layers}.{number}"
    gates = next((names for names in spec.ffn_in if find.one((f"{prefix}.{names[0]}",)) is not None), spec.ffn_in[0])
    return Layer(
        path=find.need(prefix),
        attention=_attention(find, spec.attention, prefix),
        cross=_attention(find, spec.cross, prefix) if spec.cross else None,
        ffn_in=tuple(find.need(f"{prefix}.{name}") for name in gates),
        ffn_out=find.need(f"{prefix}.{spec.ffn_out}"),
        norms=tuple(find.need(f"{prefix}.{name}") for name in spec.norms),
    )


def _attention(find: _Finder, names: Projections, prefix: str) -> Attention:
    return Attention(**{f.name: find.need(f"{prefix}.{getattr(names, f.name)}") for f in fields(names)})
