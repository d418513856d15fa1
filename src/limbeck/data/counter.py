"""Counter-based random numbers: every number is a function of what it belongs to, none of what was drawn before.

The hash is splitmix64 (Steele, Lea and Flood, OOPSLA 2014), a bijection of 64-bit words, chained over
(seed, row key, view, channel) and then over the counter. Vectorised over rows; the same on every machine.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from limbeck.data.rows import Array

Word: TypeAlias = Any  # a uint64 or an array of them

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


def mix(word: Word) -> Word:
    """Splitmix64 of a word or of an array of words."""
    with np.errstate(over="ignore"):
        word = word + _GOLDEN
        word = (word ^ (word >> _S30)) * _FIRST
        word = (word ^ (word >> _S27)) * _SECOND
        return word ^ (word >> _S31)


def mixed(key: Word, count: int) -> Array:
    """Hashes of the counters 0 to count - 1 under a key; distinct, because the hash is a bijection."""
    return np.asarray(mix(np.arange(count, dtype=np.uint64) ^ key))


def row_words(seed: int, keys: Array, views: Array, channel: int) -> Array:
    """One word per row [B] for (seed, key [B, 2], view [B], channel)."""
    start = mix(np.uint64(seed % (1 << 64)))
    word = mix(mix(keys[:, 0] ^ start) ^ keys[:, 1])
    word = mix(word ^ mix(np.asarray(views).astype(np.uint64)))
    return np.asarray(mix(word ^ mix(np.uint64(channel))))


def words(rows: Array, count: int) -> Array:
    """Words [B, count] of the words of rows [B]."""
    return np.asarray(mix(rows[:, None] ^ mix(np.arange(count, dtype=np.uint64))[None]))


def uniforms(rows: Array, count: int) -> Array:
    """Uniform float64 [B, count] in [0, 1)."""
    return np.asarray((words(rows, count) >> _S11) * 2.0**-53)


def normals(rows: Array, count: int) -> Array:
    """Standard normal float64 [B, count], by Box and Muller."""
    half = -(-count // 2)
    u = uniforms(rows, 2 * half)
    radius = np.sqrt(-2.0 * np.log1p(-u[:, :half]))
    angle = 2.0 * np.pi * u[:, half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :count]


def integers(rows: Array, count: int, below: int) -> Array:
    """Integers int64 [B, count] from 0 to below - 1."""
    return np.asarray(np.floor(uniforms(rows, count) * below), dtype=np.int64)
