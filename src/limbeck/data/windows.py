"""Windows of a long table of times: a stretch of the past as the input, the steps behind it as the targets.

    splits = windows("load.csv", target="load", time="hour", history=96, horizon=24)
    data = lb.Data(**splits, task="quantiles")

Inputs are views into the one table [C, L], so that overlapping windows cost no memory before they are encoded; those of
a split that would be large are encoded as they are asked for, as rows of a stream are. Splits are stretches of time,
train before validation before test: the steps that a window is to forecast lie inside its split, its past may reach
back into the one before, as it would be known at that time. Windows that overlap are alike: those of a stretch as long
as one window are a group, so that intervals do not take them for as many independent rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.core.kinds import suggest
from limbeck.data.columns import NamedColumns
from limbeck.data.layouts import ArrayLayout
from limbeck.data.ondisk import DiskArray
from limbeck.data.raw import Raw
from limbeck.data.rows import Array, Inputs
from limbeck.data.stretches import MemoryPart
from limbeck.data.window_spec import WindowSpec
from limbeck.signals import MAIN

HELD = 256 << 20  # bytes of the windows of a split above which they are cut when they are asked for, a batch at a time


def windows(
    train: Any,
    test: Any = None,
    *,
    target: str | Sequence[str],
    history: int,
    horizon: int = 1,
    stride: int = 1,
    inputs: Sequence[str] = (),
    time: str | None = None,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.2,
) -> dict[str, Raw]:
    """Splits train, validation and test for `lb.Data` of a table (a frame, a mapping of columns, or a path).

    Each has `inputs` [N, C, history], `labels` [N, K·H] and `groups` [N].

    `test` is a table of later times; without it the last `test_fraction` of the rows are the test. Targets of several
    steps are named "load+1", "load+2", ... Raises ConfigError for columns that are not there or hold no numbers, for
    gaps, and for times that are out of order or unevenly spaced.
    """
    spec = WindowSpec(
        target=target if isinstance(target, str) else tuple(target), history=history, horizon=horizon, stride=stride,
        inputs=tuple(inputs), time=time,
    )  # fmt: skip
    return cut(spec, train, test, validation_fraction=validation_fraction, test_fraction=test_fraction)


def cut(
    spec: WindowSpec, train: Any, test: Any = None, *, validation_fraction: float = 0.2, test_fraction: float = 0.2
) -> dict[str, Raw]:
    """The splits of a table by a spec; see `windows`."""
    table = _table(train)
    length = len(table)
    ends = [length]
    if test is not None:
        later = _table(test)
        table = pd.concat([table, later[[name for name in table.columns if name in later.columns]]], ignore_index=True)
        ends.append(len(table))
    else:
        ends = [length - round(test_fraction * length), length]
    first = ends[0] - round(validation_fraction * ends[0])
    series = _numbers(table, _inputs(table, spec), "inputs")
    truth = _numbers(table, spec.targets, "target")
    if spec.time is not None:
        refuse_times(table, spec.time)
    borders = {"train": (0, first), "validation": (first, ends[0]), "test": (ends[0], ends[1])}
    return {split: _split(spec, series, truth, split, *border) for split, border in borders.items()}


def pasts(spec: WindowSpec, table: Any) -> tuple[Array, dict[str, Array]]:
    """Every past [N, C, history] of a table, the last one too, and the times (or rows) at which each ends."""
    found = _table(table)
    if spec.time is not None:
        refuse_times(found, spec.time)
    series = _numbers(found, _inputs(found, spec), "inputs")
    if series.shape[1] < spec.history:
        raise ConfigError(
            f"expected {spec.history} rows of past at least, got {series.shape[1]}", "give the rows before these too"
        )
    ends = slice(spec.history - 1, None, spec.stride)
    past = np.lib.stride_tricks.sliding_window_view(series, spec.history, axis=1)[:, :: spec.stride].transpose(1, 0, 2)
    name = spec.time or "row"
    return past, {name: (found[name].to_numpy() if spec.time else np.arange(len(found)))[ends]}


def _split(spec: WindowSpec, series: Array, truth: Array, split: str, start: int, end: int) -> Raw:
    """Windows whose forecast steps lie from `start` up to `end`."""
    first = max(start, spec.history)
    origins = slice(first - spec.history, end - spec.horizon + 1 - spec.history, spec.stride)
    if end - spec.horizon < first:
        raise ConfigError(
            f"expected {split} to hold a window of {spec.history} past and {spec.horizon} future steps, it has "
            f"{end - start} rows",
            "give more rows, a shorter history or horizon, or other fractions",
        )
    past = np.lib.stride_tricks.sliding_window_view(series, spec.history, axis=1)[:, origins].transpose(1, 0, 2)
    ahead = np.lib.stride_tricks.sliding_window_view(truth, spec.horizon, axis=1)
    future = ahead[:, first : end - spec.horizon + 1 : spec.stride].transpose(1, 0, 2)
    names = tuple(f"{name}+{step + 1}" for name in spec.targets for step in range(spec.horizon))
    blocks = np.arange(len(past)) * spec.stride // (spec.history + spec.horizon)
    return Raw(
        "array", _lazy(past), {MAIN: future.reshape(len(future), -1)}, {MAIN: names},
        groups=np.array([f"{split} {block}" for block in blocks]), columns=NamedColumns(),
    )  # fmt: skip


def _lazy(past: Array) -> Inputs:
    """Windows [N, C, L] as they are, many of them as inputs that are read when they are asked for."""
    if past.nbytes <= HELD:
        return past
    return cast("Inputs", DiskArray(ArrayLayout("<f4", past.shape[1:]), (MemoryPart(past),)))


def _table(given: Any) -> pd.DataFrame:
    from limbeck.data.files import read_table

    if isinstance(given, pd.DataFrame):
        return given.reset_index(drop=True)
    if isinstance(given, str | Path):
        return read_table(Path(given))
    if isinstance(given, Mapping):
        lengths = {str(name): len(values) for name, values in given.items()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ConfigError(f"expected columns of one length, got {said}", "cut or fill the shorter series")
        return pd.DataFrame(dict(given))
    raise ConfigError(
        f"expected a table with a row for each time, got {type(given).__name__}", "give a frame or the path of a file"
    )


def _inputs(table: pd.DataFrame, spec: WindowSpec) -> tuple[str, ...]:
    if spec.inputs:
        return spec.inputs
    return tuple(n for n in table.columns if n != spec.time and pd.api.types.is_numeric_dtype(table[n].dtype))


def _numbers(table: pd.DataFrame, names: Sequence[str], what: str) -> Array:
    """Columns as float32 [C, L]; raises ConfigError for what is not there, no number, or missing."""
    for name in names:
        if name not in table.columns:
            near = suggest(name, [str(column) for column in table.columns])
            raise ConfigError(
                f"expected a column '{name}' ({what}) in the table", near or f"there are {', '.join(table.columns)}"
            )
        if not pd.api.types.is_numeric_dtype(table[name].dtype):
            raise ConfigError(
                f"expected numbers in column '{name}' ({what}), got {table[name].dtype}", "leave it out, or encode it"
            )
    values = table[list(names)].to_numpy(np.float32, na_value=np.nan).T
    gaps = np.argwhere(~np.isfinite(values).T)
    if len(gaps):
        row, column = gaps[0]
        raise ConfigError(
            f"expected no gaps in the series, got {len(gaps)} missing numbers, the first in row {row} of column "
            f"'{names[column]}'",
            "fill them by what was known at that time (frame.ffill()), or cut the series there",
        )
    return np.ascontiguousarray(values)


def refuse_times(table: pd.DataFrame, name: str) -> None:
    """Refuse times that are out of order, twice there, or unevenly spaced; raises ConfigError naming the row."""
    if name not in table.columns:
        raise ConfigError(
            f"expected a column '{name}' (time) in the table", suggest(name, [str(c) for c in table.columns])
        )
    times = table[name]
    if not pd.api.types.is_numeric_dtype(times.dtype):
        try:
            times = pd.to_datetime(times)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"expected times in column '{name}', got: {error}", "write them as 2024-01-31") from None
    steps = times.diff().iloc[1:]
    zero = steps.iloc[0] * 0 if len(steps) else 0
    late = np.flatnonzero(~(steps > zero).to_numpy())
    if len(late):
        row = int(late[0]) + 1
        raise ConfigError(
            f"expected times in order in column '{name}', row {row} ({times.iloc[row]}) does not come after row "
            f"{row - 1} ({times.iloc[row - 1]})",
            "sort the table by time, and give each time once; several series are several tables",
        )
    usual = steps.mode().iloc[0] if len(steps) else zero
    odd = np.flatnonzero((steps != usual).to_numpy())
    if len(odd):
        row = int(odd[0]) + 1
        raise ConfigError(
            f"expected times {usual} apart in column '{name}', got {len(odd)} other steps, the first of "
            f"{steps.iloc[row - 1]} before row {row} ({times.iloc[row]})",
            "fill in the missing rows (frame.asfreq), or cut the series there",
        )
