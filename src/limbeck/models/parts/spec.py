"""The name of a network for rows of parts, parsed and never evaluated.

    parts(text="bag_of_words(dim=32)", numbers="mlp(hidden=[64])", join=64)

A part that is not named gets a network by its kind ("auto"). Parts whose names are no words (dotted ones), or are
settings, stand in a mapping: parts({"offer.title": "text_cnn"}, join=[64, 32]).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from limbeck.core.errors import ConfigError, Problem
from limbeck.core.kinds import suggest

NAME, AUTO = "parts", "auto"
SETTINGS = ("join", "dropout", "vocabulary", "max_length")


@dataclass(frozen=True)
class PartsSpec:
    """What is said of a network of parts: networks by part, layers behind the join, and the tokenizer of all texts."""

    networks: Mapping[str, str] = field(default_factory=dict)
    join: tuple[int, ...] = (64,)
    dropout: float = 0.0
    vocabulary: int = 8000
    max_length: int = 128

    @classmethod
    def parse(cls, text: str) -> PartsSpec:
        """Read the name; raises ConfigError for what is no name, and for unknown settings."""
        wrong = ConfigError(
            f'expected a network such as parts(text="bag_of_words(dim=32)", numbers="mlp(hidden=[64])", join=64), '
            f"got '{text}'",
            "write the network of each part as text behind its name, or parts alone",
        )
        try:
            node = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError):
            raise wrong from None
        if isinstance(node, ast.Name) and node.id in (NAME, AUTO):
            return cls()
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == NAME):
            raise wrong
        networks: dict[str, Any] = {}
        settings: dict[str, Any] = {}
        try:
            for given in node.args:
                networks |= dict(ast.literal_eval(given))
            for keyword in node.keywords:
                if keyword.arg is None:
                    raise wrong
                into = settings if keyword.arg in SETTINGS else networks
                into[keyword.arg] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError):
            raise wrong from None
        return cls._checked({str(name): value for name, value in networks.items()}, settings)

    @classmethod
    def _checked(cls, networks: Mapping[str, Any], settings: Mapping[str, Any]) -> PartsSpec:
        for name, network in networks.items():
            if not isinstance(network, str):
                near = suggest(name, SETTINGS)
                raise ConfigError(
                    f"expected the network of the part '{name}' as text, got {network!r}",
                    near or f'write {name}="mlp(hidden=[64])"; settings are {", ".join(SETTINGS)}',
                )
        found = dict(settings)
        join = found.get("join", (64,))
        found["join"] = (join,) if isinstance(join, int) and join else tuple(join or ())
        layers = all(_whole(size) for size in found["join"])
        share = found.get("dropout", 0.0)
        if not layers or any(not _whole(found[name]) for name in ("vocabulary", "max_length") if name in found):
            raise ConfigError(
                f"expected whole numbers >= 1 in join, vocabulary and max_length of a network of parts, got {settings}",
                "for example join=64, join=[64, 32], or join=0 for none",
            )
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            raise ConfigError(f"expected a dropout from 0 up to 1, got {share!r}", "for example dropout=0.1")
        return cls(dict(networks), **found)

    def written(self) -> str:
        """The same as text, every setting written out: equal networks have equal texts."""
        networks = [f"{name!r}: {text!r}" for name, text in self.networks.items()]
        settings = f"join={list(self.join)}, dropout={float(self.dropout)}, vocabulary={self.vocabulary}"
        return f"{NAME}({{{', '.join(networks)}}}, {settings}, max_length={self.max_length})"


def is_parts(text: Any) -> bool:
    """Whether a text names a network of parts."""
    return isinstance(text, str) and text.partition("(")[0].strip() in (NAME, AUTO) and "|" not in text


def parts_problems(text: str, where: str) -> Iterator[Problem]:
    """What is wrong with the name of a network of parts, as problems of a recipe."""
    try:
        PartsSpec.parse(text)
    except ConfigError as error:
        yield Problem(where, error.what, error.todo)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
