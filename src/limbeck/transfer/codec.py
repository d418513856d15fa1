"""What a codec is: how one output of a teacher is laid out on disk, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from limbeck.core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.signals import Output

Array: TypeAlias = "np.ndarray[Any, Any]"

HALF_LARGEST = 65504.0


@dataclass(frozen=True)
class Column:
    """One array of a shard: its name, its little-endian dtype and the number of values a row has.

    In a ragged column an entry belongs to one position of a row, and a row has as many as it has positions.
    """

    name: str
    dtype: str
    width: int
    ragged: bool = False

    @property
    def item_bytes(self) -> int:
        """Bytes of one value."""
        return np.dtype(self.dtype).itemsize

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, in a ragged column of one position."""
        return self.item_bytes * self.width


class Codec(Protocol):
    """What every codec offers; equal codecs are equal objects."""

    @property
    def name(self) -> str:
        """Its name in the manifest."""
        ...

    @property
    def form(self) -> str:
        """The form of the outputs that come back (`limbeck.signals.FORMS`)."""
        ...

    @property
    def exactness(self) -> str:
        """One of "exact", "unbiased" and "biased": what comes back, in expectation."""
        ...

    def columns(self, width: int) -> tuple[Column, ...]:
        """The columns of an output of that width."""
        ...

    def encode(self, values: Array, head: str, keys: Array) -> dict[str, Array]:
        """Columns [B, ...] of finite answers float32 [B, C]; a codec that draws seeds itself by key [B, 2].

        One with ragged columns is given the answers [P, C] to all positions of the rows, one row after the other.
        Raises ConfigError for values that it cannot hold, naming the head.
        """
        ...

    def decode(self, columns: Mapping[str, Tensor], width: int) -> Output:
        """The output of a batch of gathered columns [B, ...]; of ragged columns [B, T, ...], zeros where nothing is."""
        ...

    def tolerance(self, largest: float) -> float:
        """Greatest absolute error of a value whose size is at most `largest`."""
        ...

    def spec(self) -> dict[str, Any]:
        """Its name and settings, JSON-able; part of the identity of a store."""
        ...


def is_ragged(codec: Codec) -> bool:
    """Whether rows of a codec differ in length."""
    return any(column.ragged for column in codec.columns(1))


def as_floats(values: Array, dtype: str, head: str) -> Array:
    """Finite answers as "float16" or "float32", little-endian; raises ConfigError for what float16 cannot hold."""
    if dtype == "float32":
        return values.astype("<f4", copy=False)
    largest = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    if largest > HALF_LARGEST:
        raise ConfigError(
            f"expected the answers of head '{head}' to fit float16 (at most {HALF_LARGEST:.0f}), got {largest:g}",
            "store answers as float32 (codec: fp32, in Python codec='fp32'), or scale the teacher's output",
        )
    return values.astype("<f2")
