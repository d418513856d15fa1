"""InfoNCE: a query's own document is nearer to it than those of the other rows of the batch.

Paper      van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018, arXiv:1807.03748; in
           batches of pairs Henderson et al., arXiv:1705.00652 (MultipleNegativesRanking of sentence-transformers)
Needs      the student's embeddings of both texts [B, 2·D]: a query and its document; rows without a label do not count
Formula    log sum_j exp(scale cos(q_i, d_j)) - scale cos(q_i, d_i), mean over i
Zero at    never, near it where every query is far nearer to its own document
Defaults   scale 20 (a temperature of 0.05)
Pitfalls   a document that answers two queries of a batch counts as wrong for one; accumulation is refused and the batch
           size is a hyper-parameter
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits, labelled_weight
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense_needs
from limbeck.objectives.pairs import all_cosines, log_weights, scores_of, student_texts
from limbeck.objectives.weighing import blank, row_weights
from limbeck.signals import MAIN, Batch, Needs, Signals


def info_nce_rows(cosines: Tensor, scale: float = 20.0, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy [B] of each query's own document, cosines [B, B]; `weights` [B] count a document so many times."""
    weights = torch.ones_like(cosines[0]) if weights is None else weights
    return (scale * cosines + log_weights(weights)[None, :]).logsumexp(dim=-1) - scale * cosines.diagonal()


def info_nce_loss(cosines: Tensor, scale: float = 20.0) -> Tensor:
    """Mean over queries of the cross-entropy of their own documents, cosines [B, B]."""
    return info_nce_rows(cosines, scale).mean()


@dataclass(frozen=True, kw_only=True)
class InfoNCE(Objective):
    """In-batch negatives: the hard loss of retrieval; `scale` multiplies cosines before the softmax."""

    batchwise: ClassVar[bool] = True
    least_rows: ClassVar[int] = 2
    scale: float = 20.0
    on: str = MAIN
    kinds: ClassVar[tuple[str, ...]] = ("retrieval",)
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
        mask = scores_of(batch, self.on)[1]
        own = all_cosines(*(blank(texts, mask) for texts in student_texts(student, self.on)))
        weights = row_weights(batch, own, mask)
        rows = info_nce_rows(own, self.scale, weights)
        return (torch.where(weights > 0, rows, torch.zeros_like(rows)) * weights).sum(), weights.sum()
