"""KD: match the teacher's softened class probabilities.

Paper      Hinton et al., Distilling the Knowledge in a Neural Network, 2015, arXiv:1503.02531
Needs      logits of both sides, dense or as hidden states with their head (then in chunks); the teacher's also top-k
Formula    T^2 KL(p || q) = T^2 sum_c p_c (log p_c - log q_c), p = softmax(z_t / T), q = softmax(z_s / T)
Zero at    student == teacher up to a constant in every row
Defaults   temperature 4, from the CIFAR runs of CRD; 1 for language models; "auto" from the teacher's entropy
Pitfalls   a mean over classes instead of the sum divides by C, and no accuracy test notices; without T^2 the weight
           means something else at every temperature; at T = 1 a sure teacher says no more than the label;
           top-k answers are biased, since the rest is one bucket
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from limbeck.core.errors import NotSupported
from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.chunked import chunked_kl
from limbeck.objectives.divergences import kl, topk_kl
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import answered, blank_topk, dense, dense_pair, output_of
from limbeck.objectives.response.temperature import Temperature, known
from limbeck.objectives.weighing import blank, masked_mean, row_weights, total_weight, valid_mask, weigh
from limbeck.signals import MAIN, Batch, Needs, Output, Projected, Signals, TopK, form_of


def kd_rows(student: Tensor, teacher: Tensor | TopK, temperature: float = 4.0) -> Tensor:
    """T^2 KL(teacher || student) of every row [...], summed over classes; logits [..., C]."""
    if isinstance(teacher, TopK):
        return topk_kl(student, teacher, temperature) * temperature**2
    return kl(student, teacher, temperature) * temperature**2


def kd_loss(student: Tensor, teacher: Tensor | TopK, temperature: float = 4.0, mask: Tensor | None = None) -> Tensor:
    """Mean over rows (or positions valid under `mask` [B, T]) of T^2 KL(teacher || student)."""
    answers = blank_topk(teacher, mask) if isinstance(teacher, TopK) else blank(teacher, mask)
    return masked_mean(kd_rows(blank(student, mask), answers, temperature), mask)


@dataclass(frozen=True, kw_only=True)
class KD(Objective):
    """Softened class probabilities of the teacher, at a temperature; "auto" chooses it from the teacher's entropy.

    `among` are the ids of the classes that are compared, each side's chances renormalised over them; empty: all.
    """

    on: str = MAIN
    temperature: Temperature = 4.0
    among: tuple[int, ...] = ()
    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    traits: ClassVar[Traits] = Traits(
        temperature_squared="gradient", shift_invariant=True, direction="forward", sums_over_classes=True
    )

    def __post_init__(self) -> None:
        Fields(self).number("temperature", above=0, words=("auto",)).ids("among").check()

    def student_needs(self) -> Needs:
        return Needs(outputs=(self.on,), forms=("dense",) if self.among else ("dense", "projected"))

    def teacher_needs(self) -> Needs:
        return Needs(outputs=(self.on,), forms=("dense",) if self.among else ("dense", "topk", "projected"))

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        temperature = known(self.temperature, self.name)
        teacher = answered(teacher)
        if self.among:
            left, right, mask = dense_pair(student, teacher, self.on)
            picked = list(self.among)
            return weigh(kd_rows(left[..., picked], right[..., picked], temperature), batch, mask)
        answers, own = output_of(teacher, self.on, "teacher"), output_of(student, self.on, "student")
        if isinstance(own, Projected):
            mask = valid_mask(student, teacher, answers, self.on)
            weights = row_weights(batch, own.hidden, mask)
            return chunked_kl(own, _target(answers), weights, temperature) * temperature**2, total_weight(batch, mask)
        if isinstance(answers, TopK):
            mask = valid_mask(student, teacher, answers, self.on)
            losses = kd_rows(blank(dense(own, "student"), mask), blank_topk(answers, mask), temperature)
            return weigh(losses, batch, mask)
        left, right, mask = dense_pair(student, teacher, self.on)
        return weigh(kd_rows(left, right, temperature), batch, mask)


def _target(answers: Output) -> Tensor | TopK | Projected:
    if isinstance(answers, Tensor | TopK | Projected):
        return answers
    raise NotSupported(
        f"expected dense, top-k or projected answers of the teacher, got {form_of(answers)}",
        "store the answers with one of the codecs dense, topk and hidden",
    )
