"""L2KD, HuberKD and BoundedKD: match the teacher's values, for regression.

Values are standardised, so that a distance of 1 is one standard deviation of the labels. All mean over the K values of
a row, as MSE does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import raised, same_shape
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import answered, dense_needs, dense_pair, either
from limbeck.objectives.weighing import (
    blank,
    entry_mask,
    label_mask,
    labels_of,
    masked_mean,
    over_entries,
    total_weight,
    weigh,
)
from limbeck.signals import MAIN, Batch, Needs, Signals


def l2kd_rows(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance [...] of values [..., K], mean over values."""
    same_shape(student, teacher)
    return (raised(student) - raised(teacher.detach())).square().mean(dim=-1)


def l2kd_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared distance of values [B, K]."""
    return masked_mean(l2kd_rows(student, teacher))


def huber_kd_rows(student: Tensor, teacher: Tensor, delta: float = 1.0) -> Tensor:
    """Huber distance [...] of values [..., K], mean over values: squared / 2 up to delta, linear beyond."""
    same_shape(student, teacher)
    return F.huber_loss(raised(student), raised(teacher.detach()), reduction="none", delta=delta).mean(dim=-1)


def huber_kd_loss(student: Tensor, teacher: Tensor, delta: float = 1.0) -> Tensor:
    """Mean Huber distance of values [B, K]."""
    return masked_mean(huber_kd_rows(student, teacher, delta))


def bounded_kd_rows(
    student: Tensor, teacher: Tensor, labels: Tensor, margin: float = 0.0, known: Tensor | None = None
) -> Tensor:
    """Squared error against the labels [...] of values [..., K], where it exceeds the teacher's less the margin.

    Both are errors over the `known` labels (bool [..., K]), where these are not all.
    """
    same_shape(student, teacher)
    student, labels = raised(student), labels.to(raised(student).dtype)
    own = over_entries((student - labels).square(), known, mean=True)
    bound = over_entries((raised(teacher.detach()) - labels).square(), known, mean=True)
    return torch.where(own + margin > bound, own, torch.zeros_like(own))


def bounded_kd_loss(student: Tensor, teacher: Tensor, labels: Tensor, margin: float = 0.0) -> Tensor:
    """Mean over rows of the bounded squared error of values [B, K]."""
    return masked_mean(bounded_kd_rows(student, teacher, labels, margin))


@dataclass(frozen=True, kw_only=True)
class L2KD(Objective):
    """Squared distance to the teacher's values.

    Paper      Ba & Caruana, Do Deep Nets Really Need to be Deep?, NeurIPS 2014, arXiv:1312.6184
    Needs      dense values of both sides
    Formula    mean_k (f_s - f_t)_k^2
    Zero at    student == teacher
    Defaults   none
    Pitfalls   a teacher's outlier counts squared: HuberKD
    """

    on: str = MAIN
    traits: ClassVar[Traits] = Traits()

    def __post_init__(self) -> None:
        Fields(self).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def teacher_needs(self) -> Needs:
        return dense_needs(self.on)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        left, right, mask = dense_pair(student, teacher, self.on)
        return weigh(l2kd_rows(left, right), batch, mask)


@dataclass(frozen=True, kw_only=True)
class HuberKD(Objective):
    """Huber distance to the teacher's values.

    Paper      Huber, Robust Estimation of a Location Parameter, Ann. Math. Statist. 1964
    Needs      dense values of both sides
    Formula    mean_k h(f_s - f_t)_k, h(x) = x^2 / 2 for |x| <= delta, delta (|x| - delta / 2) beyond
    Zero at    student == teacher
    Defaults   delta 1, one standard deviation of the labels
    Pitfalls   near 0 it is half of L2KD
    """

    on: str = MAIN
    delta: float = 1.0
    traits: ClassVar[Traits] = Traits()

    def __post_init__(self) -> None:
        Fields(self).number("delta", above=0).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def teacher_needs(self) -> Needs:
        return dense_needs(self.on)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        left, right, mask = dense_pair(student, teacher, self.on)
        return weigh(huber_kd_rows(left, right, self.delta), batch, mask)


@dataclass(frozen=True, kw_only=True)
class BoundedKD(Objective):
    """Squared error against the labels, as long as the student is worse than the teacher.

    Paper      Chen et al., Learning Efficient Object Detection Models with Knowledge Distillation, NeurIPS 2017
    Needs      dense values of both sides; targets [B, K]; rows without a label do not count
    Formula    e_s = mean_k (f_s - y)_k^2 where e_s + margin > e_t, else 0
    Zero at    student == teacher, and wherever the student is better by more than the margin (margin 0)
    Defaults   margin 0; the paper weighs it 0.5 beside the hard loss
    Pitfalls   it pulls to the label and not to the teacher, so unlabelled rows teach nothing: L2KD for these
    """

    on: str = MAIN
    margin: float = 0.0
    kinds: ClassVar[tuple[str, ...]] = ("regression",)
    traits: ClassVar[Traits] = Traits(labels="real")

    def __post_init__(self) -> None:
        Fields(self).number("margin", low=0).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def teacher_needs(self) -> Needs:
        return dense_needs(self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        return total_weight(batch, either(self.counted(answered(teacher)), label_mask(batch, self.on, width=1)))

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        left, right, mask = dense_pair(student, teacher, self.on)
        targets, labelled = labels_of(batch, self.on, tuple(left.shape), width=1, entries=True)
        mask = either(mask, labelled)
        known = entry_mask(batch, self.on)
        if known is not None:
            left, right = blank(left, known), blank(right, known)
        rows = bounded_kd_rows(blank(left, mask), blank(right, mask), targets, self.margin, known)
        return weigh(rows, batch, mask)
