"""A LightGBM model read from its text, as a callable on raw rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.core.files import checksum

_BINARY = ("binary", "cross_entropy")


class BoostedFile:
    """Probabilities [N, C] of classes, values [N] of regression. Its columns are asked for by name where rows have
    names. Raises ConfigError for a text that LightGBM cannot read.
    """

    __slots__ = ("binary", "booster", "checksum", "columns")

    def __init__(self, path: Path) -> None:
        import lightgbm

        text = path.read_text(encoding="utf-8", errors="replace")
        try:
            self.booster: Any = lightgbm.Booster(model_str=text)
        except Exception as e:
            raise ConfigError(
                f"expected a model that LightGBM can read at {path}, got {type(e).__name__}: {e}",
                "write it again with booster.save_model('teacher.txt')",
            ) from e
        self.checksum = checksum(path)
        objective = next((line for line in text.splitlines() if line.startswith("objective=")), "objective=")
        self.binary = objective.removeprefix("objective=").split(" ")[0] in _BINARY
        self.columns = list(self.booster.feature_name())

    def __getstate__(self) -> dict[str, str]:
        return {"checksum": self.checksum}

    def __call__(self, inputs: Any) -> np.ndarray[Any, Any]:
        said = np.asarray(self.booster.predict(self._rows(inputs)))
        return np.stack([1 - said, said], axis=1) if self.binary else said[:, None] if said.ndim == 1 else said

    def _rows(self, inputs: Any) -> Any:
        if not hasattr(inputs, "columns"):
            return np.asarray(inputs, dtype=np.float64)
        missing = [name for name in self.columns if name not in inputs.columns]
        if missing:
            raise ConfigError(
                f"expected the columns {', '.join(self.columns)} for the LightGBM model, {', '.join(missing)} missing",
                "give the rows with the names of columns that it was trained on",
            )
        return inputs[self.columns]
