"""What losses on embeddings take: an output [B, 2·D] that holds the embeddings of both texts of a row side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.core.errors import ShapeMismatch
from limbeck.objectives.base import Shapes
from limbeck.objectives.heads import PairProjectors
from limbeck.objectives.operands import answered, dense, output_of
from limbeck.objectives.tokens import directions
from limbeck.objectives.weighing import labels_of
from limbeck.signals import Batch, Signals

NEVER = -1e30  # the logarithm of a weight of 0, finite so that gradients are


def halves(values: Tensor, side: str) -> tuple[Tensor, Tensor]:
    """Embeddings [B, D] of the first and of the second texts; raises ShapeMismatch for anything but [B, 2·D]."""
    if values.dim() != 2 or values.shape[1] % 2:
        raise ShapeMismatch(
            f"expected the embeddings of both texts of a row from the {side}, [rows, 2·D], got {list(values.shape)}",
            "this loss is for the tasks similarity and retrieval, and models that embed both texts",
        )
    first, second = values.chunk(2, dim=1)
    return first, second


def student_texts(student: Signals, on: str) -> tuple[Tensor, Tensor]:
    """The student's embeddings of both texts [B, D]."""
    return halves(dense(output_of(student, on, "student"), "student"), "student")


def teacher_texts(teacher: Signals | None, on: str) -> tuple[Tensor, Tensor]:
    """The teacher's embeddings of both texts [B, E], detached."""
    return halves(dense(output_of(answered(teacher), on, "teacher"), "teacher").detach(), "teacher")


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """Cosine [B] of the embeddings [B, D] of each row; 0 where one has no direction."""
    return (directions(first) * directions(second)).sum(dim=-1)


def all_cosines(first: Tensor, second: Tensor) -> Tensor:
    """Cosine [B, B] of each first text with each second one."""
    return directions(first) @ directions(second).T


def log_weights(weights: Tensor) -> Tensor:
    """Logarithms [B] of row weights, which make a row of weight 2 count as two rows in a sum of exponentials."""
    smallest = torch.finfo(weights.dtype).tiny
    return torch.where(weights > 0, weights.clamp(min=smallest).log(), torch.full_like(weights, NEVER))


def scores_of(batch: Batch, on: str) -> tuple[Tensor, Tensor | None]:
    """Scores [B] of the rows and where there are any."""
    values, mask = labels_of(batch, on, (len(batch), 1), width=1)
    return values[:, 0], mask


def projection_of(shapes: Shapes, on: str, kind: str) -> PairProjectors | None:
    """The map from the student's width to the teacher's, where they differ and one is to be trained."""
    if kind == "none":
        return None
    own, other = shapes.student_outputs[on][-1] // 2, shapes.teacher_outputs[on][-1] // 2
    made = PairProjectors([((own,), (other,))], "auto")
    return made if made.trains else None


def same_length(own: Tensor, answers: Tensor) -> None:
    """Refuse to compare embeddings of different length; raises ShapeMismatch."""
    if own.shape[-1] != answers.shape[-1]:
        raise ShapeMismatch(
            f"expected embeddings of one length, got {own.shape[-1]} from the student and {answers.shape[-1]} from the "
            "teacher",
            "let a projection be trained (projection='auto'), or use a loss on similarities such as ContrastiveKD",
        )
