"""A stream read once: its rows as flat files in a folder, with their keys and what stands beside them.

A part is one shard, or some 64 MiB of what an iterable gives. A part is committed as a whole: its rows, keys and labels
as files, then a line of the journal that holds their checksums and what the shard was. A folder that was killed in
between goes on behind its last part; shards that are not what they were, and an iterable that gives other rows than
last time, are refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from limbeck.core import files
from limbeck.core.errors import ConfigError, StoreMismatch
from limbeck.core.files import append_line, checksum, make_folder, read_journal, remove_leftovers
from limbeck.core.lock import FolderLock
from limbeck.data.columns import Columns
from limbeck.data.keys import row_keys
from limbeck.data.raw import Raw
from limbeck.data.streams.batches import Batches
from limbeck.data.streams.beside import Beside
from limbeck.data.streams.packing import Packing, file_of, keys_of
from limbeck.data.streams.shards import Shard, shards_of
from limbeck.data.streams.stream import Stream

JOURNAL = "journal"
PART_BYTES = 64 << 20
_VERSION = 1


@dataclass(frozen=True)
class Source:
    """Where parts come from: shards, or what an iterable gives anew each time."""

    batches: Batches
    shards: list[Shard] | None
    items: Any
    known: bool  # whether a finished folder need not be compared with the stream

    def parts(self) -> Iterator[tuple[Shard | None, Iterator[Raw]]]:
        """Each part with its shard."""
        if self.shards is not None:
            for shard in self.shards:
                yield shard, self.batches.of_shard(shard)
            return
        given = self.items() if callable(self.items) else self.items
        rows = self.batches.of_items(given)
        while (first := next(rows, None)) is not None:
            yield None, _until(first, rows)


def _until(first: Raw, rest: Iterator[Raw]) -> Iterator[Raw]:
    """Batches up to the size of a part."""
    yield first
    held = _bytes(first)
    while held < PART_BYTES and (more := next(rest, None)) is not None:
        yield more
        held += _bytes(more)


def _bytes(raw: Raw) -> int:
    inputs: Any = raw.inputs
    return int(inputs.memory_usage(deep=True).sum() if hasattr(inputs, "columns") else inputs.nbytes)


def spooled(stream: Stream, columns: Columns | None, split: str, size: tuple[int, int] | None) -> Raw:
    """The rows of a stream on disk, read where they are not there yet; raises ConfigError or StoreMismatch."""
    shards = shards_of(stream.source, split)
    if shards is None and isinstance(stream.source, str | Path):
        raise ConfigError(f"expected shards of {split} at {stream.source}, there are none", "check the pattern")
    told = _told(stream, shards, columns, split, size)
    folder, temporary = _folder(stream, shards, told)
    source = Source(
        Batches(split, columns, size, stream.batches), shards, stream.source,
        shards is not None or stream.version is not None,
    )  # fmt: skip
    make_folder(folder)
    lock = FolderLock(folder)
    lock.take()
    try:
        writer = Spool(folder, split, told)
        writer.fill(source)
    except BaseException:
        if temporary:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        lock.release()
    keeps = _Kept()
    if temporary:
        weakref.finalize(keeps, _remove, folder, os.getpid())
    raw = writer.packing.read(folder, writer.records, writer.fresh, keeps)
    where = "a temporary folder" if temporary else str(folder)
    return replace(raw, inputs=replace(raw.inputs, where=where))  # type: ignore[type-var]


class _Kept:
    """What the rows of a temporary folder hold on to; the folder goes with the last of them."""


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not that of a fork
        shutil.rmtree(folder, ignore_errors=True)


def _told(
    stream: Stream, shards: list[Shard] | None, columns: Columns | None, split: str, size: tuple[int, int] | None
) -> dict[str, Any]:
    """What decides the rows of a folder, beside the bytes of the shards."""
    names = ("inputs", "target", "id", "group", "weight", "drop")
    chosen = None if columns is None else {name: _plain(getattr(columns, name)) for name in names}
    paths = None if shards is None else [str(shard.path.resolve()) for shard in shards]
    return {
        "format": _VERSION, "shards": paths, "version": stream.version, "columns": chosen,
        "size": None if size is None else list(size), "labels": split != "unlabeled",
    }  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return {str(k): _plain(v) for k, v in value.items()} if hasattr(value, "items") else value


def _folder(stream: Stream, shards: list[Shard] | None, told: dict[str, Any]) -> tuple[Path, bool]:
    """The folder of a stream, and whether it goes when the process ends."""
    name = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:24]
    if stream.cache is not None:
        return Path(stream.cache) / name, False
    if shards is None:
        return Path(tempfile.mkdtemp(prefix="limbeck-stream-")), True
    base = os.environ.get("LIMBECK_CACHE") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "limbeck" / "streams" / name, False


class Spool:
    """The folder of one stream, filled part by part."""

    def __init__(self, folder: Path, split: str, told: dict[str, Any]) -> None:
        self.folder, self.split = folder, split
        self.journal = folder / JOURNAL
        lines = read_journal(self.journal)
        remove_leftovers(folder)
        if lines and lines[0]["told"] != told:
            raise StoreMismatch(
                f"expected {folder} to hold the rows of this stream, it holds others", "name another cache folder"
            )
        if not lines:
            append_line(self.journal, {"told": told})
        self.records = [line for line in lines[1:] if "part" in line]
        self.done = next((line for line in lines[1:] if "rows" in line and "part" not in line), None)
        self.packing = Packing() if not self.records else Packing.of(self.records)
        self.fresh = len(self.records)  # the first part that this process writes

    def fill(self, source: Source) -> None:
        """Write the parts that are missing; those that are there are held against the stream."""
        if source.shards is not None:
            self._refuse_changed(source.shards)
        if self.packing.columns is not None:
            source.batches.columns = self.packing.columns
        source.batches.before = self.packing.row_shape
        if self.done is not None and source.known:
            return
        number = -1
        for number, (shard, batches) in enumerate(source.parts()):
            if number < len(self.records):
                if shard is None:
                    self._compare(number, batches)
                continue
            if self.done is not None:
                raise _other(self.split, f"more than {self.done['rows']} rows", self.folder)
            self.records.append(self._written(number, shard, batches))
        if number + 1 < len(self.records):
            raise _other(self.split, f"fewer than {len(self.records)} parts", self.folder)
        rows = sum(record["rows"] for record in self.records)
        if not rows:
            raise ConfigError(f"expected rows in {self.split}, the stream gave none", "check how it is made")
        if self.done is None:
            append_line(self.journal, {"rows": rows})

    def _refuse_changed(self, shards: list[Shard]) -> None:
        """Refuse shards that were read and are not what they were."""
        for shard, record in zip(shards, self.records, strict=False):
            was, now = record["shard"], shard.mark()
            if now == {"size": was["size"], "mtime": was["mtime"]}:
                continue
            if now["size"] != was["size"] or shard.checksum() != was["checksum"]:
                raise StoreMismatch(
                    f"expected the shard {shard.path} as it was when it was read ({was['size']} bytes, "
                    f"{was['checksum']}), it has changed",
                    f"put it back, or delete {self.folder} to read all of {self.split} anew",
                )

    def _written(self, number: int, shard: Shard | None, batches: Iterator[Raw]) -> dict[str, Any]:
        """Write one part and commit it."""
        mark = None if shard is None else {**shard.mark(), "checksum": shard.checksum()}
        keys: list[Any] = []
        beside = Beside()

        def write(file: BinaryIO) -> None:
            for raw in batches:
                packed = self.packing.pack(raw, self.split, "" if shard is None else str(shard.path))
                keys.append(row_keys(raw.kind, raw.inputs))
                beside.add(raw)
                file.write(packed)
            file.write(self.packing.end())

        names = {kind: file_of({"part": number}, kind) for kind in ("rows", "keys", "beside")}
        files.commit(self.folder / names["rows"], write)
        where = f"part {number} of the stream" if shard is None else str(shard.path)
        beside.refuse_other(self.folder, self.records[0] if self.records else None, self.split, where)
        all_keys = np.concatenate(keys) if keys else np.zeros((0, 2), dtype=np.uint64)
        files.commit(self.folder / names["keys"], lambda file: file.write(all_keys.astype("<u8").tobytes()))
        beside.write(self.folder / names["beside"], self.split)
        if shard is not None and {**shard.mark(), "checksum": mark and mark["checksum"]} != mark:
            raise StoreMismatch(
                f"expected the shard {shard.path} to stay as it is while it is read, it has changed", "run again"
            )
        record = {
            "part": number, "rows": len(all_keys), "shard": mark, **self.packing.described(),
            "files": {kind: checksum(self.folder / name) for kind, name in names.items()},
        }  # fmt: skip
        append_line(self.journal, record)
        return record

    def _compare(self, number: int, batches: Iterator[Raw]) -> None:
        """Hold what an iterable gives against the part that it gave last time."""
        keys = keys_of(self.folder, self.records[number])
        at, beside = 0, Beside()
        for raw in batches:
            found = row_keys(raw.kind, raw.inputs)
            beside.add(raw)
            same = len(found) <= len(keys) - at and bool((found == keys[at : at + len(found)]).all())
            if not same:
                known = keys[at : at + len(found)]
                odd = np.flatnonzero((found[: len(known)] != known).any(axis=1))
                place = at + (int(odd[0]) if len(odd) else len(known))
                raise _other(self.split, f"another row at {place} of part {number}", self.folder)
            at += len(found)
        if at != len(keys) or not beside.same(self.folder, self.records[number], self.split):
            what = f"{at} rows" if at != len(keys) else "other labels"
            raise _other(self.split, f"{what} in part {number}, which held {len(keys)} rows", self.folder)


def _other(split: str, what: str, folder: Path) -> StoreMismatch:
    return StoreMismatch(
        f"expected the stream of {split} to give the rows that it gave before, it gives {what}",
        "a stream must give the same rows in the same order each time; where it is meant to have changed name another "
        f"version or cache, or delete {folder}",
    )
