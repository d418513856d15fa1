"""Any metric as a mean of one number per row: each row's influence on it, by leaving rows out (the jackknife).

Macro-F1, R², the root of a mean square or a user's own function are no means over rows. To first order they move with
each row by its influence (Efron, 1982); numbers with these influences and the metric as their mean can be paired,
clustered and split into components of rows and seeds just as rights and wrongs can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from limbeck.core.errors import ConfigError, ShapeMismatch

Array: TypeAlias = np.ndarray[Any, Any]
Score: TypeAlias = Callable[[Array, Array, Array | None], float]

BLOCKS = 400  # so many times is a metric computed per seed, at most


def linearise(
    metric: Score,
    outputs: Array,
    y: Array,
    weights: Array | None = None,
    *,
    groups: Array | None = None,
    blocks: int = BLOCKS,
    influence: Callable[[Array, Array, Array | None], Array] | None = None,
) -> Array:
    """Row scores [S, N] whose (weighted) mean per seed is `metric(outputs[s], y, weights)`.

    `outputs` [S, N, ...]. Give the same `weights` and `groups` to `gain`, `arm` or `retention` afterwards. Up to
    `blocks` rows (or groups) are left out one by one; of more, that many random blocks, the same for every arm, and
    a block's influence is shared by its rows so that variances keep their size. `influence(outputs[s], y, weights)`
    [N], where the user knows it, is taken instead: the derivative of the metric by a row's share of the weight.
    Raises ConfigError where the metric is not finite without some of the rows.
    """
    outputs, n = np.asarray(outputs), len(y)
    if outputs.ndim < 2 or outputs.shape[1] != n:
        raise ShapeMismatch(
            f"expected outputs [seeds, {n} rows, ...], got {list(outputs.shape)}",
            "give one output per seed and test row, in the order of the truth",
        )
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if influence is not None:
        value = [metric(seed, y, weights) for seed in outputs]
        return np.stack([m + np.asarray(influence(seed, y, weights)) for m, seed in zip(value, outputs, strict=True)])
    block, units = _blocks(w, groups, blocks)
    share = _shares(w, block, units)
    return np.stack([_of_seed(metric, seed, y, weights, w, block, share) for seed in outputs])


def _blocks(w: Array, groups: Array | None, blocks: int) -> tuple[Array, Array]:
    """Block of each row (-1: no weight, no influence) and unit of each row: its group, or itself."""
    used = w > 0
    units = np.full(len(w), -1)
    if groups is None:
        units[used] = np.arange(used.sum())
    else:
        units[used] = np.unique(np.asarray(groups)[used], return_inverse=True)[1].ravel()
    count = int(units.max()) + 1
    if count <= blocks:
        return units, units
    # whole units go into a block; a fixed order makes the blocks of every arm the same
    place = np.random.default_rng(0).permutation(count) % blocks
    return np.where(used, place[units], -1), units


def _shares(w: Array, block: Array, units: Array) -> Array:
    """Score of a row per influence of its block.

    A block's influence J splits into J/√c for each of its c units: the sum of squares over units is then J², as it
    is in expectation for independent units. Within a unit every row has the same score.
    """
    used = block >= 0
    of_unit = np.bincount(units[used], weights=w[used])
    first = np.unique(units[used], return_index=True)[1]
    in_block = np.bincount(block[used][first])
    result = np.zeros(len(w))
    result[used] = w.sum() / of_unit[units[used]] / np.sqrt(in_block[block[used]])
    return result


def _of_seed(
    metric: Score, outputs: Array, y: Array, weights: Array | None, w: Array, block: Array, share: Array
) -> Array:
    whole = float(metric(outputs, y, weights))
    if not np.isfinite(whole):
        return np.full(len(y), whole)
    count, total = int(block.max()) + 1, w.sum()
    moved = np.empty(count)
    for b in range(count):
        keep = block != b
        value = float(metric(outputs[keep], y[keep], None if weights is None else weights[keep]))
        # without the block the others weigh more: undone by the share of the weight that is left
        moved[b] = (whole - value) * w[keep].sum() / total
    failed = int((~np.isfinite(moved)).sum())
    if failed:
        raise ConfigError(
            f"expected a metric that is a number when rows are left out, got NaN without {failed} of {count} blocks",
            "return a number for every set of rows, also where a class or label is missing",
        )
    scores = share * moved[np.maximum(block, 0)] * (block >= 0)
    return np.asarray(whole + scores - np.average(scores, weights=w))
