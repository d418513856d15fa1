"""GaussianNLL and GaussianKD: a mean and a log variance for each number, from labels and from a teacher.

Answers are [..., 2·K], a mean and a log variance for each of K numbers in turn, both of standardised numbers. Log
variances are cut to ±12 (`limbeck.signals.LOG_VARIANCE`), so that nothing overflows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import raised, same_shape
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense, dense_needs, dense_pair, output_of
from limbeck.objectives.weighing import (
    blank,
    entry_mask,
    label_mask,
    labels_of,
    masked_mean,
    over_entries,
    total_weight,
    weigh,
)
from limbeck.signals import LOG_VARIANCE, MAIN, Batch, Needs, Signals


def _parts(answers: Tensor) -> tuple[Tensor, Tensor]:
    """Means and log variances [..., K]."""
    answers = raised(answers)
    return answers[..., 0::2], answers[..., 1::2].clamp(-LOG_VARIANCE, LOG_VARIANCE)


def gaussian_nll_rows(student: Tensor, labels: Tensor, beta: float = 0.0, known: Tensor | None = None) -> Tensor:
    """Negative log likelihood [...] of labels [..., K] under answers [..., 2·K], mean over numbers.

    `beta` weighs each number by its variance to that power, without a gradient; the mean is over the labels that are
    `known` (bool [..., K]).
    """
    mean, log_variance = _parts(student)
    squares = (labels.to(mean.dtype) - mean).square()
    losses = 0.5 * (log_variance + squares * (-log_variance).exp() + math.log(2 * math.pi))
    if beta:
        losses = losses * (beta * log_variance.detach()).exp()
    return over_entries(losses, known, mean=True)


def gaussian_nll_loss(student: Tensor, labels: Tensor, beta: float = 0.0) -> Tensor:
    """Mean negative log likelihood of labels [B, K] under answers [B, 2·K]."""
    return gaussian_nll_rows(student, labels, beta).mean()


def gaussian_kd_rows(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student) [...] of Gaussian distributions [..., 2·K], mean over numbers."""
    same_shape(student, teacher)
    mean, log_variance = _parts(student)
    other, other_log_variance = _parts(teacher.detach())
    wider = other_log_variance - log_variance
    return 0.5 * (wider.exp() - 1 - wider + (other - mean).square() * (-log_variance).exp()).mean(dim=-1)


def gaussian_kd_loss(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over rows of KL(teacher || student) of Gaussian distributions [B, 2·K]."""
    return masked_mean(gaussian_kd_rows(blank(student, mask), blank(teacher, mask)), mask)


@dataclass(frozen=True, kw_only=True)
class GaussianNLL(Objective):
    """Likelihood of the labels under the student's mean and variance: the hard loss of heteroscedastic regression.

    Paper      Nix & Weigend, IEEE ICNN 1994; beta: Seitzer et al., ICLR 2022, arXiv:2203.09168
    Needs      means and log variances of the student [B, 2·K], standardised; targets [B, K]; no teacher
    Formula    mean_k v^beta (log v + (y - m)^2 / v + log 2 pi) / 2, v^beta without a gradient
    Zero at    never: it falls without end as a right answer becomes surer, to -5.08 where log variances are cut
    Defaults   beta 0, the plain likelihood; the paper recommends 0.5 where means are learned badly
    Pitfalls   the gradient of the mean is divided by the variance: badly fitted rows are given up on, which beta mends
    """

    on: str = MAIN
    beta: float = 0.0
    kinds: ClassVar[tuple[str, ...]] = ("gaussian",)
    traits: ClassVar[Traits] = Traits(
        zero_at_equal=False, constant_at_equal="labels", labels="real", answers_per_label=2
    )

    def __post_init__(self) -> None:
        Fields(self).number("beta", low=0, high=1).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        return total_weight(batch, label_mask(batch, self.on, width=1))

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        values = dense(output_of(student, self.on, "student"), "student")
        labels, mask = labels_of(batch, self.on, (*values.shape[:-1], values.shape[-1] // 2), width=1, entries=True)
        wide = entry_mask(batch, self.on, copies=2)
        values = blank(values, mask if wide is None else wide)
        return weigh(gaussian_nll_rows(values, labels, self.beta, entry_mask(batch, self.on)), batch, mask)


@dataclass(frozen=True, kw_only=True)
class GaussianKD(Objective):
    """The teacher's mean and variance, as KL between Gaussian distributions.

    Paper      Kendall & Gal, arXiv:1703.04977 (what is learned), with the KL of two normal distributions
    Needs      means and log variances of both sides [B, 2·K]
    Formula    mean_k (log v_s / v_t + (v_t + (m_t - m_s)^2) / v_s - 1) / 2
    Zero at    student == teacher
    Defaults   none
    Pitfalls   a teacher that is too sure of itself teaches that too: look at its coverage
    """

    on: str = MAIN
    kinds: ClassVar[tuple[str, ...]] = ("gaussian",)
    traits: ClassVar[Traits] = Traits(answers_per_label=2)

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
        return weigh(gaussian_kd_rows(left, right), batch, mask)
