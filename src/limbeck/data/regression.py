"""Regression: numbers that training sees standardised and users see in natural units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.entries import known_entries, with_gaps
from limbeck.data.labels import as_labels, check_names, listed, present, text_of
from limbeck.data.rows import Array, Rows
from limbeck.data.task import TaskKind


@dataclass(frozen=True)
class Regression(TaskKind):
    """K numbers; training sees (y - mean) / scale, users and files see natural units."""

    targets: tuple[str, ...] = ("y",)
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    kind: ClassVar[str] = "regression"
    metrics: ClassVar[tuple[str, ...]] = ("r2", "rmse", "mae")
    hard: ClassVar[str] = "MSE"
    objective: ClassVar[str] = "0.1 * MSE + 0.9 * L2KD"
    natural: ClassVar[bool] = True
    answers_as: ClassVar[str] = "regression"

    def __post_init__(self) -> None:
        check_names(self.targets, "targets", at_least=1)
        if not len(self.targets) == len(self.mean) == len(self.scale) or min(self.scale) <= 0:
            raise ConfigError(
                f"expected a mean and a scale above 0 for each of {len(self.targets)} targets, "
                f"got means {self.mean} and scales {self.scale}"
            )

    @classmethod
    def fit(cls, raw: Any, names: Sequence[str] | None = None) -> Self:
        """The task whose mean and scale (standard deviation, 1 where constant) are those of the labels given."""
        values = real_matrix(raw)
        width = values.shape[1]
        found = tuple(names) if names else ("y",) if width == 1 else tuple(f"y{i}" for i in range(width))
        known = known_entries(values)
        if not known.any():
            raise ConfigError("expected labelled rows for a regression task, got none", "give training labels")
        if silent := [name for name, there in zip(found, np.asarray(known.any(axis=0)), strict=True) if not there]:
            raise ConfigError(
                f"expected training rows with a value of every target, none of {len(values)} has one of "
                f"{listed(silent)}",
                "leave the column out, or give rows in which it is known",
            )
        mean, scale = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        scale[~(scale > 1e-12 * np.maximum(np.abs(mean), 1e-300))] = 1.0
        return cls(found, tuple(map(float, mean)), tuple(map(float, scale)))

    @property
    def names(self) -> tuple[str, ...]:
        return self.targets

    @property
    def size(self) -> int:
        """Width of the output, K."""
        return len(self.targets)

    def encode(self, raw: Any) -> tuple[Array, Array]:
        """Standardised float32 [N, K] and mask bool [N]; raises ConfigError for text and infinite numbers.

        A row has a label where one of its entries is known; its unknown entries are NaN.
        """
        values = real_matrix(raw)
        if values.shape[1] != len(self.targets):
            raise ConfigError(
                f"expected {len(self.targets)} target columns ({listed(self.targets)}), got {values.shape[1]}",
                "give one column per target, in their order",
            )
        values, mask = with_gaps(values, known_entries(values))
        return self.training_targets(values).astype(np.float32), mask

    def to_training(self, values: Any) -> Any:
        """Natural units -> standardised; numpy or torch [..., K]."""
        mean, scale = self._constants(values)
        return (values - mean) / scale

    def to_natural(self, values: Any) -> Any:
        """Standardised -> natural units; numpy or torch [..., K]."""
        mean, scale = self._constants(values)
        return values * scale + mean

    def _constants(self, values: Any) -> tuple[Any, Any]:
        if isinstance(values, np.ndarray):
            dtype = values.dtype if values.dtype.kind == "f" else np.float64
            return np.asarray(self.mean, dtype), np.asarray(self.scale, dtype)
        return values.new_tensor(self.mean), values.new_tensor(self.scale)

    def refit(self, natural: Array) -> Self:
        """The same task, scaled by other targets [M, K] in natural units."""
        fitted = Regression.fit(natural, self.targets)
        return replace(self, mean=fitted.mean, scale=fitted.scale)

    def natural_targets(self, targets: Any) -> Any:
        """Standardised targets [..., K] -> natural units."""
        return Regression.to_natural(self, targets)

    def training_targets(self, natural: Any) -> Any:
        """Targets in natural units [..., K] -> standardised."""
        return Regression.to_training(self, natural)

    def predict(self, values: Any) -> Array:
        """Natural units [N] (or [N, K] for several targets) of standardised values [N, K]."""
        natural = np.asarray(self.to_natural(np.asarray(values)))
        return natural[..., 0] if self.size == 1 else natural

    def truth(self, rows: Rows, head: str, corpus: Rows | None = None) -> Array:
        """Natural units [N, K]."""
        return np.asarray(self.natural_targets(rows.targets[head]))

    @classmethod
    def of(cls, raw: Any, names: Sequence[str] | None, columns: Sequence[str]) -> Self:
        """The task whose scale is that of the labels; raises ConfigError for names of another number of targets."""
        values = as_labels(raw)
        width = values.shape[1] if values.ndim == 2 else 1
        if names is not None and len(names) != width:
            raise ConfigError(
                f"expected no classes for a regression task of {width} targets, got {len(names)} ({listed(names)})",
                "leave classes out, or name one for each target",
            )
        named = tuple(columns) if values.ndim == 2 and len(columns) == width else None
        return cls.fit(raw, tuple(names) if names else named)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        return cls(tuple(spec["targets"]), tuple(spec["mean"]), tuple(spec["scale"]))

    def to_spec(self) -> dict[str, Any]:
        spec = {"kind": self.kind, "targets": list(self.targets)}
        return {**spec, "mean": list(self.mean), "scale": list(self.scale)}


def real_matrix(raw: Any) -> Array:
    """Numbers float64 [N, K] of raw regression labels; raises ConfigError naming the first that is none."""
    values = as_labels(raw)
    if values.dtype.kind == "O":
        out = np.full(values.shape, np.nan)
        for place in np.argwhere(present(values.reshape(-1)).reshape(values.shape)):
            try:
                out[tuple(place)] = float(values[tuple(place)])
            except (TypeError, ValueError):
                raise ConfigError(
                    f"expected numbers for a regression task, got '{text_of(values[tuple(place)])}' in row {place[0]}",
                    "correct the value, or use task='classification'",
                ) from None
        values = out
    values = values.astype(np.float64).reshape(len(values), -1)
    infinite = np.flatnonzero(np.isinf(values).any(axis=1))
    if len(infinite):
        raise ConfigError(
            f"expected finite regression targets, got an infinite one in row {infinite[0]}",
            "leave the row out or clip its target",
        )
    return values
