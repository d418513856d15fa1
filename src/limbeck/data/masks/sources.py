"""Splits of pictures with masks: folders images/ and masks/, tables with a column of each, data sets of `datasets`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.data.columns import Columns, NamedColumns, targets_of
from limbeck.data.files import read_table
from limbeck.data.images import IMAGES, decoding, image_files, stack
from limbeck.data.labels import is_missing
from limbeck.data.masks.arrays import objects
from limbeck.data.masks.pictures import Reader, holds_pictures
from limbeck.data.raw import Raw
from limbeck.data.rows import Array
from limbeck.data.slices import slice_values
from limbeck.signals import MAIN

IMAGE_FOLDER, MASK_FOLDER = "images", "masks"
_MASK_NAMES = ("mask", "masks", "label", "labels", "annotation", "segmentation", "segmentation_mask", "target", "gt")
_SHOWN = 3
_SNIFFED = 1 << 16  # bytes


def as_masked(given: Any, columns: Columns | None, split: str, size: tuple[int, int] | None) -> Raw | None:
    """A split of pictures with masks, or of pictures alone in a table; None where it is none.

    Raises ConfigError for files that cannot be read, pairs of different sizes, and pictures without a partner.
    """
    if columns is not None and isinstance(columns.inputs, Mapping):
        return None  # rows of parts
    if isinstance(given, str | Path):
        path = Path(given)
        if path.is_dir():
            return _of_folders(path, split, size) if is_masked_folder(path) else None
        frame = _table(path)
        return None if frame is None else _of_frame(frame, columns, split, size, path.parent)
    if isinstance(given, pd.DataFrame):
        return _of_frame(given, columns, split, size, Path())
    if hasattr(given, "column_names") and hasattr(given, "features") and hasattr(given, "__len__"):
        pictures = [name for name, feature in given.features.items() if type(feature).__name__ == "Image"]
        if len(pictures) > 1 or (pictures and columns is not None and set(pictures) & _targets(columns)):
            plain = given.with_format(None)
            frame = pd.DataFrame({name: pd.Series(list(plain[name]), dtype=object) for name in plain.column_names})
            return _of_frame(frame, columns, split, size, Path())
    return None


def is_masked_folder(path: Path) -> bool:
    """Whether a folder has folders of images and of masks."""
    return (path / IMAGE_FOLDER).is_dir() and (path / MASK_FOLDER).is_dir()


def _of_folders(path: Path, split: str, size: tuple[int, int] | None) -> Raw:
    images, masks = _by_stem(path / IMAGE_FOLDER), _by_stem(path / MASK_FOLDER)
    if not images:
        raise ConfigError(
            f"expected images in {path / IMAGE_FOLDER}, there are none", f"known endings: {', '.join(IMAGES)}"
        )
    lost = sorted(set(masks) - set(images))
    if lost:
        raise ConfigError(
            f"expected an image for every mask of {split}, got none for {len(lost)} of {len(masks)} masks: "
            + ", ".join(masks[stem].name for stem in lost[:_SHOWN]),
            f"an image and its mask have the same name before the ending, in {IMAGE_FOLDER}/ and {MASK_FOLDER}/",
        )
    reader = Reader(split, Path(), size)
    pairs = ((images[stem], masks.get(stem), str(images[stem])) for stem in images)
    return _raw(reader, pairs, np.array(list(images)), masked=bool(masks) and split != "unlabeled")


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in image_files(folder):
        stem = _stem(file, folder)
        if stem in found:
            raise ConfigError(
                f"expected one picture of each name in {folder}, got {found[stem].name} and {file.name}",
                "rename or remove one of them",
            )
        found[stem] = file
    return found


def _of_frame(
    frame: pd.DataFrame, columns: Columns | None, split: str, size: tuple[int, int] | None, where: Path
) -> Raw | None:
    """A table with a column of images and one of masks."""
    pictures = [str(name) for name in frame.columns if holds_pictures(frame[name])]
    if not pictures:
        return None
    target = next(iter(_targets(columns)), None) if columns is not None else None
    if target is None:
        target = next((name for name in pictures if name.lower() in _MASK_NAMES), None)
    if target is not None and target in frame.columns and target not in pictures and frame[target].notna().any():
        return None  # pictures with labels that are no pictures
    named = [name for name in (columns.inputs if columns is not None else ()) if name in pictures]
    image = next((name for name in (named or pictures) if name != target), None)
    if image is None or (target is None and split != "unlabeled" and columns is not None):
        return None
    if split != "unlabeled" and (target is None or target not in frame.columns):
        return None
    masks: Iterable[Any] = [None] * len(frame)
    if split != "unlabeled" and target is not None:
        masks = frame[target]
    chosen = columns if columns is not None else NamedColumns((image,), target)
    ids, groups, weight = (
        frame[name].to_numpy() if name is not None and name in frame.columns else None
        for name in (chosen.id, chosen.group, chosen.weight)
    )
    slices = {name: slice_values(frame[name]) for name in chosen.slices if name in frame.columns}
    reader = Reader(split, where, size)
    rows = zip(_present(frame[image], image, split), masks, (f"row {i}" for i in range(len(frame))), strict=True)
    return _raw(
        reader, rows, ids, masked=split != "unlabeled", groups=groups, weight=weight, columns=chosen, slices=slices
    )


def _present(column: pd.Series, name: str, split: str) -> pd.Series:
    gone = [row for row, cell in enumerate(column) if is_missing(cell)]
    if gone:
        raise ConfigError(
            f"expected an image in every row of column '{name}' of {split}, got none in row {gone[0]}"
            + (f" and {len(gone) - 1} more" if len(gone) > 1 else ""),
            "leave these rows out; a row without a mask is an unlabelled one, a mask without an image is nothing",
        )
    return column


def _raw(
    reader: Reader, pairs: Iterable[tuple[Any, Any, str]], ids: Array | None, *, masked: bool,
    groups: Array | None = None, weight: Array | None = None, columns: Columns | None = None,
    slices: Mapping[str, Array] | None = None,
) -> Raw:  # fmt: skip
    images, masks = [], []
    for image, mask, row in pairs:
        pixels, values = reader.pair(image, mask if masked else None, row)
        images.append(pixels)
        masks.append(values)
    labels: Mapping[str, Any] = {MAIN: objects(masks)} if masked else {}
    return Raw(
        "image", stack(images, reader.split), labels, ids=ids, groups=groups, weight=weight, notes=reader.said(),
        columns=columns, slices=slices or {},
    )  # fmt: skip


def _targets(columns: Columns) -> set[str]:
    return {name for names in targets_of(columns).values() for name in names}


def _table(path: Path) -> pd.DataFrame | None:
    """A table in whose first rows pictures are held or named; None for other files."""
    if not path.is_file():
        return None
    if path.suffix.lower() == ".parquet":
        return read_table(path) if _parquet_holds(path) else None
    if path.suffix.lower() not in (".csv", ".tsv", ".jsonl"):
        return None
    with path.open("rb") as file:
        first = file.read(_SNIFFED).lower()
    return read_table(path) if any(ending.encode() in first for ending in IMAGES) else None


def _parquet_holds(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            part = next(file.iter_batches(batch_size=8), None)
    except (pa.ArrowInvalid, OSError):
        return False  # whoever reads tables says what is wrong
    if part is None:
        return False
    held = [name for name, kind in zip(part.schema.names, part.schema.types, strict=True) if _may_hold(kind)]
    return any(holds_pictures(part.column(name).to_pylist()) for name in held)


def _may_hold(kind: Any) -> bool:
    import pyarrow.types as types

    tests = (types.is_binary, types.is_large_binary, types.is_string, types.is_large_string, types.is_struct)
    return any(test(kind) for test in tests)


def pictures_in(
    path: Path, columns: Columns | None, size: tuple[int, int] | None
) -> tuple[Array, Array, list[tuple[int, int]]]:
    """Images [N, ...] of a folder or table, the names of their rows, and the (height, width) that each had.

    Raises ConfigError where there are none.
    """
    reader = Reader("the inputs", path if path.is_dir() else path.parent, size)
    ids: list[Any]
    if path.is_dir():
        folder = path / IMAGE_FOLDER if is_masked_folder(path) else path
        files = image_files(folder)
        cells, ids = [str(file.resolve()) for file in files], [_stem(file, folder) for file in files]
    else:
        frame = _table(path)
        if frame is None:
            raise ConfigError(
                f"expected a folder of images or a table with a column of them, got {path.name}",
                f"known endings: {', '.join(IMAGES)}",
            )
        pictures = [str(name) for name in frame.columns if holds_pictures(frame[name])]
        wanted = [name for name in (columns.inputs if columns is not None else ()) if name in pictures]
        image = (wanted or [name for name in pictures if name.lower() not in _MASK_NAMES] or pictures)[0]
        cells = list(_present(frame[image], image, "the inputs"))
        name = columns.id if columns is not None else None
        ids = list(frame[name]) if name is not None and name in frame.columns else list(range(len(frame)))
    if not cells:
        raise ConfigError(f"expected images in {path}, there are none", f"known endings: {', '.join(IMAGES)}")
    images, sizes = [], []
    for cell, row in zip(cells, ids, strict=True):
        images.append(reader.pair(cell, None, str(row))[0])
        sizes.append(reader.last)
    return stack(images, str(path)), np.array([str(row) for row in ids]), sizes


def _stem(file: Path, folder: Path) -> str:
    return file.relative_to(folder).with_suffix("").as_posix()


def common_size(path: Path) -> tuple[int, int] | None:
    """A (height, width) for images of a folder whose sizes differ, multiples of 16 within them all; None for one size.

    Raises ConfigError for files that are no images.
    """
    from PIL import Image

    folder = path / IMAGE_FOLDER if is_masked_folder(path) else path
    sizes = set()
    for file in image_files(folder):
        with decoding("an image", str(file)), Image.open(file) as image:
            sizes.add((image.height, image.width))
    if len(sizes) < 2:
        return None
    height, width = (max(16, min(size[axis] for size in sizes) // 16 * 16) for axis in (0, 1))
    return height, width
