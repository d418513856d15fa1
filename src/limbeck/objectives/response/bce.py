"""BCE: binary cross-entropy with the labels, the hard loss of multi-label tasks.

Paper      none: the likelihood of independent labels
Needs      logits of the student [B, L], one for each label; targets 0 or 1 [B, L]; no teacher
Formula    mean over labelled rows of sum_l -(w_l t_l log s_l + (1 - t_l) log(1 - s_l)), s = sigmoid(z)
Zero at    never: only a student that is certain of every label comes near
Defaults   no smoothing, positives weigh as much as negatives
Pitfalls   it sums over labels, as BernoulliKD does, so that their weights compare; torch's default divides by L
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.errors import ShapeMismatch
from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import raised
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense, dense_needs, output_of
from limbeck.objectives.weighing import (
    blank,
    entry_mask,
    label_mask,
    labels_of,
    over_entries,
    total_weight,
    weigh,
)
from limbeck.signals import MAIN, Batch, Needs, Signals


def bce_rows(
    student: Tensor,
    labels: Tensor,
    label_smoothing: float = 0.0,
    positive_weight: Tensor | None = None,
    known: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy [...] of logits [..., L] with targets 0 or 1 [..., L], summed over labels.

    Where only some labels are `known` (bool [..., L]) their sum is scaled up to all of them.
    """
    logits = raised(student)
    targets = labels.to(logits.dtype) * (1 - label_smoothing) + label_smoothing / 2
    weight = None if positive_weight is None else positive_weight.to(logits)
    losses = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight, reduction="none")
    return over_entries(losses, known, mean=False)


def bce_loss(
    student: Tensor, labels: Tensor, label_smoothing: float = 0.0, positive_weight: Tensor | None = None
) -> Tensor:
    """Mean over rows of the binary cross-entropy of logits [B, L], summed over labels."""
    return bce_rows(student, labels, label_smoothing, positive_weight).mean()


@dataclass(frozen=True, kw_only=True)
class BCE(Objective):
    """Binary cross-entropy with the labels; `positive_weight` holds one weight for each label."""

    on: str = MAIN
    label_smoothing: float = 0.0
    positive_weight: tuple[float, ...] | None = None
    kinds: ClassVar[tuple[str, ...]] = ("multilabel",)
    traits: ClassVar[Traits] = Traits(
        zero_at_equal=False, constant_at_equal="labels", labels="multilabel", independent_labels=True
    )

    def __post_init__(self) -> None:
        Fields(self).number("label_smoothing", low=0, below=1).weights("positive_weight").check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        return total_weight(batch, label_mask(batch, self.on, width=1))

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        logits = dense(output_of(student, self.on, "student"), "student")
        targets, mask = labels_of(batch, self.on, tuple(logits.shape), width=1, entries=True)
        weight = None
        if self.positive_weight is not None:
            if len(self.positive_weight) != logits.shape[-1]:
                raise ShapeMismatch(
                    f"expected {logits.shape[-1]} positive weights for '{self.on}', got {len(self.positive_weight)}",
                    "positive_weight holds one number for each label, in the order of the labels",
                )
            weight = torch.tensor(self.positive_weight, device=logits.device)
        known = entry_mask(batch, self.on)
        logits = blank(logits, mask if known is None else known)
        return weigh(bce_rows(logits, targets, self.label_smoothing, weight, known), batch, mask)
