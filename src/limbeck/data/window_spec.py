"""What makes rows of a table of times, as a recipe says it."""

from __future__ import annotations

from dataclasses import dataclass

from limbeck.core.errors import Problem
from limbeck.core.specs import at_least, refuse


@dataclass(frozen=True, kw_only=True)
class WindowSpec:
    """How a table of times becomes rows.

    `target` are the columns that are forecast, `history` and `horizon` numbers of steps, `stride` the steps from one
    window to the next. `inputs` are the columns of the past (all numbers, without it), `time` the column of times,
    which must be in order and evenly spaced.
    """

    target: str | tuple[str, ...]
    history: int
    horizon: int = 1
    stride: int = 1
    inputs: tuple[str, ...] = ()
    time: str | None = None

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        for name in ("history", "horizon", "stride"):
            at_least(problems, self, 1, name)
        refuse(problems, "windows")

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns that are forecast."""
        return (self.target,) if isinstance(self.target, str) else tuple(self.target)
