"""CosineRegression and CoSENT: the cosine of two texts against the score of the pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits, labelled_weight
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense_needs
from limbeck.objectives.pairs import NEVER, cosines, log_weights, scores_of, student_texts
from limbeck.objectives.weighing import blank, row_weights, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def cosine_regression_loss(cosine: Tensor, score: Tensor) -> Tensor:
    """Mean squared error of cosines [B] against scores [B]."""
    return (cosine - score).square().mean()


def cosent_loss(cosine: Tensor, score: Tensor, scale: float = 20.0, weights: Tensor | None = None) -> Tensor:
    """log(1 + sum over pairs of rows that stand in the wrong order), of cosines [B] and scores [B] (scalar)."""
    weights = torch.ones_like(cosine) if weights is None else weights
    counts = log_weights(weights)
    terms = scale * (cosine[None, :] - cosine[:, None]) + counts[None, :] + counts[:, None]
    terms = torch.where(score[:, None] > score[None, :], terms, torch.full_like(terms, NEVER))
    return torch.cat([terms.flatten(), terms.new_zeros(1)]).logsumexp(dim=0)


@dataclass(frozen=True, kw_only=True)
class CosineRegression(Objective):
    """Squared error of the cosine against the score: the hard loss of similarity.

    Paper      Reimers & Gurevych, Sentence-BERT, EMNLP 2019, arXiv:1908.10084
    Needs      the student's embeddings of both texts [B, 2·D], scores [B, 1]; rows without a label do not count
    Formula    (cos(e_1, e_2) - y)^2
    Zero at    every cosine is its score
    Defaults   none; scores are brought to 0 to 1 (or -1 to 1) by the task
    Pitfalls   it wants the score's own scale, of which a rank correlation sees nothing: CoSENT wants the order alone
    """

    on: str = MAIN
    kinds: ClassVar[tuple[str, ...]] = ("similarity",)
    traits: ClassVar[Traits] = Traits(
        zero_at_equal=False, constant_at_equal="labels", positions=False, texts=True, labels="score"
    )

    def __post_init__(self) -> None:
        Fields(self).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        return labelled_weight(batch, self.on)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        scores, mask = scores_of(batch, self.on)
        first, second = (blank(texts, mask) for texts in student_texts(student, self.on))
        return weigh((cosines(first, second) - scores.to(first.dtype)).square(), batch, mask)


@dataclass(frozen=True, kw_only=True)
class CoSENT(Objective):
    """Pairs with a higher score have a higher cosine.

    Paper      Su, CoSENT, 2022, https://kexue.fm/archives/8847 (CoSENTLoss of sentence-transformers)
    Needs      the student's embeddings of both texts [B, 2·D], scores [B, 1]; rows without a label do not count
    Formula    log(1 + sum over y_i > y_j of exp(scale (cos_j - cos_i)))
    Zero at    never, near it where all pairs stand in the order of their scores with room between
    Defaults   scale 20
    Pitfalls   it grows with the number of pairs in a batch; accumulation is refused
    """

    batchwise: ClassVar[bool] = True
    least_rows: ClassVar[int] = 2
    scale: float = 20.0
    on: str = MAIN
    kinds: ClassVar[tuple[str, ...]] = ("similarity",)
    traits: ClassVar[Traits] = Traits(
        zero_at_equal=False, constant_at_equal="labels", row_wise=False, positions=False, texts=True, labels="score"
    )

    def __post_init__(self) -> None:
        Fields(self).number("scale", above=0).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        return labelled_weight(batch, self.on)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        scores, mask = scores_of(batch, self.on)
        first, second = (blank(texts, mask) for texts in student_texts(student, self.on))
        weights = row_weights(batch, first, mask)
        return cosent_loss(cosines(first, second), scores, self.scale, weights) * weights.sum(), weights.sum()
