"""Runs whose rows are streams: the same as with the rows in memory, resumed after kills, and small in memory."""

import io
import json
import os
import subprocess
import sys
import tarfile
from functools import partial
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from e2e_killing import lineage, trace
from e2e_runs import digits
from typer.testing import CliRunner

import limbeck as lb
from limbeck.cli.main import app
from limbeck.core.errors import StoreMismatch
from limbeck.data import mixing
from limbeck.data import rows as rows_module
from limbeck.data.ondisk import OnDisk
from limbeck.stages import label, train
from limbeck.transfer.label import label as label_rows
from limbeck.transfer.store import Store

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
    given = {"train": PLAN, "teacher_train": lb.TrainSpec(steps=60, learning_rate=0.02), "seeds": 2, "onnx": False}
    losses = "0.5 * CE + 0.5 * KD(temperature=auto)"
    return lb.distill("mlp(hidden=[12])", "mlp(hidden=[6])", data, objective=losses, out=folder, **given | more)


def written(folder):
    """Bytes of weights, answers and predictions, and of the rows that were read."""
    patterns = ("**/model.safetensors", "**/transfer/**/*", "**/predictions/*", "rows/*/part-*")
    found = {path.relative_to(folder): path for pattern in patterns for path in sorted(folder.glob(pattern))}
    return {name: path.read_bytes() for name, path in found.items() if path.is_file() and path.name != ".lock"}


def same(one, other):
    one, other = written(one), written(other)
    assert len(one) > 5 and sorted(one) == sorted(other)
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
        distil(data, tmp_path / name, until="evaluate", attribution=False)
    same(tmp_path / "memory", tmp_path / "stream")


def killed_run(folder):
    """A run whose pool is read from shards into the folder first, in parts of a few rows."""
    x, y = digits(1 / 16)
    data = lb.Data(
        train=(x[:90], y[:90]), validation=(x[200:260], y[200:260]), test=(x[260:400], y[260:400]),
        unlabeled=lb.Stream(sorted((folder.parent.parent / "shards").iterdir()), cache=folder / "rows"),
    )  # fmt: skip
    assert isinstance(data.unlabeled.inputs, OnDisk)
    with (
        mock.patch.object(label, "label_rows", partial(label_rows, batch_size=8, shard_rows=32)),
        mock.patch.object(label, "_BATCH", 16),
    ):
        distil(data, folder / "run", until="train", attribution=False)


@pytest.mark.slow
def test_killed_in_reading_and_in_labelling(tmp_path, on_disk):
    x, _ = digits(1 / 16)
    (tmp_path / "shards").mkdir()
    for shard in range(3):
        tar(tmp_path / "shards" / f"more-{shard}.tar", x[90 + 40 * shard : 130 + 40 * shard])
    torch.set_num_threads(1)
    killed_run(tmp_path / "reference" / "folder")
    points = trace(killed_run, tmp_path / "trace" / "folder")
    reading = [name for name in points if "commit of rows/" in name]
    labelling = [name for name in points if name.startswith("answer") or "commit of run/transfer" in name]
    assert len(reading) > 12 and len(labelling) > 20
    wanted = [*reading[::3], *labelling[:: len(labelling) // 12]]
    lineage(killed_run, tmp_path / "killed" / "folder", wanted)
    same(tmp_path / "reference" / "folder", tmp_path / "killed" / "folder")


def test_a_pool_that_changed_is_refused_on_resumption(rows, tmp_path, on_disk):
    """An iterable without a cache is read anew: other rows are another run."""
    x, y = rows
    held = {"train": (x[:150], y[:150]), "validation": (x[150:200], y[150:200]), "test": (x[700:], y[700:])}
    distil(lb.Data(unlabeled=lambda: iter([x[200:400]]), **held), tmp_path / "run", until="label")
    other = x[200:400].copy()
    other[17, 3] += 1
    with pytest.raises(StoreMismatch, match="data"):
        distil(lb.Data(unlabeled=lambda: iter([other]), **held), tmp_path / "run")
    distil(lb.Data(unlabeled=lambda: iter([x[200:300], x[300:400]]), **held), tmp_path / "run", until="train")


def test_windows_train_as_the_same_order_of_rows_in_memory(rows, tmp_path, on_disk, monkeypatch):
    """Larger than a window the order is another than that of rows in memory; with that order nothing else differs."""
    x, y = rows
    monkeypatch.setattr(mixing, "WINDOW", 6000)
    monkeypatch.setattr(mixing, "CHUNK", 1500)
    held = {"train": (x[:150], y[:150]), "validation": (x[150:200], y[150:200]), "test": (x[700:], y[700:])}
    streamed = lb.Data(unlabeled=lambda: iter([x[200:600]]), **held)
    assert "LB134" not in [finding.code for finding in lb.Data(unlabeled=x[200:600], **held).findings]
    distil(streamed, tmp_path / "stream", until="train")
    monkeypatch.setattr(train, "order_for", lambda data: lambda n, seed: mixing.order_of_rows(n, seed, 4 * 64))
    distil(lb.Data(unlabeled=x[200:600], **held), tmp_path / "memory", until="train")
    same(tmp_path / "stream", tmp_path / "memory")


def test_a_recipe_takes_shards(tmp_path, on_disk):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(700, 3)), columns=list("abc"))
    frame["label"] = np.where(frame["a"] > 0, "yes", "no")
    frame[:300].to_csv(tmp_path / "train.csv", index=False)
    for shard in range(3):
        part = frame[300 + 100 * shard : 400 + 100 * shard].drop(columns="label")
        part.to_csv(tmp_path / f"more-{shard:03d}.csv", index=False)
    frame[600:].to_csv(tmp_path / "test.csv", index=False)
    (tmp_path / "recipe.yaml").write_text(
        "data: {train: train.csv, unlabeled: 'more-{000..002}.csv', test: test.csv, columns: {target: label}}\n"
        "teacher: 'mlp(hidden=[8])'\nstudent: 'mlp(hidden=[4])'\nseeds: 1\ntrain: {steps: 20}\n"
    )
    runner = CliRunner()
    found = runner.invoke(app, ["check", str(tmp_path / "recipe.yaml"), "--json"])
    assert found.exit_code == 0, found.output
    assert "LB133" in found.output
    found = runner.invoke(app, ["distill", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "run")])
    assert found.exit_code == 0, found.output
    assert Store(tmp_path / "run" / "transfer").manifest.answers == 540  # 240 to train on, 300 unlabelled
    again = runner.invoke(app, ["distill", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "run")])
    assert again.exit_code == 0
    (tmp_path / "more-001.csv").write_text("a,b,c\n1,2,3\n")
    found = runner.invoke(app, ["distill", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "run")])
    assert found.exit_code == 2 and "more-001.csv as it was when it was read" in found.output + str(found.stderr)


LIMITED = """
import json, resource, sys, threading
from pathlib import Path
import numpy as np, torch
import limbeck as lb
from limbeck.evaluate import cost

cost.latency.__defaults__ = (5, 1)  # nobody compares latencies here

def entry(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))

def batches(count):
    for number in range(count):
        draw = np.random.default_rng(number)
        x = np.frombuffer(draw.bytes(64 * 64 * 64 * 3), np.uint8).reshape(64, 64, 64, 3) // 2
        x[::2, :32] += 50
        yield x, np.arange(64) % 2

def teacher(rows):
    pixels = rows.reshape(-1, 64, 64, 3)
    upper, lower = (half.mean(axis=(1, 2, 3), dtype=np.float32) for half in (pixels[:, :32], pixels[:, 32:]))
    return np.stack([upper - lower - 25, lower - upper + 25], axis=1)

def run(count, out):
    x, y = next(iter(batches(1)))
    data = lb.Data(train=lambda: batches(count), validation=(x[:32] // 2, y[:32]), test=(x[32:] // 2, y[32:]))
    plan = lb.TrainSpec(steps=count, batch_size=64, validate_every=count)
    found = lb.distill(lb.Teacher(teacher, inputs="raw", output="logits"), "mlp(hidden=[4])", data, train=plan, seeds=1,
                       onnx=False, attribution=False, until="evaluate", out=out)
    return data, found

torch.set_num_threads(1)
folder, count, limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
run(4, folder / "few")
before, allowed = entry("RssAnon"), entry("VmData") + limit
resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
seen, over = [], threading.Event()

def watch():  # the high-water mark of the kernel counts pages of files too
    while not over.wait(0.005):
        seen.append(entry("RssAnon"))

watching = threading.Thread(target=watch)
watching.start()
data, found = run(count, folder / "run")
over.set()
watching.join()
try:
    refused = data.train.inputs.whole() is None
except MemoryError:
    refused = True
print(json.dumps({"rows": len(data.train), "bytes": data.train.inputs.nbytes, "refused": refused,
                  "peak": max(seen) - before, "samples": len(seen)}), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits and counts as Linux has them")
def test_a_stream_larger_than_the_memory_limit_is_labelled_and_trained_on(tmp_path):
    """100 MB of labelled images under a limit of 60 MB over what a run of a few rows took: an enforced limit."""
    count, limit = 128, 60 << 20
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), str(count), str(limit)],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["rows"] == 64 * count and found["bytes"] > 1.5 * limit
    assert found["refused"]  # the rows would not have fitted
    assert found["samples"] > 100 and found["peak"] < limit


def test_slices_of_a_streamed_test_are_refused_in_words(tmp_path):
    for number in range(2):
        pd.DataFrame({"x": np.arange(20.0), "y": ["a", "b"] * 10, "site": ["s"] * 20}).to_parquet(
            tmp_path / f"{number}.parquet"
        )
    named = lb.Columns(inputs=("x",), target="y", slices=("site",))
    shards = lb.Stream(str(tmp_path / "{0..1}.parquet"), cache=tmp_path / "cache")
    with pytest.raises(lb.ConfigError, match=r"expected test rows in memory for columns\.slices, got a stream as test"):
        lb.Data(train=pd.read_parquet(tmp_path / "0.parquet"), test=shards, columns=named)


def test_shards_of_texts_have_the_answers_of_the_texts_in_memory(tmp_path, on_disk):
    """Rows of a stream are not sorted into steps by their length, so that students differ; answers do not."""
    draw = np.random.default_rng(0)
    label = draw.integers(0, 2, 560)
    words = [[*draw.choice(["the", "film", "a", "plot"], draw.integers(2, 9)), ["bad", "good"][y]] for y in label]
    frame = pd.DataFrame({"text": [f"{' '.join(each)} {n}" for n, each in enumerate(words)], "label": label})
    for shard in range(4):
        frame[100 * shard : 100 * shard + 100].to_parquet(tmp_path / f"t-{shard}.parquet")
    teacher, found = None, {}
    for given, name in ((frame[:400], "memory"), (str(tmp_path / "t-{0..3}.parquet"), "stream")):
        data = lb.Data(train=given, validation=frame[400:460], test=frame[460:], labels=150)
        assert isinstance(data.train.inputs, OnDisk) == (name == "stream")
        if teacher is None:
            plan = lb.TrainSpec(steps=60, learning_rate=0.02)
            teacher = lb.teach("text_cnn(dim=8)", data, train=plan, out=tmp_path / "teacher")
        run = lb.distill(teacher, "bag_of_words(dim=4)", data, seeds=3, train=PLAN, out=tmp_path / name)
        assert run.verdict in ("helped", "no reliable difference", "hurt")
        assert len(run.predict(["a good film", "a bad plot"])) == 2
        found[name] = lb.TransferSet(tmp_path / name / "transfer")
    order = {name: np.lexsort(stored.keys.T) for name, stored in found.items()}
    memory, stream = (found[name].keys[order[name]] for name in ("memory", "stream"))
    np.testing.assert_array_equal(memory, stream)
    memory, stream = (found[name].outputs()[order[name]].astype(np.float32) for name in ("memory", "stream"))
    np.testing.assert_allclose(memory, stream, atol=2e-3)


def test_predict_answers_shards_some_rows_at_a_time(rows, tmp_path, on_disk):
    x, y = rows
    held = {"validation": (x[150:200], y[150:200]), "test": (x[700:], y[700:])}
    run = distil(lb.Data(train=(x[:150], y[:150]), **held), tmp_path / "run", onnx=True, attribution=False)
    (tmp_path / "in").mkdir()
    for shard in range(2):
        tar(tmp_path / "in" / f"{shard}.tar", x[200 + 50 * shard : 250 + 50 * shard], first=50 * shard)
    pattern, wanted = str(tmp_path / "in" / "{0..1}.tar"), run.predict(x[200:300])
    said = CliRunner().invoke(app, ["predict", str(tmp_path / "run"), pattern])
    found = pd.read_csv(io.StringIO(said.stdout), dtype={"id": str})
    assert found["id"].tolist() == [f"{n:06d}" for n in range(100)]
    assert found["prediction"].astype(str).tolist() == [str(each) for each in wanted]
    as_lines = partial(pd.read_json, lines=True)
    for ending, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet), ("jsonl", as_lines)):
        target = tmp_path / f"said.{ending}"
        done = CliRunner().invoke(app, ["predict", str(tmp_path / "run"), pattern, "--out", str(target), "-q"])
        assert done.exit_code == 0 and len(read(target)) == 100, done.output
    (tmp_path / "in" / "1.tar").unlink()
    gone = CliRunner().invoke(app, ["predict", str(tmp_path / "run"), pattern])
    assert gone.exit_code == 2 and "expected a shard at" in gone.stderr and "1.tar" in gone.stderr


def test_a_first_recipe_of_shards_is_refused_in_words(rows, tmp_path):
    tar(tmp_path / "0.tar", rows[0][:5])
    done = CliRunner().invoke(app, ["init", "new", "--data", str(tmp_path / "0.tar"), "--out", str(tmp_path)])
    assert done.exit_code == 2 and "expected a table or a folder to look at, got the shards" in done.stderr
    assert "name the shards in the recipe" in done.stderr
