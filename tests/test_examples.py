"""The examples run as they stand; the one of the ONNX runtime is tested with the export."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_stored_answers_in_a_loop_of_ones_own(tmp_path):
    command = [sys.executable, str(EXAMPLES / "own_loop.py"), str(tmp_path / "answers")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    said = {name: float(score) for name, score in (line.split() for line in done.stdout.splitlines())}
    assert set(said) == {"teacher", "student"} and said["teacher"] > 0.9
    assert said["student"] > said["teacher"] - 0.06
    assert (tmp_path / "answers" / "manifest.json").is_file()


def test_text_and_table_by_one_recipe(tmp_path):
    quick = ["train.steps=25", "seeds=3", "teacher.0.members=1"]
    command = [sys.executable, str(EXAMPLES / "text_and_table.py"), str(tmp_path), *quick]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    said = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[0] for line in said] == ["category", "price", "oak bench for you new"]
    assert all(line[1] in ("helped", "no reliable difference", "hurt") for line in said[:2])
    assert said[2][1] in ("kitchen", "garden", "office", "sport") and float(said[2][2])
