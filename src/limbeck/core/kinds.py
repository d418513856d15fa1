"""Types in the words of a user, and whether a plain value is of one."""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any


def suggest(word: str, known: Iterable[str]) -> str:
    """A "did you mean" for a misspelt word, or "" where nothing is near."""
    names = [str(name) for name in known]
    lowered = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return f"did you mean '{lowered[near[0]]}'?" if near else ""


def hints(cls: Any) -> dict[str, Any]:
    """Field name -> resolved type, for the fields that are settings."""
    resolved = _resolved(cls)
    return {f.name: resolved[f.name] for f in dataclasses.fields(cls) if f.compare}


@lru_cache(maxsize=256)
def _resolved(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def required(field: dataclasses.Field[Any]) -> bool:
    """Whether a field has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def specs_in(hint: Any) -> list[type]:
    """The spec classes inside a type."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return [hint]
    return [cls for arg in typing.get_args(hint) for cls in specs_in(arg)]


def expand(cls: type, raw: Any) -> Any:
    """Write a shorthand out: a plain value becomes the mapping that it stands for; nothing becomes {}."""
    short = getattr(cls, "shorthand", None)
    if raw is None:
        return {}
    if short is not None and not isinstance(raw, Mapping | list):
        return {short: raw}
    return raw


@lru_cache(maxsize=512)
def _adapter(hint: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True))


def fits(hint: Any, raw: Any) -> tuple[bool, Any]:
    """Whether a plain value is of a type, and the value; JSON mode is strict, but knows lists as tuples.

    Two kindnesses: a whole float counts as an integer (1e3 steps), a single text as a list of one.
    """
    from pydantic import ValidationError

    candidates = [raw]
    if isinstance(raw, float) and raw.is_integer():
        candidates.append(int(raw))
    if isinstance(raw, str | int):
        candidates.append([raw])
    for candidate in candidates:
        try:
            return True, _adapter(hint).validate_json(json.dumps(candidate))
        except ValidationError:
            continue
        except TypeError:
            return False, None
    return False, None


def choices(hint: Any) -> list[str]:
    """The words that a type allows, where it is a choice."""
    if typing.get_origin(hint) is typing.Literal:
        return [str(choice) for choice in typing.get_args(hint)]
    return [choice for arg in typing.get_args(hint) for choice in choices(arg)]


_NAMES = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path", Any: "anything",
    type(None): "null", dict: "a mapping", list: "a list",
}  # fmt: skip


def describe(hint: Any) -> str:
    """A type in the words of a user: "a whole number", "one of adam, sgd", "a list of text"."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return f"a mapping of settings ({', '.join(list(hints(hint))[:4])}, ...)"
    if hint in _NAMES:
        return _NAMES[hint]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return f"{'one of ' if len(args) > 1 else ''}{', '.join(str(arg) for arg in args)}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe(arg) for arg in args))
    if origin is typing.Annotated:
        return describe(args[0])
    if origin in (tuple, list):
        return f"a list of {describe(args[0])}" if args else "a list"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping of names to {describe(args[1])}"
    return getattr(hint, "__name__", str(hint))


def shown(raw: Any) -> str:
    """A wrong value with its kind, in the words of a user."""
    if isinstance(raw, Mapping):
        return f"a mapping ({', '.join(str(key) for key in list(raw)[:3])})"
    if isinstance(raw, list | tuple):
        return f"a list of {len(raw)}"
    if raw is None or isinstance(raw, bool):
        return json.dumps(raw)
    text = repr(raw)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({_NAMES.get(type(raw), type(raw).__name__)})"
