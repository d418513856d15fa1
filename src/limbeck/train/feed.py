"""Rows as batches: encoded tensors, an order that can be entered anywhere, and nothing per row in Python.

A step takes `size` labelled rows and, in an arm that sees them, some unlabelled ones; both arms of a seed see the
same labelled rows in the same order. Batches are always full: an order that ends goes on with its next epoch. Rows of
text come in steps of like length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
import xxhash
from torch import Tensor

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.core.parts import Parts, plain
from limbeck.signals import Batch
from limbeck.train.lengths import Grouping, lengths_of

Array: TypeAlias = "np.ndarray[Any, Any]"
_BLOCK = 64  # steps whose order is computed at once
_NAMED = 5  # rows named in a message


class Gather(Protocol):
    """Makes encoded inputs [B, ...], or parts of them, of rows by position [B] and view [B] (None: without views)."""

    def __call__(self, index: Array, views: Array | None) -> Any:
        """Give the inputs."""
        ...


class Moving(Protocol):
    """Moves targets [B, ...] by task, and where they are labelled, as views [B] move the rows of the table [B]."""

    def __call__(
        self, targets: dict[str, Tensor], masks: dict[str, Tensor], index: Array, views: Array, /
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Give targets and masks."""
        ...


class Ordering(Protocol):
    """The order of n rows; an epoch is a permutation, a place in it is found without skipping."""

    def indices(self, epoch: int, position: int, count: int) -> Array:
        """Positions of `count` rows, from a place in an epoch; fewer where the epoch ends."""
        ...


@dataclass(frozen=True, eq=False)
class Table:
    """Rows as tensors: what a feed reads.

    `inputs` [N, ...] (or parts of these by name) is encoded, or a `Gather` that augments and encodes; `teacher_inputs`
    likewise, None unless the teacher runs live. `targets` and `label_mask` by task; a mask that is True everywhere is
    left out. `moving` moves targets that have places in a row, such as masks, as a view moves the row.
    Rows are grouped by their `lengths` [N], of encoded text by its own.
    Raises ShapeMismatch where lengths differ, ConfigError where inputs are not finite.
    """

    keys: Array  # [N, 2] uint64
    inputs: Tensor | Parts | Gather
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    label_mask: Mapping[str, Tensor] = field(default_factory=dict)
    weight: Tensor | None = None
    teacher_inputs: Tensor | Parts | Gather | None = None
    moving: Moving | None = None
    lengths: Array | None = None

    def __post_init__(self) -> None:
        lengths = {} if self.lengths is None else {"lengths": len(self.lengths)}
        lengths |= {f"targets of {name}": len(values) for name, values in self.targets.items()}
        lengths |= {f"label mask of {name}": len(values) for name, values in self.label_mask.items()}
        for name in ("inputs", "weight", "teacher_inputs"):
            value = getattr(self, name)
            if isinstance(value, Tensor | Parts):
                lengths[name] = len(value)
        wrong = [f"{length} {name}" for name, length in lengths.items() if length != len(self.keys)]
        if wrong:
            raise ShapeMismatch(f"expected {len(self.keys)} entries as there are keys, got {', '.join(wrong)}")
        for part in self.inputs.plain().values() if isinstance(self.inputs, Parts) else (self.inputs,):
            if isinstance(part, Tensor) and part.is_floating_point():
                _refuse_not_finite(part)
        object.__setattr__(self, "label_mask", {n: m for n, m in self.label_mask.items() if not bool(m.all())})

    def __len__(self) -> int:
        return len(self.keys)

    def to(self, device: torch.device) -> Table:
        """The same rows with their tensors on a device."""

        def moved(value: Any) -> Any:
            return value.to(device) if isinstance(value, Tensor | Parts) else value

        return Table(
            self.keys,
            moved(self.inputs),
            {name: moved(values) for name, values in self.targets.items()},
            {name: moved(values) for name, values in self.label_mask.items()},
            moved(self.weight),
            moved(self.teacher_inputs),
            self.moving,
            self.lengths,
        )

    @property
    def fingerprint(self) -> str:
        """A hash of keys, targets, masks and weights (inputs are behind their keys)."""
        hasher = xxhash.xxh3_128(np.ascontiguousarray(self.keys).tobytes())
        named = [*self.targets.items(), *((f"mask {n}", m) for n, m in self.label_mask.items())]
        if self.weight is not None:
            named.append(("weight", self.weight))
        for name, value in sorted(named, key=lambda pair: pair[0]):
            hasher.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
            hasher.update(value.cpu().contiguous().numpy().tobytes())
        return hasher.hexdigest()


def _refuse_not_finite(inputs: Tensor) -> None:
    if bool(torch.isfinite(inputs.sum())):  # one pass; a sum may overflow where every entry is finite
        return
    finite = torch.isfinite(inputs.reshape(len(inputs), -1)).all(1)
    rows = torch.nonzero(~finite).flatten().tolist()
    if rows:
        shown = ", ".join(str(row) for row in rows[:_NAMED]) + (", ..." if len(rows) > _NAMED else "")
        raise ConfigError(
            f"expected finite inputs, got NaN or infinity in {len(rows)} row{'s' if len(rows) != 1 else ''} ({shown})",
            "remove these rows, or fill what is missing in them before training",
        )


@dataclass(frozen=True)
class Stream:
    """Rows `first` to `first + count` of the table in an order of their own, `size` of them in each step."""

    order: Ordering
    first: int
    count: int
    size: int

    def rows(self, start: int, stop: int) -> tuple[Array, Array]:
        """Table rows and epochs at places start to stop of the endless order, int64 each."""
        parts, epochs = [], []
        while start < stop:
            epoch, position = divmod(start, self.count)
            part = self.order.indices(epoch, position, min(stop - start, self.count - position))
            parts.append(part)
            epochs.append(np.full(len(part), epoch, np.int64))
            start += len(part)
        return np.concatenate(parts).astype(np.int64, copy=False) + self.first, np.concatenate(epochs)


class Feed:
    """Batches of a table by step; the same for any number of micro-batches and ranks.

    With a `grouping` the rows of each 64 steps are regrouped by length, the same in every arm.
    """

    def __init__(
        self, table: Table, streams: Sequence[Stream], *, views: int = 0, grouping: Grouping | None = None
    ) -> None:
        empty = [stream for stream in streams if stream.count < 1 or stream.size < 1]
        if not streams or empty:
            raise ConfigError("expected at least one row and one row a step in every stream", "give training rows")
        self.table = table
        self.streams = tuple(streams)
        self.views = views
        self.grouping = grouping
        first = next((v for v in (table.inputs, *table.targets.values()) if isinstance(v, Tensor)), None)
        self._device = None if first is None or first.device.type == "cpu" else first.device
        self._block = -1
        self._rows = np.empty((0, 0), np.int64)
        self._epochs = np.empty((0, 0), np.int64)

    @classmethod
    def of(
        cls,
        table: Table,
        *,
        labelled: int,
        batch_size: int,
        seed: int,
        unlabeled_batch: int | None = None,
        views: int = 0,
        order: Callable[[int, int], Ordering] | None = None,
    ) -> Feed:
        """A feed over a table whose first `labelled` rows carry labels and whose other rows do not.

        The whole table is permuted in each epoch: within chunks, rows that are sorted by class would come class by
        class, which batch statistics and the last steps of an epoch would feel, and one arm more than the other.
        Rows that have lengths (encoded text, clips) are grouped by them.
        `unlabeled_batch` None: as many unlabelled rows a step as labelled ones. `order` makes an order of (n, seed).
        """
        from limbeck.core.runtime import derive_seed

        if order is None:
            from limbeck.data.order import Order

            def order(n: int, seed: int) -> Ordering:
                return Order(n, seed, chunk=n)

        streams = [Stream(order(labelled, derive_seed("order", seed)), 0, labelled, batch_size)] if labelled else []
        rest = len(table) - labelled
        extra = batch_size if unlabeled_batch is None else unlabeled_batch
        if rest and extra:
            streams.append(Stream(order(rest, derive_seed("order unlabeled", seed)), labelled, rest, extra))
        lengths = lengths_of(table.inputs) if table.lengths is None else table.lengths
        grouping = None if lengths is None else Grouping(lengths, derive_seed("order of lengths", seed))
        return cls(table, streams, views=views, grouping=grouping)

    def to(self, device: torch.device) -> Feed:
        """The same batches on a device."""
        return Feed(self.table.to(device), self.streams, views=self.views, grouping=self.grouping)

    @property
    def labelled(self) -> int:
        """Number of rows of the first stream, on which the number of steps is based."""
        return self.streams[0].count

    @property
    def fingerprint(self) -> str:
        """A hash of everything that decides which rows a step sees."""
        shape = [(s.first, s.count, s.size) for s in self.streams]
        grouped = "" if self.grouping is None else self.grouping.fingerprint
        return xxhash.xxh3_128_hexdigest(f"{self.table.fingerprint}{shape}{self.views}{grouped}".encode())

    def rows_of(self, step: int, part: int = 0, parts: int = 1) -> tuple[Array, Array]:
        """Table rows and epochs of one part of a step (part = micro-batch * ranks + rank), int64 [B] each."""
        block, inside = divmod(step, _BLOCK)
        if block != self._block:
            self._fill(block)
        if parts == 1:
            return self._rows[inside], self._epochs[inside]
        cuts, offset = [], 0
        for stream in self.streams:
            cuts.append(slice(offset + stream.size * part // parts, offset + stream.size * (part + 1) // parts))
            offset += stream.size
        rows, epochs = self._rows[inside], self._epochs[inside]
        return np.concatenate([rows[cut] for cut in cuts]), np.concatenate([epochs[cut] for cut in cuts])

    def _fill(self, block: int) -> None:
        found = []
        for stream in self.streams:
            start = block * _BLOCK * stream.size
            rows, epochs = stream.rows(start, start + _BLOCK * stream.size)
            found.append((rows.reshape(_BLOCK, stream.size), epochs.reshape(_BLOCK, stream.size)))
        if self.grouping is not None:
            found = self.grouping.regrouped(found, block)
        self._block = block
        self._rows = np.ascontiguousarray(np.concatenate([rows for rows, _ in found], axis=1))
        self._epochs = np.ascontiguousarray(np.concatenate([epochs for _, epochs in found], axis=1))

    def batch(self, step: int, part: int = 0, parts: int = 1) -> Batch:
        """The batch of one part of a step."""
        rows, epochs = self.rows_of(step, part, parts)
        return self.take(rows, epochs % self.views if self.views else None)

    def take(self, rows: Array, views: Array | None = None) -> Batch:
        """Rows of the table as a batch."""
        table = self.table
        index = torch.from_numpy(rows)
        if self._device is not None:
            index = index.to(self._device)
        source, teaching = table.inputs, table.teacher_inputs
        inputs = _given(source, rows, index, views)
        if teaching is not None:
            if teaching is source:
                teaching = inputs
            else:
                teaching = _given(teaching, rows, index, views)
        targets = {name: values.index_select(0, index) for name, values in table.targets.items()}
        masks = {name: values.index_select(0, index) for name, values in table.label_mask.items()}
        if table.moving is not None and views is not None:
            targets, masks = table.moving(targets, masks, rows, views)
        return Batch(
            table.keys.take(rows, axis=0),
            views,
            teaching,
            plain(inputs),
            targets,
            masks,
            None if table.weight is None else table.weight.index_select(0, index),
        )


def _given(source: Tensor | Parts | Gather, rows: Array, index: Tensor, views: Array | None) -> Any:
    return source.index_select(0, index) if isinstance(source, Tensor | Parts) else source(rows, views)
