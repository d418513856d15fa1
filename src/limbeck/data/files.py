"""Splits in files: CSV, TSV, JSONL, Parquet, NPZ, and folders of images."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError, LimbeckError
from limbeck.core.kinds import suggest
from limbeck.data.columns import LABELS, Columns, NamedColumns, input_names, targets_of
from limbeck.data.frames import MISSING_WORDS, missing_columns
from limbeck.data.images import of_folder
from limbeck.data.labels import as_labels
from limbeck.data.parts import PARTS, columns_of_parts, parts_of
from limbeck.data.raw import Raw, inputs_of, of_frame
from limbeck.data.rows import Array, Inputs
from limbeck.signals import MAIN

_INPUTS = ("image", "img", "pixel_values", "x", "X", "images", "inputs")


def of_path(path: Path, columns: Columns | None, split: str, size: tuple[int, int] | None) -> Raw:
    """A split from a file or folder; raises ConfigError for what is not there or cannot be read."""
    if path.is_dir():
        return of_folder(path, split, size)
    if not path.is_file():
        near = suggest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise ConfigError(f"expected {split} at {path}, there is no such file", near or "check the path")
    if path.suffix.lower() == ".npz":
        return _of_npz(path, columns, split)
    return of_frame(read_table(path), columns, split, base=path.parent)


def read_table(path: Path) -> pd.DataFrame:
    """A CSV, TSV, JSONL or Parquet file as a table; raises ConfigError for others and for files that cannot be read."""
    readers: dict[str, Any] = {
        ".csv": lambda p: _read_text(p, ","), ".tsv": lambda p: _read_text(p, "\t"), ".parquet": pd.read_parquet,
        ".jsonl": _read_lines,
    }  # fmt: skip
    ending = path.suffix.lower()
    if ending not in readers:
        raise ConfigError(
            f"expected a table ending in {', '.join(readers)}, got {path.name}", "or .npz, or a folder of images"
        )
    try:
        frame: pd.DataFrame = readers[ending](path)
    except LimbeckError:
        raise
    except Exception as e:
        raise _unreadable(path, e) from e
    return frame


def _unreadable(path: Path, error: Exception) -> ConfigError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ConfigError(
        f"expected a table that can be read at {path}, got: {reason}",
        f"it may be empty, cut short, or not what {path.suffix.lower()} says",
    )


def _read_text(path: Path, separator: str) -> pd.DataFrame:
    _refuse_header(path, separator)
    return read_separated(path, separator)


def _refuse_header(path: Path, separator: str) -> None:
    """Refuse a header with a name twice, too few names, or another separator; raises ConfigError."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = list(islice((row for row in csv.reader(file, delimiter=separator) if row), 2))
    names = first[0] if first else []
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:  # pandas would rename the second one and say nothing
        raise ConfigError(
            f"expected distinct column names in {path}, got '{twice[0]}' twice", "rename one of the columns"
        )
    if len(first) == 2 and len(first[1]) > len(names):  # pandas would take the first field as the name of a row
        raise ConfigError(
            f"expected {len(names)} fields in every row of {path}, as in its header, got {len(first[1])}",
            "put text with the separator in it into quotes",
        )
    other = next((s for s in (";", "\t", ",", "|") if len(names) == 1 and s != separator and s in names[0]), None)
    if other is not None:
        raise ConfigError(
            f"expected columns separated by {separator!r} in {path}, its header reads '{names[0][:60]}'",
            "save it with commas as .csv or with tabs as .tsv, or give the frame that pandas reads",
        )


def read_separated(path: Path, separator: str = ",", texts: Collection[str] = ()) -> pd.DataFrame:
    """A CSV or TSV file; "NA" and its like are missing in a column of numbers and words elsewhere.

    An empty field is always missing; the columns named in `texts` stay the text that stands there ("007" is not 7).
    """
    frame = pd.read_csv(
        path, sep=separator, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(texts, str), low_memory=False
    )
    return _with_words(frame, texts)


def _with_words(frame: pd.DataFrame, texts: Collection[str] = ()) -> pd.DataFrame:
    """The table with the missing words of its columns of numbers as missing."""
    return frame.assign(**{
        name: _without_words(frame[name])
        for name in frame.columns
        if name not in texts and (frame[name].dtype == object or pd.api.types.is_string_dtype(frame[name].dtype))
    })  # fmt: skip


def tables_in(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    """A CSV, TSV, JSONL or Parquet file in tables of so many rows; raises ConfigError where it cannot be read."""
    ending = path.suffix.lower()
    try:
        if ending == ".parquet":
            import pyarrow.parquet as pq

            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=rows):
                    yield batch.to_pandas()
        elif ending == ".jsonl":
            with path.open(encoding="utf-8-sig") as lines:
                records = _records(lines)
                while held := list(islice(records, rows)):
                    yield pd.DataFrame(held)
        else:
            separator = "," if ending == ".csv" else "\t"
            _refuse_header(path, separator)
            with pd.read_csv(
                path, sep=separator, keep_default_na=False, na_values=[""], low_memory=False, chunksize=rows
            ) as parts:
                for frame in parts:
                    yield _with_words(frame)
    except (LimbeckError, GeneratorExit):
        raise
    except Exception as e:
        raise _unreadable(path, e) from e


def _without_words(column: pd.Series) -> pd.Series:
    """Numbers (or true and false) with NaN for the missing words, where there is nothing else; else the column."""
    there = column.notna() & ~column.isin(MISSING_WORDS)
    given = column[there]
    if given.empty:  # words alone may be a category
        return column
    if given.isin(("True", "TRUE", "true", "False", "FALSE", "false")).all():
        return (column.str.lower() == "true").astype(object).where(there, np.nan)
    found = pd.to_numeric(given, errors="coerce")
    return column if found.isna().any() else found.reindex(column.index).astype(np.float64)


def _read_lines(path: Path) -> pd.DataFrame:
    """One JSON object a line; JSON says itself what is text, so that "007" stays text and no date is guessed."""
    with path.open(encoding="utf-8-sig") as file:
        return pd.DataFrame(list(_records(file)))


def _records(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as e:
            raise ValueError(f"line {number}: {e}") from e
        if not isinstance(record, dict):
            raise ValueError(f"line {number}: a {type(record).__name__} where an object is expected")
        yield record


def _of_npz(path: Path, columns: Columns | None, split: str) -> Raw:
    arrays = _load_npz(path)
    chosen = columns if columns is not None else NamedColumns()
    targets = targets_of(chosen)
    if not targets:
        label = next((n for n in (*LABELS, "mask", "masks") if n in arrays), None)
        targets = {MAIN: (label,)} if label else {}
    labelled = [name for names in targets.values() for name in names]
    beside = {name: getattr(chosen, name) for name in ("id", "group", "weight")}
    found = list(input_names(chosen)) or [next((n for n in _INPUTS if n in arrays), "x")]
    wanted = [*found, *(labelled if split != "unlabeled" else ())]
    wanted += [name for name in beside.values() if name is not None and split == "train"]
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise missing_columns(missing, list(arrays), str(path))
    kind, inputs, notes = _npz_inputs(arrays, chosen, found, split, path)
    labels = {} if split == "unlabeled" else {head: _labels(arrays, names) for head, names in targets.items()}
    ids, groups, weight = (arrays.get(name) if name is not None else None for name in beside.values())
    return Raw(kind, inputs, labels, {h: n for h, n in targets.items() if len(n) > 1}, ids, groups, weight, notes)


def _npz_inputs(
    arrays: Mapping[str, Array], columns: Columns, found: list[str], split: str, path: Path
) -> tuple[str, Inputs, tuple[str, ...]]:
    if not isinstance(columns.inputs, Mapping):
        return *inputs_of(_side_by_side(arrays, found, path), split), ()
    wanted = columns_of_parts(columns.inputs)
    parts, said = parts_of({n: _side_by_side(arrays, list(each), path) for n, each in wanted.items()}, split)
    return PARTS, parts, tuple(said)


def _load_npz(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except ValueError as e:
        raise ConfigError(f"expected plain arrays in {path}, got: {e}", "save numbers or text, not objects") from e
    except Exception as e:
        raise ConfigError(
            f"expected an NPZ file at {path}, got: {str(e) or type(e).__name__}", "it may be empty or cut short"
        ) from e


def _labels(arrays: Mapping[str, Array], names: tuple[str, ...]) -> Array:
    return as_labels(arrays[names[0]] if len(names) == 1 else np.stack([arrays[name] for name in names], axis=1))


def _side_by_side(arrays: Mapping[str, Array], names: list[str], path: Path) -> Array:
    if len(names) == 1:
        return arrays[names[0]]
    odd = next((name for name in names if arrays[name].shape != arrays[names[0]].shape or arrays[name].ndim != 1), None)
    if odd is not None:
        raise ConfigError(
            f"expected several inputs in {path} as columns of one length, got '{odd}' of shape {arrays[odd].shape}",
            "name one array, or save the columns side by side in one",
        )
    return np.stack([arrays[name] for name in names], axis=1)
