"""Predictions come back as they were written, whatever the order of rows, and damage is said."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limbeck.core.errors import ConfigError, ShapeMismatch, StoreDamaged
from limbeck.evaluate import predictions


def keys(rows, seed=0):
    return np.random.default_rng(seed).integers(0, 2**63, (rows, 2), dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def test_round_trip_of_two_arms_and_two_heads(tmp_path):
    rng, rows = np.random.default_rng(0), keys(7)
    rows[0] = [0, 2**64 - 1]
    heads = {"main": rng.normal(size=(3, 7, 4)).astype(np.float32), "size": rng.normal(size=(3, 7, 1)).astype("f4")}
    predictions.write(tmp_path / "student.parquet", rows, "student", heads, seeds=[3, 1, 2])
    order = rng.permutation(7)
    teacher = {h: v[:1] for h, v in heads.items()}
    shuffled = {h: v[:, order] for h, v in teacher.items()}
    predictions.write(tmp_path / "teacher.parquet", rows[order], "teacher", shuffled, seeds=[0])
    back = predictions.read([tmp_path / "student.parquet", tmp_path / "teacher.parquet"])
    np.testing.assert_array_equal(back.keys, rows)
    assert back.seeds == {"student": (3, 1, 2), "teacher": (0,)}
    for head in heads:
        np.testing.assert_array_equal(back.answers["student"][head], heads[head])
        np.testing.assert_array_equal(back.answers["teacher"][head], teacher[head])


def test_the_file_is_plain_parquet(tmp_path):
    predictions.write(tmp_path / "p.parquet", keys(2), "control", {"main": np.zeros((1, 2, 3))}, seeds=[5])
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names == ["key", "arm", "seed", "main"]
    assert table["seed"].to_pylist() == [5, 5] and len(table["key"][0].as_py()) == 32
    assert table["main"].to_pylist() == [[0.0, 0.0, 0.0]] * 2
    assert [p.name for p in tmp_path.iterdir()] == ["p.parquet"]


def test_refusals(tmp_path):
    with pytest.raises(ShapeMismatch, match=r"expected the answers of 'a' for 'main' to have shape \[1, 2, width\]"):
        predictions.write(tmp_path / "p", keys(2), "a", {"main": np.zeros((2, 2, 3))}, seeds=[0])
    with pytest.raises(ConfigError, match="expected finite answers of 'a' for 'main', got NaN or infinity in 1 rows"):
        predictions.write(tmp_path / "p", keys(2), "a", {"main": np.array([[[1, np.nan], [1, 2]]])}, seeds=[0])
    with pytest.raises(ConfigError, match="expected a head with a name of its own, got 'seed'"):
        predictions.write(tmp_path / "p", keys(2), "a", {"seed": np.zeros((1, 2, 3))}, seeds=[0])
    predictions.write(tmp_path / "a", keys(2), "a", {"main": np.zeros((1, 2, 3))}, seeds=[0])
    with pytest.raises(ConfigError, match="expected no file at"):
        predictions.write(tmp_path / "a", keys(2), "a", {}, seeds=[0], overwrite=False)
    predictions.write(tmp_path / "b", keys(2, seed=1), "b", {"main": np.zeros((1, 2, 3))}, seeds=[0])
    with pytest.raises(ShapeMismatch, match=r"expected arm 'b', seed 0 to answer the same 2 rows .* 0 of them shared"):
        predictions.read([tmp_path / "a", tmp_path / "b"])
    (tmp_path / "c").write_bytes((tmp_path / "a").read_bytes()[:-9])
    with pytest.raises(StoreDamaged, match="expected predictions in Parquet"):
        predictions.read(tmp_path / "c")


def test_honest_duplicates_are_rows_of_their_own(tmp_path):
    rows, values = np.repeat(keys(2), 2, axis=0), np.arange(4.0).reshape(1, 4, 1)
    predictions.write(tmp_path / "a", rows, "a", {"main": values}, seeds=[0])
    predictions.write(tmp_path / "b", rows[[2, 0, 3, 1]], "b", {"main": values[:, [2, 0, 3, 1]]}, seeds=[0])
    back = predictions.read([tmp_path / "a", tmp_path / "b"])
    assert back.keys.tolist() == rows.tolist()
    assert back.answers["b"]["main"].tolist() == values.tolist()


def test_offsets_have_64_bits_and_files_with_32_are_still_read(tmp_path):
    predictions.write(tmp_path / "a", keys(3), "a", {"main": np.arange(6.0).reshape(1, 3, 2)}, seeds=[0])
    table = pq.read_table(tmp_path / "a")
    assert table.schema.field("main").type == pa.large_list(pa.float32())
    older = table.set_column(3, "main", table["main"].cast(pa.list_(pa.float32())))
    pq.write_table(older, tmp_path / "b")
    for name in ("a", "b"):
        assert predictions.read(tmp_path / name).answers["a"]["main"].tolist() == [[[0, 1], [2, 3], [4, 5]]]
