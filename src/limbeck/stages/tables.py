"""Rows as the tables that a feed reads: encoded once, or augmented and encoded as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from limbeck.core.errors import ConfigError
from limbeck.core.parts import Parts
from limbeck.data.audio.clips import lengths as clip_lengths
from limbeck.data.data import Data
from limbeck.data.entries import has_gaps
from limbeck.data.mixing import WindowReader, order_of_rows
from limbeck.data.ondisk import OnDisk
from limbeck.data.ragged import is_ragged, series_lengths
from limbeck.data.rows import Rows, take_inputs
from limbeck.data.tagging import NO_LABEL
from limbeck.data.tasks import Task
from limbeck.models.parts.student import PartsStudent
from limbeck.models.student import Student
from limbeck.stages.pixels import masks_of, moving_of
from limbeck.train.feed import Ordering, Table

Array = np.ndarray[Any, Any]
# by the tokenizer; kept as long as the rows
_TOKENS: WeakKeyDictionary[Rows, dict[str, Tensor | Parts]] = WeakKeyDictionary()


def encoder_of(data: Data, student: Student) -> Callable[[Any], Tensor | Parts]:
    """What makes inputs of a student [N, ...] of raw rows: its tokenizer (int32), else the preprocessing (float32)."""
    if isinstance(student, PartsStudent):
        preprocess = data.preprocess
        return lambda inputs: student.encode(inputs, preprocess)
    if student.encoder is not None:
        if data.train.kind != "text":
            raise ConfigError(
                f"expected rows of text for the student {student.label}, got rows of kind {data.train.kind}",
                "give columns of texts (one, or two for pairs), or a network that takes numbers",
            )
        tokens = student.encoder.encode
        return lambda inputs: torch.from_numpy(tokens(inputs))
    encode = data.preprocess.encode
    return lambda inputs: torch.from_numpy(np.ascontiguousarray(encode(inputs), dtype=np.float32))


@dataclass(frozen=True)
class EncodedLater:
    """Student inputs of rows on disk, encoded some at a time as they are asked for."""

    inputs: OnDisk
    encode: Callable[[Any], Tensor | Parts]

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, at: Any) -> Tensor:
        made = self.encode(self.inputs.rows(np.arange(len(self))[at]))
        assert isinstance(made, Tensor)  # rows of parts are never on disk
        return made


def encoded(data: Data, rows: Rows, student: Student) -> Tensor | Parts | EncodedLater:
    """Student inputs [N, ...] of rows; texts are tokenised once for all arms and seeds that answer them."""
    encode = encoder_of(data, student)
    if isinstance(rows.inputs, OnDisk):
        return EncodedLater(rows.inputs, encode)
    if student.encoder is None and not isinstance(student, PartsStudent):
        return encode(rows.inputs)
    known = _TOKENS.setdefault(rows, {})
    name = student.fingerprint if student.encoder is None else student.encoder.fingerprint
    if name not in known:
        known[name] = encode(rows.inputs)
    return known[name]


def table_of(
    data: Data,
    rows: Rows,
    student: Student,
    *,
    views: bool = False,
    pseudo: Mapping[str, Array] | None = None,
    teacher_inputs: Callable[[Any], Tensor] | None = None,
) -> Table:
    """A table of rows. `views` augments them, `pseudo` labels the rows that have no label of their own.

    `teacher_inputs` makes what a live teacher takes of raw rows; without it the teacher does not run.
    """
    encode = encoder_of(data, student)
    targets: dict[str, Tensor] = {}
    masks: dict[str, Tensor] = {}
    for head, task in data.tasks.items():
        values, mask = _labels(rows, head, task)
        if task.kind == "segmentation":
            values, mask = masks_of(rows, values, mask, None if pseudo is None else pseudo.get(head))
        elif task.positions:
            values, mask = _of_words(values, mask, None if pseudo is None else pseudo.get(head))
        elif pseudo is not None and head in pseudo:
            values = np.where(mask if values.ndim == 1 else mask[:, None], values, pseudo[head])
            mask = np.ones(len(rows), dtype=bool)
        if has_gaps(values):
            mask = np.asarray(mask)[:, None] & ~np.isnan(values)
            values = np.where(mask, values, 0).astype(np.float32)
        targets[head], masks[head] = torch.from_numpy(np.ascontiguousarray(values)), torch.from_numpy(mask)

    on_disk, lengths = isinstance(rows.inputs, OnDisk), _lengths(rows)
    reader = WindowReader(rows.inputs, (labelled_first(rows)[1],)) if isinstance(rows.inputs, OnDisk) else None

    def raw(index: Array, views: Array | None) -> Any:
        inputs = take_inputs(rows.inputs, index) if reader is None else reader.rows(index)
        if views is None or data.view is None:
            return inputs
        return data.view(inputs, rows.keys[index], views)

    def student_gather(index: Array, views: Array | None) -> Tensor | Parts:
        return encode(raw(index, views))

    def teacher_gather(index: Array, views: Array | None) -> Tensor:
        assert teacher_inputs is not None
        return teacher_inputs(raw(index, views))

    return Table(
        rows.keys,
        student_gather if views or on_disk or lengths is not None else encode(rows.inputs),
        targets,
        masks,
        None if rows.weight is None else torch.from_numpy(rows.weight),
        None if teacher_inputs is None else teacher_gather,
        moving_of(data, rows) if views else None,
        lengths,
    )


def _lengths(rows: Rows) -> Array | None:
    """Lengths [N] of clips and of series that have several, which lie ragged so that a batch is padded; else None."""
    if rows.kind == "audio":
        return clip_lengths(rows.inputs)
    return series_lengths(rows.inputs) if is_ragged(rows.inputs) else None  # type: ignore[arg-type]


def _labels(rows: Rows, head: str, task: Task) -> tuple[Array, Array]:
    if head in rows.targets:
        return rows.targets[head], np.array(rows.label_mask[head])
    return task.unlabelled(len(rows)), np.zeros(len(rows), dtype=bool)


def _of_words(values: Array, labelled: Array, pseudo: Array | None) -> tuple[Array, Array]:
    """Targets and mask [N, W] of words; `pseudo` [N, W] (-1: none) stands for the labels of rows without any."""
    width = max(values.shape[1], 0 if pseudo is None else pseudo.shape[1])
    wide = np.full((len(values), width), NO_LABEL, dtype=np.int64)
    wide[labelled, : values.shape[1]] = values[labelled]
    if pseudo is not None:
        wide[~labelled, : pseudo.shape[1]] = pseudo[~labelled]
    known = wide != NO_LABEL
    return np.where(known, wide, 0), known


def order_for(data: Data) -> Callable[[int, int], Ordering] | None:
    """The order of rows in training where some of them are on disk; None where all are in memory."""
    pool: list[Any] = [rows.inputs for rows in (data.train, data.unlabeled) if rows is not None]
    sizes = [inputs.row_bytes for inputs in pool if isinstance(inputs, OnDisk)]
    if not sizes:
        return None
    return lambda n, seed: order_of_rows(n, seed, sizes[0])


def labelled_first(rows: Rows, tasks: Collection[str] | None = None) -> tuple[Rows, int]:
    """The rows with those that carry a label for any task (of some) in front, and how many these are."""
    masks = [mask for head, mask in rows.label_mask.items() if tasks is None or head in tasks]
    if not masks:
        return rows, 0
    labelled = np.logical_or.reduce(masks)
    if bool(labelled[: int(labelled.sum())].all()):
        return rows, int(labelled.sum())
    return rows.take(np.concatenate([np.flatnonzero(labelled), np.flatnonzero(~labelled)])), int(labelled.sum())
