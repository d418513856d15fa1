"""Intervals of a metric, a gain and a retention over test rows and seeds, and the verdict that follows from one.

Scores are arrays [S, N], one number per seed and test row whose (weighted) mean over rows is the metric; where the
metric is no mean, `linearise` makes such numbers. Arms that are compared share rows, and share seeds one by one.
`groups` [N] names clusters of rows that belong together (a patient, a document): clusters then count, not rows.
`overlap` multiplies the variance over rows where models of different folds answered them (`components.crossed`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import optimize, stats

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.evaluate.components import Array, Moments, Spread, half_width, spread
from limbeck.evaluate.influence import linearise as linearise

Verdict: TypeAlias = Literal["helped", "no reliable difference", "hurt"]

MIN_SEEDS = 3  # fewer give numbers and no verdict


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence limits; `df` is the equivalent of a t interval, `method` says what went in."""

    value: float
    low: float
    high: float
    level: float = 0.95
    df: float | None = None
    method: str = ""

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.level * 100:g} % CI {self.low:.4g}…{self.high:.4g})"

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON-able values."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "level": self.level,
            "df": self.df,
            "method": self.method,
        }


@dataclass(frozen=True)
class Retention:
    """What a student keeps of its teacher.

    `ratio` is None where a ratio would mislead; `reason` then says why. `difference` is student - teacher, always.
    """

    ratio: Interval | None
    difference: Interval
    reason: str = ""


@dataclass(frozen=True)
class McNemar:
    """Rows that only the first or only the second of two models gets right, and the exact two-sided p value."""

    only_first: int
    only_second: int
    p: float


def verdict_of(interval: Interval, n_seeds: int, higher_is_better: bool = True) -> Verdict | None:
    """Read the verdict off the interval of a gain, never off its point; None below three seeds or without limits."""
    if n_seeds < MIN_SEEDS or not np.isfinite([interval.low, interval.high]).all():
        return None
    low, high = (interval.low, interval.high) if higher_is_better else (-interval.high, -interval.low)
    if low > 0:
        return "helped"
    return "hurt" if high < 0 else "no reliable difference"


def gain(
    student: Array, control: Array, groups: Array | None = None, weights: Array | None = None, level: float = 0.95,
    overlap: float = 1.0,
) -> Interval:  # fmt: skip
    """Interval of metric(student) - metric(control), paired over rows and seeds.

    Arms of unequally many seeds are paired over rows only; an arm of one model counts as fixed.
    Raises ShapeMismatch where the arrays do not fit.
    """
    a, b = _scores(student, "the student"), _scores(control, "the control")
    _same_rows(a, b)
    floor = _floor(a, b, groups)
    if len(a) != len(b) and min(len(a), len(b)) > 1:
        return _unpaired(a, b, groups, weights, level, floor, overlap)
    moments = Moments.of(_cells(_stack(a, b), groups, weights))
    both_vary = min(len(a), len(b)) > 1
    sibling = np.array([1.0, 1.0]) if both_vary else None
    parts = spread(moments, np.array([1.0, -1.0]), sibling, ordered=True, floor=floor, overlap=overlap)
    return _interval(float(moments.mean[0] - moments.mean[1]), parts, moments.n_seeds, level)


def arm(
    scores: Array,
    groups: Array | None = None,
    weights: Array | None = None,
    level: float = 0.95,
    sibling: Array | None = None,
    overlap: float = 1.0,
) -> Interval:
    """Interval of one arm's metric; scores of 0 and 1 get Wilson's limits at their effective number of rows.

    `sibling` [S, N]: another arm of equally many seeds whose spread over seeds may be borrowed.
    """
    a = _scores(scores, "the scores")
    stack, contrast, other = [a], np.array([1.0]), None
    if sibling is not None and len(a) > 1 and len(np.atleast_2d(sibling)) == len(a):
        stack.append(_scores(sibling, "the sibling"))
        _same_rows(*stack)
        contrast, other = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    moments = Moments.of(_cells(_stack(*stack), groups, weights))
    parts = spread(moments, contrast, other, overlap=overlap)
    plain = _interval(float(moments.mean[0]), parts, moments.n_seeds, level)
    return _wilson(plain, float(parts.variance), moments.n_rows) if _binary(a) else plain


def mean_interval(
    scores: Array, groups: Array | None = None, weights: Array | None = None, level: float = 0.95
) -> Interval:
    """Interval of the metric of a single model from its row scores [N]: over rows only."""
    return arm(np.asarray(scores)[None], groups, weights, level)


def retention(
    student: Array,
    teacher: Array,
    *,
    baseline: float | Array | None = None,
    higher_is_better: bool = True,
    control: Array | None = None,
    groups: Array | None = None,
    weights: Array | None = None,
    level: float = 0.95,
    overlap: float = 1.0,
) -> Retention:
    """Interval of what the student keeps of the teacher's metric (Fieller's, JRSS B 1954), paired over rows.

    Plain ratio student / teacher; for errors (`higher_is_better=False`) teacher / student. With the trivial
    `baseline` (a number, or row scores [N]) both are counted from it. Without a teacher that reliably beats zero (or
    the baseline) there is no ratio. `control` [S, N] lends its spread over seeds.
    The teacher is one model, as many as there are seeds, or another number, whose average then counts as one.
    """
    s, t = _scores(student, "the student"), _scores(teacher, "the teacher")
    _same_rows(s, t)
    if len(t) not in (1, len(s)):
        t = t.mean(axis=0, keepdims=True)
    series = [s, t]
    lends = control is not None and len(s) > 1 and len(np.atleast_2d(control)) == len(s)
    if lends and control is not None:
        series.append(_scores(control, "the control"))
        _same_rows(s, series[-1])
    stack = _stack(*series)
    difference = _difference(stack, lends, _floor(s, t, groups), groups, weights, level, overlap)
    if baseline is not None:
        sign = 1.0 if higher_is_better else -1.0
        stack = sign * (stack - np.asarray(baseline, dtype=float))
    moments = Moments.of(_cells(stack, groups, weights))
    inverted = baseline is None and not higher_is_better
    zero = "its trivial baseline" if baseline is not None else "zero"
    ratio, reason = _ratio(moments, inverted, lends, level, zero, overlap)
    return Retention(ratio, difference, reason)


def non_inferior(kept: Retention | Interval, margin: float = 0.01) -> bool | None:
    """Whether the student is as good as its teacher but for `margin` (0.01: keeps at least 99 %), by the lower limit.

    None where there is no ratio.
    """
    if not 0 <= margin < 1:
        raise ConfigError(f"expected a margin from 0 to below 1, got {margin}", "0.01 allows a loss of one percent")
    ratio = kept.ratio if isinstance(kept, Retention) else kept
    return None if ratio is None or not np.isfinite(ratio.low) else ratio.low >= 1 - margin


def mcnemar(first: Array, second: Array) -> McNemar:
    """Compare two single models on the same rows by the rows that only one of them gets right (exact test)."""
    a, b = np.asarray(first).astype(bool), np.asarray(second).astype(bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ShapeMismatch(
            f"expected two arrays [N] of right and wrong, got {list(a.shape)} and {list(b.shape)}",
            "compare one model with one model on the same rows",
        )
    x, y = int((a & ~b).sum()), int((b & ~a).sum())
    p = float(stats.binomtest(x, x + y).pvalue) if x + y else 1.0
    return McNemar(x, y, p)


# --- the way from scores to moments


def _scores(scores: Array, who: str) -> Array:
    a = np.asarray(scores, dtype=np.float64)
    a = a[None] if a.ndim == 1 else a
    if a.ndim != 2 or a.shape[0] < 1 or a.shape[1] < 2:
        raise ShapeMismatch(
            f"expected {who} as scores [seeds, rows] with two rows or more, got {list(np.shape(scores))}",
            "give one number per seed and test row",
        )
    return a


def _same_rows(a: Array, b: Array) -> None:
    if a.shape[1] != b.shape[1]:
        raise ShapeMismatch(
            f"expected scores on the same test rows, got {a.shape[1]} and {b.shape[1]} rows",
            "an interval of a difference is paired: score both models on the same rows in the same order",
        )


def _stack(*series: Array) -> Array:
    seeds = max(len(a) for a in series)
    return np.stack([np.broadcast_to(a, (seeds, a.shape[1])) for a in series])


def _cells(stack: Array, groups: Array | None, weights: Array | None) -> Array:
    """Series [K, S, N] to series whose plain mean is the weighted mean, with one column per row or group."""
    n = stack.shape[2]
    for name, given in (("groups", groups), ("weights", weights)):
        if given is not None and np.shape(given) != (n,):
            raise ShapeMismatch(f"expected {n} {name}, one per test row, got {list(np.shape(given))}", "")
    if groups is None and weights is None:
        return stack
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if not (np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
        raise ConfigError("expected finite weights of test rows, none below zero and not all zero", "mend the weights")
    used = w > 0
    stack, share = stack[:, :, used], w[used] / w.sum()
    mean = stack @ share
    part = share * (stack - mean[..., None])
    if groups is not None:
        names, index = np.unique(np.asarray(groups)[used], return_inverse=True)
        if len(names) < 2:
            raise ConfigError("expected test rows from two groups or more, got one", "leave groups out")
        flat = part.reshape(-1, part.shape[2])
        summed = np.stack([np.bincount(index.ravel(), weights=line, minlength=len(names)) for line in flat])
        part = summed.reshape(*part.shape[:2], len(names))
    return np.asarray(mean[..., None] + part.shape[2] * part)


def _binary(*series: Array) -> bool:
    return all(bool(((a == 0) | (a == 1)).all()) for a in series)


def _floor(a: Array, b: Array, groups: Array | None) -> float:
    # rights and wrongs that never differ prove no more than that few rows do: as if one more row differed either way
    if not _binary(a, b):
        return 0.0
    n = a.shape[1] if groups is None else len(np.unique(groups))
    return 2.0 / n**2


# --- the way from moments to intervals


def _interval(value: float, parts: Spread, n_seeds: int, level: float) -> Interval:
    if not np.isfinite([value, float(parts.variance)]).all():
        return Interval(value, float("nan"), float("nan"), level, None, "not finite")
    half = float(half_width(parts, level))
    method = "rows only" if n_seeds == 1 else "rows x seeds"
    return Interval(value, value - half, value + half, level, float(parts.df), method)


def _wilson(plain: Interval, variance: float, n_rows: int) -> Interval:
    p, half = plain.value, (plain.high - plain.low) / 2
    if not np.isfinite(half):
        return plain
    if variance > 0 and 0 < p < 1:
        n, t = p * (1 - p) / variance, half / np.sqrt(variance)
    else:
        n, t = float(n_rows), float(stats.norm.ppf((1 + plain.level) / 2))
    centre = (p + t**2 / (2 * n)) / (1 + t**2 / n)
    reach = t * np.sqrt(p * (1 - p) / n + t**2 / (4 * n**2)) / (1 + t**2 / n)
    low, high = max(0.0, float(centre - reach)), min(1.0, float(centre + reach))
    return replace(plain, low=min(low, p), high=max(high, p), method=f"{plain.method}, Wilson")


def _unpaired(
    a: Array, b: Array, groups: Array | None, weights: Array | None, level: float, floor: float, overlap: float
) -> Interval:
    """Gain of arms with different numbers of seeds: rows are paired, seeds are not, their spreads are pooled."""
    x, y = (Moments.of(_cells(arm_[None], groups, weights)) for arm_ in (a, b))
    means = _cells(np.stack([a.mean(axis=0)[None], b.mean(axis=0)[None]]), groups, weights)
    both = Moments.of(means)
    rows = spread(both, np.array([1.0, -1.0]), floor=floor, overlap=overlap).rows
    free = x.n_seeds - 1 + y.n_seeds - 1
    seeds = sum((m.n_seeds - 1) * m.seeds[0, 0] for m in (x, y)) / free
    rest = sum((m.n_seeds - 1) * m.rest[0, 0] for m in (x, y)) / free
    share = (1 / x.n_seeds + 1 / y.n_seeds) / both.n_rows
    parts = Spread(rows, np.array(seeds * share), np.array(rest * share), both.n_rows - 1.0, np.array(float(free)))
    plain = _interval(float(both.mean[0] - both.mean[1]), parts, 2, level)
    return replace(plain, method="rows x seeds, seeds not paired")


def _difference(
    stack: Array, lends: bool, floor: float, groups: Array | None, weights: Array | None, level: float, overlap: float
) -> Interval:
    moments = Moments.of(_cells(stack, groups, weights))
    contrast, sibling = _contrasts(1.0, False, lends)
    parts = spread(moments, contrast, sibling, floor=floor, overlap=overlap)
    return _interval(float(contrast @ moments.mean), parts, moments.n_seeds, level)


def _contrasts(r: float, inverted: bool, lends: bool) -> tuple[Array, Array | None]:
    """The difference whose zero makes `r` the ratio, over (student, teacher[, control]), and its sibling."""
    own, teacher = (-r, 1.0) if inverted else (1.0, -r)
    if not lends:
        return np.array([own, teacher]), None
    return np.array([own, teacher, 0.0]), np.array([0.0, teacher, own])


def _ratio(
    moments: Moments, inverted: bool, lends: bool, level: float, zero: str, overlap: float
) -> tuple[Interval | None, str]:
    s, t = float(moments.mean[0]), float(moments.mean[1])
    for i, who in ((1, "teacher"), (0, "student")):
        if i == 1 or inverted:
            contrast = np.eye(len(moments.mean))[i]
            score = _interval(
                float(moments.mean[i]), spread(moments, contrast, overlap=overlap), moments.n_seeds, level
            )
            if not score.low > 0:
                ends = f"{score.low:.3g}…{score.high:.3g}"
                return None, f"the {who}'s score is not reliably above {zero} (interval {ends}): a ratio would mislead"
    value, below = (t / s, s) if inverted else (s / t, t)

    def outside(r: float) -> float:
        contrast, sibling = _contrasts(r, inverted, lends)
        return float(
            abs(contrast @ moments.mean) - half_width(spread(moments, contrast, sibling, overlap=overlap), level)
        )

    parts = spread(moments, *_contrasts(value, inverted, lends), overlap=overlap)
    step = max(float(half_width(parts, level)) / below, 1e-12 * max(1.0, abs(value)))
    low, high = _edge(outside, value, -step), _edge(outside, value, step)
    if low is None or high is None:
        return None, f"the {'student' if inverted else 'teacher'}'s score is too uncertain for a ratio"
    method = ("rows only" if moments.n_seeds == 1 else "rows x seeds") + ", Fieller"
    return Interval(value, low, high, level, float(parts.df), method), ""


def _edge(outside: Callable[[float], float], start: float, step: float) -> float | None:
    """Find where `outside` turns positive, going from `start` in the direction of `step`."""
    inner = start
    for _ in range(12):
        outer = start + 1.05 * step
        if outside(outer) > 0:
            return float(optimize.brentq(outside, inner, outer, rtol=1e-6)) if outside(inner) < 0 else inner
        inner, step = outer, 2 * step
    return None


__all__ = [
    "Interval",
    "McNemar",
    "Retention",
    "Verdict",
    "arm",
    "gain",
    "linearise",
    "mcnemar",
    "mean_interval",
    "non_inferior",
    "retention",
    "verdict_of",
]
