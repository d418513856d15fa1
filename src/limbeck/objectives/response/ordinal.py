"""OrdinalCE and OrdinalKD: labels and a teacher's answers as the chance of being above each of C - 1 thresholds.

Logits [..., C] of levels from the lowest to the highest. Everything is in log space; since one softmax stands behind
all thresholds, a higher one is never passed more often than a lower one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import expected_gap, log_probs, same_shape
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense, dense_needs, dense_pair, output_of
from limbeck.objectives.weighing import blank, label_mask, labels_of, masked_mean, total_weight, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def threshold_log_probs(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Log of the chance to be at most at, and above, each level but the highest: [..., C - 1, 2] of logits [..., C]."""
    chances = log_probs(logits, temperature)
    size = chances.shape[-1]
    above = torch.ones(size - 1, size, dtype=torch.bool, device=logits.device).triu(1)
    spread = chances[..., None, :]
    below = spread.masked_fill(above, -math.inf).logsumexp(dim=-1)
    return torch.stack([below, spread.masked_fill(~above, -math.inf).logsumexp(dim=-1)], dim=-1)


def ordinal_ce_rows(student: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy [...] of all thresholds with levels [...], summed over thresholds; logits [..., C]."""
    sides = threshold_log_probs(student)
    passed = labels.long()[..., None] > torch.arange(sides.shape[-2], device=labels.device)
    return -torch.where(passed, sides[..., 1], sides[..., 0]).sum(dim=-1)


def ordinal_ce_loss(student: Tensor, labels: Tensor) -> Tensor:
    """Mean over rows of the cross-entropy of all thresholds; logits [B, C], levels [B]."""
    return ordinal_ce_rows(student, labels).mean()


def ordinal_kd_rows(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """T^2 KL(teacher || student) [...] of being above each level, summed over thresholds; logits [..., C]."""
    same_shape(student, teacher)
    right, left = (threshold_log_probs(side, temperature) for side in (teacher.detach(), student))
    return expected_gap(right, left).sum(dim=-1) * temperature**2


def ordinal_kd_loss(student: Tensor, teacher: Tensor, temperature: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Mean over rows (or valid positions) of T^2 KL(teacher || student), summed over thresholds."""
    return masked_mean(ordinal_kd_rows(blank(student, mask), blank(teacher, mask), temperature), mask)


@dataclass(frozen=True, kw_only=True)
class OrdinalCE(Objective):
    """Cross-entropy of every threshold with the labels: the hard loss of ordinal tasks.

    Paper      Li & Lin, Ordinal Regression by Extended Binary Classification, NeurIPS 2006
    Needs      logits of the student, levels in their order; class ids; no teacher
    Formula    -sum_k log q(y > k) where y > k, log q(y <= k) elsewhere, k = 0 .. C - 2
    Zero at    never: only a student that is certain of every level comes near
    Defaults   none
    Pitfalls   a sum over C - 1 thresholds: with many levels louder than CE; classes must stand in their order
    """

    on: str = MAIN
    kinds: ClassVar[tuple[str, ...]] = ("ordinal",)
    traits: ClassVar[Traits] = Traits(
        zero_at_equal=False, constant_at_equal="labels", shift_invariant=True, labels="class"
    )

    def __post_init__(self) -> None:
        Fields(self).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        return total_weight(batch, label_mask(batch, self.on))

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        logits = dense(output_of(student, self.on, "student"), "student")
        targets, mask = labels_of(batch, self.on, tuple(logits.shape[:-1]))
        return weigh(ordinal_ce_rows(blank(logits, mask), targets), batch, mask)


@dataclass(frozen=True, kw_only=True)
class OrdinalKD(Objective):
    """The teacher's chance of being above each level.

    Paper      Li & Lin, NeurIPS 2006 (thresholds as binary tasks), with the KL of Hinton et al., arXiv:1503.02531
    Needs      dense logits of both sides, levels in their order
    Formula    T^2 sum_k KL(p(y > k) || q(y > k)) over Bernoulli distributions, p and q softened by T
    Zero at    student == teacher up to a constant in every row
    Defaults   temperature 1
    Pitfalls   a high temperature flattens the softmax behind all thresholds, and with it what is near and far
    """

    on: str = MAIN
    temperature: float = 1.0
    kinds: ClassVar[tuple[str, ...]] = ("ordinal",)
    traits: ClassVar[Traits] = Traits(temperature_squared="gradient", shift_invariant=True, direction="forward")

    def __post_init__(self) -> None:
        Fields(self).number("temperature", above=0).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def teacher_needs(self) -> Needs:
        return dense_needs(self.on)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        left, right, mask = dense_pair(student, teacher, self.on)
        return weigh(ordinal_kd_rows(left, right, self.temperature), batch, mask)
