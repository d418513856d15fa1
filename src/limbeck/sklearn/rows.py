"""Rows and weights of a `fit`, brought into one form: what weighs nothing is left out, equal rows are one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError

Array = np.ndarray[Any, Any]


class ParameterError(ConfigError, ValueError):
    """A parameter or an input of an estimator is wrong: a ConfigError that scikit-learn takes for a ValueError."""


@dataclass(frozen=True)
class Given:
    """Rows [N, F], targets [N] (class ids or numbers) and weights [N], None where all weigh the same."""

    x: Array
    y: Array
    weight: Array | None

    def __len__(self) -> int:
        return len(self.y)


def weighing(x: Array, y: Array, weight: Array | None) -> Given:
    """The rows that weigh something; raises ParameterError for weights below 0, or where no row is left."""
    if weight is None:
        return Given(x, y, None)
    if (weight < 0).any():
        raise ParameterError(
            f"expected sample weights of at least 0, got {float(weight.min()):g}", "leave such rows out, or give them 0"
        )
    there = weight > 0
    if not there.any():
        raise ParameterError("expected sample weights that are not all 0", "give at least two rows a weight")
    return Given(x[there], y[there], weight[there])


def merged(given: Given) -> Given:
    """Equal rows with equal targets as one that weighs their sum, in an order of their content.

    A weight then means what a repetition means, exactly, and no row is held out that is also trained on.
    """
    table = np.ascontiguousarray(np.column_stack([given.x, given.y]).astype(np.float64)) + 0.0  # -0.0 is 0.0
    rows = table.view(np.dtype((np.void, table.dtype.itemsize * table.shape[1]))).ravel()
    _, first, which = np.unique(rows, return_index=True, return_inverse=True)
    weight = np.bincount(which.ravel(), weights=given.weight, minlength=len(first)).astype(np.float64)
    alike = bool((weight == weight[0]).all())
    return Given(given.x[first], given.y[first], None if alike else weight)
