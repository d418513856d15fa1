"""From row keys to positions: a sorted table of 128-bit keys, looked up a batch at a time."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from limbeck.core.errors import StoreDamaged

Array: TypeAlias = "np.ndarray[Any, Any]"

KEY_BYTES = 24  # high word, low word, position: 8 bytes each
_SMALL = 1 << 17  # keys up to which a binary search stays in the cache
_TABLE_BITS = 22  # at most 16 MiB
_STEPS = 8  # taken from the guess before a binary search


class KeyIndex:
    """Distinct keys in ascending order with the position of each; the arrays may be memory-mapped.

    `high` and `low` uint64 [N] are the words of the sorted keys, `place` int64 [N] the position of each.
    """

    def __init__(self, high: Array, low: Array, place: Array) -> None:
        self.high = high
        self.low = low
        self.place = place
        self._table: Array | None = None
        self._shift = np.uint64(0)

    @classmethod
    def build(cls, keys: Array) -> KeyIndex:
        """Index keys [N, 2]; of equal keys the first one counts."""
        high, low = as_keys(keys).T.copy()  # contiguous words
        order = high.argsort()
        ranked = high[order]
        same = ranked[1:] == ranked[:-1]
        if same.any():  # equal keys, or different ones that share their high word
            order = _settled(order, same, low)
            lows = low[order]
            first = np.ones(len(order), dtype=bool)
            first[1:] = ~same | (lows[1:] != lows[:-1])
            order, ranked = order[first], ranked[first]
        return cls(ranked, low[order], order.astype(np.int64, copy=False))

    def part(self, kept: Array) -> KeyIndex:
        """The entries under a mask [N] in sorted order, with positions anew from 0 in the order they had."""
        place = self.place[kept]
        taken = np.zeros(int(place.max(initial=-1)) + 1, dtype=np.int64)
        taken[place] = 1
        return KeyIndex(self.high[kept], self.low[kept], (taken.cumsum() - 1)[place])

    def positions_in(self, other: KeyIndex) -> Array:
        """For each of these keys, by its own position, its position in another index (-1: not there)."""
        same = len(self) == len(other) and np.array_equal(self.high, other.high) and np.array_equal(self.low, other.low)
        found = np.empty(len(self), dtype=np.int64)
        found[self.place] = other.place if same else other.find(self.sorted_keys())
        return found

    def sorted_keys(self) -> Array:
        """The keys uint64 [N, 2] in ascending order."""
        return np.stack([self.high, self.low], axis=1)

    def __len__(self) -> int:
        return len(self.high)

    def find(self, keys: Array) -> Array:
        """Positions int64 [B] of keys [B, 2]; -1 where a key is not there."""
        if not len(self.high):
            return np.full(len(keys), -1, dtype=np.int64)
        high, low = keys.T.copy()  # contiguous words
        at = self._guess(high) if len(self.high) > _SMALL else self.high.searchsorted(high)
        hit = (self.high.take(at, mode="clip") == high) & (self.low.take(at, mode="clip") == low)
        if not hit.all():
            self._search(at, hit, high, low)
            found: Array = np.where(hit, self.place.take(at, mode="clip"), -1)
            return found
        return self.place.take(at)

    def _guess(self, high: Array) -> Array:
        """Where each high word probably lies: keys are hashes, so a table over their first bits is nearly right."""
        if self._table is None:
            bits = max(1, min(len(self.high).bit_length() + 1, _TABLE_BITS))
            self._shift = np.uint64(64 - bits)
            counts = np.bincount((self.high >> self._shift).view(np.int64), minlength=1 << bits)
            self._table = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.uint32)
        at = self._table.take((high >> self._shift).view(np.int64)).astype(np.int64)
        pending = np.flatnonzero(self.high.take(at, mode="clip") < high)
        for _ in range(_STEPS):
            if not len(pending):
                break
            at[pending] += 1
            pending = pending[self.high.take(at[pending], mode="clip") < high[pending]]
        return at

    def _search(self, at: Array, hit: Array, high: Array, low: Array) -> None:
        """Settle by binary search, then through keys that share their high word; changes `at` and `hit`."""
        open_ = np.flatnonzero(~hit)
        at[open_] = self.high.searchsorted(high[open_])
        while len(open_):
            inside = at[open_] < len(self.high)
            open_ = open_[inside]
            same = self.high[at[open_]] == high[open_]
            open_ = open_[same]
            found = self.low[at[open_]] == low[open_]
            hit[open_[found]] = True
            open_ = open_[~found]
            at[open_] += 1

    def keys(self) -> Array:
        """The keys uint64 [N, 2] by position; only where the positions are 0 to N - 1."""
        keys = np.empty((len(self), 2), dtype=np.uint64)
        keys[self.place, 0] = self.high
        keys[self.place, 1] = self.low
        return keys

    def to_bytes(self) -> bytes:
        """The three arrays one after the other, little-endian."""
        parts = (self.high.astype("<u8"), self.low.astype("<u8"), self.place.astype("<i8"))
        return b"".join(part.tobytes() for part in parts)

    @classmethod
    def from_buffer(cls, buffer: Array) -> KeyIndex:
        """The index in the bytes [24 N] that `to_bytes` gave, without a copy."""
        if len(buffer) % KEY_BYTES:
            raise StoreDamaged(
                f"expected a key file of {KEY_BYTES} bytes a row, got {len(buffer)} bytes",
                "label again into a new folder",
            )
        n = len(buffer) // KEY_BYTES
        words = buffer.view("<u8")
        return cls(words[:n], words[n : 2 * n], words[2 * n :].view("<i8"))


def _settled(order: Array, same: Array, low: Array) -> Array:
    """An order by high word, with the runs that share one (`same` [N - 1]) put in order of low word, then position."""
    run = np.zeros(len(order), dtype=bool)
    run[1:] |= same
    run[:-1] |= same
    number = np.zeros(len(order), dtype=np.int64)
    number[1:] = np.cumsum(~same)
    some = order[run]
    order = order.copy()
    order[run] = some[np.lexsort((some, low[some], number[run]))]
    return order


def as_keys(keys: Array) -> Array:
    """Check that an array is a table of keys uint64 [N, 2]; raises TypeError otherwise."""
    keys = np.asarray(keys)
    if keys.dtype != np.uint64 or keys.ndim != 2 or keys.shape[1] != 2:
        raise TypeError(f"row keys are uint64 [N, 2], got {keys.dtype} {list(keys.shape)}")
    return keys


def hex_key(key: Array) -> str:
    """One key [2] as 32 hexadecimal digits."""
    return f"{int(key[0]):016x}{int(key[1]):016x}"
