"""Reading columns: one vectorised gather a batch, from memory where a store is small, else from mapped files.

A store of up to 64 MiB (as float32) is read once into one array. A larger one is memory-mapped shard by shard, and
the pages that reading has touched are given back from time to time, so that resident memory does not grow with the
number of rows.
Either way a file's checksum is verified before its first use.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.core import files
from limbeck.core.errors import StoreDamaged
from limbeck.transfer.codecs import Array, Column
from limbeck.transfer.layout import FileRecord, Shard

if TYPE_CHECKING:
    from torch import Tensor

IN_MEMORY = 64 << 20  # bytes of a store that is held in memory, float16 counted as float32
RESIDENT = 256 << 20  # bytes of mapped pages that may stay resident
_LOOK_EVERY = 1 << 11  # rows (each may bring 64 KiB in) between two looks at the resident memory


class ColumnReader:
    """One column over all shards. Entries (rows, or positions of a ragged column) are counted over the whole store."""

    def __init__(
        self, folder: Path, column: Column, shards: Sequence[Shard], records: Mapping[tuple[int, int], FileRecord]
    ) -> None:
        self.folder = folder
        self.column = column
        self.shards = shards
        self.records = records
        self.counts = [self._count(shard) for shard in shards]
        self.starts = np.cumsum([0, *self.counts[:-1]], dtype=np.int64)[: len(shards)]
        self._whole: Tensor | None = None
        self._mapped: dict[int, tuple[mmap.mmap, Array]] = {}
        self._since = 0

    def _count(self, shard: Shard) -> int:
        """Entries of a shard; a ragged one that is not labelled yet has none."""
        if not self.column.ragged:
            return shard.rows
        record = self.records.get(shard.name)
        return 0 if record is None else record.size // self.column.row_bytes

    @property
    def entries(self) -> int:
        """Entries of all shards."""
        return sum(self.counts)

    def load(self) -> None:
        """Read the whole column into memory, verifying every shard; raises StoreDamaged."""
        import torch

        whole = np.empty((self.entries, self.column.width), dtype=self.column.dtype)
        for shard, start, entries in zip(self.shards, self.starts.tolist(), self.counts, strict=True):
            if shard.name not in self.records:
                continue  # not labelled yet, so never asked for
            part = whole[start : start + entries].reshape(-1).view(np.uint8).data
            record = self.records[shard.name]
            path = self.folder / record.name
            try:
                with path.open("rb", buffering=0) as file:
                    count = file.readinto(part)
                    longer = bool(file.read(1))
            except OSError as error:
                raise _damaged(path, shard, str(error.strerror)) from error
            if longer or count != record.size or files.checksum(part) != record.checksum:
                raise _damaged(path, shard, "its bytes are not those that were written")
        held = torch.from_numpy(whole)
        self._whole = held.float() if held.dtype == torch.float16 else held  # widened once, not in every batch

    def gather(self, rows: Array) -> Tensor:
        """Values [B, width] of rows int64 [B], float16 perhaps widened.

        Raises StoreDamaged before a wrong byte is used.
        """
        import torch

        if self._whole is not None:
            return self._whole.index_select(0, torch.from_numpy(rows))
        if len(self.shards) == 1:
            gathered = np.take(self._array(0), rows, axis=0)
        else:
            gathered = self._gather_grouped(rows)
        self._give_back(len(rows))
        return torch.from_numpy(gathered)

    def whole(self) -> Array:
        """The column [rows, width] as on disk: a mapped file where there is one shard, else an array in memory."""
        parts = [self._array(number) for number in range(len(self.shards))]
        if not parts:
            return np.empty((0, self.column.width), dtype=self.column.dtype)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _gather_grouped(self, rows: Array) -> Array:
        gathered = np.empty((len(rows), self.column.width), dtype=self.column.dtype)
        owner = self.starts.searchsorted(rows, side="right") - 1
        order = owner.argsort(kind="stable")
        ranked = owner[order]
        cuts = np.flatnonzero(ranked[1:] != ranked[:-1]) + 1
        for part in np.split(order, cuts):
            if len(part):
                number = int(owner[part[0]])
                gathered[part] = np.take(self._array(number), rows[part] - self.starts[number], axis=0)
        return gathered

    def _array(self, number: int) -> Array:
        """A mapped shard [rows, width], verified at its first use."""
        known = self._mapped.get(number)
        if known is not None:
            return known[1]
        shard = self.shards[number]
        record = self.records[shard.name]
        path = self.folder / record.name
        try:
            if path.stat().st_size != record.size or files.checksum(path) != record.checksum:
                raise _damaged(path, shard, "its bytes are not those that were written")
            if not record.size:  # no bytes to map: rows without a position
                return np.empty((0, self.column.width), dtype=self.column.dtype)
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise _damaged(path, shard, str(error.strerror)) from error
        array: Array = np.frombuffer(mapped, dtype=self.column.dtype).reshape(-1, self.column.width)
        self._mapped[number] = (mapped, array)
        return array

    def _give_back(self, rows: int) -> None:
        """Drop the touched pages of the mapped files from this process where they have become many."""
        self._since += rows
        if self._since < _LOOK_EVERY:
            return
        self._since = 0
        if resident_file_bytes() > RESIDENT:
            for mapped, _ in self._mapped.values():
                mapped.madvise(mmap.MADV_DONTNEED)  # shared and read-only: the page cache keeps them


def resident_file_bytes() -> int:
    """Bytes of file pages resident in this process; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[2]) * os.sysconf("SC_PAGE_SIZE")


def _damaged(path: Path, shard: Shard, why: str) -> StoreDamaged:
    return StoreDamaged(
        f"expected {path} to hold {shard} as written, but {why}",
        "label again into the same folder: only damaged shards are labelled again",
    )
