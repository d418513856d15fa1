"""EmbeddingMSE: put the student's embeddings of texts where the teacher's are.

Paper      Reimers & Gurevych, Making Monolingual Sentence Embeddings Multilingual, EMNLP 2020, arXiv:2004.09813
Needs      embeddings of both texts [B, 2·D] of each side; widths may differ
Formula    mean over the two texts of ||P e_s - e_t||^2
Zero at    every P e_s is e_t
Defaults   projection "auto": P is trained where the widths differ and dropped with the training, else there is none
Pitfalls   a sum over dimensions, where sentence-transformers takes their mean: E times larger; a student that
           normalises cannot reach a teacher that does not, EmbeddingCosine can
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from limbeck.objectives.base import Objective, Shapes, Traits
from limbeck.objectives.fields import Fields
from limbeck.objectives.heads import projected
from limbeck.objectives.operands import dense_needs
from limbeck.objectives.pairs import projection_of, same_length, student_texts, teacher_texts
from limbeck.objectives.weighing import weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def embedding_mse_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over rows of the squared distance of embeddings [B, D]."""
    return (student - teacher.detach()).square().sum(dim=-1).mean()


@dataclass(frozen=True, kw_only=True)
class EmbeddingMSE(Objective):
    """Squared distance to the embeddings of both texts."""

    projection: Literal["auto", "none"] = "auto"
    on: str = MAIN
    kinds: ClassVar[tuple[str, ...]] = ("similarity", "retrieval")
    traits: ClassVar[Traits] = Traits(unequal_widths=True, positions=False, texts=True)

    def __post_init__(self) -> None:
        Fields(self).choice("projection", ("auto", "none")).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def teacher_needs(self) -> Needs:
        return dense_needs(self.on)

    def heads(self, shapes: Shapes) -> nn.Module | None:
        return projection_of(shapes, self.on, self.projection)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        own, answers = student_texts(student, self.on), teacher_texts(teacher, self.on)
        own = projected(head, own[0]), projected(head, own[1])
        same_length(own[0], answers[0])
        apart = [(mine - theirs).square().sum(dim=-1) for mine, theirs in zip(own, answers, strict=True)]
        return weigh((apart[0] + apart[1]) / 2, batch)
