"""Which token speaks for which word: the first one of a word, found by the tokenizer's own spans of characters.

The words of a row are read as one text with single spaces between them, so that any tokenizer works as it does on text
and two tokenizers agree on what a word is. In an encoded row the first token of a word carries, from bit 25 up, by how
many words it lies behind the word before it: 1, more where words in between have no token of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.core.errors import ConfigError

Array = np.ndarray[Any, Any]

SHIFT = 25
FURTHEST = (1 << 6) - 1  # words; a longer gap ends a row


def first_tokens(words: Sequence[Sequence[str]], said: Any) -> list[Array]:
    """For each row the words it lies ahead [T] of every first token of a word, 0 for all other tokens.

    `said` is what a tokenizer gave for the joined texts with `return_offsets_mapping`.
    """
    return [
        _steps(row, np.asarray(spans, dtype=np.int64).reshape(-1, 2))
        for row, spans in zip(words, said["offset_mapping"], strict=True)
    ]


def _steps(row: Sequence[str], spans: Array) -> Array:
    """`spans` [T, 2] are the characters of each token; special tokens have none."""
    steps = np.zeros(len(spans), dtype=np.int32)
    if not len(row):
        return steps
    lengths = np.fromiter(map(len, row), np.int64, len(row))
    starts = np.cumsum(lengths + 1) - lengths - 1
    ends = starts + lengths
    # a token may bring the space before its word along: it speaks for the word behind
    place = starts.searchsorted(spans[:, 0], side="right") - 1
    place += (spans[:, 0] >= ends[place]) & (place + 1 < len(row))
    inside = (spans[:, 1] > spans[:, 0]) & (spans[:, 1] > starts[place]) & (spans[:, 0] < ends[place])
    tokens = np.flatnonzero(inside)
    first = tokens[np.unique(place[tokens], return_index=True)[1]]
    ahead = np.diff(place[first], prepend=-1)
    near = np.cumsum(ahead > FURTHEST) == 0
    steps[first[near]] = ahead[near]
    return steps


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
