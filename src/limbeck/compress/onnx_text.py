"""Texts for an exported student: tokens by `tokenizers` alone, rows of like length together: padding costs little."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from limbeck.core.errors import ConfigError, NotInstalled, StoreDamaged
from limbeck.core.files import checksum

Array: TypeAlias = np.ndarray[Any, Any]
Feeds: TypeAlias = dict[str, Array]

CHUNK = 4096  # texts that are encoded at once
BUDGET = 4096  # tokens of one call, with their padding


@dataclass(frozen=True)
class Texts:
    """What makes the inputs of a graph of texts: a tokenizer, the columns that were trained on, names of the inputs."""

    core: Any
    columns: tuple[str, ...]
    inputs: tuple[str, ...]

    @classmethod
    def beside(cls, path: Path, about: str, inputs: Sequence[str]) -> Texts:
        """Read the tokenizer beside a file; `about` is the file's own word on it.

        Raises ConfigError where there is none, StoreDamaged where it is another than the student was trained with.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise NotInstalled(
                "expected the package tokenizers for a student of text, it is not installed",
                "pip install 'limbeck[text]'",
            ) from error
        facts = json.loads(about)
        file = path.parent / "tokenizer" / "tokenizer.json"
        if not file.is_file():
            raise ConfigError(
                f"expected the tokenizer of {path.name} at {file}, there is none",
                "copy the folder `tokenizer` with the file, as `run.export(path)` does",
            )
        if checksum(file) != facts["tokenizer"]:
            raise StoreDamaged(
                f"expected {file} to be the tokenizer that {path.name} was exported with, it is another",
                "copy both from the same export; ids of another tokenizer mean other words",
            )
        return cls(Tokenizer.from_str(file.read_text(encoding="utf-8")), tuple(facts["columns"]), tuple(inputs))

    def rows(self, inputs: Any) -> list[Any]:
        """Raw rows as texts, or as pairs of them; missing ones are empty. Raises ConfigError for what is no text."""
        columns = [_texts(values, name) for name, values in zip(self.columns, self._columns(inputs), strict=True)]
        return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))

    def _columns(self, inputs: Any) -> list[Any]:
        import pandas as pd

        from limbeck.data.frames import pick

        if isinstance(inputs, str):
            raise ConfigError("expected rows of texts, got one text", "give a list: predict([text])")
        listed = list(inputs) if not isinstance(inputs, pd.DataFrame | Mapping) else []
        if isinstance(inputs, pd.DataFrame | Mapping) or (listed and isinstance(listed[0], Mapping)):
            frame = pick(pd.DataFrame(inputs), self.columns, "the inputs")
            return [frame[name] for name in self.columns]
        if len(self.columns) == 1:
            return [listed]
        bad = next((row for row in listed if isinstance(row, str) or len(row) != len(self.columns)), None)
        if bad is not None:
            raise ConfigError(
                f"expected pairs of texts ({', '.join(self.columns)}), got {bad!r}",
                "give a DataFrame with both columns, or a list of pairs",
            )
        return [[row[place] for row in listed] for place in range(len(self.columns))]

    def feeds(self, rows: Sequence[Any]) -> Feeds:
        """The tensors int64 [B, T] that the graph takes of some rows, padded to the longest."""
        return self._padded(self.core.encode_batch(list(rows)))

    def run(self, ask: Callable[[Feeds], list[Array]], inputs: Any, batch: int) -> list[Array]:
        """What a graph says of raw rows, in their order; it is asked for at most `batch` rows at once."""
        rows = self.rows(inputs)
        said: list[list[Array]] = []
        for at in range(0, max(len(rows), 1), CHUNK):
            said.append(self._chunk(ask, rows[at : at + CHUNK], batch))
        return [np.concatenate(parts) for parts in zip(*said, strict=True)]

    def _chunk(self, ask: Callable[[Feeds], list[Array]], rows: list[Any], batch: int) -> list[Array]:
        if not rows:  # a graph is never asked for no rows: not every network can take them
            empty = "" if len(self.columns) == 1 else ("",) * len(self.columns)
            return [values[:0] for values in ask(self.feeds([empty]))]
        encoded = self.core.encode_batch(rows)
        lengths = np.array([len(row) for row in encoded])
        order = np.argsort(-lengths, kind="stable")
        back = np.argsort(order, kind="stable")
        said = [ask(self._padded([encoded[i] for i in part])) for part in _parts(order, lengths, batch)]
        return [np.concatenate(values)[back] for values in zip(*said, strict=True)]

    def _padded(self, encoded: Sequence[Any]) -> Feeds:
        lengths = np.array([len(row) for row in encoded])
        there = np.arange(max(int(lengths.max()), 1)) < lengths[:, None]
        made: Feeds = {"attention_mask": there.astype(np.int64), "input_ids": _spread([e.ids for e in encoded], there)}
        if "token_type_ids" in self.inputs:
            # of single texts every token has segment 0, as in training
            single = len(self.columns) == 1
            types = np.zeros(there.shape, np.int64) if single else _spread([e.type_ids for e in encoded], there)
            made["token_type_ids"] = types
        return {name: made[name] for name in self.inputs}


def _spread(values: Sequence[Sequence[int]], there: Array) -> Array:
    out = np.zeros(there.shape, np.int64)
    out[there] = np.fromiter((value for row in values for value in row), np.int64, int(there.sum()))
    return out


def _parts(order: Array, lengths: Array, batch: int) -> list[Array]:
    parts, start = [], 0
    while start < len(order):
        count = max(1, min(batch, BUDGET // max(int(lengths[order[start]]), 1)))
        parts.append(order[start : start + count])
        start += count
    return parts


def _texts(values: Any, name: str) -> list[str]:
    from limbeck.data.labels import is_missing

    made = []
    for row, value in enumerate(values):
        if not isinstance(value, str) and not is_missing(value):
            raise ConfigError(
                f"expected texts in '{name}', got {type(value).__name__} {str(value)[:40]!r} in row {row}",
                "give texts; a file of numbers is read as numbers, so read that column as text",
            )
        made.append(value if isinstance(value, str) else "")
    return made
