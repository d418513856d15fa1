"""`-s key.path=value`: assignments from the command line, laid over a document."""

from __future__ import annotations

import copy
import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from limbeck.core.errors import ConfigError, Problem
from limbeck.core.kinds import expand, hints
from limbeck.core.yamltext import Document, Route, parse_yaml


def override(cls: type, document: Document, assignments: Sequence[str]) -> Document:
    """Lay `key.path=value` assignments (values are YAML) over a document; raises ConfigError with all problems."""
    value = copy.deepcopy(document.value)
    problems: list[Problem] = []
    given: list[Route] = []
    for text in assignments:
        try:
            route, entry = _parse(text)
            value, placed = _put(cls, value, route, entry, ())
        except _Refused as err:
            problems.append(Problem(f"-s {text}", err.what, err.todo))
            continue
        given.append(placed)
    if problems:
        raise ConfigError.of(problems, "the command line")
    return dataclasses.replace(document, value=value, given=document.given | frozenset(given))


def assign(cls: type, document: Document, changes: Mapping[str, Any]) -> Document:
    """Set dotted keys of a document to plain values; raises ConfigError with all problems."""
    value = copy.deepcopy(document.value)
    problems: list[Problem] = []
    for key, entry in changes.items():
        try:
            value, _ = _put(cls, value, _route(key), entry, ())
        except _Refused as err:
            problems.append(Problem(key, err.what, err.todo))
    if problems:
        raise ConfigError.of(problems, document.source)
    return dataclasses.replace(document, value=value)


class _Refused(Exception):
    def __init__(self, what: str, todo: str = "") -> None:
        self.what, self.todo = what, todo
        super().__init__(what)


def _parse(text: str) -> tuple[Route, Any]:
    key, equals, raw = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise _Refused("expected key.path=value", "for example -s train.steps=200")
    try:
        document = parse_yaml(raw.strip() or "null", "the value")
    except ConfigError:
        document = Document(raw.strip())  # a text with brackets or colons, as in objectives, needs no quotes
    if document.problems:
        document = Document(raw.strip())
    return _route(key), document.value


def _route(key: str) -> Route:
    return tuple(int(part) if part.isdigit() else part for part in (part.strip() for part in key.split(".")))


def _put(hint: Any, raw: Any, route: Route, entry: Any, done: Route) -> tuple[Any, Route]:
    """Put `entry` at `route` below `raw`, whose type is `hint`; give the new value and the route it has."""
    if not route:
        return entry, done
    hint, many = _inner(hint)
    if many and isinstance(hint, type):
        raw = raw if isinstance(raw, list) else [] if raw is None else [raw]
        if not isinstance(route[0], int):
            if len(raw) > 1:
                raise _Refused(f"there are {len(raw)} entries here", "name one by its number, from 0")
            route = (0, *route)
    if isinstance(hint, type) and not isinstance(raw, list):
        raw = expand(hint, raw)
    head, rest = route[0], route[1:]
    if isinstance(raw, list):
        if not isinstance(head, int) or head > len(raw):
            raise _Refused(f"expected the number of an entry, 0 to {max(len(raw) - 1, 0)}, got {head!r}")
        raw = [*raw, None] if head == len(raw) else list(raw)
        raw[head], placed = _put(hint, raw[head], rest, entry, (*done, head))
        return raw, placed
    if raw is not None and not isinstance(raw, Mapping):
        raise _Refused(f"'{'.'.join(map(str, done))}' is a single value ({raw!r}), nothing stands under it")
    below = hints(hint).get(str(head)) if isinstance(hint, type) else None
    changed = dict(raw or {})
    changed[str(head)], placed = _put(below, changed.get(str(head)), rest, entry, (*done, str(head)))
    return changed, placed


def _inner(hint: Any) -> tuple[Any, bool]:
    """The spec class inside a type, if there is one, and whether it is a list of them."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint, False
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and args:
        return _inner(args[0])[0], True
    if origin in (typing.Union, types.UnionType):
        found = [_inner(arg) for arg in args]
        return next(((cls, many) for cls, many in found if cls is not None), (None, False))
    return None, False
