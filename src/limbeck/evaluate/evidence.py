"""Everything that is known about one task of a run before it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.evaluate.answers import CLASSIFICATION, GENERATION, TAGGING, Array, Outcome, Plain, Tags, stacked, truth
from limbeck.evaluate.components import crossed
from limbeck.evaluate.quality import Metric, UserMetric, metric_for, metrics_of

TEACHER, STUDENT, CONTROL = "teacher", "student", "control"


class Slices(Protocol):
    """Rows in slices: names [K], and the slice of each row, int64 [N] (-1: none)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the slices."""
        ...

    @property
    def of(self) -> Array:
        """The slice of each row."""
        ...

    def take(self, index: Array) -> Slices:
        """The rows under a mask."""
        ...


@dataclass(frozen=True)
class Validation:
    """Answers on validation rows by arm [S, V, C] and their truth: what temperature scaling is fitted on."""

    y: Array
    answers: Mapping[str, Array]


@dataclass(frozen=True)
class Evidence:
    """One task: the truth of the test rows and what the arms answered; shapes as in `limbeck.evaluate.answers`.

    y         truth [N], [N, L] or [N, K] (regression in natural units)
    arms      "teacher", "student", "control", and where trained "soft" and "pseudo"; one array each
    mask      [N] bool, False where a test row has no label for this task
    weights   [N] of the test rows; groups [N], rows of one group are drawn together
    y_train   labels of the training rows, for the trivial baseline; without them the test labels give it
    stored    (answers [M, ...], truth [M]): the teacher's answers that training used, on labelled rows
    sources   what the test rows hold [N], where they are texts that are rewritten: to show, and to copy as a baseline
    metric    a name, a function (y_true, y_pred), a Metric, or None for the task's default
    sentences [N] for tagging, whose rows are words: the sentence of each, one after the other
    slices    by name: ways in which the test rows [N] are told apart
    folds     where each row was answered by models that were trained on the other folds: how many there are
    """

    task: Outcome
    y: Array
    arms: Mapping[str, Array]
    mask: Array | None = None
    weights: Array | None = None
    groups: Array | None = None
    y_train: Array | None = None
    validation: Validation | None = None
    stored: tuple[Array, Array] | None = None
    sources: Array | None = None
    metric: str | UserMetric | Metric | None = None
    sentences: Array | None = None
    slices: Mapping[str, Slices] | None = None
    folds: int | None = None

    @property
    def overlap(self) -> float:
        """What the variance over rows is multiplied by, see `components.crossed`."""
        return 1.0 if self.folds is None else crossed(self.folds)

    def chosen_metric(self) -> Metric:
        """The metric that the verdict is about; call it on prepared evidence."""
        return metric_for(self._asked, self.metric, self.y, groups=self.groups, sentences=self.sentences)

    def metrics(self) -> Mapping[str, Metric]:
        """All metrics of the task by name; call it on prepared evidence."""
        return metrics_of(self._asked, self.sentences)

    @property
    def _asked(self) -> Outcome:
        """The task as it was asked for: prepared words are rows of classification."""
        return Plain(TAGGING, self.task.names) if isinstance(self.task, Tags) else self.task

    def _of_words(self) -> Evidence:
        if self.sentences is None or len(self.sentences) != len(self.y):
            raise ShapeMismatch(
                f"expected the sentence of each of {len(self.y)} words for a tagging task, got "
                f"{'none' if self.sentences is None else len(self.sentences)}",
                "give Evidence(sentences=...), one number a word",
            )
        groups = self.sentences if self.groups is None else self.groups
        return replace(self, task=Tags(CLASSIFICATION, tuple(self.task.names)), groups=groups)

    def prepared(self) -> Evidence:
        """Bring all arrays into shape and keep only labelled rows; raise ShapeMismatch or ConfigError."""
        if self.task.kind == TAGGING:
            return self._of_words().prepared()
        y = truth(self.task, self.y)
        missing = [arm for arm in (STUDENT, CONTROL) if arm not in self.arms]
        if missing:
            raise ConfigError(
                f"expected the answers of student and control, {' and '.join(missing)} missing",
                "without a control nothing can be said about distillation",
            )
        keep = np.ones(len(y), dtype=bool) if self.mask is None else np.asarray(self.mask, dtype=bool)
        if len(keep) != len(y):
            raise ShapeMismatch(f"expected a mask of {len(y)} rows, got {len(keep)}", "one entry per test row")
        if not keep.any():
            raise ConfigError("expected labelled test rows, got none", "evaluation needs rows with a known truth")
        arms = {
            arm: stacked(self.task, answers, len(y), f"the answers of the {arm}")[:, keep]
            for arm, answers in self.arms.items()
        }
        for arm, answers in arms.items():
            if self.task.kind != GENERATION and not np.isfinite(answers).all():
                raise ConfigError(
                    f"expected finite answers of the {arm}, got NaN or infinity",
                    "look at its training curve: a seed may have diverged",
                )
        weights, groups, sentences, sources = (
            None if part is None else np.asarray(part)[keep]
            for part in (self.weights, self.groups, self.sentences, self.sources)
        )
        y_train = None if self.y_train is None else truth(self.task, self.y_train)
        slices = None if self.slices is None else {name: each.take(keep) for name, each in self.slices.items()}
        return replace(
            self, y=y[keep], arms=arms, mask=None, weights=weights, groups=groups, y_train=y_train,
            sentences=sentences, sources=sources, slices=slices,
        )  # fmt: skip
