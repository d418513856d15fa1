"""What a model answered on the test rows, as plain arrays: scores where there are some, else decisions.

    kind            scores (float)                 decisions                    truth y
    classification  logits [S, N, C]               class ids, integer [S, N]    class ids, integer [N]
    multilabel      logits [S, N, L] (sigmoid)     0/1, integer [S, N, L]       0/1 [N, L]
    regression      natural units [S, N, K]        the same                     natural units [N, K]
    generation      none                           texts, object [S, N]         texts, object [N]
    segmentation    none                           class ids, integer [S, N, P] class ids [N, P], -1 without a label
    similarity      cosines [S, N, 1]              the same                     scaled scores [N, 1]
    retrieval       ranks [S, N, 1], 1 the first   the same                     numbers of documents [N, 1]

Everything in `limbeck.evaluate` works on these; regression is never standardised here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from limbeck.core.errors import ShapeMismatch

Array: TypeAlias = np.ndarray[Any, Any]

CLASSIFICATION, MULTILABEL, REGRESSION = "classification", "multilabel", "regression"
SIMILARITY, RETRIEVAL, GENERATION = "similarity", "retrieval", "generation"
SEGMENTATION = "segmentation"  # a class for each of the P pixels of an image, which is a row
TAGGING = "tagging"  # its words are judged as rows of classification, sentence by sentence
KINDS = (CLASSIFICATION, MULTILABEL, REGRESSION, SIMILARITY, TAGGING, GENERATION)  # what can be judged without a run
NUMBERS = (REGRESSION, SIMILARITY, RETRIEVAL)  # kinds whose answers are numbers, not scores of something to decide on


class Outcome(Protocol):
    """What evaluation must know of a task: its kind and the names of its classes, labels or target columns."""

    @property
    def kind(self) -> str: ...

    @property
    def names(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Plain:
    """A task that is nothing but its kind and its names."""

    kind: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Tags(Plain):
    """Words as rows, each with one of C tags; the constant answer is O."""

    @property
    def constant(self) -> int:
        """The id of O."""
        return self.names.index("O")


def has_scores(task: Outcome, answers: Array) -> bool:
    """Whether the answers carry scores (logits, values) rather than bare decisions."""
    return task.kind in NUMBERS or np.issubdtype(answers.dtype, np.floating)


def stacked(task: Outcome, answers: Array, rows: int, who: str = "the answers") -> Array:
    """Give answers a leading seed axis: [S, N, ...]; raise ShapeMismatch where they do not fit the task."""
    answers = np.asarray(answers)
    if answers.dtype == bool:
        answers = answers.astype(np.int64)
    if task.kind == SEGMENTATION:
        return _masks(answers, rows, who)
    width = len(task.names)
    single = task.kind == GENERATION or (task.kind == CLASSIFICATION and not has_scores(task, answers))
    row_dims = 1 if single else 2
    if task.kind in NUMBERS and width == 1 and (answers.ndim == 1 or answers.shape[-1] != 1):
        answers = answers[..., None]
    if answers.ndim == row_dims:
        answers = answers[None]
    wanted = (rows,) if row_dims == 1 else (rows, width)
    if answers.ndim != row_dims + 1 or answers.shape[1:] != wanted:
        shape = "×".join(str(n) for n in ("seeds", *wanted))
        raise ShapeMismatch(
            f"expected {who} to have shape [{shape}] for a {task.kind} task, got {list(answers.shape)}",
            "the last axis is one column per class, label or target; the one before it is the test rows",
        )
    return answers


def _masks(answers: Array, rows: int, who: str) -> Array:
    """Decisions [S, N, P]; raises ShapeMismatch for another shape."""
    answers = answers[None] if answers.ndim == 2 else answers
    if answers.ndim != 3 or answers.shape[1] != rows or answers.dtype.kind not in "iu":
        raise ShapeMismatch(
            f"expected {who} to be class ids of the shape [seeds×{rows}×pixels], got {answers.dtype} "
            f"{list(answers.shape)}",
            "give the class that each pixel was decided for",
        )
    return answers


def truth(task: Outcome, y: Array) -> Array:
    """Bring the truth into its shape: [N] class ids, or [N, L] / [N, K]."""
    y = np.asarray(y)
    if task.kind == CLASSIFICATION:
        return y.astype(np.int64)
    if task.kind in (GENERATION, SEGMENTATION):
        return y
    return y[:, None] if y.ndim == 1 else y


def decide(task: Outcome, answers: Array) -> Array:
    """Decisions from answers of any leading shape: class ids [..., N], 0/1 [..., N, L] or the values themselves."""
    if task.kind in NUMBERS or not has_scores(task, answers):
        return answers
    own = getattr(task, "decide", None)
    if own is not None:
        return np.asarray(own(answers))
    if task.kind == MULTILABEL:
        return (answers > 0).astype(np.int64)
    return np.asarray(answers.argmax(axis=-1))


def log_softmax(logits: Array) -> Array:
    """Stable log-softmax over the last axis, in float64."""
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def log_sigmoid(logits: Array) -> Array:
    """Stable log-sigmoid, in float64."""
    return np.asarray(-np.logaddexp(0.0, -logits.astype(np.float64)))


def one_hot(ids: Array, size: int) -> Array:
    """One-hot rows [..., size] of class ids."""
    return np.asarray(np.eye(size)[ids])


def mean_of(rows: Array, weights: Array | None) -> float:
    """(Weighted) mean of one value per row."""
    return float(np.average(rows, weights=weights)) if len(rows) else float("nan")
