"""The one registry: kinds of parts, each a table of names to "module:attribute" that are loaded on demand.

    students = Catalog("student", {"mlp": "limbeck.models.zoo:mlp"})
    students.load("mlp")

A package may add names through the entry points of the group `limbeck.<kind>s`; built-in names win.
A name with a colon ("my_pkg.mod:make") is an import path and needs no registration.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from limbeck.core.errors import ConfigError, NotInstalled
from limbeck.core.kinds import suggest


@dataclass(frozen=True)
class Entry:
    """One name of a catalog: where it is loaded from and which package brought it."""

    name: str
    target: str
    package: str = "limbeck"
    summary: str = ""


@dataclass(frozen=True)
class Catalog:
    """A table of names for one kind of part ("student", "objective", "metric")."""

    kind: str
    builtin: Mapping[str, str]
    summaries: Mapping[str, str] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The entry-point group that other packages use."""
        return f"limbeck.{self.kind}s"

    def entries(self) -> dict[str, Entry]:
        """All names, sorted: the built-in ones and those of installed packages."""
        found = {entry.name: entry for entry in _installed(self.group)}
        for name, target in self.builtin.items():
            found[name] = Entry(name, target, summary=self.summaries.get(name, ""))
        return dict(sorted(found.items()))

    def names(self) -> list[str]:
        """All names, sorted."""
        return list(self.entries())

    def __contains__(self, name: object) -> bool:
        return name in self.builtin or name in self.entries()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def load(self, name: str) -> Any:
        """The object behind a name or an import path; raises ConfigError with "did you mean"."""
        if ":" in name:
            return load_path(name)
        target = self.builtin.get(name)
        if target is None:
            entry = self.entries().get(name)
            if entry is None:
                raise self.unknown(name)
            target = entry.target
        return load_path(target)

    def unknown(self, name: str) -> ConfigError:
        """The error for a name that is not there."""
        near = suggest(name, self.names())
        known = f"known: {', '.join(self.names())}; or give an import path such as my_package.module:name"
        return ConfigError(f"expected the name of a {self.kind}, got '{name}'", f"{near}\n{known}" if near else known)


def load_path(path: str) -> Any:
    """Import "package.module:attribute"; raises ConfigError (NotInstalled where a package is missing)."""
    module_name, colon, attribute = path.partition(":")
    if not (colon and module_name and attribute):
        raise ConfigError(f"expected an import path such as my_package.module:name, got '{path}'")
    try:
        value = importlib.import_module(module_name)
    except ModuleNotFoundError as err:
        raise _missing(path, module_name, err) from err
    for part in attribute.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            near = suggest(part, [name for name in dir(value) if not name.startswith("_")])
            raise ConfigError(f"expected '{part}' in {module_name} for '{path}', it is not there", near) from None
    return value


def _missing(path: str, module_name: str, err: ModuleNotFoundError) -> ConfigError | NotInstalled:
    missing = err.name or module_name
    if module_name == missing or module_name.startswith(missing + "."):
        return ConfigError(
            f"cannot import {module_name} for '{path}': there is no module '{missing}'",
            "run from the folder that holds it, or put that folder on PYTHONPATH",
        )
    return NotInstalled(
        f"{module_name} needs the package '{missing}', which is not installed", f"pip install {missing}"
    )


def _installed(group: str) -> list[Entry]:
    from importlib.metadata import entry_points

    return [
        Entry(point.name, point.value, point.dist.name if point.dist else "?") for point in entry_points(group=group)
    ]


def require(module: str, purpose: str, package: str = "") -> Any:
    """Import an optional package for a purpose ("reading Parquet"); raises NotInstalled with the pip line."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as err:
        if err.name is not None and err.name.split(".")[0] != module.split(".")[0]:
            raise
        name = package or module.split(".")[0]
        raise NotInstalled(
            f"{purpose} needs the package '{name}', which is not installed", f"pip install {name}"
        ) from None
