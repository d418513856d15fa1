"""Files that verbs are given: whether they are there, and tables to write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.core.errors import ConfigError, Problem
from limbeck.core.kinds import suggest

if TYPE_CHECKING:
    import pandas as pd


def existing(paths: Mapping[str, str | Path]) -> None:
    """Refuse files that are not there, all at once; `paths` is option -> path."""
    problems = []
    for option, text in paths.items():
        path = Path(text)
        if not path.exists():
            names = [found.name for found in path.parent.iterdir()] if path.parent.is_dir() else []
            problems.append(Problem(option, f"{path} does not exist", suggest(path.name, names)))
    if problems:
        raise ConfigError.of(problems, "the command line")


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table by the ending of its name: .csv, .jsonl or .parquet; durably."""
    from limbeck.core.files import commit

    if path.suffix == ".parquet":
        commit(path, lambda file: frame.to_parquet(file, index=False))
    elif path.suffix == ".jsonl":
        commit(path, lambda file: frame.to_json(file, orient="records", lines=True, force_ascii=False))
    elif path.suffix == ".csv":
        commit(path, lambda file: frame.to_csv(file, index=False))
    else:
        raise ConfigError(f"expected a table ending in .csv, .jsonl or .parquet, got {path.name}")


def answers_table(answers: Any) -> pd.DataFrame:
    """What `predict` gave, as a table: one column per task, or one per label or value of it."""
    import numpy as np
    import pandas as pd

    columns = {}
    for head, values in answers.items() if isinstance(answers, Mapping) else [("prediction", answers)]:
        found = np.asarray(values)
        if found.ndim == 1:
            columns[head] = found
        else:
            columns |= {f"{head}.{n}": found[:, n] for n in range(found.shape[1])}
    return pd.DataFrame(columns)


def read_inputs(text: str) -> Any:
    """Inputs from a file: a table as a DataFrame, an NPZ file or a folder of images as an array [N, ...]."""
    import numpy as np
    import pandas as pd

    path = Path(text)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[arrays.files[0]]
    if path.suffix == ".csv":
        return pd.read_csv(path)
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_json(path, lines=True)
