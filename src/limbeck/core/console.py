"""What is said and where: results on stdout, talk on stderr, nothing off rank 0.

Colour only on a terminal and never under NO_COLOR or TERM=dumb; bars only on a terminal, otherwise one line at
intervals; under `--json` stdout holds one JSON document and nothing else.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TextIO

from limbeck.core.findings import Finding
from limbeck.core.hardware import rank

QUIET, NORMAL, VERBOSE = 0, 1, 2
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_MARKS = {"issue": ("✘", "red"), "tip": ("⚠", "yellow"), "note": ("·", "dim")}
_LINE_EVERY = 30.0  # seconds between the lines of a progress off a terminal
_DRAW_EVERY = 0.1  # seconds between drawings of a bar


class Console:
    """Where a command speaks. `level` is QUIET, NORMAL or VERBOSE; streams and environment are for tests."""

    def __init__(
        self,
        *,
        level: int = NORMAL,
        as_json: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.level = level
        self.as_json = as_json
        self._out, self._err = out, err
        self._env = os.environ if env is None else env
        self.speaks = rank() == 0

    @property
    def out(self) -> TextIO:
        """The stream of results."""
        return self._out if self._out is not None else sys.stdout

    @property
    def err(self) -> TextIO:
        """The stream of talk."""
        return self._err if self._err is not None else sys.stderr

    # --------------------------------------------------------------------------------------------- results

    def result(self, text: str) -> None:
        """Print a result; silent under --json, where `emit` prints."""
        if self.speaks and not self.as_json:
            self._write(self.out, text)

    def emit(self, data: Any) -> None:
        """Print the result as JSON; silent without --json. Numbers that are not finite become null."""
        if self.speaks and self.as_json:
            self._write(self.out, json.dumps(finite(data), ensure_ascii=False, indent=2))

    # ------------------------------------------------------------------------------------------------ talk

    def say(self, text: str) -> None:
        """Say what is going on; silent under -q."""
        if self.level >= NORMAL:
            self._talk(text)

    def detail(self, text: str) -> None:
        """Say what only matters under -v."""
        if self.level >= VERBOSE:
            self._talk(self.style(text, "dim"))

    def warn(self, text: str) -> None:
        """Say what must not be missed, under -q too."""
        self._talk(f"{self.style('⚠', 'yellow')} {text}")

    def error(self, text: str) -> None:
        """Say why the command ends."""
        head, *rest = text.split("\n", 1)
        self._talk("\n".join([f"{self.style('error', 'red')}  {head}", *rest]))

    def finding(self, finding: Finding) -> None:
        """Say what a check found: the code, what was measured and the way out; notes only under -v."""
        if finding.grade == "note" and self.level < VERBOSE:
            return
        if finding.grade == "tip" and self.level < NORMAL:
            return
        mark, colour = _MARKS[finding.grade]
        self._talk(f"{self.style(mark, colour)} {finding.code}  {finding.title}: {finding.measured}")
        if finding.todo:
            self._talk(f"         {finding.todo}  (limbeck checks {finding.code})")

    def progress(self, label: str, total: int | None = None) -> Progress:
        """A progress to advance, as a context manager: a bar on a terminal, otherwise a line every half minute."""
        if not self.speaks or self.level < NORMAL:
            return Progress(label, total, None, 0.0)
        if self.bars:
            return _Bar(label, total, self)
        return Progress(label, total, self.say, _LINE_EVERY)

    # ----------------------------------------------------------------------------------------------- style

    @property
    def bars(self) -> bool:
        """Whether bars may be drawn: on a terminal that can, and not in a build."""
        return self.err.isatty() and self._env.get("TERM") != "dumb" and not self._env.get("CI")

    def colours(self, stream: TextIO) -> bool:
        """Whether a stream takes colours."""
        return stream.isatty() and not self._env.get("NO_COLOR") and self._env.get("TERM") != "dumb"

    def style(self, text: str, how: str) -> str:
        """Talk in a style ("red", "dim", ...), where the terminal takes it."""
        return f"\x1b[{_CODES[how]}m{text}\x1b[0m" if self.colours(self.err) else text

    def _talk(self, text: str) -> None:
        if self.speaks:
            self._write(self.err, text)

    def _write(self, stream: TextIO, text: str) -> None:
        try:
            stream.write(text + "\n")
        except UnicodeEncodeError:  # a terminal that knows ASCII only
            encoding = stream.encoding or "ascii"
            stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
        stream.flush()


class Progress:
    """Counts what is done; says so through `say` at intervals. Advancing costs less than a microsecond or two."""

    def __init__(self, label: str, total: int | None, say: Callable[[str], None] | None, every: float) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self.values: Mapping[str, Any] = {}
        self._say = say
        self._every = every
        self._began = self._last = time.monotonic()
        self._skipped = 0

    def skip(self, count: int) -> None:
        """Count what an earlier attempt has done, so that the time left is right."""
        self.done += count
        self._skipped += count

    def advance(self, count: int = 1, values: Mapping[str, Any] | None = None) -> None:
        """Count on; `values` (numbers, also tensors) are only read when they are shown."""
        self.done += count
        if values is not None:
            self.values = values
        if self._say is not None and time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            self.show()

    def show(self) -> None:
        """Say how far it is."""
        if self._say is not None:
            self._say("  ".join(part for part in (self.label, self.counted(), self.worded(), self.left()) if part))

    def counted(self) -> str:
        """The count in words: "400/2,000" or "400"."""
        return f"{self.done:,}/{self.total:,}" if self.total else f"{self.done:,}"

    def worded(self) -> str:
        """The values in words: "loss 0.312"."""
        return "  ".join(f"{name} {float(value):.4g}" for name, value in self.values.items())

    def left(self) -> str:
        """The time left in words, "" where it cannot be known."""
        fresh = self.done - self._skipped
        if not self.total or fresh <= 0:
            return ""
        return f"{seconds((time.monotonic() - self._began) * (self.total - self.done) / fresh)} left"

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _Bar(Progress):
    """A progress drawn by rich, with the time left."""

    def __init__(self, label: str, total: int | None, console: Console) -> None:
        super().__init__(label, total, None, _DRAW_EVERY)
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        terminal = Terminal(file=console.err, no_color=not console.colours(console.err), highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[words]}"))
        self._rich = RichProgress(*columns, console=terminal, transient=True, auto_refresh=False)
        self._task = self._rich.add_task(label, total=total, words="")
        self._say = self._draw

    def show(self) -> None:
        self._draw("")

    def _draw(self, text: str) -> None:
        words = "  ".join(part for part in (self.counted(), self.worded(), self.left()) if part)
        self._rich.update(self._task, completed=self.done, words=words, refresh=True)

    def __enter__(self) -> Progress:
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rich.stop()


SILENT = Console(level=QUIET)


def seconds(count: float) -> str:
    """A duration in words: "0.4 s", "31 s", "2 min 5 s", "3 h 20 min"."""
    if count < 10:
        return f"{count:.1f} s"
    whole = round(count)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def finite(data: Any) -> Any:
    """Plain data with null in place of numbers that JSON does not know."""
    if isinstance(data, float):
        return data if data == data and abs(data) != float("inf") else None
    if isinstance(data, Mapping):
        return {str(key): finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple | set | frozenset):
        return [finite(value) for value in data]
    if data is None or isinstance(data, str | int):
        return data
    plain = getattr(data, "tolist", None)  # arrays and single numbers of NumPy and torch
    return finite(plain()) if plain is not None else str(data)
