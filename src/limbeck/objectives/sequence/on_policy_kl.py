"""OnPolicyKL: the teacher judges what the student itself writes, token by token.

Paper      Agarwal et al., On-Policy Distillation of Language Models (GKD), ICLR 2024, arXiv:2306.13649
Needs      logits [B, T, V] of both sides on text that the student generated, with its mask; a live teacher
Formula    T^2 (beta KL(p || m) + (1 - beta) KL(q || m)), m = beta p + (1 - beta) q, mean over generated tokens;
           beta 0 is KL(p || q), beta 1 is KL(q || p), p the teacher's, q the student's probabilities at T
Zero at    student == teacher up to a constant in every position
Defaults   beta 0.5, temperature 1, as in the paper, whose text is sampled at temperature 0.9
Pitfalls   the temperature of sampling is not that of the loss; the prompt is masked, only generated tokens count;
           stored answers cannot know what the student will write
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import generalised_jsd
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense_pair
from limbeck.objectives.weighing import blank, masked_mean, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def on_policy_kl_loss(
    student: Tensor, teacher: Tensor, beta: float = 0.5, temperature: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    """Mean over valid positions of T^2 times the generalised Jensen-Shannon divergence of logits [B, T, V]."""
    rows = generalised_jsd(blank(student, mask), blank(teacher, mask), beta, temperature) * temperature**2
    return masked_mean(rows, mask)


@dataclass(frozen=True, kw_only=True)
class OnPolicyKL(Objective):
    """Generalised Jensen-Shannon divergence on the student's own text; `beta` goes from forward to reverse KL."""

    on: str = MAIN
    beta: float = 0.5
    temperature: float = 1.0
    traits: ClassVar[Traits] = Traits(temperature_squared="gradient", shift_invariant=True, sums_over_classes=True)

    def __post_init__(self) -> None:
        Fields(self).number("beta", low=0, high=1).number("temperature", above=0).check()

    def student_needs(self) -> Needs:
        return Needs(outputs=(self.on,))

    def teacher_needs(self) -> Needs:
        return Needs(outputs=(self.on,), on_policy=True)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        left, right, mask = dense_pair(student, teacher, self.on)
        losses = generalised_jsd(left, right, self.beta, self.temperature) * self.temperature**2
        return weigh(losses, batch, mask)
