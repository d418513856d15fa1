"""From raw inputs to what a network takes, as one small JSON spec that an exported model can hold inside.

All arithmetic is `(float32(x) - mean) / scale` in float32, one subtraction and one division with constants that are
float32 themselves: ONNX does the same two operations, so that an exported model agrees bit for bit on float32 inputs.

    table   {"kind": "table", "columns": [...],
             "numeric": [{"name", "fill", "mean", "scale"}],      NaN -> fill, then (x - mean) / scale
             "categorical": [{"name", "values": [...]}]}          one-hot: values..., missing, unknown
            Columns of the output: the numbers in order, then len(values) + 2 for every category.
            A category is compared as text (3 and 3.0 are "3"); empty text is missing; what is not among the
            values is unknown.
    array   {"kind": "array", "shape": [D], "keep": [...], "fill": [...], "mean": [...], "scale": [...]}
            x[:, keep], NaN -> fill, standardised; all lists are as long as `keep`. Rows of more dimensions have
            "keep": null and "fill": null, and one mean and scale for each entry of the last axis.
    audio   {"kind": "audio", "rate": 16000, "length": T}: clips side by side [N, T], NaN behind the end of each; a
            matrix is at least as wide as the longest clip that was seen, and the network makes its features itself
    text    {"kind": "text", "columns": [...]}: one or two columns of texts; the network's own tokenizer encodes them
    parts   {"kind": "parts", "parts": {name: spec}}: each part by its own
    image   {"kind": "image", "channels", "height", "width", "channel_axis": true, "dtype": "uint8", "mean", "scale"}
            [N, H, W, C] (or [N, H, W] where `channel_axis` is false) -> [N, C, H, W], a mean and scale per channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError, LimbeckError, ShapeMismatch
from limbeck.core.parts import Parts
from limbeck.core.specs import fingerprint
from limbeck.data.audio.clips import lengths, padded
from limbeck.data.frames import is_numeric, numbers, pick, texts
from limbeck.data.rows import KINDS, Array, Inputs, Rows

MAX_VALUES = 64
_CHUNK = 8192


@dataclass(frozen=True)
class Preprocess:
    """Raw inputs -> float32, by a spec; `encode` of a row does not depend on the rows beside it."""

    spec: Mapping[str, Any]

    @classmethod
    def fit(cls, *splits: Rows, max_values: int = MAX_VALUES) -> Preprocess:
        """Learn fills, means, scales and categories from splits (training and unlabelled rows).

        Constant columns of a table are dropped, those of an array stay (as zeros). Of a category's values at most
        `max_values` that occur twice or more are kept.
        Raises ConfigError when nothing is left.
        """
        parts = [split.without_labels() for split in splits]
        rows = parts[0] if len(parts) == 1 else Rows.concat(parts)  # windows of a series are not copied
        if isinstance(rows.inputs, Parts):
            return cls({"kind": "parts", "parts": {n: _fit_part(rows, n, max_values) for n in rows.inputs.names}})
        if rows.kind == "text":
            assert isinstance(rows.inputs, pd.DataFrame)
            return cls({"kind": "text", "columns": list(rows.inputs.columns)})
        if rows.kind == "audio":
            longest = int(max(lengths(rows.inputs), default=1))
            return cls({"kind": "audio", "rate": rows.rate, "length": longest})
        if rows.kind == "table":
            return cls(_fit_table(rows.inputs, max_values))
        if rows.kind == "image":
            return cls(_fit_image(np.asarray(rows.inputs)))
        return cls(_fit_array(np.asarray(rows.inputs)))

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Preprocess:
        """The preprocessing that a spec describes."""
        if spec.get("kind") not in KINDS:
            raise ConfigError(f"expected preprocessing of kind {', '.join(KINDS)}, got {spec.get('kind')!r}")
        return cls(dict(spec))

    def encode(self, inputs: Any) -> Array:
        """Raw inputs (array, DataFrame or columns by name) -> float32 [N, D], [N, C, H, W] or as the row's shape.

        Raises ShapeMismatch for rows of another shape and ConfigError for columns that are missing.
        """
        if self.spec["kind"] == "text":
            raise ConfigError(
                "expected a network that takes text, got one that takes numbers",
                "give one that brings a tokenizer, such as hf:FOLDER",
            )
        if self.spec["kind"] == "parts":
            raise ConfigError(
                f"expected something that takes the parts of a row ({', '.join(self.spec['parts'])}), got a network or "
                "estimator that takes one matrix",
                "give 'parts' (a network for each, joined), or choose: lb.Teacher(model, parts=[...])",
            )
        if self.spec["kind"] == "table":
            return _encode_table(self.spec, inputs)
        if self.spec["kind"] == "audio":
            return padded(inputs, self.spec["length"])
        if isinstance(inputs, pd.DataFrame):
            inputs = inputs.to_numpy()
        inputs = np.asarray(inputs)
        return _encode_image(self.spec, inputs) if self.spec["kind"] == "image" else _encode_array(self.spec, inputs)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of one encoded row."""
        spec = self.spec
        if spec["kind"] in ("text", "parts"):
            return ()
        if spec["kind"] == "audio":
            return (spec["length"],)
        if spec["kind"] == "image":
            return (spec["channels"], spec["height"], spec["width"])
        if spec["kind"] == "array":
            return (len(spec["keep"]),) if spec["keep"] is not None else tuple(spec["shape"])
        return (len(spec["numeric"]) + sum(len(part["values"]) + 2 for part in spec["categorical"]),)

    @property
    def parts(self) -> dict[str, Preprocess]:
        """That of each part of rows of parts, by name; none for other rows."""
        return {name: Preprocess(spec) for name, spec in self.spec.get("parts", {}).items()}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the spec (32 hex digits)."""
        return fingerprint(self.spec)


def _fit_part(rows: Rows, name: str, max_values: int) -> Mapping[str, Any]:
    assert isinstance(rows.inputs, Parts)
    part = Rows(rows.inputs.kinds[name], rows.inputs[name], rows.keys)
    try:
        return Preprocess.fit(part, max_values=max_values).spec
    except LimbeckError as err:
        raise ConfigError(f"part '{name}': {err.what}", err.todo) from err


def _exact(values: Any) -> list[float]:
    """Numbers as floats that float32 holds exactly."""
    return [float(v) for v in np.asarray(values, dtype=np.float32).reshape(-1)]


def _statistics(values: Array) -> tuple[list[float], list[float]]:
    """Mean and standard deviation over all but the last axis; a deviation of 0 becomes 1."""
    flat = values.reshape(-1, values.shape[-1])
    mean = flat.mean(axis=0, dtype=np.float64)
    total = np.zeros_like(mean)
    for at in range(0, len(flat), _CHUNK):
        total += ((flat[at : at + _CHUNK] - mean) ** 2).sum(axis=0)
    scale = np.sqrt(total / max(len(flat), 1)).astype(np.float32)
    return _exact(mean), _exact(np.where(scale > 0, scale, 1))


# ------------------------------------------------------------------------------------------ arrays


def _fit_array(inputs: Array) -> dict[str, Any]:
    values = inputs.astype(np.float32, copy=False)
    shape = list(values.shape[1:])
    if values.ndim != 2:
        mean, scale = _statistics(values)
        return {"kind": "array", "shape": shape, "keep": None, "fill": None, "mean": mean, "scale": scale}
    missing = np.isnan(values)
    fill = np.zeros(values.shape[1], dtype=np.float32)
    for column in np.flatnonzero(missing.any(axis=0) & ~missing.all(axis=0)):
        fill[column] = np.median(values[~missing[:, column], column])
    values = np.where(missing, fill, values)
    # constant columns stay: a network of the user's own is as wide as the rows
    keep = np.arange(values.shape[1])
    if not (values != values[:1]).any():
        raise ConfigError(
            f"expected features that vary, all {values.shape[1]} columns are constant", "check how the inputs were read"
        )
    mean, scale = _statistics(values[:, keep])
    spec = {"kind": "array", "shape": shape, "keep": keep.tolist(), "fill": _exact(fill[keep])}
    return {**spec, "mean": mean, "scale": scale}


def _encode_array(spec: Mapping[str, Any], inputs: Array) -> Array:
    if list(inputs.shape[1:]) != list(spec["shape"]):
        raise ShapeMismatch(
            f"expected rows of shape {tuple(spec['shape'])}, got {inputs.shape[1:]}",
            "give the features that the model was trained on, in their order",
        )
    values = inputs.astype(np.float32)
    if spec["keep"] is not None:
        values = values[:, spec["keep"]]
        values = np.where(np.isnan(values), np.array(spec["fill"], dtype=np.float32), values)
    return _standardise(values, spec["mean"], spec["scale"])


def _standardise(values: Array, mean: Any, scale: Any) -> Array:
    return np.asarray((values - np.asarray(mean, dtype=np.float32)) / np.asarray(scale, dtype=np.float32))


# ------------------------------------------------------------------------------------------ images


def _fit_image(inputs: Array) -> dict[str, Any]:
    channel_axis = inputs.ndim == 4
    pixels = inputs if channel_axis else inputs[..., None]
    if pixels.dtype == np.uint8:
        mean, scale = _byte_statistics(pixels)
    else:
        mean, scale = _statistics(pixels.astype(np.float32))
    _, height, width, channels = pixels.shape
    return {
        "kind": "image", "channels": channels, "height": height, "width": width, "channel_axis": channel_axis,
        "dtype": "uint8" if pixels.dtype == np.uint8 else "float32", "mean": mean, "scale": scale,
    }  # fmt: skip


def _byte_statistics(pixels: Array) -> tuple[list[float], list[float]]:
    levels = np.arange(256, dtype=np.float64)
    means, scales = [], []
    for channel in range(pixels.shape[-1]):
        counts = np.zeros(256)
        for at in range(0, len(pixels), _CHUNK):
            counts += np.bincount(pixels[at : at + _CHUNK, ..., channel].reshape(-1), minlength=256)
        mean = float((counts * levels).sum() / max(counts.sum(), 1))
        means.append(mean)
        scales.append(float(np.sqrt((counts * (levels - mean) ** 2).sum() / max(counts.sum(), 1))) or 1.0)
    return _exact(means), _exact(scales)


def _encode_image(spec: Mapping[str, Any], inputs: Array) -> Array:
    size = (spec["height"], spec["width"])
    shape = (*size, spec["channels"]) if spec["channel_axis"] else size
    if inputs.shape[1:] != shape:
        raise ShapeMismatch(
            f"expected images of shape {shape} (height, width{', channels' if spec['channel_axis'] else ''}), "
            f"got {inputs.shape[1:]}",
            "resize the images to what the model was trained on",
        )
    pixels = inputs if spec["channel_axis"] else inputs[..., None]
    values = _standardise(pixels.astype(np.float32), spec["mean"], spec["scale"])
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


# ------------------------------------------------------------------------------------------ tables


def _fit_table(inputs: Inputs, max_values: int) -> dict[str, Any]:
    assert isinstance(inputs, pd.DataFrame)
    numeric: list[dict[str, Any]] = []
    categorical: list[dict[str, Any]] = []
    for name in inputs.columns:
        column = inputs[name]
        part = _fit_number(column, name) if is_numeric(column) else _fit_category(column, name, max_values)
        if part is not None:
            (numeric if is_numeric(column) else categorical).append(part)
    if not numeric and not categorical:
        raise ConfigError(
            f"expected columns that vary, all of {', '.join(map(str, inputs.columns[:8]))} are constant or free text",
            "name the input columns, and check how the table was read",
        )
    used = {part["name"] for part in (*numeric, *categorical)}
    columns = [name for name in inputs.columns if name in used]
    return {"kind": "table", "columns": columns, "numeric": numeric, "categorical": categorical}


def _fit_number(column: pd.Series, name: str) -> dict[str, Any] | None:
    values = numbers(column, name).astype(np.float32)
    missing = np.isnan(values)
    if missing.all():
        return None
    fill = np.median(values[~missing]).astype(np.float32) if missing.any() else np.float32(0)
    values = np.where(missing, fill, values)
    if (values == values[0]).all():
        return None
    mean, scale = _statistics(values[:, None])
    return {"name": name, "fill": float(fill), "mean": mean[0], "scale": scale[0]}


def _fit_category(column: pd.Series, name: str, max_values: int) -> dict[str, Any] | None:
    """The most frequent values that occur at least twice, in order of text; None where nothing varies."""
    codes, names = texts(column)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    ranked = sorted(range(len(names)), key=lambda i: (-counts[i], names[i]))
    values = sorted(names[i] for i in ranked[:max_values] if counts[i] >= 2)
    missing, seen = int((codes < 0).sum()), len(names)
    varies = seen > 1 or (seen == 1 and missing > 0)
    return {"name": name, "values": values} if values and varies else None


def _encode_table(spec: Mapping[str, Any], inputs: Any) -> Array:
    frame = inputs if isinstance(inputs, pd.DataFrame) else _as_frame(inputs)
    frame = pick(frame, spec["columns"], "the inputs")
    blocks = []
    if spec["numeric"]:
        parts = spec["numeric"]
        values = np.stack([numbers(frame[p["name"]], p["name"]) for p in parts], axis=1).astype(np.float32)
        values = np.where(np.isnan(values), np.array([p["fill"] for p in parts], dtype=np.float32), values)
        blocks.append(_standardise(values, [p["mean"] for p in parts], [p["scale"] for p in parts]))
    blocks += [_one_hot(frame[part["name"]], part["values"]) for part in spec["categorical"]]
    return np.concatenate(blocks, axis=1)


def _one_hot(column: pd.Series, values: list[str]) -> Array:
    codes, names = texts(column)
    place = {value: i for i, value in enumerate(values)}
    missing, unknown = len(values), len(values) + 1
    columns = np.array([*(place.get(name, unknown) for name in names), missing])
    out = np.zeros((len(column), len(values) + 2), dtype=np.float32)
    out[np.arange(len(column)), columns[codes]] = 1
    return out


def _as_frame(inputs: Any) -> pd.DataFrame:
    if isinstance(inputs, Mapping) or (isinstance(inputs, list) and inputs and isinstance(inputs[0], Mapping)):
        return pd.DataFrame(inputs)
    raise ShapeMismatch(
        f"expected a table with named columns, got {type(inputs).__name__}",
        "give a pandas DataFrame, a mapping of columns or a list of records",
    )
