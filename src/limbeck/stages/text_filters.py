"""Which of the teacher's texts a student learns from: each rule counts what it drops."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from limbeck.core.findings import Finding
from limbeck.data.writing import WriteSpec
from limbeck.evaluate.texts import chrf_rows

Array = np.ndarray[Any, Any]

RULES = ("empty", "length_ratio", "repetition", "min_logprob", "min_similarity")
MANY = 0.2  # of the texts: more is said
_ENOUGH, _RARE = 20, 0.01  # references to learn lengths from, and the share of them on each side that may be odd


def kept_texts(
    texts: Sequence[str], logprobs: Array, sources: Sequence[str], references: Sequence[str | None], rules: WriteSpec
) -> tuple[Array, dict[str, int]]:
    """The texts that pass every rule, bool [N], and how many each rule dropped (the first one that does)."""
    drops = dict.fromkeys(RULES, 0)
    kept = np.ones(len(texts), dtype=bool)
    likeness, ratio = _likeness(texts, references, rules), length_bounds(sources, references, rules)
    for row, text in enumerate(texts):
        near = None if likeness is None else likeness[row]
        why = _dropped(text, float(logprobs[row]), sources[row], near, ratio, rules)
        if why:
            kept[row], drops[why] = False, drops[why] + 1
    return kept, {name: count for name, count in drops.items() if count}


def _likeness(texts: Sequence[str], references: Sequence[str | None], rules: WriteSpec) -> Array | None:
    """Likeness to the reference [N], NaN without one; None where nobody asks."""
    if not rules.min_similarity:
        return None
    found = np.full(len(texts), np.nan)
    there = [row for row, reference in enumerate(references) if reference is not None]
    if there:
        found[there] = chrf_rows(np.array([texts[r] for r in there]), np.array([references[r] for r in there]))
    return found


def length_bounds(
    sources: Sequence[str], references: Sequence[str | None], rules: WriteSpec
) -> tuple[float, float] | None:
    """The least and greatest length against the source that pass; for "auto" from the references that are known."""
    if rules.length_ratio != "auto":
        return rules.length_ratio
    known = [ratio_of(text, source) for text, source in zip(references, sources, strict=True) if text]
    if len(known) < _ENOUGH:
        return None
    low, high = np.quantile(known, (_RARE, 1 - _RARE))
    return float(low) / 2, float(high) * 2


def ratio_of(text: str, source: str) -> float:
    """How long a text is against its source, in characters."""
    return len(text.strip()) / max(len(source.strip()), 1)


def _dropped(
    text: str, logprob: float, source: str, likeness: float | None, ratio: tuple[float, float] | None, rules: WriteSpec
) -> str:
    if not text.strip():
        return "empty"
    if ratio is not None and not ratio[0] <= ratio_of(text, source) <= ratio[1]:
        return "length_ratio"
    if rules.repetition is not None and repeated(text) > rules.repetition:
        return "repetition"
    if rules.min_logprob is not None and logprob < rules.min_logprob:  # NaN, of a teacher without any, passes
        return "min_logprob"
    if likeness is not None and rules.min_similarity is not None and likeness < rules.min_similarity:
        return "min_similarity"
    return ""


def repeated(text: str) -> float:
    """Share of the pairs of neighbouring words that stood in the text before."""
    words = text.split()
    pairs = list(itertools.pairwise(words))
    return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0


def drop_finding(drops: Mapping[str, int], total: int) -> Finding | None:
    """LB209: how many of the teacher's texts were left out, and by which rule; None where none was."""
    lost = sum(drops.values())
    if not lost:
        return None
    return Finding(
        "LB209", "tip" if lost > MANY * total else "note", "texts of the teacher were left out",
        f"{lost} of {total} texts: {', '.join(f'{count} by {name}' for name, count in drops.items())}",
        "a text that is empty, repeats itself or is not of the length of its source teaches what nobody wants",
        "look at them in transfer/, change the rules under `writing`, or let the teacher write with more beams",
        {"drops": dict(drops), "texts": total},
    )  # fmt: skip
