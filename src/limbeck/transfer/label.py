"""Labelling: a teacher answers every row and view once, and the answers become a transfer set.

Batches follow the plan in the manifest and never straddle a shard, so that a store that was killed at any moment and
labelled again is the same, bit for bit, as one that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from limbeck.core.errors import ConfigError, MissingSignal, StoreMismatch
from limbeck.signals import Batch, Signals, TeacherSource
from limbeck.transfer.checked import Asked
from limbeck.transfer.codecs import Array, Codec, default_codec
from limbeck.transfer.index import KeyIndex, as_keys, hex_key
from limbeck.transfer.layout import DEFAULT_BATCH, Shard, batches_of
from limbeck.transfer.manifest import Head, Identity, Manifest, outputs_of, versions
from limbeck.transfer.ragged import ShardColumns
from limbeck.transfer.store import Store
from limbeck.transfer.writer import StoreWriter

if TYPE_CHECKING:
    from limbeck.data.rows import Rows


class Replay(Protocol):
    """Augmentation as a pure function of the row and the number of the view."""

    def __call__(self, inputs: Any, keys: Array, views: Array) -> Any:
        """Raw inputs [B, ...] under views int64 [B], by the row keys [B, 2]."""
        ...


def label(
    source: TeacherSource,
    rows: Rows,
    path: Path | str,
    *,
    prepare: Callable[[Any], Any],
    heads: Mapping[str, Head],
    identity: Identity,
    views: int = 1,
    view: Replay | None = None,
    codecs: Mapping[str, Codec] | None = None,
    batch_size: int = DEFAULT_BATCH,
    shard_rows: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Store:
    """Answer all rows under all views and return the store; what is there already is not asked again.

    `prepare` turns raw inputs (under the view) into what the teacher takes. `heads` are the tasks; `codecs` say per
    head how to store it (float16 for logits, float32 for regression). `batch_size` and `shard_rows` (a multiple of
    it) count where the store is new; afterwards its manifest does. `progress` is called with (done, all) answers.

    Raises StoreMismatch for a store of another identity, MissingSignal for a head that the source has not,
    ShapeMismatch or LimbeckError for answers that do not fit or are not finite, before they are written.
    """
    if views < 1 or (view is None and views > 1):
        wanted = f"a view function for {views} views, got none" if views > 1 else f"at least one view, got {views}"
        raise ConfigError(f"expected {wanted}", "give Data(view=...) an augmentation, or use views=1")
    chosen = {
        name: (codecs or {}).get(name) or default_codec(head.positions, head.natural) for name, head in heads.items()
    }
    _check_heads(source, heads)
    want = Manifest(
        identity, outputs_of(heads, chosen), batch_size, shard_rows or 0, provenance=versions() | _parts_of(rows)
    )
    index = KeyIndex.build(as_keys(rows.keys))
    with StoreWriter(Path(path), want) as writer:
        writer.plan(index, views)
        _Labelling(source, rows, prepare, heads, view, writer, index, progress).run()
    return Store(path)


class _Labelling:
    """One pass over the shards that are still open."""

    def __init__(
        self,
        source: TeacherSource,
        rows: Rows,
        prepare: Callable[[Any], Any],
        heads: Mapping[str, Head],
        view: Replay | None,
        writer: StoreWriter,
        index: KeyIndex,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.source = source
        self.rows = rows
        self.prepare = prepare
        self.heads = heads
        self.view = view
        self.writer = writer
        self.index = index
        self.progress = progress

    def run(self) -> None:
        """Answer and commit every open shard in order."""
        shards = self.writer.open_shards()
        total = self.writer.manifest.answers
        done = total - sum(shard.rows for shard in shards)
        if self.progress is not None:
            self.progress(done, total)
        segment, keys, places = -1, np.empty((0, 2), dtype=np.uint64), np.empty(0, dtype=np.int64)
        for shard in shards:
            if shard.segment != segment:
                segment = shard.segment
                index = self.writer.keys_of(segment)
                keys, places = index.keys(), index.positions_in(self.index)
            if self._is_asked(shard, keys, places):
                self.writer.commit(shard, self._answer_shard(shard, keys, places, done, total))
                done += shard.rows

    def _is_asked(self, shard: Shard, keys: Array, places: Array) -> bool:
        """Whether the rows of an open shard are here; one of another call, with other rows, is left open."""
        asked = np.arange(shard.start, shard.start + shard.rows) % len(keys)
        missing = places[asked] < 0
        if missing.any() and not missing.all():
            raise StoreMismatch(
                f"expected the rows of {shard} of {self.writer.folder}, which is unfinished or damaged, "
                f"{int(missing.sum())} of them are not here, the first with key {hex_key(keys[asked[missing][0]])}",
                "label with all the rows of the last time, or into a new folder",
            )
        return not missing.all()

    def _answer_shard(self, shard: Shard, keys: Array, places: Array, done: int, total: int) -> dict[str, Array]:
        manifest = self.writer.manifest
        segment = manifest.segments[shard.segment]
        columns = ShardColumns(manifest.outputs, shard.rows)
        for start, stop, view in batches_of(shard, segment, manifest.batch_size):
            first = start % segment.rows
            asked, at = slice(first, first + stop - start), slice(start - shard.start, stop - shard.start)
            said = self._answer(keys[asked], places[asked], view)
            for output in manifest.outputs:
                head = Asked(output.head, self.heads[output.head], output.codec, self.rows, places[asked], keys[asked])
                columns.put(output.head, at, *head.columns(said))
            if self.progress is not None:
                self.progress(done + stop - shard.start, total)
        return columns.whole()

    def _answer(self, keys: Array, places: Array, view: int) -> Signals:
        """What the source says about a batch."""
        from limbeck.data.rows import take_inputs

        views = np.full(len(keys), view, dtype=np.int64)
        inputs = take_inputs(self.rows.inputs, places)
        if self.view is not None:
            inputs = self.view(inputs, keys, views)
        batch = Batch(keys=keys, views=views, teacher_inputs=self.prepare(inputs))
        return self.source.answer(self._with_labels(batch, places))

    def _with_labels(self, batch: Batch, places: Array) -> Batch:
        """The batch with the labels of its rows, for a source whose answers they decide."""
        if not getattr(self.source, "uses_labels", False):
            return batch
        import torch

        labels = self.rows.targets
        heads = [head for head in self.heads if head in labels and labels[head].dtype != object]  # texts weigh nobody
        return replace(
            batch,
            targets={head: torch.from_numpy(labels[head][places]) for head in heads},
            label_mask={head: torch.from_numpy(self.rows.label_mask[head][places]) for head in heads},
        )


def _parts_of(rows: Rows) -> dict[str, str]:
    """How the rows of a batch are cut for networks of text: it decides the last bits of their answers."""
    if rows.kind != "text":
        return {}
    from limbeck.models.text.tokens import BUDGET

    return {"token budget": str(BUDGET)}


def _check_heads(source: TeacherSource, heads: Mapping[str, Head]) -> None:
    if not heads:
        raise ConfigError("expected at least one head to label, got none", "give the tasks of the data")
    there = source.have().outputs
    missing = [name for name in heads if name not in there]
    if missing:
        raise MissingSignal(
            f"expected the teacher to answer {', '.join(repr(n) for n in heads)}, it has no {', '.join(missing)} "
            f"(it answers {', '.join(there) or 'nothing'})",
            "name the teacher's outputs as the tasks are named",
        )
