"""Augmentation of clips: each step changes a clip by the words (random bits) that belong to it and by nothing else.

The masks are those of SpecAugment (Park et al., 2019, arXiv:1904.08779) made in the samples: a stretch of time or a
band of frequencies becomes silent, so that teacher and student of any front end see the same view.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from limbeck.data.counter import normals, uniforms
from limbeck.data.rows import Array


def add_noise(clips: Array, words: Array, snr: float) -> Array:
    """White noise at a signal-to-noise ratio of `snr` dB; silence stays silent."""

    def noisy(clip: Array, word: Array) -> Array:
        level = np.sqrt(np.mean(clip.astype(np.float64) ** 2)) * 10 ** (-snr / 20)
        return np.asarray(clip + level * normals(word, len(clip))[0])

    return _each(clips, words, noisy)


def change_gain(clips: Array, words: Array, most: float) -> Array:
    """Louder or softer by up to `most` dB."""

    def louder(clip: Array, word: Array) -> Array:
        return np.asarray(clip * 10 ** (most * (2 * uniforms(word, 1)[0, 0] - 1) / 20))

    return _each(clips, words, louder)


def shift(clips: Array, words: Array, most: float, rate: int) -> Array:
    """Earlier or later by up to `most` ms; what moves out is lost, what comes in is silence."""

    def moved(clip: Array, word: Array) -> Array:
        far = min(int(most * rate / 1000), len(clip) - 1)
        by = int(np.floor(uniforms(word, 1)[0, 0] * (2 * far + 1))) - far
        out = np.zeros_like(clip)
        out[max(by, 0) : len(clip) + min(by, 0)] = clip[max(-by, 0) : len(clip) + min(-by, 0)]
        return out

    return _each(clips, words, moved)


def mask_time(clips: Array, words: Array, most: float) -> Array:
    """A stretch of up to a share `most` of the clip becomes silent."""

    def masked(clip: Array, word: Array) -> Array:
        first, stop = _stretch(word, len(clip), most)
        out = clip.copy()
        out[first:stop] = 0
        return out

    return _each(clips, words, masked)


def mask_band(clips: Array, words: Array, most: float) -> Array:
    """A band of up to a share `most` of the frequencies becomes silent."""

    def masked(clip: Array, word: Array) -> Array:
        spectrum = np.fft.rfft(clip)
        first, stop = _stretch(word, len(spectrum), most)
        spectrum[first:stop] = 0
        return np.fft.irfft(spectrum, len(clip))

    return _each(clips, words, masked)


def _stretch(word: Array, length: int, most: float) -> tuple[int, int]:
    size, place = uniforms(word, 2)[0]
    count = int(size * most * length)
    first = int(place * (length - count + 1))
    return first, first + count


def _each(clips: Array, words: Array, change: Callable[[Array, Array], Array]) -> Array:
    out = np.empty(len(clips), dtype=object)
    for row, clip in enumerate(clips):
        out[row] = np.asarray(change(clip, words[row : row + 1]), dtype=np.float32)
    return out
