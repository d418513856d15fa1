"""What the preprocessing learns from rows, in memory or on disk: fills, means, scales and categories.

The specs are described in `preprocess`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.data.frames import is_numeric, numbers, texts
from limbeck.data.ondisk import DiskTable
from limbeck.data.rows import Array, Inputs
from limbeck.data.statistics import medians, moments, stretches


def fit_array(inputs: Any) -> dict[str, Any]:
    """The spec of rows of numbers [N, ...]; raises ConfigError where nothing varies."""
    shape = list(inputs.shape[1:])
    width = int(np.prod(shape, dtype=np.int64))

    def parts() -> Iterator[Array]:
        return (np.asarray(part, dtype=np.float32) for part in stretches(inputs, width))

    if len(shape) == 2:  # series of channels

        def by_channel() -> Iterator[list[Array]]:
            return ([part.transpose(0, 2, 1).reshape(-1, shape[0])] for part in parts())

        ((mean, scale),) = moments(by_channel)
        plain = {"kind": "array", "shape": shape, "keep": None, "fill": None, "channels_first": True}
        return {**plain, "mean": _exact(mean), "scale": _exact(scale)}
    if len(shape) != 1:
        ((mean, scale),) = moments(lambda: ([part.reshape(-1, shape[-1])] for part in parts()))
        plain = {"kind": "array", "shape": shape, "keep": None, "fill": None}
        return {**plain, "mean": _exact(mean), "scale": _exact(scale)}
    some, every = np.zeros(width, dtype=bool), np.ones(width, dtype=bool)
    for part in parts():
        missing = np.isnan(part)
        some |= missing.any(axis=0)
        every &= missing.all(axis=0)
    fill = np.zeros(width, dtype=np.float32)
    wanted = np.flatnonzero(some & ~every).tolist()
    for column, value in medians(lambda chosen: (part[:, chosen] for part in parts()), wanted).items():
        fill[column] = value

    def filled() -> Iterator[Array]:
        return (np.where(np.isnan(part), fill, part) for part in parts())

    # constant columns stay: a network of the user's own is as wide as the rows
    if not _varies(filled()).any():
        raise ConfigError(
            f"expected features that vary, all {width} columns are constant", "check how the inputs were read"
        )
    ((mean, scale),) = moments(lambda: ([part] for part in filled()))
    spec = {"kind": "array", "shape": shape, "keep": list(range(width)), "fill": _exact(fill)}
    return {**spec, "mean": _exact(mean), "scale": _exact(scale)}


def _varies(parts: Iterator[Array]) -> Array:
    """Which columns hold two different numbers, bool [D]."""
    first: Any = None
    found: Any = False
    for part in parts:
        first = part[:1].copy() if first is None else first
        found = found | (part != first).any(axis=0)
    return np.asarray(found)


def fit_image(inputs: Any) -> dict[str, Any]:
    """The spec of images [N, H, W] or [N, H, W, C]."""
    channel_axis = inputs.ndim == 4
    height, width = inputs.shape[1:3]
    channels = inputs.shape[3] if channel_axis else 1
    size = height * width * channels

    def parts() -> Iterator[Array]:
        return (np.asarray(part).reshape(-1, channels) for part in stretches(inputs, size))

    if inputs.dtype == np.uint8:
        mean, scale = _byte_statistics(parts(), channels)
    else:
        ((means, scales),) = moments(lambda: ([part.astype(np.float32, copy=False)] for part in parts()))
        mean, scale = _exact(means), _exact(scales)
    return {
        "kind": "image", "channels": channels, "height": height, "width": width, "channel_axis": channel_axis,
        "dtype": "uint8" if inputs.dtype == np.uint8 else "float32", "mean": mean, "scale": scale,
    }  # fmt: skip


def _byte_statistics(parts: Iterator[Array], channels: int) -> tuple[list[float], list[float]]:
    levels = np.arange(256, dtype=np.float64)
    counts = np.zeros((channels, 256))
    for part in parts:
        for channel in range(channels):
            counts[channel] += np.bincount(part[:, channel], minlength=256)
    means, scales = [], []
    for count in counts:
        mean = float((count * levels).sum() / max(count.sum(), 1))
        means.append(mean)
        scales.append(float(np.sqrt((count * (levels - mean) ** 2).sum() / max(count.sum(), 1))) or 1.0)
    return _exact(means), _exact(scales)


def fit_table(inputs: Inputs, max_values: int) -> dict[str, Any]:
    """The spec of a table; raises ConfigError where no column varies."""
    frame: Any = inputs.head() if isinstance(inputs, DiskTable) else inputs
    names = list(frame.columns)
    of_numbers = [name for name in names if is_numeric(frame[name])]
    others = [name for name in names if name not in of_numbers]
    if isinstance(inputs, DiskTable):
        numeric = _fit_numbers(_Disk(inputs, of_numbers))
        categorical = _fit_categories(inputs, others, max_values)
    else:
        numeric = [part for name in of_numbers for part in _fit_numbers(_Memory(frame, name, len(names)))]
        categorical = _fit_categories(frame, others, max_values)
    if not numeric and not categorical:
        raise ConfigError(
            f"expected columns that vary, all of {', '.join(map(str, names[:8]))} are constant or free text",
            "name the input columns, and check how the table was read",
        )
    used = {part["name"] for part in (*numeric, *categorical)}
    columns = [name for name in names if name in used]
    return {"kind": "table", "columns": columns, "numeric": numeric, "categorical": categorical}


class _Memory:
    """One column of a table in memory."""

    def __init__(self, frame: pd.DataFrame, name: Any, width: int) -> None:
        self.names, self.width = [name], width
        self.values = numbers(frame[name], name).astype(np.float32)[:, None]

    def parts(self) -> Iterator[Array]:
        """Float32 [n, 1]."""
        return iter(stretches(self.values, self.width))


class _Disk:
    """Columns of a table on disk, all in one pass."""

    def __init__(self, table: DiskTable, names: Sequence[Any]) -> None:
        self.table, self.names = table, list(names)

    def parts(self) -> Iterator[Array]:
        """Float32 [n, D], column by column in memory, as the sums of one alone are."""
        for frame in stretches(self.table, len(self.table.columns)):
            columns = [numbers(frame[name], name).astype(np.float32) for name in self.names]
            yield np.asfortranarray(np.stack(columns, axis=1)) if columns else np.empty((len(frame), 0), np.float32)


def _fit_numbers(source: _Memory | _Disk) -> list[dict[str, Any]]:
    """Fill, mean and scale of the columns that hold two different numbers, once the missing ones are filled."""
    names = source.names
    if not names:
        return []
    some, every = np.zeros(len(names), dtype=bool), np.ones(len(names), dtype=bool)
    for part in source.parts():
        missing = np.isnan(part)
        some |= missing.any(axis=0)
        every &= missing.all(axis=0)
    fill = np.zeros(len(names), dtype=np.float32)
    wanted = np.flatnonzero(some & ~every).tolist()
    for column, value in medians(lambda chosen: (part[:, chosen] for part in source.parts()), wanted).items():
        fill[column] = value

    def filled() -> Iterator[Array]:
        return (np.where(np.isnan(part), fill, part) for part in source.parts())

    varies = _varies(filled()) & ~every
    each = moments(lambda: ([np.ascontiguousarray(p[:, n])[:, None] for n in range(len(names))] for p in filled()))
    return [
        {"name": name, "fill": float(fill[n]), "mean": _exact(mean)[0], "scale": _exact(scale)[0]}
        for n, (name, (mean, scale)) in enumerate(zip(names, each, strict=True))
        if varies[n]
    ]


def _fit_categories(inputs: Any, names: Sequence[Any], max_values: int) -> list[dict[str, Any]]:
    counts: dict[Any, Counter[str]] = {name: Counter() for name in names}
    missing = dict.fromkeys(names, 0)
    parts = stretches(inputs, len(inputs.columns)) if isinstance(inputs, DiskTable) else [inputs]
    for frame in parts if names else ():
        for name in names:
            codes, found = texts(frame[name])
            missing[name] += int((codes < 0).sum())
            occurs = np.bincount(codes[codes >= 0], minlength=len(found))
            counts[name].update(dict(zip(found, occurs.tolist(), strict=True)))
    fitted = (_fit_category(name, counts[name], missing[name], max_values) for name in names)
    return [part for part in fitted if part is not None]


def _fit_category(name: Any, counts: Counter[str], missing: int, max_values: int) -> dict[str, Any] | None:
    """The most frequent values that occur at least twice, in order of text; None where nothing varies."""
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    values = sorted(value for value in ranked[:max_values] if counts[value] >= 2)
    varies = len(counts) > 1 or (len(counts) == 1 and missing > 0)
    return {"name": name, "values": values} if values and varies else None


def _exact(values: Any) -> list[float]:
    """Numbers as floats that float32 holds exactly."""
    return [float(v) for v in np.asarray(values, dtype=np.float32).reshape(-1)]
