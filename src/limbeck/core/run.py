"""The run folder: what one run of a recipe wrote, and the only way in which stages talk.

    run = Run.open("runs/x", resolved=recipe.resolved(), asked=text)
    with run:
        stage = run.stage("label", {"teacher": ..., "rows": ...}, outputs=("transfer",))
        if not stage.done:
            with stage:
                ...                      # writes below run.path("transfer")
                stage.note(rows=1200)

A stage whose inputs (by content hash) have not changed and whose outputs still have their checksums is done and is
not run again. `run.json` holds the status and the checksum of every other file; it is replaced whole at every step.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from limbeck.core.errors import BudgetReached, ChecksFailed, ConfigError, StoreDamaged, StoreMismatch
from limbeck.core.events import EVENTS_NAME, EventLog, read_events
from limbeck.core.files import make_folder, remove_leftovers, write_json, write_text
from limbeck.core.hardware import hardware, versions
from limbeck.core.kinds import suggest
from limbeck.core.lock import LOCK_NAME, FolderLock
from limbeck.core.manifest import (
    ASKED_NAME,
    ERROR_NAME,
    RESOLVED_NAME,
    RUN_NAME,
    clear,
    damaged,
    files_below,
    inside,
    list_files,
    nothing_done,
    read_state,
    record,
    refuse_other,
    refuse_unknown,
    remove,
)
from limbeck.core.specs import differences, fingerprint, to_plain
from limbeck.core.yamltext import write_yaml

SCHEMA = 1
STATUSES = ("running", "partial", "done", "failed", "interrupted")

_open: list[Path] = []  # folders that this process is writing to, for the messages of the command line


class Run:
    """A run folder; made by `Run.open` (to write, locked) or `Run.read` (to look)."""

    def __init__(self, folder: Path, state: dict[str, Any], lock: FolderLock | None) -> None:
        self.folder = folder
        self.state = state
        self.resumed = False
        self._lock = lock
        self._events = EventLog(folder / EVENTS_NAME)
        self._final = "done"

    # ------------------------------------------------------------------------------------------ opening

    @classmethod
    def open(
        cls,
        folder: str | Path,
        resolved: Any,
        *,
        asked: str = "",
        seeds: Sequence[int] = (),
        overwrite: bool = False,
        command: Sequence[str] | None = None,
    ) -> Run:
        """Open a folder for writing: a new one, or the one that an earlier run of the same recipe left.

        `resolved` is the recipe with all its defaults (a spec or plain data): the identity of the run. `asked` is
        the text of the recipe, kept as recipe.yaml.
        Raises StoreMismatch where the folder belongs to another recipe (naming the settings that differ), holds
        something else, or is being written to by another process. `overwrite` replaces an earlier run; one that
        failed before its first stage was done is replaced without it. Files that limbeck did not write stay.
        """
        folder = Path(folder)
        plain = to_plain(resolved)
        if folder.exists() and not folder.is_dir():
            raise StoreMismatch(f"expected {folder} to be a folder, it is a file", "name another folder with --out")
        refuse_unknown(folder)
        make_folder(folder)
        lock = FolderLock(folder)
        lock.take()
        try:
            if overwrite:
                clear(folder, SCHEMA)
            resumes = (folder / RUN_NAME).exists()
            state = read_state(folder / RUN_NAME, SCHEMA) if resumes else {}
            if resumes and differences(state["recipe"], plain) and nothing_done(state):
                clear(folder, SCHEMA)
                resumes, state = False, {}
            if resumes:
                refuse_other(folder, state, plain)
            run = cls(folder, state, lock)
            run._start(plain, asked, seeds, list(sys.argv if command is None else command))
        except BaseException:
            lock.release()
            raise
        run.resumed = resumes
        _open.append(folder)
        return run

    @classmethod
    def read(cls, folder: str | Path) -> Run:
        """Open a run for reading; raises ConfigError where there is none, StoreDamaged where run.json is broken."""
        folder = Path(folder)
        if not (folder / RUN_NAME).is_file():
            raise ConfigError(f"expected a run folder at {folder}, there is no {RUN_NAME} in it", "see `limbeck ls`")
        return cls(folder, read_state(folder / RUN_NAME, SCHEMA), None)

    def _start(self, plain: Any, asked: str, seeds: Sequence[int], command: list[str]) -> None:
        remove_leftovers(self.folder)
        now = time.time()
        fresh = {"schema": SCHEMA, "started": now, "stages": {}, "files": {}, "fingerprints": {}, "facts": {}}
        self.state = fresh | self.state
        self.state |= {
            "status": "running",
            "reason": "",
            "finished": None,
            "command": command,
            "recipe": plain,
            "recipe_fingerprint": fingerprint(plain),
            "seeds": list(seeds),
            "versions": versions(),
            "hardware": hardware(),
        }
        self.save()
        for name, text in ((ASKED_NAME, asked), (RESOLVED_NAME, write_yaml(plain))):
            if text and not (self.folder / name).exists():
                write_text(self.folder / name, text)

    # ------------------------------------------------------------------------------------------ looking

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.resolve().name

    @property
    def status(self) -> str:
        """running, partial, done, failed or interrupted; a run whose process has died is interrupted."""
        status = str(self.state["status"])
        if status == "running" and self._lock is None and not FolderLock(self.folder).held():
            return "interrupted"
        return status

    def path(self, *parts: str) -> Path:
        """A path inside the run folder."""
        return self.folder.joinpath(*parts)

    def events(self) -> Iterator[dict[str, Any]]:
        """The events so far, in their order."""
        self._events.flush()
        return read_events(self.folder / EVENTS_NAME)

    def verify(self) -> list[str]:
        """What is damaged or missing, one sentence a file; empty where every recorded byte is in its place."""
        return [problem for name, entry in self._recorded().items() for problem in damaged(self.folder, name, entry)]

    def require(self, name: str) -> Path:
        """The path of a file that is still as it was written; raises StoreDamaged where it is not."""
        entry = self._recorded().get(name)
        problems = damaged(self.folder, name, entry) if entry is not None and self.path(name).exists() else []
        if problems:
            raise StoreDamaged(
                f"expected {self.path(name)} as it was written, {problems[0]}",
                f"`limbeck distill {self.folder}` makes it again",
            )
        return self.path(name)

    def _recorded(self) -> dict[str, dict[str, Any]]:
        staged = {name: entry for stage in self.state["stages"].values() for name, entry in stage["files"].items()}
        return {**self.state["files"], **staged}

    # ------------------------------------------------------------------------------------------ writing

    def event(self, stage: str, name: str, value: Any = None, **extra: Any) -> None:
        """Append to events.jsonl; costs microseconds and is on disk within a second or at the end of a stage."""
        self._events.add(stage, name, value, **extra)

    def stage(
        self, name: str, inputs: Mapping[str, Any], outputs: Sequence[str] = (), mends: Sequence[str] = ()
    ) -> Stage:
        """The record of a stage: what it reads (fingerprints, plain) and the files or folders it writes.

        `mends` are outputs whose writer finds and mends damage itself; damaged files of the others are removed.
        """
        return Stage(self, name, to_plain(dict(inputs)), tuple(outputs), tuple(mends))

    def note(self, **facts: Any) -> None:
        """Keep facts about the whole run in run.json, at once."""
        self.state["facts"] |= to_plain(facts)
        self.save()

    def fingerprints(self, **values: str) -> None:
        """Keep fingerprints (data, teacher, student, transfer set) in run.json, at once."""
        self.state["fingerprints"] |= values
        self.save()

    def save(self) -> None:
        """Replace run.json, durably."""
        write_json(self.folder / RUN_NAME, self.state)

    def close(self, status: str = "done", reason: str = "") -> None:
        """End the run: write what is held back, note checksums and status, let go of the lock."""
        if self._lock is None:
            return
        assert status in STATUSES
        try:
            self._events.add("run", "status", status)
            self._events.close()
            owned = tuple(output for stage in self.state["stages"].values() for output in stage["outputs"])
            skip = (RUN_NAME, LOCK_NAME, ERROR_NAME)
            rest = [name for name in list_files(self.folder) if name not in skip and not inside(name, owned)]
            self.state["files"] = record(self.folder, rest)
            self.state |= {"status": status, "reason": reason, "finished": time.time()}
            self.save()
        finally:  # a full disk must not keep the folder locked
            self._lock.release()
            self._lock = None
            if self.folder in _open:
                _open.remove(self.folder)

    def ends_as(self, status: str) -> None:
        """Say how the `with` block is to end when it ends well ("partial" where only some stages were asked for)."""
        self._final = status

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close(self._final)
        elif isinstance(error, ChecksFailed):
            self.close("failed", str(error).splitlines()[0])
        elif isinstance(error, KeyboardInterrupt | SystemExit | BudgetReached):
            self.close("interrupted", f"{type(error).__name__} {error}".strip().splitlines()[0])
        else:
            self.close("failed", f"{type(error).__name__}: {error}".splitlines()[0])


class Stage:
    """One stage of a run: whether it is done, and the bookkeeping around doing it.

    As a context manager it removes outputs that an earlier attempt made from other inputs, keeps those of the same
    inputs (a killed stage goes on where it stopped) but for files that were damaged since, and records checksums
    when it ends well.
    """

    def __init__(self, run: Run, name: str, inputs: Any, outputs: tuple[str, ...], mends: tuple[str, ...] = ()) -> None:
        self.run = run
        self.name = name
        self.inputs = inputs
        self.outputs = outputs
        self.mends = mends
        self.removed: tuple[str, ...] = ()  # files that were damaged, or lost, since they were written
        self._facts: dict[str, Any] = {}
        self._begun = 0.0

    @property
    def _record(self) -> dict[str, Any]:
        found: dict[str, Any] = self.run.state["stages"].get(self.name, {})
        return found

    @property
    def done(self) -> bool:
        """Whether it ran to its end from these inputs, and its outputs are still what it wrote."""
        own = self._record
        if own.get("status") != "done" or own["inputs"] != self.inputs or own["outputs"] != list(self.outputs):
            return False
        return not any(damaged(self.run.folder, name, entry) for name, entry in own["files"].items())

    @property
    def finished(self) -> bool:
        """Whether it once ran to its end, from whatever inputs."""
        return bool(self._record.get("status") == "done")

    @property
    def stale(self) -> bool:
        """Whether an earlier attempt was made from other inputs."""
        return bool(self._record) and self._record["inputs"] != self.inputs

    @property
    def facts(self) -> dict[str, Any]:
        """What an earlier or this attempt noted."""
        return {**self._record.get("facts", {}), **self._facts}

    @property
    def fingerprint(self) -> str:
        """A hash of what it wrote, for the inputs of later stages; equal where the bytes are equal."""
        return fingerprint(self._record.get("files", {}))

    def changed(self) -> list[str]:
        """The inputs in which the earlier attempt differs, as "teacher: ... -> ..."."""
        return differences(self._record["inputs"], self.inputs) if self._record else []

    def note(self, **facts: Any) -> None:
        """Keep facts about this stage; they are in run.json when it ends well."""
        self._facts |= to_plain(facts)

    def __enter__(self) -> Stage:
        stale, spent = self.stale, self._record.get("seconds", 0.0)
        entry = {"status": "running", "inputs": self.inputs, "outputs": list(self.outputs), "files": {}, "facts": {}}
        if stale:
            for output in {*self._record["outputs"], *self.outputs}:
                remove(self.run.path(output))
        else:
            self._remove_damaged()
        self.run.state["stages"][self.name] = entry | {"seconds": 0.0 if stale else spent}
        self.run.save()
        self.run.event(self.name, "start")
        self._begun = time.monotonic()
        return self

    def _remove_damaged(self) -> None:
        """Remove what is no longer as it was written, so that it is made again and never taken for sound."""
        for name, entry in self._record.get("files", {}).items():
            if not inside(name, self.mends) and damaged(self.run.folder, name, entry):
                remove(self.run.path(name))
                self.removed += (name,)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entry = self._record
        entry["seconds"] = round(entry["seconds"] + time.monotonic() - self._begun, 3)
        entry["status"] = "done" if error is None else "interrupted"
        entry["facts"] = self._facts
        if error is None:
            entry["files"] = record(self.run.folder, files_below(self.run.folder, self.outputs))
        self.run.event(self.name, "end" if error is None else "stopped", entry["seconds"])
        self.run._events.flush()
        self.run.save()


# ------------------------------------------------------------------------------------------------- finding


def open_runs() -> list[Path]:
    """The folders that this process is writing to."""
    return list(_open)


def list_runs(root: str | Path = "runs") -> list[Path]:
    """The run folders in a folder, newest first."""
    root = Path(root)
    found = [path.parent for path in root.glob(f"*/{RUN_NAME}")] if root.is_dir() else []
    return sorted(found, key=lambda path: (-(path / RUN_NAME).stat().st_mtime, path.name))


def find_run(where: str | Path | None = None, root: str | Path = "runs") -> Path:
    """The run that is meant: a run folder, the name of one below `root`, or (None) the newest; else ConfigError."""
    runs = list_runs(root)
    if where is None:
        if runs:
            return runs[0]
        raise ConfigError(f"expected a run, there is none in {root}", "name a run folder, or run `limbeck demo digits`")
    for candidate in (Path(where), Path(root) / where):
        if (candidate / RUN_NAME).is_file():
            return candidate
        if candidate.name == RUN_NAME and candidate.is_file():
            return candidate.parent
    near = suggest(Path(where).name, [path.name for path in runs])
    known = f"runs here: {', '.join(str(path) for path in runs[:5])}" if runs else "run `limbeck demo digits` for one"
    raise ConfigError(f"expected a run folder at {where}, there is none", f"{near}\n{known}" if near else known)
