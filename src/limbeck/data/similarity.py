"""Similarity: two texts and a score that the cosine of their embeddings is to follow.

Scores from 0 up are brought to [0, 1] by the least and greatest of the training rows, scores with negative ones among
them to [-1, 1] by the greatest size. Answers of models are embeddings; what is judged and kept in predictions is the
cosine of each row, a number that means the same for models of any width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.embedded import pair_cosines
from limbeck.data.labels import present
from limbeck.data.regression import real_matrix
from limbeck.data.rows import Array, Rows
from limbeck.data.task import TaskKind


@dataclass(frozen=True)
class Similarity(TaskKind):
    """A score for a pair of texts; `low` and `high` are the scores that a cosine of 0 and of 1 stand for.

    `size` is the width of an answer where it is known: 0 leaves it to the model.
    """

    low: float = 0.0
    high: float = 1.0
    size: int = 0
    kind: ClassVar[str] = "similarity"
    metrics: ClassVar[tuple[str, ...]] = ("spearman", "pearson")
    hard: ClassVar[str] = "CosineRegression"
    objective: ClassVar[str] = "0.1 * CosineRegression + 0.9 * ContrastiveKD"

    def __post_init__(self) -> None:
        if not self.high > self.low:
            raise ConfigError(
                f"expected scores that differ, the least is {self.low:g} and the greatest {self.high:g}",
                "give scores of pairs that are alike and of pairs that are not",
            )

    @classmethod
    def fit(cls, raw: Any) -> Self:
        """The task for the scores of the training rows."""
        values = real_matrix(raw)
        if values.shape[1] != 1:
            raise ConfigError(
                f"expected one column of scores for a similarity task, got {values.shape[1]}", "name it with target"
            )
        known = values[present(values)]
        if not len(known):
            raise ConfigError("expected scores for a similarity task, got none", "give training rows with scores")
        if known.min() < 0:
            return cls(0.0, float(np.abs(known).max()))
        return cls(float(known.min()), float(known.max()))

    @property
    def names(self) -> tuple[str, ...]:
        return ("score",)

    def encode(self, raw: Any) -> tuple[Array, Array]:
        """Scaled scores float32 [N, 1] and mask bool [N]."""
        values = real_matrix(raw)
        if values.shape[1] != 1:
            raise ConfigError(f"expected one column of scores, got {values.shape[1]}", "name it with target")
        mask = present(values)
        return self.scaled(np.where(mask[:, None], values, self.low)), mask

    def scaled(self, scores: Array) -> Array:
        """Scores [N, 1] in the user's units as float32 from 0 to 1."""
        return np.asarray((scores - self.low) / (self.high - self.low), dtype=np.float32)

    def scores(self, scaled: Array) -> Array:
        """Scaled scores [N, 1] in the user's units."""
        return self.low + scaled.astype(np.float64) * (self.high - self.low)

    def judged(self, answers: Array, rows: Rows, more: Array | None = None) -> Array:
        """Cosines float32 [N, 1] of embeddings [N, 2·D]."""
        return pair_cosines(answers)[:, None].astype(np.float32)

    def truth(self, rows: Rows, head: str, corpus: Rows | None = None) -> Array:
        """Scaled scores [N, 1]."""
        return rows.targets[head]

    def predict(self, answers: Any) -> Array:
        """Scores [N], in the user's units, of embeddings [N, 2·D]."""
        return np.asarray(self.low + pair_cosines(answers) * (self.high - self.low))

    @classmethod
    def of(cls, raw: Any, names: Sequence[str] | None, columns: Sequence[str]) -> Self:
        """The task for the scores of the training rows."""
        return cls.fit(raw)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        return cls(spec["low"], spec["high"])

    def to_spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "low": self.low, "high": self.high}
