"""Which token speaks for which word: the first one of a word, found by the tokenizer's own spans of characters.

The words of a row are read as one text with single spaces between them, so that any tokenizer works as it does on text
and two tokenizers agree on what a word is. Without torch: an exported student reads its words by the same rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

FURTHEST = (1 << 6) - 1  # words; a longer gap ends a row


def first_tokens(words: Sequence[Sequence[str]], spans: Iterable[Any]) -> list[Array]:
    """For each row how many words every first token of a word lies behind the word before [T], 0 for all other tokens.

    `spans` are the characters (start, end) of the tokens of each row, as a tokenizer says them of the joined words.
    """
    return [
        _steps(row, np.asarray(each, dtype=np.int64).reshape(-1, 2)) for row, each in zip(words, spans, strict=True)
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
