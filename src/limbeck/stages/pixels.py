"""Masks in the stages: labels as a feed reads them, moved as their images are, and how many answers fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.core.errors import ConfigError
from limbeck.data.data import Data
from limbeck.data.masks.segmentation import NO_LABEL, Segmentation
from limbeck.data.rows import Array, Rows, row_shape
from limbeck.data.tasks import Task
from limbeck.data.views import Views
from limbeck.models.predict import at_once
from limbeck.report.words import size
from limbeck.train.feed import Moving
from limbeck.transfer.codecs import Pixels

_BATCH = 1024
_NUMBERS = 1 << 24  # of the answers to all pixels of some rows that are held at once


def masks_of(rows: Rows, values: Array, labelled: Array, pseudo: Array | None) -> tuple[Array, Array]:
    """Class ids int16 [N, P] and where pixels have one; `pseudo` [N, P] stands for the masks of rows without any."""
    wide = np.full((len(rows), size_of(rows)), NO_LABEL, dtype=np.int16)
    wide[labelled] = values[labelled]
    if pseudo is not None:
        wide[~labelled] = pseudo[~labelled]
    known = wide != NO_LABEL
    return np.where(known, wide, 0).astype(np.int16), known


def masked(tasks: Mapping[str, Task]) -> bool:
    """Whether a task answers every pixel."""
    return any(isinstance(task, Segmentation) for task in tasks.values())


def size_of(rows: Rows) -> int:
    """Pixels of an image."""
    return int(np.prod(row_shape(rows.inputs)[:2]))


def moving_of(data: Data, rows: Rows) -> Moving | None:
    """What moves the masks of a table as the view moves its images; None where there are none.

    Raises ConfigError for a view that cannot.
    """
    heads = [head for head, task in data.tasks.items() if task.kind == "segmentation"]
    view = data.view
    if not heads or view is None:
        return None
    shape = row_shape(rows.inputs)[:2]
    if not isinstance(view, Views):
        raise ConfigError(
            f"expected a built-in view for images with masks, got {view.describe()}, which leaves the masks where they "
            "are",
            "for example view='flip + rot90 + shift(4)', which moves both",
        )
    moves = view.moved

    def move(
        said: dict[str, Tensor], masks: dict[str, Tensor], index: Array, views: Array
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        for head in heads:
            device = said[head].device
            ids = said[head].cpu().numpy()
            if head in masks:  # without one every pixel of every row has a label
                ids = np.where(masks[head].cpu().numpy(), ids, NO_LABEL)
            turned = moves(ids.reshape(len(ids), *shape), rows.keys[index], views, NO_LABEL).reshape(len(ids), -1)
            known = turned != NO_LABEL
            said = {**said, head: torch.from_numpy(np.where(known, turned, 0).astype(np.int16)).to(device)}
            masks = {**masks, head: torch.from_numpy(known).to(device)}
        return said, masks

    return move


def batch_for(rows: Rows, tasks: Mapping[str, Task], most: int = _BATCH) -> int:
    """How many rows are answered at once: fewer where every pixel of them is answered."""
    if not masked(tasks):
        return most
    return at_once((len(rows), 1, *row_shape(rows.inputs)[:2]), most)


def few_for(rows: Rows, tasks: Mapping[str, Task], most: int) -> Rows:
    """Some of the rows, evenly spread, where answers to all pixels of all would be more than so many numbers."""
    most = _part(rows, tasks, most)
    return rows if len(rows) <= most else rows.take(np.linspace(0, len(rows) - 1, most).astype(np.int64))


def in_parts(
    rows: Rows, tasks: Mapping[str, Task], ask: Callable[[Rows, Array], Mapping[str, Array]]
) -> dict[str, Array]:
    """What `ask` says of rows and their places, by head: in parts where answers to all pixels would fill memory."""
    size, places = _part(rows, tasks, len(rows)), np.arange(len(rows))
    if size >= len(rows):
        return dict(ask(rows, places))
    said = [ask(rows.take(part), part) for part in np.split(places, np.arange(size, len(rows), size))]
    return {head: np.concatenate([part[head] for part in said]) for head in said[0]}


def _part(rows: Rows, tasks: Mapping[str, Task], most: int) -> int:
    """How many rows may be answered before their answers are reduced to decisions."""
    widths = [task.size for task in tasks.values() if isinstance(task, Segmentation)]
    return min(most, max(2, _NUMBERS // (size_of(rows) * max(widths)))) if widths else most


def codec_for(task: Any, rows: Rows, dtype: str) -> Pixels | None:
    """How the answers to all pixels are stored; None for other tasks."""
    return Pixels(size_of(rows), dtype) if isinstance(task, Segmentation) else None


def plan_for(job_rows: Rows, tasks: Mapping[str, Task], dtype: str) -> dict[str, int]:
    """Batch and shard sizes of a transfer set of masks; nothing for others."""
    codecs = [(codec_for(task, job_rows, dtype), task.size) for task in tasks.values()]
    masked = [(codec, width) for codec, width in codecs if codec is not None]
    if not masked:
        return {}
    batch = batch_for(job_rows, tasks)
    return {"shard_rows": min(codec.shard_rows(width, batch) for codec, width in masked)}


def sizes_of(rows: Rows, tasks: Mapping[str, Task], views: int, dtype: str) -> Iterator[str]:
    """How large the stored answers to all pixels will be, said before labelling."""
    for head, task in tasks.items():
        codec = codec_for(task, rows, dtype)
        if codec is not None:
            yield (
                f"the teacher's answers of {head} will take {size(len(rows) * views * _bytes(codec, task))}: "
                f"{len(rows)} images x {views} "
                f"view{'s' if views > 1 else ''} x {codec.positions} pixels x {task.size} classes, {dtype}"
            )


def stored_bytes(data: Data, codec: str) -> int:
    """Bytes that the answers to all pixels will take on disk; 0 without a task of masks."""
    pool = len(data.train) + (0 if data.unlabeled is None else len(data.unlabeled))
    found = [
        (made, task)
        for task in data.tasks.values()
        if (made := codec_for(task, data.train, "float32" if codec == "fp32" else "float16")) is not None
    ]
    return sum(pool * max(data.views, 1) * _bytes(made, task) for made, task in found)


def _bytes(codec: Pixels, task: Task) -> int:
    return codec.columns(task.size)[0].row_bytes
