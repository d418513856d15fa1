"""The order of rows in training: a two-level keyed permutation that can be entered anywhere.

Rows lie in chunks; an epoch permutes the chunks and the rows within each. Everything is a function of
(seed, epoch, position), so that a resumed run goes on exactly, any number of readers share one order, and a set larger
than memory is read chunk by chunk. The permutation sorts hashes of counters (splitmix64), not a library's generator,
whose streams may change between versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError, StoreMismatch
from limbeck.data.counter import mix, mixed
from limbeck.data.rows import Array

CHUNK = 16_384


class Order:
    """An endless stream of row numbers in which every epoch is a permutation of 0 to n - 1.

    Epochs follow one another without a gap, so that batches are always full, also where n is smaller than a batch.
    Reader `rank` of `world` takes the positions rank, rank + world, ... of the one stream.
    Raises ConfigError for n < 1 or a rank that is not below world.
    """

    def __init__(
        self, n: int, seed: int = 0, chunk: int = CHUNK, *, rank: int = 0, world: int = 1, fingerprint: str = ""
    ) -> None:
        if n < 1 or chunk < 1:
            raise ConfigError(f"expected at least one row and chunks of at least one row, got {n} and {chunk}")
        if not 0 <= rank < world:
            raise ConfigError(f"expected a rank from 0 to {world - 1}, got {rank}")
        self.n, self.seed, self.chunk = n, seed, min(chunk, n)
        self.rank, self.world = rank, world
        self.fingerprint = fingerprint
        self.epoch, self.position = 0, 0
        self._key = mix(mix(np.uint64(seed % (1 << 64))) ^ np.uint64(n))
        self._chunks: tuple[int, Array, Array] = (-1, np.empty(0, np.int64), np.empty(0, np.int64))
        self._current: tuple[int, int, Array] = (-1, 0, np.empty(0, np.int64))  # epoch, first position, rows
        self._rows: tuple[int, int, Array] = (-1, -1, np.empty(0, np.int64))

    def indices(self, epoch: int, position: int, count: int) -> Array:
        """The next `count` row numbers of this reader, int64, from a position of the shared stream on.

        `position` may run past the end of the epoch; the next position is `position + count * world`.
        """
        if self.world == 1:
            return self._stream(epoch, position, count)
        return self._stream(epoch, position, count * self.world)[self.rank :: self.world]

    def take(self, count: int) -> Array:
        """The next `count` row numbers of this reader; moves on."""
        out = self.indices(self.epoch, self.position, count)
        self.seek(self.epoch, self.position + count * self.world)
        return out

    def seek(self, epoch: int, position: int) -> None:
        """Go to a position of the shared stream."""
        if position >= self.n:
            epoch, position = epoch + position // self.n, position % self.n
        self.epoch, self.position = epoch, position

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as plain data."""
        return {
            "seed": self.seed, "epoch": self.epoch, "position": self.position, "rows": self.n, "chunk": self.chunk,
            "fingerprint": self.fingerprint,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go where a state says; raises StoreMismatch where it belongs to another stream."""
        own = self.state()
        for name in ("seed", "rows", "chunk", "fingerprint"):
            if state[name] != own[name]:
                raise StoreMismatch(
                    f"expected the order of {name} {own[name]!r}, the checkpoint was written for {state[name]!r}",
                    "resume with the same data and seed, or start anew in another folder",
                )
        self.seek(state["epoch"], state["position"])

    def _stream(self, epoch: int, position: int, count: int) -> Array:
        """Global positions [position, position + count) of the stream that starts with `epoch`."""
        at, first, rows = self._current
        if at == epoch and first <= position and position + count <= first + len(rows):
            return rows[position - first : position - first + count].copy()
        epoch, position = epoch + position // self.n, position % self.n
        parts = []
        while count > 0:
            number, first = self._locate(epoch, position)
            rows = self._chunk_rows(epoch, number)
            self._current = (epoch, first, rows)
            part = rows[position - first : position - first + count]
            parts.append(part)
            count -= len(part)
            position += len(part)
            if position == self.n:
                epoch, position = epoch + 1, 0
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def _locate(self, epoch: int, position: int) -> tuple[int, int]:
        """Which chunk holds a position of an epoch, and at which position it starts."""
        if self._chunks[0] != epoch:
            count = -(-self.n // self.chunk)
            order = np.argsort(mixed(mix(self._key ^ mix(np.uint64(2 * epoch))), count)).astype(np.int64)
            sizes = np.full(count, self.chunk, dtype=np.int64)
            sizes[order == count - 1] = self.n - (count - 1) * self.chunk
            self._chunks = (epoch, order, np.cumsum(sizes) - sizes)
        _, order, starts = self._chunks
        place = int(np.searchsorted(starts, position, side="right")) - 1 if len(starts) > 1 else 0
        return int(order[place]), int(starts[place])

    def _chunk_rows(self, epoch: int, number: int) -> Array:
        if self._rows[:2] != (epoch, number):
            first = number * self.chunk
            size = min(self.chunk, self.n - first)
            key = mix(self._key ^ mix(np.uint64(2 * epoch + 1)) ^ np.uint64(number))
            # hashes of distinct counters are distinct: no ties, one order on every machine
            self._rows = (epoch, number, np.argsort(mixed(key, size)).astype(np.int64) + first)
        return self._rows[2]
