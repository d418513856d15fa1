"""Raw labels as users write them: which are missing, their text form, and how several are read from one cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.data.masks.arrays import as_masks
from limbeck.data.rows import Array

_SEPARATORS = re.compile(r"[|;]")


def as_labels(raw: Any) -> Array:
    """Labels as an array: numbers [N] or [N, L], or objects [N] (text, None, lists of names, masks [H, W]).

    Raises ConfigError for dates, single values and more than two dimensions.
    """
    if (masks := as_masks(raw)) is not None:
        return masks
    if isinstance(raw, pd.Series | pd.DataFrame | pd.Index | pd.Categorical):
        values = np.asarray(raw.to_numpy())
    elif isinstance(raw, list | tuple):
        values = _of_list(raw)
    else:
        values = np.asarray(raw)
    if values.dtype.kind in "SUO":
        values = values.astype(object)
        if values.ndim == 1 and any(isinstance(v, np.ndarray) for v in values):
            values = _of_list([v.tolist() if isinstance(v, np.ndarray) else v for v in values])
    _refuse(raw, values)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    return values


def _refuse(raw: Any, values: Array) -> None:
    if values.ndim == 0:
        raise ConfigError(f"expected one label per row, got the single value {raw!r}", "give a list or array of labels")
    if values.ndim > 2:
        raise ConfigError(
            f"expected labels [N] or [N, L], got shape {values.shape}", "give several outputs as a mapping of tasks"
        )
    kinds = {type(v).__name__ for v in values.reshape(-1)[:1000]} if values.dtype.kind == "O" else set()
    dates = kinds & {"Timestamp", "datetime", "date", "Timedelta", "timedelta"}
    if values.dtype.kind in "mM" or dates:
        raise ConfigError("expected labels as text or numbers, got dates", "turn them into numbers, such as days")


def _of_list(raw: Sequence[Any]) -> Array:
    if any(isinstance(v, list | tuple | set | frozenset) for v in raw):
        with suppress(ValueError, TypeError):  # lists of several lengths, or cells without one: names, not a matrix
            matrix = np.array([list(v) for v in raw])
            if matrix.ndim == 2 and matrix.dtype.kind in "biuf":
                return matrix
            if matrix.ndim == 2 and matrix.shape[1] > 1 and _numbers_and_gaps(matrix):
                return np.asarray(matrix, dtype=np.float64)  # None is NaN
        out = np.empty(len(raw), dtype=object)
        out[:] = [list(v) if isinstance(v, set | frozenset | tuple) else v for v in raw]
        return out
    kinds = {type(v) for v in raw}
    if kinds & {str, type(None)} or (bool in kinds and len(kinds) > 1):  # NumPy makes text of NaN, and 1 of True
        out = np.empty(len(raw), dtype=object)
        out[:] = list(raw)
        return out
    return np.asarray(raw)


def _numbers_and_gaps(matrix: Array) -> bool:
    """Whether the entries of a matrix of objects are numbers, some of them missing."""
    entries = matrix.reshape(-1).tolist()
    return all(v is None or isinstance(v, bool | int | float | np.number) for v in entries) and any(
        v is not None for v in entries
    )


def is_missing(value: Any) -> bool:
    """Whether one raw label says that there is none: None, NaN, NaT, NA or empty text."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, str) and not value.strip()):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def present(values: Array) -> Array:
    """Which rows have a label: bool [N]; a row of a matrix has one where no entry is missing."""
    if values.dtype.kind == "f":
        there = np.asarray(~np.isnan(values))
    elif values.dtype.kind == "O":
        there = np.array([not is_missing(v) for v in values.reshape(-1)], dtype=bool).reshape(values.shape)
    else:
        there = np.ones(values.shape, dtype=bool)
    return there if there.ndim == 1 else np.asarray(there.reshape(len(values), -1).all(axis=1))


def numbers_of(values: Array) -> Array:
    """A matrix of labels [N, L] as float64 with NaN for missing; raises ConfigError naming the first text."""
    if values.dtype.kind != "O":
        return np.asarray(values, dtype=np.float64)
    out = np.full(values.shape, np.nan)
    for place in np.ndindex(values.shape):
        if is_missing(values[place]):
            continue
        try:
            out[place] = float(values[place])
        except (TypeError, ValueError):
            raise ConfigError(
                f"expected numbers where a task has several label columns, got '{text_of(values[place])}' "
                f"in row {place[0]}",
                "for several tasks name each: target={'first': 'column', 'second': 'other column'}",
            ) from None
    return out


def text_of(value: Any) -> str:
    """The name of a class: "3" for 3, 3.0 and "3"; "True" for True; text as it is, without outer blanks."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    return str(value).strip()


def texts_of(values: Array) -> Array:
    """Names of classes for labels [N] that are all there (objects); raises ConfigError for lists of them."""
    if values.dtype.kind == "O" and any(isinstance(v, list | tuple | set | dict) for v in values):
        raise ConfigError("expected one class for each row, got a list of them", "use task='multilabel'")
    codes, uniques = pd.factorize(values)
    if values.dtype.kind == "O":  # a factorised object array merges 1 and True: name them one by one
        return np.array([text_of(v) for v in values], dtype=object)
    return np.array([text_of(v) for v in uniques], dtype=object)[codes]


def sorted_names(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct names in a fixed order: numbers by value where all are numbers, else by code point."""
    distinct = set(names)
    try:
        return tuple(sorted(distinct, key=lambda name: (float(name), name)))
    except ValueError:
        return tuple(sorted(distinct))


def whole_numbers(names: Iterable[str]) -> bool:
    """Whether every name is an integer in its plain spelling."""
    return all(name.lstrip("-").isdecimal() and str(int(name)) == name for name in names)


def names_in(cell: Any) -> list[str]:
    """The label names in one cell: a list, a set, or text with | or ; between the names."""
    if isinstance(cell, str):
        return [part.strip() for part in _SEPARATORS.split(cell) if part.strip()]
    if isinstance(cell, list | tuple | set | frozenset | np.ndarray):
        return [text_of(part) for part in cell]
    return [text_of(cell)]


def check_names(names: tuple[str, ...], what: str, at_least: int) -> None:
    """Refuse too few names, and the same name twice."""
    if len(names) < at_least:
        found = f" ('{names[0]}')" if names else ""
        raise ConfigError(
            f"expected at least {at_least} {what}, got {len(names)}{found}",
            "check that labels are in the right column and that training rows of every class are there",
        )
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ConfigError(f"expected distinct {what}, got '{twice[0]}' twice", f"name each of the {what} once")


def listed(names: Sequence[str]) -> str:
    """The first names, and how many there are."""
    shown = ", ".join(names[:6])
    return shown if len(names) <= 6 else f"{shown}, ... ({len(names)})"
