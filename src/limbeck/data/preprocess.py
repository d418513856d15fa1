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
            "keep": null and "fill": null, and one mean and scale for each entry of the last axis; series [C, T] have
            "channels_first": true and one mean and scale a channel.
            Series of different lengths have "ragged": true and a mean and scale a channel (`data.ragged`).
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
from limbeck.data.fitting import fit_array, fit_image, fit_table
from limbeck.data.frames import numbers, pick, texts
from limbeck.data.ragged import fit_ragged, is_ragged, padded_series
from limbeck.data.rows import KINDS, Array, Rows, row_shape

MAX_VALUES = 64


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
            return cls({"kind": "text", "columns": list(row_shape(rows.inputs))})
        if rows.kind == "audio":
            longest = int(max(lengths(rows.inputs), default=1))
            return cls({"kind": "audio", "rate": rows.rate, "length": longest})
        if rows.kind == "table":
            return cls(fit_table(rows.inputs, max_values))
        if rows.kind == "array" and is_ragged(rows.inputs):
            return cls(fit_ragged(rows.inputs))  # type: ignore[arg-type]
        return cls(fit_image(rows.inputs) if rows.kind == "image" else fit_array(rows.inputs))

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
        if self.ragged:
            values = padded_series(inputs, self.spec["shape"])
            turn = (-1, 1) if values.ndim == 3 else (1,)
            return _standardise(values, *(np.reshape(self.spec[name], turn) for name in ("mean", "scale")))
        if isinstance(inputs, pd.DataFrame):
            inputs = inputs.to_numpy()
        inputs = np.asarray(inputs)
        return _encode_image(self.spec, inputs) if self.spec["kind"] == "image" else _encode_array(self.spec, inputs)

    @property
    def ragged(self) -> bool:
        """Whether rows are series of different lengths, which are encoded with NaN behind the end of each."""
        return bool(self.spec.get("ragged", False))

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

    @cached_property
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


# ------------------------------------------------------------------------------------------ arrays


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
    turn = (-1, 1) if spec.get("channels_first", False) else (-1,)
    return _standardise(values, *(np.reshape(spec[name], turn) for name in ("mean", "scale")))


def _standardise(values: Array, mean: Any, scale: Any) -> Array:
    """(values - mean) / scale in place: the values are a copy of what was given."""
    values -= np.asarray(mean, dtype=np.float32)
    values /= np.asarray(scale, dtype=np.float32)
    return values


# ------------------------------------------------------------------------------------------ images


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
