"""Rows of different length: flattened where they are written, gathered and padded where they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from limbeck.transfer.codec import Array, is_ragged
from limbeck.transfer.columns import ColumnReader
from limbeck.transfer.frames import OFFSETS
from limbeck.transfer.manifest import OutputSpec

if TYPE_CHECKING:
    from torch import Tensor

GAP = 0.0  # all scores of a position that has no answer but must keep its place


class RaggedReader:
    """The columns of one ragged output. `firsts` [shards] is the first row of each shard."""

    def __init__(self, offsets: ColumnReader, columns: Mapping[str, ColumnReader], firsts: Array) -> None:
        self.offsets = offsets
        self.columns = columns
        self.firsts = firsts
        self._bases = next(iter(columns.values())).starts

    def gather(self, rows: Array) -> tuple[dict[str, Tensor], Tensor]:
        """Columns [B, T, width] of rows int64 [B], zeros where a row has ended, and where answers are, bool [B, T].

        T is the length of the longest of these rows, at least 1. Raises StoreDamaged before a wrong byte is used.
        """
        import torch

        starts, lengths = self.spans(rows)
        longest = max(int(lengths.max(initial=0)), 1)
        steps = np.arange(longest)
        mask = steps < lengths[:, None]
        places = (starts[:, None] + steps)[mask]
        into = None if mask.all() else torch.from_numpy(np.flatnonzero(mask))
        found = {}
        for name, reader in self.columns.items():
            values = reader.gather(places)
            if into is not None:
                padded = values.new_zeros((mask.size, values.shape[1]))
                values = padded.index_copy_(0, into, values)
            found[name] = values.reshape(len(rows), longest, reader.column.width)
        there = torch.from_numpy(mask)
        return found, there & (found["values"] != GAP).any(-1) if "values" in found else there

    def spans(self, rows: Array) -> tuple[Array, Array]:
        """Where the positions of rows [B] start, counted over the store, and how many they are."""
        shard = self.firsts.searchsorted(rows, side="right") - 1
        begins = self.firsts[shard] == rows  # the first row of a shard starts at 0
        both = self.offsets.gather(np.concatenate([rows, np.where(begins, rows, rows - 1)])).numpy()[:, 0]
        ends, before = both[: len(rows)], both[len(rows) :]
        starts = np.where(begins, 0, before)
        return starts + self._bases[shard], ends - starts


class ShardColumns:
    """The columns of one shard while its batches come in; rows that are ragged are put one after the other."""

    def __init__(self, outputs: Sequence[OutputSpec], rows: int) -> None:
        self._fixed: dict[str, Array] = {}
        self._ragged: dict[str, list[Array]] = {}
        for output in outputs:
            for column in output.codec.columns(output.width):
                name = f"{output.head}.{column.name}"
                if column.ragged:
                    self._ragged[name] = [np.empty((0, column.width), dtype=column.dtype)]
                else:
                    self._fixed[name] = np.empty((rows, column.width), dtype=column.dtype)
        self._lengths = [output.head for output in outputs if is_ragged(output.codec)]

    def put(self, head: str, at: slice, columns: Mapping[str, Array], lengths: Array | None) -> None:
        """Take in the columns of a batch, in the order of its rows; `lengths` [B] of a ragged head."""
        for name, values in columns.items():
            whole = f"{head}.{name}"
            if whole in self._ragged:
                self._ragged[whole].append(values)
            else:
                self._fixed[whole][at] = values
        if lengths is not None:
            self._fixed[f"{head}.{OFFSETS}"][at, 0] = lengths

    def whole(self) -> dict[str, Array]:
        """Every column by "head.column", once all batches are in."""
        ends = {f"{h}.{OFFSETS}": self._fixed[f"{h}.{OFFSETS}"].cumsum(axis=0, dtype="<i8") for h in self._lengths}
        return self._fixed | ends | {name: np.concatenate(parts) for name, parts in self._ragged.items()}
