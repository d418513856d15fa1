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
