"""A user's own augmentation: any callable (row, generator) -> row, known by its code, its replay verified."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import CodeType
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.core.specs import fingerprint as hash_of
from limbeck.data.counter import row_words
from limbeck.data.rows import Array, Rows, in_memory, take_inputs

_SAMPLE = 16
_DEEP = 6


class OwnView:
    """A user's augmentation: (row, numpy Generator) -> row of the same shape.

    Raises ConfigError where the callable fails, or gives a row of another shape or dtype.
    """

    def __init__(self, function: Callable[[Any, np.random.Generator], Any], seed: int) -> None:
        self.function, self.seed = function, seed

    @property
    def fingerprint(self) -> str:
        """A hash of the function's code, constants, defaults, closure and the plain globals it reads, and the seed."""
        return hash_of([identity(self.function), self.seed])

    def describe(self) -> str:
        """Its name."""
        inner = self.function.func if isinstance(self.function, functools.partial) else self.function
        return str(getattr(inner, "__qualname__", type(inner).__name__))

    def __call__(self, inputs: Any, keys: Array, views: Array) -> Any:
        """Augment row by row; rows under view 0 stay as they are."""
        words = row_words(self.seed, keys, np.asarray(views), 0)
        changed = np.flatnonzero(np.asarray(views) > 0)
        if isinstance(inputs, pd.DataFrame):
            return self._table(inputs, words, changed)
        whole = np.array(inputs)
        for i in changed:
            row = np.asarray(self._made(np.array(inputs[i]), words[i], int(i)))
            if whole.dtype == object:  # clips of any length
                whole[i] = _clip(row, self.describe())
                continue
            if row.shape != whole.shape[1:] or not np.can_cast(row.dtype, whole.dtype, "same_kind"):
                raise ConfigError(
                    f"expected a row {whole.shape[1:]} of {whole.dtype} from the view {self.describe()}, "
                    f"got {row.shape} of {row.dtype}",
                    f"return the row in its own shape, for example row.astype('{whole.dtype}')",
                )
            whole[i] = row
        return whole

    def _made(self, row: Any, word: Any, place: int) -> Any:
        try:
            return self.function(row, np.random.Generator(np.random.Philox(key=int(word))))
        except Exception as e:
            raise ConfigError(
                f"expected a row from the view {self.describe()}, row {place} gave {type(e).__name__}: {e}",
                "a view is a function (row, generator) -> row of one raw row",
            ) from e

    def _table(self, inputs: pd.DataFrame, words: Array, changed: Array) -> pd.DataFrame:
        names = list(inputs.columns)
        cells = {name: inputs[name].to_numpy(dtype=object, copy=True) for name in names}
        for i in changed:
            row = self._made(pd.Series({name: cells[name][i] for name in names}, dtype=object), words[i], int(i))
            if not isinstance(row, pd.Series | Mapping) or set(row.keys()) != set(names):
                got = type(row).__name__
                raise ConfigError(
                    f"expected a row with the columns {', '.join(map(str, names))} from the view {self.describe()}, "
                    + (f"got {', '.join(map(str, row.keys()))}" if hasattr(row, "keys") else f"got {got}"),
                    "return the pandas Series that it is given, changed",
                )
            for name in names:
                cells[name][i] = row[name]
        return pd.DataFrame({name: self._column(cells[name], inputs[name]) for name in names})

    def _column(self, cells: Array, like: pd.Series) -> pd.Series:
        try:
            return pd.Series(cells).astype(like.dtype)
        except (TypeError, ValueError) as e:
            raise ConfigError(
                f"expected {like.dtype} in column '{like.name}' from the view {self.describe()}, got: {e}",
                "return every value in the type that it came in",
            ) from e


def _clip(row: Array, view: str) -> Array:
    if row.ndim != 1 or not row.size or row.dtype.kind != "f" or not np.isfinite(row).all():
        raise ConfigError(
            f"expected a clip of finite samples [T] from the view {view}, got {row.dtype} {list(row.shape)}",
            "return the samples as floats between -1 and 1",
        )
    return row.astype(np.float32)


def identity(thing: Any, depth: int = _DEEP) -> Any:
    """What decides the result of a callable, as plain data without addresses: the same in every process."""
    if isinstance(thing, str | bytes | int | float | complex | bool | type(None)):
        return repr(thing)
    if isinstance(thing, np.ndarray | pd.DataFrame | pd.Series):
        array = np.asarray(thing)
        return [
            str(array.dtype),
            list(array.shape),
            hash_of(array.tolist() if array.dtype == object else array.tobytes().hex()),
        ]
    name = f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"
    if depth == 0:
        return name
    if isinstance(thing, CodeType):
        return [thing.co_code.hex(), list(thing.co_names), [identity(c, depth - 1) for c in thing.co_consts]]
    if isinstance(thing, Mapping):
        return [[identity(k, depth - 1), identity(v, depth - 1)] for k, v in thing.items()]
    if isinstance(thing, set | frozenset):
        return sorted(repr(identity(v, depth - 1)) for v in thing)
    if isinstance(thing, list | tuple):
        return [identity(v, depth - 1) for v in thing]
    if isinstance(thing, functools.partial):
        return [identity(part, depth - 1) for part in (thing.func, thing.args, thing.keywords)]
    if hasattr(thing, "__func__"):  # a bound method
        return [identity(thing.__func__, depth - 1), identity(thing.__self__, depth - 1)]
    if hasattr(thing, "__code__"):
        return _function(thing, depth)
    if isinstance(thing, type) or not hasattr(thing, "__dict__"):
        return name
    call = vars(type(thing)).get("__call__")
    return [name, identity(vars(thing), depth - 1), identity(call, depth - 1) if hasattr(call, "__code__") else ""]


def _function(thing: Any, depth: int) -> list[Any]:
    names = [n for n in thing.__code__.co_names if n in thing.__globals__]
    read = {n: thing.__globals__[n] for n in names}
    plain = {n: v for n, v in read.items() if hasattr(v, "__code__") or isinstance(v, str | int | float | np.ndarray)}
    cells = [cell.cell_contents for cell in thing.__closure__ or ()]
    parts = (thing.__code__, thing.__defaults__, thing.__kwdefaults__, cells, plain)
    return [identity(part, depth - 1) for part in parts]


def verify_replay(view: Any, rows: Rows) -> None:
    """Refuse a callable that gives another row the second time; raises ConfigError naming the row."""
    count = min(len(rows), _SAMPLE)
    part = rows.take(np.arange(count))
    part = replace(part, inputs=in_memory(part.inputs))
    views = np.ones(count, dtype=np.int64)
    first = view(part.inputs, part.keys, views)
    order = np.arange(count)[::-1]
    second = view(take_inputs(part.inputs, order), part.keys[order], views)
    for i in range(count):
        j = count - 1 - i
        same = first.iloc[i].equals(second.iloc[j]) if isinstance(first, pd.DataFrame) else _equal(first[i], second[j])
        if not same:
            raise ConfigError(
                f"expected the view {view.describe()} to give the same row from the same generator, row {i} differs",
                "draw from the generator that it is given only, and keep no state between calls",
            )


def _equal(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f"))
