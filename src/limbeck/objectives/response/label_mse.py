"""MSE: squared error against the labels, the hard loss of regression.

Paper      none: the likelihood of Gaussian noise
Needs      values of the student [B, K], standardised; targets [B, K], standardised; no teacher
Formula    mean over labelled rows of mean_k (f_k - y_k)^2
Zero at    student == label
Defaults   none
Pitfalls   it means over the K values, as L2KD does, so that their weights compare
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import raised
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense, dense_needs, output_of
from limbeck.objectives.weighing import (
    blank,
    entry_mask,
    label_mask,
    labels_of,
    over_entries,
    total_weight,
    weigh,
)
from limbeck.signals import MAIN, Batch, Needs, Signals


def mse_rows(student: Tensor, labels: Tensor, known: Tensor | None = None) -> Tensor:
    """Squared error [...] of values [..., K], mean over values, or over those that are `known` (bool [..., K])."""
    student = raised(student)
    return over_entries((student - labels.to(student.dtype)).square(), known, mean=True)


def mse_loss(student: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error of values [B, K]."""
    return mse_rows(student, labels).mean()


@dataclass(frozen=True, kw_only=True)
class MSE(Objective):
    """Squared error against the labels."""

    on: str = MAIN
    kinds: ClassVar[tuple[str, ...]] = ("regression",)
    traits: ClassVar[Traits] = Traits(zero_at_equal=False, constant_at_equal="labels", labels="real")

    def __post_init__(self) -> None:
        Fields(self).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        return total_weight(batch, label_mask(batch, self.on, width=1))

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        values = dense(output_of(student, self.on, "student"), "student")
        targets, mask = labels_of(batch, self.on, tuple(values.shape), width=1, entries=True)
        known = entry_mask(batch, self.on)
        return weigh(mse_rows(blank(values, mask if known is None else known), targets, known), batch, mask)
