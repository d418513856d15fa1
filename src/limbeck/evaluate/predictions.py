"""Predictions on disk: one Parquet file with the columns key, arm, seed and one list of numbers, or a text, per head.

`key` is the row key in 32 hexadecimal digits. Masks are the class ids of their pixels, as bytes. Classification and
multilabel answers are logits, regression answers are in natural units, texts are texts; the schema's metadata says so
("limbeck.schema" = "1").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError, ShapeMismatch, StoreDamaged
from limbeck.core.files import commit
from limbeck.data.keys import key_hex, keys_from_hex
from limbeck.evaluate.answers import Array

SCHEMA = "1"
FIXED = ("key", "arm", "seed")


@dataclass(frozen=True)
class Predictions:
    """What one or more arms answered on the same rows: keys uint64 [N, 2], arms -> heads -> answers [S, N, C].

    Of words they are objects [S, N], one array [W, C] for each row; texts are objects [S, N].
    """

    keys: Array
    answers: Mapping[str, Mapping[str, Array]]
    seeds: Mapping[str, tuple[int, ...]]


def write(
    path: Path, keys: Array, arm: str, answers: Mapping[str, Array], seeds: Sequence[int], *, overwrite: bool = True,
    lengths: Mapping[str, Array] | None = None,
) -> None:  # fmt: skip
    """Write the answers [S, N, C] (texts: object [S, N]) of one arm for every head; the file is complete or not there.

    A head in `lengths` has answers [S, M, C] for all words of the rows, which have so many each [N]: a list of lists.
    Raises ShapeMismatch where seeds or rows do not fit, ConfigError for answers that are not finite.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if path.exists() and not overwrite:
        raise ConfigError(f"expected no file at {path}, found one", "choose another path or overwrite it")
    columns: dict[str, Any] = {
        "key": pa.array(key_hex(keys) * len(seeds), pa.string()),
        "arm": pa.array([arm] * (len(keys) * len(seeds)), pa.string()),
        "seed": pa.array(np.repeat(np.asarray(seeds, dtype=np.int64), len(keys))),
    }
    for head, values in answers.items():
        if np.asarray(values).dtype == object:
            columns[head] = pa.array(_texts(head, arm, np.asarray(values), len(seeds), len(keys)), pa.large_string())
            continue
        words = None if lengths is None else lengths.get(head)
        _check(head, arm, np.asarray(values), len(seeds), len(keys) if words is None else int(words.sum()))
        decided = np.asarray(values).dtype == np.uint8  # of pixels, whose scores would be many
        flat = np.ascontiguousarray(values, dtype=np.uint8 if decided else np.float32)
        width = flat.shape[-1]
        offsets = np.arange(flat.shape[0] * flat.shape[1] + 1, dtype=np.int64) * width  # 32 bits end at 2^31 values
        columns[head] = pa.LargeListArray.from_arrays(offsets, pa.array(flat.ravel()))
        if words is not None:
            ends = np.cumsum(np.concatenate([[0], np.tile(words, len(seeds))]), dtype=np.int64)
            columns[head] = pa.LargeListArray.from_arrays(ends, columns[head])
    table = pa.table(columns).replace_schema_metadata({"limbeck.schema": SCHEMA})
    # keys and answers hardly repeat: to look for a dictionary of them costs more than all the rest
    commit(path, lambda file: pq.write_table(table, file, use_dictionary=["arm", "seed"]))


def _texts(head: str, arm: str, values: Array, seeds: int, rows: int) -> list[str]:
    """Texts [S, N] one after the other; raises ShapeMismatch for another shape."""
    if head in FIXED:
        raise ConfigError(f"expected a head with a name of its own, got '{head}'", f"{', '.join(FIXED)} are taken")
    if values.shape != (seeds, rows):
        raise ShapeMismatch(
            f"expected the texts of '{arm}' for '{head}' to have shape [{seeds}, {rows}], got {list(values.shape)}",
            "the axes are seeds and rows",
        )
    return [str(text) for text in values.ravel()]


def _check(head: str, arm: str, values: Array, seeds: int, rows: int) -> None:
    if head in FIXED:
        raise ConfigError(f"expected a head with a name of its own, got '{head}'", f"{', '.join(FIXED)} are taken")
    if values.ndim != 3 or values.shape[:2] != (seeds, rows):
        raise ShapeMismatch(
            f"expected the answers of '{arm}' for '{head}' to have shape [{seeds}, {rows}, width], "
            f"got {list(values.shape)}",
            "the axes are seeds, rows and classes, labels or targets",
        )
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(axis=-1).sum())
        raise ConfigError(
            f"expected finite answers of '{arm}' for '{head}', got NaN or infinity in {bad} rows",
            "look at the training curve of that seed: it may have diverged",
        )


def read(paths: Sequence[Path] | Path) -> Predictions:
    """Read one or several files; every arm and seed must answer the same rows, in any order.

    Raises StoreDamaged for unreadable files, ShapeMismatch where rows differ between arms or seeds.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = [paths] if isinstance(paths, str | Path) else list(paths)
    parts: list[tuple[str, int, list[str], dict[str, Array]]] = []
    for file in files:
        try:
            table = pq.read_table(file)
        except (pa.ArrowInvalid, pa.ArrowIOError, OSError) as e:
            raise StoreDamaged(f"expected predictions in Parquet at {file}, got: {e}", "evaluate again") from e
        missing = [c for c in FIXED if c not in table.column_names]
        if missing:
            raise StoreDamaged(
                f"expected the columns key, arm and seed in {file}, {', '.join(missing)} missing",
                "this file was not written by limbeck; `limbeck judge` reads tables from elsewhere",
            )
        parts += _split(table)
    return _assemble(parts)


def _split(table: Any) -> list[tuple[str, int, list[str], dict[str, Array]]]:
    arms = np.asarray(table["arm"].to_pylist(), dtype=object)
    seeds = table["seed"].to_numpy()
    keys = np.asarray(table["key"].to_pylist(), dtype=object)
    heads = [c for c in table.column_names if c not in FIXED]
    values = {h: _dense(h, table[h]) for h in heads}
    found = []
    for arm in dict.fromkeys(arms):
        for seed in dict.fromkeys(seeds[arms == arm]):
            here = np.flatnonzero((arms == arm) & (seeds == seed))
            found.append((str(arm), int(seed), list(keys[here]), {h: values[h][here] for h in heads}))
    return found


def _dense(head: str, column: Any) -> Array:
    import pyarrow as pa

    if not hasattr(column.type, "value_type"):  # no lists: texts
        return np.array([*column.to_pylist(), None], dtype=object)[:-1]
    whole = column.combine_chunks()
    if pa.types.is_large_list(whole.type) and pa.types.is_large_list(whole.type.value_type):
        return _ragged(head, whole)
    offsets = whole.offsets.to_numpy()
    widths = np.unique(np.diff(offsets))
    if len(widths) > 1 or whole.null_count:
        raise StoreDamaged(f"expected answers of one width for '{head}', got {widths.tolist()}", "evaluate again")
    width = int(widths[0]) if len(widths) else 0
    flat = whole.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]] if len(offsets) > 1 else np.empty(0)
    return np.asarray(flat).reshape(len(whole), width)


def _ragged(head: str, whole: Any) -> Array:
    """One array [W, C] for each row, as objects [N]."""
    import pyarrow as pa

    values = _dense(head, pa.chunked_array([whole.flatten()]))
    parts = np.split(values, np.cumsum(whole.value_lengths().to_numpy(zero_copy_only=False))[:-1])
    found = np.empty(len(whole), dtype=object)
    found[:] = parts
    return found


def flat(answers: Array) -> Array:
    """Answers of one seed [N, C] or texts [N] as they are; of words, one array [W, C] a row, all of them [M, C]."""
    words = answers.dtype == object and len(answers) > 0 and isinstance(answers[0], np.ndarray)
    return np.concatenate(list(answers)) if words else answers


def _assemble(parts: list[tuple[str, int, list[str], dict[str, Array]]]) -> Predictions:
    if not parts:
        raise StoreDamaged("expected predictions, got an empty file", "evaluate again")
    order = _numbered(parts[0][2])
    place = {key: i for i, key in enumerate(order)}
    answers: dict[str, dict[str, list[Array]]] = {}
    seeds: dict[str, list[int]] = {}
    for arm, seed, names, heads in parts:
        keys = _numbered(names)
        if keys != order:
            if len(keys) != len(order) or set(keys) != set(order):
                raise ShapeMismatch(
                    f"expected arm '{arm}', seed {seed} to answer the same {len(order)} rows as the others, "
                    f"got {len(keys)} rows, {len(set(keys) & set(order))} of them shared",
                    "evaluate all arms on the same test rows",
                )
            back = np.empty(len(order), dtype=np.int64)
            back[[place[k] for k in keys]] = np.arange(len(keys))
            heads = {h: v[back] for h, v in heads.items()}
        seeds.setdefault(arm, []).append(seed)
        for head, values in heads.items():
            answers.setdefault(arm, {}).setdefault(head, []).append(values)
    stacked = {arm: {head: np.stack(each) for head, each in heads.items()} for arm, heads in answers.items()}
    return Predictions(keys_from_hex(parts[0][2]), stacked, {arm: tuple(s) for arm, s in seeds.items()})


def _numbered(keys: Sequence[str]) -> list[tuple[str, int]]:
    """Keys with the number of times each was seen before: honest duplicates are rows of their own."""
    seen: dict[str, int] = {}
    numbered = []
    for key in keys:
        seen[key] = seen.get(key, -1) + 1
        numbered.append((key, seen[key]))
    return numbered
