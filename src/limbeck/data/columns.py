"""Which columns of a table mean what: as the user says, or as their names suggest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from limbeck.data.words import COLUMNS as WORD_COLUMNS
from limbeck.data.words import TAGS
from limbeck.signals import MAIN

LABELS = ("label", "labels", "target", "y", "class", "species")


@dataclass(frozen=True)
class NamedColumns:
    """Which columns of a table mean what, for `lb.Data(columns=...)`; without `inputs` all others are inputs.

    `target` is one column, several, or a mapping of task to columns; `inputs` may be a mapping of parts to columns. By
    `slices` the test rows are told apart in the scorecard; these columns stay inputs where they are such, `drop` takes
    them out.
    """

    inputs: tuple[str, ...] | Mapping[str, Any] = ()
    target: Any = None
    id: str | None = None
    group: str | None = None
    weight: str | None = None
    drop: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()


class Columns(Protocol):
    """What says which columns mean what: `NamedColumns`, or the columns of a recipe."""

    @property
    def inputs(self) -> tuple[str, ...] | Mapping[str, Any]:
        """Input columns."""
        ...

    @property
    def target(self) -> Any:
        """Label columns."""
        ...

    @property
    def id(self) -> str | None:
        """The column of row ids."""
        ...

    @property
    def group(self) -> str | None:
        """The column of groups."""
        ...

    @property
    def weight(self) -> str | None:
        """The column of weights."""
        ...

    @property
    def drop(self) -> tuple[str, ...]:
        """Columns that are left out."""
        ...

    @property
    def slices(self) -> tuple[str, ...]:
        """Columns by which test rows are told apart."""
        ...


def targets_of(columns: Columns) -> dict[str, tuple[str, ...]]:
    """Label columns by task."""
    target = columns.target
    if target is None:
        return {}
    if isinstance(target, str):
        return {MAIN: (target,)}
    if isinstance(target, Mapping):
        return {head: (names,) if isinstance(names, str) else tuple(names) for head, names in target.items()}
    return {MAIN: tuple(target)}


def input_names(columns: Columns | None) -> tuple[str, ...]:
    """All input columns, of rows of parts those of every part."""
    if columns is None:
        return ()
    if isinstance(columns.inputs, Mapping):
        from limbeck.data.parts import columns_of_parts

        return tuple(name for names in columns_of_parts(columns.inputs).values() for name in names)
    return tuple(columns.inputs)


def guess_target(frame: pd.DataFrame) -> str | None:
    """The column that looks like a label: by name, else the last one."""
    names = [str(name) for name in frame.columns]
    lowered = {name.lower(): name for name in names}
    return next((lowered[word] for word in LABELS if word in lowered), names[-1] if len(names) > 1 else None)


def _tagged(frame: pd.DataFrame, names: list[str]) -> tuple[str, str] | None:
    """The columns of words and of their tags, where there are two of that name."""
    lowered = {name.lower(): name for name in names}
    words = next((lowered[name] for name in WORD_COLUMNS if name in lowered), None)
    tags = next((lowered[name] for name in TAGS if name in lowered and lowered[name] != words), None)
    if words is None and tags is not None:  # a text whose spans became tags
        words = next((n for n in names if len(frame) and isinstance(frame[n].iloc[0], tuple)), None)
    return None if words is None or tags is None else (words, tags)


def guess_columns(frame: pd.DataFrame) -> tuple[NamedColumns, list[str]]:
    """Columns of a table with the reason for each guess, for a first recipe."""
    from limbeck.data.generation import pair_in

    if (pair := pair_in(frame)) is not None:
        return pair, [f"source: {input_names(pair)[0]}, target: {pair.target} (by their names)"]
    names = [str(name) for name in frame.columns]
    tagged = _tagged(frame, names)
    target = tagged[1] if tagged else guess_target(frame)
    ids = [
        n for n in names if n.lower() in ("id", "uuid", "key", "index", "row_id") and frame[n].is_unique and n != target
    ]
    if tagged:
        reasons = [f"inputs: {tagged[0]} (lists of words)", f"target: {target} (lists of tags)"]
        return NamedColumns((tagged[0],), target, ids[0] if ids else None), reasons
    reasons = [f"target: {target} ({'by its name' if str(target).lower() in LABELS else 'the last column'})"]
    if ids:
        reasons.append(f"id: {ids[0]} (by its name, every value once)")
    return NamedColumns(target=target, id=ids[0] if ids else None), reasons
