"""Splits of one data set must agree: the same kind of rows, the same columns, numbers where there were numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError, LimbeckError
from limbeck.data.frames import like_column, numbers
from limbeck.data.ondisk import DiskArray, DiskTable
from limbeck.data.parts import PARTS, agreed_parts
from limbeck.data.raw import Raw
from limbeck.data.rows import Inputs, row_shape


def agreed(raws: Mapping[str, Raw]) -> dict[str, Raw]:
    """The splits with the same columns, shapes and floats, each part of a row by itself; raises ConfigError."""
    if raws["train"].kind == PARTS:
        return agreed_parts(raws, agreed)
    refuse_shapes(raws)
    return same_floats({split: like(raws["train"], raw, split) for split, raw in raws.items()})


def refuse_shapes(raws: Mapping[str, Raw]) -> None:
    """Raise ConfigError where a split has other columns, another shape or another dtype of images than train."""
    first = raws["train"]
    for split, raw in raws.items():
        if raw.kind == first.kind and first.kind in ("table", "text"):
            missing = [n for n in row_shape(first.inputs) if n not in row_shape(raw.inputs)]
            extra = [n for n in row_shape(raw.inputs) if n not in row_shape(first.inputs)]
            if missing or extra:
                raise ConfigError(
                    f"expected the same input columns in {split} as in train"
                    + (f", missing: {', '.join(missing)}" if missing else "")
                    + (f", not in train: {', '.join(extra)}" if extra else ""),
                    "name the input columns with columns.inputs",
                )
        elif raw.kind == first.kind == "image" and _dtype(raw) != _dtype(first):
            raise ConfigError(
                f"expected images of {split} as {_dtype(first)}, as in train, got {_dtype(raw)}",
                "give every split in the same range of pixels and the same dtype",
            )
        elif raw.kind == first.kind == "audio":
            continue  # clips have any length, and were brought to one rate
        elif raw.kind != first.kind or row_shape(raw.inputs) != row_shape(first.inputs):
            raise ConfigError(
                f"expected rows of {split} as in train ({first.kind} {row_shape(first.inputs)}), "
                f"got {raw.kind} {row_shape(raw.inputs)}",
                "give every split in the same form",
            )


def like(train: Raw, raw: Raw, split: str) -> Raw:
    """A split whose columns are numbers or text as they are in train, so that equal rows have equal keys.

    Raises ConfigError for text where train has numbers.
    """
    if raw is train or raw.kind != "table":
        return raw
    first: Any
    inputs: Any
    first, inputs = (r.inputs.head() if isinstance(r.inputs, DiskTable) else r.inputs for r in (train, raw))
    changed: dict[str, Any] = {}
    try:
        for name in first.columns:
            changed |= like_column(first[name], inputs[name], name)
    except LimbeckError as err:
        raise ConfigError(f"{split}: {err.what}", err.todo) from None
    if changed and isinstance(raw.inputs, DiskTable):
        raise ConfigError(
            f"{split}: expected {', '.join(changed)} as in train, numbers or text, the stream holds the other",
            "write the shards as the training rows are",
        )
    return replace(raw, inputs=inputs.assign(**changed)) if changed else raw


def same_floats(raws: Mapping[str, Raw]) -> dict[str, Raw]:
    """The splits with wider floats made float32 where another split has float32, so that copies of a row share a key.

    Integers, images and narrower floats stay as they are; the training split gets a note of what was changed.
    """
    first = raws["train"]
    if first.kind == "image":
        return dict(raws)
    if isinstance(first.inputs, pd.DataFrame | DiskTable):
        found = [n for n in first.inputs.columns if _differ([_dtype(raw, n) for raw in raws.values()])]
        where = f"column {', '.join(map(str, found))}"
    else:
        found = ["x"] if _differ([_dtype(raw) for raw in raws.values()]) else []
        where = "the inputs"
    if not found:
        return dict(raws)
    note = f"floats of {where} became float32 in every split, as they are in one of them"
    out = {split: _narrowed(raw, found) for split, raw in raws.items()}
    return {**out, "train": replace(out["train"], notes=(*out["train"].notes, note))}


def _differ(dtypes: Sequence[Any]) -> bool:
    sizes = {dtype.itemsize for dtype in dtypes if pd.api.types.is_float_dtype(dtype)}
    return 4 in sizes and max(sizes) > 4


def _dtype(raw: Raw, name: Any = None) -> Any:
    inputs = raw.inputs
    if isinstance(inputs, DiskTable):
        return inputs.dtype_of(name)
    if isinstance(inputs, pd.DataFrame):
        return inputs[name].dtype
    return inputs.dtype if isinstance(inputs, DiskArray) else np.asarray(inputs).dtype


def _narrowed(raw: Raw, names: Sequence[Any]) -> Raw:
    if isinstance(raw.inputs, DiskArray):
        return (
            replace(raw, inputs=cast("Inputs", raw.inputs.astype({"": np.float32}))) if _wide(raw.inputs.dtype) else raw
        )
    if isinstance(raw.inputs, DiskTable):
        wide = {str(n): np.float32 for n in names if _wide(raw.inputs.dtype_of(n))}
        return replace(raw, inputs=cast("Inputs", raw.inputs.astype(wide))) if wide else raw
    if not isinstance(raw.inputs, pd.DataFrame):
        return replace(raw, inputs=np.asarray(raw.inputs).astype(np.float32)) if _wide(_dtype(raw)) else raw
    columns = {n: raw.inputs[n] for n in names if _wide(raw.inputs[n].dtype)}
    new = {n: pd.Series(numbers(c, n).astype(np.float32), index=c.index) for n, c in columns.items()}
    return replace(raw, inputs=raw.inputs.assign(**new)) if new else raw


def _wide(dtype: Any) -> bool:
    return pd.api.types.is_float_dtype(dtype) and dtype.itemsize > 4
