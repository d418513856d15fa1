"""How good texts are: corpus BLEU and chrF as sacreBLEU computes them, and ROUGE-L.

    bleu      Papineni et al., ACL 2002; sacreBLEU (Post, 2018, arXiv:1804.08771), tokenizer 13a, one reference
    chrf      Popović, WMT 2015: F2 of character 1- to 6-grams
    rouge_l   Lin, 2004: F1 of the longest common subsequence of words, a mean over rows

BLEU and chrF are functions of sums of counts over rows, no means of rows: their influence per row is the gradient of
that function times the row's counts. Counts of two texts are taken once. Texts are arrays [N] of str; scores are
shares from 0 to 1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from limbeck.core.errors import NotInstalled
from limbeck.evaluate.answers import Array

ORDERS, CHARACTERS = 4, 6
_WORD = re.compile(r"\w+")
_STEP = 1e-6  # of a count, for the gradient

Counts: TypeAlias = Callable[[str, str], tuple[float, ...]]  # [K] of an answer and its reference
Score: TypeAlias = Callable[[Array], float]  # of sums [K]


def bleu_counts(answer: str, reference: str) -> tuple[float, ...]:
    """10 counts: tokens of answer and reference, matches of 1- to 4-grams, 1- to 4-grams of the answer."""
    tokenize = _tokenizer()
    mine, theirs = tokenize(answer.rstrip()).split(), tokenize(reference.rstrip()).split()
    own, other = _grams(tuple(mine), ORDERS), _grams(tuple(theirs), ORDERS)
    matches = [(a & b).total() for a, b in zip(own, other, strict=True)]
    return (len(mine), len(theirs), *matches, *(max(len(mine) - n, 0) for n in range(ORDERS)))


def bleu_score(sums: Array) -> float:
    """Corpus BLEU of summed counts; a precision of no matches is smoothed as sacreBLEU does ("exp")."""
    mine, theirs = float(sums[0]), float(sums[1])
    matches, totals = sums[2 : 2 + ORDERS], sums[2 + ORDERS :]
    if not matches.any():
        return 0.0
    logs, halved = [], 1.0
    for hit, total in zip(matches, totals, strict=True):
        if total == 0:
            break
        if hit == 0:
            halved *= 2
        logs.append(np.log(hit / total if hit > 0 else 1 / (halved * total)))
    if len(logs) < ORDERS:  # no answer is four tokens long: precisions that are not there count as 0
        return 0.0
    brevity = min(0.0, 1 - theirs / mine) if mine > 0 else -np.inf
    return float(np.exp(brevity + np.mean(logs)))


def chrf_counts(answer: str, reference: str) -> tuple[float, ...]:
    """18 counts: for each order the character n-grams of the answer, of the reference, and matches."""
    own, other = (_grams("".join(text.split()), CHARACTERS) for text in (answer, reference))
    row: list[int] = []
    for a, b in zip(own, other, strict=True):
        row += [a.total() if b else 0, b.total(), (a & b).total()]
    return tuple(row)


def chrf_score(sums: Array) -> float:
    """Corpus chrF (beta 2) of summed counts, over the orders that both sides have."""
    mine, theirs, hits = sums.reshape(CHARACTERS, 3).T
    there = (mine > 0) & (theirs > 0)
    if not there.any():
        return 0.0
    precision, recall = float((hits[there] / mine[there]).mean()), float((hits[there] / theirs[there]).mean())
    return 5 * precision * recall / (4 * precision + recall) if precision + recall > 0 else 0.0


@lru_cache(maxsize=1)
def _tokenizer() -> Callable[[str], str]:
    try:
        from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
    except ImportError as error:
        raise NotInstalled(
            "expected the package sacrebleu for the metric bleu, it is not installed", "pip install 'limbeck[text]'"
        ) from error
    made: Callable[[str], str] = Tokenizer13a()  # type: ignore[no-untyped-call]
    return made


def _grams(units: str | tuple[str, ...], orders: int) -> list[Counter[Any]]:
    return [Counter(units[at : at + n] for at in range(len(units) - n + 1)) for n in range(1, orders + 1)]


@lru_cache(maxsize=1 << 17)
def _counted(counts: Counts, answer: str, reference: str) -> tuple[float, ...]:
    """Counts of two texts, once: every arm is scored many times."""
    return counts(answer, reference)


def _rows(counts: Counts, answers: Array, y: Array) -> Array:
    """Counts float64 [N, K]."""
    found = [_counted(counts, answer, reference) for answer, reference in zip(answers, y, strict=True)]
    return np.array(found, dtype=np.float64)


def _score(counts: Counts, score: Score, answers: Array, y: Array, weights: Array | None) -> float:
    found = _rows(counts, answers, y)
    return score(found.sum(0) if weights is None else np.asarray(weights, np.float64) @ found)


def _influence(counts: Counts, score: Score, answers: Array, y: Array, weights: Array | None) -> Array:
    """Derivative of the score by each row's share of the weight [N]: gradient of the score at the sums, times the row.

    A score is differentiable wherever its counts are; the gradient is taken by central differences, 2 K evaluations.
    """
    found = _rows(counts, answers, y)
    w = np.ones(len(found)) if weights is None else np.asarray(weights, np.float64)
    at = w @ found
    gradient = np.zeros(len(at))
    for place, value in enumerate(at):
        if value > 0:  # a count of nothing stays one: what is smoothed has no slope of its own
            moved = np.zeros(len(at))
            moved[place] = _STEP * value
            gradient[place] = (score(at + moved) - score(at - moved)) / (2 * _STEP * value)
    return np.asarray((w.sum() * found - at) @ gradient)


def bleu(answers: Array, y: Array, weights: Array | None = None) -> float:
    """Corpus BLEU [0, 1] of texts against one reference each."""
    return _score(bleu_counts, bleu_score, answers, y, weights)


def bleu_influence(answers: Array, y: Array, weights: Array | None = None) -> Array:
    """Influence of each row on corpus BLEU [N]."""
    return _influence(bleu_counts, bleu_score, answers, y, weights)


def chrf(answers: Array, y: Array, weights: Array | None = None) -> float:
    """Corpus chrF [0, 1] of texts against one reference each."""
    return _score(chrf_counts, chrf_score, answers, y, weights)


def chrf_influence(answers: Array, y: Array, weights: Array | None = None) -> Array:
    """Influence of each row on corpus chrF [N]."""
    return _influence(chrf_counts, chrf_score, answers, y, weights)


def chrf_rows(answers: Array, y: Array) -> Array:
    """ChrF [N] of each text by itself: how alike two texts are."""
    return np.array([chrf_score(row) for row in _rows(chrf_counts, answers, y)], dtype=np.float64)


def shared_words(left: str, right: str) -> float:
    """F1 [0, 1] of the words that two texts share, in any order: a quick look at whether they belong together."""
    mine, theirs = Counter(_WORD.findall(left.lower())), Counter(_WORD.findall(right.lower()))
    total = mine.total() + theirs.total()
    return 2 * (mine & theirs).total() / total if total else 1.0


def _rouge_counts(answer: str, reference: str) -> tuple[float, ...]:
    return (_rouge(answer, reference),)


def rouge_rows(answers: Array, y: Array) -> Array:
    """ROUGE-L F1 [N] of each text: lower-cased words of letters and digits of any script, no stemming."""
    return _rows(_rouge_counts, answers, y)[:, 0]


def rouge(answers: Array, y: Array, weights: Array | None = None) -> float:
    """Mean ROUGE-L F1 [0, 1]."""
    return float(np.average(rouge_rows(answers, y), weights=weights))


def _rouge(answer: str, reference: str) -> float:
    mine, theirs = _WORD.findall(answer.lower()), _WORD.findall(reference.lower())
    if not mine or not theirs:
        return 0.0
    return 2 * _common(mine, theirs) / (len(mine) + len(theirs))


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, a bit for each word of `left` (Hyyrö, 2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(left):
        places[word] = places.get(word, 0) | 1 << place
    full = (1 << len(left)) - 1
    row = full
    for word in right:
        here = row & places.get(word, 0)
        row = (row + here) | (row - here)
        row &= full
    return len(left) - row.bit_count()
