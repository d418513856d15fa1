"""Rows of text: which columns hold it, by the names that Hugging Face data sets use or by what stands in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.data.ondisk import OnDisk

FIELDS = (
    "text", "sentence", "sentence1", "sentence2", "premise", "hypothesis", "question", "question1", "question2",
    "answer", "query", "passage", "context", "document", "content", "review", "utterance", "text_pair", "abstract",
    "title", "body", "tweet", "comment", "source", "article", "dialogue",
)  # fmt: skip
_DISTINCT = 0.5  # of the rows of a column of free text
_WORDS = 3.0  # on average
_LOOKED_AT = 2000  # rows


def is_text_list(values: Any) -> bool:
    """Whether something is a sequence of texts."""
    if isinstance(values, pd.Series | np.ndarray):
        if values.ndim != 1 or not len(values):
            return False
    elif not isinstance(values, list | tuple) or not values:
        return False
    cells = [value for value in values if not is_missing_text(value)]
    return bool(cells) and all(isinstance(value, str) for value in cells)


def texts_of(frame: pd.DataFrame, split: str) -> tuple[pd.DataFrame, list[str]] | None:
    """The table as rows of one text or of a pair, and what was done about missing ones; None where it is no text.

    A table is text where it has one or two columns, all of texts, that are named as texts are or are free text.
    Raises ConfigError where no row has any text.
    """
    if frame.shape[1] not in (1, 2) or not all(is_text_list(frame[name]) for name in frame.columns):
        return None
    if not all(str(name).lower() in FIELDS or is_free(frame[name]) for name in frame.columns):
        return None
    return as_texts({str(name): frame[name] for name in frame.columns}, split)


def as_texts(columns: dict[str, Any], split: str) -> tuple[pd.DataFrame, list[str]]:
    """Columns of texts as a table, missing ones empty, with what was changed in words."""
    made, said = {}, []
    for name, values in columns.items():
        missing = sum(is_missing_text(value) for value in values)
        made[name] = pd.Series(["" if is_missing_text(value) else value for value in values], dtype=object)
        if missing:
            said.append(f"{missing} missing texts in '{name}' of {split} count as empty")
        if not (made[name].str.strip() != "").any():
            raise ConfigError(
                f"expected texts in '{name}' of {split}, all {len(made[name])} are empty", "check how they were read"
            )
    return pd.DataFrame(made), said


def is_free(values: Any) -> bool:
    """Whether a column of texts is free text: mostly distinct, several words each."""
    cells = [value for value in list(values)[:_LOOKED_AT] if isinstance(value, str)]
    words = float(np.mean([len(value.split()) for value in cells]))
    return len(set(cells)) >= _DISTINCT * len(cells) and words >= _WORDS


def is_missing_text(value: Any) -> bool:
    """Whether there is no text: None, NaN or NA."""
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def empty_rows(inputs: Any) -> int:
    """The rows of a table of texts or words in which nothing stands but spaces."""
    if isinstance(inputs, OnDisk):
        return sum(empty_rows(part) for part in inputs.chunks())
    sizes = [[len(cell.strip() if isinstance(cell, str) else cell) for cell in inputs[name]] for name in inputs]
    return int((np.sum(sizes, axis=0) == 0).sum())
