"""Transfer sets in and out: Parquet for pandas, polars, DuckDB and `datasets`; tables of predictions as teachers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from limbeck.core import files
from limbeck.transfer.codecs import Codec
from limbeck.transfer.index import hex_key
from limbeck.transfer.label import label
from limbeck.transfer.manifest import Head, Identity
from limbeck.transfer.store import Store
from limbeck.transfer.table import PredictionTable

if TYPE_CHECKING:
    import pandas as pd

    from limbeck.data.rows import Rows

_ROWS_AT_ONCE = 1 << 16


def export_parquet(store: Store | Path | str, path: Path | str) -> Path:
    """Write a transfer set as one Parquet file, durably, and return its path.

    Columns: `key` (32 hexadecimal digits), `view`, and one list of float32 per head, as stored: logits, regression in
    natural units. The schema's metadata "limbeck.outputs" names kinds and classes.
    """
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
    fields += [pa.field(name, pa.large_list(pa.float32())) for name in store.outputs]
    schema = pa.schema(fields, metadata={"limbeck.outputs": json.dumps(described, ensure_ascii=False)})
    keys, views = store.keys()
    with pq.ParquetWriter(file, schema) as writer:
        for start in range(0, len(store), _ROWS_AT_ONCE):
            places = np.arange(start, min(start + _ROWS_AT_ONCE, len(store)))
            columns: list[Any] = [pa.array([hex_key(key) for key in keys[places]]), pa.array(views[places])]
            for values in store.gather(places).values():
                dense = np.ascontiguousarray(np.asarray(values))
                offsets = np.arange(len(dense) + 1, dtype=np.int64) * dense.shape[1]  # 32 bits end at 2^31 values
                columns.append(pa.LargeListArray.from_arrays(offsets, pa.array(dense.reshape(-1))))
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


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
