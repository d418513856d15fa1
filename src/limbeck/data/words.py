"""Rows of words: columns that hold one list of words a row, and annotated texts that become words.

A list of words is the Hugging Face convention for tagging (`tokens`, with `ner_tags` beside it); as text it is a JSON
list or words with spaces between them. Models read the words of a row joined by single spaces, so that each tokenizer
sees a text as it likes it and its spans of characters say which word a token belongs to.

A text with annotated spans becomes words by one rule: a word is a run of letters, digits and underscores, or one other
sign that is no space. A word that an entity touches belongs to it whole; its first word is B-LABEL, the others I-LABEL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.data.rows import Array, Inputs
from limbeck.data.texts import FIELDS, is_missing_text

COLUMNS = ("tokens", "words")
TAGS = ("ner_tags", "tags", "slots", "slot_tags", "labels", "bio", "entities")
_WORD = re.compile(r"\w+|[^\w\s]")


def is_words(inputs: Inputs) -> bool:
    """Whether rows are lists of words."""
    return isinstance(inputs, pd.DataFrame) and inputs.shape[1] == 1 and len(inputs) > 0 and _is_list(inputs.iloc[0, 0])


def word_counts(inputs: Inputs) -> Array:
    """Words of each row, int64 [N]; rows of texts have none."""
    if not isinstance(inputs, pd.DataFrame) or (len(inputs) and not is_words(inputs)):
        return np.zeros(len(inputs), dtype=np.int64)
    return np.fromiter((len(cell) for cell in inputs.iloc[:, 0]), np.int64, len(inputs))


def words_of(frame: pd.DataFrame, split: str) -> pd.DataFrame | None:
    """The only column of a table as tuples of words; None where it holds none.

    Raises ConfigError where numbers stand in the place of words.
    """
    if frame.shape[1] != 1 or not len(frame):
        return None
    name, cells = str(frame.columns[0]), list(frame.iloc[:, 0])
    first = next((cell for cell in cells if _is_list(cell) and len(cell)), None)
    named = name.lower() in COLUMNS
    if first is None and not (named and any(isinstance(cell, str) for cell in cells)):
        return None
    if first is not None and not isinstance(first[0], str):
        if named:
            raise _numbers(name, split, next(i for i, cell in enumerate(cells) if cell is first), first)
        return None
    return pd.DataFrame({name: pd.Series([_words(cell, row, name, split) for row, cell in enumerate(cells)])})


def split(text: str) -> tuple[str, ...]:
    """The words of a text, by the rule above."""
    return tuple(_WORD.findall(text))


def as_words(cells: Iterable[Any], name: str, written: bool) -> list[tuple[str, ...]]:
    """Rows to answer as tuples of words: lists of words, or texts; a missing row has no words.

    Where words are `written` as text, that is a JSON list of them or words with spaces between them, as in a column
    named for words; any other text is split by the rule above. Raises ConfigError for what is neither.
    """
    made = []
    for row, cell in enumerate(cells):
        if isinstance(cell, str):
            listed = json_words(cell)
            made.append(tuple(cell.split() if written else split(cell)) if listed is None else listed)
        elif _is_list(cell) or is_missing_text(cell):
            made.append(_words(cell, row, name, "the inputs"))
        else:
            raise ConfigError(
                f"expected a list of words or a text in '{name}', got {type(cell).__name__} {str(cell)[:40]!r} in row "
                f"{row}",
                "give lists of words; a text is split into words",
            )
    return made


def json_words(text: str) -> tuple[str, ...] | None:
    """The words of a JSON list; None where a text is none."""
    try:
        found = json.loads(text) if text.lstrip().startswith("[") else None
    except ValueError:
        return None
    return tuple(found) if isinstance(found, list) and all(isinstance(word, str) for word in found) else None


def word_lists(given: Any) -> bool:
    """Whether something is a sequence of lists of words."""
    if not isinstance(given, list | tuple | pd.Series | np.ndarray) or not len(given):
        return False
    if isinstance(given, np.ndarray) and given.ndim > 1:
        return False
    first = next((cell for cell in given if _is_list(cell) and len(cell)), None)
    return first is not None and isinstance(first[0], str) and all(_is_list(cell) or cell is None for cell in given)


def _words(cell: Any, row: int, name: str, split: str) -> tuple[str, ...]:
    if isinstance(cell, str):
        cell = json.loads(cell) if cell.lstrip().startswith("[") else cell.split()
    if not _is_list(cell):
        return ()  # a missing row has no words
    if not all(isinstance(word, str) for word in cell):
        raise _numbers(name, split, row, cell)
    return tuple(cell)


def _numbers(name: str, split: str, row: int, cell: Any) -> ConfigError:
    odd = next(word for word in cell if not isinstance(word, str))
    return ConfigError(
        f"expected words in '{name}' of {split}, got {odd!r} ({type(odd).__name__}) in row {row}",
        "give the words themselves: the ids of one tokenizer mean nothing to another",
    )


def _is_list(cell: Any) -> bool:
    return isinstance(cell, list | tuple | np.ndarray)


# ----------------------------------------------------------------------------------------- annotated texts


def with_words(frame: pd.DataFrame, wanted: Sequence[str], split: str) -> tuple[pd.DataFrame, list[str]]:
    """A table of texts with annotated spans as one of words and their tags, and what was done, in words.

    The column of spans holds a list of {start, end, label} a row. `wanted` are named input columns. Any other table
    stays as it is. Raises ConfigError for spans that overlap or lie outside their text.
    """
    spans = next((str(n) for n in frame.columns if _is_spans(frame[n])), None)
    if spans is None:
        return frame, []
    names = [str(n) for n in frame.columns]
    text = next((n for n in names if n in wanted), next((n for n in names if n.lower() in FIELDS), None))
    if text is None:
        raise ConfigError(
            f"expected a column of texts beside the spans in '{spans}' of {split}, got {', '.join(names)}",
            "name the column of texts with columns.inputs",
        )
    made, cut = [], 0
    for row, (value, cell) in enumerate(zip(frame[text], frame[spans], strict=True)):
        words, tags, odd = tagged(value if isinstance(value, str) else "", _spans_in(cell), row, split)
        made.append((words, tags))
        cut += odd
    said = [f"texts in '{text}' of {split} became words, the spans in '{spans}' BIO tags"]
    if cut:
        said.append(f"{cut} spans of {split} begin or end inside a word: the whole word counts")
    columns = {text: [words for words, _ in made], spans: [tags for _, tags in made]}
    return frame.assign(**{n: pd.Series(cells, index=frame.index) for n, cells in columns.items()}), said


def tagged(
    text: str, spans: Sequence[Mapping[str, Any]], row: int = 0, split: str = "train"
) -> tuple[tuple[str, ...], list[str], int]:
    """Words of a text with their BIO tags, and how many spans begin or end inside a word."""
    places = [match.span() for match in _WORD.finditer(text)]
    tags, cut = ["O"] * len(places), 0
    starts, ends = (np.array([place[side] for place in places], dtype=np.int64) for side in (0, 1))
    for span in sorted(spans, key=lambda one: int(one["start"])):
        start, end = int(span["start"]), int(span["end"])
        touched = np.flatnonzero((starts < end) & (ends > start))
        if not 0 <= start < end <= len(text) or not len(touched) or any(tags[i] != "O" for i in touched):
            shared = 0 <= start < end <= len(text) and len(touched)
            raise ConfigError(
                f"expected spans that {'share no word' if shared else 'lie on the text'} in {split}, got "
                f"{start} to {end} ({span['label']}) in row {row}, whose text has {len(text)} characters",
                "correct the span; end is the place behind its last character, and a word has one tag",
            )
        cut += int(starts[touched[0]] < start) + int(ends[touched[-1]] > end)
        for number, place in enumerate(touched):
            tags[place] = f"{'I' if number else 'B'}-{span['label']}"
    return tuple(text[a:b] for a, b in places), tags, cut


def _is_spans(column: Any) -> bool:
    cells = [cell for cell in (_spans_in(value) for value in list(column)[:1000]) if cell]
    return bool(cells) and all(isinstance(one, Mapping) and {"start", "end", "label"} <= set(one) for one in cells[0])


def _spans_in(cell: Any) -> list[Any]:
    if isinstance(cell, str):
        try:
            cell = json.loads(cell) if cell.startswith("[") else None
        except ValueError:
            return []
    return list(cell) if _is_list(cell) else []
