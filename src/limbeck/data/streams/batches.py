"""What a stream gives, some rows at a time and read as any other split: shards, rows and batches become `Raw`.

The first rows say what the columns mean; those that follow are read alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError, LimbeckError
from limbeck.data.columns import LABELS, Columns, NamedColumns
from limbeck.data.datasets import of_dataset
from limbeck.data.images import pixels_of
from limbeck.data.raw import Raw, of_frame
from limbeck.data.streams.shards import TARS, Shard
from limbeck.data.streams.tars import LABEL, refuse_clips, rows_of_tar

_BYTES = 2 << 20  # of rows that are read at once
_ROWS = 4096
_INPUTS = ("npy", "png", "jpg", "jpeg", "image", "img", "x", "inputs")


@dataclass
class Batches:
    """Reads a stream; remembers what the first rows were, so that all others are held against them."""

    split: str
    columns: Columns | None
    size: tuple[int, int] | None
    batches: bool | None = None
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    before: tuple[int, ...] = ()  # the shape of the rows that an earlier process read
    _shapes: dict[Any, tuple[int, ...]] = field(default_factory=dict)

    def of_shard(self, shard: Shard) -> Iterator[Raw]:
        """The rows of a shard; raises ConfigError naming it."""
        if shard.ending in TARS:
            rows = ((f"row {stem} of {shard.path}", row) for stem, row in rows_of_tar(shard.path, self.size))
            yield from self._of_rows(rows, str(shard.path))
            return
        seen = 0
        for frame in self._tables(shard):
            count = len(frame) if isinstance(frame, pd.DataFrame) else len(frame.inputs)
            yield self._told(f"rows {seen} to {seen + count - 1} of {shard.path}", frame)
            seen += count

    def of_tar(self, path: Path) -> Iterator[tuple[list[str], Raw]]:
        """The rows of a tar with the stem of each; raises ConfigError naming it."""
        stems: list[str] = []

        def rows() -> Iterator[tuple[str, Any]]:
            for stem, row in rows_of_tar(path, self.size):
                stems.append(stem)
                yield f"row {stem} of {path}", row

        for raw in self._of_rows(rows(), str(path)):
            count = len(raw.inputs)
            yield stems[:count], raw
            del stems[:count]

    def of_items(self, items: Iterable[Any]) -> Iterator[Raw]:
        """What an iterable gives; raises ConfigError naming the row or batch."""
        numbered = enumerate(items)
        first = next(numbered, None)
        if first is None:
            return
        self.classes = _class_names(items)
        whole = _is_batch(first[1]) if self.batches is None else self.batches
        everything = _again(first, numbered)
        if whole:
            for number, item in everything:
                yield self._told(f"batch {number}", _plain(item))
        else:
            rows = ((f"row {number}", self._named(item)) for number, item in everything)
            yield from self._of_rows(rows, "the stream")

    def _of_rows(self, rows: Iterable[tuple[str, Any]], whole: str) -> Iterator[Raw]:
        held: list[Any] = []
        most, first = 0, ""
        for where, item in rows:
            row = self._same_shape(item, where)
            if not held:
                first, most = where, _at_once(row)
            held.append(row)
            if len(held) == most:
                yield self._told(f"{first} to {where}", held)
                held = []
        if held:
            yield self._told(f"{first} to the end of {whole}", held)

    def _same_shape(self, row: Any, where: str) -> Any:
        """A row whose arrays have the shape of those before; grey images among coloured ones become coloured."""
        parts: dict[Any, Any] = dict(row) if isinstance(row, Mapping) else {0: row}
        if isinstance(row, tuple | list):
            parts = dict(enumerate(row))
        for name, value in parts.items():
            value = pixels_of(value, self.size) if hasattr(value, "convert") and hasattr(value, "mode") else value
            shape = np.shape(value) if hasattr(value, "shape") else ()
            if not shape:
                continue
            grey = len(self.before) == 3 and shape == self.before[:2]
            known = self._shapes.setdefault(name, self.before if grey else shape)
            if len(known) == 3 and len(shape) == 2 and shape == known[:2]:
                value = np.repeat(np.asarray(value)[..., None], known[2], axis=2)
            elif shape != known:
                called = f"'{name}'" if isinstance(row, Mapping) else "an array"
                raise ConfigError(
                    f"expected rows of one shape in {self.split}, got {called} of shape {shape} in {where} behind "
                    f"rows of {known}",
                    "resize or pad them (image_size=(height, width) resizes images), or leave the odd rows out",
                )
            parts[name] = value
        if isinstance(row, Mapping):
            return parts
        return tuple(parts.values()) if isinstance(row, tuple | list) else parts[0]

    def _named(self, row: Any) -> Any:
        """A row with the classes of a Hugging Face data set by name; -1 is how it says that there is none."""
        if isinstance(row, Mapping):
            for name, value in row.items():
                if (isinstance(value, Mapping) and "sampling_rate" in value) or hasattr(value, "get_all_samples"):
                    raise refuse_clips(f"in column '{name}'")
        if not self.classes or not isinstance(row, Mapping):
            return row
        return {n: self._class(v, self.classes[n]) if n in self.classes else v for n, v in row.items()}

    @staticmethod
    def _class(value: Any, names: tuple[str, ...]) -> Any:
        return None if value is None or value < 0 else names[int(value)]

    def _told(self, where: str, given: Any) -> Raw:
        """Rows as a split is read, with what is wrong told of where they stood."""
        from limbeck.data.sources import read

        try:
            if isinstance(given, Raw):
                raw = given
            elif isinstance(given, list):
                raw = of_dataset(given, self._columns_of(given[0]), self.split, self.size)
            elif isinstance(given, pd.DataFrame):
                raw = of_frame(given, self.columns, self.split, self.classes)
            else:
                raw = read(given, self.columns, self.split, size=self.size)
        except LimbeckError as error:
            raise ConfigError(f"{where}: {error.what}", error.todo) from error
        if raw.columns is not None:
            self.columns = raw.columns
        return raw

    def _columns_of(self, row: Any) -> Columns | None:
        """What the fields of a row mean: as the columns say, and where they say nothing an array is the input."""
        if not isinstance(row, Mapping):
            return self.columns
        known = self.columns
        if known is not None and known.inputs:
            return known
        target = None if known is None else known.target
        if known is None:
            target = next((name for name in row if name.lower() in LABELS), None)
        wide = [
            name for name, value in row.items() if np.ndim(value) > 0 and hasattr(value, "shape") and name != target
        ]
        if wide:
            source = next((name for name in _INPUTS if name in wide), wide[0])
            beside: Any = [getattr(known, n, None) for n in ("id", "group", "weight")]
            return NamedColumns((source,), target, *beside)
        if known is None or self.split != "unlabeled" or target is not None or LABEL not in row:
            return known
        return NamedColumns((), None, known.id, known.group, known.weight, (*known.drop, LABEL))

    def _tables(self, shard: Shard) -> Iterator[Any]:
        from limbeck.data.files import of_path, tables_in

        if shard.ending == ".npz":
            yield of_path(shard.path, self.columns, self.split, self.size)
            return
        for frame in tables_in(shard.path, _ROWS):
            wide = int(frame.memory_usage(deep=False).sum()) // max(len(frame), 1)
            step = max(_BYTES // max(wide, 1), 1)
            for start in range(0, len(frame), step):
                yield frame.iloc[start : start + step].reset_index(drop=True)


def _again(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _class_names(items: Any) -> dict[str, tuple[str, ...]]:
    """Declared classes of a Hugging Face stream, by column."""
    features = getattr(items, "features", None) or {}
    return {n: tuple(f.names) for n, f in features.items() if type(f).__name__ == "ClassLabel"}


def _is_batch(item: Any) -> bool:
    """Whether something is several rows rather than one."""
    if isinstance(item, pd.DataFrame) or hasattr(item, "to_pandas"):
        return True
    if isinstance(item, tuple | list) and len(item) in (2, 3):
        x, y = np.ndim(item[0]), np.ndim(item[1])
        return (x > 1 or isinstance(item[0], list)) and y > 0 and len(item[0]) == len(item[1])
    return hasattr(item, "shape") and np.ndim(item) in (2, 4)


def _plain(item: Any) -> Any:
    """A batch as a split may be given."""
    if hasattr(item, "to_pandas"):
        return item.to_pandas()
    return tuple(item) if isinstance(item, list) and len(item) in (2, 3) and hasattr(item[0], "__len__") else item


def _at_once(row: Any) -> int:
    """How many such rows are read at once."""
    values = row.values() if isinstance(row, Mapping) else row if isinstance(row, tuple) else [row]
    size = sum(int(np.asarray(value).nbytes) for value in values if hasattr(value, "shape"))
    return max(1, min(_ROWS, _BYTES // max(size, 1)))
