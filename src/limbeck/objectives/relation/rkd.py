"""RKD: match the distances and angles between the rows of a batch.

Paper      Park et al., Relational Knowledge Distillation, CVPR 2019, arXiv:1904.05068
Needs      one tap of each side, or the outputs where no pair is named; widths may differ; no heads
Formula    w_d mean_ij h(d_s / mean d_s - d_t / mean d_t) + w_a mean_ijk h(cos_s - cos_t), h Huber with delta 1
Zero at    student == teacher up to scale, rotation and translation
Defaults   distance_weight 25, angle_weight 50 (the CIFAR runs of CRD; metric learning takes 1 and 2)
Pitfalls   it looks at a whole batch: accumulation is refused and the batch size is a hyper-parameter; angles cost
           B^3 in memory; means run over all ordered pairs and triples, those with a row twice included, as authors do;
           positions are averaged first
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import raised
from limbeck.objectives.fields import Fields
from limbeck.objectives.heads import tap_of
from limbeck.objectives.operands import answered, dense, output_of
from limbeck.objectives.weighing import blank, row_weights, valid_mask
from limbeck.signals import MAIN, Batch, Needs, Signals

SMALLEST = 1e-12  # rows nearer than this are the same row: no distance, no direction, no gradient


def rkd_loss(
    student: Tensor,
    teacher: Tensor,
    distance_weight: float = 25.0,
    angle_weight: float = 50.0,
    weights: Tensor | None = None,
) -> Tensor:
    """RKD of embeddings [B, D] and [B, E] (scalar); `weights` [B] count a row so many times, 0 leaves it out."""
    student, teacher = raised(student).flatten(1), raised(teacher.detach()).flatten(1)
    weights = student.new_ones(len(student)) if weights is None else weights.to(student.dtype)
    share = weights / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)
    total = student.new_zeros(())
    if distance_weight:
        pairs = share[:, None] * share[None, :]
        gap = F.smooth_l1_loss(distances(student, pairs), distances(teacher, pairs).to(student), reduction="none")
        total = total + distance_weight * (gap * pairs).sum()
    if angle_weight:
        gap = F.smooth_l1_loss(angles(student), angles(teacher).to(student), reduction="none")
        total = total + angle_weight * torch.einsum("ijk,i,j,k->", gap, share, share, share)
    return total


def distances(values: Tensor, pairs: Tensor) -> Tensor:
    """Distances [B, B] between the rows of [B, D], divided by their mean over rows that differ."""
    squared = (values[:, None] - values[None, :]).square().sum(dim=-1)
    apart = squared > SMALLEST
    lengths = torch.where(
        apart, torch.where(apart, squared, torch.ones_like(squared)).sqrt(), torch.zeros_like(squared)
    )
    counted = torch.where(apart, pairs, torch.zeros_like(pairs))
    mean = (lengths * counted).sum() / counted.sum().clamp(min=torch.finfo(values.dtype).tiny)
    return lengths / torch.where(mean > 0, mean, torch.ones_like(mean))


def angles(values: Tensor) -> Tensor:
    """Cosines [B, B, B] of the angle at row i between rows j and k of [B, D]; 0 where two of them are the same."""
    gaps = values[None, :] - values[:, None]
    squared = gaps.square().sum(dim=-1, keepdim=True)
    apart = squared > SMALLEST
    lengths = torch.where(apart, squared, torch.ones_like(squared)).sqrt()
    directions = torch.where(apart, gaps / lengths, torch.zeros_like(gaps))
    return directions @ directions.transpose(1, 2)


@dataclass(frozen=True, kw_only=True)
class RKD(Objective):
    """Distances and angles between rows; `pair` names (student's tap, teacher's tap), None means the outputs."""

    batchwise: ClassVar[bool] = True
    pair: tuple[str, str] | None = None
    on: str = MAIN
    distance_weight: float = 25.0
    angle_weight: float = 50.0
    traits: ClassVar[Traits] = Traits(row_wise=False, unequal_widths=True)

    def __post_init__(self) -> None:
        fields = Fields(self).pair("pair", optional=True)
        fields.number("distance_weight", low=0).number("angle_weight", low=0).check()

    def student_needs(self) -> Needs:
        return Needs(outputs=(self.on,)) if self.pair is None else Needs(taps=(self.pair[0],))

    def teacher_needs(self) -> Needs:
        return Needs(outputs=(self.on,)) if self.pair is None else Needs(taps=(self.pair[1],))

    def counted(self, teacher: Signals) -> None:
        """Rows count, however many positions they have."""

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        teacher = answered(teacher)
        own, answers = self._values(student, "student", 0), self._values(teacher, "teacher", 1)
        mask = valid_mask(student, teacher, answers, self.on if self.pair is None else None)
        own, answers = row_means(own, mask), row_means(answers, mask)
        weights = row_weights(batch, own)
        value = rkd_loss(own, answers, self.distance_weight, self.angle_weight, weights)
        return value * weights.sum(), weights.sum()

    def _values(self, signals: Signals, side: str, index: int) -> Tensor:
        if self.pair is None:
            return dense(output_of(signals, self.on, side), side)
        return raised(tap_of(signals, self.pair[index], side))


def row_means(values: Tensor, mask: Tensor | None) -> Tensor:
    """One vector a row: the mean of [B, T, D] over valid positions, other shapes as they are."""
    if mask is None:
        return values
    return blank(values, mask).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
