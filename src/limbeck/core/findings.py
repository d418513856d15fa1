"""What a check found: a stable code, how grave it is, what was measured, why it matters, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from limbeck.core.errors import ConfigError

GRADES = ("note", "tip", "issue")  # rising; an issue ends a command with exit code 3


@dataclass(frozen=True)
class Finding:
    """One finding of a check.

    `code` is stable ("LB101"), `grade` is "issue" (the claim would not hold), "tip" (worth a change) or
    "note" (said so that nothing happens silently). `data` holds the figures behind `measured`, JSON-able.
    Raises ConfigError for another grade.
    """

    code: str
    grade: str
    title: str
    measured: str
    why: str
    todo: str
    data: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.grade not in GRADES:
            raise ConfigError(
                f"expected the grade of finding {self.code} to be one of {', '.join(GRADES)}, got '{self.grade}'",
                "use 'issue' only where the claim of the run would not hold",
            )

    def __str__(self) -> str:
        return f"{self.code} {self.grade}: {self.title}: {self.measured}"

    def to_json(self) -> dict[str, Any]:
        """The finding as plain data."""
        return {
            "code": self.code, "grade": self.grade, "title": self.title, "measured": self.measured,
            "why": self.why, "todo": self.todo, "data": dict(self.data),
        }  # fmt: skip

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Finding:
        """The finding that `to_json` wrote."""
        return cls(**plain)


def worst(findings: Iterable[Finding]) -> str | None:
    """The gravest grade among the findings, None where there are none."""
    grades = {finding.grade for finding in findings}
    return max(grades, key=GRADES.index) if grades else None
