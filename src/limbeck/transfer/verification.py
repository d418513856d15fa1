"""What verifying a transfer set found: damaged files, the rows that they touch, and what is not labelled yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limbeck.core import files
from limbeck.core.errors import StoreDamaged


@dataclass(frozen=True)
class Damage:
    """A file that is not as it was written; `rows` are the answers (first, last) that it touches, None: all."""

    file: str
    what: str
    rows: tuple[int, int] | None = None

    def __str__(self) -> str:
        touched = "" if self.rows is None else f" (answers {self.rows[0]} to {self.rows[1]})"
        return f"{self.file}: {self.what}{touched}"


@dataclass(frozen=True)
class Verification:
    """What verifying found. `open_shards` are planned but not labelled yet, which is not damage.

    `what` names the answers: "answers", or "texts" that a teacher wrote.
    """

    path: Path
    damage: tuple[Damage, ...]
    open_shards: int
    shards: int
    answers: int
    files: int
    size: int
    what: str = "answers"

    @property
    def sound(self) -> bool:
        """Whether every byte is the byte that was written."""
        return not self.damage

    @property
    def complete(self) -> bool:
        """Whether every planned shard is labelled."""
        return self.sound and not self.open_shards

    def joined(self, part: Verification, name: str) -> Verification:
        """This beside what was found in a folder `name` below; the answers stay those of this one."""
        more = tuple(replace(damage, file=f"{name}/{damage.file}", rows=None) for damage in part.damage)
        return replace(
            self, damage=self.damage + more, open_shards=self.open_shards + part.open_shards,
            shards=self.shards + part.shards, files=self.files + part.files, size=self.size + part.size,
        )  # fmt: skip

    def require(self) -> None:
        """Raise StoreDamaged where a byte is wrong, naming files and rows."""
        if self.damage:
            raise StoreDamaged(
                f"expected every byte of {self.path} as written, {len(self.damage)} "
                f"file{'s are' if len(self.damage) > 1 else ' is'} damaged:\n"
                + "\n".join(f"  {damage}" for damage in self.damage),
                "label again into the same folder, which labels damaged shards again and nothing else; "
                "a damaged manifest must come from a copy, or label into a new folder",
            )


def sound_lines(path: Path) -> tuple[list[Damage], list[dict[str, Any]]]:
    """The damage of a journal, and its records whose checksums are right."""
    records, lines = files.scan_journal(path)
    found = [Damage(path.name, f"line {number} does not match its checksum") for number in lines]
    if files.torn_tail(path):
        found.append(Damage(path.name, "its last line is torn: the labelling was cut off, or a byte is damaged"))
    return found, records


def compare(
    folder: Path, name: str, size: int | None, checksum: str, rows: tuple[int, int] | None = None
) -> list[Damage]:
    """The damage of a file that once had a size (None: not known) and a checksum."""
    path = folder / name
    try:
        actual = path.stat().st_size
        if size is not None and actual != size:
            return [Damage(name, f"{actual} bytes instead of {size}", rows)]
        if files.checksum(path) != checksum:
            return [Damage(name, "its bytes do not match their checksum", rows)]
    except OSError as error:
        return [Damage(name, f"it cannot be read ({error.strerror})", rows)]
    return []


def size_of(path: Path) -> int:
    """Bytes of a file, 0 where it is gone."""
    return path.stat().st_size if path.is_file() else 0
