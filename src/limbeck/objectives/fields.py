"""What the fields of an objective may be; every problem of a spec is reported at once."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from limbeck.core.errors import ConfigError, Problem

Unlabelled: TypeAlias = Literal["teacher", "skip"]
UNLABELLED = ("teacher", "skip")
_FROM_ONE = "layers are counted from 1"


class Fields:
    """Gathers the problems of one spec: `Fields(self).number("temperature", above=0).check()`."""

    def __init__(self, spec: Any) -> None:
        self.spec = spec
        self.problems: list[Problem] = []
        self.text("on")

    def number(
        self,
        name: str,
        *,
        low: float | None = None,
        above: float | None = None,
        high: float | None = None,
        below: float | None = None,
        words: Sequence[str] = (),
    ) -> Fields:
        """A finite number between bounds, or one of some words."""
        value = getattr(self.spec, name)
        if isinstance(value, str) and value in words:
            return self
        right = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        bounds = [
            (low, ">=", operator.ge),
            (above, ">", operator.gt),
            (high, "<=", operator.le),
            (below, "<", operator.lt),
        ]
        given = [(sign, limit, holds) for limit, sign, holds in bounds if limit is not None]
        if not (right and all(holds(value, limit) for _, limit, holds in given)):
            wanted = " and ".join(f"{sign} {limit:g}" for sign, limit, _ in given)
            more = "".join(f" or '{word}'" for word in words)
            self.note(name, f"expected a number {wanted}".rstrip() + f"{more}, got {value!r}")
        return self

    def text(self, name: str) -> Fields:
        """A name that is not empty."""
        value = getattr(self.spec, name)
        if not (isinstance(value, str) and value):
            self.note(name, f"expected a name, got {value!r}")
        return self

    def choice(self, name: str, words: Sequence[str]) -> Fields:
        """One of some words."""
        value = getattr(self.spec, name)
        if value not in words:
            self.note(name, f"expected one of {', '.join(repr(word) for word in words)}, got {value!r}")
        return self

    def pair(self, name: str, optional: bool = False) -> Fields:
        """The names of a tap of the student and a tap of the teacher."""
        value = getattr(self.spec, name)
        if optional and value is None:
            return self
        if not _both(value, _is_name):
            self.note(name, f"expected two names of taps, (student, teacher), got {value!r}")
        return self

    def pairs(self, name: str) -> Fields:
        """One or more pairs of tap names."""
        value = getattr(self.spec, name)
        if not (isinstance(value, tuple) and value and all(_both(pair, _is_name) for pair in value)):
            self.note(name, f"expected pairs of names of taps, ((student, teacher), ...), got {value!r}")
        return self

    def layers(self, name: str) -> Fields:
        """The numbers of a layer of the student and a layer of the teacher."""
        value = getattr(self.spec, name)
        if not _both(value, _is_count):
            self.note(name, f"expected two numbers of layers, (student, teacher), got {value!r}", _FROM_ONE)
        return self

    def layer_pairs(self, name: str) -> Fields:
        """One or more pairs of layer numbers."""
        value = getattr(self.spec, name)
        if not (isinstance(value, tuple) and value and all(_both(pair, _is_count) for pair in value)):
            self.note(name, f"expected pairs of numbers of layers, ((student, teacher), ...), got {value!r}", _FROM_ONE)
        return self

    def positive(self, name: str) -> Fields:
        """A whole number of at least 1."""
        value = getattr(self.spec, name)
        if not _is_count(value):
            self.note(name, f"expected a whole number >= 1, got {value!r}")
        return self

    def weights(self, name: str) -> Fields:
        """None, or a tuple of finite numbers >= 0 of which at least one is above 0."""
        value = getattr(self.spec, name)
        if value is None:
            return self
        numbers = isinstance(value, tuple) and all(
            isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each) and each >= 0
            for each in value
        )
        if not (numbers and any(value)):
            self.note(name, f"expected a tuple of numbers >= 0, one for each class, got {value!r}")
        return self

    def ids(self, name: str) -> Fields:
        """None, or two and more distinct ids from 0."""
        value = getattr(self.spec, name)
        whole = isinstance(value, tuple) and all(isinstance(n, int) and n >= 0 for n in value)
        if not whole or len(set(value)) < len(value) or len(value) == 1:
            self.note(name, f"expected distinct ids of two classes or more, or none, got {value!r}")
        return self

    def levels(self, name: str) -> Fields:
        """Rising numbers between 0 and 1."""
        value = getattr(self.spec, name)
        numbers = isinstance(value, tuple) and all(
            isinstance(each, int | float) and not isinstance(each, bool) and 0 < each < 1 for each in value
        )
        if not (numbers and value and sorted(set(value)) == list(value)):
            self.note(name, f"expected rising numbers between 0 and 1, got {value!r}")
        return self

    def note(self, where: str, what: str, todo: str = "") -> None:
        """Note a problem."""
        self.problems.append(Problem(where, what, todo))

    def check(self) -> None:
        """Raise one ConfigError with all problems, if there are any."""
        if self.problems:
            raise ConfigError.of(self.problems, type(self.spec).__name__)


def _both(value: Any, right: Callable[[Any], bool]) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(right(each) for each in value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
