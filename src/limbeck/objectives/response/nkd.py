"""NKD: the target's probability in one term, the renormalised other classes in another.

Paper      Yang et al., From Knowledge Distillation to Self-Knowledge Distillation, ICCV 2023, arXiv:2303.13005
Needs      dense logits of both sides, at least three classes; class ids where there are any
Formula    -p_y log q_y - other_weight T^2 sum_{i != y} p^_i log q^_i; p, q at T = 1, p^, q^ at T without y
Zero at    never: cross-entropies keep the teacher's entropy, and the first term alone pulls q_y to 1
Defaults   temperature 1, other_weight 1.5, beside 1 CE
Pitfalls   without CE or KD beside it the minimum is not the teacher; two classes leave no other part
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from limbeck.objectives.base import Objective, Shapes, Traits
from limbeck.objectives.divergences import log_probs, same_shape
from limbeck.objectives.fields import UNLABELLED, Fields, Unlabelled
from limbeck.objectives.operands import dense_needs, dense_pair, target_classes
from limbeck.objectives.others import count_of_targets, refuse_two_classes, refuse_two_in, split_target
from limbeck.objectives.weighing import masked_mean, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def nkd_rows(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float = 1.0, other_weight: float = 1.5
) -> Tensor:
    """Target term plus other_weight * T^2 * cross-entropy of the other classes; logits [..., C], class ids [...]."""
    refuse_two_classes("NKD", student.shape[-1])
    same_shape(student, teacher)
    index = labels.long().unsqueeze(-1)
    teacher = teacher.detach()
    target = log_probs(teacher).gather(-1, index).exp() * log_probs(student).gather(-1, index)
    _, q_others = split_target(log_probs(student, temperature), labels)
    _, p_others = split_target(log_probs(teacher, temperature), labels)
    cross = (p_others.exp() * q_others.masked_fill(q_others.isneginf(), 0.0)).sum(dim=-1)
    return -target.squeeze(-1) - other_weight * temperature**2 * cross


def nkd_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float = 1.0, other_weight: float = 1.5
) -> Tensor:
    """Mean over rows of NKD of logits [B, C] with class ids [B]."""
    return masked_mean(nkd_rows(student, teacher, labels, temperature, other_weight))


@dataclass(frozen=True, kw_only=True)
class NKD(Objective):
    """The target's probability, and the renormalised other classes; `unlabelled` as in DKD."""

    on: str = MAIN
    temperature: float = 1.0
    other_weight: float = 1.5
    unlabelled: Unlabelled = "teacher"
    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    traits: ClassVar[Traits] = Traits(
        zero_at_equal=False,
        constant_at_equal="the teacher's entropy",
        temperature_squared="gradient",
        shift_invariant=True,
        sums_over_classes=True,
        labels="class",
    )

    def __post_init__(self) -> None:
        fields = Fields(self).number("temperature", above=0).number("other_weight", low=0)
        fields.choice("unlabelled", UNLABELLED).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def teacher_needs(self) -> Needs:
        return dense_needs(self.on)

    def heads(self, shapes: Shapes) -> None:
        refuse_two_in("NKD", shapes, self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        return count_of_targets(self, teacher, batch, self.on, self.unlabelled)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        left, right, mask = dense_pair(student, teacher, self.on)
        targets, mask = target_classes(batch, self.on, right, mask, self.unlabelled)
        return weigh(nkd_rows(left, right, targets, self.temperature, self.other_weight), batch, mask)
