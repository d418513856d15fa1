"""What losses on transformers take: taps with positions, the mask of the valid ones, heads, directions.

Taps by convention: `hidden.0` are the embeddings, `hidden.I` the states after layer I; `query.I`, `key.I` and `value.I`
the projections inside layer I, all heads side by side. Layers are counted from 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.core.errors import ShapeMismatch
from limbeck.objectives.base import Shapes
from limbeck.objectives.divergences import raised
from limbeck.objectives.heads import shapes_of_pair, tap_of
from limbeck.objectives.weighing import blank, valid_mask
from limbeck.signals import Signals

SMALLEST = 1e-12  # a vector shorter than the root of this has no direction and no gradient

PairShapes = tuple[tuple[int, ...], tuple[int, ...]]


def tokens_of(signals: Signals, name: str, side: str) -> Tensor:
    """A tap with positions [B, T, D] by name; raises ShapeMismatch for any other shape."""
    tap = tap_of(signals, name, side)
    if tap.dim() != 3:
        raise _no_positions(name, side, tuple(tap.shape[1:]))
    return tap


def token_pair(student: Signals, teacher: Signals, pair: tuple[str, str]) -> tuple[Tensor, Tensor, Tensor]:
    """The taps of a pair, student's and detached teacher's, with zeros for padding, and the mask [B, T]."""
    own, answers = tokens_of(student, pair[0], "student"), tokens_of(teacher, pair[1], "teacher").detach()
    if own.shape[:2] != answers.shape[:2]:
        raise ShapeMismatch(
            f"expected '{pair[0]}' and '{pair[1]}' to have the same rows and positions, got {tuple(own.shape[:2])} "
            f"from the student and {tuple(answers.shape[:2])} from the teacher",
            "both models must read the same tokens, padded to the same length",
        )
    mask = valid_mask(student, teacher, answers)
    assert mask is not None  # there is one for everything with positions
    return blank(own, mask), blank(answers, mask), mask


def same_width(own: Tensor, answers: Tensor, pair: tuple[str, str]) -> None:
    """Refuse to compare vectors of different width."""
    if own.shape[-1] != answers.shape[-1]:
        raise ShapeMismatch(
            f"expected '{pair[0]}' and '{pair[1]}' to be equally wide, got {own.shape[-1]} from the student and "
            f"{answers.shape[-1]} from the teacher",
            "let a projection be trained (any value of `projection` but 'none')",
        )


def token_shapes(shapes: Shapes, pairs: Sequence[tuple[str, str]], dims: Sequence[int] = (2,)) -> list[PairShapes]:
    """The shapes of the taps of every pair, each with as many dimensions behind the batch as `dims` allows."""
    found = [shapes_of_pair(shapes.student_taps, shapes.teacher_taps, pair) for pair in pairs]
    for pair, both in zip(pairs, found, strict=True):
        for name, side, shape in zip(pair, ("student", "teacher"), both, strict=True):
            if len(shape) not in dims:
                raise _no_positions(name, side, shape)
    return found


def split_heads(values: Tensor, heads: int, name: str) -> Tensor:
    """[B, T, H * d] as [B, H, T, d], half precision raised; raises ShapeMismatch where H does not divide the width."""
    rows, length, width = values.shape
    if width % heads:
        raise ShapeMismatch(
            f"expected the width of the tap '{name}' to be a multiple of its {heads} heads, got {width}",
            "give the number of heads that the layer has, or for relations a number that divides the widths",
        )
    return raised(values).reshape(rows, length, heads, width // heads).transpose(1, 2)


def scaled_products(left: Tensor, right: Tensor) -> Tensor:
    """Products [B, H, T, T] of all positions of [B, H, T, d] with all of another, divided by the root of d."""
    return left @ right.transpose(-1, -2) / math.sqrt(left.shape[-1])


def directions(values: Tensor) -> Tensor:
    """Vectors [..., D] brought to length 1; a vector of length 0 stays, without a gradient."""
    squared = values.square().sum(dim=-1, keepdim=True)
    long = squared > SMALLEST
    return torch.where(long, values / torch.where(long, squared, torch.ones_like(squared)).sqrt(), 0.0)


def first_tokens(values: Tensor, mask: Tensor) -> Tensor:
    """The first valid position [B, D] of every row of [B, T, D]: with padding on the left it is not position 0."""
    index = mask.to(torch.int32).argmax(dim=1)
    return values.gather(1, index[:, None, None].expand(-1, 1, values.shape[-1])).squeeze(1)


def _no_positions(name: str, side: str, shape: tuple[int, ...]) -> ShapeMismatch:
    return ShapeMismatch(
        f"expected the tap '{name}' of the {side} to have positions, shape (T, D) without the batch, got {shape}",
        "name a tap with one vector for every token, such as 'hidden.1'",
    )
