"""Stretches of rows, in files and in memory.

Files are read with `pread` and never mapped: pages of a mapped file count as resident memory of the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from limbeck.core.errors import StoreDamaged
from limbeck.core.files import checksum
from limbeck.data.layouts import Array, FixedLayout, TextLayout

CHUNK = 1 << 20  # bytes that are read at once where rows follow one another
_GAP = 1 << 16  # bytes between two rows that are read and thrown away rather than read apart


class Part(Protocol):
    """Some rows in a row."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def read(self, at: Array) -> Any:
        """Inputs of rows at ascending positions [M]."""
        ...


@dataclass
class FilePart:
    """Rows in a file, checked against its checksum before the first of them is used."""

    path: Path
    rows: int
    layout: FixedLayout
    checksum: str
    sound: bool = False
    keeps: Any = None  # what must live as long as the file is read

    def __len__(self) -> int:
        return self.rows

    def read(self, at: Array) -> Any:
        """Inputs of rows at ascending positions [M]; raises StoreDamaged where the file is not as it was written."""
        width = self.layout.row_bytes
        self._verify()
        out = np.empty((len(at), width), dtype=np.uint8)
        try:
            fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                for first, stop in _runs(at, width):
                    start, count = int(at[first]), int(at[stop - 1] - at[first]) + 1
                    block = _pread(fd, count * width, start * width).reshape(-1, width)
                    out[first:stop] = block if count == stop - first else block[at[first:stop] - start]
            finally:
                os.close(fd)
        except (OSError, ValueError) as error:
            raise self._damaged(str(error)) from error
        return self.layout.unpack(out)

    def _verify(self) -> None:
        self.sound = self.sound or _verified(self.path, self.rows, self.checksum, self.rows * self.layout.row_bytes)

    def _damaged(self, why: str) -> StoreDamaged:
        return damaged(self.path, self.rows, why)


def _verified(path: Path, rows: int, expected: str, size: int | None) -> bool:
    """True where a file is as it was written, of that many bytes where they are known; raises StoreDamaged."""
    try:
        same = size is None or path.stat().st_size == size
        same = same and checksum(path) == expected
    except OSError as error:
        raise damaged(path, rows, str(error.strerror)) from error
    if not same:
        raise damaged(path, rows, "its bytes are not those that were written")
    return True


def damaged(path: Path, rows: int, why: str) -> StoreDamaged:
    """The error for rows that are not as they were written."""
    return StoreDamaged(
        f"expected {path} to hold {rows} rows as they were read from the stream, but {why}",
        f"delete the folder {path.parent}: the stream is read anew",
    )


@dataclass
class TextPart:
    """Rows of texts in a file, checked against its checksum before the first of them is used."""

    path: Path
    rows: int
    layout: TextLayout
    checksum: str
    sound: bool = False
    keeps: Any = None  # what must live as long as the file is read

    def __len__(self) -> int:
        return self.rows

    def read(self, at: Array) -> pd.DataFrame:
        """Texts of rows at ascending positions [M]; raises StoreDamaged where the file is not as it was written."""
        self._verify()
        index = self.layout.index
        try:
            fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                base = os.fstat(fd).st_size - self.rows * index.row_bytes
                places = np.empty((len(at), index.row_bytes), dtype=np.uint8)
                for first, stop in _runs(at, index.row_bytes):
                    start, count = int(at[first]), int(at[stop - 1] - at[first]) + 1
                    block = _pread(fd, count * index.row_bytes, base + start * index.row_bytes)
                    places[first:stop] = block.reshape(count, -1)[at[first:stop] - start]
                found = index.unpack(places)
                data = b"".join(self._texts(fd, found[:, 0], found[:, 1:].sum(axis=1)))
            finally:
                os.close(fd)
        except (OSError, ValueError) as error:
            raise self._damaged(str(error)) from error
        return self.layout.unpack(data, found[:, 1:])

    def _texts(self, fd: int, starts: Array, sizes: Array) -> Iterator[bytes]:
        """The bytes of rows, those that lie close together in one read."""
        if not len(starts):
            return
        gaps = starts[1:] - (starts[:-1] + sizes[:-1])
        cut = np.flatnonzero((gaps > _GAP) | (starts[1:] // CHUNK != starts[:-1] // CHUNK)) + 1
        for first, stop in pairwise([0, *cut.tolist(), len(starts)]):
            begin = int(starts[first])
            block = _pread(fd, int(starts[stop - 1] + sizes[stop - 1]) - begin, begin).tobytes()
            for start, size in zip(starts[first:stop].tolist(), sizes[first:stop].tolist(), strict=True):
                yield block[start - begin : start - begin + size]

    def _verify(self) -> None:
        self.sound = self.sound or _verified(self.path, self.rows, self.checksum, None)

    def _damaged(self, why: str) -> StoreDamaged:
        return damaged(self.path, self.rows, why)


@dataclass
class MemoryPart:
    """Rows in memory."""

    inputs: Any

    def __len__(self) -> int:
        return len(self.inputs)

    def read(self, at: Array) -> Any:
        """Inputs of rows at positions [M]."""
        return self.inputs.take(at) if isinstance(self.inputs, pd.DataFrame) else self.inputs[at]


def _runs(at: Array, width: int) -> Iterator[tuple[int, int]]:
    """Stretches (first, stop) of ascending positions that one read brings in: close together, not too long."""
    if not len(at):
        return
    near = max(_GAP // max(width, 1), 1)
    most = max(CHUNK // max(width, 1), 1)
    cut = np.flatnonzero((np.diff(at) > near) | (at[1:] // most != at[:-1] // most)) + 1
    bounds = [0, *cut.tolist(), len(at)]
    yield from pairwise(bounds)


def _pread(fd: int, count: int, offset: int) -> Array:
    """Bytes uint8 [count] of a file; raises ValueError where it ends before."""
    out = np.empty(count, dtype=np.uint8)
    view, done = out.data, 0
    while done < count:
        read = os.preadv(fd, [view[done:]], offset + done)
        if not read:
            raise ValueError("it ends too early")
        done += read
    return out
