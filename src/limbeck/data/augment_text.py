"""Augmentations of texts: words left out, and words replaced by others of the training texts.

A teacher that answers such texts says more than it does on texts that it knows by heart (Tang et al. 2019,
arXiv:1903.12136, who mask words and draw others; Jiao et al. 2020, arXiv:1909.10351, replace them). Of scripts without
spaces every character is a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from limbeck.data.counter import uniforms
from limbeck.data.rows import Array

if TYPE_CHECKING:
    from limbeck.data.augment import Frozen

_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # kana and Chinese characters
_PIECE = re.compile(rf"\s*(?:[{_ALONE}]|[^\s{_ALONE}]+)")


def pieces(text: Any) -> list[str]:
    """The words of a text, each with the space before it: joined they are the text."""
    return _PIECE.findall(text) if isinstance(text, str) else []


def pool_of(texts: pd.DataFrame) -> Array:
    """The words of texts as often as they occur, object [W], without their spaces."""
    found = [piece.strip() for name in texts.columns for text in texts[name] for piece in pieces(text)]
    return np.array([*found, None], dtype=object)[:-1]


def _drop(_: Frozen, texts: pd.DataFrame, words: Array, chance: float) -> pd.DataFrame:
    def without(parts: list[str], u: Array) -> list[str]:
        kept = u[: len(parts), 0] >= chance
        if len(parts) and not kept.any():
            kept[int(u[len(parts), 0] * len(parts))] = True  # a text without words would say nothing
        return [part for part, keep in zip(parts, kept, strict=True) if keep]

    return _changed(texts, words, without)


def _replace(frozen: Frozen, texts: pd.DataFrame, words: Array, chance: float) -> pd.DataFrame:
    pool = frozen.pool

    def others(parts: list[str], u: Array) -> list[str]:
        made = []
        for part, (whether, which) in zip(parts, u[: len(parts)], strict=True):
            space = part[: len(part) - len(part.lstrip())]
            made.append(space + pool[int(which * len(pool))] if whether < chance else part)
        return made

    return _changed(texts, words, others) if len(pool) else texts


def _changed(texts: pd.DataFrame, words: Array, how: Callable[[list[str], Array], list[str]]) -> pd.DataFrame:
    """Texts whose words went through `how`, which gets two numbers from 0 to 1 for each word and for one more.

    The numbers of a word belong to its place in its row: how long the other texts of a batch are does not matter.
    """
    out = texts.copy()
    split = {name: [pieces(text) for text in texts[name]] for name in texts.columns}
    places = 1 + max((len(parts) for column in split.values() for parts in column), default=0)
    u = uniforms(words, places * len(split) * 2).reshape(len(texts), places, len(split), 2)
    for column, (name, rows) in enumerate(split.items()):
        made = ["".join(how(parts, drawn)).strip() for parts, drawn in zip(rows, u[:, :, column], strict=True)]
        given = [new if parts else text for text, parts, new in zip(texts[name], rows, made, strict=True)]
        out[name] = pd.Series(given, index=texts.index, dtype=texts[name].dtype)
    return out


TEXT_STEPS: Mapping[str, Callable[[Any, Any, Array, float], Any]] = {"drop": _drop, "replace": _replace}
