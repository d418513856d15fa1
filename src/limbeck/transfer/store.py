"""A transfer set opened for reading: look rows up by key and view, gather their answers.

Opening verifies the manifest, the keys and the journal; a shard is verified at its first use.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.core import files
from limbeck.core.errors import MissingSignal, StoreDamaged, StoreMismatch
from limbeck.signals import Signals
from limbeck.transfer.codecs import Array, is_ragged
from limbeck.transfer.columns import IN_MEMORY, ColumnReader
from limbeck.transfer.frames import OFFSETS
from limbeck.transfer.index import KeyIndex, hex_key
from limbeck.transfer.layout import keys_name, read_committed, shards_of
from limbeck.transfer.manifest import Manifest, OutputSpec
from limbeck.transfer.ragged import RaggedReader

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.signals import Output


class Store:
    """A transfer set. Answers are counted 0 to `len(store) - 1` over segments, views and rows.

    Answers that are planned but not labelled yet count as missing.
    Raises StoreMismatch where there is no transfer set, StoreDamaged where a byte is wrong.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.manifest = Manifest.read(self.path)
        self.shards = shards_of(self.manifest)
        committed = read_committed(self.path, self.manifest)
        self._open = np.array([shard.name not in committed for shard in self.shards], dtype=bool)
        self._complete = not bool(self._open.any())
        self._firsts = np.array([shard.first for shard in self.shards], dtype=np.int64)
        self.outputs: dict[str, OutputSpec] = {output.head: output for output in self.manifest.outputs}
        self._indexes = [read_keys(self.path, self.manifest, n) for n in range(len(self.manifest.segments))]
        self._bases = np.cumsum([0, *(segment.answers for segment in self.manifest.segments)])
        self._readers = {
            (output.head, column.name): ColumnReader(
                self.path,
                column,
                self.shards,
                {shard: entries[f"{output.head}.{column.name}"] for shard, entries in committed.items()},
            )
            for output in self.manifest.outputs
            for column in output.codec.columns(output.width)
        }
        self._columns = {
            head: [(name, reader) for (owner, name), reader in self._readers.items() if owner == head]
            for head in self.outputs
        }
        self._ragged = {head: self._ragged_reader(head) for head, o in self.outputs.items() if is_ragged(o.codec)}
        self._ready = False

    def _ragged_reader(self, head: str) -> RaggedReader:
        readers = dict(self._columns[head])
        return RaggedReader(readers.pop(OFFSETS), readers, self._firsts)

    def __len__(self) -> int:
        return self.manifest.answers

    def __getstate__(self) -> dict[str, str]:
        return {"path": str(self.path)}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    @property
    def complete(self) -> bool:
        """Whether every planned answer is there."""
        return self._complete

    def require_complete(self) -> None:
        """Raise StoreMismatch where planned answers are not labelled yet."""
        if not self.complete:
            raise StoreMismatch(
                f"expected a finished transfer set at {self.path}, {int(self._open.sum())} of {len(self.shards)} "
                "shards are not labelled yet",
                "label again into the same folder: it goes on where it stopped",
            )

    @property
    def row_bytes(self) -> int:
        """Bytes of one answer over all outputs, of ragged ones on average."""
        rows = max(len(self), 1)
        return sum(
            reader.column.row_bytes * reader.entries // rows if reader.column.ragged else reader.column.row_bytes
            for reader in self._readers.values()
        )

    @property
    def views(self) -> int:
        """One more than the highest view of any row."""
        return max((segment.first_view + segment.views for segment in self.manifest.segments), default=0)

    def find(self, keys: Array, views: Array | None = None) -> Array:
        """Positions int64 [B] of keys [B, 2] under views [B] (view 0 by default); -1 where there is no answer."""
        found: Array | None = None
        for base, segment, index in zip(self._bases, self.manifest.segments, self._indexes, strict=False):
            todo = None if found is None else np.flatnonzero(found < 0)
            if todo is not None and not len(todo):
                break
            at = self._find_in(int(base), segment.first_view, segment.views, index, keys, views, todo)
            if found is None:
                found = at
            else:
                found[todo] = at
        if found is None:
            return np.full(len(keys), -1, dtype=np.int64)
        if not self._complete:
            shard = self._firsts.searchsorted(np.maximum(found, 0), side="right") - 1
            found = np.where(self._open[shard], -1, found)
        return found

    def _find_in(
        self, base: int, first: int, count: int, index: KeyIndex, keys: Array, views: Array | None, todo: Array | None
    ) -> Array:
        at = index.find(keys if todo is None else keys[todo])
        if views is None and first == 0:
            return at if base == 0 else np.where(at >= 0, at + base, -1)
        view = np.zeros(len(at), dtype=np.int64) if views is None else np.asarray(views, dtype=np.int64)
        view = (view if todo is None or views is None else view[todo]) - first
        there = (at >= 0) & (view >= 0) & (view < count)
        return np.where(there, base + view * len(index) + at, -1)

    def rows_of(self, keys: Array, views: Array | None = None) -> Array:
        """Positions like `find`; raises StoreMismatch where a row or view has no answer."""
        at = self.find(keys, views)
        if len(at) and at.min() < 0:
            missing = np.flatnonzero(at < 0)
            first = int(missing[0])
            view = 0 if views is None else int(views[first])
            raise StoreMismatch(
                f"expected answers to all {len(keys)} rows in the transfer set at {self.path}, {len(missing)} are "
                f"missing, the first at position {first} (key {hex_key(keys[first])}, view {view})",
                "label these rows into the same folder: rows that are there are not labelled again; "
                f"it holds views 0 to {self.views - 1}",
            )
        return at

    def gather(self, rows: Array, heads: tuple[str, ...] | None = None) -> dict[str, Output]:
        """Outputs [B, ...] at positions int64 [B], as stored: logits, regression in natural units.

        Ragged ones come as [B, T, ...] with zeros behind the end of a row; `signals` has the mask too.
        Raises StoreDamaged before a damaged byte is used, StoreMismatch for positions that are none (`find` gives -1
        for a row without an answer), MissingSignal for a head that is not there.
        """
        self._check(rows)
        return self._take(rows, tuple(self.outputs) if heads is None else heads)[0]

    def signals(self, rows: Array, heads: tuple[str, ...] | None = None) -> Signals:
        """What `gather` gives, with the masks [B, T] of ragged outputs."""
        self._check(rows)
        outputs, masks = self._take(rows, tuple(self.outputs) if heads is None else heads)
        return Signals(outputs, masks=masks)

    def _check(self, rows: Array) -> None:
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise StoreMismatch(
                f"expected positions from 0 to {len(self) - 1} in the transfer set at {self.path}, got {rows.min()} to "
                f"{rows.max()}",
                "`find` gives -1 for a row without an answer; `rows_of` says which rows these are",
            )

    def look_up(self, keys: Array, views: Array | None, heads: tuple[str, ...]) -> Signals:
        """Answers [B, ...] for keys [B, 2] under views [B]; raises what `rows_of` and `gather` raise."""
        outputs, masks = self._take(self.rows_of(keys, views), heads)
        return Signals(outputs, masks=masks)

    def _take(self, rows: Array, heads: tuple[str, ...]) -> tuple[dict[str, Output], dict[str, Tensor]]:
        if not self._ready:
            self._prepare()
        decoded: dict[str, Output] = {}
        masks: dict[str, Tensor] = {}
        for head in heads:
            output = self.output(head)
            if self._ragged and head in self._ragged:
                columns, masks[head] = self._ragged[head].gather(rows)
            else:
                columns = {name: reader.gather(rows) for name, reader in self._columns[head]}
            decoded[head] = output.codec.decode(columns, output.width)
        return decoded, masks

    def lengths(self, head: str) -> Array:
        """How many positions each row [len(store)] of a ragged output has; raises StoreMismatch if unfinished."""
        ends = self.column(head, OFFSETS)[:, 0]
        starts = np.concatenate([np.zeros(min(len(ends), 1), dtype=np.int64), ends[:-1]])
        starts[self._firsts] = 0  # counted anew in every shard
        return np.asarray(ends - starts)

    def output(self, head: str) -> OutputSpec:
        """What is stored for a head; raises MissingSignal where there is none."""
        if head not in self.outputs:
            raise MissingSignal(
                f"expected an output '{head}' in the transfer set at {self.path}, it holds {', '.join(self.outputs)}",
                "name one of these, or label a teacher that has this head",
            )
        return self.outputs[head]

    def column(self, head: str, name: str = "values") -> Array:
        """A stored column [len(store), width] (ragged: [positions, width]) as on disk; mapped where it is one file.

        Raises StoreMismatch where the store is not finished.
        """
        self.output(head)
        if (head, name) not in self._readers:
            there = ", ".join(column for column, _ in self._columns[head])
            raise MissingSignal(
                f"expected a column '{name}' of the output '{head}' in the transfer set at {self.path}, it has {there}",
                "name one of these",
            )
        self.require_complete()
        if not self._ready:
            self._prepare()
        return self._readers[head, name].whole()

    def keys(self) -> tuple[Array, Array]:
        """Key [len(store), 2] and view [len(store)] of every answer, by position."""
        keys, views = [np.empty((0, 2), dtype=np.uint64)], [np.empty(0, dtype=np.int64)]
        for segment, index in zip(self.manifest.segments, self._indexes, strict=True):
            keys += [index.keys()] * segment.views
            views.append(np.repeat(np.arange(segment.views) + segment.first_view, segment.rows))
        return np.concatenate(keys), np.concatenate(views)

    def _prepare(self) -> None:
        readers = self._readers.values()
        if (
            sum(reader.entries * reader.column.width * max(reader.column.item_bytes, 4) for reader in readers)
            <= IN_MEMORY
        ):
            for reader in readers:
                reader.load()
        self._ready = True


def read_keys(folder: Path, manifest: Manifest, number: int) -> KeyIndex:
    """The verified, memory-mapped keys of a segment; raises StoreDamaged."""
    segment = manifest.segments[number]
    path = folder / keys_name(number)
    try:
        sound = files.checksum(path) == segment.keys_checksum
    except OSError:
        sound = False
    if not sound:
        raise StoreDamaged(
            f"expected {path} to hold the {segment.rows} keys of segment {number} as written, it does not",
            "label the same rows into the same folder again, which writes the keys anew, or restore the file",
        )
    if not segment.rows:
        return KeyIndex.build(np.empty((0, 2), dtype=np.uint64))
    return KeyIndex.from_buffer(np.asarray(np.memmap(path, dtype=np.uint8, mode="r")))  # plain arrays are faster
