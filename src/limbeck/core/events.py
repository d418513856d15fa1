"""events.jsonl: what happened, one line each, appended; cheap to write, and sound after a kill.

    {"time": 1731.2, "stage": "train", "name": "loss", "value": 0.31, "step": 200}

Lines are gathered and written once a second, so that an event costs microseconds. A kill loses at most the last
second and may leave half a line, which readers skip and the next writer cuts off.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limbeck.core.files import explained

EVENTS_NAME = "events.jsonl"
_INTERVAL = 1.0  # seconds between writes
_MOST = 64 * 1024  # characters held back


class EventLog:
    """Appends events to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        self._lines: list[str] = []
        self._size = 0
        self._written = time.monotonic()

    def add(self, stage: str, name: str, value: Any = None, **extra: Any) -> None:
        """Note an event; `value` and `extra` are plain (numbers that are not finite become text)."""
        line = json.dumps(
            {"time": round(time.time(), 3), "stage": stage, "name": name, "value": _plain(value)}
            | {key: _plain(entry) for key, entry in extra.items()},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        self._lines.append(line)
        self._size += len(line)
        if self._size > _MOST or time.monotonic() - self._written > _INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Write what is held back."""
        self._written = time.monotonic()
        if not self._lines:
            return
        data = ("\n".join(self._lines) + "\n").encode()
        self._lines, self._size = [], 0
        with explained(self.path):
            if self._fd is None:
                _cut_torn_line(self.path)
                self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            while data:
                data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Write what is held back and close the file."""
        self.flush()
        if self._fd is not None:
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = None


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    try:
        return _plain(float(value))  # numpy and torch scalars
    except (TypeError, ValueError):
        return str(value)


def _cut_torn_line(path: Path) -> None:
    """Cut a half line that a killed writer left at the end."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _MOST)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                file.truncate(start + newline + 1)
                return
            end = start
        file.truncate(0)


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a file in their order; a torn last line is skipped."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event
