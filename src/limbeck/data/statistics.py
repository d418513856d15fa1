"""Means, deviations and medians of inputs in memory and on disk, one way for both: equal rows give equal numbers.

Everything is gone through in stretches of rows whose length depends on the width of a row alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from limbeck.data.ondisk import OnDisk
from limbeck.data.rows import Array

Blocks: TypeAlias = "Callable[[], Iterable[Sequence[Array]]]"  # some rows of each group of columns, [n, D] each

_ROWS = 8192
_VALUES = 1 << 18  # numbers in a stretch
_HALF = 16  # bits
_COLUMNS = 32  # whose medians are found at once: 48 MiB of counts


def stretches(inputs: Any, width: int) -> Iterator[Any]:
    """Rows of an array or of inputs on disk, `width` numbers each, some at a time."""
    step = max(1, min(_ROWS, _VALUES // max(width, 1)))
    if isinstance(inputs, OnDisk):
        yield from inputs.chunks(step)
        return
    for start in range(0, len(inputs), step):
        yield inputs[start : start + step]


def moments(blocks: Blocks) -> list[tuple[Array, Array]]:
    """Mean and standard deviation [D] of each group of columns; a deviation of 0 becomes 1."""
    totals: list[Any] = []
    count = 0
    for block in blocks():
        totals = totals or [0.0] * len(block)
        count += len(block[0])
        totals = [total + part.sum(axis=0, dtype=np.float64) for total, part in zip(totals, block, strict=True)]
    means = [total / max(count, 1) for total in totals]
    squares = [np.zeros_like(mean) for mean in means]
    for block in blocks():
        for square, part, mean in zip(squares, block, means, strict=True):
            square += ((part - mean) ** 2).sum(axis=0)
    scales = [np.sqrt(square / max(count, 1)).astype(np.float32) for square in squares]
    return [(mean, np.where(scale > 0, scale, 1)) for mean, scale in zip(means, scales, strict=True)]


def medians(columns: Callable[[Sequence[int]], Iterable[Array]], wanted: Sequence[int]) -> dict[int, np.float32]:
    """The median of columns of float32 without their NaN, exact, in two passes and without holding them.

    `columns(numbers)` goes through some of them, [n, len(numbers)] at a time. The first pass counts the upper halves
    of numbers made whole so that their order stays, the second the lower halves where a middle number lies.
    """
    found: dict[int, np.float32] = {}
    for first in range(0, len(wanted), _COLUMNS):
        some = wanted[first : first + _COLUMNS]
        high = np.zeros((len(some), 1 << _HALF), dtype=np.int64)
        for place, codes in _codes(columns(some)):
            high[place] += np.bincount(codes >> _HALF, minlength=1 << _HALF)
        totals = high.sum(axis=1)
        ranks = np.stack([(totals - 1) // 2, totals // 2], axis=1)
        above = np.cumsum(high, axis=1)
        bins = np.array([np.searchsorted(line, rank, side="right") for line, rank in zip(above, ranks, strict=True)])
        low = np.zeros((len(some), 2, 1 << _HALF), dtype=np.int64)
        for place, codes in _codes(columns(some)):
            for side in (0, 1):
                inside = codes[codes >> _HALF == bins[place, side]] & ((1 << _HALF) - 1)
                low[place, side] += np.bincount(inside, minlength=1 << _HALF)
        for place, number in enumerate(some):
            pair = []
            for side in (0, 1):
                bin_ = int(bins[place, side])
                rest = ranks[place, side] - (above[place, bin_] - high[place, bin_])
                lower = int(np.searchsorted(np.cumsum(low[place, side]), rest, side="right"))
                pair.append((bin_ << _HALF) | lower)
            found[number] = np.median(_values(np.array(pair, dtype=np.uint32)))
    return found


def _codes(parts: Iterable[Array]) -> Iterator[tuple[int, Array]]:
    """The numbers of each column as int64 in their order, without NaN."""
    for part in parts:
        for place in range(part.shape[1]):
            values = part[:, place]
            bits = np.ascontiguousarray(values[~np.isnan(values)], dtype=np.float32).view(np.uint32)
            negative = bits >> 31 == 1
            yield place, np.where(negative, ~bits, bits | np.uint32(1 << 31)).astype(np.int64)


def _values(codes: Array) -> Array:
    """The float32 that codes stand for."""
    positive = codes >> 31 == 1
    return np.where(positive, codes ^ np.uint32(1 << 31), ~codes).astype(np.uint32).view(np.float32)
