"""Answers to every position of a row in a table of predictions: one cell holds a list of lists of numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.words import is_words, word_counts
from limbeck.transfer.codec import Array

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from limbeck.data.rows import Rows


_SHOWN = 3


@dataclass(frozen=True)
class RaggedAnswers:
    """Values [P, C] of all positions, one row after the other, and `starts` int64 [N + 1] of the rows."""

    values: Array
    starts: Array

    @property
    def lengths(self) -> Array:
        """Positions of each row."""
        return np.diff(self.starts)

    @property
    def owners(self) -> Array:
        """The row of each position."""
        return np.repeat(np.arange(len(self.starts) - 1), self.lengths)

    def padded(self, rows: Array) -> tuple[Tensor, Tensor]:
        """Values [B, T, C] of rows, zeros behind the end of each, and where they have positions, bool [B, T]."""
        import torch

        starts, lengths = self.starts[rows], self.lengths[rows]
        steps = np.arange(max(int(lengths.max(initial=0)), 1))
        mask = steps < lengths[:, None]
        out = np.zeros((*mask.shape, self.values.shape[1]), dtype=np.float32)
        out[mask] = self.values[(starts[:, None] + steps)[mask]]
        return torch.from_numpy(out), torch.from_numpy(mask)


def ragged_of(frame: pd.DataFrame, name: str, size: int) -> RaggedAnswers:
    """The lists of lists in the column of a head, as numbers; raises ConfigError for anything else."""
    if name not in frame.columns:
        raise ConfigError(
            f"expected a column '{name}' of predictions with one list of {size} numbers for every word, got the "
            f"columns {', '.join(str(c) for c in frame.columns[:6])}",
            "name the column as the task, and give each word the scores of all tags, in the order of the task",
        )
    cells = [_rows(cell, name, row, size) for row, cell in enumerate(frame[name])]
    values = np.concatenate(cells) if cells else np.empty((0, size))
    return RaggedAnswers(values, np.cumsum([0, *map(len, cells)], dtype=np.int64))


def refuse_counts(lengths: Array, parts: Sequence[Rows], labels: Array, name: str, column: str) -> None:
    """Refuse rows of words whose number of answers, of `lengths` [N], is not that of their words; raises ConfigError.

    `parts` are the rows in that order, and `labels` [N] their ids in the `column` of the table.
    """
    unknown = -1
    words = np.concatenate(
        [word_counts(rows.inputs) if is_words(rows.inputs) else np.full(len(rows), unknown) for rows in parts]
    )
    other = np.flatnonzero((words != unknown) & (lengths != words))
    if len(other):
        said = [f"{column} {labels[row]} has {words[row]} words, got {lengths[row]}" for row in other[:_SHOWN]]
        raise ConfigError(
            f"expected one list of scores for every word in the predictions of head '{name}', {len(other)} rows have "
            f"another number: {', '.join(said)}{', ...' if len(other) > _SHOWN else ''}",
            "give the scores of all words of a row, in the order of its words",
        )


def _rows(cell: Any, name: str, row: int, size: int) -> Array:
    try:
        entries = json.loads(cell) if isinstance(cell, str) else cell
        words = [np.asarray(entry, dtype=np.float64) for entry in entries]
    except (TypeError, ValueError):
        words = [np.empty(0)]
    if any(word.shape != (size,) for word in words):
        raise ConfigError(
            f"expected a list of {size} numbers for every word in the column '{name}', row {row} holds "
            f"{str(cell)[:60]!r}",
            "give the scores of all tags for each word, in the order of the task",
        )
    return np.stack(words) if words else np.empty((0, size))
