"""Rows of several parts, as they are read: a text, a table, an array and an image of the same thing.

In Python a mapping of names to parts, nested ones flattened with dotted names; of a table the columns of each part:
`inputs: {text: [title], numbers: [weight, price], image: [file]}`. A part named as a kind is of that kind, the kind of
any other is seen in it. A missing text is an empty one, a missing picture is black (zeros); both are said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xxhash

from limbeck.core.errors import ConfigError, LimbeckError
from limbeck.core.parts import Parts, flattened, missing
from limbeck.data.rows import Array
from limbeck.data.texts import as_texts, is_missing_text, is_text_list

if TYPE_CHECKING:
    from limbeck.data.raw import Raw

PARTS = "parts"
KINDS = ("text", "table", "image", "array")  # what a part may be
Read = tuple[str, Any, list[str]]  # a kind, the rows of it, what was done in words


def parts_of(given: Mapping[Any, Any], split: str, base: Path | None = None) -> tuple[Parts, list[str]]:
    """Named parts, each of a kind that limbeck knows, and what was done about what is missing, in words.

    Raises ConfigError for parts of different lengths and for one whose kind cannot be seen.
    """
    flat = flattened(given)
    if not flat:
        raise ConfigError(f"expected parts of the rows of {split}, got none", "name each: {'title': ..., 'image': ...}")
    found: dict[str, Any] = {}
    kinds: dict[str, str] = {}
    notes: list[str] = []
    for name, values in flat.items():
        try:
            kinds[name], found[name], said = _part(name, values, split, base or Path())
        except LimbeckError as err:
            raise ConfigError(f"part '{name}': {err.what}", err.todo) from err
        notes += said
    try:
        return Parts(found, kinds), notes
    except LimbeckError as err:
        raise ConfigError(f"{split}: {err.what}", err.todo) from None


def _part(name: str, values: Any, split: str, base: Path) -> Read:
    from limbeck.data.raw import inputs_of, table_of

    cells = _cells(values)
    said = name.rpartition(".")[2]
    column = str(values.columns[0]) if isinstance(values, pd.DataFrame) and len(values.columns) else name
    if said == "text" and cells is None and isinstance(values, pd.DataFrame) and 1 <= values.shape[1] <= 2:
        return "text", *as_texts({str(column): values[column] for column in values}, split)
    if cells is not None and (read := _of_cells(column, said, cells, split, base)) is not None:
        return read
    if isinstance(values, pd.DataFrame | pd.Series):
        frame = values.to_frame(name=name) if isinstance(values, pd.Series) else values
        table, notes = table_of(frame, split)
        return "table", table, notes
    if hasattr(values, "shape") or hasattr(values, "detach") or isinstance(values, list | tuple):
        kind, array = inputs_of(values if np.ndim(values) != 1 else np.asarray(values)[:, None], split)
        return kind, array, []
    raise ConfigError(
        f"expected texts, a frame, an array or images in {split}, got {type(values).__name__}",
        "give a list of texts, a DataFrame, an array [N, ...], or a list of images of one size",
    )


def _cells(values: Any) -> list[Any] | None:
    """The entries of a part that has one object a row; None for frames of several columns and plain arrays."""
    if isinstance(values, pd.DataFrame):
        return list(values.iloc[:, 0]) if values.shape[1] == 1 else None
    if isinstance(values, pd.Series):
        return list(values)
    if isinstance(values, np.ndarray):
        return list(values) if values.dtype.kind in "OU" and values.ndim == 1 else None
    return list(values) if isinstance(values, list | tuple) else None


def _of_cells(column: str, said: str, cells: list[Any], split: str, base: Path) -> Read | None:
    """Texts, images or arrays in the cells of one column; None where they are numbers or categories."""
    from limbeck.data.images import IMAGES, opened, pixels_of

    said_of: list[str] = []
    there = [cell for cell in cells if not is_missing_text(cell)]
    if not there:
        raise ConfigError(f"expected something in {split}, all {len(cells)} entries are missing", "leave the part out")
    if all(isinstance(cell, str | Path) for cell in there):
        if said == "image" or (said not in KINDS and all(str(c).lower().endswith(IMAGES) for c in there)):
            read = [None if is_missing_text(c) else opened(base / str(c), None, said_of) for c in cells]
            return _images(column, read, split, said_of)
        if said == "table" or not is_text_list(cells):
            return None
        return "text", *as_texts({column: cells}, split)
    if all(hasattr(cell, "convert") and hasattr(cell, "mode") for cell in there):
        read = [None if is_missing_text(c) else pixels_of(c, None, said_of) for c in cells]
        return _images(column, read, split, said_of)
    if all(isinstance(cell, np.ndarray | list | tuple) or hasattr(cell, "detach") for cell in there):
        arrays = [None if is_missing_text(c) else np.asarray(c.detach() if hasattr(c, "detach") else c) for c in cells]
        return _images(column, arrays, split)
    kinds = sorted({type(cell).__name__ for cell in there})
    if not all(isinstance(cell, str | int | float | np.number | np.bool_ | bool) for cell in there):
        raise ConfigError(
            f"expected a text, a number, an array or an image in every row of {split}, got {' and '.join(kinds[:3])}",
            f"a part is one of {', '.join(KINDS)}; name the part as its kind, or change what stands in it",
        )
    return None


def _images(name: str, arrays: Sequence[Array | None], split: str, notes: Sequence[str] = ()) -> Read:
    """Arrays of one shape, missing ones zeros; `notes` are of what was changed in reading them."""
    from limbeck.data.images import stack
    from limbeck.data.raw import inputs_of

    there = [array for array in arrays if array is not None]
    gone = len(arrays) - len(there)
    if len({array.shape for array in there}) > 1 and any(array.ndim < 2 for array in there):
        shapes = sorted({array.shape for array in there})
        raise ConfigError(
            f"expected rows of one shape in {split}, got {shapes[0]} and {shapes[1]}", "resize or pad them"
        )
    blank = np.zeros_like(there[0])
    kind, inputs = inputs_of(stack([blank if a is None else a for a in arrays], f"'{name}' of {split}"), split)
    said = [f"{gone} missing entries in '{name}' of {split} count as zeros"] if gone else []
    return kind, inputs, [*dict.fromkeys(notes), *said]


# ------------------------------------------------------------------------------------------ columns of a table


def columns_of_parts(inputs: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The columns of each part; raises ConfigError for a part without columns and a column in two parts."""
    found = {str(p): (c,) if isinstance(c, str) else tuple(c) for p, c in flattened(inputs).items()}
    where: dict[str, str] = {}
    for part, columns in found.items():
        if not columns:
            raise ConfigError(f"expected columns for the part '{part}', got none", "name its columns, or leave it out")
        for column in columns:
            if column in where:
                raise ConfigError(
                    f"expected a column to stand in one part, '{column}' is in '{where[column]}' and in '{part}'",
                    "take it out of one of them",
                )
            where[column] = part
    return found


def parts_of_frame(
    frame: pd.DataFrame, inputs: Mapping[str, tuple[str, ...]], split: str, base: Path | None = None
) -> tuple[Parts, list[str]]:
    """The parts of the rows of a table."""
    chosen = {part: frame[list(columns)].reset_index(drop=True) for part, columns in inputs.items()}
    return parts_of(chosen, split, base)


# ------------------------------------------------------------------------------------------ what each part does


def keys_of(inputs: Parts) -> Array:
    """Keys [N, 2] of rows: those of every part under its name, whatever the order of the parts."""
    from limbeck.data.keys import row_keys

    names = sorted(inputs.names)
    header = b"parts:" + "\0".join(names).encode()
    each = [row_keys(inputs.kinds[name], inputs[name]).astype(">u8") for name in names]
    joined = np.ascontiguousarray(np.concatenate(each, axis=1))
    digests = b"".join(xxhash.xxh3_128_digest(header + row.tobytes()) for row in joined)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def of_part(raw: Raw, name: str) -> Raw:
    """One part of a split as if it were all of it."""
    assert isinstance(raw.inputs, Parts)
    return replace(raw, kind=raw.inputs.kinds[name], inputs=raw.inputs[name], notes=())


def agreed_parts(raws: Mapping[str, Raw], agree: Callable[[Mapping[str, Raw]], dict[str, Raw]]) -> dict[str, Raw]:
    """Splits whose parts agree, each by itself; raises ConfigError naming the part that does not."""
    first = raws["train"]
    assert isinstance(first.inputs, Parts)
    names = first.inputs.names
    for split, raw in raws.items():
        if not isinstance(raw.inputs, Parts):
            raise ConfigError(
                f"expected rows of parts ({', '.join(names)}) in {split}, as in train, got rows of kind {raw.kind}",
                f"give {split} as a mapping of the same parts",
            )
        if (error := missing(names, raw.inputs.names, split)) is not None:
            raise error
    parts: dict[str, dict[str, Any]] = {split: {} for split in raws}
    notes: list[str] = []
    for name in names:
        try:
            found = agree({split: of_part(raw, name) for split, raw in raws.items()})
        except LimbeckError as err:
            raise ConfigError(f"part '{name}': {err.what}", err.todo) from None
        notes += [f"part '{name}': {note}" for note in found["train"].notes]
        for split, raw in found.items():
            parts[split][name] = _in_order(raw.inputs, found["train"].inputs)
    out = {s: replace(raw, inputs=Parts(parts[s], first.inputs.kinds)) for s, raw in raws.items()}
    return {**out, "train": replace(out["train"], notes=(*out["train"].notes, *notes))}


def _in_order(inputs: Any, like: Any) -> Any:
    return inputs[list(like.columns)] if isinstance(inputs, pd.DataFrame) else inputs
