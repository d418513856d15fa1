"""What limbeck asks of a task, whatever its answers are: a new kind is one class that says how it differs from this.

The rest of limbeck works with a few outcomes whose statistics it knows: classes, labels, numbers, words, texts. A kind
whose answers are none of these says what they become when they are `judged` (`judged_as`), what they are held against
(`truth`) and how that is measured (`measures`); training sees what `encode` gave and the losses it names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from limbeck.data.kinds import KINDS

if TYPE_CHECKING:
    from limbeck.data.rows import Array, Rows


@dataclass(frozen=True)
class Measure:
    """A metric of a task: `fn(answers [N, ...], y, weights [N] or None)` gives a number.

    `rows(answers, y)` [N] is there where the metric is the (weighted) mean of one number a row, which makes intervals
    exact and fast. `influence(answers, y, weights)` [N] is the derivative by a row's share of the weight; without both
    rows are left out in blocks. `unit` is "%" (a share, shown times 100) or "".
    """

    fn: Callable[[Array, Array, Array | None], float]
    higher_is_better: bool = True
    rows: Callable[[Array, Array], Array] | None = None
    influence: Callable[[Array, Array, Array | None], Array] | None = None
    unit: str = ""

    @classmethod
    def mean_of(cls, rows: Callable[[Array, Array], Array], **more: Any) -> Measure:
        """The mean of one number a row."""

        def mean(answers: Array, y: Array, weights: Array | None) -> float:
            return float(np.average(rows(answers, y), weights=weights)) if len(y) else float("nan")

        return cls(mean, rows=rows, **more)


@dataclass(frozen=True)
class Outcome:
    """What evaluation sees of a task that is `judged_as` another kind: that kind, names of columns, own metrics."""

    kind: str
    names: tuple[str, ...]
    label: str
    default_metric: str
    measures: Mapping[str, Measure] = field(compare=False)
    trivial: Callable[[Array, int], Array | None] | None = field(default=None, compare=False)
    decide: Callable[[Array], Array] | None = field(default=None, compare=False)  # where it is not that of the kind


class TaskKind:
    """The base of every kind of task.

    A subclass is a frozen dataclass with `names`, `size`, `encode`, `predict`, `to_spec`, `of` and `from_spec`, and
    overrides what is not so for it.
    """

    kind: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    hard: ClassVar[str]  # the loss on labels alone, on which controls and teachers are trained
    objective: ClassVar[str]  # what `objective: auto` becomes
    losses: ClassVar[tuple[str, ...]] = ()  # further kinds whose losses fit its outputs
    judged_as: ClassVar[str] = ""  # the kind of outcome that its judged answers are; "": its own
    decided: ClassVar[bool] = False  # whether a teacher's answer is a label too
    positions: ClassVar[bool] = False  # whether a row has an answer at each of its positions, [T, C]
    aligned: ClassVar[bool] = True  # whether the targets of a row stand at the positions of its answer
    meaning: ClassVar[str] = "numbers"  # what the numbers of an answer are: of "classes", of "labels", or "numbers"
    natural: ClassVar[bool] = False  # whether answers on disk are in other units than in training
    answers_as: ClassVar[str] = ""  # the kind that a model answers as (logits of classes, numbers); "": its own
    spread: ClassVar[bool] = False  # whether an estimator is asked for its standard deviation too
    options: ClassVar[tuple[str, ...]] = ()  # fields that a user may set: "quantiles(levels=[0.1, 0.5, 0.9])"

    @property
    def default_metric(self) -> str:
        """The metric that a verdict is about, where nothing else is said: the first."""
        return self.metrics[0]

    @property
    def form(self) -> str:
        """The kind whose models can answer it: what probabilities, classes and numbers of a teacher are read as."""
        return self.answers_as or self.kind

    @property
    def loss_fields(self) -> Mapping[str, Any]:
        """Fields of losses that the task decides, by name, such as the levels of quantiles."""
        return {}

    @property
    def names(self) -> tuple[str, ...]:
        """Its classes, labels or columns, in the order of the output."""
        raise NotImplementedError(f"{type(self).__name__}.names")

    @property
    def size(self) -> int:
        """Width of the output; 0 where the model decides it."""
        raise NotImplementedError(f"{type(self).__name__}.size")

    @classmethod
    def of(cls, raw: Any, names: Sequence[str] | None, columns: Sequence[str]) -> Self:
        """The task for the labels of the training rows; `names` are what the user gave as classes."""
        raise NotImplementedError(f"{cls.__name__}.of")

    def with_settings(self, settings: Mapping[str, Any], raw: Any, names: Sequence[str] | None) -> Self:
        """This task with the options that a user set; `raw` and `names` are what it was made of."""
        return replace(self, **settings)  # type: ignore[type-var]

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The task that `to_spec` described."""
        raise NotImplementedError(f"{cls.__name__}.from_spec")

    def encode(self, raw: Any) -> tuple[Array, Array]:
        """Targets [N, ...] as training sees them and mask bool [N] of raw labels; raises ConfigError."""
        raise NotImplementedError(f"{type(self).__name__}.encode")

    def to_spec(self) -> dict[str, Any]:
        """The task as plain data."""
        raise NotImplementedError(f"{type(self).__name__}.to_spec")

    @property
    def spec(self) -> dict[str, Any]:
        """`to_spec` with a kind that `kind_of` finds, in limbeck or at its place."""
        own = type(self)
        return self.to_spec() | {"kind": self.kind if self.kind in KINDS else f"{own.__module__}:{own.__qualname__}"}

    def predict(self, answers: Any) -> Array:
        """What a user sees of answers [N, ...] in training space."""
        raise NotImplementedError(f"{type(self).__name__}.predict")

    def to_training(self, values: Any) -> Any:
        """Answers as on disk -> as in training: the same, where nothing else is said."""
        return values

    def to_natural(self, values: Any) -> Any:
        """Answers as in training -> as on disk."""
        return values

    def refit(self, natural: Array) -> Self:
        """The task for the targets [M, ...] that are left in train, where it keeps a scale of them."""
        return self

    def natural_targets(self, targets: Any) -> Any:
        """Targets as in training -> in natural units, as `refit` and an estimator that is fitted get them."""
        return targets

    def training_targets(self, natural: Any) -> Any:
        """Targets in natural units -> as in training."""
        return natural

    def judged(self, answers: Array, rows: Rows, more: Array | None = None) -> Array:
        """What is judged and kept in predictions, float32 [N, ...], of answers in training space.

        `more` are answers to further rows of a corpus.
        """
        return np.asarray(self.to_natural(answers), dtype=np.float32)

    def truth(self, rows: Rows, head: str, corpus: Rows | None = None) -> Array:
        """What judged answers are held against [N, ...]; `corpus` are further rows that these are found among."""
        return rows.targets[head]

    def unlabelled(self, rows: int) -> Array:
        """Targets [N, ...] of rows without a label."""
        return np.zeros((rows, self.size or 1), dtype=np.float32)

    def decisions(self, answers: Array) -> Array:
        """Answers as on disk [..., C] as if they were labels, in the shape of targets; of kinds that are `decided`."""
        raise NotImplementedError(f"{type(self).__name__}.decisions")

    @property
    def columns(self) -> tuple[str, ...]:
        """A name for each column of what is judged."""
        return tuple(self.names)

    def measures(self) -> Mapping[str, Measure]:
        """The metrics of a kind that is `judged_as` another, by name."""
        return {}

    def trivial(self, y_train: Array, rows: int) -> Array | None:
        """The best constant answer, as judged answers are; None: that of the kind it is judged as."""
        return None

    @property
    def outcome(self) -> Any:
        """The task as evaluation sees it."""
        if not self.judged_as:
            return self
        own = type(self).trivial is not TaskKind.trivial
        return Outcome(
            self.judged_as, self.columns, self.kind, self.default_metric, self.measures(),
            self.trivial if own else None, self.decisions if self.decided else None,
        )  # fmt: skip
