"""How much of the teacher is in the student: agreement, divergence, and what was kept and lost row by row.

Teachers are paired with students seed by seed when there are equally many, else every student meets every teacher
(`pairs`). Source: Stanton et al., "Does knowledge distillation really work?" (2106.05945) for
agreement and KL as two different things.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from limbeck.evaluate import pixels
from limbeck.evaluate.answers import (
    CLASSIFICATION,
    GENERATION,
    MULTILABEL,
    NUMBERS,
    SEGMENTATION,
    Array,
    Outcome,
    decide,
    has_scores,
    log_sigmoid,
    log_softmax,
    mean_of,
)
from limbeck.evaluate.quality import recalls

MATRIX_LIMIT = 50  # more classes than this: the largest disagreements instead of the matrix


def pairs(teacher: Array, student: Array) -> Iterator[tuple[int, int]]:
    """Index pairs (teacher, student) to compare: seed by seed when there are equally many, else all."""
    if len(teacher) == len(student):
        yield from zip(range(len(teacher)), range(len(student)), strict=True)
    else:
        yield from ((t, s) for s in range(len(student)) for t in range(len(teacher)))


def _by_student(teacher: Array, student: Array, rows: Any) -> Array:
    values: list[list[Array]] = [[] for _ in student]
    for t, s in pairs(teacher, student):
        values[s].append(rows(teacher[t], student[s]))
    return np.stack([np.mean(v, axis=0) for v in values])


def agreement_rows(task: Outcome, teacher: Array, student: Array) -> Array:
    """1 where student and teacher decide alike, per seed and row [S, N] (share of equal labels, of equal pixels)."""

    def equal(left: Array, right: Array) -> Array:
        same = (left == right).astype(np.float64)
        return np.asarray(same.mean(axis=-1)) if task.kind in (MULTILABEL, SEGMENTATION) else same

    return _by_student(decide(task, teacher), decide(task, student), equal)


def kl_rows(task: Outcome, teacher: Array, student: Array) -> Array | None:
    """KL(teacher ‖ student) in nats at temperature 1, per seed and row [S, N]; labels are summed.

    None for regression and where one side gave bare decisions.
    """
    if task.kind in NUMBERS or not (has_scores(task, teacher) and has_scores(task, student)):
        return None

    def categorical(left: Array, right: Array) -> Array:
        log_t, log_s = log_softmax(left), log_softmax(right)
        return np.asarray((np.exp(log_t) * (log_t - log_s)).sum(axis=-1))

    def bernoulli(left: Array, right: Array) -> Array:
        on, off = log_sigmoid(left), log_sigmoid(-left)
        there, away = log_sigmoid(right), log_sigmoid(-right)
        return np.asarray((np.exp(on) * (on - there) + np.exp(off) * (off - away)).sum(axis=-1))

    return _by_student(teacher, student, categorical if task.kind == CLASSIFICATION else bernoulli)


def class_damage(
    task: Outcome,
    y: Array,
    teacher: Array,
    student: Array,
    control: Array | None = None,
    weights: Array | None = None,
) -> list[dict[str, Any]]:
    """Recall of every class by arm, worst damage (student - teacher) first; recall of a label for multilabel tasks.

    Classes without a test row are left out. Values are means over seeds.
    """
    if task.kind in (*NUMBERS, GENERATION):
        return []
    if task.kind == SEGMENTATION:
        return pixels.class_damage(task.names, y, teacher, student, control, weights)
    arms = {"teacher": teacher, "student": student} | ({"control": control} if control is not None else {})
    recall = {name: np.mean([_recall(task, a, y, weights) for a in arm], axis=0) for name, arm in arms.items()}
    count = np.bincount(y, minlength=len(task.names)) if task.kind == CLASSIFICATION else y.sum(axis=0).astype(np.int64)
    table = [
        {
            "name": task.names[c],
            "rows": int(count[c]),
            **{name: float(values[c]) for name, values in recall.items()},
            "damage": float(recall["student"][c] - recall["teacher"][c]),
        }
        for c in np.flatnonzero(count)
    ]
    return sorted(table, key=lambda line: (line["damage"], line["name"]))


def _recall(task: Outcome, answers: Array, y: Array, weights: Array | None) -> Array:
    guess = decide(task, answers)
    if task.kind == CLASSIFICATION:
        return recalls(guess, y, len(task.names), weights)[0]
    w = (np.ones(len(y)) if weights is None else weights)[:, None]
    support = (w * y).sum(axis=0)
    nothing = np.full(len(support), np.nan)
    return np.asarray(np.divide((w * guess * y).sum(axis=0), support, out=nothing, where=support > 0))


def two_by_two(task: Outcome, y: Array, teacher: Array, student: Array) -> dict[str, float] | None:
    """Rows by who is right (mean count over seeds): both, teacher or student only, neither; None for values, texts."""
    if task.kind in (*NUMBERS, GENERATION):
        return None
    if task.kind == SEGMENTATION:
        return pixels.two_by_two(y, list(pairs(teacher, student)), teacher, student)

    def right(answers: Array) -> Array:
        same = decide(task, answers) == y
        return np.asarray(same.all(axis=-1) if task.kind == MULTILABEL else same)

    table = np.zeros(4)
    found = list(pairs(teacher, student))
    for t, s in found:
        t_right, s_right = right(teacher[t]), right(student[s])
        cells = (t_right & s_right, t_right & ~s_right, ~t_right & s_right, ~t_right & ~s_right)
        table += [cell.sum() for cell in cells]
    names = ("both_right", "teacher_only", "student_only", "both_wrong")
    return {name: float(n) / len(found) for name, n in zip(names, table, strict=True)}


def agreement_matrix(task: Outcome, teacher: Array, student: Array) -> dict[str, Any] | None:
    """Rows the teacher calls i and the student calls j, mean count over seeds; only for classification.

    Beyond 50 classes: the 50 largest disagreements instead.
    """
    if task.kind == SEGMENTATION:
        return pixels.agreement_matrix(task.names, list(pairs(teacher, student)), teacher, student)
    if task.kind != CLASSIFICATION:
        return None
    size = len(task.names)
    t_ids, s_ids = decide(task, teacher), decide(task, student)
    found = list(pairs(teacher, student))
    flat = np.concatenate([t_ids[t] * size + s_ids[s] for t, s in found])
    if size <= MATRIX_LIMIT:
        counts = np.bincount(flat, minlength=size * size).reshape(size, size) / len(found)
        return {"matrix": counts.round(2).tolist(), "names": list(task.names)}
    cells, count = np.unique(flat[flat // size != flat % size], return_counts=True)
    order = np.argsort(-count, kind="stable")[:MATRIX_LIMIT]
    pick = [(int(cells[i] // size), int(cells[i] % size), float(count[i]) / len(found)) for i in order]
    return {"largest": [{"teacher": task.names[t], "student": task.names[s], "rows": n} for t, s, n in pick]}


def regression_fidelity(teacher: Array, student: Array, weights: Array | None = None) -> dict[str, float]:
    """Correlation with the teacher's answers and RMSE to them, means over seeds and target columns."""
    correlations, errors = [], []
    for t, s in pairs(teacher, student):
        for k in range(teacher.shape[-1]):
            left, right = teacher[t][:, k], student[s][:, k]
            varies = left.std() > 0 and right.std() > 0
            correlations.append(float(np.corrcoef(left, right)[0, 1]) if varies else 0.0)
            errors.append(mean_of((left - right) ** 2, weights) ** 0.5)
    return {"correlation": float(np.mean(correlations)), "rmse_to_teacher": float(np.mean(errors))}
