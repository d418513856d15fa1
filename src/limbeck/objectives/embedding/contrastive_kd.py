"""ContrastiveKD: which texts of a batch are near to each other, as the teacher sees it.

Paper      Fang et al., SEED: Self-supervised Distillation for Visual Representation, ICLR 2021, arXiv:2101.04731
Needs      embeddings of both texts [B, 2·D] of each side; widths may differ; no heads
Formula    mean over texts i of KL(softmax_j(scale cos_T(i, j)) || softmax_j(scale cos_S(i, j))), half of it from first
           texts to second ones, half the other way
Zero at    the student's cosines within the batch are the teacher's up to a constant for each text
Defaults   scale 20 (a temperature of 0.05) for both sides
Pitfalls   the batch stands in for the paper's queue of 65,536: accumulation is refused and the batch size is a
           hyper-parameter; a text is never compared with itself, so rows of one text teach only by the other rows
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense_needs
from limbeck.objectives.pairs import NEVER, all_cosines, log_weights, student_texts, teacher_texts
from limbeck.objectives.weighing import row_weights
from limbeck.signals import MAIN, Batch, Needs, Signals

SAME = 1 - 1e-5  # a cosine of the teacher from here on is that of a text with itself


def contrastive_kd_rows(student: Tensor, teacher: Tensor, scale: float = 20.0, weights: Tensor | None = None) -> Tensor:
    """KL divergence [B] of the rows of cosines [B, B]; `weights` [B] count a column so many times."""
    teacher = teacher.detach()
    weights = torch.ones_like(student[0]) if weights is None else weights
    same = teacher > SAME
    more = torch.where(same, torch.full_like(student, NEVER), log_weights(weights)[None, :].expand_as(student))
    log_p, log_q = ((scale * side + more).log_softmax(dim=-1) for side in (teacher, student))
    # a column that is left out has the same (lowest) value on both sides
    return (log_p.exp() * torch.where(more > NEVER / 2, log_p - log_q, torch.zeros_like(log_p))).sum(dim=-1)


def contrastive_kd_loss(student: Tensor, teacher: Tensor, scale: float = 20.0) -> Tensor:
    """Mean over rows of the KL divergence of cosines [B, B]."""
    return contrastive_kd_rows(student, teacher, scale).mean()


@dataclass(frozen=True, kw_only=True)
class ContrastiveKD(Objective):
    """Similarities within a batch as distributions; `scale` multiplies cosines before the softmax."""

    batchwise: ClassVar[bool] = True
    least_rows: ClassVar[int] = 2
    scale: float = 20.0
    on: str = MAIN
    kinds: ClassVar[tuple[str, ...]] = ("similarity", "retrieval")
    traits: ClassVar[Traits] = Traits(row_wise=False, unequal_widths=True, positions=False, texts=True)

    def __post_init__(self) -> None:
        Fields(self).number("scale", above=0).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def teacher_needs(self) -> Needs:
        return dense_needs(self.on)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        own = all_cosines(*student_texts(student, self.on))
        answers = all_cosines(*teacher_texts(teacher, self.on)).to(own)
        weights = row_weights(batch, own)
        rows = [contrastive_kd_rows(a, b, self.scale, weights) for a, b in ((own, answers), (own.T, answers.T))]
        return ((rows[0] + rows[1]) / 2 * weights).sum(), weights.sum()
