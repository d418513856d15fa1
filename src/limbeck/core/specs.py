"""Typed configuration: standard-library frozen dataclasses, with YAML and -s assignments at the border.

A spec is a frozen dataclass. Its fields are its settings, its defaults stand in the class and nowhere else.
`build` turns a document into one and reports every problem at once, each with its line. What a type cannot say
(bounds, combinations) a spec checks itself in `__post_init__` with a ConfigError; its problems are gathered too.

A class attribute `shorthand` names the field that a plain value fills: `teacher: mlp` is `teacher: {model: mlp}`.
A field with `compare=False` belongs to the object and not to the configuration: never read, never written.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from limbeck.core.errors import ConfigError, Problem
from limbeck.core.kinds import choices, describe, expand, fits, hints, required, shown, specs_in, suggest
from limbeck.core.overrides import override
from limbeck.core.yamltext import Document, Route, dotted, parse_yaml, write_yaml

T = TypeVar("T")

# words that other libraries use, and what they are here
WORDS = {
    "alpha": (
        "'alpha' means opposite things in different libraries (the weight of the teacher's loss, or of cross-entropy)",
        "weights stand in the sum, before the term they weigh: objective: 0.1 * CE + 0.9 * KD(temperature=4)",
    ),
    "soft_weight": ("unknown setting", "weights stand in the objective: 0.1 * CE + 0.9 * KD(temperature=4)"),
    "hard_weight": ("unknown setting", "weights stand in the objective: 0.1 * CE + 0.9 * KD(temperature=4)"),
    "temperature": ("unknown setting", "the temperature stands in the objective: KD(temperature=4)"),
    "loss": ("unknown setting", "the loss is the objective: 0.1 * CE + 0.9 * KD(temperature=4)"),
    "teacher_train": (
        "unknown setting",
        "how a teacher is trained stands with it: teacher: {model: NAME, train: {steps: 2000}}",
    ),
    "lr": ("unknown setting", "it is spelt learning_rate, under train"),
}


def at_least(problems: list[Problem], spec: object, low: float, *names: str, above: bool = False) -> None:
    """Note a problem for every named number of a spec that is below `low` (or not above it); None and text pass."""
    for name in names:
        value = getattr(spec, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not (value > low if above else value >= low):
            problems.append(Problem(name, f"expected a number {'>' if above else '>='} {low:g}, got {value!r}"))


def refuse(problems: Sequence[Problem], source: str) -> None:
    """Raise one ConfigError with all problems, if there are any."""
    if problems:
        raise ConfigError.of(problems, source)


# ---------------------------------------------------------------------------------------------- reading


def build(
    cls: type[T],
    document: Document,
    more: Callable[[T], Iterable[Problem]] | None = None,
    early: Callable[[Mapping[str, Any]], Iterable[Problem]] | None = None,
    **extra: Any,
) -> T:
    """Make a spec of a document; raises ConfigError with all problems.

    `more` finds problems beyond types (files that do not exist), `early` those that show in the plain values even
    where no spec can be made; their `where` is a dotted route.
    `extra` fills fields that are no settings (`compare=False`).
    """
    reader = _Reader(cls, document)
    spec = reader.spec(cls, document.value, (), **extra)
    found = [*document.problems, *reader.problems]
    beyond = list(more(spec)) if spec is not None and more is not None else []
    if early is not None and isinstance(document.value, Mapping):
        beyond += early(document.value)
    found += [reader.placed(p, tuple(_parts(p.where))) for p in beyond]
    refuse(sorted(_unique(found), key=lambda p: (p.line is None, p.line or 0)), document.source)
    assert spec is not None
    return spec


def from_yaml(cls: type[T], text: str, source: str = "the configuration", assignments: Sequence[str] = ()) -> T:
    """Parse text and -s assignments into a spec."""
    return build(cls, override(cls, parse_yaml(text, source), assignments))


def _unique(problems: Iterable[Problem]) -> list[Problem]:
    return list(dict.fromkeys(problems))


def _parts(text: str) -> list[str | int]:
    return [int(part) if part.isdigit() else part for part in text.split(".") if part]


class _Reader:
    """Walks a document beside the types and gathers problems; what is wrong falls back to its default."""

    def __init__(self, root: type, document: Document) -> None:
        self.root = root
        self.document = document
        self.problems: list[Problem] = []
        self.broken = {problem.where for problem in document.problems}  # said already

    def placed(self, problem: Problem, route: Route) -> Problem:
        """A problem with its line, or with the -s that caused it."""
        where = dotted(route) or problem.where
        if self.document.set_by_hand(route):
            where = f"-s {where}"
        line = self.document.line(route)
        if line is None and not route:
            line = problem.line
        return dataclasses.replace(problem, where=where, line=line)

    def note(self, route: Route, what: str, todo: str = "") -> None:
        self.problems.append(self.placed(Problem(dotted(route) or "the file", what, todo), route))

    def spec(self, cls: type[T], raw: Any, route: Route, **extra: Any) -> T | None:
        raw = expand(cls, raw)
        if not isinstance(raw, Mapping):
            self.note(route, f"expected {describe(cls)}, got {shown(raw)}")
            return None
        known = hints(cls)
        for key in raw:
            if key not in known:
                self.note((*route, key), *self.unknown(key, known, route))
        values, whole = {}, True
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            if field.name not in known:
                continue
            if dotted((*route, field.name)) in self.broken:
                whole = whole and not required(field)
                continue
            if field.name in raw:
                count = len(self.problems)
                value = self.value(known[field.name], raw[field.name], (*route, field.name))
                if len(self.problems) == count:
                    values[field.name] = value
                    continue
            elif required(field):
                self.note((*route, field.name), "this setting is missing")
            whole = whole and not required(field)
        return self.made(cls, {**values, **extra}, route) if whole else None

    def made(self, cls: type[T], values: Mapping[str, Any], route: Route) -> T | None:
        try:
            return cls(**values)
        except ConfigError as err:
            for problem in err.problems or (Problem("", err.what, err.todo),):
                self.problems.append(self.placed(problem, (*route, *_parts(problem.where))))
            return None

    def unknown(self, key: str, known: Mapping[str, Any], route: Route) -> tuple[str, str]:
        homes = [dotted(home) for home in _homes(self.root, key) if home != route]
        if key in WORDS and not homes:
            return WORDS[key]
        if homes:
            return "unknown setting here", f"it stands under {homes[0]}" if homes[0] else "it stands at the top"
        return "unknown setting", suggest(key, known) or f"known here: {', '.join(sorted(known))}"

    def value(self, hint: Any, raw: Any, route: Route) -> Any:
        """The value of a field: specs are walked, everything else goes through pydantic."""
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        inner = specs_in(hint)
        if not inner:
            return self.leaf(hint, raw, route)
        if origin in (typing.Union, types.UnionType):
            if raw is None and type(None) in args:
                return None
            plain = [arg for arg in args if not specs_in(arg) and arg is not type(None)]
            if plain and not isinstance(raw, Mapping) and fits(typing.Union[tuple(plain)], raw)[0]:  # noqa: UP007
                return fits(typing.Union[tuple(plain)], raw)[1]  # noqa: UP007
            return self.value(next(arg for arg in args if specs_in(arg)), raw, route)
        if origin is tuple:
            entries = raw if isinstance(raw, list | tuple) else [raw]
            return tuple(self.value(args[0], entry, (*route, n)) for n, entry in enumerate(entries))
        if origin is not None and issubclass(origin, Mapping):
            if not isinstance(raw, Mapping):
                self.note(route, f"expected {describe(hint)}, got {shown(raw)}")
                return None
            return {key: self.value(args[1], entry, (*route, key)) for key, entry in raw.items()}
        return self.spec(hint, raw, route)

    def leaf(self, hint: Any, raw: Any, route: Route) -> Any:
        right, value = fits(hint, raw)
        if not right:
            near = suggest(raw, choices(hint)) if isinstance(raw, str) else ""
            self.note(route, f"expected {describe(hint)}, got {shown(raw)}", near)
        return value


def _homes(cls: type, key: str, route: Route = ()) -> list[Route]:
    """The sections in which a key is known."""
    known = hints(cls)
    found: list[Route] = [route] if key in known else []
    for name, hint in known.items():
        for inner in specs_in(hint):
            found += _homes(inner, key, (*route, name))
    return found


# ---------------------------------------------------------------------------------------------- writing


def to_plain(value: Any) -> Any:
    """A spec as plain data (mappings, lists, text, numbers) that `build` turns back into an equal one."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.compare}
    if isinstance(value, Mapping):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(entry) for entry in value]
    if isinstance(value, Path):
        return value.as_posix()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(
        f"expected plain values in a spec, got {type(value).__name__}",
        "a recipe holds numbers, text, lists and mappings only; hand objects to lb.distill",
    )


def without_defaults(value: Any) -> Any:
    """As `to_plain`, without the settings that have their default."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return [without_defaults(entry) for entry in value] if isinstance(value, tuple | list) else to_plain(value)
    out = {}
    for field in dataclasses.fields(value):
        own = getattr(value, field.name)
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        if field.compare and own != default:
            out[field.name] = without_defaults(own)
    return out


def dump_yaml(spec: Any, *, defaults: bool = True, comments: Mapping[str, str] | None = None) -> str:
    """Write a spec as YAML; reading it gives an equal spec."""
    return write_yaml(to_plain(spec) if defaults else without_defaults(spec), comments)


def fingerprint(value: Any) -> str:
    """A 128-bit hash of a spec or of plain data, equal where the values are equal (32 hex digits)."""
    import xxhash

    text = json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return xxhash.xxh3_128_hexdigest(text.encode())


def differences(old: Any, new: Any, route: Route = ()) -> list[str]:
    """The settings in which two plain values differ, as "train.steps: 100 -> 200"."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = list(dict.fromkeys([*old, *new]))
        return [line for key in keys for line in differences(old.get(key), new.get(key), (*route, key))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for n, (left, right) in pairs for line in differences(left, right, (*route, n))]
    if json.dumps(old) == json.dumps(new):
        return []
    return [f"{dotted(route) or 'value'}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
