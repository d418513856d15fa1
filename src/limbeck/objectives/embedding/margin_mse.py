"""MarginMSE: how much better a query's own document is than the others, as the teacher sees it.

Paper      Hofstätter et al., Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge Distillation,
           2020, arXiv:2010.02666
Needs      embeddings of both texts [B, 2·D] of each side: a query and its document; widths may differ; no heads
Formula    mean over i, j of ((s_ii - s_ij)_S - (s_ii - s_ij)_T)^2, s_ij the cosine of query i and document j
Zero at    the student's margins are the teacher's, whatever is added to all scores of a query
Defaults   scale 1: cosines as they are
Pitfalls   the paper has one given negative a query and scores without bound, here every other document of the batch is
           one: accumulation is refused and the batch size is a hyper-parameter
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense_needs
from limbeck.objectives.pairs import all_cosines, student_texts, teacher_texts
from limbeck.objectives.weighing import row_weights
from limbeck.signals import MAIN, Batch, Needs, Signals


def margin_mse_rows(student: Tensor, teacher: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared difference [B] of margins of scores [B, B], a query's own document on the diagonal."""
    weights = torch.ones_like(student[:, 0]) if weights is None else weights
    own, other = (student.diagonal()[:, None] - student, teacher.diagonal()[:, None] - teacher.detach())
    share = weights / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)
    return (own - other).square() @ share


def margin_mse_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over queries of the squared difference of margins of scores [B, B]."""
    return margin_mse_rows(student, teacher).mean()


@dataclass(frozen=True, kw_only=True)
class MarginMSE(Objective):
    """Margins between a query's document and the others of the batch; `scale` multiplies cosines."""

    batchwise: ClassVar[bool] = True
    least_rows: ClassVar[int] = 2
    scale: float = 1.0
    on: str = MAIN
    kinds: ClassVar[tuple[str, ...]] = ("similarity", "retrieval")
    traits: ClassVar[Traits] = Traits(row_wise=False, unequal_widths=True, positions=False, texts=True)

    def __post_init__(self) -> None:
        Fields(self).number("scale", above=0).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def teacher_needs(self) -> Needs:
        return dense_needs(self.on)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        own = self.scale * all_cosines(*student_texts(student, self.on))
        answers = self.scale * all_cosines(*teacher_texts(teacher, self.on))
        weights = row_weights(batch, own)
        return (margin_mse_rows(own, answers.to(own), weights) * weights).sum(), weights.sum()
