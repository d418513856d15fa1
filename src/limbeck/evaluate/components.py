"""Crossed variance components of seeds and rows, and the half-width of an interval that is built on them.

A score x[s, r] of seed s on row r is  mean + seed[s] + row[r] + rest[s, r]. The mean over S seeds and N rows has the
variance  seed/S + row/N + rest/(S N). Two-way analysis of variance splits it into

    rows    well known (N - 1 degrees of freedom), and holds row/N + rest/(S N)
    seeds   hardly known: S - 1 degrees of freedom, two for three seeds

and the interval is the generalised pivotal one (Tsui and Weerahandi, JASA 1989): every value of the seed variance that
the data allow gives a distribution of the mean, the half-width holds 95 % of their mixture. Where seeds rule that
is a t interval with S - 1 degrees of freedom, where rows rule it is a normal one, and between them it is neither.

Few seeds are helped by what the arms share. Student and control are the same network, trained for the same steps:
their sum scatters over seeds as their difference does, or more, where equal seeds move both alike. So the spread of
the sum is counted as further degrees of freedom of the spread of the difference, fewer the more the two disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from scipy import special, stats

Array: TypeAlias = np.ndarray[Any, Any]

POINTS = 200  # quadrature points over the unknown seed variance
AGREE = 0.95  # two spreads agree up to this quantile of F


@dataclass(frozen=True)
class Moments:
    """Mean and mean squares of K series over S seeds and N rows; leading axes are independent data sets.

    `mean` [..., K]; `seeds`, `rows` and `rest` [..., K, K] are mean squares and products of the two-way table.
    """

    mean: Array
    seeds: Array
    rows: Array
    rest: Array
    n_seeds: int
    n_rows: int

    @classmethod
    def of(cls, stack: Array) -> Moments:
        """Take the moments of series [K, S, N]."""
        _, s, n = stack.shape
        mean = stack.mean(axis=(1, 2))
        by_seed, by_row = stack.mean(axis=2) - mean[:, None], stack.mean(axis=1) - mean[:, None]
        rest = stack - mean[:, None, None] - by_seed[:, :, None] - by_row[:, None, :]
        free_s, free_n = max(s - 1, 1), max(n - 1, 1)
        return cls(
            mean=mean,
            seeds=n * (by_seed @ by_seed.T) / free_s,
            rows=s * (by_row @ by_row.T) / free_n,
            rest=np.einsum("ksn,lsn->kl", rest, rest) / (free_s * free_n),
            n_seeds=s,
            n_rows=n,
        )


@dataclass(frozen=True)
class Spread:
    """Variance of a mean: `rows` with `row_df`, plus what `seeds` (with `seed_df`) has beyond `rest`; arrays alike."""

    rows: Array
    seeds: Array
    rest: Array
    row_df: float
    seed_df: Array

    @property
    def variance(self) -> Array:
        """The estimated variance; a seed variance below zero counts as zero."""
        return np.asarray(self.rows + np.maximum(self.seeds - self.rest, 0.0))

    @property
    def df(self) -> Array:
        """Satterthwaite's degrees of freedom of `variance`, for show."""
        with np.errstate(divide="ignore", invalid="ignore"):
            free = self.variance**2 / (self.rows**2 / self.row_df + self.seeds**2 / self.seed_df)
        lowest = np.minimum(self.seed_df, self.row_df)
        return np.asarray(np.where(np.isfinite(free), np.maximum(free, lowest), self.row_df))


def spread(
    moments: Moments, contrast: Array, sibling: Array | None = None, *, ordered: bool = False, floor: float = 0.0,
    overlap: float = 1.0,
) -> Spread:  # fmt: skip
    """Spread of the mean of `contrast` [..., K]; `sibling` is a contrast whose seed spread may be borrowed.

    `ordered`: the sibling is known to scatter as much or more, so that only a larger spread speaks against it.
    `floor` is the least variance that rows can have; `overlap` multiplies the variance of rows, see `crossed`.
    """
    s, n = moments.n_seeds, moments.n_rows
    rows = overlap * np.maximum(_square(moments.rows, contrast) / (s * n), floor)
    if s == 1:
        zero = np.zeros_like(rows)
        return Spread(rows, zero, zero, n - 1.0, np.full_like(rows, np.inf))
    own, rest = _square(moments.seeds, contrast), _square(moments.rest, contrast)
    seed_df = np.full_like(rows, s - 1.0)
    if sibling is not None:
        other = _square(moments.seeds, sibling) - _square(moments.rest, sibling) + rest
        own, seed_df = pool(own, np.maximum(other, 0.0), s - 1, ordered=ordered)
    return Spread(rows, own / (s * n), rest / (s * n), n - 1.0, seed_df)


def crossed(folds: int) -> float:
    """What the variance over rows is multiplied by where each row was answered by models trained on the other folds.

    The training sets of two folds share most of their rows, so that what one training set makes of the arms comes back
    in all folds, which the scatter of rows cannot show. Of the correction of Nadeau and Bengio (Machine Learning 2003)
    1/k + n_test / n_train stands for 1/k: here 1 + k / (k - 1). benchmarks/cross_validated.py shows that less than that
    gives too many false verdicts where the arms differ in what they learn from, and that this is enough.
    """
    return 1.0 + folds / (folds - 1)


def pool(own: Array, other: Array, df: int, *, ordered: bool) -> tuple[Array, Array]:
    """Pool two mean squares of `df` degrees of freedom each; return the mean square and its degrees of freedom.

    The other one counts fully while the two agree. What their squared log ratio has beyond that is taken as a true
    difference d², and a spread that is off by d in the log is worth 2 / d² degrees; it counts at most as the largest
    one that would still agree.
    """
    agree = float(stats.f.ppf(AGREE, df, df))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(other) - np.log(own)
    ratio = np.where(np.isnan(ratio), 0.0, ratio)
    if ordered:
        ratio = np.maximum(ratio, 0.0)
    beyond = np.maximum(ratio**2 - np.log(agree) ** 2, 0.0)
    borrowed = 1 / (1 / df + beyond / 2)
    capped = np.minimum(other, agree * own)
    return (df * own + borrowed * capped) / (df + borrowed), df + borrowed


def half_width(of: Spread, level: float = 0.95, points: int = POINTS) -> Array:
    """Half the width of the interval; works on arrays of data sets."""
    rows, seeds, rest, seed_df = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(a, dtype=float)) for a in (of.rows, of.seeds, of.rest, of.seed_df))
    )
    variance = rows[:, None] + np.maximum(seeds[:, None] * _inverse_chi2(seed_df, points) - rest[:, None], 0.0)
    scale = np.sqrt(variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = np.where(rows[:, None] > 0, of.row_df * (variance / rows[:, None]) ** 2, np.inf)
    low, high = np.zeros(len(rows)), scale.max(axis=1) * float(stats.t.ppf((1 + level) / 2, max(of.row_df, 1)))
    for _ in range(32):
        middle = (low + high) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = 2 * _t_cdf(middle[:, None] / scale, df) - 1
        held = np.where(scale > 0, inside, 1.0).mean(axis=1)
        low, high = np.where(held < level, middle, low), np.where(held < level, high, middle)
    return np.asarray(high).reshape(np.shape(of.rows))


def _square(form: Array, contrast: Array) -> Array:
    value: Array = np.einsum("...k,...kl,...l->...", contrast, form, contrast)
    return np.asarray(np.maximum(value, 0.0))


@cache
def _chi2_table(points: int) -> tuple[Array, Array]:
    # log(df / quantile) is smooth in the log of df: one table serves every df by linear interpolation
    grid = np.exp(np.linspace(0.0, np.log(400.0), 160))
    at = (np.arange(points) + 0.5) / points
    return np.log(grid), np.log(grid[:, None] / stats.chi2.ppf(at, grid[:, None]))


def _inverse_chi2(df: Array, points: int) -> Array:
    grid, table = _chi2_table(points)
    at = np.log(np.clip(df, 1.0, 400.0))
    i = np.clip(np.searchsorted(grid, at) - 1, 0, len(grid) - 2)
    part = ((at - grid[i]) / (grid[i + 1] - grid[i]))[:, None]
    return np.asarray(np.exp(table[i] * (1 - part) + table[i + 1] * part))


def _t_cdf(x: Array, df: Array) -> Array:
    if df.min(initial=np.inf) < 30:
        return np.asarray(special.stdtr(np.minimum(df, 1e8), x))
    # Abramowitz and Stegun 26.7.8: off by less than 1e-4 from 30 degrees of freedom on, and many times faster
    return np.asarray(special.ndtr(x * (1 - 1 / (4 * df)) / np.sqrt(1 + x**2 / (2 * df))))
