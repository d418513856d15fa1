"""Whether probabilities mean what they say: ECE, Brier and NLL, before and after temperature scaling.

The temperature is fitted on validation answers, never on test rows (Guo et al., 1706.04599); not on fewer than 100
rows, which often hold no mistake at all. ECE looks at the most
probable class (multilabel: at every label) and is given for 15 bins of equal mass and of equal width; equal mass is
the steadier one (Nixon et al., 1904.01685). Brier is the sum over classes of squared errors, mean over rows
(multilabel: mean over labels). NLL is in nats.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from limbeck.evaluate.answers import (
    CLASSIFICATION,
    GENERATION,
    NUMBERS,
    Array,
    Outcome,
    has_scores,
    log_sigmoid,
    log_softmax,
    mean_of,
    one_hot,
)

BINS = 15
MIN_ROWS = 100  # of validation, to fit a temperature on


def ece(confidence: Array, correct: Array, weights: Array | None = None, bins: int = BINS, mass: bool = True) -> float:
    """Expected calibration error: mean |confidence - accuracy| over bins, weighted by their rows.

    `mass=True` puts equally many rows in each bin, else bins are equally wide on [0, 1].
    """
    table = reliability(confidence, correct, weights, bins, mass)
    total = sum(line["weight"] for line in table)
    return float(sum(line["weight"] * abs(line["confidence"] - line["accuracy"]) for line in table) / total)


def reliability(
    confidence: Array, correct: Array, weights: Array | None = None, bins: int = BINS, mass: bool = True
) -> list[dict[str, float]]:
    """One line a bin that holds rows: mean confidence, accuracy, rows and total weight."""
    n = len(confidence)
    w = np.ones(n) if weights is None else weights
    if mass:
        place = np.empty(n, dtype=np.int64)
        place[np.argsort(confidence, kind="stable")] = np.arange(n) * bins // n
    else:
        place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    table = []
    for b in np.unique(place):
        here = place == b
        if not w[here].sum() > 0:
            continue
        table.append(
            {
                "confidence": mean_of(confidence[here], w[here]),
                "accuracy": mean_of(correct[here].astype(np.float64), w[here]),
                "rows": int(here.sum()),
                "weight": float(w[here].sum()),
            }
        )
    return table


def nll(task: Outcome, logits: Array, y: Array, weights: Array | None = None) -> float:
    """Negative log-likelihood of the truth in nats, mean over rows (multilabel: mean over labels)."""
    if task.kind == CLASSIFICATION:
        return mean_of(-np.take_along_axis(log_softmax(logits), y[:, None], axis=-1)[:, 0], weights)
    each = -(y * log_sigmoid(logits) + (1 - y) * log_sigmoid(-logits))
    return mean_of(each.mean(axis=-1), weights)


def brier(task: Outcome, logits: Array, y: Array, weights: Array | None = None) -> float:
    """Brier score: squared error of the probabilities, summed over classes (multilabel: mean over labels)."""
    if task.kind == CLASSIFICATION:
        probabilities = np.exp(log_softmax(logits))
        return mean_of(((probabilities - one_hot(y, logits.shape[-1])) ** 2).sum(axis=-1), weights)
    return mean_of(((np.exp(log_sigmoid(logits)) - y) ** 2).mean(axis=-1), weights)


def fit_temperature(task: Outcome, logits: Array, y: Array, weights: Array | None = None) -> float:
    """The temperature in [0.05, 20] that minimises the NLL of validation answers (logits are divided by it).

    One row more, answered by a uniform guess, stands in for the mistakes that N rows without any did not show (as in
    Platt's scaling): without it the temperature of a model that is right on all of them would be 0.
    """
    from scipy.optimize import minimize_scalar

    limit, share = np.log(20.0), 1 / (len(y) + 1)

    def loss(t: float) -> float:
        scaled = logits / np.exp(t)
        return (1 - share) * nll(task, scaled, y, weights) + share * _uniform_nll(task, scaled)

    found = minimize_scalar(loss, bounds=(-limit, limit), method="bounded")
    return float(np.exp(found.x))


def _uniform_nll(task: Outcome, logits: Array) -> float:
    """Cross-entropy of a uniform truth, in nats."""
    if task.kind == CLASSIFICATION:
        return float(-log_softmax(logits).mean())
    return float(-(log_sigmoid(logits) + log_sigmoid(-logits)).mean() / 2)


def _confidence(task: Outcome, logits: Array, y: Array, weights: Array | None) -> tuple[Array, Array, Array | None]:
    if task.kind == CLASSIFICATION:
        probabilities = np.exp(log_softmax(logits))
        return probabilities.max(axis=-1), probabilities.argmax(axis=-1) == y, weights
    each = None if weights is None else np.repeat(weights, logits.shape[-1])
    return np.exp(log_sigmoid(logits)).ravel(), y.ravel() > 0, each


def _numbers(task: Outcome, logits: Array, y: Array, weights: Array | None) -> dict[str, float]:
    confidence, correct, w = _confidence(task, logits, y, weights)
    return {
        "ece": ece(confidence, correct, w),
        "ece_equal_width": ece(confidence, correct, w, mass=False),
        "brier": brier(task, logits, y, weights),
        "nll": nll(task, logits, y, weights),
    }


def calibration(
    task: Outcome,
    answers: Array,
    y: Array,
    weights: Array | None = None,
    validation: tuple[Array, Array] | None = None,
) -> dict[str, Any] | None:
    """Calibration of one arm [S, N, C], means over seeds; None for regression and bare decisions.

    `validation` = (answers [S, V, C], truth [V]) allows the numbers after temperature scaling, one temperature a seed,
    where there are rows enough to fit it.
    The reliability table pools all seeds.
    """
    if task.kind in (*NUMBERS, GENERATION) or not has_scores(task, answers):
        return None
    before = [_numbers(task, seed, y, weights) for seed in answers]
    pooled = [_confidence(task, seed, y, weights) for seed in answers]
    confidence, correct = (np.concatenate([p[i] for p in pooled]) for i in (0, 1))
    pooled_weights = None if weights is None else np.concatenate([p[2] for p in pooled if p[2] is not None])
    result: dict[str, Any] = {
        "bins": BINS,
        "before": _average(before),
        "after": None,
        "temperature": None,
        "reliability": reliability(confidence, correct, pooled_weights),
    }
    if validation is not None and len(validation[1]) >= MIN_ROWS and len(validation[0]) == len(answers):
        fitted = [fit_temperature(task, seed, validation[1]) for seed in validation[0]]
        scaled = [_numbers(task, seed / t, y, weights) for seed, t in zip(answers, fitted, strict=True)]
        result |= {"after": _average(scaled), "temperature": fitted}
    return result


def _average(each: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([e[name] for e in each])) for name in each[0]}
