"""Texts for an exported student: tokens by `tokenizers` alone, rows of like length together: padding costs little."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from limbeck.compress.onnx_rows import text_rows, word_rows
from limbeck.core.errors import ConfigError, NotInstalled, StoreDamaged
from limbeck.core.files import checksum

Array: TypeAlias = np.ndarray[Any, Any]
Feeds: TypeAlias = dict[str, Array]

CHUNK = 4096  # texts that are encoded at once
BUDGET = 4096  # tokens of one call, with their padding
STARTS = "word_starts"  # the input of a graph that answers for words


@dataclass(frozen=True)
class Texts:
    """What makes the inputs of a graph of texts: a tokenizer, the columns that were trained on, names of the inputs.

    `apart` is said of a graph that embeds one text: the texts of a pair go through it by themselves, each behind the
    `prompt`.
    """

    core: Any
    columns: tuple[str, ...]
    inputs: tuple[str, ...]
    apart: bool = False
    prompt: str = ""

    @classmethod
    def beside(cls, path: Path, about: str, inputs: Sequence[str], columns: tuple[str, ...] | None = None) -> Texts:
        """Read the tokenizer beside a file; `about` is the file's own word on it, `columns` those of one of its parts.

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
        core = Tokenizer.from_str(file.read_text(encoding="utf-8"))
        apart, prompt = facts.get("apart", False), facts.get("prompt", "")
        return cls(core, tuple(facts["columns"]) if columns is None else columns, tuple(inputs), apart, prompt)

    @property
    def words(self) -> bool:
        """Whether rows are lists of words."""
        return STARTS in self.inputs

    def rows(self, inputs: Any) -> list[Any]:
        """Raw rows as texts, pairs of them, or tuples of words. Raises ConfigError for what is none of these."""
        return word_rows(inputs, self.columns[0]) if self.words else text_rows(inputs, self.columns)

    def feeds(self, rows: Sequence[Any]) -> Feeds:
        """The tensors int64 [B, T] that the graph takes of some rows, padded to the longest.

        Where texts of pairs go apart, all first ones come before all second ones.
        """
        rows = self._parts_of(rows)
        return self._padded(self._encoded(rows), rows)

    def run(self, ask: Callable[[Feeds], list[Array]], inputs: Any, batch: int) -> list[Array]:
        """What a graph says of raw rows, in their order; it is asked for at most `batch` rows at once."""
        return self.over(ask, self._parts_of(self.rows(inputs)), batch)

    def over(self, ask: Callable[[Feeds], list[Array]], rows: list[Any], batch: int) -> list[Array]:
        """The same of rows as the graph reads them; answers for words [B, W, ...] are padded to the longest row."""
        said: list[list[Array]] = []
        for at in range(0, max(len(rows), 1), CHUNK):
            said.append(self._chunk(ask, rows[at : at + CHUNK], batch))
        return [_joined(parts) for parts in zip(*said, strict=True)]

    def _parts_of(self, rows: Sequence[Any]) -> list[Any]:
        if not self.apart or len(self.columns) == 1:
            return list(rows)
        return [row[place] for place in range(len(self.columns)) for row in rows]

    def _chunk(self, ask: Callable[[Feeds], list[Array]], rows: list[Any], batch: int) -> list[Array]:
        if not rows:  # a graph is never asked for no rows: not every network can take them
            single = self.apart or len(self.columns) == 1
            empty: list[Any] = ["" if single and not self.words else ("",) * len(self.columns)]
            return [values[:0] for values in ask(self._padded(self._encoded(empty), empty))]
        encoded = self._encoded(rows)
        lengths = np.array([len(row) for row in encoded])
        order = np.argsort(-lengths, kind="stable")
        back = np.argsort(order, kind="stable")
        said = [
            ask(self._padded([encoded[i] for i in part], [rows[i] for i in part]))
            for part in _parts(order, lengths, batch)
        ]
        return [_joined(values)[back] for values in zip(*said, strict=True)]

    def _encoded(self, rows: Sequence[Any]) -> list[Any]:
        if self.words:
            return list(self.core.encode_batch([" ".join(row) for row in rows]))
        return list(self.core.encode_batch([f"{self.prompt}{row}" for row in rows] if self.prompt else list(rows)))

    def _padded(self, encoded: Sequence[Any], rows: Sequence[Any]) -> Feeds:
        lengths = np.array([len(row) for row in encoded], dtype=np.int64)
        there = np.arange(max(int(lengths.max(initial=1)), 1)) < lengths[:, None]
        made: Feeds = {"attention_mask": there.astype(np.int64), "input_ids": _spread([e.ids for e in encoded], there)}
        if "token_type_ids" in self.inputs:
            # of single texts every token has segment 0, as in training
            single = len(self.columns) == 1
            types = np.zeros(there.shape, np.int64) if single else _spread([e.type_ids for e in encoded], there)
            made["token_type_ids"] = types
        if self.words:
            from limbeck.models.text.starts import first_tokens

            made[STARTS] = _spread(first_tokens(rows, [e.offsets for e in encoded]), there)
        return {name: made[name] for name in self.inputs}


def _spread(values: Sequence[Any], there: Array) -> Array:
    out = np.zeros(there.shape, np.int64)
    out[there] = np.fromiter((value for row in values for value in row), np.int64, int(there.sum()))
    return out


def _joined(parts: Sequence[Array]) -> Array:
    """Rows of several calls as one array; those with words are padded with zeros to the longest."""
    longest = max(part.shape[1] for part in parts) if parts[0].ndim > 1 else 0
    if longest and any(part.shape[1] < longest for part in parts):
        rest = [(0, 0)] * (parts[0].ndim - 2)
        parts = [np.pad(part, [(0, 0), (0, longest - part.shape[1]), *rest]) for part in parts]
    return np.concatenate(parts)


def _parts(order: Array, lengths: Array, batch: int) -> list[Array]:
    parts, start = [], 0
    while start < len(order):
        count = max(1, min(batch, BUDGET // max(int(lengths[order[start]]), 1)))
        parts.append(order[start : start + count])
        start += count
    return parts
