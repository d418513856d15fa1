"""Texts that a teacher wrote, on disk: one for each distinct source, each written once.

A folder holds `texts.json` (the identity: teacher and how it wrote), Parquet shards with the columns key, text and
logprob, and a journal with a line for each shard and the checksums of both. A shard is committed whole: after a kill
what is acknowledged stays, and what is missing is written in the same pieces, so that the result is the same. A damaged
shard is written again, nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from limbeck.core import files
from limbeck.core.errors import LimbeckError, StoreDamaged, StoreMismatch
from limbeck.core.lock import FolderLock
from limbeck.data.keys import key_hex, keys_from_hex
from limbeck.transfer.index import KeyIndex, as_keys

Array: TypeAlias = "np.ndarray[Any, Any]"
Write: TypeAlias = "Callable[[Array, int], tuple[list[str], Array]]"  # positions, seed -> texts, mean log-probabilities

IDENTITY, JOURNAL = "texts.json", "texts.journal"
SHARD_ROWS = 512
_AGAIN = "label again: only what is missing or damaged is written anew"


@dataclass(frozen=True, eq=False)
class Written:
    """Texts by source: keys uint64 [N, 2], texts object [N], mean log-probability of a token float32 [N] or NaN."""

    keys: Array
    texts: Array
    logprobs: Array

    def __len__(self) -> int:
        return len(self.texts)

    def of(self, keys: Array) -> tuple[Array, Array]:
        """Texts and log-probabilities of sources; raises StoreMismatch where one was never written."""
        places = KeyIndex.build(self.keys).find(as_keys(keys)) if len(self) else np.full(len(keys), -1)
        if (places < 0).any():
            raise StoreMismatch(
                f"expected a text of the teacher for each of {len(keys)} sources, {int((places < 0).sum())} have none",
                _AGAIN,
            )
        return self.texts[places], self.logprobs[places]


def fill(
    folder: Path,
    identity: Mapping[str, Any],
    keys: Array,
    write: Write,
    *,
    shard_rows: int = SHARD_ROWS,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Have a text written for every key that has none yet, and return all of them.

    `write(positions, seed)` is asked for pieces of at most `shard_rows`; equal keys are asked for once. Raises
    StoreMismatch for a folder of another identity, LimbeckError for answers that are no texts.
    """
    files.make_folder(folder)
    lock = FolderLock(folder)
    lock.take()
    try:
        files.remove_leftovers(folder)
        _identify(folder, identity)
        sound = _sound(folder)
        index = KeyIndex.build(as_keys(keys))
        held = [_read_shard(folder, record) for record in sound.values()]
        known = KeyIndex.build(np.concatenate([part.keys for part in held])) if held else None
        missing = np.arange(len(index)) if known is None else np.flatnonzero(known.find(index.sorted_keys()) < 0)
        done, total = len(index) - len(missing), len(index)
        free = iter(number for number in range(len(missing) + len(sound)) if number not in sound)
        for start in range(0, len(missing), shard_rows):
            if progress is not None:
                progress(done + start, total)
            piece = index.place[missing[start : start + shard_rows]]
            seed = int(as_keys(keys)[piece[0], 0] >> np.uint64(1))
            texts, logprobs = write(piece, seed)
            part = Written(as_keys(keys)[piece], _checked(texts, len(piece)), np.asarray(logprobs, np.float32))
            _commit(folder, next(free), part)
            held.append(part)
        if progress is not None:
            progress(total, total)
    finally:
        lock.release()
    return _joined(held)


def read(folder: Path) -> Written:
    """All texts of a folder; raises StoreMismatch where there are none, StoreDamaged where a byte is wrong."""
    if not (folder / IDENTITY).is_file():
        raise StoreMismatch(f"expected texts of a teacher at {folder}, there is no {IDENTITY}", _AGAIN)
    return _joined([_read_shard(folder, record) for record in _acknowledged(folder, damaged=False).values()])


def _identify(folder: Path, identity: Mapping[str, Any]) -> None:
    path = folder / IDENTITY
    if not path.is_file():
        files.write_json(path, dict(identity))
        return
    there = files.read_json(path)
    wrong = [name for name in {**there, **identity} if there.get(name) != identity.get(name)]
    if wrong:
        raise StoreMismatch(
            f"expected texts with {wrong[0]} {identity.get(wrong[0])} in {folder}, they have {there.get(wrong[0])}",
            "label into a new folder, or with the teacher and settings that wrote these",
        )


def _acknowledged(folder: Path, *, damaged: bool) -> dict[int, dict[str, Any]]:
    path = folder / JOURNAL
    if damaged:
        records, broken = files.scan_journal(path)
        if broken or files.torn_tail(path):
            files.write_bytes(path, b"".join(files.journal_line(record) for record in records))
    else:
        records = files.read_journal(path)
    return {int(record["shard"]): record for record in records}


def _sound(folder: Path) -> dict[int, dict[str, Any]]:
    """The acknowledged shards whose bytes are those that were written."""
    found = {}
    for number, record in _acknowledged(folder, damaged=True).items():
        path = folder / shard_name(number)
        if path.is_file() and files.checksum(path) == record["checksum"]:
            found[number] = record
    return found


def shard_name(number: int) -> str:
    """The file of a shard."""
    return f"texts-{number:05d}.parquet"


def _checked(texts: list[str], rows: int) -> Array:
    if len(texts) != rows or not all(isinstance(text, str) for text in texts):
        odd = next((type(text).__name__ for text in texts if not isinstance(text, str)), "texts")
        raise LimbeckError(
            f"expected {rows} texts of the teacher, got {len(texts)} {odd}", "a teacher gives one text for each source"
        )
    return np.array([*texts, None], dtype=object)[:-1]


def as_table(part: Written) -> Any:
    """Texts as an Arrow table with the columns key, text and logprob."""
    import pyarrow as pa

    return pa.table({
        "key": pa.array(key_hex(part.keys), pa.string()), "text": pa.array(part.texts.tolist(), pa.string()),
        "logprob": pa.array(part.logprobs),
    })  # fmt: skip


def _commit(folder: Path, number: int, part: Written) -> None:
    import pyarrow.parquet as pq

    table = as_table(part)
    path = folder / shard_name(number)
    files.commit(path, lambda file: pq.write_table(table, file))
    record = {
        "shard": number, "rows": len(part), "checksum": files.checksum(path),
        "identity": files.checksum(folder / IDENTITY),
    }  # fmt: skip
    files.append_line(folder / JOURNAL, record)


def _read_shard(folder: Path, record: Mapping[str, Any]) -> Written:
    import pyarrow.parquet as pq

    path = folder / shard_name(int(record["shard"]))
    if not path.is_file() or files.checksum(path) != record["checksum"]:
        raise StoreDamaged(f"expected {path} to hold {record['rows']} texts as written, it does not", _AGAIN)
    table = pq.read_table(path)
    texts = np.array([*table["text"].to_pylist(), None], dtype=object)[:-1]
    return Written(keys_from_hex(table["key"].to_pylist()), texts, table["logprob"].to_numpy())


def _joined(parts: list[Written]) -> Written:
    if not parts:
        return Written(np.empty((0, 2), np.uint64), np.empty(0, object), np.empty(0, np.float32))
    return Written(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("keys", "texts", "logprobs")))
