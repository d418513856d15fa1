"""What a split may be given as, and how it becomes raw inputs, raw labels and what else is known of a row.

Arrays, (X, y) or (X, y, ids), data frames, mappings of columns, torch and Hugging Face data sets, CSV, TSV, JSONL,
Parquet, NPZ, and a folder of images or clips with one folder for each class. Shards, and iterables without a length,
are streams: they are read once and lie on disk from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.data.audio.sources import as_audio
from limbeck.data.columns import Columns as Columns
from limbeck.data.columns import NamedColumns as NamedColumns
from limbeck.data.columns import guess_columns as guess_columns
from limbeck.data.datasets import of_dataset, of_hub
from limbeck.data.files import of_path
from limbeck.data.files import read_table as read_table
from limbeck.data.masks.sources import as_masked
from limbeck.data.parts import PARTS, parts_of
from limbeck.data.raw import Raw as Raw
from limbeck.data.raw import frame_inputs, guessed_from, inputs_of, named_labels, of_frame
from limbeck.data.rows import Inputs
from limbeck.data.streams.stream import as_stream, read_stream


def read(
    given: Any, columns: Columns | None, split: str, *, size: tuple[int, int] | None = None, rate: int | None = None
) -> Raw:
    """Read a split from whatever it was given as, clips at a sampling `rate`; raises ConfigError naming the split."""
    if (stream := as_stream(given)) is not None:
        return read_stream(stream, columns, split, size).checked(split)
    if (pictures := as_masked(given, columns, split, size)) is not None:
        return pictures.checked(split)
    if (sound := as_audio(given, columns, split, rate)) is not None:
        return sound.checked(split)
    return _read(given, columns, split, size).checked(split)


def _read(given: Any, columns: Columns | None, split: str, size: tuple[int, int] | None) -> Raw:
    if isinstance(given, Raw):
        return given
    if isinstance(given, str | Path):
        return of_path(Path(given), columns, split, size)
    if isinstance(given, pd.DataFrame):
        return of_frame(given, columns, split)
    if isinstance(given, tuple):
        return _of_tuple(given, split)
    if isinstance(given, Mapping):
        return of_frame(_of_mapping(given, split), columns, split)
    if hasattr(given, "column_names") and hasattr(given, "features"):
        return of_hub(given, columns, split, size)
    if not isinstance(given, np.ndarray | list | pd.Series) and not hasattr(given, "detach"):
        if not hasattr(given, "__getitem__") or not hasattr(given, "__len__"):
            raise ConfigError(
                f"expected {split} as arrays, a frame, a data set or a path, got {type(given).__name__}",
                "for example train=(X, y) or train='train.csv'",
            )
        if not hasattr(given, "tocsr"):  # a sparse matrix has no length; it is refused below
            return of_dataset(given, columns, split, size)
    return replace(Raw(*inputs_of(given, split)), columns=guessed_from(None))


def _of_tuple(given: tuple[Any, ...], split: str) -> Raw:
    if not 1 <= len(given) <= 3:
        raise ConfigError(
            f"expected {split} as (X,), (X, y) or (X, y, ids), got a tuple of {len(given)}", "leave the others out"
        )
    x, y, ids = (*given, None, None)[:3]
    notes: list[str] = []
    inputs: Inputs
    if isinstance(x, Mapping):
        inputs, notes = parts_of(x, split)
        kind = PARTS
    elif isinstance(x, pd.DataFrame):
        kind, inputs, notes = frame_inputs(x, split)
    else:
        kind, inputs = inputs_of(x, split)
    labels, names = named_labels(y) if y is not None else ({}, {})
    return Raw(
        kind, inputs, labels, names, None if ids is None else np.asarray(ids), notes=tuple(notes),
        columns=guessed_from(y),
    )  # fmt: skip


def _of_mapping(given: Mapping[Any, Any], split: str) -> pd.DataFrame:
    """A mapping of columns as a table; of splits (a Hugging Face DatasetDict) it is refused."""
    if any(hasattr(value, "column_names") or isinstance(value, pd.DataFrame) for value in given.values()):
        raise ConfigError(
            f"expected one split for {split}, got a mapping of several ({', '.join(map(str, given))})",
            "give each split by its name: train=sets['train'], test=sets['test']",
        )
    try:
        return pd.DataFrame({str(name): values for name, values in given.items()})
    except ValueError as e:
        raise ConfigError(f"expected columns of one length in {split}, got: {e}", "give one entry a row") from e
