"""Texts as one matrix of whole numbers, so that rows of tokens travel like any other encoded rows.

An encoded row is int32 [T]: a token id in the low 24 bits, its segment (0, or 1 for the second text of a pair) above
them, in rows of words the first tokens of words above that (`alignment`), and -1 where there is no token. The network
that takes such rows cuts off the columns in which nobody has a token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import xxhash
from torch import Tensor

from limbeck.core.errors import ConfigError, NotInstalled
from limbeck.models.text.alignment import SHIFT, refuse_slow
from limbeck.models.text.hub import where_from
from limbeck.models.text.starts import first_tokens

Array = np.ndarray[Any, Any]

PADDING = -1
SEGMENT = 24  # bits of an id
IDS = (1 << SEGMENT) - 1
# what stands in a row beside the id: the name of it as an input, its lowest bit
BITS = {"token_type_ids": SEGMENT, "word_starts": SHIFT}
_LONGEST = 1 << 20  # tokenizers that know no length say a number beyond all reason
BUDGET = 2048  # tokens of rows that are answered together: benchmarks/text_labelling.py
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
        self.max_length = min(max_length or 128, own) if own < _LONGEST else max_length or 128

    @classmethod
    def load(cls, where: str | Path, max_length: int | None = None) -> Self:
        """The tokenizer of a folder or name; raises ConfigError where there is none."""
        source = where_from(where, "a tokenizer", "give a folder that holds tokenizer.json, or a name of the hub")
        try:
            return cls(transformers().AutoTokenizer.from_pretrained(str(where), **source), max_length)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"expected a tokenizer at {where}, got: {str(error).splitlines()[0]}",
                "give a folder that holds tokenizer.json, or a name that transformers knows",
            ) from error

    def __deepcopy__(self, memo: dict[int, Any]) -> TextEncoder:
        return self  # copies of a network share it: nothing changes a tokenizer

    @property
    def fillers(self) -> list[int]:
        """Ids that can stand where there is no token: of padding, else of the end of a text."""
        ids = (getattr(self.tokenizer, name, None) for name in ("pad_token_id", "eos_token_id"))
        return [int(number) for number in ids if number is not None]

    def encode(self, inputs: Any) -> Array:
        """Texts (a table of one or two columns, or a sequence of texts) as int32 [N, T], -1 where there is no token."""
        columns = columns_of(inputs)
        if not len(columns[0]):
            return np.empty((0, 1), np.int32)
        words = word_rows(inputs)
        if words is not None:
            refuse_slow(self.tokenizer)
        said = self.tokenizer(
            *columns, truncation=True, max_length=self.max_length, padding=False, return_attention_mask=False,
            return_token_type_ids=len(columns) > 1, return_offsets_mapping=words is not None,
        )  # fmt: skip
        ids: list[list[int]] = said["input_ids"]
        segments = said.get("token_type_ids")
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        out = np.full((len(ids), max(int(lengths.max()), 1)), PADDING, np.int32)
        there = np.arange(out.shape[1]) < lengths[:, None]
        out[there] = np.fromiter((i for row in ids for i in row), np.int32, int(lengths.sum()))
        if segments is not None:
            out[there] |= np.fromiter((s << SEGMENT for row in segments for s in row), np.int32, int(lengths.sum()))
        if words is not None:
            out[there] |= np.concatenate(first_tokens(words, said["offset_mapping"])) << SHIFT
        return out

    def lengths(self, inputs: Any) -> Array:
        """Tokens int64 [N] that the texts have before they are cut."""
        columns = columns_of(inputs)
        if not len(columns[0]):
            return np.empty(0, np.int64)
        ids = self.tokenizer(*columns, truncation=False, padding=False, return_attention_mask=False, verbose=False)
        return np.fromiter(map(len, ids["input_ids"]), np.int64, len(columns[0]))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of what decides the ids of a text."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            text = repr(sorted(self.tokenizer.get_vocab().items()))
        else:
            spec = json.loads(backend.to_str())
            # set by the last call, whatever that was: each call here says its own
            text = json.dumps({name: part for name, part in spec.items() if name not in ("truncation", "padding")})
        return xxhash.xxh3_128_hexdigest(f"{text}{self.max_length}".encode())


def columns_of(inputs: Any) -> list[list[str]]:
    """The texts of a table of one or two columns, or of a sequence, by column; missing ones are empty."""
    if hasattr(inputs, "columns"):
        return [[_text(value) for value in inputs[name]] for name in inputs.columns]
    return [[_text(value) for value in inputs]]


def word_rows(inputs: Any) -> list[tuple[str, ...]] | None:
    """The words of each row; None for rows of texts."""
    if not hasattr(inputs, "columns") or inputs.shape[1] != 1:
        return None
    cells = inputs.iloc[:, 0].tolist()
    return cells if any(isinstance(cell, tuple) for cell in cells[:1]) else None


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(value)
    return value if isinstance(value, str) else ""  # a missing text is an empty one


def trimmed(rows: Tensor) -> Tensor:
    """The columns in which some row has a token; at least one."""
    width = int((rows >= 0).sum(1).max()) if len(rows) else 1
    return rows[:, : max(width, 1)]


def packed(first: list[list[int]], second: list[list[int]]) -> Array:
    """Encoded rows int32 [N, T] of the ids of two texts each; the second's carry the segment bit."""
    ahead, behind = (np.fromiter(map(len, ids), np.int64, len(ids)) for ids in (first, second))
    width = max(int((ahead + behind).max(initial=1)), 1)
    out = np.full((len(first), width), PADDING, np.int32)
    places = np.arange(width)
    out[places < ahead[:, None]] = np.fromiter((i for ids in first for i in ids), np.int32, int(ahead.sum()))
    later = (places >= ahead[:, None]) & (places < (ahead + behind)[:, None])
    out[later] = np.fromiter((i | 1 << SEGMENT for ids in second for i in ids), np.int32, int(behind.sum()))
    return out


def mask_of(rows: Tensor) -> Tensor:
    """Where there are tokens, bool [B, T]."""
    return rows >= 0


def ids_of(rows: Tensor) -> Tensor:
    """Token ids of rows, int64; 0 where there is no token."""
    return torch.where(rows >= 0, rows & IDS, 0).long()


def segments_of(rows: Tensor) -> Tensor:
    """1 for tokens of the second text of a pair, else 0, int64."""
    return torch.where(rows >= 0, rows >> SEGMENT, 0).long()


def model_inputs(rows: Tensor, segments: bool, padding: int) -> dict[str, Tensor]:
    """What a model of transformers takes, of trimmed rows."""
    mask = rows >= 0
    ids = torch.where(mask, rows & IDS, padding).long()
    made = {"input_ids": ids, "attention_mask": mask.long()}
    if segments:
        made["token_type_ids"] = torch.where(mask, (rows >> SEGMENT) & 1, 0).long()
    return made


def rows_of(inputs: Mapping[str, Tensor]) -> Tensor:
    """The inverse of `model_inputs`, traceable: rows int32 [B, T] of inputs [B, T], their tokens moved to the front.

    Where `attention_mask` is 0 there is no token, on whichever side; inputs named in BITS stand above the ids.
    """
    there = inputs["attention_mask"] > 0
    rows = inputs["input_ids"]
    for name, bit in BITS.items():
        if name in inputs:
            rows = rows | (inputs[name] << bit)
    rows = torch.where(there, rows, PADDING)
    place = torch.arange(rows.shape[1], device=rows.device)
    order = torch.where(there, place, place + rows.shape[1]).argsort(1)
    return rows.gather(1, order).to(torch.int32)


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
