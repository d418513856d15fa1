"""Answers of a fixed number of positions, such as the pixels of images of one size: flat columns without offsets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from limbeck.core.errors import ConfigError
from limbeck.transfer.codec import Array, Column, as_floats

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.signals import Output

_SHARD = 64 << 20  # bytes


@dataclass(frozen=True)
class Pixels:
    """Every value at each of so many `positions` of a row, as "float16" or "float32"."""

    positions: int
    dtype: str = "float16"
    name: ClassVar[str] = "pixels"
    form: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        if self.dtype not in ("float16", "float32"):
            raise ConfigError(f"expected the dtype of pixels to be float16 or float32, got '{self.dtype}'")
        if self.positions < 1:
            raise ConfigError(f"expected at least one position, got {self.positions}")

    @property
    def exactness(self) -> str:
        """Exact in float32; in float16 each value is rounded, which favours neither side."""
        return "exact" if self.dtype == "float32" else "unbiased"

    def shape(self, width: int) -> tuple[int, ...]:
        """Shape of one answer."""
        return (self.positions, width)

    def columns(self, width: int) -> tuple[Column, ...]:
        return (Column("values", "<f2" if self.dtype == "float16" else "<f4", self.positions * width),)

    def encode(self, values: Array, head: str, keys: Array) -> dict[str, Array]:
        return {"values": as_floats(values, self.dtype, head).reshape(len(values), -1)}

    def decode(self, columns: Mapping[str, Tensor], width: int) -> Output:
        found = columns["values"]
        return found.float().reshape(len(found), self.positions, width)

    def tolerance(self, largest: float) -> float:
        return 0.0 if self.dtype == "float32" else max(largest * 2.0**-11, 2.0**-25)

    def spec(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}

    def shard_rows(self, width: int, batch: int) -> int:
        """Rows of a shard, a multiple of the batch: about 64 MiB, so that little is lost by a kill."""
        return batch * max(1, _SHARD // (batch * self.columns(width)[0].row_bytes))
