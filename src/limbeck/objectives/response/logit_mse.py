"""LogitMSE: match the teacher's logits themselves, each row centred first.

Paper      Ba & Caruana, Do Deep Nets Really Need to be Deep?, NeurIPS 2014, arXiv:1312.6184
Needs      dense logits of both sides
Formula    sum_c (c(z_s) - c(z_t))_c^2 with c(z) = z - mean z
Zero at    student == teacher up to a constant in every row
Defaults   none
Pitfalls   without centring an offset that means nothing is learnt too, which cost 5 to 44 points in a toy run;
           KD tends to this loss / (2 C) as its temperature grows
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import raised, same_shape
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense_needs, dense_pair
from limbeck.objectives.weighing import blank, masked_mean, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def logit_mse_rows(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of centred logits [..., C], summed over classes, one value a row."""
    same_shape(student, teacher)
    gap = raised(student) - raised(teacher.detach())
    return (gap - gap.mean(dim=-1, keepdim=True)).square().sum(dim=-1)


def logit_mse_loss(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over rows (or valid positions) of the squared distance of centred logits."""
    return masked_mean(logit_mse_rows(blank(student, mask), blank(teacher, mask)), mask)


@dataclass(frozen=True, kw_only=True)
class LogitMSE(Objective):
    """Squared distance of centred logits."""

    on: str = MAIN
    traits: ClassVar[Traits] = Traits(shift_invariant=True)

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
        return weigh(logit_mse_rows(left, right), batch, mask)
