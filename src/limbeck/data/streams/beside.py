"""What stands beside the rows of a stream: labels, ids, groups and weights, as Parquet for each part."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.core.files import write_bytes
from limbeck.data.raw import Raw
from limbeck.data.rows import Array
from limbeck.data.streams.packing import read_checked

_LABEL = "label "
_SIDES = ("ids", "groups", "weight")


@dataclass
class Beside:
    """Gathers what stands beside the rows of a part."""

    columns: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, raw: Raw) -> None:
        """Labels and the rest of some more rows."""
        given = {f"{_LABEL}{head}": values for head, values in raw.labels.items()}
        given |= {name: getattr(raw, name) for name in _SIDES if getattr(raw, name) is not None}
        for name, values in given.items():
            self.columns.setdefault(name, []).append(np.asarray(values))

    def table(self, split: str) -> Any:
        """All of it as an Arrow table; raises ConfigError for labels of several types."""
        import pyarrow as pa

        found = {}
        for name, parts in self.columns.items():
            values = np.concatenate(parts)
            try:
                plain = values.tolist() if values.dtype == object or values.ndim > 1 else values
                found[name] = pa.array(plain, from_pandas=True)
            except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
                raise ConfigError(
                    f"expected one type in '{name.removeprefix(_LABEL)}' of {split}, got: {error}",
                    "write all of them as text, or all as numbers",
                ) from None
        return pa.table(found)

    def write(self, path: Path, split: str) -> None:
        """Commit it."""
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(self.table(split), buffer)
        write_bytes(path, buffer.getvalue())

    def refuse_other(self, folder: Path, first: Mapping[str, Any] | None, split: str, where: str) -> None:
        """Refuse types that do not go together with those of the first part; raises ConfigError naming the part."""
        import pyarrow as pa

        if first is None:
            return
        known = _table(folder, first).schema
        mine = self.table(split).schema
        try:
            pa.unify_schemas([known, mine], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            names = [name for name in mine.names if name in known.names]
            said = next(name for name in names if not _together(known.field(name), mine.field(name)))
            raise ConfigError(
                f"expected '{said.removeprefix(_LABEL)}' of {split} as in the rows before "
                f"({known.field(said).type}), got {mine.field(said).type} in {where}",
                "write all of them as text, or all as numbers",
            ) from None

    def same(self, folder: Path, record: Mapping[str, Any], split: str) -> bool:
        """Whether a part was written with this."""
        return bool(_table(folder, record).equals(self.table(split)))


def read_beside(folder: Path, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Labels by task, ids, groups and weights of all parts; raises StoreDamaged."""
    import pyarrow as pa

    tables = [_table(folder, record) for record in records]
    whole = pa.concat_tables(tables, promote_options="permissive")
    values = {name: _array(whole.column(name)) for name in whole.column_names}
    labels = {name.removeprefix(_LABEL): each for name, each in values.items() if name.startswith(_LABEL)}
    return {"labels": labels} | {name: values[name] for name in _SIDES if name in values}


def _together(one: Any, other: Any) -> bool:
    """Whether two fields have a type in common."""
    import pyarrow as pa

    try:
        pa.unify_schemas([pa.schema([one]), pa.schema([other])], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return False
    return True


def _table(folder: Path, record: Mapping[str, Any]) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(io.BytesIO(read_checked(folder, record, "beside")))


def _array(column: Any) -> Array:
    """Values [N] (lists of one length: [N, K]); equal texts are one object, so that many rows cost little."""
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        coded = column.combine_chunks().dictionary_encode()
        names = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
        where = coded.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
        return np.asarray(names[where])
    if not pa.types.is_list(column.type):
        return np.asarray(column.to_numpy())
    lists = column.to_pylist()
    if (
        len({None if each is None else len(each) for each in lists}) == 1
        and lists[0]
        and not isinstance(lists[0][0], str | list | None)
    ):
        return np.array(lists)
    out = np.empty(len(lists), dtype=object)
    out[:] = lists
    return out
