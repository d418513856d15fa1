"""The card of a loss: paper, needs, formula, zero, defaults and pitfalls, read from its docstring.

It stands in the class where a file holds several losses, else at the top of the file. Tables and pages come from it.
"""

from __future__ import annotations

import inspect
import re
import sys

from limbeck.core.errors import ConfigError

FIELDS = ("Paper", "Needs", "Formula", "Zero at", "Defaults", "Pitfalls")
_LINE = re.compile(rf"^({'|'.join(FIELDS)})\s{{2,}}(\S.*)$")


def card(cls: type) -> dict[str, str]:
    """The card of an objective: one entry for each of `FIELDS`; raises ConfigError where one is missing."""
    found = read_card(inspect.getdoc(cls) or "")
    if not found:
        found = read_card(sys.modules[cls.__module__].__doc__ or "")
    missing = [name for name in FIELDS if name not in found]
    if missing:
        raise ConfigError(
            f"expected a card with {', '.join(FIELDS)} in the docstring of {cls.__name__}, without: "
            f"{', '.join(missing)}",
            "write it like the one in limbeck/objectives/response/kd.py",
        )
    return found


def read_card(text: str) -> dict[str, str]:
    """The fields of a card in a docstring; lines that go on are joined."""
    found: dict[str, str] = {}
    current = ""
    for line in inspect.cleandoc(text).splitlines():
        start = _LINE.match(line)
        if start:
            current = start[1]
            found[current] = start[2].strip()
        elif current and line.startswith("   "):
            found[current] += " " + line.strip()
        else:
            current = ""
    return found
