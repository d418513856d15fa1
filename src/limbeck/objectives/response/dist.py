"""DIST: match the correlations of the teacher's probabilities, over classes in a row and over rows in a class.

Paper      Huang et al., Knowledge Distillation from A Stronger Teacher, NeurIPS 2022, arXiv:2205.10536
Needs      dense logits of both sides, at least two classes; a batch of at least two rows
Formula    w_i (1 - mean_rows rho(q_row, p_row)) + w_c (1 - mean_classes rho(q_col, p_col)), rho Pearson, at T
Zero at    student == teacher (up to 1e-8 in the denominators), or probabilities that are affine in the teacher's
Defaults   temperature 1, inter_weight 1, intra_weight 1 (ImageNet); CIFAR-100: temperature 4, both weights 2
Pitfalls   it looks at a whole batch, so accumulation is refused and the batch size is a hyper-parameter; a class that
           no row of the batch gives any mass adds 1 / C; the authors' code multiplies by T^2, the paper and this
           do not (a correlation does not shrink with T)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import log_probs, same_shape
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense_needs, dense_pair
from limbeck.objectives.weighing import row_weights
from limbeck.signals import MAIN, Batch, Needs, Signals

EPSILON = 1e-8  # added to the product of the norms, as the authors do


def dist_loss(
    student: Tensor,
    teacher: Tensor,
    temperature: float = 1.0,
    inter_weight: float = 1.0,
    intra_weight: float = 1.0,
    weights: Tensor | None = None,
) -> Tensor:
    """DIST of logits [N, C] (scalar); `weights` [N] count a row so many times, 0 leaves it out."""
    same_shape(student, teacher)
    q, p = log_probs(student, temperature).exp(), log_probs(teacher.detach(), temperature).exp()
    weights = q.new_ones(len(q)) if weights is None else weights.to(q.dtype)
    share = weights / weights.sum().clamp(min=torch.finfo(q.dtype).tiny)
    inter = 1 - (correlation(q, p) * share).sum()
    root = weights.sqrt()[:, None]
    across_q, across_p = (root * (x - (share[:, None] * x).sum(dim=0)) for x in (q, p))
    intra = 1 - cosine(across_q.T, across_p.T).mean()
    total: Tensor = inter_weight * inter + intra_weight * intra
    return total


def correlation(left: Tensor, right: Tensor) -> Tensor:
    """Pearson correlation of every row [N] of [N, C] with its partner."""
    return cosine(left - left.mean(dim=1, keepdim=True), right - right.mean(dim=1, keepdim=True))


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """Cosine of every row [N] of [N, C] with its partner; 0 where one of them is 0."""
    norms: Tensor = torch.linalg.vector_norm(left, dim=1) * torch.linalg.vector_norm(right, dim=1)
    return (left * right).sum(dim=1) / (norms + EPSILON)


@dataclass(frozen=True, kw_only=True)
class DIST(Objective):
    """Correlations with the teacher: over classes (inter), and over the rows of the batch (intra)."""

    batchwise: ClassVar[bool] = True
    on: str = MAIN
    temperature: float = 1.0
    inter_weight: float = 1.0
    intra_weight: float = 1.0
    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    traits: ClassVar[Traits] = Traits(temperature_squared="gradient", shift_invariant=True, row_wise=False)

    def __post_init__(self) -> None:
        fields = Fields(self).number("temperature", above=0)
        fields.number("inter_weight", low=0).number("intra_weight", low=0).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def teacher_needs(self) -> Needs:
        return dense_needs(self.on)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        left, right, mask = dense_pair(student, teacher, self.on)
        weights = row_weights(batch, left, mask).reshape(-1)
        left, right = (x.reshape(-1, x.shape[-1]) for x in (left, right))
        value = dist_loss(left, right, self.temperature, self.inter_weight, self.intra_weight, weights)
        total = weights.sum()
        return value * total, total
