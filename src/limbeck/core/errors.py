"""Every error that limbeck raises on purpose.

    LimbeckError
    ├── ConfigError      a recipe, a call or a file of the user is wrong            (exit code 2)
    ├── MissingSignal    a loss asks for something that a model or store has not    (exit code 2)
    ├── ShapeMismatch    two things that must fit do not                            (exit code 2)
    ├── StoreMismatch    a transfer set or run of another identity                  (exit code 2)
    ├── StoreDamaged     bytes on disk are not the bytes that were written          (exit code 2)
    ├── NotInstalled     an optional package is missing                             (exit code 6)
    ├── NotSupported     limbeck cannot do this, and says what it can               (exit code 2)
    ├── ChecksFailed     a check of grade "issue" fired                             (exit code 3)
    └── BudgetReached    a budget ended the work; the run folder resumes            (exit code 5)

A message is one lowercase sentence with what was expected and what came, a blank line, then what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class LimbeckError(Exception):
    """Base of every deliberate error; `what` is the sentence, `todo` the way out."""

    exit_code = 2

    def __init__(self, what: str, todo: str = "") -> None:
        self.what = what
        self.todo = todo
        super().__init__(f"{what}\n\n{todo}" if todo else what)

    def __reduce__(self) -> tuple[type[LimbeckError], tuple[str, str]]:
        return type(self), (self.what, self.todo)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a configuration: where it stands, what is wrong and what to do."""

    where: str
    what: str
    todo: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}  " if self.line is not None else ""
        tail = f"; {self.todo}" if self.todo else ""
        return f"{place}{self.where}: {self.what}{tail}"


class ConfigError(LimbeckError):
    """A recipe, an argument or a user's file is wrong; carries all problems found, not only the first."""

    def __init__(self, what: str, todo: str = "", problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__(what, todo)

    @classmethod
    def of(cls, problems: Sequence[Problem], source: str = "the configuration") -> ConfigError:
        """Build one error that lists every problem once."""
        problems = list(dict.fromkeys(problems))
        count = len(problems)
        head = f"{source} has {count} problem{'s' if count != 1 else ''}"
        return cls(head, "\n".join(f"  {p}" for p in problems), problems)

    def __reduce__(self) -> tuple[type[LimbeckError], tuple[str, str]]:
        return type(self), (self.what, self.todo)


class MissingSignal(LimbeckError):
    """A loss needs an output, a tap or an attention map that its model or store does not give."""


class ShapeMismatch(LimbeckError):
    """Two tensors, tables or tasks that must fit one another do not."""


class StoreMismatch(LimbeckError):
    """A transfer set or run folder belongs to another teacher, data set or recipe."""


class StoreDamaged(LimbeckError):
    """Bytes on disk differ from those that were committed."""


class NotInstalled(LimbeckError):
    """An optional package is missing; the message holds the pip line."""

    exit_code = 6


class NotSupported(LimbeckError):
    """limbeck cannot do this."""


class ChecksFailed(LimbeckError):
    """At least one check of grade "issue" fired."""

    exit_code = 3


class BudgetReached(LimbeckError):
    """A budget of time, money or requests ended the work; what is done is kept and the run resumes."""

    exit_code = 5
