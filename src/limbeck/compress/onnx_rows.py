"""Raw rows for an exported student, as users have them: texts, lists of words, tables, arrays, images, clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError, ShapeMismatch


def text_rows(inputs: Any, columns: Sequence[str]) -> list[Any]:
    """Rows as texts, or as pairs of them; missing ones are empty. Raises ConfigError for what is no text."""
    values, _ = _columns(inputs, columns)
    made = [_texts(each, name) for name, each in zip(columns, values, strict=True)]
    return made[0] if len(made) == 1 else list(zip(*made, strict=True))


def word_rows(inputs: Any, column: str) -> list[tuple[str, ...]]:
    """Rows as tuples of words: of lists of words, or of texts, which are split by the rule of `limbeck.data.words`."""
    from limbeck.data.words import COLUMNS, as_words

    (values,), named = _columns(inputs, (column,))
    return as_words(values, column, named and column.lower() in COLUMNS)


def _columns(inputs: Any, columns: Sequence[str]) -> tuple[list[Any], bool]:
    """The values of each column, and whether the inputs name their columns."""
    import pandas as pd

    from limbeck.data.frames import pick

    if isinstance(inputs, str):
        raise ConfigError("expected rows of texts, got one text", "give a list of texts: [text]")
    listed = list(inputs) if not isinstance(inputs, pd.DataFrame | Mapping) else []
    if isinstance(inputs, pd.DataFrame | Mapping) or (listed and isinstance(listed[0], Mapping)):
        frame = pick(pd.DataFrame(inputs), columns, "the inputs")
        return [frame[name] for name in columns], True
    if len(columns) == 1:
        return [listed], False
    bad = next((row for row in listed if isinstance(row, str) or len(row) != len(columns)), None)
    if bad is not None:
        raise ConfigError(
            f"expected pairs of texts ({', '.join(columns)}), got {bad!r}",
            "give a DataFrame with both columns, or a list of pairs",
        )
    return [[row[place] for row in listed] for place in range(len(columns))], False


def _texts(values: Any, name: str) -> list[str]:
    from limbeck.data.labels import is_missing

    made = []
    for row, value in enumerate(values):
        if isinstance(value, list | tuple) and all(isinstance(word, str) for word in value):
            value = " ".join(value)  # words, as a model reads them
        if not isinstance(value, str) and not is_missing(value):
            raise ConfigError(
                f"expected texts in '{name}', got {type(value).__name__} {str(value)[:40]!r} in row {row}",
                "give texts; a file of numbers is read as numbers, so read that column as text",
            )
        made.append(value if isinstance(value, str) else "")
    return made


def clip_rows(inputs: Any, rate: int) -> np.ndarray[Any, Any]:
    """Clips float32 [N, T], NaN behind the end of each: of samples at the rate of the student, paths or records.

    Raises ConfigError for what is no clip.
    """
    from limbeck.data.audio.clips import at_rate, clip_of, padded

    if isinstance(inputs, str | Path):
        raise ConfigError("expected a list of clips, got one path", "give a list: predict([path])")
    return padded([at_rate(clip_of(cell, f"row {row}", Path()), rate) for row, cell in enumerate(inputs)], 1)


def array_feed(inputs: Any, facts: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """An array or images as the input of a graph; raises ShapeMismatch or ConfigError where they do not fit."""
    if facts.get("ragged", False):
        from limbeck.data.ragged import padded_series

        return {facts["name"]: padded_series(inputs, facts["shape"])}
    array = np.asarray(inputs)
    if array.ndim != len(facts["shape"]) + 1 or list(array.shape[1:]) != facts["shape"]:
        raise ShapeMismatch(
            f"expected rows of shape {facts['shape']}, got an array of shape {list(array.shape)}",
            "the first axis is the rows; give one row as array[None]",
        )
    if facts["dtype"] == "uint8" and array.dtype != np.uint8:
        raise ConfigError(
            f"expected images of dtype uint8, got {array.dtype}",
            "give raw pixels from 0 to 255, as in training",
        )
    return {facts["name"]: np.ascontiguousarray(array, dtype=facts["dtype"])}


def table_feeds(inputs: Any, wanted: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """The columns of a table as inputs of a graph; raises ConfigError for columns that are not there or do not fit."""
    import pandas as pd

    from limbeck.data.frames import numbers, pick, texts

    frame = inputs if isinstance(inputs, pd.DataFrame) else pd.DataFrame(inputs)
    frame = pick(frame, [facts["column"] for facts in wanted], "the inputs")
    feeds = {}
    for facts in wanted:
        column = frame[facts["column"]]
        if facts["dtype"] == "string":
            codes, words = texts(column)
            values = np.array([*words, facts["missing"]], dtype=object)[codes]  # code -1 is missing
        else:
            values = numbers(column, facts["column"]).astype(np.float32)
        feeds[facts["name"]] = values[:, None]
    return feeds
