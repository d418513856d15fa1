"""Files that verbs are given: whether they are there, and tables to write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.core.errors import ConfigError, Problem
from limbeck.core.kinds import suggest

if TYPE_CHECKING:
    import pandas as pd


def existing(paths: Mapping[str, str | Path]) -> None:
    """Refuse files that are not there, all at once; `paths` is option -> path."""
    problems = []
    for option, text in paths.items():
        path = Path(text)
        if not path.exists():
            names = [found.name for found in path.parent.iterdir()] if path.parent.is_dir() else []
            problems.append(Problem(option, f"{path} does not exist", suggest(path.name, names)))
    if problems:
        raise ConfigError.of(problems, "the command line")


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table by the ending of its name: .csv, .jsonl or .parquet; durably."""
    from limbeck.core.files import commit

    if path.suffix == ".parquet":
        commit(path, lambda file: frame.to_parquet(file, index=False))
    elif path.suffix == ".jsonl":
        commit(path, lambda file: frame.to_json(file, orient="records", lines=True, force_ascii=False))
    elif path.suffix == ".csv":
        commit(path, lambda file: as_csv(frame).to_csv(file, index=False))
    else:
        raise ConfigError(f"expected a table ending in .csv, .jsonl or .parquet, got {path.name}")


def as_csv(frame: pd.DataFrame) -> pd.DataFrame:
    """A table for CSV: lists as JSON."""
    import json

    def plain(column: pd.Series[Any]) -> pd.Series[Any]:
        return column.map(lambda cell: json.dumps(cell, ensure_ascii=False) if isinstance(cell, list) else cell)

    lists = [name for name in frame.columns if any(isinstance(cell, list) for cell in frame[name])]
    return frame.assign(**{name: plain(frame[name]) for name in lists})


def read_inputs(path: Path, run: Path) -> tuple[Any, dict[str, Any]]:
    """Inputs from a file for the student of a run, and the row ids that stand beside them ({} without).

    What the recipe says of its own files (columns of inputs and ids, size of images, windows) holds for this one too;
    windows are named by the time at which their past ends.
    """
    from limbeck.data.audio.sources import as_audio
    from limbeck.data.raw import frame_inputs
    from limbeck.data.sources import NamedColumns, read, read_table

    data = _asked(run)
    if windows := _below(data, "windows"):
        from limbeck.core.specs import build
        from limbeck.core.yamltext import Document
        from limbeck.data.window_spec import WindowSpec
        from limbeck.data.windows import pasts

        return pasts(build(WindowSpec, Document(dict(windows), source="the recipe")), path)
    columns = _below(data, "columns")
    where = columns.get("inputs") or ()
    if isinstance(where, Mapping):
        raw = read(path, NamedColumns(inputs=dict(where), id=columns.get("id")), "unlabeled")
        return raw.inputs, {} if raw.ids is None else {str(columns.get("id")): raw.ids}
    named = asked_columns(run)
    if (sound := as_audio(path, named, "unlabeled", None)) is not None:  # with their rate, which may be another one
        clips = [{"array": clip, "sampling_rate": sound.rate} for clip in sound.inputs]
        return clips, {} if sound.ids is None else {str(columns.get("id") or "id"): sound.ids}
    if path.is_dir() or path.suffix.lower() == ".npz":
        inputs, size = columns.get("inputs") or (), data.get("image_size")
        inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        raw = read(path, NamedColumns(inputs=inputs), "unlabeled", size=tuple(size) if size else None)
        return raw.inputs, {} if raw.ids is None else {"id": raw.ids}
    frame, name = read_table(path), columns.get("id")
    target = columns.get("target")
    beside = {name, *([target] if isinstance(target, str) else ())}
    rest = [n for n in ([where] if isinstance(where, str) else list(where) or frame.columns) if n not in beside]
    cells = frame[rest[0]] if len(rest) == 1 and rest[0] in frame else None
    if cells is not None and len(cells) and not isinstance(cells.iloc[0], str) and hasattr(cells.iloc[0], "__len__"):
        kind, inputs, _ = frame_inputs(frame[rest], "unlabeled")
        if kind == "array":  # a column of series
            return inputs, {str(name): frame[name].to_numpy()} if name in frame.columns else {}
    return frame, {str(name): frame[name].to_numpy()} if name in frame.columns else {}


def asked_columns(run: Path) -> Any:
    """The columns of inputs and ids that the recipe of a run names; None where it names none."""
    from limbeck.data.sources import NamedColumns

    columns = _below(_asked(run), "columns")
    where = columns.get("inputs") or ()
    named = NamedColumns((where,) if isinstance(where, str) else tuple(where), id=columns.get("id"))
    return named if columns else None


def asked_size(run: Path) -> tuple[int, int] | None:
    """The size of images that the recipe of a run names."""
    size: Any = _asked(run).get("image_size")
    return (int(size[0]), int(size[1])) if size else None


def _asked(run: Path) -> Mapping[str, Any]:
    """What the recipe of a run says of its data; {} where there is no recipe."""
    from limbeck.core.manifest import ASKED_NAME
    from limbeck.core.yamltext import read_yaml

    return _below(read_yaml(run / ASKED_NAME).value if (run / ASKED_NAME).is_file() else None, "data")


def _below(values: Any, key: str) -> Mapping[str, Any]:
    """A section of a recipe as it was written; {} where it is none or written short."""
    found = values.get(key) if isinstance(values, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def answers_table(student: Any, inputs: Any, beside: Mapping[str, Any], *, proba: bool = False) -> pd.DataFrame:
    """What a student answers, as a table: ids, then one column per task, or one per label, value or class of it."""
    import numpy as np
    import pandas as pd

    columns = dict(beside)
    for head, facts in student.heads.items():
        several = proba and facts.get("form", facts["kind"]) not in ("regression", "similarity", "retrieval")
        said = student.predict_proba(inputs, head) if several else student.predict(inputs, head)
        only = len(student.heads) == 1
        if facts["kind"] == "tagging":  # a list a row
            cells = [cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in said]
            columns["prediction" if only else head] = pd.Series(cells, dtype=object)
            continue
        found = np.asarray(said)
        if found.ndim == 1:
            columns["prediction" if only else head] = found
            continue
        for place, name in enumerate(facts["names"]):
            taken = not only or name in columns
            columns[f"{head}.{name}" if taken else name] = found[:, place]
    return pd.DataFrame(columns)
