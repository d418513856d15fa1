"""Targets of several columns of which some entries are unknown: NaN in float targets [N, K], in training rows alone.

A training row counts by the entries that are known; its label mask says whether any is. Validation and test rows are
judged whole: there a row that misses an entry has no label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from limbeck.data.labels import is_missing
from limbeck.data.rows import Array, Rows

JUDGED = ("validation", "test")


def known_entries(values: Array) -> Array:
    """Which entries of labels [N, K] there are, bool [N, K]."""
    if values.dtype.kind == "f":
        return np.asarray(~np.isnan(values))
    if values.dtype.kind == "O":
        there = np.array([not is_missing(value) for value in values.reshape(-1)], dtype=bool)
        return there.reshape(values.shape)
    return np.ones(values.shape, dtype=bool)


def with_gaps(values: Array, known: Array) -> tuple[Array, Array]:
    """Targets [N, K] as they are kept, and the mask [N] of rows with a label.

    An unknown entry is NaN where its row has another one, else 0.
    """
    mask = np.asarray(known.any(axis=1))
    return np.where(known, values, np.where(mask, np.nan, 0.0)[:, None]), mask


def has_gaps(targets: Array) -> bool:
    """Whether some entries of targets are unknown."""
    return targets.dtype.kind == "f" and targets.ndim == 2 and bool(np.isnan(targets).any())


def whole(rows: Rows, head: str) -> Array:
    """Rows of which every entry of a label is known, bool [N]; those without a label are none."""
    mask = np.asarray(rows.label_mask[head])
    targets = rows.targets[head]
    return mask & ~np.isnan(targets).any(axis=1) if has_gaps(targets) else mask


def whole_rows(rows: Rows) -> Array:
    """Rows that know of every task all entries or none, bool [N]."""
    found = np.ones(len(rows), dtype=bool)
    for head, mask in rows.label_mask.items():
        found &= whole(rows, head) | ~np.asarray(mask)
    return found


def silent_columns(rows: Rows, head: str, names: Sequence[str]) -> list[str]:
    """The columns of a task's targets of which no row knows a value."""
    if head not in rows.targets or not has_gaps(rows.targets[head]):
        return []
    there = ~np.isnan(rows.targets[head]) & np.asarray(rows.label_mask[head])[:, None]
    return [str(name) for name, known in zip(names, there.any(axis=0), strict=False) if not known]


def filled(rows: Rows, head: str) -> Rows:
    """Rows whose unknown entries are the mean of the known ones of their column."""
    targets = rows.targets[head]
    if not has_gaps(targets):
        return rows
    known = ~np.isnan(targets) & np.asarray(rows.label_mask[head])[:, None]
    mean = np.where(known, targets, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return replace(rows, targets={**rows.targets, head: np.where(np.isnan(targets), mean, targets).astype(np.float32)})


def judged_whole(rows: Mapping[str, Rows]) -> dict[str, Rows]:
    """Splits in which validation and test rows that miss an entry of a label have none."""
    return {split: _whole(part) if split in JUDGED else part for split, part in rows.items()}


def _whole(rows: Rows) -> Rows:
    odd = [head for head, targets in rows.targets.items() if has_gaps(targets)]
    if not odd:
        return rows
    masks = {head: whole(rows, head) for head in odd}
    targets = {head: np.where(masks[head][:, None], rows.targets[head], 0).astype(np.float32) for head in odd}
    return replace(rows, targets={**rows.targets, **targets}, label_mask={**rows.label_mask, **masks})
