"""Quantiles of numbers: for each target a few levels, learned by the pinball loss, never crossing where they are used.

Koenker and Bassett, Regression Quantiles, Econometrica 1978. Answers are [N, K·Q], the levels of a target side by side;
crossing quantiles are put in order where they are judged and predicted (Chernozhukov et al., Econometrica 2010), which
never makes the pinball loss larger. The mean squared distance of two models' quantiles, which L2KD is, is their squared
2-Wasserstein distance on these levels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.regression import Regression
from limbeck.data.rows import Array, Rows
from limbeck.data.task import Measure


@dataclass(frozen=True)
class Quantiles(Regression):
    """Q quantiles of K numbers, of one target or of several (a target for each step of a horizon)."""

    levels: tuple[float, ...] = (0.1, 0.5, 0.9)
    kind: ClassVar[str] = "quantiles"
    metrics: ClassVar[tuple[str, ...]] = ("pinball", "mae", "coverage")
    hard: ClassVar[str] = "Pinball"
    objective: ClassVar[str] = "0.1 * Pinball + 0.9 * L2KD"
    judged_as: ClassVar[str] = "regression"
    options: ClassVar[tuple[str, ...]] = ("levels",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self.levels, "the task")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{target}@{level:g}" for target in self.targets for level in self.levels)

    @property
    def size(self) -> int:
        """Width of the output, K·Q."""
        return len(self.targets) * len(self.levels)

    @property
    def loss_fields(self) -> Mapping[str, Any]:
        return {"levels": self.levels}

    def to_training(self, values: Any) -> Any:
        """Natural units -> standardised; numpy or torch [..., K·Q]."""
        mean, scale = self._repeated(values)
        return (values - mean) / scale

    def to_natural(self, values: Any) -> Any:
        """Standardised -> natural units; numpy or torch [..., K·Q]."""
        mean, scale = self._repeated(values)
        return values * scale + mean

    def _repeated(self, values: Any) -> tuple[Any, Any]:
        count = len(self.levels)
        if isinstance(values, np.ndarray):
            mean, scale = self._constants(values)
            return np.repeat(mean, count), np.repeat(scale, count)
        mean, scale = self._constants(values)
        return mean.repeat_interleave(count), scale.repeat_interleave(count)

    def unlabelled(self, rows: int) -> Array:
        """Targets float32 [N, K] of 0."""
        return np.zeros((rows, len(self.targets)), dtype=np.float32)

    def predict(self, values: Any) -> Array:
        """Natural units [N, K·Q] of standardised quantiles, in order within each target."""
        return self._ordered(np.asarray(self.to_natural(np.asarray(values))))

    def judged(self, answers: Array, rows: Rows, more: Array | None = None) -> Array:
        """Natural units float32 [N, K·Q], in order within each target."""
        return self.predict(answers).astype(np.float32)

    def truth(self, rows: Rows, head: str, corpus: Rows | None = None) -> Array:
        """Natural units [N, K·Q]: each target beside every one of its quantiles."""
        return np.repeat(super().truth(rows, head), len(self.levels), axis=1)

    def _apart(self, values: Array) -> Array:
        return values.reshape(len(values), len(self.targets), len(self.levels))

    def _ordered(self, values: Array) -> Array:
        return np.sort(self._apart(values), axis=-1).reshape(len(values), self.size)

    def measures(self) -> Mapping[str, Measure]:
        """The mean pinball loss, the error of the median, and the share of truths between the outer quantiles."""
        levels = np.array(self.levels)

        def pinball(answers: Array, y: Array) -> Array:
            missing = self._apart(y - answers)
            return np.asarray(np.maximum(levels * missing, (levels - 1) * missing).mean(axis=(1, 2)))

        def of_median(answers: Array, y: Array) -> Array:
            return np.asarray(np.abs(self._apart(y - answers)[..., self.levels.index(0.5)]).mean(axis=1))

        def inside(answers: Array, y: Array) -> Array:
            found, true = self._apart(answers), self._apart(y)[..., 0]
            return np.asarray(((true >= found[..., 0]) & (true <= found[..., -1])).mean(axis=1))

        found = {"pinball": Measure.mean_of(pinball, higher_is_better=False)}
        if 0.5 in self.levels:
            found["mae"] = Measure.mean_of(of_median, higher_is_better=False)
        if len(self.levels) > 1:
            found["coverage"] = Measure.mean_of(inside, unit="%")
        return found

    def trivial(self, y_train: Array, rows: int) -> Array:
        """The quantiles of the training rows."""
        targets = self._apart(y_train)[..., 0]
        return np.tile(np.quantile(targets, self.levels, axis=0).T.reshape(1, -1), (rows, 1))

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        return cls(tuple(spec["targets"]), tuple(spec["mean"]), tuple(spec["scale"]), tuple(spec["levels"]))

    def to_spec(self) -> dict[str, Any]:
        return {**super().to_spec(), "levels": list(self.levels)}


def check_levels(levels: Any, who: str) -> None:
    """Refuse levels that are no rising numbers between 0 and 1; raises ConfigError."""
    numbers = isinstance(levels, tuple) and all(
        isinstance(level, int | float) and not isinstance(level, bool) and 0 < level < 1 for level in levels
    )
    if not numbers or not levels or sorted(set(levels)) != list(levels):
        raise ConfigError(
            f"expected levels of {who} that rise and lie between 0 and 1, got {levels!r}",
            "for example quantiles(levels=[0.1, 0.5, 0.9])",
        )
