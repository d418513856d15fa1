"""One split as it was read, before labels become targets: raw inputs, raw labels by task, and columns beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.core.parts import flattened
from limbeck.data.columns import Columns, NamedColumns, guess_columns, input_names, targets_of
from limbeck.data.frames import is_number, is_numeric, missing_columns, numbers, refuse_twice, tidy
from limbeck.data.generation import unfolded
from limbeck.data.labels import as_labels, is_missing, text_of
from limbeck.data.parts import PARTS, columns_of_parts, parts_of_frame
from limbeck.data.ragged import ragged_of
from limbeck.data.rows import Array, Inputs
from limbeck.data.slices import slice_values
from limbeck.data.texts import as_texts, is_text_list, texts_of
from limbeck.data.words import with_words, word_lists, words_of
from limbeck.signals import MAIN

NO_GROUP = "\1"  # begins the name of a row that has no group
_LARGEST = float(np.finfo(np.float32).max)  # networks take float32


@dataclass(frozen=True)
class Raw:
    """One split as it was read.

    `inputs` of a kind, `labels` by task, ids, groups and weights by row. `classes` are the classes of a task in the
    order that the source itself declares; `columns` what a table without named columns was taken to be. `rate` is the
    sampling rate of clips, `slices` are what test rows are told apart by.
    """

    kind: str
    inputs: Inputs
    labels: Mapping[str, Any] = field(default_factory=dict)
    label_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ids: Array | None = None
    groups: Array | None = None
    weight: Array | None = None
    notes: tuple[str, ...] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    columns: Columns | None = None
    rate: int = 0
    slices: Mapping[str, Array] = field(default_factory=dict)

    def checked(self, split: str) -> Raw:
        """The same, where everything has one entry for each row; else raises ConfigError."""
        beside = {f"labels of '{head}'": values for head, values in self.labels.items()}
        beside |= {"ids": self.ids, "groups": self.groups, "weights": self.weight}
        for name, values in beside.items():
            if values is not None and len(values) != len(self.inputs):
                raise ConfigError(
                    f"expected one entry a row in {split}, got {len(self.inputs)} rows and {len(values)} {name}",
                    "X, y and whatever stands beside them must be of one length",
                )
        return self


def labels_of(values: Any) -> Array:
    """Raw labels from an array, a tensor, a Series or a list."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else as_labels(values)


def named_labels(y: Any) -> tuple[dict[str, Array], dict[str, tuple[str, ...]]]:
    """Labels by task, and the names of their columns: a mapping is several tasks, a frame several columns of one.

    Tasks of a nested mapping have dotted names.
    """
    if isinstance(y, Mapping):
        return {str(head): labels_of(values) for head, values in flattened(y).items()}, {}
    if isinstance(y, pd.DataFrame):
        return {MAIN: as_labels(y)}, {MAIN: tuple(str(name) for name in y.columns)}
    return {MAIN: labels_of(y)}, {}


def inputs_of(given: Any, split: str) -> tuple[str, Inputs]:
    """Kind and rows, of numbers or texts; raises ConfigError for mixed types, ragged rows and broken numbers."""
    if is_text_list(given):
        return "text", as_texts({"text": given}, split)[0]
    if word_lists(given):
        words = words_of(pd.DataFrame({"tokens": pd.Series(list(given))}), split)
        assert words is not None
        return "text", words
    if (series := ragged_of(given, split)) is not None:
        return "array", series
    array = _as_array(given, split)
    if array.dtype.kind == "O" and array.ndim == 1 and any(isinstance(v, np.ndarray | list | tuple) for v in array):
        shapes = sorted({np.shape(v) for v in array})
        raise ConfigError(
            f"expected rows of one shape in {split}, got {' and '.join(str(shape) for shape in shapes[:2])}",
            "resize or pad them, or leave the odd rows out; where all have one shape give np.stack(rows)",
        )
    if array.dtype.kind == "O" and all(v is None or is_number(v) for v in array.reshape(-1)):
        array = array.astype(np.float64)  # None is NaN
    if array.dtype.kind not in "biuf":
        raise ConfigError(
            f"expected numbers in the inputs of {split}, got {array.dtype}",
            "give text and mixed types as a pandas DataFrame with named columns",
        )
    if array.ndim < 2:
        raise ConfigError(
            f"expected inputs of {split} with one row per example, got shape {array.shape}",
            "for one feature: X[:, None]",
        )
    _refuse_broken(array, split)
    image = array.ndim in (3, 4) and (array.dtype == np.uint8 or (array.ndim == 4 and array.shape[-1] in (1, 3, 4)))
    return ("image" if image else "array"), array


def _as_array(given: Any, split: str) -> Array:
    if hasattr(given, "tocsr"):
        raise ConfigError(f"expected dense inputs of {split}, got a sparse matrix {given.shape}", "give X.toarray()")
    if hasattr(given, "detach"):
        tensor = given.detach().cpu()
        return np.asarray((tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy())
    try:
        return np.asarray(given)
    except ValueError as e:
        raise ConfigError(
            f"expected rows of one shape in {split}, got several", "resize or pad them, or leave the odd rows out"
        ) from e


def _refuse_broken(array: Array, split: str) -> None:
    if array.dtype.kind != "f" or not array.size:
        return
    if max(float(np.fmax.reduce(array, axis=None)), -float(np.fmin.reduce(array, axis=None))) > _LARGEST:
        rows = np.unique(np.argwhere(np.abs(array.astype(np.float64, copy=False)) > _LARGEST)[:, 0])
        raise ConfigError(
            f"expected finite inputs in {split}, got infinity (beyond float32) in {len(rows)} rows, "
            f"the first at {rows[0]}",
            "replace infinities; missing values are NaN and are filled",
        )
    if array.ndim > 2 and np.isnan(array).any():
        rows = np.unique(np.argwhere(np.isnan(array))[:, 0])
        raise ConfigError(
            f"expected no NaN in the inputs of {split}, got some in {len(rows)} rows, the first at {rows[0]}",
            "only missing values of plain columns [N, D] are filled: fill or drop these",
        )


def table_of(frame: pd.DataFrame, split: str) -> tuple[pd.DataFrame, list[str]]:
    """A tidied table and what was changed; raises ConfigError for infinite numbers."""
    table, said = tidy(frame)
    for name in table.columns:
        column = table[name]
        if not (pd.api.types.is_float_dtype(column.dtype) or (column.dtype == object and is_numeric(column))):
            continue
        rows = np.flatnonzero(np.abs(numbers(column, name)) > _LARGEST)
        if len(rows):
            raise ConfigError(
                f"expected finite numbers in column '{name}' of {split}, got infinity (beyond float32) in {len(rows)} "
                f"rows, the first at {rows[0]}",
                "replace infinities; missing values are left empty and are filled",
            )
    return table, said


def of_frame(
    frame: pd.DataFrame, columns: Columns | None, split: str, classes: Mapping[str, tuple[str, ...]] | None = None,
    base: Path | None = None,
) -> Raw:  # fmt: skip
    """Split a table into inputs, labels and the rest, guessing where no columns are named.

    `classes` are declared classes by column, `base` is where paths of images start.
    Raises ConfigError for columns that are not there or are repeated.
    """
    frame = unfolded(frame)
    known = refuse_twice(frame)
    frame = frame.set_axis(known, axis=1)
    frame, notes = with_words(frame, input_names(columns), split)
    if columns is None:
        columns, reasons = guess_columns(frame)
        notes += [f"columns were not named: {'; '.join(reasons)}"] if columns.target is not None else []
    targets = targets_of(columns)
    labelled = [name for names in targets.values() for name in names]
    absent = _refuse_columns(columns, labelled, known, split)
    # labels of unlabelled rows are not read, whether they are there or not
    labels = {} if split == "unlabeled" else {head: _column_labels(frame, n) for head, n in targets.items()}
    beside = {name: None if (n := getattr(columns, name)) in absent else n for name in ("id", "group", "weight")}
    special = {*labelled, *columns.drop, *(n for n in beside.values() if n is not None)}
    inputs = list(input_names(columns)) or [n for n in known if n not in special]
    if not inputs:
        raise ConfigError(f"expected input columns in {split}, every column means something else", "see columns.inputs")
    kind: str
    values: Inputs
    if isinstance(columns.inputs, Mapping):
        kind, (values, said) = PARTS, parts_of_frame(frame, columns_of_parts(columns.inputs), split, base)
    else:
        kind, values, said = frame_inputs(frame[inputs], split)
    declared = {head: classes[n[0]] for head, n in targets.items() if classes and len(n) == 1 and n[0] in classes}

    def column(name: str | None) -> Array | None:
        return None if name is None else frame[name].to_numpy()

    return Raw(
        kind, values, labels, {head: tuple(n) for head, n in targets.items()}, column(beside["id"]),
        column(beside["group"]), column(beside["weight"]), (*notes, *said), declared, columns,
        slices={name: slice_values(frame[name]) for name in columns.slices if name not in absent},
    )  # fmt: skip


def _refuse_columns(columns: Columns, labelled: Sequence[str], known: Sequence[str], split: str) -> set[str]:
    """The named columns that are not there and need not be: outside train ids, groups and weights may be missing."""
    for name in labelled:
        where = "columns.inputs" if name in input_names(columns) else "columns.drop" if name in columns.drop else None
        if where is not None:
            raise ConfigError(
                f"expected a column to mean one thing, '{name}' is the target and in {where}", f"take it out of {where}"
            )
    beside = [name for name in (columns.id, columns.group, columns.weight) if name is not None]
    free = {*beside, *columns.drop} if split != "train" else set()
    if split != "test":  # they are asked of test rows, which may come out of the training rows
        free |= set(columns.slices)
    if split == "unlabeled":
        free |= set(labelled)
    named = (*beside, *input_names(columns), *columns.drop, *labelled, *columns.slices)
    absent = [n for n in dict.fromkeys(named) if n not in known]
    missing = [name for name in absent if name not in free]
    if missing:
        raise missing_columns(missing, list(known), split)
    return set(absent)


def frame_inputs(frame: pd.DataFrame, split: str) -> tuple[str, Inputs, list[str]]:
    """A table, or an array where the only column holds one array (or list of numbers) in each row."""
    if (words := words_of(frame, split)) is not None:
        return "text", words, []
    if frame.shape[1] == 1 and len(frame) and isinstance(frame.iloc[0, 0], np.ndarray | list):
        given = [_plain(cell) for cell in frame.iloc[:, 0]]
        if (series := ragged_of(given, split)) is not None:
            return "array", series, []
        cells = [np.asarray(cell) for cell in given]
        if len({cell.shape for cell in cells}) > 1:
            shapes = sorted({cell.shape for cell in cells})[:2]
            raise ConfigError(
                f"expected rows of one shape in {split}, got {shapes[0]} and {shapes[1]}",
                "resize or pad them, or leave the odd rows out",
            )
        kind, array = inputs_of(np.stack(cells), split)
        return kind, array, []
    if (text := texts_of(frame, split)) is not None:
        return "text", *text
    table, said = table_of(frame, split)
    return "table", table, said


def _plain(cell: Any) -> Any:
    """Nested arrays, as Parquet gives them, as lists."""
    return [_plain(part) for part in cell] if getattr(cell, "dtype", np.dtype("f")).kind == "O" else cell


def _column_labels(frame: pd.DataFrame, names: Sequence[str]) -> Array:
    return as_labels(frame[names[0]].to_numpy(dtype=object) if len(names) == 1 else frame[list(names)])


def group_names(groups: Array | None) -> Array | None:
    """Groups [N] as text; a row without a group is one of its own."""
    if groups is None:
        return None
    names = [
        f"{NO_GROUP}{row}" if is_missing(g) else text_of(g) for row, g in enumerate(np.asarray(groups, dtype=object))
    ]
    return np.array(names, dtype=str)


def guessed_from(labels: Any) -> Columns:
    """What the columns of later splits mean where the training rows came without named columns: all are inputs.

    Only the name of the labels, where they have one, is their target.
    """
    name = getattr(labels, "name", None)
    return NamedColumns(target=name if isinstance(name, str) else None)
