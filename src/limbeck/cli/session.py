"""What surrounds every verb: where it speaks, and what becomes of an error.

Nobody sees a traceback: a deliberate error is its sentence and its way out, anything else is a line and a log.
"""

from __future__ import annotations

import functools
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer

from limbeck.core.console import NORMAL, QUIET, VERBOSE, Console
from limbeck.core.errors import BudgetReached, ChecksFailed, ConfigError, LimbeckError
from limbeck.core.findings import Finding, worst

P = ParamSpec("P")
R = TypeVar("R")

INTERNAL, INTERRUPTED = 1, 130  # exit codes that no LimbeckError carries


@dataclass
class Session:
    """The verb that is running: its console, and the run folder once it is known."""

    console: Console = field(default_factory=Console)
    folder: Path | None = None


_session = Session()


def begin(*, json: bool, quiet: bool, verbose: bool) -> Console:
    """Set up where a verb speaks."""
    level = VERBOSE if verbose else QUIET if quiet else NORMAL
    _session.console, _session.folder = Console(level=level, as_json=json), None
    return _session.console


def working_in(folder: Path) -> None:
    """Note the run folder, so that an error log goes there."""
    _session.folder = folder


def end_with(findings: Iterable[Finding]) -> None:
    """End with exit code 3 where a finding is an issue, and say which."""
    findings = list(findings)
    if worst(findings) == "issue":
        codes = ", ".join(dict.fromkeys(finding.code for finding in findings if finding.grade == "issue"))
        _session.console.warn(f"exit code {ChecksFailed.exit_code}: an issue was found (limbeck checks {codes})")
        raise typer.Exit(ChecksFailed.exit_code)


def verb(*, resumes: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function a verb: its errors become messages and exit codes. `resumes`: running it again goes on."""

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def inner(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except (typer.Exit, typer.Abort, typer.BadParameter):
                raise
            except LimbeckError as err:
                refuse(err, resumes)
            except KeyboardInterrupt:
                interrupted(resumes)
            except BrokenPipeError:  # the reader of our stdout has gone: `limbeck ls | head`
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(0) from None
            except OSError as err:
                of_the_disk(err, resumes)
            except Exception as err:
                unexpected(err)

        return inner

    return wrap


def refuse(err: LimbeckError, resumes: bool) -> NoReturn:
    """Say a deliberate error and leave with its code."""
    console = _session.console
    todo = err.todo
    if isinstance(err, BudgetReached) and resumes:
        todo = f"{todo}\ngo on with: {resume_line()}".strip()
    console.error(f"{err.what}\n\n{todo}" if todo else err.what)
    plain: dict[str, Any] = {"type": type(err).__name__, "what": err.what, "todo": todo, "exit_code": err.exit_code}
    if isinstance(err, ConfigError):
        plain["problems"] = [{"where": p.where, "what": p.what, "todo": p.todo, "line": p.line} for p in err.problems]
    console.emit({"error": plain})
    raise typer.Exit(err.exit_code) from None


def of_the_disk(err: OSError, resumes: bool) -> NoReturn:
    """Say what the system refused (a full disk, missing rights) as a deliberate error; anything else is unexpected."""
    from limbeck.core.files import in_words

    known = in_words(err, err.filename or _session.folder or "a file")
    if known is None:
        unexpected(err)
    refuse(known, resumes)


def interrupted(resumes: bool) -> NoReturn:
    """Say that the user ended it, and how to go on."""
    way = f"\n\nwhat is done is kept; go on with: {resume_line()}" if resumes else ""
    _session.console.error(f"interrupted{way}")
    _session.console.emit({"error": {"type": "Interrupted", "resume": resume_line(), "exit_code": INTERRUPTED}})
    raise typer.Exit(INTERRUPTED) from None


def unexpected(err: Exception) -> NoReturn:
    """Write the traceback to a file and say where; print it only under -v."""
    console = _session.console
    story = "".join(traceback.format_exception(err))
    log = _write_log(story)
    if console.level >= VERBOSE:
        console.error(story.rstrip())
    said = str(err).strip().splitlines()
    console.error(
        f"something broke inside limbeck: {type(err).__name__}{': ' + said[0] if said else ''}\n\n"
        f"the whole story is in {log} (-v prints it); please report it with that file"
    )
    plain = {"type": type(err).__name__, "what": str(err), "log": str(log), "exit_code": INTERNAL}
    console.emit({"error": plain})
    raise typer.Exit(INTERNAL) from None


def _write_log(story: str) -> Path:
    text = f"limbeck {shlex.join(sys.argv[1:])}\n\n{story}"
    folder = _session.folder
    if folder is not None and folder.is_dir():
        try:
            (folder / "error.log").write_text(text, encoding="utf-8")
        except OSError:
            folder = None
        else:
            return folder / "error.log"
    handle, name = tempfile.mkstemp(prefix="limbeck-error-", suffix=".log")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)


def resume_line() -> str:
    """The command that goes on: the one that was given, without --overwrite."""
    return shlex.join(["limbeck", *(part for part in sys.argv[1:] if part != "--overwrite")])
