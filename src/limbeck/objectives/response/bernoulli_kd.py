"""BernoulliKD: match the teacher's probability of every label, for multi-label tasks.

Paper      Yang et al., Multi-Label Knowledge Distillation, ICCV 2023, arXiv:2308.06453 (its logits part, MLD)
Needs      dense logits of both sides, one for each label
Formula    T^2 sum_l KL(Bernoulli(sigmoid(z_t / T)) || Bernoulli(sigmoid(z_s / T)))
Zero at    student == teacher
Defaults   temperature 1
Pitfalls   softmax KD on a multi-label task makes labels compete; the authors clamp probabilities at 1e-8, here
           everything is in log space
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import bernoulli_kl
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense_needs, dense_pair
from limbeck.objectives.response.temperature import Temperature, known
from limbeck.objectives.weighing import blank, masked_mean, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def bernoulli_kd_rows(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """T^2 KL(teacher || student) of independent labels, logits [..., L], summed over labels, one value a row."""
    return bernoulli_kl(student, teacher, temperature) * temperature**2


def bernoulli_kd_loss(student: Tensor, teacher: Tensor, temperature: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Mean over rows (or valid positions) of T^2 KL(teacher || student), summed over labels."""
    return masked_mean(bernoulli_kd_rows(blank(student, mask), blank(teacher, mask), temperature), mask)


@dataclass(frozen=True, kw_only=True)
class BernoulliKD(Objective):
    """The teacher's probability of every label, each on its own."""

    on: str = MAIN
    temperature: Temperature = 1.0
    kinds: ClassVar[tuple[str, ...]] = ("multilabel",)
    traits: ClassVar[Traits] = Traits(
        temperature_squared="gradient", direction="forward", sums_over_classes=True, independent_labels=True
    )

    def __post_init__(self) -> None:
        Fields(self).number("temperature", above=0, words=("auto",)).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def teacher_needs(self) -> Needs:
        return dense_needs(self.on)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        temperature = known(self.temperature, self.name)
        left, right, mask = dense_pair(student, teacher, self.on)
        return weigh(bernoulli_kd_rows(left, right, temperature), batch, mask)
