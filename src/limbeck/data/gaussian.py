"""Heteroscedastic regression: a mean and a spread for each number, so that a model says how sure it is.

Nix and Weigend, Estimating the Mean and Variance of the Target Probability Distribution, 1994; Kendall and Gal,
arXiv:1703.04977. In training an answer is a standardised mean and a log variance, which can be any number; on disk,
towards the user and from a teacher it is a mean and a standard deviation in natural units, [N, 2·K], side by side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.regression import Regression
from limbeck.data.rows import Array, Rows
from limbeck.data.task import Measure
from limbeck.signals import LOG_VARIANCE

_NORMAL_90 = 1.6448536269514722  # standard deviations to either side that hold 90 %


@dataclass(frozen=True)
class Gaussian(Regression):
    """Mean and standard deviation of K numbers."""

    kind: ClassVar[str] = "gaussian"
    metrics: ClassVar[tuple[str, ...]] = ("nll", "rmse", "coverage")
    hard: ClassVar[str] = "GaussianNLL"
    objective: ClassVar[str] = "0.1 * GaussianNLL + 0.9 * GaussianKD"
    judged_as: ClassVar[str] = "regression"
    spread: ClassVar[bool] = True

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{target} {part}" for target in self.targets for part in ("mean", "sd"))

    @property
    def size(self) -> int:
        """Width of the output, 2·K."""
        return 2 * len(self.targets)

    def to_training(self, values: Any) -> Any:
        """Means and standard deviations in natural units -> standardised means and log variances [..., 2·K].

        Raises ConfigError for a standard deviation that is not above 0.
        """
        means, spreads = values[..., 0::2], values[..., 1::2]
        if not bool((spreads > 0).all()):
            raise ConfigError(
                f"expected a mean and a standard deviation above 0 for each of {', '.join(self.targets)}, side by "
                "side, got one of 0 or less",
                "a teacher that says log variances v must give exp(v / 2)",
            )
        mean, scale = self._constants(values)
        return _beside((means - mean) / scale, _limited(2 * _log(spreads / scale)))

    def to_natural(self, values: Any) -> Any:
        """Standardised means and log variances -> means and standard deviations in natural units [..., 2·K]."""
        mean, scale = self._constants(values)
        logs = _limited(values[..., 1::2]) / 2
        spreads = np.exp(logs) if isinstance(logs, np.ndarray) else logs.exp()
        return _beside(values[..., 0::2] * scale + mean, spreads * scale)

    def unlabelled(self, rows: int) -> Array:
        """Targets float32 [N, K] of 0."""
        return np.zeros((rows, len(self.targets)), dtype=np.float32)

    def predict(self, values: Any) -> Array:
        """Means and standard deviations in natural units [N, 2·K]."""
        return np.asarray(self.to_natural(np.asarray(values)))

    def truth(self, rows: Rows, head: str, corpus: Rows | None = None) -> Array:
        """Natural units [N, 2·K]: each target, and 0 beside its standard deviation, which has no truth."""
        y = super().truth(rows, head)
        return np.asarray(_beside(y, np.zeros_like(y)))

    def measures(self) -> Mapping[str, Measure]:
        """The negative log likelihood, the error of the mean, and the share of truths in the central 90 %."""

        def likelihood(answers: Array, y: Array) -> Array:
            spread = np.maximum(answers[:, 1::2].astype(np.float64), 1e-30)
            far = (y[:, 0::2] - answers[:, 0::2]) / spread
            return np.asarray((np.log(spread) + far**2 / 2).mean(axis=1) + math.log(2 * math.pi) / 2)

        def error(answers: Array, y: Array, weights: Array | None) -> float:
            squares = np.average((y[:, 0::2] - answers[:, 0::2]) ** 2, axis=0, weights=weights)
            return float(np.sqrt(squares).mean())

        def inside(answers: Array, y: Array) -> Array:
            return np.asarray((np.abs(y[:, 0::2] - answers[:, 0::2]) <= _NORMAL_90 * answers[:, 1::2]).mean(axis=1))

        return {
            "nll": Measure.mean_of(likelihood, higher_is_better=False),
            "rmse": Measure(error, higher_is_better=False),
            "coverage": Measure.mean_of(inside, unit="%"),
        }

    def trivial(self, y_train: Array, rows: int) -> Array:
        """Mean and standard deviation of the training rows."""
        y = y_train[:, 0::2]
        spread = np.maximum(y.std(axis=0), math.exp(-LOG_VARIANCE / 2) * np.asarray(self.scale))
        return np.tile(_beside(y.mean(axis=0), spread), (rows, 1))


def _beside(left: Any, right: Any) -> Any:
    """Numbers of two arrays or tensors [..., K] in turn, [..., 2·K]."""
    shape = (*left.shape[:-1], 2 * left.shape[-1])
    if isinstance(left, np.ndarray):
        return np.stack([left, right], axis=-1).reshape(shape)
    import torch

    return torch.stack([left, right], dim=-1).reshape(shape)


def _log(values: Any) -> Any:
    return np.log(values) if isinstance(values, np.ndarray) else values.log()


def _limited(values: Any) -> Any:
    return values.clip(-LOG_VARIANCE, LOG_VARIANCE)
