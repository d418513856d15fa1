"""Factories of modules, called with what they ask for by name."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping

from torch import nn

from limbeck.core.errors import ConfigError


def caller(
    factory: Callable[..., nn.Module], in_shape: tuple[int, ...] | Mapping[str, tuple[int, ...]],
    out_sizes: Mapping[str, int],
) -> Callable[[], nn.Module]:  # fmt: skip
    """Call a factory with what it asks for by name: in_shape and out_sizes, or nothing."""
    if isinstance(factory, nn.Module):
        return lambda: copy.deepcopy(factory)
    if not callable(factory):
        raise ConfigError(f"expected a function that makes a student, got {type(factory).__name__}")
    given = {"in_shape": in_shape, "out_sizes": dict(out_sizes)}
    parameters = inspect.signature(factory).parameters
    asked = {name: value for name, value in given.items() if name in parameters}
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.kind not in free]
    if missing := [name for name in needed if name not in asked]:
        raise ConfigError(
            f"expected a student factory that takes in_shape and out_sizes or nothing, it needs {', '.join(missing)}",
            "bind them first, for example with functools.partial or a lambda",
        )
    return lambda: factory(**asked)
