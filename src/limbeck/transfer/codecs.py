"""How one output of a teacher is laid out on disk: fixed-width columns, and the way back.

A codec says whether what comes back is exact, unbiased or biased, and how far it may be off, so that a run can say
what storing the answers cost. A new one is one class with a line in `CODECS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

import numpy as np

from limbeck.core.errors import ConfigError, StoreMismatch

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.signals import Output

Array: TypeAlias = "np.ndarray[Any, Any]"

HALF_LARGEST = 65504.0


@dataclass(frozen=True)
class Column:
    """One array of a shard: its name, its little-endian dtype and the number of values a row has."""

    name: str
    dtype: str
    width: int

    @property
    def item_bytes(self) -> int:
        """Bytes of one value."""
        return np.dtype(self.dtype).itemsize

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
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

        Raises ConfigError for values that it cannot hold, naming the head.
        """
        ...

    def decode(self, columns: Mapping[str, Tensor], width: int) -> Output:
        """The output of a batch of gathered columns [B, ...]."""
        ...

    def tolerance(self, largest: float) -> float:
        """Greatest absolute error of a value whose size is at most `largest`."""
        ...

    def spec(self) -> dict[str, Any]:
        """Its name and settings, JSON-able; part of the identity of a store."""
        ...


@dataclass(frozen=True)
class Dense:
    """Every value of an output, as "float16" or "float32"."""

    dtype: str = "float16"
    name: ClassVar[str] = "dense"
    form: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        if self.dtype not in ("float16", "float32"):
            raise ConfigError(
                f"expected the dtype of a dense transfer set to be float16 or float32, got '{self.dtype}'",
                "float16 takes half the space and is enough for most logits",
            )

    @property
    def exactness(self) -> str:
        """Exact in float32; in float16 each value is rounded, which favours neither side."""
        return "exact" if self.dtype == "float32" else "unbiased"

    def columns(self, width: int) -> tuple[Column, ...]:
        return (Column("values", "<f2" if self.dtype == "float16" else "<f4", width),)

    def encode(self, values: Array, head: str, keys: Array) -> dict[str, Array]:
        if self.dtype == "float32":
            return {"values": values.astype("<f4", copy=False)}
        largest = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
        if largest > HALF_LARGEST:
            raise ConfigError(
                f"expected the answers of head '{head}' to fit float16 (at most {HALF_LARGEST:.0f}), got {largest:g}",
                "store answers as float32 (codec: fp32, in Python codec='fp32'), or scale the teacher's output",
            )
        return {"values": values.astype("<f2")}

    def decode(self, columns: Mapping[str, Tensor], width: int) -> Output:
        return columns["values"].float()

    def tolerance(self, largest: float) -> float:
        return 0.0 if self.dtype == "float32" else max(largest * 2.0**-11, 2.0**-25)

    def spec(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}


CODECS: Mapping[str, Callable[..., Codec]] = {Dense.name: Dense}


def codec_from_spec(spec: Mapping[str, Any]) -> Codec:
    """The codec that a manifest names; raises StoreMismatch for one that this version does not know."""
    settings = {key: value for key, value in spec.items() if key != "name"}
    kind = CODECS.get(str(spec.get("name")))
    if kind is None:
        raise StoreMismatch(
            f"expected a codec of {', '.join(CODECS)}, the transfer set uses '{spec.get('name')}'",
            "it was written by another version of limbeck: use that one, or label again into a new folder",
        )
    return kind(**settings)


def default_codec(kind: str) -> Codec:
    """float16 for logits; float32 for regression, whose natural units may be large."""
    return Dense("float32" if kind == "regression" else "float16")
