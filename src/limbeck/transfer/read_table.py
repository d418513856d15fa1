"""Tables of predictions as files: CSV, JSONL, Parquet, NPZ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.core.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

KEY = "key"


def check_file(path: Path) -> None:
    """Refuse a file that is not there, or of another kind; raises ConfigError."""
    if path.suffix.lower() not in _READERS or not path.is_file():
        raise ConfigError(
            f"expected a table of predictions as a file {', '.join(_READERS)}, got {path}"
            + ("" if path.is_file() else ", which is not there"),
            "write the predictions as one of these, one row per example",
        )


def read_table(path: Path, id_column: str) -> pd.DataFrame:
    """Read a file; ids keep the text that stands there. Raises ConfigError where it cannot be read."""
    check_file(path)
    try:
        return _READERS[path.suffix.lower()](path, id_column)
    except ConfigError:
        raise
    except Exception as error:  # whatever the reader of a format finds wrong
        first = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"expected a table of predictions in {path}, it cannot be read: {first}",
            f"write it again as {path.suffix.lower().removeprefix('.')}, one row per example",
        ) from error


def _read_csv(path: Path, id_column: str) -> pd.DataFrame:
    from limbeck.data.files import read_separated

    return read_separated(path, texts=(id_column, KEY))


def _read_lines(path: Path, id_column: str) -> pd.DataFrame:
    import pandas as pd

    return pd.read_json(path, lines=True, dtype=False)  # ids keep the type that they have


def _read_parquet(path: Path, id_column: str) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(path)


def _read_arrays(path: Path, id_column: str) -> pd.DataFrame:
    """One column for each array [N], and lists for each array [N, C]."""
    import numpy as np
    import pandas as pd

    with np.load(path, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    lengths = {name: len(values) if values.ndim else 0 for name, values in found.items()}
    if len(set(lengths.values())) != 1:
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ConfigError(
            f"expected arrays of one length in {path}, got {shown or 'none'}",
            f"write '{id_column}' [N] and an array [N, C] for each task, named as the task",
        )
    return pd.DataFrame({n: list(values) if values.ndim > 1 else values for n, values in found.items()})


_READERS: dict[str, Callable[[Path, str], pd.DataFrame]] = {
    ".csv": _read_csv, ".parquet": _read_parquet, ".jsonl": _read_lines, ".npz": _read_arrays,
}  # fmt: skip
