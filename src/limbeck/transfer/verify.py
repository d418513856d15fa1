"""Verifying a transfer set: every byte of every file, what is damaged and which rows it touches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from limbeck.core import files
from limbeck.core.errors import StoreDamaged
from limbeck.transfer.layout import JOURNAL_NAME, Shard, committed_shards, keys_name, shards_of
from limbeck.transfer.manifest import MANIFEST_NAME, Manifest


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
    """What verifying found. `open_shards` are planned but not labelled yet, which is not damage."""

    path: Path
    damage: tuple[Damage, ...]
    open_shards: int
    shards: int
    answers: int
    files: int
    size: int

    @property
    def sound(self) -> bool:
        """Whether every byte is the byte that was written."""
        return not self.damage

    @property
    def complete(self) -> bool:
        """Whether every planned shard is labelled."""
        return self.sound and not self.open_shards

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


def verify(path: Path | str) -> Verification:
    """Read every byte of a transfer set and compare it with its checksum.

    Raises StoreMismatch where there is no transfer set at all.
    """
    folder = Path(path)
    try:
        manifest = Manifest.read(folder)
    except StoreDamaged as error:
        return Verification(folder, (Damage(MANIFEST_NAME, error.what),), 0, 0, 0, 1, _size(folder / MANIFEST_NAME))
    damage: list[Damage] = []
    checked = [MANIFEST_NAME]
    first = 0
    for number, segment in enumerate(manifest.segments):
        name = keys_name(number)
        rows = (first, first + segment.answers - 1)
        damage += _compare(folder, name, segment.rows * 24, segment.keys_checksum, rows)
        checked.append(name)
        first += segment.answers
    shards = shards_of(manifest)
    journal, records = _journal(folder)
    damage += journal
    checked.append(JOURNAL_NAME)
    committed = committed_shards(manifest, records)
    for shard in shards:
        for record in committed.get(shard.name, {}).values():
            damage += _compare(folder, record.name, record.size, record.checksum, _rows(shard))
            checked.append(record.name)
    size = sum(_size(folder / name) for name in checked)
    open_ = len(shards) - len(committed)
    return Verification(folder, tuple(damage), open_, len(shards), manifest.answers, len(checked), size)


def _journal(folder: Path) -> tuple[list[Damage], list[dict[str, object]]]:
    records, lines = files.scan_journal(folder / JOURNAL_NAME)
    found = [Damage(JOURNAL_NAME, f"line {number} does not match its checksum") for number in lines]
    if files.torn_tail(folder / JOURNAL_NAME):
        found.append(Damage(JOURNAL_NAME, "its last line is torn: the labelling was cut off, or a byte is damaged"))
    return found, records


def _compare(folder: Path, name: str, size: int, checksum: str, rows: tuple[int, int]) -> list[Damage]:
    path = folder / name
    try:
        actual = path.stat().st_size
        if actual != size:
            return [Damage(name, f"{actual} bytes instead of {size}", rows)]
        if files.checksum(path) != checksum:
            return [Damage(name, "its bytes do not match their checksum", rows)]
    except OSError as error:
        return [Damage(name, f"it cannot be read ({error.strerror})", rows)]
    return []


def _rows(shard: Shard) -> tuple[int, int]:
    return shard.first, shard.first + shard.rows - 1


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
