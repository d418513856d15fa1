"""Shards by name: patterns with braces or stars, folders, lists; in their order, each with what identifies it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from limbeck.core.errors import ConfigError
from limbeck.core.files import checksum

TARS = (".tar", ".tar.gz", ".tgz")
ENDINGS = (*TARS, ".parquet", ".csv", ".tsv", ".jsonl", ".npz")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST = 1_000_000  # shards


@dataclass(frozen=True)
class Shard:
    """One file of a stream."""

    path: Path

    @property
    def ending(self) -> str:
        """Its ending, in small letters."""
        return ending_of(self.path)

    def mark(self) -> dict[str, Any]:
        """Its size and time, which say whether it may have changed; raises ConfigError where it is not there."""
        try:
            found = self.path.stat()
        except OSError as error:
            raise ConfigError(f"expected a shard at {self.path}, got: {error.strerror}", "check the pattern") from None
        return {"size": found.st_size, "mtime": found.st_mtime_ns}

    def checksum(self) -> str:
        """A hash of its bytes."""
        return checksum(self.path)


def ending_of(path: Path) -> str:
    """The ending of a shard; "" of other files."""
    name = path.name.lower()
    return next((ending for ending in ENDINGS if name.endswith(ending)), "")


def shards_in(folder: Path) -> list[Path]:
    """The shards in a folder, by name; none where anything else lies there."""
    inside = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    return inside if all(path.is_file() and ending_of(path) for path in inside) else []


def shards_of(source: Any, split: str) -> list[Shard] | None:
    """The shards that a source names; None where it is no path. Raises ConfigError where there are none."""
    if isinstance(source, str | Path):
        paths = paths_of(str(source))
    elif isinstance(source, list | tuple) and source and all(isinstance(p, str | Path) for p in source):
        paths = [path for entry in source for path in paths_of(str(entry))]
    else:
        return None
    if not paths:
        raise ConfigError(f"expected shards of {split} at {source}, there are none", f"known: {', '.join(ENDINGS)}")
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise ConfigError(
            f"expected {len(paths)} shards of {split}, {len(missing)} are not there, the first is {missing[0]}",
            "check the pattern: every number in braces is a shard",
        )
    other = next((path for path in paths if not ending_of(path)), None)
    if other is not None:
        raise ConfigError(
            f"expected shards of {split} ending in {', '.join(ENDINGS)}, got {other.name}", "name the shards alone"
        )
    kinds = sorted({_family(path) for path in paths})
    if len(kinds) > 1:
        raise ConfigError(f"expected shards of {split} of one kind, got {' and '.join(kinds)}", "name one kind")
    return [Shard(path) for path in paths]


def _family(path: Path) -> str:
    return ".tar" if ending_of(path) in TARS else ending_of(path)


def is_pattern(text: str) -> bool:
    """Whether a path may mean several files; one that is there means itself."""
    return any(mark in text for mark in "*?[{") and not Path(text).exists()


def paths_of(text: str) -> list[Path]:
    """The files that a path, a folder or a pattern means, whether they are there or not.

    Raises ConfigError for a range that goes down.
    """
    path = Path(text)
    if path.is_dir():
        return shards_in(path)
    if path.exists():
        return [path]
    spelt = _expanded(text)
    if len(spelt) > 1 or not any(mark in text for mark in "*?["):
        return [Path(each) for each in spelt]
    return [Path(each) for each in sorted(glob(text))]


def _expanded(text: str) -> Sequence[str]:
    """The names that a pattern with {first..last} stands for; zeros in front stay."""
    found = _RANGE.search(text)
    if found is None:
        return [text]
    first, last = found.groups()
    low, high = int(first), int(last)
    if not low <= high < low + _MOST:
        raise ConfigError(f"expected a range that goes up, got {found.group()}", "for example {000..099}")
    numbers = [str(number).zfill(len(first)) for number in range(low, high + 1)]
    return [each for n in numbers for each in _expanded(text[: found.start()] + n + text[found.end() :])]
