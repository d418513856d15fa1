"""The classes beside the target: what DKD and NKD share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from limbeck.core.errors import NotSupported
from limbeck.objectives.base import Objective, Shapes
from limbeck.objectives.operands import answered, either
from limbeck.objectives.weighing import label_mask, total_weight
from limbeck.signals import Batch, Signals


def split_target(log_p: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities [..., C] as (target, not target) [..., 2] and those of the others, renormalised [..., C].

    The target's own place among the others holds -inf. All in log space: 1 - p is never computed.
    """
    index = labels.long().unsqueeze(-1)
    others = log_p.scatter(-1, index, -math.inf)
    rest = others.logsumexp(dim=-1, keepdim=True)
    return torch.cat([log_p.gather(-1, index), rest], dim=-1), others - rest


def refuse_two_classes(name: str, classes: int) -> None:
    """Refuse fewer than three classes, where the part about the other classes says nothing."""
    if classes < 3:
        raise NotSupported(
            f"expected at least 3 classes for {name}, got {classes}: with two, the classes beside the target are one, "
            "and its part of the loss is always 0",
            "use KD",
        )


def refuse_two_in(name: str, shapes: Shapes, on: str) -> None:
    """The same before training starts, where the shape of the output is known."""
    for outputs in (shapes.student_outputs, shapes.teacher_outputs):
        if on in outputs:
            refuse_two_classes(name, outputs[on][-1])


def count_of_targets(objective: Objective, teacher: Signals | None, batch: Batch, on: str, unlabelled: str) -> Tensor:
    """Total weight of the rows that have a target: all of them, or the labelled ones."""
    mask = objective.counted(answered(teacher))
    if unlabelled == "teacher":
        return total_weight(batch, mask)
    if on not in batch.targets:
        return torch.tensor(0.0)
    return total_weight(batch, either(mask, label_mask(batch, on)))
