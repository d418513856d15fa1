"""Ordinal classes: levels in an order, of which a near one is less wrong than a far one.

Answers are logits of the levels, so that any classifier can be a teacher; losses and decisions look at what they say
of the order, the chance of being above each level (McCullagh, Regression Models for Ordinal Data, 1980; Li and Lin,
Ordinal Regression by Extended Binary Classification, NeurIPS 2006). The level that is decided for is the median, which
has the least expected distance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.data.labels import as_labels, listed, present, sorted_names, text_of, texts_of
from limbeck.data.rows import Array
from limbeck.data.task import Measure
from limbeck.data.tasks import Classification


class Ordinal(Classification):
    """One of C levels; `classes` are their names from the lowest to the highest.

    The metrics are quadratic weighted kappa (Cohen, 1968), the mean distance in levels and the share of right levels.
    """

    kind: ClassVar[str] = "ordinal"
    metrics: ClassVar[tuple[str, ...]] = ("qwk", "level_mae", "accuracy")
    hard: ClassVar[str] = "OrdinalCE"
    objective: ClassVar[str] = "0.1 * OrdinalCE + 0.9 * OrdinalKD"
    losses: ClassVar[tuple[str, ...]] = ("classification",)
    judged_as: ClassVar[str] = "classification"
    answers_as: ClassVar[str] = "classification"

    @classmethod
    def of(cls, raw: Any, names: Sequence[str] | None, columns: Sequence[str]) -> Self:
        """The task over the levels given, those of an ordered categorical, or numbers in order of value.

        Raises ConfigError for levels that are texts whose order nobody said.
        """
        if names is None:
            names = _ordered_categories(raw)
        if names is not None:
            return cls(tuple(names))
        values = as_labels(raw)
        found = sorted_names(texts_of(values[present(values)]).tolist())
        if not all(_is_number(name) for name in found):
            raise ConfigError(
                f"expected the order of the levels of an ordinal task, got texts ({listed(found)})",
                "name them from the lowest to the highest: classes=['poor', 'fair', 'good'] (in a recipe data.classes)",
            )
        return cls(tuple(found))

    def decisions(self, answers: Array) -> Array:
        """Levels int64 [...] of logits [..., C]: the lowest that at least half of the chance does not exceed."""
        passed = (np.cumsum(_chances(answers), axis=-1) < 0.5).sum(axis=-1)
        return np.asarray(np.minimum(passed, self.size - 1), dtype=np.int64)

    def predict(self, logits: Any) -> Array:
        """Names of levels [N] of logits [N, C]; integers where every level is one."""
        return np.asarray(self.values[self.decisions(np.asarray(logits))])

    def measures(self) -> Mapping[str, Measure]:
        """Quadratic weighted kappa, the mean distance in levels, accuracy."""

        def levels(answers: Array) -> Array:
            return self.decisions(answers) if answers.ndim == 2 else answers

        def kappa(answers: Array, y: Array, weights: Array | None) -> float:
            apart, by_chance = _apart(levels(answers), y, weights)
            return (by_chance - apart) / by_chance if by_chance > 0 else float(apart == 0)

        def moves(answers: Array, y: Array, weights: Array | None) -> Array:
            return _kappa_influence(levels(answers), y, weights)

        def distance(answers: Array, y: Array) -> Array:
            return np.asarray(np.abs(levels(answers) - y), dtype=np.float64)

        def hits(answers: Array, y: Array) -> Array:
            return np.asarray(levels(answers) == y, dtype=np.float64)

        return {
            "qwk": Measure(kappa, influence=moves),
            "level_mae": Measure.mean_of(distance, higher_is_better=False),
            "accuracy": Measure.mean_of(hits, unit="%"),
        }

    def trivial(self, y_train: Array, rows: int) -> Array:
        """The median level of the training rows."""
        return np.full(rows, np.sort(y_train)[(len(y_train) - 1) // 2], dtype=np.int64)


def _chances(logits: Array) -> Array:
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def _apart(guess: Array, y: Array, weights: Array | None) -> tuple[float, float]:
    """Mean squared distance of pairs, and that of a guess and a truth that are drawn apart from each other."""
    g, t = guess.astype(np.float64), y.astype(np.float64)
    g, t = g - np.average(g, weights=weights), t - np.average(t, weights=weights)
    spread, gap = np.average(g**2 + t**2, weights=weights), float(guess.mean()) - float(y.mean())
    gap = float(np.average(guess - y, weights=weights))
    by_chance = float(spread + gap**2)
    return by_chance - 2 * float(np.average(g * t, weights=weights)), by_chance


def _kappa_influence(guess: Array, y: Array, weights: Array | None) -> Array:
    """Derivative [N] of kappa by a row's share of the weight."""
    apart, by_chance = _apart(guess, y, weights)
    if by_chance <= 0:
        return np.zeros(len(y))
    g, t = guess.astype(np.float64), y.astype(np.float64)
    mean_g, mean_t = np.average([g, t], axis=1, weights=weights)
    chance = g**2 + t**2 - 2 * (g * mean_t + t * mean_g) + 2 * mean_g * mean_t  # its mean is `by_chance`
    return np.asarray(apart * (chance - by_chance) / by_chance**2 - ((g - t) ** 2 - apart) / by_chance)


def _ordered_categories(raw: Any) -> tuple[str, ...] | None:
    """The categories of an ordered categorical, in their order; None for anything else."""
    dtype = getattr(raw, "dtype", None)
    if not isinstance(dtype, pd.CategoricalDtype) or not dtype.ordered:
        return None
    return tuple(text_of(name) for name in dtype.categories)


def _is_number(name: str) -> bool:
    try:
        return bool(np.isfinite(float(name)))
    except ValueError:
        return False
