import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limbeck.core import files
from limbeck.core.errors import LimbeckError, StoreDamaged


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_what_is_written_is_read(tmp_path):
    files.write_json(tmp_path / "deep" / "er" / "a.json", {"é": [1, None, 2.5]})
    assert files.read_json(tmp_path / "deep" / "er" / "a.json") == {"é": [1, None, 2.5]}
    files.write_text(tmp_path / "b.txt", "line\nsecond")
    assert (tmp_path / "b.txt").read_bytes() == b"line\nsecond"
    assert names(tmp_path) == ["b.txt", "deep"]
    assert names(tmp_path / "deep" / "er") == ["a.json"]


def test_a_file_follows_the_umask(tmp_path):
    files.write_bytes(tmp_path / "a", b"")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask


def test_not_finite_numbers_are_no_json(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe"])
def test_json_that_is_none_is_damage(tmp_path, content):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreDamaged, match=r"a\.json"):
        files.read_json(path)


def test_a_writer_that_fails_leaves_the_old_file_alone(tmp_path):
    files.write_bytes(tmp_path / "a", b"old")

    def broken(file):
        file.write(b"half of the new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.commit(tmp_path / "a", broken)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


class Failing:
    """Stands in for the module os: one call fails."""

    def __init__(self, call: str, number: int) -> None:
        self.call, self.number, self.calls = call, number, 0

    def __getattr__(self, name):
        real = getattr(os, name)
        if name != self.call:
            return real

        def failing(*args, **kwargs):
            self.calls += 1
            if self.calls == 1:
                raise OSError(self.number, os.strerror(self.number))
            return real(*args, **kwargs)

        return failing


@pytest.mark.parametrize(
    ("call", "number", "words"),
    [
        ("open", errno.EROFS, "the file system is read-only"),
        ("open", errno.EACCES, "permission is denied"),
        ("fsync", errno.EIO, "input/output error"),
        ("fsync", errno.ENOSPC, "no space left on the disk"),
        ("replace", errno.EDQUOT, "quota is used up"),
        ("open", errno.ENAMETOOLONG, "too long"),
    ],
)
def test_a_disk_that_refuses_is_said_and_nothing_partial_is_left(tmp_path, monkeypatch, call, number, words):
    files.write_bytes(tmp_path / "a", b"old")
    failing = Failing(call, number)
    monkeypatch.setattr(files, "os", failing)
    with pytest.raises(LimbeckError, match=words) as caught:
        files.write_bytes(tmp_path / "a", b"new")
    assert caught.value.todo
    assert failing.calls == 1, "a failed call is not tried again"
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_line_whose_fsync_failed_is_not_read(tmp_path, monkeypatch, number):
    path = tmp_path / "journal"
    files.append_line(path, {"n": 1})
    monkeypatch.setattr(files, "os", Failing("fsync", number))
    with pytest.raises(LimbeckError, match="expected to write"):
        files.append_line(path, {"n": 2})
    monkeypatch.undo()
    assert files.read_journal(path) == [{"n": 1}]
    files.append_line(path, {"n": 3})
    assert files.read_journal(path) == [{"n": 1}, {"n": 3}]


FULL = """
import resource, sys
from pathlib import Path
from limbeck.core import files
from limbeck.core.errors import LimbeckError
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    files.write_bytes(Path(sys.argv[1]), bytes(20000))
except LimbeckError as error:
    print(error.what)
"""


def test_a_file_over_the_limit_of_the_process_is_not_visible(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "big")], capture_output=True, text=True, check=True
    )
    assert "would pass the size limit" in done.stdout
    assert names(tmp_path) == []


KILLED = """
import os, sys
from pathlib import Path
from limbeck.core import files
files.commit(Path(sys.argv[1]), lambda file: (file.write(b"half"), file.flush(), os._exit(9)))
"""


def test_what_a_kill_leaves_is_known_and_removed(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a")], check=False)
    assert done.returncode == 9
    (left,) = tmp_path.iterdir()
    assert files.is_leftover(left)
    files.write_bytes(tmp_path / "a", b"whole")
    assert not files.is_leftover(tmp_path / "a")
    assert files.remove_leftovers(tmp_path) == 1
    assert names(tmp_path) == ["a"]


records = st.dictionaries(
    st.text(max_size=5), st.one_of(st.integers(-(2**60), 2**60), st.text(max_size=20), st.none()), max_size=3
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # drawing is slow on a busy machine
@given(st.lists(records, max_size=6), st.data())
def test_a_journal_cut_anywhere_gives_the_whole_lines_before_the_cut(tmp_path_factory, lines, data):
    path = tmp_path_factory.mktemp("journal") / "j"
    whole = b"".join(files.journal_line(line) for line in lines)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    ends = [len(b"".join(files.journal_line(line) for line in lines[:n])) for n in range(len(lines) + 1)]
    kept = sum(end <= cut for end in ends) - 1
    assert files.read_journal(path) == lines[:kept]
    assert (files.torn_tail(path) == b"") == (cut in ends)
    files.append_line(path, {"after": "the cut"})
    assert files.read_journal(path) == [*lines[:kept], {"after": "the cut"}]


def test_no_damaged_byte_of_a_journal_is_read_as_a_record(tmp_path):
    path = tmp_path / "j"
    lines = [{"n": n, "text": "x" * n} for n in range(4)]
    for line in lines:
        files.append_line(path, line)
    sound = path.read_bytes()
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        if place == len(sound) - 1:  # the last newline: the line was not acknowledged, as far as anybody can tell
            assert files.read_journal(path) == lines[:-1]
            assert files.torn_tail(path)
        else:
            with pytest.raises(StoreDamaged, match=r"expected line . of .*j to match its checksum"):
                files.read_journal(path)


def test_a_scan_gives_the_sound_lines_and_the_numbers_of_the_others(tmp_path):
    path = tmp_path / "j"
    assert files.scan_journal(path) == ([], [])
    lines = [files.journal_line({"n": n}) for n in range(3)]
    path.write_bytes(lines[0] + b"x" + lines[1] + lines[2])
    assert files.scan_journal(path) == ([{"n": 0}, {"n": 2}], [2])


def test_a_long_torn_line_is_cut_before_the_next_one(tmp_path):
    path = tmp_path / "j"
    files.append_line(path, {"n": 0})
    with path.open("ab") as file:
        file.write(b"x" * 200_000)
    files.append_line(path, {"n": 1})
    assert files.read_journal(path) == [{"n": 0}, {"n": 1}]
    path.write_bytes(b"y" * 200_000)
    files.append_line(path, {"n": 2})
    assert files.read_journal(path) == [{"n": 2}]


def test_checksums_of_files_and_bytes_agree(tmp_path):
    data = bytes(range(256)) * 40_000
    (tmp_path / "a").write_bytes(data)
    assert files.checksum(tmp_path / "a") == files.checksum(str(tmp_path / "a")) == files.checksum(data)
    assert files.checksum(b"abc") == "06b05ab6733a618578af5f94892f3950"
    assert len(files.checksum(b"")) == 32
