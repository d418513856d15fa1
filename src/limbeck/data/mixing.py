"""The order of rows on disk: chunks of about 1 MiB, drawn from all of the rows, shuffled together in windows.

A random row of a set larger than memory would be a read of its own. A window holds several chunks from anywhere, its
rows are permuted, and windows follow one another; a set that is no larger than one window is permuted as a whole, as
rows in memory are. Everything is a function of (seed, epoch, position), as in `order`.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from limbeck.data.counter import mix, mixed
from limbeck.data.ondisk import OnDisk
from limbeck.data.order import Order
from limbeck.data.rows import Array, take_inputs
from limbeck.data.stretches import CHUNK

WINDOW = 16 << 20  # bytes of rows that are shuffled together


class WindowOrder:
    """Rows 0 to n - 1 in windows of so many chunks; an epoch is a permutation."""

    def __init__(self, n: int, seed: int, chunk: int, chunks: int) -> None:
        self.n, self.chunk, self.chunks = n, min(chunk, n), max(chunks, 1)
        self._key = mix(mix(np.uint64(seed % (1 << 64))) ^ np.uint64(n))
        self._epoch: tuple[int, Array, Array] = (-1, np.empty(0, np.int64), np.empty(0, np.int64))
        self._window: tuple[int, int, Array] = (-1, -1, np.empty(0, np.int64))

    def indices(self, epoch: int, position: int, count: int) -> Array:
        """Positions of `count` rows, from a place in an epoch; fewer where the epoch ends."""
        _, starts = self._layout(epoch)
        parts: list[Array] = []
        stop = min(position + count, self.n)
        while position < stop:
            number = int(np.searchsorted(starts, position, side="right")) - 1
            rows, first = self._rows(epoch, number), int(starts[number])
            parts.append(rows[position - first : stop - first])
            position += len(parts[-1])
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def _layout(self, epoch: int) -> tuple[Array, Array]:
        """The chunks of an epoch in their order, and the position at which each window starts."""
        if self._epoch[0] != epoch:
            count = -(-self.n // self.chunk)
            order = np.argsort(mixed(mix(self._key ^ mix(np.uint64(2 * epoch))), count)).astype(np.int64)
            sizes = np.minimum(self.n - order * self.chunk, self.chunk)
            self._epoch = (epoch, order, (np.cumsum(sizes) - sizes)[:: self.chunks])
        return self._epoch[1], self._epoch[2]

    def _rows(self, epoch: int, number: int) -> Array:
        if self._window[:2] != (epoch, number):
            order, _ = self._layout(epoch)
            some = order[number * self.chunks : (number + 1) * self.chunks]
            rows = np.concatenate([np.arange(c * self.chunk, min((c + 1) * self.chunk, self.n)) for c in some])
            key = mix(self._key ^ mix(np.uint64(2 * epoch + 1)) ^ np.uint64(number))
            # hashes of distinct counters are distinct: no ties, one order on every machine
            self._window = (epoch, number, rows[np.argsort(mixed(key, len(rows)))])
        return self._window[2]


def order_of_rows(n: int, seed: int, row_bytes: int) -> Order | WindowOrder:
    """The order of n rows of that size: a permutation of all where they are one window."""
    if n * row_bytes <= WINDOW:
        return Order(n, seed, chunk=n)
    chunk = chunk_rows(row_bytes)
    return WindowOrder(n, seed, chunk, max(WINDOW // (chunk * row_bytes), 1))


def chunk_rows(row_bytes: int) -> int:
    """Rows that are read together."""
    return max(CHUNK // max(row_bytes, 1), 1)


class WindowReader:
    """Rows of inputs on disk for batches in that order: the chunks of a window stay in memory while it lasts.

    `borders` are the positions at which the streams of a feed begin, from which their chunks are counted. Arms train
    one after the other, each with a reader of its own: only the one that read last holds chunks.
    """

    _last: ClassVar[Callable[[], WindowReader | None]] = staticmethod(lambda: None)

    def __init__(self, inputs: OnDisk, borders: Sequence[int] = ()) -> None:
        self.inputs = inputs
        self.borders = np.array(sorted({0, *borders, len(inputs)}), dtype=np.int64)
        self.chunk = chunk_rows(inputs.row_bytes)
        counts = -(-np.diff(self.borders) // self.chunk)
        self.bases = np.cumsum([0, *counts])
        window = max(WINDOW // (self.chunk * inputs.row_bytes), 1) + 1
        self.most = int(np.minimum(counts, window).sum())
        self._held: OrderedDict[int, Any] = OrderedDict()

    def rows(self, index: Array) -> Any:
        """The inputs at positions [B], in memory."""
        stream = np.searchsorted(self.borders, index, side="right") - 1
        offset = index - self.borders[stream]
        number = self.bases[stream] + offset // self.chunk
        wanted = np.unique(number)
        if len(wanted) > self.most:  # not an order of windows
            return self.inputs.rows(index)
        if (other := WindowReader._last()) is not self:
            if other is not None:
                other._held.clear()
            WindowReader._last = weakref.ref(self)
        order = np.argsort(number, kind="stable")
        cuts = np.searchsorted(number[order], [*wanted, number.max(initial=0) + 1])
        inside = (offset % self.chunk)[order]
        parts = [
            take_inputs(self._chunk(int(each)), inside[first:stop])
            for each, first, stop in zip(wanted, cuts[:-1], cuts[1:], strict=True)
        ]
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        return take_inputs(self.inputs.one_of(parts), back)

    def _chunk(self, number: int) -> Any:
        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number]
        stream = int(np.searchsorted(self.bases, number, side="right")) - 1
        start = int(self.borders[stream]) + (number - int(self.bases[stream])) * self.chunk
        stop = min(start + self.chunk, int(self.borders[stream + 1]))
        while len(self._held) >= self.most:
            self._held.popitem(last=False)
        self._held[number] = self.inputs.rows(np.arange(start, stop))
        return self._held[number]
