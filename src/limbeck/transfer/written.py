"""Texts that a teacher wrote, looked at: whether every byte is sound, what they are, and as a table to take away."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from limbeck.core import files
from limbeck.core.errors import StoreDamaged
from limbeck.transfer.texts import IDENTITY, JOURNAL, Written, as_table, read, shard_name
from limbeck.transfer.verification import Damage, Verification, compare, size_of, sound_lines

FORMAT = "limbeck-texts"
TOKENS = "tokens"  # the folder below the texts in which answers token by token lie, where there are some
_COLUMNS = {"key": "string", "text": "string", "logprob": "float"}


def holds_texts(folder: Path) -> bool:
    """Whether a folder is one of texts, whatever is damaged in it."""
    return (folder / IDENTITY).is_file() or (folder / JOURNAL).is_file()


def verify_texts(folder: Path) -> Verification:
    """Read every byte of a folder of texts and compare it with its checksum, and every shard with its structure.

    Shards that stand there without a line in the journal are open: a kill came between the two. How many texts were
    planned is not known here.
    """
    damage, records = sound_lines(folder / JOURNAL)
    acknowledged = {int(record["shard"]): record for record in records}
    damage = _identity_damage(folder, records) + damage
    keys: set[str] = set()
    first = 0
    for number, record in acknowledged.items():
        name, rows = shard_name(number), (first, first + int(record["rows"]) - 1)
        found = compare(folder, name, None, record["checksum"], rows)
        damage += found or _shard_damage(folder / name, int(record["rows"]), rows, keys)
        first += int(record["rows"])
    names = [IDENTITY, JOURNAL, *map(shard_name, acknowledged)]
    open_ = len({path.name for path in folder.glob("texts-*.parquet")} - set(names))
    size = sum(size_of(folder / name) for name in names)
    return Verification(folder, tuple(damage), open_, len(acknowledged) + open_, first, len(names), size, "texts")


def _identity_damage(folder: Path, records: Sequence[Mapping[str, Any]]) -> list[Damage]:
    try:
        identity = files.read_json(folder / IDENTITY)
    except StoreDamaged as error:
        return [Damage(IDENTITY, error.what)]
    found = next((r["identity"] for r in reversed(records) if "identity" in r), None)
    if found is not None and (wrong := compare(folder, IDENTITY, None, found)):
        return wrong
    if not isinstance(identity, dict) or identity.get("format") != FORMAT:
        return [Damage(IDENTITY, f"it does not say that this is {FORMAT}")]
    return []


def _shard_damage(path: Path, rows: int, place: tuple[int, int], keys: set[str]) -> list[Damage]:
    """What is wrong in a shard whose bytes are right; its keys join those of the shards before."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        return [Damage(path.name, f"it is no Parquet file ({error})", place)]
    columns = dict(zip(table.schema.names, map(str, table.schema.types), strict=True))
    if columns != _COLUMNS or len(table) != rows:
        had, wanted = (", ".join(f"{name} {kind}" for name, kind in part.items()) for part in (columns, _COLUMNS))
        return [Damage(path.name, f"{len(table)} rows of {had} instead of {rows} of {wanted}", place)]
    mine = table["key"].to_pylist()
    twice = len(mine) - len(set(mine)) + len(keys & set(mine))
    keys.update(mine)
    return [Damage(path.name, f"{twice} of its sources stand there twice", place)] if twice else []


def describe_texts(folder: Path) -> dict[str, Any]:
    """What texts are: teacher, how it wrote, how many there are and their bytes; raises StoreDamaged."""
    identity = files.read_json(folder / IDENTITY)
    records = {int(record["shard"]): record for record in files.read_journal(folder / JOURNAL)}
    names = [IDENTITY, JOURNAL, *map(shard_name, records)]
    return {
        "texts": sum(int(record["rows"]) for record in records.values()),
        **identity,
        "shards": len(records),
        "bytes": sum(size_of(folder / name) for name in names),
    }


def export_texts(folder: Path, target: Path) -> Path:
    """Write texts as one Parquet file with the columns key, text and logprob, and return its path.

    `logprob` is the mean log-probability of a token under the teacher, or NaN. The schema's metadata "limbeck.texts"
    holds the identity. Raises StoreDamaged where a byte is wrong.
    """
    found, identity = read(folder), files.read_json(folder / IDENTITY)
    files.commit(target, lambda file: _write(found, identity, file))
    return target


def _write(found: Written, identity: Mapping[str, Any], file: BinaryIO) -> None:
    import pyarrow.parquet as pq

    told = {"limbeck.texts": json.dumps(dict(identity), ensure_ascii=False)}
    pq.write_table(as_table(found).replace_schema_metadata(told), file)
