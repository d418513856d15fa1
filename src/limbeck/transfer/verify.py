"""Verifying a transfer set: every byte of every file, what is damaged and which rows it touches."""

from __future__ import annotations

from pathlib import Path

from limbeck.core.errors import StoreDamaged
from limbeck.transfer.layout import JOURNAL_NAME, Shard, committed_shards, keys_name, shards_of
from limbeck.transfer.manifest import MANIFEST_NAME, Manifest
from limbeck.transfer.verification import Damage, Verification, compare, size_of, sound_lines
from limbeck.transfer.written import TOKENS, holds_texts, verify_texts


def verify(path: Path | str) -> Verification:
    """Read every byte of a transfer set and compare it with its checksum.

    A folder of texts is one too, and answers token by token below it belong to it. Raises StoreMismatch where there is
    no transfer set at all.
    """
    folder = Path(path)
    if not holds_texts(folder):
        return _verify_answers(folder)
    found, tokens = verify_texts(folder), folder / TOKENS
    return found.joined(_verify_answers(tokens), TOKENS) if (tokens / MANIFEST_NAME).is_file() else found


def _verify_answers(folder: Path) -> Verification:
    try:
        manifest = Manifest.read(folder)
    except StoreDamaged as error:
        return Verification(folder, (Damage(MANIFEST_NAME, error.what),), 0, 0, 0, 1, size_of(folder / MANIFEST_NAME))
    damage: list[Damage] = []
    checked = [MANIFEST_NAME]
    first = 0
    for number, segment in enumerate(manifest.segments):
        name = keys_name(number)
        rows = (first, first + segment.answers - 1)
        damage += compare(folder, name, segment.rows * 24, segment.keys_checksum, rows)
        checked.append(name)
        first += segment.answers
    shards = shards_of(manifest)
    journal, records = sound_lines(folder / JOURNAL_NAME)
    damage += journal
    checked.append(JOURNAL_NAME)
    committed = committed_shards(manifest, records)
    for shard in shards:
        for record in committed.get(shard.name, {}).values():
            damage += compare(folder, record.name, record.size, record.checksum, _rows(shard))
            checked.append(record.name)
    size = sum(size_of(folder / name) for name in checked)
    open_ = len(shards) - len(committed)
    return Verification(folder, tuple(damage), open_, len(shards), manifest.answers, len(checked), size)


def _rows(shard: Shard) -> tuple[int, int]:
    return shard.first, shard.first + shard.rows - 1
