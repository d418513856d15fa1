"""Small data sets that come with scikit-learn: no download, no network."""

from __future__ import annotations

from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.core.kinds import suggest
from limbeck.data.rows import Array

BUILTIN = ("digits", "breast_cancer", "wine", "iris", "diabetes")


def load(name: str) -> tuple[Array, Any]:
    """Inputs float32 [N, D] and labels of a built-in set; raises ConfigError for an unknown one."""
    if name not in BUILTIN:
        raise ConfigError(
            f"expected a built-in data set, got '{name}'", suggest(name, BUILTIN) or f"known: {', '.join(BUILTIN)}"
        )
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    x = np.asarray(found.data, dtype=np.float32)
    names = getattr(found, "target_names", None)
    y = found.target
    return x, np.asarray(names)[y] if names is not None and name != "digits" else y
