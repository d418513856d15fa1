"""Pinball: quantiles of the labels, the hard loss of quantile regression.

Paper      Koenker & Bassett, Regression Quantiles, Econometrica 1978
Needs      quantiles of the student [B, K·Q], standardised, the Q levels of a target side by side; targets [B, K]
Formula    mean over labelled rows, targets and levels of max(l (y - q), (l - 1) (y - q))
Zero at    quantile == label
Defaults   levels 0.1, 0.5 and 0.9; a task of quantiles puts its own there
Pitfalls   quantiles may cross while they are learned: they are put in order where they are used; the median's share is
           half of the absolute error
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from limbeck.core.errors import ShapeMismatch
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


def pinball_rows(
    student: Tensor, labels: Tensor, levels: tuple[float, ...] = (0.1, 0.5, 0.9), known: Tensor | None = None
) -> Tensor:
    """Pinball loss [...] of quantiles [..., K·Q] with labels [..., K], mean over targets and levels.

    The mean is over the targets that are `known` (bool [..., K]), where these are not all.
    """
    quantiles = raised(student).reshape(*student.shape[:-1], -1, len(levels))
    missing = labels.to(quantiles.dtype)[..., None] - quantiles
    level = torch.tensor(levels, dtype=quantiles.dtype, device=quantiles.device)
    losses = torch.maximum(level * missing, (level - 1) * missing)
    return over_entries(losses.mean(dim=-1), known, mean=True)


def pinball_loss(student: Tensor, labels: Tensor, levels: tuple[float, ...] = (0.1, 0.5, 0.9)) -> Tensor:
    """Mean pinball loss of quantiles [B, K·Q] with labels [B, K]."""
    return pinball_rows(student, labels, levels).mean()


@dataclass(frozen=True, kw_only=True)
class Pinball(Objective):
    """Pinball loss against the labels."""

    on: str = MAIN
    levels: tuple[float, ...] = (0.1, 0.5, 0.9)
    kinds: ClassVar[tuple[str, ...]] = ("quantiles",)
    traits: ClassVar[Traits] = Traits(
        zero_at_equal=False, constant_at_equal="labels", labels="real", answers_per_label=3
    )

    def __post_init__(self) -> None:
        Fields(self).levels("levels").check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        return total_weight(batch, label_mask(batch, self.on, width=1))

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        values = dense(output_of(student, self.on, "student"), "student")
        targets, wrong = values.shape[-1] // len(self.levels), values.shape[-1] % len(self.levels)
        if wrong:
            raise ShapeMismatch(
                f"expected a quantile at each of {len(self.levels)} levels for every target of '{self.on}', got "
                f"{values.shape[-1]} numbers a row",
                "give the levels of a target side by side",
            )
        labels, mask = labels_of(batch, self.on, (*values.shape[:-1], targets), width=1, entries=True)
        wide = entry_mask(batch, self.on, copies=len(self.levels))
        values = blank(values, mask if wide is None else wide)
        return weigh(pinball_rows(values, labels, self.levels, entry_mask(batch, self.on)), batch, mask)
