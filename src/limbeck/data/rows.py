"""The rows of one split: raw inputs, keys, targets in training space, and what the user said about each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, cast

import numpy as np
import pandas as pd

from limbeck.core.errors import ShapeMismatch
from limbeck.core.parts import Parts
from limbeck.data.ondisk import HELD, DiskTable, OnDisk, joined

KINDS = ("array", "table", "image", "text", "audio", "parts")

Array: TypeAlias = "np.ndarray[Any, Any]"
Inputs: TypeAlias = "np.ndarray[Any, Any] | pd.DataFrame | Parts"  # or `OnDisk`, which is read as one of these


@dataclass(frozen=True, eq=False)
class Rows:
    """One split of the data; every field has one entry per row.

    `inputs` are raw: an array [N, ...] of numbers or objects [N] of series ("array"), a DataFrame ("table";
    "text": one or two columns of texts, or one of tuples of words), [N, H, W] / [N, H, W, C]
    uint8 or float ("image"), objects [N] of clips float32 [T] at
    the sampling `rate` ("audio"), or several of these by name ("parts"); those of a stream stay on disk (`OnDisk`).
    `keys` [N, 2] uint64, column 0 the high word.
    `targets` in training space by task:
    int64 [N] class ids, int64 [N, W] tags of words (-1: none), float32 [N, L] of 0/1, float32 [N, K] standardised;
    empty where there are no labels.
    `label_mask` bool [N] by task. `ids` are the user's names of rows, aliases of keys. By `slices`, numbers or texts
    [N] by name, test rows are told apart.
    Raises ShapeMismatch when the lengths differ.
    """

    kind: str
    inputs: Inputs
    keys: Array
    targets: Mapping[str, Array] = field(default_factory=dict)
    label_mask: Mapping[str, Array] = field(default_factory=dict)
    weight: Array | None = None
    groups: Array | None = None
    ids: Array | None = None
    rate: int = 0
    slices: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ShapeMismatch(f"expected rows of kind {', '.join(KINDS)}, got '{self.kind}'")
        lengths = {"inputs": len(self.inputs), "keys": len(self.keys)}
        lengths |= {f"targets of {name}": len(values) for name, values in self.targets.items()}
        lengths |= {f"label mask of {name}": len(values) for name, values in self.label_mask.items()}
        lengths |= {f"slices by {name}": len(values) for name, values in self.slices.items()}
        for name, extra in (("weight", self.weight), ("groups", self.groups), ("ids", self.ids)):
            if extra is not None:
                lengths[name] = len(extra)
        if len(set(lengths.values())) > 1:
            raise ShapeMismatch(
                "expected one entry per row everywhere, got " + ", ".join(f"{v} {k}" for k, v in lengths.items())
            )

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def labelled(self) -> bool:
        """Whether any row has a label for any task."""
        return any(bool(mask.any()) for mask in self.label_mask.values())

    def take(self, index: Any) -> Rows:
        """The rows at positions (or under a mask), in that order."""
        index = np.asarray(index)
        if index.dtype == bool:
            index = np.flatnonzero(index)
        elif not len(index):
            index = index.astype(np.int64)
        return Rows(
            kind=self.kind,
            inputs=_picked(self.inputs, index),
            keys=self.keys[index],
            targets={name: values[index] for name, values in self.targets.items()},
            label_mask={name: mask[index] for name, mask in self.label_mask.items()},
            weight=None if self.weight is None else self.weight[index],
            groups=None if self.groups is None else self.groups[index],
            ids=None if self.ids is None else self.ids[index],
            rate=self.rate,
            slices={name: values[index] for name, values in self.slices.items()},
        )

    def without_labels(self) -> Rows:
        """The same rows, targets and masks left out."""
        return replace(self, targets={}, label_mask={})

    @staticmethod
    def concat(parts: Sequence[Rows]) -> Rows:
        """Rows one after the other; a part without labels gets mask False, one without weights gets ones.

        Ids, groups and slices stay only where every part has them. Raises ShapeMismatch when kinds or shapes differ.
        """
        if not parts:
            raise ShapeMismatch("expected at least one split to put together, got none")
        kinds = {(part.kind, row_shape(part.inputs)) for part in parts}
        if len(kinds) > 1:
            got = " and ".join(f"{kind} {shape}" for kind, shape in sorted(kinds, key=str))
            raise ShapeMismatch(f"expected splits of one kind and shape, got {got}")
        names = list(dict.fromkeys(name for part in parts for name in part.targets))
        weighted = any(part.weight is not None for part in parts)
        return Rows(
            kind=parts[0].kind,
            inputs=_join_inputs([part.inputs for part in parts]),
            keys=np.concatenate([part.keys for part in parts]),
            targets={name: _stacked([_targets(part, name, parts) for part in parts]) for name in names},
            label_mask={name: np.concatenate([_mask(part, name) for part in parts]) for name in names},
            weight=np.concatenate([_weight(part) for part in parts]) if weighted else None,
            groups=_all_or_none([part.groups for part in parts]),
            ids=_all_or_none([part.ids for part in parts]),
            rate=parts[0].rate,
            slices={
                name: np.concatenate([part.slices[name] for part in parts])
                for name in parts[0].slices
                if all(name in part.slices for part in parts)
            },
        )


def take_inputs(inputs: Inputs, index: Array) -> Inputs:
    """Inputs at positions [M]; a table comes back with a fresh index."""
    if isinstance(inputs, OnDisk):
        return cast("Inputs", inputs.rows(index))
    if isinstance(inputs, pd.DataFrame):
        return inputs.take(index).reset_index(drop=True)
    return inputs[index]


def _picked(inputs: Inputs, index: Array) -> Inputs:
    """Inputs at positions [M]; of those on disk many stay there."""
    if isinstance(inputs, OnDisk) and inputs.row_bytes * len(index) > HELD:
        return cast("Inputs", inputs.pick(index))
    return take_inputs(inputs, index)


def in_memory(inputs: Inputs) -> Inputs:
    """Inputs as they are, those on disk read whole."""
    return cast("Inputs", inputs.whole()) if isinstance(inputs, OnDisk) else inputs


def row_shape(inputs: Inputs) -> tuple[Any, ...]:
    """What one row is: the shape without N, or the column names of a table."""
    if isinstance(inputs, Parts):
        return tuple((name, row_shape(part)) for name, part in inputs.items())
    return tuple(inputs.columns) if isinstance(inputs, pd.DataFrame | DiskTable) else tuple(inputs.shape[1:])


def _join_inputs(parts: Sequence[Inputs]) -> Inputs:
    if isinstance(parts[0], Parts):
        return parts[0].map(lambda name, _: _join_inputs([part[name] for part in parts if isinstance(part, Parts)]))
    if any(isinstance(part, OnDisk) for part in parts):
        return cast("Inputs", joined(parts))
    if isinstance(parts[0], pd.DataFrame):
        return pd.concat(parts, ignore_index=True)  # type: ignore[arg-type]
    return np.concatenate([np.asarray(part) for part in parts])


def _targets(part: Rows, name: str, parts: Sequence[Rows]) -> Array:
    if name in part.targets:
        return part.targets[name]
    like = next(other.targets[name] for other in parts if name in other.targets)
    shape = (len(part), *like.shape[1:])
    return np.full(shape, "", dtype=object) if like.dtype == object else np.zeros(shape, dtype=like.dtype)


def _stacked(parts: Sequence[Array]) -> Array:
    """Targets one below the other; those of words are padded to the longest row with -1, which is no label."""
    widest = max(part.shape[-1] for part in parts)
    if parts[0].ndim == 2 and parts[0].dtype == np.int64:
        parts = [np.pad(part, ((0, 0), (0, widest - part.shape[1])), constant_values=-1) for part in parts]
    return np.concatenate(parts)


def _mask(part: Rows, name: str) -> Array:
    return part.label_mask.get(name, np.full(len(part), name in part.targets))


def _weight(part: Rows) -> Array:
    return np.ones(len(part), dtype=np.float32) if part.weight is None else part.weight


def _all_or_none(parts: Sequence[Array | None]) -> Array | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if len(there) == len(parts) else None


def _bytes_of(values: Array) -> bytes:
    """Values as bytes: numbers as they lie in memory, texts one after the other."""
    if values.dtype == object:
        return "\0".join(map(str, values)).encode()
    return np.ascontiguousarray(values).tobytes()


def digest(rows: Rows) -> str:
    """A hash of keys, targets, masks, weights and groups (inputs are behind their keys)."""
    import xxhash

    hasher = xxhash.xxh3_128(np.ascontiguousarray(rows.keys).tobytes())
    for head in sorted(rows.targets):
        hasher.update(head.encode() + _bytes_of(rows.targets[head]))
        hasher.update(np.ascontiguousarray(rows.label_mask[head]).tobytes())
    if rows.weight is not None:
        hasher.update(rows.weight.tobytes())
    if rows.groups is not None:
        hasher.update("\0".join(str(g) for g in rows.groups).encode())
    return hasher.hexdigest()
