"""Influence of each row on metrics that are no means over rows, in closed form: exact to first order, and quick.

An influence is the derivative of the metric when a row's share of the weight grows and all others shrink alike; its
(weighted) mean over rows is 0. Metrics without a formula are linearised by leaving rows out.
"""

from __future__ import annotations

import numpy as np

from limbeck.evaluate.answers import Array


def _share(y: Array, weights: Array | None) -> Array:
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    return np.asarray(w / w.sum())


def _ids(answers: Array) -> Array:
    return answers if answers.ndim == 1 else np.asarray(answers.argmax(axis=-1))


def balanced_accuracy(answers: Array, y: Array, weights: Array | None) -> Array:
    """Influence on the mean recall over the classes that have rows, [N]."""
    share = _share(y, weights)
    hit = (_ids(answers) == y).astype(np.float64)
    support = np.bincount(y, weights=share)
    recall = np.bincount(y, weights=share * hit) / np.where(support > 0, support, 1.0)
    # a row without weight may stand in a class without any: it has no influence
    there = support[y] > 0
    terms = np.where(there, (hit - recall[y]) / np.where(there, support[y], 1.0), 0.0)
    return np.asarray(terms / (support > 0).sum())


def macro_f1(answers: Array, y: Array, weights: Array | None) -> Array:
    """Influence on the mean F1 over the classes that are true or said, [N]."""
    share, guess = _share(y, weights), _ids(answers)
    size = int(max(y.max(), guess.max())) + 1
    hit = guess == y
    both = np.bincount(y, weights=share, minlength=size) + np.bincount(guess, weights=share, minlength=size)
    safe = np.where(both > 0, both, 1.0)
    f1 = 2 * np.bincount(y, weights=share * hit, minlength=size) / safe
    terms = 2 * hit / safe[y] - f1[y] / safe[y] - f1[guess] / safe[guess]
    return np.asarray(terms / (both > 0).sum())


def label_f1(answers: Array, y: Array, weights: Array | None) -> Array:
    """Influence on the mean F1 over labels, [N]."""
    share = _share(y, weights)[:, None]
    guess = (answers > 0).astype(np.float64)
    both = (share * (guess + y)).sum(axis=0)
    safe = np.where(both > 0, both, 1.0)
    f1 = 2 * (share * guess * y).sum(axis=0) / safe
    return np.asarray(((2 * guess * y - f1 * (guess + y)) / safe).mean(axis=-1))


def mean_average_precision(answers: Array, y: Array, weights: Array | None) -> Array:
    """Influence on the mean over labels (with positives) of average precision, [N]."""
    share = _share(y, weights)
    columns = [j for j in range(y.shape[1]) if (share * y[:, j]).sum() > 0]
    if not columns:
        return np.zeros(len(y))
    return np.asarray(np.mean([_average_precision(answers[:, j], y[:, j], share) for j in columns], axis=0))


def _average_precision(scores: Array, y: Array, share: Array) -> Array:
    # AP = sum over positives i of w_i H_i / G_i / P, where H and G are the weights of positives and of all rows whose
    # score is at least s_i; a row moves its own term, and H and G of every row at or below it
    order = np.argsort(-scores, kind="stable")
    s, positive, w = scores[order], y[order], share[order]
    ends = np.append(np.flatnonzero(np.diff(s)), len(s) - 1)
    tie = np.searchsorted(ends, np.arange(len(s)))
    hits, seen = np.cumsum(w * positive)[ends][tie], np.cumsum(w)[ends][tie]
    safe = np.where(seen > 0, seen, 1.0)
    precision, total = hits / safe, (w * positive).sum()

    def below(terms: Array) -> Array:
        # sum over rows at or below each row, its ties included
        before = np.cumsum(terms)[ends]
        return np.asarray((before[-1] - np.concatenate([[0.0], before[:-1]]))[tie])

    moved = positive * precision + positive * below(w * positive / safe) - below(w * positive * hits / safe**2)
    value = (w * positive * precision).sum() / total
    result = np.empty(len(s))
    result[order] = (moved - value * positive) / total
    return result


def rmse(answers: Array, y: Array, weights: Array | None) -> Array:
    """Influence on the root of the mean square, mean over target columns, [N]."""
    share, squares = _share(y, weights)[:, None], (answers - y) ** 2
    mean = (share * squares).sum(axis=0)
    root = np.sqrt(np.where(mean > 0, mean, 1.0))
    return np.asarray(np.where(mean > 0, (squares - mean) / (2 * root), 0.0).mean(axis=-1))


def r2(answers: Array, y: Array, weights: Array | None) -> Array:
    """Influence on R², mean over target columns, [N]; the spread of the truth moves with the rows too."""
    share, squares = _share(y, weights)[:, None], (answers - y) ** 2
    apart = (y - (share * y).sum(axis=0)) ** 2
    mean, spread = (share * squares).sum(axis=0), (share * apart).sum(axis=0)
    safe = np.where(spread > 0, spread, 1.0)
    terms = mean * (apart - spread) / safe**2 - (squares - mean) / safe
    return np.asarray(np.where(spread > 0, terms, 0.0).mean(axis=-1))
