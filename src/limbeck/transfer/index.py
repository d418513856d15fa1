"""From row keys to positions: a sorted table of 128-bit keys, looked up a batch at a time."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from limbeck.core.errors import StoreDamaged

Array: TypeAlias = "np.ndarray[Any, Any]"

KEY_BYTES = 24  # high word, low word, position: 8 bytes each


class KeyIndex:
    """Distinct keys in ascending order with the position of each; the arrays may be memory-mapped.

    `high` and `low` uint64 [N] are the words of the sorted keys, `place` int64 [N] the position of each.
    """

    def __init__(self, high: Array, low: Array, place: Array) -> None:
        self.high = high
        self.low = low
        self.place = place

    @classmethod
    def build(cls, keys: Array) -> KeyIndex:
        """Index keys [N, 2]; of equal keys the first one counts."""
        keys = as_keys(keys)
        order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable, so the first of equal keys stays first
        ranked = keys[order]
        first = np.ones(len(keys), dtype=bool)
        first[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
        ranked, order = ranked[first], order[first]
        return cls(np.ascontiguousarray(ranked[:, 0]), np.ascontiguousarray(ranked[:, 1]), order.astype(np.int64))

    def __len__(self) -> int:
        return len(self.high)

    def find(self, keys: Array) -> Array:
        """Positions int64 [B] of keys [B, 2]; -1 where a key is not there."""
        if not len(self.high):
            return np.full(len(keys), -1, dtype=np.int64)
        high, low = np.ascontiguousarray(keys[:, 0]), keys[:, 1]
        at = self.high.searchsorted(high)
        np.minimum(at, len(self.high) - 1, out=at)
        same = self.high[at] == high
        hit = same & (self.low[at] == low)
        if not hit.all():
            self._walk(at, hit, same, high, low)
            found: Array = np.where(hit, self.place[at], -1)
            return found
        return np.asarray(self.place[at])

    def _walk(self, at: Array, hit: Array, same: Array, high: Array, low: Array) -> None:
        """Go on through keys that share their high word; changes `at` and `hit` in place."""
        open_ = same & ~hit & (at + 1 < len(self.high))
        while open_.any():
            at[open_] += 1
            same = self.high[at] == high
            hit |= open_ & same & (self.low[at] == low)
            open_ &= same & ~hit & (at + 1 < len(self.high))

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


def as_keys(keys: Array) -> Array:
    """Check that an array is a table of keys uint64 [N, 2]; raises TypeError otherwise."""
    keys = np.asarray(keys)
    if keys.dtype != np.uint64 or keys.ndim != 2 or keys.shape[1] != 2:
        raise TypeError(f"row keys are uint64 [N, 2], got {keys.dtype} {list(keys.shape)}")
    return keys


def hex_key(key: Array) -> str:
    """One key [2] as 32 hexadecimal digits."""
    return f"{int(key[0]):016x}{int(key[1]):016x}"
