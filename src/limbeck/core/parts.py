"""Rows that consist of named parts, such as a text, a table and a picture of the same thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.core.kinds import suggest


class Parts:
    """Columns of rows by name, each an array, a frame or a tensor with one entry a row; the order of names is fixed.

    `len` is the number of rows, a name gives a part, anything else takes rows. `kinds` says what each part is, where
    that is known. Raises ShapeMismatch where the parts have different lengths.
    """

    def __init__(self, values: Mapping[str, Any], kinds: Mapping[str, str] | None = None) -> None:
        self._values = dict(values)
        self.kinds = dict(kinds or {})
        lengths = {name: len(part) for name, part in self._values.items()}
        if not lengths:
            raise ShapeMismatch("expected at least one part, got none", "name the parts of a row")
        if len(set(lengths.values())) > 1:
            raise ShapeMismatch(
                "expected parts of one length, got " + ", ".join(f"{n} in '{name}'" for name, n in lengths.items()),
                "give every part one entry a row",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts in their order."""
        return tuple(self._values)

    def __len__(self) -> int:
        return len(next(iter(self._values.values())))

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            if index not in self._values:
                near = suggest(index, self.names)
                raise ConfigError(f"expected a part named {' or '.join(self.names)}, got '{index}'", near)
            return self._values[index]
        return self.map(lambda _name, part: _rows_of(part, index))

    def items(self) -> list[tuple[str, Any]]:
        """Names and parts."""
        return list(self._values.items())

    def plain(self) -> dict[str, Any]:
        """The parts as a dict."""
        return dict(self._values)

    def map(self, change: Callable[[str, Any], Any]) -> Parts:
        """The same names, each part changed."""
        return Parts({name: change(name, part) for name, part in self._values.items()}, self.kinds)

    def to(self, device: Any) -> Parts:
        """Tensors on another device."""
        return self.map(lambda _name, part: part.to(device))

    def index_select(self, dim: int, index: Any) -> Parts:
        """Rows of tensors at positions; `dim` is 0."""
        return self.map(lambda _name, part: part.index_select(dim, index))

    def __repr__(self) -> str:
        return f"Parts({len(self)} rows; {', '.join(self._values)})"


def _rows_of(part: Any, index: Any) -> Any:
    """Rows of one part; a frame comes back with a fresh index."""
    if not hasattr(part, "iloc"):
        return part[index]
    index = np.asarray(index) if not isinstance(index, slice) else index
    return part.iloc[index].reset_index(drop=True)


def plain(rows: Any) -> Any:
    """Rows as a model takes them: parts as a dict, anything else as it is."""
    return rows.plain() if isinstance(rows, Parts) else rows


def flattened(values: Mapping[Any, Any], before: str = "") -> dict[str, Any]:
    """A nested mapping as one with dotted names: {"a": {"b": x}} is {"a.b": x}; raises ConfigError for a name twice."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        inner = flattened(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
        if twice := sorted(set(inner) & set(found)):
            raise ConfigError(f"expected distinct names of parts, got '{twice[0]}' twice", "rename one of them")
        found |= inner
    return found


def missing(wanted: Sequence[str], there: Sequence[str], where: str) -> ConfigError | None:
    """The error for parts that are not there or too many; None where names agree."""
    gone = [name for name in wanted if name not in there]
    more = [name for name in there if name not in wanted]
    if not gone and not more:
        return None
    said = [f"missing: {', '.join(gone)}"] if gone else []
    said += [f"not in train: {', '.join(more)}"] if more else []
    near = next((found for name in more if (found := suggest(name, gone))), "")
    return ConfigError(
        f"expected the same parts in {where} as in train ({', '.join(wanted)}), {'; '.join(said)}",
        near or "give every split all parts of a row",
    )
