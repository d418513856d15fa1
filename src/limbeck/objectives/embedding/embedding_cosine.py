"""EmbeddingCosine: turn the student's embeddings of texts into the directions of the teacher's.

Paper      Reimers & Gurevych, Making Monolingual Sentence Embeddings Multilingual, EMNLP 2020, arXiv:2004.09813
Needs      embeddings of both texts [B, 2·D] of each side; widths may differ
Formula    mean over the two texts of 1 - cos(P e_s, e_t)
Zero at    every P e_s is a positive multiple of e_t
Defaults   projection "auto": P is trained where the widths differ and dropped with the training, else there is none
Pitfalls   it does not see lengths; the paper matches by squared distance (EmbeddingMSE), which is twice this for
           embeddings of length 1; behind a P the student's own cosines are only near those of the teacher
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from limbeck.objectives.base import Objective, Shapes, Traits
from limbeck.objectives.fields import Fields
from limbeck.objectives.heads import projected
from limbeck.objectives.operands import dense_needs
from limbeck.objectives.pairs import cosines, projection_of, same_length, student_texts, teacher_texts
from limbeck.objectives.weighing import weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def embedding_cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean of 1 - cosine of embeddings [B, D]."""
    return (1 - cosines(student, teacher.detach())).mean()


@dataclass(frozen=True, kw_only=True)
class EmbeddingCosine(Objective):
    """Directions of the embeddings of both texts."""

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
        return weigh(1 - (cosines(own[0], answers[0]) + cosines(own[1], answers[1])) / 2, batch)
