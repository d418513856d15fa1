"""Streams as a split: what counts as one, and its rows once they lie on disk.

data = lb.Data(train="train.parquet", unlabeled="more-{000..099}.tar", test="test.parquet")
data = lb.Data(train=(X, y), unlabeled=lb.Stream(rows, cache="cache/more"), test=(X_test, y_test))
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.core.errors import ConfigError
from limbeck.data.columns import Columns
from limbeck.data.raw import Raw
from limbeck.data.streams.shards import TARS, ending_of, is_pattern, shards_in


@dataclass(frozen=True, eq=False)
class Stream:
    """Rows that do not fit in memory: they are read once, in order, and lie on disk from then on.

    source     shards: "train-{000000..000009}.tar", "shards/*.parquet", a folder of shards, or a list of paths, as
               tar (members of one stem are a row: .npy, .png, .jpg, .txt, .cls, .json), Parquet, CSV, TSV, JSONL or
               NPZ; or an iterable (an IterableDataset, a generator), or a function without arguments that gives one,
               of rows (x, (x, y) or mappings) or of batches (tables, (X, y), or mappings of columns)
    cache      the folder to which the rows are written; by default shards have one below the user's cache folder
               (LIMBECK_CACHE, else XDG_CACHE_HOME, else ~/.cache), and what an iterable gives lies in a temporary
               folder as long as the process uses it
    version    what an iterable gives, in a word of yours: rows of that version are not asked for again
    batches    whether an iterable gives batches; None looks: tables, matrices [B, D] and [B, H, W, C], and pairs of
               inputs and as many labels are batches
    """

    source: Any
    cache: str | Path | None = None
    version: str | None = None
    batches: bool | None = None


def as_stream(given: Any) -> Stream | None:
    """What was given as a stream; None where it is no stream."""
    if isinstance(given, Stream):
        return given
    if isinstance(given, str | Path):
        return Stream(given) if are_shards(str(given)) else None
    plain = isinstance(given, type) or hasattr(given, "__len__") or hasattr(given, "__array__")
    if plain or hasattr(given, "tocsr") or hasattr(given, "inputs"):  # sparse matrices, and what was read already
        return None
    return Stream(given) if callable(given) or hasattr(given, "__iter__") else None


def are_shards(text: str) -> bool:
    """Whether a path is read as a stream: a pattern, a tar, a folder of shards."""
    path = Path(text)
    if path.exists():
        return ending_of(path) in TARS or (path.is_dir() and bool(shards_in(path)))
    return is_pattern(text) or path.name.endswith(TARS)


def read_stream(stream: Stream, columns: Columns | None, split: str, size: tuple[int, int] | None) -> Raw:
    """The rows of a stream, on disk; raises ConfigError naming the shard and the row that cannot be read."""
    from limbeck.data.streams.spool import spooled

    if split == "corpus":
        raise ConfigError("expected a table of texts as the corpus, got a stream", "give a table")
    return spooled(stream, columns, split, size)
