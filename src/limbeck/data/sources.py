"""What a split may be given as, and how it becomes raw inputs, raw labels and what else is known of a row.

Arrays, (X, y) or (X, y, ids), data frames, torch and Hugging Face data sets, CSV, JSONL, Parquet, NPZ, and a folder of
images with one folder for each class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.core.kinds import suggest
from limbeck.data.frames import missing_columns, tidy
from limbeck.data.rows import Array, Inputs
from limbeck.signals import MAIN

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
_LABELS = ("label", "labels", "target", "y", "class", "species")
_IMAGE_FIELDS = ("image", "img", "pixel_values", "x")


@dataclass(frozen=True)
class NamedColumns:
    """Which columns of a table mean what, for `lb.Data(columns=...)`; without `inputs` all others are inputs.

    `target` is one column, several, or a mapping of task to columns.
    """

    inputs: tuple[str, ...] = ()
    target: Any = None
    id: str | None = None
    group: str | None = None
    weight: str | None = None
    drop: tuple[str, ...] = ()


class Columns(Protocol):
    """What says which columns mean what: `NamedColumns`, or the columns of a recipe."""

    @property
    def inputs(self) -> tuple[str, ...]:
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


@dataclass(frozen=True)
class Raw:
    """One split as it was read: inputs of a kind, labels by task, and columns beside them."""

    kind: str
    inputs: Inputs
    labels: Mapping[str, Any] = field(default_factory=dict)
    label_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ids: Array | None = None
    groups: Array | None = None
    weight: Array | None = None
    notes: tuple[str, ...] = ()

    def take(self, index: Array) -> Raw:
        """Rows at positions."""
        from limbeck.data.rows import take_inputs

        def part(values: Any) -> Any:
            return None if values is None else values[index]

        labels = {
            head: np.asarray(values, dtype=getattr(values, "dtype", None))[index]
            for head, values in self.labels.items()
        }
        return Raw(
            self.kind, take_inputs(self.inputs, index), labels, self.label_columns, part(self.ids), part(self.groups),
            part(self.weight), self.notes,
        )  # fmt: skip


def read(given: Any, columns: Columns | None, split: str, *, size: tuple[int, int] | None = None) -> Raw:
    """Read a split from whatever it was given as; raises ConfigError naming the split."""
    if isinstance(given, Raw):
        return given
    if isinstance(given, str | Path):
        return _of_path(Path(given), columns, split, size)
    if isinstance(given, pd.DataFrame):
        return of_frame(given, columns, split)
    if isinstance(given, tuple):
        return _of_tuple(given, columns, split)
    if hasattr(given, "column_names") and hasattr(given, "features"):
        return _of_hub(given, columns, split)
    if hasattr(given, "__getitem__") and hasattr(given, "__len__") and not isinstance(given, np.ndarray | list):
        return _of_dataset(given, split)
    return Raw(*_inputs(given, split))


def _of_tuple(given: tuple[Any, ...], columns: Columns | None, split: str) -> Raw:
    if not 1 <= len(given) <= 3:
        raise ConfigError(
            f"expected {split} as (X,), (X, y) or (X, y, ids), got a tuple of {len(given)}", "leave the others out"
        )
    ids = np.asarray(given[2]) if len(given) == 3 and given[2] is not None else None
    notes: tuple[str, ...] = ()
    inputs: Inputs
    if isinstance(given[0], pd.DataFrame):
        kind = "table"
        inputs, said = tidy(given[0])
        notes = tuple(said)
    else:
        kind, inputs = _inputs(given[0], split)
    labels, names = _named_labels(given[1]) if len(given) > 1 and given[1] is not None else ({}, {})
    for head, values in labels.items():
        if len(values) != len(inputs):
            raise ConfigError(
                f"expected one label a row in {split}, got {len(inputs)} rows and {len(values)} labels of '{head}'",
                "X and y must be of one length",
            )
    return Raw(kind, inputs, labels, names, ids, notes=notes)


def _named_labels(y: Any) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    if isinstance(y, Mapping):
        return {str(head): _label_array(values) for head, values in y.items()}, {}
    if isinstance(y, pd.DataFrame):
        return {MAIN: y.to_numpy()}, {MAIN: tuple(str(name) for name in y.columns)}
    return {MAIN: _label_array(y)}, {}


def _label_array(values: Any) -> Any:
    if hasattr(values, "detach"):
        return values.detach().cpu().numpy()
    if isinstance(values, pd.Series):
        return values.to_numpy()
    if isinstance(values, list) and any(isinstance(v, list | tuple) for v in values):
        lengths = {len(v) for v in values if isinstance(v, list | tuple)}
        if len(lengths) > 1 or any(isinstance(v, str) for row in values if row is not None for v in row):
            array = np.empty(len(values), dtype=object)
            array[:] = [None if v is None else list(v) for v in values]
            return array
    return np.asarray(values)


def _inputs(given: Any, split: str) -> tuple[str, Inputs]:
    array = given.detach().cpu().numpy() if hasattr(given, "detach") else np.asarray(given)
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
    image = array.ndim in (3, 4) and (array.dtype == np.uint8 or (array.ndim == 4 and array.shape[-1] in (1, 3, 4)))
    if array.dtype.kind == "f" and np.isinf(array).any():
        rows = np.unique(np.argwhere(np.isinf(array))[:, 0])
        raise ConfigError(
            f"expected finite inputs in {split}, got infinity in {len(rows)} rows, the first at {rows[0]}",
            "replace infinities; missing values are NaN and are filled",
        )
    return ("image" if image else "array"), array


def of_frame(frame: pd.DataFrame, columns: Columns | None, split: str) -> Raw:
    """Split a table into inputs, labels and the rest; raises ConfigError for columns that are not there."""
    columns = columns if columns is not None else NamedColumns(target=guess_target(frame))
    known = [str(name) for name in frame.columns]
    frame = frame.set_axis(known, axis=1)
    targets = targets_of(columns)
    beside = [name for name in (columns.id, columns.group, columns.weight) if name is not None]
    labelled = [name for names in targets.values() for name in names]
    missing = [name for name in (*beside, *columns.inputs, *columns.drop) if name not in known]
    absent = [name for name in labelled if name not in known]
    if missing or (absent and len(absent) < len(labelled)) or (absent and split != "unlabeled"):
        raise missing_columns([*missing, *absent], known, split)
    inputs = list(columns.inputs) or [n for n in known if n not in {*labelled, *beside, *columns.drop}]
    if not inputs:
        raise ConfigError(f"expected input columns in {split}, every column means something else", "see columns.inputs")
    labels = {} if absent else {head: _column_labels(frame, names) for head, names in targets.items()}
    names = {head: tuple(n) for head, n in targets.items()}

    def column(name: str | None) -> Array | None:
        return None if name is None else frame[name].to_numpy()

    weight = column(columns.weight)
    if len(inputs) == 1 and len(frame) and isinstance(frame[inputs[0]].iloc[0], np.ndarray):
        kind, arrays = _inputs(np.stack(list(frame[inputs[0]])), split)
        return Raw(kind, arrays, labels, names, column(columns.id), column(columns.group), weight)
    table, said = tidy(frame[inputs])
    return Raw("table", table, labels, names, column(columns.id), column(columns.group), weight, tuple(said))


def _column_labels(frame: pd.DataFrame, names: Sequence[str]) -> Any:
    return frame[names[0]].to_numpy(dtype=object) if len(names) == 1 else frame[list(names)].to_numpy()


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


def guess_target(frame: pd.DataFrame) -> str | None:
    """The column that looks like a label: by name, else the last one."""
    names = [str(name) for name in frame.columns]
    lowered = {name.lower(): name for name in names}
    return next((lowered[word] for word in _LABELS if word in lowered), names[-1] if len(names) > 1 else None)


def guess_columns(frame: pd.DataFrame) -> tuple[NamedColumns, list[str]]:
    """Columns of a table with the reason for each guess, for a first recipe."""
    target = guess_target(frame)
    names = [str(name) for name in frame.columns]
    ids = [
        n for n in names if n.lower() in ("id", "uuid", "key", "index", "row_id") and frame[n].is_unique and n != target
    ]
    reasons = [f"target: {target} ({'by its name' if str(target).lower() in _LABELS else 'the last column'})"]
    if ids:
        reasons.append(f"id: {ids[0]} (by its name, every value once)")
    return NamedColumns(target=target, id=ids[0] if ids else None), reasons


def _of_path(path: Path, columns: Columns | None, split: str, size: tuple[int, int] | None) -> Raw:
    if path.is_dir():
        return _of_folder(path, split, size)
    if not path.is_file():
        near = suggest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise ConfigError(f"expected {split} at {path}, there is no such file", near or "check the path")
    if path.suffix == ".npz":
        return _of_npz(path, columns, split)
    return of_frame(read_table(path), columns, split)


def read_table(path: Path) -> pd.DataFrame:
    """A CSV, JSONL or Parquet file as a table; raises ConfigError for others and for files that cannot be read."""
    readers = {
        ".csv": pd.read_csv, ".parquet": pd.read_parquet,
        ".jsonl": lambda p: pd.read_json(p, lines=True), ".tsv": lambda p: pd.read_csv(p, sep="\t"),
    }  # fmt: skip
    if path.suffix.lower() not in readers:
        raise ConfigError(
            f"expected a table ending in {', '.join(readers)}, got {path.name}", "or .npz, or a folder of images"
        )
    try:
        frame: pd.DataFrame = readers[path.suffix.lower()](path)  # type: ignore[operator]
    except Exception as e:
        reason = str(e).strip().splitlines()
        raise ConfigError(f"expected a table that can be read at {path}, got: {reason[0] if reason else e}", "") from e
    return frame


def _of_npz(path: Path, columns: Columns | None, split: str) -> Raw:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except ValueError as e:
        raise ConfigError(f"expected plain arrays in {path}, got: {e}", "save numbers, not objects") from e
    except Exception as e:
        raise ConfigError(f"expected an NPZ file at {path}, got: {e}", "it may be cut short") from e
    targets = targets_of(columns) if columns is not None else {}
    names = tuple(columns.inputs) if columns is not None and columns.inputs else ()
    found = names[0] if names else next((n for n in (*_IMAGE_FIELDS, "X") if n in arrays), None)
    if not targets:
        label = next((n for n in _LABELS if n in arrays), None)
        targets = {MAIN: (label,)} if label else {}
    if found is None or found not in arrays:
        raise missing_columns([found or "x"], list(arrays), str(path))
    wanted = [n for ns in targets.values() for n in ns if n not in arrays]
    if wanted and split != "unlabeled":
        raise missing_columns(wanted, list(arrays), str(path))
    labels = {} if wanted else {head: arrays[ns[0]] for head, ns in targets.items()}
    kind, inputs = _inputs(arrays[found], split)
    ids = arrays.get(columns.id) if columns is not None and columns.id is not None else None
    return Raw(kind, inputs, labels, {}, ids)


def _of_folder(path: Path, split: str, size: tuple[int, int] | None) -> Raw:
    """Images in class folders, or flat without labels; raises ConfigError naming the file that does not fit."""
    from PIL import Image, UnidentifiedImageError

    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGES)
    if not files:
        raise ConfigError(f"expected images in {path}, there are none", f"known endings: {', '.join(IMAGES)}")
    pixels: list[Array] = []
    for file in files:
        try:
            with Image.open(file) as image:
                plain = image.convert("L" if image.mode in ("1", "L") else "RGB")
                plain = plain.resize((size[1], size[0])) if size is not None else plain
                pixels.append(np.asarray(plain))
        except (UnidentifiedImageError, OSError) as e:
            raise ConfigError(f"expected an image at {file}, got: {e}", "remove or replace it") from e
    modes = {p.ndim for p in pixels}
    if len(modes) > 1:
        pixels = [p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in pixels]
    shapes = {p.shape for p in pixels}
    if len(shapes) > 1:
        first, other = sorted(shapes)[:2]
        raise ConfigError(
            f"expected images of one size in {path}, got {first[0]}x{first[1]} and {other[0]}x{other[1]}",
            "give lb.Data(image_size=(height, width)) to resize them",
        )
    inputs = np.stack(pixels)
    classes = [file.parent.name for file in files]
    flat = all(file.parent == path for file in files)
    ids = np.array([str(file.relative_to(path)) for file in files])
    return Raw("image", inputs, {} if flat else {MAIN: np.array(classes, dtype=object)}, {}, ids)


def _of_hub(given: Any, columns: Columns | None, split: str) -> Raw:
    """A Hugging Face data set: images become arrays, everything else a table."""
    frame = given.with_format(None).to_pandas() if not _image_columns(given) else None
    if frame is not None:
        return of_frame(_with_class_names(frame, given), columns, split)
    name = _image_columns(given)[0]
    arrays = np.stack([np.asarray(image) for image in given[name]])
    rest = given.remove_columns([name])
    frame = _with_class_names(rest.to_pandas(), given)
    frame.insert(0, name, pd.Series(list(arrays), dtype=object))
    chosen = columns or NamedColumns(
        inputs=(name,), target=guess_target(frame.drop(columns=[name])) if len(frame.columns) > 1 else None
    )
    if columns is None and len(frame.columns) == 2:
        chosen = NamedColumns(inputs=(name,), target=str(frame.columns[1]))
    return of_frame(frame, chosen, split)


def _image_columns(given: Any) -> list[str]:
    return [name for name, feature in given.features.items() if type(feature).__name__ == "Image"]


def _with_class_names(frame: pd.DataFrame, given: Any) -> pd.DataFrame:
    for name, feature in given.features.items():
        if type(feature).__name__ == "ClassLabel" and name in frame:
            frame[name] = [None if v is None or v < 0 else feature.names[int(v)] for v in frame[name]]
    return frame


def _of_dataset(given: Any, split: str) -> Raw:
    """A torch data set whose items are (x, y), x, or a mapping with an input and a label."""
    items = [given[i] for i in range(len(given))]
    if not items:
        raise ConfigError(f"expected rows in {split}, the data set is empty", "check how it was made")
    if isinstance(items[0], Mapping):
        names = [str(n) for n in items[0]]
        label = next((n for n in names if n.lower() in _LABELS), None)
        source = next((n for n in names if n != label), names[0])
        x, y = [item[source] for item in items], None if label is None else [item[label] for item in items]
    elif isinstance(items[0], tuple | list):
        x, y = [item[0] for item in items], [item[1] for item in items] if len(items[0]) > 1 else None
    else:
        x, y = items, None
    try:
        inputs = np.stack([np.asarray(v.detach().cpu() if hasattr(v, "detach") else v) for v in x])
    except ValueError as e:
        raise ConfigError(f"expected rows of one shape in {split}, got several: {e}", "resize or pad them first") from e
    kind, array = _inputs(inputs, split)
    labels = {} if y is None else {MAIN: np.asarray([v.item() if hasattr(v, "item") else v for v in y])}
    return Raw(kind, array, labels)
