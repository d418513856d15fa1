"""One writer a folder: a lock that the operating system lets go of when its process dies."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from limbeck.core.errors import StoreMismatch

LOCK_NAME = ".lock"

_held: set[str] = set()  # record locks do not exclude their own process


class FolderLock:
    """An exclusive lock on a folder; the lock of a dead process is taken over, that of a live one is refused."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_NAME
        self._fd: int | None = None

    def take(self) -> None:
        """Take the lock; raises StoreMismatch where another process (or this one) holds it."""
        key = str(self.path.resolve())
        if key in _held:
            raise self._refusal("this process has it open already")
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _lock(fd):
            owner = _owner(fd)
            os.close(fd)
            raise self._refusal(owner)
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        self._fd = fd
        _held.add(key)

    def release(self) -> None:
        """Let go of the lock; the file stays, empty."""
        if self._fd is None:
            return
        os.ftruncate(self._fd, 0)
        os.close(self._fd)
        self._fd = None
        _held.discard(str(self.path.resolve()))

    def held(self) -> bool:
        """Whether some live process holds the lock."""
        if str(self.path.resolve()) in _held:
            return True
        try:
            fd = os.open(self.path, os.O_RDWR)
        except OSError:
            return False
        free = _lock(fd)
        os.close(fd)
        return not free

    def _refusal(self, owner: str) -> StoreMismatch:
        return StoreMismatch(
            f"expected {self.path.parent} to be free, another run is writing to it ({owner})",
            "wait for it to end, end it, or write elsewhere with --out",
        )


def _owner(fd: int) -> str:
    try:
        content = json.loads(os.pread(fd, 4096, 0))
        return f"process {content['pid']} on {content['host']}"
    except (ValueError, KeyError, TypeError):
        return "its process is not named"


if sys.platform == "win32":  # pragma: no cover

    def _lock(fd: int) -> bool:
        import msvcrt

        os.lseek(fd, 1 << 20, os.SEEK_SET)  # beyond the text, which others may read
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _lock(fd: int) -> bool:
        import fcntl

        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a record lock: forked workers do not inherit it
        except OSError:
            return False
        return True
