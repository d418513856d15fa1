"""What is said of masks beside their metrics: who is right where, class by class; the image is the sampling unit.

Answers are class ids [S, N, P], the truth [N, P] with -1 where a pixel has no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from limbeck.data.masks.measures import counts_of
from limbeck.evaluate.answers import Array

Pairs = Sequence[tuple[int, int]]  # of seeds of teacher and student


def class_damage(
    names: Sequence[str], y: Array, teacher: Array, student: Array, control: Array | None, weights: Array | None
) -> list[dict[str, Any]]:
    """Recall of the pixels of every class by arm, means over seeds, worst damage first.

    `rows` are the images that show a class: its pixels in one image are alike, and count as one for its error.
    """
    arms = {"teacher": teacher, "student": student} | ({"control": control} if control is not None else {})
    found = {name: np.mean([_recall(a, y, len(names), weights) for a in arm], axis=0) for name, arm in arms.items()}
    count = (counts_of(y, y, len(names))[2] > 0).sum(axis=0)
    table = [
        {
            "name": names[c],
            "rows": int(count[c]),
            **{name: float(values[c]) for name, values in found.items()},
            "damage": float(found["student"][c] - found["teacher"][c]),
        }
        for c in np.flatnonzero(count).tolist()
    ]
    return sorted(table, key=lambda line: (line["damage"], line["name"]))


def _recall(answers: Array, y: Array, classes: int, weights: Array | None) -> Array:
    right, _, true = counts_of(answers, y, classes)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    over, under = w @ right, w @ true
    return np.asarray(np.divide(over, under, out=np.full(classes, np.nan), where=under > 0))


def two_by_two(y: Array, pairs: Pairs, teacher: Array, student: Array) -> dict[str, float]:
    """Labelled pixels by who is right (mean count over seeds)."""
    known, table = y >= 0, np.zeros(4)
    for t, s in pairs:
        left, right = (teacher[t] == y)[known], (student[s] == y)[known]
        table += [(left & right).sum(), (left & ~right).sum(), (~left & right).sum(), (~left & ~right).sum()]
    names = ("both_right", "teacher_only", "student_only", "both_wrong")
    return {name: float(n) / len(pairs) for name, n in zip(names, table, strict=True)}


def agreement_matrix(names: Sequence[str], pairs: Pairs, teacher: Array, student: Array) -> dict[str, Any]:
    """Pixels that the teacher calls i and the student calls j, mean count over seeds."""
    size = len(names)
    counts = np.zeros(size * size)
    for t, s in pairs:
        counts += np.bincount((teacher[t].astype(np.int64) * size + student[s]).ravel(), minlength=size * size)
    return {"matrix": (counts / len(pairs)).reshape(size, size).round(2).tolist(), "names": list(names)}


def alignment_rows(y: Array, teacher: Array, model: Array) -> Array:
    """How much more of its labelled pixels are as the teacher says than as they are, per seed and image [S, N]."""
    known = y >= 0
    total = np.maximum(known.sum(axis=1), 1)

    def share(left: Array, right: Array) -> Array:
        return np.asarray(((left == right) & known).sum(axis=1) / total)

    return np.stack([np.mean([share(m, t) for t in teacher], axis=0) - share(m, y) for m in model])
