"""How rows lie on disk: arrays of one dtype and shape, tables as records of their columns, texts of any length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd

Array: TypeAlias = "np.ndarray[Any, Any]"


class Layout(Protocol):
    """How large a row is on disk, and what it is."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, of rows of different lengths their mean."""
        ...

    @property
    def row_shape(self) -> tuple[Any, ...]:
        """The shape of a row, or the names of its columns."""
        ...


class FixedLayout(Layout, Protocol):
    """Rows of one width: what many of them are in memory."""

    def unpack(self, rows: Array) -> Any:
        """Inputs of rows uint8 [N, row_bytes]."""
        ...

    def pack(self, inputs: Any) -> Array:
        """Rows uint8 [N, row_bytes] of inputs."""
        ...


@dataclass(frozen=True)
class ArrayLayout:
    """Rows of one dtype (as numpy spells it, little-endian) and shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))

    @property
    def row_shape(self) -> tuple[Any, ...]:
        """The shape of a row."""
        return self.shape

    def unpack(self, rows: Array) -> Array:
        """Inputs [N, ...] of rows uint8 [N, row_bytes]."""
        return np.ascontiguousarray(rows).view(self.dtype).reshape(len(rows), *self.shape)

    def pack(self, inputs: Any) -> Array:
        """Rows uint8 [N, row_bytes] of inputs [N, ...]."""
        values = np.ascontiguousarray(inputs, dtype=self.dtype)
        return values.reshape(-1).view(np.uint8).reshape(len(values), self.row_bytes)


@dataclass(frozen=True)
class TableLayout:
    """Rows of a table: names of columns and their dtypes, side by side; of categories codes into their `values`."""

    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def _record(self) -> np.dtype[Any]:
        return np.dtype([(f"f{place}", dtype) for place, dtype in enumerate(self.dtypes)])

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(self._record.itemsize)

    @property
    def row_shape(self) -> tuple[Any, ...]:
        """The names of the columns."""
        return self.names

    def unpack(self, rows: Array) -> pd.DataFrame:
        """A table of N rows of rows uint8 [N, row_bytes]."""
        records = np.ascontiguousarray(rows).view(self._record).reshape(-1)
        columns: dict[str, Any] = {name: records[f"f{n}"].copy() for n, name in enumerate(self.names)}
        for name, values in self.values.items():
            columns[name] = np.array([*values, None], dtype=object)[columns[name]]
        return pd.DataFrame(columns)

    def pack(self, inputs: Any) -> Array:
        """Rows uint8 [N, row_bytes] of a table."""
        records = np.zeros(len(inputs), dtype=self._record)
        for place, name in enumerate(self.names):
            records[f"f{place}"] = inputs[name].to_numpy()
        return records.view(np.uint8).reshape(len(records), self.row_bytes)


@dataclass(frozen=True)
class TextLayout:
    """Rows of texts in UTF-8, those of a row side by side; behind all of them where each begins and their lengths.

    An index row is int64 [1 + K]: the offset of the row in the file, and the bytes of each of its K texts.
    """

    names: tuple[str, ...]
    mean: int = 0  # bytes of the texts of a row

    @property
    def index(self) -> ArrayLayout:
        """How the index lies on disk."""
        return ArrayLayout("<i8", (1 + len(self.names),))

    @property
    def row_bytes(self) -> int:
        """Bytes of one row with its entry in the index, on average."""
        return self.mean + self.index.row_bytes

    @property
    def row_shape(self) -> tuple[Any, ...]:
        """The names of the columns."""
        return self.names

    def pack(self, inputs: pd.DataFrame) -> tuple[bytes, Array]:
        """The bytes of rows one after the other, and the bytes of each text int64 [N, K]."""
        cells = [[str(cell).encode() for cell in inputs[name]] for name in self.names]
        lengths = np.array([[len(cell) for cell in column] for column in cells], dtype=np.int64).T
        return b"".join(cell for row in zip(*cells, strict=True) for cell in row), lengths.reshape(-1, len(self.names))

    def unpack(self, data: Any, lengths: Array) -> pd.DataFrame:
        """The table of rows whose bytes [sum of lengths] lie one after the other."""
        ends = np.cumsum(lengths.reshape(-1))
        starts = ends - lengths.reshape(-1)
        found = [bytes(data[first:stop]).decode() for first, stop in zip(starts.tolist(), ends.tolist(), strict=True)]
        texts = np.array([*found, None], dtype=object)[:-1].reshape(lengths.shape)
        return pd.DataFrame({name: texts[:, place] for place, name in enumerate(self.names)})
