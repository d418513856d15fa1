"""Views of rows of parts: each part that is named has a view of its own, the others stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from limbeck.core.errors import ConfigError, LimbeckError
from limbeck.core.kinds import suggest
from limbeck.core.parts import Parts
from limbeck.core.specs import fingerprint as hash_of
from limbeck.data.rows import Array, Rows
from limbeck.data.views import View, view_of


@dataclass(frozen=True)
class PartViews:
    """A view for each of some parts, counted alike."""

    views: Mapping[str, View]

    @property
    def fingerprint(self) -> str:
        """A hash of all of them."""
        return hash_of({name: view.fingerprint for name, view in self.views.items()})

    def describe(self) -> str:
        """The views in words."""
        return ", ".join(f"{name}: {view.describe()}" for name, view in self.views.items())

    def __call__(self, inputs: Any, keys: Array, views: Array) -> Any:
        """Rows [B, ...] with keys [B, 2] under views [B]."""

        def changed(name: str, part: Any) -> Any:
            return self.views[name](part, keys, views) if name in self.views else part

        return inputs.map(changed)


def part_views(given: Any, seed: int, train: Rows) -> View | None:
    """Views of the parts of rows from a mapping of parts to views; raises ConfigError for anything else."""
    parts = train.inputs
    assert isinstance(parts, Parts)
    if given is None or isinstance(given, PartViews):
        return given
    names = parts.names
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(
            f"expected a view for each part that has one, got {given!r}",
            f"for example view: {{{names[0]}: ...}}; the parts are {', '.join(names)}",
        )
    if unknown := [str(name) for name in given if name not in names]:
        near = suggest(unknown[0], names)
        raise ConfigError(f"expected views of the parts {', '.join(names)}, got one of '{unknown[0]}'", near)
    made: dict[str, View] = {}
    for name, each in given.items():
        part = replace(train, kind=parts.kinds[name], inputs=parts[name])
        try:
            view = view_of(each, part.kind, seed, part)
        except LimbeckError as err:
            raise ConfigError(f"part '{name}': {err.what}", err.todo) from err
        if view is not None:
            made[str(name)] = view
    return PartViews(made)
