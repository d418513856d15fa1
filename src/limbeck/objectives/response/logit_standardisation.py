"""LSKD: KD on standardised logits, so that the student need not copy the teacher's scale.

Paper      Sun et al., Logit Standardization in Knowledge Distillation, CVPR 2024, arXiv:2403.01427
Needs      dense logits of both sides, at least two classes
Formula    T^2 KL(p || q) on (z - mean z) / (std z + 1e-7) in place of z; std over classes with C - 1
Zero at    student == a * teacher + b in every row, for any a > 0
Defaults   temperature 2; the paper weighs it 9 beside 0.1 CE
Pitfalls   the student's scale is free, so its confidence means nothing: fit a temperature afterwards
           (NLL 0.7 to 1.4 against 0.1 to 0.6 of CE in four toy settings)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from limbeck.core.errors import ConfigError
from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import kl, raised
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense_needs, dense_pair
from limbeck.objectives.weighing import blank, masked_mean, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals

STD_FLOOR = 1e-7  # added to the standard deviation, as the authors do
SMALLEST_VARIANCE = 1e-12  # below it a row is flat, and its gradient would be without bound


def standardise(logits: Tensor) -> Tensor:
    """Logits [..., C] with mean 0 and standard deviation 1 (over C - 1) in every row."""
    if logits.shape[-1] < 2:
        raise ConfigError("expected at least two classes to standardise logits, got 1", "use L2KD for a single value")
    logits = raised(logits)
    centred = logits - logits.mean(dim=-1, keepdim=True)
    variance = centred.square().sum(dim=-1, keepdim=True) / (logits.shape[-1] - 1)
    return centred / (variance.clamp(min=SMALLEST_VARIANCE).sqrt() + STD_FLOOR)


def lskd_rows(student: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
    """T^2 KL(teacher || student) of standardised logits [..., C], one value a row."""
    return kl(standardise(student), standardise(teacher), temperature) * temperature**2


def lskd_loss(student: Tensor, teacher: Tensor, temperature: float = 2.0, mask: Tensor | None = None) -> Tensor:
    """Mean over rows (or valid positions) of T^2 KL(teacher || student) of standardised logits."""
    return masked_mean(lskd_rows(blank(student, mask), blank(teacher, mask), temperature), mask)


@dataclass(frozen=True, kw_only=True)
class LSKD(Objective):
    """KD on logits that are standardised in every row."""

    on: str = MAIN
    temperature: float = 2.0
    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    traits: ClassVar[Traits] = Traits(temperature_squared="gradient", shift_invariant=True)

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
        return weigh(lskd_rows(left, right, self.temperature), batch, mask)
