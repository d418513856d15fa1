"""Where each answer lies: shards, their files, and the journal that says which of them are committed.

manifest.json                    what the store is and the plan
journal.jsonl                    one checksummed line per committed shard
segment-0000/keys.bin            sorted keys with their positions
segment-0000/00-main.values.00003.bin    shard 3 of a column: rows x width numbers, nothing else; of a ragged column
                                         positions x width, and main.offsets says where each row ends
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from limbeck.core import files
from limbeck.transfer.codecs import Column
from limbeck.transfer.manifest import Manifest, OutputSpec, Segment

JOURNAL_NAME = "journal.jsonl"
DEFAULT_BATCH = 256
_LEAST_SHARD, _MOST_SHARD, _SHARDS = 8192, 65536, 16


@dataclass(frozen=True)
class Shard:
    """A stretch of answers that is committed at once: `first` counts over the store, `start` within the segment."""

    segment: int
    number: int
    first: int
    start: int
    rows: int

    @property
    def name(self) -> tuple[int, int]:
        """Segment and number, the name in the journal."""
        return self.segment, self.number

    def __str__(self) -> str:
        return f"answers {self.first} to {self.first + self.rows - 1} (segment {self.segment}, shard {self.number})"


@dataclass(frozen=True)
class FileRecord:
    """A committed file: name relative to the store, size in bytes and checksum."""

    name: str
    size: int
    checksum: str


def shards_of(manifest: Manifest) -> list[Shard]:
    """All shards of the plan in the order in which they are written."""
    found = []
    first = 0
    for number, segment in enumerate(manifest.segments):
        for shard, start in enumerate(range(0, segment.answers, manifest.shard_rows)):
            rows = min(manifest.shard_rows, segment.answers - start)
            found.append(Shard(number, shard, first + start, start, rows))
        first += segment.answers
    return found


def batches_of(shard: Shard, segment: Segment, batch_size: int) -> Iterator[tuple[int, int, int]]:
    """The batches of a shard as (start in the segment, stop, view); none straddles a shard or two views."""
    at, stop = shard.start, shard.start + shard.rows
    while at < stop:
        view = at // segment.rows
        end = min(at + batch_size, stop, (view + 1) * segment.rows)
        yield at, end, segment.first_view + view
        at = end


def default_shard_rows(answers: int, batch_size: int, *, ragged: bool = False) -> int:
    """About a sixteenth of the answers, between 8,192 and 65,536, as a multiple of the batch size.

    An eighth of that where rows have an answer for every position.
    """
    rows = min(max(answers // _SHARDS, _LEAST_SHARD), _MOST_SHARD) // (8 if ragged else 1)
    return max(1, rows // batch_size) * batch_size


def segment_folder(number: int) -> str:
    """Folder of a segment."""
    return f"segment-{number:04d}"


def keys_name(number: int) -> str:
    """Key file of a segment, relative to the store."""
    return f"{segment_folder(number)}/keys.bin"


def shard_file(shard: Shard, outputs: Sequence[OutputSpec], output: OutputSpec, column: Column) -> str:
    """File of one column of one shard, relative to the store."""
    number = next(place for place, other in enumerate(outputs) if other.head == output.head)
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", output.head)[:40]
    return f"{segment_folder(shard.segment)}/{number:02d}-{readable}.{column.name}.{shard.number:05d}.bin"


Committed: TypeAlias = "Mapping[tuple[int, int], Mapping[str, FileRecord]]"


def journal_record(shard: Shard, checksums: Mapping[str, str], positions: Mapping[str, int]) -> dict[str, Any]:
    """The line that acknowledges a shard; `checksums` has one entry per "head.column".

    `positions` says of each ragged head how many positions its rows have together; without one nothing is said.
    """
    line = {"segment": shard.segment, "shard": shard.number, "rows": shard.rows, "checksums": dict(checksums)}
    return line | ({"positions": dict(positions)} if positions else {})


def column_files(manifest: Manifest, shard: Shard, positions: Mapping[str, int]) -> dict[str, tuple[str, int]]:
    """Name and size in bytes of each file of a shard, by "head.column"."""
    return {
        f"{output.head}.{column.name}": (
            shard_file(shard, manifest.outputs, output, column),
            (positions[output.head] if column.ragged else shard.rows) * column.row_bytes,
        )
        for output in manifest.outputs
        for column in output.codec.columns(output.width)
    }


def committed_shards(manifest: Manifest, records: Sequence[Mapping[str, Any]]) -> Committed:
    """Files of each acknowledged shard of the plan; the last line of a shard counts."""
    lines = {(record["segment"], record["shard"]): record for record in records}
    found = {}
    for shard in shards_of(manifest):
        line = lines.get(shard.name)
        if line is not None:
            sums, places = line["checksums"], column_files(manifest, shard, line.get("positions", {}))
            found[shard.name] = {name: FileRecord(file, size, sums[name]) for name, (file, size) in places.items()}
    return found


def read_committed(folder: Path, manifest: Manifest) -> Committed:
    """What the journal acknowledges; raises StoreDamaged where a line of it is damaged."""
    return committed_shards(manifest, files.read_journal(folder / JOURNAL_NAME))
