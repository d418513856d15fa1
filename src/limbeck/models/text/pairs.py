"""A source and its target as one encoded row, and the way back: two blocks, each as wide as its longest row.

A row is int32 [T]: the tokens of the source, then those of the target with the segment bit, both with their end
tokens, -1 where there is no token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.models.text.tokens import IDS, PADDING, SEGMENT, Array, TextEncoder

IGNORED = 0  # token id of a target where there is none; masked everywhere


class PairEncoder(TextEncoder):
    """A tokenizer for sources and targets, both cut at `max_length` tokens."""

    def pairs(self, inputs: Any, targets: Sequence[str | None]) -> Array:
        """Sources (a table of one column) and targets as rows int32 [N, T]; without a target (None) the source alone.

        An empty target is a target: its end token is there to be learned.
        """
        sources = self.encode(inputs)
        there = [text for text in targets if text is not None]
        if not there:
            return sources
        ids = self.target_ids(there)
        mine = (sources >= 0).sum(1)
        theirs = np.zeros(len(sources), np.int64)
        theirs[[row for row, text in enumerate(targets) if text is not None]] = list(map(len, ids))
        out = np.full((len(sources), int((mine + theirs).max())), PADDING, np.int32)
        column = np.arange(out.shape[1])
        out[column < mine[:, None]] = sources[sources >= 0]
        target = (column >= mine[:, None]) & (column < (mine + theirs)[:, None])
        out[target] = np.fromiter((i for row in ids for i in row), np.int32, int(theirs.sum())) | (1 << SEGMENT)
        return out

    def target_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of texts to be written, cut, end tokens included."""
        ids: list[list[int]] = self.tokenizer(
            text_target=list(texts), truncation=True, max_length=self.max_length, padding=False,
            return_attention_mask=False,
        )["input_ids"]  # fmt: skip
        return ids

    def target_lengths(self, targets: Sequence[str]) -> Array:
        """Tokens int64 [N] that targets have before they are cut."""
        if not targets:
            return np.empty(0, np.int64)
        ids = self.tokenizer(text_target=list(targets), truncation=False, return_attention_mask=False, verbose=False)
        return np.fromiter(map(len, ids["input_ids"]), np.int64, len(targets))


def is_target(rows: Tensor) -> Tensor:
    """Where rows hold tokens of the target, bool [B, T]."""
    return (rows >= 0) & (rows >> SEGMENT == 1)


def block(rows: Tensor, here: Tensor, padding: int) -> tuple[Tensor, Tensor]:
    """The tokens of rows at the places `here` pushed to the left, int64 [B, W] and their mask; W is at least 1."""
    place = here.cumsum(1) - 1
    width = max(int(here.sum(1).max()) if len(rows) else 0, 1)
    ids = torch.full((len(rows), width), padding, dtype=torch.long, device=rows.device)
    at = here.nonzero(as_tuple=True)
    ids[at[0], place[at]] = (rows[at] & IDS).long()
    return ids, torch.arange(width, device=rows.device) < here.sum(1)[:, None]


def sources_of(rows: Tensor, padding: int) -> tuple[Tensor, Tensor]:
    """Ids int64 [B, S] and mask of the sources."""
    return block(rows, (rows >= 0) & (rows >> SEGMENT == 0), padding)


def targets_of(rows: Tensor, padding: int = IGNORED) -> tuple[Tensor, Tensor]:
    """Ids int64 [B, T] and mask of the targets, end tokens included."""
    return block(rows, is_target(rows), padding)
