"""Word and character error rates: edits over the length of the truth, summed over all rows before they are divided.

    wer = sum of word edits / sum of words,  cer = sum of character edits / sum of characters

as jiwer counts them. Both are ratios of sums, so a row's influence is (edits - rate * length) / mean length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from limbeck.data.rows import Array
from limbeck.data.task import Measure


def edits(said: Sequence[Any], truth: Sequence[Any]) -> int:
    """Fewest insertions, deletions and substitutions that make one sequence of the other (Levenshtein)."""
    row = list(range(len(truth) + 1))
    for place, one in enumerate(said, start=1):
        before, row[0] = row[0], place
        for other, wanted in enumerate(truth, start=1):
            before, row[other] = row[other], min(row[other] + 1, row[other - 1] + 1, before + (one != wanted))
    return row[-1]


@lru_cache(maxsize=1 << 16)
def _counted(said: str, truth: str, words: bool) -> tuple[int, int]:
    """Edits and length of one row; every metric asks for the same rows several times."""
    left, right = (said.split(), truth.split()) if words else (list(said), list(truth))
    return edits(left, right), len(right)


def _sums(words: bool) -> Callable[[Array, Array], tuple[Array, Array]]:
    def of(answers: Array, y: Array) -> tuple[Array, Array]:
        found = [_counted(str(said), str(truth), words) for said, truth in zip(answers, y, strict=True)]
        table = np.array(found, dtype=np.float64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    return of


def _rate(words: bool) -> Measure:
    of = _sums(words)

    def score(answers: Array, y: Array, weights: Array | None) -> float:
        wrong, length = of(answers, y)
        total = np.average(length, weights=weights)
        return float(np.average(wrong, weights=weights) / total) if total > 0 else float("nan")

    def influence(answers: Array, y: Array, weights: Array | None) -> Array:
        wrong, length = of(answers, y)
        total = np.average(length, weights=weights)
        return np.asarray((wrong - score(answers, y, weights) * length) / total)

    return Measure(score, higher_is_better=False, influence=influence, unit="%")


def wer() -> Measure:
    """Word error rate."""
    return _rate(words=True)


def cer() -> Measure:
    """Character error rate, spaces included."""
    return _rate(words=False)
