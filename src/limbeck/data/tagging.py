"""Tagging: one label for every word of a row, in the BIO scheme.

    task       targets                                   answers             on disk
    Tagging    int64 [N, W] tag ids, -1 without a label  logits [B, W, C]    logits of each row's words (ragged)

B-X begins an entity of type X, I-X goes on with it, O is outside; E-X and S-X (IOBES) are understood too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.core.kinds import suggest
from limbeck.data.labels import check_names, is_missing, listed, text_of
from limbeck.data.rows import Array, Inputs
from limbeck.data.task import TaskKind
from limbeck.data.words import is_words, word_counts

OUTSIDE, PREFIXES = "O", ("B", "I", "E", "S")
NO_LABEL, IGNORED = -1, -100  # here, and in the Hugging Face convention
_SURE = 10.0  # logit of O, over 0 of all others, where a word was cut off


@dataclass(frozen=True)
class Tagging(TaskKind):
    """One of C tags for every word; `tags` are their names in the order of the outputs, O among them."""

    tags: tuple[str, ...]
    kind: ClassVar[str] = "tagging"
    metrics: ClassVar[tuple[str, ...]] = ("entity_f1", "entity_precision", "entity_recall", "word_accuracy")
    hard: ClassVar[str] = "CE"
    objective: ClassVar[str] = "0.1 * CE + 0.9 * KD(temperature=1)"
    losses: ClassVar[tuple[str, ...]] = ("classification",)
    decided: ClassVar[bool] = True
    positions: ClassVar[bool] = True
    meaning: ClassVar[str] = "classes"

    def __post_init__(self) -> None:
        check_names(self.tags, "tags", at_least=2)
        odd = [tag for tag in self.tags if not _in_scheme(tag)]
        if odd or OUTSIDE not in self.tags:
            raise ConfigError(
                "expected tags in the BIO scheme (O, B-TYPE, I-TYPE), got "
                + (f"'{odd[0]}'" if odd else f"no {OUTSIDE} among {listed(self.tags)}"),
                "write B- before the type of an entity's first word, I- before its others, and O outside of entities",
            )

    @property
    def names(self) -> tuple[str, ...]:
        return self.tags

    @property
    def size(self) -> int:
        """Width of the output, C."""
        return len(self.tags)

    @property
    def outside(self) -> int:
        """The id of O."""
        return self.tags.index(OUTSIDE)

    def encode(self, raw: Any) -> tuple[Array, Array]:
        """Tag ids int64 [N, W], -1 where a word has no label or a row no word, and mask bool [N] of labelled rows.

        A label is a tag, its id, or -100 or None for none. Raises ConfigError for a label that is no tag.
        """
        cells = [_cell(value) for value in raw]
        width = max((len(cell) for cell in cells if cell is not None), default=1)
        ids = np.full((len(cells), max(width, 1)), NO_LABEL, dtype=np.int64)
        place: dict[Any, int] = {tag: number for number, tag in enumerate(self.tags)}
        for row, cell in enumerate(cells):
            if cell is not None:
                ids[row, : len(cell)] = [self._id(value, place, row) for value in cell]
        return ids, (ids != NO_LABEL).any(axis=1)

    def _id(self, value: Any, place: Mapping[Any, int], row: int) -> int:
        found = place.get(value) if isinstance(value, str) else None
        if found is not None:
            return found
        if is_missing(value):
            return NO_LABEL
        number = (
            int(value) if isinstance(value, int | np.integer) or (isinstance(value, str) and _whole(value)) else None
        )
        if number == IGNORED:
            return NO_LABEL
        if number is not None and 0 <= number < self.size:
            return number
        near = suggest(str(value), self.tags)
        raise ConfigError(
            f"expected one of the {self.size} tags {listed(self.tags)}, got '{value}' in row {row}",
            f"{near + ' ' if near else ''}correct the tag, or name all tags in order with classes=[...]",
        )

    def predict(self, logits: Any) -> Array:
        """Tags [W] of the logits [W, C] of the words of a row."""
        return np.asarray(np.array(self.tags, dtype=object)[np.asarray(logits).argmax(axis=-1)])

    def unlabelled(self, rows: int) -> Array:
        """Ids int64 [N, 1] of no label."""
        return np.full((rows, 1), NO_LABEL, dtype=np.int64)

    @classmethod
    def of(cls, raw: Any, names: Sequence[str] | None, columns: Sequence[str]) -> Self:
        """The task over the tags given, or those of the rows."""
        return cls(tuple(names or tag_names(raw)))

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        return cls(tuple(spec["tags"]))

    def to_spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "tags": list(self.tags)}


def tag_names(raw: Any) -> tuple[str, ...]:
    """The distinct tags of lists of tags: O first, then by type, B before I. Raises ConfigError for bare numbers."""
    found = {
        text_of(v) for value in raw for v in (_cell(value) or ()) if not is_missing(v) and text_of(v) != str(IGNORED)
    }
    if found and all(_whole(tag) for tag in found):
        raise ConfigError(
            f"expected names of tags, got the numbers {listed(sorted(found, key=int))}",
            "name all tags in the order of their numbers with classes=['O', 'B-...', ...]",
        )
    inside = sorted((tag for tag in found if tag != OUTSIDE), key=lambda tag: (tag[2:], tag))
    return (OUTSIDE, *inside)


def looks_tagged(inputs: Inputs, raw: Any) -> bool:
    """Whether rows are words and their labels lists of one label a word.

    Where tags are of the BIO scheme half of the rows must be so, else nine in ten: the others are then refused by row.
    """
    if not is_words(inputs):
        return False
    counts = word_counts(inputs)
    cells = [(row, cell) for row, value in enumerate(raw) if (cell := _cell(value)) is not None]
    fit = sum(len(cell) == counts[row] for row, cell in cells)
    tags = {tag for _, cell in cells for tag in cell if isinstance(tag, str)}
    scheme = OUTSIDE in tags and all(_in_scheme(tag) for tag in tags)
    return bool(cells) and fit >= (0.5 if scheme else 0.9) * len(cells)


def _in_scheme(tag: str) -> bool:
    return tag == OUTSIDE or (tag[:1] in PREFIXES and tag[1:2] == "-" and bool(tag[2:]))


def refuse_lengths(inputs: Inputs, raw: Any, split: str, head: str) -> None:
    """Refuse rows of texts, and rows that have not one label for every word; raises ConfigError."""
    if not is_words(inputs):
        raise ConfigError(
            f"expected rows of words for the task '{head}', which has a tag for every word, got other rows in {split}",
            "give a column of lists of words (tokens), or texts with spans: entities=[{start, end, label}]",
        )
    for row, (value, count) in enumerate(zip(raw, word_counts(inputs).tolist(), strict=True)):
        cell = _cell(value)
        if cell is not None and len(cell) != count:
            raise ConfigError(
                f"expected one tag a word in {split}, row {row} has {count} words and {len(cell)} tags",
                "give each word its tag (O outside of entities, -100 or None where it is not known)",
            )


def flat_targets(inputs: Inputs, targets: Array) -> Array:
    """The targets [M] of all words of rows, one row after the other, -1 without a label, of targets [N, W]."""
    counts = word_counts(inputs)
    wide = np.full((len(counts), max(int(counts.max(initial=1)), targets.shape[1])), NO_LABEL, dtype=np.int64)
    wide[:, : targets.shape[1]] = targets
    return np.asarray(wide[np.arange(wide.shape[1]) < counts[:, None]])


def flat_answers(values: Array, mask: Array, counts: Array, outside: int) -> Array:
    """Answers [M, C] for all words of rows, of answers [N, T, C] where `mask` [N, T] has one.

    Words without an answer, which a model did not read, are O.
    """
    return flat_words(values, mask, counts, sure_of(outside, values.shape[2]))


def sure_of(tag: int, size: int) -> Array:
    """Logits [C] that decide for a tag."""
    return np.where(np.arange(size) == tag, np.float32(_SURE), np.float32(0))


def flat_words(values: Array, mask: Array, counts: Array, blank: Any) -> Array:
    """Values [M, ...] for all words of rows, of values [N, T, ...] of the first T words where `mask` [N, T] has one."""
    found = np.empty((int(counts.sum()), *values.shape[2:]), dtype=values.dtype)
    found[:] = blank
    place = np.arange(mask.shape[1])
    kept = mask & (place < counts[:, None])
    first = np.cumsum(counts) - counts
    found[(first[:, None] + place)[kept]] = values[kept]
    return found


def _whole(text: str) -> bool:
    return text.lstrip("-").isdecimal()


def _cell(value: Any) -> Sequence[Any] | None:
    """The labels of one row as a list; None where the row has none."""
    if isinstance(value, np.ndarray):
        return list(value.tolist())
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, str) and value.strip():
        return list(json.loads(value)) if value.lstrip().startswith("[") else value.split()
    return None if is_missing(value) else [value]
