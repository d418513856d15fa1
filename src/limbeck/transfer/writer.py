"""The one writer of a transfer set: opens or creates it, plans rows, commits shards, mends what is damaged."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from limbeck.core import files
from limbeck.core.errors import StoreDamaged
from limbeck.core.lock import FolderLock
from limbeck.transfer.codecs import Array, is_ragged
from limbeck.transfer.frames import OFFSETS
from limbeck.transfer.index import KEY_BYTES, KeyIndex
from limbeck.transfer.layout import (
    JOURNAL_NAME,
    Committed,
    Shard,
    column_files,
    committed_shards,
    default_shard_rows,
    journal_record,
    keys_name,
    segment_folder,
    shards_of,
)
from limbeck.transfer.manifest import (
    MANIFEST_NAME,
    Manifest,
    Segment,
    changed_versions,
    check_plan,
    refuse_if_different,
)
from limbeck.transfer.store import read_keys


class StoreWriter:
    """Holds the lock of a store while it is written; use it as a context.

    `want` describes the store without its rows; its batch size and shard rows (0: by the number of rows) count only
    where the store is new. Raises StoreMismatch for a store of another identity or one that another process writes.
    """

    def __init__(self, folder: Path, want: Manifest) -> None:
        self.folder = folder
        self.manifest = want
        self._lock = FolderLock(folder)
        self._new = True
        self._committed: Committed = {}

    def __enter__(self) -> StoreWriter:
        files.make_folder(self.folder)
        self._lock.take()
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()

    def _open(self) -> None:
        for folder in (self.folder, *self.folder.glob("segment-*")):
            files.remove_leftovers(folder)
        if not (self.folder / MANIFEST_NAME).exists():
            return
        have = Manifest.read(self.folder)
        refuse_if_different(have, self.manifest, self.folder)
        changed = changed_versions(have, self.manifest)
        if changed:
            warnings.warn(
                f"the transfer set at {self.folder} was begun with {', '.join(changed)}: answers may differ in the "
                "last digits",
                stacklevel=5,
            )
        self.manifest = have
        self._new = False

    def plan(self, wanted: KeyIndex, views: int) -> None:
        """Plan answers to keys under views 0 to `views - 1`; what is planned already stays.

        Raises StoreDamaged where a key file is damaged and the keys given do not mend it.
        """
        keys = wanted.sorted_keys()
        indexes = [self._mended_keys(number, wanted) for number in range(len(self.manifest.segments))]
        new: list[tuple[Segment, bytes]] = []
        for first, count, missing in _missing(self.manifest.segments, indexes, keys, views):
            data = wanted.part(missing).to_bytes()
            new.append((Segment(len(data) // KEY_BYTES, first, count, files.checksum(data)), data))
        if not new and not self._new:
            return
        manifest = self.manifest.with_segments([segment for segment, _ in new])
        if not manifest.shard_rows:
            ragged = any(is_ragged(output.codec) for output in manifest.outputs)
            manifest = replace(
                manifest, shard_rows=default_shard_rows(manifest.answers, manifest.batch_size, ragged=ragged)
            )
        check_plan(manifest.batch_size, manifest.shard_rows)
        for number, (_, data) in enumerate(new, start=len(self.manifest.segments)):
            files.make_folder(self.folder / segment_folder(number))
            files.write_bytes(self.folder / keys_name(number), data)
        manifest.write(self.folder)  # last: it names the keys, so the keys must be there
        self.manifest, self._new = manifest, False

    def open_shards(self) -> list[Shard]:
        """Shards that are not committed, or whose bytes are damaged; a damaged journal is mended."""
        self._committed = self._mended_journal()
        return [shard for shard in shards_of(self.manifest) if not self._sound(shard)]

    def commit(self, shard: Shard, columns: Mapping[str, Array]) -> None:
        """Make a shard durable: its files, then its line in the journal. `columns` has one array per "head.column"."""
        checksums = {}
        positions = {
            output.head: int(columns[f"{output.head}.{OFFSETS}"][-1, 0])
            for output in self.manifest.outputs
            if is_ragged(output.codec)
        }
        for name, (file, size) in column_files(self.manifest, shard, positions).items():
            data = np.ascontiguousarray(columns[name]).reshape(-1).view(np.uint8).data
            assert len(data) == size
            checksums[name] = files.checksum(data)
            files.write_bytes(self.folder / file, data)
        known = {name: record.checksum for name, record in self._committed.get(shard.name, {}).items()}
        if known != checksums:  # a shard that was mended to the same bits has its line already
            files.append_line(self.folder / JOURNAL_NAME, journal_record(shard, checksums, positions))

    def keys_of(self, number: int) -> KeyIndex:
        """Keys of a segment with their positions."""
        return read_keys(self.folder, self.manifest, number)

    def _sound(self, shard: Shard) -> bool:
        if shard.name not in self._committed:
            return False
        for record in self._committed[shard.name].values():
            path = self.folder / record.name
            if not path.is_file() or path.stat().st_size != record.size or files.checksum(path) != record.checksum:
                return False
        return True

    def _mended_keys(self, number: int, wanted: KeyIndex) -> KeyIndex:
        try:
            return read_keys(self.folder, self.manifest, number)
        except StoreDamaged:
            data = wanted.part(np.ones(len(wanted), dtype=bool)).to_bytes()
            if files.checksum(data) != self.manifest.segments[number].keys_checksum:
                raise
            files.make_folder(self.folder / segment_folder(number))
            files.write_bytes(self.folder / keys_name(number), data)
            return read_keys(self.folder, self.manifest, number)

    def _mended_journal(self) -> Committed:
        path = self.folder / JOURNAL_NAME
        records, damaged = files.scan_journal(path)
        if damaged or files.torn_tail(path):
            files.write_bytes(path, b"".join(files.journal_line(record) for record in records))
        return committed_shards(self.manifest, records)


def _missing(
    segments: Sequence[Segment], indexes: Sequence[KeyIndex], keys: Array, views: int
) -> list[tuple[int, int, Array]]:
    """What is not planned yet, as (first view, number of views, which keys bool [N]), neighbouring views together."""
    places = [index.find(keys) >= 0 for index in indexes]
    found: list[tuple[int, int, Array]] = []
    for view in range(views):
        missing = np.ones(len(keys), dtype=bool)
        for segment, there in zip(segments, places, strict=True):
            if segment.first_view <= view < segment.first_view + segment.views:
                missing &= ~there
        if not missing.any():
            continue
        if found and found[-1][0] + found[-1][1] == view and np.array_equal(found[-1][2], missing):
            found[-1] = (found[-1][0], found[-1][1] + 1, missing)
        else:
            found.append((view, 1, missing))
    return found
