"""The codecs of a transfer set: how each output of a teacher is laid out on disk.

A codec says whether what comes back is exact, unbiased or biased, and how far it may be off, so that a run can say
what storing the answers cost. A new one is one class with a line in `CODECS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from limbeck.core.errors import ConfigError, StoreMismatch
from limbeck.transfer.codec import HALF_LARGEST as HALF_LARGEST
from limbeck.transfer.codec import Array as Array
from limbeck.transfer.codec import Codec as Codec
from limbeck.transfer.codec import Column as Column
from limbeck.transfer.codec import as_floats
from limbeck.transfer.codec import is_ragged as is_ragged
from limbeck.transfer.frames import Frames as Frames
from limbeck.transfer.pixels import Pixels as Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.signals import Output


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
        return {"values": as_floats(values, self.dtype, head)}

    def decode(self, columns: Mapping[str, Tensor], width: int) -> Output:
        return columns["values"].float()

    def tolerance(self, largest: float) -> float:
        return 0.0 if self.dtype == "float32" else max(largest * 2.0**-11, 2.0**-25)

    def spec(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}


CODECS: Mapping[str, Callable[..., Codec]] = {Dense.name: Dense, Frames.name: Frames, Pixels.name: Pixels}


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


def default_codec(positions: bool, natural: bool) -> Codec:
    """float16, at every position where a row has some; float32 for natural units, which may be large."""
    return codec_of(positions, "float32" if natural else "float16")


def codec_of(positions: bool, dtype: str) -> Codec:
    """Every value of an answer, or of the answers at each of a row's positions, as "float16" or "float32"."""
    return Frames(dtype) if positions else Dense(dtype)
