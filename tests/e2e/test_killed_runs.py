"""Whatever moment a run is killed at, running it again gives the same weights, bit for bit.

Children are forked, so that torch is imported once; a kill is `os._exit`, which runs no clean-up of any kind.
"""

import os
import signal
from pathlib import Path

import pytest
import torch
from e2e_small_run import small_run, weights

from limbeck.core import files
from limbeck.train import loop

POINTS = 20  # kills inside training, spread over all steps of all arms
pytestmark = pytest.mark.slow


def child(work):
    """Run `work` in a forked process and return its exit code (negative: a signal)."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            torch.set_num_threads(1)
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference") / "run"
    assert child(lambda: small_run(folder)) == 0
    assert len(weights(folder)) == 8
    return weights(folder)


def counted(patch_target, name, folder):
    """How often a function is called in one run."""
    tally = folder.parent / "tally"

    def work():
        original, calls = getattr(patch_target, name), [0]

        def counting(*args, **kwargs):
            calls[0] += 1
            return original(*args, **kwargs)

        setattr(patch_target, name, counting)
        small_run(folder)
        tally.write_text(str(calls[0]))

    assert child(work) == 0
    return int(tally.read_text())


def dying(patch_target, name, at, folder, after):
    """A run that exits before or after the call number `at`."""

    def work():
        original, calls = getattr(patch_target, name), [0]

        def killing(*args, **kwargs):
            calls[0] += 1
            if calls[0] == at and not after:
                os._exit(9)
            result = original(*args, **kwargs)
            if calls[0] == at:
                os._exit(9)
            return result

        setattr(patch_target, name, killing)
        small_run(folder)

    return work


def resumes(folder, reference):
    assert child(lambda: small_run(folder)) == 0
    assert weights(folder) == reference


def test_killed_at_every_commit(tmp_path, reference):
    total = counted(files, "commit", tmp_path / "count" / "run") if (tmp_path / "count").mkdir() is None else 0
    assert total > 30
    for at in range(1, total + 1):
        folder = tmp_path / f"run-{at}"
        assert child(dying(files, "commit", at, folder, after=bool(at % 2))) == 9
        resumes(folder, reference)


def test_killed_inside_training(tmp_path, reference):
    (tmp_path / "count").mkdir()
    total = counted(loop._Run, "step", tmp_path / "count" / "run")
    for at in [1 + total * k // POINTS for k in range(POINTS)]:
        folder = tmp_path / f"run-{at}"
        assert child(dying(loop._Run, "step", at, folder, after=True)) == 9
        resumes(folder, reference)


@pytest.mark.parametrize("when", range(10))
def test_killed_by_a_signal(tmp_path, reference, when):
    """SIGKILL at ten moments, spread by the number of events that the run has written."""
    folder = tmp_path / "run"
    pid = os.fork()
    if pid == 0:
        try:
            torch.set_num_threads(1)
            small_run(folder)
        finally:
            os._exit(0)
    wanted = 1 + 5 * when  # files in the run folder: it grows from the first commit to the last
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if sum(len(names) for _, _, names in os.walk(folder)) >= wanted:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            break
    assert Path(folder).exists()
    resumes(folder, reference)
