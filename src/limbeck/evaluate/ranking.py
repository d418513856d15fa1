"""How good similarities and ranks are: correlations of cosines with scores, hits among documents, order within a query.

Answers of similarity are cosines [N, 1] and the truth scores [N, 1]; answers of retrieval are ranks [N, 1] (1 is the
first) and the truth the number of documents [N, 1]. Correlations come with their influence in closed form.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from limbeck.evaluate.answers import Array

DEPTH = 10  # of a ranking


def hits(depth: int) -> Callable[[Array, Array], Array]:
    """1 where a rank [N, 1] is at most `depth`, [N]."""
    return lambda answers, y: np.asarray(answers[:, 0] <= depth, dtype=np.float64)


def reciprocal(answers: Array, y: Array) -> Array:
    """1 / rank where a rank [N, 1] is at most 10, else 0, [N]."""
    rank = answers[:, 0].astype(np.float64)
    return np.asarray(np.where(rank <= DEPTH, 1 / rank, 0.0))


def pearson(answers: Array, y: Array, weights: Array | None) -> float:
    """Correlation of values [N, 1] with the truth [N, 1]; 0 where one does not vary."""
    return _correlation(answers[:, 0], y[:, 0], _share(y, weights))


def spearman(answers: Array, y: Array, weights: Array | None) -> float:
    """Correlation of the ranks of values [N, 1] and truth [N, 1], ties at their mean; 0 where one does not vary.

    Weighted ranks are places in the weighted distribution, so that a row of weight 2 counts as two rows.
    """
    share = _share(y, weights)
    return _correlation(_place(answers[:, 0], share), _place(y[:, 0], share), share)


def pearson_influence(answers: Array, y: Array, weights: Array | None) -> Array:
    """Influence of each row on the correlation, [N]."""
    share = _share(y, weights)
    return _moved(_centred(answers[:, 0], share), _centred(y[:, 0], share), share)


def spearman_influence(answers: Array, y: Array, weights: Array | None) -> Array:
    """Influence of each row on the rank correlation, [N]: its own place, and the places of all others that it moves."""
    share = _share(y, weights)
    left, right = (_centred(_place(values[:, 0], share), share) for values in (answers, y))
    spread = (share * left**2).sum(), (share * right**2).sum()
    if min(spread) <= 0:
        return np.zeros(len(y))
    both = (share * left * right).sum()
    # a row moves the place of every row above it up, and that of its ties by half
    of_both = _above(answers[:, 0], share * right) + _above(y[:, 0], share * left) - 2 * both
    of_left = 2 * (_above(answers[:, 0], share * left) - spread[0])
    of_right = 2 * (_above(y[:, 0], share * right) - spread[1])
    root = np.sqrt(spread[0] * spread[1])
    terms = (left * right - both + of_both) / root
    for own, more, whole in ((left, of_left, spread[0]), (right, of_right, spread[1])):
        terms -= both / root / 2 * (own**2 - whole + more) / whole
    return np.asarray(terms)


def _moved(left: Array, right: Array, share: Array) -> Array:
    spread = (share * left**2).sum(), (share * right**2).sum()
    if min(spread) <= 0:
        return np.zeros(len(left))
    left, right = left / np.sqrt(spread[0]), right / np.sqrt(spread[1])
    value = (share * left * right).sum()
    return np.asarray(left * right - value * (left**2 + right**2) / 2)


def _share(y: Array, weights: Array | None) -> Array:
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    return np.asarray(w / w.sum())


def _centred(values: Array, share: Array) -> Array:
    values = np.asarray(values, dtype=np.float64)
    return np.asarray(values - (share * values).sum())


def _correlation(left: Array, right: Array, share: Array) -> float:
    left, right = _centred(left, share), _centred(right, share)
    spread = (share * left**2).sum() * (share * right**2).sum()
    return float((share * left * right).sum() / np.sqrt(spread)) if spread > 1e-24 else 0.0


def _ties(values: Array) -> tuple[Array, Array]:
    """Number of each row's value among the distinct ones, [N], and how many these are."""
    distinct, number = np.unique(values, return_inverse=True)
    return number.ravel(), np.arange(len(distinct))


def _place(values: Array, share: Array) -> Array:
    """Share of the weight below each value, and half of the weight at it, [N]."""
    number, distinct = _ties(values)
    at = np.bincount(number, weights=share, minlength=len(distinct))
    return np.asarray((np.cumsum(at) - at / 2)[number])


def _above(values: Array, terms: Array) -> Array:
    """Sum of terms over the rows with a greater value, and half of those with an equal one, [N]."""
    number, distinct = _ties(values)
    at = np.bincount(number, weights=terms, minlength=len(distinct))
    return np.asarray((at.sum() - np.cumsum(at) + at / 2)[number])


def ndcg_of_groups(answers: Array, y: Array, groups: Array) -> Array:
    """Normalised DCG at 10 of each row's group, [N]; gains are the labels, ties share their discounts; else 0."""
    return _by_group(answers, y, groups, _ndcg)


def mrr_of_groups(answers: Array, y: Array, groups: Array) -> Array:
    """Reciprocal rank of the first relevant row (label above 0) among 10 in each row's group, [N]."""
    return _by_group(answers, y, groups, _mrr)


def _by_group(answers: Array, y: Array, groups: Array, score: Callable[[Array, Array], float]) -> Array:
    number = np.unique(groups, return_inverse=True)[1].ravel()
    order = np.argsort(number, kind="stable")
    cuts = np.flatnonzero(np.diff(number[order])) + 1
    found = np.empty(len(y))
    for rows in np.split(order, cuts):
        found[rows] = score(answers[rows], y[rows])
    return found


def _discounts(count: int) -> Array:
    places = np.arange(count)
    return np.where(places < DEPTH, 1 / np.log2(places + 2.0), 0.0)


def _ndcg(scores: Array, gains: Array) -> float:
    discounts = _discounts(len(scores))
    best = float((np.sort(gains)[::-1] * discounts).sum())
    if best <= 0:
        return 0.0
    number = np.unique(-scores, return_inverse=True)[1].ravel()  # 0 is the highest score
    sizes = np.bincount(number)
    ends = np.cumsum(sizes)
    summed = np.concatenate([[0.0], np.cumsum(discounts)])
    shared = (summed[ends] - summed[ends - sizes]) / sizes
    return float((gains * shared[number]).sum() / best)


def _mrr(scores: Array, gains: Array) -> float:
    relevant = gains > 0
    if not relevant.any():
        return 0.0
    top = scores[relevant].max()
    # of rows that tie with the best relevant one, those without relevance come first for half of them
    rank = 1 + (scores > top).sum() + ((scores == top) & ~relevant).sum() / 2
    return float(1 / rank) if rank <= DEPTH else 0.0
