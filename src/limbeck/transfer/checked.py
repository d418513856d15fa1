"""A teacher's answers to one batch, checked before they are stored: type, shape, finite numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.core.errors import LimbeckError, ShapeMismatch
from limbeck.signals import Signals, TopK
from limbeck.transfer.codecs import Array, Codec, is_ragged
from limbeck.transfer.frames import Frames
from limbeck.transfer.manifest import Head
from limbeck.transfer.pixels import Pixels
from limbeck.transfer.ragged import GAP

if TYPE_CHECKING:
    from limbeck.data.rows import Rows

_SHOWN = 5  # row ids in a message


@dataclass(frozen=True)
class Asked:
    """One head of the rows that were asked: `places` int64 [B] in `rows`, and how the answers will be stored."""

    name: str
    head: Head
    codec: Codec
    rows: Rows
    places: Array
    keys: Array

    def columns(self, said: Signals) -> tuple[dict[str, Array], Array | None]:
        """Columns of the answers as the codec stores them, and the lengths [B] of ragged rows.

        Raises ShapeMismatch or LimbeckError for answers that do not fit or are not finite.
        """
        output = said.outputs.get(self.name)
        if isinstance(output, TopK) and isinstance(self.codec, Frames):
            return self._topk(output, said)
        values = self._tensor(output)
        if not is_ragged(self.codec):
            wanted = self.codec.shape(self.head.size) if isinstance(self.codec, Pixels) else (self.head.size,)
            self._shaped(tuple(values.shape), wanted)
            return self.codec.encode(self._natural(values, self.places), self.name, self.keys), None
        mask = self._mask(tuple(values.shape[:-1]) if values.shape[-1:] == (self.head.size,) else (), said, values)
        if self.head.kind == "tagging":  # a word without an answer keeps its place, or all behind it would move up
            values = values.masked_fill(~_bool(mask)[..., None], GAP)
            mask = _up_to_the_last(mask)
        owners = self.places[np.nonzero(mask)[0]]
        flat = self._natural(values[_bool(mask)], owners)
        return self.codec.encode(flat, self.name, self.keys), mask.sum(axis=1, dtype=np.int64)

    def _tensor(self, output: Any) -> Any:
        import torch

        if not isinstance(output, torch.Tensor) or not output.dtype.is_floating_point:
            got = f"{output.dtype} values" if isinstance(output, torch.Tensor) else type(output).__name__
            raise ShapeMismatch(
                f"expected the teacher's answers for head '{self.name}' to be a tensor of floating-point numbers, "
                f"got {got}",
                "give scores (logits, values), not decisions",
            )
        return output.detach().cpu()

    def _shaped(self, shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
        if shape == (len(self.places), *wanted):
            return
        if len(wanted) > 1:
            raise ShapeMismatch(
                f"expected the teacher's answers for head '{self.name}' to have scores of {wanted[1]} classes for each "
                f"of {wanted[0]} pixels, got {list(shape[1:])} for each image",
                "give scores [B, C, H, W] at the size of the images: enlarge what is smaller, and take padding off",
            )
        raise ShapeMismatch(
            f"expected the teacher's answers for head '{self.name}' to have shape "
            f"[{len(self.places)}, {self.head.size}], got {list(shape)}",
            "the first axis is the rows that were asked, the second the classes, labels or columns of the task",
        )

    def _mask(self, shape: tuple[int, ...], said: Signals, values: Any) -> Array:
        """Where the rows have answers, bool [B, T]."""
        if len(shape) != 2 or shape[0] != len(self.places):
            raise ShapeMismatch(
                f"expected the teacher's answers for head '{self.name}' to have shape "
                f"[{len(self.places)}, positions, {self.head.size}], got {list(values.shape)}",
                "answers that are stored for every position have one row of scores for each of them",
            )
        mask = said.mask_of(self.name)
        if mask is None:
            return np.ones(shape, dtype=bool)
        if tuple(mask.shape) != shape:
            raise ShapeMismatch(
                f"expected the mask of head '{self.name}' to have shape {list(shape)} as its answers, "
                f"got {list(mask.shape)}",
                "the mask has one entry for every position of the answers, True where there is one",
            )
        return np.asarray(mask.detach().cpu().numpy(), dtype=bool)

    def _topk(self, output: TopK, said: Signals) -> tuple[dict[str, Array], Array]:
        assert isinstance(self.codec, Frames)
        shape = tuple(output.ids.shape[:-1]) if output.size == self.head.size else ()
        mask = self._mask(shape, said, output.logprobs)
        kept = _bool(mask)
        flat = TopK(output.ids.cpu()[kept], output.logprobs.cpu()[kept], output.rest.cpu()[kept], output.size)
        self._finite(flat.logprobs.float().numpy(), self.places[np.nonzero(mask)[0]])
        return self.codec.encode_topk(flat, self.name), mask.sum(axis=1, dtype=np.int64)

    def _natural(self, values: Any, owners: Array) -> Array:
        natural: Array = np.asarray(self.head.to_natural(values.float().numpy()), dtype=np.float32)
        self._finite(natural, owners)
        return natural

    def _finite(self, values: Array, owners: Array) -> None:
        if np.isfinite(values).all():
            return
        finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        bad = np.array(list(dict.fromkeys(owners[~finite].tolist())))
        raise LimbeckError(
            f"expected finite answers of the teacher for head '{self.name}', got NaN or infinity for {len(bad)} of "
            f"{len(self.places)} rows of a batch: {self._named(bad)}",
            "look at these inputs and at the teacher's precision; nothing of this shard was written",
        )

    def _named(self, places: Array) -> str:
        what = "positions" if self.rows.ids is None else "ids"
        shown = places[:_SHOWN] if self.rows.ids is None else self.rows.ids[places[:_SHOWN]]
        return f"{what} {', '.join(str(entry) for entry in shown)}" + (", ..." if len(places) > _SHOWN else "")


def _up_to_the_last(mask: Array) -> Array:
    """Every position [B, T] up to the last one with an answer; from the first one where padding stands on the left."""
    found: Array = np.logical_or.accumulate(mask[:, ::-1], axis=1)[:, ::-1].copy()
    some = mask[mask.any(axis=1)]
    if len(some) and some[:, -1].all() and not some[:, 0].all():
        found &= np.logical_or.accumulate(mask, axis=1)
    return found


def _bool(mask: Array) -> Any:
    import torch

    return torch.from_numpy(mask)
