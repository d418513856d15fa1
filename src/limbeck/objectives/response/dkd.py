"""DKD: KD taken apart into the target class against the rest, and the rest among themselves.

Paper      Zhao et al., Decoupled Knowledge Distillation, CVPR 2022, arXiv:2203.08679
Needs      dense logits of both sides, at least three classes; class ids where there are any
Formula    T^2 (w_y KL(b_p || b_q) + w_o KL(p^ || q^)), b = (p_y, 1 - p_y), p^ = p without y, renormalised
Zero at    student == teacher up to a constant in every row
Defaults   temperature 4, target_weight 1, other_weight 8 (CIFAR-100; the paper takes 2 to 8 by pair, with a warm-up
           of 20 epochs); few labels or few classes: temperature 1 and other_weight 2 were safest
Pitfalls   KD = target part + (1 - p_y) other part, so the other part is louder than in KD where the teacher is sure;
           the published code gives inf at logit gaps of 200, this is in log space; two classes leave no other part
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from limbeck.objectives.base import Objective, Shapes, Traits
from limbeck.objectives.divergences import expected_gap, log_probs
from limbeck.objectives.fields import UNLABELLED, Fields, Unlabelled
from limbeck.objectives.operands import dense_needs, dense_pair, target_classes
from limbeck.objectives.others import count_of_targets, refuse_two_classes, refuse_two_in, split_target
from limbeck.objectives.weighing import masked_mean, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def dkd_rows(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    temperature: float = 4.0,
    target_weight: float = 1.0,
    other_weight: float = 8.0,
) -> Tensor:
    """T^2 (target_weight * target part + other_weight * other part) of logits [..., C] with class ids [...]."""
    refuse_two_classes("DKD", student.shape[-1])
    q_target, q_others = split_target(log_probs(student, temperature), labels)
    p_target, p_others = split_target(log_probs(teacher.detach(), temperature), labels)
    target = expected_gap(p_target, q_target)
    others = expected_gap(p_others, q_others)
    return (target_weight * target + other_weight * others) * temperature**2


def dkd_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    temperature: float = 4.0,
    target_weight: float = 1.0,
    other_weight: float = 8.0,
) -> Tensor:
    """Mean over rows of DKD of logits [B, C] with class ids [B]."""
    return masked_mean(dkd_rows(student, teacher, labels, temperature, target_weight, other_weight))


@dataclass(frozen=True, kw_only=True)
class DKD(Objective):
    """Target class against the rest, and the rest among themselves, weighted apart.

    `unlabelled` says what stands for the label of a row without one: the teacher's top class ("teacher"), or nothing,
    so that the row does not count ("skip").
    """

    on: str = MAIN
    temperature: float = 4.0
    target_weight: float = 1.0
    other_weight: float = 8.0
    unlabelled: Unlabelled = "teacher"
    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    traits: ClassVar[Traits] = Traits(
        temperature_squared="gradient", shift_invariant=True, sums_over_classes=True, labels="class"
    )

    def __post_init__(self) -> None:
        fields = Fields(self).number("temperature", above=0).number("target_weight", low=0)
        fields.number("other_weight", low=0).choice("unlabelled", UNLABELLED).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def teacher_needs(self) -> Needs:
        return dense_needs(self.on)

    def heads(self, shapes: Shapes) -> None:
        refuse_two_in("DKD", shapes, self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        return count_of_targets(self, teacher, batch, self.on, self.unlabelled)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        left, right, mask = dense_pair(student, teacher, self.on)
        targets, mask = target_classes(batch, self.on, right, mask, self.unlabelled)
        losses = dkd_rows(left, right, targets, self.temperature, self.target_weight, self.other_weight)
        return weigh(losses, batch, mask)
