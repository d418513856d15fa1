"""Texts as one matrix of whole numbers, so that rows of tokens travel like any other encoded rows.

An encoded row is int32 [T]: a token id in the low 24 bits, its segment (0, or 1 for the second text of a pair) above
them, and -1 where there is no token. The network that takes such rows cuts off the columns in which nobody has a token.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import xxhash
from torch import Tensor

from limbeck.core.errors import ConfigError, NotInstalled

Array = np.ndarray[Any, Any]

PADDING = -1
SEGMENT = 24  # bits of an id
IDS = (1 << SEGMENT) - 1
_LONGEST = 1 << 20  # tokenizers that know no length say a number beyond all reason
PIP = "pip install 'limbeck[text]'"


def transformers() -> Any:
    """The package transformers; raises NotInstalled with the line that installs it."""
    try:
        import transformers as package
    except ImportError as error:
        raise NotInstalled("expected the package transformers for models of text, it is not installed", PIP) from error
    return package


class TextEncoder:
    """A tokenizer with the length at which texts are cut: raw rows in, int32 [N, T] out."""

    def __init__(self, tokenizer: Any, max_length: int | None = None) -> None:
        own = int(getattr(tokenizer, "model_max_length", _LONGEST))
        self.tokenizer = tokenizer
        self.max_length = min(max_length or 128, own if own < _LONGEST else 128)

    @classmethod
    def load(cls, where: str | Path, max_length: int | None = None) -> Self:
        """The tokenizer of a folder or name; raises ConfigError where there is none."""
        try:
            return cls(transformers().AutoTokenizer.from_pretrained(str(where)), max_length)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"expected a tokenizer at {where}, got: {str(error).splitlines()[0]}",
                "give a folder that holds tokenizer.json, or a name that transformers knows",
            ) from error

    def encode(self, inputs: Any) -> Array:
        """Texts (a table of one or two columns, or a sequence of texts) as int32 [N, T], -1 where there is no token."""
        columns = _columns(inputs)
        if not len(columns[0]):
            return np.empty((0, 1), np.int32)
        said = self.tokenizer(
            *columns, truncation=True, max_length=self.max_length, padding=False, return_attention_mask=False,
            return_token_type_ids=len(columns) > 1,
        )  # fmt: skip
        ids: list[list[int]] = said["input_ids"]
        segments = said.get("token_type_ids")
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        out = np.full((len(ids), max(int(lengths.max()), 1)), PADDING, np.int32)
        there = np.arange(out.shape[1]) < lengths[:, None]
        out[there] = np.fromiter((i for row in ids for i in row), np.int32, int(lengths.sum()))
        if segments is not None:
            out[there] |= np.fromiter((s << SEGMENT for row in segments for s in row), np.int32, int(lengths.sum()))
        return out

    @cached_property
    def fingerprint(self) -> str:
        """A hash of what decides the ids of a text."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        text = backend.to_str() if backend is not None else repr(sorted(self.tokenizer.get_vocab().items()))
        return xxhash.xxh3_128_hexdigest(f"{text}{self.max_length}".encode())


def _columns(inputs: Any) -> list[list[str]]:
    if hasattr(inputs, "columns"):
        return [[_text(value) for value in inputs[name]] for name in inputs.columns]
    return [[_text(value) for value in inputs]]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""  # a missing text is an empty one


def trimmed(rows: Tensor) -> Tensor:
    """The columns in which some row has a token; at least one."""
    width = int((rows >= 0).sum(1).max()) if len(rows) else 1
    return rows[:, : max(width, 1)]


def mask_of(rows: Tensor) -> Tensor:
    """Where there are tokens, bool [B, T]."""
    return rows >= 0


def model_inputs(rows: Tensor, segments: bool, padding: int) -> dict[str, Tensor]:
    """What a model of transformers takes, of trimmed rows."""
    mask = rows >= 0
    ids = torch.where(mask, rows & IDS, padding).long()
    made = {"input_ids": ids, "attention_mask": mask.long()}
    if segments:
        made["token_type_ids"] = torch.where(mask, rows >> SEGMENT, 0).long()
    return made


def in_parts(rows: Tensor, budget: int) -> list[Tensor]:
    """Positions of the rows in parts of like length, long ones first, each at most `budget` tokens with its padding."""
    lengths = (rows >= 0).sum(1).clamp(min=1)
    order = lengths.argsort(descending=True, stable=True)
    ranked = lengths[order].tolist()
    parts, start = [], 0
    while start < len(ranked):
        count = max(1, budget // ranked[start])
        parts.append(order[start : start + count])
        start += count
    return parts
