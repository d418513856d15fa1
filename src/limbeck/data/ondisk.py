"""Inputs that stay on disk: rows are read when they are asked for, and only these.

Rows lie one after the other in files of fixed width (`layouts`), in several parts (`stretches`). A set may also hold
parts that are in memory, so that few labelled rows and very many unlabelled ones are one pool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ShapeMismatch
from limbeck.data.layouts import Array, ArrayLayout, Layout, TableLayout
from limbeck.data.stretches import CHUNK, MemoryPart, Part

HELD = 16 << 20  # bytes of a selection of rows that is read into memory rather than kept as a list of positions
_LOOKED_AT = 20_000  # rows of a sample


@dataclass(frozen=True, eq=False)
class OnDisk:
    """Inputs of N rows that are read when they are asked for.

    `parts` lie one after the other; `index` int64 [N] are positions over all of them, None for all in order. `dtypes`
    are what columns (or the whole array, under "") become when they are read. `keys` uint64 [M, 2] are those of all
    rows of the parts as they lie on disk, where they are known.
    """

    layout: Layout
    parts: tuple[Part, ...]
    index: Array | None = None
    dtypes: Mapping[str, Any] = field(default_factory=dict)
    keys: Array | None = None
    where: str = ""  # the rows lie, for people

    def __len__(self) -> int:
        return self._total if self.index is None else len(self.index)

    @property
    def _total(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row on disk."""
        return self.layout.row_bytes

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return len(self) * self.row_bytes

    @property
    def own_keys(self) -> Array | None:
        """The keys [N, 2] that were made when the rows were written; None where rows are read as something else."""
        if self.keys is None or self.dtypes:
            return None
        return self.keys if self.index is None else self.keys[self.index]

    def without_keys(self) -> OnDisk:
        """The same rows, without the keys that were made when they were written."""
        return replace(self, keys=None)

    def pick(self, at: Any) -> OnDisk:
        """The rows at positions [M] (or under a mask), still on disk."""
        at = np.asarray(at)
        at = np.flatnonzero(at) if at.dtype == bool else at.astype(np.int64, copy=False)
        return replace(self, index=at if self.index is None else self.index[at], keys=None)

    def rows(self, at: Any) -> Any:
        """The inputs at positions [M], in memory."""
        at = np.asarray(at, dtype=np.int64)
        where = at if self.index is None else self.index[at]
        bases = np.cumsum([0, *(len(part) for part in self.parts)])
        ascending = bool((where[1:] > where[:-1]).all())
        if ascending:
            unique, back = where, None
        else:
            unique, back = np.unique(where, return_inverse=True)
        cuts = np.searchsorted(unique, bases)
        found = [
            part.read(unique[first:stop] - base)
            for part, base, first, stop in zip(self.parts, bases, cuts[:-1], cuts[1:], strict=False)
            if stop > first
        ]
        whole = self.one_of([self._cast(each) for each in found])
        return whole if back is None else self._reordered(whole, back)

    def whole(self) -> Any:
        """All inputs, in memory."""
        return self.rows(np.arange(len(self)))

    def sample(self) -> Any:
        """Some of the inputs, evenly spread and never more than fit a selection in memory."""
        count = min(len(self), _LOOKED_AT, max(HELD // max(self.row_bytes, 1), 1))
        return self.rows(np.unique(np.linspace(0, len(self) - 1, count).astype(np.int64)))

    def chunks(self, rows: int | None = None) -> Iterator[Any]:
        """The inputs in their order, so many `rows` (about 1 MiB by default) at a time."""
        step = max(rows or CHUNK // max(self.row_bytes, 1), 1)
        for start in range(0, len(self), step):
            yield self.rows(np.arange(start, min(start + step, len(self))))

    def astype(self, dtypes: Mapping[str, Any]) -> OnDisk:
        """The same rows, read as other dtypes, by column ("" for an array)."""
        return replace(self, dtypes={**self.dtypes, **dtypes})

    def _cast(self, inputs: Any) -> Any:
        raise NotImplementedError

    def one_of(self, found: list[Any]) -> Any:
        """Inputs one after the other, as they were read."""
        raise NotImplementedError

    def _reordered(self, whole: Any, back: Array) -> Any:
        raise NotImplementedError


class DiskArray(OnDisk):
    """Rows of one shape [N, ...]."""

    @property
    def dtype(self) -> Any:
        """What its rows are read as."""
        assert isinstance(self.layout, ArrayLayout)
        return np.dtype(self.dtypes.get("", self.layout.dtype))

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, ...] of the rows as an array."""
        return (len(self), *self.layout.row_shape)

    @property
    def ndim(self) -> int:
        """How many axes the rows have as an array."""
        return len(self.shape)

    def __getitem__(self, at: Any) -> Any:
        """Rows by slice, positions or mask, in memory."""
        if isinstance(at, int | np.integer):
            return self.rows([at])[0]
        if isinstance(at, slice):
            return self.rows(np.arange(len(self))[at])
        at = np.asarray(at)
        return self.rows(np.flatnonzero(at) if at.dtype == bool else at)

    def _cast(self, inputs: Array) -> Array:
        return inputs.astype(self.dtype, copy=False)

    def one_of(self, found: list[Array]) -> Array:
        if not found:
            return np.empty((0, *self.layout.row_shape), dtype=self.dtype)
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _reordered(self, whole: Array, back: Array) -> Array:
        return whole[back]


class DiskTable(OnDisk):
    """Rows of a table."""

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self.layout.row_shape)

    def dtype_of(self, name: str) -> Any:
        """What a column is read as; categories are objects."""
        assert isinstance(self.layout, TableLayout)
        own = "O" if name in self.layout.values else self.layout.dtypes[self.layout.names.index(name)]
        return np.dtype(self.dtypes.get(name, own))

    def head(self) -> pd.DataFrame:
        """The first rows, enough to see what the columns are."""
        first: pd.DataFrame = self.rows(np.arange(min(len(self), 1000)))
        return first

    def __getitem__(self, names: list[str]) -> DiskTable:
        """The same rows; their columns have a fixed order, by which nothing is decided."""
        if sorted(names) != sorted(self.columns):
            raise ShapeMismatch(f"expected the columns {', '.join(self.columns)}, got {', '.join(names)}")
        return self

    def _cast(self, inputs: pd.DataFrame) -> pd.DataFrame:
        return inputs.astype(dict(self.dtypes)) if self.dtypes else inputs

    def one_of(self, found: list[pd.DataFrame]) -> pd.DataFrame:
        names = self.columns
        if not found:
            return pd.DataFrame({name: np.empty(0) for name in names})
        return (found[0] if len(found) == 1 else pd.concat(found))[names].reset_index(drop=True)

    def _reordered(self, whole: pd.DataFrame, back: Array) -> pd.DataFrame:
        return whole.take(back).reset_index(drop=True)


class DiskTexts(DiskTable):
    """Rows of texts."""

    def dtype_of(self, name: str) -> Any:
        """Objects."""
        return np.dtype("O")


def joined(parts: Sequence[Any]) -> OnDisk:
    """Inputs one after the other, some of which are on disk."""
    first = next(part for part in parts if isinstance(part, OnDisk))
    found: list[Part] = []
    index: list[Array] = []
    base, plain = 0, True
    for inputs in parts:
        if isinstance(inputs, OnDisk):
            own = _as_read(inputs, first)
            found += own
            count = sum(len(part) for part in own)
            plain = plain and inputs.index is None
            index.append((np.arange(count) if inputs.index is None else inputs.index) + base)
        else:
            found.append(MemoryPart(inputs))
            count = len(inputs)
            index.append(np.arange(count) + base)
        base += count
    return replace(first, parts=tuple(found), index=None if plain else np.concatenate(index), keys=None)


@dataclass
class _Recast:
    """A part of another set, read as that set reads it."""

    part: Part
    owner: OnDisk

    def __len__(self) -> int:
        return len(self.part)

    def read(self, at: Array) -> Any:
        return self.owner._cast(self.part.read(at))


def _as_read(inputs: OnDisk, first: OnDisk) -> list[Part]:
    same = dict(inputs.dtypes) == dict(first.dtypes) or not inputs.dtypes
    return list(inputs.parts) if same else [_Recast(part, inputs) for part in inputs.parts]
