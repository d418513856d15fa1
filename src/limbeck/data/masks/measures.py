"""What masks are judged by: intersection over union, Dice and pixel accuracy, over all pixels of a data set.

The sampling unit is the image. Every metric is a function of sums over images, so that the influence of an image on it
is known exactly to first order: a ratio A / B of weighted means moves by (a - (A / B) b) / B with the share of an image
that brings a and b.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from limbeck.data.rows import Array
from limbeck.data.task import Measure

_ONCE = 256  # images whose pixels are counted at once


def counts_of(answers: Array, y: Array, classes: int) -> tuple[Array, Array, Array]:
    """Pixels of each class that were decided so and are so, that were decided so, that are so: [N, C] each.

    answers [N, P] class ids, y [N, P] class ids, below 0 where a pixel has no label: those count nowhere.
    """
    right, said, true = (np.zeros((len(y), classes)) for _ in range(3))
    for start in range(0, len(y), _ONCE):
        part = slice(start, start + _ONCE)
        truth, guess = y[part].astype(np.int64), answers[part].astype(np.int64)
        row = np.broadcast_to(np.arange(len(truth))[:, None], truth.shape)
        known = truth >= 0
        cells = (row[known] * classes + truth[known]) * classes + guess[known]
        table = np.bincount(cells, minlength=len(truth) * classes * classes).reshape(len(truth), classes, classes)
        right[part] = np.diagonal(table, axis1=1, axis2=2)
        said[part], true[part] = table.sum(axis=1), table.sum(axis=2)
    return right, said, true


def measures_of(names: Sequence[str]) -> Mapping[str, Measure]:
    """The metrics of masks over these classes, the default first; `iou.NAME` is that of one class.

    A mean runs over the classes that occur in the truth or in the answers; one that does not, counts nowhere.
    """
    size = len(names)
    found = {
        "mean_iou": _mean_ratio(size, _intersection, _union),
        "dice": _mean_ratio(size, lambda right, said, true: 2 * right, lambda right, said, true: said + true),
        "pixel_accuracy": _one_ratio(size, lambda r, s, t: r.sum(axis=1), lambda r, s, t: t.sum(axis=1)),
    }
    for place, name in enumerate(names):
        found[f"iou.{name}"] = _one_ratio(
            size,
            lambda r, s, t, place=place: _intersection(r, s, t)[:, place],  # type: ignore[misc]
            lambda r, s, t, place=place: _union(r, s, t)[:, place],  # type: ignore[misc]
        )
    return found


def _intersection(right: Array, said: Array, true: Array) -> Array:
    return right


def _union(right: Array, said: Array, true: Array) -> Array:
    return said + true - right


Part = Callable[[Array, Array, Array], Array]


def _shares(weights: Array | None, rows: int) -> Array:
    w = np.ones(rows) if weights is None else np.asarray(weights, dtype=np.float64)
    return np.asarray(w / w.sum())


def _mean_ratio(size: int, top: Part, bottom: Part) -> Measure:
    """The mean over classes of a ratio of sums over images."""

    def sums(answers: Array, y: Array, weights: Array | None) -> tuple[Array, Array, Array, Array]:
        counts, share = counts_of(answers, y, size), _shares(weights, len(y))
        a, b = top(*counts), bottom(*counts)
        return a, b, share @ a, share @ b

    def score(answers: Array, y: Array, weights: Array | None) -> float:
        _, _, over, under = sums(answers, y, weights)
        there = under > 0
        return float((over[there] / under[there]).mean()) if there.any() else 0.0

    def influence(answers: Array, y: Array, weights: Array | None) -> Array:
        a, b, over, under = sums(answers, y, weights)
        there = under > 0
        if not there.any():
            return np.zeros(len(y))
        value = over[there] / under[there]
        return np.asarray(((a[:, there] - value * b[:, there]) / under[there]).mean(axis=1))

    return Measure(score, influence=influence, unit="%")


def _one_ratio(size: int, top: Part, bottom: Part) -> Measure:
    """A ratio of sums over images."""

    def column(part: Part) -> Part:
        return lambda *counts: part(*counts)[:, None]

    return _mean_ratio(size, column(top), column(bottom))
