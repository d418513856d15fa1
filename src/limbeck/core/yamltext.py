"""YAML as data: text in, plain values with their line numbers out, and nothing is ever executed.

Plain data only: no tags, no anchors or aliases, no merge keys, no interpolation, one document. Dates stay text.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from limbeck.core.errors import ConfigError, Problem

Route: TypeAlias = tuple[str | int, ...]  # ("train", "steps"), ("teacher", 0, "weight")

_PLAIN = "tag:yaml.org,2002:"
_SCALARS = {"int", "float", "bool", "null", "str", "timestamp"}


@dataclass(frozen=True)
class Document:
    """A parsed file: its value, the line of every route in it, its name, and the routes set by -s."""

    value: Any
    lines: Mapping[Route, int] = field(default_factory=dict)
    source: str = "the configuration"
    given: frozenset[Route] = frozenset()
    problems: tuple[Problem, ...] = ()

    def line(self, route: Route) -> int | None:
        """The line (from 1) of a route, or of the nearest section around it."""
        if self.set_by_hand(route):
            return None
        while route:
            if route in self.lines:
                return self.lines[route]
            route = route[:-1]
        return None

    def set_by_hand(self, route: Route) -> bool:
        """Whether a -s assignment set this route or a section around it."""
        return any(route[: len(own)] == own for own in self.given)


def dotted(route: Route) -> str:
    """Spell a route as users write it: train.steps, teacher.0.weight."""
    return ".".join(str(part) for part in route)


def read_yaml(path: str | Path) -> Document:
    """Read a file; raises ConfigError with every problem of its syntax."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"expected a recipe at {path}, there is no such file", _near(path)) from None
    except IsADirectoryError:
        raise ConfigError(f"expected a recipe file, {path} is a folder", _near(path / "recipe.yaml")) from None
    except UnicodeDecodeError as err:
        raise ConfigError(f"expected {path} to be UTF-8 text, byte {err.start} is not", "save it as UTF-8") from None
    return parse_yaml(text, str(path))


def _near(path: Path) -> str:
    folder = path.parent
    found = sorted(p.name for p in folder.glob("*.y*ml"))[:5] if folder.is_dir() else []
    if found:
        return f"there is {', '.join(str(folder / name) for name in found)}"
    return "`limbeck init NAME --data FILE` writes one"


def parse_yaml(text: str, source: str = "the configuration") -> Document:
    """Parse text; raises ConfigError where the syntax is broken, keeps other problems in the document."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    text = text.removeprefix("\ufeff")
    try:
        node = YAML(typ="safe", pure=True).compose(io.StringIO(text))
    except MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        line = mark.line + 1 if mark is not None else None
        raise ConfigError.of([_syntax(str(err.problem), line, text)], source) from None
    except YAMLError as err:
        raise ConfigError.of([Problem("syntax", f"this is not YAML: {str(err).splitlines()[0]}")], source) from None
    if node is None:
        return Document({}, source=source)
    walk = _Walk()
    value = walk.value(node, ())
    return Document(value, walk.lines, source, problems=tuple(walk.problems))


def _syntax(problem: str, line: int | None, text: str) -> Problem:
    if "'\\t'" in problem:
        return Problem("syntax", "a tab stands where YAML wants spaces", "indent with spaces", line)
    if "mapping values are not allowed" in problem:
        return Problem("syntax", "a second ': ' stands on one line", "put the text in quotes", line)
    if "another document" in problem:
        return Problem("syntax", "a second document begins ('---')", "keep one document in a file", line)
    if "undefined alias" in problem:
        return Problem("syntax", problem.replace("found ", ""), "put a text that begins with * in quotes", line)
    if "stream end" in problem or "end of stream" in problem:
        return Problem("syntax", "a bracket or quote that opens here is never closed", "close it", line)
    return Problem("syntax", f"this is not YAML: {problem}", "", line)


class _Walk:
    """Turns a node tree into plain values, and gathers lines and problems on the way."""

    def __init__(self) -> None:
        self.lines: dict[Route, int] = {}
        self.problems: list[Problem] = []
        self._seen: set[int] = set()

    def value(self, node: Any, route: Route) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(route, line)
        if id(node) in self._seen:
            self._problem(route, "an alias (*name) is not plain data", "write the value out", self.lines[route])
            return None
        self._seen.add(id(node))
        kind = str(node.tag).removeprefix(_PLAIN)
        if isinstance(node.value, str):
            return self._scalar(node, kind, route, line)
        if kind == "seq":
            return [self.value(child, (*route, n)) for n, child in enumerate(node.value)]
        if kind == "map":
            return self._mapping(node, route)
        self._problem(route, f"the tag {node.tag} is refused: a recipe is data only", "take the tag off", line)
        return None

    def _mapping(self, node: Any, route: Route) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, child in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node.value, str):
                self._problem(route, "a key must be a single word", "", line)
                continue
            key = key_node.value
            here = (*route, key)
            if key == "<<":
                self._problem(here, "merge keys are not plain data", "write the values out", line)
            elif key in out:
                first = self.lines[here]
                self._problem(here, f"the key stands twice, first on line {first}", "keep one of them", line)
            else:
                self.lines[here] = line
                out[key] = self.value(child, here)
        return out

    def _scalar(self, node: Any, kind: str, route: Route, line: int) -> Any:
        if kind not in _SCALARS:
            self._problem(route, f"the tag {node.tag} is refused: a recipe is data only", "take the tag off", line)
            return None
        try:
            return scalar(kind, node.value)
        except ValueError:
            self._problem(route, f"cannot read {node.value!r} as {kind}", "put text in quotes", line)
            return None

    def _problem(self, route: Route, what: str, todo: str, line: int) -> None:
        self.problems.append(Problem(dotted(route) or "the file", what, todo, line))


def scalar(kind: str, text: str) -> Any:
    """The plain value of a YAML 1.2 scalar; raises ValueError where the text does not fit its kind."""
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text.replace("_", ""), 0) if text.lstrip("+-")[:2].lower() in ("0x", "0o", "0b") else _decimal(text)
    if kind == "float":
        lowered = text.replace("_", "").lower()
        return float(lowered.replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _decimal(text: str) -> int:
    return int(text.replace("_", ""), 10)


def write_yaml(value: Any, comments: Mapping[str, str] | None = None) -> str:
    """Write plain values as YAML in block style, keys in their order; `comments` stand above top-level keys."""
    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 110
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False
    out = io.StringIO()
    if isinstance(value, Mapping) and value and comments:
        for key, entry in value.items():
            if key in comments:
                out.write("".join(f"# {line}\n" for line in comments[key].splitlines()))
            yaml.dump({key: entry}, out)
    else:
        yaml.dump(value, out)
    return out.getvalue()
