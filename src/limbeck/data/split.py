"""Splitting rows: stratified by class, whole groups and honest duplicates together, the same for a seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.rows import Array, Rows
from limbeck.data.tasks import Task


def split_off(rows: Rows, fraction: float, tasks: Mapping[str, Task], seed: int, name: str) -> tuple[Rows, Rows]:
    """The rest and the part that is split off; rows of one group or one key never stand in both."""
    if not 0 < fraction < 1:
        raise ConfigError(f"expected {name}_fraction between 0 and 1, got {fraction}", "0.2 is the default")
    units = _units(rows)
    labelled = np.flatnonzero(_labelled(rows))
    wanted = max(1, round(fraction * len(labelled)))
    if len(np.unique(units[labelled])) < 2:
        raise ConfigError(
            f"expected at least two distinct labelled rows to split {name} rows off, got {len(labelled)}",
            f"give {name} rows of their own",
        )
    taken = _choose(units, labelled, _strata(rows, tasks), wanted, np.random.default_rng([seed, len(name)]))
    part = np.isin(units, taken)
    if not (_labelled(rows) & ~part).any():
        raise ConfigError(
            f"expected labelled rows to be left for training after {name} rows were split off, none are",
            f"give {name} rows of their own, or a smaller {name}_fraction",
        )
    return rows.take(~part), rows.take(part & _labelled(rows))


def keep_labels(rows: Rows, count: int, tasks: Mapping[str, Task], seed: int) -> tuple[Rows, Rows]:
    """Labelled rows in that number, stratified, and the others without their labels."""
    labelled = np.flatnonzero(_labelled(rows))
    if not 0 < count <= len(labelled):
        raise ConfigError(
            f"expected labels between 1 and the {len(labelled)} labelled training rows, got {count}", "ask for fewer"
        )
    units = np.arange(len(rows))
    kept = _choose(units, labelled, _strata(rows, tasks), count, np.random.default_rng([seed, 77]))
    mask = np.zeros(len(rows), dtype=bool)
    mask[kept[:count]] = True
    return rows.take(mask), rows.take(~mask).without_labels()


def _labelled(rows: Rows) -> Array:
    found: Array = np.logical_or.reduce([np.asarray(mask) for mask in rows.label_mask.values()])
    return found


def _units(rows: Rows) -> Array:
    """One number for rows that must stay together: the group, else the key."""
    if rows.groups is not None:
        return np.unique(np.asarray([str(g) for g in rows.groups]), return_inverse=True)[1]
    return np.unique(rows.keys, axis=0, return_inverse=True)[1].reshape(-1)


def _strata(rows: Rows, tasks: Mapping[str, Task]) -> Array:
    """Class of the first classification task, 0 without one."""
    for head, task in tasks.items():
        if task.kind == "classification" and head in rows.targets:
            return rows.targets[head]
    return np.zeros(len(rows), dtype=np.int64)


def _choose(units: Array, rows: Array, strata: Array, wanted: int, rng: np.random.Generator) -> Array:
    """Units that hold about `wanted` of the rows, each class in proportion (largest remainders)."""
    shuffled = rng.permutation(rows)
    classes, counts = np.unique(strata[shuffled], return_counts=True)
    share = counts * wanted / len(rows)
    take = np.floor(share).astype(int)
    for i in np.argsort(-(share - take), kind="stable")[: wanted - int(take.sum())]:
        take[i] += 1
    chosen = [shuffled[strata[shuffled] == c][:n] for c, n in zip(classes, take, strict=True)]
    return np.unique(units[np.concatenate(chosen)])
