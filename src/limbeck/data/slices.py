"""By what test rows are told apart: columns of the data that the user names, and what rows show of themselves.

The length of a text is its words, that of a clip its seconds. The signal-to-noise ratio of a clip is estimated from
the clip alone:

    SNR = 10 log10 (P90 - P10) / P10,   P90 and P10: the ninth and the first decile of the power of frames of 25 ms

with speech in the loud frames and the noise between words in the quiet ones, as in NIST's STNR; kept between 0 and
60 dB. A clip that never pauses seems noisier than it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.data.labels import is_missing, text_of
from limbeck.data.ondisk import OnDisk
from limbeck.data.rows import Array, Rows

if TYPE_CHECKING:
    from limbeck.data.columns import Columns
    from limbeck.data.raw import Raw

MOST = 12  # slices of one column; further values are put together
_SNR_TOP = 60.0  # dB
_FRAME, _HOP = 0.025, 0.010  # seconds
MISSING = "missing"


@dataclass(frozen=True, eq=False)
class Slicing:
    """Rows in slices: names [K], and the slice of each row, int64 [N] (-1: none)."""

    names: tuple[str, ...]
    of: Array

    def take(self, index: Array) -> Slicing:
        """The rows at positions (or under a mask)."""
        return Slicing(self.names, self.of[index])


def slice_values(column: Any) -> Array:
    """Values [N] of a column as float64 where it is numeric, else as texts."""
    series = pd.Series(column)
    if pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_bool_dtype(series.dtype):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.array([MISSING if is_missing(value) else text_of(value) for value in series], dtype=object)


def sliced(raws: Mapping[str, Raw], slices: Mapping[str, Any] | None, columns: Columns | None = None) -> dict[str, Raw]:
    """Splits with the slices that were given beside arrays; raises ConfigError where these do not fit the rows.

    They belong to the test rows, or to the training rows where test rows come out of these.
    """
    out = dict(raws)
    split = "test" if "test" in out else "train"
    named = () if columns is None else columns.slices
    lost = [name for name in named if name not in out[split].slices]
    if lost and isinstance(out[split].inputs, OnDisk):
        raise ConfigError(
            f"expected test rows in memory for columns.slices, got a stream as {split}",
            "give the test rows as a file of their own, or leave columns.slices out",
        )
    if lost:
        raise ConfigError(
            f"expected the column {lost[0]!r} of columns.slices in {split}, there is none",
            "name a column of that table",
        )
    if not slices:
        return out
    for name, values in slices.items():
        if len(values) != len(out[split].inputs):
            raise ConfigError(
                f"expected one entry of slices[{name!r}] for each of {len(out[split].inputs)} {split} rows, "
                f"got {len(values)}",
                f"give them in the order of the {split} rows",
            )
    found = {str(name): slice_values(values) for name, values in slices.items()}
    out[split] = replace(out[split], slices={**out[split].slices, **found})
    return out


def slicings(rows: Rows) -> dict[str, Slicing]:
    """How rows are told apart, by name; ways that put all rows into one slice are left out."""
    found = {name: by_values(values) for name, values in rows.slices.items()}
    if rows.groups is not None and len(np.unique(rows.groups)) <= MOST:
        found.setdefault("group", by_values(np.asarray(rows.groups, dtype=object)))
    if rows.kind == "text" and isinstance(rows.inputs, pd.DataFrame):
        found.setdefault("length", terciles(_words(rows.inputs), "words"))
    if rows.kind == "audio":
        clips = list(np.asarray(rows.inputs))
        found.setdefault("length", terciles(np.array([len(clip) / rows.rate for clip in clips]), "s"))
        found.setdefault("SNR", terciles(np.array([snr_of(clip, rows.rate) for clip in clips]), "dB"))
    return {name: each for name, each in found.items() if len(np.unique(each.of[each.of >= 0])) > 1}


def by_values(values: Array) -> Slicing:
    """A slice for each value; terciles where there are many numbers, and "others" where there are many texts."""
    if values.dtype.kind == "f":
        there = values[~np.isnan(values)]
        if len(np.unique(there)) > MOST:
            return terciles(values, "")
        values = np.array([MISSING if np.isnan(value) else number_name(value) for value in values], dtype=object)
        order = [number_name(value) for value in np.unique(there)] + [MISSING]
    else:
        names, counts = np.unique(values.astype(str), return_counts=True)
        order = [str(name) for name in names]
        if len(order) > MOST:
            kept = sorted(order[i] for i in np.argsort(-counts, kind="stable")[: MOST - 1])
            order = [*kept, f"others ({len(order) - len(kept)} values)"]
    place = {name: number for number, name in enumerate(order)}
    return Slicing(tuple(order), np.array([place.get(str(v), len(order) - 1) for v in values], dtype=np.int64))


def number_name(value: float) -> str:
    """A number as text, such that different numbers have different names."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def terciles(values: Array, unit: str) -> Slicing:
    """Numbers [N] in three slices of about as many rows; equal numbers stay together, NaN is in none."""
    there = ~np.isnan(values)
    if not there.any():
        return Slicing((), np.full(len(values), -1, dtype=np.int64))
    low, high = np.quantile(values[there], [1 / 3, 2 / 3], method="lower")
    of = np.where(values <= low, 0, np.where(values <= high, 1, 2)).astype(np.int64)
    end = f" {unit}" if unit else ""
    names = (f"up to {low:.3g}{end}", f"{low:.3g} to {high:.3g}{end}", f"above {high:.3g}{end}")
    return Slicing(names, np.where(there, of, -1))


def snr_of(clip: Array, rate: int) -> float:
    """An estimate in dB of how far the loud frames of a clip float32 [T] stand above its quiet ones, 0 to 60."""
    size, hop = max(1, round(_FRAME * rate)), max(1, round(_HOP * rate))
    squares = np.concatenate([[0.0], np.cumsum(np.asarray(clip, dtype=np.float64) ** 2)])
    starts = np.arange(0, max(len(clip) - size, 0) + 1, hop)
    power = squares[np.minimum(starts + size, len(clip))] - squares[starts]
    quiet, loud = np.quantile(power, [0.1, 0.9])
    if loud <= quiet:
        return 0.0
    if quiet <= (loud - quiet) * 10 ** (-_SNR_TOP / 10):
        return _SNR_TOP
    return float(max(10 * np.log10((loud - quiet) / quiet), 0.0))


def _words(table: pd.DataFrame) -> Array:
    counts = np.zeros(len(table))
    for name in table.columns:
        cells = table[name]
        counts += [len(cell) if isinstance(cell, tuple) else len(str(cell).split()) for cell in cells]
    return counts
