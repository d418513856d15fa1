"""Transfer sets in and out: Parquet for pandas, polars, DuckDB and `datasets`; tables of predictions as teachers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from limbeck.core import files
from limbeck.signals import TopK
from limbeck.transfer.codecs import Array, Codec, is_ragged
from limbeck.transfer.index import hex_key
from limbeck.transfer.label import label
from limbeck.transfer.manifest import Head, Identity, OutputSpec
from limbeck.transfer.store import Store
from limbeck.transfer.table import PredictionTable
from limbeck.transfer.written import export_texts, holds_texts

if TYPE_CHECKING:
    import pandas as pd

    from limbeck.data.rows import Rows

_ROWS_AT_ONCE, _RAGGED_AT_ONCE = 1 << 16, 1 << 12


def export_parquet(store: Store | Path | str, path: Path | str) -> Path:
    """Write a transfer set as one Parquet file, durably, and return its path.

    Columns: `key` (32 hexadecimal digits), `view`, and one list of float32 per head, as stored: logits, regression in
    natural units. A ragged head has a list of such lists, one for every position; one that keeps the best classes has
    `HEAD.ids`, `HEAD.logprobs` (lists of lists) and `HEAD.rest` (lists). The schema's metadata "limbeck.outputs"
    names kinds and classes.

    Texts that a teacher wrote have the columns `key`, `text` and `logprob` (`limbeck.transfer.written.export_texts`).
    """
    if not isinstance(store, Store) and holds_texts(Path(store)):
        return export_texts(Path(store), Path(path))
    store = store if isinstance(store, Store) else Store(store)
    store.require_complete()
    target = Path(path)
    files.commit(target, lambda file: _write_parquet(store, file))
    return target


def _write_parquet(store: Store, file: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    described = {
        name: {"kind": output.kind, "names": output.names, "codec": output.codec.spec()}
        for name, output in store.outputs.items()
    }
    fields = [pa.field("key", pa.string()), pa.field("view", pa.int64())]
    fields += [field for name, output in store.outputs.items() for field in _fields(name, output)]
    schema = pa.schema(fields, metadata={"limbeck.outputs": json.dumps(described, ensure_ascii=False)})
    keys, views = store.keys()
    with pq.ParquetWriter(file, schema) as writer:
        at_once = _RAGGED_AT_ONCE if any(is_ragged(o.codec) for o in store.outputs.values()) else _ROWS_AT_ONCE
        for start in range(0, len(store), at_once):
            places = np.arange(start, min(start + at_once, len(store)))
            columns: list[Any] = [pa.array([hex_key(key) for key in keys[places]]), pa.array(views[places])]
            said = store.signals(places)
            for name, values in said.outputs.items():
                columns += _columns(values, said.masks.get(name))
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _fields(name: str, output: OutputSpec) -> list[Any]:
    import pyarrow as pa

    numbers, ids = pa.large_list(pa.float32()), pa.large_list(pa.int64())
    if output.codec.form == "topk":
        nested = {"ids": pa.large_list(ids), "logprobs": pa.large_list(numbers), "rest": numbers}
        return [pa.field(f"{name}.{part}", kind) for part, kind in nested.items()]
    return [pa.field(name, pa.large_list(numbers) if is_ragged(output.codec) else numbers)]


def _columns(values: Any, mask: Any) -> list[Any]:
    """The Arrow arrays of one head; `mask` [B, T] says which positions of ragged answers are there."""
    if mask is None:
        return [_lists(np.asarray(values))]
    kept = mask.numpy()
    parts = [values.ids, values.logprobs, values.rest] if isinstance(values, TopK) else [values]
    flat = [np.ascontiguousarray(part.numpy()[kept]) for part in parts]
    return [_grouped(_lists(part) if part.ndim > 1 else part, kept.sum(axis=1)) for part in flat]


def _lists(dense: Array) -> Any:
    """A list for each row of an array [N, C]; of the answers to pixels [N, P, C] one pixel after the other."""
    width = int(np.prod(dense.shape[1:]))
    return _grouped(np.ascontiguousarray(dense).reshape(-1), np.full(len(dense), width))


def _grouped(values: Any, lengths: Array) -> Any:
    import pyarrow as pa

    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])  # 32 bits end at 2^31 values
    return pa.LargeListArray.from_arrays(offsets, pa.array(values) if isinstance(values, np.ndarray) else values)


def import_table(
    table: pd.DataFrame | Path | str,
    rows: Rows | Sequence[Rows],
    path: Path | str,
    *,
    heads: Mapping[str, Head],
    identity: Identity | None = None,
    id_column: str = "id",
    output: str = "auto",
    codecs: Mapping[str, Codec] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Store:
    """Make a transfer set of a table of predictions; raises what `PredictionTable` and `label` raise.

    Without an `identity` the teacher is known by the checksum of the predictions themselves.
    """
    from limbeck.data.rows import Rows as RowsType

    whole = rows if isinstance(rows, RowsType) else RowsType.concat(list(rows))
    source = PredictionTable(table, whole, heads, id_column=id_column, output=output)
    who = identity or Identity(teacher=f"table-{source.fingerprint}")
    return label(source, whole, path, prepare=_nothing, heads=heads, identity=who, codecs=codecs, progress=progress)


def _nothing(inputs: Any) -> None:
    """A table needs no inputs."""
