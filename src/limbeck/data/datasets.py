"""Splits from data sets of other libraries: Hugging Face, and anything with `__getitem__` and `__len__` (torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.data.columns import LABELS, Columns, NamedColumns, guess_target, input_names, targets_of
from limbeck.data.images import pixels_of, stack
from limbeck.data.raw import Raw, inputs_of, labels_of, named_labels, of_frame
from limbeck.data.rows import Array
from limbeck.signals import MAIN

_IMAGE_FIELDS = ("image", "img", "pixel_values", "x", "inputs")


def of_hub(given: Any, columns: Columns | None, split: str, size: tuple[int, int] | None) -> Raw:
    """A Hugging Face data set: images become arrays, everything else a table; named classes keep their order."""
    if not hasattr(given, "__len__"):
        raise ConfigError(
            f"expected a data set of known length for {split}, got a stream ({type(given).__name__})",
            "load it without streaming, or take a part: Dataset.from_list(list(stream.take(10000)))",
        )
    if not len(given):
        raise ConfigError(f"expected rows in {split}, the data set is empty", "check how it was made")
    classes = {n: tuple(_one(f).names) for n, f in given.features.items() if type(_one(f)).__name__ == "ClassLabel"}
    images = [name for name, feature in given.features.items() if type(feature).__name__ == "Image"]
    plain = given.with_format(None)
    if not images:
        return of_frame(_named(plain.to_pandas(), classes), columns, split, classes)
    if columns is not None:
        asked = [n for n in images if n in input_names(columns)]
        images = asked or [n for n in images if n not in columns.drop] or images
    name = images[0]
    frame = _named(plain.remove_columns(images).to_pandas(), classes)
    if columns is None or not columns.inputs:
        columns = _around(columns, name, frame)
    arrays = [_pixels(image, row, split, size) for row, image in enumerate(plain[name])]
    frame.insert(0, name, pd.Series(list(stack(arrays, split)), dtype=object))
    return of_frame(frame, columns, split, classes)


def _around(columns: Columns | None, name: str, frame: pd.DataFrame) -> NamedColumns:
    """The image as the only input, beside what is named or looks like a label."""
    if columns is not None:
        return NamedColumns((name,), columns.target, columns.id, columns.group, columns.weight, slices=columns.slices)
    only = str(frame.columns[0]) if frame.shape[1] == 1 else None
    return NamedColumns((name,), only or guess_target(frame))


def _pixels(image: Any, row: int, split: str, size: tuple[int, int] | None) -> Array:
    if image is None:
        raise ConfigError(f"expected an image in row {row} of {split}, got none", "leave the row out")
    return pixels_of(image, size)


def _named(frame: pd.DataFrame, classes: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Class ids as names; -1 is how Hugging Face says that there is no label."""
    for name, names in classes.items():
        if name in frame:
            frame[name] = pd.Series([_name(value, names) for value in frame[name]], dtype=object)
    return frame


def _name(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, np.ndarray | list):  # one class for every word
        return [_name(one, names) for one in value]
    return None if value is None or value != value or value < 0 else names[int(value)]


def _one(feature: Any) -> Any:
    """What stands in a list of a feature; the feature itself where it is none."""
    return getattr(feature, "feature", feature)


def of_dataset(given: Any, columns: Columns | None, split: str, size: tuple[int, int] | None) -> Raw:
    """A torch data set whose items are (x, y), x, or a mapping of names to values; y may be a mapping of tasks."""
    items = [given[i] for i in range(len(given))]
    if not items:
        raise ConfigError(f"expected rows in {split}, the data set is empty", "check how it was made")
    if isinstance(items[0], Mapping):
        return _of_records(items, columns, split, size)
    if isinstance(items[0], tuple | list):
        if len({len(item) for item in items}) > 1 or len(items[0]) > 2:
            raise ConfigError(
                f"expected items (x, y) or x in the data set of {split}, got {max(len(item) for item in items)} parts",
                "give items as mappings where there is more than an input and a label: {'x': ..., 'y': ...}",
            )
        x, y = [item[0] for item in items], [item[1] for item in items] if len(items[0]) > 1 else None
    else:
        x, y = items, None
    kind, array = inputs_of(_stacked(x, split, size), split)
    if y is None or split == "unlabeled":
        return Raw(kind, array)
    if isinstance(y[0], Mapping):
        labels, _ = named_labels({head: [_value(v[head]) for v in y] for head in y[0]})
    else:
        labels = {MAIN: labels_of([_value(v) for v in y])}
    return Raw(kind, array, labels)


def _of_records(items: Sequence[Any], columns: Columns | None, split: str, size: tuple[int, int] | None) -> Raw:
    names = [str(name) for name in items[0]]
    odd = next((i for i, item in enumerate(items) if [str(n) for n in item] != names), None)
    if odd is not None:
        raise ConfigError(
            f"expected items with {', '.join(names)} in {split}, got {', '.join(map(str, items[odd]))} in row {odd}",
            "give every item the same names",
        )
    values = {str(name): [item[name] for item in items] for name in items[0]}
    arrays = [n for n, v in values.items() if np.ndim(_value(v[0])) > 0 or hasattr(v[0], "convert")]
    if columns is None:
        label = next((n for n in names if n.lower() in LABELS), None)
        wide = [n for n in arrays if n != label]
        source = next((n for n in _IMAGE_FIELDS if n in wide), wide[0] if wide else None)
        columns = NamedColumns((source,) if source else (), label) if source or label else None
    labelled = {n for ns in (targets_of(columns).values() if columns is not None else ()) for n in ns}
    frame = pd.DataFrame({name: _column(v, name in arrays and name not in labelled, split, size)
                          for name, v in values.items()})  # fmt: skip
    return of_frame(frame, columns, split)


def _column(values: list[Any], wide: bool, split: str, size: tuple[int, int] | None) -> pd.Series:
    cells: list[Any] = list(_stacked(values, split, size)) if wide else [_value(v) for v in values]
    column = pd.Series(cells, dtype=object)
    return column if wide else column.infer_objects()


def _stacked(values: Sequence[Any], split: str, size: tuple[int, int] | None) -> Array:
    if hasattr(values[0], "convert") and hasattr(values[0], "mode"):
        return stack([pixels_of(image, size) for image in values], split)
    arrays = [np.asarray(v.detach().cpu() if hasattr(v, "detach") else v) for v in values]
    if len(shapes := sorted({array.shape for array in arrays})) > 1:
        raise ConfigError(
            f"expected rows of one shape in {split}, got {shapes[0]} and {shapes[1]}",
            "resize or pad them, or leave the odd rows out",
        )
    return np.stack(arrays)


def _value(value: Any) -> Any:
    """A label as Python has it: a number, text, or a list for a vector; a mask stays an array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.ndim == 2:
        return value
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
