"""Splitting rows: stratified by class, whole groups and honest duplicates together, the same for a seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.data.entries import whole_rows
from limbeck.data.keys import inverse_of
from limbeck.data.rows import Array, Rows
from limbeck.data.tasks import Task


def split_off(rows: Rows, fraction: float, tasks: Mapping[str, Task], seed: int, name: str) -> tuple[Rows, Rows]:
    """The rest and the part that is split off; rows of one group or one key never stand in both."""
    if not 0 < fraction < 1:
        raise ConfigError(f"expected {name}_fraction between 0 and 1, got {fraction}", "0.2 is the default")
    units = units_of(rows)
    judged = labelled_rows(rows) & whole_rows(rows)  # a row that misses an entry can train, and is not judged
    labelled = np.flatnonzero(judged)
    wanted = max(1, round(fraction * len(labelled)))
    if (distinct := len(np.unique(units[labelled]))) < 2:
        raise ConfigError(
            f"expected at least two distinct labelled rows (or groups) to split {name} rows off, got {distinct} "
            f"in {len(labelled)} labelled rows",
            f"give {name} rows of their own",
        )
    taken = _choose(
        units, labelled, classes_of(rows, tasks), wanted, np.random.default_rng([seed % (1 << 64), len(name)])
    )
    part = np.isin(units, taken)
    if not (labelled_rows(rows) & ~part).any():
        raise ConfigError(
            f"expected labelled rows to be left for training after {name} rows were split off, none are",
            f"give {name} rows of their own, or a smaller {name}_fraction",
        )
    return rows.take(~part), rows.take(part & judged)


def keep_labels(rows: Rows, count: int, tasks: Mapping[str, Task], seed: int) -> tuple[Rows, Rows]:
    """Labelled rows in that number, stratified, and the others without their labels."""
    labelled = np.flatnonzero(labelled_rows(rows))
    if not 0 < count <= len(labelled):
        raise ConfigError(
            f"expected labels between 1 and the {len(labelled)} labelled training rows, got {count}", "ask for fewer"
        )
    units = np.arange(len(rows))
    kept = _choose(units, labelled, classes_of(rows, tasks), count, np.random.default_rng([seed % (1 << 64), 77]))
    mask = np.zeros(len(rows), dtype=bool)
    mask[kept[:count]] = True
    return rows.take(mask), rows.take(~mask).without_labels()


def labelled_rows(rows: Rows) -> Array:
    """Whether a row [N] has a label for any task."""
    found: Array = np.logical_or.reduce([np.asarray(mask) for mask in rows.label_mask.values()])
    return found


def units_of(rows: Rows) -> Array:
    """One number for rows that must stay together: those of one group or one key, and what hangs on them."""
    same_key, count = inverse_of(rows.keys)
    if rows.groups is None:
        return same_key
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    same_group, more = np.unique(rows.groups, return_inverse=True)[1], count + len(rows)
    links = coo_matrix((np.ones(len(rows), dtype=bool), (same_key, same_group + count)), shape=(more, more))
    parts: Array = connected_components(links, directed=False)[1]
    return parts[same_key]


def classes_of(rows: Rows, tasks: Mapping[str, Task]) -> Array:
    """Class of the first classification task, 0 without one."""
    for head, task in tasks.items():
        if task.form == "classification" and head in rows.targets:
            return rows.targets[head]
    return np.zeros(len(rows), dtype=np.int64)


def _choose(units: Array, rows: Array, strata: Array, wanted: int, rng: np.random.Generator) -> Array:
    """Units that hold about `wanted` of the rows, each class in proportion: whole units first, then single rows."""
    shuffled = rng.permutation(rows)
    classes, place, counts = np.unique(strata[shuffled], return_inverse=True, return_counts=True)
    take = _proportional(counts * wanted / len(rows), wanted)
    sizes = np.bincount(units[rows], minlength=int(units.max()) + 1)
    single = sizes[units[shuffled]] == 1
    chosen, got = _whole_units(units[shuffled[~single]], place[~single], counts, wanted / len(rows))
    left = np.maximum(take - got, 0)
    for i in range(len(classes)):
        chosen.append(units[shuffled[single & (place == i)][: left[i]]])
    found = np.unique(np.concatenate(chosen))
    return found if len(found) else units[shuffled[:1]]


def _proportional(share: Array, wanted: int) -> Array:
    """Whole numbers that add up to `wanted`, by largest remainders."""
    take = np.floor(share).astype(int)
    for i in np.argsort(-(share - take), kind="stable")[: wanted - int(take.sum())]:
        take[i] += 1
    return take


def _whole_units(units: Array, place: Array, counts: Array, fraction: float) -> tuple[list[Array], Array]:
    """Units of several rows that bring each class nearer to its fraction of such rows, and their rows by class.

    `units` and `place` (the class) are of the rows, shuffled. One unit is taken where even the best is too large.
    """
    got = np.zeros(len(counts), dtype=int)
    if not len(units):
        return [], got
    target = np.bincount(place, minlength=len(counts)) * fraction
    codes, order = pd.factorize(units)
    table = np.zeros((len(order), len(counts)), dtype=int)
    np.add.at(table, (codes, place), 1)
    chosen = []
    for unit, rows in enumerate(table):
        nearer = np.abs(target - got - rows).sum() < np.abs(target - got).sum()
        if nearer and got.sum() + rows.sum() < counts.sum():  # something is left for training
            chosen.append(unit)
            got += rows
    if not chosen and len(units) == counts.sum():
        chosen = [int(np.abs(target - table).sum(axis=1).argmin())]
        got = table[chosen[0]]
    return [np.asarray(order)[chosen]], got
