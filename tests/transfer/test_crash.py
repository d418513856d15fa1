"""Crashes by enumeration: at every file operation, under three models of what the disk keeps.

A random kill hardly ever hits the window in which a wrong protocol is wrong, so every window is hit on purpose, and
the enumeration must catch protocols that are known to be wrong.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck.core import files
from limbeck.transfer.verify import verify

KILL, LOST_DATA, LOST_NAMES = "kill", "power cut, unsynced data lost", "power cut, unsynced names lost"
MODELS = (KILL, LOST_DATA, LOST_NAMES)


class Crash(BaseException):
    """The machine is gone: nothing that follows has an effect."""


class Disk:
    """Stands in for the module os in limbeck.core.files: counts operations, crashes before one, knows what is durable.

    A write is two operations, so that a crash can also leave half of it.
    """

    def __init__(self, root: Path, crash_at: int | None) -> None:
        self.root, self.crash_at, self.count, self.dead = root, crash_at, 0, False
        self.paths: dict[int, Path] = {}
        self.file_of: dict[Path, int] = {}  # path -> number of the file that it names
        self.synced: dict[int, bytes] = {}  # file -> bytes that a power cut leaves
        self.names: dict[Path, dict[str, int]] = {}  # folder -> names that a power cut leaves
        for path in root.rglob("*"):
            if path.is_file():
                self._adopt(path)

    def _adopt(self, path: Path) -> None:
        self.file_of[path] = number = len(self.file_of) + len(self.synced)
        self.synced[number] = path.read_bytes()
        self.names.setdefault(path.parent, {})[path.name] = number

    def __getattr__(self, name):
        return getattr(os, name)

    def step(self):
        if self.dead or self.count == self.crash_at:
            self.dead = True
            raise Crash
        self.count += 1

    def open(self, path, flags, mode=0o777):
        self.step()
        path = Path(path)
        new = not path.exists()
        fd = os.open(path, flags, mode)
        self.paths[fd] = path
        if new and flags & os.O_CREAT:
            self.file_of[path] = number = 10_000 + self.count
            self.synced[number] = b""
        return fd

    def fdopen(self, fd, mode, buffering=-1):
        return File(self, fd)

    def fsync(self, fd):
        self.step()
        path = self.paths[fd]
        if path.is_dir():
            self.names[path] = {p.name: self.file_of[p] for p in path.iterdir() if p in self.file_of}
        else:
            self.synced[self.file_of[path]] = path.read_bytes()

    def ftruncate(self, fd, size):
        self.step()
        os.ftruncate(fd, size)

    def replace(self, old, new):
        self.step()
        os.replace(old, new)
        self.file_of[Path(new)] = self.file_of.pop(Path(old))

    def unlink(self, path):
        self.step()
        os.unlink(path)
        self.file_of.pop(Path(path), None)

    def come_back(self, model: str) -> None:
        """Make the folder what the disk holds after the crash."""
        if model == KILL:
            return
        present = {path: number for path, number in self.file_of.items() if path.exists()}
        if model == LOST_NAMES:
            present = {folder / name: n for folder, names in self.names.items() for name, n in names.items()}
        for path in self.file_of:
            path.unlink(missing_ok=True)
        for path, number in present.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.synced[number])


class File:
    def __init__(self, disk, fd):
        self.disk, self.fd = disk, fd

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def write(self, data):
        data = bytes(data)
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            self.disk.step()
            os.write(self.fd, part)
        return len(data)

    def seek(self, place, whence=0):
        return os.lseek(self.fd, place, whence)

    def read(self, count):
        return os.read(self.fd, count)

    def flush(self):
        pass


def crashes(folder, monkeypatch, work):
    """Run `work` with a crash before every operation; gives (model, what was acknowledged) with the folder left so."""
    for model in MODELS:
        crash_at = 0
        while True:
            root = folder / f"{MODELS.index(model)}-{crash_at}"
            root.mkdir()
            disk = Disk(root, crash_at)
            monkeypatch.setattr(files, "os", disk)
            acknowledged: list[object] = []
            try:
                work(root, acknowledged)
            except Crash:
                monkeypatch.undo()
                disk.come_back(model)
                yield model, root, acknowledged
                crash_at += 1
                continue
            monkeypatch.undo()
            break


def several_commits(root, acknowledged):
    """Files that are written, written anew, and a journal."""
    for number in range(6):
        path, content = root / f"file-{number % 3}", f"content {number} ".encode() * 10
        files.write_bytes(path, content)
        acknowledged.append((path.name, content))
        files.append_line(root / "journal", {"n": number})
        acknowledged.append(number)


def faults(root, acknowledged) -> list[str]:
    """What is wrong after a crash: a partial file, an acknowledged file that is not there, a lost line."""
    wrong = []
    contents = [f"content {number} ".encode() * 10 for number in range(6)]
    for path in root.glob("file-*"):
        if path.read_bytes() not in contents:
            wrong.append(f"{path.name} is partial")
    latest = dict(entry for entry in acknowledged if isinstance(entry, tuple))
    for name, content in latest.items():
        after = contents[contents.index(content) :: 3]  # it, or what was being written over it
        if not (root / name).exists() or (root / name).read_bytes() not in after:
            wrong.append(f"{name} was acknowledged and is gone")
    lines = [record["n"] for record in files.read_journal(root / "journal")]
    kept = [entry for entry in acknowledged if isinstance(entry, int)]
    if lines[: len(kept)] != kept:
        wrong.append("a line was acknowledged and is gone")
    return wrong


def test_no_crash_leaves_a_partial_file_or_loses_what_was_acknowledged(tmp_path, monkeypatch):
    count = 0
    for model, root, acknowledged in crashes(tmp_path, monkeypatch, several_commits):
        assert faults(root, acknowledged) == [], model
        count += 1
    assert count > 150


def in_place(path, write):
    """Wrong: a file that exists counts as done."""
    fd = files.os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with files.os.fdopen(fd, "wb") as file:
        write(file)
        files.os.fsync(fd)
    files.sync_dir(path.parent)


def without_fsync(path, write):
    """Wrong: renamed, but its bytes may not be on the disk."""
    temporary = path.with_name(f".{path.name}.tmp")
    fd = files.os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with files.os.fdopen(fd, "wb") as file:
        write(file)
    files.os.replace(temporary, path)
    files.sync_dir(path.parent)


def without_folder_fsync(path, write):
    """Wrong: its name may not be on the disk."""
    temporary = path.with_name(f".{path.name}.tmp")
    fd = files.os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with files.os.fdopen(fd, "wb") as file:
        write(file)
        files.os.fsync(fd)
    files.os.replace(temporary, path)


@pytest.mark.parametrize(
    ("protocol", "caught_under"),
    [(in_place, KILL), (without_fsync, LOST_DATA), (without_folder_fsync, LOST_NAMES)],
)
def test_the_enumeration_catches_protocols_that_are_wrong(tmp_path, monkeypatch, protocol, caught_under):
    sound = files._replace
    files._replace = protocol
    try:
        caught = {
            model
            for model, root, acknowledged in crashes(tmp_path, monkeypatch, several_commits)
            if faults(root, acknowledged)
        }
    finally:
        files._replace = sound
    assert caught_under in caught


# ------------------------------------------------------------------------------------------ labelling


def test_labelling_that_crashes_anywhere_ends_in_the_same_bits(tmp_path, monkeypatch, kit):
    rows = kit.rows(40)

    def work(root, acknowledged):
        kit.store(root / "t", rows, batch_size=8, shard_rows=16)

    kit.store(tmp_path / "sound", rows, batch_size=8, shard_rows=16)
    sound = kit.content(tmp_path / "sound")
    count = 0
    for model, root, _ in crashes(tmp_path, monkeypatch, work):
        teacher = kit.Teacher()
        committed = len(files.read_journal(root / "t" / "journal.jsonl"))
        store = kit.store(root / "t", rows, teacher, batch_size=8, shard_rows=16)
        assert kit.content(root / "t") == sound, model
        assert sum(teacher.asked) == 40 - min(16 * committed, 40), "only what was not acknowledged is asked again"
        assert len(store) == 40
        count += 1
    assert count > 100


def test_an_exit_at_every_commit_ends_in_the_same_bits(tmp_path, monkeypatch, kit):
    rows, more = kit.rows(60), kit.rows(90)
    heads = {"main": kit.Task(), "price": kit.Task("regression", ("price",), 5.0, 2.0)}

    def both(folder):
        teacher = kit.Teacher({"main": 3, "price": 1})
        kit.store(folder, rows, teacher, heads=heads, shard_rows=16)
        kit.store(folder, more, teacher, heads=heads, shard_rows=16)

    both(tmp_path / "sound")
    number = 0
    while exits(monkeypatch, tmp_path / str(number), both, at=number // 2, before=number % 2 == 0):
        monkeypatch.undo()
        both(tmp_path / str(number))
        assert kit.content(tmp_path / str(number)) == kit.content(tmp_path / "sound")
        assert verify(tmp_path / str(number)).complete
        number += 1
    assert number > 40


def exits(monkeypatch, folder, work, *, at, before):
    """Run `work` with an exit before or after a commit; False where there are not so many."""
    real, calls = files.commit, []

    def commit(path, write, *, append=False):
        calls.append(path)
        if len(calls) == at + 1 and before:
            raise SystemExit(9)
        real(path, write, append=append)
        if len(calls) == at + 1:
            raise SystemExit(9)

    monkeypatch.setattr(files, "commit", commit)
    try:
        work(folder)
    except SystemExit:
        return True
    return False


PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
import conftest
from limbeck.core import files

at, real, calls = int(sys.argv[2]), files.commit, 0

def commit(path, write, *, append=False):
    global calls
    calls += 1
    if calls == at:
        real(path, lambda file: (write(file), file.flush(), os._exit(9)), append=append)
    real(path, write, append=append)

files.commit = commit
conftest.make_store(Path(sys.argv[1]), conftest.make_rows(60), shard_rows=16)
"""


@pytest.mark.parametrize("at", [1, 2, 3, 6])
def test_a_process_that_dies_in_a_commit(tmp_path, kit, at):
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "t"), str(at), here], check=False)
    assert done.returncode == 9
    kit.store(tmp_path / "t", kit.rows(60), shard_rows=16)
    kit.store(tmp_path / "sound", kit.rows(60), shard_rows=16)
    assert kit.content(tmp_path / "t") == kit.content(tmp_path / "sound")


FULL = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import conftest
from limbeck.core.errors import LimbeckError
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    conftest.make_store(Path(sys.argv[1]), conftest.make_rows(1100), batch_size=8, shard_rows=1000)
except LimbeckError as error:
    print(error.what)
"""


def test_a_full_disk_leaves_nothing_partial_and_labelling_goes_on(tmp_path, kit):
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", FULL, str(tmp_path / "t"), here]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "the file would pass the size limit of this process" in done.stdout
    assert not list((tmp_path / "t").rglob("*.bin")) and not list((tmp_path / "t").rglob(".*.tmp"))
    kit.store(tmp_path / "t", kit.rows(1100), batch_size=8, shard_rows=1000)
    assert verify(tmp_path / "t").complete
