"""The run folder: resume, refusal, stages that are not run again, checksums, kills and locks."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from limbeck.core.errors import BudgetReached, ConfigError, NotSupported, StoreDamaged, StoreMismatch
from limbeck.core.events import EventLog, read_events
from limbeck.core.lock import FolderLock
from limbeck.core.run import Run, find_run, list_runs, open_runs

RECIPE = {"name": "x", "train": {"steps": 100, "batch_size": 32}}


def opened(folder, recipe=RECIPE, **options):
    return Run.open(folder, recipe, command=["limbeck"], **options)


def make(run, text="abc", inputs=None, facts=None):
    """Run a stage that writes two files; say whether it had to."""
    stage = run.stage("label", inputs or {"teacher": "t1"}, outputs=("transfer", "notes.txt"))
    if stage.done:
        return False
    with stage:
        run.path("transfer", "deep").mkdir(parents=True, exist_ok=True)
        run.path("transfer", "deep", "a.bin").write_text(text)
        run.path("notes.txt").write_text(text)
        stage.note(**(facts or {"rows": 3}))
    return True


def test_a_run_writes_its_folder(tmp_path):
    with opened(tmp_path / "x", asked="name: x\n", seeds=(0, 1)) as run:
        run.event("train", "loss", np.float32(0.5), step=3, bad=float("nan"))
        run.fingerprints(data="d1")
        run.note(metric="accuracy")
        assert run.status == "running"
        assert open_runs() == [tmp_path / "x"]
    assert open_runs() == []
    assert run.path("recipe.yaml").read_text() == "name: x\n"
    assert "batch_size: 32" in run.path("resolved.yaml").read_text()
    state = json.loads(run.path("run.json").read_text())
    assert state["status"] == "done"
    assert state["seeds"] == [0, 1]
    assert state["fingerprints"] == {"data": "d1"}
    assert state["facts"] == {"metric": "accuracy"}
    assert state["versions"]["python"] == sys.version.split()[0]
    assert state["hardware"]["cores"] >= 1
    assert set(state["files"]) == {"recipe.yaml", "resolved.yaml", "events.jsonl"}
    first = next(iter(Run.read(run.folder).events()))
    assert {k: first[k] for k in ("stage", "name", "value", "step", "bad")} == {
        "stage": "train", "name": "loss", "value": 0.5, "step": 3, "bad": "nan",
    }  # fmt: skip


def test_the_same_recipe_resumes_and_does_no_stage_twice(tmp_path):
    with opened(tmp_path / "x") as run:
        assert make(run)
        assert not run.resumed
    with opened(tmp_path / "x") as run:
        assert run.resumed
        assert not make(run)
        assert run.stage("label", {"teacher": "t1"}, ("transfer", "notes.txt")).facts == {"rows": 3}


def test_another_recipe_is_refused_and_names_what_differs(tmp_path):
    opened(tmp_path / "x").close()
    other = {"name": "x", "train": {"steps": 200, "batch_size": 32}}
    with pytest.raises(StoreMismatch) as caught:
        opened(tmp_path / "x", other)
    assert str(caught.value) == (
        f"expected {tmp_path / 'x'} to hold a run of this recipe, it differs in 1 setting\n\n"
        "  train.steps: 100 -> 200\n"
        "name another folder with --out, or replace that run with --overwrite"
    )
    assert not FolderLock(tmp_path / "x").held()


def test_overwrite_starts_over(tmp_path):
    with opened(tmp_path / "x") as run:
        make(run)
    with opened(tmp_path / "x", {"name": "y"}, overwrite=True) as run:
        assert not run.resumed
        assert not run.path("transfer").exists()
        assert run.state["recipe"] == {"name": "y"}


def test_folders_of_others_are_never_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(StoreMismatch, match=r"empty or a run folder, it holds thesis\.tex"):
            opened(tmp_path, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(StoreMismatch, match="it is a file"):
        opened(tmp_path / "thesis.tex")


def test_an_empty_folder_and_one_that_a_kill_left_are_taken(tmp_path):
    (tmp_path / ".lock").touch()
    opened(tmp_path).close()
    assert Run.read(tmp_path).status == "done"


def test_changed_inputs_run_a_stage_again_without_its_old_outputs(tmp_path):
    with opened(tmp_path / "x") as run:
        make(run)
        run.path("transfer", "old.bin").write_text("of the old teacher")
        stage = run.stage("label", {"teacher": "t2"}, ("transfer", "notes.txt"))
        assert stage.stale
        assert stage.changed() == ['teacher: "t1" -> "t2"']
        assert make(run, inputs={"teacher": "t2"})
        assert not run.path("transfer", "old.bin").exists()


def test_a_stopped_stage_keeps_what_it_wrote_and_goes_on(tmp_path):
    with pytest.raises(ZeroDivisionError), opened(tmp_path / "x") as run:
        stage = run.stage("label", {"teacher": "t1"}, ("transfer",))
        with stage:
            run.path("transfer").mkdir()
            run.path("transfer", "part").write_text("half")
            raise ZeroDivisionError
    assert Run.read(tmp_path / "x").status == "failed"
    with opened(tmp_path / "x") as run:
        stage = run.stage("label", {"teacher": "t1"}, ("transfer",))
        assert not stage.done
        assert not stage.stale
        with stage:
            assert run.path("transfer", "part").read_text() == "half"
        assert stage.done


@pytest.mark.parametrize("damage", ["change", "shorten", "remove"])
def test_damaged_outputs_are_found_and_made_again(tmp_path, damage):
    with opened(tmp_path / "x") as run:
        make(run)
    target = tmp_path / "x" / "transfer" / "deep" / "a.bin"
    assert Run.read(tmp_path / "x").verify() == []
    if damage == "change":
        target.write_text("abd")
    elif damage == "shorten":
        target.write_text("ab")
    else:
        target.unlink()
    words = {"change": "has other bytes", "shorten": "has 2 bytes, 3 were written", "remove": "is missing"}
    (problem,) = Run.read(tmp_path / "x").verify()
    assert problem.startswith("transfer/deep/a.bin")
    assert words[damage] in problem
    with opened(tmp_path / "x") as run:
        assert make(run)
    assert Run.read(tmp_path / "x").verify() == []


def test_every_damaged_byte_of_any_file_is_found(tmp_path):
    with opened(tmp_path / "x", asked="name: x\n") as run:
        make(run)
        run.event("train", "loss", 1.0)
    names = [p for p in (tmp_path / "x").rglob("*") if p.is_file() and p.name not in ("run.json", ".lock")]
    assert len(names) == 5
    for path in names:
        whole = path.read_bytes()
        for position in {0, len(whole) // 2, len(whole) - 1}:
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            assert len(Run.read(tmp_path / "x").verify()) == 1, path
        path.write_bytes(whole)


def test_fingerprints_of_outputs_follow_the_bytes(tmp_path):
    prints = []
    for name, text in (("a", "abc"), ("b", "abc"), ("c", "abd")):
        with opened(tmp_path / name) as run:
            make(run, text)
            prints.append(run.stage("label", {"teacher": "t1"}, ("transfer", "notes.txt")).fingerprint)
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), "interrupted"), (BudgetReached("out of time"), "interrupted"), (OSError("no"), "failed")],
)
def test_the_end_of_a_run_is_told(tmp_path, error, status):
    with pytest.raises(type(error)), opened(tmp_path / "x"):
        raise error
    assert Run.read(tmp_path / "x").status == status


def test_a_run_of_some_stages_ends_as_partial(tmp_path):
    with opened(tmp_path / "x") as run:
        run.ends_as("partial")
    assert Run.read(tmp_path / "x").status == "partial"


# --------------------------------------------------------------------------------------------------- locks


def test_two_writers_are_refused(tmp_path):
    run = opened(tmp_path / "x")
    with pytest.raises(StoreMismatch, match="another run is writing to it"):
        opened(tmp_path / "x")
    run.close()
    opened(tmp_path / "x").close()


def child(tmp_path, body):
    code = "import sys, time\nfrom limbeck.core.run import Run\n" + textwrap.dedent(body)
    return subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)


def test_a_live_process_keeps_its_lock_and_a_killed_one_loses_it(tmp_path):
    process = child(
        tmp_path,
        """
        run = Run.open("x", {"name": "x"}, command=[])
        stage = run.stage("train", {}, ("student",))
        stage.__enter__()
        run.event("train", "loss", 0.25)
        run._events.flush()
        print("ready", flush=True)
        time.sleep(60)
        """,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(StoreMismatch, match=rf"process {process.pid} on"):
            opened(tmp_path / "x", {"name": "x"})
        assert Run.read(tmp_path / "x").status == "running"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert Run.read(tmp_path / "x").status == "interrupted"
    assert [e["name"] for e in Run.read(tmp_path / "x").events()] == ["start", "loss"]
    with opened(tmp_path / "x", {"name": "x"}) as run:
        assert run.resumed
        assert not run.stage("train", {}, ("student",)).done


# -------------------------------------------------------------------------------------------------- events


def test_a_torn_line_is_skipped_and_cut_off(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"name":"a"}\n{"name":"b')
    assert [e["name"] for e in read_events(path)] == ["a"]
    log = EventLog(path)
    log.add("train", "c", 1)
    log.close()
    assert [e["name"] for e in read_events(path)] == ["a", "c"]
    path.write_text("torn")
    log = EventLog(path)
    log.add("train", "d")
    log.close()
    assert [e["name"] for e in read_events(path)] == ["d"]


def test_events_are_cheap(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    start = time.perf_counter()
    for step in range(5000):
        log.add("train", "loss", 0.5, step=step)
    log.close()
    assert (time.perf_counter() - start) / 5000 < 200e-6
    assert sum(1 for _ in read_events(log.path)) == 5000


# ------------------------------------------------------------------------------------------------- reading


def test_broken_run_files_are_refused(tmp_path):
    opened(tmp_path / "x").close()
    path = tmp_path / "x" / "run.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps(state | {"schema": 99}))
    with pytest.raises(NotSupported, match=r"expected a run of schema 1 or older, .* has schema 99"):
        Run.read(tmp_path / "x")
    path.write_text(json.dumps({"schema": 1}))
    with pytest.raises(StoreDamaged, match="it lacks facts, files"):
        Run.read(tmp_path / "x")
    path.write_text("{")
    with pytest.raises(StoreDamaged):
        opened(tmp_path / "x")
    assert not FolderLock(tmp_path / "x").held()
    opened(tmp_path / "x", overwrite=True).close()


def test_runs_are_found_by_name_and_by_age(tmp_path):
    with pytest.raises(ConfigError, match=r"there is none in .*\n\nname a run folder, or run `limbeck demo digits`"):
        find_run(None, tmp_path / "runs")
    for name in ("first", "second"):
        opened(tmp_path / "runs" / name).close()
        os.utime(tmp_path / "runs" / name / "run.json", (1, 1) if name == "first" else (2, 2))
    root = tmp_path / "runs"
    assert list_runs(root) == [root / "second", root / "first"]
    assert find_run(None, root) == root / "second"
    assert find_run("first", root) == find_run(root / "first") == find_run(root / "first" / "run.json")
    with pytest.raises(ConfigError, match=r"did you mean 'first'\?\nruns here: "):
        find_run("frist", root)
    with pytest.raises(ConfigError, match=r"there is no run\.json in it"):
        Run.read(tmp_path)


def test_a_run_that_failed_before_anything_was_done_gives_way_to_the_corrected_recipe(tmp_path):
    folder, other = tmp_path / "x", {**RECIPE, "name": "corrected"}
    with pytest.raises(ConfigError), opened(folder):
        raise ConfigError("wrong", "put it right")
    with opened(folder, other) as run:
        assert not run.resumed and run.state["recipe"]["name"] == "corrected"
        make(run)
    with pytest.raises(ConfigError), opened(folder, other):
        raise ConfigError("wrong again", "put it right")
    with pytest.raises(StoreMismatch, match="it differs in 1 setting"):
        opened(folder)
