"""Small networks over tokens: a mean of embeddings, or convolutions over them, then a few layers and linear heads.

Of a pair each text is pooled by itself: u, v, |u - v| and u * v go on together. Tokens that mark the start or end of a
text are silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.models.text.network import Tokenised, quiet
from limbeck.models.text.tokens import TextEncoder, ids_of, segments_of
from limbeck.signals import MAIN

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Plan:
    """Everything that says what a small network is, beside its weights: `widths` are those of convolutions."""

    vocabulary: int
    dim: int
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    filters: int = 0
    widths: tuple[int, ...] = ()
    pair: bool = False
    silent: tuple[int, ...] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Plan:
        """From plain data, as `asdict` and JSON leave it."""
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in plain.items()}
        return cls(**values)

    @property
    def features(self) -> int:
        """Width of what is pooled of a row."""
        return (self.filters * len(self.widths) if self.widths else self.dim) * (4 if self.pair else 1)


class SmallText(Tokenised):
    """Embeddings, pooled to one vector a row; a body; one linear head a task."""

    budget = 1 << 16

    def __init__(self, plan: Plan, encoder: TextEncoder, out_sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.plan, self.encoder, self.out_sizes = plan, encoder, dict(out_sizes)
        self.embedding = nn.Embedding(plan.vocabulary, plan.dim)
        self.convolutions = nn.ModuleList(nn.Conv1d(plan.dim, plan.filters, width) for width in plan.widths)
        layers: list[nn.Module] = []
        width = plan.features
        for size in plan.hidden:
            layers += [nn.Linear(width, size), nn.ReLU()]
            width = size
        if plan.dropout:
            layers.append(nn.Dropout(plan.dropout))
        self.body = nn.Sequential(*layers)
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in out_sizes.items()})
        speaks = torch.ones(plan.vocabulary, dtype=torch.bool)
        speaks[list(plan.silent)] = False
        self.register_buffer("speaks", speaks, persistent=False)

    @property
    def graph_inputs(self) -> tuple[str, ...]:
        """The segments, of pairs: each text is pooled by itself."""
        return ("token_type_ids",) if self.plan.pair else ()

    def answers(self, rows: Tensor) -> Tensor | dict[str, Tensor]:
        """Logits [B, C] of trimmed rows [B, T], a mapping of them for several tasks."""
        features = self.body(self.pooled(rows))
        said = {name: head(features) for name, head in self.heads.items()}
        return said[MAIN] if list(said) == [MAIN] else said

    def pooled(self, rows: Tensor) -> Tensor:
        """Features [B, F] of trimmed rows, before the body."""
        ids = ids_of(rows)
        mask = (rows >= 0) & self.speaks[ids]  # type: ignore[index]
        vectors = self.embedding(ids)
        if not self.plan.pair:
            return self._pool(vectors, mask)
        second = segments_of(rows) > 0
        u, v = self._pool(vectors, mask & ~second), self._pool(vectors, mask & second)
        return torch.cat([u, v, (u - v).abs(), u * v], dim=1)

    def _pool(self, vectors: Tensor, mask: Tensor) -> Tensor:
        there = mask[..., None].to(vectors.dtype)
        vectors = vectors * there
        if not len(self.convolutions):
            return vectors.sum(1) / there.sum(1).clamp(min=1)
        found = self.convolved(vectors.transpose(1, 2))
        return torch.cat([(each.relu() * there.transpose(1, 2)).amax(2) for each in found], dim=1)

    def convolved(self, channels: Tensor) -> list[Tensor]:
        """What each convolution gives at every place, [B, filters, T], of embeddings [B, dim, T]."""
        found = []
        for width, convolution in zip(self.plan.widths, self.convolutions, strict=True):
            around = nn.functional.pad(channels, ((width - 1) // 2, width // 2))  # so that a place stays a place
            found.append(convolution(around))
        return found

    def notes(self) -> dict[str, Any]:
        """What limbeck.json says beside weights and tasks."""
        return {"network": "small", "plan": asdict(self.plan)}

    def files(self, folder: Path, names: Mapping[str, tuple[str, ...]]) -> None:
        """Write model.safetensors and the tokenizer; limbeck.json says the rest."""
        from safetensors.torch import save_file

        state = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(state, folder / WEIGHTS)
        with quiet():
            self.encoder.tokenizer.save_pretrained(folder)


def silent_ids(tokenizer: Any) -> tuple[int, ...]:
    """Ids of special tokens that say nothing about a text; the unknown token does."""
    return tuple(sorted(set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}))


def size_of(tokenizer: Any) -> int:
    """Rows that an embedding for a tokenizer needs."""
    return int(max(tokenizer.get_vocab().values(), default=0)) + 1
