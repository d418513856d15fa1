"""Row keys: the 128-bit hash of a row's canonical input, without its label.

Equal inputs have equal keys on every machine and in every container; different inputs have different ones:
- numbers are equal by value (1, 1.0, True; pandas may upcast a column), -0.0 is 0.0, there is one NaN;
- None, NaN, NaT and NA are one missing value, which is not the text "nan";
- text is hashed as UTF-8 under its own tag, so that "1" is not 1 and ("ab", "c") is not ("a", "bc");
- the shape of an array, the names of columns (in any order) and the dtype of an image are part of the input.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import xxhash

from limbeck.core.errors import ConfigError
from limbeck.core.parts import Parts
from limbeck.data.ondisk import OnDisk
from limbeck.data.ragged import is_ragged, ragged_keys
from limbeck.data.rows import Array, Inputs

_VERSION = b"limbeck-key-1"
_CELL = 17  # a tag and 16 bytes
_CHUNK_BYTES = 1 << 23
_LOOKED_UP = 1 << 16  # keys looked up at once
_EXACT = 1 << 53  # integers up to here are exact in float64
_MISSING, _NUMBER, _TEXT, _BIG, _TIME, _BYTES, _LIST = range(7)


def row_keys(kind: str, inputs: Inputs) -> Array:
    """Keys [N, 2] uint64 (column 0 the high word) of the rows of an array [N, ...], a table, images, clips or parts.

    Raises ConfigError for values that have no canonical form, naming the column.
    """
    if isinstance(inputs, Parts):
        from limbeck.data.parts import keys_of

        return keys_of(inputs)
    if isinstance(inputs, OnDisk):
        parts = [row_keys(kind, part) for part in inputs.chunks()] if inputs.own_keys is None else [inputs.own_keys]
        return np.concatenate(parts)
    if isinstance(inputs, pd.DataFrame):
        return _table_keys(inputs)
    if kind == "audio":
        return _clip_keys(inputs)
    if is_ragged(inputs):
        return _series_keys(inputs)
    return _image_keys(inputs) if kind == "image" else _array_keys(inputs)


def key_hex(keys: Array) -> list[str]:
    """Keys [N, 2] as 32 hex digits each."""
    digits = np.asarray(keys, dtype=np.uint64).astype(">u8").tobytes().hex()
    return [digits[at : at + 32] for at in range(0, len(digits), 32)]


def keys_from_hex(names: Iterable[str]) -> Array:
    """Keys [N, 2] of what `key_hex` wrote."""
    whole = bytes.fromhex("".join(names))
    return np.frombuffer(whole, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def as_scalars(keys: Array) -> Array:
    """Keys as one comparable value each [N] (a structured pair), for np.unique, np.isin and sorting."""
    pairs = np.ascontiguousarray(keys, dtype=np.uint64).view([("high", np.uint64), ("low", np.uint64)])
    return pairs.reshape(-1)


def inverse_of(keys: Array) -> tuple[Array, int]:
    """A small number for each key [N], equal for equal keys, in order of first appearance; and how many there are.

    Goes through the high word, and only where two keys share one through both.
    """
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    ranked = keys[order]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    group = np.cumsum(new) - 1
    out = np.empty(len(keys), dtype=np.int64)
    out[order] = group
    codes, _ = pd.factorize(out)
    return codes.astype(np.int64), int(new.sum())


def found_in(keys: Array, others: Array) -> Array:
    """Which of the keys [N, 2] stand among the others [M, 2]: bool [N]."""
    few, many = (keys, others) if len(keys) < len(others) else (others, keys)
    order = np.lexsort((few[:, 1], few[:, 0]))
    high, low = few[order, 0], few[order, 1]
    if ((high[1:] == high[:-1]) & (low[1:] != low[:-1])).any():  # hardly ever: different keys share their high word
        codes, _ = inverse_of(np.concatenate([others, keys]))
        return np.isin(codes[len(others) :], codes[: len(others)])
    hit, marked = np.zeros(len(many), dtype=bool), np.zeros(len(few), dtype=bool)
    for start in range(0, len(many) if len(few) else 0, _LOOKED_UP):
        part = many[start : start + _LOOKED_UP]
        at = np.minimum(high.searchsorted(part[:, 0]), len(high) - 1)
        found = (high[at] == part[:, 0]) & (low[at] == part[:, 1])
        hit[start : start + len(part)] = found
        marked[at[found]] = True
    if many is keys:
        return hit
    first = high.searchsorted(high)  # equal keys stand together: the first of them was marked
    out = np.empty(len(few), dtype=bool)
    out[order] = marked[first]
    return out


def _digests(buffer: memoryview, width: int, count: int, header: bytes) -> Array:
    """xxh3-128 of each fixed-width row of a buffer, under a seed made of the header."""
    seed = xxhash.xxh3_64_intdigest(_VERSION + header)
    digest = xxhash.xxh3_128_digest
    starts = range(0, width * count, width) if width else [0] * count
    joined = b"".join([digest(buffer[at : at + width], seed) for at in starts])
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def _flat(values: Array) -> memoryview:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data


def _chunked(inputs: Array, make: Any, bytes_each: int) -> Array:
    step = max(1, _CHUNK_BYTES // max(bytes_each, 1))
    parts = [make(inputs[at : at + step]) for at in range(0, len(inputs), step)]
    return np.concatenate(parts) if parts else np.zeros((0, 2), dtype=np.uint64)


# ------------------------------------------------------------------------------------------ images and arrays


def _image_keys(inputs: Array) -> Array:
    little = inputs.dtype.newbyteorder("<")
    header = f"image:{little.str}:{inputs.shape[1:]}".encode()
    width = int(np.prod(inputs.shape[1:], dtype=np.int64)) * little.itemsize

    def make(part: Array) -> Array:
        part = part.astype(little, copy=False)
        if little.kind == "f":
            part = _one_zero_one_nan(part)
        return _digests(_flat(part), width, len(part), header)

    return _chunked(inputs, make, width)


def _clip_keys(inputs: Array) -> Array:
    clips = [_one_zero_one_nan(clip.astype("<f4", copy=False)) for clip in inputs]
    keys = [_digests(_flat(clip), 4 * len(clip), 1, b"audio") for clip in clips]
    return np.concatenate(keys) if keys else np.zeros((0, 2), dtype=np.uint64)


def _series_keys(inputs: Array) -> Array:
    keys = []
    for row, header in ragged_keys(inputs):
        values = _one_zero_one_nan(row.astype("<f4"))
        keys.append(_digests(_flat(values), 4 * values.size, 1, header))
    return np.concatenate(keys) if keys else np.zeros((0, 2), dtype=np.uint64)


def _array_keys(inputs: Array) -> Array:
    if inputs.dtype.kind not in "biuf":
        raise ConfigError(
            f"expected an array of numbers, got dtype {inputs.dtype}",
            "give a pandas DataFrame where columns hold text or mixed types",
        )
    header = f"array:{inputs.shape[1:]}".encode()
    size = int(np.prod(inputs.shape[1:], dtype=np.int64))

    def make(part: Array) -> Array:
        values = _one_zero_one_nan(part.astype("<f8"))
        keys = _digests(_flat(values), size * 8, len(part), header)
        for row in np.flatnonzero(_inexact(part).reshape(len(part), -1).any(axis=1)):
            exact = ",".join(str(int(v)) for v in part[row].reshape(-1)).encode()
            keys[row] = _digests(memoryview(exact), len(exact), 1, header + b":big")[0]
        return keys

    return _chunked(inputs, make, size * 8)


def _one_zero_one_nan(values: Array) -> Array:
    values = values + 0.0  # -0.0 + 0.0 is 0.0
    nan = np.isnan(values)
    if nan.any():
        values[nan] = np.nan
    return values


def _inexact(values: Array) -> Array:
    """Integers that float64 cannot hold."""
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8:
        return np.zeros(values.shape, dtype=bool)
    large = (values > _EXACT) | (values < -_EXACT) if values.dtype.kind == "i" else values > _EXACT
    at = np.nonzero(large)
    large[at] = [int(float(v)) != int(v) for v in values[at]]
    return np.asarray(large)


# ------------------------------------------------------------------------------------------ tables


def _table_keys(frame: pd.DataFrame) -> Array:
    names = sorted((str(name), place) for place, name in enumerate(frame.columns))
    header = b"table:" + b"".join(struct.pack("<I", len(n.encode())) + n.encode() for n, _ in names)
    cells = np.zeros((len(frame), len(names), _CELL), dtype=np.uint8)
    for column, (name, place) in enumerate(names):
        _fill(cells[:, column], frame.iloc[:, place], name)
    return _digests(_flat(cells), _CELL * len(names), len(frame), header)


def _fill(cells: Array, column: pd.Series, name: str) -> None:
    """Write the cells [N, 17] of one column."""
    dtype: Any = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        _fill_numbers(cells, column.to_numpy())
        return
    if isinstance(dtype, np.dtype) and dtype.kind in "mM":
        column = column.astype(object)
    if isinstance(dtype, pd.CategoricalDtype):
        codes, uniques = column.cat.codes.to_numpy(), list(dtype.categories)
    else:
        codes, uniques = _factorise(column)
    table = np.zeros((len(uniques) + 1, _CELL), dtype=np.uint8)  # the last entry is the missing value, code -1
    for place, value in enumerate(uniques):
        table[place] = np.frombuffer(_cell(value, name), dtype=np.uint8)
    cells[:] = table[codes]


def _factorise(column: pd.Series) -> tuple[Array, list[Any]]:
    try:
        codes, uniques = pd.factorize(column)
    except TypeError:  # lists and arrays cannot be hashed
        return np.arange(len(column)), list(column)
    return np.asarray(codes), list(uniques)


def _fill_numbers(cells: Array, values: Array) -> None:
    numbers = _one_zero_one_nan(values.astype("<f8"))
    cells[:, 0] = np.where(np.isnan(numbers), _MISSING, _NUMBER)
    cells[:, 1:9] = numbers.view(np.uint8).reshape(len(values), 8)
    cells[cells[:, 0] == _MISSING, 1:] = 0
    for row in np.flatnonzero(_inexact(values)):
        cells[row] = np.frombuffer(_cell(int(values[row]), ""), dtype=np.uint8)


def _cell(value: Any, name: str) -> bytes:
    """A tag and 16 bytes for one value of a table."""
    if value is None or value is pd.NaT or value is pd.NA:
        return bytes(_CELL)
    if isinstance(value, str):
        return _tagged(_TEXT, value.encode("utf-8", "surrogatepass"))
    if isinstance(value, bool | int | float | np.number | np.bool_ | Decimal):
        return _number_cell(value)
    if isinstance(value, pd.Timestamp | np.datetime64):
        stamp = pd.Timestamp(value)
        return _tagged(_TIME, f"{stamp.tz is not None}:{stamp.as_unit('ns').value}".encode())
    if isinstance(value, bytes):
        return _tagged(_BYTES, value)
    if isinstance(value, list | tuple | np.ndarray):
        return _tagged(_LIST, b"".join(_cell(entry, name) for entry in value))
    raise ConfigError(
        f"expected numbers, text, dates or lists in column '{name}', got {type(value).__name__}",
        "leave the column out, or turn its values into numbers or text",
    )


def _number_cell(value: Any) -> bytes:
    if value != value:
        return bytes(_CELL)
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    whole = isinstance(value, int | np.integer | Decimal)
    if whole and number != value:
        return _tagged(_BIG, str(value).encode())
    return bytes([_NUMBER]) + struct.pack("<d", number + 0.0) + bytes(8)


def _tagged(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + xxhash.xxh3_128_digest(content)
