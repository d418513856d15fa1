"""What a graph says of words, row by row: one answer for each word that the row has, O where it was cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from limbeck.data.tagging import OUTSIDE, flat_words, sure_of

Array = np.ndarray[Any, Any]


def by_row(values: Array, mask: Array, rows: Sequence[Sequence[str]], role: str, tags: Sequence[str]) -> list[Array]:
    """The answers [W, ...] of each row, of answers [N, T, ...] where `mask` [N, T] has one.

    `role` says what they are: label, logits or probabilities.
    """
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    outside = list(tags).index(OUTSIDE)
    blanks = {"label": outside, "logits": sure_of(outside, len(tags)), "probabilities": np.eye(len(tags))[outside]}
    flat = flat_words(values, mask, counts, blanks[role])
    ends = np.cumsum(counts)
    return [flat[end - count : end] for end, count in zip(ends, counts, strict=True)]
