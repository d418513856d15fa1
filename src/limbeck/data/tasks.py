"""What an output means: classes, labels or numbers; how raw labels become targets and answers become values.

    task            targets in training space      answers in training space   on disk
    Classification  int64 [N] class ids            logits [B, C]               logits
    MultiLabel      float32 [N, L] of 0 and 1      logits [B, L] (sigmoid)     logits
    Regression      float32 [N, K] standardised    standardised [B, K]         natural units
    Ordinal         int64 [N] ids of levels        logits [B, C]               logits
    Quantiles       float32 [N, K] standardised    standardised [B, K·Q]       natural units
    Gaussian        float32 [N, K] standardised    mean, log variance [B, 2·K] mean, deviation in natural units
    Generation      texts, object [N]              logits [B, T, V] of tokens  texts
    Similarity      float32 [N, 1] scaled scores   embeddings [B, 2·D]         embeddings
    Retrieval       float32 [N, 1] of 1            embeddings [B, 2·D]         embeddings
    Transcription   int64 [N, U] ids, padded        logits [B, T, C]           logits, as many rows as frames
    Tagging         int64 [N, W] ids of words      logits [B, W, C]            logits, as many rows as words

The order of classes is fixed and explicit, in the task and in its spec. Metric names stand here, `evaluate` has the
numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.core.kinds import suggest
from limbeck.data.entries import known_entries, with_gaps
from limbeck.data.generation import Generation as Generation
from limbeck.data.kinds import kind_of
from limbeck.data.labels import (
    as_labels,
    check_names,
    listed,
    names_in,
    numbers_of,
    present,
    sorted_names,
    texts_of,
    whole_numbers,
)
from limbeck.data.regression import Regression as Regression
from limbeck.data.retrieval import Retrieval as Retrieval
from limbeck.data.rows import Array
from limbeck.data.similarity import Similarity as Similarity
from limbeck.data.tagging import Tagging as Tagging
from limbeck.data.task import TaskKind

Task: TypeAlias = TaskKind


@dataclass(frozen=True)
class Classification(TaskKind):
    """One of C classes; `classes` are their names in the order of the outputs."""

    classes: tuple[str, ...]
    kind: ClassVar[str] = "classification"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "balanced_accuracy", "macro_f1")
    hard: ClassVar[str] = "CE"
    objective: ClassVar[str] = "0.1 * CE + 0.9 * KD(temperature=4)"
    meaning: ClassVar[str] = "classes"
    decided: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_names(self.classes, "classes", at_least=2)

    @property
    def names(self) -> tuple[str, ...]:
        return self.classes

    @property
    def size(self) -> int:
        """Width of the output, C."""
        return len(self.classes)

    def encode(self, raw: Any) -> tuple[Array, Array]:
        """Class ids int64 [N] and mask bool [N]; missing labels have mask False and id 0.

        Integers are class ids where the class names are no numbers. Raises ConfigError for a label that is no class.
        """
        values = as_labels(raw)
        if values.ndim == 2:
            values = self._of_one_hot(values)
        mask = present(values)
        ids = np.zeros(len(values), dtype=np.int64)
        known = values[mask]
        ids[mask] = self._ids(texts_of(known), np.flatnonzero(mask))
        return ids, mask

    def _ids(self, texts: Array, rows: Array) -> Array:
        place = {name: i for i, name in enumerate(self.classes)}
        distinct, inverse = np.unique(texts.astype(str), return_inverse=True)
        by_id = not whole_numbers(self.classes) and whole_numbers(distinct.tolist()) and not set(distinct) & set(place)
        if by_id:
            place = {str(i): i for i in range(self.size)}
        strange = [name for name in distinct.tolist() if name not in place]
        if strange:
            first = int(rows[np.flatnonzero(np.isin(texts.astype(str), strange))[0]])
            label = str(texts[np.flatnonzero(rows == first)[0]])
            raise self._unknown(label, first, len(strange), by_id)
        return np.array([place[name] for name in distinct.tolist()], dtype=np.int64)[inverse]

    def _unknown(self, label: str, row: int, count: int, by_id: bool) -> ConfigError:
        more = f" (and {count - 1} more unknown labels)" if count > 1 else ""
        if by_id:
            return ConfigError(
                f"expected class ids from 0 to {self.size - 1}, got {label} in row {row}{more}",
                f"there are {self.size} classes ({listed(self.classes)}); check the labels or give all classes",
            )
        near = suggest(label, self.classes)
        return ConfigError(
            f"expected one of the {self.size} classes {listed(self.classes)}, got label '{label}' in row {row}{more}",
            f"{near + ' ' if near else ''}correct the label, or name all classes in order with classes=[...]",
        )

    def _of_one_hot(self, values: Array) -> Array:
        if values.shape[1] != self.size:
            raise ConfigError(
                f"expected one label per row or one-hot rows of {self.size} classes, got shape {values.shape}",
                "for several labels a row use task='multilabel', for several outputs task={'head': ...}",
            )
        there = present(values)
        numbers = np.where(there[:, None], numbers_of(values), 0)
        wrong = np.flatnonzero(there & ~((np.isin(numbers, (0, 1)).all(axis=1)) & (numbers.sum(axis=1) == 1)))
        if len(wrong):
            raise ConfigError(
                f"expected one-hot rows with exactly one 1, got {values[wrong[0]].tolist()} in row {wrong[0]}",
                "for several labels a row use task='multilabel'",
            )
        out = np.full(len(values), None, dtype=object)
        out[there] = [self.classes[i] for i in numbers[there].argmax(axis=1)]
        return out

    def unlabelled(self, rows: int) -> Array:
        """Ids int64 [N] of 0."""
        return np.zeros(rows, dtype=np.int64)

    def decisions(self, answers: Array) -> Array:
        """Class ids int64 [N] of logits [N, C]."""
        return np.asarray(answers.argmax(axis=1), dtype=np.int64)

    @classmethod
    def of(cls, raw: Any, names: Sequence[str] | None, columns: Sequence[str]) -> Self:
        """The task over the classes given, or over those of the labels (or one-hot columns)."""
        values, given = as_labels(raw), names
        if values.ndim == 2 and given is None:
            named = len(columns) == values.shape[1]
            given = tuple(columns) if named else tuple(str(i) for i in range(values.shape[1]))
        return cls(tuple(given or class_names(values)))

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        return cls(tuple(spec["classes"]))

    def predict(self, logits: Any) -> Array:
        """Class names [N] of logits [N, C]; integers where every class is one, booleans for False and True."""
        ids = np.asarray(logits).argmax(axis=-1)
        return np.asarray(self.values[ids])

    @property
    def values(self) -> Array:
        """The classes [C] as the user wrote them."""
        if whole_numbers(self.classes):
            return np.array([int(name) for name in self.classes])
        if set(self.classes) == {"False", "True"}:
            return np.array([name == "True" for name in self.classes])
        return np.array(self.classes, dtype=object)

    def to_spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "classes": list(self.classes)}


@dataclass(frozen=True)
class MultiLabel(TaskKind):
    """Any of L labels, each there or not; a label is decided where its logit is above 0."""

    labels: tuple[str, ...]
    kind: ClassVar[str] = "multilabel"
    metrics: ClassVar[tuple[str, ...]] = ("macro_f1", "map", "subset_accuracy")
    hard: ClassVar[str] = "BCE"
    objective: ClassVar[str] = "0.1 * BCE + 0.9 * BernoulliKD"
    meaning: ClassVar[str] = "labels"
    decided: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_names(self.labels, "labels", at_least=1)

    @property
    def names(self) -> tuple[str, ...]:
        return self.labels

    @property
    def size(self) -> int:
        """Width of the output, L."""
        return len(self.labels)

    def encode(self, raw: Any) -> tuple[Array, Array]:
        """0/1 float32 [N, L] and mask bool [N] of a matrix of 0 and 1, or of lists of names ("a|b" as text).

        A row has a label where one of its entries is known; its unknown entries are NaN. An empty list means that no
        label applies.
        """
        values = as_labels(raw)
        if values.ndim == 1 and not (self.size == 1 and values.dtype.kind in "biuf"):
            return self._of_names(values)
        matrix = values.reshape(len(values), -1)
        if matrix.shape[1] != self.size:
            raise ConfigError(
                f"expected {self.size} columns of 0 and 1 ({listed(self.labels)}), got {matrix.shape[1]}",
                "give one column per label, in the order of the labels",
            )
        numbers, mask = with_gaps(numbers_of(matrix), known_entries(matrix))
        numbers = numbers.astype(np.float32)
        wrong = np.argwhere((numbers != 0) & (numbers != 1) & ~np.isnan(numbers))
        if len(wrong):
            row, column = wrong[0]
            raise ConfigError(
                f"expected 0 or 1 for label '{self.labels[column]}', got {matrix[row, column]} in row {row}",
                "scores of a teacher are no labels; round them, or give them as a teacher's predictions",
            )
        return numbers, mask

    def _of_names(self, values: Array) -> tuple[Array, Array]:
        place = {name: i for i, name in enumerate(self.labels)}
        targets, mask = np.zeros((len(values), self.size), dtype=np.float32), present(values)
        for row in np.flatnonzero(mask):
            for name in names_in(values[row]):
                if name not in place:
                    near = suggest(name, self.labels)
                    raise ConfigError(
                        f"expected labels among {listed(self.labels)}, got label '{name}' in row {row}",
                        f"{near + ' ' if near else ''}correct the label, or name all labels with classes=[...]",
                    )
                targets[row, place[name]] = 1
        return targets, mask

    def decisions(self, answers: Array) -> Array:
        """0/1 float32 [N, L] of logits [N, L]."""
        return (answers > 0).astype(np.float32)

    @classmethod
    def of(cls, raw: Any, names: Sequence[str] | None, columns: Sequence[str]) -> Self:
        """The task over the labels given, or over the columns or names among the labels of the rows."""
        values = as_labels(raw)
        if names is not None:
            return cls(tuple(names))
        if values.ndim == 2:
            named = len(columns) == values.shape[1]
            return cls(tuple(columns) if named else tuple(str(i) for i in range(values.shape[1])))
        if values.dtype.kind in "biuf":
            return cls(tuple(columns) if len(columns) == 1 else ("0",))
        return cls(label_names(values))

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        return cls(tuple(spec["labels"]))

    def predict(self, logits: Any) -> Array:
        """0/1 int64 [N, L] of logits [N, L]."""
        return np.asarray(np.asarray(logits) > 0, dtype=np.int64)

    def to_spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "labels": list(self.labels)}


def task_from_spec(spec: Mapping[str, Any]) -> Task:
    """The task that `to_spec` described; raises ConfigError for a kind that is not there."""
    made: Any = kind_of(str(spec.get("kind"))).from_spec(spec)
    return made  # type: ignore[no-any-return]


def class_names(raw: Any) -> tuple[str, ...]:
    """The distinct classes of raw labels, numbers in order of value."""
    values = as_labels(raw)
    return sorted_names(texts_of(values[present(values)]).tolist())


def label_names(raw: Any) -> tuple[str, ...]:
    """The distinct label names of lists of names."""
    values = as_labels(raw)
    return sorted_names(name for cell in values[present(values)] for name in names_in(cell))
