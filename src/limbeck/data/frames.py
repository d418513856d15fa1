"""Tables as limbeck takes them: plain column names, numbers as numbers, dates as days, everything else as text."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.core.kinds import suggest
from limbeck.data.labels import is_missing, text_of
from limbeck.data.rows import Array

MISSING_WORDS = (
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL",
    "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
_DAY = np.timedelta64(1, "D") / np.timedelta64(1, "ns")


def tidy(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The table with text as column names, a fresh index and dates as days since 1970; and what was changed, in words.

    Object columns that hold only numbers become float64. Raises ConfigError for repeated names and nested values.
    """
    names = refuse_twice(frame)
    frame = frame.reset_index(drop=True).set_axis(names, axis=1)
    dates, columns = [], {}
    for name in names:
        column = frame[name]
        if is_date(column):
            dates.append(name)
        columns[name] = _tidy_column(column, name)
    said = [f"dates in {', '.join(dates)} became days since 1970"] if dates else []
    return pd.DataFrame(columns, index=frame.index), said


def refuse_twice(frame: pd.DataFrame) -> list[str]:
    """The names of columns as text; raises ConfigError where one stands twice."""
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"expected distinct column names, got '{twice[0]}' twice", "rename one of the columns")
    return names


def _tidy_column(column: pd.Series, name: str) -> pd.Series:
    if is_date(column):
        return _days(column)
    if column.dtype != object:
        return column
    present = [value for value in column if not is_missing_cell(value)]
    nested = next((value for value in present if isinstance(value, list | tuple | dict | set | np.ndarray)), None)
    if nested is not None:
        raise ConfigError(
            f"expected numbers or text in column '{name}', got a {type(nested).__name__}",
            "leave the column out of `input`, or make one column of each entry",
        )
    if present and all(is_number(value) for value in present):
        exact = [value for value in present if isinstance(value, int) and abs(value) > 1 << 53]
        return column if exact else column.map(lambda v: np.nan if is_missing_cell(v) else float(v)).astype("float64")
    return column


def is_number(value: Any) -> bool:
    """Whether one cell is a number (true and false count)."""
    return isinstance(value, int | float | np.number | np.bool_ | Decimal)


def is_missing_cell(value: Any) -> bool:
    """Whether one cell of a table is missing; empty text is text."""
    return not isinstance(value, str) and is_missing(value)


def is_date(column: pd.Series) -> bool:
    """Whether a column holds dates, times or durations."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype) or pd.api.types.is_timedelta64_dtype(column.dtype):
        return True
    if column.dtype != object:
        return False
    present = column.dropna()
    return len(present) > 0 and pd.api.types.infer_dtype(present, skipna=True) in ("datetime", "date", "datetime64")


def _days(column: pd.Series) -> pd.Series:
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return pd.Series(column.dt.total_seconds() / 86400.0)
    stamps = pd.to_datetime(column, utc=True).dt.as_unit("ns")
    nanoseconds = stamps.to_numpy(dtype="datetime64[ns]").astype(np.int64) / _DAY
    return pd.Series(np.where(stamps.isna(), np.nan, nanoseconds), index=column.index)


def is_numeric(column: pd.Series) -> bool:
    """Whether a column of a tidied table is numeric; a pandas category never is.

    An object column is where all it holds is numbers: tidying leaves those with integers beyond float64 as they are.
    """
    if column.dtype == object:
        present = [value for value in column if not is_missing_cell(value)]
        return bool(present) and all(is_number(value) for value in present)
    return pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype)


def numbers(column: pd.Series, name: str) -> Array:
    """A column as float64 [N] with NaN for missing; raises ConfigError naming the first value that is no number."""
    if is_date(column):
        column = _days(column)
    if column.dtype != object and is_numeric(column):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    out = np.full(len(column), np.nan)
    for row, value in enumerate(column):
        if is_missing_cell(value) or (isinstance(value, str) and value in MISSING_WORDS):
            continue  # a column of a file that holds nothing but such words was read as text
        try:
            out[row] = float(value)
        except (TypeError, ValueError, OverflowError):
            raise ConfigError(
                f"expected numbers in column '{name}', got '{str(value)[:40]}' in row {row}",
                "the column holds numbers elsewhere: correct the value or leave it empty",
            ) from None
    return out


def like_column(train: pd.Series, column: pd.Series, name: str) -> dict[str, pd.Series]:
    """A column of another split as it is in train: text as numbers, numbers as text; nothing where they agree.

    Readers of files guess by split: "12" is a number in one file and text beside "unknown" in another.
    """
    if not len(column.dropna()) or not len(train.dropna()):
        return {}
    if is_numeric(train):
        return {} if is_numeric(column) else {name: pd.Series(numbers(column, name), index=column.index)}
    spelt = pd.api.types.is_string_dtype(train.dropna())
    if not spelt or not is_numeric(column):
        return {}
    values = [None if is_missing_cell(v) else cell_text(v) for v in column]
    return {name: pd.Series(values, index=column.index, dtype=object)}


def texts(column: pd.Series) -> tuple[Array, list[str]]:
    """A column as codes [N] (-1 for missing) into its distinct texts, in order of first appearance.

    Empty text counts as missing, because an exported model has no other way to say so.
    """
    if column.dtype == object:
        values = np.array([None if is_missing_cell(v) else cell_text(v) for v in column], dtype=object)
        column = pd.Series(values, dtype=object)
    codes, distinct = pd.factorize(column)
    names = [cell_text(value) for value in distinct]
    place = {name: i for i, name in enumerate(name for name in names if name)}
    merged = np.array([*(place.get(name, -1) for name in names), -1])
    return merged[np.asarray(codes)], list(place)


def cell_text(value: Any) -> str:
    """The text of a category: "3" for 3 and 3.0, text as it is (blanks and all)."""
    return value if isinstance(value, str) else text_of(value)


def pick(frame: pd.DataFrame, names: Iterable[str], where: str) -> pd.DataFrame:
    """The columns of a table by name; raises ConfigError with all that are missing, and "did you mean"."""
    known = [str(name) for name in frame.columns]
    wanted = list(names)
    missing = [name for name in wanted if name not in known]
    if missing:
        raise missing_columns(missing, known, where)
    return frame.set_axis(known, axis=1)[wanted]


def missing_columns(missing: list[str], known: list[str], where: str) -> ConfigError:
    """The error for columns that are not there."""
    word = "column" if len(missing) == 1 else "columns"
    hints = [f"for '{name}' {hint}" if len(missing) > 1 else hint for name in missing if (hint := suggest(name, known))]
    listed = ", ".join(known[:20]) + (f", ... ({len(known)})" if len(known) > 20 else "")
    return ConfigError(
        f"expected {word} {', '.join(repr(name) for name in missing)} in {where}, not found",
        " ".join([*hints, f"columns there: {listed}"]),
    )
