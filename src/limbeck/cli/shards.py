"""Shards that `predict` is given: answered some rows at a time, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.core.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

_FORMS = (".csv", ".jsonl", ".parquet")


def shard_paths(text: str) -> list[Path]:
    """The files that a tar or a pattern names, none of other paths; raises ConfigError where one is not there."""
    from limbeck.data.streams.shards import TARS, ending_of, is_pattern, paths_of

    path = Path(text)
    if path.exists():
        return [path] if path.is_file() and ending_of(path) in TARS else []
    if not is_pattern(text):
        return []
    found = paths_of(text)
    if absent := [each for each in found if not each.exists()]:
        raise ConfigError(f"expected a shard at {absent[0]}, it does not exist", "check the pattern")
    if not found:
        raise ConfigError(f"expected shards at {text}, there are none", "check the pattern")
    return found


def shard_answers(student: Any, paths: list[Path], run: Path, *, proba: bool) -> Iterator[pd.DataFrame]:
    """Tables of answers; rows of tars are named by the stem of their members."""
    from limbeck.cli.tables import answers_table, asked_columns, asked_size, read_inputs
    from limbeck.data.streams.batches import Batches
    from limbeck.data.streams.shards import TARS, ending_of

    for path in paths:
        if ending_of(path) not in TARS:
            yield answers_table(student, *read_inputs(path, run), proba=proba)
            continue
        batches = Batches("unlabeled", asked_columns(run), asked_size(run))
        for stems, raw in batches.of_tar(path):
            yield answers_table(student, raw.inputs, {"id": stems}, proba=proba)


def write_frames(frames: Iterator[pd.DataFrame], target: Path) -> int:
    """Write tables one behind the other, durably and never all at once; how many rows there were."""
    from limbeck.cli.tables import as_csv
    from limbeck.core.files import commit

    if target.suffix not in _FORMS:
        raise ConfigError(f"expected a table ending in .csv, .jsonl or .parquet, got {target.name}")
    rows = 0

    def write(file: Any) -> None:
        nonlocal rows
        sink: Any = None
        for number, frame in enumerate(frames):
            rows += len(frame)
            if target.suffix == ".parquet":
                import pyarrow as pa
                import pyarrow.parquet as pq

                table = pa.Table.from_pandas(frame, preserve_index=False)
                sink = sink or pq.ParquetWriter(file, table.schema)
                sink.write_table(table)
            elif target.suffix == ".jsonl":
                frame.to_json(file, orient="records", lines=True, force_ascii=False)
            else:
                as_csv(frame).to_csv(file, index=False, header=number == 0)
        if sink is not None:
            sink.close()

    commit(target, write)
    return rows
