"""Whether a gain can be the teacher's knowledge at all.

A student can beat its control although its teacher's answers were noise: soft targets regularise, and answers that were
shuffled still smooth. So a gain is credited to the teacher only where

1. the teacher knows something: it beats the trivial baseline;
2. the answers that were stored for training fit the labels of the rows they belong to;
3. there is a way from one to the other: the teacher beats the control, or the student took its answers up (beyond
   what the truth explains, its outputs follow the teacher's more than those of the control do).

For the uptake, outputs are standardised within rows of equal truth, so that being right alone counts nothing; what is
left is the row by row detail ("dark knowledge"), and the mean product with the teacher's is their partial correlation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from limbeck.evaluate import pixels
from limbeck.evaluate.answers import (
    GENERATION,
    MULTILABEL,
    NUMBERS,
    REGRESSION,
    RETRIEVAL,
    SEGMENTATION,
    SIMILARITY,
    Array,
    Outcome,
    decide,
    has_scores,
    log_softmax,
    one_hot,
)
from limbeck.evaluate.stats import Interval, gain
from limbeck.evaluate.texts import chrf_rows, shared_words

MOVES, SAMPLE = 200, 20_000
TEXT_MOVES, TEXT_SAMPLE = 50, 1_000


def detail(task: Outcome, y: Array, answers: Array) -> Array:
    """What one model's answers [N, ...] say beyond the truth: columns of mean 0 and spread 1 within equal truths."""
    if task.kind == REGRESSION:
        return _standard(answers - y)
    if task.kind == SIMILARITY:  # a cosine and a score have no unit in common
        return _standard(_standard(answers) - _standard(y))
    if task.kind == RETRIEVAL:
        return _standard(np.log(answers))
    if task.kind == MULTILABEL:
        columns = answers.astype(np.float64)
        return np.stack([_within(columns[:, [j]], y[:, j].astype(np.int64))[:, 0] for j in range(columns.shape[1])], 1)
    columns = log_softmax(answers) if has_scores(task, answers) else one_hot(answers, len(task.names))
    return _within(columns - columns.mean(axis=-1, keepdims=True), y)


def _within(columns: Array, group: Array) -> Array:
    result = np.zeros_like(columns)
    for g in np.unique(group):
        result[group == g] = _standard(columns[group == g])
    return result


def _standard(columns: Array) -> Array:
    centred = columns - columns.mean(axis=0)
    spread = centred.std(axis=0)
    return np.asarray(np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-9))


def alignment_rows(task: Outcome, y: Array, teacher: Array, model: Array) -> Array:
    """Share of each row in the partial correlation between teacher and model given the truth, [S, N].

    Of masks: how many more of its pixels are like the teacher's than like the truth. Of texts: how much more a text is
    like the teacher's than like the reference (chrF).
    """
    if task.kind == SEGMENTATION:
        return pixels.alignment_rows(y, teacher, model)
    if task.kind == GENERATION:
        return np.stack([np.mean([chrf_rows(m, t) for t in teacher], axis=0) - chrf_rows(m, y) for m in model])
    reference = np.mean([detail(task, y, t) for t in teacher], axis=0)
    return np.stack([(detail(task, y, m) * reference).mean(axis=-1) for m in model])


def stored_fit(task: Outcome, answers: Array, y: Array) -> dict[str, Any]:
    """How well stored answers [M, ...] fit the labels of their own rows, against answers moved to random rows.

    The score is the share of equal decisions (values: the correlation; texts: shared words); "fits" where it lies more
    than three standard deviations above random moves, "constant" where all are alike and nothing can be told.
    """
    rng = np.random.default_rng(0)
    large = task.kind in (GENERATION, SEGMENTATION)
    sample, moves = (TEXT_SAMPLE, TEXT_MOVES) if large else (SAMPLE, MOVES)
    keep = rng.permutation(len(y))[:sample]
    guess, target = decide(task, answers)[keep], y[keep]
    score = _match(task, guess, target)
    moved = [_match(task, guess[rng.permutation(len(keep))], target) for _ in range(moves)]
    chance, spread = float(np.mean(moved)), float(np.std(moved))
    fits = spread > 0 and score > chance + 3 * spread
    return {"score": score, "chance": chance, "rows": len(y), "fits": bool(fits), "constant": spread == 0}


def _match(task: Outcome, guess: Array, y: Array) -> float:
    if task.kind == GENERATION:
        return float(np.mean([shared_words(*pair) for pair in zip(guess, y, strict=True)]))
    if task.kind == SEGMENTATION:
        return float((guess == y)[y >= 0].mean())
    if task.kind not in NUMBERS:
        return float((guess == y).mean())
    left, right = _standard(guess), _standard(y)
    return float((left * right).mean())


def knowledge(
    *,
    task: Outcome,
    y: Array,
    teacher: Array,
    student: Array,
    control: Array,
    teacher_gain: Interval,
    teacher_over_trivial: Interval | None,
    stored: dict[str, Any] | None = None,
    groups: Array | None = None,
    weights: Array | None = None,
    overlap: float = 1.0,
) -> dict[str, Any]:
    """Say whether a gain may be credited to the teacher's knowledge, with the reason where it may not.

    `teacher_gain` and `teacher_over_trivial` are the teacher's differences to control and trivial baseline, positive
    where the teacher is better; `stored` is the result of `stored_fit` on the answers used for training.
    """
    taken, given = (alignment_rows(task, y, teacher, arm) for arm in (student, control))
    uptake = gain(taken, given, groups, weights, overlap=overlap)
    reason = None
    if teacher_over_trivial is not None and not teacher_over_trivial.low > 0:
        reason = "the teacher is no better than a constant answer"
    elif stored is not None and not stored["fits"]:
        reason = "the stored answers do not fit the labels of their rows: they belong to other rows or classes"
    elif not (teacher_gain.low > 0 or uptake.low > 0):
        reason = "the teacher is not reliably better than the control, and the student does not follow it in detail"
    return {"credited": reason is None, "reason": reason, "uptake": uptake, "stored": stored}
