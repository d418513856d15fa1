"""`limbeck transfer`: every damaged byte is an exit code, and sets come in and go out."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from limbeck.data.rows import Rows
from limbeck.data.tasks import Classification
from limbeck.signals import Needs, Signals
from limbeck.transfer.label import label
from limbeck.transfer.manifest import Identity
from limbeck.transfer.texts import fill
from limbeck.transfer.written import FORMAT


class Teacher:
    def have(self):
        return Needs(outputs=("main",))

    def answer(self, batch):
        return Signals({"main": batch.teacher_inputs @ torch.eye(4)[:, :3]})


@pytest.fixture
def transfer(tmp_path):
    keys = np.random.default_rng(7).integers(0, 2**64, (50, 2), dtype=np.uint64)
    rows = Rows("array", np.random.default_rng(8).normal(size=(50, 4)).astype(np.float32), keys)
    folder = tmp_path / "run" / "transfer"
    task = Classification(("ant", "bee", "cat"))
    label(Teacher(), rows, folder, prepare=torch.from_numpy, heads={"main": task}, identity=Identity(teacher="t1"))
    return folder


def test_a_sound_set_is_told(command, transfer):
    for path in ("run", "run/transfer"):
        done = command("transfer", "verify", path, "--out", "told")
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("sound  50 answers, ")
    plain = json.loads(command("transfer", "verify", "run", "--json").stdout)
    assert plain["sound"] and plain["complete"] and plain["answers"] == 50


def test_any_damaged_file_is_exit_code_2(command, transfer):
    files = [path for path in transfer.rglob("*") if path.is_file() and path.stat().st_size]
    assert len(files) >= 3
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 4]))
        done = command("transfer", "verify", "run")
        assert done.exit_code == 2, path
        assert path.name in done.stderr
        path.write_bytes(whole)
    assert command("transfer", "verify", "run").exit_code == 0


def test_a_set_is_described(command, transfer):
    done = command("transfer", "info", "run")
    assert done.exit_code == 0, done.output
    assert "answers" in done.stdout
    assert "t1" in done.stdout
    assert json.loads(command("transfer", "info", "run", "--json").stdout)["answers"] == 50


def test_a_set_goes_out_as_parquet(command, transfer):
    done = command("transfer", "export", "run", "--out", "there")
    assert done.stdout == "there/transfer.parquet\n"
    frame = pd.read_parquet("there/transfer.parquet")
    assert list(frame.columns) == ["key", "view", "main"]
    assert len(frame) == 50
    done = command("transfer", "export", "run", "--to", "csv")
    assert done.exit_code == 2
    assert "expected --to parquet, got 'csv'" in done.stderr


@pytest.fixture
def texts(tmp_path):
    """Texts of a teacher in the place of answers."""
    keys = np.random.default_rng(7).integers(0, 2**64, (30, 2), dtype=np.uint64)
    identity = {"format": FORMAT, "teacher": "t2", "writing": {"beams": 3}}

    def write(places, seed):
        return [f"text {place}" for place in places], np.full(len(places), -0.25)

    fill(tmp_path / "run" / "transfer", identity, keys, write, shard_rows=10)
    return tmp_path / "run" / "transfer"


def test_texts_are_a_set_too(command, texts):
    done = command("transfer", "verify", "run")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("sound  30 texts, 5 files, ")
    done = command("transfer", "info", "run")
    assert done.exit_code == 0, done.output
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith(("texts", "teacher")))
    assert lines == {"texts": "30", "teacher": "t2"}
    assert "writing beams" in done.stdout
    plain = json.loads(command("transfer", "info", "run", "--json").stdout)
    assert plain["texts"] == 30 and plain["bytes"] == sum(p.stat().st_size for p in texts.iterdir())
    assert command("transfer", "export", "run", "--out", "there").stdout == "there/transfer.parquet\n"
    frame = pd.read_parquet("there/transfer.parquet")
    assert list(frame.columns) == ["key", "text", "logprob"] and set(frame["logprob"]) == {-0.25} and len(frame) == 30


def test_a_damaged_text_is_exit_code_2(command, texts):
    path = texts / "texts-00002.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    for what in ("verify", "export"):
        done = command("transfer", what, "run")
        assert done.exit_code == 2 and path.name in done.stderr and "Traceback" not in done.output


def test_no_set_there(command):
    done = command("transfer", "verify", "nowhere")
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_a_table_comes_in_through_a_recipe(command, stages, recipe, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "answers.csv").write_text("id,ant\n1,0.5\n")
    done = command("transfer", "import", "deep/answers.csv", recipe)
    assert done.exit_code == 0, done.output
    (call,) = stages.calls
    assert call["until"] == "label"
    (teacher,) = call["recipe"].teacher
    assert teacher.kind == "predictions"
    assert teacher.model == str(tmp_path / "deep" / "answers.csv")
    done = command("transfer", "import", "deep/answer.csv", recipe)
    assert "TABLE: deep/answer.csv does not exist; did you mean 'answers.csv'?" in done.stderr
