"""The built-in augmentations: each changes rows by the words (random bits) that belong to them and by nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from limbeck.data.audio.views import add_noise, change_gain, mask_band, mask_time, shift
from limbeck.data.augment_text import TEXT_STEPS, pool_of
from limbeck.data.counter import normals, uniforms
from limbeck.data.frames import numbers
from limbeck.data.ondisk import OnDisk
from limbeck.data.rows import Array, Inputs, take_inputs


@dataclass(frozen=True)
class Frozen:
    """What steps know of the training rows, fixed when the view was made: partners, spreads, a sampling rate."""

    kind: str
    partners: Inputs | None = None
    spread: Mapping[Any, float] = field(default_factory=dict)
    rate: int = 0

    @cached_property
    def pool(self) -> Array:
        """The words of the partners, object [W], of rows of texts."""
        partners: Any = self.partners.sample() if isinstance(self.partners, OnDisk) else self.partners
        return pool_of(partners) if isinstance(partners, pd.DataFrame) else np.empty(0, dtype=object)


def spread_of(inputs: Inputs) -> dict[Any, float]:
    """The standard deviation of each numeric column (or entry), on disk of some rows; true and false have none."""
    if isinstance(inputs, OnDisk):
        inputs = inputs.sample()
    if isinstance(inputs, pd.DataFrame):
        columns = {n: c for n in inputs.columns if _is_noisy((c := inputs[n]).dtype)}
        return {
            n: float(np.nan_to_num(numbers(c.dropna(), n).std() if c.notna().any() else 0)) for n, c in columns.items()
        }
    values = np.asarray(inputs, dtype=np.float64)
    there = ~np.isnan(values)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, values, 0).sum(axis=0) / count
    variance = (np.where(there, values - mean, 0) ** 2).sum(axis=0) / count
    return dict(enumerate(np.sqrt(variance).reshape(-1).tolist()))


def _is_noisy(dtype: Any) -> bool:
    return bool(pd.api.types.is_numeric_dtype(dtype)) and not pd.api.types.is_bool_dtype(dtype)


def _shift(_: Frozen, images: Array, words: Array, most: float) -> Array:
    size = int(most)
    moves = np.floor(uniforms(words, 2) * (2 * size + 1)).astype(int) - size
    out = np.zeros_like(images)
    height, width = images.shape[1:3]
    for i, (down, right) in enumerate(moves):
        rows, cols = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
        from_rows, from_cols = (
            slice(max(-down, 0), height + min(-down, 0)),
            slice(max(-right, 0), width + min(-right, 0)),
        )
        out[i, rows, cols] = images[i, from_rows, from_cols]
    return out


def _flip(_: Frozen, images: Array, words: Array, chance: float) -> Array:
    out = images.copy()
    flipped = uniforms(words, 1)[:, 0] < chance
    out[flipped] = images[flipped][:, :, ::-1]
    return out


def _flip_ud(_: Frozen, images: Array, words: Array, chance: float) -> Array:
    out = images.copy()
    flipped = uniforms(words, 1)[:, 0] < chance
    out[flipped] = images[flipped][:, ::-1]
    return out


def _rot90(_: Frozen, images: Array, words: Array, chance: float) -> Array:
    """One, two or three quarter turns, each as likely."""
    out, draws = images.copy(), uniforms(words, 2)
    turns = np.where(draws[:, 0] < chance, 1 + np.floor(draws[:, 1] * 3).astype(int), 0)
    for count in (1, 2, 3):
        out[turns == count] = np.rot90(images[turns == count], count, axes=(1, 2))
    return out


def _crop(_: Frozen, images: Array, words: Array, least: float) -> Array:
    u = uniforms(words, 3)
    out = np.empty_like(images)
    height, width = images.shape[1:3]
    for i, (a, b, c) in enumerate(u):
        side = least + (1 - least) * a
        rows, cols = max(1, round(side * height)), max(1, round(side * width))
        top, left = int(b * (height - rows + 1)), int(c * (width - cols + 1))
        y = top + (np.arange(height) * rows) // height
        x = left + (np.arange(width) * cols) // width
        out[i] = images[i][y][:, x]
    return out


def _cutout(_: Frozen, images: Array, words: Array, share: float) -> Array:
    out = images.copy()
    height, width = images.shape[1:3]
    rows, cols = max(1, round(share * height)), max(1, round(share * width))
    for i, (a, b) in enumerate(uniforms(words, 2)):
        top, left = int(a * (height - rows + 1)), int(b * (width - cols + 1))
        out[i, top : top + rows, left : left + cols] = 0
    return out


def _noise(frozen: Frozen, inputs: Any, words: Array, strength: float) -> Any:
    if isinstance(inputs, pd.DataFrame):
        out = inputs.copy()
        draws = normals(words, max(len(frozen.spread), 1))
        for place, (name, spread) in enumerate(frozen.spread.items()):
            if _is_noisy(inputs[name].dtype):
                out[name] = _moved_column(inputs[name], strength * spread * draws[:, place], name)
        return out
    draws = normals(words, int(np.prod(inputs.shape[1:]))).reshape(inputs.shape)
    if frozen.kind == "image":
        return _moved(inputs, strength * (255.0 if inputs.dtype == np.uint8 else 1.0) * draws)
    return _moved(inputs, strength * np.asarray(list(frozen.spread.values())).reshape(inputs.shape[1:]) * draws)


def _moved(values: Array, by: Array) -> Array:
    """Values [..] moved, in their dtype: integers by whole steps within its range, booleans not at all."""
    if values.dtype.kind == "b":
        return values
    if values.dtype.kind == "f":
        return np.asarray((values + by).astype(values.dtype))
    steps, limits = np.rint(by), np.iinfo(values.dtype)
    with np.errstate(invalid="ignore"):
        moved = np.clip(values + steps, limits.min, limits.max).astype(values.dtype)
    return np.where(steps == 0, values, moved)  # float64 does not hold every large integer


def _moved_column(column: pd.Series, by: Array, name: str) -> pd.Series:
    if isinstance(column.dtype, np.dtype):
        return pd.Series(_moved(column.to_numpy(), by), index=column.index)
    whole = pd.api.types.is_integer_dtype(column.dtype)
    values = numbers(column, name) + (np.rint(by) if whole else by)
    return pd.Series(values, index=column.index).astype(column.dtype)


def _swap(frozen: Frozen, inputs: Any, words: Array, chance: float) -> Any:
    assert frozen.partners is not None
    others: Any = frozen.partners
    columns = list(others.columns) if isinstance(others, pd.DataFrame) else []
    width = len(columns) if columns else int(np.prod(others.shape[1:]))
    u = uniforms(words, width + 1)
    partner = np.minimum((u[:, -1] * len(others)).astype(np.int64), len(others) - 1)
    swapped = u[:, :width] < chance
    others = take_inputs(others, partner)
    if not isinstance(inputs, pd.DataFrame):
        return np.where(swapped.reshape(inputs.shape), others, inputs)
    out = inputs.copy()
    for place, name in enumerate(columns):
        out[name] = inputs[name].where(~swapped[:, place], others[name])
    return out


def widened(inputs: Any, partners: Any) -> Any:
    """Rows in a dtype that holds their own values and those of partners from another split."""
    if isinstance(inputs, pd.DataFrame) and isinstance(partners, pd.DataFrame):
        dtypes = {n: _common(inputs[n], partners[n]) for n in partners.columns if inputs[n].dtype != partners[n].dtype}
        return inputs.astype(dtypes) if dtypes else inputs
    return inputs if partners is None else inputs.astype(np.result_type(inputs, partners), copy=False)


def _common(column: pd.Series, other: pd.Series) -> str:
    both = pd.api.types.is_numeric_dtype(column.dtype) and pd.api.types.is_numeric_dtype(other.dtype)
    return "float64" if both else "object"


_IMAGE = {
    "shift": _shift, "flip": _flip, "flip_ud": _flip_ud, "rot90": _rot90, "crop": _crop,
    "cutout": _cutout, "noise": _noise,
}  # fmt: skip
MOVING = ("shift", "flip", "flip_ud", "rot90", "crop")  # steps on images that move what they show
_NUMBERS = {"noise": _noise, "swap": _swap}
STEPS: Mapping[str, Mapping[str, Callable[[Frozen, Any, Array, float], Any]]] = {
    "image": _IMAGE, "array": _NUMBERS, "table": _NUMBERS, "text": TEXT_STEPS,
    "audio": {
        "noise": lambda _, clips, words, snr: add_noise(clips, words, snr),
        "gain": lambda _, clips, words, most: change_gain(clips, words, most),
        "shift": lambda frozen, clips, words, most: shift(clips, words, most, frozen.rate),
        "time_mask": lambda _, clips, words, most: mask_time(clips, words, most),
        "freq_mask": lambda _, clips, words, most: mask_band(clips, words, most),
    },
}  # fmt: skip
