"""Dice: the overlap of predicted and true masks, soft, a hard loss of masks beside cross-entropy.

Paper      Milletari et al., V-Net, 3DV 2016, arXiv:1606.04797; over classes as Sudre et al., arXiv:1707.03237
Needs      logits of the student with positions [B, T, C]; class ids [B, T]; no teacher
Formula    1 - mean_c (2 sum_i p_ic y_ic + s) / (sum_i p_ic + sum_i y_ic + s), p = softmax over classes, i labelled
Zero at    never exactly: only a student that is certain of every label comes near
Defaults   smooth 1, so that a class that an image does not show costs what is predicted of it, and nothing more
Pitfalls   one loss an image, however many pixels it has; small objects count as much as large ones, which is its
           point; alone it is rough at the start: 0.5 * CE + 0.5 * Dice is the usual mixture (nnU-Net)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import log_probs
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense, dense_needs, output_of
from limbeck.objectives.weighing import blank, labels_of, total_weight, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def dice_rows(student: Tensor, labels: Tensor, smooth: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """One minus the soft Dice coefficient, mean over classes, [B]; logits [B, T, C], class ids and mask [B, T]."""
    chances = log_probs(student).exp()
    truth = F.one_hot(labels.long(), student.shape[-1]).to(chances.dtype)
    if mask is not None:
        chances, truth = (torch.where(mask[..., None], each, torch.zeros_like(each)) for each in (chances, truth))
    both, either = (chances * truth).sum(dim=1), chances.sum(dim=1) + truth.sum(dim=1)
    return 1 - ((2 * both + smooth) / (either + smooth)).mean(dim=-1)


def dice_loss(student: Tensor, labels: Tensor, smooth: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Mean over rows of `dice_rows`; rows without a labelled position count nowhere."""
    losses = dice_rows(student, labels, smooth, mask)
    if mask is None:
        return losses.mean()
    there = mask.any(dim=1)
    return torch.where(there, losses, torch.zeros_like(losses)).sum() / there.sum().clamp(min=1)


@dataclass(frozen=True, kw_only=True)
class Dice(Objective):
    """Overlap with the true masks; `smooth` is added above and below."""

    on: str = MAIN
    smooth: float = 1.0
    kinds: ClassVar[tuple[str, ...]] = ("segmentation",)
    traits: ClassVar[Traits] = Traits(
        zero_at_equal=False, constant_at_equal="labels", shift_invariant=True, labels="class", tokens=True
    )

    def __post_init__(self) -> None:
        Fields(self).number("smooth", above=0).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        shape = tuple(batch.targets[self.on].shape) if self.on in batch.targets else ()
        _, mask = labels_of(batch, self.on, shape)
        return total_weight(batch, None if mask is None else mask.any(dim=1))

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        logits = dense(output_of(student, self.on, "student"), "student")
        targets, mask = labels_of(batch, self.on, tuple(logits.shape[:-1]))
        losses = dice_rows(blank(logits, mask), targets, self.smooth, mask)
        return weigh(losses, batch, None if mask is None else mask.any(dim=1))
