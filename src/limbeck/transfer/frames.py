"""Ragged answers: one answer for every position (word, token, frame) of a row, values with offsets.

A shard holds `offsets`, where each of its rows ends, and beside it the columns of the positions of all its rows, one
row after the other: `values`, or with `topk` the K most probable classes as `ids`, `logprobs` and the `rest`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.signals import TopK
from limbeck.transfer.codec import HALF_LARGEST, Array, Column, as_floats

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.signals import Output

OFFSETS = "offsets"
_ONCE = 1 << 22  # logits whose best classes are looked for at once
_NOTHING = -1e4  # the logarithm of a mass that is 0


@dataclass(frozen=True)
class Frames:
    """Every position of a row, as "float16" or "float32"; with `topk` its K most probable classes and the rest."""

    dtype: str = "float16"
    topk: int | None = None
    name: ClassVar[str] = "frames"

    def __post_init__(self) -> None:
        if self.dtype not in ("float16", "float32"):
            raise ConfigError(
                f"expected the dtype of ragged answers to be float16 or float32, got '{self.dtype}'",
                "float16 takes half the space and is enough for most logits",
            )
        if self.topk is not None and self.topk < 1:
            raise ConfigError(f"expected topk of at least 1 class a position, got {self.topk}", "16 are often enough")

    @property
    def form(self) -> str:
        """Dense logits of every position, or top-k."""
        return "dense" if self.topk is None else "topk"

    @property
    def exactness(self) -> str:
        """Exact in float32, rounded in float16; top-k is biased, since the rest is one bucket."""
        if self.topk is not None:
            return "biased"
        return "exact" if self.dtype == "float32" else "unbiased"

    def columns(self, width: int) -> tuple[Column, ...]:
        floats = "<f2" if self.dtype == "float16" else "<f4"
        offsets = Column(OFFSETS, "<i8", 1)
        if self.topk is None:
            return (offsets, Column("values", floats, width, ragged=True))
        kept = self._kept(width)
        return (
            offsets,
            Column("ids", "<i4", kept, ragged=True),
            Column("logprobs", floats, kept, ragged=True),
            Column("rest", floats, 1, ragged=True),
        )

    def encode(self, values: Array, head: str, keys: Array) -> dict[str, Array]:
        if self.topk is None:
            return {"values": as_floats(values, self.dtype, head)}
        kept = self._kept(values.shape[1])
        ids = np.empty((len(values), kept), dtype="<i4")
        logprobs = np.empty((len(values), kept), dtype=np.float32)
        rest = np.empty((len(values), 1), dtype=np.float32)
        step = max(1, _ONCE // max(values.shape[1], 1))
        for start in range(0, len(values), step):
            part = slice(start, start + step)
            ids[part], logprobs[part], rest[part] = _best(values[part], kept)
        return {"ids": ids, "logprobs": self._floats(logprobs, head), "rest": self._floats(rest, head)}

    def encode_topk(self, answers: TopK, head: str) -> dict[str, Array]:
        """Columns of answers [P, K] that came as top-k; raises ConfigError where they are fewer than asked for."""
        kept = self._kept(answers.size)
        if self.topk is None or answers.ids.shape[-1] < kept:
            raise ConfigError(
                f"expected {kept if self.topk else 'all'} classes a position from the teacher for head '{head}', "
                f"it gives {answers.ids.shape[-1]}",
                f"store what it gives: Frames(topk={answers.ids.shape[-1]})",
            )
        said = answers.logprobs.float().cpu().numpy()
        order = np.argsort(-said, axis=1, kind="stable")
        ids = np.take_along_axis(answers.ids.cpu().numpy(), order, axis=1)[:, :kept].astype("<i4")
        ranked = np.take_along_axis(said, order, axis=1)
        rest = answers.rest.float().cpu().numpy()[:, None]
        if kept < ranked.shape[1]:
            rest = np.logaddexp(rest, _log_sum(ranked[:, kept:]))
        logprobs = ranked[:, :kept]
        return {"ids": ids, "logprobs": self._floats(logprobs, head), "rest": self._floats(rest, head)}

    def decode(self, columns: Mapping[str, Tensor], width: int) -> Output:
        if self.topk is None:
            return columns["values"].float()
        rest = columns["rest"].float().squeeze(-1)
        return TopK(columns["ids"].long(), columns["logprobs"].float(), rest, width)

    def tolerance(self, largest: float) -> float:
        return 0.0 if self.dtype == "float32" else max(largest * 2.0**-11, 2.0**-25)

    def spec(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}

    def _kept(self, width: int) -> int:
        return min(self.topk or width, width)

    def _floats(self, values: Array, head: str) -> Array:
        lowest = -HALF_LARGEST if self.dtype == "float16" else -np.inf
        return as_floats(np.maximum(np.maximum(values, _NOTHING), lowest), self.dtype, head)


def _best(logits: Array, kept: int) -> tuple[Array, Array, Array]:
    """Ids and log-probabilities [P, K] of the most probable classes, best first, and the log of the rest [P, 1].

    Equal logits are ranked by class, so that the same answers give the same bytes.
    """
    total = _log_sum(logits)
    if kept < logits.shape[1]:
        edge = np.partition(logits, logits.shape[1] - kept, axis=1)[:, -kept:].min(axis=1, keepdims=True)
        above = logits > edge
        free = kept - above.sum(axis=1, keepdims=True)
        equal = logits == edge
        chosen = above | (equal & (np.cumsum(equal, axis=1) <= free))
        ids = np.nonzero(chosen)[1].reshape(len(logits), kept)
        rest = _log_sum(np.where(chosen, -np.inf, logits)) - total
    else:
        ids = np.broadcast_to(np.arange(kept), logits.shape)
        rest = np.full((len(logits), 1), _NOTHING, dtype=np.float32)
    found = np.take_along_axis(logits, ids, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    logprobs = np.take_along_axis(found, order, axis=1) - total
    return np.take_along_axis(ids, order, axis=1), logprobs, rest


def _log_sum(values: Array) -> Array:
    """Logarithm of the sum of exponentials over the last axis, kept [P, 1]."""
    high = values.max(axis=1, keepdims=True)
    high = np.where(np.isfinite(high), high, 0.0)
    with np.errstate(divide="ignore"):
        found: Array = np.log(np.exp(values - high).sum(axis=1, keepdims=True)) + high
    return found
