"""Texts of a teacher looked at: what is damaged is named, what they are is told, and they go out as a table."""

import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limbeck.core import files
from limbeck.core.errors import StoreDamaged, StoreMismatch
from limbeck.transfer.exchange import export_parquet
from limbeck.transfer.texts import IDENTITY, JOURNAL, fill, read
from limbeck.transfer.verify import verify
from limbeck.transfer.written import FORMAT, TOKENS, describe_texts

WRITING = {"beams": 2, "temperature": None}
KEYS = np.random.default_rng(0).integers(0, 2**63, (20, 2)).astype(np.uint64)


def write(places, seed):
    return [f"text {place} ü" for place in places], np.where(places % 2, -0.5, np.nan)


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path / "t", {"format": FORMAT, "teacher": "t1", "writing": WRITING}, KEYS, write, shard_rows=8)
    return tmp_path / "t"


def test_sound_texts(folder):
    found = verify(folder)
    found.require()
    assert found.sound and found.complete and found.what == "texts"
    assert (found.answers, found.shards, found.files) == (20, 3, 5)
    assert found.size == sum(p.stat().st_size for p in folder.iterdir() if p.name != ".lock")


def test_every_flipped_byte_of_every_file_is_found(folder, flip):
    paths = [p for p in sorted(folder.iterdir()) if p.name != ".lock"]
    assert len(paths) == 5
    draw = random.Random(0)
    for path in paths:
        size = path.stat().st_size
        for place in {0, size // 2, size - 1} | {draw.randrange(size) for _ in range(30)}:
            bit = draw.randrange(8)
            flip(path, place, bit)
            found = verify(folder)
            assert not found.sound and path.name in {d.file for d in found.damage}, f"{path.name} {place} {bit}"
            flip(path, place, bit)
    assert verify(folder).sound


def test_a_damaged_part_is_named_with_its_texts(folder):
    (folder / "texts-00001.parquet").write_bytes(b"")
    (folder / "texts-00002.parquet").unlink()
    with pytest.raises(StoreDamaged) as caught:
        verify(folder).require()
    assert "texts-00001.parquet: its bytes do not match their checksum (answers 8 to 15)" in str(caught.value)
    assert "texts-00002.parquet: it cannot be read (No such file or directory) (answers 16 to 19)" in str(caught.value)


@pytest.mark.parametrize("name", [IDENTITY, JOURNAL])
def test_a_file_beside_the_shards_that_is_gone(folder, name):
    (folder / name).unlink()
    found = verify(folder)
    assert not found.complete
    if name == IDENTITY:
        assert [d.file for d in found.damage] == [IDENTITY] and "there is none" in found.damage[0].what
    else:
        assert found.open_shards == 3 and found.answers == 0


def test_texts_of_another_format_are_told(tmp_path):
    fill(tmp_path, {"format": "other", "teacher": "t"}, KEYS, write)
    assert [str(d) for d in verify(tmp_path).damage] == ["texts.json: it does not say that this is limbeck-texts"]


def test_shards_of_another_structure_are_named_though_their_bytes_are_right(folder):
    first = pq.read_table(folder / "texts-00000.parquet")
    whole = "instead of 8 of key string, text string, logprob float"
    wide = first.column("logprob").cast(pa.float64())
    for table, what in (
        (first.drop(["logprob"]), f"8 rows of key string, text string {whole}"),
        (first.slice(0, 3), f"3 rows of key string, text string, logprob float {whole}"),
        (first.set_column(2, "logprob", wide), f"8 rows of key string, text string, logprob double {whole}"),
        (first.set_column(0, "key", pa.array([first["key"][0]] * 8)), "7 of its sources stand there twice"),
    ):
        path = folder / "texts-00000.parquet"
        pq.write_table(table, path)
        record = {"shard": 0, "rows": 8, "checksum": files.checksum(path)}
        files.append_line(folder / JOURNAL, record)
        (damage,) = verify(folder).damage
        assert damage.file == path.name and what in str(damage)


def test_a_source_in_two_shards_is_damage(folder):
    path = folder / "texts-00001.parquet"
    path.write_bytes((folder / "texts-00000.parquet").read_bytes())
    files.append_line(folder / JOURNAL, {"shard": 1, "rows": 8, "checksum": files.checksum(path)})
    (damage,) = verify(folder).damage
    assert str(damage) == "texts-00001.parquet: 8 of its sources stand there twice (answers 8 to 15)"


def test_an_unfinished_shard_is_open_and_no_damage(folder):
    (folder / "texts-00003.parquet").write_bytes(b"PAR1")
    found = verify(folder)
    assert found.sound and not found.complete and (found.open_shards, found.shards) == (1, 4)


def test_texts_are_described(folder):
    assert describe_texts(folder) == {
        "texts": 20, "format": FORMAT, "teacher": "t1", "writing": WRITING, "shards": 3, "bytes": verify(folder).size,
    }  # fmt: skip


def test_texts_go_out_as_one_table(folder, tmp_path):
    frame = pd.read_parquet(export_parquet(folder, tmp_path / "out" / "texts.parquet"))
    assert list(frame.columns) == ["key", "text", "logprob"]
    held = read(folder)
    assert frame["text"].tolist() == held.texts.tolist() and len(frame) == 20
    np.testing.assert_array_equal(frame["logprob"], held.logprobs)
    (folder / "texts-00001.parquet").write_bytes(b"x")
    with pytest.raises(StoreDamaged, match="to hold 8 texts as written, it does not"):
        export_parquet(folder, tmp_path / "again.parquet")
    assert not (tmp_path / "again.parquet").exists()


def test_answers_token_by_token_belong_to_the_texts(folder, kit, flip):
    kit.store(folder / TOKENS, kit.rows(60))
    found = verify(folder)
    assert found.sound and found.answers == 20 and found.shards == 5
    flip(folder / TOKENS / "segment-0000" / "keys.bin", 5, 1)
    assert [d.file for d in verify(folder).damage] == ["tokens/segment-0000/keys.bin"]
    (folder / TOKENS / "manifest.json").unlink()
    assert verify(folder).sound


def test_no_set_at_all(tmp_path):
    with pytest.raises(StoreMismatch):
        verify(tmp_path / "nothing")
