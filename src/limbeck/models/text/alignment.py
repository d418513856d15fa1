"""First tokens of words in encoded rows, and values at them.

In an encoded row the first token of a word (`starts`) carries, from bit 25 up, by how many words it lies behind the
word before it: 1, more where words in between have no token of their own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from limbeck.core.errors import ConfigError
from limbeck.models.text.starts import FURTHEST as FURTHEST

SHIFT = 25


def refuse_slow(tokenizer: Any) -> None:
    """Refuse a tokenizer that does not say where its tokens stand; raises ConfigError."""
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError(
            f"expected a tokenizer that says which characters a token stands for, {type(tokenizer).__name__} does not",
            "use the fast form of it (with a tokenizer.json), which tells words apart",
        )


def word_places(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Of encoded rows [B, T] the first token of each word [B, T], and which words have one, bool [B, T].

    Words are counted from 0; behind the last one stand zeros. Without steps that depend on values.
    """
    ahead = torch.where(rows >= 0, (rows >> SHIFT) & FURTHEST, 0).long()
    length = rows.shape[1]
    word = ahead.cumsum(1) - 1
    slot = torch.where((ahead > 0) & (word < length), word, length)
    tokens = torch.arange(length, device=rows.device).expand_as(slot)
    places = torch.zeros_like(torch.nn.functional.pad(slot, (0, 1))).scatter(1, slot, tokens)[:, :length]
    there = torch.zeros_like(torch.nn.functional.pad(slot, (0, 1))).scatter(1, slot, torch.ones_like(slot))[:, :length]
    return places, there > 0


def at_words(values: Tensor, places: Tensor) -> Tensor:
    """Values [B, W, D] of the first tokens of words, of values [B, T, D] of all tokens."""
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[-1]))
