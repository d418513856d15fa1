"""Steps of rows of like length, so that rows of text carry little padding.

Rows are regrouped among neighbouring steps of an order and never beyond an epoch: a row still comes once in each. Which
step gets short rows and which long ones is drawn, or the student would see lengths in ascending order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
import xxhash
from torch import Tensor

from limbeck.data.counter import mix, mixed

Array: TypeAlias = "np.ndarray[Any, Any]"
Drawn: TypeAlias = tuple[Array, Array]  # table rows and epochs of the steps of one stream, int64 [S, B] each


def lengths_of(inputs: Any) -> Array | None:
    """Tokens of each row [N] of encoded text (int32 [N, T], negative where there is no token); None for other rows."""
    if not isinstance(inputs, Tensor) or inputs.dtype != torch.int32 or inputs.dim() != 2:
        return None
    lengths: Array = (inputs >= 0).sum(1).cpu().numpy()
    return lengths


@dataclass(frozen=True, eq=False)
class Grouping:
    """Regroups the rows of a stretch of steps by `lengths` [N]; which step gets which rows is drawn from `seed`."""

    lengths: Array
    seed: int

    def regrouped(self, streams: Sequence[Drawn], stretch: int) -> list[Drawn]:
        """The same rows and epochs of each stream with rows of like length in one step, longer ones at the end of it.

        The first stream is regrouped as if it were alone, so that an arm with more streams sees its rows in the same
        steps; in the others the longest rows go where the first stream has its longest. Rows of one length keep their
        order. A step in which an epoch ends stays as it is.
        """
        found: list[Drawn] = []
        lead: Array | None = None
        for rows, epochs in streams:
            drawn = mixed(mix(mix(np.uint64(self.seed % (1 << 64))) ^ np.uint64(stretch)), len(rows))
            made = rows.copy()
            for first, stop in _spans(epochs):
                flat = rows[first:stop].reshape(-1)
                by_length = flat[np.argsort(self.lengths[flat], kind="stable")].reshape(stop - first, -1)
                keys = (drawn[first:stop],) if lead is None else (drawn[first:stop], lead[first:stop])
                made[first + np.lexsort(keys)] = by_length
            if lead is None:
                lead = self.lengths[made].max(axis=1)
            found.append((made, epochs))
        return found

    @cached_property
    def fingerprint(self) -> str:
        """A hash of what decides which rows a step sees."""
        hasher = xxhash.xxh3_128(f"like length, {self.seed}".encode())
        hasher.update(np.ascontiguousarray(self.lengths, dtype=np.int64).tobytes())
        return hasher.hexdigest()


def _spans(epochs: Array) -> Iterator[tuple[int, int]]:
    """Stretches of at least two whole steps that belong to one epoch, as (first, stop)."""
    first, last = epochs[:, 0], epochs[:, -1]
    step = np.arange(len(epochs))
    span = np.where(first == last, first, -1 - step)  # a step in which an epoch ends stands alone
    cuts = np.flatnonzero(np.concatenate([[True], span[1:] != span[:-1], [True]]))
    for start, stop in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        if stop - start > 1:
            yield start, stop
