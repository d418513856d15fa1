"""Runs whose rows are streams: the same as with the rows in memory, resumed after kills, and small in memory."""

import io
import json
import tarfile

import numpy as np
import pandas as pd
import pytest
from e2e_small_run import content

import limbeck as lb
from limbeck.data import rows as rows_module
from limbeck.data.ondisk import OnDisk

PLAN = lb.TrainSpec(steps=12, batch_size=32, learning_rate=0.01, checkpoint_every=5, validate_every=6)


def tar(path, x, y=None, first=0):
    """Rows as a webdataset shard: NNNNNN.npy and NNNNNN.cls."""
    with tarfile.open(path, "w") as file:
        for row in range(len(x)):
            buffer = io.BytesIO()
            np.save(buffer, x[row])
            members = {"npy": buffer.getvalue()} | ({} if y is None else {"cls": str(y[row]).encode()})
            for ending, data in members.items():
                info = tarfile.TarInfo(f"{first + row:06d}.{ending}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def on_disk(monkeypatch, tmp_path):
    """Small sets stay on disk too, and shards are cached below the folder of the test."""
    monkeypatch.setattr(rows_module, "HELD", 1024)
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "cache"))


def distil(data, folder, **more):
    given = {"train": PLAN, "teacher_train": lb.TrainSpec(steps=60, learning_rate=0.02), "seeds": 2, "seed": 3}
    losses = "0.5 * CE + 0.5 * KD(temperature=auto)"
    return lb.distill("mlp(hidden=[12])", "mlp(hidden=[6])", data, objective=losses, out=folder, **given | more)


def same(one, other):
    one, other = content(one), content(other)
    assert sorted(one) == sorted(other)
    assert [name for name in one if one[name] != other[name]] == []


def test_unlabelled_shards_give_the_run_of_the_rows_in_memory(rows, tmp_path, on_disk):
    x, y = rows
    (tmp_path / "shards").mkdir()
    for shard in range(4):
        tar(tmp_path / "shards" / f"more-{shard}.tar", x[200 + 100 * shard : 300 + 100 * shard])
    held = {"train": (x[:150], y[:150]), "validation": (x[150:200], y[150:200]), "test": (x[700:], y[700:])}
    for given, name in ((x[200:600], "memory"), (str(tmp_path / "shards" / "more-{0..3}.tar"), "stream")):
        data = lb.Data(unlabeled=given, **held)
        assert isinstance(data.unlabeled.inputs, OnDisk) == (name == "stream")
        distil(data, tmp_path / name)
    same(tmp_path / "memory", tmp_path / "stream")
    codes = [f["code"] for f in json.loads((tmp_path / "stream" / "scorecard.json").read_text())["findings"]]
    assert "LB133" in codes and "LB134" not in codes


def test_training_rows_in_shards_of_tables_give_the_run_of_the_table(tmp_path, on_disk):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(600, 4)), columns=list("abcd")).astype({"b": np.float32})
    frame["c"] = frame["c"].where(draw.random(600) > 0.1)
    frame["kind"] = draw.choice(["red", "green", "blue"], 600)
    frame["label"] = np.where(frame["a"] + (frame["kind"] == "red") > 0, "yes", "no")
    test = frame[500:]
    (tmp_path / "train").mkdir()
    for shard in range(5):
        frame[100 * shard : 100 * shard + 100].to_parquet(tmp_path / "train" / f"{shard}.parquet")
    for given, name in ((frame[:500].reset_index(drop=True), "memory"), (tmp_path / "train", "stream")):
        data = lb.Data(train=given, test=test, labels=200)
        assert isinstance(data.train.inputs, OnDisk) == (name == "stream")
        distil(data, tmp_path / name)
    same(tmp_path / "memory", tmp_path / "stream")
