"""Durable files: what is there is whole, and what was acknowledged survives a kill and a power cut.

A commit is: temporary file in the same folder, fsync, rename, fsync of the folder. A line of a journal is appended
with its own checksum and an fsync. Both pass through `commit`, the one place where anything becomes visible.
A failed fsync is never retried: the kernel may have dropped the pages and would call the second one a success.
"""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from limbeck.core.errors import LimbeckError, StoreDamaged

TEMPORARY = ".tmp"
_CHUNK = 1 << 22  # bytes read at once
_TAIL = 1 << 16  # bytes looked at once for the end of the last whole line
_counter = itertools.count()

_REASONS = {
    errno.ENOSPC: ("there is no space left on the disk", "free some space and run again; nothing partial was left"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run again; nothing partial was left"),
    errno.EFBIG: ("the file would pass the size limit of this process", "raise the limit (ulimit -f) and run again"),
    errno.EROFS: ("the file system is read-only", "write to another folder"),
    errno.EACCES: ("permission is denied", "write to another folder, or change the permissions of this one"),
    errno.EPERM: ("permission is denied", "write to another folder, or change the permissions of this one"),
    errno.EEXIST: ("a file stands where a folder belongs", "name another folder"),
    errno.ENOTDIR: ("a file stands where a folder belongs", "name another folder"),
    errno.EIO: (
        "the disk reported an input/output error",
        "check the disk; what was not acknowledged is written again",
    ),
}


def commit(path: Path, write: Callable[[BinaryIO], object], *, append: bool = False) -> None:
    """Make what `write` writes visible at `path`, whole and durable, or not at all.

    With `append` the bytes are added to the file instead; half a line that a kill left at its end is cut off first.
    Raises LimbeckError where the disk is full, read-only or failing; then nothing of it is visible
    (an appended line may stand there torn, which readers of journals skip).
    """
    path = Path(path)
    make_folder(path.parent)
    with explained(path):
        if append:
            _append(path, write)
        else:
            _replace(path, write)


def write_bytes(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Write a file durably; raises LimbeckError where the disk refuses."""
    commit(path, lambda file: file.write(data))


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8, newlines as given) durably; raises LimbeckError where the disk refuses."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON (two spaces, a newline at the end) durably; not-finite numbers are refused (ValueError)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; raises StoreDamaged where it is missing or no JSON."""
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise StoreDamaged(f"expected a file {path}, there is none", "write it again") from None
    except ValueError as error:  # UnicodeDecodeError too
        raise StoreDamaged(f"expected {path} to hold JSON, it does not ({error})", "write it again") from None


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append a record with its checksum to a journal and fsync it: when this returns, the record is acknowledged."""
    commit(path, lambda file: file.write(journal_line(record)), append=True)


def journal_line(record: dict[str, Any]) -> bytes:
    """A record as a line: 32 hexadecimal digits of xxh3-128 over the JSON text, a space, the text, a newline."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return f"{xxhash.xxh3_128_hexdigest(text)} ".encode() + text + b"\n"


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The records of a journal; none where there is no file.

    A last line without its newline was never acknowledged and is skipped. Any other damage raises StoreDamaged.
    """
    records, damaged = scan_journal(path)
    if damaged:
        raise StoreDamaged(
            f"expected line {damaged[0]} of {path} to match its checksum, it does not",
            "the bytes on disk have changed since they were written: restore the file, or delete its folder "
            "and let it be written again",
        )
    return records


def scan_journal(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The sound records of a journal, and the numbers (from 1) of its damaged lines."""
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    records, damaged = [], []
    for number, line in enumerate(lines[:-1], start=1):
        digits, _, text = line.partition(b" ")
        if xxhash.xxh3_128_hexdigest(text).encode() == digits:
            records.append(json.loads(text))
        else:
            damaged.append(number)
    return records, damaged


def torn_tail(path: Path) -> bytes:
    """What stands after the last newline of a journal: empty unless an append was cut off (or a byte was damaged)."""
    try:
        return Path(path).read_bytes().rpartition(b"\n")[2]
    except FileNotFoundError:
        return b""


def checksum(source: Path | str | bytes | bytearray | memoryview) -> str:
    """xxh3-128 of the bytes, or of the file at a path (str or Path), as 32 hexadecimal digits."""
    if isinstance(source, bytes | bytearray | memoryview):
        return xxhash.xxh3_128_hexdigest(source)
    state = xxhash.xxh3_128()
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    with open(source, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            state.update(view[:count])
    return state.hexdigest()


def make_folder(path: Path) -> None:
    """Make a folder and its parents durably; nothing where it is there already."""
    if path.is_dir():
        return
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            sync_dir(folder.parent)


def sync_dir(path: Path) -> None:
    """Make the names in a folder durable (fsync of the folder; nothing to do on Windows)."""
    if os.name == "nt":  # pragma: no cover
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def is_leftover(path: Path) -> bool:
    """Whether a file is the temporary one of a commit, which a kill may leave behind and readers ignore."""
    return path.name.startswith(".") and path.name.endswith(TEMPORARY)


def remove_leftovers(folder: Path) -> int:
    """Remove the temporary files that killed writers left in a folder; only its one writer may call this."""
    left = [path for path in folder.glob(f".*{TEMPORARY}") if path.is_file()]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def _replace(path: Path, write: Callable[[BinaryIO], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_counter)}{TEMPORARY}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(fd, "wb") as file:
            write(file)
            file.flush()
            os.fsync(fd)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_dir(path.parent)


def _append(path: Path, write: Callable[[BinaryIO], object]) -> None:
    new = not path.exists()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    with os.fdopen(fd, "r+b", buffering=0) as raw:
        end = _end_of_last_line(raw)
        os.ftruncate(fd, end)
        raw.seek(end)
        lines = io.BytesIO()
        write(lines)  # gathered, so that it reaches the file in one write
        data = memoryview(lines.getvalue())
        try:
            while data:
                data = data[raw.write(data) :]
            os.fsync(fd)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(fd, end)  # not acknowledged, so not to be read either
            raise
    if new:
        sync_dir(path.parent)


def _end_of_last_line(file: Any) -> int:
    """Offset after the last newline, 0 without one."""
    end: int = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _TAIL)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + int(newline) + 1
        end = start
    return 0


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError into a LimbeckError in plain words."""
    try:
        yield
    except OSError as error:
        known = in_words(error, path)
        if known is None:
            known = LimbeckError(f"expected to write {path}, but {error.strerror or error}", "write to another folder")
        raise known from error


def in_words(error: OSError, path: str | Path) -> LimbeckError | None:
    """What the system says about a path in plain words; None for what is no fault of the disk or its rights."""
    if error.errno not in _REASONS:
        return None
    reason, todo = _REASONS[error.errno]
    return LimbeckError(f"expected to write {path}, but {reason}", todo)
