"""A frozen encoder with linear heads: only the heads are trained, on the mean of the encoder's last hidden state.

In training what the encoder says of a row is computed once, row by row, and kept: alone a row gives the same bits
whatever batch it stands in, so that a run that was killed goes on with the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import NotSupported
from limbeck.models.text.network import TextNetwork, read_model
from limbeck.models.text.tokens import TextEncoder, model_inputs, trimmed
from limbeck.signals import MAIN

_MOST = 1 << 29  # bytes of features that are kept


class Memory:
    """Features [D] of rows by their tokens; copies of a network share it, because they share the encoder's weights."""

    def __init__(self) -> None:
        self.known: dict[bytes, Tensor] = {}
        self.bytes = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Memory:
        return self

    def keep(self, key: bytes, feature: Tensor) -> None:
        """Remember the feature of a row, as long as there is room."""
        if self.bytes < _MOST:
            self.known[key] = feature
            self.bytes += feature.numel() * feature.element_size() + len(key)


class FrozenText(TextNetwork):
    """The base of a model of transformers, frozen and in eval mode, with a linear head for each task."""

    def __init__(
        self, model: nn.Module, encoder: TextEncoder, out_sizes: Mapping[str, int], memory: Memory | None = None
    ) -> None:
        super().__init__(model, encoder, out_sizes)
        if getattr(self.model.config, "is_encoder_decoder", False):
            raise NotSupported(
                f"expected an encoder or a decoder to freeze, got the encoder-decoder {type(model).__name__}",
                "keep_layers(encoder=..., decoder=...) makes it smaller",
            )
        if MAIN in out_sizes and len(out_sizes) == 1:
            self.heads[MAIN] = nn.Linear(self.width, out_sizes[MAIN])
        self.model.requires_grad_(False).eval()
        self.memory = memory

    def train(self, mode: bool = True) -> FrozenText:
        """The heads alone change their mode."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, rows: Tensor) -> Any:
        """Logits [B, C] of encoded rows [B, T]; the encoder is asked about rows that it has not seen."""
        watched = any(module._forward_hooks for module in self.model.modules())
        if self.memory is None or watched:
            return super().forward(rows)
        return self.judged(torch.stack([self._feature(self.memory, row) for row in rows.unsqueeze(1)]))

    def _feature(self, memory: Memory, row: Tensor) -> Tensor:
        alone = trimmed(row)
        key = alone.cpu().numpy().tobytes()
        if (kept := memory.known.get(key)) is not None:
            return kept.to(row.device)
        made = self.pooled(alone)[0]
        memory.keep(key, made)
        return made

    def answers(self, rows: Tensor) -> Tensor | dict[str, Tensor]:
        return self.judged(self.pooled(rows))

    def pooled(self, rows: Tensor) -> Tensor:
        """The mean over the tokens of each of the trimmed rows, [B, D]."""
        inputs = model_inputs(rows, self._segments, self._padding)
        return self.mean_of(self.model(**inputs).last_hidden_state, inputs["attention_mask"])

    def judged(self, features: Tensor) -> Tensor | dict[str, Tensor]:
        """Logits of features [B, D]."""
        said: dict[str, Tensor] = {name: head(features) for name, head in self.heads.items()}
        return said[MAIN] if list(said) == [MAIN] else said

    def notes(self) -> dict[str, Any]:
        """What limbeck.json says beside weights and tasks."""
        return {"network": "frozen"}

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> FrozenText:
        """As it was written; the encoder is asked about every row."""
        model, _ = read_model(folder, auto="AutoModel", settings={})
        made = cls(model, TextEncoder.load(folder, config["max_length"]), config["out_sizes"])
        made.load_heads(folder)
        return made
