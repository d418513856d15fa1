"""From one class a frame to a sequence: the best path, and prefix beam search (NumPy alone, so that it ships)."""

from __future__ import annotations

import numpy as np

from limbeck.data.rows import Array

_UNLIKELY = -12.0  # below the best class of a frame: such a class opens no prefix


def log_softmax(logits: Array) -> Array:
    """Log-probabilities float64 [T, C]."""
    values = np.asarray(logits, dtype=np.float64)
    high = values.max(axis=-1, keepdims=True)
    return np.asarray(values - high - np.log(np.exp(values - high).sum(axis=-1, keepdims=True)))


def best_path(logits: Array) -> tuple[Array, float]:
    """The best class of each frame int64 [T], and their mean log-probability."""
    logprobs = log_softmax(logits)
    return logprobs.argmax(axis=-1), float(logprobs.max(axis=-1).mean()) if len(logprobs) else 0.0


def greedy(logits: Array, blank: int) -> list[int]:
    """Classes of the best path of logits [T, C], repeats merged and blanks left out."""
    path = np.asarray(logits).argmax(axis=-1)
    new = np.ones(len(path), dtype=bool)
    new[1:] = path[1:] != path[:-1]
    return [int(number) for number in path[new & (path != blank)]]


def prefix_beams(logits: Array, blank: int, beams: int) -> list[int]:
    """The most probable sequence under logits [T, C], all its paths together, among `beams` prefixes a frame.

    Hannun et al., First-Pass Large Vocabulary Continuous Speech Recognition, 2014, arXiv:1408.2873, without a language
    model. Equal prefixes are ranked by their classes, so that equal answers give equal texts.
    """
    kept: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -np.inf)}  # log mass ending in blank, and not
    for frame in log_softmax(logits):
        likely = np.flatnonzero(frame >= frame.max() + _UNLIKELY)
        found: dict[tuple[int, ...], tuple[float, float]] = {}

        def add(prefix: tuple[int, ...], in_blank: float, in_class: float) -> None:
            old = found.get(prefix, (-np.inf, -np.inf))  # noqa: B023  # it is used within this frame only
            found[prefix] = (float(np.logaddexp(old[0], in_blank)), float(np.logaddexp(old[1], in_class)))  # noqa: B023

        for prefix, (in_blank, in_class) in kept.items():
            both = float(np.logaddexp(in_blank, in_class))
            add(prefix, both + frame[blank], in_class + frame[prefix[-1]] if prefix else -np.inf)
            for number in likely.tolist():
                if number == blank:
                    continue
                # the class that a prefix ends in begins anew only behind a blank
                before = in_blank if prefix and number == prefix[-1] else both
                add((*prefix, number), -np.inf, before + frame[number])
        ranked = sorted(found.items(), key=lambda item: (-np.logaddexp(*item[1]), item[0]))
        kept = dict(ranked[:beams])
    return list(next(iter(kept)))
