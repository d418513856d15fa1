"""Series of different lengths: objects [N] of arrays float32 [T] or [C, T], padded with NaN when they are encoded.

Rows of kind "array" that are objects are such series; nothing is padded before a batch is made, so that keys do not
know of it. Their preprocessing is that of arrays with one mean and scale a channel over the times that are there:

    {"kind": "array", "ragged": true, "shape": [T] or [C, T], "keep": null, "fill": null, "mean": [C], "scale": [C]}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.data.rows import Array
from limbeck.data.statistics import moments

if TYPE_CHECKING:
    from limbeck.data.raw import Raw

_LARGEST = float(np.finfo(np.float32).max)


def is_ragged(inputs: Any) -> bool:
    """Whether inputs are series of different lengths."""
    return isinstance(inputs, np.ndarray) and inputs.dtype == object and inputs.ndim == 1


def ragged_of(given: Any, split: str) -> Array | None:
    """Series of different lengths as objects [N]; None for what is none: rows of one shape, images, texts, tables.

    Raises ConfigError for empty series and for NaN or infinity in them.
    """
    if not isinstance(given, list | tuple) and not is_ragged(given):
        return None
    cells = [_numbers(cell) for cell in given]
    found = [cell for cell in cells if cell is not None]
    if len(found) < len(cells) or len({cell.shape for cell in found}) < 2:
        return None
    if {cell.ndim for cell in found} - {1} and len({(cell.ndim, cell.shape[0]) for cell in found}) > 1:
        if {cell.ndim for cell in found} == {2} and len({cell.shape[1] for cell in found}) == 1:
            raise ConfigError(
                f"expected series [C, T] of one number of channels in {split}, got arrays that differ in their first "
                f"axis alone ({found[0].shape}, ...)",
                "where time is the first axis turn them: [x.T for x in series]; pictures of different sizes take "
                "image_size=(height, width)",
            )
        return None
    return _checked(found, split)


def _numbers(cell: Any) -> Array | None:
    """A cell as an array [T] or [C, T] of numbers, None where it is no such thing."""
    if hasattr(cell, "detach"):
        cell = cell.detach().cpu().numpy()
    if not isinstance(cell, np.ndarray | list | tuple):
        return None
    try:
        values = np.asarray(cell)
    except ValueError:
        return None
    return values if values.ndim in (1, 2) and values.dtype.kind in "biuf" else None


def _checked(cells: Iterable[Array], split: str) -> Array:
    rows = list(cells)
    out = np.empty(len(rows), dtype=object)
    for row, cell in enumerate(rows):
        if not cell.size:
            raise ConfigError(f"expected series in {split}, that of row {row} is empty", "leave the row out")
        if not (np.abs(cell.astype(np.float64)) <= _LARGEST).all():
            raise ConfigError(
                f"expected finite series in {split}, got NaN or infinity in row {row}",
                "fill what is missing; series of different lengths need no padding",
            )
        out[row] = np.ascontiguousarray(cell, dtype=np.float32)
    return out


def ragged_together(found: Mapping[str, Raw]) -> dict[str, Raw]:
    """The splits, all of them as series of different lengths where one is; raises ConfigError for other channels."""
    if not any(raw.kind == "array" and is_ragged(raw.inputs) for raw in found.values()):
        return dict(found)
    out = {}
    for split, raw in found.items():
        plain = raw.kind == "array" and isinstance(raw.inputs, np.ndarray) and raw.inputs.ndim in (2, 3)
        out[split] = replace(raw, inputs=_checked(list(np.asarray(raw.inputs)), split)) if plain else raw
    channels = {s: raw.inputs[0].shape[:-1] for s, raw in out.items() if is_ragged(raw.inputs) and len(raw.inputs)}
    if len(set(channels.values())) > 1:
        said = ", ".join(f"{list(shape) or 'none'} in {split}" for split, shape in channels.items())
        raise ConfigError(f"expected series of the same channels in every split, got {said}", "give [T] or [C, T]")
    return out


def ragged_keys(inputs: Array) -> list[tuple[Array, bytes]]:
    """What the key of each series is made of: its values, and its form."""
    return [(row, f"series:{row.shape[:-1]}".encode()) for row in inputs]


def fit_ragged(inputs: Array) -> dict[str, Any]:
    """The spec of series: mean and scale of each channel over all times of all rows."""
    channels = list(inputs[0].shape[:-1])
    flat = np.concatenate([row.reshape(-1, row.shape[-1]) for row in inputs], axis=1).T
    ((mean, scale),) = moments(lambda: iter([[np.ascontiguousarray(flat)]]))
    longest = max(row.shape[-1] for row in inputs)
    return {
        "kind": "array", "ragged": True, "shape": [*channels, longest], "keep": None, "fill": None,
        "mean": [float(v) for v in np.asarray(mean, dtype=np.float32)],
        "scale": [float(v) for v in np.asarray(scale, dtype=np.float32)],
    }  # fmt: skip


def padded_series(inputs: Any, shape: Sequence[int], least: int = 1) -> Array:
    """Series as one array float32 [N, T] or [N, C, T], NaN behind the end of each; T is at least `least`.

    Raises ShapeMismatch for other channels and ConfigError for what is no finite series.
    """
    rows = [_numbers(row) for row in inputs]
    channels = tuple(shape[:-1])
    wrong = next((n for n, row in enumerate(rows) if row is None or row.shape[:-1] != channels), None)
    if wrong is not None:
        got = "something else" if (row := rows[wrong]) is None else f"shape {list(row.shape)}"
        raise ShapeMismatch(
            f"expected series of shape {[*channels, 'T']}, got {got} in row {wrong}", "give a list of arrays of numbers"
        )
    series = _checked((row for row in rows if row is not None), "the inputs")
    out = np.full((len(series), *channels, max([least, *(r.shape[-1] for r in series)])), np.nan, dtype=np.float32)
    for number, values in enumerate(series):
        out[number, ..., : values.shape[-1]] = values
    return out


def series_lengths(inputs: Array) -> Array:
    """Times of each series, int64 [N]."""
    return np.fromiter((row.shape[-1] for row in inputs), np.int64, len(inputs))


def refuse_fixed_length(what: str) -> ConfigError:
    """The error for what takes rows of one length only."""
    return ConfigError(
        f"expected a network that takes series of different lengths, got {what}",
        "give series_cnn(...) without hidden and level, or pad and cut the series to one length yourself",
    )
