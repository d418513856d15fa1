"""Sound as users give it: folders of clips by class, tables with a column of clips, lists of arrays, data sets.

Whatever comes is tried here first; what is no sound goes on to the other readers. The training rows decide the
sampling rate (their most frequent one) where none is asked for, and every other clip is brought to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.data.audio.clips import ENDINGS, Clip, at_rate, clip_of, read_file, stacked
from limbeck.data.columns import Columns, NamedColumns, guess_target, targets_of
from limbeck.data.files import read_table
from limbeck.data.images import IMAGES
from limbeck.data.raw import Raw, guessed_from, named_labels, of_frame
from limbeck.data.rows import Array
from limbeck.signals import MAIN

_COLUMNS = ("audio", "file_name", "file", "path", "wav", "clip", "speech", "x")
_TRANSCRIPTS = ("transcript", "transcription", "sentence", "text")
_TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
_PLACE = "__clip__"  # stands for the clips while the rest of a table is read


def as_audio(given: Any, columns: Columns | None, split: str, rate: int | None) -> Raw | None:
    """A split of sound, at `rate` where it is given; None where it is something else.

    Raises ConfigError for clips that cannot be read, naming the file or row.
    """
    if columns is not None and isinstance(columns.inputs, Mapping):
        return None  # rows of parts
    if isinstance(given, str | Path):
        return _of_path(Path(given), columns, split, rate)
    if isinstance(given, pd.DataFrame):
        return _of_frame(given, columns, split, rate, Path())
    if isinstance(given, Mapping) and all(hasattr(v, "__len__") for v in given.values()):
        cells = {str(name): pd.Series(list(values), dtype=object) for name, values in given.items()}
        if any(_is_audio(column) for column in cells.values()) and len({len(c) for c in cells.values()}) == 1:
            return _of_frame(pd.DataFrame(cells), columns, split, rate, Path())
        return None
    if hasattr(given, "column_names") and hasattr(given, "features"):
        return _of_hub(given, columns, split, rate)
    x, *beside = given if isinstance(given, tuple) and 1 <= len(given) <= 3 else (given,)
    if not _is_list(x, rate):
        return None
    labels, names = named_labels(beside[0]) if beside and beside[0] is not None else ({}, {})
    ids = np.asarray(beside[1]) if len(beside) > 1 and beside[1] is not None else None
    inputs, found, notes = _read(((cell, f"row {row} of {split}") for row, cell in enumerate(x)), Path(), rate)
    y = beside[0] if beside else None
    return Raw("audio", inputs, labels, names, ids, notes=notes, columns=guessed_from(y), rate=found)


def _is_list(x: Any, rate: int | None) -> bool:
    """Whether something is a sequence of clips: decoded ones, or arrays whose sampling rate was given."""
    if not isinstance(x, list | tuple | np.ndarray | pd.Series) or not len(x):
        return False
    first = x[0] if not isinstance(x, pd.Series) else x.iloc[0]
    if isinstance(first, Mapping):
        return "array" in first or "bytes" in first
    if isinstance(first, str | Path):
        return str(first).lower().endswith(ENDINGS)
    return rate is not None and isinstance(first, np.ndarray | list) and np.ndim(first) in (1, 2)


def _read(cells: Iterator[tuple[Any, str]], base: Path, rate: int | None) -> tuple[Array, int, tuple[str, ...]]:
    """Clips at one rate, that rate, and what was done, in words."""
    clips = [clip_of(cell, where, base) for cell, where in cells]
    return _at_one_rate(clips, rate)


def _at_one_rate(clips: list[Clip], rate: int | None) -> tuple[Array, int, tuple[str, ...]]:
    said = Counter(clip.rate for clip in clips if clip.rate is not None)
    if rate is None and not said:
        raise ConfigError(
            "expected the sampling rate of the clips, got plain arrays",
            "give lb.Data(sample_rate=16000), or clips as {'array': ..., 'sampling_rate': ...}",
        )
    wanted = rate if rate is not None else said.most_common(1)[0][0]
    assert wanted is not None
    other = sorted((found, count) for found, count in said.items() if found != wanted)
    notes = [f"{count} clips at {found} Hz were resampled to {wanted} Hz" for found, count in other]
    return stacked([at_rate(clip, wanted) for clip in clips]), wanted, tuple(notes)


# ------------------------------------------------------------------------------------------ files


def _of_path(path: Path, columns: Columns | None, split: str, rate: int | None) -> Raw | None:
    if path.is_dir():
        return _of_folder(path, split, rate)
    if not path.is_file() or path.suffix.lower() not in _TABLES or not _mentions(path):
        return None
    return _of_frame(read_table(path), columns, split, rate, path.parent)


def _mentions(path: Path) -> bool:
    """Whether the beginning of a table names files of sound, so that others are not read twice."""
    if path.suffix.lower() == ".parquet":
        return True
    with path.open("rb") as file:
        start = file.read(1 << 16).lower()
    return any(ending.encode() in start for ending in ENDINGS)


def _of_folder(path: Path, split: str, rate: int | None) -> Raw | None:
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in ENDINGS and not p.name.startswith("."))
    if not files or any(p.suffix.lower() in IMAGES for p in path.rglob("*")):
        return None
    inside = [file.relative_to(path).parts for file in files]
    loose = [parts[0] for parts in inside if len(parts) == 1]
    flat = len(loose) == len(files)
    if loose and not flat and split != "unlabeled":
        raise ConfigError(
            f"expected every clip of {split} in a folder named as its class, got {loose[0]} in {path} itself",
            "move it into the folder of its class, or out of the data",
        )
    inputs, found, notes = _at_one_rate([read_file(file) for file in files], rate)
    labels = {} if flat or split == "unlabeled" else {MAIN: np.array([parts[0] for parts in inside], dtype=object)}
    return Raw("audio", inputs, labels, ids=np.array(["/".join(p) for p in inside]), notes=notes, rate=found)


# ------------------------------------------------------------------------------------------ tables


def _of_frame(frame: pd.DataFrame, columns: Columns | None, split: str, rate: int | None, base: Path) -> Raw | None:
    """A table in which a column holds clips or their paths: that column is the input."""
    name = _clips_in(frame, columns)
    if name is None:
        return None
    cells = ((cell, f"row {row} of {split}") for row, cell in enumerate(frame[name]))
    inputs, found, notes = _read(cells, base, rate)
    rest = frame.drop(columns=[name])
    rest.insert(0, _PLACE, np.arange(len(rest), dtype=np.float64))
    chosen = _around(columns, rest, _PLACE)
    raw = of_frame(rest, chosen, split)
    told = None if columns is None and chosen.target is None else replace(chosen, inputs=(name,))
    return replace(raw, kind="audio", inputs=inputs, notes=(*raw.notes, *notes), columns=told, rate=found)


def _clips_in(frame: pd.DataFrame, columns: Columns | None) -> str | None:
    named = [str(n) for n in (columns.inputs if columns is not None else ()) if n in frame.columns]
    labelled = {n for names in targets_of(columns).values() for n in names} if columns is not None else set()
    order = named or sorted((str(n) for n in frame.columns), key=lambda n: n.lower() not in _COLUMNS)
    return next((n for n in order if n not in labelled and n in frame.columns and _is_audio(frame[n])), None)


def _is_audio(column: Any) -> bool:
    """Whether the cells of a column are paths of clips, or clips with their rate."""
    if not isinstance(column, pd.Series) or not len(column):
        return False
    cells = list(column.iloc[:50])
    if all(isinstance(cell, str) and cell.lower().endswith(ENDINGS) for cell in cells):
        return True
    return all(isinstance(cell, Mapping) and ("array" in cell or {"bytes", "path"} <= set(cell)) for cell in cells)


def _around(columns: Columns | None, frame: pd.DataFrame, name: str) -> NamedColumns:
    """The clips as the only input, beside what is named or looks like a label or a transcript."""
    if columns is not None:
        beside = {c for c in (columns.id, columns.group, columns.weight, *columns.slices) if c is not None}
        target = columns.target
        if target is None:
            target = _label_in(frame.drop(columns=[n for n in (name, *beside, *columns.drop) if n in frame.columns]))
        return NamedColumns((name,), target, columns.id, columns.group, columns.weight, slices=columns.slices)
    return NamedColumns((name,), _label_in(frame.drop(columns=[name])))


def _label_in(frame: pd.DataFrame) -> str | None:
    lowered = {str(n).lower(): str(n) for n in frame.columns}
    spelt = next((lowered[n] for n in _TRANSCRIPTS if n in lowered), None)
    if spelt is not None or not frame.shape[1]:
        return spelt
    return str(frame.columns[0]) if frame.shape[1] == 1 else guess_target(frame)


def is_transcript(raw: Raw, head: str) -> bool:
    """Whether the labels of clips are texts from a column that is named as transcripts are."""
    names = raw.label_columns.get(head, ())
    return raw.kind == "audio" and len(names) == 1 and names[0].lower() in _TRANSCRIPTS


def _of_hub(given: Any, columns: Columns | None, split: str, rate: int | None) -> Raw | None:
    """A Hugging Face data set with a column of the feature Audio; its bytes are decoded here."""
    names = [name for name, feature in given.features.items() if type(feature).__name__ == "Audio"]
    if not names or not hasattr(given, "__len__"):
        return None
    from datasets import Audio

    plain = given.with_format(None)
    for name in names:
        plain = plain.cast_column(name, Audio(decode=False))
    kept = names[0] if columns is None else next((n for n in names if n in columns.inputs), names[0])
    cells = pd.Series(list(plain[kept]), dtype=object)
    rest = plain.remove_columns(names)
    frame = rest.to_pandas() if rest.column_names else pd.DataFrame(index=range(len(cells)))
    for name, feature in rest.features.items():
        if type(feature).__name__ == "ClassLabel":
            words = tuple(feature.names)
            spelt = [None if v is None or v != v or v < 0 else words[int(v)] for v in frame[name]]
            frame[name] = pd.Series(spelt, dtype=object)
    frame.insert(0, kept, cells)
    raw = _of_frame(frame, columns, split, rate, Path())
    if raw is None:
        return None
    order = {n: tuple(f.names) for n, f in rest.features.items() if type(f).__name__ == "ClassLabel"}
    declared = {head: order[n[0]] for head, n in raw.label_columns.items() if len(n) == 1 and n[0] in order}
    return replace(raw, classes=declared)
