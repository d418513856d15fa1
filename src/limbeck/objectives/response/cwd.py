"""CWD: match where each class is seen, the distribution of every channel over the places of an image.

Paper      Shu et al., Channel-wise Knowledge Distillation for Dense Prediction, ICCV 2021, arXiv:2011.13256
Needs      dense logits of both sides with positions [B, T, C]
Formula    T^2 / C sum_c KL(p_c || q_c), p_c = softmax over the valid positions of z_t[:, c] / T, q_c likewise
Zero at    student == teacher up to a constant in every channel
Defaults   temperature 4, the authors' choice; they weigh it 3 on logits beside a weight of 1 of the labels
Pitfalls   it says nothing of how sure a class is against the others: keep a loss on labels, or KD, beside it; the
           softmax runs over places, so that padding must be masked; one loss an image, however many pixels it has
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from limbeck.core.errors import ShapeMismatch
from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import expected_gap, same_shape
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense_needs, dense_pair
from limbeck.objectives.weighing import weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def cwd_rows(student: Tensor, teacher: Tensor, temperature: float = 4.0, mask: Tensor | None = None) -> Tensor:
    """T^2 times the mean over channels of KL(teacher || student) over positions, [B]; logits [B, T, C], mask [B, T]."""
    same_shape(student, teacher)
    log_q, log_p = (_over_places(side, temperature, mask) for side in (student, teacher.detach()))
    return expected_gap(log_p, log_q).mean(dim=-1) * temperature**2


def cwd_loss(student: Tensor, teacher: Tensor, temperature: float = 4.0, mask: Tensor | None = None) -> Tensor:
    """Mean over rows of `cwd_rows`; rows without a valid position count nowhere."""
    losses = cwd_rows(student, teacher, temperature, mask)
    if mask is None:
        return losses.mean()
    there = mask.any(dim=1)
    return torch.where(there, losses, torch.zeros_like(losses)).sum() / there.sum().clamp(min=1)


def _over_places(logits: Tensor, temperature: float, mask: Tensor | None) -> Tensor:
    """Log-probabilities [B, C, T] over the valid positions; 0 where a position, or a whole row, is not valid."""
    values = logits.transpose(1, 2) / temperature
    if mask is None:
        return torch.log_softmax(values, dim=-1)
    valid = mask[:, None]
    lowest = torch.finfo(values.dtype).min
    found = torch.log_softmax(torch.where(valid, values, torch.full_like(values, lowest)), dim=-1)
    return torch.where(valid, found, torch.full_like(found, lowest))


@dataclass(frozen=True, kw_only=True)
class CWD(Objective):
    """The place of every class in an image, at a temperature."""

    on: str = MAIN
    temperature: float = 4.0
    kinds: ClassVar[tuple[str, ...]] = ("segmentation",)
    traits: ClassVar[Traits] = Traits(temperature_squared="gradient", tokens=True)

    def __post_init__(self) -> None:
        Fields(self).number("temperature", above=0).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def teacher_needs(self) -> Needs:
        return dense_needs(self.on)

    def counted(self, teacher: Signals) -> Tensor | None:
        mask = super().counted(teacher)
        return None if mask is None else mask.any(dim=1)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        left, right, mask = dense_pair(student, teacher, self.on)
        if mask is None:
            raise ShapeMismatch(
                f"expected outputs with positions [B, T, C] for {self.name}, got {list(left.shape)}",
                "it compares where classes are seen in an image; for whole rows use KD",
            )
        return weigh(cwd_rows(left, right, self.temperature, mask), batch, mask.any(dim=1))
