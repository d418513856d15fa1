"""How the rows of a stream lie on disk, fixed by its first rows, and all others held against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError, NotSupported
from limbeck.data.columns import Columns, NamedColumns
from limbeck.data.frames import is_numeric, numbers, texts
from limbeck.data.layouts import Array, ArrayLayout, Layout, TableLayout, TextLayout
from limbeck.data.ondisk import DiskArray, DiskTable, DiskTexts
from limbeck.data.ragged import is_ragged
from limbeck.data.raw import Raw
from limbeck.data.stretches import FilePart, TextPart
from limbeck.data.words import is_words

_EXACT = 1 << 53  # integers up to here are exact in float64
_MOST = 1 << 16  # distinct texts of a column of categories
_CODES = "<i4"


@dataclass
class Packing:
    """The layout of a stream's rows, None before the first ones, and what these said about the split."""

    layout: Layout | None = None
    kind: str = ""
    columns: Columns | None = None
    label_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    values: dict[str, list[str]] = field(default_factory=dict)  # of categories, by column, in order of appearance
    _places: dict[str, dict[str, int]] = field(default_factory=dict)
    _lengths: list[Array] = field(default_factory=list)  # bytes of the texts of the part that is being written
    _told: dict[str, int] = field(default_factory=dict)  # values that a record holds already

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]]) -> Packing:
        """The packing that the records of parts describe."""
        first = records[0]
        spec = first["layout"]
        layout: Layout
        if "texts" in spec:
            layout = TextLayout(tuple(spec["texts"]))
        elif "names" in spec:
            layout = TableLayout(tuple(spec["names"]), tuple(spec["dtypes"]))
        else:
            layout = ArrayLayout(spec["dtype"], tuple(spec["shape"]))
        said: Any = {n: tuple(v) if isinstance(v, list) else v for n, v in (first["columns"] or {}).items()}
        columns = NamedColumns(**said) if said else None
        made = cls(layout, first["kind"], columns, _tuples(first["label_columns"]), _tuples(first["classes"]),
                   tuple(first["notes"]))  # fmt: skip
        for record in records:
            for name, new in record["values"].items():
                made._add(name, new)
        made._told = {name: len(known) for name, known in made.values.items()}
        return made

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of rows that are arrays, () before the first and of tables."""
        return self.layout.shape if isinstance(self.layout, ArrayLayout) else ()

    def described(self) -> dict[str, Any]:
        """What a record holds of it, with the texts that are new since the last one."""
        assert self.layout is not None
        new = {name: known[self._told.get(name, 0) :] for name, known in self.values.items()}
        self._told = {name: len(known) for name, known in self.values.items()}
        names = ("inputs", "target", "id", "group", "weight", "drop")
        columns = None if self.columns is None else {n: _plain(getattr(self.columns, n)) for n in names}
        layout = self.layout
        if isinstance(layout, TableLayout):
            spec: dict[str, Any] = {"names": list(layout.names), "dtypes": list(layout.dtypes)}
        elif isinstance(layout, TextLayout):
            spec = {"texts": list(layout.names)}
        else:
            assert isinstance(layout, ArrayLayout)
            spec = {"dtype": layout.dtype, "shape": list(layout.shape)}
        return {
            "kind": self.kind, "layout": spec, "columns": columns, "values": new, "notes": list(self.notes),
            "label_columns": _plain(self.label_columns), "classes": _plain(self.classes),
        }  # fmt: skip

    def pack(self, raw: Raw, split: str, where: str) -> bytes:
        """The bytes of rows; raises ConfigError for rows that are not like the first."""
        at = f" of {where}" if where else ""
        ragged = is_ragged(raw.inputs)
        if raw.kind not in ("array", "image", "table", "text") or is_words(raw.inputs) or ragged:
            what = "lists of words" if raw.kind == "text" else f"rows of kind {raw.kind}"
            what = "series of different lengths" if ragged else what
            raise NotSupported(
                f"expected rows of numbers, categories, images or texts in the stream of {split}, got {what}",
                "give them as a split in memory, or encoded as numbers",
            )
        if self.layout is None:
            self._begin(raw)
        if raw.kind != self.kind:
            raise ConfigError(
                f"expected rows of {split}{at} as those before ({self.kind}), got {raw.kind}", "give rows of one form"
            )
        if raw.kind == "text":
            assert isinstance(raw.inputs, pd.DataFrame)
            return self._packed_texts(raw.inputs, split, at)
        if isinstance(raw.inputs, pd.DataFrame):
            return self._packed_table(raw.inputs, split, at).tobytes()
        return self._packed_array(np.asarray(raw.inputs), split, at).tobytes()

    def end(self) -> bytes:
        """What stands behind the rows of a part: of texts where each begins, and their lengths."""
        if not isinstance(self.layout, TextLayout):
            return b""
        lengths, self._lengths = self._lengths, []
        found = np.concatenate(lengths) if lengths else np.zeros((0, len(self.layout.names)), dtype=np.int64)
        sizes = found.sum(axis=1)
        return self.layout.index.pack(np.concatenate([(np.cumsum(sizes) - sizes)[:, None], found], axis=1)).tobytes()

    def _begin(self, raw: Raw) -> None:
        self.kind, self.columns, self.notes = raw.kind, raw.columns, raw.notes
        self.label_columns, self.classes = dict(raw.label_columns), dict(raw.classes)
        if raw.kind == "text":
            self.layout = TextLayout(tuple(str(name) for name in raw.inputs.columns))  # type: ignore[union-attr]
        elif isinstance(raw.inputs, pd.DataFrame):
            names = tuple(str(name) for name in raw.inputs.columns)
            self.layout = TableLayout(names, tuple(_dtype(raw.inputs[name]) for name in raw.inputs.columns))
            self.values = {n: [] for n, d in zip(names, self.layout.dtypes, strict=True) if d == _CODES}
        else:
            array = np.asarray(raw.inputs)
            self.layout = ArrayLayout(array.dtype.newbyteorder("<").str, tuple(array.shape[1:]))

    def _packed_array(self, inputs: Array, split: str, at: str) -> Array:
        layout = self.layout
        assert isinstance(layout, ArrayLayout)
        if tuple(inputs.shape[1:]) != layout.shape:
            raise ConfigError(
                f"expected rows of one shape in {split}, got {tuple(inputs.shape[1:])}{at} behind rows of "
                f"{layout.shape}",
                "resize or pad them, or leave the odd rows out",
            )
        values = inputs.astype(layout.dtype, copy=False)
        if not np.can_cast(inputs.dtype, layout.dtype, "safe") and not np.array_equal(
            values, inputs, equal_nan=inputs.dtype.kind == "f"
        ):
            raise ConfigError(
                f"expected rows of {split}{at} as {np.dtype(layout.dtype)}, as those before, got {inputs.dtype}",
                "give every row in one dtype",
            )
        return layout.pack(values)

    def _packed_texts(self, frame: pd.DataFrame, split: str, at: str) -> bytes:
        layout = self.layout
        assert isinstance(layout, TextLayout)
        names = [str(name) for name in frame.columns]
        if names != list(layout.names):
            raise ConfigError(
                f"expected texts in {', '.join(layout.names)} of {split}{at}, as in the rows before, got "
                f"{', '.join(names)}",
                "give every shard the same columns",
            )
        data, lengths = layout.pack(frame.set_axis(names, axis=1))
        self._lengths.append(lengths)
        return data

    def _packed_table(self, frame: pd.DataFrame, split: str, at: str) -> Array:
        layout = self.layout
        assert isinstance(layout, TableLayout)
        names = [str(name) for name in frame.columns]
        if sorted(names) != sorted(layout.names):
            raise ConfigError(
                f"expected the columns {', '.join(layout.names)} in {split}{at}, as in the rows before, got "
                f"{', '.join(names)}",
                "give every shard the same columns",
            )
        frame = frame.set_axis(names, axis=1)
        packed = {
            name: self._codes(frame[name], name, split, at)
            if dtype == _CODES
            else _numbers(frame[name], name, dtype, at)
            for name, dtype in zip(layout.names, layout.dtypes, strict=True)
        }
        return layout.pack(pd.DataFrame(packed))

    def _codes(self, column: pd.Series, name: str, split: str, at: str) -> Array:
        """Codes of texts, -1 for missing; texts that are new are added."""
        there = column[column.notna()]
        codes, found = texts(column)
        if (there == "").any():  # empty text and none are two rows, if one category
            found = [*found, ""]
            codes = np.where((column == "").to_numpy(), len(found) - 1, codes)
        self._add(name, found)
        if len(self.values[name]) > _MOST:
            raise ConfigError(
                f"expected categories in column '{name}' of {split}{at}, got more than {_MOST:,} distinct texts",
                "leave the column out (columns.drop)",
            )
        places = np.array([*(self._places[name][text] for text in found), -1])
        return places[codes]

    def _add(self, name: str, found: Sequence[str]) -> None:
        known, places = self.values.setdefault(name, []), self._places.setdefault(name, {})
        for text in found:
            if text not in places:
                places[text] = len(known)
                known.append(text)

    def read(self, folder: Path, records: Sequence[Mapping[str, Any]], fresh: int, keeps: Any) -> Raw:
        """The split that the parts hold; those from `fresh` on were written by this process."""
        from limbeck.data.streams.beside import read_beside

        assert self.layout is not None
        layout = self.layout
        if isinstance(layout, TableLayout):
            layout = TableLayout(layout.names, layout.dtypes, {n: tuple(v) for n, v in self.values.items()})
        if isinstance(layout, TextLayout):
            layout = _measured(layout, folder, records)
        of: Any = TextPart if isinstance(layout, TextLayout) else FilePart
        parts = tuple(
            of(folder / file_of(r, "rows"), r["rows"], layout, r["files"]["rows"], n >= fresh, keeps)
            for n, r in enumerate(records)
        )
        kind: Any = DiskTable if isinstance(layout, TableLayout) else DiskArray
        kind = DiskTexts if isinstance(layout, TextLayout) else kind
        keys = np.concatenate([keys_of(folder, record) for record in records])
        return Raw(
            self.kind, kind(layout, parts, keys=keys), label_columns=self.label_columns, notes=self.notes,
            classes=self.classes, columns=self.columns, **read_beside(folder, records),
        )  # fmt: skip


def _measured(layout: TextLayout, folder: Path, records: Sequence[Mapping[str, Any]]) -> TextLayout:
    """The layout of texts with the mean size of their rows."""
    paths = [folder / file_of(record, "rows") for record in records]
    total = sum(path.stat().st_size for path in paths if path.is_file())
    rows = max(sum(record["rows"] for record in records), 1)
    return TextLayout(layout.names, max(total // rows - layout.index.row_bytes, 1))


def file_of(record: Mapping[str, Any], kind: str) -> str:
    """The name of a file of a part: its rows, keys, or what stands beside them."""
    return f"part-{record['part']:06d}.{kind}"


def keys_of(folder: Path, record: Mapping[str, Any]) -> Array:
    """The keys uint64 [N, 2] of a part; raises StoreDamaged."""
    data = read_checked(folder, record, "keys")
    return np.frombuffer(data, dtype="<u8").astype(np.uint64).reshape(-1, 2)


def read_checked(folder: Path, record: Mapping[str, Any], kind: str) -> bytes:
    """The bytes of a file of a part; raises StoreDamaged where they are not those that were written."""
    from limbeck.core.errors import StoreDamaged
    from limbeck.core.files import checksum

    path = folder / file_of(record, kind)
    data = path.read_bytes() if path.is_file() else b""
    if checksum(data) != record["files"][kind]:
        raise StoreDamaged(
            f"expected {path} as it was written when the stream was read, it is not",
            f"delete the folder {folder}: the stream is read anew",
        )
    return data


def _dtype(column: pd.Series) -> str:
    if not is_numeric(column):
        return _CODES
    return "<f4" if column.dtype == np.float32 else "<f8"


def _numbers(column: pd.Series, name: str, dtype: str, at: str) -> Array:
    values = numbers(column, name)
    if column.dtype.kind in "iuO" and (np.abs(values[np.isfinite(values)]) > _EXACT).any():
        raise ConfigError(
            f"expected numbers up to 2^53 in column '{name}'{at}, got larger ones",
            "they are names rather than numbers: leave the column out",
        )
    if dtype == "<f4" and not np.array_equal(values.astype(np.float32), values, equal_nan=True):
        raise ConfigError(
            f"expected float32 in column '{name}'{at}, as in the rows before, got {column.dtype}",
            "give every shard the same types",
        )
    return values


def _tuples(given: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(values) for name, values in given.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return {str(k): _plain(v) for k, v in value.items()} if isinstance(value, Mapping) else value
