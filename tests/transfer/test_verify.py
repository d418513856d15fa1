import random

import numpy as np
import pytest
import torch

from limbeck.core.errors import StoreDamaged, StoreMismatch
from limbeck.transfer import columns
from limbeck.transfer.dataset import TransferSet
from limbeck.transfer.manifest import Manifest
from limbeck.transfer.source import Stored
from limbeck.transfer.store import Store
from limbeck.transfer.verify import verify


@pytest.fixture
def folder(tmp_path, kit):
    kit.store(tmp_path / "t", kit.rows(60))
    kit.store(tmp_path / "t", kit.rows(90))
    return tmp_path / "t"


def test_a_sound_store(folder):
    found = verify(folder)
    assert found.sound and found.complete
    assert (found.answers, found.shards, found.open_shards) == (90, 3, 0)
    assert found.size == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    found.require()


def test_every_flipped_byte_of_every_file_is_found(folder, flip):
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock"]
    assert len(files) == 7
    draw = random.Random(0)
    count = 0
    for path in files:
        size = path.stat().st_size
        places = {0, size // 2, size - 1} | {draw.randrange(size) for _ in range(60)}
        for place in places:
            bit = draw.randrange(8)
            flip(path, place, bit)
            found = verify(folder)
            assert not found.sound, f"{path.name} byte {place} bit {bit}"
            assert {damage.file for damage in found.damage} == {str(path.relative_to(folder))}
            flip(path, place, bit)
            count += 1
    assert count >= 300
    assert verify(folder).sound


@pytest.mark.parametrize("name", ["manifest.json", "journal.jsonl", "segment-0000/keys.bin", "values.00001.bin"])
@pytest.mark.parametrize("how", ["shorter", "longer", "empty", "gone"])
def test_a_file_of_another_length_is_found(folder, name, how):
    (path,) = [p for p in folder.rglob("*") if str(p).endswith(name)]
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes({"shorter": data[:-1], "longer": data + b"\0", "empty": b""}[how])
    if (name, how) == ("manifest.json", "gone"):
        with pytest.raises(StoreMismatch, match=r"there is no manifest\.json"):
            verify(folder)
    else:
        assert not verify(folder).complete


def test_damage_names_files_and_rows(folder, flip):
    flip(folder / "segment-0000" / "00-main.values.00001.bin", 5)
    flip(folder / "segment-0001" / "keys.bin", 5)
    found = verify(folder)
    assert [(damage.file, damage.rows) for damage in found.damage] == [
        ("segment-0001/keys.bin", (60, 89)),
        ("segment-0000/00-main.values.00001.bin", (32, 59)),
    ]
    with pytest.raises(StoreDamaged, match=r"2 files are damaged:\n  segment-0001/keys.bin: .* \(answers 60 to 89\)"):
        found.require()


@pytest.mark.parametrize("mapped", [False, True])
def test_a_damaged_shard_is_refused_before_it_is_used_and_labelled_again_alone(folder, kit, flip, mapped, monkeypatch):
    monkeypatch.setattr(columns, "IN_MEMORY", 0 if mapped else 1 << 20)
    monkeypatch.setattr("limbeck.transfer.store.IN_MEMORY", 0 if mapped else 1 << 20)
    before = kit.content(folder)
    flip(folder / "segment-0000" / "00-main.values.00001.bin", 5)
    store = Store(folder)
    with pytest.raises(StoreDamaged, match=r"00001\.bin to hold answers 32 to 59 \(segment 0, shard 1\)") as caught:
        store.gather(np.array([40]))
    assert "only damaged shards are labelled again" in caught.value.todo
    if mapped:
        assert store.gather(np.array([3]))["main"].shape == (1, 3), "sound shards are usable"
    teacher = kit.Teacher()
    kit.store(folder, kit.rows(90), teacher)
    assert sum(teacher.asked) == 28
    assert kit.content(folder) == before


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("how", ["short", "gone"])
def test_a_shard_of_the_wrong_length_is_refused(folder, monkeypatch, mapped, how):
    monkeypatch.setattr("limbeck.transfer.store.IN_MEMORY", 0 if mapped else 1 << 20)
    path = folder / "segment-0001" / "00-main.values.00000.bin"
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(StoreDamaged, match="answers 60 to 89"):
        Store(folder).gather(np.array([70]))


@pytest.mark.parametrize("name", ["manifest.json", "segment-0000/keys.bin", "journal.jsonl"])
def test_nothing_opens_over_a_damaged_file(folder, flip, name):
    flip(folder / name, (folder / name).stat().st_size // 3)
    for opened in (Store, Stored, TransferSet):
        with pytest.raises(StoreDamaged, match=name.split("/")[-1].replace(".", r"\.")):
            opened(folder)


def test_damaged_keys_and_journals_are_mended_by_labelling(folder, kit, flip):
    before = kit.content(folder)
    flip(folder / "segment-0000" / "keys.bin", 100)
    flip(folder / "journal.jsonl", 50)
    teacher = kit.Teacher()
    kit.store(folder, kit.rows(60), teacher)
    kit.store(folder, kit.rows(90), teacher)
    assert sum(teacher.asked) == 32, "the shard whose line was damaged"
    after = kit.content(folder)
    assert {n: after[n] for n in after if n != "journal.jsonl"} == {
        n: before[n] for n in before if n != "journal.jsonl"
    }
    assert verify(folder).complete


def test_keys_that_cannot_be_mended_are_refused(folder, kit, flip):
    flip(folder / "segment-0000" / "keys.bin", 100)
    with pytest.raises(StoreDamaged, match="to hold the 60 keys of segment 0") as caught:
        kit.store(folder, kit.rows(30))
    assert "label the same rows" in caught.value.todo


def test_a_torn_journal_is_mended_though_nothing_is_missing(folder, kit):
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(b"0123 {half")
    assert "torn" in str(verify(folder).damage[0])
    kit.store(folder, kit.rows(90))
    assert verify(folder).complete


def test_an_unfinished_store_is_sound_but_not_complete(tmp_path, kit):
    teacher = kit.Teacher()

    def stop(outputs):
        if len(teacher.asked) == 6:
            raise KeyboardInterrupt
        return outputs

    teacher.spoil = stop
    with pytest.raises(KeyboardInterrupt):
        kit.store(tmp_path / "t", kit.rows(60), teacher)
    found = verify(tmp_path / "t")
    assert found.sound and not found.complete
    assert (found.open_shards, found.shards) == (1, 2)
    with pytest.raises(StoreMismatch, match="1 of 2 shards are not labelled yet"):
        TransferSet(tmp_path / "t")
    store = Store(tmp_path / "t")
    assert store.gather(store.rows_of(kit.rows(32).keys))["main"].shape == (32, 3)
    with pytest.raises(StoreMismatch, match="28 are missing, the first at position 32"):
        store.rows_of(kit.rows(60).keys)
    with pytest.raises(StoreMismatch, match="not labelled yet"):
        store.column("main")
    with pytest.raises(StoreMismatch, match="which is unfinished or damaged, 8 of them are not here"):
        kit.store(tmp_path / "t", kit.rows(52))


def test_a_manifest_of_another_version_or_codec_is_refused(folder):
    from limbeck.transfer import manifest

    body = manifest._unsealed((folder / "manifest.json").read_bytes(), folder)
    later = {**body, "version": 2}
    (folder / "manifest.json").write_bytes(manifest._sealed(later))
    with pytest.raises(StoreMismatch, match="expected a transfer set of version 1, got limbeck-transfer 2"):
        Manifest.read(folder)
    body["outputs"][0]["codec"] = {"name": "wavelet"}
    (folder / "manifest.json").write_bytes(manifest._sealed(body))
    with pytest.raises(
        StoreMismatch, match="expected a codec of dense, frames, pixels, the transfer set uses 'wavelet'"
    ):
        Manifest.read(folder)


# ------------------------------------------------------------------------------------------ reading


def test_mapped_and_held_columns_give_the_same(tmp_path, kit, monkeypatch):
    rows = kit.rows(500)
    kit.store(tmp_path / "t", rows)
    held = Store(tmp_path / "t")
    order = np.random.default_rng(0).integers(0, 500, 300)
    expected = held.gather(held.rows_of(rows.keys[order]))["main"]
    monkeypatch.setattr("limbeck.transfer.store.IN_MEMORY", 0)
    monkeypatch.setattr(columns, "RESIDENT", -1)
    monkeypatch.setattr(columns, "_LOOK_EVERY", 100)  # gives pages back after every gather
    mapped = Store(tmp_path / "t")
    for _ in range(3):
        assert torch.equal(mapped.gather(mapped.rows_of(rows.keys[order]))["main"], expected)
    assert np.array_equal(mapped.column("main"), held.column("main"))
    kit.store(tmp_path / "one", rows, shard_rows=512)
    single = Store(tmp_path / "one")
    assert torch.equal(single.gather(single.rows_of(rows.keys[order]))["main"], expected)
    assert single.column("main").base is not None, "one shard is mapped, not copied"
    with pytest.raises(ValueError, match="read-only"):
        single.column("main")[0] = 0


@pytest.mark.parametrize("mapped", [False, True])
def test_positions_that_are_none_are_refused(tmp_path, kit, monkeypatch, mapped):
    monkeypatch.setattr("limbeck.transfer.store.IN_MEMORY", 0 if mapped else 1 << 20)
    store = kit.store(tmp_path / "t", kit.rows(20))
    for rows in ([0, -1], [3, 20]):
        with pytest.raises(StoreMismatch, match="expected positions from 0 to 19 in the transfer set"):
            store.gather(np.array(rows))


def test_resident_memory_does_not_grow_with_the_rows(tmp_path, kit, monkeypatch):
    monkeypatch.setattr("limbeck.transfer.store.IN_MEMORY", 0)
    monkeypatch.setattr(columns, "RESIDENT", columns.resident_file_bytes() + (8 << 20))
    monkeypatch.setattr(columns, "_LOOK_EVERY", 1)
    wide = kit.Task(names=tuple(str(n) for n in range(1000)))
    rows = kit.rows(20_000)
    store = kit.store(
        tmp_path / "t", rows, kit.Teacher({"main": 1000}), heads={"main": wide}, batch_size=1000, shard_rows=5000
    )
    order = np.random.default_rng(0).permutation(20_000)
    most = 0
    for start in range(0, 20_000, 250):
        store.gather(order[start : start + 250])
        most = max(most, columns.resident_file_bytes())
    assert len(store) * store.row_bytes == 40_000_000
    assert most <= columns.RESIDENT + (20 << 20), "the limit and what 250 rows touch, 64 KiB each"
